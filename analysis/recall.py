"""How much of what a stream brought a search found too, over the hours that both have covered.

Counts what was seen; it estimates nothing of what neither has seen. Which collectors brought a post
is asked of the store (`Store.sighted`), which hours each has covered is told by `coverage.spans`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt

import polars as pl

from analysis.coverage import TIME
from analysis.interval import Z

STREAM, SEARCH = "bluesky-stream", "bluesky-search"
SOURCE = "bluesky"
FEWEST = 30  # posts; with fewer there is no share, only their number
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Recall:
    """What search found of the stream's posts. Shares 0..1; None with fewer than 30 posts.

    `hours` is how many hours both have covered, between `since` and `until`; `of` the posts that
    the stream brought in them, `found` those of them that search brought too, `only_search` those
    that search alone brought. `size` is how many independent voices `of` is worth.
    """

    hours: int
    since: datetime | None
    until: datetime | None
    of: int
    found: int
    only_search: int
    size: float
    share: float | None
    low: float | None
    high: float | None


def recall(sighted: pl.DataFrame, spans: pl.DataFrame) -> Recall:
    """The measured recall of search for one case.

    In: post, author, at, collectors (a list), the case's own matches; `spans` as
    `coverage.spans(runs, case=..., query_hash=...)` gives them. Only posts whose time lies in an
    hour that both collectors have covered count; a post that was deleted before search came by
    counts as not found.

    The interval is Wilson's (1927, JASA 22) on the effective number of posts: those of one author
    are found or missed together, so the variance is that of a ratio clustered by author, and the
    size is what makes a binomial that wide (Korn and Graubard 1998, Survey Methodology 24; Dean and
    Pagano 2015, J. Surv. Stat. Methodol. 3, for Wilson's), never more than n² over the sum of
    squared author counts. A post without an author is a cluster of its own. It holds the chance of
    which posts there were in these hours and nothing of other hours.
    """
    hours = shared_hours(spans)
    first, last = hours.select(first=pl.col("hour").min(), last=pl.col("hour").max()).row(0)
    posts = (
        sighted.with_columns(hour=pl.col("at").dt.truncate("1h"))
        .join(hours, on="hour", how="semi")
        .select(
            voice=pl.coalesce("author", "post"),
            streamed=pl.col("collectors").list.contains(STREAM),
            searched=pl.col("collectors").list.contains(SEARCH),
        )
    )
    streamed = posts.filter("streamed")
    of, found = streamed.height, int(streamed["searched"].sum())
    by_author = streamed.group_by("voice").agg(n=pl.len(), y=pl.col("searched").sum())
    size = _size(by_author, of, found)
    share = low = high = None
    if of >= FEWEST:
        share = found / of
        low, high = wilson(share, size)
    return Recall(
        hours=hours.height,
        since=first,
        until=None if last is None else last + HOUR,
        of=of,
        found=found,
        only_search=posts.filter(~pl.col("streamed") & pl.col("searched")).height,
        size=size,
        share=share,
        low=low,
        high=high,
    )


def shared_hours(spans: pl.DataFrame) -> pl.DataFrame:
    """The hours that both collectors have covered, each by every unit it was asked for: hour."""
    covered = spans.filter(pl.col("status") == "covered", pl.col("source") == SOURCE)
    both = [_hours(covered.filter(pl.col("collector") == name)) for name in (STREAM, SEARCH)]
    return both[0].join(both[1], on="hour", how="semi").sort("hour")


def _hours(spans: pl.DataFrame) -> pl.DataFrame:
    last = pl.col("end") - HOUR
    return (
        spans.select(hour=pl.datetime_ranges("start", last, "1h", time_zone="UTC"))
        .explode("hour")
        .select(pl.col("hour").cast(TIME))
        .drop_nulls()
        .unique()
    )


def _size(by_author: pl.DataFrame, n: int, y: int) -> float:
    """The effective number of posts: how many independent ones would leave as much to chance."""
    if not n:
        return 0.0
    share = y / n
    sizes, errors = by_author.select(
        squares=(pl.col("n") ** 2).sum(),
        errors=((pl.col("y") - share * pl.col("n")) ** 2).sum(),
    ).row(0)
    most = float(n**2 / sizes)
    clustered = float(errors / n**2)
    return min(most, share * (1 - share) / clustered) if clustered > 0 else most


def wilson(share: float, size: float) -> tuple[float, float]:
    """The bounds of Wilson's 95 % interval of a share among `size` independent ones."""
    middle = (share + Z**2 / (2 * size)) / (1 + Z**2 / size)
    half = Z / (1 + Z**2 / size) * sqrt(share * (1 - share) / size + Z**2 / (4 * size**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def sentence(found: Recall) -> str | None:
    """One sentence for whoever reads a figure; None where nothing was measured."""
    if found.share is None or found.low is None or found.high is None:
        return None
    return (
        f"Search found {found.found:,} of {found.of:,} posts that the stream brought in"
        f" {found.hours:,} hours covered by both: {_percent(found.share)} (95 %:"
        f" {_percent(found.low)} to {_percent(found.high)}). What neither saw is not known."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share in {0.0, 1.0} else f"{100 * share:.1f} %"
