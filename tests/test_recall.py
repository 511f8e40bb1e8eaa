"""How much of what the stream brought search found too: counted by hand, and in a real store."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from damaging import append, twice
from damaging import rows as rows_of
from hypothesis import given
from hypothesis import strategies as st
from storing import CASE, QUERY, SALT, SEEN, count_cells, frame, matches, process, raw, stored

from analysis.coverage import spans
from analysis.recall import Recall, recall, sentence, wilson
from store.doctor import Doctor
from store.findings import problems
from store.schema import RUNS, Batch, Reading
from store.tables import Store

START = datetime(2025, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH = ["bluesky-stream", "bluesky-search"]


def runs(*read: tuple[str, str, int, int]) -> pl.DataFrame:
    """Runs that read these hours in full: collector, unit, from, to."""
    rows = [
        {
            "source": "bluesky",
            "collector": collector,
            "unit": unit,
            "status": "done",
            "cases": [{"case": CASE, "query_hash": QUERY}],
            "started_at": START + last * HOUR,
            "observed_from": START + first * HOUR,
            "observed_to": START + last * HOUR,
            "items": 1,
            "bad": 0,
        }
        for collector, unit, first, last in read
    ]
    return pl.DataFrame(rows, schema={name: RUNS[name] for name in rows[0]})


def covered(*read: tuple[str, str, int, int]) -> pl.DataFrame:
    return spans(runs(*read), case=CASE, query_hash=QUERY)


WHOLE = covered(("bluesky-stream", "all", 0, 48), ("bluesky-search", "one", 0, 48))


def posts(*rows: tuple[float, str | None, list[str]]) -> pl.DataFrame:
    """Hours after START, author, collectors."""
    return pl.DataFrame(
        [
            {"post": f"{n}", "author": author, "at": START + hour * HOUR, "collectors": by}
            for n, (hour, author, by) in enumerate(rows)
        ],
        schema={
            "post": pl.String,
            "author": pl.String,
            "at": pl.Datetime("us", "UTC"),
            "collectors": pl.List(pl.String),
        },
    )


def test_the_share_is_that_of_the_streams_posts_which_search_brought_too() -> None:
    rows = [(n / 10, f"a{n}", BOTH) for n in range(60)]
    rows += [(n / 10, f"b{n}", BOTH[:1]) for n in range(40)]
    rows += [(n / 10, f"c{n}", BOTH[1:]) for n in range(5)]
    found = recall(posts(*rows), WHOLE)
    assert (found.of, found.found, found.only_search, found.hours) == (100, 60, 5, 48)
    assert (found.since, found.until) == (START, START + 48 * HOUR)
    assert found.share == 0.6
    # Wilson's interval of 60 in 100, as in any table of it
    assert (found.low, found.high) == pytest.approx((0.5020, 0.6906), abs=1e-4)


def test_only_hours_count_that_both_have_covered_with_every_unit() -> None:
    read = covered(
        ("bluesky-stream", "all", 0, 10),
        ("bluesky-search", "one", 4, 20),
        ("bluesky-search", "two", 5, 20),
    )
    rows = [(hour + 0.5, f"{hour}", BOTH[:1]) for hour in range(20)]
    found = recall(posts(*rows), read)
    assert (found.hours, found.of, found.found) == (5, 5, 0)
    assert (found.since, found.until) == (START + 5 * HOUR, START + 10 * HOUR)
    nothing = recall(posts(*rows), covered(("bluesky-stream", "all", 0, 10)))
    assert (nothing.hours, nothing.of, nothing.share, nothing.since) == (0, 0, None, None)


def test_few_posts_are_counted_and_give_no_share() -> None:
    found = recall(posts(*[(1, f"{n}", BOTH) for n in range(29)]), WHOLE)
    assert (found.of, found.found, found.share) == (29, 29, None)
    assert sentence(found) is None
    found = recall(posts(*[(1, f"{n}", BOTH) for n in range(30)]), WHOLE)
    assert found.share == 1.0
    assert found.low is not None
    assert found.low < 0.9  # all of thirty says little about the next one


def test_posts_of_one_author_are_no_independent_witnesses() -> None:
    one_each = [(1, f"{n}", BOTH if n % 2 else BOTH[:1]) for n in range(100)]
    by_ten = [(1, f"{n % 10}", BOTH if n % 2 else BOTH[:1]) for n in range(100)]
    alone = [(1, None, BOTH if n % 2 else BOTH[:1]) for n in range(100)]
    wide, narrow, nameless = (recall(posts(*rows), WHOLE) for rows in (by_ten, one_each, alone))
    assert wide.share == narrow.share == nameless.share == 0.5
    assert (wide.size, narrow.size, nameless.size) == (10, 100, 100)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_sentence_says_of_how_many_and_what_is_not_known() -> None:
    found = Recall(48, START, START, 200, 180, 3, 150, 0.9, 0.84, 0.94)
    assert sentence(found) == (
        "Search found 180 of 200 posts that the stream brought in 48 hours covered by both: 90.0 %"
        " (95 %: 84.0 % to 94.0 %). What neither saw is not known."
    )


@given(st.floats(0, 1), st.floats(0.5, 1e6))
def test_wilsons_interval_holds_the_share_and_stays_possible(share: float, size: float) -> None:
    low, high = wilson(share, size)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1
    assert high > low


# In the store


def bring(store: Store, collector: str, *names: str, via: str = "own", **values: Any) -> None:
    rows = [
        raw(name, uri=f"at://did:plc:{name}/app.bsky.feed.post/{name}", source="bluesky", **values)
        for name in names
    ]
    found = frame(rows)
    store.write(Batch(collector, Reading("unit", "bluesky"), found), matches(found, via=via))


def sighted(store: Store, **window: datetime) -> dict[str, set[str]]:
    rows = store.sighted(source="bluesky", case=CASE, query_hash=QUERY, **window).collect()
    keys = {store.key(f"at://did:plc:{n}/app.bsky.feed.post/{n}"): n for n in "abcdefg"}
    return {keys[post]: set(by) for post, by in rows.select("post", "collectors").iter_rows()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), salt=SALT)


def test_both_collectors_of_a_post_are_known_whichever_came_first(store: Store) -> None:
    bring(store, "bluesky-stream", "a", "b")
    bring(store, "bluesky-search", "b", "c", collected_at=SEEN + HOUR)
    bring(store, "bluesky-stream", "c")  # older than what is stored
    bring(store, "bluesky-search", "b", text="edited", collected_at=SEEN + 2 * HOUR)
    bring(store, "recheck", "a")
    bring(store, "archive", "a", "d")
    bring(store, "bluesky-stream", "e", via="thread")
    assert sighted(store) == {"a": {BOTH[0]}, "b": set(BOTH), "c": set(BOTH)}
    assert stored(store, "sightings").height == 6
    assert sighted(store, since=SEEN) == {}
    assert len(sighted(store, until=SEEN)) == 3


def test_a_forgotten_post_is_not_even_known_to_have_been_seen(store: Store) -> None:
    bring(store, "bluesky-stream", "a", "b")
    bring(store, "bluesky-search", "a")
    store.forget([store.key("at://did:plc:a/app.bsky.feed.post/a")])
    assert sighted(store) == {"b": {BOTH[0]}}
    assert stored(store, "sightings").height == 1


def test_a_deleted_post_stays_counted(store: Store) -> None:
    bring(store, "bluesky-stream", "a")
    store.wipe([store.key("at://did:plc:a/app.bsky.feed.post/a")])
    bring(store, "bluesky-search", "a", collected_at=SEEN + HOUR)
    assert sighted(store) == {"a": set(BOTH)}


def test_the_doctor_finds_sightings_that_are_doubled_or_hang_on_nothing_and_mends_them(
    store: Store,
) -> None:
    bring(store, "bluesky-stream", "a", "b")
    bring(store, "bluesky-search", "a")
    folder = Path(store.location)
    twice(folder, "sightings")
    lost = rows_of(folder, "sightings").tail(1).with_columns(post=pl.lit("ab" * 16))
    append(folder, "sightings", lost)
    patient = Doctor(store.location, salt=SALT)
    found = problems(patient.examine(count_cells, sample=0))
    assert {(one.table, one.kind) for one in found} == {
        ("sightings", "twice"),
        ("sightings", "dangling"),
    }
    patient.repair(count_cells)
    assert problems(patient.examine(count_cells, sample=0)) == []
    assert sighted(store) == {"a": set(BOTH), "b": {BOTH[0]}}
    # Lost whole it begins anew: nothing else depends on it.
    shutil.rmtree(folder / "sightings")
    patient = Doctor(store.location, salt=SALT)
    patient.examine(count_cells, sample=0)
    patient.repair(count_cells)
    assert sighted(Store.open(store.location, salt=SALT)) == {}


KILLED = """
import os, sys
import store.posts
from store.tables import Store
from storing import SALT
from test_recall import bring
def die(*_, **__):
    os.kill(os.getpid(), 9)
store.posts.erase_blocked = die
bring(Store.open(sys.argv[1], salt=SALT), "bluesky-stream", "a", "b")
"""


def test_a_batch_cut_off_by_a_kill_is_noted_once_when_it_comes_again(store: Store) -> None:
    with process(KILLED, store.location) as killed:
        assert killed.wait(120) == -9
    bring(store, "bluesky-stream", "a", "b")
    assert sighted(store) == {"a": {BOTH[0]}, "b": {BOTH[0]}}
    assert stored(store, "sightings").height == 2
