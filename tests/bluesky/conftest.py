"""Tests against the real Bluesky servers on loopback: marked `bluesky`, skipped by name of what is
missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from testbeds.bluesky.network import Network, missing, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.bluesky)


def started(**settings: object) -> Iterator[Network]:
    reason = missing()
    if reason:
        pytest.skip(reason)
    with serving(**settings) as network:  # type: ignore[arg-type]
        yield network


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """One network for all tests: each uses words and accounts of its own (`network.add`)."""
    yield from started()
