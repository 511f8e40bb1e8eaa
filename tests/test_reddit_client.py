"""How Reddit is asked: what PRAW does unasked, what its errors mean, and what never leaves them."""

from __future__ import annotations

import json
import logging
import os
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import certifi
import pytest
from redditing import settings
from testbeds.reddit.serving import BLOCKED
from testbeds.reddit.sim import KEY, SECRET, SimReddit, comment, post

import collectors.reddit_client
from collectors import reddit
from collectors.errors import TryLaterError, UnfitError
from collectors.reddit_access import preflight
from collectors.reddit_client import BudgetSpentError, Client
from collectors.reddit_listing import page
from collectors.reddit_refusals import RefusedError
from collectors.settings import Settings

pytest_plugins = ["reddit_fixtures"]

NEW = "r/inventedmusic/new"


def asked(client: Client) -> int:
    return len(client.get(NEW)["data"]["children"])


def refusal(client: Client) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        client.get(NEW)
    return caught.value


def test_the_key_alone_is_enough_and_the_raw_records_come(tmp_path: Path) -> None:
    with SimReddit([post(1)]) as sim:
        client = Client(settings(sim, tmp_path))
        [child] = client.get(NEW)["data"]["children"]
        assert child["data"] == sim.posts[0]
        token, listing = sim.log
        assert token.form == {"grant_type": "client_credentials"}
        assert listing.query == {"raw_json": "1"}
        assert "invented-app" in listing.headers["User-Agent"]
        assert (client.sent, client.remaining) == (2, 999)


def test_no_request_is_made_that_was_not_asked_for(tmp_path: Path) -> None:
    # An attribute that a PRAW object lacks is a hidden request; a page of raw records is one.
    with SimReddit([post(n) for n in range(3)]) as sim:
        found = page(Client(settings(sim, tmp_path)), NEW, "here")
        assert len(found.rows) == 3
        assert [request.path for request in sim.log] == ["/api/v1/access_token", f"/{NEW}"]


def test_records_come_as_reddit_wrote_them_and_not_as_praw_reads_them(tmp_path: Path) -> None:
    # PRAW turns the author "[deleted]" into None, a subreddit into an object, and keeps no raw one.
    left = post(1, author="[deleted]", unknown_field={"a": [1, None]})
    answer = comment(2, left)
    with SimReddit([left], [answer]) as sim:
        client = Client(settings(sim, tmp_path))
        both = client.get("api/info/", id=f"{left['name']},{answer['name']}")
        things = [child["data"] for child in both["data"]["children"]]
        assert things == [left, answer]
        assert {type(thing["subreddit"]) for thing in things} == {str}
        head, forest = client.get(f"comments/{left['id']}")
        assert head["data"]["children"][0]["data"]["author"] == "[deleted]"
        assert forest["data"]["children"][0]["data"].items() >= answer.items()


def test_the_timeout_applies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr(collectors.reddit_client, "TIMEOUT", 0.2)
    with SimReddit([post(1)]) as sim:
        sim.fault("/new", times=3, delay=0.6)
        error = refusal(Client(settings(sim, tmp_path)))
        assert (error.kind, sim.asked("/new")) == ("network", 3)
        assert "in time" in str(error)


@pytest.mark.parametrize("after", ["7", "7.0", "date", "soon", "-3", "nan", None])
def test_a_429_is_waited_out_as_long_as_reddit_says_in_whatever_form(
    tmp_path: Path, slept: list[float], after: str | None
) -> None:
    header = formatdate(time.time() + 8, usegmt=True) if after == "date" else after
    with SimReddit([post(1)]) as sim:
        sim.fault("/new", status=429, headers={"retry-after": header} if header else {})
        assert asked(Client(settings(sim, tmp_path))) == 1
        waited = [seconds for seconds in slept if seconds > 2]
        assert (waited or [0])[0] == pytest.approx(
            {"7": 7, "7.0": 7, "date": 8, "-3": 0}.get(after or "", 10), abs=1.5
        )


def test_a_429_that_stays_or_lasts_too_long_ends_with_try_again_later(
    tmp_path: Path, slept: list[float]
) -> None:
    with SimReddit() as sim:
        client = Client(settings(sim, tmp_path))
        sim.fault("/new", times=3, status=429, headers={"retry-after": "5"})
        assert (refusal(client).kind, sim.asked("/new")) == ("limited", 3)
        sim.fault("/new", status=429, headers={"retry-after": "500"})
        error = refusal(client)
        assert "in 500 seconds" in str(error)
        assert isinstance(error.stop(), TryLaterError)
        assert sim.asked("/new") == 4
        assert max(slept) < 6


def test_a_quota_that_is_used_up_is_said_and_not_slept_out(
    tmp_path: Path, slept: list[float]
) -> None:
    with SimReddit([post(1)], quota=2) as sim:
        client = Client(settings(sim, tmp_path))
        assert [asked(client), asked(client)] == [1, 1]
        error = refusal(client)
        assert error.kind == "limited"
        assert 290 <= (error.wait or 0) <= 300
        assert sim.asked("/new") == 2
        assert max(slept, default=0) < 11


def test_the_requests_of_a_fresh_window_are_spread_over_it(
    tmp_path: Path, slept: list[float]
) -> None:
    # 1,000 in 600 seconds: 0.6 seconds for each that was made, since here nobody really waits.
    with SimReddit([post(1)]) as sim:
        sim.began = time.monotonic()
        client = Client(settings(sim, tmp_path))
        for _ in range(6):
            asked(client)
    assert slept == sorted(slept)
    assert 1 < slept[-1] < 4  # the server tells whole seconds


def test_headers_of_the_quota_may_be_floats_or_nonsense(tmp_path: Path) -> None:
    body = {"kind": "Listing", "data": {"children": [], "after": None}}
    odd = [("4.0", "996.0", "11.5"), ("x", "996.0", "11"), ("4", "nan", "11")]
    with SimReddit() as sim:
        client = Client(settings(sim, tmp_path))
        for used, remaining, reset in odd:
            headers = {
                "x-ratelimit-used": used,
                "x-ratelimit-remaining": remaining,
                "x-ratelimit-reset": reset,
            }
            sim.fault("/new", status=200, body=body, headers=headers)
            assert asked(client) == 0
        sim.fault("/new", status=200, body=body, headers={"x-ratelimit-remaining": "5"})
        assert asked(client) == 0


def test_a_token_that_ran_out_is_renewed(tmp_path: Path) -> None:
    with SimReddit([post(1)]) as sim:
        client = Client(settings(sim, tmp_path))
        asked(client)
        sim.tokens.clear()
        assert (asked(client), sim.asked("access_token")) == (1, 2)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 522, 408])
def test_an_error_of_the_server_is_tried_three_times(
    tmp_path: Path, slept: list[float], status: int
) -> None:
    with SimReddit([post(1)]) as sim:
        client = Client(settings(sim, tmp_path))
        sim.fault("/new", times=2, status=status)
        assert asked(client) == 1
        sim.fault("/new", times=3, status=status)
        error = refusal(client)
        assert (error.kind, str(status) in str(error)) == ("down", True)


@pytest.mark.parametrize("what", [{"drop": True}, {"truncate": True}])
def test_a_connection_that_breaks_is_tried_three_times(
    tmp_path: Path, slept: list[float], what: dict[str, Any]
) -> None:
    with SimReddit([post(1)]) as sim:
        client = Client(settings(sim, tmp_path))
        sim.fault("/new", times=2, **what)
        assert asked(client) == 1
        sim.fault("/new", times=3, **what)
        assert refusal(client).kind == "network"


@pytest.mark.parametrize(
    "what",
    [
        {"status": 503},
        {"status": 429, "headers": {"retry-after": "1"}},
        {"status": 200, "body": "<html>maintenance</html>"},
        {"status": 200, "body": {}},
        {"status": 200, "body": []},
        {"drop": True},
    ],
)
def test_a_token_that_is_refused_for_the_moment_is_asked_for_again(
    tmp_path: Path, slept: list[float], what: dict[str, Any]
) -> None:
    with SimReddit([post(1)]) as sim:
        sim.fault("access_token", **what)
        assert (asked(Client(settings(sim, tmp_path))), sim.asked("access_token")) == (1, 2)


def test_a_token_that_is_refused_with_200_is_a_wrong_key_and_not_asked_for_again(
    tmp_path: Path, slept: list[float]
) -> None:
    with SimReddit() as sim:
        sim.fault("access_token", status=200, body={"error": "invalid_grant"})
        error = refusal(Client(settings(sim, tmp_path)))
        assert (error.kind, len(sim.log), slept) == ("credentials", 1, [])
        assert isinstance(error.stop(), UnfitError)


@pytest.mark.parametrize("body", ["<html>maintenance</html>", "", [1], "{"])
def test_an_answer_that_is_no_data_is_tried_again_and_then_said(
    tmp_path: Path, slept: list[float], body: Any
) -> None:
    with SimReddit([post(1)]) as sim:
        client = Client(settings(sim, tmp_path))
        sim.fault("/new", times=3, status=200, body=body)
        with pytest.raises(RefusedError, match="Reddit answers") as caught:
            page(client, NEW, "here")
        assert caught.value.kind == "garbled"
        sim.faults.clear()
        assert asked(client) == 1


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("private", "private"),
        ("quarantined", "quarantined"),
        ("banned", "banned"),
        ("missing", "missing"),
    ],
)
def test_what_is_wrong_with_a_subreddit_is_told_apart(
    tmp_path: Path, state: str, kind: str
) -> None:
    with SimReddit(communities={"inventedmusic": state}) as sim:
        assert refusal(Client(settings(sim, tmp_path))).kind == kind


def test_a_question_that_is_too_long_is_no_fault_of_the_key(tmp_path: Path) -> None:
    with SimReddit() as sim, pytest.raises(RefusedError) as caught:
        Client(settings(sim, tmp_path)).get("r/all/search/", q="x" * 513)
    assert caught.value.kind == "asked"


def test_the_surroundings_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A netrc would take the place of the token; PRAW reads praw_... and a praw.ini nearby.
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("praw_username", "someone")
    monkeypatch.setenv("praw_password", "something")
    monkeypatch.setenv("praw_site", "elsewhere")
    monkeypatch.setenv("praw_check_for_updates", "true")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "praw.ini").write_text("[DEFAULT]\nwindow_size=600\ntimeout=x\nusername=someone\n")
    monkeypatch.setattr("praw.config.Config.CONFIG", None)
    monkeypatch.setattr("praw.Reddit.update_checked", False)  # PRAW asks PyPI once a process
    asked_pypi: list[Any] = []
    monkeypatch.setattr("praw.reddit.update_check", lambda **told: asked_pypi.append(told))
    with SimReddit([post(1)]) as sim:
        assert asked(Client(settings(sim, tmp_path))) == 1
        assert asked_pypi == []
        assert sim.log[0].form == {"grant_type": "client_credentials"}
    monkeypatch.setattr("praw.config.Config.CONFIG", None)


@pytest.mark.parametrize("content", [None, "no certificate at all\n"])
def test_a_wrong_bundle_of_certificates_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with SimReddit([post(1)]) as sim:
        how = settings(sim, tmp_path)
        with pytest.raises(UnfitError, match=r"REQUESTS_CA_BUNDLE names no file .*bundle\.pem"):
            Client(how)
        assert "or unset REQUESTS_CA_BUNDLE" in preflight(how).sentence
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
        assert asked(Client(how)) == 1


def test_the_budget_counts_every_request(tmp_path: Path, slept: list[float]) -> None:
    with SimReddit([post(1)]) as sim:
        client = Client(settings(sim, tmp_path), budget=5)
        sim.fault("/new", times=2, status=500)
        assert (asked(client), client.sent) == (1, 4)
        asked(client)
        with pytest.raises(BudgetSpentError):
            client.get(NEW)
        assert client.sent == len(sim.log) == 5


# What a person has to do


def test_without_a_key_it_says_what_is_missing_and_what_works_instead(tmp_path: Path) -> None:
    empty = Settings(cache=tmp_path)
    line = reddit.ready(empty)
    assert line is not None
    assert "AFTERSHOCK_REDDIT_CLIENT_ID, AFTERSHOCK_REDDIT_CLIENT_SECRET" in line
    assert "aftershock import" in line
    with pytest.raises(UnfitError, match=r"docs/reddit\.md"):
        Client(empty)
    assert preflight(empty).kind == "absent"
    with SimReddit() as sim:
        assert reddit.ready(settings(sim, tmp_path)) is None
        assert sim.log == []


def test_a_good_key_is_said_to_be_good(tmp_path: Path) -> None:
    with SimReddit([post(1)]) as sim:
        access = preflight(settings(sim, tmp_path))
        assert access.fine
        assert "999 more requests" in access.sentence
        assert len(sim.log) == 2


@pytest.mark.parametrize(
    ("state", "changes", "kind", "advice"),
    [
        ("good", {"secret": "wrong"}, "credentials", "type script"),
        ("good", {"key": "wrong"}, "credentials", "prefs/apps"),
        ("good", {"agent": "me"}, "credentials", "<platform>:<app>:<version>"),
        ("good", {"agent": "python-requests/2"}, "blocked", "AFTERSHOCK_REDDIT_USER_AGENT"),
        ("good", {"secret": "wörng✓"}, "credentials", "AFTERSHOCK_REDDIT"),
        ("good", {"agent": "linux:app:v1 (by ✓)"}, "credentials", "AFTERSHOCK_REDDIT"),
        ("blocked", {}, "blocked", "VPN"),
        ("suspended", {}, "suspended", "reddit.com"),
    ],
)
def test_each_failure_of_access_is_told_from_the_others_with_what_to_do(
    tmp_path: Path, state: str, changes: dict[str, str], kind: str, advice: str
) -> None:
    with SimReddit(key=state) as sim:
        access = preflight(settings(sim, tmp_path, **changes))
        assert (access.kind, access.fine) == (kind, False)
        assert advice in access.sentence
        assert len(sim.log) <= 4


def test_a_key_that_worked_once_was_revoked_and_not_mistyped(tmp_path: Path) -> None:
    with SimReddit([post(1)]) as sim:
        how = settings(sim, tmp_path)
        assert preflight(how).fine
        note = tmp_path / "cache" / "reddit-key.json"
        assert note.stat().st_mode & 0o777 == 0o600
        assert SECRET not in note.read_text()
        assert KEY not in note.read_text()
        sim.key = "revoked"
        access = preflight(how)
        assert access.kind == "revoked"
        assert json.loads(note.read_text())["worked"] in access.sentence
        assert preflight(settings(sim, tmp_path, key="another")).kind == "credentials"


def test_a_key_that_is_revoked_in_the_middle_is_said_to_be(tmp_path: Path) -> None:
    with SimReddit([post(1)]) as sim:
        client = Client(settings(sim, tmp_path))
        asked(client)
        sim.key = "revoked"
        assert refusal(client).kind == "revoked"


@pytest.mark.parametrize("challenge", [{}, {"www-authenticate": "Basic"}, {"www-authenticate": ""}])
def test_a_401_without_a_usable_challenge_is_still_understood(
    tmp_path: Path, slept: list[float], challenge: dict[str, str]
) -> None:
    with SimReddit() as sim:
        sim.fault("/new", times=3, status=401, headers=challenge)
        assert refusal(Client(settings(sim, tmp_path))).kind == "revoked"


def test_a_page_that_blocks_is_not_taken_for_a_private_subreddit(tmp_path: Path) -> None:
    with SimReddit() as sim:
        sim.fault("/new", status=403, body=BLOCKED)
        assert refusal(Client(settings(sim, tmp_path))).kind == "blocked"


def test_a_dead_network_is_said_to_be_one(tmp_path: Path, slept: list[float]) -> None:
    with SimReddit() as sim:
        how = settings(sim, tmp_path)
    access = preflight(how)
    assert (access.kind, "Check the network" in access.sentence) == ("network", True)


def test_too_many_requests_at_the_first_one_are_told_by_the_preflight(
    tmp_path: Path, slept: list[float]
) -> None:
    with SimReddit(quota=0) as sim:
        assert preflight(settings(sim, tmp_path)).kind == "limited"


@pytest.mark.parametrize("state", ["good", "wrong", "revoked", "blocked", "suspended", "dropped"])
def test_the_key_stands_in_no_error_and_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, slept: list[float], state: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with SimReddit([post(1)], key="good" if state in ("wrong", "dropped") else state) as sim:
        secret = "another-secret-9d1c" if state == "wrong" else SECRET
        how = settings(sim, tmp_path, secret=secret)
        if state == "dropped":
            sim.fault(".", times=3, drop=True)
        access = preflight(how)
        assert (access.kind == "fine") == (state == "good")
    said = caplog.text + access.sentence + repr(how)
    assert secret not in said
    assert not any(token in said for token in sim.tokens)
    assert os.environ.get("AFTERSHOCK_REDDIT_CLIENT_SECRET") is None
