"""Why a text has the tone it has: word by word, which rule did what.

English is told by the package itself: a subclass of its analyser that notes what each of its rules
makes of a valence. French is told by the rules of `analysis.vader.rules_french`, one after the
other. Neither computes anything anew: the numbers are the scorer's. Nothing is kept.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from vaderSentiment.vaderSentiment import C_INCR, N_SCALAR, SentimentIntensityAnalyzer

from analysis import spelling, vader
from analysis.tone import LANGUAGES
from analysis.vader import outcome, rules_french
from analysis.vader.english import EMOJI
from analysis.vader.french import BEHIND
from analysis.vader.rules import REACH, Valence

BEFORE = {1: "just before", 2: "two words before", 3: "three words before"}


@dataclass
class Word:
    """A word of the text, what the rules did to its valence in order, and what came out."""

    word: str
    notes: list[str] = field(default_factory=list)
    valence: float = 0.0

    def becomes(self, value: float, why: str) -> None:
        """Note a rule if it changed the valence."""
        if value != self.valence:
            self.notes.append(f"{why}: {value:+.2f}")
            self.valence = value


@dataclass(frozen=True)
class Explanation:
    """The text as it was read, its words, what was done to their sum, and the four numbers."""

    read: str
    words: list[Word]
    notes: list[str]
    numbers: dict[str, float]


def explain(text: str, code: str) -> Explanation:
    """Of a text in a language of `analysis.tone.LANGUAGES` (ISO 639-1 code).

    Raises Unexplained when what was told does not end in the scorer's numbers.
    """
    read = str(spelling.read_as(code, pl.Series([text]))[0])
    scored = vader.score(pl.Series([read]), LANGUAGES[code]).row(0, named=True)
    told = _french(read) if code == "fr" else Recorder().explain(read)
    if told.numbers != scored:
        raise Unexplained(
            "This text cannot be explained: the steps told would end in other numbers than the"
            f" score itself (compound {scored['compound']:+.4f}). That is a mistake in Aftershock;"
            " please report it with the text."
        )
    return told


class Unexplained(ValueError):  # noqa: N818 - read as a sentence where it is raised
    """An explanation that would have told another tone than the scorer's."""


class Recorder(SentimentIntensityAnalyzer):  # type: ignore[misc]  # the package has no types
    """The package's analyser, noting what its rules do. Every number is still its own."""

    def explain(self, text: str) -> Explanation:
        """The package's numbers of the text, and how they came about."""
        self._words: dict[int, Word] = {}
        self._notes: list[str] = []
        numbers = self.polarity_scores(text)
        return Explanation(text, list(self._words.values()), self._notes, numbers)

    def sentiment_valence(
        self, valence: float, sentitext: Any, item: str, i: int, sentiments: list[float]
    ) -> Any:
        """A word of the text; what the package decides in here itself is noted beforehand."""
        if item.lower() not in self.lexicon:
            return super().sentiment_valence(valence, sentitext, item, i, sentiments)
        self._word = self._words[i] = Word(item)
        words = [word.lower() for word in sentitext.words_and_emoticons]
        self._begin(words, i, loud=item.isupper() and sentitext.is_cap_diff)
        result = super().sentiment_valence(valence, sentitext, item, i, sentiments)
        self._word.becomes(result[-1], "a degree adverb before")
        return result

    def _begin(self, words: list[str], i: int, *, loud: bool) -> None:
        word, own = self._word, self.lexicon[words[i]]
        word.becomes(own, "in the lexicon")
        if words[i] == "no" and i + 1 < len(words) and words[i + 1] in self.lexicon:
            word.becomes(0.0, "negates the next word, so has no valence of its own")
        before = words[max(0, i - 3) : i][::-1]
        if "no" in before[: 3 if before[:1] in (["or"], ["nor"]) else 2]:
            word.becomes(own * N_SCALAR, 'negated by "no"')
        if loud:
            more = C_INCR if word.valence > 0 else -C_INCR
            word.becomes(word.valence + more, "in capitals among other words")

    def _negation_check(self, valence: float, words: list[str], start_i: int, i: int) -> float:
        before = f'"{words[i - start_i - 1]}" {BEFORE[start_i + 1]}'
        self._word.becomes(valence, f"degree adverb {before}")
        value = float(super()._negation_check(valence, words, start_i, i))
        self._word.becomes(value, f"negation rule, {before}")
        return value

    def _special_idioms_check(self, valence: float, words: list[str], i: int) -> float:
        value = float(super()._special_idioms_check(valence, words, i))
        self._word.becomes(value, "part of a phrase")
        return value

    def _least_check(self, valence: float, words: list[str], i: int) -> float:
        value = float(super()._least_check(valence, words, i))
        self._word.becomes(value, 'negated by "least"')
        return value

    def _but_check(self, words: list[str], sentiments: list[float]) -> list[float]:
        weighed: list[float] = super()._but_check(words, sentiments)
        for i, word in self._words.items():
            word.becomes(weighed[i], 'before or after "but"')
        return weighed

    def score_valence(self, sentiments: list[float], text: str) -> Any:
        """The sum of the text and its punctuation."""
        self._notes += summed(float(sum(sentiments)), self._punctuation_emphasis(text))
        return super().score_valence(sentiments, text)


def summed(total: float, punctuation: float) -> list[str]:
    """What happens after the words: the sum, and the marks that move it away from zero."""
    notes = [f"sum of the words: {total:+.2f}"]
    if punctuation and total:
        notes.append(f"exclamation and question marks, away from zero: {punctuation:.2f}")
    return notes


def _french(read: str) -> Explanation:
    seen = vader.look([read], vader.FRENCH)
    spelt = _as_split(read)
    plain = [word.strip(string.punctuation.replace("'", "")) for word in spelt]
    words = [Word(_phrase(spelt, seen, int(place))) for place in seen.hits]
    value: Valence = np.zeros(len(words))
    for name, rule in rules_french.RULES.items():
        value = rule(value, seen.near)
        for at, (word, new) in enumerate(zip(words, value.tolist(), strict=True)):
            word.becomes(new, _why(name, plain, int(seen.hits[at])))
    feeling = vader.weigh(seen, value, vader.FRENCH)
    felt = [word for word in words if word.valence]
    for word, new in zip(felt, feeling.valence.tolist(), strict=True):
        word.becomes(new, 'before or after "mais"')
    marks = float(outcome.emphasis(seen.chars, np.array([0]))[0])
    notes = summed(sum(word.valence for word in felt), marks)
    row = outcome.measure(feeling, seen.chars)[:, 0].tolist()
    return Explanation(read, words, notes, dict(zip(vader.MEASURES, row, strict=True)))


def _as_split(read: str) -> list[str]:
    """The words as the engine splits them; an emoji is one."""
    return "".join(f" {char} " if char in EMOJI else char for char in read).split()


def _phrase(spelt: list[str], seen: vader.Seen, place: int) -> str:
    entry = vader.FRENCH.lexicon.words[seen.words.number[place]]
    return " ".join(spelt[place : place + len(entry.split())])


def _why(rule: str, plain: list[str], place: int) -> str:
    """What a rule is called, with the words around that it asks for."""
    known, near = vader.FRENCH.lexicon, range(max(0, place - max(REACH)), place)

    def among(places: Iterable[int], table: NDArray[Any]) -> str:
        found = [plain[at] for at in places if table[known.number.get(plain[at].lower(), 0)]]
        return f" ({', '.join(found)})" if found else ""

    if rule == "degree":
        return f"degree adverb before{among(near, known.degree != 0)}"
    if rule == "negation":
        around = [*near, *range(place + 1, min(place + 3, len(plain)))]
        return f"negation{among(around, known.negates | BEHIND)}"
    return {"own": "in the lexicon", "capitals": "in capitals among other words"}[rule]
