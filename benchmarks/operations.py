"""What is measured of a store of some size, each operation in a process of its own.

`python -m benchmarks.operations NAME FOLDER SIZE RESULT` runs one on the store in FOLDER and writes
what it took to RESULT. Every call into the program stands here: a command that changes is followed
in this module and nowhere else.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import build, generate
from benchmarks.invent import END, Year, matches
from benchmarks.measure import forget_peak, peak_mb
from store.schema import Batch, Reading

ROWS = 1_000  # of a run that collects
ROUNDS = 5
LOOKS = 9
FORGOTTEN = 50  # posts of the author who is forgotten
WIPED = 10
# So that no two operations bring the same new posts.
UPSERTED, INGESTED, ADDED = 0, 100_000, 200_000

Work = Callable[[], object]


@dataclass(frozen=True)
class Step:
    """Something to be measured: the median of `works`, each after what `before` does unmeasured."""

    name: str
    works: Sequence[Work]
    before: Work = lambda: None


@dataclass(frozen=True)
class Place:
    """Where the store lies and how many posts it was built with."""

    folder: Path
    size: int

    @property
    def year(self) -> Year:
        return Year(self.size)


def cells(at: Place) -> Iterator[Step]:
    """All cells of a store that has none."""
    store = _store()
    yield Step("cells, all of them", [lambda: _rebuild(store)])


def compaction(at: Place) -> Iterator[Step]:
    """What a load leaves in many files becomes few; old files go at once."""
    store = _store()
    yield Step("maintain --purge after the load", [lambda: store.maintain(purge=True)])


def page(at: Place) -> Iterator[Step]:
    """What a page reads from the cells to draw one case by day; the process has the store open."""
    from dashboard import data  # noqa: PLC0415

    about = data.subject(_case())
    data.cells(about, "day")
    yield Step(
        "page query from cells", [lambda: data.cells(about, "day")] * LOOKS, data.cells.clear
    )


def dashboard(at: Place) -> Iterator[Step]:
    """The page as Streamlit runs it, opened for the first time and after a change of bucket."""
    from streamlit.testing.v1 import AppTest  # noqa: PLC0415

    import dashboard as package  # noqa: PLC0415

    script = str(Path(package.__file__ or "").parent / "app.py")
    app = AppTest.from_file(script, default_timeout=3_600)
    app.query_params["case"] = generate.CASE
    yield Step("page, first open", [app.run])
    if app.exception:
        raise RuntimeError(f"the page failed: {app.exception[0].value}")
    widths = iter(("Week", "Day") * 3)

    def turn() -> None:
        app.segmented_control(key="bucket").set_value(next(widths))

    yield Step("page, rerun", [app.run] * 6, turn)


def interval(at: Place) -> Iterator[Step]:
    """Balance and interval of the whole year, clustered by author and thread."""
    from dashboard import data  # noqa: PLC0415

    about = data.subject(_case())
    first, last = data.extent(about)
    choice = data.Choice(data.sources(about), first, last)
    yield Step("whole-window interval", [lambda: data.figures(about, choice)])


def upsert(at: Place) -> Iterator[Step]:
    """1,000 rows into the store: half seen before, half new, nine in ten of the last three days."""
    store, hashed = _store(), build.query_hash()

    def work(rows: pl.DataFrame) -> Work:
        batch, found = (
            Batch("archive", Reading("bench", "reddit"), posts=rows),
            matches(rows, hashed),
        )
        return lambda: store.write(batch, found)

    yield Step(
        "1,000-row upsert", [work(run(at.year, UPSERTED, number)) for number in range(ROUNDS)]
    )


def ingest(at: Place) -> Iterator[Step]:
    """The same as a collector hands it over: matched, threads looked up, with the ledger."""
    from cli.ingest import ingest  # noqa: PLC0415

    store, case = _store(), _case()

    def work(rows: pl.DataFrame) -> Work:
        reading = Reading("bench", "reddit", items=rows.height, status="done")
        batch = Batch("reddit", reading, posts=rows)
        return lambda: ingest(store, [case], [batch])

    yield Step(
        "1,000 rows through ingest",
        [work(run(at.year, INGESTED, number)) for number in range(ROUNDS)],
    )


def one_day(at: Place) -> Iterator[Step]:
    """The cells of the week in which 1,000 posts of one day have come in."""
    store = _store()
    _rebuild(store)
    numbers = iter(range(ROUNDS))

    def add() -> None:
        first = at.size + ADDED + next(numbers) * ROWS
        rows = at.year.numbered(np.arange(first, first + ROWS))
        build.write(store, rows)
        build.score(store, rows)

    yield Step("cells after a change of one day", [lambda: _rebuild(store)] * 3, add)


def maintain(at: Place) -> Iterator[Step]:
    """Upkeep after a day's writes, then with nothing to do."""
    store = _store()
    yield Step("maintain after a day's writes", [store.maintain])
    yield Step("maintain, nothing to do", [store.maintain])


def wipe(at: Place) -> Iterator[Step]:
    """Ten posts, anywhere in the year, that were deleted at the source."""
    store = _store()
    ids = np.linspace(at.size // 20, at.size - 1 - at.size // 20, WIPED).astype(np.int64)
    keys = [store.key(uri) for uri in at.year.numbered(ids)["uri"]]
    yield Step("wipe of 10 posts", [lambda: store.wipe(keys)])


def forget(at: Place) -> Iterator[Step]:
    """One author, then the weeks that changed, then the old files: what the command does."""
    store = _store()
    _rebuild(store)  # what was written before is not the command's to count
    author, _ = at.year.author_with(FORGOTTEN)
    key = store.author_key("bluesky", author)

    def work() -> None:
        store.forget([key])
        _rebuild(store)
        store.purge()

    yield Step("forget an author of 50 posts", [work])


def export(at: Place) -> Iterator[Step]:
    """All posts of the case with texts to CSV."""
    from cli import export  # noqa: PLC0415

    file = at.folder / "posts.csv"
    yield Step("export of all posts to CSV", [lambda: export.posts(generate.CASE, file)])


def backup(at: Place) -> Iterator[Step]:
    """The whole store in one file."""
    store = _store()
    make: Callable[[Path], object] | None = getattr(store, "backup", None)
    if make is not None:
        file = at.folder / "store.backup"
        yield Step("backup", [lambda: make(file)])


# In the order in which they share one copy of a store: first what only reads, then the daily work,
# then what leaves the store other than it was.
BASE = (cells, compaction)
COPY = (
    *(page, dashboard, interval, one_day, upsert, ingest, maintain),
    *(wipe, forget, export, backup),
)
OPERATIONS = {operation.__name__: operation for operation in (*BASE, *COPY)}


def run(year: Year, offset: int, number: int) -> pl.DataFrame:
    """1,000 posts of a run, collected a while after the year: of the last three days 450 that were
    seen before and 450 new ones, of the eleven days before 50 and 50. Where a store has fewer posts
    in those days, more are new."""
    dice = np.random.default_rng(offset + number)
    old, late = (year.day_of(generate.DAYS - days) for days in (14, 3))
    near = dice.choice(np.arange(late, year.size), min(450, year.size - late), replace=False)
    far = dice.choice(np.arange(old, late), min(50, late - old), replace=False)
    first = year.size + offset + number * ROWS
    collected = END + timedelta(hours=1 + number, seconds=offset)
    again = year.numbered(np.concatenate([near, far]), collected=collected)
    new = year.numbered(np.arange(first, first + ROWS - again.height), collected=collected)
    back = np.where(np.arange(new.height) % 10 < 9, 3, 14) * dice.random(new.height) * 86_400
    earlier = pl.Series((back * 1e6).astype(np.int64)).cast(pl.Duration("us"))
    # What begins a thread belongs to the case by its words, the rest by its thread.
    words = pl.when(pl.col("root").is_null()).then(pl.col("text") + " platform training")
    new = new.with_columns(pl.col("at", "created_at") - earlier, text=pl.coalesce(words, "text"))
    return pl.concat([again, new])


def measured(step: Step, folder: Path) -> dict[str, float]:
    """Medians of the step's wall and CPU seconds and of what it added to `folder`, and the highest
    memory of this process in it."""
    walls, cpus, peaks, added = [], [], [], []
    for work in step.works:
        step.before()
        there = disk_mb(folder)
        forget_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        cpus.append(time.process_time() - cpu)
        walls.append(time.perf_counter() - wall)
        peaks.append(peak_mb())
        added.append(disk_mb(folder) - there)
    return {
        "wall": statistics.median(walls),
        "cpu": statistics.median(cpus),
        "peak_mb": max(peaks),
        "disk_mb": statistics.median(added),
        "times": len(walls),
    }


def disk_mb(folder: Path) -> float:
    """Megabytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def load(at: Place) -> dict[str, dict[str, float]]:
    """Build the store; what its own road took."""
    forget_peak()
    found = build.build(at.folder, at.size)
    batches = found["batches"]
    last = batches[-1]
    total = {
        "wall": sum(one["wall"] for one in batches),
        "cpu": sum(one["cpu"] for one in batches),
        "peak_mb": peak_mb(),
        "disk_mb": disk_mb(at.folder),
        "times": 1,
        "laid": found["laid"],
        "laid_seconds": found["seconds"],
    }
    return {"load": total, "load, the last batch": last | {"times": 1}}


def _store() -> Any:
    from store.tables import Store  # noqa: PLC0415 - after the settings

    return Store.open(create=False)


def _case() -> Any:
    from cases.case import get  # noqa: PLC0415 - after the settings

    return get(generate.CASE)


def _rebuild(store: Any) -> int:
    from analysis import series  # noqa: PLC0415

    return int(store.rebuild(series.cells_of, compact=series.compact))


def main() -> None:
    """Run one operation and write down what it took."""
    name, folder, size, result = sys.argv[1:]
    at = Place(Path(folder), int(size))
    build.settle(at.folder)
    logging.getLogger("streamlit").setLevel(logging.ERROR)  # it warns that no browser is there
    if name == "load":
        found = load(at)
    else:
        found = {step.name: measured(step, at.folder) for step in OPERATIONS[name](at)}
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    Path(result).write_text(json.dumps({"at": now, "steps": found}))


if __name__ == "__main__":
    main()
