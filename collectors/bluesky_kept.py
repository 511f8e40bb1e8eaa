"""What the stream has to recognise of what is kept: posts, thread roots and authors, as hashes.

A million kept posts take 8 MB a set. A hash that two share only makes the stream look at one record
more; what it then does is decided by the record. Nothing here is written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from cases.case import Case
from collectors import Known

FRESH = 8192


class Hashes:
    """A growing set of strings that knows only their hashes: 64 bits each, sorted."""

    def __init__(self) -> None:
        self._old = pl.Series(dtype=pl.UInt64)
        self._fresh = pl.Series(dtype=pl.UInt64)  # small, so that adding a few is cheap

    def add(self, strings: pl.Series | Iterable[str]) -> None:
        self._fresh = _sorted(self._fresh, _hashed(strings))
        if len(self._fresh) > FRESH:
            self._old, self._fresh = _sorted(self._old, self._fresh), self._fresh.clear()

    def holds(self, strings: pl.Series | Iterable[str]) -> pl.Series:
        """A mask over the strings: whether each is in the set (False for null)."""
        strings = _strings(strings)
        hashed = strings.hash()
        return (_among(hashed, self._old) | _among(hashed, self._fresh)) & strings.is_not_null()

    def __contains__(self, string: str | None) -> bool:
        return string is not None and bool(self.holds([string]).item())

    def __len__(self) -> int:
        return len(self._old) + len(self._fresh)


class Kept:
    """The posts that are kept, those of them whose replies and quotes belong too, their authors."""

    def __init__(self) -> None:
        self.posts, self.roots, self.authors = Hashes(), Hashes(), Hashes()

    def load(self, known: Known, cases: Sequence[Case]) -> None:
        """Add what the store keeps now."""
        for rows in known.kept("bluesky", cases):
            self.add(rows["uri"])
            self.roots.add(rows.filter(pl.col("root"))["uri"])

    def add(self, uris: pl.Series | Iterable[str], *, roots: bool = False) -> None:
        uris = _strings(uris)
        self.posts.add(uris)
        self.authors.add(uris.str.extract("^at://([^/]+)/").drop_nulls())
        if roots:
            self.roots.add(uris)


def _strings(strings: pl.Series | Iterable[str]) -> pl.Series:
    if isinstance(strings, pl.Series):
        return strings
    return pl.Series(list(strings), dtype=pl.String)


def _hashed(strings: pl.Series | Iterable[str]) -> pl.Series:
    return _strings(strings).hash()


def _sorted(one: pl.Series, other: pl.Series) -> pl.Series:
    return pl.concat([one, other]).unique().sort()


def _among(hashed: pl.Series, known: pl.Series) -> pl.Series:
    """Whether each hash is in the sorted series: by bisection, since a join would read all of it
    for each chunk of the stream."""
    if known.is_empty() or hashed.is_empty():
        return pl.repeat(value=False, n=len(hashed), dtype=pl.Boolean, eager=True)
    places = known.search_sorted(hashed)
    return known.gather(places.clip(upper_bound=len(known) - 1)) == hashed
