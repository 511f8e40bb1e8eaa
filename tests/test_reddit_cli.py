"""Reddit by the commands: what they say, how they end, and that no key stands in what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Home
from redditing import case, held, ledger, truth
from testbeds.reddit.sim import AGENT, KEY, SECRET, SimReddit, post

from store.tables import Store

pytest_plugins = ["reddit_fixtures"]

NAMES = {
    "AFTERSHOCK_REDDIT_CLIENT_ID": KEY,
    "AFTERSHOCK_REDDIT_CLIENT_SECRET": SECRET,
    "AFTERSHOCK_REDDIT_USER_AGENT": AGENT,
}


@pytest.fixture
def sim(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimReddit]:
    """A Reddit with three posts, whose key stands in the environment, and a case for it."""
    case(home.cases)
    monkeypatch.setenv("HOME", str(home.folder))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(home.folder)
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)
    with SimReddit([post(n) for n in range(3)]) as sim:
        monkeypatch.setenv("AFTERSHOCK_REDDIT_URL", sim.url)
        yield sim


def test_collect_brings_in_posts_and_says_what_it_read(
    sim: SimReddit, store: Store, aftershock: Any
) -> None:
    sim.communities["elsewhere"] = "private"
    ended = aftershock("collect", "reddit", "--case", "mine")
    assert ended.code == 0
    assert "r/inventedmusic" in ended.out
    assert held(store) == truth(*sim.posts)
    assert ledger(store)["collector"].to_list()[0] == "reddit"
    assert SECRET not in ended.out + ended.err


def test_a_budget_is_kept(sim: SimReddit, store: Store, aftershock: Any) -> None:
    sim.posts += [post(n) for n in range(3, 300)]
    ended = aftershock("collect", "reddit", "--case", "mine", "--budget", "2")
    assert ended.code == 0
    assert '"threads: mine": 0 read, 0 kept, 0 new; partial: not tried: the budget' in ended.out
    assert len(sim.log) == 2
    assert set(ledger(store)["status"]) == {"partial"}


@pytest.mark.parametrize(("state", "code"), [("revoked", 78), ("blocked", 78), ("limited", 75)])
def test_what_stops_it_is_one_sentence_and_an_exit_code(
    sim: SimReddit, slept: list[float], aftershock: Any, state: str, code: int
) -> None:
    sim.key = state if state != "limited" else "good"
    sim.quota = 0 if state == "limited" else 1000
    ended = aftershock("collect", "reddit", "--case", "mine")
    assert ended.code == code
    assert "Traceback" not in ended.err
    assert SECRET not in ended.out + ended.err


def test_recheck_lets_go_what_is_gone(sim: SimReddit, store: Store, aftershock: Any) -> None:
    assert aftershock("collect", "reddit", "--case", "mine", "--budget", "2").code == 0
    sim.delete(sim.posts[0])
    ended = aftershock("recheck", "--source", "reddit", "--json")
    assert ended.code == 0
    assert held(store) == truth(*sim.posts[1:])
    assert json.loads(ended.out)


def test_recheck_without_a_key_says_so_and_is_an_error_only_where_reddit_was_named(
    sim: SimReddit, aftershock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aftershock("collect", "reddit", "--case", "mine", "--budget", "2").code == 0
    monkeypatch.delenv("AFTERSHOCK_REDDIT_CLIENT_SECRET")
    ended = aftershock("recheck")
    assert ended.code == 0
    assert "AFTERSHOCK_REDDIT_CLIENT_SECRET" in ended.out + ended.err
    assert aftershock("recheck", "--source", "reddit").code == 78


def test_setup_tries_the_key_and_its_exit_code_says_who_can_do_something(
    sim: SimReddit, slept: list[float], aftershock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.setup._unattended", lambda _: None)  # Bluesky, without a terminal
    ended = aftershock("setup")
    assert (ended.code, "Reddit takes the key" in ended.out) == (0, True)
    assert SECRET not in ended.out + ended.err
    sim.key = "suspended"
    ended = aftershock("setup")
    assert (ended.code, "is suspended" in ended.out + ended.err) == (78, True)
    sim.key, sim.quota = "good", 0
    assert aftershock("setup").code == 75
    assert SECRET not in ended.out + ended.err
