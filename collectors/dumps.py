"""What of a Reddit dump has to be parsed at all: a line in a hundred or so, found in whole blocks.

Passes over what no query takes, what hangs on no matched submission and what says nothing about a
post that is kept. Whoever imports with it stores what an import without it stores; the tests hold
this against generated dumps. It parses nothing and knows no file. What a line says of being deleted
is read in deletions.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from cases.blocks import Scan, Sieve
from cases.hidden import ESCAPED_ASCII, Bytes, Mask, Places
from cases.query import fold
from collectors.deletions import MARKS, says_gone

if TYPE_CHECKING:
    from cases.case import Case
    from collectors import Known

Codes = npt.NDArray[np.uint64]

CHUNKS = 8
WIDTH = 12  # characters of an id that fit a code; Reddit is at seven
DIGITS = np.zeros(256, np.uint64)
DIGITS[[*b"0123456789abcdefghijklmnopqrstuvwxyz"]] = np.arange(1, 37)
POWERS = np.array([37**n for n in range(WIDTH)], np.uint64)
COLON, BLANK, QUOTE = b': "'
ABSENT, READ, NULL, ODD = range(4)  # what became of a field

FIELDS = {
    "title": ['"title"'],
    "link": ['"link_id"'],
    "id": ['"id"'],
    "crosspost": ['"crosspost_parent"'],
}
# Which records a reading is about. A line with a title is taken for a submission's.
Reading = Literal["posts", "comments", "both"]


class Ids:
    """A set of ids of posts, 8 bytes each, that is asked about many at a time."""

    def __init__(self) -> None:
        self._chunks: list[Codes] = []
        self._late: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._chunks or self._late)

    def add(self, codes: Iterable[int] | Codes) -> None:
        if isinstance(codes, np.ndarray):
            if len(codes):
                self._chunks.append(np.unique(codes))
        else:
            self._late.extend(codes)

    def has(self, codes: Codes) -> Mask:
        self._tidy()
        found = np.zeros(len(codes), np.bool_)
        for chunk in self._chunks:
            places = np.minimum(np.searchsorted(chunk, codes), len(chunk) - 1)
            found |= chunk[places] == codes
        return found

    def meets(self, other: Ids) -> bool:
        """Whether an id is in both."""
        self._tidy()
        return any(other.has(chunk).any() for chunk in self._chunks)

    def _tidy(self) -> None:
        if self._late:
            self._chunks.append(np.unique(np.array(self._late, np.uint64)))
            self._late = []
        if len(self._chunks) > CHUNKS:
            self._chunks = [np.unique(np.concatenate(self._chunks))]


def codes(uris: pl.Series) -> Codes:
    """A number for each of these uris (reddit:t3_abc), the same for every post of one id."""
    ids = uris.str.replace("^reddit:t[13]_", "").str.head(WIDTH).to_list()
    return np.array([code(name) for name in ids], np.uint64)


def code(name: str) -> int:
    return sum((int(char, 36) + 1) * 37**n for n, char in enumerate(name[:WIDTH]))


@dataclass(frozen=True)
class Look:
    """What a look at a block found: its lines, how many of them are the business of this reading
    (blank ones are not), and whether there are others; which lines have a title, which are to be
    parsed, and which are to be parsed for nothing but their time: the first and the last."""

    scan: Scan
    count: int
    others: bool
    titled: Mask
    wanted: Places
    seen: Places


class Filter:
    """What is known of an import so far, and so what of the next block may matter.

    `roots` are submissions that a case takes, of this import and of the store; `kept` all posts
    whose later copies and deletions matter; `gone` those of which a line that was passed over says
    that they were deleted, so that an older copy in another file does not come in. `heads` are
    submissions that stand among comments, so that comments under them may stand before them.
    """

    def __init__(self, cases: Sequence[Case], known: Known | None) -> None:
        self._sieve = Sieve((case.query for case in cases), FIELDS | MARKS)
        self._masks = [case.query.mask(pl.col("folded")) for case in cases]
        self.roots = Ids()
        self.heads = Ids()
        self.kept = {"t3": Ids(), "t1": Ids()}
        self.gone = {"t3": Ids(), "t1": Ids()}
        self.open = self._sieve.open or not cases
        if known is not None and not self.open:
            for portion in known.kept("reddit", cases):
                self._add_kept(portion["uri"])
                self.roots.add(codes(portion.filter("root")["uri"]))

    def _add_kept(self, uris: pl.Series) -> None:
        for kind, ids in self.kept.items():
            ids.add(codes(uris.filter(uris.str.starts_with(f"reddit:{kind}_"))))

    def look(self, data: memoryview, reading: Reading, *, parse: int, quoted: Ids) -> Look:
        """Which lines of a block to parse. Lines before number `parse` (from 0) were read by an
        earlier run that was cut off: of these only deletions are noted.

        Every line with a title is the business of the reading of posts, every other one that of
        comments, which looks at all lines, though: a comment may have a title. `quoted` receives
        what crossposts that are passed over repeat.
        """
        scan = self._sieve.scan(data)
        filled = scan.ends - scan.starts > 1
        titled = scan.holding("title")
        own = filled if reading == "both" else filled & (titled == (reading == "posts"))
        asked = own if reading == "posts" else filled
        names = _Names(scan)
        wanted = _odd(scan) | self._kept(names, titled, reading)
        if reading != "posts":
            wanted |= self._below_roots(scan, titled)
        if reading == "both":
            self.heads.add(names.codes[titled[names.lines]])
        fresh = np.arange(len(scan)) >= parse
        wanted &= asked & fresh
        wanted[self._sieve.taken(scan, asked & fresh & ~wanted)] = True
        self._note(scan, names, titled, asked & ~wanted, wanted)
        if reading != "comments":
            root, state = _read(scan.raw, scan.places["crosspost"])
            quoted.add(root[(state == READ) & ~wanted[scan.lines("crosspost")]])
        there = np.flatnonzero(own)
        return Look(
            scan=scan,
            count=len(there),
            others=bool((filled & ~own).any()),
            titled=titled,
            wanted=np.flatnonzero(wanted),
            seen=there[[0, -1]] if len(there) else there,
        )

    def _kept(self, names: _Names, titled: Mask, reading: Reading) -> Mask:
        """Lines about posts that are kept, or may be, since no id in them can be read."""
        found = np.zeros(len(titled), np.bool_)
        for kind, ids in self.kept.items():
            if ids and reading != ("comments" if kind == "t3" else "posts"):
                # Nested records have ids as well: any id of a line may be its own.
                found |= names.count == 0
                found[names.lines[ids.has(names.codes)]] = True
        return found

    def _below_roots(self, scan: Scan, titled: Mask) -> Mask:
        """Comments under matched submissions, and those that may be, since it cannot be read."""
        root, state = _read(scan.raw, scan.places["link"])
        below = np.zeros(len(scan), np.bool_)
        below[scan.lines("link")[(state != READ) | self.roots.has(root)]] = True
        lacking = ~scan.holding("link")
        for n in np.flatnonzero(lacking & titled).tolist():
            line = scan.line(n)
            lacking[n] = b'"body"' in line or b'"selftext"' not in line
        return below | lacking

    def _note(self, scan: Scan, names: _Names, titled: Mask, passed: Mask, wanted: Mask) -> None:
        """Remember which of the lines passed over say that they are deleted. What is said may be
        said of a record inside of theirs, such as the post of a crosspost: where only parsing can
        tell, `wanted` is set."""
        titles = np.bincount(scan.lines("title"), minlength=len(scan))
        plain = (names.count == 1) & (titles <= 1) & ~scan.holding("crosspost")
        marks: dict[int, list[tuple[str, int]]] = {}
        for mark in MARKS:
            at, lines = scan.places[mark], scan.lines(mark)
            there = passed[lines]
            for n, place in zip(lines[there].tolist(), at[there].tolist(), strict=True):
                marks.setdefault(n, []).append((mark, place - int(scan.starts[n])))
        told: dict[str, list[int]] = {"t3": [], "t1": []}
        for n, said in marks.items():
            submission = bool(titled[n])
            gone = says_gone(scan.line(n), said, submission=submission) if plain[n] else None
            if gone:
                told["t3" if titled[n] else "t1"].append(int(names.own[n]))
            elif gone is None:
                wanted[n] = True
        for kind, found in told.items():
            self.gone[kind].add(found)

    def quoting_roots(self, data: memoryview) -> list[bytes]:
        """The lines of a block that are crossposts of submissions which a case takes."""
        return _holding(data, b'"crosspost_parent"', self.roots)

    def below_heads(self, data: memoryview) -> list[bytes]:
        """The comments of a block under matched submissions that stand among comments."""
        return _holding(data, b'"link_id"', self.heads, self.roots)

    def spared(self, posts: pl.DataFrame) -> pl.DataFrame:
        """Without the posts that a line of this import says are deleted."""
        for kind, ids in self.gone.items():
            if ids and posts.height:
                here = posts["uri"].str.starts_with(f"reddit:{kind}_").to_numpy()
                told = np.zeros(posts.height, np.bool_)
                told[here] = ids.has(codes(posts["uri"].filter(here)))
                posts = posts.filter(~told)
        return posts

    def seen(self, uri: str) -> None:
        """Remember a post that was parsed: it may be kept, so its later copies are parsed too."""
        kind = uri[len("reddit:") :][:2]
        if kind in self.kept:
            self.kept[kind].add([code(uri[len("reddit:t3_") :])])

    def learn(self, posts: pl.DataFrame) -> None:
        """Remember which of these posts (columns of RAW_POST) are submissions that a case takes."""
        posts = posts.filter(pl.col("source") == "reddit")
        if posts.is_empty() or self.open:
            return
        heads = posts.filter(pl.col("kind") == "post").with_columns(folded=fold(pl.col("text")))
        self.roots.add(codes(heads.filter(pl.any_horizontal(self._masks))["uri"]))


class _Names:
    """The ids that can be read in the lines of a block: their numbers and lines, how many each line
    has, and the number of the last one in it."""

    def __init__(self, scan: Scan) -> None:
        at = scan.places["id"]
        found, state = _read(scan.raw, at)
        self.codes: Codes = found[state == READ]
        self.lines = scan.lines("id")[state == READ]
        self.count = np.bincount(self.lines, minlength=len(scan))
        self.own = np.zeros(len(scan), np.uint64)
        self.own[self.lines] = self.codes


def _odd(scan: Scan) -> Mask:
    """Lines that do not look like one whole record, or spell ASCII with escapes, even in keys."""
    raw = scan.raw
    last = np.maximum(scan.ends - 1, 0)
    last = np.where(raw[last] == ord("\r"), np.maximum(last - 1, 0), last)
    odd: Mask = (raw[scan.starts] != ord("{")) | (raw[last] != ord("}"))
    for n in np.flatnonzero(scan.coded).tolist():
        odd[n] |= ESCAPED_ASCII.search(scan.line(n)) is not None
    return odd


def _holding(data: memoryview, key: bytes, *all_of: Ids) -> list[bytes]:
    """The lines in which this field holds an id that is in all of these."""
    at = np.array([found.end() for found in re.finditer(key, data)], np.int64)
    if not len(at):
        return []
    raw = np.frombuffer(data, np.uint8)
    found, state = _read(raw, at)
    there = state == READ
    for ids in all_of:
        there &= ids.has(found)
    ends = np.flatnonzero(raw == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lines = np.unique(np.searchsorted(ends, at[there]))
    return [bytes(data[starts[n] : ends[n]]) for n in lines]


def _read(raw: Bytes, at: Places) -> tuple[Codes, npt.NDArray[np.int8]]:
    """The ids in the fields whose names end at these places, as `_ids` gives them."""
    last = len(raw) - 1

    def byte(offset: int) -> Bytes:
        found: Bytes = raw[np.minimum(at + offset, last)]
        return found

    state = np.full(len(at), ODD, np.int8)
    colon = byte(0) == COLON
    at = at + 1 + (byte(1) == BLANK)
    state[colon & (byte(0) == ord("n")) & (byte(1) == ord("u"))] = NULL
    opened = colon & (byte(0) == QUOTE)
    at = at + 1
    at = at + 3 * ((byte(0) == ord("t")) & (byte(2) == ord("_")))
    value = np.zeros(len(at), np.uint64)
    alive = opened
    for n in range(WIDTH + 1):
        sign = byte(n)
        state[alive & (sign == QUOTE) & (n > 0)] = READ
        digit = DIGITS[sign]
        alive = alive & (digit > 0)
        if n == WIDTH or not alive.any():
            break
        value += digit * POWERS[n] * alive
    return value * (state == READ), state
