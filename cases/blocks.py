"""The prefilter for whole blocks of JSON lines: which of a megabyte of records are worth parsing.

Says what `Query.passes` says of one record, only sharper and much faster: numpy makes the block
plain (lower-case, words parted by blanks), and polars looks for all words in all lines at once. It
never drops a line that a query takes.
"""

from __future__ import annotations

import html
import html.entities
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, cached_property, lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from cases.clauses import EDGE, Atom, Clause, clauses
from cases.folding import fold
from cases.query import Query

Bytes: TypeAlias = npt.NDArray[np.uint8]
Mask: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.int64]

TOGETHER = 32  # patterns in one search: beyond some 60 literals regexes lose their vector search

BLANK, QUOTE, BACKSLASH, AMPERSAND, NEWLINE = 0x20, 0x22, 0x5C, 0x26, 0x0A
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)")
_ENTITY = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")
# Names that count without a semicolon (&nbsp but not &crop, as in the addresses of pictures).
BARE = sorted(name for name in html.entities.html5 if not name.endswith(";"))
ENTITY = rf"&(?:#|{'|'.join(BARE)}|[A-Za-z][A-Za-z0-9]{{1,31}};)"
_ANY_ENTITY = re.compile(ENTITY.encode())
_BEYOND = re.compile(r"[^\x00-\x7f]+")
# A character outside ASCII between two letters: parts or stays apart; vanishes; shows ASCII.
APART, VANISHES, ASCII = 0, 1, 2
TABLE = 0x20000  # beyond there are ideographs, and from the next bound tags and selectors
BEYOND_TABLE = 0xE0000


class Block:
    """Whole lines of JSON, each ended by a newline, and what they are when made plain.

    `tokens` has a row a line. It lies in memory that the next block takes: use one block at a time.
    """

    def __init__(self, raw: bytes | bytearray | memoryview, room: Room | None = None) -> None:
        self.raw: Bytes = np.frombuffer(raw, np.uint8)
        self.room = room or Room()
        self.ends: Places = np.flatnonzero(self.raw == NEWLINE)
        self.starts: Places = np.concatenate([[0], self.ends[:-1] + 1])[: len(self.ends)]
        self.plain, self._escaped = _plain(self.raw, self.room)
        self.tokens = _lines(self.plain, self.ends)

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def disguised(self) -> Places:
        """Where an escape \\u00.. writes a character of ASCII that needs none, even in a key."""
        last = len(self.raw) - 1
        one, two, three = (self.raw[np.minimum(self._escaped + n, last)] for n in (2, 3, 4))
        found: Places = self._escaped[(one == ord("0")) & (two == ord("0")) & (three < ord("8"))]
        return found

    def line(self, number: int) -> bytes:
        """A line, counted from 0, without its newline."""
        return self.raw[self.starts[number] : self.ends[number]].tobytes()

    def of(self, places: Places) -> Places:
        """The lines in which these bytes of the block stand, each once."""
        there = np.zeros(len(self), np.bool_)
        there[np.searchsorted(self.ends, places)] = True
        return np.flatnonzero(there)

    def doubtful(self) -> tuple[Places, pl.Series]:
        """Lines in which letters of ASCII hide, behind \\u, accents, odd letters or entities, and
        what they are with these letters shown. A line can be there twice.

        Quotes, dashes, emoji and the letters of other alphabets hide none.
        """
        coded = self.of(np.concatenate([self._escaped, _entities(self.raw)]))
        rows = [
            *self._patched(*_hiding(self.raw)),
            *zip(coded, self._spelt_out(coded), strict=True),
        ]
        lines = np.array([line for line, _ in rows], np.int64)
        return lines, pl.Series("tokens", [text for _, text in rows], dtype=pl.String)

    def _patched(self, places: Places, sizes: Places) -> Iterator[tuple[int, str]]:
        """Lines with the characters at these places replaced by what they show."""
        lines = np.searchsorted(self.ends, places)
        parts: list[bytes] = []
        line = at = -1
        for here, place, size in zip(lines.tolist(), places.tolist(), sizes.tolist(), strict=True):
            if here != line:
                if parts:
                    yield line, self._with(parts, at, line)
                line, at, parts = here, int(self.starts[here]), []
            parts.append(self.plain[at:place].tobytes())
            parts.append(_run(self.raw[place : place + size].tobytes()))
            at = place + size
        if parts:
            yield line, self._with(parts, at, line)

    def _with(self, parts: list[bytes], at: int, line: int) -> str:
        rest = self.plain[at : self.ends[line] + 1].tobytes()
        return b"".join([*parts, rest]).decode("ascii")

    def _spelt_out(self, lines: Places) -> list[str]:
        """These lines with escapes, entities and other letters replaced by what they show."""
        if not len(lines):
            return []
        text = b"".join(self.line(n) + b"\n" for n in lines).decode("utf-8", "replace")
        if "\\u" in text:
            text = _ESCAPE.sub(_unescaped, text)
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if "&" in text:
            text = _ENTITY.sub(_shown, text)
        shown = Block(_BEYOND.sub(_folded, text).encode("ascii", "replace"))
        return shown.tokens.to_list()


class Room:
    """Memory for one block at a time: fresh memory costs more than all the work done in it."""

    def __init__(self) -> None:
        self._arrays = [np.empty(0, np.uint8) for _ in range(4)]

    def arrays(self, size: int) -> list[Bytes]:
        if len(self._arrays[0]) < size:
            self._arrays = [np.empty(size * 5 // 4, np.uint8) for _ in range(4)]
        return [array[:size] for array in self._arrays]


class Sieve:
    """Which lines of a block some of these queries may take."""

    def __init__(self, queries: Iterable[Query]) -> None:
        self._queries = [clauses(query.node) for query in queries]
        self.open = not all(self._queries)  # one of them may take anything: nothing can be dropped
        self.rarest = frozenset[Atom]().union(*(parts[0] for parts in self._queries if parts))
        self._searches = _searches(self.rarest)
        patterns = [[_pattern(clause) for clause in parts] for parts in self._queries]
        self._each = list(dict.fromkeys(pattern for parts in patterns for pattern in parts))
        self._numbers = [[self._each.index(pattern) for pattern in parts] for parts in patterns]

    def passes(self, block: Block) -> Mask:
        """One truth value a line: False where no query takes the record."""
        if self.open:
            return np.ones(len(block), np.bool_)
        lines, shown = block.doubtful()
        found = self._found(pl.concat([block.tokens, shown], rechunk=False))
        passing = found[: len(block)].copy()
        passing[lines[found[len(block) :]]] = True
        return passing

    def _found(self, tokens: pl.Series) -> Mask:
        frame = tokens.to_frame()
        some = frame.select(
            pl.any_horizontal(pl.col("tokens").str.contains(search) for search in self._searches)
        ).to_series()
        passing = np.array(some.to_numpy(), np.bool_)
        if passing.any():
            passing[passing] = self._all_of_one(frame.filter(some))
        return passing

    def _all_of_one(self, frame: pl.DataFrame) -> Mask:
        """Lines that hold one pattern of every clause of some query."""
        held = frame.select(
            pl.col("tokens").str.contains(pattern).alias(str(number))
            for number, pattern in enumerate(self._each)
        ).to_numpy()
        passing = np.zeros(frame.height, np.bool_)
        for numbers in self._numbers:
            passing |= held[:, numbers].all(axis=1)
        return passing


def _searches(atoms: Clause) -> list[str]:
    kinds = sorted({atom.kind for atom in atoms})
    # A long word is seldom the end of another one, and a search from its first letter is faster.
    groups = [
        sorted({atom.pattern.removeprefix(begins) for atom in atoms if atom.kind == kind})
        for kind, begins in ((kind, EDGE if kind == "long" else "") for kind in kinds)
    ]
    return [
        "|".join(group[n : n + TOGETHER])
        for group in groups
        for n in range(0, len(group), TOGETHER)
    ]


def _pattern(clause: Clause) -> str:
    return "|".join(sorted(atom.pattern for atom in clause))


def _plain(raw: Bytes, room: Room) -> tuple[Bytes, Places]:
    """The block made plain, and where \\u escapes stand.

    Letters in lower case, digits and unescaped `"` stay, `_` becomes UNDERSCORE, all else a blank,
    the letters of escapes such as \\n too. (Without digits an id such as a3 would be the word a.)
    """
    plain, other, kept, found = room.arrays(len(raw))
    keeps, finds = kept.view(np.bool_), found.view(np.bool_)
    np.bitwise_or(raw, 0x20, out=plain)  # what becomes a letter by this was one; `_` becomes 0x7f
    np.subtract(plain, ord("a"), out=other)
    np.less(other, 26, out=keeps)
    np.subtract(raw, ord("0"), out=other)
    np.less(other, 10, out=finds)
    np.bitwise_or(kept, found, out=kept)
    for sign in (QUOTE, ord("_")):
        np.equal(raw, sign, out=finds)
        np.bitwise_or(kept, found, out=kept)
    np.multiply(plain, kept, out=plain)
    np.subtract(1, kept, out=kept)
    np.left_shift(kept, 5, out=kept)
    np.bitwise_or(plain, kept, out=plain)
    np.equal(raw, BACKSLASH, out=finds)
    escapes = _escaping(np.flatnonzero(finds))
    unicode = raw[np.minimum(escapes + 1, len(raw) - 1)] == ord("u")
    plain[escapes[~unicode] + 1] = BLANK
    return plain, escapes[unicode]


def _escaping(backslashes: Places) -> Places:
    """Those backslashes that are not escaped themselves: every other one of a run."""
    if not len(backslashes):
        return backslashes
    order = np.arange(len(backslashes))
    begins = np.concatenate([[True], np.diff(backslashes) != 1])
    run = np.maximum.accumulate(np.where(begins, order, 0))
    escaping: Places = backslashes[(order - run) % 2 == 0]
    return escaping


def _lines(plain: Bytes, ends: Places) -> pl.Series:
    """A row a line, without copying."""
    offsets = np.zeros(len(ends) + 1, np.int64)
    offsets[1:] = ends + 1
    rows = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(plain))
    return pl.Series("tokens", pl.from_arrow(rows))


def _hiding(raw: Bytes) -> tuple[Places, Places]:
    """Where characters begin that show letters of ASCII, or vanish between two; their sizes."""
    leads = np.flatnonzero(raw >= 0xC0)
    if not len(leads):
        return leads, leads
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
    size = np.select([zero < 0xE0, zero < 0xF0], [2, 3], 4)
    kind = kinds()[np.minimum(code, TABLE - 1)]
    kind[code >= TABLE] = APART
    kind[code >= BEYOND_TABLE] = ASCII
    after = raw[np.minimum(leads + size, last)]
    joins = _word_bytes()[after]
    hiding = (kind == ASCII) | ((kind == VANISHES) & joins)
    return leads[hiding], size[hiding]


def _entities(raw: Bytes) -> Places:
    """Where entities stand other than those of &, < and >, which show no letters."""
    found = np.flatnonzero(raw == AMPERSAND)
    if not len(found):
        return found
    last = len(raw) - 1
    one, two, three, four = (raw[np.minimum(found + n, last)] for n in range(1, 5))
    plain = (one == ord("a")) & (two == ord("m")) & (three == ord("p")) & (four == ord(";"))
    plain |= ((one == ord("l")) | (one == ord("g"))) & (two == ord("t")) & (three == ord(";"))
    text = raw.data
    names = [at for at in _closed(raw, found[~plain]) if _ANY_ENTITY.match(text, at) is not None]
    return np.array(names, np.int64)


def _closed(raw: Bytes, found: Places) -> list[int]:
    """Of these signs & the ones before `#`, before a name that needs no semicolon, or not far
    before a semicolon: of the many in the addresses of pictures none."""
    last = len(raw) - 1
    ends = np.flatnonzero(raw == ord(";"))
    one, two = (raw[np.minimum(found + n, last)].astype(np.int64) for n in (1, 2))
    near = (one == ord("#")) | _begins_bare()[one << 8 | two]
    if len(ends):
        end = ends[np.minimum(np.searchsorted(ends, found), len(ends) - 1)]
        near |= (end > found) & (end - found <= 33)
    closed: list[int] = found[near].tolist()
    return closed


@cache
def _begins_bare() -> Mask:
    """Which two bytes, as one number, begin a name that needs no semicolon."""
    table = np.zeros(1 << 16, np.bool_)
    table[[ord(name[0]) << 8 | ord(name[1]) for name in BARE]] = True
    return table


def _unescaped(found: re.Match[str]) -> str:
    if found[1] is None:
        return "  "
    char = chr(int(found[1], 16))
    return " " if char in '"\\' or char < " " else char


def _shown(found: re.Match[str]) -> str:
    text = html.unescape(found[0])
    if text == found[0]:
        return text
    return "".join(c if c.isalnum() or c == "_" or c > "\x7f" else " " for c in text)


def _folded(found: re.Match[str]) -> str:
    return _run(found[0].encode()).decode()


@lru_cache(maxsize=1 << 16)
def _run(run: bytes) -> bytes:
    """What characters outside ASCII show of it, other letters as blanks."""
    shown = _spelt()
    text = "".join(shown.get(char) or _unlisted(char) for char in run.decode("utf-8", "replace"))
    return text.encode("ascii", "replace")


def _unlisted(char: str) -> str:
    return "" if _kind_of(char) == VANISHES else " "


def _kind_of(char: str) -> int:
    code = ord(char)
    if code < TABLE:
        return int(kinds()[code])
    return VANISHES if unicodedata.category(char)[0] == "M" else APART


@cache
def _word_bytes() -> Mask:
    """Bytes after which a vanished mark would have stood inside a word, or may have."""
    joins = np.zeros(256, np.bool_)
    joins[0x80:] = True
    joins[[*b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"]] = True
    return joins


@cache
def _characters() -> pl.DataFrame:
    """Every character of the table outside ASCII, and what folding makes of it between letters."""
    codes = [code for code in range(0x80, TABLE) if not 0xD800 <= code < 0xE000]
    chars = [chr(code) for code in codes]
    between = pl.DataFrame({"text": [f"a{char}b" for char in chars]}).select(fold(pl.col("text")))
    return pl.DataFrame({"code": codes, "char": chars, "folded": between["text"]})


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
def _spelt() -> dict[str, str]:
    """What those characters show that show ASCII; other letters beside it as blanks."""
    found = _characters().with_columns(pl.col("folded").str.slice(2).str.head(-2).alias("shown"))
    found = found.filter(pl.col("shown").str.contains("[a-z0-9_]"))
    blank = found["shown"].str.replace_all(r"[^\x00-\x7f]", " ")
    return dict(zip(found["char"], blank, strict=True))
