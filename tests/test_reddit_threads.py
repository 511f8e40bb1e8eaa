"""Threads of Reddit: what is read of them, what is only counted, and when they are read again."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Home
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from redditing import Passing, case, collect, held, ledger, settings, truth
from storing import batch, frame, raw, stored
from testbeds.reddit.sim import SimReddit, Thing, comment, post

from cases.match import match
from collectors import reddit_threads
from collectors.reddit_again import DAILY, LADDER, next_at, stepped, unread
from collectors.reddit_client import Client
from collectors.reddit_refusals import RefusedError
from collectors.reddit_threads import Thread, read
from store.tables import Store

pytest_plugins = ["reddit_fixtures"]

UNIT = "threads: mine"


def grown(link: Thing, wide: int, deep: int = 0) -> list[Thing]:
    """Comments under a submission: `wide` with an answer each, and one line of `deep` answers."""
    comments: list[Thing] = []
    for n in range(wide):
        comments.append(comment(2 * n, link))
        comments.append(comment(2 * n + 1, link, comments[-1]))
    last: Thing | None = None
    for n in range(deep):
        last = comment(10_000 + n, link, last)
        comments.append(last)
    link["num_comments"] = len(comments)
    return comments


def seen(sim: SimReddit, folder: Path, link: Thing) -> Thread:
    """What came of a thread, also where the rest was refused."""
    thread = Thread()
    with suppress(RefusedError):
        read(Client(settings(sim, folder)), link["name"], "here", thread)
    return thread


def names(thread: Thread) -> list[str]:
    return [row["uri"].removeprefix("reddit:") for row in thread.found.rows]


def test_a_thread_is_read_with_its_stubs_and_its_long_lines(tmp_path: Path) -> None:
    link = post(1)
    with SimReddit([link], grown(link, wide=200, deep=25)) as sim:
        thread = seen(sim, tmp_path, link)
        assert sorted(names(thread)) == sorted(sim.things())
        assert (thread.unread, thread.whole, thread.found.bad) == (0, True, [])
        assert sim.asked("/comments/") + sim.asked("morechildren") <= 1 + reddit_threads.MORE


def test_what_lies_beyond_the_requests_for_a_thread_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = post(1)
    monkeypatch.setattr(reddit_threads, "MORE", 2)
    with SimReddit([link], grown(link, wide=300)) as sim:
        thread = seen(sim, tmp_path, link)
        assert len(names(thread)) == len(set(names(thread))) == 1 + 200 + 2 * 100
        assert thread.unread == 600 - 400
        assert len(sim.log) == 1 + 1 + 2


@hypothesis(deadline=None, max_examples=15)
@given(
    parents=st.lists(st.integers(0, 400), max_size=400),
    limit=st.integers(1, 60),
    more=st.integers(1, 60),
)
def test_read_and_counted_is_all_there_is(
    tmp_path_factory: pytest.TempPathFactory, parents: list[int], limit: int, more: int
) -> None:
    link = post(1)
    comments: list[Thing] = []
    for n, parent in enumerate(parents):
        under = comments[parent % len(comments)] if comments and parent % 4 else None
        comments.append(comment(n, link, under))
    with SimReddit([link], comments, forest_limit=limit, more_limit=more) as sim:
        thread = seen(sim, tmp_path_factory.getbasetemp(), link)
    found = names(thread)
    assert len(found) == len(set(found))
    missing = 1 + len(comments) - len(found)
    # "Continue this thread" does not say how many comments there are.
    assert (thread.unread == 0) == (missing == 0)
    assert thread.unread <= missing


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "text",
        {"kind": "t1"},
        {"kind": "t1", "data": None},
        {
            "kind": "t1",
            "data": {"id": "a1", "body": "x", "created_utc": 1.7e9, "replies": {"a": 1}},
        },
        {"kind": "more", "data": {"children": "a,b", "count": "many", "parent_id": None}},
        {"kind": "t9", "data": {"id": "a1"}},
    ],
)
def test_an_odd_part_of_a_thread_costs_nothing_but_itself(
    tmp_path: Path, slept: list[float], odd: Any
) -> None:
    # PRAW's replace_more ends in AssertionError on such trees.
    link = post(1)
    good = comment(1, link)
    with SimReddit([link]) as sim:
        trees = [
            {"kind": "Listing", "data": {"children": [{"kind": one["name"][:2], "data": one}]}}
            for one in (link, good)
        ]
        trees[1]["data"]["children"].insert(0, odd)
        sim.fault("/comments/", status=200, body=trees)
        thread = seen(sim, tmp_path, link)
    assert {link["name"], good["name"]} <= set(names(thread))
    assert thread.found.bad or thread.unread or not thread.whole


@pytest.mark.parametrize("status", [400, 413, 500, 200])
def test_a_stub_that_cannot_be_read_leaves_the_rest_and_is_counted(
    tmp_path: Path, slept: list[float], status: int
) -> None:
    link = post(1)
    with SimReddit([link], grown(link, wide=150)) as sim:
        body = [] if status == 200 else None
        sim.fault("morechildren", times=3 if status == 500 else 1, status=status, body=body)
        thread = seen(sim, tmp_path, link)
    assert len(names(thread)) >= 201
    assert not thread.whole
    assert thread.unread > 0


def test_a_stub_that_is_refused_is_counted_once(tmp_path: Path) -> None:
    link = post(1)
    with SimReddit([link], grown(link, wide=300)) as sim:
        sim.fault("morechildren", status=413)
        thread = seen(sim, tmp_path, link)
    assert not thread.whole
    assert 0 < thread.unread <= 1 + 600 - len(names(thread))


def test_comments_under_a_matched_submission_are_kept_and_no_others(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    about, other, quiet = post(1), post(2, title="Another subject"), post(3)
    with SimReddit([about, other, quiet], [*grown(about, wide=3)]) as sim:
        sim.comments += [comment(5000, other)]
        other["num_comments"] = 1
        how = settings(sim, home.folder)
        units = collect(store, [mine], how)
        assert held(store) == truth(about, quiet, *sim.comments[:6])
        assert sim.asked(f"/comments/{about['id']}") == 1
        assert sim.asked("/comments/") == 1  # a thread without comments needs no look
        assert units[UNIT].reading.status == "done"
        matches = stored(store, "matches")
        assert matches.group_by("via").len().sort("via").rows() == [("own", 2), ("thread", 6)]
        sim.log.clear()
        assert UNIT not in collect(store, [mine], how)
        assert sim.asked("/comments/") + sim.asked("/info") == 0
    assert ledger(store).filter(unit=UNIT)["observed_from"].to_list() == [None]


def test_what_was_only_counted_stands_in_the_ledger(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reddit_threads, "MORE", 0)
    link = post(1)
    with SimReddit([link], grown(link, wide=15), forest_limit=10) as sim:
        collect(store, [case(home.cases)], settings(sim, home.folder))
    row = ledger(store).filter(unit=UNIT).row(0, named=True)
    assert "at least 20 comments in them were not" in row["stop_reason"]
    assert (row["gap"], row["observed_from"]) == (True, None)


def test_a_thread_that_the_budget_left_over_is_read_by_the_next_run(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    links = [post(n) for n in range(3)]
    comments = [comment(n, links[n % 3]) for n in range(9)]
    for link in links:
        link["num_comments"] = 3
    with SimReddit(links, comments) as sim:
        collect(store, [mine], settings(sim, home.folder, budget=4))  # token, new, info, one
        assert sim.asked("/comments/") == 1
        assert ledger(store).filter(unit=UNIT)["status"].to_list() == ["partial"]
        collect(store, [mine], settings(sim, home.folder))
        assert sim.asked("/comments/") == 3
        assert held(store) == truth(*links, *comments)


def test_the_threads_of_an_old_archive_cost_nothing_and_an_old_post_just_found_is_read(
    home: Home, store: Store
) -> None:
    mine = case(home.cases, search=("SoundCloud terms",), subreddits=())
    old = time.time() - 400 * 86_400
    kept = [raw(n, text="SoundCloud terms", collected_at=datetime.now(UTC)) for n in range(50)]
    posts = frame(kept)
    store.write(batch(posts), match(posts, [mine], matched=lambda *_: set()))
    found = post(1, created=old, num_comments=1)
    with SimReddit([found], [comment(1, found)]) as sim:
        collect(store, [mine], settings(sim, home.folder))
        assert sim.asked("/api/info") == 1
        assert held(store).items() >= truth(found, *sim.comments).items()
        asked = next(one for one in sim.log if "info" in one.path)
        assert asked.query["id"] == found["name"]


def test_an_import_of_whatever_size_hides_no_thread_that_is_due(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reddit_threads, "MOST", 5)
    mine = case(home.cases)
    now = datetime.now(UTC)
    before = {"text": "SoundCloud terms", "collected_at": now - timedelta(days=5)}
    kept = [raw(n, **before, at=now - timedelta(days=400)) for n in range(20)]
    kept += [raw(100 + n, **before, at=now - timedelta(days=6), kind="comment") for n in range(20)]
    posts = frame(kept)
    store.write(batch(posts), match(posts, [mine], matched=lambda *_: set()))
    links = [post(n, num_comments=1, created=time.time() - 3600 + n) for n in range(3)]
    with SimReddit(links, [comment(n, link) for n, link in enumerate(links)]) as sim:
        collect(store, [mine], settings(sim, home.folder))
        assert sim.asked("/comments/") == 3
        assert held(store).items() >= truth(*links, *sim.comments).items()


def test_a_thread_that_reddit_never_manages_to_send_holds_up_no_other(
    home: Home, store: Store, slept: list[float]
) -> None:
    mine = case(home.cases)
    links = [post(n, num_comments=1) for n in range(3)]
    comments = [comment(n, links[n]) for n in range(3)]
    with SimReddit(links, comments) as sim:
        how = settings(sim, home.folder)
        for _ in range(2):
            sim.fault(f"/comments/{links[0]['id']}", times=3, status=503)
            collect(store, [mine], how)
        assert held(store) == truth(*links, *comments[1:])
        assert ledger(store).filter(unit=UNIT)["status"].to_list() == ["partial", "partial"]
        sim.log.clear()
        collect(store, [mine], how)
        assert held(store) == truth(*links, *comments)
        assert sim.asked("/comments/") == 1


@pytest.mark.parametrize(("status", "reason"), [(403, "private"), (404, "banned"), (413, None)])
def test_threads_that_are_refused_for_themselves_hold_up_no_other(
    home: Home, store: Store, slept: list[float], status: int, reason: str | None
) -> None:
    mine = case(home.cases)
    links = [post(n, num_comments=1, created=time.time() - 3600 + n) for n in range(5)]
    comments = [comment(n, links[n]) for n in range(5)]
    with SimReddit(links, comments) as sim:
        how = settings(sim, home.folder)
        for link in links[:4]:
            sim.fault(f"/comments/{link['id']}", status=status, body={"reason": reason})
        units = collect(store, [mine], how)
        assert held(store) == truth(*links, comments[4])
        assert units[UNIT].reading.status == "partial"
        assert "4 threads came damaged, or not at all" in units[UNIT].reading.stop_reason
        sim.log.clear()
        collect(store, [mine], how)
        assert sim.asked("/comments/") == 0  # until the next step


def test_a_thread_is_read_again_at_each_step_of_the_ladder(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    links = [post(n, created=time.time() - 2 * 86_400 - n) for n in range(2)]
    links[0]["num_comments"] = 1
    with SimReddit(links, [comment(1, links[0])]) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        # Three days after it was written: two more comments, an edit, and another score.
        passes(timedelta(days=1, hours=2))
        sim.comments += [comment(2, links[0]), comment(3, links[0])]
        links[0] |= {"num_comments": 3, "score": 77}
        links[1] |= {"selftext": "Edited.", "edited": time.time()}
        sim.log.clear()
        collect(store, [mine], how)
        assert held(store) == truth(*links, *sim.comments)
        assert sim.asked("/comments/") == 1
    checks = stored(store, "checks").join(stored(store).select("post", "uri"), on="post")
    likes = dict(checks.select("uri", "likes").iter_rows())
    assert likes[f"reddit:{links[0]['name']}"] == 77
    assert dict(checks.select("uri", "likes_48h").iter_rows())[f"reddit:{links[0]['name']}"] == 0


# When a post is due again

MOMENTS = st.integers(0, 40 * 24).map(lambda hours: timedelta(hours=hours))


@given(age=MOMENTS)
def test_everything_kept_is_due_within_48_hours_and_at_its_next_step(age: timedelta) -> None:
    now = datetime.now(UTC)
    due = next_at({"at": now - age}, now)
    assert now < due <= now + DAILY < now + timedelta(hours=48)
    for step in LADDER:
        assert not now < now - age + step < due


@given(looks=st.lists(st.integers(0, 45 * 24), max_size=12, unique=True).map(sorted))
def test_each_step_brings_one_visit_however_the_looks_fall(looks: list[int]) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row: dict[str, Any] = {"at": at, "first_seen_at": at, "checked_at": None, "next_at": None}
    visits = []
    for hours in looks:
        now = at + timedelta(hours=hours)
        if unread(row, now):
            visits.append(now)
            row |= {"checked_at": now, "next_at": next_at(row, now)}
    steps = [at, *(at + step for step in LADDER)]
    last = at + timedelta(hours=looks[-1]) if looks else at - timedelta(1)
    passed = [step for step in steps if step <= last]
    assert len(visits) <= len(passed)
    if looks:
        assert visits[0] == at + timedelta(hours=looks[0])
        assert max(passed) <= visits[-1]


def test_a_recheck_that_reads_no_threads_leaves_them_to_the_collector() -> None:
    now = datetime(2026, 1, 3, tzinfo=UTC)
    row: dict[str, Any] = {
        "at": now - timedelta(hours=2),
        "first_seen_at": now - timedelta(hours=1),
        "checked_at": None,
        "next_at": None,
    }
    assert not stepped(row, now)
    assert unread(row, now)
    row |= {"checked_at": now, "next_at": next_at(row, now, left=True)}
    assert unread(row, now + timedelta(minutes=1))
    row |= {"checked_at": now, "next_at": next_at(row, now)}
    assert not unread(row, now + timedelta(minutes=1))
