"""What the words of a post stand for: concepts, the same in every language.

The tables are `concepts_<language>.txt`; a word that was in no post of the corpus still counts when
it is in them. Decides no stance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LONGEST = 4  # words of a phrase


@dataclass(frozen=True)
class Concepts:
    """The concepts of one language: by word, by beginning of a word, by phrase."""

    words: dict[str, tuple[int, ...]]
    beginnings: dict[str, tuple[int, ...]]
    phrases: dict[tuple[str, ...], tuple[int, ...]]
    starts: frozenset[str]

    def of_word(self, word: str) -> tuple[int, ...]:
        """The concepts of a word by itself."""
        found = set(self.words.get(word, ()))
        for end in range(2, len(word) + 1):
            found.update(self.beginnings.get(word[:end], ()))
        return tuple(sorted(found))

    def of_phrases(self, words: Sequence[str]) -> list[tuple[int, int]]:
        """Where which concept begins by a phrase of several words."""
        found = []
        for place, word in enumerate(words):
            if word in self.starts:
                for long in range(2, LONGEST + 1):
                    phrase = tuple(words[place : place + long])
                    found += [(place, concept) for concept in self.phrases.get(phrase, ())]
        return found


@cache
def concepts(lang: str) -> Concepts:
    """The concepts of a language: "en" or "fr"."""
    words: dict[str, set[int]] = {}
    beginnings: dict[str, set[int]] = {}
    phrases: dict[tuple[str, ...], set[int]] = {}
    known = names()
    for name, entries in _read(lang):
        number = known.index(name)
        for entry in entries:
            parts = tuple(entry.split())
            if len(parts) > 1:
                phrases.setdefault(parts, set()).add(number)
            elif entry.endswith("*"):
                beginnings.setdefault(entry[:-1], set()).add(number)
            else:
                words.setdefault(entry, set()).add(number)
    return Concepts(
        {word: tuple(sorted(found)) for word, found in words.items()},
        {word: tuple(sorted(found)) for word, found in beginnings.items()},
        {phrase: tuple(sorted(found)) for phrase, found in phrases.items()},
        frozenset(phrase[0] for phrase in phrases),
    )


@cache
def names() -> tuple[str, ...]:
    """The concepts by name, in the order of their numbers; the last two are names of platforms."""
    return (*(name for name, _ in _read("en")), "target", "other")


def _read(lang: str) -> list[tuple[str, list[str]]]:
    lines = Path(__file__).with_name(f"concepts_{lang}.txt").read_text("utf-8").splitlines()
    found = []
    for line in lines:
        if line and not line.startswith("#"):
            name, _, entries = line.partition(": ")
            found.append((name, [entry.strip() for entry in entries.split(", ") if entry.strip()]))
    return found
