"""The first look at a block of raw lines: which of them are worth a second one, in blocks.py.

One pass of Hyperscan over the bytes as they are, at the speed of memory nearly, finds every word,
every place where letters may hide and every field that is asked for. It finds too much, never too
little. Without Hyperscan (no wheel for the machine) every line gets the second look: slower, and
with the same outcome.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import groupby

import numpy as np
import numpy.typing as npt

from cases.blocks import ASCII, BARE, VANISHES, Places, kinds
from cases.clauses import EDGE, GAP, SIGNS, UNDERSCORE, Atom

READY = find_spec("hyperscan") is not None

PIECE = 1 << 18  # bytes that stay near the processor while they are compared

# Between words in raw JSON: neither a letter nor the quote that ends a string; escapes but \u.
_SIGN = r'(?:[^a-z0-9_"\\]|\\[^u])'
_SIGNS = rf"(?:{_SIGN}|amp;|lt;|gt;)*"
_BEFORE = r"(?:[^a-z0-9_]|\\[bfnrt])"
_AFTER = r"[^a-z0-9_]"
_LETTER = re.compile(re.escape(EDGE) + r"[a-z]\(\?:")
_CODED = (
    r"\\u",
    # Entities other than those of &, < and >, which show no letters.
    rf"&(?:#|{'|'.join(name for name in BARE if name.lower() not in ('amp', 'lt', 'gt'))})",
    r"&(?:amp|lt|gt)[^;]",
    r"&(?:[b-fh-km-z]|a[a-ln-z0-9]|am[a-oq-z0-9]|[lg][a-su-z0-9])[a-z0-9]{0,30};",
    r"&(?:am|l|g);",
)


class Glance:
    """Looks for the words of queries, for what may hide words, and for named patterns."""

    def __init__(self, atoms: Collection[Atom], named: Mapping[str, str]) -> None:
        import hyperscan  # noqa: PLC0415 - it may not be there

        letters = {atom for atom in atoms if _LETTER.match(atom.pattern)}
        self._letters = sorted({_of_letters(atom) for atom in letters})
        words = [_raw(atom) for atom in sorted(set(atoms) - letters)]
        asked = [*named.values()]
        caseless = [hyperscan.HS_FLAG_CASELESS] * (len(words) + len(_CODED))
        patterns = [pattern.encode("latin-1") for pattern in (*words, *_CODED)]
        patterns += [_hiding(ASCII, b""), _hiding(VANISHES, b"[A-Za-z0-9_\x80-\xff]")]
        patterns += [pattern.encode("latin-1") for pattern in asked]
        flags = [*caseless, 0, 0, *[hyperscan.HS_FLAG_CASELESS] * len(asked)]
        self._names: Sequence[str] = [*[""] * (len(patterns) - len(asked)), *named]
        self._base = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._base.compile(
            expressions=patterns,
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=flags,
        )

    def places(self, data: memoryview) -> dict[str, Places]:
        """Where each named pattern ends in the block, and under "" where a word or what may hide
        one does."""
        found: dict[str, list[int]] = {name: [] for name in ("", *self._names)}
        adds = [found[name].append for name in self._names]

        def on(number: int, start: int, end: int, flags: int, context: object) -> None:
            adds[number](end)

        self._base.scan(data, match_event_handler=on)  # type: ignore[type-var]
        places = {name: np.array(ends, np.int64) for name, ends in found.items()}
        raw = np.frombuffer(data, np.uint8)
        single = [_beginning(raw, a, b, whole=whole) for a, b, whole in self._letters]
        return places | {"": np.concatenate([places[""], *single])}


def _of_letters(atom: Atom) -> tuple[int, int, bool]:
    """The single letter a pair begins with, the first one of the word after it, and whether that
    is all of this word."""
    rest = atom.pattern.removeprefix(EDGE)
    word = rest[1 + len(f"(?:{GAP}") :]
    return ord(rest[0]), ord(word[0]), word[1:].startswith(EDGE)


def _beginning(raw: npt.NDArray[np.uint8], one: int, other: int, *, whole: bool) -> Places:
    """Where a letter stands alone and the next word begins with another, or a string ends first.

    Hyperscan has no word to hold on to in a.i., and takes five times as long for that alone.
    """
    last = len(raw) - 1
    pieces = range(0, max(len(raw), 1), PIECE)
    at = np.concatenate([np.flatnonzero((raw[n : n + PIECE] | 0x20) == one) + n for n in pieces])
    word = _word()
    before, after = raw[np.maximum(at - 1, 0)], raw[np.minimum(at + 1, last)]
    escape = (raw[np.maximum(at - 2, 0)] == ord("\\")) & word[before]
    at = at[~word[after] & (~word[before] | escape)]
    # Every flair has a field "a"; only a value can go on in the string after it.
    quoted = (raw[np.maximum(at - 1, 0)] == ord('"')) & (raw[np.minimum(at + 1, last)] == ord('"'))
    at = at[~(quoted & (raw[np.minimum(at + 2, last)] == ord(":")))]
    found = [at[:0]]
    for step in range(1, 9):
        here = raw[np.minimum(at + step, last)]
        begins = (here | 0x20) == other
        open_ = (here == ord('"')) | (here == ord("\\")) | (here == ord("&"))
        if whole:  # "a is" is none of a.i.
            begins &= ~word[raw[np.minimum(at + step + 1, last)]]
        found.append(at[begins | open_])
        at = at[~(begins | open_ | word[here])]
    return np.concatenate([*found, at]) + 1


@cache
def _word() -> npt.NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[[*b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"]] = True
    return table


def _raw(atom: Atom) -> str:
    """The pattern of an atom for bytes as they stand in a record."""
    begins = atom.pattern.startswith(EDGE)
    rest = atom.pattern.removeprefix(EDGE).replace(EDGE, _AFTER)
    rest = rest.replace(GAP, _SIGN + _SIGNS).replace(SIGNS, _SIGNS).replace(UNDERSCORE, "_")
    return (_BEFORE if begins else "") + rest


@cache
def _hiding(kind: int, after: bytes) -> bytes:
    """A pattern for the UTF-8 of every character of this kind."""
    table = kinds()
    codes = np.flatnonzero(table == kind).tolist()
    spelt = sorted(chr(code).encode() for code in codes if not 0xD800 <= code < 0xE000)
    groups = [
        b"".join(b"\\x%02x" % byte for byte in begins)
        + b"[%s]" % b"".join(b"\\x%02x" % char[-1] for char in chars)
        for begins, chars in groupby(spelt, key=lambda char: char[:-1])
    ]
    if kind == ASCII:
        groups.append(rb"\xf3[\x80-\xbf]")  # beyond the table
    return b"(?:%s)" % b"|".join(groups) + after
