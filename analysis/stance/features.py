"""What the stance model sees of a post, a column of posts at a time.

Five kinds of features, each a block of its own with its own norm: words, pairs of neighbouring
words, concepts, ordered pairs of concepts within a sentence, and what is said around the post.
Everything is a 64-bit key; which keys count, and for what, is the model's business. (Pieces of
words, four and five letters long, were tried and did not help.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from analysis.stance.concepts import concepts, names
from analysis.stance.words import OTHER, TARGET, words

Keys = NDArray[np.uint64]
Places = NDArray[np.int64]

BLOCKS = ("word", "pair", "concept", "link", "around")
SENTENCE_ENDS = frozenset(".!?")
REACH = 8  # words between two concepts that belong together
WORDS_READ = 1_000  # of a post; more say nothing new about where it stands


@dataclass(frozen=True, slots=True)
class Post:
    """A post as the model reads it: its text, what stands around it, whose policy is at issue."""

    text: str
    title: str = ""  # of the thread, or the post that is quoted
    parent: str = ""  # what it answers
    names: tuple[str, ...] = ()  # of the platform at issue; none: any platform's policy counts
    lang: str = "en"


@dataclass(frozen=True)
class Features:
    """A block: which post (from 0) holds which key, and how often. Sorted, each pair once."""

    post: Places
    key: Keys
    count: NDArray[np.float64]


@dataclass(frozen=True)
class _Known:
    """What is known of one word of one language."""

    key: int
    concepts: tuple[int, ...]
    ends: bool


def features(posts: Sequence[Post]) -> dict[str, Features]:
    """The features of the posts, by block."""
    own, around = _Text(), _Text()
    for number, post in enumerate(posts):
        read = words(post.text, post.names, lang=post.lang)
        own.add(number, read.own[:WORDS_READ], post.lang)
        around.add(number, read.quoted[:WORDS_READ], post.lang, where=1)
        for where, text in ((2, post.title), (3, post.parent)):
            if text:
                there = words(text, post.names, lang=post.lang)
                around.add(number, (*there.own, *there.quoted)[:WORDS_READ], post.lang, where=where)
    return own.blocks() | {"around": around.around(own)}


class _Text:
    """Words of many posts one after the other, and their concepts."""

    def __init__(self) -> None:
        self.post: list[int] = []
        self.where: list[int] = []
        self.known: list[_Known] = []
        self.at: list[int] = []  # of each concept: the word
        self.concept: list[int] = []

    def add(self, post: int, tokens: Sequence[str], lang: str, where: int = 0) -> None:
        start = len(self.known)
        self.post += [post] * len(tokens)
        self.where += [where] * len(tokens)
        table = _table(lang)
        found = [table[token] for token in tokens]
        self.known += found
        here = {(start + i, c) for i, one in enumerate(found) for c in one.concepts}
        here.update((start + i, c) for i, c in concepts(lang).of_phrases(tokens))
        for at, concept in sorted(here):
            self.at.append(at)
            self.concept.append(concept)

    def blocks(self) -> dict[str, Features]:
        post = np.array(self.post, np.int64)
        key = np.array([one.key for one in self.known], np.uint64)
        beside = post[1:] == post[:-1]
        at = np.array(self.at, np.int64)
        concept = np.array(self.concept, np.uint64)
        return {
            "word": _counted(post, key),
            "pair": _counted(post[1:][beside], mixed(key[:-1][beside], key[1:][beside])),
            "concept": _counted(post[at], concept),
            "link": self._links(post, at, concept),
        }

    def _links(self, post: Places, at: Places, concept: Keys) -> Features:
        """Two concepts in one sentence, in their order, with fewer than REACH words between."""
        ends = np.cumsum([one.ends for one in self.known])
        sentence = ends[at] if len(at) else at
        holder: list[Places] = []
        keys: list[Keys] = []
        apart = 1
        while apart < len(at):
            near = at[apart:] - at[:-apart] <= REACH
            if not near.any():
                break
            good = near & (at[apart:] > at[:-apart]) & (sentence[apart:] == sentence[:-apart])
            good &= post[at[apart:]] == post[at[:-apart]]
            holder.append(post[at[:-apart][good]])
            keys.append(concept[:-apart][good] * np.uint64(1000) + concept[apart:][good])
            apart += 1
        none = np.empty(0, np.int64), np.empty(0, np.uint64)
        return _counted(np.concatenate([none[0], *holder]), np.concatenate([none[1], *keys]))

    def around(self, own: _Text) -> Features:
        """The concepts and words of what is quoted, of the title and of what is answered; and the
        post's own concepts by whether that is about AI.
        """
        post = np.array(self.post, np.int64)
        where = np.array(self.where, np.uint64)
        at = np.array(self.at, np.int64)
        concept = np.array(self.concept, np.uint64)
        key = np.array([one.key for one in self.known], np.uint64)
        hot = np.unique(post[at][(concept == names().index("ai")) & (where[at] > 1)])
        told = np.unique(post[where > 1])
        own_post = np.array(own.post, np.int64)[np.array(own.at, np.int64)]
        own_concept = np.array(own.concept, np.uint64)
        inside = np.isin(own_post, told)
        warm = np.isin(own_post, hot).astype(np.uint64)
        return _counted(
            np.concatenate([post[at], post, own_post[inside], told]),
            np.concatenate(
                [
                    mixed(where[at], concept),
                    mixed(where, key),
                    mixed(warm + np.uint64(10), own_concept)[inside],
                    mixed(np.isin(told, hot).astype(np.uint64) + np.uint64(20), np.uint64(1)),
                ]
            ),
        )


def mixed(first: Keys, second: Keys | np.uint64) -> Keys:
    """One key of two, their order kept (splitmix64's steps; Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        key = first * np.uint64(0x9E3779B97F4A7C15) + second
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(key ^ (key >> np.uint64(31)), np.uint64)


def _counted(post: Places, key: Keys) -> Features:
    order = np.lexsort((key, post))
    post, key = post[order], key[order]
    if not len(post):
        return Features(post, key, np.empty(0))
    first = np.r_[True, (post[1:] != post[:-1]) | (key[1:] != key[:-1])]
    starts = np.flatnonzero(first)
    return Features(post[starts], key[starts], np.diff(np.r_[starts, len(post)]).astype(float))


def _key(text: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little"
    )


class _Table(dict[str, _Known]):
    """Words of a language that were met, with all that is known of them."""

    def __init__(self, lang: str) -> None:
        self.lang = lang

    def __missing__(self, word: str) -> _Known:
        if len(self) > 200_000:
            self.clear()
        extra = {TARGET: ("target",), OTHER: ("other",)}.get(word, ())
        found = concepts(self.lang).of_word(word) + tuple(names().index(name) for name in extra)
        known = _Known(_key(word), found, word in SENTENCE_ENDS)
        self[word] = known
        return known


@cache
def _table(lang: str) -> _Table:
    return _Table("fr" if lang == "fr" else "en")
