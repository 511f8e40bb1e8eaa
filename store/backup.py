"""Making a backup: one file with every table as of one moment, and its end when its time is over.

A backup is other people's words on loan too: it says until when it may be kept, `maintain` deletes
it then, and a restore erases in it what was erased in the store meanwhile (`restore.py`). It holds
what the newest version of each table names and nothing else: no salt, no removed files, no spool.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSelector

from store import erasures
from store.backup_file import MANIFEST, SUMS, Manifest, Progress, read_manifest
from store.cells import INPUTS
from store.erasures import LONGEST_DAYS
from store.keys import StoreError
from store.merge import Tables
from store.schema import EXPORTS, TABLES

KEEP_DAYS = 30
_ENTRY = re.compile(r"(\d{20})\.(json|checkpoint(?:\.\d+\.\d+)?\.parquet)")


@dataclass(frozen=True)
class Backup:
    """A backup that was made: its file, what it holds, how many bytes the file has."""

    path: Path
    manifest: Manifest
    bytes: int


@dataclass(frozen=True)
class Expired:
    """Backups whose time is over: deleted now, and those that were not where they had been."""

    deleted: tuple[str, ...]
    missing: tuple[str, ...]


def backup(
    tables: Tables,
    path: Path,
    *,
    keep_days: int = KEEP_DAYS,
    force: bool = False,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Backup:
    """Write a backup of all tables to `path`, mode 0600, whole or not at all.

    Writers wait until it is done, so that all tables are of one moment and no file is cleared away
    while it is copied; readers go on. `progress` is called with bytes done and bytes in all.
    Raises StoreError for a place inside the store, a file there that is no backup (unless `force`),
    a full disk.
    """
    if not 1 <= keep_days <= LONGEST_DAYS:
        raise ValueError(f"a backup is kept for 1 to {LONGEST_DAYS} days")
    path = path.expanduser().absolute()
    _check_place(tables, path, force=force)
    name = uuid.uuid4().hex
    with tables.lock():
        now = now or datetime.now(UTC)
        # On record before the tables are looked at: whatever is erased from here on stands after
        # this line, so that a journal with it in it covers the backup.
        if tables.journal:
            about = {"backup": name, "path": str(path)}
            tables.journal.write(erasures.BACKUP, (), now, about)
        snapshots = {table: tables.snapshot(table) for table in TABLES}
        members = dict(_members(tables, snapshots))
        manifest = Manifest(
            backup=name,
            store=tables.identity(),
            created_at=now,
            expires_at=now + timedelta(days=keep_days),
            tables={table: _figures(snapshot) for table, snapshot in snapshots.items()},
            members=members,
            **_described(tables),
        )
        clear_drafts(path)
        draft = path.with_name(f".{path.name}.{name}.part")
        try:
            digest = _write(tables, manifest, draft, progress)
            size = draft.stat().st_size
            # On record first: a backup that nobody remembers would never expire.
            record(tables, path, manifest, digest)
            draft.replace(path)
        except OSError as error:
            raise _unwritable(path, error) from error
        finally:
            draft.unlink(missing_ok=True)
    return Backup(path, manifest, size)


def _described(tables: Tables) -> dict[str, Any]:
    found = tables.description("blocked")
    return {"schema": found["schema"], "salt": found["salt"], "demo": bool(found.get("demo"))}


def _check_place(tables: Tables, path: Path, *, force: bool) -> None:
    if tables.local and path.resolve().is_relative_to(tables.location):
        raise StoreError(
            f"The backup {path} would lie inside the store {tables.location} and be lost along with"
            " it. Name a file elsewhere, best on another disk."
        )
    if path.is_dir():
        raise StoreError(f"{path} is a folder. Name the file of the backup.")
    if not path.parent.is_dir():
        raise StoreError(f"There is no folder {path.parent}. Make it, or name another file.")
    if path.exists() and not force:
        try:
            read_manifest(path)
        except StoreError as error:
            raise StoreError(
                f"{path} is there and is no backup of Aftershock's. Name another file, or overwrite"
                " it with --force."
            ) from error


def _figures(table: DeltaTable) -> dict[str, int]:
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    if actions.is_empty():
        return {"version": table.version(), "files": 0, "rows": 0, "bytes": 0}
    return {
        "version": table.version(),
        "files": actions.height,
        "rows": int(actions["num_records"].sum()),
        "bytes": int(actions["size_bytes"].sum()),
    }


def _members(tables: Tables, snapshots: dict[str, DeltaTable]) -> Iterator[tuple[str, int]]:
    """What goes into the backup, in its order: name and bytes."""
    cells = snapshots["cells"]
    for name, table in snapshots.items():
        # The cells say up to which version of these tables they go; the log must reach back there,
        # or every week would count as stale.
        recorded = cells.transaction_version(name) if name in INPUTS else None
        for entry, size in _log(tables, name, table.version(), recorded):
            yield f"{name}/_delta_log/{entry}", size
        actions = pl.DataFrame(table.get_add_actions(flatten=True))
        if actions.height:
            for file, size in sorted(actions.select("path", "size_bytes").iter_rows()):
                yield f"{name}/{unquote(file)}", size


def _log(tables: Tables, name: str, version: int, recorded: int | None) -> list[tuple[str, int]]:
    """The log's files that make up this version: the newest checkpoint and the commits from there
    on, the checkpoint's own included (without it delta-rs 1.6.6 reads the table, but commits
    nothing more to it: "Invalid table version")."""
    with tables.sentences("read", name):
        listed = tables.files(name).get_file_info_selector(FileSelector("_delta_log"))
    entries: list[tuple[int, str, int]] = []
    for info in listed:
        file = info.path.rpartition("/")[2]
        if (found := _ENTRY.fullmatch(file)) and int(found[1]) <= version:
            entries.append((int(found[1]), file, info.size))
    checkpoint = max((n for n, file, _ in entries if ".checkpoint" in file), default=-1)
    commits = {n for n, file, _ in entries if file.endswith(".json")}
    if lost := set(range(max(checkpoint, 0), version + 1)) - commits:
        raise StoreError(
            f"The log of {tables.uri(name)} lacks its entry {min(lost)}, so there is no whole state"
            " to back up. Restore the store from an earlier backup."
        )
    since = checkpoint if recorded is None else min(checkpoint, recorded + 1)
    return sorted(
        (file, size)
        for n, file, size in entries
        if (n >= since if file.endswith(".json") else n == checkpoint)
    )


def _write(tables: Tables, manifest: Manifest, draft: Path, progress: Progress | None) -> str:
    """The tar in `draft`, on the disk when this returns; returns its SHA-256."""
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        out = _Out(file, draft)
        sums = {}
        done = 0
        handlers: dict[str, DeltaStorageHandler] = {}
        with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
            head = manifest.to_json()
            sums[MANIFEST] = hashlib.sha256(head).hexdigest()
            tar.addfile(_info(MANIFEST, len(head), manifest), io.BytesIO(head))
            for member, size in manifest.members.items():
                table, _, rest = member.partition("/")
                if table not in handlers:
                    handlers[table] = tables.files(table)
                # What cannot be read is the store's fault, what cannot be written the file's: the
                # latter is raised through this as `_Unwritable`, which is no OSError.
                with tables.sentences("read", table), handlers[table].open_input_file(rest) as data:
                    source = _In(data)
                    tar.addfile(_info(member, size, manifest), source)
                sums[member] = source.digest.hexdigest()
                done += size
                if progress:
                    progress(done, manifest.size)
            tail = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
            tar.addfile(_info(SUMS, len(tail), manifest), io.BytesIO(tail))
        file.flush()
        os.fsync(file.fileno())
    return out.digest.hexdigest()


def _info(name: str, size: int, manifest: Manifest) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(manifest.created_at.timestamp())
    return info


class _Out:
    """The file of the backup, with the SHA-256 of what went into it."""

    def __init__(self, file: Any, path: Path) -> None:
        self.file = file
        self.path = path
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        try:
            return int(self.file.write(data))
        except OSError as error:
            raise _unwritable(self.path, error) from error


class _In:
    """A member as it is read, with its SHA-256."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = bytes(self.file.read(size))
        self.digest.update(data)
        return data


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"The backup {path} cannot be written ({error.strerror or error}). Nothing was backed up"
        " and the store is as it was: free some space or name a file elsewhere, and run the same"
        " command again."
    )


def clear_drafts(path: Path) -> None:
    """Delete what killed backups to this file left beside it. Call it with the lock held."""
    if path.parent.is_dir():
        for draft in path.parent.iterdir():
            if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.part", draft.name):
                draft.unlink(missing_ok=True)


def record(tables: Tables, path: Path, manifest: Manifest, digest: str | None) -> None:
    """Put the backup on record in `exports`, so that `maintain` deletes it in time."""
    row = {
        "path": str(path),
        "written_at": manifest.created_at,
        "case": "",
        "kind": "backup",
        "share": False,
        "filters": json.dumps(
            {"backup": manifest.backup, "expires_at": manifest.expires_at.isoformat()}
        ),
        "rows": manifest.tables["posts"]["rows"],
        "sha256": digest,
        "export": manifest.backup,
        "expires_at": manifest.expires_at,
    }
    columns = [name for name in EXPORTS if name in row]
    frame = pl.DataFrame([row], schema_overrides=EXPORTS).with_columns(
        pl.lit(None, kind).alias(name) for name, kind in EXPORTS.items() if name not in row
    )
    updates = {name: f's."{name}"' for name in columns if name != "path"}
    tables.merge("exports", frame, updates=updates)


def expire(tables: Tables, now: datetime) -> Expired:
    """Delete the recorded backups whose time is over, each only if it still is that backup.

    One that is not where it was is named once; whoever moved it has to delete it.
    """
    with tables.lock():
        for path in _places(tables):
            clear_drafts(path)
        rows = tables.read(
            lambda: tables.scan("exports").filter(kind="backup").select("path", "filters")
        )
        deleted: list[str] = []
        missing: list[str] = []
        for place, filters in rows.sort("path").iter_rows():
            said = json.loads(filters)
            if "ended" in said or datetime.fromisoformat(said["expires_at"]) > now:
                continue
            found = _is(Path(place), said["backup"])
            if found:
                try:
                    Path(place).unlink()
                except OSError as error:
                    raise StoreError(
                        f"The backup {place} has had its time and cannot be deleted"
                        f" ({error.strerror}). Delete it yourself."
                    ) from error
            (deleted if found else missing).append(place)
            said["ended"] = now.isoformat()
            frame = pl.DataFrame({"path": [place], "filters": [json.dumps(said)]}).with_columns(
                pl.lit(None, kind).alias(name)
                for name, kind in EXPORTS.items()
                if name not in ("path", "filters")
            )
            tables.merge("exports", frame, updates={"filters": "s.filters"})
    return Expired(tuple(deleted), tuple(missing))


def _is(path: Path, name: str) -> bool:
    with suppress(StoreError):
        return path.is_file() and read_manifest(path).backup == name
    return False


def _places(tables: Tables) -> set[Path]:
    """Where backups of this store were made lately, finished or not."""
    if tables.journal is None or not tables.journal.path.exists():
        return set()
    entries = erasures.read(tables.journal.path)
    return {Path(e.about["path"]) for e in entries if e.kind == erasures.BACKUP and e.about}
