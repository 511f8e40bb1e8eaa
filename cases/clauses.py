"""What the text of every match of a query holds, as patterns for whole blocks of raw records.

`clauses` takes a query apart; `blocks.py` makes the text in which these patterns are looked for:
letters in lower case, digits, UNDERSCORE for `_`, `"` where a JSON string begins or ends, blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from cases.grammar import And, Attribute, Near, Node, Or, Token, Words

UNDERSCORE = "\x7f"  # what `_` becomes when its 6th bit is set with those of capitals
EDGE = '[ "]'
# Between two words that stand next to each other; the entities are signs whose names stay.
SIGNS = "(?: |amp |lt |gt )*"
GAP = f" {SIGNS}"
LONG = 5  # letters from which a word is seldom the end of another one

# Words of nearly every post or record; any word not among them is the rarer, the longer it is.
COMMON = frozenset(
    "the and to of in is it that for on with as this was at be by are we you they our your their"  # noqa: SIM905
    " my me not have but so if just like what about how all when can would out up there get more"
    " from one no or has time people do know really think user users data content work post posts"
    " comment comments use new first who their them dream open terms"
    " une des de la le les un et en du pour pas par avec leur leurs sur dans qui que il elle je"
    " nous vous est sont ce cette ces mes ses vos nos"
    " self text reddit com www https http org net true false null title author name link url media"
    " id type all".split()
)


@dataclass(frozen=True, order=True)
class Atom:
    """A pattern, about how often it is found in a record that nobody looks for (0..1), and in which
    search it takes part: patterns of one kind are looked for together."""

    pattern: str
    rate: float
    kind: str  # long | short | pair


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
    """The longest piece of a word that is ASCII, since all else is a blank in the text."""
    pieces = _pieces(token.text)
    longest = max(pieces, key=len)
    if not longest:
        return None
    # Whole words have an edge where their first or last piece does.
    begins = EDGE if token.text.startswith(longest) else ""
    ends = EDGE if token.text.endswith(longest) and not token.prefix else ""
    shown = longest.replace("_", UNDERSCORE)
    return Atom(
        f"{begins}{shown}{ends}", _rarity(longest), "long" if len(longest) >= LONG else "short"
    )


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
        end = "" if other.prefix else EDGE
        pattern = f'{EDGE}{one.text}(?:{GAP}{other.text}{end}|{SIGNS}")'
        found.append(frozenset({Atom(pattern, 0.01, "pair")}))
    return found


def _rarity(text: str) -> float:
    if text in COMMON or len(text) == 1:
        return 0.5
    return {2: 0.05, 3: 0.03, 4: 0.02}.get(len(text), 0.05 / len(text))
