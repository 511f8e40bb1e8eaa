"""The demo: invented, marked as such everywhere, and apart from every real post."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

import cases
from cli.demo import open_demo

SOURCE = Path(cases.__file__).parent / "demo"
POSTS = [json.loads(line) for line in (SOURCE / "posts.ndjson").read_text().splitlines()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The demo built once for all tests, into a folder of theirs and not into this checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cli.demo.checkout", lambda: folder)
        open_demo()
    return folder


@pytest.fixture
def checkout(built, home, monkeypatch):
    monkeypatch.setattr("cli.demo.checkout", lambda: built)
    return home


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(zip(*(words[n:] for n in range(5)), strict=False))


def test_the_demo_holds_thousands_of_posts_in_two_languages() -> None:
    assert 2000 <= len(POSTS) <= 3000
    days = {row["at"][:10] for row in POSTS}
    assert 85 <= len(days) <= 90
    langs = Counter(lang for row in POSTS for lang in row["langs"])
    assert langs["en"] > 300
    assert langs["fr"] > 300
    assert Counter(row["source"] for row in POSTS).keys() == {"bluesky", "reddit"}


def test_nobody_real_is_in_the_demo() -> None:
    for row in POSTS:
        assert "demo" in row["uri"]
        assert "demo" in row["author"]
        assert not re.search(r"https?://(?!murmella\.example)", row["text"])
        assert not re.search(r"@[\w-]+\.(?!example\b)[a-z]+", row["text"])


def test_one_campaign_is_pasted_and_hardly_anything_else_repeats() -> None:
    sets = [shingles(row["text"]) for row in POSTS]
    where: dict[tuple[str, ...], list[int]] = {}
    for number, found in enumerate(sets):
        for shingle in found:
            where.setdefault(shingle, []).append(number)
    near = {
        number
        for number, found in enumerate(sets)
        if found
        for other in Counter(
            o for shingle in found for o in where[shingle] if o != number
        ).most_common(1)
        if other[1] / len(found | sets[other[0]]) > 0.5
    }
    assert 40 <= len(near) <= 100  # the campaign


def test_the_demo_store_is_marked_and_has_its_gap(checkout) -> None:
    store, case = open_demo()
    assert store.demo
    assert case.demo
    kept = store.scan("posts").select(pl.len()).collect().item()
    assert kept > 0.9 * len(POSTS)
    failed = store.scan("runs").filter(pl.col("status") == "failed").collect()
    assert failed["source"].to_list() == ["reddit"]
    assert set(store.scan("runs").collect()["collector"]) == {"bluesky-stream", "reddit"}


def test_the_demo_is_built_once(checkout, capsys) -> None:
    first, _ = open_demo()
    capsys.readouterr()
    second, _ = open_demo()
    assert capsys.readouterr().out == ""
    assert first.location == second.location


def test_an_export_of_the_demo_says_so_in_every_row_and_beside(checkout, aftershock) -> None:
    for kind in ("posts", "series"):
        file = checkout.folder / f"{kind}.parquet"
        ended = aftershock("export", kind, "--demo", "--case", "murmella", "-o", file)
        assert ended.code == 0, ended.err
        assert set(pl.read_parquet(file)["note"]) == {"Demo: invented posts"}
        manifest = json.loads(Path(f"{file}.json").read_text())
        assert manifest["demo"] == "Demo: invented posts"
        assert manifest["coverage"] == "99.0 %"  # 48 hours less 6 of one source of two, in 90 days
        assert [gap["source"] for gap in manifest["coverage_gaps"]] == ["reddit"]


def test_the_demo_never_fills_in_for_a_real_case(checkout, aftershock) -> None:
    open_demo()
    file = checkout.folder / "x.csv"
    ended = aftershock("export", "posts", "--case", "murmella", "-o", file)
    assert ended.code == 78
    assert "soundcloud" in ended.err
    assert aftershock("case", "list").out.count("Murmella") == 0
