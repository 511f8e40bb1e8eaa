"""How the store stands, in numbers: what is in it, what waits, what was read. Reads only.

Whether a number is good or bad is not decided here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import polars as pl

from store import lookup
from store.merge import Tables, holds

ROWS_AT_ONCE = 1_000_000  # of a few columns
DUTY = timedelta(hours=48)  # within which Reddit wants what was deleted there to be gone


@dataclass(frozen=True)
class Standing:
    """`posts`: source, state, posts. `cases`: case, query_hash, source, via, posts. `runs`: RUNS,
    the last of every unit. `due`: posts to be asked about again, by source; `late`: those that
    nobody has looked at, at their source, within 48 hours. `waiting`: batches in the spool. `read`:
    bytes of this month, by collector."""

    posts: pl.DataFrame
    cases: pl.DataFrame
    runs: pl.DataFrame
    due: dict[str, int]
    late: dict[str, int]
    waiting: int
    read: dict[str, int]


def standing(tables: Tables, waiting: int, now: datetime) -> Standing:
    due, late = to_ask(tables, now)
    return Standing(
        posts=by_state(tables),
        cases=by_case(tables),
        runs=last_runs(tables),
        due=due,
        late=late,
        waiting=waiting,
        read=bytes_read(tables, now),
    )


def by_state(tables: Tables) -> pl.DataFrame:
    """How many posts there are: source, state, posts."""
    return tables.read(
        lambda: (
            tables.scan("posts")
            .group_by("source", "state")
            .agg(posts=pl.len())
            .sort("source", "state")
        )
    )


def by_case(tables: Tables) -> pl.DataFrame:
    """How many posts belong to each case under each query: case, query_hash, source, via, posts."""
    key = ["case", "query_hash", "source", "via"]
    found = [pl.DataFrame(schema={**dict.fromkeys(key, pl.String), "posts": pl.UInt32})]
    for days in lookup.portions(tables, "matches", ROWS_AT_ONCE):
        found.append(tables.read(partial(_of_cases, tables, holds(days), key)))
    return pl.concat(found).group_by(key).agg(pl.col("posts").sum()).sort(key)


def _of_cases(tables: Tables, where: pl.Expr, key: list[str]) -> pl.LazyFrame:
    posts = tables.scan("posts").filter(where).select("post", "source")
    matches = tables.scan("matches").filter(where).select("case", "query_hash", "via", "post")
    return matches.join(posts, on="post").group_by(key).agg(posts=pl.len())


def last_runs(tables: Tables) -> pl.DataFrame:
    """The last run of every unit of every collector: rows of RUNS."""
    return tables.read(
        lambda: (
            tables.scan("runs")
            .sort("started_at")
            .group_by("collector", "source", "unit", maintain_order=True)
            .last()
            .sort("collector", "source", "unit")
        )
    )


def bytes_read(tables: Tables, now: datetime) -> dict[str, int]:
    """How many bytes each collector has read this month (UTC), by its runs that began in it."""
    month = now.date().replace(day=1)
    read = tables.read(
        lambda: (
            tables.scan("runs")
            .filter(pl.col("month") == month)
            .group_by("collector")
            .agg(pl.col("bytes").sum())
            .sort("collector")
        )
    )
    return dict(read.iter_rows())


def to_ask(tables: Tables, now: datetime) -> tuple[dict[str, int], dict[str, int]]:
    """How many posts of each source are to be asked about again, and how many nobody has looked at
    within 48 hours (as in `Known.due`, the first sight is a look)."""
    due: Counter[str] = Counter()
    late: Counter[str] = Counter()
    for days in lookup.portions(tables, "posts", ROWS_AT_ONCE):
        found = tables.read(partial(_to_ask, tables, holds(days), now))
        for source, posts, neglected in found.iter_rows():
            due[source] += posts
            late[source] += neglected
    return dict(+due), dict(+late)


def _to_ask(tables: Tables, where: pl.Expr, now: datetime) -> pl.LazyFrame:
    posts = tables.scan("posts").filter(where, pl.col("state").is_in(["live", "hidden"]))
    checks = tables.scan("checks").filter(where).select("post", "checked_at", "next_at")
    waits = pl.col("next_at").is_null() | (pl.col("next_at") <= now)
    looked = pl.coalesce("checked_at", "first_seen_at")
    return (
        posts.select("post", "source", "first_seen_at")
        .join(checks, on="post", how="left")
        .group_by("source")
        .agg(due=waits.sum(), late=(looked < now - DUTY).sum())
    )
