"""An older store is brought up to date when it is opened: from a store the first version wrote."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from storing import CASE, SALT, raw, score_all, stored, write
from test_wipe import traces

from analysis import series
from store import migrate
from store.doctor import Doctor
from store.findings import problems
from store.migrate import schema_of
from store.schema import CELL_STANCE, SCHEMA_VERSION, TABLES
from store.tables import Store, StoreError

PACKED = Path(__file__).parent / "data" / "store_v1.tar.gz"
NEW = {"exported", "sightings"}  # tables that the first version did not have
UNTOUCHED = [name for name in TABLES if name not in {"exports", *NEW}]
KILLS = int(os.environ.get("AFTERSHOCK_KILLS", "3"))
OPEN = """
import sys
from store.tables import Store
store = Store.open(sys.argv[1], salt=bytes(range(32)))
print(store.scan("posts").collect().height, flush=True)
"""
REFUSED = """
import sys
from store.tables import Store, StoreError
try:
    Store.open(sys.argv[1], salt=bytes(range(32)), create=False)
except StoreError as refused:
    print(refused)
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The store of the first version, unpacked."""
    folder = tmp_path / "store"
    shutil.unpack_archive(PACKED, folder)
    return folder


def rows(folder: Path, name: str) -> pl.DataFrame:
    """A table as any reader of Delta Lake sees it, whatever we know of its version."""
    found = pl.DataFrame(pl.from_arrow(DeltaTable(folder / name).to_pyarrow_table()))
    plain = [column for column, kind in found.schema.items() if not kind.is_nested()]
    return found.select(sorted(found.columns)).sort(plain)


def opening(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN, str(folder)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def versions(folder: Path) -> dict[str, int]:
    return {name: DeltaTable(folder / name).version() for name in TABLES}


def held(exports: pl.DataFrame, exported: pl.DataFrame) -> dict[str, set[str]]:
    """Which posts each recorded file holds, in the present shape."""
    keys = exports.join(exported, on="export", how="left")
    return {str(path): set(part["post"].drop_nulls()) for (path,), part in keys.group_by("path")}


def check(folder: Path, before: dict[str, pl.DataFrame]) -> None:
    """The store is whole and of this version, and holds what it held before."""
    for name in UNTOUCHED:
        # A column that an older version did not have comes last in what is asked, and is empty.
        now = rows(folder, name)
        assert now.select(before[name].columns).equals(before[name]), name
        assert now.drop(before[name].columns).null_count().row(0) == tuple(
            now.height for column in now.columns if column not in before[name].columns
        )
    exports, exported = rows(folder, "exports"), rows(folder, "exported")
    old = before["exports"]
    assert held(exports, exported) == {
        path: set(keys) for path, keys in old.select("path", "posts").iter_rows()
    }
    same = [column for column in old.columns if column != "posts"]
    assert exports.select(same).equals(old.select(same))
    assert "posts" not in exports.columns
    assert not exported.is_duplicated().any()
    for name in TABLES:
        found = DeltaTable(folder / name).metadata()
        assert json.loads(found.description or "")["schema"] == SCHEMA_VERSION, name
        assert found.configuration["delta.logRetentionDuration"] == "interval 7 days"
        assert "text" not in found.configuration["delta.dataSkippingStatsColumns"]


def test_a_store_of_the_first_version_holds_the_same_afterwards(old: Path) -> None:
    before = {name: rows(old, name) for name in TABLES if name not in NEW}
    assert before["posts"].height == 25
    store = Store.open(str(old), salt=SALT)
    check(old, before)
    assert store.stale().weeks == ()  # no figure has to be computed again
    assert store.rebuild(series.cells) == 0
    assert all(len(bytes.fromhex(export)) == 16 for export in rows(old, "exports")["export"])


def test_a_store_of_the_third_version_gets_counts_of_stance_and_no_other_figure(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "SCHEMA_VERSION", 3)
        migrate.bring_up(migrate.Tables(str(old)))
    before = rows(old, "cells")
    assert not set(CELL_STANCE) & set(before.columns)
    store = Store.open(str(old), salt=SALT)
    after = rows(old, "cells")
    assert set(CELL_STANCE) < set(after.columns)
    assert after.select(before.columns).equals(before)
    assert store.stale().weeks == ()
    # Empty is none: nobody takes the old figures for wrong ones.
    assert not problems(Doctor(str(old), salt=SALT).examine(series.cells))
    # They are written and read like the others.
    write(store, raw("new"))
    score_all(store)
    assert store.rebuild(series.cells) == 1
    drawn = series.series(stored(store, "cells").filter(pl.col("case") == CASE), width="week")
    assert drawn["n_looked"].sum() == 0


def test_it_says_so_once_and_a_second_opening_writes_nothing(
    old: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Store.open(str(old), salt=SALT)
    assert caplog.messages == [
        f"Bringing the store {old} from version {number} to {number + 1}. This is done once."
        for number in range(1, SCHEMA_VERSION)
    ]
    after = versions(old)
    Store.open(str(old), salt=SALT)
    assert len(caplog.messages) == SCHEMA_VERSION - 1
    assert versions(old) == after


def test_a_store_of_the_second_version_gets_a_table_of_sightings_and_keeps_the_rest(
    tmp_path: Path,
) -> None:
    place = tmp_path / "store"
    write(Store.open(str(place), salt=SALT), raw("a"))
    shutil.rmtree(place / "sightings")
    for name in TABLES:
        if name != "sightings":
            table = DeltaTable(place / name)
            described = json.loads(table.metadata().description or "")
            table.alter.set_table_description(json.dumps(described | {"schema": 2}))
    store = Store.open(str(place), salt=SALT)
    assert {schema_of(store._tables, name) for name in TABLES} == {SCHEMA_VERSION}
    assert stored(store)["uri"].to_list() == ["reddit:t3_a"]
    assert stored(store, "sightings").is_empty()


def test_the_old_lists_of_keys_leave_the_disk_with_the_next_purge(old: Path) -> None:
    """A key list that stayed behind would still name a post that is forgotten later."""
    store = Store.open(str(old), salt=SALT)
    key = rows(old, "exported")["post"][0]
    store.forget([key])
    store.purge()
    places = traces(old, [key])[key]
    # The files on record are not on this machine, so the key stays on their list, to find it again.
    assert {place.split("/")[0] for place in places if "_delta_log" not in place} == {
        "blocked",
        "exported",
    }


def test_a_migration_that_is_killed_anywhere_is_finished_by_the_next_opening(
    old: Path, tmp_path: Path
) -> None:
    before = {name: rows(old, name) for name in TABLES if name not in NEW}
    dice = random.Random(7)  # noqa: S311 - when to kill
    killed = 0
    for number in range(KILLS):
        copy = tmp_path / f"copy{number}"
        subprocess.run(["cp", "-a", str(old), str(copy)], check=True)
        work = opening(copy)
        assert work.stderr is not None
        assert "Bringing" in work.stderr.readline()
        time.sleep(dice.uniform(0, 0.25))
        work.send_signal(signal.SIGKILL)
        killed += work.wait() == -signal.SIGKILL
        work.communicate()
        Store.open(str(copy), salt=SALT)
        check(copy, before)
    assert killed


# 0 nothing, 2 and 3 keys moved, 4 the old column gone, then the versions, `blocked` last.
@pytest.mark.parametrize("step", [0, 2, 3, 4, 9, 13])
def test_a_migration_that_stops_after_any_commit_is_finished(
    old: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: rows(old, name) for name in TABLES if name not in NEW}
    commit, done = migrate.Tables.commit, []

    def counted(self: object, *words: object) -> object:
        if len(done) == step:
            raise KeyboardInterrupt
        done.append(words[0])
        return commit(self, *words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(migrate.Tables, "commit", counted)
        with pytest.raises(KeyboardInterrupt):
            Store.open(str(old), salt=SALT)
    assert schema_of(migrate.Tables(str(old))) == 1
    Store.open(str(old), salt=SALT)
    check(old, before)


def test_two_processes_that_open_it_at_once_both_get_in(old: Path) -> None:
    before = {name: rows(old, name) for name in TABLES if name not in NEW}
    both = [opening(old) for _ in range(2)]
    ended = [work.communicate(timeout=120) for work in both]
    assert [work.returncode for work in both] == [0, 0]
    assert [out.strip() for out, _ in ended] == ["25", "25"]
    assert sum(err.count("Bringing") for _, err in ended) == SCHEMA_VERSION - 1
    check(old, before)


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root without setpriv"
)
def test_who_may_not_write_learns_that_somebody_else_has_to_open_it_first(old: Path) -> None:
    # Another user id is not to be had in every user namespace; root without this right is enough.
    rights = "-dac_override,-dac_read_search"
    bound = ("setpriv", f"--bounding-set={rights}") if os.geteuid() == 0 else ()
    for path in (old, *old.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        ended = subprocess.run(
            [*bound, sys.executable, "-c", REFUSED, str(old)],
            cwd=Path(__file__).parent.parent,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path in (old, *old.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout
    assert f"by an earlier Aftershock (version 1 of its tables, now {SCHEMA_VERSION})" in said
    assert "may not write" in said
    assert "aftershock maintain" in said


def test_a_description_without_a_version_is_refused(old: Path) -> None:
    table = DeltaTable(old / "blocked")
    described = json.loads(table.metadata().description or "")
    table.alter.set_table_description(json.dumps(described | {"schema": 0}))
    with pytest.raises(StoreError, match="schema 0"):
        Store.open(str(old), salt=SALT)


def test_a_creation_that_was_killed_under_the_first_version_is_completed_as_one(
    tmp_path: Path,
) -> None:
    place = tmp_path / "store"
    Store.open(str(place), salt=SALT)
    for name in TABLES:
        if name in {"blocked", "labels", *NEW}:
            shutil.rmtree(place / name)
            continue
        entry = place / name / "_delta_log" / f"{0:020d}.json"
        text = entry.read_text()
        older = text.replace(f'\\"schema\\": {SCHEMA_VERSION}', '\\"schema\\": 1')
        assert older != text
        entry.write_text(older)
    store = Store.open(str(place), salt=SALT)
    assert all(stored(store, name).is_empty() for name in TABLES)
    assert {schema_of(store._tables, name) for name in TABLES} == {SCHEMA_VERSION}


def test_an_older_store_that_has_lost_a_table_is_not_completed_with_an_empty_one(old: Path) -> None:
    shutil.rmtree(old / "blocked")
    with pytest.raises(StoreError, match="has lost its table blocked"):
        Store.open(str(old), salt=SALT)
