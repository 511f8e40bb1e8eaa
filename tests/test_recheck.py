"""What is gone at the source goes here, and nothing goes because a source is ill.

The AppView here is a small server of our own, which can be told to fail; tests/bluesky asks the
real one the same questions.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from storing import frame, process, stored

import cases.case as case_files
from cli.ingest import Unit, ingest
from collectors import bluesky_client, recheck
from collectors.errors import CollectorError, TryLaterError
from collectors.normalise import bluesky_view
from collectors.settings import Settings
from store.schema import Batch, Reading
from store.tables import Store

TABLE = "234567abcdefghijklmnopqrstuvwxyz"
NOW = datetime(2025, 6, 10, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=40)


def tid(at: datetime) -> str:
    value = int(at.timestamp() * 1_000_000) << 10
    return "".join(TABLE[value >> shift & 31] for shift in range(60, -1, -5))


class AppView:
    """An AppView with a handful of posts: `posts` by uri, `accounts` with a state for each did."""

    def __init__(self) -> None:
        self.posts: dict[str, dict[str, Any]] = {}
        self.accounts: dict[str, str] = {}
        self.asked: list[tuple[str, ...]] = []
        self.fail: list[int | str] = []  # what the next answers are instead
        self.empty = False
        self.refuse: set[str] = set()  # uris it takes for none
        view = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = view.answer(urlsplit(self.path))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, url: Any) -> tuple[int, bytes]:
        params = parse_qs(url.query)
        if url.path.endswith("getPosts"):
            self.asked.append(tuple(params["uris"]))
        if self.fail:
            wrong = self.fail.pop(0)
            if isinstance(wrong, int):
                return wrong, json.dumps({"error": "InternalServerError"}).encode()
            return 200, wrong.encode()
        if url.path.endswith("getPosts"):
            if self.refuse & set(params["uris"]):
                return 400, b'{"error": "InvalidRequest", "message": "Invalid at-uri"}'
            posts = [] if self.empty else [self.posts.get(uri) for uri in params["uris"]]
            return 200, json.dumps({"posts": [post for post in posts if post]}).encode()
        did = params["actor"][0]
        state = self.accounts.get(did, "Profile not found")
        if state == "active":
            return 200, json.dumps({"did": did, "handle": "somebody.test"}).encode()
        name = "InvalidRequest" if " " in state else state
        return 400, json.dumps({"error": name, "message": state}).encode()

    def add(self, number: int, *, author: str = "", at: datetime = OLD, **counts: int) -> str:
        did = f"did:plc:{author or f'author{number}'}"
        at += timedelta(seconds=number)
        uri = f"at://{did}/app.bsky.feed.post/{tid(at)}"
        record = {"text": f"SoundCloud and AI {number}", "createdAt": at.isoformat()}
        self.posts[uri] = {"uri": uri, "record": record, "likeCount": 1, **counts}
        self.accounts[did] = "active"
        return uri

    def edit(self, uri: str, text: str) -> None:
        self.posts[uri]["record"]["text"] = text


@pytest.fixture
def appview(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppView]:
    monkeypatch.setattr(bluesky_client, "TRIES", 2)
    view = AppView()
    yield view
    view.server.shutdown()
    view.server.server_close()


@pytest.fixture
def store(home) -> Store:
    return Store.open()


def keep(store: Store, appview: AppView, *uris: str, seen: datetime = OLD) -> None:
    """Store these posts as they are there."""
    case = case_files.get("soundcloud")
    rows = [bluesky_view(appview.posts[uri], seen + timedelta(days=1)) for uri in uris]
    reading = Reading("phrase", "bluesky", status="done")
    ingest(store, [case], [Batch("bluesky-search", reading, frame(rows), taken=True)])


def settings(appview: AppView, budget: int | None = None) -> Settings:
    url = {"AFTERSHOCK_BLUESKY_APPVIEW": appview.url}
    return Settings(cache=Path(os.devnull), credentials=url, budget=budget)


def run(
    store: Store,
    appview: AppView,
    at: datetime = NOW,
    *,
    budget: int | None = None,
    many_gone: bool = False,
) -> Unit:
    batches = recheck.collect(
        "bluesky",
        store.known(),
        settings(appview, budget),
        many_gone=many_gone,
        clock=lambda: at,
    )
    (unit,) = ingest(store, [case_files.get("soundcloud")], batches)
    return unit


def states(store: Store) -> dict[str, int]:
    return dict(stored(store).group_by("state").len().iter_rows())


def checks(store: Store, uri: str) -> dict[str, Any]:
    return stored(store, "checks").row(by_predicate=pl.col("post") == store.key(uri), named=True)


def test_a_deleted_post_goes_after_two_looks_hours_apart(store: Store, appview: AppView) -> None:
    gone, left = appview.add(1), appview.add(2)
    keep(store, appview, gone, left)
    del appview.posts[gone]
    run(store, appview)
    assert (states(store), checks(store, gone)["misses"]) == ({"live": 2}, 1)
    # An hour later nothing is due; five hours later the other one is not, and is asked all the same
    # to see whether anything is shown.
    run(store, appview, NOW + timedelta(hours=1))
    assert len(appview.asked) == 1
    unit = run(store, appview, NOW + timedelta(hours=5))
    assert (states(store), unit.wiped) == ({"live": 1, "gone": 1}, 1)
    assert appview.asked[1:] == [(gone,), (left,)]


def test_a_post_that_is_back_at_the_second_look_stays(store: Store, appview: AppView) -> None:
    uri = appview.add(1)
    keep(store, appview, uri)
    view = appview.posts.pop(uri)
    run(store, appview)
    appview.posts[uri] = view
    run(store, appview, NOW + timedelta(hours=5))
    assert (states(store), checks(store, uri)["misses"]) == ({"live": 1}, 0)


def test_two_looks_shortly_after_one_another_are_one(store: Store, appview: AppView) -> None:
    uri = appview.add(1)
    keep(store, appview, uri, appview.add(2))
    del appview.posts[uri]
    run(store, appview)
    # As if the clock of this machine had been set back meanwhile.
    run(store, appview, NOW + timedelta(hours=5) - timedelta(seconds=1))
    assert states(store) == {"live": 2}


@pytest.mark.parametrize("state", ["AccountDeactivated", "AccountTakedown"])
def test_posts_of_an_inactive_account_are_hidden_and_come_back_with_it(
    store: Store, appview: AppView, state: str
) -> None:
    one, two, other = (appview.add(n, author=a) for n, a in enumerate(("away", "away", "here")))
    keep(store, appview, one, two, other)
    views = {uri: appview.posts.pop(uri) for uri in (one, two)}
    appview.accounts["did:plc:away"] = state
    run(store, appview)
    assert states(store) == {"live": 1, "hidden": 2}
    for hours in (24, 48):  # asked about daily, and never taken for deleted
        run(store, appview, NOW + timedelta(hours=hours))
    assert states(store) == {"live": 1, "hidden": 2}
    appview.posts |= views
    appview.accounts["did:plc:away"] = "active"
    run(store, appview, NOW + timedelta(hours=72))
    assert states(store) == {"live": 3}


def test_a_deleted_account_is_hidden_at_once_and_wiped_whole_after_the_second_look(
    store: Store, appview: AppView
) -> None:
    theirs = [appview.add(n, author="left") for n in range(3)]
    keep(store, appview, *theirs, appview.add(9))
    for uri in theirs:
        del appview.posts[uri]
    del appview.accounts["did:plc:left"]
    run(store, appview)
    assert states(store) == {"live": 1, "hidden": 3}
    unit = run(store, appview, NOW + timedelta(hours=5), budget=2)
    assert (states(store), unit.wiped) == ({"live": 1, "gone": 3}, 3)
    voices = stored(store).filter(state="gone")["author"]
    assert voices.n_unique() == 1


def test_a_post_deleted_while_its_account_was_away_goes_when_that_is_back(
    store: Store, appview: AppView
) -> None:
    one, two = (appview.add(n, author="away") for n in range(2))
    keep(store, appview, one, two)
    view = appview.posts.pop(one)
    del appview.posts[two]
    appview.accounts["did:plc:away"] = "AccountDeactivated"
    run(store, appview)
    appview.posts[one] = view
    appview.accounts["did:plc:away"] = "active"
    run(store, appview, NOW + timedelta(days=1))
    assert states(store) == {"live": 2}
    run(store, appview, NOW + timedelta(days=1, hours=5))
    assert states(store) == {"live": 1, "gone": 1}


@pytest.mark.parametrize("wrong", [503, "<html>", "[]", "{}"])
def test_a_page_that_fails_is_no_miss(store: Store, appview: AppView, wrong: int | str) -> None:
    uris = [appview.add(n) for n in range(30)]
    keep(store, appview, *uris)
    appview.posts.clear()  # whatever it says meanwhile must not count
    appview.fail = [wrong] * 9
    with pytest.raises(TryLaterError):
        run(store, appview)
    assert (states(store), stored(store, "checks").height) == ({"live": 30}, 0)


def test_what_was_asked_before_the_server_failed_is_kept(store: Store, appview: AppView) -> None:
    uris = [appview.add(n) for n in range(40)]
    keep(store, appview, *uris)
    del appview.posts[uris[3]]
    answer = appview.answer

    def failing(url: Any) -> tuple[int, bytes]:
        return answer(url) if len(appview.asked) < 1 or "Profile" in url.path else (502, b"")

    appview.answer = failing  # type: ignore[method-assign]
    with pytest.raises(TryLaterError, match="did not answer"):
        run(store, appview)
    assert stored(store, "checks").height == 25
    assert checks(store, uris[3])["misses"] == 1
    (row,) = stored(store, "runs").filter(collector="recheck").iter_rows(named=True)
    assert (row["status"], row["items"]) == ("failed", 25)
    assert "did not answer" in row["error"]


def test_a_dead_server_is_a_sentence_for_later(store: Store, appview: AppView) -> None:
    keep(store, appview, appview.add(1))
    appview.server.shutdown()
    appview.server.server_close()
    with pytest.raises(TryLaterError, match="Try again later"):
        run(store, appview)
    assert states(store) == {"live": 1}


def test_a_source_that_lost_most_authors_at_once_is_not_believed(
    store: Store, appview: AppView
) -> None:
    uris = [appview.add(n) for n in range(50)]
    keep(store, appview, *uris)
    for uri in uris[:30]:
        del appview.posts[uri]
    with pytest.raises(CollectorError, match=r"30 of 50 authors.*--many-gone"):
        run(store, appview)
    assert states(store) == {"live": 50}
    assert stored(store, "checks").height == 20  # those that are there
    # A person says that it is right; two looks it takes all the same.
    run(store, appview, many_gone=True)
    assert states(store) == {"live": 50}
    run(store, appview, NOW + timedelta(hours=5))
    assert states(store) == {"live": 20, "gone": 30}


def test_one_author_may_well_delete_everything(store: Store, appview: AppView) -> None:
    theirs = [appview.add(n, author="prolific") for n in range(60)]
    keep(store, appview, *theirs, *[appview.add(n) for n in range(100, 130)])
    for uri in theirs:
        del appview.posts[uri]
    for hours in (0, 5):
        run(store, appview, NOW + timedelta(hours=hours))
    assert states(store) == {"live": 30, "gone": 60}


def test_a_small_store_does_not_lose_all_it_has_to_a_server_that_shows_nothing(
    store: Store, appview: AppView
) -> None:
    keep(store, appview, *[appview.add(n) for n in range(4)])
    appview.empty = True
    for hours in (0, 5, 24):
        with pytest.raises(CollectorError, match="4 of 4 authors"):
            run(store, appview, NOW + timedelta(hours=hours))
    assert states(store) == {"live": 4}


def test_what_was_missed_before_is_not_believed_of_a_server_that_shows_nothing_now(
    store: Store, appview: AppView
) -> None:
    uris = [appview.add(n) for n in range(12)]
    keep(store, appview, *uris)
    hidden = appview.posts.pop(uris[0])  # out of sight for a moment
    run(store, appview)
    appview.posts[uris[0]] = hidden
    appview.empty = True
    with pytest.raises(CollectorError, match="absent at once"):
        run(store, appview, NOW + timedelta(hours=6))
    assert states(store) == {"live": 12}


def test_the_only_post_of_a_store_can_go(store: Store, appview: AppView) -> None:
    uri = appview.add(1)
    keep(store, appview, uri)
    del appview.posts[uri]
    for hours in (0, 5):
        run(store, appview, NOW + timedelta(hours=hours))
    assert states(store) == {"gone": 1}


def test_a_budget_is_spent_on_what_was_asked_longest_ago(store: Store, appview: AppView) -> None:
    uris = [appview.add(n) for n in range(70)]
    keep(store, appview, *uris)
    unit = run(store, appview, budget=2)
    assert [uri for page in appview.asked for uri in page] == uris[:50]
    assert (unit.reading.status, unit.reading.pages, unit.reading.items) == ("partial", 2, 50)
    assert "2 requests" in unit.reading.stop_reason
    appview.asked.clear()
    unit = run(store, appview, NOW + timedelta(days=8), budget=2)
    assert [uri for page in appview.asked for uri in page] == [*uris[50:], *uris[:30]]
    unit = run(store, appview, NOW + timedelta(days=8))
    assert (unit.reading.status, unit.reading.items) == ("done", 20)


def test_an_edit_brings_the_new_words_and_the_counts_of_today(
    store: Store, appview: AppView
) -> None:
    one, two = appview.add(1), appview.add(2)
    keep(store, appview, one, two)
    appview.edit(one, "SoundCloud and AI, edited")
    appview.posts[one] |= {"likeCount": 7, "repostCount": 3, "replyCount": 2}
    unit = run(store, appview)
    texts = dict(stored(store).select("uri", "text").iter_rows())
    assert texts == {one: "SoundCloud and AI, edited", two: "SoundCloud and AI 2"}
    row = checks(store, one)
    assert [row[name] for name in ("likes", "reposts", "replies", "misses")] == [7, 3, 2, 0]
    assert (unit.kept, unit.new) == (0, 0)
    first_sight = stored(store).filter(pl.col("uri") == one)["likes"].item()
    assert first_sight == 1


@pytest.mark.parametrize(("hours", "fixed"), [(47, None), (48.5, 5), (71, 5), (73, None)])
def test_engagement_is_fixed_by_a_look_48_to_72_hours_after_the_post(
    store: Store, appview: AppView, hours: float, fixed: int | None
) -> None:
    uri = appview.add(1, at=NOW, likeCount=5, repostCount=2, replyCount=0)
    keep(store, appview, uri, seen=NOW)
    run(store, appview, NOW + timedelta(hours=hours))
    assert checks(store, uri)["likes_48h"] == fixed
    appview.posts[uri] |= {"likeCount": 9}
    run(store, appview, NOW + timedelta(hours=hours, days=8))
    row = checks(store, uri)
    assert (row["likes"], row["likes_48h"]) == (9, fixed)


def test_a_post_is_asked_about_daily_then_weekly_and_at_48_hours_in_between(
    store: Store, appview: AppView
) -> None:
    uri = appview.add(1, at=NOW)
    posted = NOW + timedelta(seconds=1)
    keep(store, appview, uri, seen=NOW)
    at, looks = NOW + timedelta(hours=30), []
    for _ in range(9):
        run(store, appview, at)
        at = checks(store, uri)["next_at"]
        looks.append((at - posted) / timedelta(hours=1))
    assert looks == pytest.approx([48, 71, 94, 117, 140, 163, 186, 353, 520], abs=0.01)


def test_one_uri_that_the_server_takes_for_none_keeps_no_other_from_being_asked(
    store: Store, appview: AppView
) -> None:
    uris = [appview.add(n) for n in range(25)]
    keep(store, appview, *uris)
    appview.refuse = {uris[7]}
    unit = run(store, appview)
    assert (unit.reading.status, states(store)) == ("done", {"live": 25})
    assert stored(store, "checks")["likes"].count() == 24
    assert checks(store, uris[7])["misses"] == 0


def test_a_record_that_cannot_be_read_is_there_all_the_same(store: Store, appview: AppView) -> None:
    uri = appview.add(1)
    keep(store, appview, uri)
    appview.posts[uri]["record"] = {"text": 7}
    unit = run(store, appview)
    assert (unit.bad, states(store), checks(store, uri)["likes"]) == (1, {"live": 1}, 1)


RUN = """
import sys
from datetime import datetime
from pathlib import Path
import cases.case as case_files
from cli.ingest import ingest
from collectors import recheck
from collectors.settings import Settings
from store.tables import Store
recheck.ROUND = 25
address = {"AFTERSHOCK_BLUESKY_APPVIEW": sys.argv[1]}
settings = Settings(cache=Path("/dev/null"), credentials=address)
store = Store.open()
at = datetime.fromisoformat(sys.argv[2])
batches = recheck.collect("bluesky", store.known(), settings, clock=lambda: at)
ingest(store, [case_files.get("soundcloud")], batches)
"""


def test_killed_and_run_again_it_goes_on_with_what_it_had_not_asked(
    store: Store, appview: AppView
) -> None:
    uris = [appview.add(n) for n in range(100)]
    keep(store, appview, *uris)
    del appview.posts[uris[2]]
    answer, third = appview.answer, threading.Event()

    def hanging(url: Any) -> tuple[int, bytes]:
        if len(appview.asked) == 3 and "Posts" in url.path:
            third.set()
            threading.Event().wait(2)
        return answer(url)

    appview.answer = hanging  # type: ignore[method-assign]
    with process(RUN, appview.url, NOW.isoformat()) as killed:
        assert third.wait(120)
        killed.kill()
        killed.wait()
    done = stored(store, "checks").height
    assert done == 75
    appview.answer = answer  # type: ignore[method-assign]
    appview.asked.clear()
    run(store, appview)
    assert {uri for page in appview.asked for uri in page} == set(uris[done:])
    run(store, appview, NOW + timedelta(hours=5))
    assert states(store) == {"live": 99, "gone": 1}


def test_the_command_says_what_it_did_and_how_it_ended(
    store: Store, appview: AppView, aftershock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSHOCK_BLUESKY_APPVIEW", appview.url)
    keep(store, appview, *[appview.add(n) for n in range(3)])
    ended = aftershock("recheck")
    assert ended.code == 0, ended.err
    assert "recheck bluesky: 3 posts asked about" in ended.out
    assert aftershock("recheck", "--json").json()[0]["units"][0]["read"] == 0
    appview.fail = [500] * 9
    keep(store, appview, appview.add(9))
    ended = aftershock("recheck", "--source", "bluesky")
    assert ended.code == 75
    assert "did not answer" in ended.err
    assert aftershock("recheck", "--source", "usenet").code == 2
