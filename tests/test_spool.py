"""What cannot be committed waits in the spool, and the next run stores it as if it never had."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from searching import traces
from storing import (
    SALT,
    SEEN,
    batch,
    frame,
    matches,
    process,
    raw,
    stored,
    unlocked,
    write,
)

import store.lock
import store.merge
from cases.case import Case
from cli import ledger
from cli.ingest import ingest
from store.location import spool_path
from store.prepared import prepare
from store.schema import CHECKS, Batch, Reading
from store.spool import Spool
from store.tables import Store, StoreBusy

HOLDER = """
import sys
from store.tables import Store
from storing import SALT
with Store.open(sys.argv[1], salt=SALT)._tables.lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def held(place: str, monkeypatch: pytest.MonkeyPatch):
    """Another process holds the store's lock, for longer than anybody waits."""
    write(Store.open(place, salt=SALT), *OLD)
    monkeypatch.setattr(store.lock, "LOCK_SECONDS", 0.2)
    with process(HOLDER, place) as holder:
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.stdin.close()
        assert holder.wait(60) == 0


def waiting(place: str) -> list[Path]:
    return sorted(Path(place, "spool").glob("*.parquet"))


def rows(opened: Store) -> list[list[tuple[object, ...]]]:
    """Everything a batch writes, but for the moment at which a state began."""
    return [
        stored(opened, table).sort(by).drop("state_at", strict=False).rows()
        for table, by in (("posts", "post"), ("matches", "post"), ("checks", "post"))
    ]


OLD = (raw("old"), raw("older", author="leaver"))
FULL = {
    "gone": ("reddit:t3_old",),
    "deleted": ("leaver",),
    "hidden": ("writerb",),
    "back": ("writernobody",),
}


def full_batch() -> tuple[Batch, pl.DataFrame]:
    """A batch with something of everything."""
    posts = frame(
        [raw("a", text="Words in waiting"), raw("b"), raw("c", langs=[], at=None, text=None)]
    )
    checks = posts.select(
        "uri",
        checked_at=pl.lit(SEEN),
        misses=pl.lit(1),
        **{
            name: pl.lit(None, kind)
            for name, kind in CHECKS.items()
            if name not in {"post", "day", "checked_at", "misses"}
        },
    )
    return batch(posts, checks=checks, **FULL), matches(posts)


def test_a_batch_that_finds_the_store_locked_is_stored_by_the_next_run(
    place: str, held: subprocess.Popen[str], tmp_path: Path
) -> None:
    opened = Store.open(place, salt=SALT)
    with pytest.raises(StoreBusy, match="3 posts are kept in the spool; the next run stores them"):
        opened.write(*full_batch())
    (file,) = waiting(place)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    # Words and links are what a store holds; nobody's name is.
    assert traces(file.parent, ["Words in waiting", "t3_a"]).keys() == {"Words in waiting", "t3_a"}
    assert traces(file.parent, ["writera", "writerb", "writernobody", "leaver"]) == {}
    held.stdin.close()
    assert held.wait(60) == 0
    assert opened.drain() == 1
    assert waiting(place) == []
    never = Store.open(str(tmp_path / "never"), salt=SALT)
    write(never, *OLD)
    never.write(*full_batch())
    # A wiped author's new id is random.
    assert [len(part) for part in rows(opened)] == [5, 5, 3]
    for table in ("posts", "matches", "checks"):
        left, right = (
            stored(one, table).drop("state_at", strict=False).sort("post")
            for one in (opened, never)
        )
        if table == "posts":
            assert left.filter(state="gone").height == 2
            left, right = (one.filter(pl.col("state") != "gone") for one in (left, right))
        assert left.equals(right)


def test_a_writer_that_is_overtaken_every_time_spools_and_loses_nothing(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optimistic commits alone: between looking and committing, somebody else is always first."""
    slow, quick = (unlocked(Store.open(place, salt=SALT)) for _ in range(2))
    write(quick, raw("shared"))
    monkeypatch.setattr(store.merge, "TRIES", 3)
    monkeypatch.setattr(store.merge, "pause", lambda _: None)
    made = store.merge._merger
    overtaken = []

    def merger(chunk: pl.DataFrame, *words: object, **more: object):
        attempt = made(chunk, *words, **more)

        def late(table: object) -> int:
            if threading.current_thread() is threading.main_thread() and len(overtaken) < 3:
                overtaken.append(1)
                newer = SEEN + timedelta(hours=len(overtaken))
                other = raw("shared", text="quick", collected_at=newer)
                thread = threading.Thread(target=write, args=(quick, other))
                thread.start()
                thread.join()
            return int(attempt(table))

        return late

    monkeypatch.setattr(store.merge, "_merger", merger)
    newest = SEEN + timedelta(hours=9)
    with pytest.raises(StoreBusy, match="kept in the spool"):
        write(slow, raw("shared", text="slow", collected_at=newest), raw("mine"))
    assert len(overtaken) == 3
    write(quick, raw("another"))  # whoever writes next stores what waits
    assert waiting(place) == []
    found = dict(stored(slow).select("uri", "text").iter_rows())
    assert found == {
        "reddit:t3_shared": "slow",
        "reddit:t3_mine": "words of mine",
        "reddit:t3_another": "words of another",
    }


def one_case() -> Case:
    import cases.case as case_files  # noqa: PLC0415

    return next(iter(case_files.load_all().values()))


def test_a_run_that_others_kept_out_ends_without_moving_its_cursor(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.lock, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(ledger, "EVERY", 0)
    opened = Store.open(place, salt=SALT)
    case = one_case()
    holders = []

    def batches():
        reading = Reading("all", "reddit", items=1)
        yield Batch("live", reading, posts=frame([raw("a")]), cursor="1", taken=True)
        holder = process(HOLDER, place)
        holders.append(holder)
        assert holder.stdout.readline() == "held\n"
        yield Batch("live", reading, posts=frame([raw("b")]), cursor="2", taken=True)

    with pytest.raises(StoreBusy, match="kept in the spool"):
        ingest(opened, [case], batches())
    (run,) = stored(opened, "runs").iter_rows(named=True)
    assert (run["cursor_after"], run["status"]) == ("1", "running")
    holders[0].communicate("\n", timeout=60)
    # The next run stores the posts, and what the ledger could not be told.
    ingest(opened, [case], iter(()))
    assert stored(opened)["uri"].sort().to_list() == ["reddit:t3_a", "reddit:t3_b"]
    (run,) = stored(opened, "runs").iter_rows(named=True)
    assert (run["cursor_after"], run["status"]) == ("1", "failed")
    assert "kept in the spool" in run["error"]


def test_a_ledger_that_is_locked_from_the_start_is_told_later(
    home, aftershock, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home.folder / "posts.ndjson"
    write_line = (
        '{"kind": "t3", "id": "s1", "created_utc": 1746800000, "title": "Duolingo AI first",'
        ' "text": "", "score": 1, "subreddit": "tootle_test", "author": "zz_author"}'
    )
    file.write_text(write_line)
    words = ("import", file, "--case", "duolingo", "--take-all")
    Store.open()
    monkeypatch.setattr(store.lock, "LOCK_SECONDS", 0.2)
    holder_code = HOLDER.replace(", salt=SALT", "")
    with process(holder_code, str(home.store)) as holder:
        assert holder.stdout.readline() == "held\n"
        ended = aftershock(*words)
        assert ended.code == 75, ended.err
        assert "run the command again" in ended.err
        holder.communicate("\n", timeout=60)
    assert aftershock(*words).code == 0
    runs = stored(Store.open(), "runs")
    assert sorted(runs["status"]) == ["done", "failed"]
    assert stored(Store.open()).height == 1


def test_a_half_written_batch_is_cleared_away_and_an_unreadable_one_set_aside(
    place: str, home, aftershock
) -> None:
    opened = Store.open()
    spool = spooled(opened, raw("a"), raw("b"))
    good, bad = sorted(spool.folder.glob("*.parquet"))
    draft = good.with_name(".draft-0123")
    draft.write_bytes(good.read_bytes()[:100])
    os.utime(draft, (0, 0))
    bad.write_bytes(bad.read_bytes()[:200])
    ended = aftershock("maintain")
    assert ended.code == 0
    assert "cannot be read and is set aside; the others are stored" in ended.err
    assert stored(opened)["uri"].to_list() == ["reddit:t3_a"]
    assert [path.suffix for path in spool.folder.iterdir()] == [".unreadable"]
    # Nobody can tell whose words it holds, so whoever forgets clears it away.
    opened.forget([opened.key("reddit:t3_x")])
    assert list(spool.folder.iterdir()) == []


def spooled(opened: Store, *posts: dict[str, object]) -> Spool:
    """Put posts into the spool of a store, a batch each."""
    keys = opened._keys
    spool = Spool(spool_path(opened.location, keys.fingerprint))
    for post in posts:
        brought = frame([post])
        ready = prepare(
            batch(brought), matches(brought), keys, datetime.now(UTC), lambda rest: rest.clear()
        )
        spool.put(ready)
    return spool


def test_a_batch_applied_twice_or_by_two_at_once_is_stored_once(place: str) -> None:
    opened = Store.open(place, salt=SALT)
    spool = spooled(opened, *(raw(n) for n in range(4)))
    copies = {path.name: path.read_bytes() for path in spool.waiting()}
    drainers = [threading.Thread(target=Store.open(place, salt=SALT).drain) for _ in range(2)]
    for drainer in drainers:
        drainer.start()
    for drainer in drainers:
        drainer.join()
    first = rows(opened)
    assert len(first[0]) == 4
    assert spool.waiting() == []
    for name, data in copies.items():  # as after a kill between applying and removing
        (spool.folder / name).write_bytes(data)
    assert opened.drain() == 4
    assert rows(opened) == first


def test_a_batch_that_an_earlier_version_left_waiting_is_stored(place: str) -> None:
    opened = Store.open(place, salt=SALT)
    spool = spooled(opened, raw("a"))
    (path,) = spool.waiting()
    pl.read_parquet(path).drop("deleted").write_parquet(path)
    assert opened.drain() == 1
    assert stored(opened)["uri"].to_list() == ["reddit:t3_a"]


def test_an_account_deleted_while_its_posts_wait_leaves_none_of_them(place: str) -> None:
    opened = Store.open(place, salt=SALT)
    spooled(opened, raw("a", author="Leaver", text="taken back"))
    assert opened.write(batch(deleted=("Leaver",)), matches(frame([]))).gone == 1
    opened.maintain(purge=True)
    assert traces(place, ["taken back", opened.author_key("reddit", "Leaver")]) == {}


def test_what_waited_never_overrides_what_came_later(place: str) -> None:
    opened = Store.open(place, salt=SALT)
    write(opened, raw("edited"), raw("gone"), raw("forgotten"))
    spool = spooled(
        opened, *(raw(name, text="waiting") for name in ("edited", "gone", "forgotten", "new"))
    )
    kept = {path: path.read_bytes() for path in spool.waiting()}
    for path in kept:
        path.unlink()
    write(opened, raw("edited", text="newest", collected_at=SEEN + timedelta(days=1)))
    opened.wipe([opened.key("reddit:t3_gone")])
    opened.forget([opened.key("reddit:t3_forgotten")])
    for path, data in kept.items():
        path.write_bytes(data)
    opened.drain()
    found = dict(stored(opened).select("text", "state").iter_rows())
    assert found == {"newest": "live", None: "gone", "waiting": "live"}


def test_a_post_deleted_while_it_waits_is_wiped(place: str) -> None:
    opened = Store.open(place, salt=SALT)
    spooled(opened, raw("a", text="taken back"))
    assert opened.write(batch(gone=("reddit:t3_a",)), matches(frame([]))).gone == 1
    opened.maintain(purge=True)
    assert traces(place, ["taken back"]) == {}


def test_who_is_forgotten_is_forgotten_in_the_spool_too(place: str) -> None:
    opened = Store.open(place, salt=SALT)
    spool = spooled(opened, raw("a", author="Leaver"), raw("b"), raw("left", author="Leaver"))
    ready = full_batch()
    spool.put(prepare(*ready, opened._keys, datetime.now(UTC), lambda rest: rest.clear()))
    leaver = opened.author_key("reddit", "Leaver")
    opened.forget([leaver, opened.key("reddit:t3_a")])
    wanted = [leaver, "words of left", "t3_left", "words in waiting"]
    assert traces(spool.folder, wanted) == {}
    opened.drain()
    assert stored(opened)["uri"].sort().to_list() == ["reddit:t3_b", "reddit:t3_c"]
    assert stored(opened, "matches").height == stored(opened, "checks").height == 2


FULL_DISK = """
import resource, signal, sys
import store.lock
from store.tables import Store, StoreError
from storing import SALT, raw, write
store.lock.LOCK_SECONDS = 0.2
opened = Store.open(sys.argv[1], salt=SALT)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True  # or a module's cache is cut off for everybody else
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
try:
    write(opened, *[raw(n) for n in range(500)])
except StoreError as error:
    print(type(error).__name__, error)
"""


def test_a_disk_too_full_for_the_spool_is_a_sentence_and_leaves_nothing_half_done(
    place: str, held: subprocess.Popen[str]
) -> None:
    with process(FULL_DISK, place) as full:
        said = full.communicate(timeout=60)[0]
    assert said.startswith("StoreError ")
    assert f"{place}/spool" in said
    assert "run the same command again" in said.lower()
    assert list(Path(place, "spool").iterdir()) == []
