"""The charts: what is drawn of a series, what is not, and whether it can be seen."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.coverage import GAPS, STRETCH
from cases.case import Event
from dashboard import buckets, charts, stance_words, words
from dashboard.palette import DARK, LIGHT, Palette, palette
from dashboard.words import BALANCE, NEGATIVE

START = datetime(2026, 5, 4, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
SOURCES = ("bluesky", "reddit")


def row(source: str, day: int, balance: float | None, **more: Any) -> dict[str, Any]:
    """A row of `analysis.table.series_table`, as far as charts read it."""
    enough = balance is not None
    share = None if balance is None else 0.4 + balance / 200
    return {
        "source": source,
        "bucket": "day",
        "start": START + day * DAY,
        "end": START + (day + 1) * DAY,
        "n": 100 if enough else 7,
        "n_neg": 40 if enough else 3,
        "n_neu": 20 if enough else 2,
        "n_pos": 40 if enough else 2,
        "n_not_scored": 3,
        "n_language": 3,
        "n_too_long": 0,
        "n_marker": 0,
        "n_displaced": 0,
        "balance": balance,
        "balance_lo": None if balance is None else balance - 5,
        "balance_hi": None if balance is None else balance + 5,
        "neg_share": share,
        "neg_lo": None if share is None else share - 0.05,
        "neg_hi": None if share is None else share + 0.05,
        "enough": enough,
        "collected": "all",
        "afterwards": False,
    } | more


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, infer_schema_length=None)
    floats = [name for name in frame.columns if name.startswith(("balance", "neg_"))]
    return frame.with_columns(pl.col(floats).cast(pl.Float64)).with_columns(
        pl.col("start", "end").dt.cast_time_unit("us")
    )


def both(day: int, balance: float | None, **more: Any) -> list[dict[str, Any]]:
    return [row(source, day, balance, **more) for source in (*SOURCES, "all")]


def plot(frame: pl.DataFrame, days: int, source: str = "all", **more: Any) -> pl.DataFrame:
    return buckets.plotted(
        frame, source, width="day", since=START, until=START + days * DAY, **more
    )


def over_time(frame: pl.DataFrame, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "absent": pl.DataFrame(schema=GAPS),
        "late": pl.DataFrame(schema=STRETCH),
        "events": (),
        "colours": LIGHT,
    }
    return charts.over_time(frame, **(given | more))


def layers(spec: dict[str, Any], mark: str, field: str) -> list[dict[str, Any]]:
    return [
        layer
        for layer in spec["layer"]
        if layer["mark"]["type"] == mark and layer["encoding"].get("y", {}).get("field") == field
    ]


# What is drawn


def test_a_bucket_stands_at_its_middle() -> None:
    frame = plot(table(*both(0, 10.0)), 1)
    assert frame["middle"].to_list() == [START + DAY / 2]
    assert frame["stop"].to_list() == [START + DAY]


def test_a_bucket_read_in_part_is_dotted_up_to_the_solid_ones_beside_it() -> None:
    rows = both(0, 1.0) + both(1, 2.0) + both(2, 3.0, collected="part") + both(3, 4.0)
    frame = plot(table(*rows), 4)
    assert frame["whole"].to_list() == [1.0, 2.0, None, 4.0]
    assert frame["dotted"].to_list() == [None, 2.0, 3.0, 4.0]
    assert "Reddit" in frame["note"][2]


def test_a_bucket_under_the_least_number_of_posts_is_not_drawn_but_counted() -> None:
    frame = plot(table(*both(0, 1.0), *both(1, None), *both(2, 3.0)), 3)
    assert frame["shown"].to_list() == [1.0, None, 3.0]
    assert frame["n"].to_list() == [100, 7, 100]
    assert "1 day with fewer than 30 posts not drawn." in words.chart_caption(
        frame, "day", {}, negative=False
    )


def test_no_pooled_value_is_drawn_where_a_platform_is_missing_altogether() -> None:
    rows = [
        row("bluesky", 0, 5.0),
        row("reddit", 0, None, n=0, collected="none"),
        row("all", 0, None, n=100, collected="none"),
    ]
    frame = plot(table(*rows), 1)
    assert frame["shown"].to_list() == [None]
    assert frame["note"].to_list() == ["no Reddit data"]
    assert plot(table(*rows), 1, "bluesky")["shown"].to_list() == [5.0]


def test_no_line_runs_from_what_was_collected_afterwards_to_what_was_collected_live() -> None:
    rows = both(0, 1.0, afterwards=True) + both(1, 2.0, afterwards=True) + both(2, 3.0)
    frame = plot(table(*rows, *both(3, 4.0)), 4)
    assert frame["run"].to_list() == [0, 0, 1, 1]
    spec = over_time(frame)
    for layer in layers(spec, "line", "whole") + layers(spec, "area", "low"):
        assert layer["encoding"]["detail"]["field"] == "run"


def test_a_bucket_without_neighbours_is_a_point_with_its_band() -> None:
    frame = plot(table(*both(1, 7.0)), 3)
    assert frame["alone"].to_list() == [None, 7.0, None]
    spec = over_time(frame)
    assert layers(spec, "point", "alone")
    assert layers(spec, "rule", "low")


def test_days_without_posts_break_the_line_and_are_never_zero() -> None:
    frame = plot(table(*both(0, 1.0), *both(2, 3.0)), 3)
    assert frame["shown"].to_list() == [1.0, None, 3.0]
    assert layers(over_time(frame), "line", "whole")[0]["mark"]["invalid"] == (
        "break-paths-show-domains"
    )


def test_the_negative_share_is_drawn_in_percent() -> None:
    frame = plot(table(*both(0, 10.0), *both(1, 20.0)), 2, measure=NEGATIVE)
    assert frame["shown"].to_list() == pytest.approx([45.0, 50.0])
    spec = over_time(frame, measure=NEGATIVE)
    assert spec["datasets"]["edges"]["value"].to_list() == [0.0, 60.0]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-100, 100)),
            st.sampled_from(["all", "part", "none"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_value_is_drawn_once_and_none_without_enough_posts(days: list[Any]) -> None:
    rows = [
        entry
        for day, (balance, collected, late) in enumerate(days)
        for entry in both(day, balance, collected=collected, afterwards=late)
    ]
    frame = plot(table(*rows), len(days))
    for (balance, collected, _), drawn in zip(days, frame.iter_rows(named=True), strict=True):
        visible = balance is not None and collected != "none"
        assert (drawn["shown"] is not None) == visible
        assert (drawn["whole"] is not None) == (visible and collected == "all")
        if visible and collected == "part":
            assert drawn["dotted"] == drawn["shown"]
        if visible:
            assert drawn["above"] + drawn["below"] == pytest.approx(drawn["shown"])


# The specifications


def test_up_is_worse_in_the_volume_chart_too() -> None:
    frame = plot(table(*both(0, 10.0, n_neg=60, n_pos=25)), 1)
    bars = charts.volume(frame, absent=pl.DataFrame(schema=GAPS), colours=LIGHT)["datasets"][
        "buckets"
    ]
    assert bars.select("n_neg", "down", "net", "n_neu", "n_not_scored").row(0) == (
        60,
        -25,
        35,
        20,
        3,
    )


def test_a_specification_is_plain_json_but_for_its_frames() -> None:
    frame = plot(table(*both(0, 10.0), *both(1, 12.0, collected="part")), 2)
    for spec in (
        over_time(frame),
        charts.volume(frame, absent=pl.DataFrame(schema=GAPS), colours=DARK),
        charts.platform(
            frame,
            "reddit",
            absent=pl.DataFrame(schema=GAPS),
            late=pl.DataFrame(schema=STRETCH),
            scale=(-20, 40),
            colours=DARK,
        ),
    ):
        named = {layer["data"].get("name") for layer in spec["layer"]} - {None}
        assert named <= spec["datasets"].keys()
        json.dumps(spec | {"datasets": None})
        for layer in spec["layer"]:
            assert "domain" not in layer["encoding"].get("x", {}).get("scale", {})


def test_times_in_tooltips_are_utc_whatever_the_time_zone_of_the_reader() -> None:
    spec = over_time(plot(table(*both(0, 10.0)), 1))
    for layer in spec["layer"]:
        for entry in layer["encoding"].get("tooltip", ()):
            assert entry["type"] != "temporal"


def test_a_gap_is_shaded_and_named() -> None:
    absent = pl.DataFrame(
        [("reddit", START + DAY, START + 3 * DAY, "failed")], schema=GAPS, orient="row"
    )
    spec = over_time(plot(table(*both(0, 10.0)), 10), absent=absent)
    assert spec["datasets"]["gaps"].select("label", "start", "end", "reason").row(0) == (
        "no Reddit data",
        START + DAY,
        START + 3 * DAY,
        "failed",
    )
    assert words.gaps(absent) == (
        "Gaps in collection, shaded: Reddit 5 May 2026 00:00 UTC to 7 May 2026 00:00 UTC (failed)."
    )


def test_the_names_of_gaps_never_collide() -> None:
    rows = [
        (source, START + day * DAY, START + (day + 1) * DAY, "failed")
        for day in range(0, 60, 2)
        for source in SOURCES
    ]
    absent = pl.DataFrame(rows, schema=GAPS, orient="row")
    gaps = over_time(plot(table(*both(0, 10.0)), 60), absent=absent)["datasets"]["gaps"]
    named = gaps.filter(pl.col("side") != "").sort("start")["start"]
    assert 1 <= named.len() <= charts.MOST_LABELS
    assert named.diff().drop_nulls().min() > 15 * DAY
    assert gaps.height == 30  # both platforms at one time are one shade


def event(day: float, **more: Any) -> Event:
    known: dict[str, Any] = {
        "precision": "day",
        "kind": "policy_change",
        "title": "Terms amended",
        "source": "Invented Times",
        "url": None,
    }
    return Event(date=START + day * DAY, **(known | more))


def test_events_near_each_other_stand_above_one_another() -> None:
    spec = over_time(
        plot(table(*both(0, 10.0)), 100), events=[event(1), event(2), event(3), event(50)]
    )
    assert spec["datasets"]["events"]["number"].to_list() == ["1", "2", "3", "4"]
    assert spec["datasets"]["events"]["row"].to_list() == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("hour", "4 May 2026 12:00 UTC"),
        ("day", "4 May 2026"),
        ("by", "by 4 May 2026"),
        ("approx", "about 4 May 2026"),
        ("month", "May 2026 (day not known)"),
    ],
)
def test_an_event_is_dated_no_more_precisely_than_its_source(precision: str, said: str) -> None:
    assert event(0.5, precision=precision).when == said


def test_an_event_without_a_day_is_a_bar_over_its_month_and_no_line() -> None:
    month = event(0, precision="month")
    spec = over_time(plot(table(*both(0, 10.0)), 60), events=[event(1), month])
    rows = spec["datasets"]["events"].to_dicts()
    assert [row["since"] for row in rows] == [None, START]
    assert rows[1]["until"] > START + 20 * DAY
    assert rows[1]["since"] < rows[1]["at"] < rows[1]["until"]
    assert [row["row"] for row in rows] == [0, 1]  # they overlap, so one of them is lifted
    rules = [
        layer["transform"][0]["filter"]
        for layer in spec["layer"]
        if layer["data"].get("name") == "events" and layer["mark"]["type"] == "rule"
    ]
    assert rules == ["!isValid(datum.since)", "isValid(datum.since)"]


def test_weeks_start_on_monday_and_reach_beyond_the_days() -> None:
    assert buckets.window(date(2026, 5, 6), date(2026, 5, 12), "week") == (START, START + 14 * DAY)
    assert buckets.window(date(2026, 5, 4), date(2026, 5, 10), "week") == (START, START + 7 * DAY)
    assert buckets.window(date(2026, 5, 6), date(2026, 5, 6), "6h") == (
        START + 2 * DAY,
        START + 3 * DAY,
    )


def test_too_many_buckets_to_draw_become_wider_ones() -> None:
    assert buckets.drawable(date(2026, 1, 1), date(2026, 3, 1), "hour") == "hour"
    assert buckets.drawable(date(2026, 1, 1), date(2026, 12, 31), "hour") == "6h"
    assert buckets.drawable(date(2000, 1, 1), date(2026, 12, 31), "hour") == "week"


def test_the_scale_holds_zero_and_everything_drawn() -> None:
    frame = pl.DataFrame({"low": [-33.0, None], "high": [51.0, None]})
    assert charts.shared_scale([frame]) == (-40.0, 60.0)
    assert charts.shared_scale([]) == (-20.0, 40.0)
    assert charts.shared_scale([frame.clear()]) == (-20.0, 40.0)


# Colours


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_marks_and_words_stand_out_from_the_page(colours: Palette) -> None:
    for mark in ("negative", "positive", "ink", "late", "standardised", "bluesky", "reddit"):
        assert contrast(getattr(colours, mark), colours.page) >= 3, mark
    for word in ("negative", "positive", "ink", "muted", "standardised"):
        assert contrast(getattr(colours, word), colours.page) >= 4.5, word
    assert contrast(colours.muted, colours.gap) >= 4.5  # a label can stand on a shade
    assert contrast(colours.page, colours.ink) >= 4.5  # the numbers of events


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_negative_and_positive_differ_for_the_colour_blind(colours: Palette) -> None:
    # Deuteranopia at full severity in linear RGB: Machado, Oliveira and Fernandes 2009, table 1.
    matrix = (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    )

    def seen(colour: str) -> list[float]:
        linear = [(int(colour[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
        return [sum(m * c for m, c in zip(line, linear, strict=True)) for line in matrix]

    one, other = seen(colours.negative), seen(colours.positive)
    assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.2


def test_the_palette_follows_the_theme() -> None:
    assert palette("dark") is DARK
    assert palette("light") is palette(None) is LIGHT


# Words


@pytest.mark.parametrize(
    ("value", "said"),
    [(10.14, "+10.1"), (-3.0, "−3.0"), (-0.04, "0.0"), (0.0, "0.0"), (None, "–")],
)
def test_points_carry_their_sign(value: float | None, said: str) -> None:
    assert words.points(value) == said


def test_coverage_is_never_rounded_up() -> None:
    assert words.coverage(0.99999) == "Coverage 99.9 %"
    assert words.coverage(1.0) == "Coverage 100 %"
    assert words.coverage(None) == "Coverage not known"


def test_freshness_never_claims_the_time_of_the_fresher_platform_for_both() -> None:
    late = START + DAY
    assert words.freshness({"bluesky": late, "reddit": late}) == [
        "Data through 5 May 2026 00:00 UTC"
    ]
    assert words.freshness({"bluesky": late, "reddit": START}) == [
        "Bluesky through 5 May 2026 00:00 UTC",
        "Reddit through 4 May 2026 00:00 UTC",
    ]
    assert words.freshness({}) == ["Data through: not recorded"]


def test_the_measures_have_names() -> None:
    assert words.MEASURES.keys() == {BALANCE, NEGATIVE}
    assert stance_words.SHOWN.keys() == buckets.MEASURES.keys() == charts.AXES.keys()


def test_an_address_in_a_stranger_s_text_is_no_link() -> None:
    """Addresses become links without any markup, unless something stands in their way."""
    for text in ("https://evil.example/x", "WWW.evil.example", "a@evil.example", "ftp://evil"):
        shown = words.safe(text).replace("\\", "")
        assert not re.search(r"://|www\\.|@\\w", shown, re.IGNORECASE)
        assert shown.replace("\u2060", "") == text


def test_what_the_figures_are_made_of_is_said() -> None:
    figures = {"n": 50} | dict.fromkeys(("n_language", "n_too_long", "n_marker", "n_displaced"), 0)
    said = words.counted(
        figures, waiting=0, thread=0, taken=40, missing=(2, 9), uncollected=["bluesky"]
    )
    assert "40 of the 50 are from files taken whole" in said
    assert "missing on 2 of 9 days" in said
    assert "Nothing of Bluesky is kept" in said
    whole = words.counted(figures, waiting=0, thread=0, missing=(3, 3))
    assert "there is no figure of both" in whole
    assert words.counted(figures, waiting=0, thread=0) == ""


def test_freshness_names_the_platform_of_which_nothing_is_known() -> None:
    assert words.freshness({"reddit": START}, ["bluesky", "reddit"]) == [
        f"Reddit through {words.moment(START)}",
        "Bluesky: not recorded",
    ]
    assert words.freshness({"reddit": START}, ["reddit"], files=True) == [
        f"Files reach to {words.moment(START)}"
    ]
