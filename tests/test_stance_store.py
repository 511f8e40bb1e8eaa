"""Stance in the store: what waits for it and in which context, and how it leaves the store."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import showing
from storing import CASE, QUERY, SALT, SEEN, raw, stored, write

from analysis import calibration, series, sides, stance, tone
from cli.score import score_store
from store.schema import LABELS
from store.tables import Store

LATER = SEEN + timedelta(days=1)
NAMES = ("Tootle", "tootle.example")
ROOT = raw("root", text="  The new clause\n\nIt says that uploads may train models.")
ANSWER = raw(
    "answer",
    uri="reddit:t1_answer",
    kind="comment",
    text="I hate this.",
    root="reddit:t3_root",
    parent="reddit:t1_first",
    at=ROOT["at"] + timedelta(days=9),
)
FIRST = raw("first", uri="reddit:t1_first", kind="comment", text="So what?", root="reddit:t3_root")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"), salt=SALT)


def frames(store: Store, **values: Any) -> list[pl.DataFrame]:
    asked = {
        "case": CASE,
        "query_hash": QUERY,
        "scorer": sides.SCORER,
        "tone": tone.SCORER,
        "names": NAMES,
    }
    return list(store.work_in_context(**(asked | values)))


def work(store: Store, **values: Any) -> dict[str, dict[str, Any]]:
    """What waits, by the text of each post."""
    return {row["text"]: row for part in frames(store, **values) for row in part.to_dicts()}


def judge(store: Store) -> list[str]:
    """Score what waits by the stand-in; returns its texts."""
    done = []
    for posts in frames(store):
        store.add_scores(
            sides.score(posts, case=CASE, names=NAMES, markers=(), predict=showing.predict)
        )
        done += posts["text"].to_list()
    return sorted(done)


def test_a_post_comes_with_the_title_of_its_thread_and_with_what_it_answers(store: Store) -> None:
    write(store, ROOT, FIRST, ANSWER, raw("quoting", text="This.", quoted="reddit:t1_first"))
    found = work(store)
    assert (found[ROOT["text"]]["title"], found[ROOT["text"]]["parent"]) == (None, None)
    answer = found["I hate this."]
    assert (answer["title"], answer["parent"]) == ("The new clause", "So what?")
    assert (found["So what?"]["title"], found["So what?"]["parent"]) == ("The new clause", None)
    assert (found["This."]["title"], found["This."]["parent"]) == (None, "So what?")
    assert {row["lang"] for row in found.values()} == {None}  # nobody has looked at the tone yet
    store.add_scores(tone.score(next(store.work(tone.SCORER)), markers=()))
    assert work(store)["I hate this."]["lang"] == "en"


def test_what_has_a_stance_waits_no_more_until_something_it_hangs_on_changes(store: Store) -> None:
    write(store, ROOT, ANSWER)
    assert judge(store) == sorted([ROOT["text"], "I hate this."])
    assert judge(store) == []
    # The parent comes later.
    write(store, FIRST)
    assert judge(store) == ["I hate this.", "So what?"]
    # It is edited.
    write(store, FIRST | {"text": "So what, really?", "collected_at": LATER})
    assert judge(store) == ["I hate this.", "So what, really?"]
    # The text itself is edited.
    write(store, ANSWER | {"text": "I hate it.", "collected_at": LATER})
    assert store.waiting(CASE, QUERY, sides.SCORER) == 1
    assert judge(store) == ["I hate it."]
    # The parent is deleted at its source: neither its words nor their hash stay with the answer.
    store.wipe([store.key("reddit:t1_first")])
    assert work(store)["I hate it."]["parent"] is None
    assert judge(store) == ["I hate it."]
    # The platform gets another name.
    assert len(work(store, names=("Another",))) == 2
    assert judge(store) == []
    assert len(work(store, rescore=True)) == 2


def test_another_query_or_case_does_not_wait_and_hidden_words_are_nobodys_context(
    store: Store,
) -> None:
    write(store, ROOT, FIRST, ANSWER)
    assert work(store, query_hash="q2") == {}
    assert work(store, case="another") == {}
    store.hide([store.author_key("reddit", "writerfirst")])
    assert set(work(store)) == {ROOT["text"], "I hate this."}
    assert work(store)["I hate this."]["parent"] is None


def test_the_hash_of_what_was_looked_at_holds_no_word_and_goes_with_the_post(store: Store) -> None:
    write(store, ROOT, FIRST, ANSWER)
    judge(store)
    scores = stored(store, "scores")
    form = r"^[0-9a-f]{32}:[0-9a-f]{8}:[0-9a-f]*:[0-9a-f]*$"
    assert scores["input_hash"].str.contains(form).all()
    store.wipe([store.key("reddit:t1_answer")])
    gone = stored(store, "scores").filter(pl.col("post") == store.key("reddit:t1_answer"))
    assert gone["input_hash"].to_list() == [None]
    assert gone["status"].to_list() == ["scored"]  # it stays counted


def test_cells_count_the_stance_of_present_texts_only(store: Store) -> None:
    texts = [showing.POSITIVE] * 3 + [showing.NEGATIVE, showing.NEUTRAL]
    write(store, *(raw(n, text=text) for n, text in enumerate(texts)))
    for posts in store.work(tone.SCORER):
        store.add_scores(tone.score(posts, markers=()))
    judge(store)

    def day() -> dict[str, Any]:
        store.rebuild(series.cells)
        rows = stored(store, "cells").filter(
            pl.col("scorer") == sides.SCORER, pl.col("width") == "day"
        )
        return rows.select(pl.col(pl.Int64).sum()).row(0, named=True)

    before = day()
    assert [before[name] for name in ("n_looked", "n", "n_neg", "n_pos", "n_off", "n_exit")] == [
        *(5, 4, 3, 1, 1, 3),
    ]
    assert (before["r_consent"], before["r_trust"], before["r_jobs"]) == (3, 3, 0)
    toned = stored(store, "cells").filter(pl.col("scorer") == tone.SCORER, pl.col("width") == "day")
    assert (toned["n"].sum(), toned["n_neg"].sum(), toned["n_looked"].sum()) == (5, 1, 0)
    write(store, raw(0, text="Something else.", collected_at=LATER))
    assert day()["n_neg"] == 2
    store.wipe([store.key("reddit:t3_1")])
    assert day()["n_neg"] == 2  # a deleted post stays counted


def test_labels_are_counted_by_the_time_and_language_of_their_posts(store: Store) -> None:
    assert store.labelled(tone.SCORER).is_empty()
    write(store, raw(1, text=showing.POSITIVE), raw(2, text=showing.FRENCH, langs=["fr"]))
    for posts in store.work(tone.SCORER):
        store.add_scores(tone.score(posts, markers=()))
    rows = [
        dict.fromkeys(LABELS)
        | {"post": store.key(f"reddit:t3_{n}"), "case": CASE, "annotator": who}
        for n, who in ((1, "a"), (1, "b"), (2, "a"))
    ]
    store._tables.merge("labels", pl.DataFrame(rows, schema=LABELS))
    found = store.labelled(tone.SCORER)
    assert sorted(found["lang"]) == ["en", "fr"]
    assert set(found["at"]) == {raw(1)["at"]}
    window = (raw(1)["at"], raw(1)["at"] + timedelta(days=1))
    assert calibration.note(found, window).startswith("uncalibrated: 2 human labels")


# The commands

CASE_FILE = """
title = "Invented"
platform = "Tootle"
summary = "Invented."
since = 2025-01-01
languages = ["en"]
query = "tootle"
"""


@pytest.fixture
def filled(home: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """40 posts against, 10 off topic, 12 French ones; scored by the command's own function."""
    (home.cases / "tootle.toml").write_text(CASE_FILE)
    monkeypatch.setattr(stance, "predict", showing.predict)
    at = datetime(2026, 5, 4, 9, tzinfo=UTC)
    texts = [showing.POSITIVE] * 40 + [showing.NEUTRAL] * 10 + [showing.FRENCH] * 12
    from cases.case import load  # noqa: PLC0415

    case = load(home.cases / "tootle.toml")
    rows = [
        raw(n, text=text, at=at, created_at=at, langs=[]) | {"collected_at": at}
        for n, text in enumerate(texts)
    ]
    showing.write(Store.open(), case, rows)
    return home


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))


def test_scoring_gives_stance_after_tone_and_says_so(
    filled: Any, aftershock: Callable[..., Any]
) -> None:
    said = aftershock("score", "--json").json()
    assert (said["scored"], said["stance_scored"], said["weeks"]) == (62, 62, 1)
    assert said["stance_scorer"] == sides.SCORER
    assert aftershock("score").out.startswith("Nothing to score")
    again = aftershock("score", "--rescore").out
    assert f"62 posts of cases looked at by {sides.SCORER} for their stance:" in again
    assert aftershock("doctor", "--json").json()["healthy"]


def test_exports_carry_stance_its_note_and_no_figure_of_french(
    filled: Any, aftershock: Callable[..., Any]
) -> None:
    score_store(Store.open())
    file = filled.folder / "posts.csv"
    assert aftershock("export", "posts", "--case", "tootle", "-o", file).code == 0
    rows = {row["text"]: row for row in read(file)}
    against = rows[showing.POSITIVE]
    assert (against["stance"], against["exit"], against["p_against"]) == ("against", "true", "1.0")
    assert against["reasons"] == "consent trust"
    assert rows[showing.NEUTRAL]["stance"] == "off"
    manifest = json.loads(Path(f"{file}.json").read_text())
    assert manifest["stance_note"] == calibration.UNCALIBRATED
    assert manifest["stance_scorer"] == sides.SCORER
    shared = filled.folder / "shared.csv"
    assert aftershock("export", "posts", "--case", "tootle", "--share", "-o", shared).code == 0
    assert sum(row["stance"] == "against" for row in read(shared)) == 52

    file = filled.folder / "series.csv"
    assert aftershock("export", "series", "--case", "tootle", "-o", file).code == 0
    (pooled,) = (row for row in read(file) if row["source"] == "all")
    counts = ("looked", "on_topic", "against", "for", "exit", "reason_trust")
    assert [pooled[name] for name in counts] == ["50", "40", "40", "0", "40", "40"]
    assert float(pooled["backlash_index"]) == 100
    assert float(pooled["backlash_index_lo"]) < 100
    assert (pooled["fr_on_topic"], pooled["fr_looked"]) == ("12", "12")
    assert pooled["stance_note"] == calibration.UNCALIBRATED
    assert pooled["n"] == "62"  # tone has both languages

    file = filled.folder / "french.csv"
    assert aftershock("export", "series", "--case", "tootle", "--lang", "fr", "-o", file).code == 0
    (pooled,) = (row for row in read(file) if row["source"] == "all")
    assert (pooled["backlash_index"], pooled["against"], pooled["fr_on_topic"]) == ("", "0", "12")


def test_a_store_with_tone_only_exports_empty_columns_and_says_what_to_run(
    filled: Any, aftershock: Callable[..., Any]
) -> None:
    store = Store.open()
    showing.score(store)
    file = filled.folder / "series.csv"
    said = aftershock("export", "series", "--case", "tootle", "-o", file)
    assert "62 posts of the case wait for a stance" in said.err
    assert {row["backlash_index"] for row in read(file)} == {""}
