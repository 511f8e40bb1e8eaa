"""The way from a collector to the store: match, write, and say in the ledger what was read.

The one road for every source, files and live collectors alike. Collectors hold no state; the
ledger row with the cursor is written after the posts it covers, so a cursor never moves past
something that was not stored.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from cases.case import Case
from cases.match import match
from cli.console import warn
from cli.ledger import Ledger, Unit
from store.schema import Batch, Reading
from store.tables import Store, StoreError, Written

__all__ = ["BAD_SHOWN", "Unit", "ingest"]

BAD_SHOWN = 20


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

    A unit's ledger row is noted when the unit begins (status running), whenever it reaches a new
    cursor, and when it ends, and written within seconds of that (`ledger.py`). When the collector
    or the store raises, the rows of the units under way become `failed` with the sentence of the
    error, and the error goes on. Without `ledger` nothing is said there: the demo has a ledger of
    its own. `begun` is called with each unit when it begins, for whoever has to report on it even
    if the collector raises. `write` takes the place of the store's.
    """
    units: dict[tuple[str, str, str], Unit] = {}
    cursors = _Cursors(store)

    def matched(case: Case, uris: Sequence[str]) -> set[str]:
        return store.known().matched(case.name, case.query_hash, uris)

    store.drain()
    for sentence in store.set_aside():
        warn(sentence)
    book = Ledger(store, cases, keeps=ledger)
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
                book.note(unit)
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
            if store.incarnation() != book.incarnation:
                raise StoreError(
                    f"The store {store.location} was replaced by a backup while this was running,"
                    " so what was stored before may be missing. Run the same command again."
                )
            if batch.cursor is not None or batch.reading.status != "running":
                unit.cursor = batch.cursor or unit.cursor
                book.note(unit)
        book.write()
    except BaseException as error:
        try:
            book.failed(units.values(), error)
        except KeyboardInterrupt:  # one Ctrl-C can come twice: from polars, then from Python
            book.failed(units.values(), error)
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
