"""The Delta tables themselves: create, open, lock, commit with retries, merge, update, delete.

Knows the schemas and nothing of what the rows mean.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from store import log
from store.erasures import Journal
from store.faults import StoreBusy, damaged, fault, sentences, vanished
from store.index import Index
from store.keys import StoreError
from store.location import is_local
from store.lock import WriterLock
from store.schema import TABLES

if TYPE_CHECKING:
    from store.remote import Remote

T = TypeVar("T")

TRIES = 25
LOOKS = 5
APPENDS = 4
ROWS_A_MERGE = 50_000
DAYS_A_MERGE = 200
# A merge holds the rows of every day it touches in memory: about 1 kB for each post.
HELD_A_MERGE = 300_000
KEYS_A_PREDICATE = 1_000
# A merge writes whole days anew, which is most of what it costs: zstd 1 in place of 3, and no
# dictionaries for what is hardly ever twice in a file, take a third less time for the same size.
_UNIQUE = ("post", "uri", "text", "text_hash", "input_hash", "parent", "root", "quoted")
WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    column_properties={name: ColumnProperties(dictionary_enabled=False) for name in _UNIQUE},
)

# Which columns' minima and maxima go into the log. Text, uri and author must never be among them:
# with the default (the first 32 columns) a wiped text stays readable in the log for its retention.
STATISTICS = {
    "posts": "post,day,at,collected_at",
    "times": "post",
    "checks": "post,day,checked_at",
    "sightings": "post,day",
    "matches": "post,day",
    "scores": "post,day",
    "cells": "week,start",
    "runs": "run_id,started_at",
    "exports": "written_at",
    "exported": "post",
    "labels": "post",
    "blocked": "blocked_at",
}
LOG_RETENTION = "interval 7 days"


class Tables:
    """The tables of one store at one place. Holds the writer lock and the newest snapshots."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.local = is_local(location)
        self.journal: Journal | None = None  # of erasures; none for the demo
        self.remote = _remote(location)
        self._lock = WriterLock(location, self.remote)
        self._snapshots: dict[str, DeltaTable] = {}
        self._versions: dict[str, int] = {}  # as last seen on an object store
        self.index: Index | None = None  # without one, looking up by key reads whole tables
        self.commits = 0  # attempts that went through, of this object

    def uri(self, name: str) -> str:
        return f"{self.location}/{name}"

    def existing(self) -> list[str]:
        """The names of the tables that are there."""
        with self.sentences("looked up"):
            if self.local:
                return [
                    name for name in TABLES if self._log(name).is_dir() and self._newest(name) >= 0
                ]
            return [name for name, version in self.versions().items() if version >= 0]

    def create(self, name: str, description: Mapping[str, Any]) -> None:
        """Create one table; one that someone else made a moment ago is left as it is."""
        schema, partition, _ = TABLES[name]
        with self.sentences("created", name):
            try:
                DeltaTable.create(
                    self.uri(name),
                    schema=arrow(pl.DataFrame(schema=schema)).schema,
                    partition_by=[partition] if partition else None,
                    description=json.dumps(description),
                    configuration={
                        "delta.dataSkippingStatsColumns": STATISTICS[name],
                        "delta.logRetentionDuration": LOG_RETENTION,
                    },
                    storage_options=self.options(),
                )
            except DeltaError:
                if not DeltaTable.is_deltatable(self.uri(name), self.options()):
                    raise

    def description(self, name: str) -> dict[str, Any]:
        """Schema version, salt fingerprint and demo mark, as written when the table was created."""
        found: Any = None
        with suppress(ValueError):
            found = json.loads(self.snapshot(name).metadata().description or "")
        if not isinstance(found, dict):
            raise StoreError(
                f"{self.uri(name)} is a Delta table, but not one that Aftershock made. Name another"
                " folder in AFTERSHOCK_STORE."
            )
        return found

    def identity(self) -> str:
        """What a store and its backups have in common and no other store has, wherever they lie:
        the id that Delta Lake gave the table `blocked` when it was made."""
        return str(self.snapshot("blocked").metadata().id)

    # Reading

    def version(self, name: str) -> int:
        """The newest version of a table: a folder listing here, a request on an object store."""
        if self.remote is None:
            return self._newest(name)
        with self.sentences("read", name):
            return self._newest_remote(self.remote, name)

    def versions(self) -> dict[str, int]:
        if self.local:
            return {name: self._newest(name) for name in TABLES}
        self.options()  # once, and not by ten threads at the same time
        with ThreadPoolExecutor(len(TABLES)) as pool:  # one round trip instead of ten
            return dict(zip(TABLES, pool.map(self.version, TABLES), strict=True))

    def snapshot(self, name: str) -> DeltaTable:
        """The table as it stands. Shared between readers, so nobody may move or write through it:
        a scan asks it for files and for statistics one after the other, which must agree."""
        known = self._snapshots.get(name)
        if known is None or known.version() != self.version(name):
            known = self._snapshots[name] = self.opened(name)
        return known

    def refresh(self) -> None:
        """Forget what was opened: files and logs may have been mended behind its back."""
        self._snapshots.clear()

    def opened(self, name: str) -> DeltaTable:
        """The table, opened anew. Raises StoreError when its log is damaged, saying where."""
        with self.sentences("opened", name):
            if self.local and (empty := log.hollow(Path(self.uri(name)))) is not None:
                raise StoreError(damaged(self.uri(name), f"entry {empty} of its log is empty"))
            try:
                return DeltaTable(self.uri(name), storage_options=self.options())
            except TableNotFoundError:
                raise
            except DeltaError as error:
                tree = log.files(self.uri(name), self.options())
                what = None if fault(error) else log.log_fault(tree)
                if what is None:
                    raise
                raise StoreError(damaged(self.uri(name), what)) from error

    def options(self) -> dict[str, str] | None:
        """What delta-rs and polars need to get to an object store; None for a folder."""
        return self.remote.options() if self.remote else None

    def files(self, name: str) -> DeltaStorageHandler:
        """The files of a table by their paths within it, log and all."""
        return DeltaStorageHandler(self.uri(name), self.options())

    def scan(self, name: str) -> pl.LazyFrame:
        """The rows of a table as it stands now; polars skips the files of other partitions.

        Not by `scan_delta`: delta-rs gives percent-encoded paths, and polars 2.1 then finds no file
        as soon as a folder's name holds a blank or an accent; and given a table, polars goes by the
        credentials that were valid when that was opened.
        """
        table = self.snapshot(name)
        schema, partition, _ = TABLES[name]
        files = [unquote(path) for path in table.file_uris()]
        if not files:
            return pl.LazyFrame(schema=schema)
        return pl.scan_parquet(
            files,
            glob=False,
            schema={column: kind for column, kind in schema.items() if column != partition},
            hive_partitioning=partition is not None,
            hive_schema={partition: schema[partition]} if partition else None,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=self.options(),
        ).select(schema.names())

    def read(self, query: Callable[[], pl.LazyFrame]) -> pl.DataFrame:
        """The result of a query over scans. Made again, quietly, when a file it needs has vanished:
        a purge may clear away what a scan of a moment ago still names. It goes from table to table,
        so a query over three of them may meet it more than once.
        """
        with self.sentences("read"):
            for look in range(1, LOOKS + 1):
                try:
                    return query().collect()
                except (OSError, pl.exceptions.PolarsError) as error:
                    if look == LOOKS or not vanished(error):
                        self._blame(error)
                        raise
                    self._snapshots.clear()
            raise AssertionError("the last look returns or raises")

    def _blame(self, error: Exception) -> None:
        """Raise StoreError when one of the files just read is plainly damaged: polars does not say
        which file it could not read."""
        for name, table in self._snapshots.items() if self.local and not fault(error) else ():
            actions = pl.DataFrame(table.get_add_actions(flatten=True))
            for path, size in actions.select("path", "size_bytes").iter_rows():
                if what := file_fault(Path(self.uri(name)) / path, size):
                    raise StoreError(damaged(self.uri(name), f"{path} {what}")) from error

    def partitions(self, name: str) -> pl.DataFrame:
        """How many rows and files each partition holds, from the log alone: value, rows, files."""
        schema, column, _ = TABLES[name]
        actions = pl.DataFrame(self.snapshot(name).get_add_actions(flatten=True))
        if actions.is_empty():
            kind = schema[column] if column else pl.Date()
            return pl.DataFrame(schema={"value": kind, "rows": pl.Int64, "files": pl.UInt32})
        return (
            actions.group_by(pl.col(f"partition.{column}").alias("value"))
            .agg(rows=pl.col("num_records").sum(), files=pl.len())
            .sort("value")
        )

    def entries(self, name: str, version: int) -> list[dict[str, Any]] | None:
        """What one commit says in the log; None when the log does not reach back that far."""
        log = self.files(name)
        try:
            with log.open_input_file(f"_delta_log/{version:020d}.json") as file:
                return [json.loads(line) for line in file.read().splitlines() if line]
        except (FileNotFoundError, ValueError):  # cleaned away, or damaged: it cannot tell
            return None

    # Writing

    def lock(self) -> AbstractContextManager[object]:
        """One writer at a time: saves the work of merges that would collide.

        Optimistic commits are the guarantee, with or without it.
        """
        return self._lock.held()

    @property
    def alone(self) -> bool:
        """Whether the lock keeps all other writers away while it is held."""
        return self.local and self._lock.keeps

    def prove(self) -> None:
        """Raise StoreUnfit for an object store on which optimistic commits guarantee nothing."""
        if self._lock.lease is not None:
            self._lock.lease.prove()

    def versioned(self) -> bool:
        """Whether the store lies in a bucket that keeps what is deleted; known after a write."""
        return self._lock.lease is not None and self._lock.lease.versioned()

    def commit(self, name: str, attempt: Callable[[DeltaTable], T]) -> T:
        """Run `attempt` on the table, again on a fresh one whenever another writer was first.

        A lost race shows as CommitFailedError at once and does not use up delta-rs's own commit
        retries, so waiting and reopening is the caller's part. A file that vanished under a merge
        (vacuumed while it was read) is the same thing if the table has moved on.
        """
        with self.lock(), self.sentences("written", name):
            for tried in range(TRIES):
                self._lock.check()
                table = self.opened(name)
                try:
                    done = attempt(table)
                except DeltaError as error:
                    lost = isinstance(error, CommitFailedError) and not fault(error)
                    missing = "not found" in str(error) and "NoSuchBucket" not in str(error)
                    moved = missing and self.version(name) > table.version()
                    if not (lost or moved):
                        self._blame(error)
                        raise
                    pause(tried)
                    continue
                self.commits += 1
                return done
        raise StoreBusy(
            f"Other writers were first {TRIES} times in a row at {self.uri(name)}. Nothing is lost:"
            " run the same command again."
        )

    def merge(
        self,
        name: str,
        rows: pl.DataFrame,
        *,
        updates: Mapping[str, str] | None = None,
        when: str | None = None,
        then: Callable[[DeltaTable], None] | None = None,
    ) -> int:
        """Merge rows (unique on the table's key) and return how many were new.

        `updates` maps columns to SQL over `s` (source) and `t` (target) for rows that are there,
        `when` restricts it; without `updates` they are left alone. Partition values stand as
        literals in the predicate: without them delta-rs reads the whole table (45 s and 6 GB
        instead of 0.3 s for 1,000 rows into ten million). `then` is called after each commit.

        In the tables by day, rows that are not there yet are appended: a merge of delta-rs reads
        every column of the days it touches, texts and all, only to find that it has nothing to
        change in them.
        """
        rows = shaped(rows, TABLES[name][0])
        if TABLES[name][1] != "day":
            return self._merge(name, rows, updates, when, then, insert=True)
        _unique(name, rows)
        done = 0
        for chunk in chunks(rows, "day"):
            added, there = self._append_new(name, chunk, then)
            done += added
            if updates:  # and if somebody has deleted one of them meanwhile, it comes in again
                done += self._merge(name, there, updates, when, then, insert=True)
        return done

    def _append_new(
        self, name: str, rows: pl.DataFrame, then: Callable[[DeltaTable], None] | None
    ) -> tuple[int, pl.DataFrame]:
        """Append those rows whose keys are not in the table; returns how many, and the rest.

        Two appends never collide for Delta Lake, so each holds only if nobody has committed
        anything since the look at the keys. After a few lost races the rest is all rows: a merge
        collides with less.
        """
        for tried in range(APPENDS):
            version, there = self._present(name, rows)
            key = list(TABLES[name][2])
            new = rows.join(there, on=key, how="anti")
            if new.is_empty() or self._append(name, new, version, then):
                return new.height, rows.join(there, on=key, how="semi")
            pause(tried)
        return 0, rows

    def _present(self, name: str, rows: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        """Which keys of these rows are in the table, and the version that says so."""
        _, partition, key = TABLES[name]
        where = pl.col("post").is_in(rows["post"].implode())
        if partition:
            where &= holds(rows[partition].unique().to_list(), partition)
        while True:
            version = self.snapshot(name).version()
            found = self.read(lambda: self.scan(name).filter(where).select(key))
            if self.snapshot(name).version() == version:
                return version, found

    def _append(
        self,
        name: str,
        rows: pl.DataFrame,
        version: int,
        then: Callable[[DeltaTable], None] | None,
    ) -> bool:
        """Append rows if the table is still at this version; whether it was."""

        def attempt(table: DeltaTable) -> bool:
            if table.version() != version:
                return False
            try:
                write_deltalake(
                    table,
                    arrow(rows),
                    mode="append",
                    writer_properties=WRITER,
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
            except CommitFailedError as error:
                if fault(error):
                    raise
                return False
            if then:
                then(table)
            return True

        return self.commit(name, attempt)

    def change(self, name: str, rows: pl.DataFrame, updates: Mapping[str, str], when: str) -> int:
        """Set columns of rows that are there, each to its own value; returns how many.

        `rows` hold key, partition value and whatever `updates` takes from `s`; those that are not
        in the table are ignored. Unlike an `update`'s, these values never come into the log.
        """
        return self._merge(name, rows, updates, when, None, insert=False)

    def _merge(
        self,
        name: str,
        rows: pl.DataFrame,
        updates: Mapping[str, str] | None,
        when: str | None,
        then: Callable[[DeltaTable], None] | None,
        *,
        insert: bool,
    ) -> int:
        _, partition, key = TABLES[name]
        _unique(name, rows)
        done = 0
        for chunk in self._chunks(name, rows):
            on = [f't."{column}" = s."{column}"' for column in key]
            if partition:
                on += [f't."{partition}" = s."{partition}"']
                on += [f't."{partition}" IN ({literals(chunk[partition])})']
            done += self.commit(
                name, _merger(chunk, " AND ".join(on), updates, when, then, insert=insert)
            )
        return done

    def _chunks(self, name: str, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """`chunks`, cut further where the days of one hold more rows than fit into memory."""
        partition = TABLES[name][1]
        sizes: dict[date, int] = {}
        if partition == "day" and rows.height:
            sizes = dict(self.partitions(name).select("value", "rows").iter_rows())
        for chunk in chunks(rows, partition):
            if partition is None or sum(sizes.values()) <= HELD_A_MERGE:
                yield chunk
                continue
            portion: list[pl.DataFrame] = []
            held = 0
            for part in chunk.partition_by(partition, maintain_order=True):
                here = sizes.get(part[partition][0], 0)
                if portion and held + here > HELD_A_MERGE:
                    yield pl.concat(portion)
                    portion, held = [], 0
                portion.append(part)
                held += here
            yield pl.concat(portion)

    def update(
        self, name: str, found: pl.DataFrame, updates: Mapping[str, str], when: str = "TRUE"
    ) -> int:
        """Set columns of the rows with these `post` and partition values; returns how many.

        `when` restricts it to what still holds at the commit; it stays in the log, so it may name
        no value that a person could be known by.
        """
        return self._by_key(
            name,
            found,
            lambda table, where: table.update(
                dict(updates), predicate=f"{where} AND {when}", writer_properties=WRITER
            )["num_updated_rows"],
        )

    def delete(self, name: str, found: pl.DataFrame) -> int:
        """Delete the rows with these `post` and partition values; returns how many.

        By a merge and not by a delete, whose predicate would leave every key in the log.
        """
        partition = TABLES[name][1]
        columns = ["post", *([partition] if partition else [])]
        done = 0
        for chunk in chunks(found.select(columns).unique(), partition):
            on = [f't."{column}" = s."{column}"' for column in columns]
            if partition:
                on += [f't."{partition}" IN ({literals(chunk[partition])})']
            done += self.commit(name, _deleter(chunk, " AND ".join(on)))
        return done

    def delete_where(self, name: str, where: str) -> int:
        """Delete the rows that a predicate names; returns how many. The log keeps the predicate:
        it may hold no key, and nobody's words or names."""
        return self.commit(
            name,
            lambda table: int(table.delete(where, writer_properties=WRITER)["num_deleted_rows"]),
        )

    def _by_key(self, name: str, found: pl.DataFrame, act: Callable[[DeltaTable, str], int]) -> int:
        # The log keeps every predicate for ever, so it may hold nothing but keys and days.
        partition = TABLES[name][1]
        done = 0
        for chunk in found.unique("post").sort(partition or "post").iter_slices(KEYS_A_PREDICATE):
            where = f'"post" IN ({texts(chunk["post"])})'
            if partition:
                where = f'"{partition}" IN ({days(chunk[partition])}) AND {where}'

            def attempt(table: DeltaTable, where: str = where) -> int:
                return int(act(table, where))

            done += self.commit(name, attempt)
        return done

    def on_record(self, kind: str, keys: pl.Series, now: datetime) -> None:
        """Put an erasure into the journal before it is made. Raises StoreError when that fails."""
        if self.journal:
            self.journal.write(kind, keys.drop_nulls().to_list(), now)

    # Errors

    def sentences(self, done: str, name: str | None = None) -> AbstractContextManager[None]:
        """Turn what the disk, the network or a damaged table raises into a StoreError."""
        return sentences(self.uri(name) if name else self.location, done)

    def _log(self, name: str) -> Path:
        return Path(self.uri(name)) / "_delta_log"

    def _newest(self, name: str) -> int:
        """The newest commit of a local table, -1 when there is none."""
        try:
            return newest(entry.name for entry in self._log(name).iterdir())
        except FileNotFoundError:
            return -1

    def _newest_remote(self, remote: Remote, name: str) -> int:
        """The newest commit of a table on an object store, by one request: what is listed begins at
        the version seen last. Where nothing is, the table was put back to an older state."""
        log, seen = f"{name}/_delta_log", self._versions.get(name, -1)
        found = newest(remote.names(log, f"{seen:020d}" if seen >= 0 else ""))
        if found < seen:
            found = newest(remote.names(log))
        self._versions[name] = found
        return found


def file_fault(path: Path, size: int) -> str | None:
    """What is wrong with a data file as far as its size and footer tell, None when nothing is."""
    try:
        found = path.stat().st_size
        if found != size:
            return f"has {found:,} bytes in place of {size:,}"
        pq.read_metadata(path)
    except FileNotFoundError:
        return "is missing"
    except (OSError, pa.ArrowException, ValueError):
        return "cannot be read"
    return None


def _unique(name: str, rows: pl.DataFrame) -> None:
    if rows.select(TABLES[name][2]).is_duplicated().any():
        # Would be inserted twice without a word; an update would fail.
        raise ValueError(f"two rows of one merge into {name} have the same key")


def _merger(
    chunk: pl.DataFrame,
    on: str,
    updates: Mapping[str, str] | None,
    when: str | None,
    then: Callable[[DeltaTable], None] | None,
    *,
    insert: bool,
) -> Callable[[DeltaTable], int]:
    def attempt(table: DeltaTable) -> int:
        before = table.version()
        merger = table.merge(
            arrow(chunk), on, source_alias="s", target_alias="t", writer_properties=WRITER
        )
        if updates:
            merger = merger.when_matched_update(dict(updates), predicate=when)
        if not insert:
            return int(merger.execute()["num_target_rows_updated"])
        new = int(merger.when_not_matched_insert_all().execute()["num_target_rows_inserted"])
        if then and table.version() > before:  # without a change there is no commit of ours
            then(table)
        return new

    return attempt


def _deleter(chunk: pl.DataFrame, on: str) -> Callable[[DeltaTable], int]:
    def attempt(table: DeltaTable) -> int:
        merger = table.merge(
            arrow(chunk), on, source_alias="s", target_alias="t", writer_properties=WRITER
        )
        return int(merger.when_matched_delete().execute()["num_target_rows_deleted"])

    return attempt


def newest(names: Iterable[str]) -> int:
    """The newest version among the names of a log's files, -1 when there is none."""
    # Cleaning the log may leave a checkpoint alone; what is being staged ends in neither.
    ends = (".json", ".parquet")
    return max((int(n[:20]) for n in names if n[:20].isdigit() and n.endswith(ends)), default=-1)


def _remote(location: str) -> Remote | None:
    if is_local(location):
        return None
    from store.remote import Remote  # noqa: PLC0415 - a store in a folder needs none of it

    return Remote(location)


def chunks(rows: pl.DataFrame, partition: str | None) -> Iterator[pl.DataFrame]:
    """Rows sorted by partition, cut where a merge would hold too many rows or partitions."""
    if partition is None:
        yield from rows.iter_slices(ROWS_A_MERGE)
        return
    rows = rows.sort(partition, maintain_order=True)
    group = pl.col(partition).rle_id() // DAYS_A_MERGE
    for part in rows.with_columns(_group=group).partition_by("_group", include_key=False):
        yield from part.iter_slices(ROWS_A_MERGE)


def shaped(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The columns of `schema`, in its order and types; others are left out."""
    return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())


def arrow(frame: pl.DataFrame) -> Any:
    """Arrow without view types: other readers stumble over those, and polars #28612 scrambled
    strings on that road."""
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def days(values: pl.Series) -> str:
    return ", ".join(f"DATE '{value}'" for value in values.unique().sort().to_list())


def literals(values: pl.Series) -> str:
    """The values of a partition column: days, or ids of our own making."""
    return days(values) if values.dtype == pl.Date else texts(values.unique().sort())


def texts(values: pl.Series) -> str:
    """Keys as SQL literals; nothing but our own hex digits may come here."""
    for value in values.to_list():
        bytes.fromhex(value)
    return ", ".join(f"'{value}'" for value in values.to_list())


def moment(value: datetime) -> str:
    return f"TIMESTAMP '{value.isoformat()}'"


def monday(day: date) -> date:
    return date.fromordinal(day.toordinal() - day.weekday())


def pause(tried: int) -> None:
    """Full jitter: two writers that collided once should not collide again."""
    time.sleep(secrets.SystemRandom().uniform(0, min(5.0, 0.1 * 2**tried)))


def holds(values: Sequence[date], column: str = "day") -> pl.Expr:
    """Whether `column` is one of these dates; polars skips the other partitions' files."""
    return pl.col(column).is_in(list(values))
