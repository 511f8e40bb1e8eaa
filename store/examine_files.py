"""The doctor's look at the files of one table: its log, its checkpoints, its data files.

Reads only, and only what the log names; what the rows say is `examine_rows`' business.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq

from store import log
from store.findings import Finding
from store.maintain import STAGING
from store.merge import Tables, arrow
from store.schema import TABLES

BACKUP = ""  # what cannot be mended here has no repair; the command says where it comes from
NEWEST = (
    "The entry becomes one that changes nothing, so that the table is as it was before that commit."
    " What the commit held (posts, scores, deletions alike) has to be brought in again: repeat what"
    " ran last."
)


class File(NamedTuple):
    """A data file as the log knows it; `value` is its partition."""

    path: str
    size: int
    rows: int
    value: date | None


def examine_log(tables: Tables, name: str) -> list[Finding]:
    """What is wrong with a table's log. Without a finding of kind `entry`, `gap` or `checkpoint`
    the table can be opened."""
    fs = log.files(tables.uri(name), tables.options())
    there = log.listing(fs)
    faults = {version: _entry(fs, version) for version in sorted(there.entries)}
    faults = {version: fault for version, fault in faults.items() if fault}
    found: list[Finding] = []
    bad = {
        version: fault
        for version, paths in there.checkpoints.items()
        if (fault := log.checkpoint_fault(fs, paths))
    }
    hint = log.last(fs)
    lost = hint if isinstance(hint, int) and hint not in there.checkpoints else None
    if isinstance(hint, str):
        repair = "It is deleted; the log is read without it."
        found.append(
            Finding(name, "hint", f"The pointer to the last checkpoint {hint}.", log.LAST, repair)
        )
    base = max((version for version in there.checkpoints if version not in bad), default=-1)
    needed = range(base + 1, there.newest + 1)
    whole = all(version in there.entries and version not in faults for version in needed)
    for version, fault in sorted(
        {**bad, **({lost: "is missing"} if lost is not None else {})}.items()
    ):
        repair = "It is deleted: the entries of the log reach back far enough without it."
        found.append(
            Finding(
                name,
                "checkpoint",
                f"The checkpoint of version {version} {fault}.",
                f"version {version}",
                repair if whole else BACKUP,
            )
        )
    for version in needed:
        if version not in there.entries and not (bad or lost is not None):
            found.append(
                Finding(name, "gap", f"Entry {version} of the log is missing.", f"entry {version}")
            )
    for version, fault in faults.items():
        where = f"entry {version}"
        what = f"Entry {version} of the log {fault}."
        if version not in needed:
            repair = "It is deleted; a checkpoint holds what it said."
            found.append(Finding(name, "old_entry", what, where, repair))
        else:
            last = version == there.newest and version > 0
            found.append(Finding(name, "entry", what, where, NEWEST if last else BACKUP))
    return found


def opens(found: list[Finding]) -> bool:
    """Whether a table with these findings of its log can be opened and read."""
    return not any(finding.kind in {"entry", "gap", "checkpoint"} for finding in found)


def _entry(fs: pa_fs.FileSystem, version: int) -> str | None:
    with fs.open_input_file(log.entry_path(version)) as file:
        return log.entry_fault(file.read())


def active(tables: Tables, name: str) -> list[File]:
    """The files a table consists of now."""
    partition = TABLES[name][1]
    actions = pl.DataFrame(tables.snapshot(name).get_add_actions(flatten=True))
    if actions.is_empty():
        return []
    value = f"partition.{partition}" if partition else None
    return [
        File(row["path"], row["size_bytes"], row["num_records"] or 0, row[value] if value else None)
        for row in actions.sort("path").iter_rows(named=True)
    ]


def examine_data(tables: Tables, name: str, *, quick: bool) -> Iterator[Finding]:
    """What is wrong with a table's data files: whether each is there, as long as the log says, of
    the right columns, with as many rows as it should have and, unless `quick`, reads whole."""
    fs = log.files(tables.uri(name), tables.options())
    for file in active(tables, name):
        kind, what = _file(fs, name, file, quick=quick) or ("", "")
        if kind == "missing":
            repair = f"Its {file.rows:,} rows are lost: the log is told so."
        elif kind == "columns":
            repair = BACKUP
        else:
            repair = "What can be read of it goes into a new file; the damaged one is deleted."
        if kind:
            days = () if file.value is None else (file.value,)
            yield Finding(name, kind, what, file.path, repair, rows=file.rows, days=days)


def _file(fs: pa_fs.FileSystem, name: str, file: File, *, quick: bool) -> tuple[str, str] | None:
    info = fs.get_file_info(file.path)
    if info.type == pa_fs.FileType.NotFound:
        return "missing", "A file that the log names is missing."
    if info.size != file.size:
        return "damaged", f"A file has {info.size:,} bytes where the log says {file.size:,}."
    try:
        with fs.open_input_file(file.path) as source:
            parquet = pq.ParquetFile(source)
            if odd := _columns(name, parquet.schema_arrow):
                return "columns", f"A file has other columns than its table: {', '.join(odd)}."
            rows = parquet.metadata.num_rows
            for group in () if quick else range(parquet.num_row_groups):
                parquet.read_row_group(group).validate(full=True)
    except (OSError, ValueError, pa.ArrowException):
        return "damaged", "A file cannot be read whole."
    if rows != file.rows:
        return "count", f"A file has {rows:,} rows where the log says {file.rows:,}."
    return None


def _columns(name: str, schema: pa.Schema) -> list[str]:
    """Columns of a file that its table does not have, or has with another type."""
    expected = arrow(pl.DataFrame(schema=TABLES[name][0])).schema
    known = {field.name: _plain(field.type) for field in expected}
    return sorted(f.name for f in schema if known.get(f.name) != _plain(f.type))


def _plain(kind: pa.DataType) -> str:
    """A type without the ways in which its values may be laid out."""
    text = str(kind).replace("large_", "").replace("_view", "").replace("element", "item")
    return text.replace(" not null", "").replace("'", "")


def read_groups(fs: pa_fs.FileSystem, path: str) -> list[pa.Table]:
    """The row groups of a file that can be read; none when its footer cannot."""
    groups = []
    with suppress(OSError, ValueError, pa.ArrowException), fs.open_input_file(path) as source:
        parquet = pq.ParquetFile(source)
        for number in range(parquet.num_row_groups):
            with suppress(OSError, ValueError, pa.ArrowException):
                group = parquet.read_row_group(number)
                group.validate(full=True)
                groups.append(group)
    return groups


def examine_leftovers(tables: Tables, name: str) -> Iterator[Finding]:
    """Notes on files that no reader needs: they go with `aftershock maintain`."""
    fs = log.files(tables.uri(name), tables.options())
    known = {file.path for file in active(tables, name)}
    unused = [
        info
        for info in fs.get_file_info(pa_fs.FileSelector("", recursive=True))
        if _is_data(info) and info.path not in known
    ]
    staged = []
    if tables.local:
        staged = [p for p in Path(tables.uri(name)).rglob("*") if STAGING.fullmatch(p.name)]
    for kind, paths, what in (
        ("unused", unused, "files are no longer needed"),
        ("staged", staged, "files were left half-written by a program that was stopped"),
    ):
        if paths:
            text = f"{len(paths):,} {what}; `aftershock maintain` clears them after an hour."
            yield Finding(name, kind, text, note=True, rows=len(paths))


def _is_data(info: Any) -> bool:
    is_file: bool = info.type == pa_fs.FileType.File
    return is_file and info.path.endswith(".parquet") and not info.path.startswith(log.LOG)
