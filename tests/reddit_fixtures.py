"""Fixtures of the tests of Reddit: an empty store, nobody who waits, and time that passes."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import prawcore.rate_limit
import prawcore.sessions
import pytest
from conftest import Home
from redditing import Passing

import collectors.reddit_client
from collectors.reddit_client import Client
from store.tables import Store


@pytest.fixture
def store(home: Home) -> Store:
    """An empty store in the home of the test."""
    return Store.open()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passing:
    ahead = timedelta()

    def passing(time: timedelta) -> None:
        nonlocal ahead
        ahead += time

    monkeypatch.setattr(Client, "now", lambda _: datetime.now(UTC) + ahead)
    return passing


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody waits: prawcore between two tries, its limiter, and the client. Gives what they would
    have waited. Their names are replaced, never time.sleep itself, which the server needs."""
    waits: list[float] = []
    clock = SimpleNamespace(
        sleep=waits.append, monotonic=time.monotonic, monotonic_ns=time.monotonic_ns
    )
    monkeypatch.setattr(prawcore.sessions, "time", clock)
    monkeypatch.setattr(prawcore.rate_limit, "time", clock)
    monkeypatch.setattr(collectors.reddit_client, "pause", waits.append)
    return waits
