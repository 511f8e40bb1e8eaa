"""Posts from files on disk: Reddit dumps, researchers' exports, Aftershock's own posts.

Reads every file in bounded memory and yields batches; what belongs to a case is decided by the
caller. Where threads matter, submissions come before the comments under them, and what quotes
another post comes once more at the end.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cases.glance import READY
from collectors import Known, files, memory, shapes
from collectors.dumps import Filter
from collectors.files import DamagedError
from collectors.readings import COLLECTOR, ENDED, File, Meter, Place, Plan, Progress, facts, tried
from collectors.shapes import ShapeError
from store.schema import Batch

if TYPE_CHECKING:
    from cases.case import Case

__all__ = ["ImportSettings", "ShapeError", "collect"]

LOOKED_AT = 1_000  # records read, at most, to find out what a file holds
SAMPLE = 100  # records on which a --map is tried
ENDS = 1 << 16  # bytes at either end by which a file is known again
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class ImportSettings:
    """What to import and how.

    `mapping` is a --map: our name -> their column or 'literal'. `taken` says that every row
    belongs to the case, so that the order of posts and comments does not matter. `collected_at`
    takes the place of the files' own modification times. `whole` has every record parsed, also
    those that can matter to no case. `anew` reads files from their beginning that an earlier import
    left half-read.
    """

    files: Sequence[Path]
    mapping: Mapping[str, str] = field(default_factory=dict)
    taken: bool = False
    progress: Progress | None = None
    collected_at: datetime | None = None
    whole: bool = False
    anew: bool = False


def collect(
    cases: Sequence[Case], known: Known | None, settings: ImportSettings
) -> Iterator[Batch]:
    """Batches of about 20,000 records of the files, in their order.

    Every file is looked at before the first batch: ShapeError or OSError come before anything was
    stored. Unless all is taken, all submissions come before all comments: a comment may belong to a
    case through its submission, which must be known by then. So files that hold both are read
    twice. A post may belong to one through the post it quotes as well, which can stand anywhere:
    such posts are yielded again after everything else, in batches with `again` set. `reading`
    counts them once.

    A dump that begins with comments is looked through once, after the submissions. If matched ones
    turn up in it, all files with comments are looked through once more for those under these.

    The ledger's unit is the name of the file without its folder, its control characters and bytes
    that are no UTF-8 written as escapes. A file that is damaged ends as `partial` with what was
    good before; a bad record is counted with its line, never fatal. Its cursor says up to where a
    file is stored; where `known` has one of an import of the same file by the same cases, only what
    comes after it is yielded.

    Lines of Reddit dumps that can matter to no case are counted and not parsed (dumps.py).
    """
    now = datetime.now(UTC)
    for path in settings.files:
        _check_memory(Path(path))
    plans = _named([_plan(Path(path), settings, now) for path in settings.files])
    plans = _continued(plans, cases, known, settings)
    sieve = None if settings.taken or settings.whole or not READY else Filter(cases, known)
    if sieve is not None and sieve.open:
        sieve = None
    meter = Meter(settings.progress, plans, twice=not settings.taken and sieve is None)
    if settings.taken:
        for plan in plans:
            yield from File(plan, meter, now, taken=True).read(comments=True, others=True)
        return
    opened = []
    for plan in plans:
        file = File(plan, meter, now, sieve=sieve)
        opened.append(file)
        if not file.among_comments:
            yield from file.read(comments=False, others=True)
            meter.total += plan.size * (file.deferred and (sieve is not None or not plan.comments))
    for file in opened:
        if file.deferred:
            yield from file.read(comments=True, others=file.among_comments)
    for file in opened:
        if file.again:
            yield from file.read_again()


def _check_memory(path: Path) -> None:
    if not path.is_file():
        return
    window, left = memory.window(path), memory.available()
    needed = window + memory.BESIDE
    if left is not None and window > memory.BESIDE and left < needed:
        raise ShapeError(
            f"{_printable(str(path))}: unpacking it takes {needed / 1e6:,.0f} MB of memory (its"
            f" window of {window / 1e6:,.0f} MB and {memory.BESIDE / 1e6:,.0f} MB for the import),"
            f" and {left / 1e6:,.0f} MB are free. Close other programs or use a machine with more"
            " memory. Nothing was imported."
        )


def _continued(
    plans: list[Plan], cases: Sequence[Case], known: Known | None, settings: ImportSettings
) -> list[Plan]:
    """The plans with what tells each import from others, and how far an earlier one came."""
    queries = sorted((case.name, case.query_hash) for case in cases)
    together = [(plan.unit, plan.size) for plan in plans]
    how = json.dumps([queries, sorted(settings.mapping.items()), settings.taken, together])
    begun = {} if known is None or settings.anew else known.cursors(COLLECTOR)
    plans = [
        replace(plan, print=_fingerprint(plan.path, how), begun=begun.get(plan.unit))
        for plan in plans
    ]
    # Of an import that was cut off some files are done already. One that came to its end is read
    # from the beginning: whoever asks for it once more has a reason.
    if all(Place.of(plan).reading == ENDED for plan in plans):
        plans = [replace(plan, begun=None) for plan in plans]
    return plans


def _fingerprint(path: Path, how: str) -> str:
    """16 hex digits: of the file's size, its first and last bytes, and how it is imported."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size} {how}".encode())
    with path.open("rb") as file:
        digest.update(file.read(ENDS))
        file.seek(max(size - ENDS, 0))
        digest.update(file.read(ENDS))
    return digest.hexdigest()[:16]


def _plan(path: Path, settings: ImportSettings, now: datetime) -> Plan:
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
        results = [tried(normaliser, record, asked, now) for record in sample]
        if all(isinstance(result, str) for result in results):
            raise ShapeError(
                f"{shown}: with this --map none of the first {len(sample)} records can be read: "
                f"{results[0]}."
            )
    else:
        known = [(found, record) for record in sample if (found := shapes.recognise(record))]
        if not known:
            raise shapes.unknown_shape(shown, sample[:SAMPLE], now)
        results = [tried(found, record, asked, now) for found, record in known]
    first = next((result for result in results if not isinstance(result, str)), None)
    row = facts(first) if first is not None else ("reddit", "post", None)
    return Plan(
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
                f"They have: {shapes.shown(sample)}."
            )


def _printable(name: str) -> str:
    """A path as it can go to a terminal and the ledger.

    Bytes that are no UTF-8 (Python holds them as half surrogates, which no file takes) and control
    characters (which a terminal would obey) become escapes such as \\udce9 and \\x1b.
    """
    text = name.encode(errors="backslashreplace").decode()
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _named(plans: list[Plan]) -> list[Plan]:
    """Files of one name in different folders get a number: the unit is a key of the ledger."""
    seen: Counter[str] = Counter()
    named = []
    for plan in plans:
        seen[plan.unit] += 1
        again = seen[plan.unit]
        unit = plan.unit if again == 1 else f"{plan.unit} ({again})"
        named.append(replace(plan, unit=unit))
    return named
