"""Logging in to a real Bluesky server, and what its refusals say."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from bluesky_runs import settings
from testbeds.bluesky.network import Network, started

from collectors.bluesky_account import HANDLE, PASSWORD
from collectors.bluesky_client import Bluesky, check
from collectors.bluesky_session import Sessions
from collectors.errors import TryLaterError, UnfitError
from collectors.settings import Settings

pytestmark = pytest.mark.bluesky

CREATE, REFRESH = "com.atproto.server.createSession", "com.atproto.server.refreshSession"
SEARCH = "app.bsky.feed.searchPosts"


def logins(network: Network) -> tuple[int, int]:
    asked = network.requests()
    return asked.get(CREATE, 0), asked.get(REFRESH, 0)


def ask(asked: Settings) -> object:
    return Bluesky(asked).ask(SEARCH, {"q": "quuxlogin", "limit": 1})


def test_twenty_runs_log_in_once(network: Network, tmp_path: Path) -> None:
    network.add("lena")
    before = logins(network)
    for _ in range(20):
        ask(settings(network, tmp_path, "lena"))
    assert logins(network) == (before[0] + 1, before[1])
    (path,) = tmp_path.glob("*.session")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def sessions_of(network: Network, cache: Path, name: str) -> Sessions:
    return Sessions(cache, network.pds, network.accounts[name].handle)


def aged(session: str) -> str:
    """The session with an access token that says it has expired."""
    handle, did, access, refresh, pds = session.split(":::")
    head, payload, signature = access.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["exp"] -= 86_400
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return ":::".join((handle, did, f"{head}.{payload}.{signature}", refresh, pds))


def test_an_expired_session_is_renewed_kept_and_used_again(
    network: Network, tmp_path: Path
) -> None:
    network.add("mara")
    asked, kept = settings(network, tmp_path, "mara"), sessions_of(network, tmp_path, "mara")
    ask(asked)
    before = logins(network)
    for turn in range(3):
        kept.keep(aged(kept.read() or ""))
        ask(asked)
        ask(asked)
        assert logins(network) == (before[0], before[1] + turn + 1)


def test_a_session_that_was_ended_elsewhere_leads_to_the_password(
    network: Network, tmp_path: Path
) -> None:
    network.add("nora")
    asked, kept = settings(network, tmp_path, "nora"), sessions_of(network, tmp_path, "nora")
    ask(asked)
    session = kept.read() or ""
    client = Bluesky(asked)
    client.ask(SEARCH, {"q": "x", "limit": 1})
    assert client._client is not None
    client._client.com.atproto.server.delete_session(
        headers=client._client._get_refresh_auth_headers(), ignore_session_check=True
    )
    kept.keep(aged(session))
    before = logins(network)
    ask(asked)
    ask(asked)
    assert logins(network)[0] == before[0] + 1


@pytest.mark.parametrize("garbage", ["", "a:::b:::c", "a:::did:plc:x:::b:::c:::http://127.0.0.1:9"])
def test_a_garbage_session_leads_to_the_password(
    network: Network, tmp_path: Path, garbage: str
) -> None:
    sessions_of(network, tmp_path, "bob").keep(garbage)
    before = logins(network)
    ask(settings(network, tmp_path, "bob"))
    ask(settings(network, tmp_path, "bob"))
    assert logins(network)[0] == before[0] + 1


def test_a_token_with_another_ones_signature_leads_to_the_password(
    network: Network, tmp_path: Path
) -> None:
    ask(settings(network, tmp_path, "bob"))
    kept = sessions_of(network, tmp_path, "bob")
    fields = (kept.read() or "").split(":::")
    fields[2] = fields[2][:-10] + "AAAAAAAAAA"
    kept.keep(":::".join(fields))
    before = logins(network)
    ask(settings(network, tmp_path, "bob"))
    assert logins(network)[0] == before[0] + 1


def test_setup_knows_an_app_password_from_the_accounts_own(
    network: Network, tmp_path: Path
) -> None:
    assert "an app password" in check(settings(network, tmp_path))
    asked = settings(network, tmp_path)
    credentials = dict(asked.credentials) | {PASSWORD: network.app_password("alice")}
    assert check(Settings(tmp_path, credentials)).startswith("The login with the app password")


def test_setup_says_in_one_sentence_why_the_login_fails(network: Network, tmp_path: Path) -> None:
    good = dict(settings(network, tmp_path).credentials)
    for wrong in ({PASSWORD: "wrong-words"}, {HANDLE: "nobody-here.test"}):
        with pytest.raises(
            UnfitError, match="does not know this handle with this password"
        ) as said:
            check(Settings(tmp_path, good | wrong))
        assert "wrong-words" not in str(said.value)
        assert "nobody" not in str(said.value)


def test_an_account_that_is_taken_down_cannot_log_in_nor_go_on(
    network: Network, tmp_path: Path
) -> None:
    network.add("olaf")
    asked = settings(network, tmp_path, "olaf")
    ask(asked)
    network.take_down("olaf")
    # the server goes on answering until the access token runs out, which takes two hours
    kept = sessions_of(network, tmp_path, "olaf")
    kept.keep(aged(kept.read() or ""))
    with pytest.raises(UnfitError, match="taken this account down"):
        ask(asked)
    with pytest.raises(UnfitError, match="taken this account down"):
        check(asked)
    network.restore("olaf")
    assert "work" in check(asked)


def test_a_server_of_another_kind_is_no_bluesky_server(network: Network, tmp_path: Path) -> None:
    good = settings(network, tmp_path)
    credentials = dict(good.credentials) | {"AFTERSHOCK_BLUESKY_SERVICE": network.control}
    with pytest.raises(UnfitError, match="no Bluesky server at"):
        check(Settings(tmp_path, credentials))


@pytest.fixture(scope="module")
def limited() -> Iterator[Network]:
    """A network that enforces its limits, which count by account and address."""
    yield from started(limits=True)


def test_the_thirty_first_login_says_until_when_there_are_no_more(
    limited: Network, tmp_path: Path
) -> None:
    asked = settings(limited, tmp_path, "bob")
    for _ in range(30):
        Bluesky(asked, most_wait=0).log_in()
    with pytest.raises(TryLaterError, match=r"30 logins .* until \d\d:\d\d UTC. Try again then"):
        check(asked)
    # and the session that is kept works on
    assert ask(asked)


def use_up(client: Bluesky, did: str) -> None:
    for _ in range(3000):
        client.ask("com.atproto.repo.describeRepo", {"repo": did})


def test_the_limit_of_requests_is_respected_before_the_server_has_to_say_no(
    limited: Network, tmp_path: Path
) -> None:
    client = Bluesky(settings(limited, tmp_path, "carol"), most_wait=0)
    client.ask(SEARCH, {"q": "quuxlimit", "limit": 1})
    assert client._limit is not None  # what is passed on to the AppView says so too
    assert client._limit.most == 3000
    with pytest.raises(TryLaterError, match=r"limit of requests is nearly reached until"):
        use_up(client, limited.accounts["carol"].did)
    assert 2000 < client.requests < 3000
