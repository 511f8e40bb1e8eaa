"""Tone of a text: exactly the numbers of vaderSentiment 3.3.2, or none.

Does not decide what is scored (language, markers): that is `analysis.tone`.
"""

from __future__ import annotations

from functools import cache

import polars as pl
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

SCORER = "vader-3.3.2"
MAX_TOKENS = 2_000
MAX_EMOJI = 500
MEASURES = ("compound", "neg", "neu", "pos")


def score(text: pl.Series) -> pl.DataFrame:
    """Tone of each text: columns compound (-1..1), neg, neu, pos (shares of the text, 0..1).

    One row for each text, in order. All four are null for a null text and for a text that
    `too_long` refuses; no text gets a number that the package itself would not give. The numbers
    follow the running interpreter: from CPython 3.12 on, sum() rounds differently and valences
    that cancel out can give another compound, so whoever keeps them keeps the minor version too.

    Method: Hutto and Gilbert (2014), "VADER: a parsimonious rule-based model for sentiment
    analysis of social media text"; the package vaderSentiment 3.3.2, called as it stands.
    """
    polarity = _analyser().polarity_scores
    rows = [
        None if value is None or _too_long(value) else polarity(value) for value in text.to_list()
    ]
    return pl.DataFrame(
        {
            name: pl.Series(
                name, [None if row is None else row[name] for row in rows], dtype=pl.Float64
            )
            for name in MEASURES
        }
    )


def too_long(text: pl.Series) -> pl.Series:
    """Whether a text is beyond what is scored: a Boolean per text, null for a null text.

    Too long is more than 2,000 tokens (str.split) or more than 500 characters that the package
    replaces by words. Its time grows with the square of the length (vaderSentiment issue #110,
    open since 2020): 2,000 emoji take over a second. Scoring a part of the text instead would be
    another number than the package's, so such a text gets none.
    """
    return pl.Series(
        text.name,
        [None if value is None else _too_long(value) for value in text.to_list()],
        dtype=pl.Boolean,
    )


def _too_long(text: str) -> bool:
    if len(text) <= MAX_EMOJI:  # neither limit can be passed with so few characters
        return False
    if len(text) >= 2 * MAX_TOKENS and len(text.split()) > MAX_TOKENS:
        return True
    # no ASCII character is replaced (tests/test_vader.py holds the package to that)
    return not text.isascii() and sum(map(_replaced().__contains__, text)) > MAX_EMOJI


@cache
def _analyser() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


@cache
def _replaced() -> frozenset[str]:
    """The characters the package replaces; it goes by character, so sequences never match."""
    return frozenset(key for key in _analyser().emojis if len(key) == 1)
