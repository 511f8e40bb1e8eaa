"""What a file that leaves the store looks like, and how it gets to its place: whole or not at all.

CSV and Parquet, from frames at once or one after the other. Knows nothing of posts.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import polars as pl
from pyarrow import parquet

from store.merge import arrow

# A spreadsheet runs a cell that begins with one of these (OWASP, "CSV Injection"), full-width
# forms included.
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
SUFFIXES = (".csv", ".parquet")


def escape_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with an apostrophe before every text cell that a spreadsheet would run."""
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(FORMULA))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name, dtype in frame.schema.items()
        if dtype == pl.String
    )


def csv_bytes(frame: pl.DataFrame, *, head: bool = True) -> bytes:
    """The frame as CSV: UTF-8 with BOM, ISO times with Z, text quoted, formulas escaped.

    Lists are joined by blanks. Null is an empty field without quotes. Without `head`, neither BOM
    nor names: the bytes go on where those of an earlier frame ended.
    """
    flat = frame.with_columns(
        pl.col(name).list.join(" ").alias(name)
        for name, dtype in frame.schema.items()
        if dtype == pl.List(pl.String)
    )
    buffer = io.BytesIO()
    escape_formulas(flat).write_csv(
        buffer,
        include_bom=head,
        include_header=head,
        quote_style="non_numeric",
        datetime_format="%Y-%m-%dT%H:%M:%SZ",
    )
    return buffer.getvalue()


def content(frame: pl.DataFrame, suffix: str) -> bytes:
    """The frame as the bytes of a .csv or .parquet file. ValueError for another suffix."""
    check(suffix)
    if suffix == ".csv":
        return csv_bytes(frame)
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def check(suffix: str) -> None:
    """Raise ValueError for an ending that is none of ours."""
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{suffix or 'a name without an ending'} is no format for an export: "
            "end the file's name in .csv or .parquet."
        )


class Draft(io.RawIOBase):
    """A file under another name beside its place, hashed as it is written.

    `place` puts it there once it is `done`; a draft that was not placed is deleted on leaving.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._draft = Path(name)
        self._file = os.fdopen(handle, "wb")
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of what has been written so far, in hex."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """As Parquet's writer asks."""
        return True

    def tell(self) -> int:
        """Bytes written."""
        return self._file.tell()

    def write(self, data: Any) -> int:
        """Append and hash."""
        self._hash.update(data)
        return self._file.write(data)

    def done(self) -> None:
        """Everything is on the disk, readable to whom the umask lets."""
        self._file.flush()
        os.fsync(self._file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        self._draft.chmod(0o666 & ~umask)

    def place(self) -> None:
        """Take the place of whatever is there."""
        self._draft.replace(self.path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._draft.unlink(missing_ok=True)
        super().__exit__(kind, error, trace)


class Sheet(Protocol):
    """A file that frames of one schema are appended to."""

    def add(self, frame: pl.DataFrame) -> None:
        """Append the rows of a frame."""


@contextmanager
def sheet(file: Draft, suffix: str) -> Iterator[Sheet]:
    """A sheet in the format of the suffix, complete when left. ValueError for another suffix than
    .csv or .parquet."""
    check(suffix)
    if suffix == ".csv":
        yield Csv(file)
        return
    made = Parquet(file)
    try:
        yield made
    finally:
        made.close()


class Csv:
    """The bytes that `csv_bytes` makes of all frames together."""

    def __init__(self, file: IO[bytes] | Draft) -> None:
        self._file = file
        self._begun = False

    def add(self, frame: pl.DataFrame) -> None:
        """Append the rows of a frame, under the names of the first."""
        self._file.write(csv_bytes(frame, head=not self._begun))
        self._begun = True


class Parquet:
    """One row group a frame."""

    def __init__(self, file: Draft) -> None:
        self._file = file
        self._writer: parquet.ParquetWriter | None = None

    def add(self, frame: pl.DataFrame) -> None:
        """Append the rows of a frame."""
        table = arrow(frame)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the footer."""
        if self._writer is not None:
            self._writer.close()
