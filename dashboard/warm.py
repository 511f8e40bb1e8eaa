"""Reads and draws the first page once before the first visitor.

Imports and the store take seconds the first time, and every session shares what is kept of it.
"""

from __future__ import annotations

import logging

import streamlit as st  # noqa: F401 - part of what takes time
from streamlit.dataframe_util import convert_anything_to_arrow_bytes

from analysis.table import POOLED
from cases.case import CaseError
from dashboard import charts, data, posts, stance
from dashboard.data import Choice, View
from dashboard.pages import overview  # noqa: F401
from dashboard.palette import LIGHT
from dashboard.words import BALANCE, INDEX
from store.tables import StoreError


def warm_up() -> None:
    """Do what the first visit of the default case does. A store that cannot be read is left to the
    page, which says why; anything else that goes wrong is logged and shows at the first visit."""
    try:
        _first_page()
    except (StoreError, CaseError):
        return
    except Exception:
        logging.getLogger(__name__).exception("The dashboard could not be warmed up.")


def _first_page() -> None:
    cases = data.cases()
    if not cases:
        return
    about = data.subject(data.most_posts(cases))
    if not data.sources(about):
        return
    choice = Choice(data.sources(about), *data.extent(about))
    data.figures(about, choice)
    data.peak(about, choice)
    data.by_platform(about, choice)
    data.waiting(about)
    data.covered(about, choice)
    measure = BALANCE
    if stance.known(about):
        stance.figures(about, choice)
        stance.waiting(about)
        measure = INDEX
    view = View(about, choice, data.usual_width(about), measure)
    for source in choice.sources:
        data.plotted(view, source)
    spec = charts.over_time(
        data.plotted(view, POOLED),
        absent=data.absent(view),
        late=data.afterwards(view),
        events=(),
        colours=LIGHT,
        measure=measure,
    )
    convert_anything_to_arrow_bytes(spec["datasets"]["buckets"])
    for source in choice.sources:
        posts.most_engaged(about, source, choice.since, choice.until)
