"""The key index: every look-up by key gives what reading the whole store would, and reads less."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from storing import (
    CASE,
    QUERY,
    SALT,
    SEEN,
    START,
    batch,
    frame,
    matches,
    raw,
    stored,
    without_lock,
    write,
)

from store import lookup, posts
from store.index import BUSY_SECONDS, Index, Reach
from store.location import index_path
from store.tables import Store

NAMES = range(8)
NO_KEYS = pl.DataFrame(schema={"post": pl.String, "day": pl.Date})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), salt=SALT)


def file_of(store: Store) -> Path:
    return Path(store.location) / ".index" / "keys.sqlite"


def at(n: int) -> dict[str, object]:
    return {"at": START + timedelta(days=n)}


def bare(store: Store) -> Store:
    """The same store, looked at without an index."""
    other = Store.open(store.location, salt=SALT)
    other._tables.index = None
    return other


def uri(name: int) -> str:
    return f"reddit:t3_{name}"


def spoil(store: Store, day: str, table: str = "posts") -> None:
    """Make the files of one day such that whoever opens them fails."""
    for path in (Path(store.location) / table / f"day={day}").glob("*.parquet"):
        path.write_bytes(b"garbage")


class Model(RuleBasedStateMachine):
    """Random histories over two handles of one store, whose index may vanish, break or be full."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.stores = [Store.open(self.folder, salt=SALT) for _ in range(2)]
        self.full = bare(self.stores[0])
        self.clock = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(
        who=st.integers(0, 2),
        copies=st.lists(
            st.tuples(st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=6, unique=True
        ),
        gone=st.lists(st.sampled_from(NAMES), max_size=1),
    )
    def write(self, who: int, copies: list[tuple[int, bool]], gone: list[int]) -> None:
        self.clock += 1
        # The third handle knows no index: a program of before, or one whose disk was full.
        store = [*self.stores, self.full][who]
        rows = {
            name: raw(
                name,
                author=f"w{name % 3}",
                collected_at=SEEN + timedelta(hours=self.clock),
                at=START + timedelta(days=name % 5) if timed else None,
            )
            for name, timed in copies
        }
        write(store, *rows.values(), gone=tuple(map(uri, gone)))

    @rule(who=st.integers(0, 2), name=st.sampled_from(NAMES))
    def wipe(self, who: int, name: int) -> None:
        [*self.stores, self.full][who].wipe([self.full.key(uri(name))])

    @rule(who=st.integers(0, 2), name=st.sampled_from(NAMES))
    def forget_post(self, who: int, name: int) -> None:
        [*self.stores, self.full][who].forget([self.full.key(uri(name))])

    @rule(who=st.integers(0, 1))
    def forget_author(self, who: int) -> None:
        self.stores[who].forget([self.full.author_key("reddit", "w0")])

    @rule(who=st.integers(0, 2), purge=st.booleans())
    def maintain(self, who: int, purge: bool) -> None:
        [*self.stores, self.full][who].maintain(purge=purge)

    @rule(how=st.sampled_from(["deleted", "garbage", "cut", "other", "emptied"]))
    def lose_the_index(self, how: str) -> None:
        path = file_of(self.full)
        if not path.exists():
            return
        match how:
            case "deleted":
                path.unlink()
            case "garbage":
                path.write_bytes(b"no database at all" * 500)
            case "cut":
                path.write_bytes(path.read_bytes()[:5000])
            case "other":
                path.unlink()
                with sqlite3.connect(path) as file:
                    file.execute("CREATE TABLE something (else_ TEXT)")
                file.close()
            case "emptied":
                with sqlite3.connect(path) as file:
                    file.execute("DELETE FROM era")
                file.close()

    @rule(name=st.sampled_from(NAMES))
    def announce_and_die(self, name: int) -> None:
        # What a killed writer leaves: a key in the index, on a day on which it never was stored.
        rows = pl.DataFrame({"post": [self.full.key(uri(name))], "day": [SEEN.date()]})
        index = self.stores[0]._tables.index
        assert index
        try:
            index.add("posts", rows)
        except sqlite3.Error as error:
            index.failed(error)

    @invariant()
    def look_ups_equal_the_full_scan(self) -> None:
        if not hasattr(self, "full"):
            return
        uris = [uri(name) for name in NAMES]
        keys = pl.DataFrame({"post": [self.full.key(each) for each in uris]})
        rows = pl.concat(
            [
                keys.with_columns(at=pl.lit(None, pl.Datetime("us", "UTC"))),
                keys.with_columns(at=pl.lit(START + timedelta(days=2))),
            ]
        ).unique("post", keep="any")
        for store in self.stores:
            assert store.known().has(uris) == self.full.known().has(uris)
            assert store.known().matched(CASE, QUERY, uris) == self.full.known().matched(
                CASE, QUERY, uris
            )
            for ask in (
                lambda tables: posts.find(tables, keys, "day", "at"),
                lambda tables: posts.known(tables, rows),
                lambda tables: posts._fixed(tables, keys["post"]).join(
                    posts.find(tables, keys), on="post", how="semi"
                ),
            ):
                ours, theirs = (ask(each._tables) for each in (store, self.full))
                assert ours.sort("post").equals(theirs.sort("post"))


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=8,
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_a_look_up_by_key_opens_the_files_of_its_days_only(store: Store) -> None:
    write(store, *(raw(n, **at(n)) for n in range(6)))
    for day in (6, 7, 9, 10):
        for table in ("posts", "matches"):
            spoil(store, f"2025-05-{day:02d}", table)
    asked = [uri(0), uri(3), uri(99)]  # the 5th and the 8th of May, and one that is nowhere
    assert store.known().has(asked) == {uri(0), uri(3)}
    assert store.known().matched(CASE, QUERY, asked) == {uri(0), uri(3)}
    late = [raw(3, at=None, collected_at=SEEN + timedelta(days=1))]
    assert store.write(batch(frame(late)), matches(frame(late))).new == 0
    assert store.wipe([store.key(uri(0)), store.key(uri(99))]) == 1
    assert store.known().has(asked) == {uri(0), uri(3)}


def test_new_posts_read_no_table_of_fixed_times(store: Store) -> None:
    write(store, raw(0, at=None))
    write(store, raw(1))
    for path in (Path(store.location) / "times").glob("*.parquet"):
        path.write_bytes(b"garbage")
    assert write(store, raw(1), raw(2)).new == 1
    # Nor does a copy of a post whose time was fixed, as long as that post is stored.
    later = SEEN + timedelta(days=3)
    assert write(store, raw(0, at=later, collected_at=later)).new == 0
    assert stored(store).filter(uri=uri(0))["at"].item() == SEEN


def test_a_time_that_was_fixed_by_a_killed_writer_holds(store: Store) -> None:
    key = store.key(uri(0))
    rows = pl.DataFrame(
        {"post": [key], "at": [SEEN]}, schema_overrides={"at": stored(store)["at"].dtype}
    )
    lookup.merge(store._tables, "times", rows)
    write(store, raw(0))
    assert stored(store)["at"].to_list() == [SEEN]


def test_a_store_that_has_no_index_yet_gets_one(store: Store) -> None:
    write(bare(store), raw(0), raw(1, **at(1)))
    shutil.rmtree(file_of(store).parent, ignore_errors=True)
    assert store.known().has([uri(0), uri(5)]) == {uri(0)}
    spoil(store, "2025-05-06")
    assert store.known().has([uri(0), uri(5)]) == {uri(0)}


def test_forgotten_keys_leave_the_file(store: Store) -> None:
    rows = [raw(n, **at(n % 7)) for n in range(3000)]
    for part in range(0, 3000, 500):
        write(store, *rows[part : part + 500])
    keys = [store.key(uri(n)) for n in range(0, 3000, 10)]
    assert store.known().has([uri(7)])
    store.forget(keys)
    left = b"".join(path.read_bytes() for path in file_of(store).parent.iterdir())
    assert bytes.fromhex(store.key(uri(7))) in left
    assert not [key for key in keys if bytes.fromhex(key) in left]


def test_the_index_holds_keys_and_days_and_nobodys_name(store: Store) -> None:
    write(store, raw("somebody", author="Somebody", text="said something"))
    assert store.known().has(["reddit:t3_somebody"])
    held = file_of(store).read_bytes()
    assert not any(word in held for word in (b"somebody", b"Somebody", b"something"))


def test_keys_that_were_dropped_while_the_index_was_filled_do_not_come_back(tmp_path: Path) -> None:
    index = Index(tmp_path / "keys.sqlite")
    rows = pl.DataFrame({"post": ["aa" * 16], "day": [START.date()]})
    index.add("posts", rows)
    reach = index.reach("posts")
    index.drop(["aa" * 16])
    assert not index.fill("posts", Reach("id", 5, reach.era), [rows], anew=False)
    assert index.fill("posts", Reach("id", 4, index.reach("posts").era), [], anew=False)
    found = index.find("posts", rows["post"], index.reach("posts"))
    assert found is not None
    assert found.is_empty()
    reach = index.reach("posts")
    index.drop(["aa" * 16])  # not in the file, but the filler has read it
    assert not index.fill("posts", Reach("id", 5, reach.era), [rows], anew=False)
    assert index.fill("posts", Reach("id", 5, index.reach("posts").era), [rows], anew=False)
    found = index.find("posts", rows["post"], index.reach("posts"))
    assert found is not None
    assert found.equals(rows)


def test_an_index_that_was_lost_a_moment_ago_is_not_asked(tmp_path: Path) -> None:
    index = Index(tmp_path / "keys.sqlite")
    rows = pl.DataFrame({"post": ["aa" * 16], "day": [START.date()]})
    index.fill("posts", Reach("id", 5, index.reach("posts").era), [rows], anew=True)
    reach = index.reach("posts")
    index.path.unlink()
    assert index.find("posts", rows["post"], reach) is None
    index.fill("posts", Reach("other", 7, index.reach("posts").era), [], anew=True)
    assert index.find("posts", rows["post"], reach) is None


def test_a_write_that_changes_nothing_does_not_cover_what_another_machine_stored(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (without_lock(Store.open(store.location, salt=SALT)) for _ in range(2))
    there._tables.index = Index(tmp_path / "elsewhere.sqlite")
    write(here, raw(0))
    index = here._tables.index
    assert index
    announce = index.add

    def meanwhile(name: str, rows: pl.DataFrame) -> str:
        era = announce(name, rows)
        monkeypatch.undo()
        write(there, raw(1, **at(3)))
        return era

    monkeypatch.setattr(index, "add", meanwhile)
    assert write(here, raw(0)).new == 0
    assert here.known().has([uri(0), uri(1)]) == {uri(0), uri(1)}
    assert here.wipe([here.key(uri(1))]) == 1


def test_a_commit_that_does_not_join_on_is_read_from_the_log(tmp_path: Path) -> None:
    index = Index(tmp_path / "keys.sqlite")
    era = index.reach("posts").era
    index.fill("posts", Reach("id", 5, era), [], anew=True)
    old = Reach("id", 6, era)
    index.advance("posts", old)  # of the time before the index was filled anew
    assert index.reach("posts").covered == 5
    now = index.reach("posts").era
    index.advance("posts", Reach("id", 7, now))
    assert index.reach("posts").covered == 5
    index.advance("posts", Reach("other", 6, now))
    assert index.reach("posts").covered == 5
    index.advance("posts", Reach("id", 6, now))
    assert index.reach("posts").covered == 6


def test_an_older_copy_of_the_tables_is_noticed(store: Store, tmp_path: Path) -> None:
    write(store, raw(0))
    shutil.copytree(store.location, tmp_path / "copy")
    write(store, raw(1))
    write(store, raw(2))
    shutil.rmtree(Path(store.location) / "posts")
    shutil.copytree(tmp_path / "copy" / "posts", Path(store.location) / "posts")
    again = Store.open(store.location, salt=SALT)
    assert again.known().has([uri(n) for n in range(3)]) == {uri(0)}
    assert lookup.places(again._tables, "posts", stored(again)["post"]) is not None
    write(bare(again), raw(3))
    assert again.known().has([uri(n) for n in range(4)]) == {uri(0), uri(3)}


@pytest.mark.parametrize("trouble", ["in the way", "locked"])
def test_without_a_usable_index_everything_works_as_before(
    store: Store, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    assert BUSY_SECONDS >= 5
    monkeypatch.setattr("store.index.BUSY_SECONDS", 0.01)
    write(store, raw(0))
    path = file_of(store)
    holder = None
    if trouble == "in the way":
        shutil.rmtree(path.parent)
        path.parent.write_text("a file where the folder should be")
    else:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
    assert write(store, raw(0), raw(1), raw(2, at=None)).new == 2
    assert store.known().has([uri(n) for n in range(4)]) == {uri(0), uri(1), uri(2)}
    assert store.forget([store.key(uri(0))]).posts == 1
    assert store.maintain()["rows_wiped"] == 0
    if holder:
        holder.execute("ROLLBACK")
        holder.close()
    assert store.known().has([uri(n) for n in range(4)]) == {uri(1), uri(2)}


def test_threads_may_share_it(store: Store) -> None:
    def some(first: int) -> None:
        for n in range(first, first + 4):
            write(store, raw(n, **at(n % 3)))
            assert store.known().has([uri(n)])

    threads = [Thread(target=partial(some, first)) for first in (0, 10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {uri(n) for first in (0, 10, 20) for n in range(first, first + 4)}
    assert store.known().has([uri(n) for n in range(40)]) == expected


def test_the_index_of_an_object_store_lies_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, two = (index_path(f"s3://bucket/{name}", "f" * 16) for name in ("one", "two"))
    assert one.is_relative_to(tmp_path / "aftershock" / "index")
    assert one != two
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert index_path("s3://bucket/one", "f" * 16).is_relative_to(Path.home() / ".cache")


def test_a_merge_into_more_than_fits_into_memory_goes_in_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.merge.HELD_A_MERGE", 3)
    write(store, *(raw(n, **at(n % 5)) for n in range(15)))
    before = store._tables.version("posts")
    later = SEEN + timedelta(days=1)
    rows = [raw(n, text="edited", collected_at=later, **at(n % 5)) for n in range(20)]
    assert write(store, *rows).new == 5
    assert store._tables.version("posts") == before + 1 + 5  # what is new, then a day at a time
    assert stored(store)["text"].to_list() == ["edited"] * 20
    spoil(store, "2025-05-05")
    assert store.known().has([uri(1), uri(16), uri(21)]) == {uri(1), uri(16)}
