"""The rows of an exported file, CSV or Parquet, without some posts or without their words.

Streams: a file of millions of posts never lies in memory. What is kept of a CSV file stays byte for
byte as it was written. Knows the columns of posts exports and nothing of the store.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import polars as pl

KEY, LINK = "post", "permalink"
# What goes from the row of a post that is deleted at its source. The key too: what is left are
# numbers that lead back to nobody, and that need no looking after any more.
WORDS = ("text", LINK, "author", "community", KEY)

_BOM = b"\xef\xbb\xbf"
_VALUE = re.compile(rb'"(?:[^"]|"")*"|[^,]*')
_COMMENT = re.compile(rb"/comments/([a-z0-9]+)/_/")
_HEX = re.compile(rb"[0-9a-f]{32}")


class Damaged(Exception):  # noqa: N818 - becomes a line of a report
    """A file that is not what it should be. The message says how."""


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rewrite(
    path: Path,
    draft: Path,
    remove: pl.Series,
    empty: pl.Series,
    leads_through: Callable[[str], bool],
) -> tuple[int, int, int, int]:
    """Write `path` to `draft` without the rows of the posts in `remove`, without the words of those
    in `empty`, and without the links to comments under a submission of which `leads_through` says
    that its id must go; on the disk for good, with the same rights.

    Returns how many rows are in it, were removed, were emptied, lost their link. Raises Damaged for
    a file that is no posts export, OSError where it cannot be written.
    """
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    if path.suffix.lower() == ".parquet":
        counts = _parquet(path, draft, remove, empty, leads_through)
    else:
        with path.open("rb") as source, draft.open("wb") as target:
            counts = _csv(source, target, _bytes(remove), _bytes(empty), leads_through)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    shutil.copymode(path, draft)
    return counts


def _bytes(keys: pl.Series) -> frozenset[bytes]:
    return frozenset(key.encode() for key in keys)


def _csv(
    source: BinaryIO,
    target: BinaryIO,
    remove: frozenset[bytes],
    empty: frozenset[bytes],
    leads_through: Callable[[str], bool],
) -> tuple[int, int, int, int]:
    records = _records(source)
    header = next(records, b"")
    names = [_plain(name) for name in _fields(header.removeprefix(_BOM).rstrip(b"\r\n"))]
    if KEY.encode() not in names:
        raise Damaged(f"it has no column {KEY}")
    at = names.index(KEY.encode())
    words = [names.index(name.encode()) for name in WORDS if name.encode() in names]
    target.write(header)
    link = names.index(LINK.encode()) if LINK.encode() in names else None
    rows = removed = emptied = links = 0
    for record in records:
        key = _key(record, at, len(names))
        if key in remove:
            removed += 1
            continue
        rows += 1
        if key in empty:
            emptied += 1
            values = _fields(record.rstrip(b"\r\n"))
            for index in words:
                values[index] = b""
            target.write(b",".join(values) + b"\n")
            continue
        if link is not None and b"/_/" in record:
            values = _fields(record.rstrip(b"\r\n"))
            found = _COMMENT.search(values[link])
            if found and leads_through(found[1].decode()):
                links += 1
                values[link] = b""
                target.write(b",".join(values) + b"\n")
                continue
        target.write(record)
    return rows, removed, emptied, links


def _records(source: BinaryIO) -> Iterator[bytes]:
    """The lines of a CSV file; one with an open quote goes on in the next."""
    open_: list[bytes] = []
    quotes = 0
    for line in source:
        quotes += line.count(b'"')
        if not open_ and quotes % 2 == 0:
            yield line
            quotes = 0
            continue
        open_.append(line)
        if quotes % 2 == 0:
            yield b"".join(open_)
            open_, quotes = [], 0
    if open_:
        raise Damaged("it ends in the middle of a row")


def _key(record: bytes, at: int, width: int) -> bytes:
    # The key is among the last columns: mostly it can be had without looking at the text.
    after = width - 1 - at
    parts = record.rstrip(b"\r\n").rsplit(b",", after + 1)
    found = _plain(parts[-(after + 1)]) if len(parts) == after + 2 else b""
    if _HEX.fullmatch(found):
        return found
    values = _fields(record.rstrip(b"\r\n"))
    if len(values) != width:
        raise Damaged("a row of it has too many or too few fields")
    return _plain(values[at])


def _fields(record: bytes) -> list[bytes]:
    """The fields of a record as they stand there, quotes and all."""
    found: list[bytes] = []
    at = 0
    while match := _VALUE.match(record, at):  # it matches nothing at all, too
        found.append(match.group())
        if match.end() >= len(record):
            break
        at = match.end() + 1  # the comma
    return found


def _plain(value: bytes) -> bytes:
    return value[1:-1].replace(b'""', b'"') if value.startswith(b'"') else value


def _parquet(
    path: Path,
    draft: Path,
    remove: pl.Series,
    empty: pl.Series,
    leads_through: Callable[[str], bool],
) -> tuple[int, int, int, int]:
    def rows() -> pl.LazyFrame:
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)

    try:
        names = rows().collect_schema().names()
        if KEY not in names:
            raise Damaged(f"it has no column {KEY}")
        out, blank = (
            pl.col(KEY).is_in(keys.implode()).fill_null(False) for keys in (remove, empty)
        )
        submission = pl.lit(None, pl.String)
        if LINK in names:
            submission = pl.col(LINK).str.extract(_COMMENT.pattern.decode())
        ids = rows().select(submission.unique().alias("id")).collect()["id"].drop_nulls()
        through = submission.is_in(
            pl.Series([i for i in ids if leads_through(i)], dtype=pl.String).implode()
        )
        through = through.fill_null(False) & ~out & ~blank
        kept, removed, emptied, links = (
            rows()
            .select((~out).sum(), b=out.sum(), c=(blank & ~out).sum(), d=through.sum())
            .collect()
            .row(0)
        )
        (
            rows()
            .filter(~out)
            .with_columns(
                pl.when(~(blank | through if name == LINK else blank))
                .then(pl.col(name))
                .alias(name)
                for name in WORDS
                if name in names
            )
            .sink_parquet(draft)
        )
    except pl.exceptions.PolarsError as error:
        raise Damaged("it cannot be read as Parquet") from error
    return int(kept), int(removed), int(emptied), int(links)
