"""A wiped post leaves nothing on the disk: every file of the store is opened and searched."""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from searching import contents, traces
from storing import (
    SALT,
    SCORER,
    SEEN,
    batch,
    count_cells,
    frame,
    matches,
    raw,
    score_all,
    stored,
    write,
)

from store.erasures import siblings
from store.merge import arrow
from store.schema import SCORES
from store.tables import Store

# A text whose beginning, middle and end can be told apart: statistics keep the beginning only.
TEXT = "Quagmirestart " + "and so on " * 500 + "Zephyrmiddle" + " and so on" * 500 + " Wickerend"
SECRET = raw(
    "9plantedid",
    author="PlantedWriter",
    community="u_plantedwriter",
    text=TEXT,
)


def tokens(store: Store) -> list[str]:
    author = store.author_key("reddit", "PlantedWriter")
    words = ["Quagmirestart", "Zephyrmiddle", "Wickerend", "9plantedid", "u_plantedwriter"]
    return [*words, author, store.text_hash(TEXT)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a past: merges, an edit, a hidden account, scores, cells, a checkpoint."""
    store = Store.open(str(tmp_path / "store"), salt=SALT)
    others = [raw(n) for n in range(30)]
    write(store, SECRET, *others)
    write(store, *[row | {"collected_at": SEEN + timedelta(days=1)} for row in others[:10]])
    write(store, hidden=("PlantedWriter",))
    write(store, back=("PlantedWriter",))
    edited = SECRET | {"text": f"{TEXT} edited", "collected_at": SEEN + timedelta(days=2)}
    write(store, edited)
    score_all(store)
    store.rebuild(count_cells)
    store.maintain()
    write(store, *[raw(n) for n in range(30, 40)])
    return store


def wipe(store: Store) -> None:
    assert store.write(batch(gone=(SECRET["uri"],)), matches(frame([]))).gone == 1


def test_the_search_finds_what_is_stored_and_what_has_not_been_cleared_yet(store: Store) -> None:
    """Without this the next test could pass by not looking."""
    wanted = tokens(store)
    before = traces(store.location, wanted)
    assert set(before) == set(wanted)
    wipe(store)
    row = stored(store).filter(state="gone").row(0, named=True)
    assert [row[name] for name in ("text", "text_hash", "uri", "community")] == [None] * 4
    after = traces(store.location, wanted)
    assert set(after) == set(wanted)
    # In old data files, of posts and (the hash of the text) of scores.
    places = {place for found in after.values() for place in found}
    assert {place.split("=")[0] for place in places} <= {"posts/day", "scores/day"}
    # An ordinary maintenance keeps old files for an hour, for their readers.
    store.maintain()
    assert set(traces(store.location, wanted)) == set(wanted)


def test_a_deleted_post_leaves_no_trace_on_disk_after_a_purge(store: Store) -> None:
    wipe(store)
    store.maintain(purge=True)
    assert traces(store.location, [*tokens(store), store.text_hash(f"{TEXT} edited")]) == {}
    # Gone from sight, still counted.
    assert store.key(SECRET["uri"]) in set(store.scored().collect()["post"])
    assert store.key(SECRET["uri"]) in set(stored(store, "matches")["post"])


def test_a_deleted_account_leaves_no_trace_of_any_of_its_posts(store: Store) -> None:
    more = [SECRET | {"uri": f"reddit:t3_9plantedmore{n}"} for n in range(2)]
    write(store, *more)
    write(store, hidden=("PlantedWriter",))  # as an account mostly is before it goes for good
    written = write(store, deleted=("PlantedWriter", "stranger"))
    assert (written.gone, written.with_account) == (3, 3)
    gone = stored(store).filter(state="gone")
    assert gone.height == 3
    assert gone["author"].n_unique() == 1  # one voice still
    assert stored(store).filter(state="live").height == 40
    # On record, so that a restored backup does not bring them back.
    journal = "".join(file.read_text() for file in siblings(store._tables.journal))
    assert all(store.key(row["uri"]) in journal for row in [SECRET, *more])
    store.maintain(purge=True)
    assert traces(store.location, [*tokens(store), store.text_hash(f"{TEXT} edited")]) == {}
    # A copy that somebody else kept, and an account that is said to be back, change nothing.
    write(store, SECRET | {"collected_at": SEEN + timedelta(days=9)}, back=("PlantedWriter",))
    assert stored(store).filter(state="gone").height == 3
    assert store.key(SECRET["uri"]) in set(store.scored().collect()["post"])


def test_posts_that_come_with_the_deletion_of_their_account_are_not_stored(store: Store) -> None:
    brought = (raw("brought", author="Plantedwriter"), raw("other"))
    write(store, *brought, deleted=("PlantedWriter",))
    assert store.known().has(["reddit:t3_brought", "reddit:t3_other"]) == {"reddit:t3_other"}


def test_a_forgotten_author_leaves_no_trace_but_the_blocked_keys(store: Store) -> None:
    store.forget([store.author_key("reddit", "PlantedWriter")])
    store.maintain(purge=True)
    found = traces(store.location, [*tokens(store), store.key(SECRET["uri"])])
    # The log names deleted posts by their keys until it is cleaned, after a week.
    places = {place for files in found.values() for place in files if "_delta_log" not in place}
    assert {place.split("/")[0] for place in places} == {"blocked"}
    assert set(found) == {
        store.author_key("reddit", "PlantedWriter"),
        store.key(SECRET["uri"]),
    }


def test_an_account_hidden_for_too_long_leaves_no_trace(store: Store) -> None:
    write(store, hidden=("PlantedWriter",))
    store.maintain(purge=True, now=datetime.now(UTC) + timedelta(days=31))
    assert traces(store.location, [*tokens(store), store.text_hash(f"{TEXT} edited")]) == {}
    (voice,) = stored(store).filter(state="gone")["author"]
    assert len(bytes.fromhex(voice)) == 16


def test_a_score_that_was_under_way_while_its_post_was_wiped_keeps_no_hash(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), salt=SALT)
    write(store, SECRET, raw("b"))
    (work,) = store.work(SCORER)
    wipe(store)
    rows = work.select("post", "day", "input_hash").with_columns(
        case=pl.lit(""), scorer=pl.lit(SCORER), scored_at=pl.lit(SEEN)
    )
    store.add_scores(
        rows.with_columns(
            pl.lit(None, kind).alias(name)
            for name, kind in SCORES.items()
            if name not in rows.columns
        )
    )
    kept = dict(stored(store, "scores").select("post", "input_hash").iter_rows())
    assert kept[store.key(SECRET["uri"])] is None
    assert kept[store.key("reddit:t3_b")] == f"{store.text_hash('words of b')} en"
    assert store.scored().collect().height == 2


def test_what_a_killed_writer_left_behind_goes_too(store: Store) -> None:
    data = next(Path(store.location, "posts").glob("day=*/*.parquet"))
    orphan = data.with_name("part-00000-00000000-0000-0000-0000-000000000000-c000.zstd.parquet")
    staged = data.with_name(data.name + "#1")
    for path in (orphan, staged):
        shutil.copy(data, path)
    # An hour is left to whoever may be writing them.
    store.maintain()
    assert orphan.exists()
    assert staged.exists()
    old = time.time() - 2 * 3600
    for path in (orphan, staged):
        os.utime(path, (old, old))
    store.maintain()
    assert not orphan.exists()
    assert not staged.exists()
    for path in (orphan, staged):
        shutil.copy(next(data.parent.glob("*.parquet")), path)
    store.maintain(purge=True)
    assert not orphan.exists()
    assert not staged.exists()


def test_delta_lakes_defaults_would_leave_the_text_in_the_log(tmp_path: Path) -> None:
    """Why the tables are created with their own list of statistics, and that the search sees it."""
    place = str(tmp_path / "plain")
    write_deltalake(place, arrow(pl.DataFrame({"post": ["a"], "text": [TEXT]})))
    table = DeltaTable(place)
    table.update({"text": "NULL"}, predicate="post = 'a'")
    time.sleep(0.01)  # vacuum spares what was removed within the same millisecond
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert all("_delta_log" in name for name in traces(place, ["Quagmirestart"])["Quagmirestart"])


def test_no_log_of_the_store_mentions_more_than_keys_and_times(store: Store) -> None:
    wipe(store)
    store.forget([store.author_key("reddit", "writer3")])
    logs = [path for path in Path(store.location).rglob("_delta_log/*") if path.is_file()]
    wanted = ["Quagmire", "9planted", "plantedwriter", "words of", "t3_", "somewhere"]
    wanted += [store.author_key("reddit", name) for name in ("PlantedWriter", "writer3")]
    wanted += stored(store).filter(state="gone")["author"].to_list()
    wanted += [store.text_hash(TEXT), store.text_hash(f"{TEXT} edited")]
    for path in logs:
        for content in contents(path):
            # The schema names the columns; no value of them may be there.
            assert not [word for word in wanted if word.encode() in content], path
