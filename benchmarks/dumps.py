"""Import of a Reddit dump: how fast lines are sorted out, beside the usual loop and bare unpacking.

Writes an invented archive of 2 GB of text (BENCH_DUMP_MB), a third of it submissions, in a frame
with the window of Reddit's monthly dumps; measures each road in a process of its own on one core.
"""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard

from benchmarks.dump_records import PLATFORMS, comment, submission
from benchmarks.measure import Measured, forget_peak, measured, peak_mb

MEGABYTES = int(os.environ.get("BENCH_DUMP_MB", "2000"))
PIECE = 1 << 22
WINDOW = 31
POOL = 40_000  # records before they come again: far beyond what a compressor of this level sees

OWN = """
title = "{0}"
platform = "{0}"
summary = "Invented."
since = 2025-01-01
languages = ["en"]
query = '''({0} OR community:{0}) AND (ai OR ia OR "a.i." OR genai OR llm)
AND (terms OR tos OR policy OR training OR trained OR scrape OR dataset* OR "opt out")'''
"""


def main() -> list[str]:
    """Measure all roads and give the lines to print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write(folder, MEGABYTES)
        figures = {road: _apart(road, folder) for road in ROADS}
    mb = size / 1e6
    lines = [f"{mb:,.0f} MB of dumps, 20 cases, one core", f"{'':34}{'MB/s':>8}{'peak MB':>10}"]
    speed = {}
    for road, one in figures.items():
        speed[road] = mb / one["cpu"]
        lines.append(f"{road:34}{speed[road]:>8,.0f}{one['peak']:>10,.0f}")
    for road in (road for road in ROADS if road.startswith("import")):
        lines.append(
            f"{road}: {speed[road] / speed['the usual loop']:.1f} times the usual loop,"
            f" {speed[road] / speed['unpacking alone']:.2f} of unpacking alone"
        )
    return lines


def write(folder: Path, megabytes: int, *, window: int = WINDOW) -> int:
    """Write RS.zst, RC.zst and the cases; returns the bytes of text."""
    for name in (*PLATFORMS[5:], "vimeo"):
        (folder / f"{name}.toml").write_text(OWN.format(name))
    rng = random.Random(20250501)
    size = 0
    for name, make, share in (("RS", submission, 1 / 3), ("RC", comment, 2 / 3)):
        records = [
            json.dumps(make(rng), ensure_ascii=False, separators=(",", ":")) for _ in range(POOL)
        ]
        lines = _numbered(list(_repeating(records, rng)))
        size += _pack(folder / f"{name}.zst", lines, megabytes * 1e6 * share, window)
    return size


def _repeating(records: list[str], rng: random.Random) -> Iterator[tuple[str, int]]:
    """The records, each crosspost with the submission it repeats, as dumps have it, and how far
    before it that one stands."""
    for number, record in enumerate(records):
        back = rng.randint(1, max(number, 1))
        first = records[number - back].replace("#parent#", "0").replace('"#first#"', "")
        yield record.replace('"#first#"', first.replace("#id#", "#parent#")), back


def _numbered(records: list[tuple[str, int]]) -> Iterator[bytes]:
    """The records over and over, each with an id and a time of its own."""
    number = 0
    while True:
        for record, back in records:
            number += 1
            fresh = record.replace("#id#", f"{number:x}").replace("#root#", f"{number % 9999:x}")
            fresh = fresh.replace("#parent#", f"{max(number - back, 0):x}")
            yield fresh.replace("17460", f"{17460 + number // 50_000}", 1).encode() + b"\n"


def _pack(path: Path, lines: Iterator[bytes], size: float, window: int) -> int:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window)
    written = 0
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor(compression_params=parameters).stream_writer(file) as packed,
    ):
        piece = bytearray()
        while written < size:
            piece += next(lines)
            if len(piece) >= PIECE:
                written += packed.write(piece) and len(piece)
                piece.clear()
    return written


def _apart(road: str, folder: Path) -> dict[str, float]:
    """A road in a process of its own: CPU seconds and the highest memory in MB."""
    env = os.environ | {
        "POLARS_MAX_THREADS": "1",
        "AFTERSHOCK_STORE": str(folder / f"store of {road}"),
        "AFTERSHOCK_SALT": str(folder / "salt"),
        "AFTERSHOCK_CASES": str(folder),
    }
    words = [sys.executable, "-m", "benchmarks.dumps", road, str(folder)]
    ended = subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return found


def _unpack(folder: Path) -> None:
    for name in ("RS", "RC"):
        with (folder / f"{name}.zst").open("rb") as file:
            reader = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file)
            buffer = bytearray(1 << 20)
            while reader.readinto(buffer):
                pass


def _loop(folder: Path) -> None:
    """What everybody writes: unpack, split into lines, parse each."""
    for name in ("RS", "RC"):
        with (folder / f"{name}.zst").open("rb") as file:
            reader = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file)
            for line in io.TextIOWrapper(reader, encoding="utf-8"):
                json.loads(line)


def _import(folder: Path, *, case: str | None = None, but: str = "") -> None:
    from cases.case import get, load_all  # noqa: PLC0415 - not part of the other roads
    from cli.ingest import ingest  # noqa: PLC0415
    from collectors import archive  # noqa: PLC0415
    from collectors.archive import ImportSettings  # noqa: PLC0415
    from store.tables import Store  # noqa: PLC0415

    cases = [get(case)] if case else [one for one in load_all().values() if one.name != but]
    store = Store.open()
    settings = ImportSettings(files=[folder / "RS.zst", folder / "RC.zst"])
    units = ingest(store, cases, archive.collect(cases, store.known(), settings))
    assert sum(unit.kept for unit in units)


ROADS: dict[str, Callable[[Path], None]] = {
    "unpacking alone": _unpack,
    "the usual loop": _loop,
    "import, 20 cases": lambda folder: _import(folder, but="ai_policy"),
    "import, any platform as well": _import,
    "import, one case": lambda folder: _import(folder, case="soundcloud"),
}


def _one(road: str, folder: Path) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    forget_peak()
    took: Measured = measured(road, 1, lambda: ROADS[road](folder))
    print(json.dumps({"cpu": took.cpu, "wall": took.wall, "peak": peak_mb()}))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _one(sys.argv[1], Path(sys.argv[2]))
    else:
        print("\n".join(main()))
