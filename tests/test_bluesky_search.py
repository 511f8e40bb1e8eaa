"""What the search collector reads, claims to have read, and does when answers are strange."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from testbeds.bluesky.scripted import (
    LOGIN,
    SEARCH,
    SEARCH_V2,
    Answer,
    Params,
    Scripted,
    error,
    scripted,
)

import cases.case as case_files
from cases.case import Case
from collectors import bluesky_client, bluesky_page, bluesky_search
from collectors.bluesky_account import HANDLE, PASSWORD, SERVICE
from collectors.bluesky_progress import LOOKS, Progress
from collectors.bluesky_walk import SURELY_SHOWN, Slice, Walk
from collectors.errors import TryLaterError, UnfitError
from collectors.settings import Settings
from collectors.stretches import Stretches, common, joined, length, without
from store.schema import Batch, Reading

MAY = datetime(2025, 5, 9, tzinfo=UTC)
THREAD, QUOTES = "app.bsky.feed.getPostThread", "app.bsky.feed.getQuotes"
CASE = """
title = "An example"
platform = "Quux"
summary = "Nothing real."
since = 2025-05-01
languages = ["en"]
query = "quux"
[bluesky]
search = ["quux policy"]
"""


# --- stretches of time, against sets of minutes ---

MINUTES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)


def minutes(pairs: Sequence[tuple[int, int]]) -> tuple[Stretches, set[int]]:
    stretches = joined((MAY + timedelta(minutes=a), MAY + timedelta(minutes=b)) for a, b in pairs)
    return stretches, {minute for a, b in pairs for minute in range(a, b)}


def covered(stretches: Stretches) -> set[int]:
    return {m for m in range(41) for a, b in stretches if a <= MAY + timedelta(minutes=m) < b}


@effort(deadline=None)
@given(MINUTES, MINUTES)
def test_stretches_add_and_subtract_as_sets_of_minutes_do(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    (left, mine), (right, theirs) = minutes(one), minutes(other)
    assert covered(left) == mine
    assert covered(without(left, right)) == mine - theirs
    assert covered(common(left, right)) == mine & theirs
    assert length(left) == timedelta(minutes=len(mine))
    for result in (left, without(left, right), common(left, right)):
        assert list(result) == sorted(result)
        assert all(start < end for start, end in result)


# --- cursors ---


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Case]:
    def write(name: str = "example", *, query: str = "quux", phrase: str = "quux policy") -> Case:
        text = CASE.replace('query = "quux"', f'query = "{query}"').replace("quux policy", phrase)
        path = tmp_path / f"{name}.toml"
        path.write_text(text)
        return case_files.load(path)

    return write


@effort(deadline=None)
@given(MINUTES)
def test_a_cursor_says_what_was_read_and_nothing_else(pairs: list[tuple[int, int]]) -> None:
    stretches, _ = minutes(pairs)
    progress = Progress(("example@1",))
    progress.add_read(stretches)
    progress.add_looked(stretches, MAY + timedelta(days=9))
    again = Progress(("example@1",), {})
    again.done = Progress.of([], progress.cursor()).done
    assert again.read() == progress.read()
    assert again.to_look_at(((MAY, MAY + timedelta(days=1)),), MAY + timedelta(days=9)) == ()
    assert "did:" not in progress.cursor()


@pytest.mark.parametrize(
    "cursor",
    [
        None,
        "",
        "12",
        "[]",
        '{"a":1}',
        '{"example@x":{"read":[["2025","x"]]}}',
        '{"a":{"read":[1]}}',
    ],
)
def test_a_cursor_that_nobody_understands_means_from_the_beginning(
    case: Callable[..., Case], cursor: str | None
) -> None:
    assert Progress.of([case()], cursor).read() == ()


def test_another_query_reads_everything_again_and_other_cases_keep_theirs(
    case: Callable[..., Case],
) -> None:
    old, other = case(), case("other")
    progress = Progress.of([old, other], None)
    progress.add_read(((MAY, MAY + timedelta(days=1)),))
    new = case(query="quux OR corge")
    assert new.query_hash != old.query_hash
    assert Progress.of([new], progress.cursor()).read() == ()
    assert Progress.of([new, other], progress.cursor()).read() == ()
    assert Progress.of([other], progress.cursor()).read() == progress.read()
    # and what one case reads on its own is not lost for the other
    alone = Progress.of([other], progress.cursor())
    alone.add_read(((MAY + timedelta(days=1), MAY + timedelta(days=2)),))
    both = Progress.of([old, other], alone.cursor())
    assert both.read() == ((MAY, MAY + timedelta(days=1)),)


def test_posts_are_looked_at_again_at_a_few_ages_and_not_each_time() -> None:
    progress = Progress(("example@1",))
    window = ((MAY, MAY + timedelta(days=30)),)
    looked: list[datetime] = []
    for step in range(0, 6 * 24 * 60, 5):  # a run every five minutes for six days
        now = MAY + timedelta(minutes=step)
        progress.add_read(((MAY, max(MAY, now - timedelta(minutes=10))),))
        due = progress.to_look_at(window, now)
        looked += [now for start, end in due if start <= MAY + timedelta(hours=3) < end]
        progress.add_looked(due, now)
    ages = [now - MAY - timedelta(hours=3) for now in looked]
    assert len(ages) == len(LOOKS)
    assert all(age >= look for age, look in zip(ages, LOOKS, strict=True))


# --- the walk past the depth of one query, against the truth ---


@dataclass
class Shelf:
    """Posts as a server keeps them: newest first, and no more than `depth` of one query."""

    posts: list[datetime]
    depth: int
    page: int
    seen: set[int] = field(default_factory=set)

    def walk(self, walk: Walk, since: datetime, pages: int) -> int:
        """Walk for so many pages; gives how many were read."""
        order = sorted(range(len(self.posts)), key=lambda n: (self.posts[n], n), reverse=True)
        read, before, deepest = 0, set[int](), SURELY_SHOWN
        while True:
            found, seen = Slice(), set[int]()
            hits = [
                n
                for n in order
                if self.posts[n] >= since and (walk.until is None or self.posts[n] < walk.until)
            ][: self.depth]
            for at in range(0, len(hits) or 1, self.page):
                if read == pages:
                    return read
                read += 1
                shown = hits[at : at + self.page]
                new = set(shown) - before - seen
                seen |= set(shown)
                self.seen |= seen
                found.add([self.posts[n] for n in shown], len(shown), len(new))
                found.ended = at + self.page >= len(hits)
                if not found.ended:
                    walk.see(found)
            deepest, before = max(deepest, found.hits), seen
            if not walk.goes_on(found, deepest):
                return read


CLUMPS = st.lists(
    st.tuples(st.integers(0, 7200), st.integers(1, 40), st.sampled_from([0, 1, 900, 60_000])),
    max_size=8,
)


@effort(deadline=None)
@given(CLUMPS, st.integers(25, 60), st.integers(5, 30), st.integers(1, 60))
def test_what_a_walk_says_it_was_shown_it_was_shown(
    clumps: list[tuple[int, int, int]], depth: int, page: int, pages: int
) -> None:
    end = MAY + timedelta(hours=3)
    posts = [
        MAY + timedelta(seconds=at, milliseconds=gap * n)
        for at, number, gap in clumps
        for n in range(number)
    ]
    shelf = Shelf([at for at in posts if at < end], depth, page)
    walk = Walk((MAY, end), None)
    cut_off = shelf.walk(walk, MAY - timedelta(minutes=10), pages) == pages
    claimed = walk.shown()
    missed = {n for n, at in enumerate(shelf.posts) if n not in shelf.seen}
    assert not [n for n in missed if any(a <= shelf.posts[n] < b for a, b in claimed)]
    if not cut_off and not walk.capped:
        assert claimed == ((MAY, end),)
        assert not missed


def test_a_second_with_more_posts_than_the_server_shows_is_said_to_be_capped() -> None:
    crowd = MAY + timedelta(hours=1)
    posts = [crowd + timedelta(milliseconds=n) for n in range(100)]
    older = [MAY + timedelta(seconds=n) for n in range(10)]
    shelf = Shelf(posts + older, 40, 20)
    walk = Walk((MAY, MAY + timedelta(hours=2)), None)
    shelf.walk(walk, MAY, 1000)
    assert walk.capped == [(crowd, crowd + timedelta(seconds=1))]
    assert set(range(100, 110)) <= shelf.seen
    assert walk.shown() == (
        (MAY, crowd),
        (crowd + timedelta(seconds=1), MAY + timedelta(hours=2)),
    )


def test_answers_in_no_order_of_time_are_never_taken_for_the_whole() -> None:
    walk = Walk((MAY, MAY + timedelta(days=2)), None)
    found = Slice(ended=True)
    found.add([MAY + timedelta(minutes=-n * 7919 % 2000) for n in range(2000)], 2000, 2000)
    walk.see(found)
    assert not walk.goes_on(found, 2000)
    assert walk.shown() == ()
    day = timedelta(days=1)
    assert walk.halves == ((MAY, MAY + day), (MAY + day, MAY + 2 * day))


# --- answers ---


def view(number: int, text: str = "quux policy", **values: Any) -> dict[str, Any]:
    at = (MAY + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
    return {
        "uri": f"at://did:plc:writer{number}/app.bsky.feed.post/key{number}",
        "author": {"did": f"did:plc:writer{number}", "handle": "somebody.test"},
        "record": {"$type": "app.bsky.feed.post", "text": text, "createdAt": at},
        "indexedAt": at,
        "likeCount": 1,
        "replyCount": 0,
        "quoteCount": 0,
        **values,
    }


MALFORMED: tuple[Any, ...] = (
    None,
    "a string",
    {},
    {"uri": "at://somebody.test/app.bsky.feed.post/1", "record": {"text": "x"}},
    view(90) | {"record": None},
    view(91) | {"record": {"text": 7}},
    view(92) | {"uri": 5},
)
ODD: tuple[dict[str, Any], ...] = (
    view(80, labels="broken"),
    view(81, likeCount=1.5),
    view(82, indexedAt=None),
    view(83, author={"did": 5}),
    view(84, embed={"$type": "app.bsky.embed.images#view"}),
    view(85, replyCount="many", quoteCount=None),
)


def test_one_malformed_post_costs_one_post_and_not_the_page() -> None:
    views = [view(2), *MALFORMED, *ODD, view(1)]
    page = bluesky_page.read(views, datetime.now(UTC), "page 1")
    assert len(page.rows) == 2 + len(ODD)
    assert len(page.bad) == len(MALFORMED)
    assert [bad.place for bad in page.bad][:2] == ["page 1, post 2", "page 1, post 3"]
    assert not [bad for bad in page.bad if "did:plc" in bad.reason or "somebody" in bad.reason]


@dataclass
class Kept:
    """What a collector may ask of the store, as far as this one does: the cursors."""

    units: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def cursors(self, collector: str) -> dict[str, str]:
        self.asked.append(collector)
        return dict(self.units)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setattr(bluesky_client, "DELAY", 0.01)
    with scripted() as bed:
        yield bed


@pytest.fixture
def settings(server: Scripted, tmp_path: Path) -> Settings:
    return Settings(
        tmp_path / "cache",
        {HANDLE: "someone.test", PASSWORD: "pass", SERVICE: server.url},
    )


def collect(cases: Sequence[Case], kept: Kept, settings: Settings) -> list[Batch]:
    """One run, with what it reached kept as the ledger keeps it; the error goes on."""
    batches: list[Batch] = []
    try:
        for batch in bluesky_search.collect(cases, kept, settings):  # type: ignore[arg-type]
            batches.append(batch)
            if batch.cursor is not None:
                kept.units[batch.reading.unit] = batch.cursor
    finally:
        kept.asked.append("ended")
        LAST[:] = batches
    return batches


LAST: list[Batch] = []


def last(batches: Sequence[Batch]) -> dict[str, Reading]:
    return {batch.reading.unit: batch.reading for batch in batches}


def uris(batches: Sequence[Batch]) -> list[str]:
    return [uri for batch in batches for uri in batch.posts["uri"]]


def paged(*pages: Sequence[Any]) -> Callable[[Params], Answer]:
    """A search that gives these pages, by opaque cursors, whatever it is asked."""

    def answer(params: Params) -> Answer:
        at = int(params.get("cursor", ["c0"])[0][1:])
        body: dict[str, Any] = {"posts": pages[at]}
        if at + 1 < len(pages):
            body["cursor"] = f"c{at + 1}"
        return Answer(body=body)

    return answer


def shelved(views: Sequence[Any]) -> Callable[[Params], Answer]:
    """A search that gives those of these posts that were asked for, on one page."""

    def answer(params: Params) -> Answer:
        since, until = params["since"][0], params.get("until", ["9"])[0]
        return Answer(body={"posts": [v for v in views if since <= v["indexedAt"] < until]})

    return answer


def test_short_and_empty_pages_do_not_end_a_search(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([view(3)], [], [view(2)], [], [], [view(1)]))
    batches = collect([case()], Kept(), settings)
    assert len(uris(batches)) == 3
    reading = last(batches)["quux policy"]
    assert (reading.status, reading.pages, reading.items) == ("done", 6, 3)


def test_a_repeated_cursor_ends_the_search_and_claims_nothing(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, Answer(body={"posts": [view(1)], "cursor": "same"}))
    batches = collect([case()], Kept(), replace(settings, budget=50))
    reading = last(batches)["quux policy"]
    assert reading.status == "partial"
    assert "repeats itself" in reading.stop_reason
    assert reading.gap
    assert reading.pages < 12
    assert len(set(uris(batches))) == 1


def test_an_answer_without_posts_is_no_empty_answer(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, Answer(body={}))
    reading = last(collect([case()], Kept(), settings))["quux policy"]
    assert reading.status == "failed"
    assert reading.observed_from is None
    assert "without posts" in reading.error


def test_nothing_found_says_where_nothing_was_found(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([]))
    reading = last(collect([case()], Kept(), settings))["quux policy"]
    assert reading.status == "done"
    assert reading.stop_reason.startswith(
        "the server found nothing for this phrase between 2025-05-01T00:00:00.000Z and "
    )
    assert reading.observed_from == datetime(2025, 5, 1, tzinfo=UTC)
    assert reading.observed_to is not None
    assert datetime.now(UTC) - reading.observed_to >= timedelta(minutes=10)


def test_the_dates_sent_are_whole_ones_and_the_next_run_reads_from_the_last_end(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([view(1)]))
    kept = Kept()
    first = last(collect([case()], kept, settings))["quux policy"]
    collect([case()], kept, settings)
    since = [datetime.fromisoformat(p["since"][0]) for name, p in server.asked if name == SEARCH]
    assert since[0] == datetime(2025, 5, 1, tzinfo=UTC) - timedelta(minutes=10)
    assert first.observed_to is not None
    assert since[1] == first.observed_to - timedelta(minutes=10)
    assert all(p["sort"] == ["latest"] for name, p in server.asked if name == SEARCH)
    assert server.times(LOGIN) == 1


def test_a_phrase_that_cases_share_is_asked_once_for_both(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([view(1)]))
    batches = collect([case(), case("other")], Kept(), settings)
    assert server.times(SEARCH) == 1
    assert last(batches)["quux policy"].cases == ("example", "other")


def test_search_v2_is_used_where_it_is_open_and_asked_for_once_where_not(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([view(1)], [view(0)]))
    both = [case(), case("other", phrase="quux terms")]
    collect(both, Kept(), settings)
    assert (server.times(SEARCH_V2), server.times(SEARCH)) == (1, 4)
    server.asked.clear()
    server.plan(SEARCH_V2, paged([view(1)], [view(0)]))
    batches = collect(both, Kept(), settings)
    assert (server.times(SEARCH_V2), server.times(SEARCH)) == (4, 0)
    params = server.asked[0][1]
    assert (params["allTime"], params["sort"]) == (["true"], ["recent"])
    assert last(batches)["quux policy"].status == "done"


def test_a_run_that_must_stop_gives_what_it_has_and_claims_only_that(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    pages = paged([view(n) for n in range(60, 30, -1)], [view(n) for n in range(30, 0, -1)])
    late = error(429, "RateLimitExceeded", retry_after="3600")
    server.plan(SEARCH, pages, late)
    kept = Kept()
    with pytest.raises(TryLaterError):
        collect([case()], kept, settings)
    assert len(uris(LAST)) == 30
    reading = last(LAST)["quux policy"]
    assert (reading.status, reading.gap) == ("partial", True)
    # the posts of minutes 31..35 may not be all there are: the last few bound what is claimed
    assert reading.observed_from == MAY + timedelta(minutes=35, milliseconds=1)
    assert "still to be read" in reading.stop_reason
    server.plan(SEARCH, shelved([view(n) for n in range(60, 0, -1)]))
    server.asked.clear()
    batches = collect([case()], kept, settings)
    reading = last(batches)["quux policy"]
    assert reading.status == "done"
    assert reading.observed_from == datetime(2025, 5, 1, tzinfo=UTC)
    until = [p.get("until") for name, p in server.asked if name == SEARCH]
    assert until[0] is None
    assert until[1] is not None
    assert datetime.fromisoformat(until[1][0]) == MAY + timedelta(minutes=36, milliseconds=1)


def test_a_budget_is_kept_and_shared(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    long = [[view(n)] for n in range(99, 0, -1)]
    server.plan(SEARCH, paged(*long))
    cases = [case(), *(case(f"c{n}", phrase=f"quux {n}") for n in range(3))]
    kept = Kept()
    batches = collect(cases, kept, replace(settings, budget=14))
    assert len(server.asked) == 14
    read = last(batches)
    assert {reading.status for reading in read.values()} == {"partial"}
    assert max(r.pages for r in read.values()) - min(r.pages for r in read.values()) <= 1
    assert all("budget of 14 requests" in reading.stop_reason for reading in read.values())
    # too small for one round: over two runs everyone has had a turn
    kept = Kept()
    asked = set()
    for _ in range(3):
        server.asked.clear()
        collect(cases, kept, replace(settings, budget=4))
        asked |= {params["q"][0] for name, params in server.asked if name == SEARCH}
    assert len(asked) == 4


def test_a_window_is_read_once_and_what_was_read_is_not_asked_again(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([view(1)]))
    kept = Kept()
    asked = replace(settings, since=MAY, until=MAY + timedelta(days=1))
    reading = last(collect([case()], kept, asked))["quux policy"]
    assert (reading.observed_from, reading.observed_to) == (MAY, MAY + timedelta(days=1))
    before = server.times(SEARCH)
    reading = last(collect([case()], kept, asked))["quux policy"]
    assert server.times(SEARCH) == before
    assert "all was read before" in reading.stop_reason


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        (MAY, MAY, "not before --until"),
        (datetime(2025, 5, 1), None, "no time zone"),  # noqa: DTZ001 - just that
    ],
)
def test_dates_that_make_no_window_are_refused(
    settings: Settings,
    case: Callable[..., Case],
    since: datetime,
    until: datetime | None,
    words: str,
) -> None:
    with pytest.raises(UnfitError, match=words):
        collect([case()], Kept(), replace(settings, since=since, until=until))


def test_replies_and_quotes_of_matched_posts_are_followed_once(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    found = view(9, replyCount=2, quoteCount=1)
    unmatched = view(8, "something else", replyCount=5, quoteCount=5)
    server.plan(SEARCH, paged([found, unmatched]))
    lost = {"$type": "app.bsky.feed.defs#notFoundPost", "uri": "x", "notFound": True}
    edge = view(11, "below", replyCount=1)
    thread = {"post": found, "replies": [lost, {"post": edge}, {"post": view(12, "beside")}]}
    further = {"post": edge, "replies": [{"post": view(13, "deeper")}]}
    server.plan(
        THREAD,
        Answer(body={"thread": thread}),
        Answer(body={"thread": further}),
    )
    server.plan(QUOTES, paged([view(14, "quoting")], [view(15, "quoting too")]))
    kept = Kept()
    batches = collect([case()], kept, settings)
    side = [batch for batch in batches if batch.reading.unit == "replies and quotes"]
    assert {uri.rpartition("/")[2] for uri in uris(side)} == {
        "key9",
        "key11",
        "key12",
        "key13",
        "key14",
        "key15",
    }
    assert server.times(THREAD) == 2
    assert server.times(QUOTES) == 2
    reading = last(batches)["replies and quotes"]
    assert (reading.status, reading.observed_from, reading.bytes) == ("done", None, 0)
    # the matched post was given to be stored before what belongs to it
    assert batches.index(side[0]) > 0
    collect([case()], kept, settings)
    assert server.times(THREAD) == 2


def test_what_the_budget_left_unfollowed_is_followed_by_a_later_run(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([view(n, quoteCount=1) for n in range(20, 0, -1)]))
    server.plan(QUOTES, paged([view(30, "quoting")]))
    kept = Kept()
    batches = collect([case()], kept, replace(settings, budget=30))
    assert server.times(QUOTES) == 10
    assert last(batches)["replies and quotes"].status == "partial"
    assert last(batches)["quux policy"].status == "done"
    batches = collect([case()], kept, settings)
    assert server.times(QUOTES) == 30
    assert last(batches)["replies and quotes"].status == "done"


def test_ready_says_in_one_line_what_is_missing(settings: Settings) -> None:
    assert bluesky_search.ready(settings) is None
    line = bluesky_search.ready(replace(settings, credentials={}))
    assert line is not None
    assert line.startswith("bluesky-search: no handle; run `aftershock setup`")
    line = bluesky_search.ready(replace(settings, credentials={HANDLE: "someone.test"}))
    assert line is not None
    assert "no app password; run `aftershock setup`" in line
    assert "\n" not in line


def test_cursors_hold_no_uri_and_no_cursor_of_the_servers(
    server: Scripted, settings: Settings, case: Callable[..., Case]
) -> None:
    server.plan(SEARCH, paged([view(2)], [view(1)]))
    for batch in collect([case()], Kept(), settings):
        if batch.cursor is not None:
            assert "did:" not in batch.cursor
            assert "c1" not in json.dumps(list(json.loads(batch.cursor).values()))
