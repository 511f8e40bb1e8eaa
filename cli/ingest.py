"""The way from a collector to the store: match, write, and say in the ledger what was read.

The one road for every source, files and live collectors alike. Collectors hold no state; the
ledger row with the cursor is written after the posts it covers, so a cursor never moves past
something that was not stored.
"""

from __future__ import annotations

import socket
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import polars as pl

from cases.case import Case
from cases.match import match
from cli.console import warn
from store.schema import Bad, Batch, Reading
from store.tables import Store, StoreBusy, StoreError, Written

BAD_SHOWN = 20


@dataclass
class Unit:
    """What came of one unit of a source: a file, a phrase, a subreddit."""

    run_id: str
    collector: str
    started_at: datetime
    cursor_before: str | None
    reading: Reading
    cursor: str | None = None
    kept: int = 0
    new: int = 0
    gone: int = 0  # records that the source marks as deleted, and kept ones of deleted accounts
    wiped: int = 0  # of those, kept before
    bad: int = 0
    bad_shown: list[Bad] = field(default_factory=list)
    by_case: Counter[str] = field(default_factory=Counter)


def ingest(
    store: Store,
    cases: Sequence[Case],
    batches: Iterable[Batch],
    *,
    ledger: bool = True,
    begun: Callable[[Unit], object] | None = None,
    write: Callable[[Batch, pl.DataFrame], Written] | None = None,
) -> list[Unit]:
    """Store every batch and return what came of each unit, in the order they were first seen.

    Every post is matched with all `cases`, whichever of them its unit was read for; the ledger
    names those of `Reading.cases`, or all.

    A unit's ledger row is written when the unit begins (status running), whenever it reaches a new
    cursor, and when it ends. When the collector or the store raises, the rows of the units under
    way become `failed` with the sentence of the error, and the error goes on. Without `ledger`
    nothing is said there: the demo has a ledger of its own. `begun` is called with each unit when
    it begins, for whoever has to report on it even if the collector raises. `write` takes the place
    of the store's.
    """
    units: dict[tuple[str, str, str], Unit] = {}
    cursors = _Cursors(store)

    def matched(case: Case, uris: Sequence[str]) -> set[str]:
        return store.known().matched(case.name, case.query_hash, uris)

    def log(unit: Unit, *, failed: str = "") -> None:
        if ledger:
            store.log_run(_row(unit, cases, failed=failed))

    def failed(error: BaseException) -> None:
        rows = [
            _row(unit, cases, failed=_sentence(error))
            for unit in units.values()
            if unit.reading.status == "running"
        ]
        with suppress(StoreError):  # the error under way says more than a second one would
            if rows and ledger:
                # Who has waited for other writers does not wait for them once more.
                (store.log_run_later if isinstance(error, StoreBusy) else store.log_run)(*rows)

    store.drain()
    for sentence in store.set_aside():
        warn(sentence)
    here = store.incarnation()
    erased = _Erased()
    try:
        for batch in batches:
            batch = replace(batch, posts=erased.spared(batch))  # noqa: PLW2901
            key = (batch.collector, batch.reading.source, batch.reading.unit)
            unit = units.get(key)
            if unit is None:
                unit = units[key] = _begun(batch, cursors)
                if begun is not None:
                    begun(unit)
                log(unit)
            rows = match(batch.posts, cases, matched=matched, taken=batch.taken)
            written = (write or store.write)(batch, rows)
            unit.reading = batch.reading
            # What is yielded again was counted the first time, unless only now it was kept.
            unit.kept += written.new if batch.again else written.kept
            unit.new += written.new
            unit.gone += len(batch.gone) + written.with_account
            unit.wiped += written.gone
            unit.bad += len(batch.bad)
            unit.bad_shown += batch.bad[: BAD_SHOWN - len(unit.bad_shown)]
            if not batch.again:
                for (name,), part in rows.group_by("case"):
                    unit.by_case[str(name)] += part.height
            if store.incarnation() != here:
                raise StoreError(
                    f"The store {store.location} was replaced by a backup while this was running,"
                    " so what was stored before may be missing. Run the same command again."
                )
            if batch.cursor is not None or batch.reading.status != "running":
                unit.cursor = batch.cursor or unit.cursor
                log(unit)
    except BaseException as error:
        try:
            failed(error)
        except KeyboardInterrupt:  # one Ctrl-C can come twice: from polars, then from Python
            failed(error)
        raise
    return list(units.values())


class _Cursors:
    """Where the units of each collector stood before this run, asked for once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.found: dict[str, dict[str, str]] = {}

    def of(self, collector: str, unit: str) -> str | None:
        if collector not in self.found:
            self.found[collector] = self.store.known().cursors(collector)
        return self.found[collector].get(unit)


def _begun(batch: Batch, cursors: _Cursors) -> Unit:
    """The unit of a batch that is its first: nothing of it is stored yet, though this batch may be
    its last as well."""
    reading = batch.reading
    return Unit(
        uuid.uuid4().hex,
        batch.collector,
        datetime.now(UTC),
        cursors.of(batch.collector, reading.unit),
        Reading(reading.unit, reading.source, reading.host, cases=reading.cases),
    )


class _Erased:
    """What this run was told is deleted. An older copy may come after the record that says so; in a
    store the wiped post would refuse it, but what was never stored nobody else remembers."""

    def __init__(self) -> None:
        self.posts = pl.Series("uri", [], dtype=pl.UInt64)  # hashes: a dump can name millions
        self.authors: set[str] = set()

    def spared(self, batch: Batch) -> pl.DataFrame:
        """The posts of a batch that are none of these, nor erased by the batch itself."""
        self.posts = self.posts.append(pl.Series("uri", batch.gone, dtype=pl.String).hash())
        self.authors.update(name.lower() for name in batch.deleted)  # Reddit's ignore case
        if not (len(self.posts) or self.authors):
            return batch.posts
        author = pl.col("author").fill_null("").str.to_lowercase()
        return batch.posts.filter(
            ~pl.col("uri").hash().is_in(self.posts.implode()) & ~author.is_in(list(self.authors))
        )


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "Stopped by Ctrl-C."
    return str(error) or type(error).__name__


def _row(unit: Unit, cases: Sequence[Case], *, failed: str = "") -> dict[str, Any]:
    reading = unit.reading
    status = "failed" if failed else reading.status
    return {
        "run_id": unit.run_id,
        "collector": unit.collector,
        "source": reading.source,
        "host": reading.host or socket.gethostname(),
        "cases": [
            {"case": case.name, "query_hash": case.query_hash}
            for case in cases
            if not reading.cases or case.name in reading.cases
        ],
        "unit": reading.unit,
        "started_at": unit.started_at,
        "finished_at": None if status == "running" else datetime.now(UTC),
        "observed_from": reading.observed_from,
        "observed_to": reading.observed_to,
        "cursor_before": unit.cursor_before,
        "cursor_after": unit.cursor,
        "pages": reading.pages,
        "items": reading.items,
        "kept": unit.kept,
        "new": unit.new,
        "gone": unit.gone,
        "bad": unit.bad,
        "bytes": reading.bytes,
        "status": status,
        "stop_reason": "stopped by an error" if failed else reading.stop_reason,
        "gap": bool(failed) or reading.gap,
        "error": failed or reading.error,
        "version": version("aftershock"),
    }
