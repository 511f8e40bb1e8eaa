"""Tone of posts: who is scored and who is counted as not scored, and why.

Gives rows of the scores table without any text. Series are made of them in `analysis.cells`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import UTC, datetime

import polars as pl

from analysis import language, spelling, vader

# The tone of every chart is that of the normalised text; the raw one, of the text as it stands, is
# kept beside it to compare with what others get from the package.
RAW = vader.SCORER
SCORER = f"vader_norm-{spelling.VERSION}"
SCORERS = (SCORER, RAW)

SCORED_LANGUAGE = "en"
NEGATIVE = -0.05  # at or below; Hutto's thresholds, in the package's README
POSITIVE = 0.05  # at or above

# What Reddit and archives put in the place of a text that is gone, alone or as title and body.
DELETION = r"(?i)^\s*(\[\s*(deleted|removed)( by (the )?(user|reddit|moderators?))?\s*\]\s*)+$"

SCHEMA = pl.Schema(
    {
        "post": pl.String(),
        "case": pl.String(),
        "scorer": pl.String(),
        "day": pl.Date(),
        "python": pl.String(),
        "status": pl.String(),
        "lang": pl.String(),
        "input_hash": pl.String(),
        "compound": pl.Float64(),
        "neg": pl.Float64(),
        "neu": pl.Float64(),
        "pos": pl.Float64(),
        "stance": pl.String(),
        "p_against": pl.Float64(),
        "p_on_topic": pl.Float64(),
        "reasons": pl.List(pl.String),
        "exit": pl.Boolean(),
        "scored_at": pl.Datetime("us", "UTC"),
    }
)


def score(posts: pl.DataFrame, *, markers: Collection[str]) -> pl.DataFrame:
    """Rows of the scores table: for each of SCORERS one for each post, in order, so that the work
    list ends.

    In: post, day, author, text, langs (declared), text_hash. `markers` are author keys that are
    never scored (AutoModerator). Out: the columns of SCHEMA, case empty; numbers only where status
    is `scored`. The first that holds decides: `marker` (such an author, no text, or nothing but a
    deletion marker), `language` (not English; `und` counts as not English), `scored`.
    """
    text = pl.col("text")
    gone = text.is_null() | text.str.contains(DELETION)
    looked = posts.with_columns(text=pl.when(~gone).then(text))
    looked = looked.with_columns(
        lang=language.detect(looked["text"], looked["langs"])
    ).with_columns(
        status=pl.when(
            text.is_null() | pl.col("author").is_in(list(markers)).fill_null(value=False)
        )
        .then(pl.lit("marker"))
        .when(pl.col("lang") != SCORED_LANGUAGE)
        .then(pl.lit("language"))
        .otherwise(pl.lit("scored"))
    )
    # Only what is scored is given to the scorer: a null text gets nulls.
    scored = looked.select(pl.when(pl.col("status") == "scored").then(text)).to_series()
    known = pl.concat(
        looked.with_columns(vader.score(read), scorer=pl.lit(scorer))
        for scorer, read in ((SCORER, spelling.normalise(scored)), (RAW, scored))
    ).with_columns(
        case=pl.lit(""),
        python=pl.lit(f"{sys.version_info.major}.{sys.version_info.minor}"),
        input_hash="text_hash",
        scored_at=pl.lit(datetime.now(UTC)),
    )
    return known.select(
        (pl.col(name) if name in known.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in SCHEMA.items()
    )
