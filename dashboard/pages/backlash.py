"""The sections of the Overview about stance: the headline with tone beside it, and the reasons.

Drawn only where stance has been scored; the Overview shows tone alone otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import data, reason_chart, stance, stance_words, words
from dashboard.data import Choice, Subject, View
from dashboard.palette import palette
from dashboard.words import INDEX


def headline(
    about: Subject,
    choice: Choice,
    tone: Mapping[str, Any],
    draw: Any,
) -> None:
    """The six figures, each drawn by `draw`, and what those of stance leave out."""
    figures = stance.figures(about, choice)
    langs = data.figured(about)
    note = stance.note(about, (choice.since, choice.until))
    peak = data.peak(about, choice, INDEX)
    with st.grid(3, min_column_width=250, key="figures"):
        draw(
            "Backlash index",
            stance_words.value(figures),
            words.band(figures),
            stance_words.below(figures, langs, note),
            stance_words.INDEX_HELP,
        )
        draw(
            "Tone balance (VADER)",
            words.points(tone["balance"]),
            words.band(tone),
            words.sample(tone["n"]),
            words.BALANCE_HELP,
        )
        draw(
            "Said they left or are leaving",
            stance_words.exits(figures),
            "a lower bound",
            stance_words.exit_below(figures, langs, note),
            stance_words.EXIT_HELP,
        )
        draw(
            "Peak of the index",
            words.peak_value(peak),
            words.peak_day(peak),
            stance_words.peak_sample(peak, note),
            stance_words.PEAK_HELP,
        )
        draw(
            "Negative share",
            words.share(tone["neg_share"]),
            words.positive(tone),
            words.sample(tone["n"]),
            words.NEGATIVE_HELP,
        )
        draw(
            "Posts",
            words.number(tone["n"]),
            words.a_day(tone["n"], choice.days),
            words.not_scored(tone["n_not_scored"]),
            words.POSTS_HELP,
        )
    st.caption(
        stance_words.left_out(
            figures,
            french=stance.french(about, choice),
            thread=stance.in_threads(about, choice),
            waiting=stance.waiting(about),
            note=note,
        )
    )


def reasons(view: View) -> None:
    """Why posts are against, over time."""
    frame = stance.reasons(view)
    langs = data.figured(view.about)
    against = int(frame.unique("start")["against"].sum())
    with st.container(border=True):
        st.header("What people object to", anchor=False, help=stance_words.REASONS_HELP)
        note = stance.note(view.about, view.window)
        st.caption(stance_words.reasons_caption(against, langs, note))
        if not frame["count"].sum():
            st.caption("No post gives one of these reasons here.")
            return
        st.vega_lite_chart(
            reason_chart.reasons(
                frame, absent=data.absent(view), colours=palette(st.context.theme.type)
            ),
            key="reasons",
            alt=stance_words.reasons_alt(reason_chart.totals(frame)),
        )
