"""Whatever goes wrong with whichever request: run again, the store holds what Reddit holds."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from conftest import Home
from redditing import case, collect, held, ledger, settings, truth
from storing import process, stored
from testbeds.reddit.sim import SimReddit, comment, post

import collectors.reddit_client
from cases.case import Case
from collectors import reddit_search
from collectors.errors import CollectorError, TryLaterError
from store.tables import Store

pytest_plugins = ["reddit_fixtures"]

FAULTS: dict[str, dict[str, Any]] = {
    "drop": {"drop": True, "times": 3},
    "truncate": {"truncate": True, "times": 3},
    "429": {"status": 429, "times": 3, "headers": {"retry-after": "1"}},
    "500": {"status": 500, "times": 3},
    "delay": {"delay": 0.5, "times": 1},
    "odd": {"status": 200, "body": "<html>", "times": 3},
}
REQUESTS = 9  # of a run in which nothing goes wrong
EVERY = [(fault, position) for fault in FAULTS for position in range(REQUESTS)]
SOME = [("drop", 2), ("500", 6)]  # what `make test` tries


def bed() -> SimReddit:
    """A subreddit of two pages, a phrase that finds more elsewhere, and a thread with a stub."""
    about = post(140, num_comments=30)
    things = [post(n) if n % 70 == 0 else post(n, title="Another subject") for n in range(140)]
    elsewhere = [post(200, community="elsewhere")]
    comments = [comment(n, about) for n in range(30)]
    return SimReddit([*things, about, *elsewhere], comments, forest_limit=10)


def whole(sim: SimReddit) -> dict[str, str]:
    about = [one for one in sim.posts if one["title"].startswith("SoundCloud")]
    return truth(*about, *sim.comments)


@pytest.fixture
def mine(home: Home, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(reddit_search, "GRID", reddit_search.GRID[:2])
    return case(home.cases, search=("SoundCloud terms",))


def trial(
    home: Home, store: Store, mine: Case, monkeypatch: pytest.MonkeyPatch, fault: str, position: int
) -> None:
    how = FAULTS[fault]
    if fault == "delay":
        monkeypatch.setattr(collectors.reddit_client, "TIMEOUT", 0.25)
    with bed() as sim:
        sim.fault(skip=position, **how)
        with suppress(TryLaterError):
            collect(store, [mine], settings(sim, home.folder))
        monkeypatch.setattr(collectors.reddit_client, "TIMEOUT", 30.0)
        collect(store, [mine], settings(sim, home.folder))
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == whole(sim)
    claims(store)


def claims(store: Store) -> None:
    """The subreddit was read from the case's beginning on, without a hole, and all ended well."""
    rows = ledger(store).filter(unit="r/inventedmusic", status="done")
    spans = rows.select("observed_from", "observed_to").rows()
    assert spans[0][0].year == 2020
    assert all(after[0] == before[1] for before, after in pairwise(spans))
    assert stored(store).select("uri").is_unique().all()


def test_a_run_without_a_fault_makes_so_many_requests(home: Home, store: Store, mine: Case) -> None:
    with bed() as sim:
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == whole(sim)
        assert len(sim.log) == REQUESTS


@pytest.mark.parametrize(("fault", "position"), SOME)
def test_after_a_fault_the_next_run_makes_it_whole(
    home: Home,
    store: Store,
    mine: Case,
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
    fault: str,
    position: int,
) -> None:
    trial(home, store, mine, monkeypatch, fault, position)


@pytest.mark.long
@pytest.mark.parametrize(("fault", "position"), EVERY)
def test_after_any_fault_at_any_request_the_next_run_makes_it_whole(
    home: Home,
    store: Store,
    mine: Case,
    monkeypatch: pytest.MonkeyPatch,
    slept: list[float],
    fault: str,
    position: int,
) -> None:
    trial(home, store, mine, monkeypatch, fault, position)


# Killed by the request that it makes: the server ends whoever asks.

RUN = """
import sys
from pathlib import Path
from types import SimpleNamespace
from redditing import collect, settings
import cases.case as case_files
from collectors import reddit_search
from store.tables import Store
reddit_search.GRID = reddit_search.GRID[:2]
store, mine = Store.open(), case_files.get("mine")
print("ready", flush=True)
sys.stdin.readline()
collect(store, [mine], settings(SimpleNamespace(url=sys.argv[1]), Path(sys.argv[2])))
"""


def killed(home: Home, store: Store, mine: Case, positions: Sequence[int]) -> None:
    with bed() as sim:
        for position in positions:
            run = process(RUN, sim.url, str(home.folder))
            assert run.stdin is not None
            assert run.stdout is not None
            assert run.stdout.readline() == "ready\n"
            sim.fault(skip=position, kill=run.pid)
            run.stdin.write("\n")
            run.stdin.close()
            assert run.wait() == -signal.SIGKILL
            run.stdout.close()
        collect(store, [mine], settings(sim, home.folder))
        assert held(store) == whole(sim)
    claims(store)
    # Rows of killed runs stay open, and claim nothing.
    assert ledger(store).filter(status="running")["observed_to"].drop_nulls().is_empty()


def test_a_run_that_was_killed_is_made_whole_by_the_next(
    home: Home, store: Store, mine: Case
) -> None:
    killed(home, store, mine, [2])


@pytest.mark.long
@pytest.mark.parametrize("position", range(REQUESTS))
def test_a_run_that_was_killed_at_any_request_is_made_whole_by_the_next(
    home: Home, store: Store, mine: Case, position: int
) -> None:
    killed(home, store, mine, [position])


@pytest.mark.long
def test_a_run_that_was_killed_again_and_again_gets_there(
    home: Home, store: Store, mine: Case
) -> None:
    killed(home, store, mine, [2, 1, 3, 2, 4])


def test_a_fault_that_was_never_met_fails_its_test() -> None:
    with pytest.raises(AssertionError, match="never hit"), bed() as sim:
        sim.fault("/nowhere", drop=True)


def test_every_error_of_the_collector_is_a_sentence(
    home: Home, store: Store, mine: Case, slept: list[float]
) -> None:
    with bed() as sim:
        sim.fault(times=30, status=502)
        with pytest.raises(CollectorError) as caught:
            collect(store, [mine], settings(sim, home.folder))
        sim.faults.clear()
    assert str(caught.value).endswith(".")
    assert "502" in str(caught.value)
