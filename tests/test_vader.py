"""Tone is exactly the package's: every number of every text, on every interpreter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import vader
from analysis.vader import outcome, rules, text, words
from analysis.vader.english import EMOJI, LEXICON
from tests import interpreters, wording

PACKAGE = wording.PACKAGE
GENERATED = wording.generated()

PHRASES = """good bad love hate not never isn't don't don’t very extremely kinda kind of but BUT
    least at no NO nor or so this without doubt uber GREAT
    terrible :) :( :D xD ! !!! ???? 😀 ❤️ ❤ 👍🏽 🇫🇷 👨‍👩‍👧
    the a is was music terms bad ass kiss of death to die for beautiful disaster"""
SENTENCES = st.lists(st.sampled_from(PHRASES.split()), max_size=25).map(" ".join)
VOCABULARY = st.sampled_from(sorted({word for pool in wording.POOLS for word in pool}))
COMPANY = st.lists(VOCABULARY, max_size=12).map(" ".join)
ODD = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\x00\x1c\x1f\x85\u2028\u00a0\u200d\ufe0f\u212aİßǅΣⅧ😀☠'n!?. "),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(SENTENCES, COMPANY, ODD), max_size=8))
def test_every_number_is_the_one_the_package_gives(texts: list[str]) -> None:
    scored = vader.score(pl.Series(texts, dtype=pl.String))
    assert scored.to_dicts() == [PACKAGE.polarity_scores(text) for text in texts]


def test_so_it_is_for_thousands_of_texts_made_to_be_hard() -> None:
    assert wording.different(GENERATED) == []


@pytest.mark.skipif(not wording.real(), reason="shared/data is not beside the checkout")
def test_so_it_is_for_every_real_text_at_hand() -> None:
    assert wording.different(wording.real()) == []


@pytest.mark.long
def test_so_it_is_for_a_hundred_thousand_texts_more() -> None:
    for seed in range(20):
        texts = [*wording.hard(3_000, seed=seed), *wording.scattered(1_000, seed=seed)]
        texts += wording.cancelling(1_000, seed=seed)
        assert wording.different(texts) == []


def _as_it_is(value: object, *_: object) -> object:
    return value


@pytest.mark.parametrize(
    ("module", "rule", "without"),
    [
        (rules, "no", lambda near: LEXICON.valence[near.word[0]]),
        *((rules, rule, _as_it_is) for rule in ("capitals", "degree", "negation", "idioms")),
        *((rules, rule, _as_it_is) for rule in ("least", "kind_of", "capitals_of_degree")),
        (vader, "contrast", lambda feeling, *_, slips: feeling.valence),
        (outcome, "_one_by_one", lambda valence, *_: valence),
        (outcome, "emphasis", lambda _, which: np.zeros(which.size)),
        (outcome, "_plainly", lambda *_: (0.0,) * 4),
        (words, "_stripped", lambda codes, kind, start, stop: (start, stop)),
        (words, "_in_capitals", lambda kind, start, stop: np.zeros(start.size, np.bool_)),
        (text, "_described", lambda codes, ends, *_: text.Characters(codes, ends)),
    ],
)
def test_no_rule_could_be_left_out_unnoticed(
    monkeypatch: pytest.MonkeyPatch, module: object, rule: str, without: Callable[..., object]
) -> None:
    monkeypatch.setattr(module, rule, without)
    assert wording.different(GENERATED[::5])


def test_the_package_is_installed_in_the_version_the_scorer_is_named_after() -> None:
    assert f"vader-{version('vaderSentiment')}" == vader.SCORER


def test_a_null_text_has_no_numbers_and_every_other_text_has() -> None:
    texts = pl.Series("text", [None, "fine", None, "", "bad", None], dtype=pl.String)
    scored = vader.score(texts)
    assert scored.schema == dict.fromkeys(("compound", "neg", "neu", "pos"), pl.Float64)
    assert scored["compound"].is_null().to_list() == texts.is_null().to_list()
    assert scored.row(3) == (0.0,) * 4
    assert scored.row(4, named=True) == PACKAGE.polarity_scores("bad")
    assert vader.score(texts[:1]).row(0) == (None,) * 4
    assert vader.score(texts[:0]).schema == scored.schema


def test_a_text_has_the_same_numbers_in_any_company_and_portion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = pl.Series([*GENERATED[:400], "", None, *GENERATED[400:500]])
    together = vader.score(texts)
    for size in (1, 50, 3_000):
        monkeypatch.setattr(vader, "AT_ONCE", size)
        assert vader.score(texts).equals(together)


@pytest.mark.parametrize(
    ("text", "compound", "pos"),
    [
        ("good " * 100_000, 1.0, 1.0),
        ("good but bad love " * 50_000, 0.9999999, 0.0),
        ("😀" * 50_000, 1.0, 0.0),
        ("!" * 1_000_000, 0.0, 0.0),
    ],
)
def test_a_text_that_would_keep_the_package_busy_for_hours_is_scored_whole(
    text: str, compound: float, pos: float
) -> None:
    numbers = vader.score(pl.Series([text])).row(0, named=True)
    assert numbers["compound"] == pytest.approx(compound, abs=1e-4)
    assert numbers["pos"] >= pos


@pytest.mark.parametrize("unit", ["good but bad love ", "good 😀 ", "NOT very good, no "])
def test_so_are_repetitions_as_long_as_the_package_can_be_waited_for(unit: str) -> None:
    assert wording.different([unit * 150]) == []


def test_only_the_kelvin_sign_becomes_an_ascii_letter_in_lower_case() -> None:
    found = [chr(point) for point in range(128, 0x110000) if chr(point).lower().isascii()]
    assert found == ["\u212a"]


def test_the_package_replaces_no_ascii_character() -> None:
    assert not [key for key in PACKAGE.emojis if key.isascii()]
    assert all(len(key) == 1 for key in EMOJI)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_numpy_for_an_interpreter_is_the_one_that_users_of_it_have(version: str) -> None:
    # Whichever Python asks: pip passes over a line whose condition its own Python does not meet.
    wanted = "".join(interpreters.locked("numpy", version))
    lock = (interpreters.ROOT / "requirements.txt").read_text()
    ours = re.findall(r"^numpy==(\S+)(?: ; python_full_version (\S+) '3.12')?", lock, re.MULTILINE)
    right = {"", "<" if version == "3.11" else ">="}
    assert [number for number, when in ours if when in right] == [wanted.split()[0][7:]]
    assert ";" not in wanted
    assert wanted.count("--hash=sha256:") > 10


@pytest.mark.parametrize("name", interpreters.found())
def test_the_numbers_are_those_the_package_gives_on_the_same_interpreter(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    if not interpreters.ready(name):
        pytest.skip(f"{name} has no numpy; `make interpreters` gets it, with a network")
    done = interpreters.run(name, str(interpreters.ROOT / "tests" / "wording.py"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["different"] == []
    assert found["texts"] >= len(GENERATED)
    assert found["python"].startswith(f"{interpreters.minor(name)}.")
    record_property("tone compared on", f"CPython {found['python']}")
