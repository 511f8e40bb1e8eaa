"""Search everything a store has on the disk, in every way it can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import zstandard

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def contents(path: Path) -> Iterator[bytes]:
    """What a file says, in every way it can be read: raw (which holds a Parquet file's footer and
    statistics), every compressed page, every value of every column."""
    data = path.read_bytes()
    yield data
    start = data.find(ZSTD_MAGIC)
    while start >= 0:
        with suppress(zstandard.ZstdError):  # four bytes that happened to look like a page
            yield zstandard.ZstdDecompressor().decompressobj().decompress(data[start:])
        start = data.find(ZSTD_MAGIC, start + 1)
    if data[:4] == b"PAR1":
        yield str(pq.read_metadata(path)).encode()
        for column in pq.ParquetFile(path).read().columns:
            yield str(column.to_pylist()).encode()


def traces(folder: str | Path, wanted: Sequence[str]) -> dict[str, set[str]]:
    """Which of these words stand in which files under `folder`."""
    found: dict[str, set[str]] = {word: set() for word in wanted}
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    assert files
    for path in files:
        for content in [path.name.encode(), *contents(path)]:
            for word in wanted:
                if word.lower().encode() in content.lower():
                    found[word].add(str(path.relative_to(folder)))
    return {word: places for word, places in found.items() if places}
