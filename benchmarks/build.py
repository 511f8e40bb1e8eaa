"""Builds a store of so many invented posts, to be measured afterwards.

Up to a million posts go the store's own road: written in order of time, 50,000 a batch, scored by
`add_scores`. Beyond that all but the last 100,000 are laid down as the own road and a compaction
leave them (one sorted file a day and table), because what is measured is the store and not its
building; BENCH_ROAD=own takes the own road for every size.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from deltalake import DeltaTable, write_deltalake

from benchmarks import generate
from benchmarks.invent import Year, compounds, matches
from store import posts as posts_module
from store.merge import WRITER, arrow
from store.schema import MATCHES, POSTS, SCORES, TONE_INPUT, Batch, Reading
from store.tables import Store

BATCH = 50_000
OWN = 100_000  # of a store that is laid down, what goes the own road all the same
LARGE = 1_000_000
PORTION = 200_000  # posts laid down at once: about half a gigabyte in each process
SALT = "b5" * 32  # what is invented needs no secret; the same keys in every store
SCORED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def settle(folder: Path) -> None:
    """Point the settings of this process at the store in `folder`."""
    os.environ["AFTERSHOCK_STORE"] = str(folder / "store")
    os.environ["AFTERSHOCK_SALT"] = str(folder / "salt")
    os.environ["AFTERSHOCK_CASES"] = str(folder / "cases")
    for name in ("AFTERSHOCK_DEMO", "AFTERSHOCK_ERASURES"):
        os.environ.pop(name, None)


def query_hash() -> str:
    """Of the case that the benchmark watches."""
    from cases.case import get  # noqa: PLC0415 - after the settings

    return get(generate.CASE).query_hash


def build(folder: Path, size: int, *, road: str = "") -> dict[str, Any]:
    """Make the store of `size` posts in `folder` anew, without cells.

    `road`: own, laid, or empty for the one that goes with the size. Returns laid (posts laid down)
    and batches: for each its rows and the wall and CPU seconds of writing and of scoring; `seconds`
    is of laying down.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settle(folder)
    salt = folder / "salt"
    salt.touch(mode=0o600)
    salt.write_text(SALT + "\n")
    generate.case(folder / "cases")
    store, year = Store.open(), Year(size)
    road = road or os.environ.get("BENCH_ROAD", "own" if size <= LARGE else "laid")
    begun = time.perf_counter()
    laid = 0 if road == "own" else size if size <= OWN else size - OWN
    if laid:
        _lay_down(folder, year, laid)
    seconds = time.perf_counter() - begun
    batches = []
    for first in range(laid, size, BATCH):
        rows = year.posts(first, BATCH)
        clock = time.perf_counter(), time.process_time()
        write(store, rows)
        score(store, rows)
        batches.append(
            {
                "rows": rows.height,
                "wall": time.perf_counter() - clock[0],
                "cpu": time.process_time() - clock[1],
            }
        )
        _progress(first + rows.height, size)
    return {"laid": laid, "seconds": seconds, "batches": batches}


def write(store: Store, rows: pl.DataFrame) -> None:
    """A batch as an import that takes files whole writes it."""
    batch = Batch("archive", Reading("bench", "bluesky"), posts=rows, taken=True)
    store.write(batch, matches(rows, query_hash()))


def score(store: Store, rows: pl.DataFrame) -> None:
    """Scores for these posts, made up from their keys."""
    store.add_scores(scored(_shaped(store, rows)))


def scored(posts: pl.DataFrame) -> pl.DataFrame:
    """SCORES of shaped posts: a tone for English and French, none for what has no scorer."""
    from analysis.tone import LANGUAGES, PYTHON, SCORER  # noqa: PLC0415

    known = pl.col("lang").is_in(list(LANGUAGES))
    given = (
        posts.with_columns(compounds(posts["post"]), lang=pl.col("langs").list.first())
        .with_columns(compound=pl.when(known).then("compound"))
        .select(
            "post",
            "day",
            "lang",
            "compound",
            input_hash=TONE_INPUT,
            case=pl.lit(""),
            scorer=pl.lit(SCORER),
            python=pl.lit(PYTHON),
            status=pl.when(known).then(pl.lit("scored")).otherwise(pl.lit("language")),
            neg=pl.col("compound").clip(-1, 0).abs() / 2,
            neu=pl.when(known).then(0.5),
            pos=pl.col("compound").clip(0, 1) / 2,
            scored_at=pl.lit(SCORED_AT),
        )
    )
    return given.select(
        (pl.col(name) if name in given.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in SCORES.items()
    )


def _shaped(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    """POSTS as the store makes them of RAW_POST."""
    shaped = posts_module.shape(rows, "archive", store._keys)
    return shaped.with_columns(day=pl.col("at").dt.date()).select(POSTS.names())


def _lay_down(folder: Path, year: Year, count: int) -> None:
    """Write the tables' files themselves, whole days at a time, on two cores."""
    workers = min(2, os.cpu_count() or 1)
    if count <= PORTION:
        _portion(folder, year, 0, count)
        return
    # Started afresh: polars' threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = [
            pool.submit(_portion, folder, year, first, until)
            for first, until in portions(year, count)
        ]
        done = 0
        for portion in waiting:
            done += portion.result()
            _progress(done, year.size)


def _portion(folder: Path, year: Year, first: int, until: int) -> int:
    settle(folder)
    store = Store.open(create=False)
    rows = _shaped(store, year.posts(first, until - first))
    found = rows.select(
        "post",
        "day",
        case=pl.lit(generate.CASE),
        query_hash=pl.lit(query_hash()),
        via=pl.lit("taken"),
        root_known=pl.lit(value=False),
    ).select(MATCHES.names())
    for name, frame in (("posts", rows), ("matches", found), ("scores", scored(rows))):
        # Appending never collides; delta-rs tries again by itself when the other was first.
        write_deltalake(
            DeltaTable(f"{store.location}/{name}"),
            arrow(frame),
            mode="append",
            writer_properties=WRITER,
        )
    return rows.height


def portions(year: Year, count: int) -> Iterator[tuple[int, int]]:
    """Stretches of whole days of about PORTION posts, up to `count` posts."""
    ends = np.minimum([year.day_of(day) for day in range(1, generate.DAYS + 1)], count)
    first = last = 0
    for end in ends.tolist():
        if end - first > PORTION and last > first:
            yield first, last
            first = last
        last = end
    if last > first:
        yield first, last


def _progress(done: int, size: int) -> None:
    if size > LARGE // 10:
        print(f"  {done:,} of {size:,} posts", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(json.dumps(build(Path(sys.argv[1]), int(float(sys.argv[2])))))
