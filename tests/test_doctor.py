"""The doctor finds every kind of damage and no other, mends what can be, and says the rest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from damaging import (
    DAMAGES,
    DELETED,
    FILES,
    LOGS,
    ROWS,
    again,
    append,
    data_file,
    entries,
    fill,
    garble,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from storing import SALT, START, count_cells, raw, write

from store.doctor import Doctor
from store.findings import problems
from store.schema import TABLES
from store.tables import Store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a past, and nothing wrong with it."""
    folder = tmp_path_factory.mktemp("doctor") / "whole"
    fill(folder)
    return folder


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "store"))


def look(folder: Path, **how: bool) -> set[tuple[str, str]]:
    found = Doctor(str(folder), salt=SALT).examine(count_cells, sample=100, **how)
    return {(finding.table, finding.kind) for finding in problems(found)}


def repair(folder: Path) -> list[str]:
    return [said for _, said in Doctor(str(folder), salt=SALT).repair(count_cells)]


def contents(folder: Path) -> dict[str, pl.DataFrame]:
    opened = Store.open(str(folder), salt=SALT)
    return {name: opened.scan(name).sort(key).collect() for name, (_, _, key) in TABLES.items()}


def differing(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> set[str]:
    return {name for name in one if not one[name].equals(other[name])}


def test_a_store_with_a_past_has_nothing_wrong_with_it(whole: Path) -> None:
    assert look(whole) == set()
    assert look(whole, quick=True) == set()


def test_a_look_changes_no_byte(store: Path) -> None:
    def every() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}

    before = every()
    look(store)
    assert every() == before


@pytest.mark.parametrize("posts", [0, 3])
def test_a_young_store_has_nothing_wrong_with_it(tmp_path: Path, posts: int) -> None:
    opened = Store.open(str(tmp_path), salt=SALT)
    if posts:
        write(opened, *[raw(n) for n in range(posts)])
    assert look(tmp_path) == set()
    assert repair(tmp_path) == []


# One of each way of mending; the others take a minute more and run with the long tests.
SOON = {
    "a file cut off",
    "a file lost",
    "the newest entry garbled",
    "a middle entry empty",
    "the checkpoint flipped",
    "the cells' folder lost",
    "a post on two days",
    "a post under another day",
    "words that changed on the disk",
    "a deletion undone",
    "wrong figures",
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in SOON else pytest.mark.long) for name in DAMAGES],
)
def test_each_damage_is_found_alone_and_mended_or_said_to_be_past_mending(
    store: Path, whole: Path, name: str
) -> None:
    damage = DAMAGES[name]
    damage.do(store)
    assert look(store) == damage.finds
    done = repair(store)
    if not damage.mended:
        assert look(store) == damage.finds
        assert done == []
        return
    assert done
    assert look(store) == set()
    assert repair(store) == []
    # What was not damaged is as it was; what was lost comes back with what brought it first.
    tables = {table for table, _ in damage.finds}
    hanging = {
        "posts": {"matches", "scores", "checks", "cells"},
        "scores": {"cells"},
        "matches": {"cells"},
    }
    tables |= {other for table in tables for other in hanging.get(table, set())}
    before, after = contents(whole), contents(store)
    lost = {"a deletion undone", "the ledger flipped", "a time that moved", "a time twice"}
    assert differing(before, after) <= tables | {"times", "blocked"}
    if name in lost | {"a forgotten post"}:
        return
    again(Store.open(str(store), salt=SALT))
    assert_same_voices(contents(store), before)


def assert_same_voices(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    """What both know of posts that are live in both, but for the times of our own doing."""
    alive = [tables["posts"].filter(state="live")["post"].to_list() for tables in (one, other)]
    both = sorted(set(alive[0]) & set(alive[1]))
    assert set(both) == set(alive[1])
    hidden = other["posts"].filter(state="hidden")["post"]  # of that only the lost row knew
    assert set(alive[0]) - set(both) <= set(hidden)
    for table in ("posts", "matches", "scores"):
        columns = [c for c in TABLES[table][0] if c not in {"scored_at", "first_seen_at"}]
        kept = [t[table].filter(pl.col("post").is_in(both)).select(columns) for t in (one, other)]
        assert kept[0].equals(kept[1]), table


@pytest.mark.parametrize("name", FILES)
def test_a_quick_look_finds_lost_and_shortened_files(store: Path, name: str) -> None:
    FILES[name].do(store)
    expected = set() if "flipped" in name else FILES[name].finds
    assert look(store, quick=True) == expected


def test_a_damaged_file_is_deleted_and_its_neighbours_rows_stay(store: Path) -> None:
    before = contents(store)["posts"]
    path = data_file(store)
    lost = pl.read_parquet(path)["post"]
    path.write_bytes(path.read_bytes()[:-100])
    said = repair(store)[0]
    assert f"{len(lost):,} rows of posts" in said
    assert "Import or collect those days again" in said
    assert not path.exists()
    assert contents(store)["posts"].equals(before.filter(~pl.col("post").is_in(lost.implode())))


def test_a_deleted_post_whose_row_is_lost_stays_out(store: Path) -> None:
    opened = Store.open(str(store), salt=SALT)
    key = opened.key(f"reddit:t3_{DELETED}")
    data_file(store, day=START.date()).unlink()
    repair(store)
    assert key not in set(contents(store)["posts"]["post"])
    again(Store.open(str(store), salt=SALT))
    assert key not in set(contents(store)["posts"]["post"])


def test_a_deletion_whose_commit_is_lost_is_done_again(store: Path) -> None:
    opened = Store.open(str(store), salt=SALT)
    before = len(entries(store))
    opened.wipe([opened.key("reddit:t3_3")])
    assert len(entries(store)) == before + 1
    garble(entries(store)[-1])
    repair(store)
    (row,) = contents(store)["posts"].filter(post=opened.key("reddit:t3_3")).to_dicts()
    assert (row["state"], row["text"]) == ("gone", None)


def test_row_groups_that_can_be_read_are_kept(store: Path) -> None:
    path = data_file(store, "matches")
    frame = pl.read_parquet(path)
    frame.write_parquet(path, row_group_size=max(1, frame.height // 4))
    data = bytearray(path.read_bytes())
    data[8:40] = bytes(32)
    path.write_bytes(bytes(data))
    assert ("matches", "damaged") in look(store)
    said = repair(store)[0]
    kept = contents(store)["matches"].height
    assert "are lost" in said
    assert kept > 0
    assert look(store) == set()


def test_figures_that_counted_a_lost_commit_are_counted_again(store: Path) -> None:
    garble(entries(store)[-1])
    repair(store)
    opened = Store.open(str(store), salt=SALT)
    assert not opened.stale().weeks
    counted = opened.scan("cells").select(pl.col("n").sum()).collect().item()
    assert counted == opened.scored().collect().height


def test_versions_never_come_twice(store: Path) -> None:
    """A dashboard keeps what it has read by the store's version."""
    version = len(entries(store))
    garble(entries(store)[-1])
    repair(store)
    assert len(entries(store)) >= version


def test_of_two_copies_the_deletion_counts(store: Path) -> None:
    """A store in which a deleted post stands a second time, alive."""
    opened = Store.open(str(store), salt=SALT)
    key = opened.key(f"reddit:t3_{DELETED}")
    other = shutil.copytree(store, store.with_name("other"))
    fresh = Store.open(str(store.with_name("fresh")), salt=SALT)
    write(fresh, raw(DELETED))
    alive = fresh.scan("posts").collect()
    append(other, "posts", alive)
    assert look(other) == {("posts", "twice"), ("posts", "half_wiped")}
    repair(other)
    (row,) = contents(other)["posts"].filter(post=key).to_dicts()
    assert (row["state"], row["text"], row["uri"]) == ("gone", None, None)


def draws() -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(DAMAGES)), min_size=1, max_size=2, unique=True)


@pytest.mark.long
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=draws())
@example(names=["wrong figures", "a cell twice"])
def test_whatever_comes_together_is_found_and_nothing_gets_worse(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    """Rows first, then files, then logs: a damaged log leaves nothing to damage."""
    folder = Path(shutil.copytree(whole, tmp_path_factory.mktemp("drawn") / "store"))
    order = sorted(names, key=[*ROWS, *FILES, *LOGS].index)
    try:
        for name in order:
            DAMAGES[name].do(folder)
    except Exception:
        order = order[:1]
    found = look(folder)
    assert found
    # What a row that is there twice hides, such as a wrong figure, is mended with it all the same.
    assert any(DAMAGES[name].finds & found for name in order)
    repair(folder)
    left = look(folder)
    if all(DAMAGES[name].mended for name in order):
        assert left == set()
    else:
        assert left


@pytest.fixture
def at_home(whole: Path, home) -> Iterator[Path]:
    shutil.copytree(whole, home.store)
    home.salt.write_text(SALT.hex())
    home.salt.chmod(0o600)
    return home.store


def test_the_command_says_what_is_wrong_and_what_to_do(at_home: Path, aftershock) -> None:
    data_file(at_home).unlink()
    ended = aftershock("doctor")
    assert ended.code == 1
    assert "A file that the log names is missing." in ended.out
    assert "aftershock doctor --repair" in ended.out
    ended = aftershock("doctor", "--quick", "--json")
    assert ended.code == 1
    (finding,) = [found for found in ended.json()["found"] if not found["note"]]
    assert (finding["table"], finding["kind"], ended.json()["healthy"]) == (
        "posts",
        "missing",
        False,
    )
    ended = aftershock("doctor", "--repair")
    assert ended.code == 0, ended.out + ended.err
    assert "rows of posts" in ended.out
    assert "are whole again" in ended.out
    ended = aftershock("doctor")
    assert ended.code == 0
    assert "are whole." in ended.out


def test_what_cannot_be_mended_names_the_backup(at_home: Path, aftershock) -> None:
    shutil.rmtree(at_home / "posts")
    ended = aftershock("doctor", "--repair")
    assert ended.code == 1
    assert "aftershock restore FILE" in ended.out
    assert not (at_home / "posts").exists()


def test_a_place_without_a_store_is_said_to_be_one(home, aftershock) -> None:
    ended = aftershock("doctor")
    assert ended.code == 1
    assert "There is no store at" in ended.err
    assert not home.store.exists()
