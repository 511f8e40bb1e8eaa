"""The Overview as a visitor gets it, run without a browser on real stores of invented posts."""

from __future__ import annotations

import gc
import shutil
import socket
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import showing
from conftest import Home
from showing import DAY, DAYS, GAP, HALF, QUIET, START
from streamlit.testing.v1 import AppTest

import dashboard
from dashboard import data, posts, words
from dashboard.serve import PortTaken, serve
from dashboard.warm import warm_up
from store.tables import Store

APP = Path(dashboard.__file__).with_name("app.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of showing.py, its salt and its case."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "cases").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERSHOCK_SALT", str(folder / "salt"))
        showing.build(folder / "store", folder / "cases")
    return folder


def at(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AFTERSHOCK_STORE", str(place / "store"))
    patch.setenv("AFTERSHOCK_SALT", str(place / "salt"))
    patch.setenv("AFTERSHOCK_CASES", str(place / "cases"))
    patch.delenv("AFTERSHOCK_DEMO", raising=False)


@pytest.fixture(scope="module")
def page(place: Path) -> AppTest:
    """The page as a first visitor gets it, for tests that only look."""
    with pytest.MonkeyPatch.context() as patch:
        at(place, patch)
        return visit()


@pytest.fixture
def copied(place: Path, home: Home) -> Store:
    """A copy of the store, to change."""
    shutil.copytree(place / "store", home.store)
    shutil.copy(place / "salt", home.salt)
    showing.write_case(home.cases)
    return Store.open()


@pytest.fixture
def shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at(place, monkeypatch)
    return place


def visit(theme: str = "light", **query: str | list[str]) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60)
    page.context = {"theme": theme}
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def figures(page: AppTest) -> dict[str, tuple[str, str]]:
    return {metric.label: (metric.value, metric.delta) for metric in page.metric}


def charts(page: AppTest) -> list[Any]:
    return [chart.proto for chart in page.get("vega_lite_chart")]


def chart(page: AppTest, start: str) -> Any:
    return next(proto for proto in charts(page) if proto.alt.startswith(start))


def dataset(proto: Any, name: str) -> pl.DataFrame:
    """What the browser gets to plot."""
    data = next(entry.data.data for entry in proto.datasets if entry.name == name)
    frame = pl.from_arrow(pa.ipc.open_stream(data).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame


def captions(page: AppTest) -> str:
    return "\n".join(caption.value for caption in page.caption)


def plain(page: AppTest) -> str:
    """Everything the page says outside its charts and tables."""
    parts = [*page.title, *page.header, *page.caption, *page.markdown, *page.info, *page.text]
    return "\n".join(part.value for part in parts)


# Figures


def test_the_four_figures_are_those_of_the_posts(shown: Path, page: AppTest) -> None:
    # 10 full days and 5 posts of each platform, Reddit without one day; the hostile post and the
    # comment are neutral or scored as the scorer does.
    frame = pl.DataFrame(showing.posts(), infer_schema_length=None).with_columns(
        neg=pl.col("text") == showing.NEGATIVE, pos=pl.col("text") == showing.POSITIVE
    )
    n, neg, pos = frame.height, frame["neg"].sum(), frame["pos"].sum()
    extra = data.figures(
        data.subject(data.cases()["murmur"]),
        data.Choice(("bluesky", "reddit"), START.date(), (START + (DAYS - 1) * DAY).date()),
    )
    assert extra["n"] == n
    assert abs(extra["n_neg"] - neg) <= 2
    assert abs(extra["n_pos"] - pos) <= 2
    said = figures(page)
    balance = 100 * (extra["n_neg"] - extra["n_pos"]) / n
    assert said["Tone balance (VADER)"][0] == words.points(balance)
    assert said["Tone balance (VADER)"][1].startswith("sampling noise only ")
    assert said["Posts"] == (f"{n:,}", f"{n / DAYS:,.0f} a day")
    assert said["Negative share"][0] == f"{100 * extra['n_neg'] / n:.1f} %"
    assert f"n = {n:,}" in captions(page)


def test_the_peak_is_a_day_read_in_full_whatever_the_bucket(shown: Path) -> None:
    # Day 2 would be the highest: it has Bluesky only.
    for bucket in ("Day", "Week", "Hour"):
        value, day = figures(visit(bucket=bucket, platform=["Bluesky", "Reddit"]))["Peak"]
        assert value == "0.0"
        assert day != "6 May 2026"
    value, day = figures(visit(platform="Bluesky"))["Peak"]
    assert (value, day) == ("+25.0", "4 May 2026")


def test_posts_of_threads_are_counted_beside_the_figures(page: AppTest) -> None:
    assert "Plus 1 post in threads about it, not in these figures." in captions(page)


def test_freshness_and_coverage_are_those_of_the_ledger(page: AppTest) -> None:
    badges = [entry.value for entry in page.markdown if "badge[" in entry.value]
    assert any("Data through 15 May 2026 18:00 UTC" in badge for badge in badges)
    # Of 2 x 282 hours up to 18:00 of the last day, Reddit lacks 24 + 12.
    assert any("Coverage 93.6 %" in badge for badge in badges)


# What the charts plot


def test_the_chart_plots_the_balance_of_each_day(page: AppTest) -> None:
    buckets = dataset(chart(page, "Line chart of the tone balance over time"), "buckets")
    assert buckets.height == DAYS
    values = dict(enumerate(buckets["shown"].to_list()))
    assert values[0] == pytest.approx(0)
    assert values[GAP] is None  # no pooled figure without Reddit
    assert values[QUIET] is None  # ten posts are too few
    assert buckets["middle"][0] == START + DAY / 2
    dotted = buckets["dotted"].to_list()
    assert dotted[HALF] == values[HALF]
    assert buckets["whole"][HALF] is None
    assert buckets["whole"][DAYS - 1] is None  # the last day is not over
    assert dotted[DAYS - 1] == values[DAYS - 1]
    assert buckets["run"][1] != buckets["run"][3]  # collected afterwards, then live


def test_gaps_late_stretches_and_events_are_plotted_and_said(page: AppTest) -> None:
    proto = chart(page, "Line chart of the tone balance over time")
    assert dataset(proto, "gaps")["start"].sort().to_list() == [
        START + GAP * DAY,
        START + 4.5 * DAY,
    ]
    late = dataset(proto, "late")
    assert late.select("start", "end").row(0) == (START, START + 2 * DAY)
    events = dataset(proto, "events")
    assert events.select("number", "at").row(0) == ("1", datetime(2026, 5, 7, tzinfo=UTC))
    said = plain(page)
    assert "Gaps in collection, shaded: Reddit 6 May 2026 00:00 UTC to 7 May 2026 00:00" in said
    assert "1 day with fewer than 30 posts not drawn." in said
    assert "1 day not drawn because a platform was not collected" in said
    assert "collected afterwards" in said
    assert r"[The clause is \*noticed\*](<https://times.example/clause>)" in said
    assert "1 more event lies outside these dates." in said


def test_the_standardised_line_has_its_weights_printed(page: AppTest) -> None:
    line = dataset(chart(page, "Line chart of the tone balance over time"), "standardised")
    assert line["standardised"][GAP] is None
    assert line["standardised"].count() == DAYS - 2
    assert "each platform at a fixed weight (Bluesky 5" in captions(page)


def test_each_platform_is_plotted_alone_on_one_scale(page: AppTest) -> None:
    bluesky = chart(page, "Line chart of the tone balance on Bluesky")
    reddit = chart(page, "Line chart of the tone balance on Reddit")
    assert dataset(bluesky, "buckets")["shown"][GAP] == pytest.approx(25)
    assert dataset(reddit, "buckets")["shown"][GAP] is None
    assert dataset(reddit, "buckets")["shown"][0] == pytest.approx(-25)
    assert dataset(bluesky, "edges").equals(dataset(reddit, "edges"))


def test_volume_counts_every_scored_post_once(page: AppTest) -> None:
    bars = dataset(chart(page, "Diverging bars"), "buckets")
    assert bars["n"].sum() == len(showing.posts())
    assert (bars["n_neg"] - bars["n_pos"]).to_list() == bars["net"].to_list()
    assert bars["n"][QUIET] == 10


def test_the_negative_share_can_be_shown_instead(shown: Path) -> None:
    page = visit(show="Negative share", platform="Bluesky")
    buckets = dataset(chart(page, "Line chart of the negative share over time"), "buckets")
    assert buckets["shown"][0] == pytest.approx(50)


def test_dark_pages_have_dark_charts(shown: Path) -> None:
    light, dark = (charts(visit(theme))[0].spec for theme in ("light", "dark"))
    assert "#C24E00" in light
    assert "#FF8A3D" in dark


def test_every_chart_and_table_has_a_name(page: AppTest) -> None:
    assert len(charts(page)) == 4
    assert all(proto.alt for proto in charts(page))


# The address


def test_the_address_restores_what_was_chosen(shown: Path) -> None:
    page = visit(
        case="murmur", bucket="6 hours", platform="Reddit", dates=["2026-05-08", "2026-05-09"]
    )
    assert page.segmented_control(key="bucket").value == "6 hours"
    assert page.pills(key="platform").value == ["reddit"]
    assert page.date_input(key="dates").value == (date(2026, 5, 8), date(2026, 5, 9))
    assert dataset(chart(page, "Diverging bars"), "buckets").height == 8


def test_the_case_is_in_the_address_from_the_first_visit_on(page: AppTest) -> None:
    assert page.query_params["case"] in ("murmur", ["murmur"])
    assert page.title[0].value == r"Murmur\: the invented clause"


@pytest.mark.parametrize(
    "query",
    [
        {"case": "../../etc/passwd"},
        {"bucket": "Fortnight"},
        {"platform": "Usenet"},
        {"dates": ["yesterday", "2026-05-09"]},
        {"dates": ["1999-01-01", "1999-02-01"]},
        {"show": "Everything"},
    ],
)
def test_what_the_address_cannot_mean_falls_back(
    shown: Path, query: dict[str, str | list[str]]
) -> None:
    page = visit(**query)
    assert page.selectbox(key="case").value == "murmur"
    assert figures(page)["Posts"][0] == f"{len(showing.posts()):,}"


def test_a_single_day_in_the_address_is_that_day(shown: Path) -> None:
    for dates in (["2026-05-09", "2026-05-09"], "2026-05-09"):
        assert figures(visit(dates=dates))["Posts"][0] == "80"


def test_another_case_starts_from_all_of_its_dates(shown: Path) -> None:
    page = visit(platform="Reddit", dates=["2026-05-08", "2026-05-09"])
    page.selectbox(key="case").set_value("zoom").run()
    page.selectbox(key="case").set_value("murmur").run()
    assert page.pills(key="platform").value == ["bluesky", "reddit"]
    assert page.date_input(key="dates").value[0] == START.date()


# Posts


def tables(page: AppTest) -> dict[str, pl.DataFrame]:
    names = ["bluesky", "reddit"] if len(page.dataframe) == 2 else ["only"]
    return {
        name: pl.from_pandas(table.value) for name, table in zip(names, page.dataframe, strict=True)
    }


def test_posts_are_ranked_within_their_platform(page: AppTest) -> None:
    found = tables(page)
    assert found["bluesky"]["engagement"][:3].to_list() == [5000 + 2 * 990, 117, 117]
    assert found["reddit"]["engagement"][:2].to_list() == [4000, 39]
    assert found["bluesky"].height == posts.SHOWN


def test_links_are_rebuilt_from_ids_and_empty_where_the_root_is_unknown(page: AppTest) -> None:
    found = tables(page)
    assert found["bluesky"]["link"][0] == "https://bsky.app/profile/did:plc:invented/post/b08x990"
    assert found["reddit"]["link"][0] is None
    assert str(found["reddit"]["link"][1]).startswith("https://www.reddit.com/comments/r")


def test_hostile_text_is_shown_only_as_plain_text(shown: Path) -> None:
    page = visit()
    assert tables(page)["bluesky"]["text"][0] == showing.HOSTILE
    assert "evil" not in plain(page)
    until = START + DAYS * DAY
    key = f"posts-murmur-bluesky-{START}-{until}-None"
    page.session_state[key] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    assert not page.exception
    assert [text.value for text in page.text] == [showing.HOSTILE]


def test_the_brush_filters_the_posts(shown: Path) -> None:
    page = visit()
    key = f"volume-murmur-{START.date()}-{(START + (DAYS - 1) * DAY).date()}-day"
    ends = [int((START + days * DAY).timestamp() * 1000) for days in (0, 1)]
    page.session_state[key] = {"selection": {"span": {"start": ends}}}
    page.run()
    assert not page.exception
    assert "Only posts of 4 May 2026 00:00 UTC to 5 May 2026 00:00 UTC." in captions(page)
    assert all(table["at"].dt.date().unique().len() == 1 for table in tables(page).values())


def test_posts_can_be_filtered_by_tone(shown: Path) -> None:
    page = visit()
    page.segmented_control(key="tone").set_value("Negative").run()
    for table in tables(page).values():
        assert set(table["text"]) == {showing.NEGATIVE}


def test_a_deleted_post_is_gone_from_the_page_and_from_memory(copied: Store) -> None:
    assert tables(visit())["bluesky"]["text"][0] == showing.HOSTILE
    copied.wipe([copied.key("at://did:plc:invented/app.bsky.feed.post/b08x990")])
    assert showing.HOSTILE not in set(tables(visit())["bluesky"]["text"])
    gc.collect()
    frames = [thing for thing in gc.get_objects() if isinstance(thing, pl.DataFrame)]
    texts = [frame["text"].to_list() for frame in frames if "text" in frame.columns]
    assert texts
    assert not any(showing.HOSTILE in kept for kept in texts)


def test_both_files_can_be_downloaded(page: AppTest) -> None:
    assert [button.label for button in page.download_button] == ["Posts CSV", "Series CSV"]


# Nothing to show


def test_a_store_that_is_not_there_says_what_to_do(home: Home) -> None:
    page = visit()
    assert "aftershock import FILE" in page.text[0].value
    assert not home.store.exists()


def test_an_empty_store_says_what_to_do(home: Home) -> None:
    Store.open()
    showing.write_case(home.cases)
    assert "No posts are kept yet." in visit(case="murmur").info[0].value


def test_a_case_without_posts_says_how_to_import_some(shown: Path) -> None:
    said = visit(case="zoom").info[0].value
    assert said.startswith("0 posts kept for ")
    assert "aftershock import FILE --case zoom" in said


def test_posts_without_a_score_say_how_to_get_one(home: Home) -> None:
    case = showing.write_case(home.cases)
    showing.write(Store.open(), case, showing.posts()[:7])
    assert visit().info[0].value.startswith("7 posts wait for a score")


def test_some_posts_without_a_score_are_said_beside_the_figures(copied: Store) -> None:
    case = data.cases()["murmur"]
    showing.write(copied, case, [showing.post(700, "reddit", 3, "Not scored yet.")])
    assert "1 post of this case still waits for a score" in captions(visit())


def test_a_changed_query_is_said_and_never_mixed(
    shown: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(shown, monkeypatch)
    monkeypatch.setenv("AFTERSHOCK_CASES", str(home.cases))
    showing.write_case(home.cases, showing.CASE.replace('"murmur"', '"murmur OR humming"'))
    page = visit(case="murmur")
    assert page.info[0].value.startswith("The query of this case has changed since its ")
    assert not page.metric
    first = visit()  # and without a case in the address it is the one that is shown
    assert first.info[0].value == page.info[0].value


def test_filters_that_leave_nothing_say_so(shown: Path) -> None:
    page = visit(platform="Reddit", dates=["2026-05-06", "2026-05-06"])
    assert page.info[0].value.startswith("No posts in these dates on these platforms: ")
    assert "Widen the dates" in page.info[0].value
    page = visit()
    page.pills(key="platform").set_value([]).run()
    assert page.info[0].value == "Choose at least one platform."


@pytest.mark.parametrize(
    ("looked", "why"),
    [
        ({"covered", "file"}, "they were read"),
        ({"file"}, "does not say that there were none"),
        ({"failed"}, "failed or was cut short"),
        (set(), "nothing was collected then"),
    ],
)
def test_no_posts_says_why(looked: set[str], why: str) -> None:
    assert why in words.nothing_here(looked)


def test_a_broken_case_file_is_named(home: Home) -> None:
    Store.open()
    (home.cases / "broken.toml").write_text("title = 3")
    assert "broken.toml" in visit().text[0].value


# The demo


def test_the_demo_says_on_every_page_that_its_posts_are_invented(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSHOCK_DEMO", "1")
    store = Store.open(demo=True)
    case = data.cases()["murmella"]
    showing.write(store, case, showing.posts())
    showing.score(store)
    page = visit()
    assert page.info[0].value == words.DEMO
    assert page.selectbox(key="case").options == ["murmella"]
    assert "link" not in tables(page)["bluesky"].columns
    assert words.tab_title(case, demo=True).startswith("Demo: invented posts")


def test_a_demo_store_is_not_shown_as_a_real_one(home: Home) -> None:
    Store.open(str(home.folder / "another"))  # makes the salt
    Store.open(demo=True)
    assert "invented" in visit().text[0].value


# Serving


def test_a_page_warmed_up_has_read_what_the_first_visit_needs(shown: Path) -> None:
    warm_up()
    about = data.subject(data.cases()["murmur"])
    assert data.sources(about) == ("bluesky", "reddit")


def test_warming_up_an_empty_place_is_no_error(home: Home) -> None:
    warm_up()


def test_a_port_in_use_is_said_in_one_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} of 127.0.0.1 is in use"):
            serve("127.0.0.1", port)


def test_no_claim_stands_on_the_page_that_was_not_measured(page: AppTest) -> None:
    said = plain(page).lower()
    assert "backlash index" not in said
    assert "95% ci" not in said
