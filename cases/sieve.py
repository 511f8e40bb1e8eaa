"""The prefilter for a whole column of raw JSON records at once, by a few regular expressions.

For streams whose every record has to be looked at and nearly none of which is wanted. It may let
through what no query takes; it never drops what one would take. Where `prefilter` asks for one
fragment anywhere in a record, this asks for all that a query has, inside the text and at the
borders of words, which lets a fraction through. Knows Bluesky's records: words are under `text`,
and there are no communities.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import product
from operator import or_
from typing import Any

import polars as pl

from cases import prefilter
from cases.case import Case
from cases.folding import fold
from cases.grammar import And, Attribute, Near, Node, Or, Token, Words

KEY = "text"
# Pieces in one expression. 300 cases in one outgrew the cache of the expression's automaton and
# took 160 times as long as 100.
AT_ONCE = 400
FEW = 50  # less than one record in so many is parsed sooner than looked at again
GROUPS = 8  # of cases that share what they ask for beside their first factor

_ASCII_RUN = re.compile(r"[a-z0-9_]+")
# One character of a JSON string, as written. Bytes of an escape are never taken for letters.
_UNIT = r'(?:[^"\\]|\\[^u]|\\u[0-9A-Fa-f]{4})'
_OPEN = rf'"{KEY}"\s*:\s*"'
# What can stand before the first letter of a token: anything but a letter of ASCII. More counts as
# a border here than in the folding, where é is a letter; that only lets more through.
_BORDER = r'(?:[^A-Za-z0-9_"\\]|\\[^u]|\\u[0-9A-Fa-f]{4})'
_END = "[^A-Za-z0-9_]"
# Escapes that Go's encoder writes for &, <, > and line separators, and control characters: none is
# a letter. NUL is not among them, since `normalise` leaves it out and joins what stood beside it.
_OTHER_ESCAPE = r"\\u(?:[^02]|0[^0]|00[^0-3]|000[0]|002[^6]|003[^cCeE]|2[^0]|20[^2]|202[^89])"


@dataclass(frozen=True, order=True)
class Piece:
    """A run of ASCII letters in a token, or a phrase of such tokens with a blank between each two.

    `begins` and `ends` say whether the ends are those of a token, so that the piece has to stand
    at the border of a word.
    """

    text: str
    begins: bool
    ends: bool


Factor = frozenset[Piece]  # one of these is in every match; empty when nothing can match


class Sieve:
    """Which raw records some query of the cases can take by its words.

    `everything` says that a query has no necessary words, so that every record has to be parsed.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        found = [_factors(case.query.node) for case in cases]
        self.everything = not all(found)
        firsts: dict[tuple[Factor, ...], Factor] = {}  # by the other factors
        for first, *others in filter(None, found):
            # Cases differ in their names and ask for much the same beside them.
            key = tuple(others) if tuple(others) in firsts or len(firsts) < GROUPS else ()
            firsts[key] = firsts.get(key, frozenset()) | first
        every = frozenset().union(*firsts.values())
        # What is spelt strangely is looked for in the same pass: it costs nearly nothing there.
        self._first = _patterns(every, strange=True)
        self._groups = [
            (_patterns(first), [_patterns(factor) for factor in others])
            for others, first in firsts.items()
        ]
        self._fragments = frozenset(max(piece.text.split(), key=len) for piece in every)

    def passes(self, raw: pl.Series) -> pl.Series:
        """A mask over raw records (String): False only for what no query takes by its own text."""
        if self.everything:
            return pl.repeat(value=True, n=len(raw), dtype=pl.Boolean, eager=True)
        hits = _any(raw, self._first)
        rows = hits.arg_true()
        if rows.is_empty():
            return hits
        part = raw.gather(rows)
        if len(part) * FEW < len(raw):
            strange = part.str.contains(_strange())
            passed = ~strange
        else:
            passed = self._spelt(part)
            strange = ~passed & part.str.contains(_strange())
        for place in strange.arg_true():
            passed[place] = self._read(part[place])
        return hits.scatter(rows.filter(~passed), False)

    def _spelt(self, raw: pl.Series) -> pl.Series:
        """Which records hold one of every factor of a case, in plain letters."""
        passed = pl.repeat(value=False, n=len(raw), dtype=pl.Boolean, eager=True)
        for first, others in self._groups:
            group = ~passed
            for patterns in (first, *others):
                group = _where(raw, group, patterns)
            passed |= group
        return passed

    def _read(self, raw: str) -> bool:
        """Whether one record that spells its letters strangely can match; it is parsed for that."""
        try:
            texts = list(_texts(json.loads(raw)))
        except (ValueError, RecursionError):
            return True  # whoever parses it next will say what is wrong with it
        passing = prefilter.passing(self._fragments)
        return any(
            passing(text.replace("\0", "").encode("utf-8", "surrogatepass")) for text in texts
        )


def _any(raw: pl.Series, patterns: Sequence[str]) -> pl.Series:
    return reduce(or_, [raw.str.contains(pattern) for pattern in patterns])


def _where(raw: pl.Series, rows: pl.Series, patterns: Sequence[str]) -> pl.Series:
    """The rows of the mask that also hold one of the patterns."""
    places = rows.arg_true()
    if places.is_empty():
        return rows
    return rows.scatter(places.filter(~_any(raw.gather(places), patterns)), False)


def _factors(node: Node) -> list[Factor]:
    """What a match holds one of, and of the next, the rarest first; none when nothing is known."""
    match node:
        case Words():
            phrase = _phrase(node.tokens)
            return [phrase] if phrase else _rarest([_piece(token) for token in node.tokens])
        case Near():
            return _rarest([_piece(token) for token in (node.one, node.other)])
        case Attribute():
            return [frozenset()] if node.field == "community" else []
        case And():
            return _rarest([factor for part in node.takes for factor in _factors(part)])
        case Or():
            parts = [_factors(part) for part in node.parts]
            both = [frozenset().union(*(f[end] for f in parts if f)) for end in (0, -1)]
            return _rarest(both) if all(parts) else []


def _rarest(candidates: Iterable[Factor | None]) -> list[Factor]:
    def rarity(factor: Factor) -> tuple[int, int, list[Piece]]:
        shortest = min((len(piece.text) for piece in factor), default=1000)
        return (-shortest, len(factor), sorted(factor))

    return sorted({factor for factor in candidates if factor is not None}, key=rarity)


def _piece(token: Token) -> Factor | None:
    run = max(_ASCII_RUN.finditer(token.text), key=lambda m: len(m[0]), default=None)
    if run is None:
        return None
    ends = run.end() == len(token.text) and not token.prefix
    return frozenset({Piece(run[0], run.start() == 0, ends)})


def _phrase(tokens: Sequence[Token]) -> Factor | None:
    """The tokens as one piece, when all of them are ASCII; None otherwise."""
    if not all(_ASCII_RUN.fullmatch(token.text) for token in tokens):
        return None
    if any(token.prefix for token in tokens[:-1]):
        return None
    return frozenset({Piece(" ".join(t.text for t in tokens), True, not tokens[-1].prefix)})


def _patterns(factor: Factor, *, strange: bool = False) -> list[str]:
    """Regular expressions (Rust's) of which a raw record matches one if its text holds a piece, or
    if `strange`, something of which looking at its bytes does not show what it says."""
    pieces = sorted(factor)
    parts = [pieces[i : i + AT_ONCE] for i in range(0, len(pieces), AT_ONCE)]
    patterns = [_pattern(part) for part in parts]
    if strange:
        return [f"{_strange()}|{pattern}" for pattern in patterns[:1]] + patterns[1:]
    return patterns or [r"[^\s\S]"]


def _pattern(pieces: Iterable[Piece]) -> str:
    classes = _letters()
    spelt: dict[tuple[bool, bool], list[str]] = {}
    for piece in pieces:
        letters = "".join(f"{_BORDER}+" if c == " " else classes[c] for c in piece.text)
        spelt.setdefault((piece.begins, piece.ends), []).append(letters)
    branches = []
    for begins, ends in product((True, False), repeat=2):
        if words := spelt.get((begins, ends)):
            before = f"(?:{_UNIT}*{_BORDER})?" if begins else f"{_UNIT}*"
            branches.append(f"{before}(?:{'|'.join(words)}){_END if ends else ''}")
    return f"(?s){_OPEN}(?:{'|'.join(branches)})"


@cache
def _folded() -> pl.DataFrame:
    """Every character that folds to something with an ASCII letter, or to nothing: char, to."""
    # Beyond 0x20000 are ideographs and variation selectors; the latter are marks, as \p{M} knows.
    chars = [chr(c) for c in range(0x80, 0x20000) if not 0xD800 <= c < 0xE000]
    frame = pl.DataFrame({"char": chars}).with_columns(
        to=fold(pl.format("a{}b", "char")).str.extract(r"^ a(\S*)b $")
    )
    return frame.filter(pl.col("to").str.contains("[a-z0-9_]"))


# Latin letters with accents, those of Vietnamese among them. What else shows a letter (mathematical
# and fullwidth ones) is rare enough to be parsed, and would make the expressions ten times as long.
_ACCENTED = (pl.col("to").str.len_bytes() == 1) & (
    (pl.col("char") < "\u0250") | pl.col("char").is_between(pl.lit("\u1e00"), pl.lit("\u1eff"))
)


@cache
def _letters() -> dict[str, str]:
    """For each ASCII letter the class of the accented letters that fold to it."""
    alike: dict[str, list[str]] = {}
    for char, to in _folded().filter(_ACCENTED).iter_rows():
        alike.setdefault(to, []).append(char)
    return {
        letter: f"[{letter}{letter.upper()}{''.join(map(_code, alike.get(letter, ())))}]"
        for letter in "abcdefghijklmnopqrstuvwxyz0123456789_"
    }


@cache
def _strange() -> str:
    """What hides letters: escapes that may be some, characters that fold to letters and are in no
    class of `_letters`, and marks between letters, as in an `é` of two characters."""
    several = _folded().filter(~_ACCENTED)["char"]
    letter = f"[A-Za-z0-9_{''.join(map(_code, _folded()['char']))}]"
    hidden = rf"[{''.join(map(_code, several))}]|{letter}\p{{M}}+{letter}|{_OTHER_ESCAPE}"
    return f"(?s){_OPEN}{_UNIT}*(?:{hidden})"


def _code(char: str) -> str:
    return f"\\x{{{ord(char):x}}}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == KEY and isinstance(inner, str):
                yield inner
            else:
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
