"""The cells: which weeks of them no longer reflect the posts, and replacing those.

Does not compute cells: whoever does gets scored rows from here and gives cells back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import polars as pl
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError

from store.faults import StoreBusy, fault
from store.merge import TRIES, WRITER, Tables, arrow, days, holds, monday, pause, shaped
from store.portions import Stretch, stretches
from store.schema import CELL_KEY, CELLS, SCORED, TEXT_OF_INPUT

INPUTS = ("posts", "matches", "scores")
READ_AT_ONCE = 100_000  # of posts with matches and scores as they are read: some 300 bytes each
ROWS_AT_ONCE = 400_000  # of rows in the shape in which cells are made of them


class CellsMoved(StoreBusy):
    """The cells were changed by someone else since `stale()`: ask again and compute again."""


@dataclass(frozen=True)
class Stale:
    """Mondays of the weeks whose cells are out of date, and the table versions that says so.

    `versions` goes back into `replace_cells` with the last weeks replaced.
    """

    weeks: tuple[date, ...]
    versions: dict[str, int]


def scored(
    tables: Tables,
    *,
    case: str | None = None,
    query_hash: str | None = None,
    scorer: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    weeks: Sequence[date] | None = None,
) -> pl.LazyFrame:
    """One row for each match and score: the columns of SCORED.

    The score of a text that was edited since does not count. A wiped post has no text any more
    that its score could be compared with, so the score it has stays.
    """
    matches, scores, posts = (tables.scan(name) for name in ("matches", "scores", "posts"))
    if case is not None:
        matches = matches.filter(pl.col("case") == case)
        scores = scores.filter(pl.col("case").is_in(["", case]))
    if query_hash is not None:
        matches = matches.filter(pl.col("query_hash") == query_hash)
    if scorer is not None:
        scores = scores.filter(pl.col("scorer") == scorer)
    # Said for each table, so that only the files of those days are opened.
    for kept in _days(since, until, weeks):
        matches, scores, posts = matches.filter(kept), scores.filter(kept), posts.filter(kept)
    if since is not None:
        posts = posts.filter(pl.col("at") >= since)
    if until is not None:
        posts = posts.filter(pl.col("at") < until)
    # Posts first: only they know their hour, and of a busy day a few hours are read at a time.
    first = posts.select(
        "post", "day", "at", "created_at", "author", "root", "source", "state", "text_hash"
    )
    return (
        first.join(matches.drop("root_known"), on=["post", "day"])
        .join(scores.rename({"case": "_for"}), on=["post", "day"])
        .filter((pl.col("_for") == "") | (pl.col("_for") == pl.col("case")))
        .filter((pl.col("state") == "gone") | (pl.col("text_hash") == TEXT_OF_INPUT))
        .select(SCORED.names())
    )


def waiting(tables: Tables, case: str, query_hash: str, scorer: str) -> int:
    """Live posts that belong to the case by themselves and have no score for their text."""

    def rows(stretch: Stretch) -> pl.LazyFrame:
        days = stretch.days()
        matched = tables.scan("matches").filter(
            days,
            pl.col("case") == case,
            pl.col("query_hash") == query_hash,
            pl.col("via").is_in(["own", "taken"]),
        )
        live = tables.scan("posts").filter(*stretch.holds(), pl.col("state") == "live")
        scores = tables.scan("scores").filter(
            days, pl.col("scorer") == scorer, pl.col("case").is_in(["", case])
        )
        return (
            live.select("post", "day", "text_hash")
            .join(matched.select("post", "day"), on=["post", "day"], how="semi")
            .join(
                scores.select("post", "day", text_hash=TEXT_OF_INPUT),
                on=["post", "day", "text_hash"],
                how="anti",
            )
            .select(pl.len())
        )

    parts = stretches(tables, READ_AT_ONCE)
    return sum(int(tables.read(partial(rows, part)).item()) for part in parts)


def scored_portions(
    tables: Tables,
    *,
    case: str,
    query_hash: str,
    scorer: str,
    since: datetime | None,
    until: datetime | None,
    via: Sequence[str],
    sources: Sequence[str],
) -> Iterator[pl.DataFrame]:
    """`scored` of one case, a stretch of time after the other; see `Store.scored_portions`."""

    def rows(stretch: Stretch) -> pl.LazyFrame:
        return scored(
            tables,
            case=case,
            query_hash=query_hash,
            scorer=scorer,
            since=stretch.since,
            until=stretch.until,
        ).filter(pl.col("via").is_in(list(via)), pl.col("source").is_in(list(sources)))

    for stretch in stretches(tables, READ_AT_ONCE, since, until):
        yield tables.read(partial(rows, stretch))


def _days(
    since: datetime | None, until: datetime | None, weeks: Sequence[date] | None
) -> Iterator[pl.Expr]:
    if since is not None:
        yield pl.col("day") >= since.date()
    if until is not None:
        yield pl.col("day") <= (until - timedelta(microseconds=1)).date()
    if weeks is not None:
        yield holds([week + timedelta(days=n) for week in weeks for n in range(7)])


def stale(tables: Tables) -> Stale:
    """The weeks of which posts, matches or scores have changed since the cells were computed.

    The commit that replaced the cells says which versions of the inputs they reflect (Delta's own
    application transactions, which outlive checkpoints). The log since then names the days whose
    rows have changed; compaction moves rows without changing them and says so there (dataChange).
    Where the log does not reach back that far, every week counts as stale.
    """
    cells = tables.snapshot("cells")
    recorded = {name: cells.transaction_version(name) for name in INPUTS}
    versions = {name: tables.snapshot(name).version() for name in INPUTS}
    changed: set[date] = set()
    for name in INPUTS:
        touched = _changed(tables, name, recorded[name], versions[name])
        if touched is None:
            changed = set(tables.partitions("scores")["value"]) | set(
                tables.read(lambda: tables.scan("cells").select(pl.col("week").unique()))["week"]
            )
            break
        changed |= touched
    weeks = tuple(sorted({monday(day) for day in changed}))
    return Stale(weeks, versions | {"cells": cells.version()})


def _changed(tables: Tables, name: str, recorded: int | None, version: int) -> set[date] | None:
    """The days of a table whose rows changed after one version; None when the log cannot tell."""
    if recorded is None or recorded > version:  # never recorded, or restored from a backup
        return None
    log = tables.files(name)
    found: set[date] = set()
    for number in range(recorded + 1, version + 1):
        try:
            with log.open_input_file(f"_delta_log/{number:020d}.json") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return None
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:  # damaged, and older than the checkpoint: nobody else reads it
                return None
            action = entry.get("add") or entry.get("remove")
            if action and action.get("dataChange", True):
                if "partitionValues" not in action:
                    return None
                found.add(date.fromisoformat(action["partitionValues"]["day"]))
    return found


def replace_cells(
    tables: Tables, cells: pl.DataFrame, weeks: Sequence[date], versions: Mapping[str, int]
) -> int:
    """Put `cells` in the place of all cells of `weeks`, in one commit; returns its version.

    Records the input versions in `versions`. Raises CellsMoved when the cells table is no longer at
    `versions["cells"]`: a slower process must not lay older cells over newer ones.
    """
    cells = shaped(cells, CELLS)
    _check(cells, weeks)
    months = {(week + timedelta(days=n)).replace(day=1) for week in weeks for n in range(7)}
    with tables.lock(), tables.sentences("written", "cells"):
        table = tables.opened("cells")
        if table.version() != versions.get("cells", table.version()):
            raise CellsMoved("Another process replaced cells meanwhile. Run the command again.")
        # No retries of delta-rs's own: whatever was committed in between, the answer is to ask
        # `stale()` again.
        properties = CommitProperties(
            max_commit_retries=0,
            app_transactions=[
                Transaction(name, versions[name]) for name in INPUTS if name in versions
            ],
        )
        data = arrow(cells)
        try:
            if weeks:
                write_deltalake(
                    table,
                    data,
                    mode="overwrite",
                    predicate=f"month IN ({days(pl.Series(sorted(months)))})"
                    f" AND week IN ({days(pl.Series(sorted(weeks)))})",
                    commit_properties=properties,
                    writer_properties=WRITER,
                )
            else:  # nothing to replace, only versions to record
                write_deltalake(table, data, mode="append", commit_properties=properties)
        except CommitFailedError as error:
            if fault(error):
                raise
            raise CellsMoved(
                "Another process replaced cells at the same moment. Run the command again."
            ) from error
        return table.version()


def _check(cells: pl.DataFrame, weeks: Sequence[date]) -> None:
    """A cell outside its week or month would not be replaced next time, and be counted twice."""
    day = cells["start"].dt.date()
    if (
        not set(cells["week"]) <= set(weeks)
        or (day.dt.truncate("1w") != cells["week"]).any()
        or (day.dt.month_start() != cells["month"]).any()
        or cells.select(CELL_KEY).is_duplicated().any()
    ):
        raise ValueError("cells must lie in the weeks they replace, one for each key")


def rebuild(
    tables: Tables,
    make_cells: Callable[[pl.DataFrame], pl.DataFrame],
    progress: Callable[[int, int], None] | None = None,
    *,
    compact: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> int:
    """Bring the cells up to date; returns how many weeks were computed.

    Goes through the stale weeks in portions that fit into memory. Only the last one records the
    input versions, so a rebuild that was killed half-way is done again. A week is the smallest
    unit, since clusters run across it: what it takes grows with the posts of the week that has
    most, not with the store.
    """
    for tried in range(TRIES):
        found = stale(tables)
        if not found.weeks:
            return 0
        at = found.versions["cells"]
        done = 0
        try:
            for portion in _portions(tables, found.weeks):
                rows = rows_of(tables, portion, compact)
                done += len(portion)
                last = done == len(found.weeks)
                versions = found.versions | {"cells": at} if last else {"cells": at}
                at = replace_cells(tables, make_cells(rows), portion, versions)
                if progress:
                    progress(done, len(found.weeks))
        except CellsMoved:
            pause(tried)
            continue
        return done
    raise StoreBusy(
        f"Other processes kept replacing the cells of {tables.location}. Nothing is lost: run the"
        " same command again."
    )


def rows_of(
    tables: Tables,
    weeks: Sequence[date],
    compact: Callable[[pl.DataFrame], pl.DataFrame] | None,
) -> pl.DataFrame:
    """The scored rows of these weeks; through `compact`, a stretch at a time, if there is one."""
    if compact is None:
        return tables.read(partial(scored, tables, weeks=weeks))
    parts = [compact(pl.DataFrame(schema=SCORED))]
    for week in weeks:
        start = datetime.combine(week, time(), UTC)
        for part in stretches(tables, READ_AT_ONCE, start, start + timedelta(days=7)):
            read = partial(scored, tables, since=part.since, until=part.until)
            parts.append(compact(tables.read(read)))
    return pl.concat(parts)


def _portions(tables: Tables, weeks: Sequence[date]) -> Iterator[list[date]]:
    """Weeks in order, cut where the rows to be read would exceed what fits into memory."""
    sizes: dict[date, int] = {}
    for name in ("matches", "scores"):
        counts: dict[date, int] = {}
        for day, rows in tables.partitions(name).select("value", "rows").iter_rows():
            counts[monday(day)] = counts.get(monday(day), 0) + rows
        sizes = {week: max(sizes.get(week, 0), counts.get(week, 0)) for week in {*sizes, *counts}}
    portion: list[date] = []
    held = 0
    for week in weeks:
        if portion and held + sizes.get(week, 0) > ROWS_AT_ONCE:
            yield portion
            portion, held = [], 0
        portion.append(week)
        held += sizes.get(week, 0)
    yield portion
