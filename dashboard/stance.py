"""What the pages read of stance: figures of one case, beside those of tone in `data`.

Cached like those, by store version. Figures are of the languages that may have any; of French there
are counts until people have labelled enough of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import streamlit as st

from analysis import backlash, calibration, series, sides
from analysis.cells import REASONS
from analysis.table import POOLED
from dashboard import data
from dashboard.data import HEADLINE, Choice, Subject, View
from dashboard.words import INDEX


def cells(about: Subject) -> pl.DataFrame:
    """The days' cells of stance, in all languages."""
    return data.cells(about, scorer=sides.SCORER)


def known(about: Subject) -> bool:
    """Whether any stance has been scored for the case under its query."""
    return bool(cells(about)["n_looked"].sum())


@st.cache_resource(max_entries=64, show_spinner=False)
def figures(about: Subject, choice: Choice) -> dict[str, Any]:
    """`analysis.series.window` of the stance of all chosen posts in the languages with figures:
    balance is the backlash index."""
    missing, days = data.missing_days(about, choice)
    langs = data.figured(about)
    found = series.window_of(
        series.window_part(posts.filter(pl.col("lang").is_in(langs)))
        for posts in data.store().scored_portions(
            case=about.case,
            query_hash=about.query_hash,
            scorer=sides.SCORER,
            since=choice.since,
            until=choice.until,
            via=HEADLINE,
            sources=choice.sources,
        )
    )
    return found | dict.fromkeys(series.FIGURES) if missing and missing == days else found


def french(about: Subject, choice: Choice) -> tuple[int, int]:
    """French posts on topic, and French posts looked at; none once French has figures."""
    if calibration.FRENCH in data.figured(about):
        return 0, 0
    return backlash.french_counts(_chosen(about, choice))


def in_threads(about: Subject, choice: Choice) -> tuple[int, int]:
    """Posts on topic, and posts looked at, that only hang on a thread about the case."""
    rows = _chosen(about, choice).filter(pl.col("via") == "thread")
    return int(rows["n"].sum()), int(rows["n_looked"].sum())


@st.cache_resource(max_entries=16, show_spinner=False)
def waiting(about: Subject) -> int:
    """Headline posts of the case that may be shown and have no stance for their present text."""
    kept = data.held().get(about.case, {}).get(about.query_hash, 0)
    looked_at = pl.col("n_looked", "n_language", "n_too_long", "n_marker", "n_displaced").sum()
    rows = cells(about).filter(pl.col("via").is_in(HEADLINE))
    if kept <= rows.select(pl.sum_horizontal(looked_at)).item():
        return 0
    return data.store().waiting(about.case, about.query_hash, sides.SCORER)


def note(about: Subject, window: tuple[datetime, datetime]) -> str:
    """What has to stand with every figure of stance of this window."""
    mine = data.labelled(about).filter(pl.col("case") == about.case)
    return calibration.note(mine, window)


@st.cache_resource(max_entries=64, show_spinner=False)
def reasons(view: View) -> pl.DataFrame:
    """Posts against by reason and bucket: start, stop, reason, count, against; reasons in the order
    of how many posts give them over the window, buckets without one left out."""
    frame = data.plotted(view._replace(measure=INDEX), POOLED)
    long = (
        frame.select("start", "stop", against="n_neg", **{r: f"r_{r}" for r in REASONS})
        .unpivot(REASONS, index=["start", "stop", "against"], variable_name="reason")
        .rename({"value": "count"})
        .with_columns(total=pl.col("count").sum().over("reason"))
        .sort("total", "reason", "start", descending=[True, False, False])
    )
    return long.with_columns(pl.col("count").fill_null(0), pl.col("total").fill_null(0))


def _chosen(about: Subject, choice: Choice) -> pl.DataFrame:
    return cells(about).filter(
        pl.col("source").is_in(choice.sources),
        pl.col("start").is_between(choice.since, choice.until, closed="left"),
    )
