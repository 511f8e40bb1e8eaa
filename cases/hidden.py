"""Where letters hide in raw JSON, and the same line with these letters shown in plain ASCII.

Folding makes `creee` of `créée`, and words of mathematical letters, of \\u escapes and of HTML
entities. A search of bytes sees none of that. Quotes, dashes, emoji and the letters of other
alphabets hide nothing.
"""

from __future__ import annotations

import html
import html.entities
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from cases.folding import LETTERS, fold

Bytes: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.int64]

# Names that count without a semicolon (&nbsp but not &crop, as in the addresses of pictures).
BARE = sorted(name for name in html.entities.html5 if not name.endswith(";"))
# Patterns for places where letters may be written as something else. &amp; &lt; and &gt; show none
# by themselves. Names are not checked: the parameters of addresses have no semicolon.
CODED = (
    r"\\u",
    rf"&(?:#|{'|'.join(name for name in BARE if name.lower() not in ('amp', 'lt', 'gt'))})",
    r"&(?:amp|AMP|lt|LT|gt|GT)[^;]",
    r'&(?:[^aglAGL]|[aA][^mM]|[aA][mM][^pP]|[glGL][^tT])[^&=; "]*;',
)
ESCAPED_ASCII = re.compile(rb"\\u00[0-7]")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)")
_ENTITY = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
_BEYOND = re.compile(r"[^\x00-\x7f]+")
# A character outside ASCII between two letters: parts or stays apart; vanishes; shows ASCII.
APART, VANISHES, ASCII = 0, 1, 2
TABLE = 0x20000  # beyond there are ideographs, and from the next bound tags and selectors
BEYOND_TABLE = 0xE0000
# What a byte is for `Neighbours`: 0 no part of a word, 1 to 37 a letter, digit or underscore.
SIGNS = b"abcdefghijklmnopqrstuvwxyz0123456789_"
OTHER = len(SIGNS) + 1  # a byte of a character outside ASCII: may be anything


class Neighbours:
    """Which hidden letters can belong to one of these words, by the letters on either side.

    Of the accents in a French text hardly one stands between letters as in `soundcloud`.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._three = np.zeros((OTHER + 1, OTHER + 1, OTHER + 1), np.bool_)  # before, letter, after
        self._two = np.zeros((OTHER + 1, OTHER + 1), np.bool_)  # on either side of what vanishes
        self._three[OTHER] = self._three[:, :, OTHER] = self._three[:, 0] = True
        self._two[1:, OTHER] = True
        for word in words:
            codes = [SIGNS.index(byte) + 1 for byte in word.encode()]
            for n, code in enumerate(codes):
                before = codes[n - 1] if n else slice(None)
                after = codes[n + 1] if n + 1 < len(codes) else slice(None)
                self._three[before, code, after] = True
                self._two[before, code] = True
            self._two[codes[-1], :] = True
        # Only between letters does it matter that something vanishes, and a chain begins with one.
        self._two[0] = self._two[OTHER] = self._two[:, 0] = False

    def matter(self, raw: Bytes, hiding: Hiding) -> Mask:
        """Of these characters those whose letters may be letters of the words."""
        last = len(raw) - 1
        leads, sizes, shows = hiding.leads, hiding.sizes, hiding.shows
        before = _classes()[raw[np.maximum(leads - 1, 0)]]
        after = _classes()[raw[np.minimum(leads + sizes, last)]]
        beside = leads[1:] == leads[:-1] + sizes[:-1]
        before[1:][beside], after[:-1][beside] = shows[:-1][beside], shows[1:][beside]
        matter: Mask = np.where(
            hiding.kinds == ASCII,
            self._three[before, np.where(shows == OTHER, 0, shows), after],
            (hiding.kinds == VANISHES) & self._two[before, after],
        )
        return matter


@dataclass(frozen=True)
class Hiding:
    """Characters outside ASCII in a block: their first bytes, sizes and kinds, and the one letter
    that each shows, as `Neighbours` counts them (0: none; OTHER: several, or it vanishes)."""

    leads: Places
    sizes: Places
    kinds: Bytes
    shows: Bytes

    @classmethod
    def at(cls, raw: Bytes, leads: Places) -> Hiding:
        code, sizes = _decoded(raw, leads)
        kind = kinds()[np.minimum(code, TABLE - 1)]
        kind[code >= TABLE] = APART
        kind[code >= BEYOND_TABLE] = ASCII
        letter = _letters()[np.minimum(code, TABLE - 1)]
        several = ((kind == ASCII) & ((letter == 0) | (code >= TABLE))) | (kind == VANISHES)
        return cls(leads, sizes, kind, np.where(several, OTHER, letter))

    def among(self, some: Mask) -> Hiding:
        return Hiding(self.leads[some], self.sizes[some], self.kinds[some], self.shows[some])


def shown(line: bytes, *, coded: bool) -> bytes:
    """A line with hidden letters replaced by what they show, and other alphabets by blanks; with
    `coded`, also those that escapes and entities write."""
    text = line.decode("utf-8", "replace")
    if coded and "\\u" in text:
        text = _ESCAPE.sub(_unescaped, text)
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if coded and "&" in text:
        text = _ENTITY.sub(_entity, text)
    return _BEYOND.sub(_folded, text).encode("ascii", "replace")


def _unescaped(found: re.Match[str]) -> str:
    if found[1] is None:
        return "  "
    char = chr(int(found[1], 16))
    return " " if char in '"\\' or char < " " else char


def _entity(found: re.Match[str]) -> str:
    text = html.unescape(found[0])
    if text == found[0]:
        return text
    return "".join(c if c.isalnum() or c == "_" or c > "\x7f" else " " for c in text)


def _folded(found: re.Match[str]) -> str:
    return _run(found[0])


@lru_cache(maxsize=1 << 16)
def _run(run: str) -> str:
    """What characters outside ASCII show of it, other letters as blanks."""
    shows = _spelt()
    return "".join(shows.get(char) or _unlisted(char) for char in run)


def _unlisted(char: str) -> str:
    if ord(char) < TABLE:
        return "" if kinds()[ord(char)] == VANISHES else " "
    return "" if unicodedata.category(char)[0] == "M" else " "


def _decoded(raw: Bytes, leads: Places) -> tuple[npt.NDArray[np.int32], Places]:
    """The characters that begin at these bytes, and their sizes."""
    last = len(raw) - 1
    zero, one, two, three = (
        raw[np.minimum(leads + n, last)].astype(np.int32) & (0xFF if n == 0 else 0x3F)
        for n in range(4)
    )
    code = np.select(
        [zero < 0xE0, zero < 0xF0],
        [(zero & 0x1F) << 6 | one, (zero & 0x0F) << 12 | one << 6 | two],
        (zero & 0x07) << 18 | one << 12 | two << 6 | three,
    )
    return code, np.select([zero < 0xE0, zero < 0xF0], [2, 3], 4).astype(np.int64)


@cache
def _classes() -> Bytes:
    """What each byte is for `Neighbours`."""
    table = np.zeros(256, np.uint8)
    for number, byte in enumerate(SIGNS, start=1):
        table[byte] = table[ord(chr(byte).upper())] = number
    table[0x80:] = OTHER
    return table


@cache
def _characters() -> pl.DataFrame:
    """Every character of the table outside ASCII that may not stay what it is, and what folding
    makes of it between two letters."""
    codes = [code for code in range(0x80, TABLE) if not 0xD800 <= code < 0xE000]
    every = pl.DataFrame({"code": codes, "char": [chr(code) for code in codes]})
    char = pl.col("char")
    changes = (char.str.normalize("NFKD") != char) | char.str.contains(r"^\p{M}")
    # Folding all of them takes ten times as long.
    some = every.filter(changes | char.str.to_lowercase().is_in(list(LETTERS)))
    return some.with_columns(fold(pl.format("a{}b", char)).alias("folded"))


@cache
def kinds() -> Bytes:
    """What each character below TABLE is between two letters: APART, VANISHES or ASCII."""
    found = _characters()
    kinds = np.zeros(TABLE, np.uint8)
    codes, folded = found["code"].to_numpy(), found["folded"]
    kinds[codes[(folded == " ab ").to_numpy()]] = VANISHES
    shows = folded.str.slice(2).str.head(-2).str.contains("[a-z0-9_]").to_numpy()
    kinds[codes[shows]] = ASCII
    return kinds


@cache
def _letters() -> Bytes:
    """The one letter that a character shows, as `_classes` counts them; 0 where it shows more."""
    table = np.zeros(TABLE, np.uint8)
    for char, shows in _spelt().items():
        if len(shows) == 1:
            table[ord(char)] = SIGNS.index(shows.encode()) + 1
    return table


@cache
def _spelt() -> dict[str, str]:
    """What those characters show that show ASCII; other letters beside it as blanks."""
    found = _characters().with_columns(pl.col("folded").str.slice(2).str.head(-2).alias("shown"))
    found = found.filter(pl.col("shown").str.contains("[a-z0-9_]"))
    blank = found["shown"].str.replace_all(r"[^\x00-\x7f]", " ")
    return dict(zip(found["char"], blank, strict=True))
