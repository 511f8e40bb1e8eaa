"""The stores that the benchmark measures: as many posts as it says, the same ones every time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks import operations, report
from benchmarks.build import PORTION, build, portions, query_hash, scored
from benchmarks.invent import END, Year
from store.schema import TONE_INPUT
from store.tables import Store

SIZE = 1_000
TABLES = {"posts": "post", "matches": "post", "scores": "post"}


@pytest.fixture(scope="module")
def roads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, pl.DataFrame]]:
    """The rows of two stores of a thousand posts: written as an import does, and laid down."""
    rows = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AFTERSHOCK_STORE", "AFTERSHOCK_SALT", "AFTERSHOCK_CASES"):
            patch.setenv(name, "set by the benchmark, and put back afterwards")
        for name in ("AFTERSHOCK_DEMO", "AFTERSHOCK_ERASURES"):
            patch.delenv(name, raising=False)
        for road in ("own", "laid"):
            build(tmp_path_factory.mktemp(road) / "bench", SIZE, road=road)
            store = Store.open(create=False)
            rows[road] = {
                name: store.read(partial(store.scan, name)).sort(key)
                for name, key in TABLES.items()
            } | {"hash": pl.DataFrame({"hash": [query_hash()]})}
    return rows


def test_a_store_of_a_thousand_posts_holds_exactly_those_matched_and_scored(
    roads: dict[str, dict[str, pl.DataFrame]],
) -> None:
    rows = roads["own"]
    assert rows["posts"]["post"].n_unique() == rows["posts"].height == SIZE
    for name in ("matches", "scores"):
        assert rows[name]["post"].to_list() == rows["posts"]["post"].to_list()
    assert rows["matches"]["query_hash"].unique().to_list() == rows["hash"]["hash"].to_list()
    assert rows["scores"]["input_hash"].equals(
        rows["posts"].select(input_hash=TONE_INPUT).to_series()
    )


@pytest.mark.parametrize("name", TABLES)
def test_what_is_laid_down_as_files_are_the_rows_that_an_import_writes(
    roads: dict[str, dict[str, pl.DataFrame]], name: str
) -> None:
    assert_frame_equal(roads["own"][name], roads["laid"][name])


def test_the_portions_that_are_laid_down_are_whole_days_and_leave_no_post_out() -> None:
    year, count = Year(10_000_000), 9_900_000
    parts = list(portions(year, count))
    assert [first for first, _ in parts] == [0, *(until for _, until in parts[:-1])]
    assert parts[-1][1] == count
    begins = {year.day_of(day) for day in range(366)}
    assert {first for first, _ in parts} <= begins
    assert max(until - first for first, until in parts) <= 2 * PORTION


def test_the_same_seed_and_number_are_the_same_post_however_it_is_asked_for() -> None:
    year = Year(SIZE)
    whole = year.posts(0, SIZE)
    assert_frame_equal(whole, Year(SIZE).posts(0, SIZE))
    assert_frame_equal(whole[300:400], year.posts(300, 100))
    assert whole["uri"].is_unique().all()
    assert whole["at"].is_sorted()
    assert not whole.equals(Year(SIZE, seed=8).posts(0, SIZE))


def test_a_year_has_two_platforms_threads_languages_and_authors_who_write_again() -> None:
    posts = Year(10_000).posts(0, 10_000)
    assert 0.25 < (posts["source"] == "reddit").mean() < 0.35
    stored = posts.select(root="uri")
    replies = posts.drop_nulls("root")
    assert replies.height > 2_000
    assert replies.join(stored, on="root", how="anti").is_empty()
    assert set(posts["langs"].list.first()) == {"en", "fr", "de"}
    assert posts["author"].value_counts()["count"].max() > 50


def test_the_author_to_be_forgotten_has_written_that_many_posts() -> None:
    year = Year(20_000)
    author, count = year.author_with(50)
    posts = year.posts(0, 20_000)
    assert (posts["author"] == author).sum() == count
    assert 40 <= count <= 60


def test_a_run_of_a_thousand_rows_is_half_seen_before_and_mostly_of_three_days() -> None:
    year = Year(1_000_000)
    rows = operations.run(year, operations.UPSERTED, 0)
    assert rows["uri"].n_unique() == rows.height == operations.ROWS
    before = set(year.posts(900_000, 100_000)["uri"])
    assert rows["uri"].is_in(list(before)).sum() == 500
    age = END - pl.col("at")
    assert 0.85 < rows.select((age <= pl.duration(days=4)).mean()).item() <= 0.95
    assert rows.select((age <= pl.duration(days=15)).all()).item()


def test_scores_are_given_to_posts_in_a_language_that_is_scored() -> None:
    frame = pl.DataFrame(
        {"post": ["0" * 32, "f" * 32, "8" * 32], "day": [END.date()] * 3, "text_hash": [*"abc"]}
    ).with_columns(langs=pl.Series([["en"], ["de"], ["fr"]]))
    found = scored(frame)
    assert found["status"].to_list() == ["scored", "language", "scored"]
    assert found["compound"].null_count() == 1


def test_the_report_says_each_aim_beside_what_was_measured(tmp_path: Path) -> None:
    def step(cpu: float, peak: float) -> dict[str, float]:
        return {"wall": cpu, "cpu": cpu, "peak_mb": peak, "disk_mb": 1.0, "times": 1}

    found = {
        "machine": report.machine(),
        "sizes": {
            "1000": {"steps": {report.UPSERT: step(0.5, 300)}, "store_mb": 1},
            "10000": {
                "steps": {report.UPSERT: step(0.6, 400), report.PAGE: step(0.012, 200)},
                "store_mb": 9,
            },
        },
    }
    lines = "\n".join(report.ratios(found))
    assert "1.20 in CPU time (aim: under 1.5)" in lines
    assert "12.0 ms, 12.0 ms of CPU (aim: 20 ms)" in lines
    assert "400 MB (1,000-row upsert at 10,000 posts" in lines
    report.write(found, tmp_path, tmp_path / "plots")
    assert "| 1,000-row upsert | 0.5 (0.5) | 0.6 (0.6) |" in (tmp_path / "large.md").read_text()
    drawn = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert drawn == [f"performance_{name}.svg" for name in ("disk", "memory", "time")]
