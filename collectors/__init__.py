"""The collectors: what each has to offer, which there are, and which can run now.

A new source is one new module here with `ready` and `collect`; nothing else has to know of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import polars as pl

    from cases.case import Case
    from collectors.settings import Settings
    from store.schema import Batch

# In the order in which they run. What streams goes first: its source keeps only a day or so.
COLLECTORS = ("bluesky-stream", "bluesky-search", "reddit")


class Known(Protocol):
    """What a collector may ask of the store: what is kept, what a case has matched, what is due."""

    def has(self, uris: Sequence[str], /) -> set[str]:
        """Which of these posts are stored, in whatever state."""
        ...

    def matched(self, case: str, query_hash: str, uris: Sequence[str], /) -> set[str]:
        """Which of these posts belong to the case by themselves (own or taken)."""
        ...

    def kept(self, source: str, cases: Sequence[Case], /) -> Iterator[pl.DataFrame]:
        """All posts of a source that still have their words (live or hidden), in portions of
        bounded size: uri, and root (boolean): whether one of these cases, by its present query, has
        it as own or taken, so that replies to it and quotes of it belong to that case too."""
        ...

    def author(self, source: str, author: str, /) -> bool:
        """Whether posts of this author (the source's own id) are kept, live or hidden."""
        ...

    def due(
        self,
        source: str,
        limit: int,
        now: datetime,
        /,
        *,
        since: datetime | None = None,
        kind: str | None = None,
        uris: Collection[str] | None = None,
        duty: timedelta | None = None,
    ) -> pl.DataFrame:
        """Posts whose source is to be asked about them again, at most `limit`, those looked at
        longest ago first: uri, at, first_seen_at, state (live or hidden), and checked_at, misses,
        next_at, likes_48h, reposts_48h, replies_48h of their last check (null where there was
        none, and first_seen_at counts as the look). Only those written `since`, of this `kind`
        (post, comment), among `uris`. With `duty`, those looked at within that time and those left
        longer take turns."""
        ...

    def overdue(self, source: str, before: datetime, /) -> int:
        """How many kept posts nobody has looked at, at their source, since `before`."""
        ...

    def cursors(self, collector: str, /) -> dict[str, str]:
        """The cursor that each unit of a collector had reached when it last stored something."""
        ...


class Collector(Protocol):
    """The two functions of a collector's module.

    `ready` says None when it can run now, otherwise one line why not and what works instead.
    `collect` yields batches; a batch carries the cursor that its unit has reached with it, which is
    saved after the batch is stored and given back by `known.cursors`. Collectors write nothing but
    their credential cache in `settings.cache`. They raise CollectorError.
    """

    def ready(self, settings: Settings) -> str | None: ...
    def collect(
        self, cases: Sequence[Case], known: Known, settings: Settings
    ) -> Iterator[Batch]: ...


def ready(name: str, settings: Settings) -> str | None:
    """None when the collector can run now, else one line: why not, and what works instead."""
    if name not in COLLECTORS:
        return f"{name}: no such collector. There are: {', '.join(COLLECTORS)}."
    if find_spec(_module(name)) is None:
        return (
            f"{name}: not in this version; import a file instead: "
            "aftershock import FILE --case NAME"
        )
    return load(name).ready(settings)


def load(name: str) -> Collector:
    """The collector's module. LookupError if this version has none of that name."""
    if name not in COLLECTORS or find_spec(_module(name)) is None:
        raise LookupError(f"{name}: not in this version. There are: {', '.join(COLLECTORS)}.")
    # A module that is there and cannot be imported raises its own error: it is broken, not absent.
    return cast("Collector", import_module(_module(name)))


def _module(name: str) -> str:
    return f"{__name__}.{name.replace('-', '_')}"
