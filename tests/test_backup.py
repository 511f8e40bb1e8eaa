"""Backups: everything comes back but what was erased meanwhile; nothing half-way is ever seen."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Ended, Home
from storing import (
    CASE,
    SEEN,
    batch,
    count_cells,
    counted,
    frame,
    in_week,
    matches,
    raw,
    score_all,
    stored,
    texts,
    week,
    write,
)
from test_wipe import SECRET, TEXT, tokens, traces

import cases.case as case_files
from cli.ingest import ingest
from store import restore as restoring
from store import swap
from store.backup_file import read_manifest
from store.keys import StoreError
from store.restore import Restored, restore
from store.schema import TABLES, Batch, Reading
from store.tables import Store

ROOT = Path(__file__).parents[1]
TEXTS = ["Quagmirestart", "Zephyrmiddle", "Wickerend", "9plantedid", "u_plantedwriter"]


@pytest.fixture
def store(home: Home, made: Path) -> Store:
    """A store of this test's own with a past, with its salt and journal."""
    shutil.copytree(made, home.folder, dirs_exist_ok=True)
    return Store.open()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `store` copies: it takes a while to make."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERSHOCK_SALT", str(folder / "salt"))
        _make(Store.open(str(folder / "store")))
    return folder


def _make(store: Store) -> None:
    """Merges, an edit, hidden and wiped posts, scores, cells, a checkpoint."""
    write(store, SECRET, *[raw(n, **in_week(n % 3)) for n in range(20)])
    write(store, SECRET | {"text": f"{TEXT} edited", "collected_at": SEEN + timedelta(days=1)})
    write(store, gone=(raw(0)["uri"],), hidden=("writer1", "writer2"))
    score_all(store)
    store.rebuild(count_cells)
    store.maintain()
    write(store, *[raw(n, **in_week(3)) for n in range(20, 25)], back=("writer2",))
    score_all(store)
    store.rebuild(count_cells)
    store.log_run({"run_id": "r", "started_at": SEEN, "status": "done"})
    store.forget([store.author_key("reddit", "writer3")])
    store.rebuild(count_cells)


def backed_up(home: Home, store: Store, name: str = "backup.tar", **more: object) -> Path:
    file = home.folder / name
    store.backup(file, **more)  # type: ignore[arg-type]
    return file


def contents(store: Store) -> dict[str, list[dict[str, object]]]:
    """Every row of every table but `exports`, where the backup itself is recorded."""
    rows = {name: stored(store, name) for name in TABLES if name != "exports"}
    return {name: found.sort(TABLES[name][2]).to_dicts() for name, found in rows.items()}


def again(home: Home, file: Path, **more: object) -> Restored:
    return restore(file, str(home.store), replace=True, **more)  # type: ignore[arg-type]


def wipe(store: Store) -> None:
    assert store.write(batch(gone=(SECRET["uri"],)), matches(frame([]))).gone == 1


# Round trips


def test_a_lost_store_comes_back_as_it_was(home: Home, store: Store) -> None:
    before = contents(store)
    file = backed_up(home, store)
    assert file.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(home.store)
    done = restore(file, str(home.store))
    assert (done.wiped, done.forgotten, done.hidden, done.back, done.covered) == (0, 0, 0, 0, True)
    back = Store.open()
    assert done.posts == stored(back).height
    assert contents(back) == before
    assert back.stale().weeks == ()
    assert counted(back) == counted(store)


def test_a_restored_store_goes_on_like_any_other(home: Home, store: Store) -> None:
    file = backed_up(home, store)
    shutil.rmtree(home.store)
    restore(file, str(home.store))
    back = Store.open()
    assert write(back, raw("later", **in_week(1)), raw(5, **in_week(2))).new == 1
    score_all(back)
    assert back.stale().weeks == (week(1),)
    back.rebuild(count_cells)
    back.maintain(purge=True)
    second = backed_up(home, back, "second.tar")
    before = contents(back)
    again(home, second)
    assert contents(Store.open()) == before


def test_cells_that_were_behind_are_behind_by_the_same_weeks(home: Home, store: Store) -> None:
    write(store, raw("late", **in_week(2)))
    score_all(store)
    assert store.stale().weeks == (week(2),)
    again(home, backed_up(home, store))
    assert Store.open().stale().weeks == (week(2),)


def test_a_backup_holds_the_newest_version_and_nothing_else(home: Home, store: Store) -> None:
    wipe(store)  # the old file is still on the disk, for an hour
    (home.store / "spool").mkdir()
    (home.store / "spool" / "waiting.parquet").write_bytes(b"waiting")
    file = backed_up(home, store)
    unpacked = home.folder / "unpacked"
    shutil.unpack_archive(file, unpacked)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=unpacked, check=True)
    assert traces(unpacked, [*TEXTS, home.salt.read_text().strip(), "waiting"]) == {}
    assert {path.name for path in unpacked.iterdir()} == {*TABLES, "manifest.json", "SHA256SUMS"}


def test_an_older_store_is_replaced_and_what_waits_in_its_spool_stays(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)
    write(store, raw("since"))
    (home.store / "spool").mkdir()
    (home.store / "spool" / "waiting").write_text("rows")
    (home.store / ".index" / "of before").write_text("keys")
    with pytest.raises(StoreError, match="--replace"):
        restore(file, str(home.store))
    again(home, file)
    assert "words of since" not in texts(Store.open())
    assert (home.store / "spool" / "waiting").read_text() == "rows"
    assert not (home.store / ".index" / "of before").exists()
    assert [path.name for path in home.folder.glob(".*restore*")] == []


def test_no_version_of_a_restored_store_was_there_before(home: Home, store: Store) -> None:
    """Caches and those who replace cells go by versions."""
    file = backed_up(home, store)
    seen = [store._tables.versions()]
    for n in range(2):
        again(home, file)
        seen.append(store._tables.versions())
        write(store, raw(f"since{n}"))
        seen.append(store._tables.versions())
    for name in ("posts", "cells", "blocked"):
        numbers = [versions[name] for versions in seen]
        assert numbers == sorted(numbers)
        assert numbers[0] < numbers[1]
        assert numbers[2] < numbers[3]


def test_an_open_store_reads_the_restored_one(home: Home, store: Store) -> None:
    file = backed_up(home, store)
    before = stored(store).height
    version = store.version()
    write(store, raw("since"))
    again(home, file)
    assert store.version() != version
    assert stored(store).height == before
    assert write(store, raw("next")).new == 1


# Erasures


def test_what_was_erased_since_is_not_restored_nor_anywhere_on_the_disk(
    home: Home, store: Store
) -> None:
    write(store, raw("keep", text="Keepsake"), raw("x", author="Leaver", text="Leavingwords"))
    file = backed_up(home, store)
    wipe(store)
    store.forget([store.author_key("reddit", "Leaver"), store.key(raw(7)["uri"])])
    store.hide([store.author_key("reddit", "writer8")])
    store.restore([store.author_key("reddit", "writer1")])
    wanted = [*tokens(store), "Leavingwords", "words of 7"]
    shutil.rmtree(home.store)
    done = restore(file, str(home.store))
    assert (done.wiped, done.forgotten, done.hidden, done.back) == (1, 2, 1, 1)
    assert traces(home.store, wanted) == {}
    assert [path.name for path in home.folder.glob(".*restore*")] == []
    back = Store.open()
    states = dict(stored(back).select("post", "state").iter_rows())
    assert states[back.key(SECRET["uri"])] == "gone"
    assert states[back.key(raw(8)["uri"])] == "hidden"
    assert states[back.key(raw(1)["uri"])] == "live"
    assert back.key(raw(7)["uri"]) not in states
    assert write(back, raw(7), raw("x", author="Leaver"), SECRET).new == 0
    assert "Keepsake" in texts(back)


def test_what_was_hidden_more_than_30_days_ago_comes_back_wiped(home: Home, store: Store) -> None:
    file = backed_up(home, store, keep_days=90)
    store.hide([store.author_key("reddit", "writer8")])
    shutil.rmtree(home.store)
    restore(file, str(home.store), now=datetime.now(UTC) + timedelta(days=31))
    assert traces(home.store, ["words of 8"]) == {}


def test_without_a_journal_the_store_in_the_place_says_what_was_erased(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)
    wipe(store)
    store.forget([store.key(raw(7)["uri"])])
    store.hide([store.author_key("reddit", "writer8")])
    store.restore([store.author_key("reddit", "writer1")])
    wanted = [*tokens(store), "words of 7"]
    shutil.rmtree(home.folder / "salt.erasures")
    done = again(home, file)
    assert (done.wiped, done.forgotten, done.hidden, done.back) == (1, 1, 1, 1)
    assert traces(home.store, wanted) == {}
    # And from now on the journal knows it, should this store be lost too.
    shutil.rmtree(home.store)
    done = restore(file, str(home.store))
    assert (done.wiped, done.forgotten, done.hidden, done.back) == (1, 1, 1, 1)


def test_nobody_knowing_what_was_erased_is_a_reason_not_to_restore(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)
    wipe(store)
    journals = home.folder / "salt.erasures"
    kept = home.folder / "elsewhere.ndjson"
    shutil.copy(next(journals.glob("*.ndjson")), kept)
    shutil.rmtree(home.store)
    shutil.rmtree(journals)
    with pytest.raises(StoreError, match="--erasures FILE"):
        restore(file, str(home.store))
    # A journal begun anew since the backup does not know what came before it.
    other = Store.open(str(home.folder / "other"))
    write(other, raw("a"), gone=())
    other.wipe([other.key(raw("a")["uri"])])
    assert list(journals.glob("*.ndjson"))
    with pytest.raises(StoreError, match="--without-erasures"):
        restore(file, str(home.store))
    # Nor does a new store in its place.
    write(Store.open(), raw("b"))
    with pytest.raises(StoreError, match="--without-erasures"):
        again(home, file)
    done = restore(file, str(home.folder / "third"), without_erasures=True)
    assert (done.wiped, done.covered) == (0, False)
    done = again(home, file, journals=[kept])
    assert (done.wiped, done.covered) == (1, True)
    assert traces(home.store, TEXTS) == {}


def test_a_post_wiped_in_another_store_under_the_same_salt_is_wiped_too(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)
    other = Store.open(str(home.folder / "other"))
    write(other, SECRET)
    wipe(other)
    assert again(home, file).wiped == 1
    assert traces(home.store, TEXTS) == {}


def test_no_reader_ever_sees_an_erased_text_or_an_error(home: Home, store: Store) -> None:
    write(store, *[raw(f"n{n}", **in_week(n % 9)) for n in range(300)])
    file = backed_up(home, store)
    wipe(store)
    seen: set[str | None] = set()
    heights: list[int] = []
    errors: list[Exception] = []
    over = threading.Event()

    def look() -> None:
        reader = Store.open(create=False)
        while not over.is_set():
            try:
                rows = reader.read(lambda: reader.scan("posts").select("text"))
                heights.append(rows.height)
                seen.update(rows["text"])
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(3):
            again(home, file)
    finally:
        over.set()
        thread.join()
    assert errors == []
    assert len(heights) > 3
    assert set(heights) == {stored(store).height}
    assert not [text for text in seen if text and "Quagmire" in text]


def test_a_writer_that_waits_for_a_restore_writes_into_the_restored_store(
    home: Home, store: Store
) -> None:
    write(store, raw("since"))
    file = backed_up(home, store)
    store.forget([store.key(raw("since")["uri"])])
    other = Store.open()
    writer = threading.Thread(
        target=lambda: write(other, raw("waited"), gone=(SECRET["uri"],), hidden=("writer9",))
    )

    def step(done: int, total: int) -> None:
        if not writer.ident:
            writer.start()  # it finds the store locked
            time.sleep(0.2)

    again(home, file, progress=step)
    writer.join()
    states = dict(stored(store).select("post", "state").iter_rows())
    assert states[store.key(raw("waited")["uri"])] == "live"
    assert states[store.key(SECRET["uri"])] == "gone"
    assert states[store.key(raw(9)["uri"])] == "hidden"
    assert store.key(raw("since")["uri"]) not in states


def test_an_account_hidden_while_a_backup_kept_it_waiting_is_hidden_when_restored(
    home: Home, store: Store
) -> None:
    """The time on record is when it was asked for, before the backup's own."""
    hider = threading.Thread(target=lambda: Store.open().hide([author]))
    author = store.author_key("reddit", "writer8")

    def step(done: int, total: int) -> None:
        if not hider.ident:
            hider.start()
            time.sleep(0.2)

    file = backed_up(home, store, progress=step)
    hider.join()
    assert stored(store).filter(state="hidden", author=author).height == 1
    shutil.rmtree(home.store)
    restore(file, str(home.store))
    assert stored(Store.open()).filter(state="hidden", author=author).height == 1


def test_where_folders_cannot_be_exchanged_two_renames_do(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backed_up(home, store)
    before = contents(store)
    monkeypatch.setattr(swap, "_RENAME_EXCHANGE", 0x4000)  # the system says it knows no such flag
    again(home, file)
    assert contents(Store.open()) == before
    # Killed between the two: the old store is put back before anything else.
    home.store.rename(home.folder / ".store.replaced")
    with pytest.raises(StoreError, match="--replace"):
        restore(file, str(home.store))
    assert contents(Store.open()) == before


# What is refused


def tampered(file: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """A copy of a backup with other members."""
    with tarfile.open(file) as tar:
        members = [(info, data.read() if (data := tar.extractfile(info)) else b"") for info in tar]
    change(members)
    copy = file.with_name("tampered.tar")
    with tarfile.open(copy, "w") as tar:
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return copy


def refused(home: Home, file: Path, match: str) -> None:
    place = home.folder / "elsewhere"
    with pytest.raises(StoreError, match=match):
        restore(file, str(place))
    assert not [path for path in home.folder.rglob("*") if "elsewhere.restore" in str(path)]
    assert {path.name for path in place.glob("*")} <= {".lock"}


def test_a_backup_that_is_not_whole_is_refused(home: Home, store: Store) -> None:
    file = backed_up(home, store)
    data = file.read_bytes()
    cut = file.with_name("cut.tar")
    for share in (0.3, 0.7, 0.97):
        cut.write_bytes(data[: int(len(data) * share)])
        refused(home, cut, "damaged or was cut off")
    cut.write_bytes(data[:300])
    refused(home, cut, "not a backup")
    cut.write_bytes(b"")
    refused(home, cut, "not a backup")
    middle = data.index(b"PAR1") + 100
    cut.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    refused(home, cut, "checksum")
    refused(home, tampered(file, lambda members: members.pop(3) and None), "missing")
    refused(home, tampered(file, lambda members: members.pop() and None), "checksum")
    refused(home, tampered(file, lambda members: members.append(members[1])), "twice")


def test_files_that_are_no_backup_are_refused(home: Home, store: Store) -> None:
    foreign = home.folder / "foreign.tar"
    with tarfile.open(foreign, "w") as tar:
        tar.add(home.salt, "salt")
    refused(home, foreign, "not a backup")
    foreign.write_text("a text\n" * 1000)
    refused(home, foreign, "not a backup")
    refused(home, home.folder / "nothing.tar", "There is no file")


@pytest.mark.parametrize("name", ["../evil", "/evil", "posts/../../evil", "posts/day=x/../evil"])
def test_members_lead_nowhere_else(home: Home, store: Store, name: str) -> None:
    file = backed_up(home, store)

    def renamed(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[1][0].name = name

    refused(home, tampered(file, renamed), "not as its manifest says")

    def listed(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        info, head = members[0]
        manifest = json.loads(head)
        manifest["members"][name] = 4
        members[0] = (info, json.dumps(manifest).encode())
        members.insert(1, (tarfile.TarInfo(name), b"evil"))

    refused(home, tampered(file, listed), "not a backup")

    def linked(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[1][0].type = tarfile.SYMTYPE
        members[1][0].linkname = "/etc"

    refused(home, tampered(file, linked), "not as its manifest says")
    assert not list(home.folder.rglob("evil"))


def test_a_backup_goes_with_its_salt_and_its_program_only(home: Home, store: Store) -> None:
    file = backed_up(home, store)
    salt = home.salt.read_bytes()
    home.salt.write_bytes(b"ab" * 32)
    refused(home, file, "another salt")
    home.salt.unlink()
    refused(home, file, "salt .* is missing")
    home.salt.touch(mode=0o600)
    home.salt.write_bytes(salt)

    def newer(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        info, head = members[0]
        members[0] = (info, json.dumps(json.loads(head) | {"schema": 99}).encode())

    refused(home, tampered(file, newer), "newer Aftershock")
    with pytest.raises(StoreError, match="to a folder only"):
        restore(file, "s3://bucket/store")


def test_a_folder_with_other_files_is_not_taken(home: Home, store: Store) -> None:
    file = backed_up(home, store)
    place = home.folder / "papers"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match=r"other files \(thesis.txt\)"):
        restore(file, str(place), replace=True)
    assert (place / "thesis.txt").read_text() == "years of work"


def test_a_damaged_store_is_replaced_by_the_journal_alone(home: Home, store: Store) -> None:
    before = contents(store)
    file = backed_up(home, store)
    for log in home.store.glob("*/_delta_log/*"):
        log.write_bytes(b"garbage")
    assert again(home, file).covered
    assert contents(Store.open()) == before


def test_backups_lie_outside_the_store_and_on_nothing_else(home: Home, store: Store) -> None:
    with pytest.raises(StoreError, match="inside the store"):
        store.backup(home.store / "backup.tar")
    with pytest.raises(StoreError, match="is a folder"):
        store.backup(home.folder)
    with pytest.raises(StoreError, match="There is no folder"):
        store.backup(home.folder / "nowhere" / "backup.tar")
    thesis = home.folder / "thesis.txt"
    thesis.write_text("years of work")
    with pytest.raises(StoreError, match="--force"):
        store.backup(thesis)
    assert thesis.read_text() == "years of work"
    first = store.backup(home.folder / "b.tar").manifest.backup
    second = store.backup(home.folder / "b.tar").manifest.backup
    assert first != second == read_manifest(home.folder / "b.tar").backup


# Time


def test_a_backup_is_not_restored_after_its_time_and_deleted_then(home: Home, store: Store) -> None:
    file = backed_up(home, store, keep_days=10)
    other = backed_up(home, store, "moved.tar", keep_days=10)
    longer = backed_up(home, store, "longer.tar", keep_days=20)
    file_too = backed_up(home, store, "overwritten.tar", keep_days=10)
    file_too.write_text("a letter")
    other.rename(home.folder / "away.tar")
    later = datetime.now(UTC) + timedelta(days=11)
    refused_later = pytest.raises(StoreError, match="could be kept until")
    with refused_later:
        restore(file, str(home.folder / "elsewhere"), now=later)
    assert store.expire_backups() == store.expire_backups(now=later - timedelta(days=2))
    assert file.exists()
    ended = store.expire_backups(now=later)
    assert ended.deleted == (str(file),)
    assert ended.missing == (str(other), str(file_too))
    assert not file.exists()
    assert longer.exists()
    assert file_too.read_text() == "a letter"
    assert store.expire_backups(now=later).missing == ()


def test_a_restored_store_still_knows_which_backups_and_exports_to_look_after(
    home: Home, store: Store
) -> None:
    first = backed_up(home, store)
    second = backed_up(home, store, "second.tar")
    row = {"path": "/somewhere/posts.csv", "written_at": SEEN, "kind": "posts", "rows": 3}
    store.record_export(row)
    again(home, first)
    back = Store.open()
    assert "/somewhere/posts.csv" in set(stored(back, "exports")["path"])
    ended = back.expire_backups(now=datetime.now(UTC) + timedelta(days=31))
    assert set(ended.deleted) == {str(first), str(second)}


# Kills and full disks

RUN = """
import sys
from pathlib import Path
from store.tables import Store
from store.restore import restore
print("ready", flush=True)
if sys.argv[1] == "backup":
    Store.open().backup(Path(sys.argv[2]))
else:
    import os
    restore(Path(sys.argv[2]), os.environ["AFTERSHOCK_STORE"], replace=True)
print("done", flush=True)
"""


def started(*words: str | Path) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN, *map(str, words)]
    run = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    assert run.stdout.readline() == "ready\n"
    return run


def killed(after: float, *words: str | Path) -> bool:
    """Whether the command was killed before it was done."""
    run = started(*words)
    time.sleep(after)
    run.send_signal(signal.SIGKILL)
    out, _ = run.communicate()
    return "done" not in out


def test_a_killed_backup_leaves_the_last_one_and_no_half_one(home: Home, store: Store) -> None:
    file = backed_up(home, store)
    before = contents(store)
    for after in (0.05, 0.2):
        killed(after, "backup", file)
        again(home, file)
        assert contents(store) == before
    store.backup(file)
    assert [path.name for path in home.folder.iterdir() if path.name.endswith(".part")] == []


def test_a_killed_restore_leaves_the_old_store_or_the_restored_one(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)
    write(store, raw("since"))
    wipe(store)
    store.maintain(purge=True)
    old = stored(store).height
    for after in (0.2, 0.5, 0.9):
        killed(after, "restore", file)
        found = Store.open()
        assert stored(found).height in (old, old - 1)
        assert traces(home.store, TEXTS) == {}
    again(home, file)
    assert stored(Store.open()).height == old - 1
    assert list(home.folder.glob(".store.*")) == []


def test_maintain_clears_what_a_killed_restore_left(home: Home, store: Store) -> None:
    left = home.folder / ".store.restore-abc"
    shutil.copytree(home.store, left)
    wipe(store)
    store.maintain(purge=True)
    assert not left.exists()


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True  # or a module's cache is cut off for everybody else
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["aftershock", *sys.argv[2:]]
from cli.main import main
main()
"""


def on_a_full_disk(size: int, *words: str | Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FULL, str(size), *map(str, words)]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_full_disk_is_a_sentence_and_leaves_everything_as_it_was(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)
    data = file.read_bytes()
    before = contents(store)
    ended = on_a_full_disk(20_000, "backup", file)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"The backup {file} cannot be written")
    assert "Traceback" not in ended.stderr
    assert file.read_bytes() == data
    ended = on_a_full_disk(2_000, "restore", file, "--replace")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"The disk is full: {home.folder} cannot take")
    assert "Traceback" not in ended.stderr
    assert contents(store) == before
    assert list(home.folder.glob(".[bs]*")) == []


# What goes on meanwhile


def test_an_erasure_that_is_made_while_the_backup_is_unpacked_is_made_in_it_too(
    home: Home, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backed_up(home, store)
    plain = restoring.unpack

    def unpacked_slowly(*words: Any) -> None:
        plain(*words)
        wipe(store)

    monkeypatch.setattr(restoring, "unpack", unpacked_slowly)
    other = home.folder / "other"
    restore(file, str(other))
    assert traces(other, tokens(store)) == {}


def test_a_post_deleted_since_that_the_backup_does_not_hold_stays_out(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)
    write(store, raw("young"))
    assert store.wipe([store.key("reddit:t3_young")]) == 1
    again(home, file)
    older = write(Store.open(), raw("young"), raw("other young"))
    assert (older.blocked, older.new) == (1, 1)


def test_an_export_written_again_since_the_backup_is_known_by_what_it_holds_now(
    home: Home, store: Store
) -> None:
    path = home.folder / "posts.csv"

    def export(*posts: str) -> None:
        recording = store.begin_export(path)
        recording.keep(pl.Series(posts, dtype=pl.String))
        row = {"written_at": SEEN, "case": CASE, "kind": "posts", "share": False, "sha256": "a"}
        with recording.placing(row):
            path.write_text("invented")

    export("ab" * 16)
    file = backed_up(home, store)
    export("ab" * 16, "cd" * 16)
    again(home, file)
    found = Store.open()
    exports = stored(found, "exports").filter(pl.col("path") == str(path))
    held = stored(found, "exported").join(exports, on="export", how="semi")
    assert set(held["post"]) == {"ab" * 16, "cd" * 16}


def test_an_export_that_could_not_take_its_place_leaves_the_older_ones_record(
    home: Home, store: Store
) -> None:
    path = home.folder / "posts.csv"
    row = {"written_at": SEEN, "case": CASE, "kind": "posts", "share": False, "sha256": "a"}

    def export(post: str, sha256: str, *, full: bool = False) -> None:
        recording = store.begin_export(path)
        recording.keep(pl.Series([post]))
        with recording.placing(row | {"sha256": sha256}):
            if full:
                raise OSError(28, "No space left on device")

    export("ab" * 16, "older")
    with pytest.raises(OSError, match="No space"):
        export("cd" * 16, "newer", full=True)
    recorded = stored(store, "exports").filter(pl.col("path") == str(path))
    assert recorded["sha256"].to_list() == ["older"]
    held = stored(store, "exported").join(recorded, on="export", how="semi")
    assert held["post"].to_list() == ["ab" * 16]


def test_a_run_whose_store_is_replaced_claims_nothing_in_the_restored_one(
    home: Home, store: Store
) -> None:
    file = backed_up(home, store)

    def batches() -> Iterator[Batch]:
        yield Batch("archive", Reading("feed", "reddit"), frame([raw("one")]), taken=True)
        again(home, file)
        ended = Reading("feed", "reddit", status="done")
        yield Batch("archive", ended, frame([raw("two")]), taken=True, cursor="2")

    with pytest.raises(StoreError, match="replaced by a backup"):
        ingest(store, [case_files.get("duolingo")], batches())
    runs = stored(Store.open(), "runs").filter(unit="feed")
    assert runs.filter(status="done").is_empty()
    assert runs["cursor_after"].drop_nulls().is_empty()


def test_forgetting_clears_what_a_killed_restore_left_beside_the_store(
    home: Home, store: Store
) -> None:
    left = home.store.with_name(f".{home.store.name}.restore-abc")
    shutil.copytree(home.store / "posts", left / "posts")
    store.forget([store.key(SECRET["uri"])])
    assert not left.exists()


def test_batches_that_wait_on_both_sides_of_a_restore_are_all_kept(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, name in ((old, "one"), (new, "two")):
        (folder / "spool").mkdir(parents=True)
        (folder / "spool" / name).write_text("waiting")
    swap._carry(old, new)
    assert {path.name for path in (new / "spool").iterdir()} == {"one", "two"}


# The command line


def test_the_commands_say_what_they_did(
    home: Home, store: Store, aftershock: Callable[..., Ended]
) -> None:
    file = home.folder / "backup.tar"
    ended = aftershock("backup", file, "--keep", 7)
    assert ended.code == 0
    assert ended.out.startswith(f"{file}: {stored(store).height} posts")
    wipe(store)
    assert aftershock("restore", file).code == 1
    ended = aftershock("restore", file, "--replace")
    assert ended.code == 0
    assert "1 wiped, 0 forgotten, 0 hidden, 0 back" in ended.out
    ended = aftershock("restore", file, "--into", home.folder / "two", "--json")
    assert ended.json()["wiped"] == 1
    assert ended.json()["covered"] is True
    assert aftershock("maintain", "--json").json()["backups_deleted"] == []
    assert aftershock("backup", file, "--keep", 91).code == 2
    assert aftershock("backup", file, "--keep", 0).code == 2


def test_a_restore_without_erasures_says_what_has_to_be_done(
    home: Home, store: Store, aftershock: Callable[..., Ended]
) -> None:
    file = backed_up(home, store)
    shutil.rmtree(home.folder / "salt.erasures")
    place = home.folder / "two"
    assert aftershock("restore", file, "--into", place).code == 1
    ended = aftershock("restore", file, "--into", place, "--without-erasures")
    assert ended.code == 0
    assert "Check every post with its source" in ended.err


def test_a_backup_of_no_store_is_a_sentence(home: Home, aftershock: Callable[..., Ended]) -> None:
    ended = aftershock("backup", home.folder / "b.tar")
    assert ended.code == 1
    assert "There is no store" in ended.err
