"""The journal of erasures: which keys were wiped, hidden or blocked, kept outside the store.

A backup holds what was deleted after it was made, and a lost disk takes the store's own memory of
that with it. So every erasure is on record here before it is made: beside the salt, keys only (they
say nothing without the salt). Erases nothing itself; `restore.py` applies what stands here.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from store.keys import StoreError
from store.location import is_local, journals_path, salt_path

# A backup may be kept this long at the most; one day more, and no backup needs the entry any more.
LONGEST_DAYS = 90
KEYS_A_LINE = 10_000

WIPED = "wiped"  # post keys
HIDDEN = "hidden"  # author keys
BACK = "back"  # author keys
BLOCKED = "blocked"  # post and author keys; kept for ever
BACKUP = "backup"  # no keys: from here on the journal covers the backup it names
KINDS = (WIPED, HIDDEN, BACK, BLOCKED, BACKUP)


@dataclass(frozen=True)
class Erasure:
    """One line of a journal. `about` is what a backup's line says of it."""

    at: datetime
    kind: str
    keys: tuple[str, ...] = ()
    about: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Journal:
    """The journal of one store: an NDJSON file that only grows, but for `trim`."""

    path: Path

    def write(
        self,
        kind: str,
        keys: Collection[str],
        now: datetime,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Put an erasure on record, on the disk before this returns. Raises StoreError when it
        cannot be: what is not on record must not be erased, since a restore would bring it back.
        """
        if not keys and about is None:
            return
        ordered = sorted(set(keys))
        parts = [ordered[n : n + KEYS_A_LINE] for n in range(0, len(ordered), KEYS_A_LINE)] or [[]]
        lines = [_line(Erasure(now, kind, tuple(part), about)) for part in parts]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock():
                self._append("".join(lines).encode())
        except OSError as error:
            raise self._unwritable(error) from error

    def _append(self, data: bytes) -> None:
        new = not self.path.exists()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # the last writer was killed within its line
            try:
                if (written := os.write(descriptor, data)) < len(data):
                    os.write(descriptor, data[written:])  # says why the rest did not fit
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if new:
            _sync_folder(self.path.parent)

    def trim(self, now: datetime) -> int:
        """Drop what no backup can need any more, blocks excepted; returns how many lines went."""
        limit = now - timedelta(days=LONGEST_DAYS + 1)
        try:
            if not self.path.exists():
                return 0
            with self._lock():
                entries = list(read(self.path))
                kept = [entry for entry in entries if entry.kind == BLOCKED or entry.at >= limit]
                if len(kept) == len(entries):
                    return 0
                draft = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    with os.fdopen(descriptor, "w", encoding="ascii") as file:
                        file.writelines(map(_line, kept))
                        file.flush()
                        os.fsync(file.fileno())
                    draft.replace(self.path)
                finally:
                    draft.unlink(missing_ok=True)
                _sync_folder(self.path.parent)
                return len(entries) - len(kept)
        except OSError as error:
            raise self._unwritable(error) from error

    def _lock(self) -> FileLock:
        """Keeps a trim from dropping what is appended meanwhile; local, as the journal is."""
        return FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=60, mode=0o600)

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"The journal of erasures {self.path} cannot be written ({error.strerror or error})."
            " Nothing was erased, since a restored backup would bring back what is not on record"
            " there. Free some space, give this user write access, or name another folder in"
            " AFTERSHOCK_ERASURES, and run the same command again."
        )


def journal_of(
    location: str, fingerprint: str, identity: str, *, beside_store: bool = False
) -> Journal:
    """The journal of the store with this identity (which its backups share with it).

    `beside_store` is for a store that was opened with a salt from elsewhere than the salt's file.
    Raises StoreError for a journal inside the store, which would be lost along with it.
    """
    beside = Path(f"{location}.erasures") if beside_store and is_local(location) else None
    folder = journals_path(beside)
    if is_local(location) and folder.resolve().is_relative_to(location):
        raise StoreError(
            f"The journal of erasures {folder} would lie inside the store {location} and be lost"
            " along with it. Name another folder in AFTERSHOCK_ERASURES."
        )
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Journal(folder / f"{fingerprint}-{name}.ndjson")


def siblings(journal: Journal) -> list[Path]:
    """All journals under the same salt, this one included where it is there.

    A post deleted at its source is deleted for every store under this salt.
    """
    fingerprint = journal.path.name.split("-")[0]
    # Those beside the salt too: a program for which no other place was set wrote there.
    salt = salt_path()
    folders = {journal.path.parent, salt.with_name(salt.name + ".erasures")}
    return sorted(file for place in folders for file in place.glob(f"{fingerprint}-*.ndjson"))


def read(path: Path) -> Iterator[Erasure]:
    """The lines of a journal in their order. A line that was torn by a kill is passed over: what
    it was to record has not been erased. Raises StoreError when the file cannot be read."""
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            for line in file:
                if entry := _parsed(line):
                    yield entry
    except OSError as error:
        raise StoreError(
            f"The journal of erasures {path} cannot be read ({error.strerror}): give this user read"
            " access, or name the right folder in AFTERSHOCK_ERASURES."
        ) from error


def covers(entries: Sequence[Erasure], backup: str) -> bool:
    """Whether a journal was there when this backup was made, so that it knows all that came after.

    One that was lost and begun anew since does not know of the backup.
    """
    return any(e.kind == BACKUP and (e.about or {}).get("backup") == backup for e in entries)


def _line(entry: Erasure) -> str:
    row: dict[str, Any] = {
        "at": entry.at.astimezone(UTC).isoformat(),
        "kind": entry.kind,
        "keys": entry.keys,
    }
    return json.dumps(row | ({"about": dict(entry.about)} if entry.about else {})) + "\n"


def _parsed(line: str) -> Erasure | None:
    try:
        row = json.loads(line)
        entry = Erasure(
            datetime.fromisoformat(row["at"]), row["kind"], tuple(row["keys"]), row.get("about")
        )
        hexadecimal = all(len(key) == 32 and bytes.fromhex(key) for key in entry.keys)
    except (ValueError, KeyError, TypeError):
        return None
    known = entry.kind in KINDS and entry.at.tzinfo is not None
    return entry if hexadecimal and known else None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
