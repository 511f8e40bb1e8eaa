"""The words VADER knows and what it knows of them, as arrays indexed by a word's number.

Everything is read from the installed package vaderSentiment 3.3.2; nothing is copied into this
repository. The tables are built once, on import. Which rule makes what of them: `rules`.
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

_ANALYSER = SentimentIntensityAnalyzer()
_LEXICON: dict[str, float] = _ANALYSER.lexicon

CAPITALS = C_INCR  # what all capitals add to a valence, away from zero
NEGATION = N_SCALAR  # what a negation multiplies a valence by

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


# 0 is any other word, 1 any other word with "n't" in it, 2 stands for "no word there": where a
# text is over. It counts as in the lexicon, so that it modifies nothing.
OTHER, CONTRACTION, NOWHERE = 0, 1, 2
WORDS = ["", "n't", "", *_vocabulary()]
NUMBER = {word: number for number, word in enumerate(WORDS) if number > NOWHERE}

IN_LEXICON = np.array([word in _LEXICON for word in WORDS])
# Degree adverbs come before the lexicon in the package, whichever words it holds.
HAS_VALENCE = np.array([word in _LEXICON and word not in BOOSTER_DICT for word in WORDS])
VALENCE = np.array([_LEXICON.get(word, 0.0) for word in WORDS])

# Words of the lexicon do not modify others (but for "no").
DEGREE = np.array([0.0 if word in _LEXICON else BOOSTER_DICT.get(word, 0.0) for word in WORDS])
NEGATES = np.array([word not in _LEXICON and negated([word]) for word in WORDS])
IN_LEXICON[NOWHERE] = True


def _phrases(table: dict[str, float]) -> list[tuple[tuple[int, ...], float]]:
    """The entries of several words: the words' numbers and the value."""
    return [
        (tuple(NUMBER[part] for part in phrase.split()), float(value))
        for phrase, value in table.items()
        if " " in phrase
    ]


IDIOMS = _phrases(SPECIAL_CASES)
DEGREE_PHRASES = _phrases(BOOSTER_DICT)
IN_PHRASE = np.zeros(len(WORDS), bool)
IN_PHRASE[[number for words, _ in [*IDIOMS, *DEGREE_PHRASES] for number in words]] = True
