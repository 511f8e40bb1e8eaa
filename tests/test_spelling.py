"""What is written another way but means the same is scored the same."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import vader
from analysis.spelling import normalise


def one(text: str | None) -> str | None:
    (found,) = normalise(pl.Series([text], dtype=pl.String))
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don’t like it", "I don't like it"),
        ("“ruined”, ‘lost’", "\"ruined\", 'lost'"),
        ("❤️ ☺\ufe0e 👍🏽", "❤ ☺ 👍🏽"),
        ("I don&#39;t &amp;lt; &quot;care&quot;", 'I don\'t &lt; "care"'),
        ("Q&A; a&b c&copy=1 &notaname;", "Q&A; a&b c&copy=1 &notaname;"),
        ("see https://x.example/love?a=1&copy=2, ok!", "see , ok!"),
        ("HTTPS://LOVE.EXAMPLE www.hate.example!", " !"),
        ("[great thing](https://a.example/love_d).", "[great thing]()."),
        ("news.example/2025/love-a… now", "… now"),
        ("and/or yes/no, w/o Love.Hate/so", "and/or yes/no, w/o Love.Hate/so"),
        ("@love.bsky.social hi @hate @a@b.example.", "@user hi @user @user."),
        ("(@love) @love’s me@love.example", "(@user) @user's me@love.example"),
        ("", ""),
        (None, None),
    ],
)
def test_a_text_is_written_in_the_one_way_that_vader_knows(
    text: str | None, expected: str | None
) -> None:
    assert one(text) == expected


TEXTS = st.text(st.sampled_from("aA’“”'\"&;#39 .@/:!-_(\ufe0f❤https\n\u2028é"), max_size=40)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_each_text_is_normalised_by_itself(texts: list[str]) -> None:
    together = normalise(pl.Series(texts, dtype=pl.String)).to_list()
    assert together == [one(text) for text in texts]


PLAIN = st.text(st.sampled_from("abc ABC.,!?:)('\"-\n€é😀"), max_size=40)


@given(PLAIN)
def test_a_text_without_any_of_these_stays_as_it_is(text: str) -> None:
    assert one(text) == text


def test_a_handle_or_an_address_has_no_feeling() -> None:
    texts = normalise(
        pl.Series(["@love @hate", "https://love.example/hate!", "read love.com/hate"])
    )
    assert vader.score(texts)["compound"].to_list() == [0, 0, 0]


@pytest.mark.parametrize("unit", ["a-", "a.", "@a.", "&#", "www.", "a@"])
def test_a_long_text_of_half_a_handle_or_address_takes_no_time_to_speak_of(unit: str) -> None:
    text = unit * 200_000  # a pattern that goes back and forth would need days
    assert one(text) is not None
