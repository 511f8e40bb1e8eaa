"""A phrase searched on all of Reddit: a sample of its posts, by every order that brings others up.

Reddit can no longer be asked for a span of time, gives about 250 results to a question
(not-an-aardvark/snoowrap#162) and searches no comments. So nothing here claims to be complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

from collectors.reddit_client import BudgetSpentError, Client
from collectors.reddit_listing import CAP_PAGES, SPENT, Found, Places, Unit, page
from collectors.reddit_refusals import RefusedError
from collectors.settings import Settings
from store.schema import Batch

if TYPE_CHECKING:
    from cases.case import Case

NEWEST = ("new", "all")  # a narrower time gives only the beginning of the same results
# The other orders of the site are a mixture of these (hot) or too short to find more (hour). Each
# is asked again after about a third of its time, since only then it can have changed.
AGAIN = {
    "day": timedelta(hours=8),
    "week": timedelta(days=2),
    "month": timedelta(days=10),
    "year": timedelta(days=60),
    "all": timedelta(days=90),
}
GRID = tuple(product(("relevance", "top", "comments"), AGAIN))
OVERLAP = timedelta(days=1).total_seconds()  # what is written now is found a while later


class Search:
    """One phrase in one run, for every case that has it."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        phrase: str,
        cases: Sequence[Case],
        cursor: str | None,
        floor: datetime,
        brought: set[str],
    ) -> None:
        """`floor`: nothing written before it is wanted. `brought`: uris that this run has already
        had of a listing; it is added to, since the orders bring mostly the same posts."""
        self.client, self.phrase, self.cases, self.floor = client, phrase, cases, floor
        self.brought = brought
        names = tuple(case.name for case in cases)
        self.unit = Unit(f"search: {phrase}", names, settings, client)
        self.places = Places(cursor)
        self.since = settings.since
        self.passed_over = self.places.passed_over(cases, self.since)

    @property
    def read_at(self) -> float:
        """When its newest results were last read, 0 for never."""
        known = self.places.of(self.cases, self.since)
        return min((float(one.get("to", 0)) for one in known), default=0.0) if known else 0.0

    def newest(self) -> Iterator[Batch]:
        """What is new since the last run. Raises BudgetSpentError or RefusedError after a batch
        that says so."""
        yield from self._ended(self._newest())

    def grid(self) -> Iterator[Batch]:
        """The other orders that are due. Raises as `newest`."""
        yield from self._ended(self._grid())

    def _ended(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        try:
            yield from batches
        except BudgetSpentError:
            yield self.unit.batch(status="partial", stop_reason=SPENT)
            raise
        except RefusedError as error:
            said = f"{self.unit.name}: {error}"
            yield self.unit.batch(status="failed", stop_reason=error.kind, error=said)
            raise

    def _newest(self) -> Iterator[Batch]:
        known = self.places.of(self.cases, self.since) or []
        anew: dict[str, Any] = {} if known else {"cells": {}}
        newest = [one["newest"] for one in known if one.get("newest") is not None]
        target = min(newest) - OVERLAP if known and len(newest) == len(known) else None
        began = self.client.now().timestamp()
        top: float | None = None
        for found in self._results(*NEWEST, target):
            top = max(filter(None, (top, found.newest)), default=None)
            yield self.unit.batch(found)
        latest = max((one for one in (top, *newest) if one is not None), default=None)
        if not self.passed_over:
            self.places.put(self.cases, self.since, newest=latest, to=began, **anew)
        left = self._due()
        yield self.unit.batch(
            cursor=self.places.text(),
            status="partial" if left else "done",
            stop_reason=f"the newest; {len(left)} of {len(GRID)} other orders are due"
            if left
            else "the newest; no other order is due",
        )

    def _grid(self) -> Iterator[Batch]:
        due = self._due()
        for sort, span in due:
            for found in self._results(sort, span):
                yield self.unit.batch(found)
            asked = self.client.now().timestamp()
            known = self.places.of(self.cases, self.since) or ()
            for case, one in zip(self.cases, () if self.passed_over else known, strict=False):
                cells = dict(one.get("cells") or {}) | {f"{sort}/{span}": asked}
                self.places.put([case], self.since, cells=cells)
            yield self.unit.batch(cursor=self.places.text())
        if due:
            yield self.unit.batch(
                status="done", stop_reason=f"the newest, and {len(due)} other orders"
            )

    def _due(self) -> list[tuple[str, str]]:
        now = self.client.now().timestamp()
        known = self.places.of(self.cases, self.since)
        if known is None:
            return []  # first the newest
        cells = [one.get("cells") or {} for one in known]
        return [
            (sort, span)
            for sort, span in GRID
            if any(
                now - one.get(f"{sort}/{span}", 0) >= AGAIN[span].total_seconds() for one in cells
            )
        ]

    def _results(self, sort: str, span: str, target: float | None = None) -> Iterator[Found]:
        after: str | None = None
        seen: set[str | None] = set()
        for _ in range(CAP_PAGES):
            self.unit.begin()
            params: dict[str, str | int] = {
                "q": self.phrase,
                "sort": sort,
                "t": span,
                "restrict_sr": "False",
                "syntax": "lucene",
                "type": "link",
            }
            if after:
                params["after"] = after
            place = f"{self.unit.name}, {sort}/{span}, page {len(seen) + 1}"
            found = page(self.client, "r/all/search/", place, **params)
            self.unit.end(found)
            reached = target is not None and found.oldest is not None and found.oldest < target
            found.since(self.floor)
            found.unlike(self.brought)
            yield found
            after = found.after
            if after is None or reached or after in seen:
                return
            seen.add(after)
