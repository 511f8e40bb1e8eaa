"""From a collector to the store: what is stored, and what the ledger says of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from storing import SEEN, frame, raw, stored

import cases.case as case_files
from cases.case import Case
from cli import ledger
from cli.ingest import ingest
from store.schema import CHECKS, Batch, Reading
from store.tables import Store

READING = Reading("phrase", "reddit", items=3, status="done")


@pytest.fixture
def store(home) -> Store:
    return Store.open()


@pytest.fixture(scope="module")
def both() -> list[Case]:
    return [case_files.get("duolingo"), case_files.get("soundcloud")]


def about(name: str, platform: str, **values: Any) -> dict[str, Any]:
    return raw(name, text=f"{platform} and its AI policy, AI first, AI training terms", **values)


def runs(store: Store) -> list[dict[str, Any]]:
    return stored(store, "runs").sort("started_at").to_dicts()


def log_length(store: Store) -> int:
    return len(list((Path(store.location) / "runs" / "_delta_log").glob("*.json")))


def test_each_unit_says_from_where_it_went_on(store: Store, both: list[Case]) -> None:
    one, other = replace(READING, unit="one"), replace(READING, unit="other")
    ingest(store, both, [Batch("live", one, cursor="1"), Batch("live", other, cursor="a")])
    ingest(store, both, [Batch("live", other, cursor="b"), Batch("live", one, cursor="2")])
    ingest(store, both, [Batch("else", one)])
    found = [(row["unit"], row["cursor_before"], row["cursor_after"]) for row in runs(store)]
    assert found == [
        ("one", None, "1"),
        ("other", None, "a"),
        ("other", "a", "b"),
        ("one", "1", "2"),
        ("one", None, None),
    ]


def test_a_unit_read_for_one_case_is_in_the_ledger_for_that_case_and_matched_with_all(
    store: Store, both: list[Case]
) -> None:
    posts = frame([about("a", "Duolingo"), about("b", "SoundCloud")])
    narrow = replace(READING, unit="narrow", cases=("duolingo",))
    ingest(store, both, [Batch("live", narrow, posts), Batch("live", READING)])
    assert sorted(stored(store, "matches")["case"]) == ["duolingo", "soundcloud"]
    first, second = runs(store)
    assert [case["case"] for case in first["cases"]] == ["duolingo"]
    assert [case["case"] for case in second["cases"]] == ["duolingo", "soundcloud"]


def test_a_run_that_only_brings_deletions_is_stored_and_counted(
    store: Store, both: list[Case]
) -> None:
    posts = [about(name, "Duolingo", author=name) for name in ("gone", "away", "left", "stays")]
    again = about("again", "Duolingo", author="left")
    ingest(store, both, [Batch("live", READING, frame([*posts, again]))])
    unit = replace(READING, unit="everything kept")
    (done,) = ingest(
        store,
        both,
        [
            Batch("recheck", unit, gone=("reddit:t3_gone", "reddit:t3_never")),
            Batch("recheck", unit, hidden=("away",), deleted=("left",)),
        ],
    )
    states = dict(stored(store).group_by("state").len().iter_rows())
    assert states == {"gone": 3, "hidden": 1, "live": 1}
    assert (done.gone, done.wiped, done.kept) == (4, 3, 0)
    row = runs(store)[-1]
    assert (row["collector"], row["gone"], row["kept"], row["new"]) == ("recheck", 4, 0, 0)
    assert (row["observed_from"], row["observed_to"]) == (None, None)


def test_posts_and_checks_of_them_may_come_together(store: Store, both: list[Case]) -> None:
    posts = frame([about("a", "Duolingo"), about("b", "Duolingo")])
    names = [name for name in CHECKS if name not in {"post", "day", "same_at"}]
    checks = pl.DataFrame(
        {"uri": ["reddit:t3_a", "reddit:t3_never"], "checked_at": [SEEN] * 2, "misses": [0, 0]}
    ).with_columns(pl.lit(None, CHECKS[name]).alias(name) for name in names[2:])
    ingest(store, both, [Batch("live", READING, posts, checks=checks)])
    ((key, at),) = stored(store, "checks").select("post", "checked_at").rows()
    assert (key, at) == (store.key("reddit:t3_a"), SEEN)


def test_an_older_copy_of_what_is_deleted_is_not_stored_later_in_the_run(
    store: Store, both: list[Case]
) -> None:
    late = [about("a", "Duolingo"), about("b", "Duolingo", author="Left"), about("c", "Duolingo")]
    late[2]["author"] = None
    late = [row | {"collected_at": SEEN - timedelta(days=1)} for row in late]
    ingest(
        store,
        both,
        [
            Batch("live", READING, gone=("reddit:t3_a",), deleted=("left",)),
            Batch("live", READING, frame(late)),
        ],
    )
    assert stored(store)["uri"].to_list() == ["reddit:t3_c"]


def test_many_units_share_the_commits_of_the_ledger(
    store: Store, both: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "EVERY", 3_600)
    units = [replace(READING, unit=f"phrase {number}") for number in range(30)]
    before = log_length(store)
    ingest(store, both, [Batch("live", unit, cursor="1") for unit in units])
    assert log_length(store) - before == 3  # the first, how it went, and all others at once
    assert {row["status"] for row in runs(store)} == {"done"}


def test_what_was_noted_is_in_the_ledger_when_a_later_unit_fails(
    store: Store, both: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "EVERY", 3_600)

    def batches():
        yield Batch("live", replace(READING, unit="first"), cursor="1")
        yield Batch("live", replace(READING, unit="second", status="running"), cursor="a")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        ingest(store, both, batches())
    found = [(row["unit"], row["status"], row["cursor_after"]) for row in runs(store)]
    assert found == [("first", "done", "1"), ("second", "failed", "a")]
