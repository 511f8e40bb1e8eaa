"""The series as a table: every bucket of a window, pooled, by source and standardised.

One place for what exports hold and charts draw, so that both say the same. It adds to `series` the
buckets without posts and what the ledger knows of each bucket.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import polars as pl

from analysis import coverage
from analysis.cells import STANCE
from analysis.series import FIGURES, HEADLINE, MIN_N, series, standardised, weights

STEPS = {
    "hour": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
COUNTS = (
    *("n", "n_neg", "n_neu", "n_pos"),
    *("n_not_scored", "n_language", "n_too_long", "n_marker", "n_displaced"),
)
POOLED = "all"
STANDARDISED = "standardised"


def series_table(
    cells: pl.DataFrame,
    spans: pl.DataFrame,
    *,
    width: str,
    sources: Collection[str] | None = None,
    langs: Collection[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    min_n: int = MIN_N,
    fixed: Mapping[str, float] | None = None,
    stance: bool = False,
) -> pl.DataFrame:
    """One row for each bucket and source, then `all` (pooled) and, of two sources, `standardised`.

    In: cells of one case, query and scorer, and `coverage.spans` of it; `since` inclusive, `until`
    exclusive (UTC), by default from the first bucket with posts to the last. Out: source, bucket,
    start, end, the counts and figures of `series` (shares 0..1, balance in points), enough, and
    - weight: the fixed share of the source in the standardised row; null elsewhere;
    - collected: `all` of the bucket was read, `part` of it, or `none`; `file` where every hour lies
      within the time of a file or was read: how much there was beside the file is not known;
    - afterwards: read only more than 48 hours later, so deleted posts are missing from it.
    The pooled and standardised figures are null where a source is missing altogether: they would
    move with the mix of platforms, not with opinion; a source counts as missing even where the
    whole window holds none of its posts, as long as the case has some. Empty when
    the cells hold no such bucket. `fixed` are the weights, by default those of the cells; with
    `stance` the counts STANCE are in it.
    """
    chosen: dict[str, Any] = {"sources": sources, "langs": langs, "min_n": min_n, "width": width}
    by_source = series(cells, by_source=True, since=since, until=until, **chosen)
    if by_source.is_empty():
        return pl.DataFrame()
    pooled = series(cells, since=since, until=until, **chosen)
    known = cells.filter(pl.col("via").is_in(HEADLINE))["source"].unique()
    shown = sorted(name for name in known if sources is None or name in sources)
    step = STEPS[width]
    first, last = (
        cast(datetime, edge) for edge in (by_source["start"].min(), by_source["start"].max())
    )
    starts = pl.datetime_range(first, last, step, time_unit="us", time_zone="UTC", eager=True)
    marks = bucket_marks(spans, by_source, starts.alias("start"), step, shown)
    parts = [
        by_source.filter(pl.col("source") == source)
        .drop("source")
        .join(marks.filter(pl.col("source") == source), on="start", how="right")
        for source in shown
    ]
    together = _together(marks)
    parts.append(_without_missing(pooled.join(together, on="start", how="right"), POOLED))
    counts = (*COUNTS, *STANCE) if stance else COUNTS
    every = weights(cells) if fixed is None else fixed
    fixed = {name: w for name, w in every.items() if name in shown}
    if len(fixed) > 1:
        level = standardised(by_source, fixed).join(together, on="start", how="right")
        parts.append(_without_missing(level, STANDARDISED))
    total = sum(fixed.values())
    shares = {name: w / total for name, w in fixed.items()} if len(fixed) > 1 else {}
    return (
        pl.concat(parts, how="diagonal")
        .with_columns(
            *(pl.col(name).fill_null(0) for name in counts),
            pl.col("enough").fill_null(pl.col("balance").is_not_null()),
            bucket=pl.lit(width),
            end=pl.col("start") + step,
            weight=pl.col("source").replace_strict(shares, default=None, return_dtype=pl.Float64),
        )
        .with_columns(  # a standardised row counts scored posts; what was not scored is in `all`
            pl.when(pl.col("source") != STANDARDISED).then(name).alias(name)
            for name in counts
            if name != "n"
        )
        .select(
            *("source", "bucket", "start", "end"),
            *counts,
            *(name for name in FIGURES if name != "balance_se"),
            *("enough", "weight", "collected", "afterwards"),
        )
    )


def bucket_marks(
    spans: pl.DataFrame,
    by_source: pl.DataFrame,
    starts: pl.Series,
    step: timedelta,
    sources: Collection[str],
) -> pl.DataFrame:
    """What the ledger knows of each bucket of each source: source, start, collected, afterwards.

    A bucket of which no hour was read in full but which holds posts was read in part. `afterwards`
    is true when any hour of it was read only afterwards.
    """
    whole = step / timedelta(hours=1)
    since, until = cast(datetime, starts.min()), cast(datetime, starts.max()) + step
    kinds = {
        "read": spans.filter(pl.col("status") == "covered"),
        "held": spans.filter(pl.col("status").is_in(["covered", "file"])),
        "late": coverage.afterwards(spans, since=since, until=until),
    }
    marks = pl.DataFrame({"source": sorted(sources)}).join(starts.to_frame("start"), how="cross")
    for name, stretches in kinds.items():
        hours = coverage.by_bucket(stretches, starts=starts, step=step, name=name)
        marks = marks.join(hours, on=["source", "start"], how="left")
    return marks.join(
        by_source.select("source", "start", posts="n"), on=["source", "start"], how="left"
    ).select(
        "source",
        "start",
        collected=pl.when(pl.col("read") >= whole)
        .then(pl.lit("all"))
        .when(pl.col("held") >= whole)
        .then(pl.lit("file"))
        .when(pl.col("held").is_not_null() | pl.col("posts").is_not_null())
        .then(pl.lit("part"))
        .otherwise(pl.lit("none")),
        afterwards=pl.col("late").is_not_null(),
    )


def _together(marks: pl.DataFrame) -> pl.DataFrame:
    """The marks of all sources as one: the worst of them, from none over part and file to all."""
    collected = pl.lit("all")
    for mark in ("file", "part", "none"):
        collected = (
            pl.when((pl.col("collected") == mark).any()).then(pl.lit(mark)).otherwise(collected)
        )
    return marks.group_by("start", maintain_order=True).agg(
        collected=collected, afterwards=pl.col("afterwards").any()
    )


def _without_missing(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    figures = [column for column in FIGURES if column in frame.columns]
    return frame.with_columns(
        pl.when(pl.col("collected") != "none").then(column).alias(column) for column in figures
    ).with_columns(source=pl.lit(name))
