"""Which collectors have brought a post by themselves, so that each can be measured by the other.

Keys, names of collectors and times only. What share of each other they found is counted in
`analysis/recall.py`.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from store.merge import Tables
from store.schema import SIDE_BY_SIDE, SIGHTINGS

SIGHTED = pl.Schema(
    {"post": pl.String(), "author": pl.String(), "at": SIGHTINGS["seen_at"]}
    | {"collectors": pl.List(pl.String)}
)


def add(tables: Tables, rows: pl.DataFrame) -> None:
    """Note who has brought these posts (post, day, collector, collected_at); what is noted already
    stays as it is."""
    seen = rows.filter(pl.col("collector").is_in(SIDE_BY_SIDE)).select(
        "post", "collector", "day", seen_at="collected_at"
    )
    if seen.height:
        tables.merge("sightings", seen)


def sighted(
    tables: Tables,
    *,
    source: str,
    case: str,
    query_hash: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.LazyFrame:
    """The posts that belong to a case by their own words and whom any of the collectors has
    brought: columns of SIGHTED. `since` is inclusive, `until` exclusive. Deleted ones are in it."""
    posts = tables.scan("posts").filter(pl.col("source") == source)
    matches = tables.scan("matches").filter(
        pl.col("case") == case, pl.col("query_hash") == query_hash, pl.col("via") == "own"
    )
    seen = tables.scan("sightings")
    if since is not None:
        held = pl.col("day") >= since.date()
        posts, matches, seen = (
            posts.filter(held, pl.col("at") >= since),
            matches.filter(held),
            seen.filter(held),
        )
    if until is not None:
        held = pl.col("day") <= until.date()
        posts, matches, seen = (
            posts.filter(held, pl.col("at") < until),
            matches.filter(held),
            seen.filter(held),
        )
    return (
        posts.select("post", "author", "at")
        .join(matches.select("post"), on="post", how="semi")
        .join(seen.group_by("post").agg(collectors=pl.col("collector").unique()), on="post")
        .select(SIGHTED.names())
    )
