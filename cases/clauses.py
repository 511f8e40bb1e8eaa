"""What the text of every match of a query holds: words that are looked for in raw records.

`clauses` takes a query apart into them; `glance.py` makes patterns of them for bytes of JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from cases.grammar import And, Attribute, Near, Node, Or, Token, Words

# Words of nearly every post or record; any word not among them is the rarer, the longer it is.
COMMON = frozenset(
    "the and to of in is it that for on with as this was at be by are we you they our your their"  # noqa: SIM905
    " my me not have but so if just like what about how all when can would out up there get more"
    " from one no or has time people do know really think user users data content work post posts"
    " comment comments use new first who their them dream open terms"
    " une des de la le les un et en du pour pas par avec leur leurs sur dans qui que il elle je"
    " nous vous est sont ce cette ces mes ses vos nos"
    " self text reddit com www https http org net true false null title author name link url media"
    " id type all default image video".split()
)


@dataclass(frozen=True, order=True)
class Atom:
    """A word, or two that stand next to each other, and about how often that is found in a record
    that nobody looks for (0..1). `begins` and `ends`: whether its ends are those of a word."""

    words: tuple[str, ...]
    begins: bool
    ends: bool
    rate: float


Clause = frozenset[Atom]
_LETTERS = re.compile("[a-z]+")


def clauses(node: Node) -> tuple[Clause, ...]:
    """Sets of patterns of each of which every match has at least one, the rarest set first; none
    when nothing is known of the matches.

    A community counts, since a raw record names its own; the source and the language are not in
    every record, and what comes after NOT says nothing.
    """
    return tuple(sorted(set(_of(node)), key=lambda clause: (rate(clause), sorted(clause))))


def rate(clause: Iterable[Atom]) -> float:
    return sum(atom.rate for atom in clause)


def _of(node: Node) -> list[Clause]:
    match node:
        case Words():
            return [*_tokens(node.tokens), *_pairs(node.tokens)]
        case Near():
            return _tokens((node.one, node.other))
        case Attribute():
            whole = Token(node.value, node.prefix)
            return _tokens([whole]) if node.field == "community" else []
        case And():
            return [clause for part in node.takes for clause in _of(part)]
        case Or():
            return _either([_of(part) for part in node.parts])


def _either(parts: list[list[Clause]]) -> list[Clause]:
    """One clause: of each part its rarest one, or none where one of its clauses is in already."""
    if not all(parts):
        return []
    chosen: Clause = frozenset()
    for part in sorted(parts, key=len):
        if not any(clause <= chosen for clause in part):
            chosen |= min(part, key=lambda clause: (rate(clause), sorted(clause)))
    return [chosen]


def _tokens(tokens: Iterable[Token]) -> list[Clause]:
    return [frozenset({atom}) for token in tokens if (atom := _atom(token)) is not None]


def _atom(token: Token) -> Atom | None:
    """The longest piece of a word that is ASCII; what hides letters is spelt out in ASCII."""
    pieces = _pieces(token.text)
    longest = max(pieces, key=len)
    if not longest:
        return None
    # Whole words have a border where their first or last piece does.
    begins = token.text.startswith(longest)
    ends = token.text.endswith(longest) and not token.prefix
    return Atom((longest,), begins, ends, _rarity(longest))


def _pieces(text: str) -> list[str]:
    return re.split(r"[^a-z0-9_]+", text)


def _pairs(tokens: tuple[Token, ...]) -> list[Clause]:
    """Neighbours in a phrase, for those like a.i. of which every word by itself is common.

    A phrase can begin at the end of a title and go on in the body, which stands elsewhere in the
    record: so a first word that ends a string counts as well.
    """
    found = []
    for one, other in pairwise(tokens):
        if one.prefix or not _LETTERS.fullmatch(one.text + other.text):
            continue
        if min(_rarity(one.text), _rarity(other.text)) < _rarity("aa"):
            continue
        # A letter alone, as in a.i., gives the search no word to hold on to: it costs as much as
        # a word that is in every third record.
        rate = 0.01 if len(one.text) > 1 else 0.3
        found.append(frozenset({Atom((one.text, other.text), True, not other.prefix, rate)}))
    return found


def _rarity(text: str) -> float:
    if text in COMMON or len(text) == 1:
        return 0.5
    return {2: 0.05, 3: 0.03, 4: 0.02}.get(len(text), 0.05 / len(text))
