"""The Overview with stance: its numbers against a count by hand, and what it says beside each.

The model is the stand-in of showing.py, which takes other sides than the tone of the texts
suggests: a figure of tone in the place of one of stance would show.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import showing
import streamlit as st
from conftest import Home
from showing import DAY, DAYS, GAP, START
from streamlit.testing.v1 import AppTest
from test_dashboard import at, captions, chart, dataset, figures, plain, visit

from analysis import calibration, sides, tone
from analysis.cells import REASONS
from dashboard import data, stance, stance_words, words
from dashboard.data import Choice
from dashboard.warm import warm_up
from store.schema import LABELS
from store.tables import Store

FRENCH = 40
THREADS = 7
NOTE = calibration.UNCALIBRATED


def invented() -> list[dict[str, Any]]:
    """The posts of showing.py and French ones that are all against, on a day of their own."""
    french = [
        showing.post(500 + number, "reddit", 9, showing.FRENCH, langs=["fr"])
        for number in range(FRENCH)
    ]
    return showing.posts() + french


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has tone and stance, its salt and its case."""
    folder = tmp_path_factory.mktemp("stance")
    (folder / "cases").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERSHOCK_SALT", str(folder / "salt"))
        case = showing.write_case(folder / "cases")
        store = Store.open(str(folder / "store"))
        showing.write(store, case, invented())
        hanging = [
            showing.post(600 + n, "bluesky", 3, showing.POSITIVE if n < 4 else "Hm.")
            for n in range(THREADS)
        ]
        showing.write(store, case, hanging, via="thread")
        showing.log(store, case)
        showing.score(store)
        showing.score_stance(store, case)
    return folder


@pytest.fixture(scope="module")
def page(place: Path) -> AppTest:
    with pytest.MonkeyPatch.context() as patch:
        at(place, patch)
        return visit(bucket="Day")


@pytest.fixture
def shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at(place, monkeypatch)
    return place


def count(*, day: int | None = None, source: str | None = None) -> dict[str, int]:
    """By a loop over the posts: looked at, on topic, against, for; French ones left out."""
    found = {"looked": 0, "on": 0, "against": 0, "for": 0}
    for row in invented():
        if row["text"] == showing.FRENCH or (source and row["source"] != source):
            continue
        if day is not None and (row["at"] - START) // DAY != day:
            continue
        side = showing.SIDES.get(row["text"], {"stance": "off"})["stance"]
        found["looked"] += 1
        found["on"] += side != "off"
        found["against"] += side == "against"
        found["for"] += side == "for"
    return found


def index(found: dict[str, int]) -> float:
    return 100 * (found["against"] - found["for"]) / found["on"]


def cards(page: AppTest) -> dict[str, str]:
    """What stands below each figure, by its label."""
    below = [caption.value for caption in page.caption]
    return dict(zip(figures(page), below, strict=False))


def test_the_headline_is_the_index_with_n_of_n_and_tone_beside_it(page: AppTest) -> None:
    found, said = count(), figures(page)
    assert list(said)[:2] == ["Backlash index", "Tone balance (VADER)"]
    assert said["Backlash index"][0] == words.points(index(found))
    assert said["Backlash index"][1].startswith("sampling noise only ")
    below = cards(page)["Backlash index"]
    assert below.startswith(f"on topic {found['on']:,} of {found['looked']:,} English posts")
    assert "scorer error not included" in below
    assert said["Tone balance (VADER)"][0] != said["Backlash index"][0]
    assert cards(page)["Tone balance (VADER)"] == f"n = {len(invented()):,}"


def test_who_left_is_counted_as_a_lower_bound(page: AppTest) -> None:
    found = count()
    label = "Said they left or are leaving"
    assert figures(page)[label] == (f"{found['against']:,}", "a lower bound")
    assert f"{found['on']:,} of {found['looked']:,}" in cards(page)[label]


def test_every_figure_of_stance_says_that_it_is_uncalibrated(page: AppTest) -> None:
    escaped = words.safe(NOTE)
    below = cards(page)
    for label in ("Backlash index", "Said they left or are leaving", "Peak of the index"):
        assert escaped in below[label], label
    for label in ("Tone balance (VADER)", "Negative share", "Posts"):
        assert "calibrated" not in below[label]
    sentence = stance_words.sentence(NOTE)
    starts = (
        *("Of ", "Against minus for", "English posts against", "English posts on topic"),
        "The same measure",
    )
    for start in starts:
        (said,) = (c.value for c in page.caption if c.value.startswith(start))
        assert sentence in said


def test_french_posts_are_counted_and_in_no_figure(page: AppTest) -> None:
    assert (
        f"{FRENCH} French posts on topic by the model, of {FRENCH}; no figure until 200 French "
        "labels exist." in captions(page)
    )
    buckets = dataset(chart(page, "Line chart of the backlash index over time"), "buckets")
    assert buckets["n"].sum() == count()["on"]


def test_posts_of_threads_say_how_many_of_them_are_on_topic(page: AppTest) -> None:
    assert f"In threads about it 4 more of {THREADS} are on topic" in captions(page)
    assert "Plus" not in captions(page)


def test_the_charts_plot_the_index_of_each_day(page: AppTest) -> None:
    buckets = dataset(chart(page, "Line chart of the backlash index over time"), "buckets")
    for day, (shown, n) in enumerate(buckets.select("shown", "n").iter_rows()):
        found = count(day=day)
        assert n == found["on"]
        if day == GAP or found["on"] < 30:
            assert shown is None
        else:
            assert shown == pytest.approx(index(found))
    reddit = dataset(chart(page, "Line chart of the backlash index on Reddit"), "buckets")
    # 20 posts against and 10 for of each 40.
    assert reddit["shown"][0] == pytest.approx(100 / 3)
    bars = dataset(chart(page, "Diverging bars of posts on topic"), "buckets")
    assert bars["n_neg"].sum() == count()["against"]
    assert bars["n_pos"].sum() == count()["for"]


def test_reasons_are_counted_by_bucket(page: AppTest) -> None:
    proto = chart(page, "Small bars over time")
    against = count()["against"]
    assert f"Consent {against:,}, Trust {against:,}, Jobs 0" in proto.alt
    bars = dataset(proto, "bars")
    assert set(bars["name"]) == {"Consent", "Trust"}
    for name in ("Consent", "Trust"):
        mine = bars.filter(pl.col("name") == name).sort("start")
        days = [count(day=day)["against"] for day in range(DAYS)]
        assert mine["count"].to_list() == [n for n in days if n]
    # One scale: the highest bar fills most of its lane and reaches into no other.
    heights = bars["top"] - bars["bottom"]
    scale = heights / bars["count"]
    assert scale.min() == pytest.approx(scale.max())
    assert heights.max() == pytest.approx(0.84)
    axis = json.loads(proto.spec)["layer"][0]["encoding"]["y"]["axis"]
    assert axis["tickCount"] == len(axis["values"]) == len(REASONS)  # or Vega drops every other one
    assert axis["labelExpr"].count("'") == 2 * len(REASONS)


def test_tone_is_one_click_away(shown: Path) -> None:
    page = visit(show="Tone balance", bucket="Day")
    buckets = dataset(chart(page, "Line chart of the tone balance over time"), "buckets")
    assert buckets["n"].sum() == len(invented())
    assert chart(page, "Diverging bars of posts over time")
    assert "Volume by sentiment" in plain(page)


def test_the_posts_say_what_the_model_made_of_them(page: AppTest) -> None:
    tables = [pl.from_pandas(table.value) for table in page.dataframe]
    rows = pl.concat([table.select("text", "stance") for table in tables])
    for text, side in rows.iter_rows():
        assert side == showing.SIDES.get(text, {"stance": "off"})["stance"]


def test_hostile_text_stays_plain_beside_its_stance(page: AppTest) -> None:
    assert showing.HOSTILE in set(page.dataframe[0].value["text"])
    assert "evil" not in plain(page)
    for proto in (drawn.proto for drawn in page.get("vega_lite_chart")):
        assert "evil" not in proto.spec
        assert all(b"evil" not in entry.data.data for entry in proto.datasets)


def test_the_files_carry_stance(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Callable[[], bytes]] = {}
    real = st.download_button

    def keep(label: str, make: Any, **more: Any) -> Any:
        made[label] = make
        return real(label, make, **more)

    monkeypatch.setattr(st, "download_button", keep)
    visit(bucket="Day")
    read = {
        label: list(csv.DictReader(io.StringIO(make().decode("utf-8-sig"))))
        for label, make in made.items()
    }
    pooled = [row for row in read["Series CSV"] if row["source"] == "all"]
    assert sum(int(row["on_topic"]) for row in pooled) == count()["on"]
    assert sum(int(row["n"]) for row in pooled) == len(invented())
    assert sum(int(row["fr_on_topic"]) for row in pooled) == FRENCH
    assert {row["stance_note"] for row in pooled} == {NOTE}
    first = count(day=0)
    assert float(pooled[0]["backlash_index"]) == pytest.approx(index(first))
    stances = [row["stance"] for row in read["Posts CSV"] if row["lang"] == "en"]
    # Three posts hang on a thread and are off topic, four are against.
    assert stances.count("against") == count()["against"] + 4


def test_few_posts_on_topic_have_counts_and_no_share(shown: Path) -> None:
    page = visit(dates=["2026-05-10", "2026-05-10"])
    found = count(day=6)
    assert 0 < found["on"] < 30
    assert figures(page)["Backlash index"] == ("\u2013", "fewer than 30 posts")
    assert "fewer than 30, so no share" in captions(page)


def test_labels_lift_the_note_and_give_french_its_figures(place: Path, home: Home) -> None:
    shutil.copytree(place / "store", home.store)
    shutil.copy(place / "salt", home.salt)
    showing.write_case(home.cases)
    store = Store.open()
    labels = [
        dict.fromkeys(LABELS)
        | {"post": store.key(row["uri"]), "case": "murmur", "annotator": "a", "codebook": "1"}
        for row in showing.posts()[:160]
    ]
    store._tables.merge("labels", pl.DataFrame(labels, schema=LABELS))
    said = captions(visit(bucket="Day"))
    assert "uncalibrated" not in said.lower()
    assert "160 human labels of this window" in said
    assert "no figure until 200 French labels exist" in said


def test_some_posts_without_a_stance_are_said(place: Path, home: Home) -> None:
    shutil.copytree(place / "store", home.store)
    shutil.copy(place / "salt", home.salt)
    case = showing.write_case(home.cases)
    store = Store.open()
    showing.write(store, case, [showing.post(700, "reddit", 3, showing.NEGATIVE)])
    showing.score(store)
    assert "1 post of this case still waits for a stance: aftershock score." in captions(visit())


def test_a_case_of_french_posts_has_counts_and_charts_of_tone(home: Home) -> None:
    case = showing.write_case(home.cases)
    store = Store.open()
    rows = [
        showing.post(number, "bluesky", 1, showing.FRENCH, langs=["fr"]) for number in range(35)
    ]
    showing.write(store, case, rows)
    showing.score(store)
    showing.score_stance(store, case)
    page = visit(bucket="Day")
    assert figures(page)["Backlash index"][0] == "\u2013"
    assert "35 French posts on topic by the model, of 35;" in captions(page)
    assert "No English posts in these dates, so the charts show the tone." in captions(page)
    assert chart(page, "Line chart of the tone balance over time")
    assert all("reason" not in drawn.proto.alt for drawn in page.get("vega_lite_chart"))


def test_warming_up_reads_what_the_first_visit_needs(shown: Path) -> None:
    warm_up()
    about = data.subject(data.cases()["murmur"])
    choice = Choice(data.sources(about), *data.extent(about))
    assert stance.figures(about, choice)["n"] == count()["on"]


def test_the_figures_are_of_the_scorers_that_are_named() -> None:
    assert sides.SCORER != tone.SCORER
    assert set(stance_words.REASON_NAMES) == set(REASONS)
