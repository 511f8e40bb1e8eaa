"""What the ledger says was read, and what it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.coverage import GAPS, SPANS, STRETCH, afterwards, coverage, gaps, percent, spans
from store.schema import RUNS

START = datetime(2025, 5, 9, tzinfo=UTC)


def hour(x: float) -> datetime:
    return START + timedelta(hours=x)


def run(since: float | None, until: float | None, **fields: Any) -> dict[str, Any]:
    """A run that read these hours; started when they were over unless said otherwise."""
    return {
        "run_id": "r",
        "collector": "bluesky_search",
        "source": "bluesky",
        "cases": [{"case": "c", "query_hash": "q"}],
        "unit": "phrase",
        "started_at": hour(until or 0),
        "observed_from": None if since is None else hour(since),
        "observed_to": None if until is None else hour(until),
        "status": "done",
    } | fields


def ledger(*runs: dict[str, Any]) -> pl.DataFrame:
    return spans(pl.DataFrame(list(runs), schema=RUNS), case="c", query_hash="q")


def covered(found: pl.DataFrame) -> list[tuple[float, float]]:
    return [
        ((start - START) / timedelta(hours=1), (end - START) / timedelta(hours=1))
        for start, end in found.filter(pl.col("status") == "covered")
        .select("start", "end")
        .iter_rows()
    ]


def gaps_of(found: pl.DataFrame, since: float = -9999, until: float = 9999) -> list[Any]:
    return [
        ((start - START) / timedelta(hours=1), (end - START) / timedelta(hours=1), reason)
        for _, start, end, reason in gaps(found, since=hour(since), until=hour(until)).iter_rows()
    ]


def share(found: pl.DataFrame, since: float, until: float, *sources: str) -> float | None:
    return coverage(found, sources=sources, since=hour(since), until=hour(until))


def test_an_empty_ledger_covers_nothing() -> None:
    found = ledger()
    assert found.schema == SPANS
    assert gaps(found, since=hour(0), until=hour(9)).schema == GAPS
    assert afterwards(found, since=hour(0), until=hour(9)).schema == STRETCH
    assert share(found, 0, 9, "bluesky") == 0
    assert found.is_empty()


def test_only_whole_hours_are_covered() -> None:
    assert covered(ledger(run(0.5, 3.9))) == [(1, 3)]
    assert covered(ledger(run(0.1, 0.9))) == []
    assert covered(ledger(run(1, 3))) == [(1, 3)]


def test_runs_that_meet_inside_an_hour_cover_it_together() -> None:
    assert covered(ledger(run(0, 2.4), run(2.4, 5))) == [(0, 5)]
    assert covered(ledger(run(2.4, 5), run(0, 3.1))) == [(0, 5)]
    assert covered(ledger(run(0, 2.4), run(2.5, 5))) == [(0, 2), (3, 5)]


@pytest.mark.parametrize("status", ["capped", "failed"])
def test_a_capped_or_failed_hour_is_not_covered_and_says_so(status: str) -> None:
    found = ledger(run(0, 3), run(3, 5, status=status), run(5, 8))
    assert covered(found) == [(0, 3), (5, 8)]
    assert gaps_of(found) == [(3, 5, status)]
    assert share(found, 0, 8, "bluesky") == 6 / 8


def test_a_second_try_that_succeeds_closes_the_gap() -> None:
    found = ledger(run(0, 3), run(3, 5, status="failed"), run(5, 8), run(2, 6))
    assert gaps_of(found) == []
    assert covered(found) == [(0, 8)]


def test_what_a_partial_run_read_is_covered_and_the_rest_is_not() -> None:
    found = ledger(run(0, 3.5, status="partial"), run(6, 8))
    assert covered(found) == [(0, 3), (6, 8)]
    assert gaps_of(found) == [(3, 6, "not collected")]


@pytest.mark.parametrize("status", ["running", "killed"])
def test_a_run_that_did_not_end_covers_nothing(status: str) -> None:
    assert ledger(run(0, 3, status=status)).is_empty()


@pytest.mark.parametrize("status", ["running", "failed", "capped"])
def test_what_the_stream_read_is_covered_however_its_run_ended(status: str) -> None:
    # Ten days of following, begun when they began, and killed or still going on.
    followed = run(0, 240, collector="bluesky-stream", status=status, started_at=hour(0))
    found = ledger(followed, run(241, 243, collector="bluesky-stream", started_at=hour(243)))
    assert covered(found) == [(0, 240), (241, 243)]
    assert found["live"].all()
    assert gaps_of(found, until=243) == [(240, 241, "not collected")]


def test_a_run_that_observed_nothing_covers_nothing() -> None:
    assert ledger(run(None, None), run(3, 3), run(None, 3)).is_empty()


def test_another_case_or_query_is_another_ledger() -> None:
    other = [{"case": "c", "query_hash": "old"}, {"case": "d", "query_hash": "q"}]
    assert ledger(run(0, 3, cases=other)).is_empty()
    both = [*other, {"case": "c", "query_hash": "q"}]
    assert covered(ledger(run(0, 3, cases=both))) == [(0, 3)]


def test_an_hour_counts_when_every_unit_of_the_collector_was_read() -> None:
    found = ledger(
        run(0, 6, unit="one phrase"),
        run(0, 2, unit="another phrase"),
        run(4, 6, unit="another phrase"),
    )
    assert covered(found) == [(0, 2), (4, 6)]
    assert gaps_of(found) == [(2, 4, "not collected")]


def test_one_collector_of_a_source_is_enough() -> None:
    found = ledger(run(0, 4, status="capped"), run(0, 4, collector="bluesky_stream", unit=""))
    assert gaps_of(found) == []
    assert share(found, 0, 4, "bluesky") == 1


FILE = {"collector": "archive", "source": "reddit", "items": 1000, "bad": 0}


def test_a_file_bounds_a_time_and_never_covers_its_platform() -> None:
    found = ledger(run(0, 3, unit="may.zst", **FILE), run(5, 7, unit="june.zst", **FILE))
    assert covered(found) == []
    assert found["status"].to_list() == ["file", "file"]
    assert not found["live"].any()
    assert gaps_of(found) == [(3, 5, "not collected")]
    assert share(found, 0, 7, "reddit") is None
    assert percent(share(found, 0, 7, "reddit")) == "not known"


def test_two_posts_years_apart_claim_no_coverage() -> None:
    found = ledger(run(0, 24 * 365 * 17, **FILE))
    assert share(found, 0, 24 * 365, "reddit") is None


def test_monthly_files_that_meet_leave_no_gap() -> None:
    """The first ends at 23:58, the next begins at 00:01: nobody left anything out between them."""
    found = ledger(run(0, 743.97, unit="may", **FILE), run(744.02, 1000, unit="june", **FILE))
    assert gaps_of(found) == []


@pytest.mark.parametrize("fields", [{"status": "partial"}, {"bad": 11}])
def test_the_time_of_a_damaged_or_unreadable_file_counts_as_unread(fields: dict[str, Any]) -> None:
    found = ledger(run(0, 4, **(FILE | fields)))
    assert gaps_of(found) == [(0, 4, "failed")]


def test_live_hours_beside_a_file_are_covered() -> None:
    found = ledger(run(0, 10, **FILE), run(4, 8, collector="reddit", source="reddit"))
    assert share(found, 4, 8, "reddit") == 1
    assert share(found, 0, 8, "reddit") == 0.5
    assert gaps_of(found) == []


def test_time_before_the_first_and_after_the_last_hour_is_no_gap_but_lowers_coverage() -> None:
    found = ledger(run(2.5, 5.5))
    assert gaps_of(found, 0, 10) == []
    assert share(found, 0, 10, "bluesky") == 2 / 10


def test_gaps_are_cut_to_the_window() -> None:
    found = ledger(run(0, 2), run(8, 9))
    assert gaps_of(found, 3.5, 5) == [(3.5, 5, "not collected")]
    assert gaps_of(found, 8, 9) == []


def test_a_source_never_read_counts_as_missed() -> None:
    found = ledger(run(0, 10))
    assert share(found, 0, 10, "bluesky", "reddit") == 0.5
    assert share(found, 0, 10) is None
    assert share(found, 5, 5, "bluesky") is None


def test_hours_read_more_than_48_hours_later_were_collected_afterwards() -> None:
    found = ledger(run(0, 100, started_at=hour(100)))
    late = afterwards(found, since=hour(-5), until=hour(200))
    assert late.rows() == [("bluesky", hour(0), hour(52))]
    assert afterwards(found, since=hour(50), until=hour(60)).rows() == [
        ("bluesky", hour(50), hour(52))
    ]


def test_an_hour_read_live_once_stays_live() -> None:
    found = ledger(run(0, 10, started_at=hour(12)), run(0, 20, started_at=hour(900)))
    assert afterwards(found, since=hour(0), until=hour(20)).rows() == [
        ("bluesky", hour(10), hour(20))
    ]
    stream = run(0, 10, collector="bluesky_stream", started_at=hour(-1))
    found = ledger(stream, run(0, 10, started_at=hour(900)))
    assert afterwards(found, since=hour(0), until=hour(20)).is_empty()


def test_an_hour_is_live_only_if_every_unit_was_read_live() -> None:
    found = ledger(run(0, 3, unit="a"), run(0, 3, unit="b", started_at=hour(500)))
    assert afterwards(found, since=hour(0), until=hour(3)).height == 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 90),
            st.integers(1, 40),
            st.sampled_from(["done", "partial", "capped", "failed", "running"]),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["bluesky_search", "bluesky_stream"]),
        ),
        max_size=10,
    )
)
def test_coverage_and_gaps_equal_a_plain_count_of_hours(
    drawn: list[tuple[int, int, str, str, str]],
) -> None:
    """In quarters of an hour: an hour is read if every unit of one collector read its four."""
    runs = [
        run(a / 4, (a + size) / 4, status=status, unit=unit, collector=collector)
        for a, size, status, unit, collector in drawn
    ]
    ended = [d for d in drawn if d[2] != "running"]
    read, seen = set(), set()
    for h in range(40):
        for collector in {d[4] for d in ended}:
            units = {d[3] for d in ended if d[4] == collector}
            if all(
                all(
                    any(
                        d[0] <= quarter < d[0] + d[1]
                        for d in ended
                        if d[2] in ("done", "partial") and d[3] == unit and d[4] == collector
                    )
                    for quarter in range(4 * h, 4 * h + 4)
                )
                for unit in units
            ):
                read.add(h)
        if h in read or any(
            d[0] < 4 * h + 4 and d[0] + d[1] > 4 * h for d in ended if d[2] in ("capped", "failed")
        ):
            seen.add(h)
    found = ledger(*runs)
    assert share(found, 0, 40, "bluesky") == pytest.approx(len(read) / 40)
    missing = {h for start, end, _ in gaps_of(found) for h in range(int(start), int(end))}
    assert missing == ({*range(min(seen), max(seen) + 1)} - read if seen else set())


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (1.0, "100 %"),
        (0.9998, "99.9 %"),
        (0.99999999, "99.9 %"),
        (0.29, "29.0 %"),
        (0.58, "58.0 %"),
        (0.0, "0.0 %"),
        (1e-12, "0.0 %"),
        (None, "not known"),
    ],
)
def test_coverage_never_rounds_up(x: float | None, text: str) -> None:
    assert percent(x) == text


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_less_than_all_never_reads_as_all(x: float) -> None:
    assert float(percent(x).removesuffix(" %")) <= x * 100 + 1e-9
    assert not percent(x).startswith("100")


def test_history_of_a_search_is_covered_by_all_phrases_only_and_never_live() -> None:
    """As `bluesky-search` writes its ledger: a row for each phrase, read months later."""
    asked = {"bluesky-search": ("one phrase", "another")}
    later = {"collector": "bluesky-search", "started_at": hour(24 * 500)}
    first = run(0, 48, unit="one phrase", **later)
    side = run(None, None, unit="replies and quotes", **later)
    unread = run(None, None, unit="another", status="partial", gap=True, **later)

    def found(*runs: dict[str, Any]) -> pl.DataFrame:
        frame = pl.DataFrame(list(runs), schema=RUNS)
        return spans(frame, case="c", query_hash="q", asked=asked)

    # What the run came to says nothing of the phrase it did not come to, row or no row.
    assert covered(found(first, side)) == []
    assert covered(found(first, unread, side)) == []
    whole = found(first, unread, side, run(0, 36, unit="another", **later))
    assert covered(whole) == [(0, 36)]
    late = afterwards(whole, since=hour(0), until=hour(48))
    assert late.rows() == [("bluesky", hour(0), hour(36))]
    # What the stream reads live is covered by itself, whatever search has read of it.
    stream = run(24, 30, collector="bluesky-stream", unit="jetstream", started_at=hour(24))
    both = found(first, run(0, 36, unit="another", **later), stream)
    late = afterwards(both, since=hour(0), until=hour(48))
    assert [(a, b) for _, a, b in late.rows()] == [(hour(0), hour(24)), (hour(30), hour(36))]
