"""The rules of VADER that change a word's valence by what stands around it, one function a rule.

They are those of Hutto and Gilbert (2014), section 3.3, as vaderSentiment 3.3.2 carries them out,
slips included; each docstring names the package's function. The order of `valence` is part of the
numbers: every rule works on what the one before it left, in floating point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.vader.lexicon import (
    CAPITALS,
    DEGREE,
    DEGREE_PHRASES,
    IDIOMS,
    IN_LEXICON,
    IN_PHRASE,
    NEGATES,
    NEGATION,
    NOWHERE,
    NUMBER,
    VALENCE,
)
from analysis.vader.words import Flags, Numbers

Valence = NDArray[np.float64]

NO, OR, NOR, SO, THIS = (NUMBER[word] for word in ("no", "or", "nor", "so", "this"))
NEVER, WITHOUT, DOUBT = (NUMBER[word] for word in ("never", "without", "doubt"))
LEAST, AT, VERY, KIND, OF = (NUMBER[word] for word in ("least", "at", "very", "kind", "of"))

REACH = (1, 2, 3)  # how many words before a word can modify it
FADING = {1: 1.0, 2: 0.95, 3: 0.9}  # of a degree adverb, with its distance


@dataclass(frozen=True)
class Nearby:
    """The words around those that have a valence: a row a word, by distance (0 is itself).

    `word` has the numbers of the words from -3 to 2 (`lexicon.NOWHERE` outside the text),
    `loud` whether a word from -3 to 0 is in capitals in a text that is not all in capitals
    (allcap_differential).
    """

    word: dict[int, Numbers]
    loud: dict[int, Flags]


def valence(near: Nearby) -> Valence:
    """The valence of each word in its place (sentiment_valence)."""
    value = capitals(no(near), near.loud[0])
    for distance in REACH:
        value = degree(value, near, distance)
        value = negation(value, near, distance)
    value = least(idioms(value, near), near)
    return kind_of(value, near)


def no(near: Nearby) -> Valence:
    """Of the lexicon; "no" has none of its own before another word of it and negates that one.

    It negates up to two words on, and a third one after "or" or "nor".
    """
    word = near.word
    own = VALENCE[word[0]]
    negated = (word[-1] == NO) | (word[-2] == NO)
    negated |= (word[-3] == NO) & ((word[-1] == OR) | (word[-1] == NOR))
    modifier = (word[0] == NO) & IN_LEXICON[word[1]] & (word[1] != NOWHERE)
    value = np.where(modifier, 0.0, own)
    return np.where(negated, own * NEGATION, value)


def capitals(value: Valence, loud: Flags) -> Valence:
    """A word in capitals among others is stronger. (Zero, of a "NO", counts as negative.)"""
    return np.where(loud, np.where(value > 0, value + CAPITALS, value - CAPITALS), value)


def degree(value: Valence, near: Nearby, distance: int) -> Valence:
    """Degree adverbs before a word strengthen or weaken it, less from farther (scalar_inc_dec)."""
    size = DEGREE[near.word[-distance]]
    size = np.where(value < 0, -size, size)
    size = np.where(size == 0, size, capitals_of_degree(size, value, near.loud[-distance]))
    return value + size * FADING[distance]


def capitals_of_degree(size: Valence, value: Valence, loud: Flags) -> Valence:
    """A degree adverb in capitals works in the direction of the word, a weakening one too."""
    return np.where(loud, np.where(value > 0, size + CAPITALS, size - CAPITALS), size)


def negation(value: Valence, near: Nearby, distance: int) -> Valence:
    """A negation up to three words before turns a word around and weakens it (_negation_check).

    "never so" and "never this" strengthen instead, and "without doubt" does nothing. Three words
    before, the package forgets the "never": any "so" or "this" just before the word strengthens.
    """
    word = near.word
    before = word[-distance]
    negated = NEGATES[before]
    if distance == 1:
        return np.where(negated, value * NEGATION, value)
    so_or_this = (word[-1] == SO) | (word[-1] == THIS)
    doubt = word[-1] == DOUBT
    if distance == 2:
        emphasis = (before == NEVER) & so_or_this
    else:
        emphasis = (before == NEVER) & ((word[-2] == SO) | (word[-2] == THIS)) | so_or_this
        emphasis &= ~IN_LEXICON[before]
        doubt |= word[-2] == DOUBT
    negated &= ~((before == WITHOUT) & doubt)
    return np.where(emphasis, value * 1.25, np.where(negated, value * NEGATION, value))


def idioms(value: Valence, near: Nearby) -> Valence:
    """Phrases with a valence of their own, and degree phrases (_special_idioms_check).

    Only where three words stand before and the third is not in the lexicon. Which phrase wins where
    several fit: those with the following words, then the nearest.
    """
    word = near.word
    part = IN_PHRASE[word[0]] | IN_PHRASE[word[-1]] | IN_PHRASE[word[-2]]
    which = np.flatnonzero(part & ~IN_LEXICON[word[-3]])
    if not which.size:
        return value
    word = {distance: numbers[which] for distance, numbers in word.items()}
    new = value[which]
    # The later one overrides the earlier.
    for span in ((-3, -2), (-3, -2, -1), (-2, -1), (-2, -1, 0), (-1, 0), (0, 1), (0, 1, 2)):
        for phrase, phrase_value in IDIOMS:
            if len(phrase) == len(span):
                new = np.where(_is(phrase, word, span), phrase_value, new)
    for span in ((-3, -2), (-2, -1)):
        for phrase, size in DEGREE_PHRASES:
            new = np.where(_is(phrase, word, span), new + size, new)
    value = value.copy()
    value[which] = new
    return value


def _is(phrase: tuple[int, ...], word: dict[int, Numbers], span: tuple[int, ...]) -> Flags:
    found = np.ones(word[0].size, np.bool_)
    for part, distance in zip(phrase, span, strict=True):
        found &= word[distance] == part
    return found


def least(value: Valence, near: Nearby) -> Valence:
    """A "least" just before negates, unless it follows "at" or "very" (_least_check)."""
    word = near.word
    negated = (word[-1] == LEAST) & (word[-2] != AT) & (word[-2] != VERY)
    return np.where(negated, value * NEGATION, value)


def kind_of(value: Valence, near: Nearby) -> Valence:
    """The lexicon's "kind" is none before "of" (polarity_scores)."""
    return np.where((near.word[0] == KIND) & (near.word[1] == OF), 0.0, value)
