"""The search collector against the real servers, into a real store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bluesky_runs import case, run, settings, texts
from conftest import Home
from storing import stored
from testbeds.bluesky.network import Network, started

from store.tables import Store

pytestmark = pytest.mark.bluesky

MAY = datetime(2025, 5, 9, 12, tzinfo=UTC)
SEARCH = "app.bsky.feed.searchPosts"


@pytest.fixture(scope="module")
def shallow() -> Iterator[Network]:
    """A network whose search shows 40 posts of a query and no more."""
    yield from started(search_cap=40)


def test_pages_are_read_past_the_depth_that_a_search_shows(shallow: Network, home: Home) -> None:
    wanted = [(f"quuxdeep {n}", MAY + timedelta(minutes=n * n)) for n in range(150)]
    shallow.posts("alice", wanted[::2])
    shallow.posts("bob", wanted[1::2])
    shallow.posts("bob", [(f"elsewhere {n}", MAY) for n in range(20)])
    shallow.caught_up()
    store = Store.open()
    (unit,) = run(store, [case(home.cases, "quuxdeep")], settings(shallow, home.folder))
    assert texts(store) == sorted(text for text, _ in wanted)
    assert (unit.reading.status, unit.reading.items, unit.new) == ("done", 150, 150)
    assert unit.reading.observed_from == datetime(2025, 5, 1, tzinfo=UTC)
    assert not unit.reading.gap


def test_a_second_with_more_than_the_search_shows_is_said_to_be_capped(
    shallow: Network, home: Home
) -> None:
    shallow.posts("alice", [(f"quuxcrowd {n}", MAY) for n in range(60)])
    shallow.posts(
        "alice", [(f"quuxcrowd older {n}", MAY - timedelta(hours=n + 1)) for n in range(9)]
    )
    shallow.caught_up()
    store = Store.open()
    (unit,) = run(store, [case(home.cases, "quuxcrowd")], settings(shallow, home.folder))
    assert sum("older" in text for text in texts(store)) == 9
    assert unit.reading.gap
    assert "capped) between 2025-05-09T12:00:00.000Z and 2025-05-09T12:00:01.000Z" in (
        unit.reading.stop_reason
    )
    before = shallow.requests()[SEARCH]
    run(store, [case(home.cases, "quuxcrowd")], settings(shallow, home.folder))
    assert shallow.requests()[SEARCH] <= before + 2  # what is capped is not asked for ever


def test_replies_and_quotes_belong_by_their_thread(network: Network, home: Home) -> None:
    root = network.post("alice", "quuxthread begins", at=MAY)
    reply = network.post("bob", "I cancelled", reply_to=root)
    network.post("carol", "me too", reply_to=reply)
    network.post("carol", "what a thing", quote=root)
    inside = network.post("bob", "quuxthread inside another", reply_to=network.post("bob", "else"))
    network.post("carol", "a reply to a matched reply", reply_to=inside)
    network.post("alice", "un accord français sur quuxthread", langs=["fr"])
    network.caught_up()
    store = Store.open()
    run(store, [case(home.cases, "quuxthread")], settings(network, home.folder))
    assert texts(store) == sorted(
        [
            "quuxthread begins",
            "I cancelled",
            "me too",
            "what a thing",
            "quuxthread inside another",
            "un accord français sur quuxthread",
        ]
    )
    via = dict(stored(store, "matches").group_by("via").len().iter_rows())
    assert via == {"own": 3, "thread": 3}


def test_a_thread_deeper_than_one_answer_is_read_to_its_end(network: Network, home: Home) -> None:
    post = network.post("alice", "quuxabyss 0", at=MAY)
    for depth in range(1, 25):
        post = network.post("bob", f"level {depth}", reply_to=post)
    network.caught_up()
    store = Store.open()
    run(store, [case(home.cases, "quuxabyss")], settings(network, home.folder))
    assert len(texts(store)) == 25


def test_edits_deletions_and_takedowns_between_two_runs(network: Network, home: Home) -> None:
    network.add("petra")
    kept = network.post("alice", "quuxchange kept")
    edited = network.post("alice", "quuxchange first words")
    network.post("petra", "quuxchange by petra", reply_to=kept)
    network.caught_up()
    store, watched = Store.open(), [case(home.cases, "quuxchange")]
    run(store, watched, settings(network, home.folder))
    assert len(texts(store)) == 3
    network.edit(edited, "quuxchange other words")
    network.take_down("petra")
    network.caught_up()
    # an author who was taken down leaves holes in threads: that breaks no page
    (unit, *_) = run(store, watched, settings(network, home.folder))
    assert unit.reading.status == "done"
    assert unit.bad == 0
    assert "quuxchange other words" in texts(store)
    assert "quuxchange first words" not in texts(store)
    network.restore("petra")


def test_records_that_break_the_rules_and_times_that_cannot_be_break_no_page(
    network: Network, home: Home
) -> None:
    network.post("alice", "quuxodd plain", at=MAY)
    network.post("alice", "quuxodd future", record={"createdAt": "2099-01-01T00:00:00.000Z"})
    network.post("alice", "quuxodd past", record={"createdAt": "0001-01-01T00:00:00.000Z"})
    network.post("alice", "quuxodd no time", record={"createdAt": None}, validate=False)
    network.post("alice", "quuxodd embed", record={"embed": {"$type": "com.example.odd"}})
    network.post("alice", "quuxodd " + "👨‍👩‍👧‍👦" * 90, at=MAY)
    network.caught_up()
    store = Store.open()
    (unit, *_) = run(store, [case(home.cases, "quuxodd")], settings(network, home.folder))
    found = texts(store)
    assert {"quuxodd plain", "quuxodd future", "quuxodd embed"} <= set(found)
    # the server leaves out what breaks its rules; what is dated before the case is not asked for
    assert not {"quuxodd no time", "quuxodd past"} & set(found)
    assert len(found) == 4
    assert unit.reading.status == "done"


def test_what_comes_between_two_runs_is_found_by_the_second_and_cheaply(
    network: Network, home: Home
) -> None:
    network.post("alice", "quuxlater one")
    network.caught_up()
    store, watched = Store.open(), [case(home.cases, "quuxlater")]
    run(store, watched, settings(network, home.folder))
    network.post("bob", "quuxlater two")
    network.caught_up()
    before = network.requests()
    run(store, watched, settings(network, home.folder))
    after = network.requests()
    assert texts(store) == ["quuxlater one", "quuxlater two"]
    assert after[SEARCH] == before[SEARCH] + 1
    assert after.get("com.atproto.server.createSession") == before.get(
        "com.atproto.server.createSession"
    )


def test_a_small_budget_reads_history_over_several_runs(network: Network, home: Home) -> None:
    network.posts("alice", [(f"quuxslow {n}", MAY + timedelta(minutes=n)) for n in range(450)])
    network.caught_up()
    store, watched = Store.open(), [case(home.cases, "quuxslow")]
    asked = replace(settings(network, home.folder), budget=4)
    statuses = []
    for _ in range(6):
        (unit, *_) = run(store, watched, asked)
        statuses.append(unit.reading.status)
        if statuses[-1] == "done":
            break
    assert statuses[0] == "partial"
    assert statuses[-1] == "done"
    assert len(texts(store)) == 450
    assert unit.reading.observed_from == datetime(2025, 5, 1, tzinfo=UTC)
