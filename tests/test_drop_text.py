"""`import --drop-text`: figures as with words, and nobody's words, names or addresses on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from conftest import Ended, Home
from searching import traces
from test_archive import comment, ndjson, put, submission, zstd

from analysis import sides
from store.tables import Store

Run = Callable[..., Ended]

CASE = """
title = "Invented"
platform = "Soundbox"
summary = "Invented."
since = 2025-01-01
languages = ["en"]
query = 'soundbox AND (ai OR terms)'
"""
WORDS = ("wonderful", "horrible", "leavingforever", "inventedmusic", "somewriter")


def dumps(home: Home) -> list[Path]:
    (home.cases / "invented.toml").write_text(CASE)
    heads = [
        submission(
            n,
            title=f"Soundbox has new terms and I think that they are {WORDS[n % 2]}",
            selftext="What do you think about it? I would like to know what others say.",
            author=f"somewriter{n % 3}",
        )
        for n in range(9)
    ]
    heads.append(submission(50, title="Soundbox terms", selftext="[removed]"))
    heads.append(submission(51, title="Soundbox ai", author="AutoModerator"))
    heads.append(
        submission(
            52, title="Soundbox : l'ai et les nouvelles conditions, quelle honte", selftext="terms"
        )
    )
    below = [
        comment(
            n,
            body="I am leavingforever because this is a horrible idea.",
            link_id=f"t3_s{n % 9}",
            author=f"somewriter{n % 3}",
        )
        for n in range(12)
    ]
    return [
        put(home.folder / "RS.zst", zstd(ndjson(heads))),
        put(home.folder / "RC.zst", zstd(ndjson(below))),
    ]


def figures(store: Store) -> list[dict[str, Any]]:
    """All but the stance of comments, which is judged in their thread where its words are kept."""
    cells = store.scan("cells").collect().drop("month", "week")
    cells = cells.filter((pl.col("scorer") != sides.SCORER) | (pl.col("via") != "thread"))
    return cells.sort("via", "lang", "width", "start").to_dicts()


def test_figures_are_the_same_as_with_words_and_no_words_are_on_the_disk(
    home: Home, aftershock: Run, monkeypatch: Any
) -> None:
    files = dumps(home)
    said = aftershock("import", *files, "--case", "invented", "--drop-text")
    assert said.code == 0
    assert "no words, names or addresses of these posts were stored" in said.out
    bare = Store.open(create=False)
    assert traces(home.store, [*WORDS, "reddit:t3_", "t3_s1", "What do you think"]) == {}
    posts = bare.scan("posts").collect()
    assert posts.height == 23
    assert set(posts["state"]) == {"gone"}
    for name in ("uri", "text", "text_hash", "community"):
        assert posts[name].null_count() == posts.height

    monkeypatch.setenv("AFTERSHOCK_STORE", str(home.folder / "whole"))
    assert aftershock("import", *files, "--case", "invented").code == 0
    assert aftershock("score").code == 0
    whole = Store.open(create=False)
    assert figures(bare) == figures(whole)
    assert bare.scan("scores").collect()["input_hash"].null_count() == 3 * 23  # scorers
    authors = posts["author"]
    assert authors.n_unique() == whole.scan("posts").collect()["author"].n_unique()
    assert not set(authors) & set(whole.scan("posts").collect()["author"])


def test_importing_again_adds_nothing_and_brings_no_words_back(home: Home, aftershock: Run) -> None:
    files = dumps(home)
    aftershock("import", *files, "--case", "invented", "--drop-text")
    store = Store.open(create=False)
    before = figures(store), store.scan("posts").collect().sort("post").to_dicts()
    for options in (["--drop-text"], []):
        again = aftershock("import", *files, "--case", "invented", "--json", *options)
        assert again.code == 0
        assert sum(unit["new"] for unit in again.json()) == 0
    assert aftershock("score").code == 0
    assert (figures(store), store.scan("posts").collect().sort("post").to_dicts()) == before
    assert traces(home.store, WORDS) == {}
    assert aftershock("doctor").code == 0


def test_what_is_stored_with_its_words_keeps_them_and_can_be_deleted_later(
    home: Home, aftershock: Run
) -> None:
    files = dumps(home)
    first = put(
        home.folder / "one.ndjson", ndjson([submission(1, title="Soundbox ai, a wonderful thing")])
    )
    aftershock("import", first, "--case", "invented")
    aftershock("import", *files, "--case", "invented", "--drop-text")
    store = Store.open(create=False)
    states = dict(store.scan("posts").group_by("state").len().collect().iter_rows())
    assert states == {"live": 1, "gone": 22}
    gone = put(home.folder / "gone", ndjson([submission(1, title="x", selftext="[deleted]")]))
    assert aftershock("import", gone, "--case", "invented", "--drop-text").code == 0
    assert dict(store.scan("posts").group_by("state").len().collect().iter_rows()) == {"gone": 23}


def test_whoever_was_forgotten_stays_forgotten(home: Home, aftershock: Run) -> None:
    files = dumps(home)
    seed = put(
        home.folder / "seed", ndjson([submission(0, title="Soundbox ai", author="somewriter0")])
    )
    aftershock("import", seed, "--case", "invented")
    assert aftershock("forget", "u/somewriter0", "--yes").code == 0
    aftershock("import", *files, "--case", "invented", "--drop-text")
    posts = Store.open(create=False).scan("posts").collect()
    assert posts.height == 23 - 3 - 4
