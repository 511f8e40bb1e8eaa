"""What is erased while somebody else is writing stays erased, whatever comes between two commits.

Two stores over the same tables, without a lock: one is stopped at a given moment of its work, the
other does its own, the first goes on. Optimistic commits have to be enough, as on an object store.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from storing import (
    SALT,
    SCORER,
    SEEN,
    raw,
    score_all,
    stored,
    unlocked,
    without_lock,
    write,
)

from store import posts
from store.merge import Tables
from store.schema import CHECKS, SCORES
from store.tables import Store

TABLES = ("posts", "matches", "scores", "checks", "times")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Store, Store]:
    """Two programs at one store, which nothing keeps apart."""
    place = str(tmp_path / "store")
    one, two = (unlocked(Store.open(place, salt=SALT)) for _ in range(2))
    write(one, raw("a", author="Leaver"), raw("b"))
    return one, two


def between(
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    table: str,
    action: Callable[[], object],
    *,
    after: bool = False,
) -> list[int]:
    """Do `action` once, just before (or after) `store` commits to `table`; says whether it was."""
    commit = Tables.commit
    done: list[int] = []

    def stopped(self: Tables, name: str, attempt: Callable[..., object]) -> object:
        here = self is store._tables and name == table and not done
        if here and not after:
            done.append(1)
            action()
        result = commit(self, name, attempt)
        if here and after:
            done.append(1)
            action()
        return result

    monkeypatch.setattr(Tables, "commit", stopped)
    return done


def holding(store: Store, uri: str) -> list[str]:
    """The tables that have a row of this post."""
    key = store.key(uri)
    return [name for name in TABLES if key in set(stored(store, name)["post"])]


def scores(work: pl.DataFrame) -> pl.DataFrame:
    rows = work.select("post", "day", "input_hash").with_columns(
        case=pl.lit(""), scorer=pl.lit(SCORER), scored_at=pl.lit(SEEN)
    )
    missing = [pl.lit(None, kind).alias(n) for n, kind in SCORES.items() if n not in rows.columns]
    return rows.with_columns(missing)


def checks(uri: str) -> pl.DataFrame:
    named = {"uri": uri, "checked_at": SEEN, "misses": 0}
    schema = {"uri": pl.String} | {n: k for n, k in CHECKS.items() if n not in {"post", "day"}}
    return pl.DataFrame([named], schema=schema)


@pytest.mark.parametrize("moment", ["posts", "matches", "checks"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("by", ["post", "author"])
def test_a_post_forgotten_while_it_is_written_leaves_no_row(
    pair, monkeypatch: pytest.MonkeyPatch, moment: str, after: bool, by: str
) -> None:
    one, two = pair
    uri = "reddit:t3_new"
    key = one.key(uri) if by == "post" else one.author_key("reddit", "Leaver")
    done = between(monkeypatch, one, moment, lambda: two.forget([key]), after=after)
    written = write(one, raw("new", author="Leaver"), raw("c"), checks=checks(uri))
    assert done
    assert holding(one, uri) == []
    assert holding(one, "reddit:t3_c") == ["posts", "matches"]
    if moment != "checks":
        assert (written.kept, written.blocked) == (1, 1)
    assert write(two, raw("new", author="Leaver")).blocked == 1


def test_with_the_lock_a_forget_between_posts_and_matches_leaves_no_row_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer lets go of the lock between its steps."""
    one, two = (Store.open(str(tmp_path / "store"), salt=SALT) for _ in range(2))
    add = posts.add_matches
    key = one.key("reddit:t3_new")

    def stopped(tables: Tables, rows: pl.DataFrame) -> None:
        if tables is one._tables:
            two.forget([key])
        add(tables, rows)

    monkeypatch.setattr(posts, "add_matches", stopped)
    write(one, raw("new"))
    assert holding(one, "reddit:t3_new") == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_score_that_comes_in_while_its_post_is_wiped_keeps_no_hash(
    pair, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    one, two = pair
    (work,) = one.work(SCORER)
    key = one.key("reddit:t3_a")
    done = between(monkeypatch, one, "scores", lambda: two.wipe([key]), after=after)
    one.add_scores(scores(work))
    assert done
    kept = dict(stored(one, "scores").select("post", "input_hash").iter_rows())
    assert kept[key] is None
    assert kept[one.key("reddit:t3_b")] is not None


def test_a_wipe_finds_the_score_that_came_in_before_the_post_was_gone(
    pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    (work,) = two.work(SCORER)
    key = one.key("reddit:t3_a")
    done = between(monkeypatch, one, "posts", lambda: two.add_scores(scores(work)))
    one.wipe([key])
    assert done
    assert dict(stored(one, "scores").select("post", "input_hash").iter_rows())[key] is None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_score_of_a_post_forgotten_meanwhile_does_not_stay(
    pair, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    one, two = pair
    (work,) = one.work(SCORER)
    key = one.author_key("reddit", "Leaver")
    assert between(monkeypatch, one, "scores", lambda: two.forget([key]), after=after) == []
    one.add_scores(scores(work))
    assert holding(one, "reddit:t3_a") == []
    assert holding(one, "reddit:t3_b") == ["posts", "matches", "scores"]


@pytest.mark.parametrize("turn", ["hide", "restore"])
def test_a_post_wiped_while_its_account_goes_or_comes_stays_gone(
    pair, monkeypatch: pytest.MonkeyPatch, turn: str
) -> None:
    one, two = pair
    leaver = one.author_key("reddit", "Leaver")
    if turn == "restore":
        one.hide([leaver])
    key = one.key("reddit:t3_a")
    done = between(monkeypatch, one, "posts", lambda: two.wipe([key]))
    getattr(one, turn)([leaver])
    assert done
    states = dict(stored(one).select("post", "state").iter_rows())
    assert states[key] == "gone"


def test_an_account_that_comes_back_while_overdue_posts_are_wiped_keeps_its_words(
    pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    leaver = one.author_key("reddit", "Leaver")
    one.hide([leaver])
    score_all(one)
    done = between(monkeypatch, one, "posts", lambda: two.restore([leaver]))
    one.maintain(now=datetime.now(UTC) + timedelta(days=31))
    assert done
    assert "words of a" in set(stored(one)["text"])


def test_an_older_word_about_an_account_does_not_undo_a_newer_one(pair) -> None:
    """A batch that waited in the spool says what was true when it was collected."""
    one, _ = pair
    leaver = one.author_key("reddit", "Leaver")
    now = datetime.now(UTC)
    assert posts.hide(one._tables, [leaver], now) == 1
    assert posts.restore(one._tables, [leaver], now + timedelta(hours=2)) == 1
    assert posts.hide(one._tables, [leaver], now + timedelta(hours=1)) == 0


@pytest.mark.parametrize("mark", ["post", "author"])
def test_an_erasure_cut_off_by_a_kill_is_completed_by_maintenance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """A writer that dies between its commit and its second look leaves rows nobody may keep."""
    one, two = (without_lock(Store.open(str(tmp_path / "store"), salt=SALT)) for _ in range(2))
    key = one.key("reddit:t3_a") if mark == "post" else one.author_key("reddit", "Leaver")
    with monkeypatch.context() as patch:
        patch.setattr(posts, "erase_blocked", lambda *_: pl.Series("post", [], pl.String))
        between(patch, one, "posts", lambda: two.forget([key]))
        write(one, raw("a", author="Leaver"), raw("b"))
    assert holding(one, "reddit:t3_a") == ["posts", "matches"]
    two.maintain()
    assert holding(one, "reddit:t3_a") == []
    (work,) = one.work(SCORER)
    one.add_scores(scores(work))
    with monkeypatch.context() as patch:  # as if the wipe had been cut off before its last look
        patch.setattr(posts, "_unhash", lambda tables, _: tables.version("scores"))
        one.wipe([one.key("reddit:t3_b")])
    assert stored(one, "scores")["input_hash"].null_count() == 0
    two.maintain()
    assert stored(one, "scores")["input_hash"].null_count() == 1
