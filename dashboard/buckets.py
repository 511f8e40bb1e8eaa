"""What the charts plot: a series on a complete grid of buckets, each with what is known of it.

Pure polars. Draws nothing (`charts`) and reads nothing (`data`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from analysis.table import COUNTS, POOLED, STANDARDISED, STEPS
from dashboard.words import BALANCE, INDEX, NAMES, NEGATIVE

MOST = 2000  # more marks than this and Streamlit draws on a canvas, closed to screen readers


# name -> value, low and high in the table, and what they are multiplied by to be drawn
MEASURES = {
    BALANCE: ("balance", "balance_lo", "balance_hi", 1),
    NEGATIVE: ("neg_share", "neg_lo", "neg_hi", 100),
    INDEX: ("balance", "balance_lo", "balance_hi", 1),  # of a table of stance
}


def day_start(day: date) -> datetime:
    """Midnight UTC at which a day begins."""
    return datetime.combine(day, time(), UTC)


def window(first: date, last: date, width: str) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) of the buckets that the days `first`..`last` touch.

    Only weeks reach beyond the days: they start on Monday.
    """
    start, end = day_start(first), day_start(last) + timedelta(days=1)
    if width == "week":
        start -= timedelta(days=start.weekday())
        end += timedelta(days=-end.weekday() % 7)
    return start, end


def drawable(first: date, last: date, width: str) -> str:
    """`width`, or the next wider one whose buckets are few enough to draw one by one."""
    names = list(STEPS)
    for name in names[names.index(width) :]:
        start, end = window(first, last, name)
        if (end - start) / STEPS[name] <= MOST:
            return name
    return names[-1]


def plotted(
    table: pl.DataFrame,
    source: str,
    *,
    width: str,
    since: datetime,
    until: datetime,
    measure: str = BALANCE,
) -> pl.DataFrame:
    """Every bucket of [since, until) with what to draw in it, for a platform or POOLED.

    In: `analysis.table.series_table`. Out: start, middle, stop, the counts (0 where nothing was
    kept), n, balance, enough, and
    - partial: not all of it was read, or it is not over; drawn dotted;
    - missing: a source was not read in it at all, so nothing is drawn;
    - run: changes where the posts were collected afterwards and where they were not: no line runs
      from one to the other;
    - shown: the measure where it is drawn, in points or percent; low, high: its interval; whole,
      dotted: where it is solid and where dotted; alone: where it has no neighbour to draw a line
      to; above, below: its parts over and under zero; note: for the tooltip.
    """
    step = STEPS[width]
    starts = pl.datetime_range(
        since, until, step, closed="left", time_unit="us", time_zone="UTC", eager=True
    )
    grid = pl.DataFrame({"start": starts}).with_columns(
        middle=(pl.col("start") + step / 2).dt.cast_time_unit("us"),
        stop=(pl.col("start") + step).dt.cast_time_unit("us"),
    )
    rows = table.filter(pl.col("source") == source).drop("source", "bucket", "end")
    frame = (
        grid.join(rows, on="start", how="left", maintain_order="left")
        .join(_unread(table, source), on="start", how="left", maintain_order="left")
        .with_columns(
            *(pl.col(name).fill_null(0) for name in COUNTS),
            *(pl.col(name).fill_null(value=False) for name in ("enough", "afterwards")),
            partial=(pl.col("collected") == "part").fill_null(value=False),
            missing=(pl.col("collected") == "none").fill_null(value=False),
            run=pl.col("afterwards").fill_null(value=False).rle_id(),
        )
    )
    return _shapes(frame, measure).with_columns(note=_note())


def standardised(table: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame | None:
    """The standardised balance on the buckets of `plotted`: start, middle, run, balance.

    None where there is none to draw: of one platform, or without any bucket that has both.
    """
    rows = table.filter(pl.col("source") == STANDARDISED).select("start", "balance")
    drawn = rows["balance"].is_not_null()
    if not (drawn & drawn.shift(1, fill_value=False)).any():  # a single point is no line
        return None
    return frame.select("start", "middle", "run").join(
        rows, on="start", how="left", maintain_order="left"
    )


def _unread(table: pl.DataFrame, source: str) -> pl.DataFrame:
    """start, unread, unread_whole: platforms of which a bucket is read in part, or not at all."""
    own = ~pl.col("source").is_in([POOLED, STANDARDISED])
    if source != POOLED:
        own = pl.col("source") == source
    named = pl.col("source").replace(NAMES)
    return (
        table.filter(own, pl.col("collected").is_in(["part", "none"]))
        .group_by("start")
        .agg(
            unread=named.sort().str.join(" and "),
            unread_whole=named.filter(pl.col("collected") == "none").sort().str.join(" and "),
        )
    )


def _shapes(frame: pl.DataFrame, measure: str) -> pl.DataFrame:
    value, low, high, scale = MEASURES[measure]
    drawn = pl.col("enough") & ~pl.col("missing")
    dotted = pl.col("partial") & drawn
    # A dotted piece ends on the solid values beside it, or one partial bucket would be no line.
    beside = dotted.shift(1).over("run") | dotted.shift(-1).over("run")
    shown = pl.when(drawn).then(scale * pl.col(value))
    neighbours = [pl.col("shown").shift(step).over("run").is_null() for step in (1, -1)]
    return frame.with_columns(
        shown=shown,
        low=pl.when(drawn).then(scale * pl.col(low)),
        high=pl.when(drawn).then(scale * pl.col(high)),
    ).with_columns(
        whole=pl.when(~pl.col("partial")).then("shown"),
        dotted=pl.when(dotted | beside.fill_null(value=False)).then("shown"),
        alone=pl.when(pl.all_horizontal(neighbours)).then("shown"),
        above=pl.col("shown").clip(lower_bound=0),
        below=pl.col("shown").clip(upper_bound=0),
    )


def _note() -> pl.Expr:
    return (
        pl.when("missing")
        .then(pl.format("no {} data", "unread_whole"))
        .when("partial")
        .then(pl.format("{} not read in full", "unread"))
        .when("afterwards")
        .then(pl.lit("collected afterwards: survivors only"))
        .when(pl.col("collected") == "all")
        .then(pl.lit("read in full"))
        .when(pl.col("collected") == "file")
        .then(pl.lit("from a file"))
        .otherwise(pl.lit(""))
    )
