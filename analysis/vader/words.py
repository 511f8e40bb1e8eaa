"""From characters to words: where a text is split, what is stripped, which number a word has.

As the package does it: split at blanks (str.split), strip ASCII punctuation from both ends unless
that leaves two characters or fewer (then it may be an emoticon), compare in lower case.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analysis.vader.lexicon import CONTRACTION, NUMBER, OTHER, WORDS
from analysis.vader.text import LOWER, UPPER, Bytes, Characters, Places

Numbers = NDArray[np.int16]
Flags = NDArray[np.bool_]
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
_IS_BLANK = bytes(kind & _BLANK for kind in _KIND)
_IS_LETTER = bytes(not kind & (_BLANK | _PUNCTUATION) for kind in _KIND)


def split(text: Characters) -> Words:
    """The words of the texts."""
    codes = text.codes.tobytes()
    blank = np.frombuffer(codes.translate(_IS_BLANK), np.bool_)
    edges = np.flatnonzero(blank[1:] != blank[:-1]) + 1  # a blank is first and last
    start, stop = edges[0::2], edges[1::2]
    last = np.searchsorted(start, text.ends)
    first = np.append(0, last[:-1])
    if not start.size:
        return Words(np.empty(0, np.int16), np.empty(0, np.bool_), first, last)
    kind = np.frombuffer(codes.translate(_KIND), np.uint8)
    number = _numbers(codes, start, *_stripped(codes, kind, start, stop))
    return Words(number, _in_capitals(kind, start, stop), first, last)


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
    at_edge = (kind[start] | kind[stop - 1]) & _PUNCTUATION
    which = np.flatnonzero(at_edge)
    letters = np.flatnonzero(np.frombuffer(codes.translate(_IS_LETTER), np.bool_))
    since = np.searchsorted(letters, start[which])
    until = np.searchsorted(letters, stop[which])
    some = until > since
    which, since, until = which[some], since[some], until[some]
    inner_start, inner_stop = letters[since], letters[until - 1] + 1
    long = inner_stop - inner_start > 2
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


def _eight(lowered: Bytes, start: Places, length: Places) -> Letters:
    """Up to eight characters from each start on, the first one in the lowest bits."""
    return sliding_window_view(lowered, 8)[start].view("<u8").ravel() & _MASK[length]


def _spelling(lowered: Bytes, start: Places, length: Places) -> _Spelling:
    first = _eight(lowered, start, np.minimum(length, 8))
    last = first.copy()
    long = np.flatnonzero(length > 8)
    last[long] = _eight(lowered, start[long] + length[long] - 8, np.full(long.size, 8))
    return _Spelling(first, last, length)


def _middle(lowered: Bytes, start: Places, length: Places) -> Letters:
    """What lies between the first and the last eight characters (up to sixteen: nothing new)."""
    return _eight(lowered, start + 8, np.clip(length - 8, 0, 8))


def _spell_vocabulary() -> tuple[_Spelling, Letters]:
    length = np.array([len(word) for word in WORDS])
    if length.max() > _LONGEST:
        raise ValueError(f"The lexicon has a word of more than {_LONGEST} characters.")
    lowered = np.frombuffer("".join(WORDS).encode("ascii") + _MARGIN, np.uint8)
    start = np.cumsum(length) - length
    return _spelling(lowered, start, length), _middle(lowered, start, length)


_SPELT, _SPELT_MIDDLE = _spell_vocabulary()


def _tables() -> list[Numbers]:
    """The words' numbers by place; 0 where there is none."""
    tables: list[Numbers] = []
    place = _SPELT.place()
    for number in NUMBER.values():
        free = next((table for table in tables if not table[place[number]]), None)
        if free is None:
            free = np.zeros(1 << _BITS, np.int16)
            tables.append(free)
        free[place[number]] = number
    return tables


_TABLES = _tables()


def _numbers(codes: bytes, start: Places, inner_start: Places, inner_stop: Places) -> Numbers:
    """The number of each word, by its spelling in lower case."""
    letters = codes.lower() + _MARGIN
    lowered = np.frombuffer(letters, np.uint8)
    number = np.full(start.size, OTHER, np.int16)
    spelt = _spelling(lowered, inner_start, inner_stop - inner_start)
    place = spelt.place()
    which = np.flatnonzero(_TABLES[0][place])  # most words are not in the vocabulary
    middle = _middle(lowered, inner_start[which], spelt.length[which])
    for table in _TABLES:
        guess = table[place[which]]
        right = (
            (_SPELT.length[guess] == spelt.length[which])
            & (_SPELT.first[guess] == spelt.first[which])
            & (_SPELT.last[guess] == spelt.last[which])
            & (_SPELT_MIDDLE[guess] == middle)
        )
        number[which[right]] = guess[right]
    # Any word with "n't" in it is a negation; one that the lexicon knows keeps its number.
    apostrophe = np.flatnonzero(lowered == ord("'"))
    around = (lowered[apostrophe - 1] == ord("n")) & (lowered[apostrophe + 1] == ord("t"))
    contraction = np.searchsorted(start, apostrophe[around], "right") - 1
    number[contraction[number[contraction] == OTHER]] = CONTRACTION
    return number
