"""The rules that change a French word's valence by what stands around it, one function a rule.

VADER's rules for capitals and degree adverbs as they are; negation as French has it, on both sides
of a word and, in two parts, still only one. Phrases are words by then (`words.joined`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.vader import rules
from analysis.vader.french import BEHIND, NEGATED, NUMBER
from analysis.vader.lexicon import NOWHERE
from analysis.vader.rules import REACH, Nearby, Valence
from analysis.vader.words import Flags

QUE = [NUMBER["que"], NUMBER["qu'"]]
NE = [NUMBER["ne"], NUMBER["n'"]]
PAS, PLUS = NUMBER["pas"], NUMBER["plus"]


def own(_: Valence, near: Nearby) -> Valence:
    """Of the lexicon; a degree adverb before another word of it ("super nul") has none."""
    lexicon, word = near.lexicon, near.word
    modifies = (lexicon.degree[word[0]] != 0) & lexicon.in_lexicon[word[1]] & (word[1] != NOWHERE)
    return np.where(modifies, 0.0, lexicon.valence[word[0]])


def capitals(value: Valence, near: Nearby) -> Valence:
    """A word in capitals among others is stronger."""
    return np.where(value == 0, value, rules.capitals(value, near))


def degree(value: Valence, near: Nearby) -> Valence:
    """Degree adverbs up to three words before strengthen or weaken a word."""
    for distance in REACH:
        value = np.where(value == 0, value, rules.degree(value, near, distance))
    return value


def negation(value: Valence, near: Nearby) -> Valence:
    """A negation up to three words before, or right behind, turns a word around and weakens it.

    However many there are ("ne ... pas" are two words), once: a phrase with one of its own ("pas
    normal") is what it is, with "ne" and without.
    """
    negated = negated_behind(near)
    for distance in REACH:
        negated |= negated_before(near, distance)
    negated &= ~NEGATED[near.word[0]]
    return np.where(negated, value * near.lexicon.negation, value)


def negated_before(near: Nearby, distance: int) -> Flags:
    """A negation so many words before, and no "que" between: a clause of its own begins there.

    "Ne ... que" only restricts, on either side ("ce n'est que beau", "je n'aime que ça").
    """
    word = near.word
    before = word[-distance]
    negated = near.lexicon.negates[before]
    for between in range(1, distance):
        negated &= ~np.isin(word[-between], QUE)
    return negated & ~(np.isin(before, NE) & np.isin(word[1], QUE))


def negated_behind(near: Nearby) -> Flags:
    """A negation right behind ("j'aime pas"), or behind an adverb ("j'aime vraiment pas").

    "Plus" before another word of the lexicon belongs to that one ("plus beau, plus simple").
    """
    word, lexicon = near.word, near.lexicon
    compares = (word[1] == PLUS) & lexicon.in_lexicon[word[2]] & (word[2] != NOWHERE)
    negated: Flags = BEHIND[word[1]] & ~compares
    negated |= (lexicon.degree[word[1]] != 0) & (word[2] == PAS)
    return negated


# In this order: every rule works on what the one before it left.
RULES: dict[str, Callable[[Valence, Nearby], Valence]] = {
    "own": own,
    "capitals": capitals,
    "degree": degree,
    "negation": negation,
}


def valence(near: Nearby) -> Valence:
    """The valence of each word in its place."""
    value: Valence = np.zeros(near.word[0].size)
    for rule in RULES.values():
        value = rule(value, near)
    return value
