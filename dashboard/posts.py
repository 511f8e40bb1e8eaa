"""The most-engaged posts of a case, platform by platform.

Numbers first, then the text of the few rows shown, and only of posts that may be shown. What is
kept in memory goes when the store changes: a deleted post must not live on here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import polars as pl
import streamlit as st

from analysis import sides
from analysis.tone import SCORER
from dashboard import data
from dashboard.data import HEADLINE, Subject
from store.export import permalink, tone
from store.portions import Stretch
from store.schema import TIME
from store.tables import Store

SHOWN = 25
AT_ONCE = 250_000  # posts of which the few numbers that rank them are read together
RANKED = pl.Schema(
    {
        "post": pl.String(),
        "day": pl.Date(),
        "at": TIME,
        "compound": pl.Float64(),
        "stance": pl.String(),
        "engagement": pl.Int64(),
    }
)
TONES = ("negative", "neutral", "positive")
# Reddit gives one number for a post, Bluesky several. They are never ranked against each other.
ENGAGEMENT = {"reddit": ("likes",)}
ELSEWHERE = ("likes", "reposts")
# The root of a comment is looked for in the days before it; older roots give no link. Keys are
# random, so without a bound every file of the store would be read for a few addresses.
ROOT_DAYS = timedelta(days=60)
OURS = re.compile(r"^https://(bsky\.app|www\.reddit\.com)/")

_seen: dict[str, str] = {}


def most_engaged(
    about: Subject,
    source: str,
    since: datetime,
    until: datetime,
    tone_of: str | None = None,
) -> pl.DataFrame:
    """The posts of one platform with the highest engagement: at, text, tone (-1..1, null without a
    score), stance (null without one), engagement, community, link.

    `since` is inclusive, `until` exclusive (UTC). Engagement as last checked, else as first seen:
    Reddit's score, Bluesky's likes and reposts. Never a hidden or deleted post. `link` is null
    where no address can be made, and in the demo.
    """
    if _seen.get(about.location) != about.version:
        _most_engaged.clear()
        _seen[about.location] = about.version
    return _most_engaged(about, source, since, until, tone_of)


@st.cache_resource(max_entries=32, ttl="10m", show_spinner=False)
def _most_engaged(
    about: Subject, source: str, since: datetime, until: datetime, tone_of: str | None
) -> pl.DataFrame:
    return _texts(about, _ranked(about, source, since, until, tone_of))


def _ranked(
    about: Subject, source: str, since: datetime, until: datetime, tone_of: str | None
) -> pl.DataFrame:
    """post, day, at, compound, stance, engagement of the first rows: no text is read for the rest.

    A stretch of time after the other, with the first rows so far in hand: of a later stretch only
    posts that could be among them are joined to anything.
    """
    store = data.store()
    best = pl.DataFrame(schema=RANKED)
    for stretch in store.stretches(AT_ONCE, since, until):
        least = int(best["engagement"][-1]) if best.height == SHOWN else None
        able = store.read(partial(_able, store, source, stretch, least))
        if able.is_empty():
            continue
        rows = store.read(partial(_rated, store, about, source, able))
        if tone_of is not None:
            rows = rows.filter(tone() == tone_of)
        best = (
            pl.concat([best, rows])
            .sort("engagement", "at", "post", descending=[True, False, False])
            .head(SHOWN)
        )
    return best


def _able(store: Store, source: str, stretch: Stretch, least: int | None) -> pl.LazyFrame:
    """Visible posts of a platform that may have `least` engagement: post, day, at and its counts.

    As first seen, or as last checked: a check may know more, and what it does not know counts as
    first seen.
    """
    counted = ENGAGEMENT.get(source, ELSEWHERE)
    posts = (
        store.visible()
        .filter(*stretch.holds(), pl.col("source") == source)
        .select("post", "day", "at", *counted)
    )
    if least is None:
        return posts
    checked = store.scan("checks").filter(
        stretch.days(), _sum(counted).ge(least) | pl.any_horizontal(pl.col(counted).is_null())
    )
    enough = posts.filter(_sum(counted) >= least)
    more = posts.filter(_sum(counted) < least).join(
        checked.select("post", "day"), on=["post", "day"], how="semi"
    )
    return pl.concat([enough, more])


def _rated(store: Store, about: Subject, source: str, able: pl.DataFrame) -> pl.LazyFrame:
    """Those of these posts that are in the case's headlines, with RANKED columns."""
    counted = ENGAGEMENT.get(source, ELSEWHERE)
    days = pl.col("day").is_in(able["day"].unique().to_list())
    matched = store.scan("matches").filter(
        days,
        pl.col("case") == about.case,
        pl.col("query_hash") == about.query_hash,
        pl.col("via").is_in(HEADLINE),
    )
    scores = store.scan("scores").filter(days, pl.col("scorer") == SCORER, pl.col("case") == "")
    stances = store.scan("scores").filter(
        days, pl.col("scorer") == sides.SCORER, pl.col("case") == about.case
    )
    checked = store.scan("checks").filter(days).select("post", "day", *counted)
    return (
        able.lazy()
        .join(matched.select("post", "day"), on=["post", "day"])
        .join(scores.select("post", "day", "compound"), on=["post", "day"], how="left")
        .join(stances.select("post", "day", "stance"), on=["post", "day"], how="left")
        .join(checked, on=["post", "day"], how="left", suffix="_checked")
        .with_columns(
            engagement=pl.sum_horizontal(
                pl.coalesce(f"{name}_checked", name).fill_null(0) for name in counted
            )
        )
        .select(RANKED.names())
    )


def _sum(counted: Sequence[str]) -> pl.Expr:
    return pl.sum_horizontal(pl.col(name).fill_null(0) for name in counted)


def _texts(about: Subject, ranked: pl.DataFrame) -> pl.DataFrame:
    store = data.store()
    days = ranked["day"].unique().to_list()
    found = store.read(
        lambda: (
            store.visible()
            .filter(pl.col("day").is_in(days), pl.col("post").is_in(ranked["post"].to_list()))
            .select("post", "text", "community", "uri", "root")
        )
    )
    roots = found["root"].drop_nulls().unique().to_list()
    if roots and not about.demo:
        addresses = store.read(
            lambda: (
                store.visible()
                .filter(
                    pl.col("day").is_between(min(days) - ROOT_DAYS, max(days)),
                    pl.col("post").is_in(roots),
                )
                .select(root="post", root_uri="uri")
            )
        )
    else:
        addresses = pl.DataFrame(schema={"root": pl.String, "root_uri": pl.String})
    link = pl.lit(None, pl.String) if about.demo else permalink()
    shown = (
        ranked.join(found, on="post", maintain_order="left")
        .join(addresses, on="root", how="left", maintain_order="left")
        .select("at", "text", "compound", "stance", "engagement", "community", link=link)
    )
    return shown.with_columns(
        link=pl.Series("link", [ours(address) for address in shown["link"]], dtype=pl.String)
    )


def ours(address: str | None) -> str | None:
    """The address if it leads to one of the two platforms, else None."""
    return address if address and OURS.match(address) else None
