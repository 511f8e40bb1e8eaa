"""The journal of erasures: on record before it is done, beside the salt, in keys only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Home
from storing import SALT, batch, frame, matches, raw, stored, texts, write

from store import erasures
from store.erasures import Journal
from store.keys import StoreError
from store.tables import Store

NOW = datetime(2025, 6, 1, tzinfo=UTC)
A, B = "a" * 32, "b" * 32


def journal(home: Home) -> Path:
    (file,) = (home.folder / "salt.erasures").glob("*.ndjson")
    return file


def entries(home: Home) -> list[tuple[str, set[str]]]:
    return [(entry.kind, set(entry.keys)) for entry in erasures.read(journal(home))]


def test_every_erasure_is_on_record_by_its_keys(home: Home) -> None:
    store = Store.open()
    write(store, *[raw(n) for n in range(5)])
    write(store, gone=(raw(0)["uri"], "reddit:t3_never"), hidden=("writer1", "nobody"))
    write(store, back=("writer1", "nobody"))
    author = store.author_key("reddit", "writer2")
    store.forget([author])
    store.hide([store.author_key("reddit", "writer3")])
    store.maintain(now=datetime.now(UTC) + timedelta(days=31))
    hidden = store.author_key("reddit", "writer1")
    assert entries(home) == [
        ("wiped", {store.key(raw(0)["uri"])}),
        ("hidden", {hidden}),
        ("back", {hidden}),
        ("blocked", {author}),  # before anybody looks which posts there are
        ("blocked", {store.key(raw(2)["uri"])}),
        ("hidden", {store.author_key("reddit", "writer3")}),
        ("wiped", {store.key(raw(3)["uri"])}),
    ]
    text = journal(home).read_text()
    assert not [word for word in ("t3_", "writer", "words") if word in text]
    assert journal(home).stat().st_mode & 0o777 == 0o600
    assert journal(home).parent.stat().st_mode & 0o777 == 0o700


def test_what_changes_nothing_is_not_on_record(home: Home) -> None:
    store = Store.open()
    write(store, raw("a"), gone=("reddit:t3_never",), hidden=("nobody",), back=("writera",))
    assert list(home.folder.rglob("*.ndjson")) == []


def test_what_cannot_be_put_on_record_is_not_erased(home: Home) -> None:
    store = Store.open()
    write(store, raw("a"), raw("b"))
    (home.folder / "salt.erasures").write_text("in the way")
    for erase in (
        lambda: store.wipe([store.key(raw("a")["uri"])]),
        lambda: store.hide([store.author_key("reddit", "writera")]),
        lambda: store.forget([store.key(raw("a")["uri"])]),
        lambda: store.write(batch(gone=(raw("a")["uri"],)), matches(frame([]))),
    ):
        with pytest.raises(StoreError, match="AFTERSHOCK_ERASURES"):
            erase()
    assert texts(store) == ["words of a", "words of b"]
    assert set(stored(store)["state"]) == {"live"}
    assert stored(store, "blocked").is_empty()
    (home.folder / "salt.erasures").unlink()
    assert store.wipe([store.key(raw("a")["uri"])]) == 1


def test_the_journal_outlives_the_store_and_goes_where_it_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open()
    write(store, raw("a"), raw("b"))
    store.wipe([store.key(raw("a")["uri"])])
    shutil.rmtree(home.store)
    assert entries(home) == [("wiped", {store.key(raw("a")["uri"])})]
    monkeypatch.setenv("AFTERSHOCK_ERASURES", str(home.folder / "elsewhere"))
    store = Store.open()
    write(store, raw("b"))
    store.wipe([store.key(raw("b")["uri"])])
    assert len(list((home.folder / "elsewhere").glob("*.ndjson"))) == 1
    monkeypatch.setenv("AFTERSHOCK_ERASURES", str(home.store / "erasures"))
    with pytest.raises(StoreError, match="inside the store"):
        Store.open()


def test_a_moved_store_keeps_its_journal_and_others_have_their_own(home: Home) -> None:
    store = Store.open()
    write(store, raw("a"))
    store.hide([store.author_key("reddit", "writera")])
    moved = home.folder / "moved"
    home.store.rename(moved)
    Store.open(str(moved)).restore([store.author_key("reddit", "writera")])
    assert [kind for kind, _ in entries(home)] == ["hidden", "back"]
    other = Store.open()
    write(other, raw("a"))
    other.wipe([other.key(raw("a")["uri"])])
    assert len(list((home.folder / "salt.erasures").glob("*.ndjson"))) == 2


def test_the_demo_keeps_no_journal_and_a_salt_from_elsewhere_not_beside_this_one(
    home: Home,
) -> None:
    demo = Store.open(str(home.folder / "demo"), demo=True)
    write(demo, raw("a"))
    demo.wipe([demo.key(raw("a")["uri"])])
    assert list(home.folder.rglob("*.ndjson")) == []
    store = Store.open(salt=SALT)
    write(store, raw("a"))
    store.wipe([store.key(raw("a")["uri"])])
    assert [path.parent.name for path in home.folder.rglob("*.ndjson")] == ["store.erasures"]


def test_a_torn_line_is_passed_over_and_costs_the_next_one_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.ndjson")
    journal.write("wiped", [A], NOW)
    whole = journal.path.read_bytes()
    for cut in range(len(whole)):
        journal.path.write_bytes(whole + whole[:cut])
        journal.write("blocked", [B], NOW)
        found = [(entry.kind, entry.keys) for entry in erasures.read(journal.path)]
        assert (found[0], found[-1]) == (("wiped", (A,)), ("blocked", (B,)))


def test_lines_of_others_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "j.ndjson"
    good = {"at": NOW.isoformat(), "kind": "wiped", "keys": [A]}
    bad = [{"keys": ["zz" * 16]}, {"keys": [A[:-2]]}, {"kind": "said"}, {"at": "2025-06-01"}]
    rows = [json.dumps(good | change) for change in [*bad, {}, {"at": 3}]]
    path.write_text("\n".join([*rows, "[]", "3", "{}", "\x00\x00", ""]))
    assert [entry.keys for entry in erasures.read(path)] == [(A,)]


def test_many_keys_at_once_are_several_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.ndjson")
    keys = {f"{n:032x}" for n in range(25_000)}
    journal.write("wiped", keys, NOW)
    found = list(erasures.read(journal.path))
    assert len(found) == 3
    assert {key for entry in found for key in entry.keys} == keys


def test_what_no_backup_needs_any_more_is_trimmed_but_blocks_stay(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.ndjson")
    assert journal.trim(NOW) == 0
    for days in (100, 80):
        for kind in ("wiped", "hidden", "back", "blocked"):
            journal.write(kind, [A], NOW - timedelta(days=days))
    assert journal.trim(NOW) == 3
    assert [entry.kind for entry in erasures.read(journal.path)] == [
        "blocked",
        *("wiped", "hidden", "back", "blocked"),
    ]
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.trim(NOW) == 0


def test_maintain_trims_the_journal(home: Home) -> None:
    store = Store.open()
    write(store, raw("a"), raw("b"))
    store.wipe([store.key(raw("a")["uri"])])
    store.forget([store.key(raw("b")["uri"])])
    store.maintain(now=datetime.now(UTC) + timedelta(days=100))
    assert [kind for kind, _ in entries(home)] == ["blocked"]


FULL = """
import resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from store.erasures import Journal
from store.keys import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.dont_write_bytecode = True  # or a module's cache is cut off for everybody else
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
try:
    Journal(Path(sys.argv[1])).write("wiped", [f"{n:032x}" for n in range(100)], datetime.now(UTC))
except StoreError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.ndjson")
    journal.write("wiped", [A], NOW)
    before = journal.path.read_bytes()
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", FULL, str(journal.path)]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert "Nothing was erased" in run.stdout
    assert journal.path.read_bytes() == before
