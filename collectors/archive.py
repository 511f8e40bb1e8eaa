"""Posts from files on disk: Reddit dumps, researchers' exports, Aftershock's own posts.

Reads every file in bounded memory and yields batches; what belongs to a case is decided by the
caller. Where threads matter, submissions come before the comments under them, and what quotes
another post comes once more at the end.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from collectors import Known, files, shapes
from collectors.files import DamagedError
from collectors.normalise import Gone, Row, frame
from collectors.shapes import Normaliser, ShapeError
from collectors.values import BadRecord
from store.schema import Bad, Batch, Reading

if TYPE_CHECKING:
    from cases.case import Case

__all__ = ["ImportSettings", "ShapeError", "collect"]

COLLECTOR = "archive"
ROWS = 20_000  # a batch: some 20 MB of dump lines
LOOKED_AT = 1_000  # records read, at most, to find out what a file holds
SAMPLE = 100  # records on which a --map is tried
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
TICK = 0.1  # seconds between two calls of `progress`

Progress = Callable[[int, int, int], object]  # bytes done, bytes in all, records


@dataclass(frozen=True)
class ImportSettings:
    """What to import and how.

    `mapping` is a --map: our name -> their column or 'literal'. `taken` says that every row
    belongs to the case, so that the order of posts and comments does not matter. `collected_at`
    takes the place of the files' own modification times.
    """

    files: Sequence[Path]
    mapping: Mapping[str, str] = field(default_factory=dict)
    taken: bool = False
    progress: Progress | None = None
    collected_at: datetime | None = None


def collect(
    cases: Sequence[Case], known: Known | None, settings: ImportSettings
) -> Iterator[Batch]:
    """Batches of about 20,000 records of the files, in their order.

    Every file is looked at before the first batch: ShapeError or OSError come before anything was
    stored. Unless all is taken, files that hold comments are read twice, all submissions first:
    a comment may belong to a case through its submission, which must be known by then. A post may
    belong to one through the post it quotes as well, which can stand anywhere: files with such
    posts are read once more after everything else, and these posts yielded again, in batches with
    `again` set. `reading` counts them once.

    The ledger's unit is the name of the file without its folder, its control characters and bytes
    that are no UTF-8 written as escapes. A file that is damaged ends as `partial` with what was
    good before; a bad record is counted with its line, never fatal.
    """
    now = datetime.now(UTC)
    plans = _named([_plan(Path(path), settings, now) for path in settings.files])
    meter = _Meter(settings.progress, plans, twice=not settings.taken)
    if settings.taken:
        for plan in plans:
            yield from _File(plan, meter, now, taken=True).read(comments=True, others=True)
        return
    opened = []
    for plan in plans:
        file = _File(plan, meter, now)
        opened.append(file)
        yield from file.read(comments=False, others=True)
        meter.total += plan.size * (file.deferred - plan.comments)
    for file in opened:
        if file.deferred:
            yield from file.read(comments=True, others=False)
    for file in opened:
        if file.quoting:
            yield from file.read_again()


@dataclass(frozen=True)
class _Plan:
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


def _plan(path: Path, settings: ImportSettings, now: datetime) -> _Plan:
    shown = _printable(str(path))
    if not path.is_file():
        raise FileNotFoundError(f"{shown}: no such file. Nothing was imported.")
    layout = files.layout(path)
    if layout.form == "document":
        raise ShapeError(
            f"{shown}: one JSON document. Write a record a line, for example with: "
            f"jq -c '.[]' {_printable(path.name)} > {_printable(path.stem)}.ndjson"
        )
    if layout.form == "utf-16":
        raise ShapeError(f"{shown}: text in UTF-16. Save it as UTF-8 and import that.")
    stat = path.stat()
    changed = datetime.fromtimestamp(stat.st_mtime, UTC)
    asked = min(settings.collected_at or changed, now)
    normaliser = shapes.mapping(settings.mapping) if settings.mapping else None
    sample, reasons = _sample(path, layout, enough=SAMPLE if normaliser else 1)
    if not sample:
        raise ShapeError(f"{shown}: no record in it can be read ({reasons}). Nothing was imported.")
    if normaliser is not None:
        _check_columns(shown, settings.mapping, sample)
        results = [_try(normaliser, record, asked, now) for record in sample]
        if all(isinstance(result, str) for result in results):
            raise ShapeError(
                f"{shown}: with this --map none of the first {len(sample)} records can be read: "
                f"{results[0]}."
            )
    else:
        known = [(found, record) for record in sample if (found := shapes.recognise(record))]
        if not known:
            raise shapes.unknown_shape(shown, sample[:SAMPLE], now)
        results = [_try(found, record, asked, now) for found, record in known]
    first = next((result for result in results if not isinstance(result, str)), None)
    row = _facts(first) if first is not None else ("reddit", "post", None)
    return _Plan(
        path=path,
        unit=_printable(path.name),
        layout=layout,
        normaliser=normaliser,
        source=row[0],
        dump=normaliser is None and any(map(shapes.is_dump, sample)),
        comments=row[1] == "comment",
        asked=asked,
        size=stat.st_size,
    )


def _sample(path: Path, layout: files.Layout, *, enough: int) -> tuple[list[files.Record], str]:
    """The first records, up to `enough` of a known shape, and why others could not be read."""
    sample: list[files.Record] = []
    reason = "it is empty"
    known = 0
    try:
        for seen, (number, record) in enumerate(files.records(path, layout), start=1):
            if isinstance(record, str):
                reason = f"line {number:,}: {record}"
            else:
                sample.append(record)
                known += enough > 1 or shapes.recognise(record) is not None
            if known >= enough or seen >= LOOKED_AT:
                break
    except DamagedError as error:
        reason = f"it {error}"
    return sample, reason


def _check_columns(shown: str, mapping: Mapping[str, str], sample: list[files.Record]) -> None:
    for column in shapes.columns_of(mapping):
        if not any(shapes.has(record, column) for record in sample):
            raise ShapeError(
                f"{shown}: --map names the column {column!r}, which its records do not have. "
                f"They have: {', '.join(shapes.columns(sample)[: shapes.COLUMNS_SHOWN])}."
            )


def _try(
    normaliser: Normaliser, record: files.Record, asked: datetime, now: datetime
) -> Row | Gone | str:
    try:
        return normaliser(record, asked, now)
    except BadRecord as error:
        return str(error)


def _printable(name: str) -> str:
    """A path as it can go to a terminal and the ledger.

    Bytes that are no UTF-8 (Python holds them as half surrogates, which no file takes) and control
    characters (which a terminal would obey) become escapes such as \\udce9 and \\x1b.
    """
    text = name.encode(errors="backslashreplace").decode()
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _named(plans: list[_Plan]) -> list[_Plan]:
    """Files of one name in different folders get a number: the unit is a key of the ledger."""
    seen: Counter[str] = Counter()
    named = []
    for plan in plans:
        seen[plan.unit] += 1
        again = seen[plan.unit]
        unit = plan.unit if again == 1 else f"{plan.unit} ({again})"
        named.append(replace(plan, unit=unit))
    return named


class _Meter:
    """How far the whole import is, told to `progress` at most ten times a second."""

    def __init__(self, tell: Progress | None, plans: list[_Plan], *, twice: bool) -> None:
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


class _File:
    """One file from its first to its last reading: its totals live that long."""

    def __init__(self, plan: _Plan, meter: _Meter, now: datetime, *, taken: bool = False) -> None:
        self.plan = plan
        self.meter = meter
        self.now = now
        self.taken = taken
        self.parts: dict[str, _Part] = {plan.source: _Part()}
        self.waiting = 0  # records for the next batch
        self.bytes = 0
        self.deferred = False  # comments were left for a second reading
        self.unparsed = False  # the first reading passed this line over without parsing it
        self.quoting = False  # there are posts to be yielded again
        self.broken = ""  # where the file is damaged

    def read(self, *, comments: bool, others: bool) -> Iterator[Batch]:
        """One reading. Every record is counted in one reading only, whatever it turns out to be."""
        plan = self.plan
        place, self.broken = 0, ""
        before = self.meter.done
        skip = None
        if plan.dump and not (comments and others):
            skip = self._mark_comment if comments else self._skip_comment
        try:
            for place, record in files.records(
                plan.path, plan.layout, on_read=self.meter.read, skip=skip
            ):
                result = record if isinstance(record, str) else self._normalised(record)
                comment = not isinstance(result, str) and _facts(result)[1] == "comment"
                # What the first reading passed over unparsed is the second one's, even if it
                # turns out to be no comment.
                second = comment or self.unparsed
                self.unparsed = False
                if comments if second else others:
                    self._add(place, result)
                elif comment:
                    self.deferred = True
                if self.waiting >= ROWS:
                    self.bytes = max(self.bytes, self.meter.done - before)
                    yield from self._batches("running")
        except DamagedError as error:
            after = f"; the last record before that is in line {place:,}" if place else ""
            self.broken = f"{plan.unit} {error}{after}. What was good before is kept."
        self.bytes = max(self.bytes, self.meter.done - before)
        self.meter.say()
        if self.quoting or (self.deferred and not comments):
            yield from self._batches("running")
        else:
            yield from self._ended()

    def read_again(self) -> Iterator[Batch]:
        """The last reading: only the posts that quote another, which were counted before."""
        plan = self.plan
        # What is damaged was said by the reading before, which passed no line over.
        with suppress(DamagedError):
            for _, record in files.records(
                plan.path,
                plan.layout,
                on_read=self.meter.read,
                skip=_quotes_nothing if plan.dump else None,
            ):
                result = record if isinstance(record, str) else self._normalised(record)
                if isinstance(result, str | Gone) or result["quoted"] is None:
                    continue
                self.parts.setdefault(result["source"], _Part()).rows.append(result)
                self.waiting += 1
                if self.waiting >= ROWS:
                    yield from self._batches("running", again=True)
        self.meter.say()
        yield from self._ended(again=True)

    def _ended(self, *, again: bool = False) -> Iterator[Batch]:
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
        return _try(normaliser, record, self.plan.asked, self.now)

    def _add(self, place: int, result: Row | Gone | str) -> None:
        self.waiting += 1
        self.meter.rows += 1
        if isinstance(result, str):
            part = self.parts[self.plan.source]
            part.items += 1
            part.bad.append(Bad(f"{self.plan.unit}:{place}", result))
            return
        source, _, at = _facts(result)
        part = self.parts.setdefault(source, _Part())
        part.items += 1
        if at is not None:
            part.first = at if part.first is None else min(part.first, at)
            part.last = at if part.last is None else max(part.last, at)
        if isinstance(result, Gone):
            part.gone.append(result.uri)
        else:
            part.rows.append(result)
            if result["quoted"] is not None and not (self.taken or self.quoting):
                self.quoting = True
                self.meter.total += self.plan.size

    def _batches(self, status: str, error: str = "", *, again: bool = False) -> Iterator[Batch]:
        self.waiting = 0
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
            ended = status != "running"
            if ended or part.rows or part.gone or part.bad:
                batch = Batch(
                    collector=COLLECTOR,
                    reading=reading,
                    posts=frame(part.rows),
                    gone=tuple(part.gone),
                    bad=tuple(part.bad),
                    taken=self.taken,
                    again=again,
                )
                part.rows, part.gone, part.bad = [], [], []
                yield batch


def _quotes_nothing(line: bytes) -> bool:
    # Every key that can hold a quote, in a dump or in a record of ours among its lines, and the
    # escapes with which a key may be written.
    return not (b"crosspost_parent" in line or b"quoted" in line or b"\\u00" in line)


def _facts(result: Row | Gone) -> tuple[str, str, datetime | None]:
    """Source, kind and time."""
    if isinstance(result, Gone):
        return result.source, result.kind, result.at
    return result["source"], result["kind"], result["at"]
