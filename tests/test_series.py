"""Cells, series and intervals, against a plain computation over posts."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import interval
from analysis.cells import COUNTS, IDENTITY, SUMS, WIDTHS
from analysis.series import (
    INTERVAL_NOTE,
    cells,
    peak,
    series,
    standardised,
    weights,
    window,
)
from store.schema import CELL_KEY, CELLS, SCORED

MONDAY = datetime(2025, 5, 5, tzinfo=UTC)
Post = dict[str, Any]


def frame(posts: list[Post]) -> pl.DataFrame:
    return pl.DataFrame(posts, schema=SCORED)


def post(number: int, **fields: Any) -> Post:
    made = {
        "case": "invented",
        "query_hash": "q",
        "scorer": "s",
        "source": "reddit",
        "via": "own",
        "post": f"p{number}",
        "at": MONDAY,
        "author": f"a{number}",
        "root": None,
        "lang": "en",
        "status": "scored",
        "compound": -0.5,
    } | fields
    made.setdefault("created_at", made["at"])
    if made["status"] != "scored":
        made["compound"] = None
    return made


def day(posts: list[Post], **options: Any) -> dict[str, Any]:
    rows = series(cells(frame(posts)), width="day", **options)
    assert rows.height == 1
    return rows.row(0, named=True)


@st.composite
def many(draw: st.DrawFn, *, size: int = 30) -> list[Post]:
    """Posts of a fortnight by few authors in few threads, now and then displaced or not scored."""
    posts = []
    for number in range(draw(st.integers(0, size))):
        at = MONDAY + timedelta(minutes=draw(st.integers(-3 * 1440, 11 * 1440)))
        shift = draw(st.sampled_from([0, 0, 0, 0, -1440, 1440, 1441, -1441, 99999, None]))
        posts.append(
            post(
                number,
                at=at,
                created_at=None if shift is None else at + timedelta(minutes=shift),
                author=draw(st.sampled_from(["a", "b", "c", None])),
                root=draw(st.sampled_from(["r", "t", None])),
                source=draw(st.sampled_from(["reddit", "bluesky"])),
                via=draw(st.sampled_from(["own", "taken", "thread"])),
                lang=draw(st.sampled_from(["en", "und"])),
                status=draw(st.sampled_from(["scored"] * 5 + ["language", "too_long", "marker"])),
                compound=draw(
                    st.sampled_from([-0.9, -0.0501, -0.05, -0.0499, 0, 0.0499, 0.05, 0.7])
                ),
            )
        )
    return posts


# The plain computation: loops and dicts, the definitions and nothing else.


def bucket(at: datetime, width: str) -> datetime:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if width == "week":
        return midnight - timedelta(days=at.weekday())
    hours = {"hour": 1, "6h": 6, "day": 24}[width]
    return midnight + timedelta(hours=at.hour // hours * hours)


def values(made: Post) -> dict[str, float]:
    compound = made["compound"]
    neg, pos = int(compound <= -0.05), int(compound >= 0.05)
    return {"balance": neg - pos, "neg": neg, "pos": pos, "compound": compound}


def plain_sums(posts: list[Post]) -> dict[str, float]:
    out = dict.fromkeys((*COUNTS, *SUMS), 0)
    clusters: dict[str, dict[Any, dict[str, float]]] = {
        kind: defaultdict(lambda: defaultdict(float)) for kind in ("author", "thread", "both")
    }
    for made in posts:
        declared = made["created_at"]
        if declared is not None and abs(declared - made["at"]) > timedelta(hours=24):
            out["n_displaced"] += 1
            continue
        if made["status"] != "scored":
            out[f"n_{made['status']}"] += 1
            continue
        y = values(made)
        out["n"] += 1
        out["n_neg"] += y["neg"]
        out["n_pos"] += y["pos"]
        out["n_neu"] += 1 - y["neg"] - y["pos"]
        out["sum_compound"] += y["compound"]
        out["sum_compound2"] += y["compound"] ** 2
        author = made["author"] or made["post"]
        thread = made["root"] or made["post"]
        for kind, key in (("author", author), ("thread", thread), ("both", (author, thread))):
            cluster = clusters[kind][key]
            cluster["n"] += 1
            for measure, value in y.items():
                cluster[measure] += value
    for kind, found in clusters.items():
        for cluster in found.values():
            out[f"{kind}_nn"] += cluster["n"] ** 2
            for m in ("balance", "neg", "pos", "compound"):
                out[f"{kind}_ny_{m}"] += cluster["n"] * cluster[m]
                out[f"{kind}_yy_{m}"] += cluster[m] ** 2
    return out


def plain_variance(s: dict[str, float], measure: str, total: float, floor: float) -> float:
    ratio = total / s["n"]
    by = {
        kind: (
            s[f"{kind}_yy_{measure}"]
            - 2 * ratio * s[f"{kind}_ny_{measure}"]
            + ratio**2 * s[f"{kind}_nn"]
        )
        / s["n"] ** 2
        for kind in ("author", "thread", "both")
    }
    return max(by["author"] + by["thread"] - by["both"], by["author"], by["thread"], floor)


def plain_figures(s: dict[str, float]) -> dict[str, float]:
    n, n_eff, z = s["n"], s["n"] ** 2 / s["author_nn"], 1.959963984540054
    neg, pos = s["n_neg"] / n, s["n_pos"] / n
    out = {"neg_share": neg, "pos_share": pos, "neu_share": s["n_neu"] / n}
    out["mean_compound"] = s["sum_compound"] / n
    out["balance"] = 100 * (neg - pos)
    more_neg, more_pos = (neg * n_eff + 1) / (n_eff + 2), (pos * n_eff + 1) / (n_eff + 2)
    floor = max(
        (neg + pos - (neg - pos) ** 2) / n_eff,
        (more_neg + more_pos - (more_neg - more_pos) ** 2) / (n_eff + 2),
    )
    error = 100 * z * math.sqrt(plain_variance(s, "balance", s["n_neg"] - s["n_pos"], floor))
    out["balance_lo"] = max(-100, out["balance"] - error)
    out["balance_hi"] = min(100, out["balance"] + error)
    for m, p in (("neg", neg), ("pos", pos)):
        size = n_eff
        if 0 < p < 1:
            size = p * (1 - p) / plain_variance(s, m, s[f"n_{m}"], p * (1 - p) / n_eff)
        centre = (p + z * z / (2 * size)) / (1 + z * z / size)
        half = z / (1 + z * z / size) * math.sqrt(p * (1 - p) / size + z * z / (4 * size**2))
        out[f"{m}_lo"], out[f"{m}_hi"] = max(0, centre - half), min(1, centre + half)
    return out


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=15)
@given(many())
def test_cells_equal_a_plain_computation_from_posts(posts: list[Post]) -> None:
    expected: dict[Any, list[Post]] = defaultdict(list)
    for made in posts:
        for width in WIDTHS:
            key = (*(made[name] for name in IDENTITY), width, bucket(made["at"], width))
            expected[key].append(made)
    found = {
        tuple(row[name] for name in CELL_KEY): row
        for row in cells(frame(posts)).iter_rows(named=True)
    }
    assert found.keys() == expected.keys()
    for key, group in expected.items():
        row, start = found[key], key[-1]
        assert {name: row[name] for name in (*COUNTS, *SUMS)} == close(plain_sums(group))
        assert row["week"] == bucket(start, "week").date()
        assert row["month"] == start.date().replace(day=1)


@settings(deadline=None, max_examples=15)
@given(many(), st.integers(1, 6))
def test_a_window_equals_a_plain_computation_from_posts(posts: list[Post], min_n: int) -> None:
    found, s = window(frame(posts), min_n=min_n), plain_sums(posts)
    assert {name: found[name] for name in COUNTS} == {name: s[name] for name in COUNTS}
    assert found["enough"] == (s["n"] >= min_n)
    expected = plain_figures(s) if s["n"] >= min_n else dict.fromkeys(plain_figures(ONE))
    for name, value in expected.items():
        assert found[name] == (None if value is None else close(value))


ONE = plain_sums([post(1)])


@settings(deadline=None, max_examples=15)
@given(many(), st.sampled_from(sorted(WIDTHS)))
def test_a_series_of_one_kind_of_post_equals_a_window_a_bucket(
    posts: list[Post], width: str
) -> None:
    alike = [made | {"via": "own", "lang": "en", "source": "reddit"} for made in posts]
    rows = series(cells(frame(alike)), width=width, min_n=2)
    assert rows["start"].is_sorted()
    for row in rows.iter_rows(named=True):
        inside = [made for made in alike if bucket(made["at"], width) == row["start"]]
        assert window(frame(inside), min_n=2) | {"start": row["start"]} == row
    assert rows.height == len({bucket(made["at"], width) for made in alike})


@settings(deadline=None, max_examples=15)
@given(many())
def test_counts_are_the_same_for_every_width(posts: list[Post]) -> None:
    made = cells(frame(posts))
    totals = [
        made.filter(pl.col("width") == width).select(pl.col(COUNTS).sum()).row(0)
        for width in WIDTHS
    ]
    assert len(set(totals)) == 1
    assert sum(dict(zip(COUNTS, totals[0], strict=True)).values()) == len(posts) + sum(
        totals[0][1:4]
    )


@settings(deadline=None, max_examples=15)
@given(many())
def test_shares_and_bounds_stay_where_they_can_be(posts: list[Post]) -> None:
    rows = series(cells(frame(posts)), width="week", min_n=1).filter("enough")
    for row in rows.iter_rows(named=True):
        shares = [row[f"{m}_share"] for m in ("neg", "neu", "pos")]
        assert sum(shares) == close(1)
        assert all(0 <= share <= 1 for share in shares)
        assert -100 <= row["balance_lo"] <= row["balance"] <= row["balance_hi"] <= 100
        assert row["balance"] == close(100 * (row["neg_share"] - row["pos_share"]))
        for m in ("neg", "pos"):
            assert 0 <= row[f"{m}_lo"] <= row[f"{m}_share"] <= row[f"{m}_hi"] <= 1
            assert row[f"{m}_lo"] < row[f"{m}_hi"]
        assert row["balance_lo"] < row["balance_hi"]


@settings(deadline=None, max_examples=15)
@given(many(), many())
def test_cells_of_two_sources_add_up(left: list[Post], right: list[Post]) -> None:
    one = [made | {"source": "reddit"} for made in left]
    other = [made | {"source": "bluesky"} for made in right]
    together = cells(frame(one + other))
    apart = pl.concat([cells(frame(one)), cells(frame(other))])
    key = [*IDENTITY, "width", "start"]
    assert together.select(*key, *COUNTS).equals(apart.sort(key).select(*key, *COUNTS))
    pooled = series(together, width="week", min_n=1)
    by_source = series(together, width="week", min_n=1, by_source=True)
    assert pooled.select("start", "n", "n_neg").equals(
        by_source.group_by("start").agg(pl.col("n", "n_neg").sum()).sort("start")
    )


@settings(deadline=None, max_examples=15)
@given(many(), st.sampled_from(["language", "too_long", "marker"]))
def test_a_post_that_is_not_scored_changes_no_figure(posts: list[Post], status: str) -> None:
    other = post(999, status=status, author="a", root="r")
    before, after = (window(frame(p), min_n=1) for p in (posts, [*posts, other]))
    counts = {"n_not_scored", f"n_{status}"}
    assert {k: v for k, v in after.items() if k not in counts} == {
        k: v for k, v in before.items() if k not in counts
    }
    assert all(after[name] == before[name] + 1 for name in counts)


@settings(deadline=None, max_examples=15)
@given(many())
def test_a_displaced_post_is_counted_and_nothing_else(posts: list[Post]) -> None:
    other = post(999, created_at=MONDAY - timedelta(hours=24, microseconds=1), author="a")
    before, after = (window(frame(p), min_n=1) for p in (posts, [*posts, other]))
    assert after == before | {"n_displaced": before["n_displaced"] + 1}


def mixed(n: int, negative: int, **fields: Any) -> list[Post]:
    """n posts, each by another author in another thread; the first `negative` are negative."""
    return [
        post(number, compound=-0.5 if number < negative else 0.5, **fields) for number in range(n)
    ]


def width_of(posts: list[Post], measure: str) -> float:
    found = window(frame(posts), min_n=1)
    return float(found[f"{measure}_hi"] - found[f"{measure}_lo"])


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 30), st.data(), st.integers(2, 5), st.sampled_from(["balance", "neg", "pos"]))
def test_the_interval_shrinks_with_independent_posts(
    n: int, data: st.DataObject, times: int, measure: str
) -> None:
    negative = data.draw(st.integers(0, n))
    fewer, more = mixed(n, negative), mixed(n * times, negative * times)
    assert width_of(more, measure) < width_of(fewer, measure)


@settings(deadline=None, max_examples=15)
@given(st.integers(5, 30), st.data(), st.integers(1, 4), st.booleans())
def test_the_interval_does_not_shrink_when_one_author_repeats_what_all_say(
    n: int, data: st.DataObject, times: int, one_thread: bool
) -> None:
    voices = mixed(n, data.draw(st.integers(0, n)))
    loud = [
        made
        | {"post": f"{made['post']}-{k}", "author": "loud"}
        | ({"root": "loud"} if one_thread else {})
        for made in voices
        for k in range(times)
    ]
    before, after = (window(frame(p), min_n=1) for p in (voices, voices + loud))
    assert after["balance"] == before["balance"]
    assert after["balance_se"] >= before["balance_se"]
    for m in ("neg", "pos"):
        assert after[f"{m}_lo"] <= before[f"{m}_lo"] + 1e-12
        assert after[f"{m}_hi"] >= before[f"{m}_hi"] - 1e-12


@settings(deadline=None, max_examples=15)
@given(st.integers(5, 30), st.data(), st.integers(1, 300), st.booleans())
def test_one_author_s_repetition_is_never_more_evidence_than_the_voices_there_were(
    n: int, data: st.DataObject, times: int, one_thread: bool
) -> None:
    """Repetition moves the share, and a share nearer 0 or 1 varies less; so the bounds are compared
    with those of as many independent posts as there were voices, at the share it moved to."""
    voices = mixed(n, data.draw(st.integers(0, n)))
    loud = data.draw(st.sampled_from(voices))
    copies = [
        loud | {"post": f"copy{k}", "root": loud["post"] if one_thread else None}
        for k in range(times)
    ]
    found, z = window(frame(voices + copies), min_n=1), interval.Z
    for m in ("neg", "pos"):
        p = found[f"{m}_share"]
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert found[f"{m}_lo"] <= max(0, centre - half) + 1e-12
        assert found[f"{m}_hi"] >= min(1, centre + half) - 1e-12


def test_one_account_with_500_of_600_posts_leaves_little_certain() -> None:
    crowd = mixed(100, 50)
    flood = [post(1000 + k, author="loud", compound=-0.5) for k in range(500)]
    found = window(frame(crowd + flood))
    assert found["neg_hi"] - found["neg_lo"] > 0.4
    assert width_of(mixed(600, 550), "neg") < 0.06


def test_one_thread_of_many_authors_is_wider_than_many_threads() -> None:
    apart = mixed(60, 30)
    together = [made | {"root": f"t{index // 30}"} for index, made in enumerate(apart)]
    assert width_of(together, "neg") > 2 * width_of(apart, "neg")


@pytest.mark.parametrize("n", [30, 100, 1_000])
def test_agreement_of_all_posts_is_not_certainty(n: int) -> None:
    none = window(frame(mixed(n, 0)))
    assert none["neg_share"] == none["neg_lo"] == 0
    # the rule of three gives 3/n; Wilson's bound is z^2/(n + z^2)
    assert 3 / n < none["neg_hi"] == close(interval.Z**2 / (n + interval.Z**2))
    assert none["balance"] == none["balance_lo"] == -100
    assert none["balance_hi"] > -100 + 100 * 3 / n
    neutral = window(frame([post(number, compound=0.0) for number in range(n)]))
    assert neutral["balance"] == 0
    assert neutral["balance_hi"] == close(-neutral["balance_lo"])
    assert neutral["balance_hi"] > 0


def test_posts_without_an_author_are_as_many_voices() -> None:
    assert window(frame(mixed(40, 10, author=None))) == window(frame(mixed(40, 10)))


def test_up_is_worse() -> None:
    assert day(mixed(40, 30))["balance"] == close(50)
    assert day(mixed(40, 10))["balance"] == close(-50)


def test_a_bucket_below_the_minimum_has_counts_and_no_figure() -> None:
    few, enough = day(mixed(29, 10)), day(mixed(30, 10))
    assert (few["n"], few["n_neg"], few["enough"]) == (29, 10, False)
    counts = ("start", "enough", "n")
    figures = [name for name in few if name not in counts and name[:2] not in ("n_", "r_")]
    assert {few[name] for name in figures} == {None}
    assert None not in enough.values()
    assert day([post(1, status="language")], min_n=0)["enough"] is False


def test_no_posts_give_an_empty_series_and_a_window_without_figures() -> None:
    assert cells(frame([])).schema == CELLS
    assert cells(frame(mixed(3, 1))).schema == CELLS
    empty = series(cells(frame([])), width="day")
    assert empty.is_empty()
    assert empty.schema == series(cells(frame(mixed(3, 1))), width="day").schema
    nothing = window(frame([]))
    assert (nothing["n"], nothing["balance"], nothing["enough"]) == (0, None, False)
    assert window(frame(mixed(3, 1))).keys() == nothing.keys()
    assert weights(cells(frame([]))) == {}
    assert peak(empty) is None


def test_weeks_start_on_monday_and_belong_to_the_month_they_start_in() -> None:
    at = datetime(2025, 6, 1, 23, 59, 59, 999999, tzinfo=UTC)  # a Sunday
    week = cells(frame([post(1, at=at)])).filter(pl.col("width") == "week").row(0, named=True)
    assert week["start"] == datetime(2025, 5, 26, tzinfo=UTC)
    assert (week["week"].isoformat(), week["month"].isoformat()) == ("2025-05-26", "2025-05-01")
    later = cells(frame([post(1, at=at + timedelta(microseconds=1))]))
    assert set(later["week"].dt.to_string()) == {"2025-06-02"}


def test_filters_choose_sources_languages_via_and_time() -> None:
    posts = [
        post(1),
        post(2, source="bluesky"),
        post(3, via="thread"),
        post(4, via="taken"),
        post(5, lang="und", status="language"),
        post(6, at=MONDAY + timedelta(days=1)),
    ]
    made = cells(frame(posts))

    def count(**options: Any) -> tuple[int, int]:
        rows = series(made, width="day", **options)
        return rows["n"].sum(), rows["n_not_scored"].sum()

    assert count() == (4, 1)
    assert count(sources=["bluesky"]) == (1, 0)
    assert count(langs=["en"]) == (4, 0)
    assert count(via=["thread"]) == (1, 0)
    assert count(since=MONDAY + timedelta(days=1)) == (1, 0)
    assert count(until=MONDAY + timedelta(days=1)) == (3, 1)
    assert count(sources=[]) == (0, 0)


@pytest.mark.parametrize("column", ["case", "query_hash", "scorer"])
def test_two_cases_queries_or_scorers_are_never_drawn_as_one(column: str) -> None:
    posts = frame([post(1), post(2, **{column: "other"})])
    for drawn in (lambda: series(cells(posts), width="day"), lambda: window(posts)):
        with pytest.raises(ValueError, match="one case, query and scorer"):
            drawn()


def test_an_unknown_width_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="hour, 6h, day, week"):
        series(cells(frame([post(1)])), width="month")


def two_sources(reddit: int, bluesky: int) -> pl.DataFrame:
    posts = mixed(reddit, reddit) + [
        made | {"post": f"b{made['post']}", "author": f"b{made['author']}", "source": "bluesky"}
        for made in mixed(bluesky, 0)
    ]
    return cells(frame(posts))


def test_fixed_weights_hold_while_the_mix_of_sources_moves() -> None:
    fixed = weights(two_sources(60, 40))
    assert fixed == {"bluesky": close(0.4), "reddit": close(0.6)}
    moved = series(two_sources(40, 120), width="day", by_source=True)
    row = standardised(moved, fixed).row(0, named=True)
    assert row["balance"] == close(20)  # 0.6 * 100 - 0.4 * 100, not (40 - 120) / 160
    assert row["n"] == 160
    errors = dict(moved.select("source", "balance_se").iter_rows())
    error = interval.Z * math.hypot(0.6 * errors["reddit"], 0.4 * errors["bluesky"])
    assert (row["balance_lo"], row["balance_hi"]) == (close(20 - error), close(20 + error))


@pytest.mark.parametrize("bluesky", [0, 29])
def test_there_is_no_standardised_figure_where_a_source_is_missing(bluesky: int) -> None:
    fixed = {"reddit": 0.5, "bluesky": 0.5}
    row = standardised(series(two_sources(60, bluesky), width="day", by_source=True), fixed).row(
        0, named=True
    )
    assert (row["balance"], row["balance_lo"], row["balance_hi"]) == (None, None, None)
    assert row["n"] == 60 + bluesky


def test_weights_count_headline_posts_only() -> None:
    posts = [post(1), post(2, source="bluesky"), post(3, source="bluesky", via="thread")]
    assert weights(cells(frame(posts))) == {"bluesky": 0.5, "reddit": 0.5}


def test_the_peak_is_the_worst_day_with_enough_posts() -> None:
    def on(days: int, n: int, negative: int) -> list[Post]:
        at = MONDAY + timedelta(days=days)
        return [
            made | {"post": f"{days}{made['post']}", "at": at, "created_at": at}
            for made in mixed(n, negative)
        ]

    posts = on(0, 40, 20) + on(1, 40, 30) + on(2, 10, 10) + on(3, 80, 60)
    found = peak(series(cells(frame(posts)), width="day"))
    assert found is not None
    assert (found["start"], found["balance"], found["n"]) == (
        MONDAY + timedelta(days=1),
        close(50),
        40,
    )
    assert peak(series(cells(frame(on(0, 29, 29))), width="day")) is None


def test_the_interval_is_named_for_what_it_holds() -> None:
    assert INTERVAL_NOTE == "sampling noise only, scorer error not included"
