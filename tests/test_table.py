"""The series as a table: complete, marked by the ledger, and never mixed across a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from analysis import coverage
from analysis.series import cells, series, standardised, weights
from analysis.table import series_table
from store.schema import RUNS, SCORED


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2025, 5, number, hour, tzinfo=UTC)


def runs(*read: tuple[str, datetime, datetime, datetime]) -> pl.DataFrame:
    """source, observed from, to, and when the run began."""
    return pl.DataFrame(
        [
            dict.fromkeys(RUNS)
            | {
                "source": source,
                "collector": source,
                "unit": "u",
                "status": "done",
                "started_at": started,
                "observed_from": since,
                "observed_to": until,
                "cases": [{"case": "c", "query_hash": "q"}],
            }
            for source, since, until, started in read
        ],
        schema=RUNS,
    )


@pytest.fixture(scope="module")
def posts() -> pl.DataFrame:
    """Three posts an hour and source for ten days; Reddit is missing from day 5 to day 7, 07:00."""
    rows = [
        {
            "case": "c",
            "query_hash": "q",
            "scorer": "v",
            "source": source,
            "via": "own",
            "post": f"{source}{hour}{k}",
            "at": day(1) + timedelta(hours=hour),
            "author": f"{source}{hour}{k}",
            "lang": "en",
            "status": "scored",
            "compound": compounds[k],
        }
        for hour in range(240)
        for source, compounds in (("bluesky", (-0.5, 0.5, 0)), ("reddit", (-0.5, -0.5, 0)))
        if source == "bluesky" or not 96 <= hour < 151
        for k in range(3)
    ]
    return pl.DataFrame(rows, schema=SCORED)


@pytest.fixture(scope="module")
def ledger() -> pl.DataFrame:
    stretches = [
        ("bluesky", day(1), day(11)),
        ("reddit", day(1), day(5)),
        ("reddit", day(7, 7), day(11)),
    ]
    pieces = [
        (
            source,
            since + timedelta(hours=h),
            since + timedelta(hours=h + 1),
            since + timedelta(hours=h + 1),
        )
        for source, since, until in stretches
        for h in range(int((until - since) / timedelta(hours=1)))
    ]
    return coverage.spans(runs(*pieces), case="c", query_hash="q")


def of(table: pl.DataFrame, source: str) -> dict[int, dict[str, object]]:
    rows = table.filter(pl.col("source") == source).iter_rows(named=True)
    return {row["start"].day: row for row in rows}


def test_every_bucket_of_the_window_has_a_row(posts, ledger) -> None:
    table = series_table(cells(posts), ledger, width="day")
    for source in ("bluesky", "reddit", "all", "standardised"):
        assert sorted(of(table, source)) == list(range(1, 11))
    assert table["end"].to_list() == (table["start"] + timedelta(days=1)).to_list()


def test_no_pooled_figure_where_a_source_is_missing(posts, ledger) -> None:
    table = series_table(cells(posts), ledger, width="day")
    for name in ("all", "standardised"):
        rows = of(table, name)
        assert [d for d in rows if rows[d]["collected"] == "none"] == [5, 6]
        assert [d for d in rows if rows[d]["collected"] == "part"] == [7]
        assert [d for d in rows if rows[d]["balance"] is None] == [5, 6]
    assert of(table, "bluesky")[5]["balance"] == 0
    assert of(table, "reddit")[5]["n"] == 0
    assert of(table, "all")[5]["n"] == 72  # the posts are counted, only no figure is made of them


def test_the_figures_are_those_of_the_series(posts, ledger) -> None:
    made = cells(posts)
    table = series_table(made, ledger, width="day")
    pooled = {row["start"].day: row for row in series(made, width="day").iter_rows(named=True)}
    by = series(made, width="day", by_source=True)
    level = {r["start"].day: r for r in standardised(by, weights(made)).iter_rows(named=True)}
    for number in (1, 4, 7, 10):
        for name in ("n", "n_neg", "balance", "balance_lo", "neg_share", "neg_hi"):
            assert of(table, "all")[number][name] == pooled[number][name]
        assert of(table, "standardised")[number]["balance"] == level[number]["balance"]
        assert of(table, "reddit")[number]["weight"] == pytest.approx(weights(made)["reddit"])


def test_what_was_read_late_is_marked(posts) -> None:
    late = coverage.spans(
        runs(("bluesky", day(1), day(11), day(30)), ("reddit", day(1), day(11), day(30))),
        case="c",
        query_hash="q",
    )
    assert series_table(cells(posts), late, width="day")["afterwards"].all()


def test_live_buckets_are_not_marked_late(posts, ledger) -> None:
    assert not series_table(cells(posts), ledger, width="day")["afterwards"].any()


def test_one_source_alone_is_not_standardised(posts, ledger) -> None:
    table = series_table(cells(posts), ledger, width="day", sources=["reddit"])
    assert set(table["source"]) == {"reddit", "all"}
    assert table["weight"].null_count() == table.height


def test_too_few_posts_give_counts_and_no_figure(posts, ledger) -> None:
    table = series_table(cells(posts), ledger, width="hour")
    assert table["balance"].null_count() == table.height
    assert not table["enough"].any()
    assert of(table, "bluesky")[1]["n"] == 3


def test_a_window_without_posts_is_empty(posts, ledger) -> None:
    assert series_table(cells(posts), ledger, width="day", since=day(20)).is_empty()


@pytest.mark.parametrize("width", ["hour", "6h", "day", "week"])
def test_no_post_is_lost_in_any_width(posts, ledger, width) -> None:
    table = series_table(cells(posts), ledger, width=width)
    for source, part in posts.group_by("source"):
        assert table.filter(pl.col("source") == source[0])["n"].sum() == part.height
    assert table.filter(pl.col("source") == "all")["n"].sum() == posts.height


def test_a_source_is_missing_even_where_the_window_holds_none_of_its_posts(posts, ledger) -> None:
    """The figure of a bucket must not depend on how much around it is shown."""
    made = cells(posts.filter((pl.col("source") == "bluesky") | (pl.col("at") < day(4))))
    whole = series_table(made, ledger, width="day")
    cut = series_table(made, ledger, width="day", since=day(5), until=day(7))
    for source in ("all", "bluesky", "reddit", "standardised"):
        for number in (5, 6):
            assert of(cut, source)[number] == of(whole, source)[number]
    assert of(cut, "all")[5]["balance"] is None


def test_a_file_is_marked_as_one_and_as_read_late(posts) -> None:
    file = runs(
        ("bluesky", day(1), day(10, 23), day(30)), ("reddit", day(1), day(10, 23), day(30))
    ).with_columns(collector=pl.lit("archive"), items=pl.lit(100, pl.Int64))
    spans = coverage.spans(file, case="c", query_hash="q")
    rows = of(series_table(cells(posts), spans, width="day"), "all")
    assert [rows[number]["collected"] for number in range(1, 11)] == ["file"] * 9 + ["part"]
    assert rows[3]["balance"] is not None
    assert all(row["afterwards"] for row in rows.values())


def test_without_a_ledger_nothing_is_claimed_to_be_read_in_full(posts) -> None:
    nothing = coverage.spans(pl.DataFrame(schema=RUNS), case="c", query_hash="q")
    table = series_table(cells(posts), nothing, width="day")
    assert "all" not in set(table["collected"])
