"""Stance rows, their cells and the index, against a plain count; the model is a stand-in."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import showing
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import backlash, calibration, coverage, sides
from analysis.cells import COUNTS, REASONS, STANCE, cells
from analysis.series import peak, series, window
from analysis.tone import SCHEMA
from store.schema import CELL_STANCE, CELLS, RUNS, SCORED, SCORES

MONDAY = datetime(2026, 5, 4, tzinfo=UTC)
Row = dict[str, Any]


# Rows of the scores table


def work(*changes: Row) -> pl.DataFrame:
    plain = {
        "post": "p",
        "day": MONDAY.date(),
        "author": "a",
        "text": showing.POSITIVE,
        "langs": [],
        "lang": "en",
        "title": None,
        "parent": None,
        "input_hash": "h",
    }
    schema = {name: SCORES[name] for name in ("post", "day", "lang", "input_hash")} | {
        name: pl.String() for name in ("author", "text", "title", "parent")
    }
    rows = [plain | change for change in changes]
    return pl.DataFrame(rows, schema_overrides={**schema, "langs": pl.List(pl.String)})


def score(posts: pl.DataFrame, predict: Any = showing.predict) -> pl.DataFrame:
    return sides.score(posts, case="murmur", names=["Murmur"], markers={"bot"}, predict=predict)


def test_every_post_looked_at_has_a_row_in_order_and_says_why_it_has_no_stance() -> None:
    rows = score(
        work(
            {"post": "a"},
            {"post": "b", "lang": "de"},
            {"post": "c", "text": "[deleted]"},
            {"post": "d", "author": "bot"},
            {"post": "e", "text": showing.FRENCH, "lang": None, "langs": ["fr"]},
            {"post": "f", "text": showing.NEUTRAL},
        )
    )
    assert rows.schema == SCORES == SCHEMA
    assert rows["post"].to_list() == list("abcdef")
    assert rows["status"].to_list() == [
        *("scored", "language", "marker", "marker"),
        *("scored", "scored"),
    ]
    assert rows["stance"].to_list() == ["against", None, None, None, "against", "off"]
    assert rows["lang"][4] == "fr"  # detected where tone has not looked yet
    assert rows["p_against"].to_list() == [1, None, None, None, 1, 0]
    assert rows["reasons"][0].to_list() == ["consent", "trust"]
    assert set(rows["case"]) == {"murmur"}
    assert rows["compound"].null_count() == rows.height


def test_the_model_is_given_what_it_asks_for_and_only_what_it_can_read() -> None:
    given_to: list[pl.DataFrame] = []

    def watch(posts: pl.DataFrame) -> pl.DataFrame:
        given_to.append(posts)
        return showing.predict(posts)

    score(work({"title": "T", "parent": "P"}, {"lang": "ja"}, {"text": None}), watch)
    (seen,) = given_to
    assert seen.columns == ["text", "lang", "title", "parent", "names"]
    assert seen.rows() == [(showing.POSITIVE, "en", "T", "P", ["Murmur"])]


def test_a_portion_without_a_readable_post_does_not_ask_the_model() -> None:
    rows = score(work({"lang": "ja"}), predict=None)
    assert rows["status"].to_list() == ["language"]
    assert rows.schema == SCORES


def test_no_word_of_a_text_is_in_the_rows() -> None:
    posts = work({"text": "zyzzyva one", "title": "zyzzyva two", "parent": "zyzzyva three"})
    assert "zyzzyva" not in str(score(posts).to_dicts())


# Cells


@st.composite
def judged(draw: st.DrawFn) -> list[Row]:
    rows = []
    for number in range(draw(st.integers(0, 25))):
        at = MONDAY + timedelta(minutes=draw(st.integers(0, 9 * 1440)))
        status = draw(st.sampled_from(["scored"] * 6 + ["language", "marker"]))
        stance = draw(st.sampled_from(["against", "against", "for", "neutral", "off"]))
        against = status == "scored" and stance == "against"
        rows.append(
            {
                "case": "c",
                "query_hash": "q",
                "scorer": sides.SCORER,
                "source": draw(st.sampled_from(["reddit", "bluesky"])),
                "via": draw(st.sampled_from(["own", "thread"])),
                "post": f"p{number}",
                "at": at,
                "created_at": at + timedelta(hours=draw(st.sampled_from([0, 0, 0, 25]))),
                "author": draw(st.sampled_from(["a", "b", None])),
                "root": draw(st.sampled_from(["r", None])),
                "lang": draw(st.sampled_from(["en", "fr"])),
                "status": status,
                "stance": stance if status == "scored" else None,
                "reasons": draw(st.lists(st.sampled_from(REASONS), unique=True)) if against else [],
                "exit": draw(st.booleans()) if status == "scored" else None,
            }
        )
    return rows


def recount(rows: list[Row]) -> Counter[str]:
    """The definitions, by a loop."""
    found: Counter[str] = Counter()
    for row in rows:
        if abs(row["created_at"] - row["at"]) > timedelta(hours=24):
            found["n_displaced"] += 1
            continue
        if row["status"] != "scored":
            found[f"n_{row['status']}"] += 1
            continue
        found["n_looked"] += 1
        if row["stance"] == "off":
            found["n_off"] += 1
            continue
        found["n"] += 1
        found[{"against": "n_neg", "for": "n_pos", "neutral": "n_neu"}[row["stance"]]] += 1
        found["n_exit"] += row["exit"]
        found.update(f"r_{reason}" for reason in row["reasons"])
    return found


@settings(deadline=None, max_examples=25)
@given(judged())
def test_the_cells_of_stance_add_up_to_a_recount_of_the_posts(rows: list[Row]) -> None:
    made = cells(pl.DataFrame(rows, schema=SCORED))
    for width in ("hour", "day", "week"):
        totals = made.filter(pl.col("width") == width).select(pl.col(*COUNTS, *STANCE).sum())
        assert Counter(totals.row(0, named=True)) == recount(rows)
    for (source, lang), part in made.filter(pl.col("width") == "day").group_by("source", "lang"):
        mine = [row for row in rows if (row["source"], row["lang"]) == (source, lang)]
        counted = part.select(pl.col(*COUNTS, *STANCE).sum()).row(0, named=True)
        assert Counter(counted) == recount(mine)


@settings(deadline=None, max_examples=15)
@given(judged())
def test_the_index_is_against_minus_for_among_posts_on_topic(rows: list[Row]) -> None:
    found = window(pl.DataFrame(rows, schema=SCORED), min_n=1)
    count = recount(rows)
    assert found["n"] == count["n"]
    assert found["mean_compound"] is None
    if count["n"]:
        expected = 100 * (count["n_neg"] - count["n_pos"]) / count["n"]
        assert found["balance"] == pytest.approx(expected)
        assert found["balance_lo"] <= found["balance"] <= found["balance_hi"]
    else:
        assert found["balance"] is None


def test_posts_off_topic_move_no_figure() -> None:
    on = [side(number, "against" if number % 3 else "for") for number in range(60)]
    off = [side(number, "off", exit=True) for number in range(60, 200)]
    before, after = (window(pl.DataFrame(rows, schema=SCORED)) for rows in (on, on + off))
    moved = {"n_looked": 200, "n_off": 140}
    assert after == before | moved
    assert after["n_exit"] == 0


def test_both_schemas_of_cells_are_one() -> None:
    assert cells(pl.DataFrame(schema=SCORED)).schema == CELLS
    assert STANCE == CELL_STANCE


def side(number: int, stance: str, **values: Any) -> Row:
    at = MONDAY + timedelta(minutes=number)
    return {
        "case": "c",
        "query_hash": "q",
        "scorer": sides.SCORER,
        "source": "reddit",
        "via": "own",
        "post": f"p{number}",
        "at": at,
        "created_at": at,
        "author": f"a{number}",
        "root": None,
        "lang": "en",
        "status": "scored",
        "stance": stance,
        "reasons": [],
        "exit": False,
    } | values


# French: counts only


def test_french_posts_are_counted_and_in_no_figure_until_enough_are_labelled() -> None:
    rows = [side(number, "for") for number in range(40)]
    rows += [side(number, "against", lang="fr", exit=True) for number in range(40, 90)]
    made = cells(pl.DataFrame(rows, schema=SCORED))
    spans = coverage.spans(pl.DataFrame(schema=RUNS), case="c", query_hash="q")
    tone = cells(
        pl.DataFrame(
            [row | {"scorer": "v", "stance": None, "compound": 0.5} for row in rows], schema=SCORED
        )
    )
    table = backlash.series_table(tone, spans, width="day")

    def beside(figured: tuple[str, ...], **more: Any) -> Row:
        found = backlash.beside(table, made, spans, width="day", figured=figured, note="N", **more)
        assert found.height == table.height
        return found.filter(pl.col("source") == "all").row(0, named=True)

    now = beside(("en",))
    assert (now["on_topic"], now["looked"], now["backlash_index"]) == (40, 40, -100)
    assert (now["fr_on_topic"], now["fr_looked"], now["exit"]) == (50, 50, 0)
    assert now["stance_note"] == "N"
    later = beside(("en", "fr"))
    assert (later["on_topic"], later["exit"]) == (90, 50)
    assert later["backlash_index"] == pytest.approx(100 * (50 - 40) / 90)
    only = beside(("en",), langs=["fr"])
    assert (only["on_topic"], only["backlash_index"], only["fr_on_topic"]) == (0, None, 50)


def test_without_any_stance_the_columns_are_there_and_empty() -> None:
    rows = [side(n, "for") | {"scorer": "v", "stance": None, "compound": 0.5} for n in range(40)]
    made = cells(pl.DataFrame(rows, schema=SCORED))
    spans = coverage.spans(pl.DataFrame(schema=RUNS), case="c", query_hash="q")
    table = backlash.series_table(made, spans, width="day")
    found = backlash.beside(table, made.clear(), spans, width="day", figured=("en",), note="N")
    assert found.select(*backlash.COLUMNS, "fr_on_topic", "stance_note").null_count().row(0) == (
        (table.height,) * (len(backlash.COLUMNS) + 2)
    )


# Labels


def labels(count: int, lang: str = "en", at: datetime = MONDAY) -> pl.DataFrame:
    return pl.DataFrame(
        {"post": [f"l{n}" for n in range(count)]}, schema={"post": pl.String}
    ).with_columns(at=pl.lit(at), lang=pl.lit(lang))


WEEK = (MONDAY, MONDAY + timedelta(days=7))


@pytest.mark.parametrize(
    ("found", "enough"),
    [
        (labels(0), False),
        (labels(149), False),
        (labels(150), True),
        (labels(150, at=WEEK[1]), False),  # the end is not in it
        (labels(150, at=MONDAY - timedelta(microseconds=1)), False),
        (pl.concat([labels(100), labels(100)]), False),  # two people, the same posts
    ],
)
def test_a_window_is_calibrated_by_150_posts_of_its_own(found: pl.DataFrame, enough: bool) -> None:
    assert calibration.calibrated(found, WEEK) is enough
    assert calibration.note(found, WEEK).startswith("uncalibrated") is not enough


def test_french_has_figures_from_200_labels_on() -> None:
    assert calibration.languages(labels(0)) == ("en",)
    assert calibration.languages(pl.concat([labels(500), labels(199, "fr")])) == ("en",)
    assert calibration.languages(labels(200, "fr")) == ("en", "fr")


def test_the_peak_of_the_index_is_its_worst_day() -> None:
    rows = [side(n, "for") for n in range(40)]
    rows += [side(n, "against", at=MONDAY + timedelta(days=1)) for n in range(40, 80)]
    rows = [row | {"created_at": row["at"]} for row in rows]
    found = peak(series(cells(pl.DataFrame(rows, schema=SCORED)), width="day"))
    assert found is not None
    assert (found["start"], found["balance"]) == (MONDAY + timedelta(days=1), 100)
