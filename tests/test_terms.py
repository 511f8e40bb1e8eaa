"""What a source's terms forbid is decided in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import polars as pl
import pytest
from conftest import Home
from storing import frame, raw

from cases.terms import permission, permitted
from cli.settings import permissions

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


def test_a_permission_may_stand_in_the_credentials_file(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.folder)
    monkeypatch.delenv("AFTERSHOCK_REDDIT_PERMISSION", raising=False)
    path = home.folder / "credentials"
    monkeypatch.setenv("AFTERSHOCK_CREDENTIALS", str(path))
    assert permitted(POSTS, permissions())[0].height == 1
    path.touch(0o600)
    path.write_text("AFTERSHOCK_REDDIT_PERMISSION='letter of 3 October 2026'\n")
    assert permissions() == {"AFTERSHOCK_REDDIT_PERMISSION": "letter of 3 October 2026"}
    assert permitted(POSTS, permissions())[0].height == 3


# What asks other machines, by the names under which it is imported.
CLIENTS = {"aiohttp", "anthropic", "httpx", "litellm", "openai", "requests", "urllib3"}
ROOT = Path(__file__).parents[1]


def imported(path: Path) -> set[str]:
    """The first names of all modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).partition(".")[0])
    return names


def test_whatever_asks_other_machines_beside_the_collectors_goes_by_the_terms() -> None:
    folders = ("cases", "store", "analysis", "dashboard", "cli")
    files = [path for name in folders for path in (ROOT / name).rglob("*.py")]
    assert len(files) > 50
    assert imported(ROOT / "collectors" / "reddit_client.py") & CLIENTS == {"requests"}
    asking = [path for path in files if imported(path) & CLIENTS]
    free = [path for path in asking if "terms" not in path.read_text(encoding="utf-8")]
    assert free == [], "takes its posts past cases.terms.permitted"
