"""Tone of posts: who is scored and who is counted as not scored, and why.

Gives rows of the scores table without any text. Series are made of them in `analysis.cells`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import UTC, datetime

import polars as pl

from analysis import language, spelling, vader

# The tone of every chart is that of the normalised text, by the lexicon of its language; the raw
# one, of the English text as it stands, is kept beside it to compare with what others get from the
# package. Whoever changes any number of SCORER (spelling, a lexicon, a rule) counts it up.
RAW = vader.SCORER
SCORER = "vader_norm-3"
SCORERS = (SCORER, RAW)
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# Scorers that asked for the language by the rule of today: what they found for a text need not be
# found anew. Whoever changes anything in `analysis.language` counts SCORER up and leaves it alone
# in here; whoever counts it up for another reason adds the new name.
SAME_LANGUAGES = (SCORER,)

LANGUAGES = {"en": vader.ENGLISH, "fr": vader.FRENCH}
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

    In: post, day, author, text, langs (declared); input_hash and lang if there are such columns:
    what the rows are noted to be of, and the language where it is known already (SAME_LANGUAGES),
    null where it is not. `markers` are author keys that are never scored (AutoModerator). Out: the
    columns of SCHEMA, case empty; numbers only where status is `scored`. The first that holds
    decides: `marker` (such an author, no text, or nothing but a deletion marker), `language`
    (SCORER: neither English nor French; RAW: not English; `und` counts as neither), `scored`. lang
    is what was detected, and by it the lexicon is chosen.
    """
    text = pl.col("text")
    looked = posts.with_columns(text=pl.when(~is_gone()).then(text))
    looked = looked.with_columns(lang=languages(looked), marker=is_marker(markers))
    kept = looked.select(
        pl.when(pl.col("lang") == code, ~pl.col("marker")).then(text).alias(code)
        for code in LANGUAGES
    )
    # Only what is scored is given to a scorer: a null text gets nulls.
    shown, raw = numbers(kept)
    known = pl.concat(
        looked.with_columns(found, scorer=pl.lit(scorer))
        for scorer, found in ((SCORER, shown), (RAW, raw))
    ).with_columns(
        status=pl.when("marker")
        .then(pl.lit("marker"))
        .when(pl.col("compound").is_null())
        .then(pl.lit("language"))
        .otherwise(pl.lit("scored")),
        case=pl.lit(""),
        python=pl.lit(PYTHON),
        scored_at=pl.lit(datetime.now(UTC)),
    )
    return known.select(
        (pl.col(name) if name in known.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in SCHEMA.items()
    )


def is_gone() -> pl.Expr:
    """Whether a post (text) has no text, or what stands in the place of one that is gone."""
    return pl.col("text").is_null() | pl.col("text").str.contains(DELETION)


def is_marker(markers: Collection[str]) -> pl.Expr:
    """Whether a post (text, author) is nobody's opinion: without text, or by one of `markers`."""
    return is_gone() | pl.col("author").is_in(list(markers)).fill_null(value=False)


def languages(posts: pl.DataFrame) -> pl.Series:
    """The language of each post (text, langs): what is known of it (lang), or else is detected."""
    known = posts["lang"] if "lang" in posts.columns else pl.repeat(None, posts.height, eager=True)
    new = posts.filter(known.is_null())
    found = language.detect(new["text"], new["langs"])
    place = pl.select(pl.when(known.is_null()).then(known.is_null().cum_sum() - 1)).to_series()
    return pl.select(pl.coalesce(known.cast(pl.String), found.gather(place))).to_series()


def numbers(texts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Tone by SCORER and by RAW. In: a column for each of LANGUAGES, a text in one of them or in
    none. Out, twice: compound, neg, neu, pos; null where there is no text (RAW: no English one).
    """
    read = {code: spelling.read_as(code, texts[code]) for code in LANGUAGES}
    found = {code: vader.score(read[code], language) for code, language in LANGUAGES.items()}
    # Nineteen texts of twenty are normalised already, and need not be scored a second time.
    same = texts["en"] == read["en"]
    changed = pl.select(pl.when(~same).then(texts["en"])).to_series()
    unchanged = found["en"].select(pl.when(same).then(pl.col(name)) for name in vader.MEASURES)
    return _either(list(found.values())), _either([unchanged, vader.score(changed)])


def _either(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """The numbers of whichever frame has any, row by row."""
    return pl.select(
        pl.coalesce(frame[name] for frame in frames).alias(name) for name in vader.MEASURES
    )
