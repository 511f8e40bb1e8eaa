"""Times one piece of work: CPU seconds of this process, wall seconds, peak memory so far."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """One piece of work over `rows` rows; `ratio`: rows per CPU second over the baseline's."""

    name: str
    rows: int
    cpu: float
    wall: float
    peak_mb: float
    ratio: float | None = None


def measured(
    name: str, rows: int, work: Callable[[], object], *, against: Measured | None = None
) -> Measured:
    """Run the work once and measure it. CPU counts every thread of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio = None if against is None else (rows / cpu) / (against.rows / against.cpu)
    return Measured(name, rows, cpu, wall, peak, ratio)


def table(results: list[Measured]) -> str:
    """The results as lines of text; a ratio is against the plain line above it."""
    head = (
        f"{'':46}{'rows':>10}{'CPU s':>9}{'wall s':>9}{'rows/CPU s':>12}{'ratio':>8}{'peak MB':>9}"
    )
    lines = [head]
    for one in results:
        ratio = "" if one.ratio is None else f"{one.ratio:.3f}"
        lines.append(
            f"{one.name:46}{one.rows:>10,}{one.cpu:>9.2f}{one.wall:>9.2f}"
            f"{one.rows / max(one.cpu, 1e-9):>12,.0f}{ratio:>8}{one.peak_mb:>9,.0f}"
        )
    return "\n".join(lines)


def peak_mb() -> float:
    """Highest memory of this process, in MB; on Linux since `forget_peak`."""
    # Not ru_maxrss where there is better: a process inherits there what its parent held.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def forget_peak() -> None:
    """Count the highest memory from now on, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
