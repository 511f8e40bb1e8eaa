"""From texts to one byte a character, without losing anything that VADER can tell apart.

ASCII stays as it is. Of any other character only its class counts: a blank becomes a blank, an
emoji the package knows what its language has for it (in English its description), the rest one of
three bytes (`UPPER`, `LOWER`, `UNCASED`). The classes are the running interpreter's own, since the
package asks str.split(), str.isupper() and str.lower().
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from analysis.vader.english import EMOJI
from analysis.vader.lexicon import Lexicon

Bytes = NDArray[np.uint8]
Places = NDArray[np.intp]

UPPER, LOWER, UNCASED = 128, 129, 130
_UNKNOWN, _EMOJI = 0, 255
_CODES = 0x110000  # code points of Unicode


@dataclass(frozen=True)
class Characters:
    """Texts one after the other: a blank first, then each text and a blank after it.

    `ends` holds where the blank after each text stands.
    """

    codes: Bytes
    ends: Places


def characters(texts: list[str], lexicon: Lexicon) -> Characters:
    """The texts with their emoji replaced, one byte a character."""
    points = np.frombuffer(f" {' '.join(texts)} ".encode("utf-32-le"), np.uint32)
    ends = np.cumsum(np.fromiter(map(len, texts), np.intp, len(texts)) + 1)
    codes = points.astype(np.uint8)
    other = np.flatnonzero(points > 127)
    if other.size:
        codes[other] = _classes(points[other])
        emoji = other[codes[other] == _EMOJI]
        if emoji.size:
            return _described(codes, ends, emoji, _ORDINAL[points[emoji]], _descriptions(lexicon))
    return Characters(codes, ends)


# The class of a character is asked for the first time it occurs: a table of all 1.1 million would
# cost a second at every start.
_CLASS = np.zeros(_CODES, np.uint8)


def _classes(points: NDArray[np.uint32]) -> Bytes:
    classes = _CLASS[points]
    new = np.unique(points[classes == _UNKNOWN])
    if new.size:
        _CLASS[new] = [class_of(chr(point)) for point in new.tolist()]
        classes = _CLASS[points]
    return classes


def class_of(char: str) -> int:
    """The byte that stands for a character that is not ASCII."""
    if char in EMOJI:
        return _EMOJI
    if char.isspace():
        return ord(" ")
    if char.lower().isascii():  # the Kelvin sign: lower-cased it is a plain k, and "Kill" a word
        return ord(char.lower().upper())
    if char.isupper():
        return UPPER
    return LOWER if char.islower() or char.istitle() else UNCASED


def _description(text: str) -> bytes:
    codes = (ord(char) if char.isascii() else class_of(char) for char in text)
    return bytes([ord(" "), *codes])


_ORDINAL = np.zeros(_CODES, np.int16)
_ORDINAL[[ord(char) for char in EMOJI]] = np.arange(len(EMOJI))


@dataclass(frozen=True)
class _Descriptions:
    """What stands for each emoji, in one row, in the order of EMOJI."""

    letters: Bytes
    start: Places
    length: Places


# Each has a blank before it. The package leaves that out where there is one already, and puts none
# behind, so "😀good" is "grinning facegood": so it is here.
@cache
def _descriptions(lexicon: Lexicon) -> _Descriptions:
    described = [_description(lexicon.emoji[char]) for char in EMOJI]
    length = np.array([len(text) for text in described])
    letters = np.frombuffer(b"".join(described), np.uint8)
    return _Descriptions(letters, np.cumsum(length) - length, length)


def _described(
    codes: Bytes,
    ends: Places,
    emoji: Places,
    ordinal: NDArray[np.int16],
    descriptions: _Descriptions,
) -> Characters:
    """Every emoji replaced by its description, and the ends moved accordingly."""
    length = descriptions.length[ordinal]
    longer = np.cumsum(length - 1)  # by how much the text has grown after each emoji
    replaced = np.empty(codes.size + longer[-1], np.uint8)
    others = np.ones(replaced.size, np.bool_)
    letters = _runs(emoji + longer - (length - 1), length)
    others[letters] = False
    replaced[letters] = descriptions.letters[_runs(descriptions.start[ordinal], length)]
    replaced[others] = np.delete(codes, emoji)
    return Characters(replaced, ends + np.append(0, longer)[np.searchsorted(emoji, ends)])


def _runs(start: Places, length: Places) -> Places:
    """start[0], start[0] + 1, ... (length[0] numbers), then the same of start[1], and so on."""
    before = np.cumsum(length) - length
    numbers: Places = np.arange(length.sum()) + np.repeat(start - before, length)
    return numbers
