"""From characters to words: where a text is split, what is stripped, which number a word has.

As the package does it: split at blanks (str.split), strip ASCII punctuation from both ends unless
that leaves two characters or fewer (then it may be an emoticon), compare in lower case.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from analysis.vader.lexicon import CONTRACTION, OTHER, Lexicon
from analysis.vader.text import LOWER, UPPER, Bytes, Characters, Places

Numbers = NDArray[np.int16]
Flags = NDArray[np.bool_]
Keys = NDArray[np.int64]
Letters = NDArray[np.uint64]  # eight characters at once


@dataclass(frozen=True)
class Words:
    """The words of all texts: their numbers, and whether each is in capitals (str.isupper).

    The words of text i are those from `begin[i]` to before `end[i]`.
    """

    number: Numbers
    shouted: Flags
    begin: Places
    end: Places


# What a byte is: flags, so that those of a word's bytes can be joined.
_BLANK, _PUNCTUATION, _UPPER, _LOWER = 1, 2, 4, 8


def _kind(code: int) -> int:
    if code in (UPPER, LOWER):
        return _UPPER if code == UPPER else _LOWER
    char = chr(code) if code < UPPER else ""
    return (
        _BLANK * char.isspace()
        | _PUNCTUATION * (char != "" and char in string.punctuation)
        | _UPPER * char.isupper()
        | _LOWER * char.islower()
    )


_KIND = bytes(map(_kind, range(256)))
_IS_WORD = bytes(not kind & _BLANK for kind in _KIND)
_IS_LETTER = bytes(not kind & (_BLANK | _PUNCTUATION) for kind in _KIND)


def split(text: Characters, lexicon: Lexicon) -> Words:
    """The words of the texts."""
    codes = text.codes.tobytes()
    start, stop = _edges(codes.translate(_IS_WORD))
    last = np.searchsorted(start, text.ends)
    first = np.append(0, last[:-1])
    if not start.size:
        return Words(np.empty(0, np.int16), np.empty(0, np.bool_), first, last)
    kind = np.frombuffer(codes.translate(_KIND), np.uint8)
    inner_start, inner_stop = _stripped(codes, kind, start, stop)
    number = _numbers(codes, start, inner_start, inner_stop, _vocabulary(lexicon))
    return Words(number, _in_capitals(kind, start, stop), first, last)


def _edges(inside: bytes) -> tuple[Places, Places]:
    """Where runs of ones start and stop. A blank is first and last, so none touches an end."""
    flags = np.frombuffer(inside, np.bool_)
    edges = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    return edges[0::2], edges[1::2]


@cache
def _phrases(lexicon: Lexicon) -> tuple[Flags, dict[int, tuple[Keys, Numbers]]]:
    """Which words begin an entry of several words; by length, those entries' keys and numbers."""
    first = np.zeros(len(lexicon.words), np.bool_)
    by_length: dict[int, dict[int, int]] = {}
    for number, word in enumerate(lexicon.words):
        if " " not in word:
            continue
        parts = [lexicon.number[part] for part in word.split()]
        first[parts[0]] = True
        key = sum(part << (15 * place) for place, part in enumerate(parts))
        by_length.setdefault(len(parts), {})[key] = number
    tables = {}
    for length in sorted(by_length, reverse=True):
        if length > 4:
            raise ValueError("An entry of the lexicon has more than four words.")
        keys = sorted(by_length[length])
        numbers = [by_length[length][key] for key in keys]
        tables[length] = (np.array(keys, np.int64), np.array(numbers, np.int16))
    return first, tables


def joined(found: Words, lexicon: Lexicon) -> Words:
    """The first word of each phrase that the lexicon has as one stands for all of it, and the
    others for nothing. The longest phrase goes first, then the earliest. It is in capitals if all
    of its words are: "C' est top" begins a sentence."""
    begins, tables = _phrases(lexicon)
    if not tables:
        return found
    number, shouted = found.number.copy(), found.shouted.copy()
    for length, (keys, numbers) in tables.items():
        start = np.flatnonzero(begins[number])
        start = start[start + length <= found.end[np.searchsorted(found.end, start, "right")]]
        key = np.zeros(start.size, np.int64)
        for place in range(length):
            key += number[start + place].astype(np.int64) << (15 * place)
        where = np.minimum(np.searchsorted(keys, key), keys.size - 1)
        right = keys[where] == key
        start, which = start[right], numbers[where[right]]
        apart = np.diff(start, prepend=-length) >= length
        start, which = start[apart], which[apart]
        for place in range(1, length):
            number[start + place] = OTHER
            shouted[start] &= found.shouted[start + place]
        number[start] = which
    return replace(found, number=number, shouted=shouted)


def _in_capitals(kind: Bytes, start: Places, stop: Places) -> Flags:
    """Whether a word has an upper-case letter and no other (str.isupper)."""
    shouted = np.zeros(start.size, np.bool_)
    which = np.flatnonzero((kind[start] & _LOWER) == 0)  # most words are decided by their first
    if which.size:
        spans = np.column_stack((start[which], stop[which])).ravel()
        joined = np.bitwise_or.reduceat(kind, spans)[::2]
        shouted[which] = joined & (_UPPER | _LOWER) == _UPPER
    return shouted


def _stripped(codes: bytes, kind: Bytes, start: Places, stop: Places) -> tuple[Places, Places]:
    """Where each word starts and stops without the punctuation around it."""
    which = np.flatnonzero((kind[start] | kind[stop - 1]) & _PUNCTUATION)
    since, until = _edges(codes.translate(_IS_LETTER))
    inner_start = np.append(since, len(codes))[np.searchsorted(since, start[which])]
    inner_stop = np.append(0, until)[np.searchsorted(until, stop[which], "right")]
    long = inner_stop - inner_start > 2  # less than nothing where a word has no letter
    start, stop = start.copy(), stop.copy()
    start[which[long]] = inner_start[long]
    stop[which[long]] = inner_stop[long]
    return start, stop


# A word is looked up by its first and its last eight characters, each read as one number of 64 bits
# (of a shorter word both are all of it), hashed to a place by multiplication. Where several words
# have the same place, the second one stands in a second table, and so on.
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_BITS = 17
_MASK = np.array([2 ** (8 * size) - 1 for size in range(9)], np.uint64)
_LONGEST = 24  # what three times eight characters can tell apart; the longest word has 19
_MARGIN = bytes(_LONGEST)  # the last word of all may be read beyond its end


@dataclass(frozen=True)
class _Spelling:
    """How words are spelt, eight characters in a number; with their length it is all of it."""

    first: Letters
    last: Letters
    length: Places

    def place(self) -> Places:
        mixed: Letters = self.first * _MULTIPLIERS[0] + self.last * _MULTIPLIERS[1]
        return (mixed >> np.uint64(64 - _BITS)).astype(np.intp)


def _eights(lowered: bytes) -> Letters:
    """The eight characters from each place on, the first one in the lowest bits."""
    return np.ndarray((len(lowered) - 7,), "<u8", lowered, strides=(1,))


def _spelling(eights: Letters, start: Places, length: Places) -> _Spelling:
    first = eights[start] & _MASK.take(length, mode="clip")
    last = first.copy()
    long = np.flatnonzero(length > 8)
    last[long] = eights[start[long] + length[long] - 8]
    return _Spelling(first, last, length)


def _middle(eights: Letters, start: Places, length: Places) -> Letters:
    """What lies between the first and the last eight characters (up to sixteen: nothing new)."""
    return eights[start + 8] & _MASK.take(length - 8, mode="clip")


@dataclass(frozen=True)
class _Vocabulary:
    """The words of a language as they are looked up: `tables` have a number by place, or 0."""

    spelt: _Spelling
    middle: Letters
    tables: list[Numbers]


@cache
def _vocabulary(lexicon: Lexicon) -> _Vocabulary:
    # What stands for several words is found by their numbers, never by its spelling.
    words = ["" if " " in word else word for word in lexicon.words]
    length = np.array([len(word) for word in words])
    if length.max() > _LONGEST:
        raise ValueError(f"The lexicon has a word of more than {_LONGEST} characters.")
    eights = _eights("".join(words).encode("ascii") + _MARGIN)
    start = np.cumsum(length) - length
    spelt = _spelling(eights, start, length)
    place = spelt.place()
    tables = [np.zeros(1 << _BITS, np.int16)]
    for number in lexicon.number.values():
        if not words[number]:
            continue
        free = next((table for table in tables if not table[place[number]]), None)
        if free is None:
            free = np.zeros(1 << _BITS, np.int16)
            tables.append(free)
        free[place[number]] = number
    return _Vocabulary(spelt, _middle(eights, start, length), tables)


def _numbers(
    codes: bytes, start: Places, inner_start: Places, inner_stop: Places, known: _Vocabulary
) -> Numbers:
    """The number of each word, by its spelling in lower case."""
    letters = codes.lower() + _MARGIN
    eights = _eights(letters)
    number = np.full(start.size, OTHER, np.int16)
    spelt = _spelling(eights, inner_start, inner_stop - inner_start)
    place = spelt.place()
    which = np.arange(start.size)  # the words that may yet be found
    for table in known.tables:
        guess = table.take(place if which.size == place.size else place.take(which))
        some = np.flatnonzero(guess)  # half of all words are not in the vocabulary
        which, guess = which.take(some), guess.take(some).astype(np.intp)
        length = spelt.length.take(which)
        right = known.spelt.length.take(guess) == length
        right &= known.spelt.first.take(guess) == spelt.first.take(which)
        right &= known.spelt.last.take(guess) == spelt.last.take(which)
        long = np.flatnonzero(right & (length > 16))
        middle = _middle(eights, inner_start.take(which.take(long)), length.take(long))
        right[long] = known.middle.take(guess.take(long)) == middle
        number[which[right]] = guess[right]
        which = which[~right]
    # Any word with "n't" in it is a negation; one that the lexicon knows keeps its number.
    lowered = np.frombuffer(letters, np.uint8)
    apostrophe = np.flatnonzero(lowered == ord("'"))
    around = (lowered[apostrophe - 1] == ord("n")) & (lowered[apostrophe + 1] == ord("t"))
    contraction = np.searchsorted(start, apostrophe[around], "right") - 1
    number[contraction[number[contraction] == OTHER]] = CONTRACTION
    return number
