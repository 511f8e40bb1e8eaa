"""The language a text is in: py3langid among common languages, the declared ones as a prior.

Does not decide what is scored: `analysis.tone` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import numpy as np
import polars as pl

from analysis import ngrams

UNDETERMINED = "und"

# The twenty most used, then languages that would otherwise be taken for one of them: those with a
# script of their own cost nothing, and Czech, Hungarian and Romanian keep English clean. Catalan
# is left out, as it takes one French text in a hundred.
COMMON = "en fr de es pt it nl ja ko zh ru uk pl sv tr ar id fi da no"
LANGUAGES = tuple(f"{COMMON} el he hi th vi fa cs hu ro".split())
ALIASES = {"nb": "no", "nn": "no", "in": "id", "iw": "he"}  # BCP-47 subtag -> code of the model

# Log odds, chosen by the measurement in `detect`.
USUAL = ("en", "fr")  # the languages that the cases are about
EXPECTED = 1.0  # of these
DECLARED = 1.5
CERTAINTY = 0.2

LOOKED_AT = 10_000  # characters of a text; Reddit allows 40,000, and a page decides as well

# Links with and without a scheme (Bluesky shortens them), handles, subreddits and Reddit users.
# A host has at most eight labels of at most 63 characters (RFC 1035), tried without going back:
# unbounded, "a-a-a-..." takes time with the square of its length, a minute for 40,000 characters.
NOT_LANGUAGE = re.compile(
    r"\b(?:https?|www\.)\S*"
    r"|\b[\w-]{1,63}+(?:\.[\w-]{1,63}+){0,7}\.[a-z]{2,63}+/\S*"
    r"|(?<![\w/])/?[ur]/[\w-]+"
    r"|@[\w.:-]+",
    re.IGNORECASE,
)


def detect(text: pl.Series, declared: pl.Series) -> pl.Series:
    """The language of each text: ISO 639-1 code, or `und` when nothing decides.

    `declared` holds a list of BCP-47 tags for each text (null or empty: none declared). They are
    evidence, not truth: of the posts declared French on Bluesky 72 % are. A declared language that
    the model knows joins the common ones for that text. `und` is the answer for a null text, one
    without letters (links and handles do not count), a tie, and whenever the best language has
    less than 0.2 of the probability. The first 10,000 characters of a text count, no others.

    Method: multinomial naive Bayes over byte n-grams (Lui and Baldwin 2012, langid.py; package
    py3langid 0.4.0). Its raw log scores grow with the text and are overconfident; divided by the
    square root of the length in bytes, as the package does for its own probabilities, they can be
    weighed against a prior on the log scale: +1 for English and French (what the cases are about),
    +1.5 for each declared language.

    Measured on 2,163 English and 2,163 French tweets, whole / first five words / first three:
    undeclared, English found 1.000 / .982 / .914, French .998 / .976 / .897, French taken for
    English .001 / .011 / .041. Rightly declared, English 1.000 / .998 / .991, French 1.000 / .994
    / .981. French wrongly declared English: taken for English .004 / .045 / .181. Of 286 posts in
    other languages of Latin script, cut to three words, .028 come out English and .017 French.
    What the weights were weighed against: docs/method.md.
    """
    words = [own_words((value or "")[:LOOKED_AT]) for value in text.to_list()]
    tags = [{_code(tag) for tag in some or () if tag} & _known() for some in declared.to_list()]
    some = [place for place, value in enumerate(words) if any(map(str.isalpha, value))]
    found = [UNDETERMINED] * len(words)
    # Nearly all texts are asked about the same languages; one declared beside them makes a group.
    groups: dict[frozenset[str], list[int]] = {}
    for place in some:
        groups.setdefault(frozenset(tags[place].difference(LANGUAGES)), []).append(place)
    for extra, places in groups.items():
        codes = _languages([words[at] for at in places], [tags[at] for at in places], extra)
        for place, code in zip(places, codes, strict=True):
            found[place] = code
    return pl.Series(text.name, found, dtype=pl.String)


def own_words(text: str) -> str:
    """The text without links, handles and names of communities."""
    lowered = text.lower()
    if "/" in text or "@" in text or "http" in lowered or "www." in lowered:
        text = NOT_LANGUAGE.sub(" ", text)
    return text.strip()


def _languages(words: list[str], declared: list[set[str]], extra: frozenset[str]) -> Iterator[str]:
    """The languages of texts with letters, among the common ones and `extra`."""
    codes = [*LANGUAGES, *sorted(extra)]
    log = ngrams.raw(words, codes)
    log -= log.max(axis=1, keepdims=True)
    log /= np.sqrt([len(value.encode()) for value in words])[:, None]
    log[:, [codes.index(code) for code in USUAL]] += EXPECTED
    for row, tags in zip(log, declared, strict=True):
        for tag in tags:
            row[codes.index(tag)] += DECLARED
    top = log.max(axis=1, keepdims=True)
    sure = ((log == top).sum(axis=1) == 1) & (1 / np.exp(log - top).sum(axis=1) >= CERTAINTY)
    for best, decided in zip(log.argmax(axis=1).tolist(), sure.tolist(), strict=True):
        yield codes[best] if decided else UNDETERMINED


def _code(tag: str) -> str:
    language = re.split("[-_]", tag.strip().lower(), maxsplit=1)[0]
    return ALIASES.get(language, language)


@cache
def _known() -> frozenset[str]:
    return frozenset(ngrams.model().labels)
