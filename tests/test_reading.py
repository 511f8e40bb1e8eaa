"""Reading a large store in portions: the same figures and files as if it were read at once."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

import dashboard
import store.cells
import store.export
from analysis import cells as made_of
from analysis import series
from dashboard import posts as ranking
from dashboard.data import Subject
from dashboard.pages import engaged
from store.export import csv_bytes, posts_frame, posts_portions, write_posts
from store.schema import CELL_KEY
from store.tables import Store, StoreError
from tests.storing import CASE, QUERY, SCORER, START, raw, score_all, write
from tests.test_series import frame, many

FORTNIGHT = (START - timedelta(days=1), START + timedelta(days=13))


@pytest.fixture
def filled(home) -> Store:
    """Sixty invented posts in threads over twelve days, twenty of them within one hour."""
    store = Store.open()
    chance = random.Random(5)  # noqa: S311 - an arrangement, no secret
    rows: list[dict[str, Any]] = []
    for number in range(60):
        busy = number % 3 == 0
        at = START + timedelta(minutes=number if busy else chance.randrange(12 * 1440))
        reddit = number % 4 != 0
        comment = reddit and number > 10
        uri = f"reddit:t{1 if comment else 3}_{number}"
        rows.append(
            {
                "uri": uri if reddit else f"at://did:plc:a/app.bsky.feed.post/{number}",
                "source": "reddit" if reddit else "bluesky",
                "kind": "comment" if comment else "post",
                "author": f"writer{number % 7}",
                "text": f"=words of {number}",
                "root": f"reddit:t3_{chance.randrange(12)}" if comment else None,
                "at": at,
                "created_at": at,
                "likes": chance.randrange(20),
            }
        )
    write(store, *(raw(number, **row) for number, row in enumerate(rows)))
    score_all(store)
    return store


def small(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Portions of so few rows that every way of cutting occurs."""
    for module, name in (
        (store.cells, "READ_AT_ONCE"),
        (store.export, "POSTS_AT_ONCE"),
        (store.export, "ROOTS_AT_ONCE"),
        (ranking, "AT_ONCE"),
        (made_of, "CLUSTERS_AT_ONCE"),
    ):
        monkeypatch.setattr(module, name, rows)


CHOSEN: dict[str, Any] = {"case": CASE, "query_hash": QUERY, "scorer": SCORER}


@settings(deadline=None, max_examples=40)
@given(many(size=60), st.integers(1, 5), st.integers(1, 20))
def test_a_window_of_parts_is_the_window_of_the_whole(
    posts: list[dict[str, Any]], parts: int, at_once: int
) -> None:
    whole = frame(posts)
    summed = made_of.sums(made_of.measured(whole).with_columns(all=pl.lit(0)), ["all"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_of, "CLUSTERS_AT_ONCE", at_once)
        pieces = (series.window_part(whole[n::parts]) for n in range(parts))
        found = series.window_of(pieces, min_n=2)
    assert found == series.window(whole, min_n=2)
    if summed.height:
        assert found == series._figures(summed, [], 2).row(0, named=True)


@settings(deadline=None, max_examples=25)
@given(many(size=60), st.integers(1, 5), st.integers(1, 20))
def test_cells_of_compact_portions_are_the_cells_of_the_whole(
    posts: list[dict[str, Any]], parts: int, at_once: int
) -> None:
    whole = frame(posts)
    expected = series.cells(whole)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_of, "CLUSTERS_AT_ONCE", at_once)
        found = series.cells_of(pl.concat(series.compact(whole[n::parts]) for n in range(parts)))
    rounded = pl.selectors.float().round(9)
    assert found.with_columns(rounded).equals(expected.with_columns(rounded))


def test_stretches_hold_every_post_once_and_cut_only_at_hours(filled: Store) -> None:
    at = filled.scan("posts").select("at").collect()["at"].sort()
    since, until = FORTNIGHT
    for rows in (1, 3, 10, 1000):
        found = filled.stretches(rows, since, until)
        assert all(a.until <= b.since for a, b in pairwise(found))
        inside = [
            filled.visible().filter(*stretch.holds()).select("at").collect()["at"]
            for stretch in found
        ]
        assert pl.concat(inside).sort().equals(at)
        assert all((s.since - since) % timedelta(hours=1) == timedelta(0) for s in found)
    edge = datetime(2025, 5, 5, 12, 30, tzinfo=UTC)
    held = [s.holds() for s in filled.stretches(3, edge)]
    counts = [filled.visible().filter(*h).select(pl.len()).collect().item() for h in held]
    assert sum(counts) == (at >= edge).sum()


def test_the_store_gives_the_same_figures_in_portions(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = filled.scored(**CHOSEN).collect()
    once = series.cells(whole)
    small(monkeypatch, 4)
    parts = list(filled.scored_portions(**CHOSEN, via=["own"], sources=["reddit", "bluesky"]))
    assert len(parts) > 5
    assert pl.concat(parts).sort("post").equals(whole.sort("post"))
    assert filled.waiting(CASE, QUERY, "vader-9") == whole.height
    filled.rebuild(series.cells_of, compact=series.compact)
    rounded = pl.selectors.float().round(9)
    stored = filled.scan("cells").sort(CELL_KEY).collect().with_columns(rounded)
    assert stored.equals(once.sort(CELL_KEY).with_columns(rounded))


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_export_in_portions_is_the_file_of_the_whole(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, share: bool
) -> None:
    whole = posts_frame(filled, **CHOSEN, share=share)
    small(monkeypatch, 4)
    assert len(list(posts_portions(filled, **CHOSEN, share=share))) > 5
    path = tmp_path / f"posts{suffix}"
    manifest = {"case": CASE, "kind": "posts", "share": share, "filters": {}}
    written = write_posts(filled, path, manifest, **CHOSEN, share=share)
    assert written is not None
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    if suffix == ".csv":
        assert path.read_bytes() == csv_bytes(whole)
    else:
        assert pl.read_parquet(path).equals(whole)
    assert written.rows == whole.height == 60
    kept = filled.scan("exports").collect()["posts"].item()
    assert sorted(kept) == ([] if share else sorted(whole["post"]))
    assert {file.name for file in tmp_path.glob("*posts*")} == {path.name, f"{path.name}.json"}


def test_a_comment_s_link_names_its_own_submission_or_none(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, 4)
    found = posts_frame(filled, **CHOSEN).filter(pl.col("kind") == "comment")
    posts = filled.scan("posts").select("post", "root", "uri").collect()
    uris = dict(posts.select("post", "uri").iter_rows())
    roots = dict(posts.select("post", "root").iter_rows())
    for post, link in found.select("post", "permalink").iter_rows():
        root = uris.get(roots[post], "")
        expected = None
        if root.startswith("reddit:t3_"):
            expected = f"https://www.reddit.com/comments/{root[10:]}/_/{uris[post][10:]}/"
        assert link == expected
    assert found["permalink"].null_count() < found.height


def test_an_export_that_fails_half_way_leaves_the_old_file_and_nothing_beside_it(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    manifest = {"case": CASE, "kind": "posts", "share": False, "filters": {}}
    write_posts(filled, folder / "p.parquet", manifest, **CHOSEN)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    small(monkeypatch, 4)
    last = filled.scan("posts").select(pl.col("day").max()).collect().item()
    for file in Path(filled.location, "matches", f"day={last}").glob("*.parquet"):
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(StoreError):
        write_posts(filled, folder / "p.parquet", manifest, **CHOSEN)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_the_best_of_stretches_are_the_best_of_all(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "SHOWN", 6)
    monkeypatch.setattr(ranking.data, "store", lambda: filled)
    about = Subject(filled.location, False, filled.version(), CASE, QUERY)
    monkeypatch.setattr(ranking, "SCORER", SCORER)
    for source, counted in (("reddit", ["likes"]), ("bluesky", ["likes", "reposts"])):
        expected = (
            filled.visible()
            .filter(pl.col("source") == source)
            .with_columns(engagement=pl.sum_horizontal(pl.col(counted).fill_null(0)))
            .sort("engagement", "at", "post", descending=[True, False, False])
            .head(6)
            .collect()
        )
        for rows in (1, 4, 1000):
            monkeypatch.setattr(ranking, "AT_ONCE", rows)
            found = ranking._ranked(about, source, *FORTNIGHT, None)
            assert found["post"].to_list() == expected["post"].to_list()
            assert found["engagement"].to_list() == expected["engagement"].to_list()


@pytest.fixture
def truncated(home, aftershock) -> Callable[..., Any]:
    """A store with a scored case, of which one file of a table is then cut short."""
    (home.cases / "tootle.toml").write_text(
        'title = "Tootle terms"\nplatform = "Tootle"\nsummary = "Invented."\n'
        'since = 2025-01-01\nlanguages = ["en"]\nquery = "tootle"\n'
    )
    file = home.folder / "posts.csv"
    lines = [f"reddit:t3_{n},reddit,tootle is bad {n},2025-05-09T12:00:00Z" for n in range(3)]
    file.write_text("\n".join(["uri,source,text,at", *lines]) + "\n")
    ended = aftershock("import", file, "--map", "uri=uri,source=source,text=text,at=at")
    assert ended.code == 0, ended.err
    assert aftershock("score").code == 0

    def cut(table: str) -> None:
        for path in (home.store / table).rglob("*.parquet"):
            path.write_bytes(path.read_bytes()[:40])

    return cut


@pytest.mark.parametrize("table", ["posts", "scores", "cells"])
def test_a_truncated_file_is_a_sentence_in_every_command(
    truncated, home, aftershock, table: str
) -> None:
    truncated(table)
    commands = {
        ("export", "posts", "--case", "tootle", "-o", home.folder / "p.csv"): table != "cells",
        ("export", "series", "--case", "tootle", "-o", home.folder / "s.csv"): True,
        ("score",): table in {"posts", "scores"},
        ("case", "test", "tootle"): table == "posts",
    }
    for words, fails in commands.items():
        ended = aftershock(*words)
        assert ended.code == (1 if fails else 0), (words, ended.err)
        if fails:
            assert "could not be read" in ended.err
            assert "Traceback" not in ended.err
    assert not (home.folder / "s.csv").exists()


@pytest.mark.parametrize("table", ["posts", "cells"])
def test_a_truncated_file_is_a_sentence_on_the_dashboard(truncated, table: str) -> None:
    import streamlit  # noqa: PLC0415

    truncated(table)
    streamlit.cache_resource.clear()
    page = AppTest.from_file(
        str(Path(dashboard.__file__).parent / "app.py"), default_timeout=60
    ).run()
    assert not page.exception
    assert any("could not be read" in text.value for text in page.text)


def test_too_many_posts_for_a_download_are_sent_to_the_command(
    truncated, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit  # noqa: PLC0415

    app = str(Path(dashboard.__file__).parent / "app.py")
    for most, offered in ((3, True), (2, False)):
        monkeypatch.setattr(engaged, "MOST", most)
        streamlit.cache_resource.clear()
        page = AppTest.from_file(app, default_timeout=60).run()
        assert not page.exception
        said = any("3 posts are too many for a download" in text.value for text in page.caption)
        assert said is not offered
        labels = [button.proto.label for button in page.get("download_button")]
        assert ("Posts CSV" in labels) is offered
        assert "Series CSV" in labels
