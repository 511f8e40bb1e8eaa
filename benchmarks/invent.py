"""Invented posts as frames, any stretch of a year of them at once: bursts, repeat authors, threads.

The same seed and number always give the same post, so any post of a store can be asked for again
without looking into it. Nothing here is anybody's text, and nothing here touches a store.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pyarrow as pa

from benchmarks.generate import CASE, DAYS, PLAIN, START
from cases.match import MATCH
from store.schema import RAW_POST

HOURS = DAYS * 24
END = START + timedelta(days=DAYS)
BURSTS = ((120, 8.0), (150, 4.0), (250, 6.0))  # day and height over the usual rate
TIMES = ("at", "created_at", "collected_at")
# Every 16th post begins a thread on Reddit; with these 30 % are Reddit's.
THREAD = 16
BLUESKY = 0.7467
REPLIES = 0.2  # of Bluesky's posts
ENGLISH, FRENCH = 0.85, 0.93  # the rest is German
FOREIGN = (
    """
    le la les des un une est pas plus avec pour sur mais musique artiste contrat colère merci
    """.split(),  # noqa: SIM905 - as PLAIN
    """
    der die das und ist nicht mehr mit für auf aber musik künstler vertrag wütend danke
    """.split(),  # noqa: SIM905
)


@dataclass(frozen=True)
class Year:
    """A year of `size` posts, numbered from 0 in order of time."""

    size: int
    seed: int = 7

    def posts(self, first: int, count: int, *, collected: datetime | None = None) -> pl.DataFrame:
        """RAW_POST rows of the posts first, first + 1, ...; collected five minutes after they were
        written unless said otherwise."""
        return self.numbered(np.arange(first, min(first + count, self.size)), collected=collected)

    def numbered(self, ids: np.ndarray, *, collected: datetime | None = None) -> pl.DataFrame:
        """RAW_POST rows of these posts. Numbers beyond the year are posts of its last hour."""
        at = np.datetime64(START.replace(tzinfo=None), "us") + self._seconds(ids) * np.timedelta64(
            1, "s"
        )
        seen = at + np.timedelta64(300, "s")
        if collected:
            seen = np.full(len(ids), np.datetime64(collected.replace(tzinfo=None), "us"))
        spoken = self._dice(ids, 5)
        frame = self._identities(ids)
        here = pl.col("bluesky")
        return (
            frame.with_columns(self._roots(ids))
            .select(
                uri="uri",
                source=pl.when(here).then(pl.lit("bluesky")).otherwise(pl.lit("reddit")),
                kind=pl.when(here | pl.col("begins"))
                .then(pl.lit("post"))
                .otherwise(pl.lit("comment")),
                author="author",
                community=pl.when(~here).then(pl.format("r{}", pl.col("id") % 20)),
                text=self._texts(ids, spoken),
                langs=pl.Series(_languages(spoken)).reshape((-1, 1)).arr.to_list(),
                at=pl.Series(at),
                created_at=pl.Series(at),
                collected_at=pl.Series(seen),
                parent="root",
                root="root",
                likes=pl.Series((np.power(self._dice(ids, 4), -1 / 1.3) * 3).astype(np.int64)),
                reposts=pl.when(here).then(pl.lit(0)),
                replies=pl.lit(0),
                quoted=pl.lit(None, pl.String),
            )
            .select(
                (pl.col(name).dt.replace_time_zone("UTC") if name in TIMES else pl.col(name)).cast(
                    kind
                )
                for name, kind in RAW_POST.items()
            )
        )

    def day_of(self, first_day: int) -> int:
        """Number of the first post of a day, counted from 0 at the beginning of the year."""
        return int(self._ends()[first_day * 24 - 1]) if first_day else 0

    def author_with(self, posts: int) -> tuple[str, int]:
        """The account on Bluesky with the number of posts nearest to this, and that number."""
        counts = np.zeros(self._accounts, dtype=np.int64)
        for first in range(0, self.size, 1_000_000):
            ids = np.arange(first, min(first + 1_000_000, self.size))
            mine = self._accounts_of(ids[self._on_bluesky(ids)])
            counts += np.bincount(mine, minlength=self._accounts)
        chosen = int(np.abs(counts - posts).argmin())
        return f"did:plc:bench{chosen}", int(counts[chosen])

    @property
    def _accounts(self) -> int:
        return max(self.size // 3, 10)

    def _accounts_of(self, ids: np.ndarray) -> np.ndarray:
        # A few accounts write most: the share of the account of rank r falls like a power of r.
        drawn = np.power(self._dice(ids, 1), -1 / 1.1) * min(100, self._accounts)
        return drawn.astype(np.int64) % self._accounts

    def _on_bluesky(self, ids: np.ndarray) -> np.ndarray:
        return (ids % THREAD != 0) & (self._dice(ids, 0) < BLUESKY)

    def _identities(self, ids: np.ndarray) -> pl.DataFrame:
        """id, bluesky, begins (a thread on Reddit), author, uri."""
        here = pl.col("bluesky")
        return pl.DataFrame(
            {
                "id": ids,
                "account": self._accounts_of(ids),
                "bluesky": self._on_bluesky(ids),
                "begins": ids % THREAD == 0,
            }
        ).select(
            "id",
            "bluesky",
            "begins",
            author=pl.when(here)
            .then(pl.format("did:plc:bench{}", "account"))
            .otherwise(pl.format("bench{}", "account")),
            uri=pl.when(here)
            .then(pl.format("at://did:plc:bench{}/app.bsky.feed.post/b{}", "account", "id"))
            .when("begins")
            .then(pl.format("reddit:t3_{}", "id"))
            .otherwise(pl.format("reddit:t1_{}", "id")),
        )

    def _roots(self, ids: np.ndarray) -> pl.Series:
        """The uri of each post's thread, null where it begins one or stands alone."""
        back = np.maximum(ids - (np.power(self._dice(ids, 2), -1.0) * 3).astype(np.int64), 0)
        here = self._on_bluesky(ids)
        replies = here & (self._dice(ids, 3) < REPLIES) & self._on_bluesky(back)
        comments = ~here & (ids % THREAD != 0)
        roots = self._identities(np.where(comments, back // THREAD * THREAD, back))
        return pl.select(
            pl.when(pl.Series(replies | comments)).then(roots["uri"]).alias("root")
        ).to_series()

    def _ends(self) -> np.ndarray:
        return np.round(np.cumsum(_rate()) * self.size).astype(np.int64)

    def _seconds(self, ids: np.ndarray) -> np.ndarray:
        ends = self._ends()
        hour = np.minimum(np.searchsorted(ends, ids, side="right"), HOURS - 1)
        begins = np.where(hour > 0, ends[hour - 1], 0)
        width = np.maximum(ends[hour] - begins, 1)
        return hour * 3600 + np.minimum((ids - begins) * 3600 // width, 3599)

    def _dice(self, ids: np.ndarray, salt: int) -> np.ndarray:
        return _dice(ids, salt + (self.seed << 8))

    def _texts(self, ids: np.ndarray, spoken: np.ndarray) -> pl.Series:
        """About 20 words each, the plain ones often and the others seldom."""
        words, ends = _words()
        lengths = 5 + (self._dice(ids, 6) * 30).astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        drawn = self._dice(np.repeat(ids, lengths) * 64 + places, 7)
        language = np.repeat((spoken >= ENGLISH).astype(int) + (spoken >= FRENCH), lengths)
        begins = np.array([0, *ends[:-1]])[language]
        count = np.array(np.diff([0, *ends]))[language]
        chosen = begins + np.minimum((drawn * drawn * drawn * count).astype(np.int64), count - 1)
        values = words.gather(chosen).to_arrow(compat_level=pl.CompatLevel.oldest())
        lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)
        return pl.Series("text", pl.from_arrow(lists)).list.join(" ")


def matches(posts: pl.DataFrame, query_hash: str) -> pl.DataFrame:
    """What `cases.match` says of posts of a file that was taken whole, but for `root_known`."""
    return posts.select(
        "uri",
        case=pl.lit(CASE),
        query_hash=pl.lit(query_hash),
        via=pl.lit("taken"),
        root_known=pl.lit(value=False),
    ).select(MATCH.names())


def compounds(keys: pl.Series) -> pl.Series:
    """A tone for each key, the same each time: a third negative, a third neutral."""
    value = (keys.str.slice(0, 8).str.to_integer(base=16) % 2001).cast(pl.Float64) / 1000 - 1
    return pl.select(
        pl.when(value.abs() < 0.33).then(0.0).otherwise(value).alias("compound")
    ).to_series()


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
        x = ids.astype(np.uint64) + np.uint64(salt) * np.uint64(0xD1342543DE82EF95)
        x *= np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return ((x >> np.uint64(11)).astype(np.float64) + 1) / 2**53


def _languages(spoken: np.ndarray) -> np.ndarray:
    return np.array(["en", "fr", "de"])[(spoken >= ENGLISH).astype(int) + (spoken >= FRENCH)]


@cache
def _words() -> tuple[pl.Series, list[int]]:
    """All words and where those of each language end among them."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415

    lexicon = sorted(w for w in SentimentIntensityAnalyzer().lexicon if w.isascii() and w.isalpha())
    lists = [[*PLAIN, *lexicon], *FOREIGN]
    return pl.Series([w for words in lists for w in words]), np.cumsum([*map(len, lists)]).tolist()
