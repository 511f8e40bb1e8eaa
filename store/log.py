"""A table's log as files: its entries and checkpoints, and whether each of them is whole.

Reads only. What the entries say is Delta Lake's business; which of them it cannot do without is
said here, since it takes an empty entry for a commit that changed nothing.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler

LOG = "_delta_log"
LAST = f"{LOG}/_last_checkpoint"
# An entry says at least what kind of commit it is; the shortest of delta-rs's is over 100 bytes.
SHORTEST = 10
# Which figures of a commit say how many files it added and removed, by its operation.
_FIGURES = {
    "MERGE": ("num_target_files_added", "num_target_files_removed"),
    "WRITE": ("num_added_files", "num_removed_files"),
    "UPDATE": ("num_added_files", "num_removed_files"),
    "DELETE": ("num_added_files", "num_removed_files"),
}


@dataclass(frozen=True)
class Log:
    """The files of one log: size of each entry by version, versions and paths of checkpoints."""

    entries: dict[int, int]
    checkpoints: dict[int, list[str]]

    @property
    def newest(self) -> int:
        """The newest version, -1 when there is none."""
        return max([*self.entries, *self.checkpoints], default=-1)

    @property
    def base(self) -> int:
        """The version of the last checkpoint, -1 when there is none."""
        return max(self.checkpoints, default=-1)

    @property
    def needed(self) -> range:
        """The versions whose entries a reader needs, from the last checkpoint on."""
        return range(self.base + 1, self.newest + 1)


def entry_path(version: int) -> str:
    """Where the entry of a version lies within its table."""
    return f"{LOG}/{version:020d}.json"


def files(uri: str, options: dict[str, str] | None = None) -> pa_fs.FileSystem:
    """The files of a table, on a disk or an object store (which needs `options`), by their paths
    within it."""
    return pa_fs.PyFileSystem(DeltaStorageHandler(uri, options))


def listing(fs: pa_fs.FileSystem) -> Log:
    """What there is in the log of the table whose files these are."""
    found = fs.get_file_info(pa_fs.FileSelector(LOG, allow_not_found=True))
    return _log((info.base_name, int(info.size or 0)) for info in found)


def _log(names: Any) -> Log:
    entries: dict[int, int] = {}
    checkpoints: dict[int, list[str]] = {}
    for name, size in names:
        if not name[:20].isdigit():
            continue
        if name[20:] == ".json":
            entries[int(name[:20])] = size
        elif name[20:].startswith(".checkpoint.") and name.endswith((".parquet", ".json")):
            checkpoints.setdefault(int(name[:20]), []).append(f"{LOG}/{name}")
    return Log(entries, checkpoints)


def hollow(folder: Path) -> int | None:
    """The first entry of a local table that readers need and that is empty, as a power failure
    leaves it: delta-rs 1.6.6 would take it for a commit that changed nothing."""
    with suppress(FileNotFoundError):
        log = _log((path.name, path.stat().st_size) for path in (folder / LOG).iterdir())
        return next((v for v in log.needed if log.entries.get(v, SHORTEST) < SHORTEST), None)
    return None


def entry_fault(data: bytes) -> str | None:
    """What is wrong with an entry, None when it is whole."""
    if not data.strip(b"\0 \r\n"):
        return "is empty"
    try:
        actions = [json.loads(line) for line in data.splitlines() if line.strip()]
    except ValueError:
        return "cannot be parsed"
    if not all(isinstance(action, dict) for action in actions):
        return "cannot be parsed"
    info = next((action["commitInfo"] for action in actions if "commitInfo" in action), None)
    if info is None:
        return "does not say what it is"
    # Cut off between two lines it would parse, and half a commit would count as a whole one.
    for figure, kind in zip(
        _FIGURES.get(info.get("operation"), ()), ("add", "remove"), strict=False
    ):
        said = info.get("operationMetrics", {}).get(figure)
        if said is not None and int(said) != sum(kind in action for action in actions):
            return "is cut off"
    return None


def checkpoint_fault(fs: pa_fs.FileSystem, paths: list[str]) -> str | None:
    """What is wrong with the files of a checkpoint, None when they can be read."""
    for path in paths:
        try:
            with fs.open_input_file(path) as file:
                if path.endswith(".json"):
                    json.loads(file.read())
                elif not pq.ParquetFile(file).read().num_rows:
                    return "is empty"
        except (OSError, ValueError, pa.ArrowException):
            return "cannot be read"
    return None


def last(fs: pa_fs.FileSystem) -> int | str | None:
    """The version of `_last_checkpoint`, None without one, what is wrong when it is garbled."""
    try:
        with fs.open_input_file(LAST) as file:
            return int(json.loads(file.read())["version"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "cannot be parsed"


def log_fault(fs: pa_fs.FileSystem) -> str | None:
    """What keeps a table from being opened, None when its log is whole."""
    log = listing(fs)
    hint = last(fs)
    if isinstance(hint, int) and hint not in log.checkpoints:
        return f"the checkpoint of version {hint} in its log is missing"
    if log.base >= 0 and (fault := checkpoint_fault(fs, log.checkpoints[log.base])):
        return f"the checkpoint of version {log.base} in its log {fault}"
    for version in log.needed:
        if version not in log.entries:
            return f"entry {version} of its log is missing"
        with fs.open_input_file(entry_path(version)) as file:
            if fault := entry_fault(file.read()):
                return f"entry {version} of its log {fault}"
    return None
