"""Tone is exactly the package's, or nothing."""

from __future__ import annotations

from importlib.metadata import version

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from analysis import vader

PACKAGE = SentimentIntensityAnalyzer()

PHRASES = """good bad love hate not never isn't don’t don't very extremely kinda kind of but BUT
    least at no NO so this without doubt uber GREAT
    terrible :) :( :D xD ! !!! ???? 😀 ❤️ ❤ 👍🏽 🇫🇷 👨‍👩‍👧
    the a is was music terms bad ass kiss of death to die for beautiful disaster"""
WORDS = st.sampled_from(PHRASES.split())
SENTENCES = st.lists(WORDS, max_size=25).map(" ".join)
ODD = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\x00\x1c\x1f\x85\u2028\u00a0\u200d\ufe0fKİßǅΣⅧ😀☠"),
    ),
    max_size=60,
)


def numbers(text: str) -> dict[str, float]:
    row: dict[str, float] = vader.score(pl.Series([text])).row(0, named=True)
    return row


@settings(deadline=None)
@given(st.lists(st.one_of(SENTENCES, ODD), max_size=8))
def test_every_number_is_the_one_the_package_gives(texts: list[str]) -> None:
    scored = vader.score(pl.Series(texts, dtype=pl.String))
    assert scored.to_dicts() == [PACKAGE.polarity_scores(text) for text in texts]


def test_the_scorer_is_named_after_the_package_that_is_installed() -> None:
    assert f"vader-{version('vaderSentiment')}" == vader.SCORER


def test_a_null_text_has_no_numbers_and_is_not_too_long() -> None:
    texts = pl.Series("text", ["fine", None, ""], dtype=pl.String)
    scored = vader.score(texts)
    assert scored.schema == dict.fromkeys(("compound", "neg", "neu", "pos"), pl.Float64)
    assert scored.row(1) == (None,) * 4
    assert scored["compound"][2] == 0
    assert vader.too_long(texts).to_list() == [False, None, False]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("ab " * 2_000, False),
        ("ab " * 2_001, True),
        ("a\n" * 2_000, False),
        ("a\n" * 2_001, True),
        ("a\x1c" * 2_001, True),
        ("x" * 100_000, False),
        ("😀" * 500, False),
        ("😀" * 501, True),
        ("good 😀 " * 500, False),
        ("good 😀 " * 501, True),
        ("❤️" * 500, False),  # the variation selector is no emoji of the package
        ("❤️" * 501, True),
        ("👍🏽" * 250, False),  # thumb and skin tone are two
        ("👍🏽" * 250 + "😀", True),
    ],
)
def test_the_limits_are_2000_tokens_and_500_emoji(text: str, refused: bool) -> None:
    assert vader.too_long(pl.Series([text])).to_list() == [refused]


@pytest.mark.parametrize("text", ["good " * 2_001, "😀" * 501])
def test_a_text_beyond_the_limits_gets_no_number_rather_than_another(text: str) -> None:
    assert set(numbers(text).values()) == {None}


@pytest.mark.parametrize("text", ["ab " * 1_990 + "good " * 10, "😀" * 500])
def test_a_text_at_the_limits_gets_the_package_s_number(text: str) -> None:
    assert numbers(text) == PACKAGE.polarity_scores(text)


@settings(deadline=None)
@given(
    st.integers(495, 505), st.integers(1_995, 2_005), st.sampled_from([" ", "\n", "\x85", "\u3000"])
)
def test_the_short_cuts_for_short_texts_never_change_the_answer(
    emoji: int, tokens: int, blank: str
) -> None:
    text = "😀" * emoji + blank + blank.join("a" for _ in range(tokens - 1))
    plain = len(text.split()) > 2_000 or sum(c in PACKAGE.emojis for c in text) > 500
    assert vader.too_long(pl.Series([text])).to_list() == [plain]


def test_the_package_replaces_no_ascii_character() -> None:
    assert not [key for key in PACKAGE.emojis if key.isascii()]
