"""One file from its first reading to its last: which records count in which, and what a batch says.

All submissions of all files come before all comments, and what quotes another post comes once more
at the end. Where a reading stands is the cursor, so that an import that was cut off goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from collectors import dumps, files, shapes
from collectors.dumps import Filter, Ids, Look
from collectors.files import DamagedError
from collectors.normalise import Gone, Row, frame
from collectors.shapes import Normaliser
from collectors.values import BadRecord
from store.schema import Bad, Batch, Reading

COLLECTOR = "archive"
ROWS = 20_000  # a batch: some 20 MB of dump lines
UNPACKED = 4 << 30  # bytes looked through after which the cursor is saved though little was kept
TICK = 0.1  # seconds between two calls of `progress`

Progress = Callable[[int, int, int], object]  # bytes done, bytes in all, records

WHOLE, POSTS, COMMENTS, QUOTES, ENDED = "whole", "posts", "comments", "quotes", "ended"
ORDER = (WHOLE, POSTS, COMMENTS, QUOTES, ENDED)


@dataclass(frozen=True)
class Plan:
    """What a look at the first records of a file told."""

    path: Path
    unit: str
    layout: files.Layout
    normaliser: Normaliser | None  # None: recognised a record at a time
    source: str  # to whose account bad records and bytes go
    dump: bool
    comments: bool  # the first record was one
    asked: datetime
    size: int
    print: str = ""  # of the file's content and of how it is imported: a cursor is good for one
    begun: str | None = None  # the cursor of an earlier import


@dataclass(frozen=True)
class Place:
    """A cursor: everything up to this line of this reading is stored."""

    reading: str = WHOLE
    line: int = 0

    @classmethod
    def of(cls, plan: Plan) -> Place:
        """Where an import of this very file that was cut off stood; else its beginning."""
        with suppress(ValueError, TypeError, KeyError):
            found = json.loads(plan.begun or "")
            place = cls(str(found["reading"]), int(found["line"]))
            if found["print"] == plan.print and place.reading in ORDER:
                return place
        return cls()

    def cursor(self, plan: Plan) -> str:
        return json.dumps({"print": plan.print, "reading": self.reading, "line": self.line})

    def before(self, reading: str) -> float:
        """The last line of this reading that is stored already."""
        ahead = ORDER.index(self.reading) - ORDER.index(reading)
        return float("inf") if ahead > 0 else self.line if ahead == 0 else 0


class Meter:
    """How far the whole import is, told to `progress` at most ten times a second."""

    def __init__(self, tell: Progress | None, plans: Sequence[Plan], *, twice: bool) -> None:
        self.tell = tell
        self.done = 0
        self.rows = 0
        self.total = sum(plan.size * (2 if twice and plan.comments else 1) for plan in plans)
        self.next = 0.0

    def read(self, size: int) -> None:
        self.done += size
        now = time.monotonic()
        if self.tell is not None and now >= self.next:
            self.next = now + TICK
            self.say()

    def say(self) -> None:
        if self.tell is not None:
            self.tell(self.done, max(self.total, self.done), self.rows)


@dataclass
class _Part:
    """What one source has in a file: totals so far, and what the next batch will carry."""

    items: int = 0
    first: datetime | None = None
    last: datetime | None = None
    rows: list[Row] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)

    def covers(self, at: datetime | None) -> None:
        if at is not None:
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)


class File:
    """One file from its first to its last reading: its totals live that long.

    With a `filter`, lines of a dump are passed over unparsed where they cannot matter; they count
    as read all the same.
    """

    def __init__(
        self,
        plan: Plan,
        meter: Meter,
        now: datetime,
        *,
        taken: bool = False,
        sieve: Filter | None = None,
    ) -> None:
        self.plan = plan
        self.meter = meter
        self.now = now
        self.taken = taken
        self.known = sieve  # what it learns, it learns from every file
        dump = plan.dump and plan.normaliser is None and plan.layout.form == "ndjson"
        self.sieve = sieve if dump else None
        # Read once, after all submissions, though there may be submissions in it.
        self.among_comments = self.sieve is not None and plan.comments
        self.parts: dict[str, _Part] = {plan.source: _Part()}
        self.waiting = 0  # records for the next batch
        self.bytes = 0
        self.deferred = self.among_comments  # comments were left for a later reading
        self.unparsed = False  # the first reading passed this line over without parsing it
        self.quoting = False  # there are posts to be yielded again, which only reading finds
        self.quotes: list[Row] = []  # posts to be yielded again
        self.quoted = Ids()  # what those quote that were passed over
        self.broken = ""  # where the file is damaged
        self.stored = Place.of(plan)
        self.place = Place()

    def read(self, *, comments: bool, others: bool) -> Iterator[Batch]:
        """One reading. Every record is counted in one reading only, whatever it turns out to be."""
        whole = comments and others and not self.among_comments
        reading = WHOLE if whole else COMMENTS if comments else POSTS
        self.place, self.broken = Place(reading), ""
        before = self.meter.done
        steps = (
            self._sifted(self.sieve, comments=comments, others=others)
            if self.sieve is not None and not whole
            else self._parsed(comments=comments, others=others)
        )
        try:
            for _ in steps:
                self.bytes = max(self.bytes, self.meter.done - before)
                yield from self._batches("running", save=True)
        except DamagedError as error:
            line = self.place.line
            after = f"; the last record before that is in line {line:,}" if line else ""
            self.broken = f"{self.plan.unit} {error}{after}. What was good before is kept."
        self.bytes = max(self.bytes, self.meter.done - before)
        self.meter.say()
        if self.again or (self.deferred and not comments):
            yield from self._batches("running")
        else:
            yield from self._ended()

    @property
    def again(self) -> bool:
        """Whether some of its posts are to be looked at once more, after everything else."""
        return self.quoting or bool(self.quotes) or bool(self.quoted) or self._headless

    @property
    def _headless(self) -> bool:
        """Whether comments may have been passed over before their submission was known."""
        sieve = self.sieve
        return sieve is not None and self.deferred and sieve.heads.meets(sieve.roots)

    def _parsed(self, *, comments: bool, others: bool) -> Iterator[None]:
        """Take in every record; stops where a batch is full."""
        skip = None
        if self.plan.dump and not (comments and others):
            skip = self._mark_comment if comments else self._skip_comment
        reading, stored = self.place.reading, self.stored.before(self.place.reading)
        for line, record in files.records(
            self.plan.path, self.plan.layout, on_read=self.meter.read, skip=skip
        ):
            result = record if isinstance(record, str) else self._normalised(record)
            comment = not isinstance(result, str) and facts(result)[1] == "comment"
            # What the first reading passed over unparsed is the second one's, even if it
            # turns out to be no comment.
            second = comment or self.unparsed
            self.unparsed = False
            if comments if second else others:
                self._count(1)
                self._add(line, result, stored=line <= stored)
            elif comment:
                self.deferred = True
            self.place = Place(reading, line)
            if self.waiting >= ROWS:
                yield

    def _sifted(self, sieve: Filter, *, comments: bool, others: bool) -> Iterator[None]:
        """Take in what the filter leaves of a dump; stops where a batch is full."""
        name: dumps.Reading = "both" if comments and others else "comments" if comments else "posts"
        reading, through = self.place.reading, 0
        stored = self.stored.before(reading)
        for first, data, ended in files.blocks(files.chunks(self.plan.path, self.meter.read)):
            if data is None:
                self.deferred = self.deferred or not comments
                if comments:
                    self._count(1)
                    reason = f"longer than {files.LINE_LIMIT >> 20} MiB"
                    self._add(first, reason, stored=first <= stored)
                continue
            through += len(data)
            old = int(min(max(stored - first + 1, 0), len(data)))
            look = sieve.look(data, name, parse=old, quoted=self.quoted)
            self.deferred = self.deferred or (look.others and not comments)
            self._count(look.count)
            for _ in self._records(look, first, name, ended=ended, stored=stored):
                yield
            self.place = Place(reading, first + len(look.scan) - 1)
            if through >= UNPACKED:
                through = 0
                yield

    def _records(
        self, look: Look, first: int, name: dumps.Reading, *, ended: bool, stored: float
    ) -> Iterator[None]:
        """Parse the chosen lines of a block, and some more to see what time the block covers and
        whether its last line is whole."""
        wanted, last = set(look.wanted.tolist()), len(look.scan) - 1
        for line in sorted(wanted | set(look.seen.tolist()) | (set() if ended else {last})):
            raw, number = look.scan.line(line), first + line
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.isspace():
                self._count(-1)
                continue
            record, whole = files.parsed(raw)
            result = record if isinstance(record, str) else self._normalised(record)
            comment = not isinstance(result, str) and facts(result)[1] == "comment"
            if name == "both" or (comment or not look.titled[line]) == (name == "comments"):
                seen = line not in wanted
                self._add(number, result, stored=number <= stored, only_seen=seen)
            elif comment:
                self.deferred = True
            self.place = Place(self.place.reading, number)
            if not (whole or ended) and line == last:
                raise DamagedError(f"ends in the middle of line {number:,}")
            if self.waiting >= ROWS:
                yield

    def read_again(self) -> Iterator[Batch]:
        """The last reading: only the posts that quote another, which were counted before."""
        # What is damaged was said by the reading before, which passed no line over.
        with suppress(DamagedError):
            for row in self._quotes():
                self.parts.setdefault(row["source"], _Part()).rows.append(row)
                self.waiting += 1
                if self.waiting >= ROWS:
                    yield from self._batches("running", again=True)
        self.meter.say()
        yield from self._ended(again=True)

    def _quotes(self) -> Iterator[Row]:
        """Posts that may belong to a case through one that was not known when they were read."""
        yield from self.quotes
        if self.sieve is not None and not self.quoting:
            for record in self._looked_up(self.sieve):
                result = record if isinstance(record, str) else self._normalised(record)
                if not isinstance(result, str | Gone):
                    yield result
            return
        skip = _quotes_nothing if self.plan.dump and not self._headless else None
        for _, record in files.records(
            self.plan.path, self.plan.layout, on_read=self.meter.read, skip=skip
        ):
            result = record if isinstance(record, str) else self._normalised(record)
            if not isinstance(result, str | Gone) and (
                result["quoted"] is not None or (self._headless and result["kind"] == "comment")
            ):
                yield result

    def _looked_up(self, sieve: Filter) -> Iterator[files.Record | str]:
        quoting = self.quoted.meets(sieve.roots)
        if not (quoting or self._headless):
            return
        self.meter.total += self.plan.size
        for _, data, _ in files.blocks(files.chunks(self.plan.path, self.meter.read)):
            if data is None:
                continue
            lines = sieve.quoting_roots(data) if quoting else []
            lines += sieve.below_heads(data) if self._headless else []
            for raw in lines:
                yield files.parsed(raw)[0]

    def _ended(self, *, again: bool = False) -> Iterator[Batch]:
        self.place = Place(ENDED)
        return self._batches("partial" if self.broken else "done", self.broken, again=again)

    def _skip_comment(self, line: bytes) -> bool:
        # A comment of a dump has no title: looking for the key costs a hundredth of parsing.
        if b'"title"' in line:
            return False
        self.deferred = True
        return True

    def _mark_comment(self, line: bytes) -> bool:
        self.unparsed = b'"title"' not in line
        return False

    def _normalised(self, record: files.Record) -> Row | Gone | str:
        normaliser = self.plan.normaliser or shapes.recognise(record)
        if normaliser is None:
            return "no known shape, unlike the records before"
        return tried(normaliser, record, self.plan.asked, self.now)

    def _count(self, records: int) -> None:
        """Records read, of whatever source; `_add` gives those of another one to that one."""
        self.parts[self.plan.source].items += records
        self.meter.rows += records

    def _add(
        self, line: int, result: Row | Gone | str, *, stored: bool = False, only_seen: bool = False
    ) -> None:
        """Take in a record that was counted. Of one that an earlier import has stored only a
        deletion matters, of one that was only looked at its time and what is wrong with it."""
        if isinstance(result, str):
            if not stored:
                self.waiting += 1
                self.parts[self.plan.source].bad.append(Bad(f"{self.plan.unit}:{line}", result))
            return
        source, _, at = facts(result)
        part = self.parts.setdefault(source, _Part())
        if source != self.plan.source:
            part.items += 1
            self.parts[self.plan.source].items -= 1
        part.covers(at)
        if only_seen:
            return
        if isinstance(result, Gone):
            self.waiting += 1
            part.gone.append(result.uri)
            return
        if not stored:
            self.waiting += 1
            part.rows.append(result)
        if self.known is not None and source == "reddit":
            self.known.seen(result["uri"])
        if result["quoted"] is not None and not (self.taken or self.quoting):
            if self.sieve is not None and len(self.quotes) < ROWS:
                self.quotes.append(result)
                return
            self.quoting = True
            self.quotes.clear()
            self.meter.total += self.plan.size

    def _batches(
        self, status: str, error: str = "", *, again: bool = False, save: bool = False
    ) -> Iterator[Batch]:
        """What waits, a batch a source; with `save` one at least, for the sake of its cursor."""
        self.waiting = 0
        ended = status != "running"
        cursor = self.place.cursor(self.plan) if ended or len(self.parts) == 1 else None
        for source, part in self.parts.items():
            reading = Reading(
                unit=self.plan.unit,
                source=source,
                observed_from=part.first,
                observed_to=None if part.last is None else part.last + timedelta(seconds=1),
                items=part.items,
                bytes=self.bytes if source == self.plan.source else 0,
                status=status,
                stop_reason={"done": "end of file", "partial": "damaged file"}.get(status, ""),
                error=error,
            )
            if ended or save or part.rows or part.gone or part.bad:
                posts = frame(part.rows)
                if self.known is not None:
                    posts = self.known.spared(posts)
                    self.known.learn(posts)
                batch = Batch(
                    collector=COLLECTOR,
                    reading=reading,
                    posts=posts,
                    gone=tuple(part.gone),
                    bad=tuple(part.bad),
                    cursor=cursor,
                    taken=self.taken,
                    again=again,
                )
                part.rows, part.gone, part.bad = [], [], []
                yield batch


def _quotes_nothing(line: bytes) -> bool:
    # Every key that can hold a quote, in a dump or in a record of ours among its lines, and the
    # escapes with which a key may be written.
    return not (b"crosspost_parent" in line or b"quoted" in line or b"\\u00" in line)


def tried(
    normaliser: Normaliser, record: files.Record, asked: datetime, now: datetime
) -> Row | Gone | str:
    """The row of a record, or what is wrong with it."""
    try:
        return normaliser(record, asked, now)
    except BadRecord as error:
        return str(error)


def facts(result: Row | Gone) -> tuple[str, str, datetime | None]:
    """Source, kind and time."""
    if isinstance(result, Gone):
        return result.source, result.kind, result.at
    return result["source"], result["kind"], result["at"]
