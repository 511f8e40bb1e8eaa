"""Texts that are hard to score, and how far our tone is from the package's on them.

Run as a program by every interpreter there is (tests/test_vader.py): prints as JSON how many texts
it compared and which ones differ. Never prints a text.
"""

from __future__ import annotations

import json
import platform
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from vaderSentiment.vaderSentiment import (
    BOOSTER_DICT,
    NEGATE,
    SPECIAL_CASES,
    SentimentIntensityAnalyzer,
)

PACKAGE = SentimentIntensityAnalyzer()
# Laid beside the checkout where it is worked on; not in the repository.
REAL = Path(__file__).parents[2] / "shared" / "data"

FEELINGS = """good bad love hate great kind like well shit bomb ass stop heart die death kiss yeah
    cute fun awful no doubt :) :-( <3 :D :d :p d: o.o (:o x-d"""
NAMED = """no or nor so this never without doubt least at very kind of but the to for right bus
    beating just enough sort"""
PHRASES = """kind of, sort of, just enough, without doubt, never so, never this, no or, at least,
    very least, the least, can't stand, fed up, kiss of death, to die for"""
STRANGE = """\u212aill \u212aIND İLL ß ẞ ﬁne ǅ ǅoy Ⅷ ⓐ Ⓐ ª ΣΑΣ don’t DON’T DON'T
    xn'ty n't 'n't' N'T isn't couldn'T 日本語 ВАУ привет مرحبا 🏳️‍🌈 👩‍❤️‍💋‍👨 👍🏽 🇺🇸 1️⃣
    © ® ™ ‼ ⁉ … “good” (good) --good-- good.bad *love* #love @hate "no" no, No. NO
    BUT But, but... Kind can't http://t.co/abc &amp; I A AI ok OK .. !! ?? ?! a. .a.
    .ab. .abc."""
PLAIN = "x the a and Movie THING Z"
MARKS = "! ? !! ??? . ,"
EMOJI = list(PACKAGE.emojis)
ODD = [*STRANGE.split(), *"\x00\x0b\x1c\x1f\x85\xa0\u180e\u200b\u200d\u2028\u20e3\u3000\ufe0f"]
ODD += ["e\u0301", "a" * 40, "good" * 5, "good\x00", "\x00good", "(:\x00"]
POOLS = [words.split() for words in (FEELINGS, NAMED, PLAIN, MARKS)]
POOLS += [PHRASES.replace(",\n    ", ", ").split(", "), ODD, EMOJI, NEGATE]
POOLS += map(list, (BOOSTER_DICT, SPECIAL_CASES, PACKAGE.lexicon))
BLANKS = [" "] * 30 + ["  ", "\n", "\t", "", "\xa0", "\u3000", "\x1d", "\u2028", "\u200b", "-", "/"]


def hard(count: int, *, seed: int) -> Iterator[str]:
    """Words that rules ask for, in any company, case and dress; some texts are long."""
    chance = random.Random(seed)  # noqa: S311
    for _ in range(count):
        size = chance.choices([0, 5, 25, 120, 500], [1, 220, 250, 28, 1])[0]
        weights = [chance.random() ** 2 + 0.02 for _ in POOLS]
        pools = chance.choices(POOLS, weights, k=chance.randint(size // 2, size))
        yield "".join(_dressed(chance.choice(pool), chance) for pool in pools)


def _dressed(word: str, chance: random.Random) -> str:
    styles = [str, str.upper, str.capitalize, str.swapcase]
    word = chance.choices(styles, [70, 20, 8, 2])[0](word)
    if chance.random() < 0.2:
        marks = "".join(chance.choices("!?.,;:'\"()-_*#@", k=chance.randint(1, 4)))
        word = chance.choice([marks + word, word + marks, marks + word + marks])
    return word + chance.choice(BLANKS)


def scattered(count: int, *, seed: int) -> Iterator[str]:
    """Any code points at all, and heaps of emoji with joiners and selectors."""
    chance = random.Random(seed)  # noqa: S311
    blocks = [(32, 126), (0, 0x2FFF), (0x1F000, 0x1FFFF), (0, 0xD7FF), (0xE000, 0x10FFFF)]
    glue = [*"ab !?🏽\ufe0f\u200d", "good"]
    for index in range(count):
        if index % 2:
            yield "".join(chance.choices(EMOJI + glue * 100, k=chance.randint(1, 12)))
        else:
            size = chance.randint(1, 30)
            yield "".join(chr(chance.randint(*chance.choice(blocks))) for _ in range(size))


def cancelling(count: int, *, seed: int) -> Iterator[str]:
    """Good and bad words that add up to nearly nothing: here the order of a sum tells, and from
    CPython 3.12 on the interpreter."""
    chance = random.Random(seed)  # noqa: S311
    by_valence: dict[float, list[str]] = {}
    for word, valence in PACKAGE.lexicon.items():
        if word.isalpha() and word.islower() and word != "no":
            by_valence.setdefault(valence, []).append(word)
    known = list(by_valence)
    for _ in range(count):
        valences = chance.choices(known, k=chance.randint(1, 4))
        valences += [-valence for valence in valences if -valence in by_valence]
        chance.shuffle(valences)
        words = (
            chance.choice(by_valence[valence]) + chance.choice(["", " x y z", " but"])
            for valence in valences
        )
        yield " ".join(words) + chance.choice(["", "!", "!!", "??", "???!"])


def long() -> Iterator[str]:
    """Thousands of words, but few with a valence: the package's time is their product."""
    chance = random.Random(5)  # noqa: S311
    for _ in range(4):
        words = chance.choices(PLAIN.split(), k=8_000)
        for _ in range(40):
            words[chance.randrange(8_000)] = chance.choice(chance.choice(POOLS))
        yield " ".join(words)
    yield "good bad but love " * 100
    yield "😀" * 300
    yield "😀 " * 300
    yield "." * 40_000
    yield "'n" * 20_000


def generated() -> list[str]:
    """Some thousand texts of all these kinds, the same at every call."""
    texts = [*hard(6_000, seed=11), *scattered(1_500, seed=12), *cancelling(3_000, seed=13)]
    return [*texts, *long()]


def real() -> list[str]:
    """Every text of the real posts that are beside the checkout; none where there are not."""
    texts: list[str] = []
    for path in sorted(REAL.rglob("*.parquet")):
        texts += pl.read_parquet(path, columns=["text"])["text"].drop_nulls().to_list()
    for path in sorted(REAL.rglob("*.ndjson")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            texts += [value for value in record.values() if isinstance(value, str)]
    return texts


def different(texts: list[str]) -> list[int]:
    """Which of the texts have any number that is not the package's."""
    from analysis import vader  # noqa: PLC0415 - texts can be made without it

    ours = vader.score(pl.Series(texts, dtype=pl.String)).to_dicts()
    return [
        index
        for index, (text, numbers) in enumerate(zip(texts, ours, strict=True))
        if PACKAGE.polarity_scores(text) != numbers
    ]


if __name__ == "__main__":
    texts = [*generated(), *real()]
    found = {"texts": len(texts), "different": different(texts)}
    json.dump({"python": platform.python_version()} | found, sys.stdout)
