"""`aftershock setup` on a terminal and without one: what it asks, tries, stores and never shows."""

from __future__ import annotations

import os
import pty
import select
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from collecting import Planned, planned

import collectors
from cli.credentials import HANDLE, PASSWORD, SERVICE, find, store

GOOD, BAD = "abcd-efgh-ijkl-mnop", "zzzz-zzzz-zzzz-zzzz"
FIRST, SECOND, SURE = "Handle", "not shown", "all the same"  # what the questions hold


@pytest.fixture
def plans(home, monkeypatch) -> Iterator[Planned]:
    monkeypatch.chdir(home.cases)
    monkeypatch.delenv("AFTERSHOCK_JETSTREAM")
    plans = planned(home.folder / "collectors", monkeypatch)
    plans.write("bluesky-search", check={"refused": [BAD]})
    yield plans
    for name in collectors.COLLECTORS:
        sys.modules.pop(f"collectors.{name.replace('-', '_')}", None)


@dataclass
class Talk:
    """What a terminal showed, and how it ended."""

    shown: str
    code: int


def talk(plans: Planned, answers: Sequence[tuple[str, str]], *words: str) -> Talk:
    """Answer each question on a real terminal once it shows words that the question holds."""
    ours, theirs = pty.openpty()
    with plans.process("setup", *words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, seen = "", 0
        waiting = list(answers)
        with suppress(OSError):  # Linux says EIO when the other end is closed
            while select.select([ours], [], [], 120)[0] and (piece := os.read(ours, 4096)):
                shown += piece.decode()
                # After a question for a password comes a blank, once nothing is echoed any more.
                ends = shown if waiting and waiting[0][0] == SECOND else f"{shown.rstrip()} "
                if waiting and waiting[0][0] in shown[seen:] and ends.endswith(": "):
                    seen = len(shown)
                    os.write(ours, waiting.pop(0)[1].encode() + b"\n")
        os.close(ours)
        process.wait(timeout=60)
    assert not waiting, shown
    return Talk(shown, process.returncode)


def test_a_login_is_tried_and_stored_and_its_password_never_shown(plans, home) -> None:
    ended = talk(plans, [(FIRST, "\u202a@Alice.test\u202c"), (SECOND, GOOD)])
    assert ended.code == 0, ended.shown
    assert "Logged in to Bluesky." in ended.shown
    assert GOOD not in ended.shown
    file = home.folder / "credentials"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert find().values == {HANDLE: "Alice.test", PASSWORD: GOOD}
    again = talk(plans, [(FIRST, "")])
    assert again.code == 0
    assert f"{HANDLE}, {PASSWORD} (in {file})" in again.shown
    assert "Logged in to Bluesky." in again.shown
    assert not {GOOD, "Alice"} & set(again.shown.split())


def test_what_the_source_refuses_is_asked_again_and_not_stored(plans) -> None:
    ended = talk(plans, [(FIRST, "alice.test"), (SECOND, BAD)] * 3)
    assert ended.code == 78
    assert ended.shown.count("does not take this login") == 3
    assert find().values == {}


def test_a_source_that_is_down_does_not_cost_what_was_typed(plans) -> None:
    plans.write("bluesky-search", check={"refused": [], "down": True})
    ended = talk(plans, [(FIRST, "alice.test"), (SECOND, GOOD)])
    assert ended.code == 75
    assert "without a test" in ended.shown
    assert find().values[PASSWORD] == GOOD


def test_the_accounts_own_password_is_taken_only_after_a_warning(plans) -> None:
    asked = [(FIRST, "a.test"), (SECOND, "hunter2")]
    ended = talk(
        plans, [*asked, (SURE, "n"), *asked, (SURE, "y")], "--service", "http://127.0.0.1:1"
    )
    assert ended.code == 0
    assert ended.shown.count("That is no app password") == 2
    assert "Logged in to http://127.0.0.1:1." in ended.shown
    assert find().values[SERVICE] == "http://127.0.0.1:1"


def test_a_login_can_be_removed(plans) -> None:
    store({HANDLE: "a.test", PASSWORD: GOOD, "OTHER": "stays"})
    assert talk(plans, [(FIRST, "-")]).code == 0
    assert find().values == {}
    assert "OTHER" in Path(os.environ["AFTERSHOCK_CREDENTIALS"]).read_text()


@pytest.mark.parametrize(("password", "code"), [(None, 78), (BAD, 78), (GOOD, 0)])
def test_without_a_terminal_it_tries_what_is_set_or_says_what_to_set(
    plans, aftershock, monkeypatch, password, code
) -> None:
    if password:
        monkeypatch.setenv(HANDLE, "alice.test")
        monkeypatch.setenv(PASSWORD, password)
    ended = aftershock("setup")
    assert ended.code == code, ended.err
    said = ended.out + ended.err
    assert HANDLE in said
    assert PASSWORD in said
    assert GOOD not in said
    assert BAD not in said
