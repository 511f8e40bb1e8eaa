"""Stretches of time that hold about as many posts as fit into memory, for whoever reads them all.

A post never leaves its `at`, so stretches read one after the other neither miss nor double one,
whatever is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import NamedTuple

import polars as pl

from store.merge import Tables

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Stretch(NamedTuple):
    """Time from `since` (inclusive) to `until` (exclusive), UTC."""

    since: datetime
    until: datetime

    def holds(self) -> tuple[pl.Expr, pl.Expr]:
        """Whether a row of `posts` lies in it; its day first, so that other files stay closed."""
        at = pl.col("at")
        return self.days(), (at >= self.since) & (at < self.until)

    def days(self) -> pl.Expr:
        """Whether a row's day touches it: of tables that know no more than the day."""
        last = (self.until - timedelta(microseconds=1)).date()
        return pl.col("day").is_between(self.since.date(), last)


def stretches(
    tables: Tables, rows: int, since: datetime | None = None, until: datetime | None = None
) -> list[Stretch]:
    """All time of [since, until) that holds posts, in order and without overlap.

    Cut between days where more than `rows` posts would come together, and a day that has more by
    itself between hours; an hour is never cut.
    """
    counts = tables.partitions("posts")
    if since is not None:
        counts = counts.filter(pl.col("value") >= since.date())
    if until is not None:
        counts = counts.filter(pl.col("value") <= until.date())
    return [
        Stretch(max(start, since or start), min(end, until or end))
        for start, end in _joined(_units(tables, counts, rows), rows)
        if (since is None or end > since) and (until is None or start < until)
    ]


def _units(tables: Tables, counts: pl.DataFrame, rows: int) -> Iterator[tuple[Stretch, int]]:
    """Days, or the hours of a day that has too many posts, and how many there are in each."""
    for day, held in counts.select("value", "rows").iter_rows():
        start = datetime.combine(day, time(), UTC)
        if held <= rows:
            yield Stretch(start, start + DAY), held
            continue
        for hour, posts in tables.read(partial(_hours, tables, day)).iter_rows():
            yield Stretch(hour, hour + HOUR), posts


def _hours(tables: Tables, day: date) -> pl.LazyFrame:
    hours = tables.scan("posts").filter(pl.col("day") == day)
    return hours.group_by(pl.col("at").dt.truncate("1h")).len().sort("at")


def _joined(units: Iterable[tuple[Stretch, int]], rows: int) -> Iterator[Stretch]:
    """Neighbours together, as long as they hold no more than `rows`."""
    current: Stretch | None = None
    total = 0
    for unit, held in units:
        if current is not None and total + held <= rows:
            current, total = Stretch(current.since, unit.until), total + held
            continue
        if current is not None:
            yield current
        current, total = unit, held
    if current is not None:
        yield current
