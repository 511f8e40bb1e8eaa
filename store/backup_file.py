"""The file of a backup as it is read: its manifest, and unpacking it with every byte checked.

A plain tar (the tables' Parquet files are compressed already): `manifest.json`, then each table's
files and log, then `SHA256SUMS` over all of them, without which it is not whole. Any tar program
opens it and `sha256sum -c SHA256SUMS` checks it. Knows nothing of what the tables hold.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from store.keys import StoreError

FORMAT = 1
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
CHUNK = 1 << 20
_LARGEST = 64 << 20  # of a manifest or the list of sums: some 400,000 members
# A table's data files in at most one folder of a partition, or a file of its log. The table's name
# is anything: one of an older schema may be gone from this one's.
_NAME = re.compile(r"[a-z_]+/(_delta_log/|[a-z]+=[\w-]+/)?[\w-][\w.-]*")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself. `tables` give version, files, rows and bytes, `members` the
    size of every file in it but the manifest and the sums."""

    backup: str
    schema: int
    salt: str
    store: str
    demo: bool
    created_at: datetime
    expires_at: datetime
    tables: Mapping[str, Mapping[str, int]]
    members: Mapping[str, int]

    @property
    def size(self) -> int:
        return sum(self.members.values())

    def to_json(self) -> bytes:
        times = {name: getattr(self, name).isoformat() for name in ("created_at", "expires_at")}
        row = {"aftershock": "backup", "format": FORMAT, **self.__dict__, **times}
        return json.dumps(row, indent=1).encode()


def read_manifest(path: Path) -> Manifest:
    """The manifest of a backup. Raises StoreError when the file cannot be read or is none."""
    try:
        with tarfile.open(path, "r|") as tar:
            member = tar.next()
            return _parsed(_small(tar, member) if member and member.name == MANIFEST else b"")
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}.") from error
    except (tarfile.TarError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise StoreError(
            f"{path} is not a backup that `aftershock backup` made, or its beginning is damaged."
            " Take another copy of it."
        ) from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror or error}).") from error


def _parsed(data: bytes) -> Manifest:
    row: dict[str, Any] = json.loads(data)
    if row.pop("aftershock") != "backup" or row.pop("format") != FORMAT:
        raise ValueError("not this format")
    for name in ("created_at", "expires_at"):
        row[name] = datetime.fromisoformat(row[name]).astimezone(UTC)
    names = {str(name) for name in row["members"]}
    if not {"posts", "cells", "blocked"} <= row["tables"].keys():
        raise ValueError("not the tables of a store")
    if not all(_NAME.fullmatch(name) and name.split("/")[0] in row["tables"] for name in names):
        raise ValueError("a member's name leads elsewhere")
    if not all(isinstance(size, int) and size >= 0 for size in row["members"].values()):
        raise ValueError("a member without size")
    return Manifest(**row)


def _small(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member) if member.isreg() and member.size <= _LARGEST else None
    if file is None:
        raise ValueError("no ordinary file")
    return file.read()


def unpack(path: Path, manifest: Manifest, folder: Path, progress: Progress | None = None) -> None:
    """Write the members into `folder`, which is there and empty.

    Only names from the manifest are written, and only as ordinary files, whatever the tar says.
    Raises StoreError when anything is missing, too much, doubled or not as its checksum says.
    """
    sums: dict[str, str] = {}
    listed: dict[str, str] = {}
    done = 0
    try:
        with tarfile.open(path, "r|") as tar:
            for member in tar:
                if member.name in sums:
                    raise ValueError(f"{member.name} is in it twice")
                if member.name == SUMS:
                    listed = _listed(_small(tar, member))
                    continue
                if member.name == MANIFEST:
                    sums[MANIFEST] = hashlib.sha256(_small(tar, member)).hexdigest()
                    continue
                if manifest.members.get(member.name) != member.size or not member.isreg():
                    raise ValueError(f"{member.name} is not as its manifest says")
                file = tar.extractfile(member)
                if file is None:
                    raise ValueError(f"{member.name} is no ordinary file")
                sums[member.name] = _write(file, folder / member.name)
                done += member.size
                if progress:
                    progress(done, manifest.size)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        if tarfile_ended(error):
            raise _damaged(path, str(error)) from error
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "The disk is full" if full else error.strerror or error
        raise StoreError(
            f"{what}: {folder.parent} cannot take the {manifest.size:,} bytes of {path}. Nothing"
            " was restored and nothing was lost."
        ) from error
    if missing := manifest.members.keys() - sums.keys():
        raise _damaged(path, f"{min(missing)} is missing")
    if listed != sums:
        wrong = sorted(name for name in sums if listed.get(name) != sums[name])
        raise _damaged(path, f"{wrong[0] if wrong else SUMS} is not as its checksum says")


def tarfile_ended(error: OSError) -> bool:
    """Whether this is tarfile's way to say that a file ends too early."""
    return error.errno is None and "end of data" in str(error)


def _listed(data: bytes) -> dict[str, str]:
    lines = data.decode().splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _write(file: IO[bytes], path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as target:
        while data := file.read(CHUNK):
            digest.update(data)
            target.write(data)
    return digest.hexdigest()


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        f"The backup {path} is damaged or was cut off ({what}). Nothing was restored: take another"
        " copy of it, or an older backup."
    )
