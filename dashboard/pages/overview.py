"""Overview: how one case stands. The headline figures, stance or tone and volume over time, by
platform, what people object to, and the most-engaged posts.

Lays out and chooses; figures come from `data`, charts from `charts`, sentences from `words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
import streamlit as st

from analysis.table import POOLED
from cases.case import Case, CaseError
from dashboard import buckets, charts, data, stance, stance_words, words
from dashboard.data import Choice, Subject, View
from dashboard.pages import backlash, engaged
from dashboard.palette import palette
from dashboard.words import BALANCE, INDEX, NEGATIVE
from store.tables import StoreError


def page() -> None:
    """Draw the page, or as much of it as can be read, and why there is no more."""
    try:
        cases = data.cases()
        held = data.held()
    except (StoreError, CaseError) as error:
        st.title("Aftershock")
        st.info("Nothing can be shown yet.", icon=":material/hourglass_empty:")
        st.text(str(error))
        return
    try:
        _page(cases, held)
    except StoreError as error:
        _broken_off(error)


def _broken_off(error: StoreError) -> None:
    st.info("The rest cannot be shown.", icon=":material/error:")
    st.text(str(error))


def _page(cases: Mapping[str, Case], held: Mapping[str, Mapping[str, int]]) -> None:
    if not cases:
        st.title("Aftershock")
        st.info("There is no case yet. Next: `aftershock case new NAME`.")
        return
    head = st.container()
    filters = st.container(horizontal=True, vertical_alignment="bottom", key="filters")
    case = _choose_case(filters, cases)
    st.set_page_config(page_title=words.tab_title(case, demo=data.is_demo()))
    kept = held.get(case.name, {})
    about = data.subject(case)
    if data.cells(about).is_empty() or not data.sources(about):
        head.title(words.title(case), anchor=False)
        _nothing(case, held, kept)
        return
    choice, asked = _filters(filters, about)
    _head(head, case, about, choice)
    if not choice.sources:
        st.info("Choose at least one platform.", icon=":material/filter_alt_off:")
        return
    figures = data.figures(about, choice)
    if not any(figures[name] for name in ("n", "n_not_scored", "n_displaced")):
        st.info(words.nothing_here(data.looked(about, choice)), icon=":material/search_off:")
        return
    _figures(case, about, choice, figures)
    width = buckets.drawable(choice.first, choice.last, asked)
    if width != asked:
        st.caption(words.drawn_wider(asked, width))
    view = View(about, choice, width, _measure(about))
    # Of French posts alone there is a stance, and no figure of it that could be drawn.
    judged = stance.known(about) and not data.table(view._replace(measure=INDEX)).is_empty()
    if view.measure == INDEX and not judged:
        st.caption(stance_words.nothing_to_draw(data.figured(about)))
        view = view._replace(measure=BALANCE)
    if not data.table(view).is_empty():
        _over_time(case, view)
        if judged:
            backlash.reasons(view)
        _explore(view)


def _measures(about: Subject) -> dict[str, str]:
    """What the charts can show of a case, the first of it without being asked."""
    return stance_words.SHOWN if stance.known(about) else words.MEASURES


def _measure(about: Subject) -> str:
    shown = st.session_state.get("show", st.query_params.get("show"))
    known = _measures(about)
    return next((name for name, said in known.items() if said == shown), next(iter(known)))


def _choose_case(filters: Any, cases: Mapping[str, Case]) -> Case:
    """The case of the address, else the one with the most posts."""
    names = sorted(cases, key=lambda name: cases[name].title.lower())
    first = data.most_posts(cases).name
    # With a default of its own the widget would keep the case out of the address, and a shared link
    # would mean another case as soon as that one has more posts.
    began = "case" not in st.session_state
    if (st.query_params.get("case") if began else st.session_state["case"]) not in cases:
        if began:  # the address is not the widget's yet
            st.query_params["case"] = first
        st.session_state["case"] = first
    name = filters.selectbox(
        "Case", names, index=None, key="case", bind="query-params", on_change=_forget_filters
    )
    return cases[name if name in cases else first]


def _forget_filters() -> None:
    """Another case has other dates, platforms and scores: start from all of them."""
    for key in ("dates", "platform", "bucket", "show"):
        st.session_state.pop(key, None)


def _filters(filters: Any, about: Subject) -> tuple[Choice, str]:
    first, last = data.extent(about)
    dates = filters.date_input(
        "Dates (UTC)",
        (first, last),
        min_value=first,
        max_value=last,
        format="YYYY-MM-DD",
        key="dates",
        bind="query-params",
        width=250,
    )
    known = data.sources(about)
    chosen = filters.pills(
        "Platforms",
        known,
        default=known,
        selection_mode="multi",
        format_func=words.platform,
        key="platform",
        bind="query-params",
    )
    usual = words.WIDTH_NAMES[data.usual_width(about)]
    bucket = filters.segmented_control(
        "Bucket",
        list(words.WIDTH_NAMES.values()),
        default=usual,
        required=True,
        key="bucket",
        bind="query-params",
    )
    width = next(key for key, name in words.WIDTH_NAMES.items() if name == (bucket or usual))
    # One day alone: its second end is still to be picked, or Streamlit took the two equal ends of
    # a shared address for one (1.67 drops repeated values of a parameter).
    if dates:
        first, last = dates[0], dates[-1]
    return Choice(tuple(sorted(chosen)), first, last), width


def _head(head: Any, case: Case, about: Subject, choice: Choice) -> None:
    with head.container(horizontal=True, vertical_alignment="bottom"):
        st.title(words.title(case), anchor=False, width="stretch")
        with st.container(horizontal=True, width="content", horizontal_alignment="right"):
            files = data.from_files(about, choice)
            ends = data.through(about, choice)
            for sentence in words.freshness(ends, choice.sources, files=files):
                st.badge(sentence, icon=":material/schedule:", color="gray")
            covered = data.covered(about, choice)
            full = covered is not None and covered >= 1
            st.badge(
                words.coverage(covered),
                icon=":material/check:" if full else ":material/warning:",
                color="green" if full else "orange",
                help=words.coverage_help(data.found_by_search(about, choice)),
            )


def _figures(case: Case, about: Subject, choice: Choice, figures: Mapping[str, Any]) -> None:
    if stance.known(about):
        backlash.headline(about, choice, figures, _figure)
    else:
        _tone(about, choice, figures)
        st.info(stance_words.unscored(), icon=":material/balance:")
    asked = {
        "bluesky": bool(case.bluesky_search),
        "reddit": bool(case.reddit_subreddits or case.reddit_search),
    }
    known = data.sources(about)
    left_out = words.counted(
        figures,
        waiting=data.waiting(about),
        # Where stance is known it says so itself, and how many of them are on topic.
        thread=0 if stance.known(about) else data.in_threads(about, choice),
        taken=data.taken(about, choice),
        missing=data.missing_days(about, choice),
        uncollected=[name for name, wanted in asked.items() if wanted and name not in known],
    )
    if left_out:
        st.caption(left_out)


def _tone(about: Subject, choice: Choice, figures: Mapping[str, Any]) -> None:
    """The four figures of tone, of a case without stance."""
    peak = data.peak(about, choice)
    with st.grid(4, min_column_width=210, key="figures"):
        _figure(
            "Tone balance (VADER)",
            words.points(figures["balance"]),
            words.band(figures),
            words.sample(figures["n"]),
            words.BALANCE_HELP,
        )
        _figure(
            "Posts",
            words.number(figures["n"]),
            words.a_day(figures["n"], choice.days),
            words.not_scored(figures["n_not_scored"]),
            words.POSTS_HELP,
        )
        _figure(
            "Negative share",
            words.share(figures["neg_share"]),
            words.positive(figures),
            words.sample(figures["n"]),
            words.NEGATIVE_HELP,
        )
        _figure(
            "Peak",
            words.peak_value(peak),
            words.peak_day(peak),
            words.peak_sample(peak),
            words.PEAK_HELP,
        )


def _figure(label: str, value: str, delta: str, below: str, explained: str) -> None:
    with st.container(border=True, height="stretch", gap="xsmall"):
        st.metric(label, value, delta=delta, delta_color="off", delta_arrow="off", help=explained)
        st.caption(below)


def _over_time(case: Case, view: View) -> None:
    since, until = view.window
    frame = data.plotted(view, POOLED)
    absent = data.absent(view)
    inside = [e for e in case.events if e.date < until and e.last >= since.date()]
    negative = view.measure == NEGATIVE
    table = data.table(view)
    measures = _measures(view.about)
    with st.container(border=True):
        with st.container(
            horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
        ):
            st.header(stance_words.over_time(view.measure), anchor=False)
            st.segmented_control(
                "Show",
                list(measures.values()),
                default=next(iter(measures.values())),
                required=True,
                key="show",
                bind="query-params",
                label_visibility="collapsed",
            )
        fixed = data.weights(table)
        if view.measure == INDEX:
            note, langs = stance.note(view.about, view.window), data.figured(view.about)
            st.caption(stance_words.chart_caption(frame, view.width, fixed, langs, note))
        else:
            st.caption(words.chart_caption(frame, view.width, fixed, negative=negative))
        st.vega_lite_chart(
            charts.over_time(
                frame,
                absent=absent,
                late=data.afterwards(view),
                events=inside,
                colours=palette(st.context.theme.type),
                standardised=None if negative else buckets.standardised(table, frame),
                measure=view.measure,
            ),
            key="over-time",
            alt=_told(view, absent.height),
        )
        if inside:
            st.markdown(words.event_list(inside))
        if len(inside) < len(case.events):
            st.caption(words.events_outside(len(case.events) - len(inside)))
        if absent.height:
            st.caption(words.gaps(absent))
        if view.width == "week":
            st.caption(words.week_note())


def _told(view: View, gaps: int) -> str:
    """The chart over time for those who cannot see it."""
    peak = data.peak(view.about, view.choice, INDEX if view.measure == INDEX else BALANCE)
    if view.measure == INDEX:
        return stance_words.chart_alt(stance.figures(view.about, view.choice), peak, gaps)
    figures = data.figures(view.about, view.choice)
    return words.chart_alt(figures, peak, gaps, negative=view.measure == NEGATIVE)


@st.fragment
def _explore(view: View) -> None:
    """What the brush changes: volume, platforms and posts, without a rerun of the rest."""
    try:
        _brushed(view)
    except StoreError as error:  # a fragment does not pass on what is raised in it
        _broken_off(error)


def _brushed(view: View) -> None:
    left, right = st.columns([3, 2], gap="small")
    with left.container(border=True, height="stretch"):
        st.header(stance_words.volume_head(view.measure), anchor=False)
        st.caption(
            stance_words.volume_caption(
                data.figured(view.about), stance.note(view.about, view.window)
            )
            if view.measure == INDEX
            else "Scored posts per bucket: negative up, positive down; the line is negative minus "
            "positive. Drag across the chart to filter the posts below."
        )
        selection = st.vega_lite_chart(
            charts.volume(
                data.plotted(view, POOLED),
                absent=data.absent(view),
                colours=palette(st.context.theme.type),
                measure=view.measure,
            ),
            # A new chart for other dates, or the old brush would filter where nobody sees it.
            key=f"volume-{view.about.case}-{view.choice.first}-{view.choice.last}-{view.width}",
            on_select="rerun",
            selection_mode="span",
            alt=stance_words.volume_alt(stance.figures(view.about, view.choice))
            if view.measure == INDEX
            else words.volume_alt(data.figures(view.about, view.choice)),
        )
    with right.container(border=True, height="stretch"):
        _platforms(view)
    with st.container(border=True):
        engaged.section(view, _span(selection))


def _platforms(view: View) -> None:
    st.header("By platform", anchor=False)
    st.caption(
        stance_words.same_scale(stance.note(view.about, view.window))
        if view.measure == INDEX
        else "The same measure and the same scale for each."
    )
    frames = {source: data.plotted(view, source) for source in view.choice.sources}
    scale = charts.shared_scale(list(frames.values()), view.measure)
    absent, late = data.absent(view), data.afterwards(view)
    of_stance = view.measure == INDEX
    totals = data.by_platform(view.about, view.choice, INDEX if of_stance else BALANCE)
    scored = sum(total["n"] for total in totals.values())
    negative = view.measure == NEGATIVE
    for source, frame in frames.items():
        mine = pl.col("source") == source
        if not totals.get(source, {}).get("n"):
            none = stance_words.no_posts(source) if of_stance else words.no_posts(source)
            st.markdown(none)
            continue
        st.markdown(
            stance_words.platform_head(source, totals[source], scored)
            if of_stance
            else words.platform_head(source, totals[source], scored, negative=negative)
        )
        st.vega_lite_chart(
            charts.platform(
                frame,
                source,
                absent=absent.filter(mine),
                late=late.filter(mine),
                scale=scale,
                colours=palette(st.context.theme.type),
                measure=view.measure,
            ),
            key=f"platform-{source}",
            alt=stance_words.platform_alt(source, totals[source])
            if of_stance
            else words.platform_alt(source, totals[source], negative=negative),
        )


def _span(selection: Any) -> tuple[datetime, datetime] | None:
    """What the brush covers, in UTC. Its state is a plain dict when a test has set it."""
    ends = (selection or {}).get("selection", {}).get("span", {}).get("start") or ()
    if len(ends) != 2:
        return None
    low, high = (datetime.fromtimestamp(end / 1000, UTC) for end in sorted(ends))
    return low, high


def _nothing(case: Case, held: Mapping[str, Mapping[str, int]], kept: Mapping[str, int]) -> None:
    """Why there is nothing of this case, and what to do next."""
    here = kept.get(case.query_hash, 0)
    if not held:
        sentence = words.store_empty()
    elif here:
        sentence = words.unscored(here)
    elif kept:
        sentence = words.query_changed(sum(kept.values()))
    else:
        sentence = words.case_empty(case)
    st.info(sentence, icon=":material/hourglass_empty:")
    if words.summary(case):
        st.caption(words.summary(case))
