"""The key index: on which day a post lies, so that looking one up by its key reads no whole store.

One SQLite file that can be deleted at any time: `lookup.py` fills it from the tables and holds
every answer against them. It may name a post that is not stored, or a day on which it is not; as
far as it claims to reach (`covered`), it never leaves one out. Holds keys and days, nothing else.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

# The tables whose posts are looked up by key alone; their places here are the kinds in the file.
KINDS = ("posts", "times")
BUSY_SECONDS = 10.0
# Errors that say nothing against the file: busy, or a disk that is full or not to be written.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOMEM,
}

_LAYOUT = (
    # A post may lie on two days here: what a killed writer announced and never stored.
    """CREATE TABLE IF NOT EXISTS keys
    (kind INTEGER, post BLOB, day INTEGER, PRIMARY KEY (kind, post, day)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS reach (kind INTEGER PRIMARY KEY, id TEXT, covered INTEGER)",
    "CREATE TABLE IF NOT EXISTS era (only INTEGER PRIMARY KEY CHECK (only = 0), token TEXT)",
    "INSERT OR IGNORE INTO era VALUES (0, hex(randomblob(16)))",
)


@dataclass(frozen=True)
class Reach:
    """How far the index reaches: the Delta table's id, and the version up to which every post of
    it is here (-1: none). `era` changes whenever keys were taken out."""

    id: str
    covered: int
    era: str


class Index:
    """The file at `path`, made when it is first needed.

    Every method opens it anew, so it may be shared between threads and processes and survives
    forks; each is one transaction. All may raise sqlite3.Error: then look at the tables instead.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def reach(self, name: str) -> Reach:
        with self._open() as file:
            return _reach(file, name)

    def find(self, name: str, keys: pl.Series, least: Reach) -> pl.DataFrame | None:
        """Where these posts may lie: post, day; None when the index no longer reaches to `least`,
        because the file was deleted or filled anew a moment ago."""
        with self._open() as file:
            file.execute("CREATE TEMP TABLE asked (post BLOB PRIMARY KEY) WITHOUT ROWID")
            file.execute("BEGIN")
            reach = _reach(file, name)
            if reach.id != least.id or reach.covered < least.covered:
                return None
            file.executemany(
                "INSERT OR IGNORE INTO asked VALUES (?)", ((key,) for key in _bytes(keys.sort()))
            )
            rows = file.execute(
                "SELECT hex(k.post), k.day FROM asked AS a CROSS JOIN keys AS k"
                " WHERE k.kind = ? AND k.post = a.post",
                (KINDS.index(name),),
            ).fetchall()
            file.execute("COMMIT")
        found = pl.DataFrame(rows, schema={"post": pl.String, "day": pl.Int32}, orient="row")
        return found.with_columns(pl.col("post").str.to_lowercase(), pl.col("day").cast(pl.Date))

    def add(self, name: str, rows: pl.DataFrame) -> str:
        """Say that these posts (post, day) are about to be stored; returns the era of it.

        Before they are committed, so that a kill leaves too much here and never too little.
        """
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?)", _pairs(name, rows))
            era = _reach(file, name).era
            file.execute("COMMIT")
            return era

    def advance(self, name: str, reach: Reach) -> None:
        """What was added in this era is stored now, as version `reach.covered` of the table: from
        now on the index reaches to there, if it reached to the version before."""
        with self._open() as file:
            file.execute(
                "UPDATE reach SET covered = ? WHERE kind = ? AND id = ? AND covered = ?"
                " AND ? = (SELECT token FROM era)",
                (reach.covered, KINDS.index(name), reach.id, reach.covered - 1, reach.era),
            )

    def fill(
        self, name: str, reach: Reach, portions: Iterable[pl.DataFrame], *, anew: bool
    ) -> bool:
        """Add all these posts and say that the index reaches to `reach`; `anew` drops the others.

        Does nothing and returns False when keys were taken out since `reach.era`: some of these may
        be among them.
        """
        with self._open() as file:
            # Sorted on the disk, so that ten million keys neither fill the memory nor come into
            # the tree at random.
            file.execute("CREATE TEMP TABLE fresh (post BLOB, day INTEGER)")
            for rows in portions:
                file.execute("BEGIN")
                file.executemany(
                    "INSERT INTO fresh VALUES (?, ?)", (pair[1:] for pair in _pairs(name, rows))
                )
                file.execute("COMMIT")
            file.execute("BEGIN IMMEDIATE")
            if _reach(file, name).era != reach.era:
                file.execute("ROLLBACK")
                return False
            kind = KINDS.index(name)
            if anew:
                file.execute("DELETE FROM keys WHERE kind = ?", (kind,))
                _new_era(file)
            file.execute(
                "INSERT OR IGNORE INTO keys SELECT ?, post, day FROM fresh ORDER BY post, day",
                (kind,),
            )
            file.execute(
                "INSERT OR REPLACE INTO reach VALUES (?, ?, ?)", (kind, reach.id, reach.covered)
            )
            file.execute("COMMIT")
            return True

    def drop(self, keys: Collection[str]) -> None:
        """Take these keys out, so that the file holds nothing of them any more.

        Only after the posts are deleted from the tables: a key missed here is a post not found.
        """
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            file.executemany(
                "DELETE FROM keys WHERE kind = ? AND post = ?",
                ((kind, bytes.fromhex(key)) for key in keys for kind in range(len(KINDS))),
            )
            # Even when none was here: whoever is filling the file may have read them already.
            _new_era(file)
            file.execute("COMMIT")
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def failed(self, error: sqlite3.Error) -> None:
        """After an error: delete the file if it is damaged. It is made anew at the next look-up;
        others who have it open notice nothing, since the tables' versions say what they missed."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _PASSING:
            return
        for ending in ("", "-wal", "-shm"):
            try:
                Path(f"{self.path}{ending}").unlink(missing_ok=True)
            except OSError:
                return

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error
        with closing(
            sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        ) as file:
            # Not every key leaves the file when it is deleted, unless the page is overwritten.
            file.execute("PRAGMA secure_delete = ON")
            file.execute("PRAGMA synchronous = NORMAL")
            file.execute("PRAGMA cache_size = -65536")  # 64 MB at most
            file.execute("PRAGMA temp_store = FILE")
            if file.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                file.execute("PRAGMA journal_mode = WAL")
                file.execute("BEGIN IMMEDIATE")
                for statement in _LAYOUT:
                    file.execute(statement)
                file.execute("COMMIT")
            yield file


def _reach(file: sqlite3.Connection, name: str) -> Reach:
    era = file.execute("SELECT token FROM era").fetchone()
    if era is None:
        raise sqlite3.DatabaseError("the key index has lost its era")
    found = file.execute(
        "SELECT id, covered FROM reach WHERE kind = ?", (KINDS.index(name),)
    ).fetchone()
    return Reach(*(found or ("", -1)), *era)


def _new_era(file: sqlite3.Connection) -> None:
    file.execute("UPDATE era SET token = ?", (uuid.uuid4().hex,))


def _bytes(keys: pl.Series) -> list[bytes]:
    return keys.str.decode("hex").to_list()


def _pairs(name: str, rows: pl.DataFrame) -> Iterator[tuple[int, bytes, int]]:
    rows = rows.sort("post")
    days = rows["day"].cast(pl.Int32).to_list()
    kind = KINDS.index(name)
    return ((kind, post, day) for post, day in zip(_bytes(rows["post"]), days, strict=True))
