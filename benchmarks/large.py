"""`BENCH_LARGE=1 make bench`: the store's work at a thousand to ten million posts.

Builds a store of each size, then measures every operation of `operations.py` in a fresh process on
one copy of it. Settings: BENCH_SIZES (1e3,1e4,1e5,1e6,1e7), BENCH_FOLDER (where stores are kept
between runs; without it they are temporary), BENCH_ONLY (names of operations), BENCH_KEEP=1 (keep
what an earlier run found for sizes and operations not measured now), BENCH_PLOTS (folder of the
plots). Results go to .artifacts/large.json and .artifacts/large.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks import operations, report
from store.schema import SCHEMA_VERSION

SIZES = "1e3,1e4,1e5,1e6,1e7"
OUT = Path(".artifacts")
BASE = ("load", *(operation.__name__ for operation in operations.BASE))
COPY = tuple(operation.__name__ for operation in operations.COPY)


def main() -> None:
    """Measure all sizes, print the table, and write JSON, Markdown and plots."""
    sizes = [int(float(one)) for one in os.environ.get("BENCH_SIZES", SIZES).split(",")]
    only = [name for name in os.environ.get("BENCH_ONLY", "").split(",") if name]
    if unknown := sorted({*only} - {*COPY}):
        sys.exit(f"BENCH_ONLY: no operation {', '.join(unknown)}. There are: {', '.join(COPY)}.")
    OUT.mkdir(exist_ok=True)
    file = OUT / "large.json"
    found: dict[str, Any] = {"machine": report.machine(), "sizes": {}}
    if os.environ.get("BENCH_KEEP") == "1" and file.exists():
        found["sizes"] = json.loads(file.read_text())["sizes"]
    failed = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(os.environ.get("BENCH_FOLDER") or temporary).absolute()
        for size in sizes:
            into = found["sizes"].setdefault(str(size), {"steps": {}})
            base = root / f"{size}" / "base"
            _build(base, size, into, file, found)
            work = _copied(base)
            try:
                for name in only or COPY:
                    if not _run(name, work, size, into):
                        failed.append(f"{name} at {size:,}")
                    file.write_text(json.dumps(found, indent=1))
            finally:
                shutil.rmtree(work)
            if root == Path(temporary):
                shutil.rmtree(base)
    report.write(found, OUT, Path(os.environ.get("BENCH_PLOTS") or OUT))
    print(report.text(found))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}; why stands above.")


def _build(
    base: Path, size: int, into: dict[str, Any], file: Path, found: Mapping[str, Any]
) -> None:
    """Make the store if it is not kept from an earlier run; `built.json` appears when it is whole,
    and holds what its making took."""
    note = base.with_name("built.json")
    built = json.loads(note.read_text()) if note.exists() and base.exists() else {}
    if built.get("schema") != SCHEMA_VERSION:
        print(f"Building a store of {size:,} posts in {base} ...", file=sys.stderr, flush=True)
        note.unlink(missing_ok=True)
        base.parent.mkdir(parents=True, exist_ok=True)
        built = {"schema": SCHEMA_VERSION, "steps": {}}
        for name in BASE:
            if not _run(name, base, size, built):
                sys.exit(f"The store of {size:,} posts could not be built; why stands above.")
        store = base / "store"
        built["store_mb"] = sum(p.stat().st_size for p in store.rglob("*") if p.is_file()) / 1e6
        note.write_text(json.dumps(built))
    into["steps"] |= built["steps"]
    into["store_mb"] = built["store_mb"]
    file.write_text(json.dumps(found, indent=1))


def _run(name: str, folder: Path, size: int, into: dict[str, Any]) -> bool:
    """Run one operation in a process of its own; whether it went well."""
    print(f"{size:>12,}  {name}", file=sys.stderr, flush=True)
    result = folder.with_name("result.json")
    result.unlink(missing_ok=True)
    log = folder.with_name(f"{name}.log")
    with log.open("wb") as out:
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.operations", name, folder, str(size), result],
            stdout=out,
            stderr=None if name == "load" else subprocess.STDOUT,
            check=False,
        )
    if ended.returncode or not result.exists():
        print(log.read_text(errors="replace")[-3_000:], file=sys.stderr)
        return False
    into["steps"] |= json.loads(result.read_text())["steps"]
    return True


def _copied(base: Path) -> Path:
    """A copy that may be changed. Data files are linked: nobody ever writes into one again."""
    work = base.with_name("work")
    shutil.rmtree(work, ignore_errors=True)

    def copy(source: str, target: str) -> str:
        if source.endswith(".parquet"):
            with suppress(OSError):  # a file system without links
                os.link(source, target)
                return target
        return shutil.copy2(source, target)

    shutil.copytree(base, work, copy_function=copy)
    return work


if __name__ == "__main__":
    main()
