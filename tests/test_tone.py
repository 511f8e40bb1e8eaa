"""Who is scored, who is not, and why; and that no text leaves with the numbers."""

from __future__ import annotations

import platform
from datetime import date

import polars as pl
import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from analysis import spelling, tone, vader
from store.schema import SCORES

ENGLISH = "They changed the terms and I hate what they did to the artists"
FRENCH = "Ils ont changé les conditions et c'est une honte pour les artistes"
GERMAN = "Sie haben die Bedingungen geändert, und das ist eine Schande für alle"
BOT = "key-of-a-bot"
POST = {
    "post": "p",
    "day": date(2025, 5, 9),
    "source": "reddit",
    "author": "a",
    "text": ENGLISH,
    "langs": ["en"],
    "input_hash": "h",
}
WORK = {
    **dict.fromkeys(("post", "source", "author", "text", "input_hash"), pl.String),
    "day": pl.Date,
    "langs": pl.List(pl.String),
}


def work(*changes: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([POST | change for change in changes], schema=WORK)


def status(**changes: object) -> str:
    return str(tone.score(work(changes), markers={BOT})["status"][0])


def test_the_columns_are_those_of_the_scores_table() -> None:
    assert tone.score(work({}), markers=()).schema == SCORES
    assert tone.score(work(), markers=()).schema == SCORES


def test_an_english_post_is_scored_by_the_package() -> None:
    rows = tone.score(work({}), markers=()).to_dicts()
    assert [row["scorer"] for row in rows] == ["vader_norm-3", "vader-3.3.2"]
    expected = SentimentIntensityAnalyzer().polarity_scores(ENGLISH)
    for row in rows:
        assert {name: row[name] for name in expected} == expected
        assert (row["case"], row["status"], row["lang"]) == ("", "scored", "en")
        assert (row["post"], row["day"], row["input_hash"]) == ("p", POST["day"], "h")
        assert platform.python_version().startswith(f"{row['python']}.")
        assert row["stance"] is row["reasons"] is row["exit"] is row["p_against"] is None


def test_the_raw_score_is_of_the_text_as_it_stands_the_other_of_the_normalised_one() -> None:
    curly, straight = "I don’t like what they did to it", "I don't like what they did to it"
    norm, raw = tone.score(work({"text": curly}), markers=())["compound"]
    package = SentimentIntensityAnalyzer()
    assert norm == package.polarity_scores(straight)["compound"] < 0
    assert raw == package.polarity_scores(curly)["compound"] > 0


@pytest.mark.parametrize(
    "text",
    [
        None,
        "[deleted]",
        "[removed]",
        " [Removed] \n",
        "[deleted]\n\n[removed]",
        "[ Removed by Reddit ]",
        "[deleted by user]",
    ],
)
def test_a_deletion_marker_is_never_text(text: str | None) -> None:
    row = tone.score(work({"text": text}), markers=()).row(0, named=True)
    assert (row["status"], row["lang"], row["compound"]) == ("marker", "und", None)


def test_a_text_that_mentions_a_deletion_is_text() -> None:
    assert status(text="They [removed] my comment about the new terms, again") == "scored"


def test_a_marked_author_is_a_marker_whatever_the_text() -> None:
    assert status(author=BOT) == status(author=BOT, text=FRENCH) == "marker"
    assert status(author=None) == "scored"


def test_another_language_is_never_given_to_the_english_scorer() -> None:
    rows = tone.score(work({"text": GERMAN, "langs": ["en"]}), markers=())
    for row in rows.to_dicts():
        assert (row["status"], row["lang"], row["compound"]) == ("language", "de", None)


def test_a_french_post_is_scored_by_french_words_and_has_no_raw_score() -> None:
    shown, raw = tone.score(work({"text": FRENCH, "langs": ["en"]}), markers=()).to_dicts()
    assert (shown["status"], shown["lang"]) == ("scored", "fr")
    read = spelling.read_as("fr", pl.Series([FRENCH]))
    assert {name: shown[name] for name in vader.MEASURES} == vader.score(read, vader.FRENCH).row(
        0, named=True
    )
    assert shown["compound"] < tone.NEGATIVE
    assert (raw["status"], raw["lang"], raw["compound"]) == ("language", "fr", None)


def test_what_has_no_language_counts_as_another_language() -> None:
    assert (
        status(text="😡😡😡") == status(text="") == status(text="https://example.com") == "language"
    )


def test_no_text_is_too_long() -> None:
    assert status(text=f"{ENGLISH} " * 2_000) == "scored"
    assert status(text=f"{FRENCH} " * 2_000, langs=[]) == "scored"
    assert status(text=f"{GERMAN} " * 2_000, langs=[]) == "language"


def test_every_post_looked_at_has_a_row_of_each_scorer_in_the_same_order() -> None:
    posts = work(
        *({"post": f"p{i}", "text": text} for i, text in enumerate([ENGLISH, None, GERMAN, "😀"]))
    )
    scored = tone.score(posts, markers=())
    assert scored["scorer"].unique(maintain_order=True).to_list() == list(tone.SCORERS)
    for _, part in scored.group_by("scorer"):
        assert part["post"].to_list() == ["p0", "p1", "p2", "p3"]
        assert part["status"].to_list() == ["scored", "marker", "language", "language"]
        assert part["compound"].is_not_null().to_list() == [True, False, False, False]


def test_the_result_does_not_depend_on_the_company_a_post_keeps() -> None:
    texts = [ENGLISH, FRENCH, GERMAN, "😀", f"{ENGLISH} " * 200, "I love it"]
    posts = work(*({"post": str(number), "text": text} for number, text in enumerate(texts)))
    together = tone.score(posts, markers=()).drop("scored_at")
    apart = pl.concat(tone.score(posts[i], markers=()) for i in range(len(texts)))
    order = ["post", "scorer"]
    assert together.sort(order).equals(apart.drop("scored_at").sort(order))


def test_no_word_of_a_text_is_in_the_scores() -> None:
    written = str(tone.score(work({"text": f"{ENGLISH} zyzzyva"}), markers=()).to_dicts())
    assert "zyzzyva" not in written
    assert "terms" not in written


def test_a_language_that_is_known_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def detect(texts: pl.Series, _: pl.Series) -> pl.Series:
        asked.extend(texts)
        return pl.Series(["en"] * len(texts), dtype=pl.String)

    monkeypatch.setattr("analysis.language.detect", detect)
    posts = work({"text": GERMAN}, {"text": ENGLISH}, {"text": FRENCH})
    known = pl.Series("lang", ["de", None, "fr"])
    rows = tone.score(posts.with_columns(known), markers=())[:3]
    assert asked == [ENGLISH]
    assert rows["lang"].to_list() == ["de", "en", "fr"]
    assert rows["status"].to_list() == ["language", "scored", "scored"]
