"""The real case, end to end: import, score and export give what a short plain script gives."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from analysis.language import detect
from analysis.spelling import normalise

REAL = Path(__file__).parents[2] / "shared" / "data" / "duolingo.ndjson"
MEMO = datetime(2025, 4, 28, tzinfo=UTC)

pytestmark = pytest.mark.skipif(
    not REAL.is_file(), reason="shared/data/duolingo.ndjson is not beside the checkout"
)


def plainly() -> list[tuple[datetime, float]]:
    """Time and compound of every English post: json, vaderSentiment, our language and spelling."""
    posts = []
    for line in REAL.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        parts = [raw["title"], raw["text"]] if raw["kind"] == "t3" else [raw["text"]]
        text = "\n\n".join(part for part in parts if part)
        posts.append((datetime.fromtimestamp(raw["created_utc"], UTC), text))
    texts = pl.Series([text for _, text in posts])
    langs = detect(texts, pl.Series([[]] * len(posts), dtype=pl.List(pl.String)))
    analyzer = SentimentIntensityAnalyzer()
    return [
        (at, analyzer.polarity_scores(text)["compound"])
        for (at, _), text, lang in zip(posts, normalise(texts), langs, strict=True)
        if lang == "en"
    ]


@pytest.fixture
def weekly(home, aftershock) -> list[dict[str, str]]:
    file = home.folder / "weekly.csv"
    imported = aftershock("import", REAL, "--case", "duolingo", "--take-all", "--json")
    assert imported.code == 0, imported.err
    assert [(one["rows"], one["new"], one["bad"]) for one in imported.json()] == [(3282, 3282, 0)]
    assert aftershock("score").code == 0
    words = ("--case", "duolingo", "--bucket", "week", "-o", file)
    assert aftershock("export", "series", *words).code == 0
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["source"] == "all"]


def test_the_weekly_series_of_real_posts_equals_a_plain_script(weekly) -> None:
    truth: dict[date, list[float]] = defaultdict(list)
    for at, compound in plainly():
        truth[(at - timedelta(days=at.weekday())).date()].append(compound)
    assert len(weekly) >= len(truth)
    seen = 0
    for row in weekly:
        compounds = truth.get(date.fromisoformat(row["start"][:10]), [])
        negative = sum(compound <= -0.05 for compound in compounds)
        positive = sum(compound >= 0.05 for compound in compounds)
        n = len(compounds)
        assert (int(row["n"]), int(row["n_neg"]), int(row["n_pos"])) == (n, negative, positive)
        seen += n
        if n >= 30:
            assert float(row["neg_share"]) == pytest.approx(negative / n, rel=1e-12)
            assert float(row["balance"]) == pytest.approx(100 * (negative - positive) / n, rel=1e-9)
            assert float(row["mean_compound"]) == pytest.approx(sum(compounds) / n, rel=1e-9)
            assert float(row["balance_lo"]) < float(row["balance"]) < float(row["balance_hi"])
        else:
            assert row["neg_share"] == row["balance"] == ""
    assert seen == sum(map(len, truth.values()))


def test_the_negative_share_rises_with_the_memo(weekly) -> None:
    shares = []
    for after in (False, True):
        rows = [row for row in weekly if (row["start"] >= f"{MEMO:%Y-%m-%d}") == after]
        shares.append(sum(int(r["n_neg"]) for r in rows) / sum(int(r["n"]) for r in rows))
    assert round(100 * shares[0]) in (26, 27)
    assert round(100 * shares[1]) == 36


def test_a_second_import_adds_nothing(weekly, aftershock) -> None:
    again = aftershock("import", REAL, "--case", "duolingo", "--take-all", "--json").json()
    assert [(one["rows"], one["new"]) for one in again] == [(3282, 0)]
    assert "Nothing to score" in aftershock("score").out
