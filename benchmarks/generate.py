"""Invented posts by the million: a year with three bursts, repeat authors, threads, two platforms.

The words are drawn from VADER's lexicon and a list of plain words, so that scoring costs what it
costs on real posts of about 20 words. Nothing here is anybody's text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from store.schema import RAW_POST

CASE = "bench"
PLAIN = """
the a to of and in is it that for on with as this was at be by are we you they our your
their platform terms upload music song track artist policy model training data update
account people today yesterday week read wrote said company letter change clause page
listen share release
""".split()  # noqa: SIM905 - a list of words is easier to read as text
START = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 365
CHUNK = 100_000


def case(folder: Path) -> None:
    """Write the case that the benchmark watches."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{CASE}.toml").write_text(
        'title = "Benchmark"\nplatform = "Bench"\nsummary = "Generated posts."\n'
        'since = 2025-01-01\nlanguages = ["en"]\nquery = "platform AND training"\n'
    )


def posts(file: Path, rows: int, seed: int = 7) -> None:
    """Write `rows` posts in the shape that import knows as its own."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array(_vocabulary(), dtype=object)
    plain = np.array(PLAIN, dtype=object)
    hours = np.arange(DAYS * 24)
    rate = 1 + 0.35 * np.sin((hours % 24 - 15) / 24 * 2 * np.pi)
    for day, height in ((120, 8), (150, 4), (250, 6)):
        rate = rate + np.where(hours >= day * 24, height * np.exp(-(hours - day * 24) / 48), 0)
    # In order of time, as the archives of Reddit are.
    seconds = rng.choice(len(rate), rows, p=rate / rate.sum()) * 3600 + rng.integers(0, 3600, rows)
    seconds.sort()
    with file.open("wb") as out:
        for first in range(0, rows, CHUNK):
            out.write(_chunk(rng, seconds[first : first + CHUNK], first, vocabulary, plain))


def _chunk(
    rng: np.random.Generator,
    seconds: np.ndarray,
    first: int,
    vocabulary: np.ndarray,
    plain: np.ndarray,
) -> bytes:
    n = len(seconds)
    ids = np.arange(first, first + n)
    at = np.datetime64(START.replace(tzinfo=None), "s") + seconds.astype("m8[s]")
    lengths = rng.poisson(20, n) + 1
    charged = rng.random(lengths.sum()) < 0.12
    words = np.where(
        charged,
        vocabulary[rng.integers(0, len(vocabulary), len(charged))],
        plain[rng.integers(0, len(plain), len(charged))],
    )
    ends = np.cumsum(lengths)
    texts = [" ".join(words[end - size : end]) for end, size in zip(ends, lengths, strict=True)]
    bluesky = rng.random(n) < 0.7
    # A few accounts write most: Zipf-like, as on every platform.
    authors = (rng.pareto(1.1, n) * 1000).astype(np.int64) % (n * 10)
    roots = rng.integers(0, max(n // 8, 1), n) + first // 8
    frame = pl.DataFrame(
        {
            "uri": [
                f"at://did:plc:bench{a}/app.bsky.feed.post/bench{i}" if b else f"reddit:t1_{i}"
                for i, a, b in zip(ids, authors, bluesky, strict=True)
            ],
            "source": np.where(bluesky, "bluesky", "reddit"),
            "kind": np.where(bluesky, "post", "comment"),
            "author": [f"bench{a}" for a in authors],
            "text": texts,
            "at": _iso(at),
            "collected_at": _iso(at + np.timedelta64(300, "s")),
            "root": [None if b else f"reddit:t3_{r}" for r, b in zip(roots, bluesky, strict=True)],
            "likes": (rng.pareto(1.3, n) * 3).astype(np.int64),
        }
    )
    absent = [
        pl.lit(None, dtype).alias(n) for n, dtype in RAW_POST.items() if n not in frame.columns
    ]
    return frame.with_columns(absent).select(RAW_POST.names()).write_ndjson().encode()


def _iso(times: np.ndarray) -> pl.Series:
    return pl.Series(times.astype("datetime64[us]")).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _vocabulary() -> list[str]:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415

    return sorted(w for w in SentimentIntensityAnalyzer().lexicon if w.isascii() and w.isalpha())
