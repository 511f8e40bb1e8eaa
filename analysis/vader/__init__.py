"""Tone of a text, a column at a time: exactly the numbers of vaderSentiment 3.3.2 for English, and
for French those of the same engine with French words and rules.

The package scores one text in time that grows with its square (its issue #110: 2,000 emoji take
over a second) and asks for the same lower-cased words again and again. Here all texts go through
each step together, as numpy arrays, in time that grows with their length:

- `text`: emoji become words, and every character one byte;
- `words`: split, strip, look up, join phrases;
- `rules`, `rules_french`: a word's valence among its neighbours, one function a rule;
- `outcome`: "but", punctuation, the four numbers;
- `lexicon`: what is known of a word, as tables; `english` reads them from the package, `french`
  from french.txt, which is ours (`french_forms` inflects it).

Equal means equal: tests/test_vader.py holds every number to the package's. Does not decide what is
scored (language, markers): that is `analysis.tone`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.vader import english, french, rules, rules_french
from analysis.vader.lexicon import NOWHERE, Lexicon
from analysis.vader.outcome import MEASURES as DECIMALS
from analysis.vader.outcome import Feeling, contrast, measure
from analysis.vader.rules import REACH, Nearby, Valence
from analysis.vader.text import Characters, Places, characters
from analysis.vader.words import Words, joined, split

SCORER = "vader-3.3.2"
MEASURES = tuple(DECIMALS)
AT_ONCE = 150_000  # characters: enough for each step of numpy, and a few MB


@dataclass(frozen=True, eq=False)
class Language:
    """A lexicon, and the rules that give a word its valence among its neighbours.

    `slips`: whether "but" works as in the package, mistakes included.
    """

    lexicon: Lexicon
    valence: Callable[[Nearby], Valence]
    slips: bool


ENGLISH = Language(english.LEXICON, rules.valence, slips=True)
FRENCH = Language(french.LEXICON, rules_french.valence, slips=False)


def score(text: pl.Series, language: Language = ENGLISH) -> pl.DataFrame:
    """Tone of each text: columns compound (-1..1), neg, neu, pos (shares of the text, 0..1).

    One row for each text, in order; all four are null for a null text, and for no other. The
    numbers follow the running interpreter: from CPython 3.12 on, sum() rounds differently and
    valences that cancel out can give another compound, so whoever keeps them keeps the minor
    version too.

    English texts are read as they stand (or normalised), French ones as `spelling.french` gives
    them.

    Method: Hutto and Gilbert (2014), "VADER: a parsimonious rule-based model for sentiment
    analysis of social media text"; the package vaderSentiment 3.3.2.
    """
    known = text.is_not_null()
    parts = [_scored(part, language) for part in _portions(text.drop_nulls().to_list())]
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


@dataclass(frozen=True)
class Seen:
    """Texts as the rules see them: their words, and where those with a valence stand."""

    chars: Characters
    words: Words
    hits: Places
    near: Nearby


def look(texts: list[str], language: Language) -> Seen:
    """Split the texts and look their words up."""
    chars = characters(texts, language.lexicon)
    found = joined(split(chars, language.lexicon), language.lexicon)
    hits = np.flatnonzero(language.lexicon.has_valence[found.number])
    return Seen(chars, found, hits, _nearby(found, hits, _owner(found, hits), language.lexicon))


def weigh(seen: Seen, value: Valence, language: Language) -> Feeling:
    """The words with a valence that is not zero, after "but". `value` has one for each hit."""
    found, felt = seen.words, value != 0
    hits = seen.hits[felt]
    owner = _owner(found, hits)
    feeling = Feeling(owner, hits - found.begin[owner], value[felt], found.end - found.begin)
    but = np.flatnonzero(language.lexicon.contrasts[found.number])
    with_but, first = np.unique(_owner(found, but), return_index=True)
    place = but[first] - found.begin[with_but]
    weighed = contrast(feeling, with_but, place, slips=language.slips)
    return replace(feeling, valence=weighed)


def _scored(texts: list[str], language: Language) -> NDArray[np.float64]:
    seen = look(texts, language)
    return measure(weigh(seen, language.valence(seen.near), language), seen.chars)


def _owner(found: Words, which: Places) -> Places:
    """The text that each of these words is in."""
    owner: Places = np.searchsorted(found.end, which, "right")
    return owner


def _nearby(found: Words, hits: Places, owner: Places, lexicon: Lexicon) -> Nearby:
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
    return Nearby(lexicon, word, loud)
