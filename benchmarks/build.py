"""Builds a store of so many invented posts, to be measured afterwards; goes on where it stopped.

Up to a million posts go the store's own road: written in order of time, 50,000 a batch, scored by
`add_scores`. Beyond that all but the last 100,000 are laid down as the own road and a compaction
leave them (one sorted file a day and table), because what is measured is the store and not its
building; BENCH_ROAD=own takes the own road for every size.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, write_deltalake

from benchmarks import generate
from benchmarks.invent import Year, compounds, matches
from store import posts as posts_module
from store.merge import WRITER, arrow
from store.schema import MATCHES, POSTS, SCORES, Batch, Reading
from store.tables import Store

BATCH = 50_000
OWN = 100_000  # of a store that is laid down, what goes the own road all the same
LARGE = 1_000_000
SCORER_PYTHON = "3.11"


def settle(folder: Path) -> None:
    """Point the settings of this process at the store in `folder`."""
    os.environ["AFTERSHOCK_STORE"] = str(folder / "store")
    os.environ["AFTERSHOCK_SALT"] = str(folder / "salt")
    os.environ["AFTERSHOCK_CASES"] = str(folder / "cases")


def query_hash() -> str:
    from cases.case import get  # noqa: PLC0415 - after the settings

    return get(generate.CASE).query_hash


def build(folder: Path, size: int) -> None:
    """Make the store, or what is missing of it; `built.json` in the folder says how far it is."""
    settle(folder)
    generate.case(folder / "cases")
    note = folder / "built.json"
    done = json.loads(note.read_text()) if note.exists() else {"posts": 0, "seconds": []}
    store, year = Store.open(), Year(size)
    own = size <= LARGE or os.environ.get("BENCH_ROAD") == "own"
    if not own:
        _lay_down(store, year, size - OWN, note, done)
    while done["posts"] < size:
        first = done["posts"]
        begun, cpu = time.perf_counter(), time.process_time()
        rows = year.posts(first, min(BATCH, size - first))
        made, made_cpu = time.perf_counter(), time.process_time()
        write(store, rows)
        ended, ended_cpu = time.perf_counter(), time.process_time()
        score(store, rows)
        done["posts"] = first + rows.height
        done["seconds"].append(
            {
                "rows": rows.height,
                "wall": ended - made,
                "cpu": ended_cpu - made_cpu,
                "generated": made_cpu - cpu,
                "all": time.perf_counter() - begun,
            }
        )
        note.write_text(json.dumps(done))


def write(store: Store, rows: pl.DataFrame) -> None:
    """A batch as an import that takes files whole writes it."""
    batch = Batch("archive", Reading("bench", "bluesky"), posts=rows, taken=True)
    store.write(batch, matches(rows, query_hash()))


def score(store: Store, rows: pl.DataFrame) -> None:
    """Scores for these posts, made up from their keys."""
    # The keys go by the same road as in the store; their texts are as they came.
    shaped = posts_module.shape(rows, "archive", store._keys)
    store.add_scores(scored(shaped.with_columns(day=pl.col("at").dt.date())))


def scored(posts: pl.DataFrame) -> pl.DataFrame:
    """SCORES of shaped posts."""
    from analysis.vader import SCORER  # noqa: PLC0415

    value = compounds(posts["post"])
    given = posts.select(
        "post",
        "day",
        input_hash="text_hash",
        case=pl.lit(""),
        scorer=pl.lit(SCORER),
        python=pl.lit(SCORER_PYTHON),
        status=pl.lit("scored"),
        lang=pl.lit("en"),
        compound=value,
        neg=value.clip(-1, 0).abs() / 2,
        neu=pl.lit(0.5),
        pos=value.clip(0, 1) / 2,
        scored_at=pl.lit(datetime(2026, 1, 1, tzinfo=UTC)),
    )
    return given.select(
        (pl.col(name) if name in given.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in SCORES.items()
    )


def _lay_down(store: Store, year: Year, count: int, note: Path, done: dict[str, object]) -> None:
    """Write the tables' files themselves, whole days at a time."""
    hashed = query_hash()
    for first, until in _portions(year, count):
        if first < int(str(done["posts"])):
            continue
        raw = year.posts(first, until - first)
        rows = posts_module.shape(raw, "archive", store._keys)
        rows = rows.with_columns(day=pl.col("at").dt.date()).select(POSTS.names())
        found = rows.select(
            "post",
            "day",
            case=pl.lit(generate.CASE),
            query_hash=pl.lit(hashed),
            via=pl.lit("taken"),
            root_known=pl.lit(value=False),
        ).select(MATCHES.names())
        for name, frame in (("posts", rows), ("matches", found), ("scores", scored(rows))):
            table = DeltaTable(f"{store.location}/{name}")
            write_deltalake(table, arrow(frame), mode="append", writer_properties=WRITER)
        done["posts"] = until
        note.write_text(json.dumps(done))
        print(f"{until:,} of {year.size:,}", file=sys.stderr)


def _portions(year: Year, count: int) -> Iterator[tuple[int, int]]:
    """Stretches of whole days with at most about 300,000 posts, up to `count` posts."""
    first = last = 0
    for day in range(1, generate.DAYS + 1):
        end = min(year.day_of(day), count)
        if end - first > 300_000 and last > first:
            yield first, last
            first = last
        last = end
    if last > first:
        yield first, last


def last_days(days: int) -> datetime:
    """The instant so many days before the end of the generated year."""
    return generate.START + timedelta(days=generate.DAYS - days)


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]))
