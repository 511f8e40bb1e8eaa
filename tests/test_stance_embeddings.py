"""Stance from sentence vectors: what holds without the package, and what with it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stance import SCHEMA, evaluate
from analysis.stance.embeddings import (
    ARTEFACT,
    INSTALL,
    LONGEST,
    PACKAGE,
    SIZE,
    VERSION,
    NotInstalled,
    joined,
    predict,
    shipped,
    vectors,
)
from analysis.stance.features import Post
from analysis.stance.linear import Sparse
from analysis.stance.vector_head import Beside, load

ROOT = Path(__file__).parents[1]
LABELLED = ROOT.parent / "shared" / "data" / "stance_dev.ndjson"
POSTS = pl.DataFrame(
    {
        "text": [
            "I never agreed to have my songs train Tootle's AI. Deleting everything tonight.",
            None,
            "Lovely sunset over the harbour",
            "Je supprime mon compte : personne ne m'a demandé si leur IA pouvait lire mes textes.",
        ],
        "lang": ["en", "en", "en", "fr"],
        "title": [None, None, "Tootle will train AI on uploads", None],
        "parent": pl.Series([None] * 4, dtype=pl.String),
        "names": [["Tootle"]] * 4,
    }
)


@pytest.fixture(scope="module")
def e5() -> None:
    """The package; without it these tests are skipped by name."""
    pytest.importorskip(PACKAGE, reason=f"needs {PACKAGE} ({INSTALL})")


def test_without_the_package_the_sentence_says_what_to_run(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    monkeypatch.setattr("analysis.stance.embeddings._model", fresh())
    with pytest.raises(NotInstalled, match=re.escape(INSTALL)):
        predict(POSTS)
    assert predict(POSTS.clear()).schema == SCHEMA


def test_another_version_than_the_heads_is_not_used(monkeypatch) -> None:
    odd = type(sys)(PACKAGE)
    odd.__version__ = "9.9.9"
    monkeypatch.setitem(sys.modules, PACKAGE, odd)
    monkeypatch.setattr("analysis.stance.embeddings._model", fresh())
    with pytest.raises(NotInstalled, match=r"9\.9\.9 is installed"):
        predict(POSTS)


def fresh():
    """The function that loads the model, as if nobody had called it yet."""
    from analysis.stance import embeddings  # noqa: PLC0415

    return embeddings._model.__wrapped__


def test_one_version_is_named_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = [f"{PACKAGE}=={VERSION}"]
    assert project["project"]["optional-dependencies"]["embeddings"] == pinned
    assert project["dependency-groups"]["embeddings"] == pinned
    assert (
        f"\n{pinned[0]} \\\n    --hash=sha256:"
        in (ROOT / "requirements-embeddings.txt").read_text()
    )
    assert re.search(rf"^{INSTALL.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_artefact_fits_the_concepts_and_is_written_as_it_was_read(tmp_path) -> None:
    head = shipped()
    assert head.mean.shape == head.spread.shape == (2, SIZE)
    assert head.weights.shape[0] == sum(len(block.key) for block in head.blocks) + SIZE
    for name in ("one.npz", "other.npz"):
        head.save(tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    again = load(tmp_path / "one.npz")
    assert np.array_equal(again.weights, head.weights)
    assert ARTEFACT.stat().st_size < 1_000_000
    with np.load(ARTEFACT, allow_pickle=False) as arrays:
        changed = {name: arrays[name] for name in arrays.files} | {"concepts": np.array("others")}
    np.savez(tmp_path / "stale.npz", **changed)
    with pytest.raises(ValueError, match=r"make stance-embeddings"):
        load(tmp_path / "stale.npz")


@given(st.integers(1, 6), st.integers(0, 5), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_matrices_beside_each_other_are_one_matrix(height, sparse, dense, seed) -> None:
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(height, sparse)) * (rng.random((height, sparse)) < 0.5)
    right = rng.normal(size=(height, dense))
    rows, columns = np.nonzero(left)
    both = Beside(Sparse(rows, columns, left[rows, columns], height, sparse), right)
    whole = np.hstack([left, right])
    weights, errors = rng.normal(size=(sparse + dense, 3)), rng.normal(size=(height, 3))
    np.testing.assert_allclose(both.times(weights), whole @ weights, atol=1e-12)
    np.testing.assert_allclose(both.transposed_times(errors), whole.T @ errors, atol=1e-12)
    chosen = rng.random(height) < 0.5
    np.testing.assert_allclose(both.take(chosen).times(weights), whole[chosen] @ weights)


def test_a_post_is_read_with_what_stands_around_it() -> None:
    assert joined(Post("text", "title", "parent")) == "title / parent: text"
    assert joined(Post("te\0xt", "", "parent")) == "parent: te xt"
    assert joined(Post("text" * LONGEST)) == ("text" * LONGEST)[:LONGEST]


@pytest.mark.embeddings
def test_clear_posts_are_read_in_both_languages_and_rows_stay_in_their_order(e5) -> None:
    found = predict(POSTS)
    assert found.schema == SCHEMA
    assert found["stance"].to_list() == ["against", None, "off", "against"]
    assert found["exit"].to_list()[:3] == [True, None, False]
    assert found.reverse().equals(predict(POSTS.reverse()))


@pytest.mark.embeddings
def test_vectors_are_kept_without_text_and_not_computed_twice(e5, tmp_path, monkeypatch) -> None:
    path = tmp_path / "vectors.sqlite"
    first = predict(POSTS, cache=path)
    held = path.read_bytes()
    assert not any(word in held for word in (b"agreed", b"sunset", b"Tootle", b"compte"))
    monkeypatch.setattr("analysis.stance.embeddings._model", None)  # not to be called
    assert predict(POSTS, cache=path).equals(first)


@pytest.mark.embeddings
def test_a_vector_does_not_depend_on_its_company_and_any_text_has_one(e5) -> None:
    odd = ["", " ", "\ud800", "🙄", "a" * 3_000, "word " * 800, "你好"]
    plain = ["The terms changed.", "Who asked for this?"]
    together = vectors([*plain, *odd]).astype(float)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=2e-3)
    alone = np.concatenate([vectors([text]) for text in plain]).astype(float)
    np.testing.assert_allclose(alone, together[:2], atol=2e-3)


@pytest.mark.embeddings
@pytest.mark.long
@pytest.mark.skipif(not LABELLED.exists(), reason="no labelled posts beside the checkout")
def test_stance_of_labelled_posts_is_as_good_as_was_measured(e5) -> None:
    """Real posts that nothing was fitted to; every fourth, as they take a second for twenty."""
    posts = evaluate.labelled(LABELLED)[0][::4]
    duolingo = [post.source == "reddit_duolingo" for post in posts]
    found = predict(
        pl.DataFrame(
            {
                "text": [post.text for post in posts],
                "lang": ["en"] * len(posts),
                "title": ["" if "(unknown)" in p.context else p.context for p in posts],
                "parent": [""] * len(posts),
                "names": [["Duolingo", "Duo"] if its else [] for its in duolingo],
            },
            schema_overrides={"names": pl.List(pl.String)},
        )
    )
    figures = evaluate.measures(
        {
            "stance": np.array([post.stance for post in posts]),
            "said": found["stance"].to_numpy(),
            "against": found["p_against"].to_numpy(),
            "on": found["p_on_topic"].to_numpy(),
        }
    )
    assert figures["macro_f1"] > 0.6
    assert figures["ap"] > 0.5
