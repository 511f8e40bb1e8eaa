"""Invented posts as frames, any stretch of a year of them at once: bursts, repeat authors, threads.

The same number always gives the same post, so a store that was half built can be continued and any
post of it asked for again. Nothing here is anybody's text, and nothing here touches a store.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks.generate import CASE, DAYS, PLAIN, START
from store.schema import RAW_POST

HOURS = DAYS * 24
BURSTS = ((120, 8.0), (150, 4.0), (250, 6.0))  # day and height over the usual rate
TIMES = ("at", "created_at", "collected_at")


@dataclass(frozen=True)
class Year:
    """A year of `size` posts, numbered from 0 in order of time."""

    size: int

    def __hash__(self) -> int:
        return hash(self.size)

    def posts(self, first: int, count: int, *, collected: datetime | None = None) -> pl.DataFrame:
        """RAW_POST rows of the posts first, first + 1, ...; collected five minutes after they were
        written unless said otherwise."""
        return self.numbered(np.arange(first, min(first + count, self.size)), collected=collected)

    def numbered(self, ids: np.ndarray, *, collected: datetime | None = None) -> pl.DataFrame:
        """RAW_POST rows of these posts. Numbers beyond the year are posts of its last day."""
        seconds = self._seconds(ids)
        at = np.datetime64(START.replace(tzinfo=None), "us") + seconds * np.timedelta64(1, "s")
        dice = [_dice(ids, salt) for salt in range(6)]
        bluesky = dice[0] < 0.7
        # A few accounts write most: the share of the account of rank r falls like a power of r.
        authors = (np.power(dice[1], -1 / 1.1) * 500).astype(np.int64) % max(self.size // 3, 10)
        roots = np.maximum(ids - (np.power(dice[2], -1.0) * 3).astype(np.int64), 0)
        frame = pl.DataFrame(
            {"id": ids, "author_id": authors, "root_id": roots, "bluesky": bluesky}
        )
        here = pl.col("bluesky")
        seen = at + np.timedelta64(300, "s")
        if collected:
            seen = np.full(len(ids), np.datetime64(collected.replace(tzinfo=None), "us"))
        return frame.select(
            uri=pl.when(here)
            .then(pl.format("at://did:plc:bench{}/app.bsky.feed.post/b{}", "author_id", "id"))
            .otherwise(pl.format("reddit:t1_{}", "id")),
            source=pl.when(here).then(pl.lit("bluesky")).otherwise(pl.lit("reddit")),
            kind=pl.when(here).then(pl.lit("post")).otherwise(pl.lit("comment")),
            author=pl.format("bench{}", "author_id"),
            community=pl.when(~here).then(pl.format("r{}", pl.col("author_id") % 20)),
            text=_texts(ids, dice[3]),
            langs=pl.lit(["en"]),
            at=pl.Series(at),
            created_at=pl.Series(at),
            collected_at=pl.Series(seen),
            parent=pl.when(~here).then(pl.format("reddit:t3_{}", "root_id")),
            root=pl.when(~here).then(pl.format("reddit:t3_{}", "root_id")),
            quoted=pl.lit(None, pl.String),
            likes=pl.Series((np.power(dice[4], -1 / 1.3) * 3).astype(np.int64)),
            reposts=pl.when(here).then(pl.lit(0)),
            replies=pl.lit(0),
        ).select(
            pl.col(name).dt.replace_time_zone("UTC").cast(kind)
            if name in TIMES
            else pl.col(name).cast(kind)
            for name, kind in RAW_POST.items()
        )

    def day_of(self, first_day: int) -> int:
        """Number of the first post of a day, counted from 0 at the beginning of the year."""
        return int(self._ends()[first_day * 24 - 1]) if first_day else 0

    def _ends(self) -> np.ndarray:
        return np.round(np.cumsum(_rate()) * self.size).astype(np.int64)

    def _seconds(self, ids: np.ndarray) -> np.ndarray:
        ends = self._ends()
        hour = np.minimum(np.searchsorted(ends, ids, side="right"), HOURS - 1)
        begins = np.where(hour > 0, ends[hour - 1], 0)
        width = np.maximum(ends[hour] - begins, 1)
        return hour * 3600 + np.minimum((ids - begins) * 3600 // width, 3599)


def matches(posts: pl.DataFrame, query_hash: str) -> pl.DataFrame:
    """What `cases.match` would say of posts of a file that was taken whole."""
    return posts.select(
        "uri",
        case=pl.lit(CASE),
        query_hash=pl.lit(query_hash),
        via=pl.lit("taken"),
        root_known=pl.lit(value=False),
    )


def compounds(keys: pl.Series) -> pl.Series:
    """A tone for each key, the same each time: a third negative, a third neutral."""
    value = (keys.hash() % 2001).cast(pl.Float64) / 1000 - 1
    return (
        pl.select(pl.when(value.abs() < 0.33).then(0.0).otherwise(value))
        .to_series()
        .alias("compound")
    )


@cache
def _rate() -> np.ndarray:
    hours = np.arange(HOURS)
    rate = 1 + 0.35 * np.sin((hours % 24 - 15) / 24 * 2 * np.pi)
    for day, height in BURSTS:
        rate = rate + np.where(hours >= day * 24, height * np.exp(-(hours - day * 24) / 48), 0)
    return rate / rate.sum()


def _dice(ids: np.ndarray, salt: int) -> np.ndarray:
    """Numbers in (0, 1] that depend on the post's number alone (splitmix64)."""
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) * np.uint64(16) + np.uint64(salt)
        x = (x + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return ((x >> np.uint64(11)).astype(np.float64) + 1) / 2**53


def _texts(ids: np.ndarray, dice: np.ndarray) -> pl.Series:
    """About 20 words each, the plain ones often and the others seldom."""
    words = _words()
    lengths = 5 + (dice * 30).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    drawn = _dice(np.repeat(ids, lengths) * 64 + places, 7)
    chosen = np.minimum((drawn**3 * len(words)).astype(np.int64), len(words) - 1)
    values = pl.Series(words).gather(chosen).to_arrow(compat_level=pl.CompatLevel.oldest())
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
    return pl.Series("text", pl.from_arrow(lists)).list.join(" ")


@cache
def _words() -> list[str]:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415

    lexicon = sorted(w for w in SentimentIntensityAnalyzer().lexicon if w.isascii() and w.isalpha())
    return [*PLAIN, *lexicon]
