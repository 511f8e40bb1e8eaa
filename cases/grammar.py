"""Reads the text of a query into a small tree of nodes, or says where and why it cannot.

The syntax is a strict part of Lucene's, read by luqum. What Lucene would take but a case should
not depend on is refused with the position and what to write instead. Nothing is evaluated here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from luqum import thread, tree
from luqum.exceptions import ParseError

from cases.folding import fold_text
from cases.scan import QueryError, scan

SOURCES = ("bluesky", "reddit")
FIELDS = ("text", "source", "community", "lang")
STEM = 2  # letters before a *


@dataclass(frozen=True)
class Token:
    """One folded word; with `prefix`, any word that begins with it."""

    text: str
    prefix: bool = False

    def __str__(self) -> str:
        return self.text + "*" * self.prefix


@dataclass(frozen=True)
class Words:
    """Words that stand next to each other, in this order; often just one."""

    tokens: tuple[Token, ...]

    def __str__(self) -> str:
        text = " ".join(map(str, self.tokens))
        plain = len(self.tokens) == 1 and text not in ("and", "or", "not")
        return text if plain else f'"{text}"'


@dataclass(frozen=True)
class Near:
    """Two words at most `within` words apart, in any order; neighbours are 1 apart."""

    one: Token
    other: Token
    within: int

    def __str__(self) -> str:
        return f'"{self.one} {self.other}"~{self.within}'


@dataclass(frozen=True)
class Attribute:
    """What a post is, beside its text: source, community or declared language."""

    field: str
    value: str
    prefix: bool = False

    def __str__(self) -> str:
        return f"{self.field}:{self.value}{'*' * self.prefix}"


@dataclass(frozen=True)
class And:
    """All of `takes` and none of `drops`."""

    takes: tuple[Node, ...]
    drops: tuple[Node, ...] = ()

    def __str__(self) -> str:
        return f"({' AND '.join([*map(str, self.takes), *(f'NOT {d}' for d in self.drops)])})"


@dataclass(frozen=True)
class Or:
    """At least one of `parts`."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return f"({' OR '.join(map(str, self.parts))})"


Node = Words | Near | Attribute | And | Or


def read(text: str) -> Node:
    """Read a query; raises QueryError with the position and what to write instead."""
    scan(text)
    try:
        item = thread.parse(text)
    except (ParseError, ValueError, ArithmeticError) as error:
        _explain(text, str(error))
    return _Reader(text).node(item, "text")


def _explain(text: str, message: str) -> NoReturn:
    """Turn luqum's message into a QueryError. It gives a position, or `the end`."""
    found = re.search(r"at position (\d+)!?$", message)
    if found is None:
        raise QueryError(text, len(text.rstrip()), "the query ends too soon; write what comes next")
    at = int(found[1])
    word = re.compile(r"\w+|.", re.DOTALL).match(text, at)
    what = word[0] if word else "this"
    raise QueryError(text, at, f"{what} cannot stand here; write a word before and after it")


_MIXED = "AND and OR stand side by side; write parentheses: (a OR b) AND c"


def _once(nodes: list[Node]) -> list[Node]:
    """Each node once, in the order of their spelling: what makes one query one spelling."""
    return [node for _, node in sorted({str(node): node for node in nodes}.items())]


class _Reader:
    """Turns luqum's tree into nodes; holds the text only to say where something is wrong."""

    def __init__(self, text: str) -> None:
        self.text = text

    def wrong(self, item: Any, advice: str) -> NoReturn:
        # luqum's own positions of an operation count the white space before it.
        while isinstance(item, tree.BaseOperation):
            item = item.operands[0]
        raise QueryError(self.text, item.pos or 0, advice)

    def node(self, item: Any, field: str) -> Node:
        if isinstance(item, tree.BaseGroup):
            return self.node(item.expr, field)
        if isinstance(item, tree.OrOperation):
            return self.either(item, field)
        if isinstance(item, tree.BaseOperation):
            return self.every(item, field)
        if isinstance(item, tree.SearchField):
            return self.fielded(item, field)
        if isinstance(item, tree.Not):
            self.wrong(item, "NOT needs something to take from; write it as: word AND NOT word")
        return self.leaf(item, field)

    def leaf(self, item: Any, field: str) -> Node:
        if isinstance(item, tree.Word):
            return self.word(item) if field == "text" else self.attribute(item, field)
        if field != "text":
            self.wrong(item, f"{field}: takes single words without quotes")
        return self.near(item) if isinstance(item, tree.Proximity) else Words(self.phrase(item))

    def either(self, item: Any, field: str) -> Node:
        parts: list[Node] = []
        for part in item.operands:
            if isinstance(part, tree.AndOperation | tree.UnknownOperation):
                self.wrong(part, _MIXED)
            node = self.node(part, field)
            parts.extend(node.parts if isinstance(node, Or) else [node])
        parts = _once(parts)
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def every(self, item: Any, field: str) -> Node:
        takes: list[Node] = []
        drops: list[Node] = []
        for place, part in enumerate(item.operands):
            if isinstance(part, tree.OrOperation):
                self.wrong(part, _MIXED)
            if isinstance(part, tree.Not):
                if place == 0 or not isinstance(item, tree.AndOperation):
                    self.wrong(part, "write NOT after AND: word AND NOT word")
                drops.append(self.node(part.a, field))
                continue
            node = self.node(part, field)
            takes.extend(node.takes if isinstance(node, And) else [node])
            drops.extend(node.drops if isinstance(node, And) else [])
        takes, drops = _once(takes), _once(drops)
        return takes[0] if len(takes) == 1 and not drops else And(tuple(takes), tuple(drops))

    def fielded(self, item: Any, field: str) -> Node:
        if field != "text" or item.name not in FIELDS:
            known = ", ".join(FIELDS)
            self.wrong(
                item, f"{item.name}: is no field here; the fields are {known}, one at a time"
            )
        return self.node(item.expr, item.name)

    def word(self, item: Any) -> Node:
        if item.value.lower() in ("and", "or", "not"):
            upper = item.value.upper()
            self.wrong(item, f'write {upper} in capitals, or "{item.value}" to look for the word')
        return Words(tuple(self.tokens(item, item.value)))

    def phrase(self, item: Any) -> tuple[Token, ...]:
        chunks = item.value.strip('"').split()
        tokens = [t for chunk in chunks for t in self.tokens(item, chunk, empty=True)]
        if not tokens:
            self.wrong(item, "there is no word between the quotes; write one")
        return tuple(tokens)

    def tokens(self, item: Any, chunk: str, *, empty: bool = False) -> list[Token]:
        stem = chunk.removesuffix("*")
        if "*" in stem:
            self.wrong(item, f"in {chunk} write * only at the end of a word: entrain*")
        words = fold_text(stem).split()
        prefix = stem != chunk
        if ":" in chunk and not empty:
            self.wrong(item, f"put {chunk} in quotes; outside them a colon names a field")
        if not words and not empty and not prefix:
            self.wrong(item, f"{chunk} holds no letter or digit; write a word")
        ends_in_letter = fold_text(f"{stem}x").split()[-1:] == [f"{(words or [''])[-1]}x"]
        if prefix and (not words or len(words[-1]) < STEM or not ends_in_letter):
            self.wrong(item, f"in {chunk} write at least {STEM} letters before the *")
        return [Token(word, prefix and n == len(words)) for n, word in enumerate(words, 1)]

    def near(self, item: Any) -> Near:
        tokens = self.phrase(item.term)
        if len(tokens) != 2:
            words = " ".join(map(str, tokens))
            self.wrong(item, f'~ takes two words, not "{words}"; write them as "train music"~5')
        one, other = sorted(tokens, key=str)
        return Near(one, other, item.degree)

    def attribute(self, item: Any, field: str) -> Attribute:
        value = item.value.lower()
        stem = value.removesuffix("*")
        if field == "source" and value not in SOURCES:
            self.wrong(item, f"{item.value} is no source; the sources are {', '.join(SOURCES)}")
        if field == "lang":
            stem = value = value.replace("_", "-")
            if not re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})*", value):
                self.wrong(item, f"{item.value} is no language; write its code, as fr or pt-br")
        if field == "community" and not re.fullmatch(r"[a-z0-9_]{2,}", stem):
            self.wrong(item, f"{item.value} is no community; write its name alone, as duolingo")
        return Attribute(field, stem, stem != value)
