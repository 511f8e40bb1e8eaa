"""Sorts out raw records that no query can take, before they are parsed.

`fragments` says what to look for, `passing` looks. It may let through what no query takes; it
never drops what one would take. It knows neither queries' fields nor a source's record format.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache, lru_cache

import polars as pl

from cases.folding import LETTERS, fold
from cases.grammar import And, Attribute, Near, Node, Or, Token, Words

_ASCII_RUN = re.compile(r"[a-z0-9_]+")
# JSON's escapes from left to right, so that an escaped backslash never begins another escape.
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)


def fragments(node: Node) -> frozenset[str] | None:
    """Fragments of which the folded text of every match holds one; None when there are none.

    Of words that must all be there, those are taken whose shortest fragment is longest: these let
    the fewest records through. A community counts, since a raw record names its own; the source
    and the language are not in every record.
    """
    match node:
        case Words():
            return _rarest(_of_token(token) for token in node.tokens)
        case Near():
            return _rarest(_of_token(token) for token in (node.one, node.other))
        case Attribute():
            return frozenset({node.value}) if node.field == "community" else None
        case And():
            return _rarest(fragments(part) for part in node.takes)
        case Or():
            parts = [fragments(part) for part in node.parts]
            known = [part for part in parts if part is not None]
            return frozenset().union(*known) if len(known) == len(parts) else None


def _of_token(token: Token) -> frozenset[str] | None:
    runs = _ASCII_RUN.findall(token.text)
    return frozenset({max(runs, key=len)}) if runs else None


def _rarest(candidates: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    known = [candidate for candidate in candidates if candidate]
    return max(known, key=lambda c: (min(map(len, c)), -len(c), sorted(c)), default=None)


@lru_cache(maxsize=64)
def passing(necessary: frozenset[str]) -> Callable[[bytes], bool]:
    """The prefilter for these fragments (of one query, or the union of several): raw bytes -> bool.

    The record is JSON (escapes allowed) or plain text, in UTF-8. Records of plain ASCII without
    \\u escapes, nearly all English ones, cost one search; the others are decomposed and searched
    again, so that `créé` is found by `cree` and a text in mathematical letters by its words.
    """
    shortest = [f for f in necessary if not any(o in f for o in necessary if o != f)]
    wanted = [fragment.encode("ascii") for fragment in sorted(shortest, key=len)]

    def found(folded: bytes) -> bool:
        return any(fragment in folded for fragment in wanted)

    def passes(raw: bytes) -> bool:
        if found(raw.lower()):
            return True
        escaped = b"\\u" in raw
        if raw.isascii() and not escaped:
            return False
        text = raw.decode("utf-8", "replace")
        if _newer().search(text) or found(_ascii(text)):
            return True
        if not escaped:
            return False
        plain = _unescaped(text)
        return bool(_newer().search(plain)) or found(_ascii(plain))

    return passes


def _ascii(text: str) -> bytes:
    """What the folding makes of a text, in ASCII only. Between two letters of one token stand at
    most marks, so leaving everything else out never parts a fragment."""
    lower = unicodedata.normalize("NFKD", text).lower()
    for letter, spelt in LETTERS.items():
        lower = lower.replace(letter, spelt)
    return lower.encode("ascii", "ignore")


def _unescaped(text: str) -> str:
    units = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[0], text)
    # Pairs of surrogates become one character; a lone one is no letter.
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@cache
def _newer() -> re.Pattern[str]:
    """Characters newer than Python's Unicode tables that polars folds to ASCII letters.

    Python 3.11 knows Unicode 14; polars 2.1 folds the outlined letters of Unicode 16 too.
    """
    # Beyond 0x20000 Unicode has ideographs only, and none of them folds to a letter of ASCII.
    unknown = [c for c in map(chr, range(0x20000)) if unicodedata.category(c) == "Cn"]
    folded = pl.DataFrame({"text": unknown}, schema={"text": pl.String}).with_columns(
        folded=fold(pl.col("text"))
    )
    letters = folded.filter(pl.col("folded").str.contains("[a-z0-9_]"))["text"]
    return re.compile(f"[{re.escape(''.join(letters))}]" if len(letters) else r"(?!)")
