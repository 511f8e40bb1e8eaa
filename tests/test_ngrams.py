"""Scores of many texts at once are those that py3langid gives each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from analysis import ngrams
from analysis.language import LANGUAGES

PACKAGE = LanguageIdentifier.from_model_file(MODEL_FILE)
SERBIAN = [*LANGUAGES, "ca", "sr"]  # Serbian has a column for each of its scripts
PACKAGE.set_languages(SERBIAN)
LINES = """They changed the terms | Ils ont changé les conditions | C'EST UNE HONTE | the |
    Ich lösche mein Konto | Изменили условия | Условије су промењене | 利用規約が変わりました | ok |
    条款已更改 | quina vergonya | لقد غيروا الشروط | e\u0301te\u0301 | 😀😡 | 100 % | LÖSCHEN"""
SENTENCES = [line.strip() for line in LINES.split("|")]
TEXT = st.one_of(
    st.lists(st.sampled_from(SENTENCES), max_size=4).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)


def theirs(text: str) -> list[float]:
    scores = dict(PACKAGE.rank(text))
    if len(set(scores.values())) == 1:  # without a feature: the lowest float for each
        return [0.0] * len(SERBIAN)
    return [scores[code] for code in SERBIAN]


@settings(deadline=None, max_examples=150)
@given(st.lists(TEXT, max_size=6))
def test_every_score_is_the_one_the_package_gives(texts: list[str]) -> None:
    ours = ngrams.raw(texts, SERBIAN)
    assert ours.shape == (len(texts), len(SERBIAN))
    for row, text in zip(ours, texts, strict=True):
        # float32, summed in another order.
        np.testing.assert_allclose(row, theirs(text), rtol=2e-5, atol=1e-3)


def test_the_best_language_is_the_same_for_ten_thousand_words_and_for_one() -> None:
    texts = [part * times for part in SENTENCES for times in (1, 2, 700)]
    best = [SERBIAN[place] for place in ngrams.raw(texts, SERBIAN).argmax(axis=1)]
    # Without a feature all are equal: the first one.
    expected = [PACKAGE.rank(text)[0][0] if any(theirs(text)) else SERBIAN[0] for text in texts]
    assert best == expected


def test_a_text_has_the_same_scores_in_any_company_and_portion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [*SENTENCES, "", *SENTENCES[:3]]
    together = ngrams.raw(texts, SERBIAN)
    for size in (1, 40):
        monkeypatch.setattr(ngrams, "AT_ONCE", size)
        np.testing.assert_array_equal(ngrams.raw(texts, SERBIAN), together)
    assert ngrams.raw([], SERBIAN).shape == (0, len(SERBIAN))
