"""Invented posts, and short ways to put them into a store, for the tests of the store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from store.schema import CELLS, RAW_POST, SCORES, Batch, Reading
from store.tables import Store, Written

SALT = bytes(range(32))
START = datetime(2025, 5, 5, 12, tzinfo=UTC)  # a Monday
SEEN = datetime(2025, 6, 1, tzinfo=UTC)
CASE, QUERY, SCORER = "example", "q1", "vader-3.3.2"


def raw(name: str | int, **values: Any) -> dict[str, Any]:
    """One invented post; whatever is not given is plain."""
    return {
        "uri": f"reddit:t3_{name}",
        "source": "reddit",
        "kind": "post",
        "author": f"writer{name}",
        "community": "somewhere",
        "text": f"words of {name}",
        "langs": ["en"],
        "at": START,
        "created_at": START,
        "collected_at": SEEN,
        "likes": 1,
        "replies": 0,
        **values,
    }


def frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([dict(row) for row in rows], schema=RAW_POST)


def matches(posts: pl.DataFrame, *, via: str = "own", root_known: bool = True) -> pl.DataFrame:
    return posts.select(
        "uri",
        case=pl.lit(CASE),
        query_hash=pl.lit(QUERY),
        via=pl.lit(via),
        root_known=pl.lit(root_known),
    )


def batch(posts: pl.DataFrame | None = None, **values: Any) -> Batch:
    reading = Reading("file", "reddit")
    if posts is None:
        return Batch("archive", reading, **values)
    return Batch("archive", reading, posts=posts, **values)


def write(store: Store, *rows: Mapping[str, Any], via: str = "own", **values: Any) -> Written:
    posts = frame(rows)
    return store.write(batch(posts, **values), matches(posts, via=via))


def week(number: int) -> date:
    return (START + timedelta(weeks=number)).date()


def in_week(number: int) -> dict[str, datetime]:
    return {"at": START + timedelta(weeks=number)}


def score_all(store: Store, at: datetime = SEEN) -> int:
    """Give every post that waits a score; returns how many there were."""
    done = 0
    for posts in store.work(SCORER):
        rows = posts.select("post", "day", "input_hash").with_columns(
            case=pl.lit(""),
            scorer=pl.lit(SCORER),
            python=pl.lit("3.11"),
            status=pl.lit("scored"),
            lang=pl.lit("en"),
            compound=pl.lit(0.5),
            scored_at=pl.lit(at),
        )
        missing = [
            pl.lit(None, SCORES[name]).alias(name) for name in SCORES if name not in rows.columns
        ]
        store.add_scores(rows.with_columns(missing))
        done += posts.height
    return done


def count_cells(scored: pl.DataFrame) -> pl.DataFrame:
    """Cells that hold nothing but the number of posts of each week."""
    start = pl.col("at").dt.truncate("1w")
    cells = (
        scored.group_by("case", "query_hash", "scorer", "source", "via", "lang", start=start)
        .agg(n=pl.len().cast(pl.Int64))
        .with_columns(
            width=pl.lit("week"),
            week=pl.col("start").dt.date(),
            month=pl.col("start").dt.date().dt.month_start(),
        )
    )
    missing = [pl.lit(None, CELLS[name]).alias(name) for name in CELLS if name not in cells.columns]
    return cells.with_columns(missing).select(CELLS.names())


def counted(store: Store) -> dict[date, int]:
    """What the cells say: posts in each week."""
    return dict(store.scan("cells").select("week", "n").collect().iter_rows())


def stored(store: Store, table: str = "posts") -> pl.DataFrame:
    return store.scan(table).collect()


def without_lock(store: Store) -> Store:
    """The store with nothing to keep its writers apart but optimistic commits."""
    store._tables._lock._hold = nullcontext
    store._tables._lock.keeps = False
    store._tables._lock.lease = None
    return store


def unlocked(store: Store) -> Store:
    """The store as if nothing kept writers apart: no lock, and no purge that relies on one."""
    store._tables.local = False
    return without_lock(store)


def process(code: str, *words: str) -> subprocess.Popen[str]:
    """Python code in a process of its own, with the tests' and the program's modules."""
    root = Path(__file__).parents[1]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests")))}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def texts(store: Store) -> Sequence[str | None]:
    return stored(store).sort("uri")["text"].to_list()
