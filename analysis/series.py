"""Series and figures of tone or stance: shares and balance with intervals, from cells or posts.

Does not know which hours were collected (`coverage`) and draws nothing (`dashboard`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from analysis import interval
from analysis.cells import (
    CLUSTERS,
    COUNTED,
    COUNTS,
    STANCE,
    SUMS,
    WIDTHS,
    cells,
    cells_of,
    clusters,
    compact,
    counts,
    measured,
)
from analysis.interval import INTERVAL_NOTE

__all__ = [
    "INTERVAL_NOTE",
    "cells",
    "cells_of",
    "compact",
    "peak",
    "series",
    "standardised",
    "weights",
    "window",
    "window_of",
    "window_part",
]

MIN_N = 30  # below it a share of posts says too little to be drawn
HEADLINE = ("own", "taken")  # thread is a series of its own
NOT_SCORED = ("n_language", "n_too_long", "n_marker")
FIGURES = (
    *("neg_share", "neu_share", "pos_share", "mean_compound", "balance", "balance_se"),
    *(f"{m}_{side}" for m in ("balance", "neg", "pos") for side in ("lo", "hi")),
)

SUBJECT = ("case", "query_hash", "scorer")
# The sums that figures are made of; those of a mean compound's interval are kept for later.
USED = (
    "sum_compound",
    *(f"{kind}_nn" for kind in CLUSTERS),
    *(f"{kind}_{s}_{m}" for kind in CLUSTERS for m in interval.TOTALS for s in ("ny", "yy")),
)
# The columns of cells that `series` and `weights` read.
COLUMNS = (*SUBJECT, "source", "via", "lang", "width", "start", *COUNTS, *USED, *STANCE)
_NO_TALLY = pl.DataFrame(
    schema={
        **dict.fromkeys(SUBJECT, pl.String()),
        **dict.fromkeys(COUNTS, pl.Int64()),
        **{name: SUMS[name] for name in ("sum_compound", "sum_compound2")},
        **dict.fromkeys(STANCE, pl.Int64()),
    }
)
_NO_VOICES = pl.DataFrame(schema={"author": pl.UInt64, "thread": pl.UInt64, "balance": pl.Int8})


def series(
    cells: pl.DataFrame,
    *,
    width: str,
    by_source: bool = False,
    sources: Collection[str] | None = None,
    langs: Collection[str] | None = None,
    via: Collection[str] = HEADLINE,
    since: datetime | None = None,
    until: datetime | None = None,
    min_n: int = MIN_N,
) -> pl.DataFrame:
    """One row for each bucket that has cells (and each source, if asked), sorted by start.

    In: cells (COLUMNS of them) of one case, query and scorer; `sources`, `langs` None for all;
    `since` inclusive and `until` exclusive, of the bucket's start (UTC). Out: start, [source], the
    counts n, n_neg,
    n_neu, n_pos, the shares (0..1) neg_share, neu_share, pos_share with neg_lo, neg_hi, pos_lo,
    pos_hi, mean_compound (-1..1), balance = 100 * (neg_share - pos_share) in points, up is worse,
    with balance_lo, balance_hi and its standard error balance_se; n_not_scored = n_language +
    n_too_long + n_marker; n_displaced; STANCE; enough. Of stance, neg is against, pos is for, n the
    posts on topic, and mean_compound null. Where n < min_n, enough is false and every figure
    but the counts is null. What the intervals hold: `analysis.interval`.

    An author is one cluster within a cell; who posts in two languages or two sources is two.

    Raises ValueError for an unknown width and for cells of more than one case, query or scorer:
    together they would look like a change of opinion.
    """
    if width not in WIDTHS:
        raise ValueError(f"width is {width!r}; it must be one of {', '.join(WIDTHS)}")
    _one_subject(cells)
    chosen = cells.filter(pl.col("width") == width, pl.col("via").is_in(list(via)))
    for column, wanted in (("source", sources), ("lang", langs)):
        if wanted is not None:
            chosen = chosen.filter(pl.col(column).is_in(list(wanted)))
    if since is not None:
        chosen = chosen.filter(pl.col("start") >= since)
    if until is not None:
        chosen = chosen.filter(pl.col("start") < until)
    by = ["start", "source"] if by_source else ["start"]
    return _figures(chosen.group_by(by).agg(pl.col(*COUNTS, *USED, *STANCE).sum()), by, min_n).sort(
        by
    )


def window(scored: pl.DataFrame, *, min_n: int = MIN_N) -> dict[str, Any]:
    """The figures of `series` for all these posts as one window; clusters run across all of it.

    In: the columns `cells` takes, of one case, query and scorer, already restricted to the window,
    sources and via wanted. Raises ValueError as `series` does.
    """
    return window_of([window_part(scored)], min_n=min_n)


class Part(NamedTuple):
    """What a window needs of a part of its posts: 17 bytes a post, of 300 that are read.

    counts: one row for each SUBJECT, COUNTS, the sums of compound and STANCE. voices: of each
    counted post author and thread as 64-bit hashes and the balance (-1, 0, 1).
    """

    counts: pl.DataFrame
    voices: pl.DataFrame


def window_part(scored: pl.DataFrame) -> Part:
    """One part of a window that is too large to be held at once. In: what `window` takes."""
    posts = measured(scored).hstack(scored.select(SUBJECT))
    return Part(
        counts(posts, SUBJECT),
        posts.filter(COUNTED).select("author", "thread", "balance"),
    )


def window_of(parts: Iterable[Part], *, min_n: int = MIN_N) -> dict[str, Any]:
    """`window` of all posts together whose parts, in any order, these are: no post in two of them.

    Clusters run across the parts.
    """
    tallies, voices = [_NO_TALLY], [_NO_VOICES]
    for part in parts:
        tallies.append(part.counts)
        voices.append(part.voices)
    tally, everyone = pl.concat(tallies), pl.concat(voices)
    _one_subject(tally)
    posts = everyone.with_columns(
        all=pl.lit(0, pl.Int8),
        neg=(pl.col("balance") == 1).cast(pl.Int8),
        pos=(pl.col("balance") == -1).cast(pl.Int8),
    )
    found = tally.select(pl.exclude(SUBJECT).sum())
    for kind in CLUSTERS:
        sums = clusters(posts, ["all"], kind, tuple(interval.TOTALS)).drop("all")
        found = found.hstack(sums.sum())
    return _figures(found, [], min_n).row(0, named=True)


def weights(cells: pl.DataFrame, *, via: Collection[str] = HEADLINE) -> dict[str, float]:
    """Each source's share (0..1) of all scored posts of the case, all time: the fixed weights."""
    _one_subject(cells)
    totals = (
        cells.filter(pl.col("width") == "day", pl.col("via").is_in(list(via)))
        .group_by("source")
        .agg(pl.col("n").sum())
        .filter(pl.col("n") > 0)
        .sort("source")
    )
    return dict(totals.select("source", pl.col("n") / pl.col("n").sum()).iter_rows())


def standardised(by_source: pl.DataFrame, weights: Mapping[str, float]) -> pl.DataFrame:
    """The balance with every source at its fixed weight: start, balance, balance_lo, balance_hi, n.

    In: `series(..., by_source=True)` and `weights`. Balance in points; variance = sum of
    w^2 * variance, sources being independent. Null wherever a weighted source has no row or fewer
    than min_n posts: then the pooled line would move with the mix of sources, not with opinion.
    The direct standardisation of epidemiology, with sources in the place of age groups.
    """
    used = {source: weight for source, weight in weights.items() if weight > 0}
    total = sum(used.values())
    table = pl.DataFrame(
        {"source": list(used), "w": [weight / total for weight in used.values()]},
        schema={"source": pl.String, "w": pl.Float64},
    )
    complete = (pl.col("enough").sum() == len(used)) & (pl.len() == len(used))
    error = interval.Z * pl.col("balance_se")
    return (
        by_source.join(table, on="source")
        .group_by("start")
        .agg(
            balance=pl.when(complete).then((pl.col("w") * pl.col("balance")).sum()),
            balance_se=pl.when(complete).then(
                ((pl.col("w") * pl.col("balance_se")) ** 2).sum().sqrt()
            ),
            n=pl.col("n").sum(),
        )
        .select(
            "start",
            "balance",
            balance_lo=(pl.col("balance") - error).clip(-100, 100),
            balance_hi=(pl.col("balance") + error).clip(-100, 100),
            n="n",
        )
        .sort("start")
    )


def peak(day_series: pl.DataFrame) -> dict[str, Any] | None:
    """The day with the highest tone balance among those with enough posts; the first of equals.

    In: `series(..., width="day")`, one row a day. Out: that row, or None if no day has enough
    posts. The highest of many noisy days is higher than the truth on average: show n and interval.
    """
    days = day_series.filter("enough", pl.col("balance").is_not_null())
    if days.is_empty():
        return None
    return days.sort("balance", "start", descending=[True, False]).row(0, named=True)


def _one_subject(frame: pl.DataFrame) -> None:
    subjects = frame.select(SUBJECT).unique()
    if subjects.height > 1:
        found = "; ".join(", ".join(map(str, row)) for row in sorted(subjects.rows()))
        raise ValueError(
            "one series shows one case, query and scorer, and these hold several: "
            f"{found}. Filter them first."
        )


def _figures(counted: pl.DataFrame, by: Sequence[str], min_n: int) -> pl.DataFrame:
    n = pl.col("n")
    enough = n >= max(min_n, 1)
    figured = interval.intervals(counted).with_columns(
        *((pl.col(f"n_{m}") / n).alias(f"{m}_share") for m in ("neg", "neu", "pos")),
        # The order of a float sum is not fixed: rounded, two runs give the same bytes.
        mean_compound=pl.when(pl.col("n_looked") == 0).then((pl.col("sum_compound") / n).round(12)),
        balance=100 * (pl.col("n_neg") - pl.col("n_pos")) / n,
    )
    return figured.select(
        *by,
        "n",
        "n_neg",
        "n_neu",
        "n_pos",
        *(pl.when(enough).then(name).alias(name) for name in FIGURES),
        pl.sum_horizontal(NOT_SCORED).alias("n_not_scored"),
        *NOT_SCORED,
        "n_displaced",
        *STANCE,
        enough.alias("enough"),
    )
