"""What was computed of a text once, kept under a hash of that text: one file, never the text.

For what is slow (vectors) or costs money (answers of a language model). Losing the file loses
nothing but time. It is no part of a store, and nothing else reads it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

DAYS = 30  # without use, after which an entry goes
_ASKED = 500  # keys in one question; SQLite takes 999 values at least

_TABLE = """
CREATE TABLE IF NOT EXISTS kept (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL
) WITHOUT ROWID
"""
_TODAY = "CAST(julianday('now') AS INTEGER)"


def key(*parts: str) -> bytes:
    """The hash of some texts, their order and their ends (BLAKE2b, 256 bits)."""
    found = hashlib.blake2b(digest_size=32)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "little"))
        found.update(data)
    return found.digest()


class Kept:
    """Values by key in an SQLite file that only this user can read; without a path, in memory.

    Several processes may use one file. What nobody asked for in DAYS days goes when it is opened,
    so that nothing derived from a post outlives by long the last run that had the post. Raises
    sqlite3.Error where the file cannot be used.
    """

    def __init__(self, path: Path | None = None, *, days: int = DAYS) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Made here, closed to others from the start: SQLite's own would be open to all.
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._file = sqlite3.connect(path or ":memory:", timeout=60, isolation_level=None)
        self._file.execute("PRAGMA secure_delete = ON")  # what goes leaves no bytes behind
        self._file.execute(_TABLE)
        self._file.execute(f"DELETE FROM kept WHERE used < {_TODAY} - ?", (days,))  # noqa: S608

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values there are of these keys; they count as used today."""
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), _ASKED):
            some = wanted[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            found.update(
                self._file.execute(f"SELECT key, value FROM kept WHERE key IN ({marks})", some)  # noqa: S608
            )
            self._file.execute(
                f"UPDATE kept SET used = {_TODAY} WHERE key IN ({marks}) AND used < {_TODAY}",  # noqa: S608
                some,
            )
        return found

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keep these, in one step."""
        rows: Sequence[tuple[bytes, bytes]] = list(values.items())
        self._file.execute("BEGIN IMMEDIATE")
        try:
            self._file.executemany(f"REPLACE INTO kept VALUES (?, ?, {_TODAY})", rows)  # noqa: S608
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def __enter__(self) -> Kept:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
