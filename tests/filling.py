"""Run by the tests of faults in a mount namespace of its own: `python filling.py WHAT FOLDER`.

Puts a store on a small file system that really fills up, or that may only be read, runs commands
of the command line there, and prints what came of it as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars.selectors as cs

from cli.main import main
from store.doctor import Doctor
from store.findings import problems
from store.tables import Store

# What one run writes differently from another: moments, and ids made at random.
OWN = {"collected_at", "first_seen_at", "scored_at", "state_at", "author"}
CASE = ("--case", "tootle", "--take-all")


def aftershock(*words: str | Path) -> dict[str, Any]:
    """Run the command line in this process; its exit code and what it said."""
    sys.argv = ["aftershock", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        from cli import console  # noqa: PLC0415

        console.out.file, console.err.file = out, err
        try:
            main()
            code: object = 0
        except SystemExit as ended:
            code = ended.code or 0
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def alone(*words: str | Path) -> dict[str, Any]:
    """The same in a process of its own, with all that the libraries print themselves."""
    program = [sys.executable, "-c", "from cli.main import main; main()", *map(str, words)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    return {"code": ended.returncode, "out": ended.stdout, "err": ended.stderr}


def holds(location: Path) -> dict[str, list[str]]:
    """The rows of every table, as text, without what differs from run to run."""
    store = Store.open(str(location), create=False)
    rows = {}
    for name in ("posts", "matches", "scores", "cells", "times", "blocked"):
        frame = store.scan(name).collect()
        # Sums of fractions depend on the order in which they were added.
        kept = frame.select(sorted(set(frame.columns) - OWN)).with_columns(cs.float().round(9))
        rows[name] = sorted(str(row) for row in kept.iter_rows())
    return rows


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def fill(ballast: Path, left: int) -> None:
    """Fill the file system up to `left` bytes."""
    free = os.statvfs(ballast.parent)
    with ballast.open("wb") as file:
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - left)))


def full(folder: Path) -> list[dict[str, Any]]:
    """Every command on a disk that is full, almost full and free again."""
    truth, disk = folder / "truth", folder / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=12m", "tmpfs", disk)
    commands: dict[str, Sequence[str | Path]] = {
        "import": ("import", folder / "posts.ndjson", *CASE),
        "score": ("score",),
        "maintain": ("maintain", "--purge"),
        "export": ("export", "posts", "--case", "tootle", "-o", disk / "posts.csv"),
    }
    for words in (("import", folder / "first.ndjson", *CASE), ("score",)):
        for place in (truth, disk / "store"):
            os.environ["AFTERSHOCK_STORE"] = str(place)
            assert aftershock(*words)["code"] == 0
    said = []
    ballast = disk / "ballast"
    for name, words in commands.items():
        os.environ["AFTERSHOCK_STORE"] = str(truth)
        there = [truth / "posts.csv" if word == disk / "posts.csv" else word for word in words]
        assert aftershock(*there)["code"] == 0, name
        os.environ["AFTERSHOCK_STORE"] = str(disk / "store")
        before = {t: rows for t, rows in holds(disk / "store").items() if t == "posts"}
        for left in (0, 20_000, 60_000):
            fill(ballast, left)
            ended = aftershock(*words) if left else alone(*words)
            kept = set(before["posts"]) <= set(holds(disk / "store")["posts"])
            exported = sorted(path.name for path in disk.glob("*posts.csv*"))
            said.append({"command": name, "left": left, "kept": kept, "files": exported, **ended})
            ballast.unlink()
            if ended["code"] == 0:
                break
        ended = aftershock(*words)
        found = [f.what for f in problems(Doctor().examine())]
        same = holds(disk / "store") == holds(truth)
        said.append(
            {"command": name, "left": None, "same": same, "found": found, "kept": True, **ended}
        )
    aftershock("maintain", "--purge")
    notes = [finding.kind for finding in Doctor().examine() if finding.kind in {"unused", "staged"}]
    said.append({"command": "leftovers", "notes": notes})
    return said


def readonly(folder: Path) -> list[dict[str, Any]]:
    """Every command on a store that may only be read."""
    store, out = folder / "store", folder / "out"
    out.mkdir()
    os.environ["AFTERSHOCK_STORE"] = str(store)
    assert aftershock("import", folder / "first.ndjson", *CASE)["code"] == 0
    assert aftershock("score")["code"] == 0
    mount("--bind", store, store)
    mount("-o", "remount,ro,bind", store)
    before = files(store)
    said = []
    for words in (
        ("import", folder / "posts.ndjson", *CASE),
        ("score", "--rescore"),
        ("score",),
        ("maintain",),
        ("export", "posts", "--case", "tootle", "-o", out / "posts.csv"),
        ("export", "series", "--case", "tootle", "-o", out / "series.csv"),
        ("case", "test", "tootle"),
        ("doctor",),
    ):
        ended = aftershock(*words)
        said.append({"command": " ".join(map(str, words[:2])), **ended})
    said.append({"command": "dashboard", **dashboard()})
    said.append({"command": "bytes", "same": files(store) == before})
    said.append({"command": "left", "files": [path.name for path in out.iterdir()]})
    return said


def dashboard() -> dict[str, Any]:
    from streamlit.testing.v1 import AppTest  # noqa: PLC0415

    app = Path(__file__).parents[1] / "dashboard" / "app.py"
    page = AppTest.from_file(str(app), default_timeout=60).run()
    shown = [*page.exception, *page.error]
    return {"code": len(shown), "err": str(shown), "metrics": len(page.metric)}


if __name__ == "__main__":
    what, where = sys.argv[1:]
    print(json.dumps({"full": full, "readonly": readonly}[what](Path(where))))
