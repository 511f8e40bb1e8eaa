"""The collector of Reddit, by the real PRAW from a Reddit of our own: what is read, and claimed."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from conftest import Home
from redditing import case, collect, held, ledger, settings, truth
from storing import stored
from testbeds.reddit.sim import APART, START, SimReddit, Thing, post

from analysis import coverage
from cases.case import Case
from collectors import reddit, reddit_search
from collectors.errors import TryLaterError, UnfitError
from collectors.settings import Step
from store.tables import Store

pytest_plugins = ["reddit_fixtures"]

UNIT = "r/inventedmusic"


def posts(*numbers: int, **changes: Any) -> list[Thing]:
    return [post(n, **changes) for n in numbers]


def fresh(count: int) -> list[Thing]:
    """Posts that were written just now, after all others."""
    return [post(6900 + n, created=time.time()) for n in range(count)]


def many(start: int, stop: int) -> list[Thing]:
    """Posts of which every fiftieth belongs to a case."""
    return [
        post(n) if n % 50 == 0 else post(n, title="Another subject") for n in range(start, stop)
    ]


def matching(things: list[Thing]) -> dict[str, str]:
    return truth(*(one for one in things if one["title"].startswith("SoundCloud")))


def span(store: Store, unit: str = UNIT) -> list[tuple[Any, ...]]:
    rows = ledger(store).filter(unit=unit)
    return list(rows.select("status", "gap", "observed_from", "observed_to").iter_rows())


# Subreddits


def test_a_subreddit_is_read_to_its_end_and_then_only_what_is_new(home: Home, store: Store) -> None:
    mine = case(home.cases)
    with SimReddit(many(0, 250)) as sim:
        how = settings(sim, home.folder)
        units = collect(store, [mine], how)
        assert held(store) == matching(sim.posts)
        assert (units[UNIT].reading.pages, units[UNIT].reading.items) == (3, 250)
        sim.posts += fresh(2)
        sim.log.clear()
        units = collect(store, [mine], how)
        assert held(store) == matching(sim.posts)
        assert (units[UNIT].reading.pages, units[UNIT].new) == (1, 2)
        assert not any("before" in request.query for request in sim.log)
    (first, gap, start, end), (second, _, again, _) = span(store)
    assert (first, second, gap) == ("done", "done", False)
    assert start == datetime(2020, 1, 1, tzinfo=UTC)
    assert again == end
    assert abs((end - datetime.now(UTC)).total_seconds()) < 60


def test_a_burst_of_250_posts_between_two_runs_is_read_whole(home: Home, store: Store) -> None:
    # PRAW's own stream sees 100 of these.
    mine = case(home.cases)
    with SimReddit(many(0, 150)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        sim.posts += fresh(250)
        assert collect(store, [mine], how)[UNIT].new == 250
        assert held(store) == matching(sim.posts)


def test_a_listing_that_is_cut_off_at_its_cap_is_a_gap_and_says_from_where(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    with SimReddit(many(0, 1200)) as sim:
        units = collect(store, [mine], settings(sim, home.folder))
        assert held(store) == matching(sim.posts[200:])
        assert units[UNIT].reading.pages == 10
        oldest = datetime.fromtimestamp(sim.posts[200]["created_utc"], UTC)
    [(status, gap, start, _)] = span(store)
    assert (status, gap, start) == ("capped", True, oldest)
    assert f"{oldest:%Y-%m-%d %H:%M}" in ledger(store).filter(unit=UNIT)["stop_reason"].item()
    spans = coverage.spans(stored(store, "runs"), case=mine.name, query_hash=mine.query_hash)
    assert set(spans["status"]) == {"capped"}


def test_an_empty_listing_claims_no_hour_and_the_next_run_makes_up_for_it(
    home: Home, store: Store
) -> None:
    # What is over 18 comes as an empty list and no error (RedditHarbor#19).
    mine = case(home.cases)
    with SimReddit() as sim:
        how = settings(sim, home.folder)
        units = collect(store, [mine], how)
        assert (units[UNIT].reading.status, units[UNIT].reading.gap) == ("partial", True)
        assert span(store)[0][2:] == (None, None)
        sim.posts = posts(3)
        collect(store, [mine], how)
        shown, sim.posts = sim.posts, []
        collect(store, [mine], how)
        sim.posts = [*shown, *fresh(2)]
        collect(store, [mine], how)
        assert held(store) == matching(sim.posts)
    _, (_, _, _, end), (third, gap, *nothing), (fourth, _, start, _) = span(store)
    assert (third, gap, nothing, fourth) == ("partial", True, [None, None], "done")
    assert start == end


def test_a_crowd_of_unreadable_posts_claims_nothing_until_they_can_be_read(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    with SimReddit(posts(*range(250))) as sim:
        how = settings(sim, home.folder)
        titles = {one["name"]: one["title"] for one in sim.posts}
        for one in sim.posts[100:103]:  # on the second of three pages, 1.2 % of all
            one |= {"title": None, "selftext": None}
        collect(store, [mine], settings(sim, home.folder, budget=3))  # two pages and a token
        collect(store, [mine], how)
        assert [row[0] for row in span(store)] == ["partial", "partial"]
        assert span(store)[1][1:] == (True, None, None)
        reason = ledger(store).filter(unit=UNIT)["stop_reason"].to_list()[-1]
        assert "nothing is claimed" in reason
        spans = coverage.spans(stored(store, "runs"), case=mine.name, query_hash=mine.query_hash)
        assert spans.is_empty()
        sim.posts[100] |= {
            "title": titles[sim.posts[100]["name"]],
            "selftext": "",
        }  # 0.8 % are left
        collect(store, [mine], how)
        assert sim.posts[100]["name"] in held(store)
    assert span(store)[2][:3] == ("done", False, datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.long
def test_more_new_posts_than_reddit_lists_are_a_gap_from_the_last_run_on(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    with SimReddit(posts(1)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        gone_by = [time.time() - 6 * n for n in range(1100)]
        sim.posts += [post(7000 - n, created=at, title="x") for n, at in enumerate(gone_by)]
        collect(store, [mine], how)
        sim.posts += posts(8500, created=time.time() + 1)
        collect(store, [mine], how)
    (_, _, _, began), (status, gap, start, end), (third, _, again, _) = span(store)
    assert (status, gap, start) == ("capped", True, began)
    assert (third, again) == ("done", end)


def test_nothing_older_than_the_case_is_read_or_kept(home: Home, store: Store) -> None:
    since = datetime.fromtimestamp(START + 200 * APART, UTC)
    mine = case(home.cases)
    with SimReddit(many(0, 450)) as sim:
        how = settings(sim, home.folder, since=since)
        assert collect(store, [mine], how)[UNIT].reading.pages == 3
        assert held(store) == matching(sim.posts[200:])
    assert span(store)[0][:3] == ("done", False, since)


def test_a_run_from_a_later_day_on_claims_and_keeps_no_more_than_it_read(
    home: Home, store: Store
) -> None:
    mine = case(home.cases, search=("soundcloud",))
    since = datetime.fromtimestamp(time.time() + 600, UTC)
    later = [post(7000 + n, created=since.timestamp() + 60 + n) for n in range(2)]
    with SimReddit(posts(*range(3))) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        between = fresh(3)  # after the first run, before `since`
        sim.posts += [*between, *later]
        for how_now in (settings(sim, home.folder, since=since), how):
            collect(store, [mine], how_now)
            held_now = held(store)
            assert later[0]["name"] in held_now
        assert held_now == matching(sim.posts)
    (_, _, _, began), (status, _, start, _), (_, _, again, _) = span(store)
    assert (status, start) == ("done", since)
    assert again == began  # goes on where the first run ended, as if there had been none between


def test_a_first_run_from_a_later_day_on_is_gone_beyond_by_the_next_without(
    home: Home, store: Store
) -> None:
    mine = case(home.cases, search=("soundcloud",))
    since = datetime.fromtimestamp(START + 200 * APART, UTC)
    with SimReddit(many(0, 250)) as sim:
        narrow = settings(sim, home.folder, since=since)
        collect(store, [mine], narrow)
        sim.log.clear()
        units = collect(store, [mine], narrow)
        assert units[UNIT].reading.pages == 1  # the same `since` again costs nothing
        assert held(store) == matching(sim.posts[200:])
        sim.purge(*sim.posts[:50])  # Reddit's search finds what is there
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == matching(sim.posts)
    assert [row[2] for row in span(store)][2] == datetime(2020, 1, 1, tzinfo=UTC)


def test_short_and_empty_pages_are_not_the_end(home: Home, store: Store) -> None:
    # What was removed is taken out of a page afterwards; PRAW ends at the first empty page.
    mine = case(home.cases)
    with SimReddit(many(0, 400)) as sim:
        for one in sim.posts[149:330]:
            sim.delete(one, "moderator")
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == matching([*sim.posts[:149], *sim.posts[330:]])
    assert span(store)[0][0] == "done"


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_in_the_middle_of_a_listing_neither_begins_it_anew_nor_leaves_a_page_out(
    home: Home, store: Store, slept: list[float], status: int
) -> None:
    # PRAW's new() called again begins anew.
    mine = case(home.cases)
    with SimReddit(many(0, 550)) as sim:
        sim.fault("/new", skip=3, times=2, status=status, headers={"retry-after": "3"})
        unit = collect(store, [mine], settings(sim, home.folder))[UNIT]
        assert (unit.reading.items, unit.reading.pages) == (550, 6)
        places = [one.query.get("after") for one in sim.log if "/new" in one.path]
        assert places.count(None) == 1
        assert (len(places), len(set(places))) == (6 + 2, 6)
        assert held(store) == matching(sim.posts)


def test_a_post_that_was_the_newest_and_is_deleted_silences_nothing(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    with SimReddit(posts(*range(30))) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        sim.purge(sim.posts[-1])
        sim.posts += fresh(3)
        assert collect(store, [mine], how)[UNIT].new == 3


def test_a_post_that_is_let_through_later_is_found_below_the_newest(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    with SimReddit(fresh(3)) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        late = post(1, created=time.time() - 1800)
        sim.posts.append(late)
        collect(store, [mine], how)
        assert late["name"] in held(store)


def test_a_listing_that_goes_round_in_a_circle_ends(home: Home, store: Store) -> None:
    mine = case(home.cases)
    with SimReddit(posts(1, 2)) as sim:
        name = sim.posts[0]["name"]
        child = {"kind": "t3", "data": sim.posts[0]}
        body = {"kind": "Listing", "data": {"after": name, "children": [child]}}
        sim.fault("/new", times=2, status=200, body=body)
        collect(store, [mine], settings(sim, home.folder))
    assert span(store)[0][0] == "capped"


@pytest.mark.parametrize("state", ["private", "banned", "quarantined", "missing"])
def test_a_subreddit_that_cannot_be_read_is_named_and_the_others_are_read(
    home: Home, store: Store, state: str
) -> None:
    mine = case(home.cases, subreddits=("Shut", "InventedMusic"))
    with SimReddit(posts(1, 2), communities={"shut": state}) as sim:
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == truth(*sim.posts)
    row = ledger(store).filter(unit="r/shut").row(0, named=True)
    assert (row["status"], row["stop_reason"]) == ("failed", state)
    assert "r/shut" in row["error"]
    assert row["observed_from"] is None
    assert span(store)[0][0] == "done"


def test_a_refusal_without_a_reason_is_the_subreddits_own_while_the_key_can_read(
    home: Home, store: Store
) -> None:
    mine = case(home.cases, subreddits=("Odd", "InventedMusic"))
    with SimReddit(posts(1)) as sim:
        sim.fault("/r/odd/new", status=403)
        collect(store, [mine], settings(sim, home.folder))
        assert sim.asked("/r/all/new") == 1
    assert ledger(store).filter(unit="r/odd")["stop_reason"].item() == "forbidden"
    assert span(store)[0][0] == "done"


@pytest.mark.parametrize("state", ["suspended", "revoked", "blocked"])
def test_a_key_that_may_read_nothing_ends_the_run_and_says_so_in_the_ledger(
    home: Home, store: Store, state: str
) -> None:
    mine = case(home.cases, subreddits=("a1", "b2", "c3"))
    with SimReddit(key=state) as sim:
        with pytest.raises(UnfitError):
            collect(store, [mine], settings(sim, home.folder))
        assert len(sim.log) <= 4
    assert set(ledger(store)["status"]) == {"failed"}


def test_trouble_with_one_subreddit_leaves_the_others_and_ends_with_try_again(
    home: Home, store: Store, slept: list[float]
) -> None:
    mine = case(home.cases, subreddits=("Odd", "InventedMusic"))
    with SimReddit([*posts(1, 2), *posts(3, community="odd")]) as sim:
        how = settings(sim, home.folder)
        sim.fault("/r/odd/new", times=3, status=503)
        with pytest.raises(TryLaterError, match="503"):
            collect(store, [mine], how)
        assert held(store) == truth(*sim.posts[:2])
        collect(store, [mine], how)
    rows = ledger(store).filter(unit="r/odd")
    assert rows["status"].to_list() == ["failed", "done"]
    assert rows["observed_from"].to_list()[1] == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("after", ["t3_???", "", 7, {"a": 1}])
def test_an_odd_place_to_go_on_costs_only_its_subreddit(
    home: Home, store: Store, after: Any
) -> None:
    mine = case(home.cases, subreddits=("Odd", "InventedMusic"))
    with SimReddit(posts(1)) as sim:
        odd = {"kind": "t3", "data": post(3, community="odd")}
        body = {"kind": "Listing", "data": {"children": [odd], "after": after}}
        sim.fault("/r/odd/new", status=200, body=body)
        with suppress(TryLaterError):
            collect(store, [mine], settings(sim, home.folder))
        assert held(store).items() >= truth(*sim.posts).items()
    assert ledger(store).filter(unit="r/odd")["status"].to_list() == ["failed" if after else "done"]


def test_when_everything_fails_the_run_does_not_go_through_it_all(
    home: Home, store: Store, slept: list[float]
) -> None:
    mine = case(home.cases, subreddits=tuple(f"sub{n}" for n in range(8)))
    with SimReddit() as sim:
        sim.fault("/new", times=9, status=500)
        with pytest.raises(TryLaterError):
            collect(store, [mine], settings(sim, home.folder))
        assert sim.asked("/new") == 9


# What a run may cost


def test_a_run_keeps_to_its_budget_and_the_next_goes_on_at_the_page(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    with SimReddit(many(0, 650)) as sim:
        how = settings(sim, home.folder, budget=4)  # a token and three pages
        seen: list[str] = []
        for _ in range(3):
            sim.log.clear()
            collect(store, [mine], how)
            assert len(sim.log) <= 4
            seen += [one.query.get("after", "") for one in sim.log if "/new" in one.path]
        assert held(store) == matching(sim.posts)
        assert len(seen) == len(set(seen)) + 2  # the newest page of each run, and no other twice
    assert [row[0] for row in span(store)] == ["partial", "partial", "done"]
    assert span(store)[2][2] == datetime(2020, 1, 1, tzinfo=UTC)
    assert span(store)[0][2] is None


def test_no_id_of_a_post_stands_in_a_cursor(home: Home, store: Store) -> None:
    mine = case(home.cases)
    with SimReddit(many(0, 450)) as sim:
        collect(store, [mine], settings(sim, home.folder, budget=3))
        cursors = ledger(store)["cursor_after"].to_list()
        assert "cut" in json.loads(cursors[0])
        for one in sim.posts:
            assert one["id"] not in cursors[0]
            assert str(int(one["id"], 36)) not in cursors[0]


def test_a_sweep_goes_on_when_the_post_at_its_cut_is_deleted_or_the_secret_is_new(
    home: Home, store: Store
) -> None:
    mine = case(home.cases)
    with SimReddit(many(0, 450)) as sim:
        collect(store, [mine], settings(sim, home.folder, budget=3))
        sim.purge(sim.posts[250])  # the last of the second page
        collect(store, [mine], settings(sim, home.folder))
        assert held(store).keys() >= matching(sim.posts).keys()
    assert span(store)[-1][0] == "done"


@pytest.mark.parametrize("status", [400, 404])
def test_a_place_that_reddit_refuses_to_go_on_from_costs_no_more_than_reading_again(
    home: Home, store: Store, status: int
) -> None:
    mine = case(home.cases)
    with SimReddit(many(0, 450)) as sim:
        collect(store, [mine], settings(sim, home.folder, budget=3))
        # The place of the cut, and later on one in the middle of the listing.
        sim.fault("/new", skip=1, status=status)
        sim.fault("/new", skip=3, status=status)
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == matching(sim.posts)
        assert [row[0] for row in span(store)] == ["partial", "done"]
        sim.posts += [post(n, title="x") for n in range(450, 600)]
        sim.fault("/new", skip=1, times=2, status=status)  # refused at any place but the first
        collect(store, [mine], settings(sim, home.folder))
        collect(store, [mine], settings(sim, home.folder))
    assert [row[0] for row in span(store)][2:] == ["failed", "done"]
    assert span(store)[3][2] == span(store)[1][3]


@pytest.mark.long
def test_what_came_in_above_a_cut_sweep_is_read_too(home: Home, store: Store) -> None:
    mine = case(home.cases)
    with SimReddit(many(0, 450)) as sim:
        collect(store, [mine], settings(sim, home.folder, budget=3))
        sim.posts += fresh(130)
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == matching(sim.posts)
    assert span(store)[-1][0] == "done"


def test_cases_get_the_same_share_of_the_requests(home: Home, store: Store) -> None:
    big = case(home.cases, "big", subreddits=("one1", "two2", "three3"))
    small = case(home.cases, "small", subreddits=("four4",))
    names = ("one1", "two2", "three3", "four4")
    with SimReddit([post(n, community=names[n % 4], title="Another") for n in range(2000)]) as sim:
        collect(store, [big, small], settings(sim, home.folder, budget=9))
        asked = {name: sim.asked(f"/r/{name}/new") for name in names}
    assert asked["four4"] == 4
    assert sum(asked.values()) == 8
    rows = ledger(store).filter(pl.col("unit").str.starts_with("r/"))
    assert rows["cases"].list.len().to_list() == [1] * 4


def test_what_the_budget_never_reached_is_named_and_no_hour_counts_as_read(
    home: Home, store: Store
) -> None:
    mine = case(home.cases, subreddits=("InventedMusic", "Turn", "Late"), search=("Sound",))
    with SimReddit([*posts(1, 2), *posts(4, community="turn")]) as sim:
        collect(store, [mine], settings(sim, home.folder, budget=2))
        rows = ledger(store)
        named = dict(rows.select("unit", "stop_reason").iter_rows())
        named.pop(UNIT)
        assert "the budget" in named.pop("r/turn")  # its turn it was
        assert set(named) == {"r/late", "search: Sound", "threads: mine", "revisits"}
        assert all("not tried: the budget" in said for said in named.values())
        assert rows.filter(unit="r/late")["status"].to_list() == ["partial"]
        assert covered(store, mine).is_empty()  # the one that was read is not all that is watched
        sim.posts += posts(3, community="late")
        collect(store, [mine], settings(sim, home.folder))
        assert ledger(store).filter(unit="r/late")["status"].to_list() == ["partial", "done"]
        assert set(covered(store, mine)["status"]) == {"covered"}


def test_what_a_dead_network_left_over_is_named_too(
    home: Home, store: Store, slept: list[float]
) -> None:
    mine = case(home.cases, subreddits=("InventedMusic", "Late"))
    with SimReddit(posts(1)) as sim:
        sim.fault("/r/late/new", times=3, drop=True)
        with pytest.raises(TryLaterError):
            collect(store, [mine], settings(sim, home.folder))
    rows = ledger(store).filter(pl.col("stop_reason") == "not tried")
    assert set(rows["unit"]) == {"threads: mine", "revisits"}
    assert set(rows["status"]) == {"failed"}
    assert "Reddit cannot be reached" in rows["error"][0]


def covered(store: Store, mine: Case) -> pl.DataFrame:
    return coverage.spans(
        stored(store, "runs"),
        case=mine.name,
        query_hash=mine.query_hash,
        asked=coverage.asked(mine),
    )


def test_a_subreddit_of_two_cases_is_read_once_for_both(home: Home, store: Store) -> None:
    one = case(home.cases, "one")
    two = case(home.cases, "two", query="soundcloud AND number")
    with SimReddit(posts(*range(120))) as sim:
        how = settings(sim, home.folder)
        collect(store, [one, two], how)
        assert sim.asked("/new") == 2
    assert [entry["case"] for entry in ledger(store)["cases"][0]] == ["one", "two"]


@pytest.mark.long
def test_a_case_that_was_left_out_of_a_run_misses_nothing(home: Home, store: Store) -> None:
    one = case(home.cases, "one", query="soundcloud AND nothing")
    two = case(home.cases, "two", query="soundcloud AND number")
    with SimReddit(posts(*range(5))) as sim:
        how = settings(sim, home.folder)
        collect(store, [one, two], how)
        middle = posts(*range(3000, 3120))
        sim.posts += middle
        collect(store, [one], how)
        assert not set(held(store)) & set(truth(*middle))
        sim.posts += fresh(1)
        collect(store, [one, two], how)
        assert held(store) == truth(*sim.posts)
    (_, _, _, first), _, (status, _, start, _) = span(store)
    assert (status, start) == ("done", first)


def test_a_new_query_reads_again_what_reddit_still_lists(home: Home, store: Store) -> None:
    with SimReddit(posts(*range(130))) as sim:
        how = settings(sim, home.folder)
        collect(store, [case(home.cases, query="soundcloud AND nothing")], how)
        assert held(store) == {}
        collect(store, [case(home.cases)], how)
        assert held(store) == truth(*sim.posts)
    assert span(store)[1][2] == datetime(2020, 1, 1, tzinfo=UTC)


def test_progress_is_told(home: Home, store: Store) -> None:
    steps: list[Step] = []
    with SimReddit(posts(*range(130))) as sim:
        how = settings(sim, home.folder, progress=steps.append)
        collect(store, [case(home.cases)], how)
    assert [(one.unit, one.items) for one in steps if one.unit == UNIT] == [
        (UNIT, 100),
        (UNIT, 130),
    ]


def test_a_case_that_asks_reddit_for_nothing_asks_reddit_nothing(home: Home, store: Store) -> None:
    mine = case(home.cases, subreddits=())
    with SimReddit() as sim:
        assert list(reddit.collect([mine], store.known(), settings(sim, home.folder))) == []
        assert sim.log == []


# Searches


@pytest.mark.long
def test_a_phrase_is_searched_in_every_order_and_claims_no_time(home: Home, store: Store) -> None:
    mine = case(home.cases, subreddits=(), search=("SoundCloud terms",))
    elsewhere = [post(n, community=f"elsewhere{n % 3}") for n in range(3)]
    with SimReddit(elsewhere) as sim:
        how = settings(sim, home.folder)
        collect(store, [mine], how)
        assert held(store) == truth(*sim.posts)
        asked = [one.query for one in sim.log if "search" in one.path]
        assert {(one["sort"], one["t"]) for one in asked} == {
            ("new", "all"),
            *((s, t) for s in ("relevance", "top", "comments") for t in AGAIN),
        }
        assert {one["q"] for one in asked} == {"SoundCloud terms"}
        sim.log.clear()
        collect(store, [mine], how)
        assert {one.query["sort"] for one in sim.log if "search" in one.path} == {"new"}
    for row in ledger(store).filter(unit="search: SoundCloud terms").iter_rows(named=True):
        assert (row["status"], row["observed_from"], row["gap"]) == ("done", None, False)
    spans = coverage.spans(stored(store, "runs"), case=mine.name, query_hash=mine.query_hash)
    assert spans.is_empty()


AGAIN = ("day", "week", "month", "year", "all")


def test_a_search_that_the_budget_cuts_off_goes_on_with_the_orders_that_are_left(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reddit_search, "GRID", reddit_search.GRID[:5])
    mine = case(home.cases, subreddits=(), search=("SoundCloud terms",))
    with SimReddit(posts(1, 2)) as sim:
        for _ in range(3):
            collect(store, [mine], settings(sim, home.folder, budget=5))
        asked = [(one.query["sort"], one.query["t"]) for one in sim.log if "search" in one.path]
        others = [one for one in asked if one[0] != "new"]
        assert len(others) == len(set(others)) == 5
    status = ledger(store).filter(unit="search: SoundCloud terms")["status"].to_list()
    assert (status[0], status[-1]) == ("partial", "done")


# What the fields mean


def test_markers_bots_hidden_scores_and_crossposts_are_what_they_are(
    home: Home, store: Store, aftershock: Any
) -> None:
    mine = case(home.cases)
    plain = post(1, title="SoundCloud terms are bad", selftext="")
    hidden = post(2, title="SoundCloud terms two", hide_score=True)
    parent = post(3, title="SoundCloud terms three", selftext="A long text.")
    crossed = post(
        4,
        title="SoundCloud terms four",
        selftext="A long text.",
        crosspost_parent=parent["name"],
        crosspost_parent_list=[parent],
    )
    bot = post(5, title="SoundCloud terms five", author="AutoModerator")
    left = post(6, title="SoundCloud terms six")
    gone = post(7, title="SoundCloud terms seven")
    odd = post(8) | {"created_utc": "soon", "title": "SoundCloud terms eight"}
    with SimReddit([plain, hidden, parent, crossed, bot, left, gone]) as sim:
        sim.delete(left, "account")
        sim.delete(gone, "reddit")
        body = {
            "kind": "Listing",
            "data": {"after": None, "children": [{"kind": "t3", "data": one} for one in sim.posts]},
        }
        body["data"]["children"] += [{"kind": "t3", "data": odd}, {"kind": "more"}, None]
        sim.fault("/new", status=200, body=body)
        units = collect(store, [mine], settings(sim, home.folder))
    texts = held(store)
    assert texts[crossed["name"]] == "SoundCloud terms four"
    assert left["name"] not in texts
    assert gone["name"] not in texts
    rows = {row["uri"]: row for row in stored(store).iter_rows(named=True)}
    assert rows[f"reddit:{hidden['name']}"]["likes"] is None
    assert rows[f"reddit:{plain['name']}"]["likes"] == plain["score"]
    at = rows[f"reddit:{plain['name']}"]["at"]
    assert at == datetime.fromtimestamp(plain["created_utc"], UTC)
    assert (units[UNIT].bad, units[UNIT].gone) == (3, 2)
    assert aftershock("score").code == 0
    scores = stored(store, "scores").join(stored(store).select("post", "uri"), on="post")
    status = dict(scores.select("uri", "status").iter_rows())
    assert status[f"reddit:{bot['name']}"] == "marker"
    assert status[f"reddit:{plain['name']}"] == "scored"
