"""Tone of a text: exactly the numbers of vaderSentiment 3.3.2, a column at a time.

The package scores one text in time that grows with its square (its issue #110: 2,000 emoji take
over a second) and asks for the same lower-cased words again and again. Here all texts go through
each step together, as numpy arrays, in time that grows with their length:

- `text`: emoji become words, and every character one byte;
- `words`: split, strip, look up;
- `rules`: a word's valence among its neighbours, one function a rule;
- `outcome`: "but", punctuation, the four numbers;
- `lexicon`: what the package knows of a word, as tables.

Equal means equal: tests/test_vader.py holds every number to the package's. Does not decide what is
scored (language, markers): that is `analysis.tone`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.vader.lexicon import HAS_VALENCE, NOWHERE, NUMBER
from analysis.vader.outcome import MEASURES as DECIMALS
from analysis.vader.outcome import Feeling, contrast, measure
from analysis.vader.rules import REACH, Nearby, valence
from analysis.vader.text import Places, characters
from analysis.vader.words import Words, split

SCORER = "vader-3.3.2"
MEASURES = tuple(DECIMALS)
AT_ONCE = 300_000  # characters: enough for each step of numpy, and a few MB


def score(text: pl.Series) -> pl.DataFrame:
    """Tone of each text: columns compound (-1..1), neg, neu, pos (shares of the text, 0..1).

    One row for each text, in order; all four are null for a null text, and for no other. The
    numbers follow the running interpreter: from CPython 3.12 on, sum() rounds differently and
    valences that cancel out can give another compound, so whoever keeps them keeps the minor
    version too.

    Method: Hutto and Gilbert (2014), "VADER: a parsimonious rule-based model for sentiment
    analysis of social media text"; the package vaderSentiment 3.3.2.
    """
    known = text.is_not_null()
    parts = [_scored(part) for part in _portions(text.drop_nulls().to_list())]
    rows = np.concatenate(parts, axis=1) if parts else np.empty((len(MEASURES), 0))
    numbers = pl.DataFrame(dict(zip(MEASURES, rows, strict=True)), schema=_SCHEMA)
    if known.all():
        return numbers
    place = pl.select(pl.when(known).then(known.cum_sum() - 1)).to_series()
    return numbers.select(pl.all().gather(place))


_SCHEMA = dict.fromkeys(MEASURES, pl.Float64)


def _portions(texts: list[str]) -> Iterator[list[str]]:
    """The texts in portions of about AT_ONCE characters; a text is never cut."""
    if not texts:
        return
    until = np.cumsum(np.fromiter(map(len, texts), np.intp, len(texts)) + 1)
    cuts = np.flatnonzero(np.diff(until // AT_ONCE)) + 1
    for begin, end in pairwise([0, *cuts.tolist(), len(texts)]):
        yield texts[begin:end]


def _scored(texts: list[str]) -> NDArray[np.float64]:
    chars = characters(texts)
    found = split(chars)
    hits = np.flatnonzero(HAS_VALENCE[found.number])
    value = valence(_nearby(found, hits, _owner(found, hits)))
    hits, value = hits[value != 0], value[value != 0]
    owner = _owner(found, hits)
    feeling = Feeling(owner, hits - found.begin[owner], value, found.end - found.begin)
    but = np.flatnonzero(found.number == NUMBER["but"])
    with_but, first = np.unique(_owner(found, but), return_index=True)
    place = but[first] - found.begin[with_but]
    return measure(replace(feeling, valence=contrast(feeling, with_but, place)), chars)


def _owner(found: Words, which: Places) -> Places:
    """The text that each of these words is in."""
    owner: Places = np.searchsorted(found.end, which, "right")
    return owner


def _nearby(found: Words, hits: Places, owner: Places) -> Nearby:
    """The words around those at `hits`; `owner` is the text each is in."""
    begin, end = found.begin[owner], found.end[owner]
    shouted = np.append(0, np.cumsum(found.shouted))
    loud_words = shouted[end] - shouted[begin]
    some = (loud_words > 0) & (loud_words < end - begin)
    word, loud = {}, {}
    for distance in (*(-far for far in REACH), 0, 1, 2):
        place = hits + distance
        inside = (place >= begin) & (place < end)
        place = np.where(inside, place, hits)
        word[distance] = np.where(inside, found.number[place], NOWHERE)
        if distance <= 0:
            loud[distance] = inside & some & found.shouted[place]
    return Nearby(word, loud)
