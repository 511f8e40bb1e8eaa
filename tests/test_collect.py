"""`aftershock collect` as cron and people meet it: who runs, what is said, and how it ends."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from collecting import Planned, planned

import cases.case as case_files
import collectors
from cli.collect import alone, collect_each
from cli.halting import halting
from cli.watching import Pace, line
from collectors.errors import TryLaterError
from collectors.settings import Settings, Step
from store.tables import Store

CASE = """
title = "Tootle terms"
platform = "Tootle"
summary = "Invented for the tests."
since = 2025-01-01
languages = ["en"]
query = "tootle AND ai"
"""
DONE = {"status": "done", "why": "read to the end"}


@pytest.fixture
def plans(home, monkeypatch) -> Iterator[Planned]:
    (home.cases / "tootle.toml").write_text(CASE)
    yield planned(home.folder / "collectors", monkeypatch)
    for name in collectors.COLLECTORS:
        sys.modules.pop(f"collectors.{name.replace('-', '_')}", None)


def ledger() -> list[dict[str, object]]:
    return Store.open().scan("runs").sort("started_at").collect().to_dicts()


def stored() -> int:
    return int(Store.open().scan("posts").select(pl.len()).collect().item())


def test_what_has_no_login_and_was_not_asked_for_is_no_error(plans, aftershock) -> None:
    ended = aftershock("collect", "--case", "tootle")
    assert ended.code == 0
    for name in collectors.COLLECTORS:
        assert f"{name}: no login; run aftershock setup" in ended.out


def test_one_case_reads_the_stream_for_every_case(plans, aftershock, home) -> None:
    (home.cases / "fnord.toml").write_text(CASE.replace("tootle AND ai", "fnord"))
    plans.write("bluesky-stream", {"post": "a1", "text": "fnord"}, DONE)
    plans.write("reddit", {"post": "b1", "text": "fnord"}, DONE)
    assert aftershock("collect", "--case", "tootle").code == 0
    assert stored() == 1  # the cursor has passed it, so nobody would read it again
    read_for = {row["collector"]: {one["case"] for one in row["cases"]} for row in ledger()}
    assert {"tootle", "fnord"} <= read_for["bluesky-stream"]
    assert read_for["reddit"] == {"tootle"}


def test_what_was_asked_for_by_name_and_has_no_login_ends_with_78(plans, aftershock) -> None:
    ended = aftershock("collect", "reddit", "--case", "tootle")
    assert ended.code == 78
    assert "reddit: no login; run aftershock setup" in ended.err
    assert "bluesky" not in ended.err + ended.out


@pytest.mark.parametrize(
    ("kind", "code"), [("later", 75), ("unfit", 78), ("failed", 1), ("mistake", 1)]
)
def test_an_error_is_one_sentence_and_the_other_collectors_still_run(
    plans, aftershock, kind, code
) -> None:
    plans.write("bluesky-stream", {"post": "a1"}, {"raise": kind, "words": "The host is down."})
    plans.write("reddit", {"post": "b1", **DONE})
    ended = aftershock("collect", "--case", "tootle")
    assert ended.code == code
    assert ended.err.count("bluesky-stream: ") == 1
    assert "Traceback" not in ended.err
    assert stored() == 2  # what came before the error is kept as well
    first, second = ledger()
    assert (first["status"], second["status"]) == ("failed", "done")


def test_a_mistake_of_a_collector_is_told_by_its_place_and_never_by_its_words(
    plans, aftershock
) -> None:
    plans.write("reddit", {"raise": "mistake", "words": "somebody's post"})
    ended = aftershock("collect", "--case", "tootle")
    assert "KeyError" in ended.err
    assert "somebody's post" not in ended.err
    assert "somebody's post" not in str(ledger())


def test_a_person_is_needed_before_a_retry_is(plans, aftershock) -> None:
    plans.write("bluesky-stream", {"raise": "later", "words": "The host is down."})
    plans.write("reddit", {"raise": "unfit", "words": "The password is wrong."})
    assert aftershock("collect", "--case", "tootle").code == 78


def test_each_unit_says_why_it_ended_and_nothing_read_says_why(plans, aftershock) -> None:
    plans.write(
        "reddit",
        {"post": "b1", "unit": "one", **DONE},
        {"unit": "two", "status": "capped", "why": "the source gives no more than 1,000"},
    )
    said = aftershock("collect", "reddit", "--case", "tootle").out.splitlines()
    assert any(
        "reddit one: 1 read, 1 kept, 1 new; done: read to the end; "
        "read in full: 2025-05-09 08:00 to 2025-05-09 12:00" in one
        for one in said
    )
    assert any("capped: the source gives no more than 1,000" in one for one in said)
    assert any("1 of 2 not read to the end" in one for one in said)


def test_lines_of_a_log_begin_with_their_time(plans, aftershock) -> None:
    plans.write("reddit", {"post": "b1", **DONE})
    for one in aftershock("collect", "reddit", "--case", "tootle").out.splitlines():
        at = datetime.fromisoformat(one.split("Z ")[0]).replace(tzinfo=UTC)
        assert abs(datetime.now(UTC) - at) < timedelta(hours=1)


def test_json_tells_the_same_to_machines(plans, aftershock) -> None:
    plans.write("reddit", {"post": "b1", **DONE}, {"raise": "later", "words": "Down."})
    ended = aftershock("collect", "--case", "tootle", "--json")
    assert ended.code == 75
    stream, _, reddit = ended.json()
    assert (stream["ran"], reddit["ran"]) == (False, True)
    assert reddit["sentence"] == "reddit: Down."
    (unit,) = reddit["units"]
    assert (unit["read"], unit["kept"], unit["new"], unit["status"]) == (1, 1, 1, "done")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--since", "2025-13-01"), "expected a day such as"),
        (("--until", "soon"), "expected a day such as"),
        (("--since", "2025-05-02", "--until", "2025-05-02"), "is not before"),
        (("--since", "2999-01-01"), "lies in the future"),
        (("--lookback", "37h"), "keeps 36 hours"),
        (("--lookback", "0h"), "keeps 36 hours"),
        (("--lookback", "yesterday"), "90m or 6h"),
        (("--budget", "0"), "greater than"),
        (("reddit", "--follow"), "only bluesky-stream can"),
        (("usenet",), "bluesky-search"),
    ],
)
def test_what_is_mistyped_ends_with_2_and_asks_no_source(
    plans, aftershock, words, sentence
) -> None:
    plan = plans.write("reddit", {"post": "b1", **DONE})
    ended = aftershock("collect", *words)
    assert ended.code == 2
    assert sentence in ended.err
    assert not plan.with_suffix(".settings").exists()


def test_options_reach_the_collectors_in_utc_and_the_future_is_cut_off(plans, aftershock) -> None:
    plan = plans.write("reddit", {"post": "b1", **DONE})
    aftershock(
        *("collect", "reddit", "--case", "tootle", "--since", "2025-05-09T02:00+02:00"),
        *("--until", "2999-01-01", "--budget", "7", "--lookback", "90m"),
    )
    given = plan.with_suffix(".settings").read_text()
    assert "since=datetime.datetime(2025, 5, 9, 0, 0, tzinfo=datetime.timezone.utc)" in given
    assert "until=datetime.datetime(2999" not in given
    assert "until=datetime.datetime(" in given
    assert "budget=7" in given
    assert "lookback=datetime.timedelta(seconds=5400)" in given


def test_no_password_is_in_what_a_run_says_or_keeps(plans, aftershock, monkeypatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_BLUESKY_APP_PASSWORD", "abcd-efgh-ijkl-mnop")
    plan = plans.write("reddit", {"post": "b1"}, {"raise": "failed", "words": "Broken."})
    ended = aftershock("collect", "reddit", "--case", "tootle", "--json")
    assert "abcd-efgh" not in ended.out + ended.err + str(ledger())
    assert "abcd-efgh" not in plan.with_suffix(".settings").read_text()  # its repr


def test_a_second_run_of_a_collector_leaves_it_to_the_first(plans, aftershock, home) -> None:
    plans.write("reddit", {"post": "b1", **DONE})
    plans.write("bluesky-search", {"post": "c1", **DONE})
    with alone("reddit", Store.open(), home.folder / "cache" / "aftershock"):
        ended = aftershock("collect", "--case", "tootle")
    assert ended.code == 75
    assert "another run of it" in ended.err
    assert stored() == 1  # the other collector ran
    assert aftershock("collect", "--case", "tootle").code == 0


def test_runs_into_two_stores_are_not_in_each_others_way(home, monkeypatch) -> None:
    one = Store.open(str(home.folder / "one"))
    two = Store.open(str(home.folder / "two"))
    with alone("reddit", one, home.folder), alone("reddit", two, home.folder):
        pass
    with (
        alone("reddit", one, home.folder),
        pytest.raises(TryLaterError),
        alone("reddit", one, home.folder),
    ):
        pass


def wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists():
            return
        time.sleep(0.05)
    pytest.fail(f"{path.name} did not come")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_following_keeps_everything_and_the_unit_is_done(plans, number) -> None:
    plan = plans.write("bluesky-stream", {"post": "a1"}, {"post": "a2"}, {"wait": True})
    with plans.process("collect", "bluesky-stream", "--case", "tootle", "--follow") as process:
        wait_for(plan.with_suffix(".waiting"))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "2 kept, 2 new; done: stopped by " in out
    assert stored() == 2
    (row,) = ledger()
    assert (row["status"], row["gap"], row["cursor_after"]) == ("done", False, "2")
    assert row["observed_to"] == datetime(2025, 5, 9, 12, tzinfo=UTC)


def test_the_clock_ends_a_reading_and_what_was_read_stays(plans, home) -> None:
    plans.write("bluesky-stream", {"post": "a1"}, {"alarm": True, "post": "a2"})
    plans.write("reddit", {"post": "b1", **DONE})
    store, case = Store.open(), case_files.get("tootle")
    with halting(seconds=600) as halt:
        outcomes = list(collect_each(store, [case], Settings(home.folder), halt=halt))
    assert [one.code for one in outcomes] == [0, 0, 0]
    assert stored() == 1  # nothing is begun when the time is over
    (row,) = ledger()
    assert (row["status"], row["cursor_after"]) == ("partial", "1")
    assert row["stop_reason"] == "stopped by the clock after 600 seconds"
    assert "out of time" in outcomes[-1].sentence


def test_who_is_stopped_before_the_source_answers_says_so(plans, home) -> None:
    plans.write("reddit", {"alarm": True})
    store, case = Store.open(), case_files.get("tootle")
    with halting(seconds=600) as halt:
        outcomes = list(collect_each(store, [case], Settings(home.folder), halt=halt))
    assert outcomes[-1].sentence == (
        "reddit: stopped by the clock after 600 seconds, before the source had given anything."
    )
    assert ledger() == []


def test_ctrl_c_of_a_run_that_does_not_follow_is_a_failed_one(plans) -> None:
    plan = plans.write("reddit", {"post": "b1"}, {"wait": True})
    with plans.process("collect", "reddit", "--case", "tootle") as process:
        wait_for(plan.with_suffix(".waiting"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in err
    assert stored() == 1
    assert ledger()[0]["status"] == "failed"


def test_a_log_gets_a_line_now_and_then_with_rate_and_time_left() -> None:
    said: list[str] = []
    now = iter([0.0, 10.0, 70.0, 80.0, 131.0])
    pace = Pace(said.append, every=60.0, clock=lambda: next(now))
    for items, share in ((100, 0.1), (700, 0.25), (800, 0.3), (1310, 0.5)):
        pace(Step("bluesky-search", "one phrase", items, share))
    assert said == [
        "bluesky-search one phrase: 700 read so far (10 a second), 25 %, about 3 min 30 s left",
        "bluesky-search one phrase: 1,310 read so far (10 a second), 50 %, about 2 min 11 s left",
    ]
    assert line(Step("reddit", "r/x", 0), 0.0) == "reddit r/x: 0 read so far"
