"""Stance: the invented corpus is what it says, the model is the artefact of it, and words count."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from analysis import stance
from analysis.stance import evaluate as measure
from analysis.stance import model as models
from analysis.stance.concepts import concepts, names
from analysis.stance.corpus import corpus
from analysis.stance.features import BLOCKS, features
from analysis.stance.linear import Sparse, fit, sigmoid
from analysis.stance.words import HANDLE, LINK, OTHER, TARGET, words

DEV = Path(__file__).parents[2] / "shared" / "data" / "stance_dev.ndjson"
CLASSES = ("against", "for", "neutral", "off")
EVERYDAY = "everyday chat, learning, hobby, questions about the platform without AI"


def said(text: str, **values: object) -> dict[str, object]:
    row = {"text": text, "lang": "en", "title": None, "parent": None, "names": []} | values
    schema = {"title": pl.String, "parent": pl.String, "names": pl.List(pl.String)}
    return stance.predict(pl.DataFrame([row], schema_overrides=schema)).row(0, named=True)


# The corpus


@pytest.fixture(scope="module")
def posts():
    return corpus()


def test_the_corpus_has_what_its_documentation_says(posts) -> None:
    languages = Counter(post.lang for post in posts)
    assert languages["en"] >= 2200
    assert languages["fr"] >= 800
    assert len({post.platform for post in posts}) > 40
    assert {post.source for post in posts} == {"bluesky", "reddit", "forum"}
    assert len({post.id for post in posts}) == len(posts)
    count = Counter(post.stance for post in posts)
    assert set(count) == set(CLASSES)
    hard = sum(post.stance == "off" and post.sort != EVERYDAY for post in posts)
    assert hard >= count["against"]
    assert min(count.values()) >= 600
    for lang in languages:
        kinds = Counter(post.sort for post in posts if post.lang == lang)
        assert len(kinds) >= 60
    assert all(post.stance == "against" or not post.reasons for post in posts)
    assert all(set(post.reasons) <= set(stance.REASONS) for post in posts)


def test_every_class_is_as_long_as_every_other(posts) -> None:
    edges = [3, 6, 10, 16, 26, 41, 71, 121, 250]
    shares = {}
    for name in CLASSES:
        long = [len(post.text.split()) for post in posts if post.stance == name]
        assert min(long) >= 3
        shares[name] = np.histogram(long, edges)[0] / len(long)
    for one, other in combinations(CLASSES, 2):
        assert np.abs(shares[one] - shares[other]).max() < 0.05, (one, other)


def test_near_copies_are_rare_but_for_the_pairs_that_are_meant_to_be(posts) -> None:
    """Jaccard of five-letter shingles above .6, by MinHash bands of the rarest shingles."""
    shingles = []
    for post in posts:
        text = " ".join(post.text.lower().split())
        found = {hash(text[i : i + 5]) for i in range(max(1, len(text) - 4))}
        shingles.append(found)
    rare = Counter(shingle for found in shingles for shingle in found)
    by: dict[int, list[int]] = {}
    for number, found in enumerate(shingles):
        for shingle in sorted(found, key=lambda one: (rare[one], one))[:8]:
            by.setdefault(shingle, []).append(number)
    pairs = {pair for held in by.values() if len(held) < 50 for pair in combinations(held, 2)}
    copies = set()
    for one, other in pairs:
        meant = posts[one].id == posts[other].pair or posts[other].id == posts[one].pair
        together = len(shingles[one] & shingles[other]) / len(shingles[one] | shingles[other])
        if together > 0.6 and not meant:
            copies.add(other)
    assert len(copies) < 0.02 * len(posts)
    twins = [post for post in posts if post.pair]
    ids = {post.id: post for post in posts}
    assert len(twins) >= 150
    assert all(ids[post.pair].stance == "against" and post.stance == "off" for post in twins)


# Words


def test_names_links_and_handles_become_words_of_their_own() -> None:
    read = words("SoundCloud's terms, https://example.org/x @a.example Deezer", ["SoundCloud"])
    assert TARGET in read.own
    assert OTHER in read.own
    assert LINK in read.own
    assert HANDLE in read.own
    assert not any("soundcloud" in word or "deezer" in word for word in read.own)


def test_what_is_quoted_is_told_from_the_posts_own_words() -> None:
    read = words('They say "you agree that we may train our models" and I object.')
    assert "train" in read.quoted
    assert "train" not in read.own
    assert "object" in read.own
    assert "training" not in words("> You agree to training.\nNo.").own
    assert "no" in words("> You agree to training.\nNo.").own
    assert words('It is "free" now').quoted == ()


def test_every_french_concept_is_one_of_the_english() -> None:
    english, french = (
        set(chain(*known.words.values(), *known.beginnings.values(), *known.phrases.values()))
        for known in (concepts("en"), concepts("fr"))
    )
    assert english == french == set(range(len(names()) - 2))
    assert names().index("consent") in concepts("fr").of_word("consentement")
    assert names().index("theft") in concepts("en").of_word("stolen")


def test_features_of_a_post_do_not_depend_on_its_neighbours(posts) -> None:
    some = [post.post() for post in posts[::97]]
    together = features(some)
    for number in (0, len(some) - 1):
        alone = features([some[number]])
        for block in BLOCKS:
            here = together[block].post == number
            assert np.array_equal(together[block].key[here], alone[block].key)
            assert np.array_equal(together[block].count[here], alone[block].count)
    assert all(len(found.key) == 0 for found in features([]).values())


# The model


def test_a_logistic_fit_is_at_its_minimum() -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(200, 5))
    rows, columns = np.divmod(np.arange(1000), 5)
    x = Sparse(rows, columns, dense.ravel(), 200, 5)
    y = (dense @ [1, -2, 0, 0.5, 0] + rng.normal(size=200) > 0).astype(float)[:, None]
    w, b = fit(x, y, np.ones(200), ridge=1.0, exclusive=False)
    slope = dense.T @ (sigmoid(dense @ w + b) - y) + w
    assert np.abs(slope).max() < 1e-3
    assert abs((sigmoid(dense @ w + b) - y).sum()) < 1e-3


def test_the_artefact_is_the_one_that_is_documented_and_small() -> None:
    docs = (Path(__file__).parents[1] / "docs" / "stance.md").read_text("utf-8")
    held = models.ARTEFACT.read_bytes()
    assert hashlib.sha256(held).hexdigest() in docs
    assert len(held) < 6_000_000
    assert models.shipped().name == stance.SCORER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They trained their AI on our music without asking. I deleted my account.", "against"),
        ("Honestly the AI panic is silly, nobody is stealing your songs, calm down.", "for"),
        ("My streak is gone again since the last update, please fix the app.", "off"),
        ("Practised scales for an hour and burned the rice.", "off"),
    ],
)
def test_plain_posts_are_read_as_they_are_meant(text: str, expected: str) -> None:
    assert said(text)["stance"] == expected


def test_plain_french_posts_too() -> None:
    text = "Ils entraînent leur IA sur nos musiques sans notre accord, j'ai supprimé mon compte."
    read = said(text, lang="fr")
    assert read["stance"] == "against"
    assert read["exit"]
    assert said("Belle balade ce matin, il faisait frais.", lang="fr")["stance"] == "off"


def test_probabilities_add_up_and_nothing_gets_nothing() -> None:
    schema = {"text": pl.String, "title": pl.String, "parent": pl.String, "lang": pl.String}
    frame = pl.DataFrame(
        {
            "text": ["AI terms are fine with me", None, ""],
            "lang": ["en", "en", "de"],
            "title": [None, "A title", None],
            "parent": [None, None, "No!"],
            "names": [["Tootle"], None, []],
        },
        schema_overrides=schema,
    )
    found = stance.predict(frame)
    assert found.schema == stance.SCHEMA
    assert found.row(1) == (None,) * len(stance.SCHEMA)
    parts = found["p_against"] + found["p_for"] + found["p_neutral"] - found["p_on_topic"]
    assert parts.drop_nulls().abs().max() < 1e-9
    assert stance.predict(frame.clear()).height == 0
    for number in (0, 2):
        assert stance.predict(frame[number]).equals(found[number])


# Measuring


def test_measures_agree_with_hand_counts() -> None:
    truth = np.array([True, True, False, False])
    assert measure.f1(truth, np.array([True, False, False, False])) == pytest.approx(2 / 3)
    assert measure.average_precision(truth, np.array([0.9, 0.2, 0.5, 0.1])) == pytest.approx(5 / 6)
    assert measure.calibration_error(truth, np.array([1.0, 1.0, 0.0, 0.0])) == 0
    assert measure.calibration_error(truth, np.full(4, 0.25)) == pytest.approx(0.25)


def test_a_file_is_judged_and_measured(tmp_path: Path, aftershock) -> None:
    records = [
        {"uid": str(n), "text": text, "stance": label, "thread": f"t{n % 7}", "source": "reddit"}
        for n, (text, label) in enumerate(
            [("They scrape our art to train AI, I object.", "against"), ("Nice song!", "off")] * 12
        )
    ]
    file = tmp_path / "labelled.ndjson"
    file.write_text(
        "\n".join(map(json.dumps, records)) + '\n{"text": "x", "stance": ["for", "off"]}'
    )
    ended = aftershock("stance", "evaluate", file, "--json")
    assert ended.code == 0, ended.err
    measured = json.loads(ended.out)
    assert (measured["n"], measured["apart"]) == (24, 1)
    rows = {row["scorer"]: row for row in measured["rows"] if row["of"] == "all"}
    assert rows[stance.SCORER]["macro_f1"] > rows["all against"]["macro_f1"]
    out = tmp_path / "out.ndjson"
    assert aftershock("stance", "predict", file, "-o", out).code == 0
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [line.get("uid") for line in lines] == [*(str(n) for n in range(24)), None]
    assert {"stance", "p_against", "p_on_topic", "reasons", "exit"} <= lines[0].keys()
    file.write_text('{"text": 1}\n')
    ended = aftershock("stance", "predict", file, "-o", tmp_path / "none.ndjson")
    assert ended.code != 0
    assert "line 1" in ended.err
    assert sorted(path.name for path in tmp_path.glob("*none*")) == []


@pytest.mark.skipif(not DEV.is_file(), reason="shared/data/stance_dev.ndjson is not there")
def test_on_real_posts_it_beats_what_comes_for_free(aftershock) -> None:
    measured = json.loads(aftershock("stance", "evaluate", DEV, "--json").out)
    rows = {(row["scorer"], row["of"]): row for row in measured["rows"]}
    ours = rows[stance.SCORER, "all"]
    assert ours["macro_f1"] >= 0.68
    assert ours["ece"] < 0.10
    assert all(
        ours["macro_f1"] > row["macro_f1"] + 0.05
        for (scorer, _), row in rows.items()
        if scorer != stance.SCORER
    )
