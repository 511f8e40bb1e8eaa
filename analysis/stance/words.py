"""The words of a post as the stance model reads them, and whose words they are.

A post's own words are told from those it quotes; the names of the platform at issue become one
word, so that what is learnt of one platform holds for the next. Decides no stance.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

# What stands in the place of names; no text can hold these words, as they have a sign of no letter.
TARGET = "§target"  # the platform of the case
OTHER = "§platform"  # any other platform that is known by name
LINK = "§link"
HANDLE = "§handle"
NUMBER = "§number"

_PLATFORMS = Path(__file__).with_name("platforms.txt")

_LINK = r"(?:https?://|www\.)\S+|\b(?:[\w-]{1,63}\.){1,4}(?:com|org|net|io|fr|co|ai|app|eu|be|ca)\b(?:/\S*)?"
_HANDLE = r"(?<![\w/])@[\w.:-]+"
_COMMUNITY = r"(?<![\w/])/?[ur]/[\w-]+"
_EMOJI = r"[\u2190-\u2bff\u3030\U0001f000-\U0001faff]"
_TOKEN = re.compile(
    rf"(?P<link>{_LINK})|(?P<handle>{_HANDLE}|{_COMMUNITY})|(?P<name>§[a-z]+)"
    rf"|[^\W\d_](?:[\w'.-]*\w)?(?:\s>)?|(?P<number>\d[\d.,]*)(?P<unit>[^\W\d_]\w*)?|[?!]+|[.;:\n]|{_EMOJI}|/s\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"(?m)^(?:>|&gt;)[^\n]*$"  # Reddit and mail
    r'|"[^"\n]{1,1500}"|“[^”\n]{1,1500}”|«[^»\n]{1,1500}»'
)
QUOTE = 5  # words between quotation marks from which they are somebody else's sentence
_SIGNS = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "´": "'", "œ": "oe", "æ": "ae", "\ufe0f": "", "‑": "-"}
)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a post, in order: its own, and those it quotes."""

    own: tuple[str, ...]
    quoted: tuple[str, ...]


def words(text: str, names: Iterable[str] = (), *, lang: str = "en") -> Words:
    """The words of `text`, lower case, in which `names` (of the platform at issue) are one word."""
    plain = _plain(text)
    own: list[str] = []
    quoted: list[str] = []
    end = 0
    for found in _QUOTED.finditer(plain):
        if len(found[0].split()) >= QUOTE:
            own.append(plain[end : found.start()])
            quoted.append(found[0])
            end = found.end()
    own.append(plain[end:])
    masked = _names(tuple(names))
    return Words(
        _tokens(" . ".join(own) if quoted else plain, masked, lang),
        _tokens(" . ".join(quoted), masked, lang) if quoted else (),
    )


def _plain(text: str) -> str:
    if "&" in text:
        text = html.unescape(text)
    return text.translate(_SIGNS)


def _tokens(text: str, names: re.Pattern[str], lang: str) -> tuple[str, ...]:
    masked = names.sub(
        lambda found: f" {TARGET if found.lastgroup == 'target' else OTHER} ", text.lower()
    )
    found = []
    for match in _TOKEN.finditer(masked):
        kind = match.lastgroup
        if kind == "link":
            found.append(LINK)
        elif kind == "handle":
            found.append(HANDLE)
        elif kind == "number":
            found.append(NUMBER)
        elif kind == "unit":
            found += [NUMBER, match["unit"]]
        else:
            word = match[0]
            if "'" in word and lang == "fr":
                found += [part for part in re.split(r"(?<=')", word) if part]
            else:
                found.append("." if word in ";:\n" else word[0] if word[0] in "?!" else word)
    if lang == "fr":
        return tuple(_unaccented(word) for word in found)
    return tuple(found)


def _masked(name: re.Match[str]) -> str:
    return f" {TARGET if name.lastgroup == 'target' else OTHER} "


@lru_cache(maxsize=50_000)
def _unaccented(word: str) -> str:
    if word.isascii() or word[0] == "§":
        return word
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


@lru_cache(maxsize=256)
def _names(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the names of the platform at issue, and those of any other."""

    others = rf"(?P<other>(?:{_either(_platforms())})(?!\w))"
    if not names:
        return re.compile(rf"(?<![\w§])#?{others}")
    return re.compile(rf"(?<![\w§])#?(?:(?P<target>(?:{_either(names)})(?:'?s)?(?!\w))|{others})")


def _either(names: Iterable[str]) -> str:
    longest = sorted({name.lower() for name in names}, key=lambda name: (-len(name), name))
    return "|".join(re.escape(name).replace(r"\ ", r"[\s-]?") for name in longest)


@cache
def _platforms() -> tuple[str, ...]:
    lines = _PLATFORMS.read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))
