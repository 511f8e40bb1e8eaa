"""The words VADER knows and what it knows of them.

Everything is read from the installed package vaderSentiment 3.3.2; nothing is copied into this
repository. The tables are built once, on import.
"""

from __future__ import annotations

import numpy as np
from vaderSentiment.vaderSentiment import (
    BOOSTER_DICT,
    C_INCR,
    N_SCALAR,
    NEGATE,
    SPECIAL_CASES,
    SentimentIntensityAnalyzer,
    negated,
)

from analysis.vader.lexicon import NO_WORDS, NOWHERE, Lexicon, Phrase, numbered

_ANALYSER = SentimentIntensityAnalyzer()
_LEXICON: dict[str, float] = _ANALYSER.lexicon

# The emoji the package replaces by their descriptions. It goes through a text character by
# character, so its keys of several characters (flags, families, keycaps) never match.
EMOJI: dict[str, str] = {key: text for key, text in _ANALYSER.emojis.items() if len(key) == 1}

# Words that a rule asks for by name.
_NAMED = ["no", "or", "nor", "so", "this", "never", "without", "doubt", "least", "at", "very"]
_NAMED += ["kind", "of", "but"]


def _vocabulary() -> list[str]:
    """Every word a rule can see, once. Words are compared in lower case and never hold a blank,
    so what has a capital (":D") or a blank ("fed up") in the lexicon never matches."""
    phrases = [*SPECIAL_CASES, *BOOSTER_DICT]
    parts = [part for phrase in phrases for part in phrase.split()]
    known = [*_NAMED, *parts, *NEGATE, *_LEXICON]
    return [word for word in dict.fromkeys(known) if word == word.lower() and " " not in word]


_WORDS = [*NO_WORDS, *_vocabulary()]
NUMBER = numbered(_WORDS)


def _lexicon() -> Lexicon:
    in_lexicon = np.array([word in _LEXICON for word in _WORDS])
    in_lexicon[NOWHERE] = True
    # Words of the lexicon do not modify others (but for "no").
    degree = [0.0 if word in _LEXICON else BOOSTER_DICT.get(word, 0.0) for word in _WORDS]
    return Lexicon(
        words=_WORDS,
        number=NUMBER,
        emoji=EMOJI,
        valence=np.array([_LEXICON.get(word, 0.0) for word in _WORDS]),
        # Degree adverbs come before the lexicon in the package, whichever words it holds.
        has_valence=np.array([word in _LEXICON and word not in BOOSTER_DICT for word in _WORDS]),
        in_lexicon=in_lexicon,
        # Words of the lexicon do not modify others (but for "no").
        degree=np.array(degree),
        negates=np.array([word not in _LEXICON and negated([word]) for word in _WORDS]),
        contrasts=np.array([word == "but" for word in _WORDS]),
        capitals=C_INCR,
        negation=N_SCALAR,
    )


LEXICON = _lexicon()


def _phrases(table: dict[str, float]) -> list[Phrase]:
    """The entries of several words: the words' numbers and the value."""
    return [
        (tuple(NUMBER[part] for part in phrase.split()), float(value))
        for phrase, value in table.items()
        if " " in phrase
    ]


IDIOMS = _phrases(SPECIAL_CASES)
DEGREE_PHRASES = _phrases(BOOSTER_DICT)
IN_PHRASE = np.zeros(len(_WORDS), bool)
IN_PHRASE[[number for words, _ in [*IDIOMS, *DEGREE_PHRASES] for number in words]] = True
