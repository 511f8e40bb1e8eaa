"""Two searches of raw JSON by Hyperscan: one of whole blocks, at the speed of memory nearly, and
one of single lines, which knows the queries. Both find too much, never too little.

They see bytes as they stand. Letters that hide behind something else are the business of hidden.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec

import numpy as np

from cases.clauses import Atom, Clause
from cases.hidden import CODED, Places

READY = find_spec("hyperscan") is not None  # no wheel for every machine

# Between words in raw JSON: neither a letter nor the quote that ends a string; escapes but \u.
_SIGN = r'(?:[^a-z0-9_"\\]|\\[^u])'
_SIGNS = rf"(?:{_SIGN}|amp;|lt;|gt;)*"  # the entities are signs whose names stay
_BEFORE = r"(?:[^a-z0-9_]|\\[bfnrt])"
_AFTER = r"[^a-z0-9_]"


class Glance:
    """Looks through a block for words, for places where letters may be coded, and for patterns that
    have a name. One pass: each further one costs as much as unpacking a third of the block."""

    def __init__(self, atoms: Collection[Atom], named: Mapping[str, Sequence[str]]) -> None:
        import hyperscan  # noqa: PLC0415 - it may not be there

        groups = {
            "word": [f"(?i){_pattern(atom)}" for atom in sorted(atoms)],
            "coded": list(CODED),
            **named,
        }
        self._names = [name for name, patterns in groups.items() for _ in patterns]
        self._base = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._base.compile(
            expressions=[p.encode("latin-1") for patterns in groups.values() for p in patterns],
            ids=list(range(len(self._names))),
            elements=len(self._names),
            flags=0,
        )

    def places(self, data: memoryview) -> dict[str, Places]:
        """Where each named pattern ends in the block; also "word" and "coded"."""
        found: dict[str, list[int]] = {name: [] for name in self._names}
        adds = [found[name].append for name in self._names]

        def on(number: int, start: int, end: int, flags: int, context: object) -> None:
            adds[number](end)

        self._base.scan(data, match_event_handler=on)  # type: ignore[type-var]
        return {name: np.array(ends, np.int64) for name, ends in found.items()}


class Verdict:
    """Which lines hold one atom of each clause of some query."""

    def __init__(self, queries: Sequence[Sequence[Clause]]) -> None:
        import hyperscan  # noqa: PLC0415 - it may not be there

        atoms = sorted({atom for clauses in queries for clause in clauses for atom in clause})
        numbers = {atom: str(number) for number, atom in enumerate(atoms)}
        both = ["&".join(_either(clause, numbers) for clause in clauses) for clauses in queries]
        both = list(dict.fromkeys(both))
        quiet = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_QUIET
        loud = hyperscan.HS_FLAG_COMBINATION | hyperscan.HS_FLAG_SINGLEMATCH
        self._base = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._base.compile(
            expressions=[text.encode() for text in (*map(_pattern, atoms), *both)],
            ids=list(range(len(atoms) + len(both))),
            elements=len(atoms) + len(both),
            flags=[quiet] * len(atoms) + [loud] * len(both),
        )
        self._found: list[int] = []

    def __call__(self, line: bytes) -> bool:
        self._found.clear()
        self._base.scan(line, match_event_handler=self._on)
        return bool(self._found)

    def _on(self, number: int, start: int, end: int, flags: int, context: object) -> None:
        self._found.append(number)


def _either(clause: Clause, numbers: Mapping[Atom, str]) -> str:
    some = [numbers[atom] for atom in sorted(clause)]
    return f"({'|'.join(some if len(some) > 1 else some * 2)})"  # it takes no number alone


def _pattern(atom: Atom) -> str:
    """An atom in bytes of JSON, letters of either case.

    A phrase can begin at the end of a title and go on in the body, which stands elsewhere in the
    record: so a first word that ends a string counts as two.
    """
    begins, ends = _BEFORE if atom.begins else "", _AFTER if atom.ends else ""
    if len(atom.words) == 1:
        return f"{begins}{atom.words[0]}{ends}"
    one, other = atom.words
    return f'{begins}{one}(?:{_SIGN}{_SIGNS}{other}{ends}|{_SIGNS}")'
