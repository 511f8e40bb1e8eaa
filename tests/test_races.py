"""Many processes at one store: nothing lost, nothing doubled, the newest words win, no reader
ever meets an error. With the writer lock, and without it, when optimistic commits are all."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from racing import WRITERS, expected, opened, race
from storing import SEEN, count_cells, counted, raw, score_all, stored, write


def check(place: str, lock: str, batches: int) -> None:
    store = opened(place, lock)
    store.drain()
    keys = {store.key(uri): (text, state) for uri, (text, state) in expected(batches).items()}
    posts = stored(store)
    assert posts.height == posts["post"].n_unique()
    found = {post: (text, state) for post, text, state in posts["post", "text", "state"].rows()}
    assert found == keys
    assert posts.filter(state="gone")["uri"].null_count() == posts.filter(state="gone").height
    matches = stored(store, "matches")
    assert Counter(matches["post"]) == Counter(keys.keys())
    score_all(store)
    scores = stored(store, "scores")
    assert scores["post"].n_unique() == scores.height
    assert set(scores["post"]) <= keys.keys()
    hashed = set(scores.drop_nulls("input_hash")["post"])
    assert not hashed & {post for post, (_, state) in keys.items() if state == "gone"}
    store.rebuild(count_cells)
    recount: Counter[object] = Counter()
    for at in store.scored().collect()["at"].dt.truncate("1w").dt.date():
        recount[at] += 1
    assert counted(store) == dict(recount)
    assert store.stale().weeks == ()


def test_writers_a_compactor_a_scorer_and_readers_work_at_once(tmp_path: Path) -> None:
    everybody_works(tmp_path, "unlocked", batches=4)


def test_a_reader_that_meets_one_purge_at_table_after_table_sees_no_error(tmp_path: Path) -> None:
    """Found by a long race: scores went while the reader looked again because posts had gone."""
    reader, other = (opened(str(tmp_path / "store"), "unlocked") for _ in range(2))
    write(other, raw("a"), raw("b"))
    score_all(other)
    met: list[int] = []

    def query() -> pl.LazyFrame:
        rows = reader.scored()
        if len(met) < 3:  # the files it names are replaced and cleared before it opens them
            met.append(1)
            edit = raw("a", text=f"v{len(met)}", collected_at=SEEN + timedelta(days=len(met)))
            write(other, edit)
            other.maintain(purge=True)
        return rows

    assert reader.read(query).height == 1  # the edited one waits for its score
    assert len(met) == 3


@pytest.mark.long
@pytest.mark.parametrize("lock", ["locked", "unlocked"])
def test_thousands_of_batches_at_once_lose_and_double_nothing(tmp_path: Path, lock: str) -> None:
    everybody_works(tmp_path, lock, batches=250)


def everybody_works(folder: Path, lock: str, batches: int) -> None:
    place = str(folder / "store")
    met = race(place, lock, batches)
    print(lock, WRITERS * batches, "batches", *met, sep="\n")
    assert [one["error"] for one in met if one["error"]] == []
    check(place, lock, batches)
