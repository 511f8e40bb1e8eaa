"""From the valences of a text's words to its four numbers: "but", punctuation, sums, rounding.

The package sums with Python's sum() and rounds with its round(). The sums here are numpy's, and
wherever that could tell in a number the text is summed and rounded anew with Python's own.
"""

from __future__ import annotations

import heapq
import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.vader.rules import Valence
from analysis.vader.text import Characters, Places

# Rows of the result, with the decimals the package rounds each to.
MEASURES = {"compound": 4, "neg": 3, "neu": 3, "pos": 3}
ALPHA = 15  # of normalize


@dataclass(frozen=True)
class Feeling:
    """The words with a valence that is not zero, in order: text, place in it, valence.

    `words` is how many words each text has, of any kind.
    """

    text: Places
    place: Places
    valence: Valence
    words: Places


def contrast(feeling: Feeling, but: Places, place: Places, *, slips: bool) -> Valence:
    """What stands before "but" counts half, what stands after it half as much again (_but_check).

    `but` are the texts that have the word, each once, `place` where its first one stands. With
    `slips` it is done as in the package, which changes the list that it goes through: not the word
    at hand, but the first one that has the same valence at that moment. So a word whose new valence
    is the old one of a later word is changed twice, and the later one not at all.
    """
    if not but.size:
        return feeling.valence
    which = np.flatnonzero(np.isin(feeling.text, but))
    text, old = feeling.text[which], feeling.valence[which]
    before = feeling.place[which] < place[np.searchsorted(but, text)]
    new = old * np.where(before, 0.5, 1.5)
    valence = feeling.valence.copy()
    valence[which] = new
    if not slips:
        return valence
    # Only where a new valence is also an old one of the text is there more to do.
    olds = np.sort(_mixed(text, old))
    news = _mixed(text, new)
    again = np.unique(text[olds.take(np.searchsorted(olds, news), mode="clip") == news])
    since = np.searchsorted(text, again).tolist()
    until = np.searchsorted(text, again, "right").tolist()
    for begin, end in zip(since, until, strict=True):
        new[begin:end] = _one_by_one(old[begin:end].tolist(), before[begin:end].tolist())
    valence[which] = new
    return valence


def _mixed(text: Places, valence: Valence) -> NDArray[np.uint64]:
    """One number for a text and a valence; where two get the same by chance, nothing is lost."""
    return valence.view(np.uint64) * _ODD + text.astype(np.uint64)


_ODD = np.uint64(0x9E3779B97F4A7C15)


def _one_by_one(valence: list[float], before: list[bool]) -> list[float]:
    """The package's loop over the words of one text, in n log n where list.index takes n²."""
    asked = set(valence)
    passed: dict[float, list[int]] = {}  # the places gone through, by the valence they have now
    for place, value in enumerate(valence):
        same = passed.get(value)
        first = heapq.heapreplace(same, place) if same else place
        valence[first] = value * 0.5 if before[first] else value * 1.5
        if valence[first] in asked:
            heapq.heappush(passed.setdefault(valence[first], []), first)
    return valence


def emphasis(text: Characters, which: Places) -> Valence:
    """What the punctuation of a text adds to its sum: "!" up to four, "?" from two on.

    (_punctuation_emphasis)
    """
    exclamations = np.minimum(_count(text, "!"), 4)[which]
    questions = _count(text, "?")[which]
    few = np.where(questions > 1, questions * 0.18, 0.0)
    return exclamations * 0.292 + np.where(questions > 3, 0.96, few)


def _count(text: Characters, char: str) -> Places:
    marks = np.flatnonzero(text.codes == ord(char))
    return np.diff(np.searchsorted(marks, text.ends), prepend=0)


def measure(feeling: Feeling, text: Characters) -> NDArray[np.float64]:
    """The rows of MEASURES for each text (score_valence, _sift_sentiment_scores)."""
    texts = feeling.words.size
    result = np.zeros((len(MEASURES), texts))
    result[2] = feeling.words > 0  # without a valence a text is all neutral, without words nothing
    felt = np.bincount(feeling.text, minlength=texts)
    which = np.flatnonzero(felt)
    valence = feeling.valence

    def sums(each: Valence) -> Valence:
        return np.bincount(feeling.text, each, texts)[which].astype(np.float64)

    total = sums(valence)
    # One more each, so that a word with a valence weighs more than a neutral one.
    good = sums(np.where(valence > 0, valence + 1, 0.0))
    bad = sums(np.where(valence < 0, 1 - valence, 0.0))
    neutral = (feeling.words[which] - felt[which]).astype(np.float64)
    added = emphasis(text, which)

    # numpy adds up in the same order, and Python too until 3.11; from 3.12 on its sum() carries
    # what is lost in rounding. Neither is farther than `slack` from the true sum.
    slack = felt[which] * (good + bad) * sys.float_info.epsilon
    doubtful = (felt[which] > 1) & ((np.abs(total) <= slack) | (np.abs(good - bad) <= slack))
    total += np.sign(total) * added
    more = np.sign(good - bad)
    good += np.where(more > 0, added, 0.0)
    bad += np.where(more < 0, added, 0.0)
    whole = good + bad + neutral
    shares = (total / np.sqrt(total * total + ALPHA), bad / whole, neutral / whole, good / whole)
    for row, decimals, share in zip(result, MEASURES.values(), shares, strict=True):
        scaled = share * 10.0**decimals
        nearest = np.rint(scaled)
        # Half way between two roundings (Python rounds the decimal number that a float is).
        doubtful |= np.abs(np.abs(scaled - nearest) - 0.5) <= 1e-6 + slack * 10.0**decimals
        row[which] = nearest / 10.0**decimals
    again = np.flatnonzero(doubtful)
    since = np.searchsorted(feeling.text, which[again])
    until = np.searchsorted(feeling.text, which[again], "right")
    for index, begin, end in zip(again.tolist(), since.tolist(), until.tolist(), strict=True):
        result[:, which[index]] = _plainly(
            valence[begin:end].tolist(), int(neutral[index]), float(added[index])
        )
    return result


def _plainly(valence: list[float], neutral: int, added: float) -> tuple[float, ...]:
    """The same for one text, operation by operation as the package does it."""
    total = float(sum(valence))
    if total > 0:
        total += added
    elif total < 0:
        total -= added
    good = bad = 0.0
    for value in valence:
        if value > 0:
            good += value + 1
        else:
            bad += value - 1
    if good > -bad:
        good += added
    elif good < -bad:
        bad -= added
    whole = good - bad + neutral
    compound = total / math.sqrt(total * total + ALPHA)
    shares = (compound, -bad / whole, neutral / whole, good / whole)
    return tuple(map(round, shares, MEASURES.values()))
