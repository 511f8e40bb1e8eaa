"""Ways in which a store can come to harm, each with what the doctor should say of it.

Every function damages one thing of the store in a folder; which file it takes is always the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from deltalake import DeltaTable, write_deltalake
from storing import (
    SALT,
    SEEN,
    START,
    count_cells,
    in_week,
    raw,
    score_all,
    week,
    write,
)

from store.keys import Keys
from store.merge import arrow
from store.schema import TABLES
from store.tables import Store

DELETED, FORGOTTEN, HIDDEN = "7", "8", "writer9"
POSTS = [raw(n) for n in range(20)] + [raw(f"w{n}", **in_week(n % 3)) for n in range(30)]
LATER = [raw(n, **in_week(1)) for n in range(100, 110)]
LAST = [raw(n, **in_week(2)) for n in range(200, 205)]


def fill(folder: Path) -> Store:
    """A store with a past: edits, a deletion, a forgotten post, a hidden account, posts without a
    time, scores, cells, a checkpoint, and commits after it. Its figures are up to date."""
    store = Store.open(str(folder), salt=SALT)
    write(store, *POSTS, raw("untimed", at=None))
    write(store, *[row | {"collected_at": SEEN + timedelta(days=1)} for row in POSTS[:5]])
    score_all(store)
    store.rebuild(count_cells)
    store.wipe([store.key(f"reddit:t3_{DELETED}")])
    store.forget([store.key(f"reddit:t3_{FORGOTTEN}")])
    write(store, hidden=(HIDDEN,))
    store.maintain(purge=True)
    write(store, *LATER)
    bring_up(store)
    write(store, *LAST)
    bring_up(store)
    store.log_run({"run_id": "a" * 32, "started_at": SEEN, "status": "done"})
    store.log_run({"run_id": "b" * 32, "started_at": SEEN, "status": "done"})
    store.rebuild(count_cells)
    return store


def bring_up(store: Store) -> None:
    score_all(store)
    store.rebuild(count_cells)


def again(store: Store) -> None:
    """Bring everything in again that `fill` brought in, as the doctor says to do."""
    write(store, *POSTS, *LATER, *LAST)
    write(store, *[row | {"collected_at": SEEN + timedelta(days=1)} for row in POSTS[:5]])
    bring_up(store)


def data_file(folder: Path, table: str = "posts", day: date | None = None) -> Path:
    """The largest file of a table, or of one of its days."""
    actions = pl.DataFrame(DeltaTable(str(folder / table)).get_add_actions(flatten=True))
    if day is not None:
        actions = actions.filter(pl.col("partition.day") == day)
    return folder / table / actions.sort("num_records", "path")["path"][-1]


def entries(folder: Path, table: str = "posts") -> list[Path]:
    return sorted((folder / table / "_delta_log").glob("*.json"))


def checkpoint(folder: Path, table: str = "posts") -> Path:
    return sorted((folder / table / "_delta_log").glob("*.checkpoint.parquet"))[-1]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Turn over every bit of a stretch near the beginning: pages, not the footer."""
    data = bytearray(path.read_bytes())
    for place in range(20, 300):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))


def append(folder: Path, table: str, rows: pl.DataFrame) -> None:
    write_deltalake(
        str(folder / table), arrow(rows.select(TABLES[table][0].names())), mode="append"
    )


def rows(folder: Path, table: str) -> pl.DataFrame:
    return Store.open(str(folder), salt=SALT).scan(table).sort(TABLES[table][2]).collect()


def change(folder: Path, table: str, where: pl.Expr, **values: pl.Expr) -> None:
    """Replace the first row that fits by a changed one, as a fault of a program might."""
    frame = rows(folder, table)
    row = frame.filter(where).head(1)
    key = TABLES[table][2]
    kept = frame.join(row, on=key, how="anti").vstack(row.with_columns(**values))
    write_deltalake(str(folder / table), arrow(kept), mode="overwrite")


def twice(folder: Path, table: str) -> None:
    append(folder, table, rows(folder, table).head(1))


def on_another_day(folder: Path) -> None:
    row = rows(folder, "posts").filter(state="live").head(1)
    append(folder, "posts", row.with_columns(pl.col("day", "at").dt.offset_by("7d")))


def wrong_figures(folder: Path) -> None:
    change(folder, "cells", pl.col("week") == week(1), n=pl.col("n") + 1)
    store = Store.open(str(folder), salt=SALT)
    # As if a rebuild had written them: the cells say that they are up to date.
    store.replace_cells(store.scan("cells").collect().clear(), (), store.stale().versions)


@dataclass(frozen=True)
class Damage:
    """What is done, what the doctor finds, and whether it can mend it."""

    do: Callable[[Path], object]
    finds: frozenset[tuple[str, str]]
    mended: bool = True


def damage(do: Callable[[Path], object], *finds: tuple[str, str], mended: bool = True) -> Damage:
    return Damage(do, frozenset(finds), mended)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b'{"add": {"path\0\0\xff')


MONDAY = START.date()
FILES = {
    "a file cut off": damage(lambda f: cut(data_file(f, day=MONDAY)), ("posts", "damaged")),
    "a file emptied": damage(lambda f: empty(data_file(f, day=MONDAY)), ("posts", "damaged")),
    "a page flipped": damage(lambda f: flip(data_file(f, day=MONDAY)), ("posts", "damaged")),
    "a file lost": damage(lambda f: data_file(f, day=MONDAY).unlink(), ("posts", "missing")),
    "scores lost": damage(lambda f: data_file(f, "scores").unlink(), ("scores", "missing")),
    "matches cut off": damage(lambda f: cut(data_file(f, "matches")), ("matches", "damaged")),
    "cells cut off": damage(lambda f: cut(data_file(f, "cells")), ("cells", "damaged")),
    "the ledger flipped": damage(lambda f: flip(data_file(f, "runs")), ("runs", "damaged")),
}
LOGS = {
    "the newest entry garbled": damage(lambda f: garble(entries(f)[-1]), ("posts", "entry")),
    "the newest entry empty": damage(lambda f: empty(entries(f)[-1]), ("posts", "entry")),
    "the newest entry cut off": damage(lambda f: cut(entries(f)[-1]), ("posts", "entry")),
    "the newest entry of scores": damage(
        lambda f: garble(entries(f, "scores")[-1]), ("scores", "entry")
    ),
    "the newest entry of cells": damage(
        lambda f: garble(entries(f, "cells")[-1]), ("cells", "entry")
    ),
    "a middle entry garbled": damage(
        lambda f: garble(entries(f)[-2]), ("posts", "entry"), mended=False
    ),
    "a middle entry empty": damage(
        lambda f: empty(entries(f)[-2]), ("posts", "entry"), mended=False
    ),
    "a middle entry lost": damage(
        lambda f: entries(f)[-2].unlink(), ("posts", "gap"), mended=False
    ),
    "the oldest entry garbled": damage(lambda f: garble(entries(f)[0]), ("posts", "old_entry")),
    "the pointer garbled": damage(
        lambda f: garble(f / "posts/_delta_log/_last_checkpoint"), ("posts", "hint")
    ),
    "the pointer empty": damage(
        lambda f: empty(f / "posts/_delta_log/_last_checkpoint"), ("posts", "hint")
    ),
    "the checkpoint cut off": damage(lambda f: cut(checkpoint(f)), ("posts", "checkpoint")),
    "the checkpoint flipped": damage(lambda f: flip(checkpoint(f)), ("posts", "checkpoint")),
    "the checkpoint lost": damage(lambda f: checkpoint(f).unlink(), ("posts", "checkpoint")),
    "the cells' folder lost": damage(lambda f: shutil.rmtree(f / "cells"), ("cells", "lost")),
    "the posts' folder lost": damage(
        lambda f: shutil.rmtree(f / "posts"), ("posts", "lost"), mended=False
    ),
    "the blocked keys lost": damage(
        lambda f: shutil.rmtree(f / "blocked"), ("blocked", "lost"), mended=False
    ),
}
LIVE = pl.col("state") == "live"
GONE = pl.col("state") == "gone"
ROWS = {
    "a post twice": damage(lambda f: twice(f, "posts"), ("posts", "twice")),
    "a post on two days": damage(on_another_day, ("posts", "twice")),
    "a match twice": damage(lambda f: twice(f, "matches"), ("matches", "twice")),
    "a score twice": damage(lambda f: twice(f, "scores"), ("scores", "twice")),
    "a run twice": damage(lambda f: twice(f, "runs"), ("runs", "twice")),
    "a time twice": damage(lambda f: twice(f, "times"), ("times", "twice")),
    "a cell twice": damage(lambda f: twice(f, "cells"), ("cells", "twice")),
    "a post under another day": damage(
        lambda f: change(f, "posts", LIVE, day=pl.col("day").dt.offset_by("1d")),
        ("posts", "day"),
        ("matches", "dangling"),
        ("scores", "dangling"),
    ),
    "words that changed on the disk": damage(
        lambda f: change(f, "posts", LIVE, text=pl.lit("other words")), ("posts", "garbled")
    ),
    "a link that changed on the disk": damage(
        lambda f: change(f, "posts", LIVE, uri=pl.lit("reddit:t3_other")), ("posts", "garbled")
    ),
    "a deletion undone": damage(
        lambda f: change(f, "scores", pl.lit(value=True), input_hash=pl.lit(None, pl.String)),
        ("posts", "half_wiped"),
    ),
    "an unknown state": damage(
        lambda f: change(f, "posts", LIVE, state=pl.lit("lost")), ("posts", "state")
    ),
    "words of a deleted post": damage(
        lambda f: change(f, "posts", GONE, text=pl.lit("words")), ("posts", "words")
    ),
    "a hash of a deleted post": damage(
        lambda f: change(f, "scores", pl.col("input_hash").is_null(), input_hash=pl.lit("ab")),
        ("scores", "words"),
    ),
    "a forgotten post": damage(
        lambda f: append(
            f,
            "blocked",
            rows(f, "blocked").head(1).with_columns(key=pl.lit(Keys(SALT).key("reddit:t3_3"))),
        ),
        ("posts", "blocked"),
        ("matches", "blocked"),
        ("scores", "blocked"),
        ("checks", "blocked"),  # it was collected again, and said the same
    ),
    "a match without a post": damage(
        lambda f: change(f, "matches", pl.lit(value=True), post=pl.lit("ab" * 16)),
        ("matches", "dangling"),
    ),
    "a score without a post": damage(
        lambda f: change(f, "scores", pl.lit(value=True), post=pl.lit("ab" * 16)),
        ("scores", "dangling"),
    ),
    "a score beyond its scale": damage(
        lambda f: change(f, "scores", pl.lit(value=True), compound=pl.lit(7.0)),
        ("scores", "value"),
    ),
    "a time that moved": damage(
        lambda f: change(f, "times", pl.lit(value=True), at=pl.lit(START)), ("posts", "time")
    ),
    "wrong figures": damage(wrong_figures, ("cells", "figures")),
}
DAMAGES = FILES | LOGS | ROWS


def newer(folder: Path) -> None:
    """Make every table say that a later version of the program made it."""
    for name in TABLES:
        for path in (folder / name / "_delta_log").iterdir():
            if path.suffix == ".parquet" or path.name == "_last_checkpoint":
                path.unlink()
                continue
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for line in lines:
                if "metaData" in line:
                    said = json.loads(line["metaData"]["description"])
                    line["metaData"]["description"] = json.dumps(said | {"schema": 99})
            path.write_text("\n".join(json.dumps(line) for line in lines))
