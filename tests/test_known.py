"""What collectors may ask of the store: what is kept, whose, what is due, where units stood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from storing import CASE, QUERY, SALT, SEEN, START, batch, frame, matches, process, raw, write

import store.known as known_module
from cases.case import Case
from store.keys import StoreError
from store.schema import CHECKS
from store.tables import Store, Written

NOW = SEEN + timedelta(days=10)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), salt=SALT)


def asked(name: str | int, at: datetime, **values: Any) -> dict[str, Any]:
    """One check of a post, as a collector hands it over."""
    return {"uri": f"reddit:t3_{name}", "checked_at": at, "misses": 0, **values}


def check(store: Store, *rows: dict[str, Any]) -> Written:
    schema = {"uri": pl.String} | {
        name: kind for name, kind in CHECKS.items() if name not in {"post", "day", "same_at"}
    }
    frame_of = pl.DataFrame(rows, schema=schema)
    return store.write(batch(checks=frame_of), matches(frame([])))


def case(name: str = CASE, query_hash: str = QUERY) -> Case:
    return SimpleNamespace(name=name, query_hash=query_hash)  # type: ignore[return-value]


def kept(store: Store, source: str = "reddit", *cases: Case) -> dict[str, bool]:
    portions = list(store.known().kept(source, cases or (case(),)))
    assert all(portion.schema == {"uri": pl.String, "root": pl.Boolean} for portion in portions)
    return dict(row for portion in portions for row in portion.iter_rows())


# Kept


def test_kept_are_live_and_hidden_posts_of_the_source_and_roots_are_what_a_case_has_itself(
    store: Store,
) -> None:
    write(store, raw("own"), raw("gone"), raw("hidden", author="away"))
    write(store, raw("taken"), via="taken")
    write(store, raw("thread"), via="thread")
    write(store, raw("sky", uri="at://did:plc:a/app.bsky.feed.post/3l", source="bluesky"))
    write(store, gone=("reddit:t3_gone",), hidden=("away",))
    assert kept(store) == {
        "reddit:t3_own": True,
        "reddit:t3_hidden": True,
        "reddit:t3_taken": True,
        "reddit:t3_thread": False,
    }
    assert kept(store, "bluesky") == {"at://did:plc:a/app.bsky.feed.post/3l": True}
    assert not any(kept(store, "reddit", case(query_hash="reworded")).values())
    assert not any(kept(store, "reddit", case("other")).values())
    assert sum(kept(store, "reddit", case("other"), case()).values()) == 3
    assert list(store.known().kept("reddit", [])) != []


def test_kept_comes_in_portions_without_missing_or_doubling_a_post(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_module, "ROWS_AT_ONCE", 4)
    times = [START + timedelta(hours=7 * n) for n in range(30)]
    write(store, *[raw(n, at=at) for n, at in enumerate(times)])
    portions = list(store.known().kept("reddit", [case()]))
    assert len(portions) > 5
    assert max(portion.height for portion in portions) <= 4
    uris = [uri for portion in portions for uri in portion["uri"]]
    assert sorted(uris) == sorted(f"reddit:t3_{n}" for n in range(30))


# Authors


def test_an_author_is_known_as_long_as_a_post_with_its_words_is_there(store: Store) -> None:
    write(store, raw("a", author="Ann"), raw("b", author="Ben"), raw("c", author=None))
    write(store, hidden=("Ben",))
    known = store.known()
    assert known.author("reddit", "ann")  # Reddit's names ignore case
    assert known.author("reddit", "Ben")
    assert not known.author("bluesky", "Ann")
    assert not known.author("reddit", "Nobody")
    write(store, gone=("reddit:t3_a",))
    assert not store.known().author("reddit", "Ann")


def test_an_author_stored_while_somebody_asks_is_known_at_once(store: Store) -> None:
    known = store.known()
    assert not known.author("reddit", "Late")
    write(store, raw("late", author="Late"))
    assert known.author("reddit", "Late")
    # The author was not told when the post first came.
    write(store, raw("told", author=None))
    assert not known.author("reddit", "Told")
    write(store, raw("told", author="Told", collected_at=SEEN + timedelta(days=1)))
    assert known.author("reddit", "Told")


WRITER = """
import sys
from store.tables import Store
from storing import SALT, raw, write
write(Store.open(sys.argv[1], salt=SALT), raw("theirs", author="Theirs"))
"""


def test_an_author_whom_another_process_stored_is_known_soon(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_module, "AGAIN", 0.0)
    write(store, raw("ours", author="Ours"))
    known = store.known()
    assert not known.author("reddit", "Theirs")
    with process(WRITER, store.location) as writer:
        assert writer.wait(60) == 0
    assert known.author("reddit", "Theirs")
    assert known.author("reddit", "Ours")


def test_asking_about_authors_again_and_again_reads_the_posts_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, *[raw(n) for n in range(20)])
    known = store.known()
    assert known.author("reddit", "writer1")

    def broken(*_: object) -> None:
        raise StoreError("read once more")

    monkeypatch.setattr(store._tables, "read", broken)
    assert all(known.author("reddit", f"writer{n}") for n in range(20))
    assert not any(known.author("reddit", f"stranger{n}") for n in range(20))


# Due


def due(store: Store, limit: int = 100, now: datetime = NOW, source: str = "reddit") -> list[str]:
    found = store.known().due(source, limit, now)
    assert found.schema == known_module.DUE
    return [uri.removeprefix("reddit:t3_") for uri in found["uri"]]


def test_what_was_looked_at_longest_ago_comes_first_and_the_first_sight_was_a_look(
    store: Store,
) -> None:
    write(store, *[raw(name, at=START + timedelta(days=n)) for n, name in enumerate("abcdef")])
    assert due(store) == list("abcdef")
    check(store, asked("b", SEEN + timedelta(days=2)), asked("e", SEEN + timedelta(days=1)))
    assert due(store) == ["a", "c", "d", "f", "e", "b"]
    assert due(store, limit=5) == ["a", "c", "d", "f", "e"]
    assert due(store, source="bluesky") == []


def test_what_is_to_be_asked_later_is_left_out_until_then(store: Store) -> None:
    write(store, raw("a"), raw("b"))
    later = NOW + timedelta(hours=6)
    check(store, asked("a", SEEN, next_at=later))
    assert due(store) == ["b"]
    assert due(store, now=later) == ["a", "b"]


def test_hidden_posts_are_asked_about_and_gone_ones_are_not(store: Store) -> None:
    write(store, raw("a", author="away"), raw("b"))
    write(store, hidden=("away",), gone=("reddit:t3_b",))
    assert due(store) == ["a"]
    assert store.known().due("reddit", 9, NOW)["state"].to_list() == ["hidden"]


def test_what_is_due_comes_with_what_its_last_check_said(store: Store) -> None:
    write(store, raw("a"), raw("b"))
    told = {"misses": 1, "next_at": SEEN, "likes_48h": 3, "reposts_48h": 2, "replies_48h": 1}
    check(store, asked("a", SEEN, **told))
    once, never = store.known().due("reddit", 9, NOW).iter_rows(named=True)
    assert once == {
        "uri": "reddit:t3_a",
        "at": START,
        "first_seen_at": SEEN,
        "state": "live",
        "checked_at": SEEN,
        **told,
    }
    assert {never[name] for name in ("checked_at", *told)} == {None}


def test_only_posts_of_a_time_a_kind_or_a_list_are_asked_for(store: Store) -> None:
    write(store, *[raw(name, at=START + timedelta(days=n)) for n, name in enumerate("abcd")])
    write(store, raw("e", at=START + timedelta(days=4), kind="comment"))
    known = store.known()

    def found(**only: Any) -> list[str]:
        return [uri[-1] for uri in known.due("reddit", 9, NOW, **only)["uri"]]

    assert found() == list("abcde")
    assert found(since=START + timedelta(days=2)) == list("cde")
    assert found(since=START + timedelta(days=2), kind="post") == list("cd")
    assert found(uris={"reddit:t3_a", "reddit:t3_c", "reddit:t3_strange"}) == list("ac")
    assert found(uris=[]) == []
    check(store, asked("a", SEEN, next_at=NOW + timedelta(hours=1)))
    assert found(uris=["reddit:t3_a"]) == []


def test_beside_a_backlog_of_any_size_what_is_in_time_takes_every_other_turn(
    store: Store,
) -> None:
    two = timedelta(days=2)
    write(store, *[raw(n) for n in range(30)])  # the backlog: nobody ever asked about it
    write(store, raw("a"), raw("b"), raw("c"))
    hours = {"a": 40, "b": 47, "c": 49}
    check(store, *(asked(name, NOW - timedelta(hours=ago)) for name, ago in hours.items()))
    found = store.known().due("reddit", 8, NOW, duty=two)["uri"].to_list()
    names = [uri.removeprefix("reddit:t3_") for uri in found]
    assert len(set(names)) == 8
    assert (names[0], names[2]) == ("b", "a")  # the one with the least time left before the other
    assert "c" not in names  # that is late too, and by less than the backlog
    assert "b" not in [uri[-1] for uri in store.known().due("reddit", 8, NOW)["uri"]]
    assert store.known().overdue("reddit", NOW - two) == 31
    assert store.known().overdue("bluesky", NOW - two) == 0


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 60), st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)),
        min_size=1,
        max_size=25,
    ),
    limit=st.integers(1, 30),
)
def test_due_in_portions_is_what_sorting_everything_would_give(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[int, int | None, int | None]],
    limit: int,
) -> None:
    monkeypatch.setattr(known_module, "ROWS_AT_ONCE", 3)
    store = Store.open(str(tmp_path_factory.mktemp("due")), salt=SALT)
    write(store, *[raw(n, at=START + timedelta(hours=hour)) for n, (hour, *_) in enumerate(rows)])
    moment = datetime(2025, 6, 2, tzinfo=UTC)

    def day(number: int | None) -> datetime | None:
        return None if number is None else moment + timedelta(days=number)

    checks = [
        asked(n, day(at), next_at=day(after))
        for n, (_, at, after) in enumerate(rows)
        if at is not None
    ]
    assert moment > SEEN  # so that a post that was never asked about was looked at before
    if checks:
        check(store, *checks)
    now = moment + timedelta(days=5)
    found = store.known().due("reddit", limit, now).select("checked_at", "at").rows()
    expected = sorted(
        (
            (day(at), START + timedelta(hours=hour))
            for hour, at, after in rows
            if at is None or after is None or day(after) <= now
        ),
        key=lambda row: (row[0] is not None, row[0] or moment, row[1]),
    )
    assert found == expected[:limit]


# Cursors


def test_every_unit_of_a_collector_has_the_cursor_it_reached_last(store: Store) -> None:
    def run(run_id: str, unit: str, day: int, cursor: str | None, **values: Any) -> dict[str, Any]:
        row = {"collector": "live", "source": "reddit", "status": "done", **values}
        started = SEEN + timedelta(days=day)
        return row | {
            "run_id": run_id,
            "unit": unit,
            "started_at": started,
            "cursor_after": cursor,
        }

    store.log_run(
        run("1", "x", 1, "x1"),
        run("2", "y", 1, "y1"),
        run("3", "x", 40, "x40", status="running"),  # killed: what it stored is stored
        run("4", "x", 50, None, status="failed"),
        run("5", "y", 9, "other", collector="archive"),
    )
    assert store.known().cursors("live") == {"x": "x40", "y": "y1"}
    assert store.known().cursors("archive") == {"y": "other"}
    assert store.known().cursors("nobody") == {}
