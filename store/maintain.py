"""Keeping the store small and honest: compact, drop old files, checkpoint, wipe what is overdue.

Changes no figure: compaction moves rows, and what it wipes was hidden for 30 days.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl
from deltalake import DeltaTable

from store.cells import CellsMoved, replace_cells, stale
from store.faults import StoreUnfit
from store.merge import WRITER, Tables
from store.posts import finish_erasures, wipe_hidden
from store.schema import CELLS, TABLES
from store.scrub import scrub_exports

LOG = logging.getLogger(__name__)
KEPT_HOURS = 1
# What a killed process leaves while it writes: `part-….parquet#1` (object_store's staging name,
# which its own listing, and so vacuum, never shows) and drafts of commits.
STAGING = re.compile(r".*#\d+|_commit_.*\.tmp")


def maintain(
    tables: Tables, now: datetime, *, key: Callable[[str], str], purge: bool = False
) -> dict[str, int]:
    """Wipe, compact, vacuum, checkpoint and clean the log of every table.

    Files no longer referenced are kept for an hour, for readers that still use them; with `purge`
    they go at once, and every writer is locked out until all is done. On an object store a purge
    spares what no log mentions and is not an hour old yet: the lease keeps writers out, but one
    that stood still and lost it may wake up and commit what it had uploaded before, and a commit
    that names a deleted file would break the table. A bucket that keeps old versions of its objects
    keeps them: a purge there ends in StoreUnfit, when all the rest is done.

    Recorded exports lose the words of posts that were deleted since; `key` gives a uri's key.
    Returns rows_wiped,
    exports_rewritten, exports_left (with such words in them), files_before, files_after and, on a
    local disk, bytes_freed.
    """
    with tables.lock() if purge else nullcontext():
        finish_erasures(tables, now)
        wiped = wipe_hidden(tables, now)
        scrubbed = scrub_exports(tables, key, now)
        left = [file for file in scrubbed.left if file.there]
        for file in left:
            LOG.warning(
                "%s still holds %d posts that were deleted since: %s. Delete it, or export it"
                " again.",
                file.path,
                file.posts,
                file.why,
            )
        files, freed = _files(tables), 0
        for name in TABLES:
            with tables.lock():
                tables.commit(name, _compact)
                freed += _clear(tables, name, purge=purge)
        _record(tables)
        for name in TABLES:
            tables.commit(name, _checkpoint)
        if purge:
            _kept_by_bucket(tables)
        figures = {
            "rows_wiped": wiped,
            "exports_rewritten": len(scrubbed.rewritten),
            "exports_left": len(left),
            "files_before": files,
            "files_after": _files(tables),
        }
        return figures | ({"bytes_freed": freed} if tables.local else {})


def purge(tables: Tables) -> int:
    """Delete the old files of every table now; returns the bytes freed on a local disk."""
    with tables.lock():
        freed = sum(_clear(tables, name, purge=True) for name in TABLES)
        _kept_by_bucket(tables)
        return freed


def _kept_by_bucket(tables: Tables) -> None:
    """Raise StoreUnfit for a bucket that keeps what is deleted, when all the rest is done."""
    if tables.versioned():
        raise StoreUnfit(
            f"The bucket of {tables.location} keeps old versions of its objects, so what was"
            " deleted is out of the store but still in the bucket. Switch versioning off and"
            " delete the old versions, or have a lifecycle rule of the bucket expire them."
        )


def _clear(tables: Tables, name: str, *, purge: bool) -> int:
    folder = Path(tables.uri(name)) if tables.local else None
    freed = tables.commit(name, partial(_vacuum, folder, purge=purge))
    return freed + (_clear_staging(folder, 0 if purge else KEPT_HOURS) if folder else 0)


def _compact(table: DeltaTable) -> None:
    table.optimize.compact(writer_properties=WRITER)


def _vacuum(folder: Path | None, table: DeltaTable, *, purge: bool) -> int:
    """Delete unreferenced files; returns their bytes on a local disk, 0 elsewhere."""
    if folder is None and purge:
        # What the log marks as removed is nobody's any more; what it does not mention may be the
        # beginning of a commit.
        return _delete(None, table, 0, full=False) + _delete(None, table, KEPT_HOURS, full=True)
    return _delete(folder, table, 0 if purge else KEPT_HOURS, full=True)


def _delete(folder: Path | None, table: DeltaTable, hours: int, *, full: bool) -> int:
    """One vacuum; `full` also takes files that no log mentions: what a killed writer left."""
    if hours == 0:
        time.sleep(0.01)  # a file removed within the same millisecond would be spared
    unused = table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=full)
    if not unused:  # a vacuum makes two commits even when it has nothing to do
        return 0
    freed = 0
    if folder:
        for name in unused:
            with suppress(FileNotFoundError):
                freed += (folder / name).stat().st_size
    table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=full)
    return freed


def _clear_staging(folder: Path, hours: int) -> int:
    limit = time.time() - hours * 3600
    freed = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found = path.stat()
            if STAGING.fullmatch(path.name) and found.st_mtime <= limit:
                path.unlink()
                freed += found.st_size
    return freed


def _record(tables: Tables) -> None:
    """Say in the cells that they are up to date, so that cleaning the log makes no week stale."""
    found = stale(tables)
    if not found.weeks:
        with suppress(CellsMoved):  # then somebody is rebuilding them and will say so
            replace_cells(tables, pl.DataFrame(schema=CELLS), (), found.versions)


def _checkpoint(table: DeltaTable) -> None:
    table.create_checkpoint()
    table.cleanup_metadata()


def _files(tables: Tables) -> int:
    return sum(len(tables.snapshot(name).file_uris()) for name in TABLES)
