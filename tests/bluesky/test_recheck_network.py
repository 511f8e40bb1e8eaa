"""What people do on the real servers, and what becomes of their posts here."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from storing import stored
from testbeds.bluesky.network import Network, Post

import cases.case as case_files
from cli.ingest import Unit, ingest
from collectors import recheck
from collectors.bluesky_recheck import Bluesky
from collectors.normalise import bluesky_view, frame
from collectors.settings import Settings
from store.schema import Batch, Reading
from store.tables import Store

pytestmark = pytest.mark.bluesky

names = (f"recheck{n}" for n in itertools.count())


@pytest.fixture
def store(home) -> Store:
    return Store.open()


@pytest.fixture
def who(network: Network) -> Callable[[], str]:
    """A new account for each call: what it does concerns no other test."""
    return lambda: network.add(next(names)).name


def settings(network: Network, **more: str) -> Settings:
    credentials = {"AFTERSHOCK_BLUESKY_APPVIEW": network.appview, **more}
    return Settings(cache=Path(os.devnull), credentials=credentials)


def keep(store: Store, network: Network, *posts: Post) -> None:
    """Store these posts as the AppView shows them."""
    network.caught_up()
    uris = [post.uri for post in posts]
    url = f"{network.appview}/xrpc/app.bsky.feed.getPosts"
    views = httpx.get(url, params={"uris": uris}, timeout=60).json()["posts"]
    assert len(views) == len(uris)
    rows = [bluesky_view(view, datetime.now(UTC)) for view in views]
    reading = Reading("phrase", "bluesky", status="done")
    case = case_files.get("soundcloud")
    ingest(store, [case], [Batch("bluesky-search", reading, frame(rows), taken=True)])


def run(store: Store, network: Network, hours: float = 0) -> Unit:
    """A recheck, as if so many hours had gone by since the posts were stored."""
    network.caught_up()
    at = datetime.now(UTC) + timedelta(hours=hours)
    batches = recheck.collect("bluesky", store.known(), settings(network), clock=lambda: at)
    (unit,) = ingest(store, [case_files.get("soundcloud")], batches)
    assert unit.reading.status == "done"
    return unit


def state(store: Store, *posts: Post) -> Sequence[str]:
    found = dict(stored(store).select("post", "state").iter_rows())
    return [found[store.key(post.uri)] for post in posts]


def test_a_deleted_post_goes_and_its_neighbour_stays(store: Store, network: Network, who) -> None:
    name = who()
    gone, left = (network.post(name, f"SoundCloud AI {n}") for n in range(2))
    keep(store, network, gone, left)
    network.delete(gone)
    run(store, network)
    assert state(store, gone, left) == ["live", "live"]
    assert run(store, network, 6).wiped == 1
    assert state(store, gone, left) == ["gone", "live"]


@pytest.mark.parametrize("away", ["take_down", "deactivate"])
def test_an_account_away_hides_its_posts_and_brings_them_back(
    store: Store, network: Network, who, away: str
) -> None:
    name, other = who(), who()
    posts = [network.post(name, "SoundCloud AI one"), network.post(name, "SoundCloud AI two")]
    posts.append(network.post(other, "SoundCloud AI three"))
    keep(store, network, *posts)
    getattr(network, away)(name)
    for hours in (0, 24, 48):
        run(store, network, hours)
        assert state(store, *posts) == ["hidden", "hidden", "live"]
    getattr(network, {"take_down": "restore", "deactivate": "activate"}[away])(name)
    run(store, network, 72)
    assert state(store, *posts) == ["live"] * 3


def test_a_deleted_account_takes_all_its_posts_with_it(store: Store, network: Network, who) -> None:
    name, other = who(), who()
    posts = [network.post(name, "SoundCloud AI one"), network.post(name, "SoundCloud AI two")]
    posts.append(network.post(other, "SoundCloud AI three"))
    keep(store, network, *posts)
    network.delete_account(name)
    run(store, network)
    assert state(store, *posts) == ["hidden", "hidden", "live"]
    assert run(store, network, 6).wiped == 2
    assert state(store, *posts) == ["gone", "gone", "live"]
    run(store, network, 200)
    assert state(store, *posts) == ["gone", "gone", "live"]


def test_an_edit_and_engagement_at_48_hours(store: Store, network: Network, who) -> None:
    name, fan = who(), who()
    post = network.post(name, "SoundCloud AI", at=datetime.now(UTC) - timedelta(hours=30))
    keep(store, network, post)
    feed, subject = network.client(fan).app.bsky.feed, {"uri": post.uri, "cid": post.cid}
    record = {"subject": subject, "createdAt": datetime.now(UTC).isoformat()}
    feed.like.create(network.accounts[fan].did, record)
    feed.repost.create(network.accounts[fan].did, record)
    network.post(fan, "SoundCloud AI indeed", reply_to=post)
    network.edit(post, "SoundCloud AI, taken back")
    run(store, network)
    assert stored(store)["text"].to_list() == ["SoundCloud AI, taken back"]
    row = stored(store, "checks").row(0, named=True)
    assert [row[each] for each in ("likes", "reposts", "replies")] == [1, 1, 1]
    assert row["likes_48h"] is None
    assert row["next_at"] - row["checked_at"] < timedelta(hours=23)  # at 48 hours of its age
    run(store, network, 20)
    row = stored(store, "checks").row(0, named=True)
    assert [row[f"{each}_48h"] for each in ("likes", "reposts", "replies")] == [1, 1, 1]


def test_who_blocks_an_account_of_ours_is_not_taken_for_gone(
    store: Store, network: Network, who
) -> None:
    """Why nobody is logged in when it asks: posts of who blocks us are not shown to us."""
    ours, theirs = who(), who()
    post = network.post(theirs, "SoundCloud AI")
    keep(store, network, post)
    blocker = network.client(theirs)
    blocker.app.bsky.graph.block.create(
        network.accounts[theirs].did,
        {"subject": network.accounts[ours].did, "createdAt": datetime.now(UTC).isoformat()},
    )
    network.caught_up()
    shown = network.client(ours).app.bsky.feed.get_posts({"uris": [post.uri]}).posts
    assert shown == []
    for hours in (0, 6, 30):
        run(store, network, hours)
    assert state(store, post) == ["live"]


def test_where_the_public_address_refuses_us_an_account_asks_and_a_block_is_no_absence(
    store: Store, network: Network, who, home, refusing
) -> None:
    ours, blocking, gone = who(), who(), who()
    posts = [network.post(name, "SoundCloud AI") for name in (blocking, gone, ours)]
    keep(store, network, *posts)
    network.client(blocking).app.bsky.graph.block.create(
        network.accounts[blocking].did,
        {"subject": network.accounts[ours].did, "createdAt": datetime.now(UTC).isoformat()},
    )
    network.take_down(gone)
    network.caught_up()
    account = {
        "AFTERSHOCK_BLUESKY_APPVIEW": refusing,
        "AFTERSHOCK_BLUESKY_SERVICE": network.pds,
        "AFTERSHOCK_BLUESKY_HANDLE": network.accounts[ours].handle,
        "AFTERSHOCK_BLUESKY_APP_PASSWORD": network.app_password(ours),
    }
    told = Settings(cache=home.folder, credentials=account)
    for hours in (0, 30):
        at = datetime.now(UTC) + timedelta(hours=hours)
        batches = recheck.collect("bluesky", store.known(), told, clock=lambda at=at: at)
        ingest(store, [case_files.get("soundcloud")], batches)
    assert state(store, *posts) == ["live", "hidden", "live"]


@pytest.fixture
def refusing():
    """A server that refuses everybody, as public addresses do at times."""
    import threading  # noqa: PLC0415
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # noqa: PLC0415

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(b"<html>Request forbidden by administrative rules.</html>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_real_appview_names_the_states_that_a_recheck_goes_by(network: Network, who) -> None:
    active, down, off, gone = (who() for _ in range(4))
    network.take_down(down)
    network.deactivate(off)
    network.delete_account(gone)
    network.caught_up()
    source = Bluesky(settings(network))
    found = [source.account(network.accounts[name].did).value for name in (active, down, off, gone)]
    assert found == ["active", "inactive", "inactive", "absent"]
    assert source.account("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").value == "absent"
