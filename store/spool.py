"""The spool: batches that could not be committed because other writers were in the way.

One file a batch, holding exactly what applying takes: pseudonymised rows and keys, never what a
collector handed over. Knows nothing of tables; `Store.drain` applies what lies here.
"""

from __future__ import annotations

import fcntl
import io
import os
import secrets
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import polars as pl

from store.faults import sentences
from store.prepared import FRAMES, Prepared

FORMAT = 1
ASIDE_DAYS = 7
_BATCH, _DRAFT, _ASIDE = "*.parquet", ".draft-*", "*.unreadable"


class Spool:
    """The batches waiting in one folder, oldest first by their names.

    Safe to share between processes: a batch appears and changes by an atomic rename, and applying
    one twice does no harm, so nobody needs to hold the folder while draining it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, batch: Prepared) -> Path:
        """Keep a batch until somebody drains it; on the disk for good when this returns.

        Raises StoreError when it cannot be written, a full disk for instance.
        """
        with sentences(str(self.folder), "written"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self.folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.parquet"
            self._put(path, batch)
            return path

    def waiting(self) -> list[Path]:
        """The batches that wait, oldest first. Clears away what a killed writer left half-done."""
        if not self.folder.is_dir():
            return []
        with sentences(str(self.folder), "read"):
            for draft in self.folder.glob(_DRAFT):
                _clear(draft)
            limit = time.time() - ASIDE_DAYS * 86_400
            for path in self.set_aside():
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < limit:
                        path.unlink()
            return sorted(self.folder.glob(_BATCH))

    def read(self, path: Path) -> Prepared | None:
        """The batch in this file; None when somebody else drained it meanwhile, or when it cannot
        be read: then it is set aside, so that it never holds up the others."""
        with sentences(str(path), "read"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                return None
            try:
                return _decoded(data)
            except (pl.exceptions.PolarsError, OSError, ValueError, TypeError):
                with suppress(FileNotFoundError):
                    path.rename(path.with_suffix(".unreadable"))
                    os.utime(path.with_suffix(".unreadable"))  # its days aside begin now
                return None

    def remove(self, path: Path) -> None:
        """Done with this batch."""
        with sentences(str(path), "removed"):
            path.unlink(missing_ok=True)

    def set_aside(self) -> list[Path]:
        """Files that could not be read. They go after a week, and with the first `scrub`."""
        return sorted(self.folder.glob(_ASIDE)) if self.folder.is_dir() else []

    def scrub(self, keys: Collection[str]) -> int:
        """Remove these posts, and every post of these authors, from all batches that wait.

        Returns how many rows of posts that were. What cannot be read cannot be searched, so it
        goes whole. Killed half-way, it is simply done again.
        """
        removed = 0
        wanted = frozenset(keys)
        for path in self.waiting():
            batch = self.read(path)
            if batch is None:
                continue
            left = batch.without(wanted)
            if left is batch:
                continue
            removed += batch.posts.height - left.posts.height
            with sentences(str(path), "written"):
                # A drainer may be done with it by now: putting it back would only apply it again.
                if left.empty:
                    path.unlink(missing_ok=True)
                else:
                    self._put(path, left)
        for path in self.set_aside():
            self.remove(path)
        return removed

    def _put(self, path: Path, batch: Prepared) -> None:
        draft = path.with_name(f".draft-{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # says that its writer is alive
                file.write(_encoded(batch))
                file.flush()
                os.fsync(file.fileno())
                draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name has to last as well as the bytes
        finally:
            os.close(folder)


def _clear(draft: Path) -> None:
    """Remove a draft whose writer is dead: a live one holds its lock."""
    with suppress(FileNotFoundError), draft.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        # Just made and not locked yet, a draft would look abandoned.
        if time.time() - draft.stat().st_mtime > 1:
            draft.unlink()


def _encoded(batch: Prepared) -> bytes:
    """One Parquet file of one row, in which each frame is a list of structs."""
    columns = {
        name: pl.Series([frame.to_dicts()], dtype=pl.List(pl.Struct(dict(FRAMES[name]))))
        for name, frame in batch.frames().items()
    }
    row = pl.DataFrame({"format": [FORMAT], "at": [batch.at], **columns})
    buffer = io.BytesIO()
    row.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _decoded(data: bytes) -> Prepared:
    row = pl.read_parquet(io.BytesIO(data))
    if row.height != 1 or row["format"].item() != FORMAT:
        raise ValueError("not a batch of this version")
    return Prepared(at=row["at"].item(), **{name: _frame(row, name) for name in FRAMES})


def _frame(row: pl.DataFrame, name: str) -> pl.DataFrame:
    """A frame as it is used now: columns it does not have yet are null."""
    schema = FRAMES[name]
    if name not in row.columns or not row[name].list.len().item():
        return pl.DataFrame(schema=schema)
    found: pl.DataFrame = row[name].item().struct.unnest()
    return found.select(
        (pl.col(column) if column in found.columns else pl.lit(None)).cast(kind).alias(column)
        for column, kind in schema.items()
    )
