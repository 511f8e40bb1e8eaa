"""The ledger of a run: what came of each unit, written a few rows at a time.

A row is written after what it speaks of was stored, so it may come late, never early: a kill in
between only makes the next run read a little once more.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from cases.case import Case
from store.schema import Bad, Reading
from store.tables import Store, StoreBusy, StoreError

# A commit takes a tenth of a second, however many rows it has; six cases search fifty phrases.
EVERY = 5.0  # seconds


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


class Ledger:
    """Takes down how the units of one run stand, for the store as it was when the run began."""

    def __init__(self, store: Store, cases: Sequence[Case], *, keeps: bool) -> None:
        self._store = store
        self._cases = cases
        self._keeps = keeps
        self._waiting: dict[str, dict[str, Any]] = {}
        self._next = 0.0
        self._written = ""  # the unit that was written last
        self.incarnation = store.incarnation()

    def note(self, unit: Unit) -> None:
        """Take down a unit as it is. The first of a run is written at once, so that others see that
        it is under way, and so is a unit that is read by itself: a stream may be quiet for long."""
        self._waiting[unit.run_id] = _row(unit, self._cases)
        if unit.run_id == self._written or time.monotonic() >= self._next:
            self.write()
            self._written = unit.run_id

    def write(self, *, later: bool = False) -> None:
        """Write what waits; `later` leaves it in the spool. A store that was replaced by a backup
        holds nothing of what these rows speak of."""
        if self._waiting and self._keeps and self._store.incarnation() == self.incarnation:
            rows = list(self._waiting.values())
            (self._store.log_run_later if later else self._store.log_run)(*rows)
        self._waiting.clear()
        self._next = time.monotonic() + EVERY

    def failed(self, units: Iterable[Unit], error: BaseException) -> None:
        """Say that an error ended the units that were still under way, and write everything."""
        for unit in units:
            if unit.reading.status == "running":
                self._waiting[unit.run_id] = _row(unit, self._cases, failed=_sentence(error))
        with suppress(StoreError):  # the error under way says more than a second one would
            # Who has waited for other writers does not wait for them once more.
            self.write(later=isinstance(error, StoreBusy))


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
