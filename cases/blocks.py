"""The prefilter for whole blocks of JSON lines: which of a megabyte of records are worth parsing.

Says what `Query.passes` says of one record, only sharper and much faster. It never drops a line
that a query takes. Needs Hyperscan (`glance.READY`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cases.clauses import Atom, clauses
from cases.glance import Glance, Verdict
from cases.hidden import Bytes, Hiding, Mask, Neighbours, Places, shown
from cases.query import Query

NEWLINE = 0x0A
PIECE = 1 << 18


class Scan:
    """What one look at a block of whole lines found: each line's first byte and its newline, where
    named patterns end and in which lines, and which lines may matter to a query: they hold a rare
    word, coded letters or others that hide."""

    def __init__(self, data: memoryview, glance: Glance, rare: Neighbours) -> None:
        self.data = data
        self.raw: Bytes = np.frombuffer(data, np.uint8)
        self.ends, leads = _marks(self.raw)
        self.starts: Places = np.concatenate([[0], self.ends[:-1] + 1])[: len(self.ends)]
        self.places = glance.places(data)
        self._lines: dict[str, Places] = {}
        self.hiding = Hiding.at(self.raw, leads)
        self.coded = self.holding("coded")
        self.maybe = self.holding("word") | self.coded
        matter = rare.matter(self.raw, self.hiding)
        self.maybe[np.searchsorted(self.ends, leads[matter])] = True

    def __len__(self) -> int:
        return len(self.ends)

    def line(self, number: int) -> bytes:
        """A line, counted from 0, without its newline."""
        return bytes(self.data[self.starts[number] : self.ends[number]])

    def lines(self, name: str) -> Places:
        """The line of each of the places of this name."""
        if name not in self._lines:
            self._lines[name] = np.searchsorted(self.ends, self.places[name] - 1)
        return self._lines[name]

    def holding(self, name: str) -> Mask:
        """Which lines hold this pattern."""
        there = np.zeros(len(self), np.bool_)
        there[self.lines(name)] = True
        return there


class Sieve:
    """Which lines of a block some of these queries may take; finds named patterns on the way."""

    def __init__(
        self, queries: Iterable[Query], named: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        found = [clauses(query.node) for query in queries]
        # One of them may take anything, so that nothing can be dropped.
        self.open = not found or not all(found)
        if self.open:
            return
        rarest = frozenset[Atom]().union(*(parts[0] for parts in found))
        every = rarest.union(*(clause for parts in found for clause in parts))
        self._glance = Glance(rarest, named or {})
        self._verdict = Verdict(found)
        self._rare, self._any = (
            Neighbours({word for atom in atoms for word in atom.words}) for atoms in (rarest, every)
        )

    def scan(self, data: memoryview) -> Scan:
        """The first look. A line that no query takes may well be among the maybes."""
        return Scan(data, self._glance, self._rare)

    def taken(self, scan: Scan, asked: Mask) -> list[int]:
        """The second look, at the maybes among the lines that are asked for."""
        maybe = scan.maybe & asked
        lines = np.searchsorted(scan.ends, scan.hiding.leads)
        there = maybe[lines]
        matter = self._any.matter(scan.raw, scan.hiding.among(there))
        hidden = set(lines[there][matter].tolist())
        taken = []
        for n in np.flatnonzero(maybe).tolist():
            line, coded = scan.line(n), bool(scan.coded[n])
            if coded or n in hidden:
                spelt = shown(line, coded=coded)
                takes = self._verdict(spelt) or (coded and self._verdict(line))
            else:
                takes = self._verdict(line)
            if takes:
                taken.append(n)
        return taken

    def passes(self, data: bytes) -> Mask:
        """One truth value a line: False where no query takes the record."""
        passing = np.full(data.count(b"\n"), self.open, np.bool_)
        if not self.open:
            passing[self.taken(self.scan(memoryview(data)), ~passing)] = True
        return passing


def _marks(raw: Bytes) -> tuple[Places, Places]:
    """The newlines, and the first bytes of characters outside ASCII: found as one, told apart
    afterwards, and a piece at a time that stays next to the processor."""
    found = [
        np.flatnonzero(raw[n : n + PIECE] - np.uint8(NEWLINE + 1) >= 0xC0 - NEWLINE - 1) + n
        for n in range(0, len(raw), PIECE)
    ]
    marks = np.concatenate(found) if found else np.empty(0, np.int64)
    what = raw[marks]
    return marks[what == NEWLINE], marks[what >= 0xC0]
