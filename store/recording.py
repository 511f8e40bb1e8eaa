"""What was handed out: which file, when, and whose words it holds, so that they can be taken back.

Writes no file itself. Whoever writes one begins here, says which posts go into it, and puts it in
place within `placing`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import write_deltalake

from store.faults import StoreBusy
from store.merge import ROWS_A_MERGE, WRITER, Tables, arrow, literals
from store.schema import EXPORTED, EXPORTS

# Keys of an export that was killed before it came into the record. Longer than any export takes.
ABANDONED = timedelta(days=1)


class Recording:
    """One writing of one file. `keep` as often as there are portions, then `placing` once."""

    def __init__(self, tables: Tables, path: Path | str) -> None:
        self.path = str(Path(path).resolve())
        self.export = uuid.uuid4().hex
        self._tables = tables
        self._kept = 0

    def keep(self, posts: pl.Series) -> None:
        """These posts go into the file with their words: keys, each of them once in the file."""
        rows = pl.DataFrame({"export": self.export, "post": posts}, schema=EXPORTED)
        for part in rows.iter_slices(ROWS_A_MERGE):
            append(self._tables, part)
        self._kept += rows.height

    @contextmanager
    def placing(self, row: Mapping[str, Any]) -> Iterator[None]:
        """Put the finished file in its place within this context: columns of EXPORTS but path and
        export. Other writers wait meanwhile.

        The record is there before the file is, and what it replaces goes after: a kill leaves a
        record too many, never a new file that nobody remembers. Until then the new record names the
        posts of the older file as well, so that after a kill in between a forget still says that
        they are in the file that stands there. When the file cannot be put there, the older record
        stands again. Raises StoreBusy when a post was forgotten since it was kept: the file must
        not appear then.
        """
        with self._tables.lock():
            if self._lost():
                raise StoreBusy(
                    f"Posts were forgotten while {self.path} was being written, so it was not put"
                    " there. Run the same command again."
                )
            before = self._tables.read(
                lambda: self._tables.scan("exports").filter(pl.col("path") == self.path)
            )
            replaced = before["export"].drop_nulls().to_list()
            older = self._only_in(replaced)
            for part in older.iter_slices(ROWS_A_MERGE):
                append(self._tables, part)
            upsert(self._tables, dict(row) | {"path": self.path, "export": self.export})
            try:
                yield
            except BaseException:
                for standing in before.iter_rows(named=True):
                    upsert(self._tables, standing)
                raise
            if older.height:
                self._tables.delete("exported", older)
            drop(self._tables, replaced)

    def _only_in(self, replaced: list[str]) -> pl.DataFrame:
        """The posts of the older file that are not in this one, as rows of this export."""
        if not replaced:
            return pl.DataFrame(schema=EXPORTED)

        def held(exports: list[str]) -> pl.LazyFrame:
            rows = self._tables.scan("exported").filter(pl.col("export").is_in(exports))
            return rows.select("post").unique()

        found = self._tables.read(
            lambda: held(replaced).join(held([self.export]), on="post", how="anti")
        )
        return found.select(export=pl.lit(self.export), post="post")

    def _lost(self) -> bool:
        """Whether posts that were kept were blocked since, or their rows taken away by a forget."""
        if not self._kept:
            return False

        def still() -> pl.LazyFrame:
            stop = self._tables.read(lambda: self._tables.scan("blocked").select("key"))["key"]
            return (
                self._tables.scan("exported")
                .filter(pl.col("export") == self.export, ~pl.col("post").is_in(stop.implode()))
                .select(pl.len())
            )

        return bool(self._tables.read(still).item() < self._kept)


def append(tables: Tables, rows: pl.DataFrame) -> None:
    """Add rows of EXPORTED under an id that only the caller writes to."""
    if rows.height:
        tables.commit(
            "exported",
            lambda table: write_deltalake(
                table, arrow(rows), mode="append", writer_properties=WRITER
            ),
        )


def upsert(tables: Tables, row: Mapping[str, Any]) -> None:
    """Upsert one row of EXPORTS by path; columns not in it stay as they are."""
    if unknown := row.keys() - EXPORTS.keys():
        raise ValueError(f"exports has no column {', '.join(sorted(unknown))}")
    updates = {column: f"s.{column}" for column in row if column != "path"}
    tables.merge("exports", pl.DataFrame([dict(row)], schema=EXPORTS), updates=updates)


def drop(tables: Tables, exports: list[str]) -> None:
    """Forget which posts these writings held. Their ids are random, so the log may hold them."""
    if exports:
        tables.delete_where(
            "exported", f'"export" IN ({literals(pl.Series(exports, dtype=pl.String))})'
        )


def remove(tables: Tables, export: str) -> None:
    """Take a file out of the record: its row, then the keys of its posts."""
    tables.delete_where(
        "exports", f'"export" IN ({literals(pl.Series([export], dtype=pl.String))})'
    )
    drop(tables, [export])


def abandoned(tables: Tables, now: datetime) -> list[str]:
    """Ids that no record names and that nobody can still be writing: killed on their way."""
    before = now.astimezone(UTC) - ABANDONED
    files = pl.DataFrame(tables.snapshot("exported").get_add_actions(flatten=True))
    if files.is_empty():
        return []
    named = tables.read(lambda: tables.scan("exports").select("export").drop_nulls())
    newest = files.group_by(export="partition.export").agg(pl.col("modification_time").max())
    loose = newest.join(named, on="export", how="anti").filter(
        pl.col("modification_time") < int(before.timestamp() * 1000)
    )
    return loose["export"].sort().to_list()
