"""What was read, from the ledger: spans, gaps, coverage, and what was collected afterwards.

Knows only what the runs say of themselves; it never infers from an hour without posts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

import polars as pl

from cases.case import Case

TIME = pl.Datetime("us", "UTC")
LIVE = timedelta(hours=48)
READ = ("done", "partial")  # what such a run gives as observed was read to the end
# Collectors whose units are files. A file was read whole, but nobody knows of what it is a part:
# its first and last post bound what it may hold, and never prove that a platform was watched.
FILES = ("archive",)
# Collectors that read without a break, and say of a time that they read it only when it is stored:
# it stays read whatever ended the run, a kill or a cap, and while the run still goes on.
UNBROKEN = ("bluesky-stream",)
MOST_BAD = 0.01  # of a file's records; with more, its time is no better than unread

SPANS = pl.Schema(
    {
        "source": pl.String(),
        "collector": pl.String(),
        "start": TIME,
        "end": TIME,
        "status": pl.String(),
        "live": pl.Boolean(),
    }
)
STRETCH = pl.Schema({"source": pl.String(), "start": TIME, "end": TIME})
GAPS = pl.Schema([*STRETCH.items(), ("reason", pl.String())])

_HOUR_US = 3_600_000_000


def asked(case: Case) -> dict[str, Collection[str]]:
    """The units that a collector has to read for this case before an hour of its source is read.

    Those of Bluesky's search and the subreddits of Reddit: a run whose budget or network ended
    before it came to a phrase may leave no row of that phrase, and a subreddit that is private was
    never read: what the others read is then not all that is asked for. What Reddit's searches find
    is a sample, and stands for no hour.
    """
    return {
        "bluesky-search": case.bluesky_search,
        "reddit": [f"r/{name.lower()}" for name in case.reddit_subreddits],
    }


def spans(
    runs: pl.DataFrame,
    *,
    case: str,
    query_hash: str,
    asked: Mapping[str, Collection[str]] | None = None,
) -> pl.DataFrame:
    """Hours of each source and collector by what became of them, merged into half-open spans.

    In: rows of the runs table. Only runs of this case and query count, and of these only done,
    partial, capped and failed ones (of the stream all) that say what they observed. Out: SPANS;
    start and end on whole hours (UTC), status covered, file, capped or failed.

    An hour is covered when it was read in full by done or partial runs, joined end to end, of every
    unit (phrase, subreddit) the collector has asked for under this query, and of every one that
    `asked` names for that collector. What the stream says it read was read however its run ended.
    An hour between the first and the last post of a file that was read to its end is `file`: what
    the file holds of it is there, which may be little. A damaged file, or one with more than 1 %
    unreadable records, counts as failed, since its posts need not be in order of time. An hour that
    a capped or failed run touches and that no other run of its unit read is capped or failed.
    `live`: read by runs started within 48 hours of it; a file never is.
    """
    unbroken = pl.col("collector").is_in(UNBROKEN)
    pieces = (
        runs.filter(
            pl.col("status").is_in([*READ, "capped", "failed"]) | unbroken,
            pl.col("observed_from") < pl.col("observed_to"),
            pl.col("cases")
            .list.eval(
                (pl.element().struct.field("case") == case)
                & (pl.element().struct.field("query_hash") == query_hash)
            )
            .list.any(),
        )
        .select(
            "source",
            "collector",
            "unit",
            "started_at",
            status=pl.when(unbroken).then(pl.lit("partial")).otherwise("status"),
            unreadable=pl.col("bad").fill_null(0) > MOST_BAD * pl.col("items").fill_null(0),
            start="observed_from",
            end="observed_to",
        )
        .with_columns(pl.col("unit").fill_null(""))
    )
    filed = pl.col("collector").is_in(FILES)
    files = pieces.filter(filed).with_columns(
        status=pl.when((pl.col("status") == "done") & ~pl.col("unreadable"))
        .then(pl.lit("file"))
        .otherwise(pl.lit("failed"))
    )
    pieces = pl.concat([pieces.filter(~filed), files.filter(pl.col("status") == "failed")])
    group = ["source", "collector"]
    units = _units(pieces, asked or {})
    read = pieces.filter(pl.col("status").is_in(READ))
    late = pl.max_horizontal("start", pl.col("started_at") - LIVE)
    covered = _read_by_all(read, units)
    live = _read_by_all(
        read.with_columns(start=late).filter(pl.col("start") < pl.col("end")), units
    )
    held = _hours(files.filter(pl.col("status") == "file"), whole=False).select(
        *group, "hour", "status", live=pl.lit(value=False)
    )
    stopped = (
        _hours(pieces.filter(~pl.col("status").is_in(READ)), whole=False)
        .group_by(*group, "hour")
        .agg(pl.col("status").min())  # capped before failed
        .join(covered, on=[*group, "hour"], how="anti")
        .join(held, on=[*group, "hour"], how="anti")
        .with_columns(live=pl.lit(value=False))
    )
    hours = pl.concat(
        [
            covered.join(
                live.with_columns(live=pl.lit(value=True)), on=[*group, "hour"], how="left"
            ).select(
                *group, "hour", status=pl.lit("covered"), live=pl.col("live").fill_null(value=False)
            ),
            held.unique(),
            stopped.select(*group, "hour", "status", "live"),
        ]
    )
    return (
        _stretches(hours, [*group, "status", "live"])
        .select(SPANS.names())
        .sort("source", "collector", "start")
    )


def gaps(spans: pl.DataFrame, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Stretches of each source that lie between hours it was observed in and that nobody read.

    In: `spans`. Out: source, start, end (UTC, cut to [since, until)), reason: `capped` (the source
    would not give more), `failed`, or `not collected`. Time before the first and after the last
    hour of a source in the ledger is no gap; `coverage` counts it all the same.
    """
    observed = spans.group_by("source").agg(start=pl.col("start").min(), end=pl.col("end").max())
    stopped = (
        _hours(spans.filter(pl.col("status").is_in(["capped", "failed"])), whole=True)
        .group_by("source", "hour")
        .agg(reason=pl.col("status").min())
    )
    missing = (
        _hours(observed, whole=True)
        .join(_hours_of(spans, "covered", "file"), on=["source", "hour"], how="anti")
        .join(stopped, on=["source", "hour"], how="left")
        .with_columns(pl.col("reason").fill_null("not collected"))
    )
    return cut(_stretches(missing, ["source", "reason"]), since, until).select(GAPS.names())


def coverage(
    spans: pl.DataFrame, *, sources: Collection[str], since: datetime, until: datetime
) -> float | None:
    """Source-hours read in full over source-hours in [since, until), 0..1, for `sources`.

    Sources never read count as hours missed. None without sources, for an empty window, and where
    all that is known comes from files, which say nothing of how much there was. Show it by
    `percent`. A window that reaches into the future is never covered: end it at the last hour.
    """
    wanted = set(sources)
    asked = len(wanted) * (until - since)
    if asked <= timedelta(0):
        return None
    mine = spans.filter(pl.col("source").is_in(list(wanted)))
    if not mine.is_empty() and (mine["status"] == "file").all():
        return None
    read = cut(_stretches(_hours_of(spans, "covered"), ["source"]), since, until).filter(
        pl.col("source").is_in(list(wanted))
    )
    total = read.select((pl.col("end") - pl.col("start")).sum()).item()
    return float((total or timedelta(0)) / asked)


def afterwards(spans: pl.DataFrame, *, since: datetime, until: datetime) -> pl.DataFrame:
    """Stretches of each source read only by runs more than 48 hours later: source, start, end.

    They hold the posts that survived until then and are never joined to live ones with one line.
    """
    live = _hours_of(spans.filter("live"), "covered")
    late = _hours_of(spans, "covered", "file").join(live, on=["source", "hour"], how="anti")
    return cut(_stretches(late, ["source"]), since, until).select(STRETCH.names())


def by_bucket(
    stretches: pl.DataFrame, *, starts: pl.Series, step: timedelta, name: str
) -> pl.DataFrame:
    """source, start, `name`: how many hours of each bucket the stretches touch.

    In: source, start, end on whole hours; `starts` the buckets' starts, sorted, each `step` long.
    Buckets without such an hour have no row.
    """
    hours = _hours(stretches, whole=False).select("source", "hour").unique()
    at = (pl.col("hour") * _HOUR_US).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return (
        hours.select("source", at=at)
        .sort("at")
        .join_asof(
            starts.to_frame("start"), left_on="at", right_on="start", tolerance=step, coalesce=False
        )
        .filter(pl.col("start").is_not_null(), pl.col("at") < pl.col("start") + step)
        .group_by("source", "start")
        .agg(pl.len().alias(name))
    )


def percent(x: float | None) -> str:
    """A share as a percentage with one decimal, rounded down: only 1 itself is "100 %"."""
    if x is None:
        return "not known"
    if x >= 1:
        return "100 %"
    # through the shortest decimal that means x: 0.29 * 100 in binary is a hair below 29
    return f"{(Decimal(repr(x)) * 100).quantize(Decimal('0.1'), rounding=ROUND_FLOOR)} %"


def _units(pieces: pl.DataFrame, asked: Mapping[str, Collection[str]]) -> pl.DataFrame:
    """source, collector, units: how many units have to be read."""
    group = ["source", "collector"]
    named = pl.DataFrame(
        [(name, unit) for name, units in asked.items() for unit in units],
        schema={"collector": pl.String(), "unit": pl.String()},
        orient="row",
    )
    return (
        pl.concat(
            [
                pieces.select(*group, "unit"),
                pieces.select(group).unique().join(named, on="collector").select(*group, "unit"),
            ]
        )
        .group_by(group)
        .agg(units=pl.col("unit").n_unique())
    )


def _read_by_all(read: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """source, collector, hour: hours read in full by every unit of the collector."""
    group = ["source", "collector"]
    start, end = pl.col("start"), pl.col("end")
    by = [*group, "unit"]
    before = end.cum_max().shift(1).over(by)
    joined = (
        read.sort(*by, "start", "end")
        .with_columns(block=(start > before).fill_null(value=True).cum_sum())
        .group_by(*by, "block")
        .agg(start.min(), end.max())
    )
    return (
        _hours(joined, whole=True)
        .group_by(*group, "hour")
        .agg(read=pl.col("unit").n_unique())
        .join(units, on=group)
        .filter(pl.col("read") == pl.col("units"))
        .select(*group, "hour")
    )


def _hours(stretches: pl.DataFrame, *, whole: bool) -> pl.DataFrame:
    """One row for each hour (number since 1970) within start..end, or touched by it."""
    start, end = (pl.col(name).dt.timestamp("us") for name in ("start", "end"))
    up = _HOUR_US - 1
    first, last = (start + up, end) if whole else (start, end + up)
    return (
        stretches.with_columns(hour=pl.int_ranges(first // _HOUR_US, last // _HOUR_US))
        .drop("start", "end")
        .explode("hour")
        .drop_nulls("hour")
    )


def _hours_of(spans: pl.DataFrame, *statuses: str) -> pl.DataFrame:
    return (
        _hours(spans.filter(pl.col("status").is_in(statuses)), whole=True)
        .select("source", "hour")
        .unique()
    )


def _stretches(hours: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Neighbouring hours with the same `by` merged: by, start, end (exclusive)."""
    hour = pl.col("hour")
    return (
        hours.sort(*by, "hour")
        .with_columns(block=hour - pl.int_range(pl.len()).over(by))
        .group_by(*by, "block")
        .agg(start=hour.min(), end=hour.max() + 1)
        .with_columns(
            (pl.col(name) * _HOUR_US).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
            for name in ("start", "end")
        )
        .drop("block")
        .sort(*by, "start")
    )


def cut(stretches: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """Spans or stretches (source, start, end) as far as they lie in [since, until)."""
    return (
        stretches.with_columns(
            start=pl.max_horizontal("start", pl.lit(since, dtype=TIME)),
            end=pl.min_horizontal("end", pl.lit(until, dtype=TIME)),
        )
        .filter(pl.col("start") < pl.col("end"))
        .sort("source", "start")
    )
