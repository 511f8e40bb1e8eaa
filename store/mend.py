"""The doctor's hands: what `aftershock doctor --repair` does about each finding.

Damaged files hold other people's words, so nothing is put aside: what can be read goes into a new
file and the damaged one is deleted. Every change of rows is one commit of Delta Lake's, so a repair
that is killed is simply done again. Runs under the writer lock, which its caller holds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import polars as pl
import pyarrow.fs as pa_fs
from deltalake import DeltaTable, write_deltalake

from store import log
from store.cells import INPUTS, replace_cells
from store.examine_files import File, active, read_groups
from store.examine_rows import HANGING, WORDS, hanging_faults, post_faults, unhashed
from store.findings import Finding
from store.keys import Keys, StoreError
from store.merge import WRITER, Tables, arrow, holds, literals, shaped
from store.posts import wipe
from store.schema import CELLS, TABLES

# What can be had again from the sources or by counting: lost, they begin anew. Of the others an
# empty table would say something false: that nothing was forgotten, or nothing handed out.
REPLACEABLE = {
    "cells": "The table begins anew and its figures are counted again.",
    "scores": "The table begins anew; run `aftershock score`. Scores of deleted posts are lost.",
    "checks": "The table begins anew.",
    "sightings": "The table begins anew; how much search finds is measured from now on.",
    "matches": "The table begins anew; import or collect everything again.",
    "runs": "The table begins anew; which hours were covered is lost and will be shown so.",
}
# Which of two rows with one key is the newer.
_NEWER = {
    "scores": "scored_at",
    "checks": "checked_at",
    "sightings": "seen_at",
    "runs": "finished_at",
    "exports": "written_at",
    "labels": "labelled_at",
    "blocked": "blocked_at",
}
NEVER = 2**62  # as the version that cells reflect: one the log has not reached, so all are stale


def distrust_cells(tables: Tables) -> None:
    """Make every week of the cells stale, so that the next rebuild counts them all again."""
    replace_cells(tables, pl.DataFrame(schema=CELLS), (), dict.fromkeys(INPUTS, NEVER))


def mend_log(tables: Tables, finding: Finding) -> str:
    """Mend the log of a table; returns what was done."""
    name = finding.table
    fs = log.files(tables.uri(name), tables.options())
    there = log.listing(fs)
    if finding.kind == "hint":
        fs.delete_file(log.LAST)
        return "The pointer is deleted."
    number = int(finding.where.split()[-1])
    if finding.kind == "checkpoint":
        for path in there.checkpoints.get(number, []):
            fs.delete_file(path)
        if log.last(fs) == number:
            fs.delete_file(log.LAST)
        return "The checkpoint is deleted."
    if finding.kind == "old_entry":
        fs.delete_file(log.entry_path(number))
        return "The entry is deleted."
    if name in INPUTS:
        # Before the entry changes: cells that counted what it held must not pass for up to date.
        distrust_cells(tables)
    _replace(tables, fs, name, number)
    return f"The table {name} is as it was at version {number - 1}."


def _replace(tables: Tables, fs: pa_fs.FileSystem, name: str, number: int) -> None:
    """Put an entry that changes nothing in the place of one that cannot be read. It stays an entry:
    a version that came twice would deceive every cache that goes by versions."""
    info = {"timestamp": int(time.time() * 1000), "operation": "REPAIR", "operationParameters": {}}
    data = json.dumps({"commitInfo": info}).encode()
    if not tables.local:
        with fs.open_output_stream(log.entry_path(number)) as file:
            file.write(data)
        return
    place = Path(tables.uri(name)) / log.entry_path(number)
    draft = place.with_name("_commit_doctor.json.tmp")  # `maintain` clears drafts of this name
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(place)


def mend_table(tables: Tables, name: str, description: dict[str, object]) -> str:
    """Make a lost table anew, empty."""
    tables.create(name, description)
    return f"The table {name} is there again, empty."


def mend_files(tables: Tables, name: str, found: Sequence[Finding]) -> str:
    """Bring what can be read of a table's damaged partitions into new files; returns what was lost.

    All files of a partition are rewritten in one commit that takes the damaged ones out of the log.
    """
    fs = log.files(tables.uri(name), tables.options())
    bad = {finding.where for finding in found}
    files = active(tables, name)
    values = sorted({file.value for file in files if file.path in bad}, key=str)
    lost, kept, where = 0, 0, []
    for value in values:
        rows, missing = _salvage(fs, name, [file for file in files if file.value == value], bad)
        overwrite(tables, name, rows, [] if value is None else [value])
        lost += missing
        kept += rows.height
        if missing and value is not None:
            where.append(f"{value}")
    if name == "posts" and lost:
        _keep_out(tables, [value for value in values if value is not None])
    for path in bad:  # the log no longer names it, and nobody could read it
        with suppress(FileNotFoundError):
            fs.delete_file(path)
    if not lost:
        return f"Nothing is lost: {kept:,} rows of {name} are in new files."
    again = f" of {', '.join(where)}" if where else ""
    return f"{lost:,} rows of {name}{again} are lost. {_AGAIN.get(name, 'Bring them in again.')}"


_AGAIN = {
    "posts": "Import or collect those days again. What is known to have been deleted at its source"
    " stays out; posts of accounts that were inactive show until the source is asked again.",
    "matches": "Import or collect those days again.",
    "scores": "Run `aftershock score`; scores of deleted posts cannot be had again.",
    "checks": "They come back with the next recheck.",
    "sightings": "How much search found of those days can no longer be told.",
    "cells": "They are counted again.",
    "runs": "Which hours were covered then can no longer be told.",
    "times": "Posts without a time of their own may be stored a second time.",
    "blocked": "Some forgotten posts are no longer kept out: restore the backup of the store, or"
    " forget them again.",
    "exports": "Some exported files are no longer known: delete from them by hand.",
    "exported": "Which posts those exports hold is no longer known: delete or write them again.",
    "labels": "Restore them from a backup.",
}


def _keep_out(tables: Tables, concerned: Sequence[date]) -> None:
    """Block the keys of lost posts that were deleted at their source: without their rows nothing
    else would remember it, and an old archive would bring them back."""
    lost = _wiped(tables, concerned).join(
        tables.read(lambda: tables.scan("posts").filter(holds(concerned)).select("post")),
        on="post",
        how="anti",
    )
    now = pl.lit(datetime.now(UTC), TABLES["blocked"][0]["blocked_at"])
    tables.merge("blocked", lost.select(key="post", blocked_at=now))


def _wiped(tables: Tables, concerned: Sequence[date]) -> pl.DataFrame:
    with suppress(StoreError):  # scores that are damaged too tell nothing
        return unhashed(tables.read(lambda: tables.scan("scores").filter(holds(concerned))))
    return pl.DataFrame(schema={"post": pl.String, "day": pl.Date})


def _salvage(
    fs: pa_fs.FileSystem, name: str, files: Sequence[File], bad: set[str]
) -> tuple[pl.DataFrame, int]:
    """The rows that can be read of one partition's files, and how many cannot."""
    schema, partition, _ = TABLES[name]
    parts = [pl.DataFrame(schema=schema)]
    lost = 0
    for file in files:
        groups = read_groups(fs, file.path)
        rows = sum(group.num_rows for group in groups)
        if file.path in bad:
            lost += max(0, file.rows - rows)
        for group in groups:
            frame = pl.DataFrame(group)
            absent = [pl.lit(None, schema[c]).alias(c) for c in schema if c not in frame.columns]
            frame = frame.with_columns(absent)
            if partition:
                frame = frame.with_columns(pl.lit(file.value, schema[partition]).alias(partition))
            parts.append(shaped(frame, schema))
    return pl.concat(parts), lost


def overwrite(
    tables: Tables, name: str, rows: pl.DataFrame, values: Sequence[date] | Sequence[str]
) -> None:
    """Put rows in the place of all rows of these partitions, or of a whole table without any."""
    schema, partition, _ = TABLES[name]
    where = None
    if partition:
        where = f'"{partition}" IN ({literals(pl.Series(values, dtype=schema[partition]))})'

    def attempt(table: DeltaTable) -> None:
        write_deltalake(
            table, arrow(rows), mode="overwrite", predicate=where, writer_properties=WRITER
        )

    tables.commit(name, attempt)


def mend_rows(tables: Tables, keys: Keys, found: Sequence[Finding]) -> None:
    """Make the rows of a table sound on the days that the findings name."""
    name = found[0].table
    concerned = sorted({day for finding in found for day in finding.days})
    if name == "cells":
        overwrite(tables, "cells", pl.DataFrame(schema=CELLS), concerned)
        distrust_cells(tables)
        return
    if name == "posts":
        strange = [f for f in found if f.kind == "time"]
        if strange:
            _drop_times(tables, [day for finding in strange for day in finding.days])
        _by_group(tables, name, concerned, lambda rows: _sound_posts(tables, keys, rows))
        if halves := [day for f in found if f.kind == "half_wiped" for day in f.days]:
            wipe(tables, _wiped(tables, halves)["post"].to_list(), datetime.now(UTC))
    elif name in HANGING:
        _by_group(tables, name, concerned, lambda rows: _sound_hanging(tables, name, rows))
    elif name == "runs":
        _by_group(tables, name, concerned, lambda rows: _newest(name, _in_month(rows)))
    else:
        rows = tables.read(lambda: tables.scan(name))
        if name == "labels":
            posts = tables.read(lambda: tables.scan("posts").select("post"))
            rows = rows.join(posts, on="post", how="semi")
        overwrite(tables, name, _newest(name, rows), [])


def _by_group(
    tables: Tables,
    name: str,
    concerned: Sequence[date],
    sound: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    """Rewrite partitions as `sound` makes them: one by one, and together where rows move between
    them, so that no row is ever in both or in neither."""
    partition = TABLES[name][1] or ""
    waiting = list(concerned)
    while waiting:
        group = {waiting.pop(0)}
        while True:
            values = sorted(group)
            fresh = sound(tables.read(partial(_of, tables, name, values)))
            twins = _elsewhere(tables, name, fresh, partition, concerned)
            more = (set(fresh[partition].to_list()) | twins) - group
            if not more:
                break
            group |= more
        overwrite(tables, name, fresh, values)
        waiting = [value for value in waiting if value not in group]


def _of(tables: Tables, name: str, values: Sequence[date]) -> pl.LazyFrame:
    """The rows of these partitions."""
    return tables.scan(name).filter(holds(values, TABLES[name][1] or ""))


def _elsewhere(
    tables: Tables, name: str, rows: pl.DataFrame, partition: str, concerned: Sequence[date]
) -> set[date]:
    """The other concerned partitions that hold a row with a key of these."""
    key = list(TABLES[name][2])
    found = tables.read(
        lambda: (
            tables.scan(name)
            .filter(pl.col(partition).is_in(list(concerned)))
            .select(*key, partition)
            .join(rows.lazy().select(key), on=key, how="semi")
            .select(pl.col(partition).unique())
        )
    )
    return set(found[partition].to_list())


def _sound_posts(tables: Tables, keys: Keys, rows: pl.DataFrame) -> pl.DataFrame:
    stop = set(tables.read(lambda: tables.scan("blocked"))["key"])
    rows = rows.with_columns(day=pl.col("at").dt.date()).with_columns(
        pl.when(pl.col("state") != "gone").then(pl.col(column)).alias(column) for column in WORDS
    )
    faults = post_faults(rows, keys, stop, None)
    rows = rows.filter(~(faults["garbled"] | faults["state"] | faults["blocked"]))
    return (
        rows.sort(pl.col("state") == "gone", "collected_at", maintain_order=True)
        .unique("post", keep="last", maintain_order=True)
        .select(TABLES["posts"][0].names())
    )


def _sound_hanging(tables: Tables, name: str, rows: pl.DataFrame) -> pl.DataFrame:
    stop = set(tables.read(lambda: tables.scan("blocked"))["key"])
    places = tables.read(
        lambda: (
            tables.scan("posts")
            .select("post", "state", _day="day")
            .join(rows.lazy().select("post").unique(), on="post", how="semi")
        )
    ).unique("post")
    rows = rows.join(places, on="post").with_columns(day="_day")
    if name == "scores":
        hashed = pl.when(pl.col("state") != "gone").then(pl.col("input_hash"))
        rows = rows.with_columns(input_hash=hashed)
    faults = hanging_faults(name, rows, rows.select("post", "day", "state"), stop)
    bad = faults["blocked"] | faults.get("value", faults["blocked"])
    return _newest(name, rows.filter(~bad).select(TABLES[name][0].names()))


def _newest(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """One row a key: the newest; of matches the strongest, of times the first."""
    if name == "matches":
        order = pl.col("via").replace_strict({"own": 3, "taken": 2, "thread": 1}, default=0)
    elif name == "times":
        order = -pl.col("at").dt.epoch("us")
    else:
        order = pl.col(_NEWER[name])
    return rows.sort(order, maintain_order=True, nulls_last=False).unique(
        list(TABLES[name][2]), keep="last", maintain_order=True
    )


def _in_month(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(month=pl.col("started_at").dt.date().dt.month_start())


def _drop_times(tables: Tables, concerned: Sequence[date]) -> None:
    wrong = tables.read(
        lambda: (
            tables.scan("times")
            .join(
                tables.scan("posts")
                .filter(pl.col("day").is_in(list(concerned)))
                .select("post", stored="at"),
                on="post",
            )
            .filter(pl.col("stored") != pl.col("at"))
            .select("post")
        )
    )
    tables.delete("times", wrong)
