"""What a language's words mean to the rules, as arrays indexed by a word's number.

Each language fills one `Lexicon`: `english` from the package, `french` from a table of our own.
Which rule makes what of it: `rules`, `rules_french`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Phrase = tuple[tuple[int, ...], float]

# 0 is any other word, 1 any other word with "n't" in it, 2 stands for "no word there": where a
# text is over. It counts as in the lexicon, so that it modifies nothing.
OTHER, CONTRACTION, NOWHERE = 0, 1, 2
NO_WORDS = ["", "n't", ""]


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The words that a rule can see, and what each is to it.

    `words` by number; one with a blank in it stands for several words of a text at once.
    `emoji` has what stands in a text in the place of an emoji.
    """

    words: list[str]
    number: Mapping[str, int]
    emoji: Mapping[str, str]
    valence: NDArray[np.float64]
    has_valence: NDArray[np.bool_]
    in_lexicon: NDArray[np.bool_]
    degree: NDArray[np.float64]  # what a degree adverb adds, away from zero
    negates: NDArray[np.bool_]
    contrasts: NDArray[np.bool_]  # "but"
    capitals: float  # what all capitals add to a valence, away from zero
    negation: float  # what a negation multiplies a valence by


def numbered(words: list[str]) -> dict[str, int]:
    """The number of each word, for `words` that begin with NO_WORDS."""
    if len(words) > np.iinfo(np.int16).max:
        raise ValueError(f"A lexicon of {len(words):,} words: a number has 16 bits.")
    return {word: number for number, word in enumerate(words) if number > NOWHERE}
