"""What the pages read: figures and series of one case, shared between sessions, by store version.

Everything goes through `cache_resource` with the store's version in its key: frames cannot be
changed, so all sessions share one; `cache_data` would copy them for each. Nothing is measured here
(`analysis` does) and no text of a post is read (`posts`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import streamlit as st

from analysis import backlash, calibration, coverage, recall, series, sides
from analysis.table import POOLED, STANDARDISED, series_table
from analysis.tone import SCORER
from cases import case as case_files
from cases.case import Case
from dashboard import buckets
from dashboard.words import BALANCE, INDEX
from store.location import store_location
from store.tables import Store

HEADLINE = ("own", "taken")


class Subject(NamedTuple):
    """What a figure is about, and the store version it holds for: the key of every cache."""

    location: str
    demo: bool
    version: str
    case: str
    query_hash: str


class Choice(NamedTuple):
    """What the reader has chosen: platforms and days, both inclusive (UTC)."""

    sources: tuple[str, ...]
    first: date
    last: date

    @property
    def since(self) -> datetime:
        """First instant in it."""
        return buckets.day_start(self.first)

    @property
    def until(self) -> datetime:
        """First instant after it."""
        return buckets.day_start(self.last) + timedelta(days=1)

    @property
    def days(self) -> int:
        """How many days it spans."""
        return (self.last - self.first).days + 1


class View(NamedTuple):
    """A choice as it is drawn: in buckets of one width, of one measure."""

    about: Subject
    choice: Choice
    width: str
    measure: str = BALANCE

    @property
    def scorer(self) -> str:
        """Whose cells its measure is of."""
        return sides.SCORER if self.measure == INDEX else SCORER

    @property
    def window(self) -> tuple[datetime, datetime]:
        """Start (inclusive) and end (exclusive) of its buckets."""
        return buckets.window(self.choice.first, self.choice.last, self.width)


def is_demo() -> bool:
    """Whether this process shows the demo: AFTERSHOCK_DEMO=1."""
    return os.environ.get("AFTERSHOCK_DEMO") == "1"


def store() -> Store:
    """The store of this process. Raises StoreError when there is none yet or it cannot be read."""
    return _store(store_location(), is_demo())


@st.cache_resource(max_entries=4, show_spinner=False)
def _store(location: str, demo: bool) -> Store:
    return Store.open(location, create=False, demo=demo)


def cases() -> dict[str, Case]:
    """The cases to choose from, by name: the demo's own, or all others. Raises CaseError."""
    return _cases(is_demo(), os.environ.get("AFTERSHOCK_CASES", ""))


@st.cache_resource(ttl="1m", max_entries=4, show_spinner=False)
def _cases(demo: bool, folder: str) -> dict[str, Case]:
    # `folder` is part of the key; a name with an underscore before it would not be.
    if not demo:
        return case_files.load_all()
    invented = sorted((Path(case_files.__file__).parent / "demo").glob("*.toml"))
    return {case.name: case for case in map(case_files.load, invented)}


def subject(case: Case) -> Subject:
    """The key of everything about a case as the store stands now."""
    here = store()
    return Subject(here.location, here.demo, here.version(), case.name, case.query_hash)


def held() -> dict[str, dict[str, int]]:
    """Headline posts kept, by case and query hash."""
    here = store()
    return _held(here.location, here.demo, here.version())


@st.cache_resource(max_entries=4, show_spinner=False)
def _held(location: str, demo: bool, version: str) -> dict[str, dict[str, int]]:
    here = store()
    counts = here.read(
        lambda: (
            here.scan("matches")
            .filter(pl.col("via").is_in(HEADLINE))
            .group_by("case", "query_hash")
            .len()
        )
    )
    found: dict[str, dict[str, int]] = {}
    for case, query_hash, count in counts.iter_rows():
        found.setdefault(case, {})[query_hash] = count
    return found


def most_posts(cases: Mapping[str, Case]) -> Case:
    """The case with the most headline posts under its query, or else under any; by title of equals.

    After a change of its query a case has none under the new one, and its page says so.
    """
    kept = held()

    def posts(case: Case) -> tuple[int, int]:
        mine = kept.get(case.name, {})
        return mine.get(case.query_hash, 0), sum(mine.values())

    return max(sorted(cases.values(), key=lambda case: case.title.lower()), key=posts)


@st.cache_resource(max_entries=64, show_spinner=False)
def cells(
    about: Subject,
    width: str = "day",
    since: datetime | None = None,
    until: datetime | None = None,
    scorer: str = SCORER,
) -> pl.DataFrame:
    """The cells of a case under its query: `series.COLUMNS`, of one width and scorer.

    `since` (inclusive) and `until` (exclusive) are of the bucket's start. Hours are three quarters
    of all cells, and most of what is drawn of them is a few weeks: files of other months stay shut.
    """
    here = store()

    def rows() -> pl.LazyFrame:
        kept = here.scan("cells").filter(
            pl.col("case") == about.case,
            pl.col("query_hash") == about.query_hash,
            pl.col("scorer") == scorer,
            pl.col("width") == width,
        )
        if since is not None:
            first = since.date().replace(day=1)
            kept = kept.filter(pl.col("month") >= first, pl.col("start") >= since)
        if until is not None:
            kept = kept.filter(pl.col("month") <= until.date(), pl.col("start") < until)
        return kept.select(series.COLUMNS)

    return here.read(rows)


@st.cache_resource(max_entries=16, show_spinner=False)
def spans(about: Subject) -> pl.DataFrame:
    """What the ledger says was read for a case: `analysis.coverage.spans`."""
    here = store()
    runs = here.read(lambda: here.scan("runs"))
    case = cases().get(about.case)
    asked = coverage.asked(case) if case is not None else {}
    return coverage.spans(runs, case=about.case, query_hash=about.query_hash, asked=asked)


def sources(about: Subject) -> tuple[str, ...]:
    """Platforms with headline posts of the case, in alphabetical order."""
    return tuple(sorted(_headline(about)["source"].unique()))


def extent(about: Subject) -> tuple[date, date]:
    """First and last day (UTC) with headline posts of the case; there must be some."""
    starts = _headline(about)["start"].to_list()
    return min(starts).date(), max(starts).date()


def _headline(about: Subject) -> pl.DataFrame:
    return cells(about).filter(pl.col("via").is_in(HEADLINE))


@st.cache_resource(max_entries=16, show_spinner=False)
def usual_width(about: Subject) -> str:
    """The bucket to begin with: days, or weeks where most days with posts have too few to draw of
    what is drawn without being asked, stance if there is any."""
    stance = cells(about, scorer=sides.SCORER)
    days = series.series(stance, width="day", langs=figured(about)).filter(pl.col("n") > 0)
    if days.is_empty():
        days = series.series(cells(about), width="day").filter(pl.col("n") > 0)
    return "day" if 2 * days["enough"].sum() >= days.height else "week"


@st.cache_resource(max_entries=64, show_spinner=False)
def plotted(view: View, source: str) -> pl.DataFrame:
    """`dashboard.buckets.plotted` of one platform, or of all of them together (POOLED)."""
    since, until = view.window
    return buckets.plotted(
        table(view), source, width=view.width, since=since, until=until, measure=view.measure
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def labelled(about: Subject) -> pl.DataFrame:
    """What people have labelled, of every case: case, post, at, lang."""
    return store().labelled(SCORER)


def figured(about: Subject) -> tuple[str, ...]:
    """The languages of whose stance there are figures."""
    return calibration.languages(labelled(about))


def held_cells(view: View) -> pl.DataFrame:
    """The cells that a table of the view is made of; their days are of all time, as the fixed
    weights are."""
    days = cells(view.about, scorer=view.scorer)
    if view.width == "day":
        return days
    since, until = view.window
    return pl.concat([days, cells(view.about, view.width, since, until, view.scorer)])


@st.cache_resource(max_entries=64, show_spinner=False)
def table(view: View) -> pl.DataFrame:
    """`analysis.table.series_table` of the buckets that the chosen days touch; for the measure
    INDEX that of stance, `analysis.backlash.table`."""
    since, until = view.window
    held = held_cells(view)
    if view.measure == INDEX:
        return backlash.table(
            held,
            spans(view.about),
            width=view.width,
            langs=figured(view.about),
            sources=view.choice.sources,
            since=since,
            until=until,
        )
    return series_table(
        held,
        spans(view.about),
        width=view.width,
        sources=view.choice.sources,
        since=since,
        until=until,
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def figures(about: Subject, choice: Choice) -> dict[str, Any]:
    """`analysis.series.window` of all chosen posts: clusters run across the whole window."""
    missing, days = missing_days(about, choice)
    found = series.window_of(
        series.window_part(posts)
        for posts in store().scored_portions(
            case=about.case,
            query_hash=about.query_hash,
            scorer=SCORER,
            since=choice.since,
            until=choice.until,
            via=HEADLINE,
            sources=choice.sources,
        )
    )
    # All of it from one platform, though two were chosen: that is no figure of the two.
    return found | dict.fromkeys(series.FIGURES) if missing and missing == days else found


@st.cache_resource(max_entries=64, show_spinner=False)
def missing_days(about: Subject, choice: Choice) -> tuple[int, int]:
    """On how many of the days with posts a chosen platform was not collected, and of how many."""
    days = table(View(about, choice, "day"))
    if days.is_empty() or len(choice.sources) < 2:
        return 0, 0
    pooled = days.filter(pl.col("source") == POOLED)
    return int((pooled["collected"] == "none").sum()), pooled.height


def taken(about: Subject, choice: Choice) -> int:
    """Scored posts of the window that are there because their file was taken whole."""
    return _scored_via(about, choice, "taken")


def from_files(about: Subject, choice: Choice) -> bool:
    """Whether all that is known of the chosen platforms comes from imported files."""
    known = spans(about).filter(pl.col("source").is_in(choice.sources))
    return not known.is_empty() and bool((known["status"] == "file").all())


def looked(about: Subject, choice: Choice) -> set[str]:
    """What the ledger says of the window: covered, file, capped, failed; empty if nothing."""
    inside = spans(about).filter(
        pl.col("source").is_in(choice.sources),
        pl.col("start") < choice.until,
        pl.col("end") > choice.since,
    )
    return set(inside["status"])


@st.cache_resource(max_entries=64, show_spinner=False)
def peak(about: Subject, choice: Choice, measure: str = BALANCE) -> dict[str, Any] | None:
    """The day with the highest balance (for INDEX: index) among days read in full or wholly within
    a file, or None."""
    days = table(View(about, choice, "day", measure))
    if days.is_empty():
        return None
    whole = pl.col("collected").is_in(["all", "file"])
    return series.peak(days.filter(pl.col("source") == POOLED, whole))


@st.cache_resource(max_entries=64, show_spinner=False)
def by_platform(
    about: Subject, choice: Choice, measure: str = BALANCE
) -> dict[str, dict[str, Any]]:
    """n, balance (points) and neg_share (0..1) of each platform over the window; for INDEX of
    stance."""
    days = table(View(about, choice, "day", measure))
    if days.is_empty():
        return {}

    def enough(row: Mapping[str, Any]) -> bool:
        return bool(row["n"] >= series.MIN_N)

    totals = days.group_by("source").agg(pl.col("n", "n_neg", "n_pos").sum())
    return {
        row["source"]: {
            "n": row["n"],
            "balance": 100 * (row["n_neg"] - row["n_pos"]) / row["n"] if enough(row) else None,
            "neg_share": row["n_neg"] / row["n"] if enough(row) else None,
        }
        for row in totals.iter_rows(named=True)
        if row["source"] in choice.sources
    }


def weights(rows: pl.DataFrame) -> dict[str, float]:
    """The fixed weights of the standardised row of a `table`; empty where it has none."""
    if not rows.filter(pl.col("source") == STANDARDISED)["balance"].count():
        return {}
    return dict(rows.drop_nulls("weight").select("source", "weight").unique().sort("source").rows())


@st.cache_resource(max_entries=64, show_spinner=False)
def in_threads(about: Subject, choice: Choice) -> int:
    """Scored posts of the window that only hang on a thread about the case."""
    return _scored_via(about, choice, "thread")


def counted(about: Subject, choice: Choice) -> int:
    """Posts of the window that were looked at by the scorer, scored or not, threads included."""
    looked_at = pl.sum_horizontal(
        pl.col("n", "n_language", "n_too_long", "n_marker", "n_displaced").sum()
    )
    days = cells(about).filter(
        pl.col("source").is_in(choice.sources),
        pl.col("start").is_between(choice.since, choice.until, closed="left"),
    )
    return int(days.select(looked_at).item())


def _scored_via(about: Subject, choice: Choice, via: str) -> int:
    return int(
        cells(about)
        .filter(
            pl.col("via") == via,
            pl.col("source").is_in(choice.sources),
            pl.col("start").is_between(choice.since, choice.until, closed="left"),
        )["n"]
        .sum()
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def waiting(about: Subject) -> int:
    """Headline posts of the case that may be shown and have no score of the current scorer."""
    kept = held().get(about.case, {}).get(about.query_hash, 0)
    looked_at = pl.col("n", "n_language", "n_too_long", "n_marker", "n_displaced").sum()
    counted = _headline(about).select(pl.sum_horizontal(looked_at)).item()
    if kept <= counted:
        return 0
    return store().waiting(about.case, about.query_hash, SCORER)


def through(about: Subject, choice: Choice) -> dict[str, datetime]:
    """Up to when each chosen platform was read in full, or a file of it reaches."""
    read = spans(about).filter(
        pl.col("status").is_in(["covered", "file"]), pl.col("source").is_in(choice.sources)
    )
    return dict(read.group_by("source").agg(pl.col("end").max()).sort("source").rows())


@st.cache_resource(max_entries=64, show_spinner=False)
def covered(about: Subject, choice: Choice) -> float | None:
    """Coverage of the window up to the last hour read, 0..1; None when nobody can know."""
    ends = through(about, choice)
    if not ends:
        return None
    until = min(choice.until, max(ends.values()))
    return coverage.coverage(spans(about), sources=choice.sources, since=choice.since, until=until)


@st.cache_resource(max_entries=64, show_spinner=False)
def found_by_search(about: Subject, choice: Choice) -> recall.Recall | None:
    """How much of the stream's posts search found in the window, measured over the last 14 days of
    it in which both have covered an hour; None without Bluesky, or where there is no such hour."""
    if recall.SOURCE not in choice.sources:
        return None
    read = coverage.cut(spans(about), choice.since, choice.until)
    hours = recall.shared_hours(read)["hour"]
    if hours.is_empty():
        return None
    until = hours[-1] + recall.HOUR
    since = max(choice.since, until - timedelta(days=14))
    here = store()
    sighted = here.read(
        lambda: here.sighted(
            source=recall.SOURCE,
            case=about.case,
            query_hash=about.query_hash,
            since=since,
            until=until,
        )
    )
    return recall.recall(sighted, coverage.cut(read, since, until))


@st.cache_resource(max_entries=64, show_spinner=False)
def absent(view: View) -> pl.DataFrame:
    """Time of the window in which a chosen platform was not read though another was: GAPS.

    Besides the gaps of each platform, the time before its first and after its last hour in which
    another chosen one was read.
    """
    since, until = view.window
    chosen = spans(view.about).filter(pl.col("source").is_in(view.choice.sources))
    inside = coverage.gaps(chosen, since=since, until=until)
    ends = chosen.group_by("source").agg(first=pl.col("start").min(), last=pl.col("end").max())
    if ends.height < 2:
        return inside
    low, high = ends["first"].min(), ends["last"].max()
    edges = pl.concat(
        [
            ends.select("source", start=pl.lit(low), end="first"),
            ends.select("source", start="last", end=pl.lit(high)),
        ]
    ).with_columns(
        start=pl.col("start").clip(since, until),
        end=pl.col("end").clip(since, until),
        reason=pl.lit("not collected"),
    )
    return pl.concat([inside, edges.filter(pl.col("start") < pl.col("end"))]).sort(
        "source", "start"
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def afterwards(view: View) -> pl.DataFrame:
    """Stretches of the window that were collected afterwards: source, start, end."""
    since, until = view.window
    late = coverage.afterwards(spans(view.about), since=since, until=until)
    return late.filter(pl.col("source").is_in(view.choice.sources))
