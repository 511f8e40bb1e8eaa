"""Logging in to Bluesky and asking it: by the real SDK, over real sockets, from a server that
breaks as servers do."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from testbeds.bluesky.scripted import (
    LOGIN,
    REFRESH,
    SEARCH,
    Answer,
    Scripted,
    error,
    scripted,
    session,
)

from collectors import bluesky_client
from collectors.bluesky_account import HANDLE, PASSWORD, SERVICE, RefusedError
from collectors.bluesky_client import Bluesky, check
from collectors.bluesky_session import Sessions
from collectors.errors import CollectorError, TryLaterError, UnfitError
from collectors.settings import Settings

FOUND = Answer(body={"posts": []})
SECRET = "correct-horse"  # noqa: S105 - nobody's
SOMEONE = "someone.test"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(bluesky_client, "DELAY", 0.01)
    with scripted() as bed:
        bed.plan(SEARCH, FOUND)
        yield bed


def settings(tmp_path: Path, server: Scripted | str, handle: str = SOMEONE) -> Settings:
    url = server if isinstance(server, str) else server.url
    return Settings(tmp_path, {HANDLE: handle, PASSWORD: SECRET, SERVICE: url})


def ask(client: Bluesky) -> object:
    return client.ask(SEARCH, {"q": "words", "limit": 1})


@pytest.mark.parametrize(
    "broken",
    [
        Answer(drop=True),
        Answer(body={"posts": ["many"]}, cut=5),
        Answer(body="<html>a proxy's page</html>"),
        Answer(body='{"posts": ['),
        error(500, "InternalServerError"),
        error(502, "UpstreamFailure"),
        Answer(503, "<html>busy</html>"),
    ],
)
def test_what_breaks_once_is_asked_again(server: Scripted, tmp_path: Path, broken: Answer) -> None:
    server.plan(SEARCH, broken, FOUND)
    assert ask(Bluesky(settings(tmp_path, server))) == FOUND.body
    assert server.times(SEARCH) == 2


def test_a_server_that_stays_broken_is_left_for_later(server: Scripted, tmp_path: Path) -> None:
    server.plan(SEARCH, error(500, "InternalServerError"))
    with pytest.raises(
        TryLaterError, match=r"did not answer 5 times in a row \(last: status 500\)"
    ):
        ask(Bluesky(settings(tmp_path, server)))
    assert server.times(SEARCH) == 5


@pytest.mark.parametrize("name", ["InvalidRequest", "BadQueryString"])
def test_a_refused_query_is_not_asked_again(server: Scripted, tmp_path: Path, name: str) -> None:
    server.plan(SEARCH, error(400, name, "at://did:plc:x/app.bsky.feed.post/secret"))
    with pytest.raises(RefusedError) as refused:
        ask(Bluesky(settings(tmp_path, server)))
    assert server.times(SEARCH) == 1
    assert name in str(refused.value)
    assert "did:plc" not in str(refused.value)


def test_a_limit_is_waited_for_when_that_is_short(server: Scripted, tmp_path: Path) -> None:
    server.plan(SEARCH, error(429, "RateLimitExceeded", retry_after="1"), FOUND)
    client = Bluesky(settings(tmp_path, server))
    assert ask(client) == FOUND.body


def test_a_limit_that_lasts_ends_the_run_and_says_until_when(
    server: Scripted, tmp_path: Path
) -> None:
    reset = int(time.time()) + 3600
    server.plan(SEARCH, error(429, "RateLimitExceeded", ratelimit_reset=str(reset)))
    with pytest.raises(TryLaterError, match=f"until .*{datetime.fromtimestamp(reset, UTC):%H:%M}"):
        ask(Bluesky(settings(tmp_path, server)))
    assert server.times(SEARCH) == 1


def test_the_limit_is_never_run_into_when_the_server_says_that_it_is_near(
    server: Scripted, tmp_path: Path
) -> None:
    headers = {
        "ratelimit-limit": "3000",
        "ratelimit-remaining": "99",
        "ratelimit-reset": str(int(time.time()) + 3600),
    }
    server.plan(SEARCH, Answer(body={"posts": []}, headers=headers))
    client = Bluesky(settings(tmp_path, server))
    ask(client)
    with pytest.raises(TryLaterError, match="nearly reached until"):
        ask(client)
    assert server.times(SEARCH) == 1


def test_many_runs_log_in_once(server: Scripted, tmp_path: Path) -> None:
    for _ in range(6):
        ask(Bluesky(settings(tmp_path, server)))
    assert server.times(LOGIN) == 1
    assert server.times(SEARCH) == 6


def test_an_old_session_is_renewed_and_the_new_one_kept(server: Scripted, tmp_path: Path) -> None:
    server.plan(LOGIN, session(seconds=60))  # less than the SDK wants to be left
    server.plan(REFRESH, session(number=1))
    for _ in range(3):
        ask(Bluesky(settings(tmp_path, server)))
    assert (server.times(LOGIN), server.times(REFRESH)) == (1, 1)


@pytest.mark.parametrize("name", ["ExpiredToken", "InvalidToken"])
def test_a_session_that_cannot_be_renewed_leads_to_the_password(
    server: Scripted, tmp_path: Path, name: str
) -> None:
    server.plan(LOGIN, session(seconds=60), session(number=2))
    server.plan(REFRESH, error(400, name))
    for _ in range(3):
        ask(Bluesky(settings(tmp_path, server)))
    assert (server.times(LOGIN), server.times(REFRESH)) == (2, 1)


def test_a_session_that_the_server_no_longer_takes_leads_to_the_password(
    server: Scripted, tmp_path: Path
) -> None:
    server.plan(SEARCH, FOUND, error(400, "ExpiredToken"), FOUND)
    server.plan(LOGIN, session(), session(number=1))
    for _ in range(3):
        ask(Bluesky(settings(tmp_path, server)))
    assert server.times(LOGIN) == 2


def test_a_server_that_takes_no_session_at_all_is_not_asked_for_ever(
    server: Scripted, tmp_path: Path
) -> None:
    server.plan(SEARCH, error(401, "InvalidToken"))
    with pytest.raises(UnfitError, match="own new session"):
        ask(Bluesky(settings(tmp_path, server)))
    assert server.times(LOGIN) <= 3


@pytest.mark.parametrize(
    "garbage",
    ["", "no json", "[]", '{"session": 5}', "SESSION:a:::b:::c:::d", "SESSION:nothing at all"],
)
def test_garbage_in_the_session_file_leads_to_the_password(
    server: Scripted, tmp_path: Path, garbage: str
) -> None:
    sessions = Sessions(tmp_path, server.url, SOMEONE)
    if garbage.startswith("SESSION:"):
        sessions.keep(garbage.removeprefix("SESSION:"))
    else:
        sessions.path.write_text(garbage)
    assert ask(Bluesky(settings(tmp_path, server))) == FOUND.body
    ask(Bluesky(settings(tmp_path, server)))
    assert server.times(LOGIN) == 1


def test_the_session_file_is_nobody_elses_business(server: Scripted, tmp_path: Path) -> None:
    ask(Bluesky(settings(tmp_path / "new" / "cache", server)))
    (path,) = (tmp_path / "new" / "cache").glob("*.session")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert SOMEONE.partition(".")[0] not in path.name
    assert SECRET not in path.read_text()


def test_other_credentials_never_get_the_session(server: Scripted, tmp_path: Path) -> None:
    ask(Bluesky(settings(tmp_path, server)))
    ask(Bluesky(settings(tmp_path, server, handle="other.test")))
    assert server.times(LOGIN) == 2
    mine, other = (Sessions(tmp_path, server.url, name) for name in (SOMEONE, "other.test"))
    mine.path.replace(other.path)  # by hand, say
    assert other.read() is None


def test_a_cache_that_cannot_be_written_says_so_before_every_run_logs_in(
    server: Scripted, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnfitError, match="cannot be kept in"):
        ask(Bluesky(settings(tmp_path / "file", server)))


@pytest.mark.parametrize(
    ("answer", "error_type", "words"),
    [
        (
            error(401, "AuthenticationRequired", "Invalid identifier or password"),
            UnfitError,
            "know",
        ),
        (error(401, "AuthFactorTokenRequired"), UnfitError, "code by e-mail"),
        (error(401, "AccountTakedown"), UnfitError, "taken this account down"),
        (error(404, "NotFound"), UnfitError, "no Bluesky server at"),
        (Answer(404, "<html>not here</html>"), UnfitError, "no Bluesky server at"),
        (Answer(200, "<html>a home page</html>"), UnfitError, "no Bluesky server at"),
        (Answer(200, {"hello": "world"}), UnfitError, "no Bluesky server at"),
        (error(500, "InternalServerError"), TryLaterError, "status 500"),
        (Answer(503, "<html>busy</html>"), TryLaterError, "status 503"),
        (Answer(drop=True), TryLaterError, "connection that broke"),
        (error(429, "RateLimitExceeded", retry_after="287"), TryLaterError, "30 logins.* until"),
    ],
)
def test_setup_says_in_one_sentence_why_the_login_fails(
    server: Scripted,
    tmp_path: Path,
    answer: Answer,
    error_type: type[CollectorError],
    words: str,
) -> None:
    server.plan(LOGIN, answer)
    with pytest.raises(error_type, match=words) as failed:
        check(settings(tmp_path, server))
    said = str(failed.value)
    assert "\n" not in said
    assert SECRET not in said
    assert SOMEONE not in said


@pytest.mark.parametrize(
    ("handle", "service", "words"),
    [
        ("", "https://bsky.social", "no handle"),
        ("nodots", "https://bsky.social", "holds no handle"),
        ("name with spaces.test", "https://bsky.social", "holds no handle"),
        (SOMEONE, "bsky.social", "holds no address"),
        (SOMEONE, "http://bsky.example", "in the clear"),
        (SOMEONE, "https://me:secret@bsky.example", "holds no address"),
    ],
)
def test_malformed_credentials_are_found_before_anything_is_sent(
    tmp_path: Path, handle: str, service: str, words: str
) -> None:
    with pytest.raises(UnfitError, match=words):
        check(settings(tmp_path, service, handle))


def test_without_a_network_setup_says_to_check_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bluesky_client, "DELAY", 0.01)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(TryLaterError, match="Check the network"):
            check(settings(tmp_path, f"http://127.0.0.1:{port}"))


def test_setup_says_what_works_and_recommends_an_app_password(
    server: Scripted, tmp_path: Path
) -> None:
    assert "app password and the search work" in check(settings(tmp_path, server))
    server.plan(LOGIN, session(scope="com.atproto.access"))
    said = check(settings(tmp_path, server))
    assert "The login and the search work" in said
    assert "an app password" in said


def test_setup_tries_the_password_even_when_a_session_is_kept(
    server: Scripted, tmp_path: Path
) -> None:
    check(settings(tmp_path, server))
    server.plan(LOGIN, error(401, "AuthenticationRequired"))
    with pytest.raises(UnfitError):
        check(settings(tmp_path, server))


def test_an_account_that_is_taken_down_later_ends_the_run_with_that_sentence(
    server: Scripted, tmp_path: Path
) -> None:
    server.plan(SEARCH, error(401, "AccountTakedown"))
    with pytest.raises(UnfitError, match="taken this account down"):
        ask(Bluesky(settings(tmp_path, server)))


def test_what_is_kept_is_what_the_last_login_gave(server: Scripted, tmp_path: Path) -> None:
    check(settings(tmp_path, server))
    kept = Sessions(tmp_path, server.url, SOMEONE)
    assert kept.read() is not None
    assert json.loads(kept.path.read_text()).keys() == {"whose", "session"}
