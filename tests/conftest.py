"""Fixtures that more than one test file needs: a home of its own for every test."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from testbeds.bluesky.network import Network
from testbeds.bluesky.network import started as bluesky
from testbeds.s3 import Bed, serving

from cli.credentials import NAMES

# No test fails for being slow: on a busy machine any example takes longer than Hypothesis allows.
settings.register_profile("aftershock", deadline=None)
settings.load_profile("aftershock")


@dataclass
class Home:
    """Where a test's store, salt and cases lie."""

    folder: Path
    store: Path
    salt: Path
    cases: Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty store, no salt yet and no cases of one's own, in a folder of the test."""
    home = Home(tmp_path, tmp_path / "store", tmp_path / "salt", tmp_path / "cases")
    home.cases.mkdir()
    monkeypatch.setenv("AFTERSHOCK_STORE", str(home.store))
    monkeypatch.setenv("AFTERSHOCK_SALT", str(home.salt))
    monkeypatch.setenv("AFTERSHOCK_CASES", str(home.cases))
    monkeypatch.delenv("AFTERSHOCK_DEMO", raising=False)
    # No test meets this machine's own logins, and none a real source: nothing listens on port 1.
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AFTERSHOCK_CREDENTIALS", str(tmp_path / "credentials"))
    monkeypatch.setenv("AFTERSHOCK_JETSTREAM", "ws://127.0.0.1:1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return home


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A real S3 server on loopback."""
    with serving(tmp_path_factory.mktemp("s3")) as bed:
        yield bed


@pytest.fixture
def bucket(s3: Bed, home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store that is not there yet, in an empty bucket; the environment names it and
    holds the keys, and nobody's own settings for Amazon are in the way."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home.folder))
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    place = f"s3://{s3.bucket()}/aftershock"
    monkeypatch.setenv("AFTERSHOCK_STORE", place)
    return place


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """The real Bluesky servers on loopback, one network for all tests: each uses words and accounts
    of its own (`network.add`). Tests that ask for it are marked `bluesky`."""
    yield from bluesky()


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output read as JSON."""
        return json.loads(self.out)


@pytest.fixture
def aftershock(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """Run the command line in this process, as its entry point does."""
    from cli.main import main  # noqa: PLC0415 - a second of imports only where it is used

    def run(*words: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["aftershock", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the interpreters that tone was compared on; those it was not are among the skips."""
    passed = terminalreporter.stats.get("passed", [])
    named = [value for one in passed for key, value in one.user_properties if "compared" in key]
    if named:
        terminalreporter.write_line(f"Tone compared with the package on {', '.join(named)}.")
