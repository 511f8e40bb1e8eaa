"""Whatever is killed, wherever it stands: run again, it ends as if it never had been killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from killing import OPERATIONS, Killer, Truth, held, matched, new_store, orphans, row, word
from searching import traces
from storing import (
    SALT,
    batch,
    count_cells,
    counted,
    frame,
    matches,
    process,
    score_all,
    stored,
)

from store.prepared import prepare
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


CUT = """
import os, signal, sys
import killing
from store import posts
from store.tables import Store
from storing import SALT
add, calls = posts.add_matches, []
def cut(*rows):
    calls.append(1)
    if len(calls) == 2:  # the first batch brings no new posts
        os.kill(os.getpid(), signal.SIGKILL)
    add(*rows)
posts.add_matches = cut
killing.readings.ROWS = 4
killing.do_import(Store.open(sys.argv[1], salt=SALT), 1, print)
"""


def test_an_import_cut_between_posts_and_matches_is_healed_by_the_same_file(tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    truth = new_store(place)
    with process(CUT, place) as cut:
        assert cut.wait(60) == -signal.SIGKILL
    store = Store.open(place, salt=SALT)
    new = held(store).keys() - matched(store)
    assert new  # posts without a match: in no figure
    assert not new & set(store.scored().collect()["post"])
    with Killer() as killer:
        assert not killer.run(place, "import", 1).landed
    _, become = OPERATIONS["import"]
    become(truth, 1)
    check(store, truth)
    status = stored(store, "runs").sort("started_at").select("status", "kept", "new").rows()
    assert [run[0] for run in status] == ["running", "done"]
    assert status[0][1:] == (0, 0)  # what was never finished claims nothing


SCRUBBED = """
import os, signal, sys
from pathlib import Path
from store.tables import Store
from storing import SALT
store = Store.open(sys.argv[1], salt=SALT)
Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store.forget([store.key("reddit:t1_s001x0"), store.key("reddit:t1_s001x1")])
"""


def test_a_forget_cut_while_it_clears_the_spool_clears_it_when_run_again(tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    store = Store.open(place, salt=SALT)
    posts = frame([row(f"s001x{n}", 1, "newcomer") for n in range(3)])
    ready = prepare(
        batch(posts), matches(posts), store._keys, datetime.now(UTC), lambda rest: rest.clear()
    )
    store._spool.put(ready)
    with process(SCRUBBED, place) as cut:
        assert cut.wait(60) == -signal.SIGKILL
    words = [word("s001x0", 1), word("s001x1", 1)]
    assert traces(store._spool.folder, words).keys() == set(words)
    for draft in store._spool.folder.glob(".draft-*"):
        os.utime(draft, (0, 0))
    store.forget([store.key("reddit:t1_s001x0"), store.key("reddit:t1_s001x1")])
    assert traces(place, words) == {}
    store.drain()
    assert [text for text, _ in held(store).values()] == [word("s001x2", 1)]
