"""The query of a case: which posts belong to it, as a polars mask and as a filter of raw bytes.

`parse` reads the query language of docs/cases.md. Nothing here knows a source or reads a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import and_, or_

import polars as pl

from cases import prefilter
from cases.folding import fold
from cases.grammar import And, Attribute, Near, Node, Or, Token, Words, read
from cases.scan import QueryError

__all__ = ["Query", "QueryError", "fold", "parse"]


@lru_cache(maxsize=256)  # a query costs milliseconds to read and never changes
def parse(text: str) -> Query:
    """Read a query. Raises QueryError, whose message has the position and what to write instead."""
    return Query(read(text), text)


@dataclass(frozen=True)
class Query:
    """A query that has been read. Two queries are equal when they were written alike."""

    node: Node
    text: str

    def mask(self, folded: pl.Expr | None = None) -> pl.Expr:
        """Which rows match: a Boolean, never null.

        Columns in: text, and where the query names them source, community, langs. Where `text`
        has been folded before (for several cases at once), give that column: `pl.col("folded")`.
        """
        return _mask(self.node, fold(pl.col("text")) if folded is None else folded)

    def canonical(self) -> str:
        """The query in one spelling: folded, operands sorted, white space and repeats gone."""
        return str(self.node)

    def necessary(self) -> frozenset[str] | None:
        """Fragments of lower-case ASCII; the folded text of every match holds at least one.

        None when the query has none, so that every record has to be parsed. Look for them with
        `passes`: a raw record may spell a fragment with escapes, accents or other letters.
        """
        return prefilter.fragments(self.node)

    def passes(self, raw: bytes) -> bool:
        """Whether a raw record can match: never False for a record that the query takes."""
        necessary = self.necessary()
        return necessary is None or prefilter.passing(necessary)(raw)

    def tokens(self) -> Iterator[Token]:
        """Every word of the text that the query names, those after NOT included."""
        return _tokens(self.node)


def _tokens(node: Node) -> Iterator[Token]:
    match node:
        case Words():
            yield from node.tokens
        case Near():
            yield from (node.one, node.other)
        case And():
            for part in (*node.takes, *node.drops):
                yield from _tokens(part)
        case Or():
            for part in node.parts:
                yield from _tokens(part)
        case Attribute():
            return


def _mask(node: Node, folded: pl.Expr) -> pl.Expr:
    match node:
        case Words() | Near():
            return _texts([node], folded)
        case Attribute():
            return _attribute(node)
        case Or():
            texts = [part for part in node.parts if isinstance(part, Words | Near)]
            others = [_mask(p, folded) for p in node.parts if not isinstance(p, Words | Near)]
            return reduce(or_, [_texts(texts, folded), *others] if texts else others)
        case And():
            takes = reduce(and_, [_mask(part, folded) for part in node.takes])
            return reduce(and_, [~_mask(part, folded) for part in node.drops], takes)


def _texts(parts: list[Words | Near], folded: pl.Expr) -> pl.Expr:
    """Rows that hold any of these. A beginning is a literal too: it ends without a blank."""
    literals = [text for part in parts if (text := _literal(part)) is not None]
    found: list[pl.Expr] = []
    if len(literals) == 1:
        found.append(folded.str.contains(literals[0], literal=True))
    elif literals:  # twice as fast as str.contains_any
        found.append(folded.str.contains("|".join(literals)))
    # One expression each: eight proximities in one regular expression take six times as long.
    found.extend(_apart(part, folded) for part in parts if _literal(part) is None)
    return reduce(or_, found).fill_null(value=False)


def _literal(part: Words | Near) -> str | None:
    if isinstance(part, Near) or any(token.prefix for token in part.tokens[:-1]):
        return None
    end = "" if part.tokens[-1].prefix else " "
    return f" {' '.join(token.text for token in part.tokens)}{end}"


def _apart(part: Words | Near, folded: pl.Expr) -> pl.Expr:
    """What needs a regular expression, asked only of rows that hold each word somewhere."""
    tokens = part.tokens if isinstance(part, Words) else (part.one, part.other)
    words = (folded.str.contains(f" {token.text}", literal=True) for token in tokens)
    return pl.when(reduce(and_, words)).then(folded).str.contains(_pattern(part))


def _pattern(part: Words | Near) -> str:
    """A regular expression over folded text. Tokens are letters, digits and underscores only."""
    if isinstance(part, Words):
        end = "" if part.tokens[-1].prefix else " "
        return f" {' '.join(map(_one, part.tokens))}{end}"
    between = f"(?: [^ ]+){{0,{part.within - 1}}} "
    one, other = _one(part.one), _one(part.other)
    return f" {one}{between}{other} | {other}{between}{one} "


def _one(token: Token) -> str:
    return token.text + "[^ ]*" * token.prefix


def _attribute(node: Attribute) -> pl.Expr:
    if node.field == "lang":
        tag = pl.element().str.to_lowercase().str.replace_all("_", "-", literal=True)
        fits = (tag == node.value) | tag.str.starts_with(f"{node.value}-")
        return pl.col("langs").list.eval(fits).list.any().fill_null(value=False)
    value = pl.col(node.field).str.to_lowercase()
    fits = value.str.starts_with(node.value) if node.prefix else value == node.value
    return fits.fill_null(value=False)
