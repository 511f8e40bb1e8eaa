"""What was computed once is found again, and nothing in the file tells of what."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stance.kept import DAYS, Kept, key

PARTS = st.lists(st.text(max_size=8), max_size=4)


@given(PARTS, PARTS)
def test_a_key_tells_texts_their_order_and_their_ends_apart(one, other) -> None:
    assert (key(*one) == key(*other)) == (one == other)


def test_values_are_found_by_another_process_and_the_file_is_closed_to_others(tmp_path) -> None:
    path = tmp_path / "new" / "kept.sqlite"
    many = {key(str(n)): str(n).encode() for n in range(1_200)}
    with Kept(path) as kept, Kept(path) as other:
        kept.put(many)
        assert other.get([*many, key("unknown")]) == many
        other.put({key("1"): b"again"})
        assert kept.get([key("1")]) == {key("1"): b"again"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_nobody_asks_for_goes_and_what_is_asked_for_stays(tmp_path) -> None:
    path = tmp_path / "kept.sqlite"
    with Kept(path) as kept:
        kept.put({key("old"): b"a value of old", key("used"): b"a value in use"})
    with sqlite3.connect(path) as file:
        file.execute("UPDATE kept SET used = used - ?", (DAYS,))
    file.close()
    with Kept(path) as kept:
        assert kept.get([key("used")]) == {key("used"): b"a value in use"}
    with sqlite3.connect(path) as file:
        file.execute("UPDATE kept SET used = used - 1")
    file.close()
    with Kept(path) as kept:
        assert kept.get([key("old"), key("used")]) == {key("used"): b"a value in use"}
    assert b"a value of old" not in path.read_bytes()


def test_a_file_that_is_no_cache_is_not_written_over(tmp_path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my own notes, long enough to be no header of a database " * 4)
    before = path.read_bytes()
    with pytest.raises(sqlite3.Error):
        Kept(Path(path))
    assert path.read_bytes() == before
