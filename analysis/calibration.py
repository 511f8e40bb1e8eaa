"""Whether a figure of stance has been held against what people say, and of which languages any may
be shown at all.

Counts labels only; it corrects no figure.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl

from analysis.series import INTERVAL_NOTE

# Below these nobody can tell how often the scorer is right: 150 labels leave an agreement of 80 %
# uncertain by 6 points either way, 200 by 5.5.
WINDOW_LABELS = 150
FRENCH_LABELS = 200
FRENCH = "fr"
UNCALIBRATED = "uncalibrated: no human labels of this window"


def calibrated(labels: pl.DataFrame, window: tuple[datetime, datetime]) -> bool:
    """Whether at least 150 posts of the window (from inclusive, to exclusive, UTC) have labels.

    In: post, at; one row or more for each labelled post of the case.
    """
    return _inside(labels, window) >= WINDOW_LABELS


def note(labels: pl.DataFrame, window: tuple[datetime, datetime]) -> str:
    """What has to be said beside every figure of stance of this window. In: as `calibrated`."""
    found = _inside(labels, window)
    if not found:
        return UNCALIBRATED
    if found < WINDOW_LABELS:
        return (
            f"uncalibrated: {found:,} human labels of this window, and {WINDOW_LABELS:,} are the"
            " fewest"
        )
    return f"{found:,} human labels of this window; {INTERVAL_NOTE}"


def languages(labels: pl.DataFrame) -> tuple[str, ...]:
    """The languages of whose stance there are figures; of French only counts before 200 labels.

    In: post, lang; of all cases, since it is the scorer's French that is in question.
    """
    french = labels.filter(pl.col("lang") == FRENCH)["post"].n_unique()
    return ("en", FRENCH) if french >= FRENCH_LABELS else ("en",)


def _inside(labels: pl.DataFrame, window: tuple[datetime, datetime]) -> int:
    since, until = window
    return labels.filter(pl.col("at") >= since, pl.col("at") < until)["post"].n_unique()
