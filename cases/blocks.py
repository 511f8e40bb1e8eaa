"""The prefilter for whole blocks of JSON lines: which of a megabyte of records are worth parsing.

Says what `Query.passes` says of one record, only sharper and much faster. It never drops a line that
a query takes. Needs Hyperscan (`glance.READY`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cases.clauses import Atom, clauses
from cases.glance import Glance, Verdict
from cases.hidden import Bytes, Mask, Neighbours, Places, shown
from cases.query import Query

NEWLINE = 0x0A


@dataclass(frozen=True)
class Scan:
    """What one look at a block of whole lines found: each line's first byte and its newline, where
    named patterns end, and which lines hold a rare word, coded letters or other hidden ones."""

    raw: Bytes
    starts: Places
    ends: Places
    places: Mapping[str, Places]
    words: Mask
    coded: Mask
    hidden: Mask

    def lines(self, places: Places) -> Mask:
        """Which lines these places, each just behind something found, stand in."""
        there = np.zeros(len(self.ends), np.bool_)
        there[np.searchsorted(self.ends, places - 1)] = True
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
        self._glance = Glance(rarest, named or {})
        self._verdict = Verdict(found)
        self._neighbours = Neighbours(word for atom in rarest for word in atom.words)

    def scan(self, data: memoryview) -> Scan:
        """Look at a block once. A line that no query takes may well be among those found."""
        raw = np.frombuffer(data, np.uint8)
        # Newlines and the first bytes of characters outside ASCII, told apart afterwards.
        marks = np.flatnonzero(raw - np.uint8(NEWLINE + 1) >= 0xC0 - NEWLINE - 1)
        what = raw[marks]
        ends: Places = marks[what == NEWLINE]
        places = self._glance.places(data)
        hidden = self._neighbours.matter(raw, marks[what >= 0xC0])
        starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
        none = np.zeros(len(ends), np.bool_)
        found = Scan(raw, starts, ends, places, none, none, none)
        words, coded = (found.lines(places[name]) for name in ("word", "coded"))
        return Scan(raw, starts, ends, places, words, coded, found.lines(hidden + 1))

    def takes(self, line: bytes, *, coded: bool) -> bool:
        """Whether some query may take a line; `coded` as `scan` found it."""
        if self._verdict(line):
            return True
        # Letters that matter to the rarest word alone were found above; here any may matter.
        return (coded or not line.isascii()) and self._verdict(shown(line, coded=coded))

    def passes(self, data: bytes) -> Mask:
        """One truth value a line: False where no query takes the record."""
        if self.open:
            return np.ones(data.count(b"\n"), np.bool_)
        scan = self.scan(memoryview(data))
        passing = scan.words | scan.coded | scan.hidden
        for n in np.flatnonzero(passing):
            line = data[scan.starts[n] : scan.ends[n] + 1]
            passing[n] = self.takes(line, coded=bool(scan.coded[n]))
        return passing
