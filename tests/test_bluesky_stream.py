"""The stream: what a drain brings into the store, and what a Jetstream server can do to it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from streaming import CASE, SECOND, Stream, quote, reply, started, uri
from testbeds.bluesky.mini_jetstream import MiniJetstream, Refusal, micros, serving

from collectors import bluesky_cursor, bluesky_stream
from collectors.errors import TryLaterError, UnfitError
from store.tables import Store

ANNE, BEN, CLEO = "did:plc:anne", "did:plc:ben", "did:plc:cleo"
ONE, TWO, THREE, FOUR = (f"3mptbyo{n}yc22k" for n in "abcd")
WORDS = "Tootle trains its AI on our songs"


@pytest.fixture
def stream(home) -> Iterator[Stream]:
    (home.cases / "tootle.toml").write_text(CASE)
    with serving() as mini:
        place = {"AFTERSHOCK_JETSTREAM": mini.url}
        yield Stream(mini, Store.open(), home.folder / "cache", place)


def test_a_drain_keeps_what_the_query_takes_with_its_thread_and_ends(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.post(BEN, TWO, "I left the place", **reply(ANNE, ONE))
    stream.mini.post(CLEO, THREE, "look at this", **quote(ANNE, ONE))
    stream.mini.post(CLEO, FOUR, "a picture of my cat", **reply(BEN, FOUR))
    stream.live()
    unit = stream.collect()
    assert stream.said(uri(ANNE, ONE), uri(BEN, TWO), uri(CLEO, THREE), uri(CLEO, FOUR)) == [
        (WORDS, "live"),
        ("I left the place", "live"),
        ("look at this", "live"),
        None,
    ]
    assert unit.by_case["tootle"] == 3
    assert unit.reading.status == "done"
    assert unit.reading.items == 5
    assert unit.reading.bytes > 0


def test_the_next_drain_begins_behind_the_last_event_stored(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    first = stream.collect()
    stream.mini.post(BEN, TWO, "cancelled", **reply(ANNE, ONE))
    stream.live()
    second = stream.collect()
    assert second.reading.items == 2
    assert second.new == 1
    asked = [query["cursor"] for path, query in stream.mini.requests if "subscribe" in path]
    assert int(asked[0][0]) > 10**15
    assert asked[1] == ["2"]
    assert second.reading.observed_from > first.reading.observed_from
    assert not second.reading.gap


def test_the_first_drain_looks_back_as_far_as_the_settings_say(stream) -> None:
    for hours, rkey in ((30, ONE), (20, TWO), (0, THREE)):
        stream.mini.post(ANNE, rkey, WORDS, us=micros() - hours * 3600 * SECOND)
    stream.live()
    stream.collect(lookback=timedelta(hours=24))
    said = stream.said(uri(ANNE, ONE), uri(ANNE, TWO), uri(ANNE, THREE))
    assert said == [None, (WORDS, "live"), (WORDS, "live")]


def test_a_post_deleted_in_the_same_batch_or_later_leaves_no_words(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.delete(ANNE, ONE)
    stream.mini.post(BEN, TWO, WORDS)
    stream.mini.delete(CLEO, TWO)  # another's post that has the same key
    stream.live()
    stream.collect()
    assert stream.said(uri(ANNE, ONE), uri(BEN, TWO)) == [None, (WORDS, "live")]
    stream.mini.delete(BEN, TWO)
    stream.live()
    stream.collect()
    assert stream.said(uri(BEN, TWO)) == [(None, "gone")]


def test_an_edit_stands_even_when_its_create_is_read_again(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.post(ANNE, ONE, "I take it all back", operation="update")
    stream.live()
    stream.collect()
    assert stream.said(uri(ANNE, ONE)) == [("I take it all back", "live")]
    with serving() as other:  # reads the create once more, and never gets to the edit
        other.post(ANNE, ONE, WORDS, us=stream.mini.events[0]["us"])
        other.add("account", CLEO, micros() + 10 * SECOND, account={"active": True})
        stream.credentials["AFTERSHOCK_JETSTREAM"] = other.url
        stream.collect()
    assert stream.said(uri(ANNE, ONE)) == [("I take it all back", "live")]


def test_a_reply_belongs_though_its_root_was_deleted_before_the_batch_ended(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.post(BEN, TWO, "me too", **reply(ANNE, ONE))
    stream.mini.delete(ANNE, ONE)
    stream.live()
    stream.collect()
    assert stream.said(uri(ANNE, ONE), uri(BEN, TWO)) == [(None, "gone"), ("me too", "live")]


def test_an_edit_of_a_kept_reply_without_any_word_of_the_query_is_taken(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.post(BEN, TWO, "me too", **reply(ANNE, ONE))
    stream.live()
    stream.collect()
    stream.mini.post(BEN, TWO, "not me, on second thoughts", operation="update")
    stream.mini.post(CLEO, THREE, "an edit of something else", operation="update")
    stream.live()
    stream.collect()
    said = stream.said(uri(BEN, TWO), uri(CLEO, THREE))
    assert said == [("not me, on second thoughts", "live"), None]


@pytest.mark.parametrize("status", ["takendown", "suspended", "deactivated"])
def test_posts_of_an_account_that_is_away_are_hidden_until_it_is_back(stream, status) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.account(ANNE, status)
    stream.live()
    stream.collect()
    assert stream.said(uri(ANNE, ONE)) == [(WORDS, "hidden")]
    stream.mini.account(ANNE)
    stream.live()
    stream.collect()
    assert stream.said(uri(ANNE, ONE)) == [(WORDS, "live")]


def test_the_order_of_events_decides_within_one_drain(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.post(BEN, TWO, WORDS)
    stream.mini.post(CLEO, THREE, WORDS)
    for status in ("takendown", "", "deactivated"):
        stream.mini.account(ANNE, status)
    for status in ("takendown", "deactivated", ""):
        stream.mini.account(BEN, status)
    stream.mini.account(CLEO, "deleted")
    stream.mini.account(CLEO)
    stream.live()
    stream.collect()
    said = stream.said(uri(ANNE, ONE), uri(BEN, TWO), uri(CLEO, THREE))
    assert said == [(WORDS, "hidden"), (WORDS, "live"), (None, "gone")]


def test_a_deleted_account_leaves_no_words(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.post(ANNE, TWO, WORDS)
    stream.live()
    stream.collect()
    stream.mini.account(ANNE, "deleted")
    stream.live()
    stream.collect()
    assert stream.said(uri(ANNE, ONE), uri(ANNE, TWO)) == [(None, "gone")] * 2


def test_sync_frames_are_not_asked_for(stream) -> None:
    stream.mini.poison(ANNE)
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    assert stream.collect().reading.items == 2
    assert stream.mini.requests[-1][1]["kinds"] == ["commit", "account"]


def test_records_that_break_the_rules_cost_one_bad_each(stream) -> None:
    stream.mini.post(ANNE, ONE, {"Tootle": "ai"}, tags=["text"])
    stream.mini.commit(ANNE, TWO, "create", record="Tootle AI", cid="x")
    stream.mini.post(ANNE, "not/a key", WORDS)
    stream.mini.raw(b'{"$type":"message","payload":{"text":"Tootle AI"')
    stream.mini.post(ANNE, THREE, WORDS, createdAt="soon", langs="en", facets=7)
    stream.live()
    unit = stream.collect()
    assert stream.said(uri(ANNE, THREE)) == [(WORDS, "live")]
    assert unit.bad == 2  # one with a key that is none, one that is no JSON
    assert not any("Tootle" in bad.reason + bad.place for bad in unit.bad_shown)


@pytest.mark.parametrize("ending", [1000, 1001, 1011, 0, "ConsumerTooSlow"])
def test_a_connection_that_ends_is_opened_again_where_it_ended(stream, ending) -> None:
    stream.mini.endings = [(2, ending), (2, ending)]
    keys = [f"3mptbyo{n}yc22k" for n in "abcdef"]
    for rkey in keys:
        stream.mini.post(ANNE, rkey, WORDS)
    stream.live()
    unit = stream.collect()
    assert stream.said(*(uri(ANNE, rkey) for rkey in keys)) == [(WORDS, "live")] * 6
    assert (unit.reading.pages, unit.reading.items) == (3, 7)
    assert unit.reading.status == "done"
    assert not unit.reading.gap


def test_a_cursor_that_is_too_old_is_a_gap(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    stream.collect()
    stream.mini.post(ANNE, TWO, WORDS)
    lost = stream.mini.post(ANNE, THREE, WORDS)
    stream.mini.floor = lost["seq"]
    stream.live()
    unit = stream.collect()
    assert unit.reading.gap
    assert unit.reading.observed_from.timestamp() * SECOND == pytest.approx(lost["us"], abs=1)
    assert stream.said(uri(ANNE, TWO), uri(ANNE, THREE)) == [None, (WORDS, "live")]
    stream.live()
    assert not stream.collect().reading.gap


def test_a_gap_in_the_middle_ends_the_run_so_that_it_is_not_counted_as_read(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    read = stream.mini.post(ANNE, TWO, WORDS)
    stream.mini.post(ANNE, THREE, WORDS)
    later = stream.mini.post(ANNE, FOUR, WORDS)
    stream.live()
    stream.mini.endings = [(2, 1001)]
    floors = iter([0])

    class Forgetful(list):
        def append(self, item) -> None:  # the server forgets between two connections
            if "subscribe" in item[0]:
                stream.mini.floor = next(floors, later["seq"])
            super().append(item)

    stream.mini.requests = Forgetful()
    unit = stream.collect()
    assert (unit.reading.status, unit.reading.items) == ("partial", 2)
    assert unit.reading.observed_to.timestamp() * SECOND == pytest.approx(read["us"], abs=1)
    again = stream.collect()
    assert again.reading.gap
    assert again.reading.observed_from.timestamp() * SECOND == pytest.approx(later["us"], abs=1)


def test_a_number_beyond_the_servers_own_is_asked_for_by_its_time(stream) -> None:
    stream.mini.next_seq = 5_000
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    stream.collect()
    stream.mini.events, stream.mini.seqs, stream.mini.next_seq = [], [], 1
    stream.mini.post(ANNE, TWO, WORDS, us=micros() + 9 * SECOND)  # set up anew, numbers from 1
    stream.live()
    stream.collect()
    assert stream.said(uri(ANNE, TWO)) == [(WORDS, "live")]


@pytest.mark.parametrize("refusal", [Refusal(503), Refusal(429, "RateLimitExceeded", 1)])
def test_a_busy_server_is_waited_for(stream, refusal) -> None:
    stream.mini.refusals = [refusal]
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    assert stream.collect().new == 1


def test_a_server_that_stays_busy_is_left_for_later(stream) -> None:
    stream.mini.refusals = [Refusal(429, "RateLimitExceeded", 300)]
    stream.mini.post(ANNE, ONE, WORDS)
    with pytest.raises(TryLaterError, match="HTTP 429 RateLimitExceeded"):
        stream.collect()


def test_what_was_read_before_the_servers_went_away_is_stored(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.endings = [(1, 1001)]
    closing = bluesky_stream.Pace(first=1, idle=1, patience=0.5)
    stream.mini.wires = ("v2",)

    class Once(list):
        def append(self, item) -> None:
            super().append(item)
            if sum("subscribe" in path for path, _ in self) > 1:
                stream.mini.wires = ()

    stream.mini.requests = Once()
    with pytest.raises(TryLaterError, match="Try again later"):
        stream.collect(closing)
    assert stream.said(uri(ANNE, ONE)) == [(WORDS, "live")]
    [row] = stream.runs().iter_rows(named=True)
    assert (row["status"], row["gap"]) == ("partial", False)
    assert bluesky_cursor.read(row["cursor_after"]).seq == 1


def test_a_dictionary_that_changes_does_not_stop_the_stream(stream) -> None:
    class Rotating(list):
        def append(self, item) -> None:
            super().append(item)
            if "getZstdDictionary" in item[0] and len(self) == 1:
                stream.mini.dictionary_id += 1  # between the dictionary and the handshake

    stream.mini.requests = Rotating()
    stream.mini.dictionary_id += 1
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    assert stream.collect().new == 1
    assert stream.mini.requests[-1][1]["zstdDictionary"] == [str(stream.mini.dictionary_id)]


def test_a_frame_that_cannot_be_unpacked_is_bad_and_the_rest_comes_uncompressed(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.raw(b"\x28\xb5\x2f\xfd" + b"broken")
    stream.mini.post(ANNE, TWO, WORDS)
    stream.live()
    unit = stream.collect()
    assert unit.bad == 1
    assert ["zstdDictionary" in query for path, query in stream.mini.requests if "sub" in path] == [
        True,
        False,
    ]
    assert stream.said(uri(ANNE, ONE), uri(ANNE, TWO)) == [(WORDS, "live")] * 2


def test_another_server_goes_on_from_the_time_of_the_cursor(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    stream.collect()
    with serving(MiniJetstream(next_seq=1_000_000)) as other:
        last = stream.mini.events[-1]["us"]
        other.post(ANNE, ONE, WORDS, us=last - SECOND)  # witnessed a little later there
        other.post(BEN, TWO, WORDS, us=last + SECOND)
        other.account("did:plc:clock", us=last + 20 * SECOND)
        dead = stream.mini.url
        stream.mini.wires = ()
        stream.credentials["AFTERSHOCK_JETSTREAM"] = f"{dead}, {other.url}"
        unit = stream.collect()
        assert int(other.requests[-1][1]["cursor"][0]) == last - 30 * SECOND
    assert unit.new == 1
    assert not unit.reading.gap
    assert bluesky_cursor.read(unit.cursor).host == other.url
    assert stream.said(uri(BEN, TWO)) == [(WORDS, "live")]


def test_a_server_that_knows_v1_only_is_read_just_the_same(stream) -> None:
    stream.mini.wires = ("v1",)
    stream.mini.post(ANNE, ONE, WORDS)
    stream.mini.post(BEN, TWO, "me too", **reply(ANNE, ONE))
    stream.mini.delete(ANNE, ONE)
    stream.mini.account(BEN, "deactivated")
    stream.live()
    unit = stream.collect()
    assert stream.said(uri(ANNE, ONE), uri(BEN, TWO)) == [(None, "gone"), ("me too", "hidden")]
    assert json.loads(unit.cursor)["kind"] == "v1"
    stream.mini.post(CLEO, THREE, WORDS)
    stream.live()
    assert stream.collect().new == 1


def test_a_v1_server_that_lost_what_came_next_is_a_gap_though_it_does_not_say_so(stream) -> None:
    stream.mini.wires = ("v1",)
    stream.mini.post(ANNE, ONE, WORDS, us=micros() - 1800 * SECOND)
    unit = stream.collect(lookback=timedelta(hours=1))
    assert "no event within" in unit.reading.stop_reason
    stream.mini.floor = stream.mini.next_seq
    stream.live()
    assert stream.collect().reading.gap


def test_without_a_network_both_servers_are_tried_and_nothing_is_written(stream) -> None:
    stream.credentials["AFTERSHOCK_JETSTREAM"] = "ws://127.0.0.1:9,ws://127.0.0.1:1"
    with pytest.raises(TryLaterError, match=r"127\.0\.0\.1:9 cannot.*127\.0\.0\.1:1 cannot"):
        stream.collect()
    assert stream.runs().is_empty()


def test_the_collector_is_ready_without_credentials_or_network(stream) -> None:
    assert bluesky_stream.ready(stream.settings()) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AFTERSHOCK_JETSTREAM", "https://example.org"),
        ("AFTERSHOCK_JETSTREAM_MONTHLY_GB", "plenty"),
        ("AFTERSHOCK_JETSTREAM_MONTHLY_GB", "nan"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(stream, name, value) -> None:
    stream.credentials[name] = value
    with pytest.raises(UnfitError, match=name):
        stream.collect()


def test_the_months_bytes_are_counted_over_runs_and_can_be_capped(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    stream.live()
    first = stream.collect()
    stream.mini.post(ANNE, TWO, WORDS)
    stream.live()
    second = stream.collect()
    total = first.reading.bytes + second.reading.bytes
    assert bluesky_cursor.read(second.cursor).received(bluesky_cursor.this_month()) == total
    assert bluesky_cursor.read(second.cursor).received("2020-01") == 0
    stream.credentials["AFTERSHOCK_JETSTREAM_MONTHLY_GB"] = str(total / 1e9)
    third = stream.collect()
    assert (third.reading.status, third.reading.items) == ("capped", 0)
    assert "AFTERSHOCK_JETSTREAM_MONTHLY_GB" in third.reading.stop_reason


def test_a_drain_that_keeps_nothing_says_why(stream) -> None:
    stream.mini.post(ANNE, ONE, "a picture of my cat")
    stream.live()
    assert stream.collect().reading.stop_reason == (
        "caught up; 2 events read; none holds the words of a query, belongs to a thread or changes"
        " a post that is kept"
    )


@pytest.mark.parametrize(("minutes", "status"), [(2, "done"), (50, "partial")])
def test_a_server_that_falls_silent_long_before_now_was_not_read_to_the_end(
    stream, minutes, status
) -> None:
    stream.mini.post(ANNE, ONE, WORDS, us=micros() - minutes * 60 * SECOND)
    reading = stream.collect().reading
    assert reading.stop_reason.startswith("no event within")
    assert reading.status == status


def test_a_silent_server_is_not_taken_for_one_that_was_read(stream) -> None:
    reading = stream.collect().reading
    assert reading.stop_reason == "the server sent no event within 2 s"
    assert (reading.items, reading.observed_from, reading.observed_to) == (0, None, None)


def test_a_long_drain_stores_in_portions(stream) -> None:
    keys = [f"3mpt{n:03}oeyc22k".replace("0", "z").replace("1", "y") for n in range(40)]
    for rkey in keys:
        stream.mini.post(ANNE, rkey, WORDS)
    stream.mini.endings = [(10 * n, 1001) for n in (1, 1, 1)]
    stream.live()
    batches = list(
        bluesky_stream.collect(
            stream.cases(),
            stream.store.known(),
            stream.settings(),
            bluesky_stream.Pace(hits=5, first=2, idle=1),
        )
    )
    heights = [batch.posts.height for batch in batches]
    assert len([height for height in heights if height]) > 2
    assert sum(heights) == 40
    ends = [bluesky_cursor.read(batch.cursor).seq for batch in batches]
    assert ends == sorted(ends)
    assert ends[-1] == 41


def test_following_goes_on_until_it_is_stopped_and_stores_what_it_has(stream) -> None:
    stream.mini.post(ANNE, ONE, WORDS)
    running = started(stream, follow=True)
    _until(lambda: stream.said(uri(ANNE, ONE)) == [(WORDS, "live")])
    stream.mini.post(BEN, TWO, "me too", **reply(ANNE, ONE))
    _until(lambda: stream.said(uri(BEN, TWO)) == [("me too", "live")])
    stream.mini.delete(BEN, TWO)
    _until(lambda: stream.said(uri(BEN, TWO)) == [(None, "gone")])
    _until(lambda: stream.runs()["items"].to_list() == [3])
    time.sleep(1)  # it waits for the stream again, and no longer for the store
    os.kill(running.pid, signal.SIGINT)
    running.join(60)
    [row] = stream.runs().iter_rows(named=True)
    assert row["status"] == "done"
    assert row["stop_reason"].startswith("stopped by hand; 3 events read")


def test_a_collector_that_is_killed_at_any_moment_ends_with_the_truth(stream) -> None:
    dice = random.Random(7)  # noqa: S311
    truth: dict[str, tuple[str | None, str] | None] = {}
    for n in range(60):
        rkey = f"3mpt{n:03}oeyc22k".replace("0", "z").replace("1", "y")
        author = f"did:plc:writer{n % 9}"
        stream.mini.post(author, rkey, f"{WORDS} {n}")
        truth[uri(author, rkey)] = (f"{WORDS} {n}", "live")
        if dice.random() < 0.2:
            stream.mini.post(author, rkey, f"edited {n}", operation="update")
            truth[uri(author, rkey)] = (f"edited {n}", "live")
        if dice.random() < 0.2:
            stream.mini.delete(author, rkey)
            truth[uri(author, rkey)] = None
        if dice.random() < 0.1:
            stream.mini.account(author, "takendown")
            stream.mini.account(author)
    stream.mini.account("did:plc:writer3", "deactivated")
    truth |= {
        one: (said[0], "hidden") if said else None
        for one, said in truth.items()
        if one.startswith("at://did:plc:writer3/")
    }
    stream.live()
    for _ in range(4):
        stream.mini.endings = [(dice.randint(10, 30), 1001)]
        before = len(stream.mini.requests)
        running = started(stream)
        _until(lambda before=before: len(stream.mini.requests) > before + 1)
        time.sleep(dice.uniform(0, 0.8))
        running.kill()
        running.join(60)
    stream.mini.endings = []
    stream.collect()
    said = dict(zip(truth, stream.said(*truth), strict=True))
    for one, expected in truth.items():
        assert said[one] == expected or (expected is None and said[one] == (None, "gone"))


def _until(happened, seconds: float = 120) -> None:
    """Wait for it, failing after a time that only a hang takes."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.1)
