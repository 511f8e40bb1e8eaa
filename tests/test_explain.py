"""Explaining a tone: word by word, with the scorer's own numbers, and nothing kept."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import spelling, vader
from analysis.explain import Word, explain
from tests import wording
from tests.test_french import PLENTY

FRENCH = st.lists(st.sampled_from(PLENTY.split()), max_size=15).map(" ".join)
ENGLISH = st.sampled_from(wording.generated()[:6000:7])
ODD = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@settings(deadline=None, max_examples=60)
@given(st.one_of(FRENCH, ODD))
def test_french_is_explained_by_the_numbers_of_the_scorer(text: str) -> None:
    read = spelling.read_as("fr", pl.Series([text]))
    assert explain(text, "fr").numbers == vader.score(read, vader.FRENCH).row(0, named=True)


@settings(deadline=None, max_examples=60)
@given(st.one_of(ENGLISH, ODD))
def test_english_is_explained_by_the_numbers_of_the_package_and_of_the_scorer(text: str) -> None:
    read = str(spelling.normalise(pl.Series([text]))[0])
    told = explain(text, "en")
    assert told.numbers == wording.PACKAGE.polarity_scores(read)
    assert told.numbers == vader.score(pl.Series([read])).row(0, named=True)


def words(text: str, code: str) -> dict[str, Word]:
    return {word.word: word for word in explain(text, code).words}


def test_every_english_rule_that_changed_a_word_is_named() -> None:
    (great,) = explain("I am NOT very GREAT, but ok", "en").words[:1]
    notes = " | ".join(great.notes)
    for part in ("in the lexicon: +3.10", "capitals", 'adverb "very"', '"NOT" two words', '"but"'):
        assert part in notes
    assert 'negated by "no"' in " ".join(words("no good", "en")["good"].notes)
    assert "phrase" in " ".join(words("it is all so very bad ass", "en")["ass"].notes)
    assert '"least"' in " ".join(words("the least good", "en")["good"].notes)


def test_every_french_rule_that_changed_a_word_is_named() -> None:
    found = words("Je n’aime vraiment pas, c'est très NUL mais bon, ras le bol", "fr")
    assert "negation (n', pas)" not in " ".join(found["NUL"].notes)
    assert "negation (n', pas)" in " ".join(found["aime"].notes)
    for part in ("in the lexicon", "capitals", "degree adverb before", "(tres)", '"mais"'):
        assert part in " | ".join(found["NUL"].notes)
    assert found["ras le bol"].notes == ["in the lexicon: -2.20", 'before or after "mais": -3.30']


def test_the_negation_behind_an_adverb_is_named() -> None:
    assert "negation (pas)" in " ".join(words("j'aime vraiment pas", "fr")["aime"].notes)


def test_a_long_french_text_is_explained_in_time_that_grows_with_its_length() -> None:
    def seconds(times: int) -> float:
        start = time.process_time()
        explain("nul bien pas mais " * times, "fr")
        return time.process_time() - start

    seconds(10)
    assert seconds(4_000) < 40 * max(seconds(400), 0.005)


def test_the_command_explains_without_a_store_and_keeps_nothing(home, aftershock) -> None:
    ended = aftershock("score", "--explain", "They ruined it and I hate this awful change")
    assert ended.code == 0, ended.err
    assert "hate\n  in the lexicon: -2.70" in ended.out
    assert ": negative (neg " in ended.out
    assert not home.store.exists()


@pytest.mark.parametrize(
    ("text", "lang", "said"),
    [
        ("C'est une honte, ils ont tout cassé", None, "Language: fr"),
        ("Das ist eine Schande für alle Künstler", None, "Not scored: its language is de"),
        ("😀", None, "no language that can be told"),
        ("non merci", "fr", "Language: fr"),
    ],
)
def test_the_language_decides_which_words_are_asked(
    home, aftershock, text: str, lang: str | None, said: str
) -> None:
    declared = ("--lang", lang) if lang else ()
    assert said in aftershock("score", "--explain", text, *declared).out


def test_an_explanation_that_would_end_elsewhere_is_refused_in_a_sentence(
    home, aftershock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "analysis.explain.Recorder.score_valence", lambda *_: dict.fromkeys(vader.MEASURES, 0.0)
    )
    ended = aftershock("score", "--explain", "I hate this awful change they made")
    assert ended.code == 1
    assert "cannot be explained" in ended.err
    assert "Traceback" not in ended.err


def test_a_text_too_long_for_a_command_line_is_read() -> None:
    command = [str(Path(sys.executable).with_name("aftershock")), "score", "--explain", "-"]
    done = subprocess.run(command, input="I hate it", capture_output=True, text=True, check=True)
    assert "hate\n  in the lexicon: -2.70" in done.stdout
