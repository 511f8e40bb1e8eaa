"""The words of French tone, read from french.txt beside this module.

The ratings are our own, on VADER's scale. The file has words as a dictionary has them; the forms
that are in use follow from their kind (`french_forms`). The rules that ask for these words are in
`rules_french`.
"""

from __future__ import annotations

from collections import defaultdict
from importlib.resources import files
from itertools import chain

import numpy as np

from analysis.spelling import french
from analysis.vader import english
from analysis.vader.french_forms import forms
from analysis.vader.lexicon import NO_WORDS, NOWHERE, Lexicon, numbered

Table = dict[str, float]


def read(text: str) -> dict[str, Table]:
    """The tables of the file by what they are for: valence, degree, emoji, negation, ...

    The first line that has a form decides, so that what is rarer can stand below.
    """
    tables: dict[str, Table] = defaultdict(dict)
    for line in text.splitlines():
        head, _, rest = line.partition(":")
        if not rest or line.startswith("#"):
            continue
        kind, _, value = head.partition(" ")
        kind, _, several = kind.partition("-")
        several = several or ("phrase" if kind == "phrase" else "")
        words = rest.split(",") if several else rest.split()
        name = kind if kind in {"degree", "emoji", "negation", "behind", "contrast"} else "valence"
        for word in words if kind == "emoji" else _as_in_a_text(words):
            for form in forms(kind, word):
                tables[name].setdefault(form, float(value or 0))
    return tables


def _as_in_a_text(words: list[str]) -> list[str]:
    """The words as they stand in a text that `spelling.french` has gone through."""
    return [" ".join(word.lower().split()) for word in french(words)]


SOURCE = (files("analysis.vader") / "french.txt").read_text(encoding="utf-8")
TABLES = read(SOURCE)


def _emoji() -> dict[str, str]:
    """One word for each emoji the package knows, set off by blanks: "emoji1f600"."""
    return {char: f"emoji{ord(char):x} " for char in english.EMOJI}


def _emoji_valence(char: str) -> float:
    """Ours, or else what the package's lexicon has for the words of its description."""
    own = TABLES["emoji"].get(char)
    if own is not None:
        return own
    known = english.LEXICON
    described = english.EMOJI[char].split()
    return float(sum(known.valence[known.number.get(word, 0)] for word in described))


def _lexicon() -> Lexicon:
    emoji = _emoji()
    valence = TABLES["valence"] | {
        word.strip(): _emoji_valence(char) for char, word in emoji.items() if _emoji_valence(char)
    }
    # Emoticons of ASCII are the same in every language.
    valence |= {
        word: float(english.LEXICON.valence[number])
        for word, number in english.NUMBER.items()
        if not any(map(str.isalnum, word)) and word not in valence
    } | dict.fromkeys(("xd", "=d", ":p", ";p", "^^"), 2.0)
    entries = [valence, *(TABLES[name] for name in ("degree", "negation", "behind", "contrast"))]
    known = dict.fromkeys(chain.from_iterable(entries))
    parts = [part for word in known for part in word.split()]
    words = [*NO_WORDS, *dict.fromkeys([*NAMED, *known, *parts])]
    value = np.array([valence.get(word, 0.0) for word in words])
    in_lexicon = value != 0
    in_lexicon[NOWHERE] = True
    return Lexicon(
        words=words,
        number=numbered(words),
        emoji=emoji,
        valence=value,
        has_valence=value != 0,
        in_lexicon=in_lexicon,
        degree=np.array([TABLES["degree"].get(word, 0.0) for word in words]),
        negates=np.array([word in TABLES["negation"] for word in words]),
        contrasts=np.array([word in TABLES["contrast"] for word in words]),
        capitals=english.LEXICON.capitals,
        negation=english.LEXICON.negation,
    )


NAMED = ["que", "qu'", "ne", "n'"]
SECOND = {"pas", "plus", "jamais", "rien", "aucun", "aucune"}  # of a negation in two parts
LEXICON = _lexicon()
NUMBER = LEXICON.number
BEHIND = np.array([word in TABLES["behind"] for word in LEXICON.words])
# Phrases that hold the second part of a negation: "ne" before them is its first part.
NEGATED = np.array([" " in word and not SECOND.isdisjoint(word.split()) for word in LEXICON.words])
