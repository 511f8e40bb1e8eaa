"""Stretches of time: what was read of a source, and what is left of a window.

Half-open [from, to), in UTC, in order, apart from one another. Pure arithmetic; asks nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

Stretch: TypeAlias = tuple[datetime, datetime]
Stretches: TypeAlias = tuple[Stretch, ...]


def joined(stretches: Iterable[Stretch]) -> Stretches:
    """Any stretches put in order and together, where they touch; empty ones are left out."""
    done: list[Stretch] = []
    for start, end in sorted(stretches):
        if start >= end:
            continue
        if done and start <= done[-1][1]:
            done[-1] = (done[-1][0], max(done[-1][1], end))
        else:
            done.append((start, end))
    return tuple(done)


def without(stretches: Stretches, taken: Stretches) -> Stretches:
    """What is left of the first when the second is taken out."""
    left: list[Stretch] = []
    for start, end in stretches:
        for gone_from, gone_to in taken:
            if gone_to <= start or gone_from >= end:
                continue
            if gone_from > start:
                left.append((start, gone_from))
            start = gone_to  # noqa: PLW2901
            if start >= end:
                break
        if start < end:
            left.append((start, end))
    return tuple(left)


def common(one: Stretches, other: Stretches) -> Stretches:
    """What lies in both."""
    return joined(
        (max(start, begin), min(end, stop)) for start, end in one for begin, stop in other
    )


def common_to_all(every: Sequence[Stretches]) -> Stretches:
    """What lies in each of them; nothing when there are none."""
    if not every:
        return ()
    shared = every[0]
    for each in every[1:]:
        shared = common(shared, each)
    return shared


def length(stretches: Stretches) -> timedelta:
    return sum((end - start for start, end in stretches), timedelta())
