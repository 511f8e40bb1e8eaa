"""Whatever is killed, wherever it stands: run again, it ends as if it never had been killed."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from killing import OPERATIONS, SALT, Killer, Truth, held, matched, new_store, orphans
from searching import traces
from storing import count_cells, counted, score_all, stored

from store.tables import Store


def check(store: Store, truth: Truth) -> None:
    """The store holds what it should, no row more."""
    expected = {
        store.key(f"reddit:t1_{name}"): (text, state)
        for name, (text, state, _) in truth.posts.items()
    }
    assert held(store) == expected
    assert matched(store) == expected.keys()
    assert set(stored(store, "scores")["post"]) <= expected.keys()


def check_acknowledged(
    store: Store, truth: Truth, acknowledged: tuple[str, ...], turn: int
) -> None:
    """What was said to be committed is there, or waits in the spool, right after the kill."""
    posts = held(store)
    waiting = {
        post
        for path in store._spool.waiting()
        if (ready := store._spool.read(path))
        for post in ready.posts["post"]
    }
    for said in acknowledged:
        name = said.split()[-1]
        key = store.key(f"reddit:t1_{name}")
        if said.startswith("gone") and key in posts:
            assert posts[key] == (None, "gone")
        elif name not in truth.refused and name[0] in "ms":
            assert key in posts or key in waiting, f"{name} was acknowledged and is missing"


def check_disk(store: Store, truth: Truth, kills: Counter[str]) -> None:
    """Figures are right, and nothing is left on the disk that should not be."""
    score_all(store)
    store.rebuild(count_cells)
    weeks: Counter[object] = Counter()
    for at in store.scored().collect()["at"].dt.truncate("1w").dt.date():
        weeks[at] += 1
    held_weeks: Counter[object] = Counter()
    for week, n in stored(store, "cells").select("week", "n").iter_rows():
        held_weeks[week] += n
    assert held_weeks == weeks
    assert counted(store).keys() == weeks.keys()
    store.maintain(purge=True)
    assert list(orphans(store)) == []
    assert traces(store.location, truth.gone_words()) == {}
    runs = stored(store, "runs")
    # Killed runs stay open for ever; they claim nothing.
    assert runs.filter(status="running").height <= kills["import"]
    assert (
        runs.filter(status="running")["finished_at"].null_count()
        == runs.filter(status="running").height
    )
    check(store, truth)


def history(folder: Path, killer: Killer, seed: int, rounds: int) -> Counter[str]:
    """Kill every operation `rounds` times in random order; returns how many kills came in time."""
    dice = random.Random(seed)  # noqa: S311
    place = str(folder / f"store{seed}")
    truth = new_store(place)
    store = Store.open(place, salt=SALT)
    took: dict[str, float] = {}
    turn, landed = 0, Counter[str]()
    for number in range(rounds + 1):
        for name in dice.sample(sorted(OPERATIONS), len(OPERATIONS)):
            turn += 1
            _, become = OPERATIONS[name]
            if number:  # the first round only measures how long each takes
                ended = killer.run(place, name, turn, dice.uniform(0, took[name]))
                landed[name] += ended.landed
                check_acknowledged(store, truth, ended.acknowledged, turn)
            begun = time.monotonic()
            ended = killer.run(place, name, turn)
            assert not ended.landed
            took[name] = time.monotonic() - begun
            become(truth, turn)
            check(store, truth)
    check_disk(store, truth, landed)
    return landed


def test_twenty_kills_are_healed_by_running_again(tmp_path: Path) -> None:
    with Killer() as killer:
        landed = history(tmp_path, killer, seed=20, rounds=2)
    assert landed.total() >= 10, landed


@pytest.mark.long
def test_two_hundred_kills_are_healed_by_running_again(tmp_path: Path) -> None:
    landed: Counter[str] = Counter()
    with Killer() as killer:
        for seed in range(100):
            landed += history(tmp_path, killer, seed, rounds=4)
            if landed.total() >= 200:
                break
    print("kills landed by operation:", dict(landed), landed.total())
    assert landed.total() >= 200
