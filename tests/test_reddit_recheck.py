"""What is deleted, removed or edited on Reddit, and what becomes of it here."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Home
from redditing import Passing, case, collect, held, ledger, recheck, settings, truth
from searching import traces
from storing import batch, frame, raw, stored
from testbeds.reddit.sim import SimReddit, Thing, comment, post

from cases.match import match
from collectors.errors import CollectorError, TryLaterError, UnfitError
from collectors.reddit_again import MISSED
from store.tables import Store

pytest_plugins = ["reddit_fixtures"]

LONG_AGO = datetime(2025, 5, 14, tzinfo=UTC)


def links(count: int) -> list[Thing]:
    return [post(n, title=f"SoundCloud terms quux{n}end", selftext="") for n in range(count)]


def state(store: Store) -> dict[str, str]:
    """Key of each post -> live or gone."""
    return dict(stored(store).select("post", "state").iter_rows())


def test_what_is_deleted_or_removed_or_has_lost_its_author_leaves_every_file(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(6)) as sim:
        sim.posts[5]["num_comments"] = 2
        sim.comments = [comment(n, sim.posts[5], body=f"quux9{n}end") for n in range(2)]
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        passes(MISSED)
        leaving = [*sim.posts[:3], sim.comments[0]]
        words = ["quux0end", "quux1end", "quux2end", "quux90end"]
        for one, how_so in zip(
            leaving, ("deleted", "moderator", "account", "deleted"), strict=True
        ):
            sim.delete(one, how_so)
        passes(24 * MISSED)
        unit = recheck(store, [mine], how)
        assert (unit.gone, unit.wiped) == (4, 4)
        assert held(store) == truth(*sim.posts[3:], sim.comments[1])
        assert sim.asked("/api/info") == 1 + 1
        assert stored(store).filter(state="gone")["uri"].to_list() == [None] * 4
    store.maintain(purge=True)
    assert traces(store.location, [*words, *(one["name"] for one in leaving)]) == {}


def test_an_id_that_is_left_out_once_is_asked_about_again_and_then_gone(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(4)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        all_of_them = list(sim.posts)
        sim.purge(sim.posts[0], sim.posts[1])
        passes(24 * MISSED)
        assert recheck(store, [mine], how).gone == 0
        assert recheck(store, [mine], how).gone == 0  # not within five hours
        sim.posts.append(all_of_them[0])  # Reddit had only lost it for a moment
        passes(MISSED)
        assert recheck(store, [mine], how).gone == 1
        assert held(store) == truth(all_of_them[0], *all_of_them[2:])


def test_when_most_of_it_is_left_out_at_once_nothing_is_wiped(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(30)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        sim.purge(*sim.posts[:20])
        for _ in range(2):
            passes(24 * MISSED)
            with pytest.raises(CollectorError, match="--many-gone"):
                recheck(store, [mine], how)
        assert len(held(store)) == 30
        assert "failed" in ledger(store)["status"].to_list()
        recheck(store, [mine], how, many_gone=True)
        passes(MISSED)
        recheck(store, [mine], how, many_gone=True)
        assert held(store) == truth(*sim.posts)


def test_of_a_few_posts_none_is_wiped_while_reddit_shows_nothing_at_all(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(5)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        shown, sim.posts = sim.posts, []
        for _ in range(2):
            passes(24 * MISSED)
            with pytest.raises(CollectorError, match="--many-gone"):
                recheck(store, [mine], how)
        assert held(store) == truth(*shown)


def test_what_the_collector_is_not_shown_is_left_to_the_recheck_that_knows_a_fault(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(30)) as sim:
        for n, one in enumerate(sim.posts):
            one["created_utc"] = time.time() - 3600 + n
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        shown = list(sim.posts)
        sim.purge(*sim.posts[:20])
        passes(24 * MISSED)  # past a step of the ladder, so the collector asks too
        sim.log.clear()
        collect(store, [mine], how)
        assert sim.asked("/api/info") >= 1
        passes(MISSED)
        with pytest.raises(CollectorError, match="--many-gone"):
            recheck(store, [mine], how)
        assert held(store) == truth(*shown)


def test_an_edit_changes_the_words_and_is_scored_again(
    home: Home, store: Store, aftershock: Any, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(2)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        assert aftershock("score").code == 0
        before = compounds(store)
        sim.posts[0] |= {"selftext": "I love and adore this.", "edited": time.time()}
        # No longer about the case: the words that are kept are the ones that stand there all the
        # same, since the old ones may be what its author wanted to take back.
        sim.posts[1] |= {"title": "Nothing of it", "selftext": "Sorry.", "edited": time.time()}
        passes(24 * MISSED)
        recheck(store, [mine], how)
        assert held(store) == truth(*sim.posts)
        assert aftershock("score").code == 0
        after = compounds(store)
    uri = f"reddit:{sim.posts[0]['name']}"
    assert after[uri] > before[uri]


def compounds(store: Store) -> dict[str, float]:
    scores = stored(store, "scores").join(stored(store).select("post", "uri"), on="post")
    return dict(scores.select("uri", "compound").iter_rows())


def test_everything_kept_is_asked_about_once_a_day_in_hundreds(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(120)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        sim.log.clear()
        assert recheck(store, [mine], how).reading.items == 0  # the collector has just seen it
        passes(24 * MISSED)
        sim.log.clear()
        unit = recheck(store, [mine], how)
        assert (unit.reading.items, sim.asked("/api/info")) == (120, 2)
        assert (unit.collector, unit.reading.unit, unit.reading.status) == (
            "recheck",
            "posts kept",
            "done",
        )
    checks = stored(store, "checks")
    assert (checks["next_at"] - checks["checked_at"]).max().total_seconds() < 48 * 3600


def test_what_is_in_time_stays_so_beside_a_backlog_and_the_ledger_says_what_is_late(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    old = [raw(n, text="SoundCloud terms", collected_at=LONG_AGO, at=LONG_AGO) for n in range(250)]
    posts = frame(old)
    store.write(batch(posts), match(posts, [mine], matched=lambda *_: set()))
    with SimReddit(links(40)) as sim:
        sim.posts += [
            post(5000 + n, id=str(n), name=f"t3_{n}", created=LONG_AGO.timestamp())
            for n in range(250)
        ]
        collect(store, [mine], settings(sim, home.folder, budget=2))
        sim.delete(sim.posts[0])
        passes(4 * MISSED)
        sim.log.clear()
        unit = recheck(store, [mine], settings(sim, home.folder, budget=2))  # a token and a hundred
        assert sim.asked("/api/info") == 1
        assert sim.posts[0]["name"] not in held(store)
        assert unit.reading.status == "partial"
        assert "190 posts were not asked about within 48 hours" in unit.reading.stop_reason
        unit = recheck(store, [mine], settings(sim, home.folder))
        assert unit.reading.status == "done"
        assert store.known().overdue("reddit", datetime.now(UTC) - timedelta(hours=20)) == 0
        # What the collector comes for waits for it; nothing of the backlog is asked about again.
        assert recheck(store, [mine], settings(sim, home.folder)).reading.items <= 39


def test_what_cannot_be_read_is_not_first_in_line_for_ever(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(120)) as sim:
        collect(store, [mine], settings(sim, home.folder))
        for one in sim.posts[20:]:  # the collector looked at these first
            one["created_utc"] = "soon"
        passes(24 * MISSED)
        how = settings(sim, home.folder, budget=2)
        assert recheck(store, [mine], how).bad == 100
        assert recheck(store, [mine], how).reading.items == 20
        assert len(held(store)) == 120


def test_an_id_that_reddit_refuses_to_be_asked_about_holds_up_no_other(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(40)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        sim.delete(sim.posts[0])
        passes(24 * MISSED)
        sim.stumbles = {sim.posts[17]["name"]}
        unit = recheck(store, [mine], how)
        assert (unit.gone, unit.bad) == (1, 1)
        assert len(held(store)) == 39
        passes(24 * MISSED)
        sim.stumbles = {one["name"] for one in sim.posts}  # then it is not the ids
        with pytest.raises(CollectorError, match="does not take"):
            recheck(store, [mine], how)


def test_a_key_that_may_no_longer_ask_says_what_to_do(
    home: Home, store: Store, passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(2)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        passes(24 * MISSED)
        sim.key = "suspended"
        with pytest.raises(UnfitError, match="Sign in on reddit"):
            recheck(store, [mine], how)
        assert len(held(store)) == 2


@pytest.mark.long
def test_a_recheck_that_is_cut_off_goes_on_where_it_was(
    home: Home, store: Store, slept: list[float], passes: Passing
) -> None:
    mine = case(home.cases)
    with SimReddit(links(230)) as sim:
        collect(store, [mine], settings(sim, home.folder))
        for one in sim.posts[::50]:
            sim.delete(one)
        passes(24 * MISSED)
        sim.log.clear()
        first = recheck(store, [mine], settings(sim, home.folder, budget=2))
        assert (first.reading.status, sim.asked("/api/info")) == ("partial", 1)
        sim.fault("/api/info", times=3, status=503)
        with pytest.raises(TryLaterError, match="503"):
            recheck(store, [mine], settings(sim, home.folder))
        sim.log.clear()
        recheck(store, [mine], settings(sim, home.folder))
        assert sim.asked("/api/info") == 2
        assert held(store) == truth(*(one for n, one in enumerate(sim.posts) if n % 50))
