"""What of a Reddit dump has to be parsed at all: a line in a thousand or so, found in whole blocks.

Passes over what no query takes, what hangs on no matched submission and what says nothing about a
post that is kept. Whoever imports with it stores what an import without it stores; the tests hold
this against generated dumps. It parses nothing and knows no file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cases.blocks import Block, Bytes, Mask, Places, Room, Sieve
from cases.clauses import UNDERSCORE
from cases.glance import READY, Glance
from cases.query import fold

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

_ID = re.compile(rb'"id"\s*:\s*"(?:t[13]_)?([0-9a-z]{1,12})"')


def _field(name: str) -> str:
    return f'"{name.replace("_", UNDERSCORE)}"'


# "[deleted]", "[ Removed by Reddit ]" as a whole text, or in the place of a name whose account is
# gone; "deleted" without brackets is a word.
_MARKER = (
    rf"{_field('(?:body|selftext|text|title|edited_title|author)')}"
    r' +" +(?:deleted|removed|unavailable)'
    r'(?: (?:by|in|on|due|for|from) [a-z0-9 \x7f]*)? *"'
)
_LATER = rf'{_field("was_deleted_later")} +"?(?:true|1)'
_SAID = "|".join(
    (
        _MARKER,
        _LATER,
        rf'{_field("collapsed_reason_code")} +"deleted"',
    )
)
GONE = rf'{_SAID}|{_field("removed_by_category")} +"[a-z0-9\x7f]'
# Beside plain facts of `_meta` the fact is the record's own.
_LATER_ITSELF = rf'{_field("_meta")} +(?:"[a-z0-9\x7f]+" +"?[a-z0-9\x7f ]+"? +)*{_LATER}'
_BY = rf'{_field("removed_by_category")} +"'
_BY_KNOWN = _BY + (
    "(?:reddit|moderator|automod\x7ffiltered|deleted|content\x7ftakedown|author"
    '|copyright\x7ftakedown|community\x7fops|anti\x7fevil\x7fops)"'
)
# What a record holds as it stands that `GONE` may be found in.
GLANCE_GONE = (
    r'"(?:[^a-z0-9_"\\]|\\.){1,9}(?:deleted|removed|unavailable)'
    r'|was_deleted_later"\s*:\s*"?(?:true|1)'
    r'|removed_by_category"\s*:\s*"|collapsed_reason_code"\s*:\s*"deleted"'
)
GLANCE = READY  # one pass over all lines before those of which it finds something are looked at
BACK = rf'{_field("was_initially_deleted")} +"?(?:true|1)'


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
    """What a look at some lines of a dump found: how many lines there are, how many of them are the
    business of this reading (blank ones are not), and whether there are others.

    `block` holds those looked at twice, `numbers` says which ones these are. Of `block`: which of
    its lines are this reading's own, which hold a title, and which are to be parsed.
    """

    lines: int
    count: int
    others: bool
    block: Block
    numbers: Places
    own: Mask
    titled: Mask
    wanted: Places
    quoted: Codes


class Filter:
    """What is known of an import so far, and so what of the next block may matter.

    `roots` are submissions that a case takes, of this import and of the store; `kept` all posts
    whose later copies and deletions matter; `gone` those of which a line that was passed over says
    that they were deleted, so that an older copy in another file does not come in.
    """

    def __init__(self, cases: Sequence[Case], known: Known | None) -> None:
        self._sieve = Sieve(case.query for case in cases)
        self._masks = [case.query.mask(pl.col("folded")) for case in cases]
        self.roots = Ids()
        self.kept = {"t3": Ids(), "t1": Ids()}
        self.gone = {"t3": Ids(), "t1": Ids()}
        self._glances: dict[bool, Glance] = {}
        self.open = self._sieve.open or not cases
        if known is not None and not self.open:
            for portion in known.kept("reddit", cases):
                self._add_kept(portion["uri"])
                self.roots.add(codes(portion.filter("root")["uri"]))

    def _add_kept(self, uris: pl.Series) -> None:
        for kind, ids in self.kept.items():
            ids.add(codes(uris.filter(uris.str.starts_with(f"reddit:{kind}_"))))

    def look(self, data: memoryview, room: Room, *, comments: bool, parse: int) -> Look:
        """Which lines to parse: of submissions in the first reading, of comments in the second.

        A line with a title is the first one's, every other the second one's, which looks at
        comments that have a title too. Lines before number `parse` (from 0) were read by an
        earlier run that was cut off: of these only deletions are noted.
        """
        if not GLANCE:
            block = Block(data, room)
            own, titled, wanted = self._choose(block, comments=comments, parse=parse)
            filled = block.ends - block.starts > 1
            quoted, readable = self.quoting(block)
            return Look(
                lines=len(block),
                count=int(own.sum()),
                others=bool((filled & ~own).any()),
                block=block,
                numbers=np.arange(len(block)),
                own=own,
                titled=titled,
                wanted=wanted,
                quoted=quoted[readable & own],
            )
        raw = np.frombuffer(data, np.uint8)
        ends: Places = np.flatnonzero(raw == ord("\n"))
        starts = np.concatenate([[0], ends[:-1] + 1])
        found = self._glance(kept=bool(self.kept["t1" if comments else "t3"])).places(data)
        twice, titled = (_lines(ends, found[name]) for name in ("", "title"))
        filled = ends - starts > 1
        twice |= _lines(ends, found["gone"]) | _odd_ends(raw, starts, ends)
        own = filled & (~titled if comments else titled)
        if comments:
            root, state = _read(raw, found["link"])
            twice |= ~titled & ~_lines(ends, found["link"])
            twice |= _lines(ends, found["link"][(state != READ) | self.roots.has(root)])
        kept = self.kept["t1" if comments else "t3"]
        if kept:
            names, state = _read(raw, found["id"])
            twice |= ~_lines(ends, found["id"])
            twice |= _lines(ends, found["id"][(state != READ) | kept.has(names)])
        quoted, state = _read(raw, found["crosspost"])
        there = np.flatnonzero(own)
        twice[there[:1]] = twice[there[-1:]] = twice[-1:] = True
        twice &= filled & (own | comments)
        twice[-1:] = True
        numbers = np.flatnonzero(twice)
        block = Block(b"".join(data[starts[n] : ends[n] + 1] for n in numbers), room)
        old = int(np.searchsorted(numbers, parse))
        owned, headed, wanted = self._choose(block, comments=comments, parse=old)
        return Look(
            lines=len(ends),
            count=int(own.sum()),
            others=bool((filled & ~own).any()),
            block=block,
            numbers=numbers,
            own=owned,
            titled=headed,
            wanted=wanted,
            quoted=quoted[state == READ],
        )

    def _glance(self, *, kept: bool) -> Glance:
        if kept not in self._glances:
            fields = {"title": '"title"', "link": '"link_id"', "crosspost": '"crosspost_parent"'}
            named = fields | {"gone": GLANCE_GONE} | ({"id": '"id"'} if kept else {})
            self._glances[kept] = Glance(self._sieve.rarest, named)
        return self._glances[kept]

    def _choose(self, block: Block, *, comments: bool, parse: int) -> tuple[Mask, Mask, Places]:
        titled = _holds(block, _field("title"))
        filled = block.ends - block.starts > 1
        own = filled & (~titled if comments else titled)
        asked = own
        if comments and titled.any():
            submission = _holds(block, _field("selftext")) & ~_holds(block, _field("body"))
            asked = own | (filled & ~submission)
        if not asked.any():
            return own, titled, np.empty(0, np.int64)
        kind = "t1" if comments else "t3"
        wanted = self._sieve.passes(block) | _odd(block)
        if self.kept[kind]:
            wanted |= self._kept(block, asked, kind)
        if comments:
            root, state = _ids(block, _field("link_id"))
            wanted |= (state != READ) | self.roots.has(root)
        wanted &= asked
        wanted[: max(parse, 0)] = False
        unsure = self._note(block, asked & ~wanted, kind, parse)
        wanted[unsure] = True
        return own, titled, np.flatnonzero(wanted)

    def quoting(self, block: Block) -> tuple[Codes, Mask]:
        """What each line's submission is a crosspost of, and whether it is one that can be read."""
        quoted, state = _ids(block, _field("crosspost_parent"))
        return quoted, state == READ

    def quoting_roots(self, data: memoryview) -> list[bytes]:
        """The lines of a block that are crossposts of submissions which a case takes."""
        key = b'"crosspost_parent"'
        at = np.array([found.end() for found in re.finditer(key, data)], np.int64)
        if not len(at):
            return []
        raw = np.frombuffer(data, np.uint8)
        quoted, state = _read(raw, at)
        ends: Places = np.flatnonzero(raw == ord("\n"))
        lines = _lines(ends, at[(state == READ) & self.roots.has(quoted)])
        starts = np.concatenate([[0], ends[:-1] + 1])
        return [bytes(data[starts[n] : ends[n]]) for n in np.flatnonzero(lines)]

    def _kept(self, block: Block, asked: Mask, kind: str) -> Mask:
        own, state = _ids(block, _field("id"))
        found: Mask = (state != READ) | self.kept[kind].has(own)
        # Nested records have ids as well, and the first of a line may be one of theirs.
        several = asked & ~found & (_count(block, _field("id")) > 1)
        named = [
            (line, code(name.decode()))
            for line in np.flatnonzero(several).tolist()
            for name in _ID.findall(block.line(line))
        ]
        if named:  # asked about all at once
            lines, ids = zip(*named, strict=True)
            kept = self.kept[kind].has(np.array(ids, np.uint64))
            found[np.array(lines)[kept]] = True
        return found

    def _note(self, block: Block, lines: Mask, kind: str, parse: int) -> Places:
        """Remember what these lines say is deleted; gives those that only parsing can judge, since
        what is said may be said of a record inside of theirs, such as the post of a crosspost."""
        marked = np.flatnonzero(lines & block.tokens.str.contains(GONE).to_numpy())
        if not len(marked):
            return marked
        told = block.tokens.gather(marked)
        submission = told.str.contains(_field("selftext"), literal=True)
        # Gone at the first look and back at the second: the category of the first is left standing.
        gone = told.str.contains(_SAID) | ~told.str.contains(BACK)
        here = (gone & (submission == (kind == "t3"))).to_numpy()
        nested = told.str.contains(_LATER) & ~told.str.contains(_LATER_ITSELF)
        nested |= told.str.contains(_BY + r"[a-z0-9\x7f]") & ~told.str.contains(_BY_KNOWN)
        # Neither a submission's text nor a comment's, or both: an odd record, or one inside of it.
        nested |= submission == told.str.contains(_field("body"), literal=True)
        for field in ("title", "id", "author"):
            nested |= told.str.count_matches(_field(field), literal=True) > 1
        own, state = _ids(block, _field("id"))
        clear = (state[marked] == READ) & ~nested.to_numpy()
        self.gone[kind].add(own[marked[here & clear]])
        for line in marked[here & ~clear & (marked < parse)].tolist():
            name = _own_id(block.line(line))
            if name is not None:
                self.gone[kind].add([code(name)])
        unsure: Places = marked[~clear & (marked >= parse)]
        return unsure

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


def _holds(block: Block, what: str) -> Mask:
    return np.array(block.tokens.str.contains(what, literal=True).to_numpy(), np.bool_)


def _count(block: Block, what: str) -> npt.NDArray[np.uint32]:
    return np.array(block.tokens.str.count_matches(what, literal=True).to_numpy(), np.uint32)


def _odd(block: Block) -> Mask:
    """Lines that do not look like one whole record, or spell ASCII with escapes, even in keys."""
    odd = _odd_ends(block.raw, block.starts, block.ends)
    odd[block.of(block.disguised)] = True
    return odd


def _odd_ends(raw: Bytes, starts: Places, ends: Places) -> Mask:
    last = np.maximum(ends - 1, 0)
    last = np.where(raw[last] == ord("\r"), np.maximum(last - 1, 0), last)
    odd: Mask = (raw[starts] != ord("{")) | (raw[last] != ord("}"))
    return odd


def _own_id(line: bytes) -> str | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    name = record.get("id") if isinstance(record, dict) else None
    found = _ID.fullmatch(f'"id":"{name}"'.encode())
    return found[1].decode() if found else None


def _ids(block: Block, field: str) -> tuple[Codes, npt.NDArray[np.int8]]:
    """The id in this field of each line, as a number, and what became of it (ABSENT, READ, NULL,
    ODD): of the first field of that name, whether it is the record's own or a nested one."""
    found = block.tokens.str.find(field, literal=True).cast(pl.Int64).fill_null(-1).to_numpy()
    state = np.where(found < 0, ABSENT, ODD).astype(np.int8)
    numbers = np.zeros(len(block), np.uint64)
    lines = np.flatnonzero(found >= 0)
    if not len(lines):
        return numbers, state
    at = block.starts[lines] + found[lines] + len(field)
    numbers[lines], state[lines] = _read(block.raw, at)
    return numbers, state


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
    window = raw[np.minimum(at[:, None] + np.arange(WIDTH + 1), last)]
    digits = DIGITS[window]
    alive = np.logical_and.accumulate(digits > 0, axis=1)
    length = alive.sum(axis=1)
    closed = window[np.arange(len(at)), np.minimum(length, WIDTH)] == QUOTE
    good = opened & closed & (length >= 1) & (length <= WIDTH)
    state[good] = READ
    value: Codes = ((digits * alive)[:, :WIDTH] * POWERS).sum(axis=1)
    return value * good, state


def _lines(ends: Places, places: Places) -> Mask:
    """Which lines these places, each just behind something found, stand in."""
    there = np.zeros(len(ends), np.bool_)
    there[np.searchsorted(ends, places - 1)] = True
    return there
