"""Files on disk as a stream of records: decompress, split, parse, in bounded memory.

Says what is wrong with a line instead of stopping; stops, with `DamagedError`, where the file
itself ends early or is damaged. Knows nothing of what the records mean (that is shapes.py).
"""

from __future__ import annotations

import csv
import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

GZIP = b"\x1f\x8b"
# A zstd frame, or a skippable one (parallel compressors write those between frames).
ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60)))
PARQUET = b"PAR1"

READ = 1 << 14  # compressed bytes at a time: what they unpack to has to fit in memory
LINE_LIMIT = 16 << 20  # the longest real record is some 100 kB; a longer line is a broken file
FIELD_LIMIT = 1 << 20  # so that a quote that is never closed costs one megabyte, not the file
BLOCK = 4 << 20  # stays near the processor from unpacking to the last look at it
SAMPLE = 1 << 18
PARQUET_ROWS = 5_000
DELIMITERS = ",;\t|"

Record = dict[str, Any]
# The number of the line or row, and the record or what is wrong with it.
Numbered = tuple[int, Record | str]
OnRead = Callable[[int], object]
Skip = Callable[[bytes], bool]


class DamagedError(Exception):
    """The file ends early or is damaged from here on; the message says where."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True)
class Layout:
    """How the bytes of a file are to be read, found from the bytes and not from the name."""

    form: str  # ndjson | csv | parquet | document (one JSON value) | utf-16
    delimiter: str = ","
    preamble: int = 0  # lines before the header


def chunks(path: Path, on_read: OnRead = lambda _: None) -> Iterator[bytes]:
    """The bytes of a file, unpacked if it is gzip or zstd. `on_read` gets bytes of the file.

    Raises DamagedError where compressed data ends early or is damaged, or where the disk fails;
    everything before that has been given.
    """
    with path.open("rb") as file:
        try:
            head = file.read(READ)
        except OSError as error:
            raise DamagedError(f"cannot be read ({error.strerror})") from error
        if head.startswith(GZIP):
            yield from _unpacked(_blocks(file.read, head, on_read), lambda: zlib.decompressobj(31))
        elif head.startswith(ZSTD):
            # Reddit's monthly dumps are written with --long=31; the default refuses them.
            opener = zstandard.ZstdDecompressor(max_window_size=2**31)
            yield from _unpacked(_blocks(file.read, head, on_read), opener.decompressobj)
        else:
            yield from _blocks(file.read, head, on_read, size=16 * READ)


def _blocks(
    read: Callable[[int], bytes], head: bytes, on_read: OnRead, *, size: int = READ
) -> Iterator[bytes]:
    offset = 0
    block = head
    while block:
        offset += len(block)
        on_read(len(block))
        yield block
        try:
            block = read(size)
        except OSError as error:
            raise DamagedError(
                f"cannot be read after byte {offset:,} ({error.strerror})"
            ) from error


def _unpacked(blocks: Iterator[bytes], new: Callable[[], _Decoder]) -> Iterator[bytes]:
    # One decoder a frame or member, because only a decoder that has not come to its end tells a
    # file that was cut off: zstandard's stream_reader ends in silence there (seen with 0.25).
    decoder: _Decoder | None = None
    offset = 0
    for fresh in blocks:
        offset += len(fresh)
        block = fresh
        while block:
            if decoder is None:
                if not block.strip(b"\0"):
                    break  # zeros after the end: padding of tapes and block devices
                decoder = new()
            try:
                out = decoder.decompress(block)
            except (zlib.error, zstandard.ZstdError) as error:
                raise DamagedError(f"is damaged near byte {offset:,} ({error})") from error
            if out:
                yield out
            block = decoder.unused_data if decoder.eof else b""
            if decoder.eof:
                decoder = None
    if decoder is not None:
        raise DamagedError(f"is cut off at byte {offset:,}: its compressed data has no end")


def lines(
    parts: Iterator[bytes], limit: int = LINE_LIMIT
) -> Iterator[tuple[int, bytes | None, bool]]:
    """Number from 1, bytes without the newline (None if over the limit), whether a newline came."""
    number = 0
    tail = b""
    overlong = False
    for part in parts:
        pieces = part.split(b"\n")
        pieces[0] = tail + pieces[0]
        tail = pieces.pop()
        for piece in pieces:
            number += 1
            yield number, None if overlong or len(piece) > limit else piece, True
            overlong = False
        if len(tail) > limit:
            tail, overlong = b"", True
    if tail or overlong:
        yield number + 1, None if overlong else tail, False


def blocks(
    parts: Iterator[bytes], size: int = BLOCK, limit: int = LINE_LIMIT
) -> Iterator[tuple[int, memoryview | None, bool]]:
    """The number of the first line, whole lines each with its newline (None: one line over the
    limit), and whether the last of them had a newline of its own.

    A block lies in memory that the next one takes. What came before damage is given before
    DamagedError is raised.
    """
    number = 1
    held = memoryview(bytearray(2 * size))  # always the same: fresh memory costs more than a copy
    filled = 0
    overlong = False
    damage: DamagedError | None = None
    ended = False
    while not ended:
        try:
            part = next(parts, None)
        except DamagedError as error:
            damage, part = error, None
        ended = part is None
        if part is not None and overlong:
            _, newline, part = part.partition(b"\n")
            if not newline:
                continue
            yield number, None, True
            number, overlong = number + 1, False
        if part:
            if filled + len(part) > len(held):
                held = _larger(held, filled, len(part))
            held[filled : filled + len(part)] = part
            filled += len(part)
        if not ended and filled < size:
            continue
        whole = np.frombuffer(held, np.uint8, filled)
        cut = _behind_last_newline(whole)
        if cut:
            yield number, held[:cut], True
            number += int(np.count_nonzero(whole[:cut] == ord("\n")))
            held[: filled - cut] = bytes(held[cut:filled])
            filled -= cut
        if filled > limit:
            filled, overlong = 0, True
    if damage is not None:
        raise damage
    if overlong:
        yield number, None, False
    elif filled:
        yield number, memoryview(bytes(held[:filled]) + b"\n"), False


def _larger(held: memoryview, filled: int, more: int) -> memoryview:
    wider = memoryview(bytearray(2 * (filled + more)))
    wider[:filled] = held[:filled]
    return wider


def _behind_last_newline(whole: npt.NDArray[np.uint8]) -> int:
    """Searched from the end, in pieces of a few lines: 0 where there is none."""
    piece = 1 << 16
    for end in range(len(whole), 0, -piece):
        found = np.flatnonzero(whole[max(end - piece, 0) : end] == ord("\n"))
        if len(found):
            return max(end - piece, 0) + int(found[-1]) + 1
    return 0


def layout(path: Path) -> Layout:
    """Recognise what is in a file from its first bytes, unpacked."""
    head = bytearray()
    parts = chunks(path)
    with suppress(DamagedError):  # reading it says so again, at the right place
        for part in parts:
            head += part
            if len(head) >= SAMPLE:
                break
    sample = bytes(head)
    if sample.startswith(PARQUET):
        return Layout("parquet")
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Layout("utf-16")
    rows = sample.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    whole = rows[:-1] if len(rows) > 1 else rows
    filled = [row.strip() for row in whole if row.strip()]
    objects = sum(row.startswith(b"{") for row in filled)
    if objects * 2 >= max(len(filled), 1) or _named_ndjson(path):
        return Layout("ndjson")
    if filled and (filled[0].startswith(b"[") or filled[0] == b"{"):
        return Layout("document")
    return _csv_layout(whole)


def _named_ndjson(path: Path) -> bool:
    # Decides only where the content does not: a damaged file with more bad lines than good ones.
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    return bool(suffixes & {".ndjson", ".jsonl"})


def _csv_layout(rows: list[bytes]) -> Layout:
    text = [row.decode("utf-8", "replace").rstrip("\r") for row in rows]
    if text and len(text[0]) == 5 and text[0].lower().startswith("sep="):
        return Layout("csv", text[0][4], preamble=1)  # what Excel writes and reads
    best, most = ",", 0.0
    for delimiter in DELIMITERS:
        with suppress(csv.Error):
            parsed = [row for row in csv.reader(text, delimiter=delimiter) if row]
            width = len(parsed[0]) if parsed else 0
            alike = sum(len(row) == width for row in parsed) / max(len(parsed), 1)
            if width * alike > most:
                best, most = delimiter, width * alike
    return Layout("csv", best)


def records(
    path: Path, form: Layout, *, on_read: OnRead = lambda _: None, skip: Skip | None = None
) -> Iterator[Numbered]:
    """Every record of a file with its line (Parquet: row) number, or what is wrong with that line.

    `skip` is asked about each line of NDJSON before it is parsed. Raises DamagedError.
    """
    if form.form == "parquet":
        yield from _parquet_records(path, on_read)
    elif form.form == "csv":
        yield from _csv_records(chunks(path, on_read), form)
    else:
        yield from _json_records(chunks(path, on_read), skip)


def _json_records(parts: Iterator[bytes], skip: Skip | None) -> Iterator[Numbered]:
    for number, raw, ended in lines(parts):
        if raw is None:
            yield number, f"longer than {LINE_LIMIT >> 20} MiB"
            continue
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
        if not line or line.isspace():
            continue
        if skip is not None and skip(line):
            continue
        record, whole = parsed(line)
        yield number, record
        if not (whole or ended):
            raise DamagedError(f"ends in the middle of line {number:,}")


def parsed(line: bytes) -> tuple[Record | str, bool]:
    """The record of a line, or what is wrong with it, and whether the line is JSON at all."""
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start + 1} of the line)", False
    except (ValueError, RecursionError) as error:
        return _json_reason(line, error), False
    if isinstance(record, dict):
        return record, True
    return f"JSON, but no object: {type(record).__name__}", True


def _json_reason(line: bytes, error: ValueError | RecursionError) -> str:
    if b"\0" in line:
        return "holds NUL bytes, as files do after a crash"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} (column {error.colno})"
    return f"not readable as JSON ({type(error).__name__})"


def _csv_records(parts: Iterator[bytes], form: Layout) -> Iterator[Numbered]:
    csv.field_size_limit(FIELD_LIMIT)
    last, ended = 0, True
    overlong: list[int] = []

    def text() -> Iterator[str]:
        nonlocal last, ended
        for number, raw, newline in lines(parts):
            if number <= form.preamble:
                continue
            last, ended = number, newline
            if raw is None:
                overlong.append(number)
                continue
            line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            yield line.decode("utf-8", "surrogateescape") + ("\n" if newline else "")

    # strict: a quote out of place is a bad line and not a silent join of two fields.
    reader = csv.reader(text(), delimiter=form.delimiter, strict=True)
    header: list[str] | None = None
    while True:
        first = last + 1
        reason = ""
        row: list[str] = []
        try:
            row = next(reader)
        except StopIteration:
            yield from ((number, f"longer than {LINE_LIMIT >> 20} MiB") for number in overlong)
            return
        except csv.Error as error:
            reason = f"not CSV: {error}"
            ended = ended and "end of data" not in str(error)  # inside of quotes
        yield from ((number, f"longer than {LINE_LIMIT >> 20} MiB") for number in overlong)
        overlong.clear()
        if header is None:
            header = [name.strip() for name in row] or None  # blank lines may come first
            continue
        if not reason:
            if not any(row):
                continue
            reason = _csv_reason(row, len(header))
        if not reason:
            yield first, {n: v or None for n, v in zip(header, row, strict=False) if n}
            continue
        yield first, reason
        if not ended:
            raise DamagedError(f"ends in the middle of the row that begins in line {first:,}")


def _csv_reason(row: list[str], width: int) -> str:
    if len(row) < width or any(row[width:]):
        return f"{len(row)} fields where the header has {width}"
    joined = "".join(row)
    if "\0" in joined:
        return "holds NUL bytes, as files do after a crash"
    if not joined.isascii():
        try:
            joined.encode()
        except UnicodeEncodeError:
            return "not UTF-8"
    return ""


def _parquet_records(path: Path, on_read: OnRead) -> Iterator[Numbered]:
    size = path.stat().st_size
    row = 0
    with path.open("rb") as plain:
        packed = plain.read(4) != PARQUET
        plain.seek(0)
        with _unpacked_copy(path) if packed else plain as file:
            try:
                parquet = pq.ParquetFile(file)
                total = max(parquet.metadata.num_rows, 1)
                given = 0
                for batch in parquet.iter_batches(batch_size=PARQUET_ROWS):
                    # Through polars, whose datetimes need no pandas for nanoseconds.
                    table = pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
                    share = size * (row + batch.num_rows) // total - given
                    given += share
                    on_read(share)
                    for record in table.iter_rows(named=True):
                        row += 1
                        yield row, record
            except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
                reason = str(error).split("\n", maxsplit=1)[0]
                raise DamagedError(f"is damaged after row {row:,} ({reason})") from error


def _unpacked_copy(path: Path) -> BufferedRandom:
    """A packed Parquet file, unpacked into a file without a name: its index stands at the end."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        for part in chunks(path):
            copy.write(part)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy
