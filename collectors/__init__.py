"""The collectors: what each has to offer, which there are, and which can run now.

A new source is one new module here with `ready` and `collect`; nothing else has to know of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from cases.case import Case
    from store.schema import Batch

# In the order in which they run. What streams goes first: its source keeps only a day or so.
COLLECTORS = ("bluesky-stream", "bluesky-search", "reddit")


class Known(Protocol):
    """What a collector may ask of the store: which uris are kept, and which a case has matched."""

    def has(self, uris: Sequence[str], /) -> set[str]: ...
    def matched(self, case: str, query_hash: str, uris: Sequence[str], /) -> set[str]: ...


class Collector(Protocol):
    """The two functions of a collector's module.

    `ready` says None when it can run now, otherwise one line why not and what works instead.
    `collect` yields batches from the cursor on; a batch carries the cursor reached with it, which
    is saved after the batch is stored. Collectors write nothing themselves.
    """

    def ready(self, settings: Any) -> str | None: ...
    def collect(
        self, cases: Sequence[Case], cursor: str | None, known: Known | None, settings: Any
    ) -> Iterator[Batch]: ...


def ready(name: str, settings: Any = None) -> str | None:
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
