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
from store.tables import Store, StoreBusy, StoreError

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
    gone: int = 0  # records that the source marks as deleted
    wiped: int = 0  # of those, kept before
    bad: int = 0
    bad_shown: list[Bad] = field(default_factory=list)
    by_case: Counter[str] = field(default_factory=Counter)


def ingest(
    store: Store,
    cases: Sequence[Case],
    batches: Iterable[Batch],
    *,
    cursor: str | None = None,
    ledger: bool = True,
    begun: Callable[[Unit], object] | None = None,
) -> list[Unit]:
    """Store every batch and return what came of each unit, in the order they were first seen.

    A unit's ledger row is written when the unit begins (status running), whenever it reaches a new
    cursor, and when it ends. When the collector or the store raises, the rows of the units under
    way become `failed` with the sentence of the error, and the error goes on. Without `ledger`
    nothing is said there: the demo has a ledger of its own. `begun` is called with each unit when
    it begins, for whoever has to report on it even if the collector raises.
    """
    units: dict[tuple[str, str, str], Unit] = {}

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
    gone = pl.Series("gone", [], dtype=pl.UInt64)  # hashes: a dump can name millions
    try:
        for batch in batches:
            # An older copy may come after the record that says it was deleted; in a store the wiped
            # post would refuse it, but what was never stored nobody remembers.
            gone = gone.append(pl.Series("gone", batch.gone, dtype=pl.String).hash())
            if len(gone):
                batch = replace(  # noqa: PLW2901
                    batch, posts=batch.posts.filter(~pl.col("uri").hash().is_in(gone.implode()))
                )
            key = (batch.collector, batch.reading.source, batch.reading.unit)
            unit = units.get(key)
            if unit is None:
                # Nothing of it is stored yet, though its first batch may be its last as well.
                empty = Reading(batch.reading.unit, batch.reading.source, batch.reading.host)
                unit = units[key] = Unit(
                    uuid.uuid4().hex, batch.collector, datetime.now(UTC), cursor, empty
                )
                if begun is not None:
                    begun(unit)
                log(unit)
            rows = match(batch.posts, cases, matched=matched, taken=batch.taken)
            written = store.write(batch, rows)
            unit.reading = batch.reading
            # What is yielded again was counted the first time, unless only now it was kept.
            unit.kept += written.new if batch.again else written.kept
            unit.new += written.new
            unit.gone += len(batch.gone)
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
        "cases": [{"case": case.name, "query_hash": case.query_hash} for case in cases],
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
