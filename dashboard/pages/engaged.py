"""The most-engaged posts of each platform and the files to take away: a section of the Overview.

Text of posts goes into table columns and `st.text` only: everything that takes markdown would load
an image out of a hostile post.
"""

from __future__ import annotations

from datetime import date, datetime
from io import BytesIO

import polars as pl
import streamlit as st

from analysis import backlash, sides
from analysis.tone import RAW, SCORER
from dashboard import data, posts, stance, words
from dashboard.data import View
from dashboard.words import BALANCE, INDEX
from store.export import DEMO_NOTE, csv_bytes, posts_portions
from store.formats import Csv
from store.tables import StoreError

# What is downloaded lies in the memory of the server as a whole: some 350 bytes a post.
MOST = 200_000
DOWNLOAD = ":material/download:"
TONE_OPTIONS = {"Negative": "negative", "Neutral": "neutral", "Positive": "positive"}
COLUMNS = {
    "at": st.column_config.DatetimeColumn(
        "Posted (UTC)", format="DD MMM YYYY HH:mm", timezone="UTC", width=150
    ),
    "text": st.column_config.TextColumn("Text", width="large"),
    "compound": st.column_config.NumberColumn(
        "Tone", format="%+.2f", width=70, help="VADER compound, -1 to +1; empty: not scored"
    ),
    "stance": st.column_config.TextColumn(
        "Stance",
        width=80,
        help="Toward the platform's AI policy, by an uncalibrated model; off: not about it",
    ),
    "community": st.column_config.TextColumn("Community", width=130),
    "link": st.column_config.LinkColumn("Link", display_text="Open", width=60),
}


def section(view: View, span: tuple[datetime, datetime] | None) -> None:
    """Draw the section: of all dates chosen, or of `span` (UTC) if there is one."""
    about, choice = view.about, view.choice
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        st.header("Most-engaged posts", anchor=False)
        tone = st.segmented_control(
            "Tone", list(TONE_OPTIONS), key="tone", label_visibility="collapsed"
        )
        _downloads(view)
    since, until = span or (choice.since, choice.until)
    if span:
        st.caption(words.filtered(since, until))
    for source in choice.sources:
        st.markdown(words.posts_head(source))
        rows = posts.most_engaged(about, source, since, until, TONE_OPTIONS.get(tone or ""))
        if rows.is_empty():
            st.caption("No posts here.")
            continue
        shown = [name for name in rows.columns if rows[name].count() or name == "compound"]
        picked = st.dataframe(
            rows.select(shown),
            hide_index=True,
            height=min(318, 37 + 35 * rows.height),
            # Other rows under the same key would keep the old selection.
            key=f"posts-{about.case}-{source}-{since}-{until}-{tone}",
            on_select="rerun",
            selection_mode="single-row",
            alt="Most-engaged posts",
            placeholder="",
            column_config=COLUMNS
            | {
                "engagement": st.column_config.NumberColumn(
                    "Score" if source == "reddit" else "Likes + reposts",
                    format="localized",
                    width=110,
                    help="As last checked, else as first seen",
                )
            },
        )
        chosen = picked.get("selection", {}).get("rows", [])
        if chosen and chosen[0] < rows.height:
            st.text(rows["text"][chosen[0]] or "")
    st.caption(words.duty())


def _downloads(view: View) -> None:
    about, choice = view.about, view.choice
    store = data.store()

    def posts_csv() -> bytes:
        """In the server's memory, so of few posts only; recorded nowhere."""
        made = BytesIO()
        file, rows = Csv(made), 0
        for frame in posts_portions(
            store,
            case=about.case,
            query_hash=about.query_hash,
            scorer=SCORER,
            raw=RAW,
            stance=sides.SCORER,
            since=choice.since,
            until=choice.until,
            sources=choice.sources,
        ):
            file.add(frame)
            rows += frame.height
            if rows > 2 * MOST:  # many are not in the cells yet by which the button goes
                raise StoreError(words.too_many(rows))
        return made.getvalue()

    def series_csv() -> bytes:
        table = backlash.beside(
            data.table(view._replace(measure=BALANCE)),
            data.held_cells(view._replace(measure=INDEX)),
            data.spans(about),
            width=view.width,
            figured=data.figured(about),
            note=stance.note(about, view.window),
            since=view.window[0],
            until=view.window[1],
        )
        return csv_bytes(table.with_columns(note=pl.lit(DEMO_NOTE)) if about.demo else table)

    name = _file_name(about.case, choice.first, choice.last, demo=about.demo)
    many = data.counted(about, choice)
    for label, make, kind in (
        ("Posts CSV", posts_csv, "posts"),
        ("Series CSV", series_csv, f"series-{view.width}"),
    ):
        if kind == "posts" and many > MOST:
            st.caption(words.too_many(many))
            continue
        st.download_button(
            label,
            make,
            file_name=f"{name}-{kind}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=DOWNLOAD,
            key=f"csv-{kind}",
        )


def _file_name(name: str, first: date, last: date, *, demo: bool) -> str:
    return f"{'demo-' if demo else ''}{name}-{first}-{last}"
