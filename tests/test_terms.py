"""What a source's terms forbid is decided in one place."""

from __future__ import annotations

import polars as pl
import pytest
from storing import frame, raw

from cases.terms import permission, permitted

POSTS = frame([raw(1), raw(2, source="bluesky", uri="at://did:plc:a/app.bsky.feed.post/1"), raw(3)])


def test_posts_of_reddit_are_not_trained_on_and_not_sent_away_without_a_permission() -> None:
    kept, left = permitted(POSTS, {})
    assert kept["source"].to_list() == ["bluesky"]
    assert left is not None
    assert left.startswith("2 posts of 3 were left out")
    assert "AFTERSHOCK_REDDIT_PERMISSION" in left


@pytest.mark.parametrize("words", ["", " ", "no", "No", "0", "false", "none"])
def test_no_is_no_permission(words: str) -> None:
    assert permission("reddit", {"AFTERSHOCK_REDDIT_PERMISSION": words}) is None


def test_a_permission_says_where_it_stands() -> None:
    where = {"AFTERSHOCK_REDDIT_PERMISSION": "letter of 3 October 2026"}
    assert permission("reddit", where) == "letter of 3 October 2026"
    kept, left = permitted(POSTS, where)
    assert (kept.height, left) == (3, None)


def test_the_environment_is_asked_where_no_configuration_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AFTERSHOCK_REDDIT_PERMISSION", raising=False)
    assert permission("reddit") is None
    monkeypatch.setenv("AFTERSHOCK_REDDIT_PERMISSION", "letter of 3 October 2026")
    assert permission("reddit") == "letter of 3 October 2026"
    assert permission("bluesky") == "not needed"


def test_a_post_of_no_known_source_is_left_out() -> None:
    unknown = POSTS.with_columns(source=pl.lit(None, pl.String))
    assert permitted(unknown, {})[0].is_empty()
    assert permitted(POSTS.clear(), {})[1] is None
