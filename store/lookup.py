"""Finding posts by their key alone, through the key index: in which days to look.

Keeps the index up with the tables and holds every answer against them; where the index cannot be
used, the answer is to look everywhere. Only what is merged through here need not be read again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import partial

import polars as pl
from deltalake import DeltaTable

from store.index import Index, Reach
from store.merge import Tables, holds

TRIES = 3
ROWS_AT_ONCE = 250_000

# Commits that bring no post in. (An update's or delete's new files hold what older ones held.)
_MOVES = {"UPDATE", "DELETE", "OPTIMIZE", "VACUUM START", "VACUUM END", "CREATE TABLE"}


def places(tables: Tables, name: str, keys: pl.Series) -> pl.DataFrame | None:
    """Where posts with these keys may lie, and nowhere else: post, day. None: anywhere.

    `name` is `posts`, or `times` for the days of the times that were fixed at first sight.
    """
    index = tables.index
    if index is None:
        return None
    try:
        for _ in range(TRIES):
            reach = _caught_up(tables, index, name)
            found = index.find(name, keys, reach) if reach else None
            if found is not None:
                return found
    except sqlite3.Error as error:
        index.failed(error)
    return None


def days(tables: Tables, keys: pl.Series) -> list[date] | None:
    """The days that may hold stored posts with these keys; None when it may be any."""
    found = places(tables, "posts", keys)
    return None if found is None else found["day"].unique().sort().to_list()


def somewhere(tables: Tables, keys: pl.Series) -> pl.Expr:
    """Whether a row lies where posts with these keys may be stored."""
    found = days(tables, keys)
    return pl.lit(value=True) if found is None else holds(found)


def merge(
    tables: Tables,
    name: str,
    rows: pl.DataFrame,
    *,
    updates: Mapping[str, str] | None = None,
    when: str | None = None,
) -> int:
    """`Tables.merge` into posts or times, with the keys in the index before the commit."""
    at = "at" if name == "times" else "day"
    announced = rows.select("post", day=pl.col(at).cast(pl.Date))
    return tables.merge(
        name, rows, updates=updates, when=when, then=_announce(tables, name, announced)
    )


def _announce(tables: Tables, name: str, rows: pl.DataFrame) -> Callable[[DeltaTable], None] | None:
    index = tables.index
    if index is None or rows.is_empty():
        return None
    try:
        _caught_up(tables, index, name)  # or the commit to come would not join on
        era = index.add(name, rows)
    except sqlite3.Error as error:
        index.failed(error)
        return None

    def advance(table: DeltaTable) -> None:
        try:
            index.advance(name, Reach(str(table.metadata().id), table.version(), era))
        except sqlite3.Error as error:
            index.failed(error)  # the next look-up reads the commit from the log

    return advance


def drop(tables: Tables, keys: Collection[str]) -> None:
    """Take the keys of deleted posts out of the index; after they are deleted from the tables."""
    if tables.index is not None and keys:
        try:
            tables.index.drop(keys)
        except sqlite3.Error as error:
            tables.index.failed(error)


def _caught_up(tables: Tables, index: Index, name: str) -> Reach | None:
    """Bring the index up to the table as it stands, and say how far that is; None when others kept
    changing it."""
    table = tables.snapshot(name)
    here = Reach(str(table.metadata().id), table.version(), "")
    reach = index.reach(name)
    if reach.id == here.id and reach.covered == here.covered:
        return here
    if reach.covered > here.covered and tables.version(name) > here.covered:
        return None  # somebody has just written: look again
    days = None
    if reach.id == here.id and 0 <= reach.covered < here.covered:
        days = touched(tables, name, reach.covered, here.covered)
    target = Reach(here.id, here.covered, reach.era)
    portions = _portions(tables, name, days)
    return here if index.fill(name, target, portions, anew=days is None) else None


def touched(
    tables: Tables, name: str, covered: int, version: int, *, edits: bool = False
) -> set[date] | None:
    """The days into which posts came after one version, or with `edits` in which posts were
    changed by newer copies; None when the log cannot tell."""
    found: set[date] = set()
    for number in range(covered + 1, version + 1):
        entries = tables.entries(name, number)
        if entries is None:
            return None
        commits = (entry["commitInfo"] for entry in entries if "commitInfo" in entry)
        if any(_brings_none(commit, edits=edits) for commit in commits):
            continue
        for entry in entries:
            if added := entry.get("add"):
                value = added.get("partitionValues", {}).get("day")
                if value is None:  # a table without days is read whole
                    return None
                found.add(date.fromisoformat(value))
    return found


def _brings_none(commit: Mapping[str, object], *, edits: bool) -> bool:
    metrics = commit.get("operationMetrics")
    inserted = metrics.get("num_target_rows_inserted") if isinstance(metrics, dict) else None
    return commit.get("operation") in _MOVES or (
        commit.get("operation") == "MERGE" and inserted in {0, "0"} and not edits
    )


def _portions(
    tables: Tables, name: str, touched: Collection[date] | None
) -> Iterator[pl.DataFrame]:
    """Stored posts and their days, so many at a time: post, day."""
    if name == "times":
        yield tables.read(lambda: tables.scan(name).select("post", day=pl.col("at").dt.date()))
        return
    for some in portions(tables, name, ROWS_AT_ONCE):
        wanted = [day for day in some if touched is None or day in touched]
        if wanted:
            yield tables.read(partial(_keys, tables, name, wanted))


def _keys(tables: Tables, name: str, wanted: Sequence[date]) -> pl.LazyFrame:
    return tables.scan(name).filter(holds(wanted)).select("post", "day")


def portions(tables: Tables, name: str, rows: int) -> Iterator[Sequence[date]]:
    """All partitions of a table that hold rows, cut where more than so many rows come together."""
    portion: list[date] = []
    held = 0
    for value, count in tables.partitions(name).select("value", "rows").iter_rows():
        if portion and held + count > rows:
            yield portion
            portion, held = [], 0
        portion.append(value)
        held += count
    if portion:
        yield portion
