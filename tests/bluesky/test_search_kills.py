"""A search that is killed wherever it stands is run again, and the store holds what the network
does."""

from __future__ import annotations

import json
import random
import subprocess
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from bluesky_runs import case, run, settings, texts
from conftest import Home
from storing import process
from testbeds.bluesky.network import Network

from store.tables import Store

pytestmark = pytest.mark.bluesky
MAY = datetime(2025, 5, 9, 12, tzinfo=UTC)
KILLS = 8


def test_killed_anywhere_and_run_again_the_store_holds_what_the_network_does(
    network: Network, home: Home
) -> None:
    wanted = [(f"quuxkill {n}", MAY + timedelta(minutes=n)) for n in range(320)]
    posts = network.posts("alice", wanted)
    for n in range(0, 320, 16):
        network.post("bob", f"answer {n}", reply_to=posts[n])
        network.post("carol", f"quote {n}", quote=posts[n + 1])
    network.caught_up()
    expected = sorted(
        [text for text, _ in wanted]
        + [f"{kind} {n}" for n in range(0, 320, 16) for kind in ("answer", "quote")]
    )
    watched = case(home.cases, "quuxkill")
    asked = settings(network, home.folder / "cache")
    told = json.dumps([str(watched.path), str(asked.cache), dict(asked.credentials)])
    store = Store.open()
    logins = network.requests()["com.atproto.server.createSession"]
    chance, kept, killed = random.Random(), 0, 0  # noqa: S311 - moments, no secrets
    for _ in range(KILLS):
        child = process("from bluesky_runs import main; main()")
        assert child.stdin is not None
        child.stdin.write(told)
        child.stdin.close()
        if not _stored_more(store, kept, child):
            break
        time.sleep(chance.uniform(0, 0.4))
        child.kill()
        killed += child.wait() != 0
        kept = _ledger(store)
        assert set(texts(store)) <= set(expected)
    units = run(store, [watched], asked)
    assert killed
    assert texts(store) == expected
    unit = next(unit for unit in units if unit.reading.unit == "quuxkill")
    assert unit.reading.status == "done"
    assert unit.reading.observed_from == datetime(2025, 5, 1, tzinfo=UTC)
    via = dict(store.read(lambda: store.scan("matches").group_by("via").len()).iter_rows())
    assert via == {"own": 320, "thread": 40}
    assert network.requests()["com.atproto.server.createSession"] <= logins + 2
    store = Store.open()
    run(store, [watched], asked)
    assert texts(store) == expected


def _ledger(store: Store) -> int:
    """A number that grows with every step of a run."""
    rows = store.read(
        lambda: store.scan("runs").select(pl.col("items").fill_null(0).sum() + pl.len())
    )
    return int(rows.item())


def _stored_more(store: Store, before: int, child: subprocess.Popen[str]) -> bool:
    """Wait until the child has written to the ledger; False when it ended by itself first."""
    while child.poll() is None:
        if _ledger(store) > before:
            return True
        time.sleep(0.02)
    return False
