"""What the large benchmark found, as text, as Markdown and as JSON; the plots are `plots.py`'s.

`python -m benchmarks.report` writes Markdown and plots again from .artifacts/large.json.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

UPSERT, PAGE, LOAD = "1,000-row upsert", "page query from cells", "load"
UPSERT_AIM, PAGE_AIM_MS, PEAK_AIM_MB = 1.5, 20, 1_000
# In the order of the tables; what an operation finds under another name comes after these.
ROWS = (
    *("load", "load, the last batch", "cells, all of them", "maintain --purge after the load"),
    *("1,000-row upsert", "1,000 rows through ingest", "cells after a change of one day"),
    *("page query from cells", "page, first open", "page, rerun", "whole-window interval"),
    *("maintain after a day's writes", "maintain, nothing to do"),
    *("wipe of 10 posts", "forget an author of 50 posts", "export of all posts to CSV", "backup"),
)
# A bulk load is not a command of its own that a store of this size meets again.
BUILDING = ("load", "load, the last batch")


def machine() -> dict[str, Any]:
    """What it runs on, with nothing that names the host."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "memory_gb": round(memory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: version(name) for name in ("polars", "deltalake", "streamlit", "pyarrow")},
    }


def sizes(found: Mapping[str, Any]) -> list[int]:
    return sorted(int(size) for size in found["sizes"])


def names(found: Mapping[str, Any]) -> list[str]:
    """Every step that was measured at some size, in the order of the tables."""
    seen = {name for size in found["sizes"].values() for name in size["steps"]}
    return [name for name in ROWS if name in seen] + sorted(seen - {*ROWS})


def figure(found: Mapping[str, Any], size: int, name: str, what: str) -> float | None:
    """One figure, None where it was not measured."""
    value = found["sizes"][str(size)]["steps"].get(name, {}).get(what)
    return None if value is None else float(value)


def ratios(found: Mapping[str, Any]) -> list[str]:
    """Against the three aims, a sentence each."""
    lines = []
    held = sizes(found)
    for size in reversed(held):
        if size // 10 not in held:
            continue
        for what, word in (("cpu", "CPU"), ("wall", "wall")):
            large = figure(found, size, UPSERT, what)
            small = figure(found, size // 10, UPSERT, what)
            if large and small:
                lines.append(
                    f"{UPSERT} at {size:,} posts over that at {size // 10:,}: "
                    f"{large / small:.2f} in {word} time (aim: under {UPSERT_AIM})"
                )
        break
    pages = [figure(found, held[-1], PAGE, what) for what in ("wall", "cpu")] if held else []
    if pages and None not in pages:
        wall, cpu = (f"{1000 * (value or 0):.1f} ms" for value in pages)
        lines.append(f"{PAGE} at {held[-1]:,} posts: {wall}, {cpu} of CPU (aim: {PAGE_AIM_MS} ms)")
    peaks = [
        (peak, name, size)
        for size in held
        for name in names(found)
        if name not in BUILDING and (peak := figure(found, size, name, "peak_mb")) is not None
    ]
    if peaks:
        peak, name, size = max(peaks)
        lines.append(
            f"highest memory of any operation but the load: {peak:,.0f} MB ({name} at {size:,} "
            f"posts; aim: under {PEAK_AIM_MB:,} MB)"
        )
    return lines


def text(found: Mapping[str, Any]) -> str:
    """For the terminal."""
    lines = [", ".join(f"{key} {value}" for key, value in found["machine"].items()), ""]
    lines.append(f"{'posts':>12}  {'':34}{'wall s':>10}{'CPU s':>10}{'peak MB':>9}{'disk MB':>10}")
    for size in sizes(found):
        for name in names(found):
            if figure(found, size, name, "wall") is None:
                continue
            columns = (("wall", "10.3f"), ("cpu", "10.3f"), ("peak_mb", "9,.0f"))
            values = [(figure(found, size, name, what), form) for what, form in columns]
            values.append((figure(found, size, name, "disk_mb"), "+10,.1f"))
            cells = ["-" if value is None else f"{value:{form}}" for value, form in values]
            wall, cpu, peak, disk = cells
            lines.append(f"{size:>12,}  {name:34}{wall:>10}{cpu:>10}{peak:>9}{disk:>10}")
        lines.append(f"{size:>12,}  {'the store on disk':63}{_store_mb(found, size):>+10,.1f}")
        if note := _laid(found, size):
            lines.append(f"{'':14}{note}")
        lines.append("")
    return "\n".join([*lines, *ratios(found)])


def markdown(found: Mapping[str, Any]) -> str:
    """Time, memory and disk as tables with a column for each size, and the aims below."""
    held = sizes(found)
    parts = [
        "Seconds, wall (CPU):",
        _table(found, held, _seconds),
        "Highest memory of the process, MB:",
        _table(found, held, _peak),
        "What an operation adds to the disk, MB (old files stay for an hour, or until a purge):",
        _table(found, held, _disk, last=("the store, after its cells and a purge", _store_mb)),
    ]
    notes = [note for size in held if (note := _laid(found, size))]
    return "\n\n".join([*parts, *notes, "\n".join(f"- {line}" for line in ratios(found))]) + "\n"


def write(found: Mapping[str, Any], out: Path, plots: Path) -> None:
    """large.json and large.md into `out`, the plots into `plots`."""
    from benchmarks import plots as drawing  # noqa: PLC0415 - half a second, only here

    (out / "large.json").write_text(json.dumps(found, indent=1))
    (out / "large.md").write_text(markdown(found))
    for path in drawing.write(found, plots):
        print(f"Wrote {path}")


def _table(
    found: Mapping[str, Any],
    held: Sequence[int],
    cell: Any,
    *,
    last: tuple[str, Any] | None = None,
) -> str:
    lines = [
        "| | " + " | ".join(f"{size:,}" for size in held) + " |",
        "| --- |" + " ---: |" * len(held),
    ]
    for name in names(found):
        cells = [cell(found, size, name) for size in held]
        if {*cells} - {"–", "+0.0", "-0.0"}:
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if last:
        name, of = last
        lines.append(f"| {name} | " + " | ".join(f"{of(found, s):,.0f}" for s in held) + " |")
    return "\n".join(lines)


def _seconds(found: Mapping[str, Any], size: int, name: str) -> str:
    wall, cpu = (figure(found, size, name, what) for what in ("wall", "cpu"))
    if wall is None or cpu is None:
        return "–"
    mark = "¹" if name == LOAD and _laid(found, size) else ""
    return f"{_short(wall)} ({_short(cpu)}){mark}"


def _peak(found: Mapping[str, Any], size: int, name: str) -> str:
    peak = figure(found, size, name, "peak_mb")
    return "–" if peak is None else f"{peak:,.0f}"


def _disk(found: Mapping[str, Any], size: int, name: str) -> str:
    disk = figure(found, size, name, "disk_mb")
    return "–" if disk is None else f"{disk:+,.1f}"


def _store_mb(found: Mapping[str, Any], size: int) -> float:
    return float(found["sizes"][str(size)]["store_mb"])


def _laid(found: Mapping[str, Any], size: int) -> str:
    load = found["sizes"][str(size)]["steps"].get(LOAD, {})
    if not load.get("laid"):
        return ""
    return (
        f"¹ At {size:,}, {load['laid']:,} posts were laid down as finished files in "
        f"{load['laid_seconds']:,.0f} s; the load is of the other {size - load['laid']:,}."
    )


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    OUT = Path(".artifacts")
    FOUND = json.loads((OUT / "large.json").read_text())
    write(FOUND, OUT, Path(os.environ.get("BENCH_PLOTS") or OUT))
    print("\n".join(ratios(FOUND)))
