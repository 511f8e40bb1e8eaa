"""The walk down a stretch of time by queries that each show only so many posts: where the next one
begins, and what of the stretch has been seen.

A query shows about 10,000 posts at most (medialab/minet PR 1018), newest first by the server's own
time, and nothing in it says whether that was all. Pure decisions; it asks nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from collectors.stretches import Stretch, Stretches, joined, without

# How far above the oldest post seen the next query begins. The first allows for a server that is
# not exact to the second, the second for a minute with more posts than a query shows.
EDGES = (timedelta(minutes=1), timedelta(seconds=1))
SURELY_SHOWN = 25  # any server shows that many posts of one query
UNSORTED_MOST = 1_000  # a query of fewer posts that ended by itself is whole in whatever order
SLACK = timedelta(minutes=1)  # by which a post may stand too far down
SHORTEST = timedelta(hours=1)  # a stretch in no order is halved down to this
TAIL = 5  # the oldest posts seen, of which the youngest counts: one dated back far must not


@dataclass
class Slice:
    """What one query has shown, over all its pages."""

    hits: int = 0
    new: int = 0  # of these, not shown by the query before
    ended: bool = False  # by a missing cursor: not by a server that repeats itself
    tail: deque[datetime] = field(default_factory=lambda: deque(maxlen=TAIL))
    ordered: bool = True  # newest first, as far as one can see

    def add(self, times: Sequence[datetime], hits: int, new: int) -> None:
        """A page: the times the server sorts by, in its order."""
        for at in times:
            # Single posts dated back far are normal; one younger than each of the last ones is not.
            if len(self.tail) == TAIL and at > max(self.tail) + SLACK:
                self.ordered = False
            self.tail.append(at)
        self.hits += hits
        self.new += new


class Walk:
    """One stretch on its way down. `until` is where the query under way begins (None: now)."""

    def __init__(self, stretch: Stretch, until: datetime | None) -> None:
        self.stretch = stretch
        self.until = until
        self.low = stretch[1]  # what is younger, within the stretch, was all shown or is capped
        self.capped: list[Stretch] = []
        self.halves: tuple[Stretch, ...] = ()  # to be read instead of the whole
        self.doubt = ""  # why nobody can say that all was shown
        self._edge = 0

    def shown(self) -> Stretches:
        """What was shown in full so far."""
        return without(joined([(self.low, self.stretch[1])]), joined(self.capped))

    def see(self, found: Slice) -> None:
        """More pages of this query follow: all above its oldest posts has been shown."""
        if found.ordered and found.tail:
            # Others may stand in the millisecond of the oldest itself.
            oldest = _whole(max(found.tail)) + timedelta(milliseconds=1)
            self.low = min(self.low, max(self.stretch[0], oldest))

    def goes_on(self, found: Slice, deepest: int) -> bool:
        """Whether another query is needed now that this one has shown all it shows.

        `deepest` is the most posts that any query has shown, this one included. A query that showed
        fewer was not cut off by the server's depth.
        """
        start, _ = self.stretch
        if not found.ordered:
            return self._in_no_order(found)
        cut = not found.ended or found.hits >= max(deepest, SURELY_SHOWN)
        below = bool(found.tail) and max(found.tail) < start
        whole = found.ended and (found.hits < SURELY_SHOWN or (not found.new and not cut))
        if below or whole:
            self.low = start
        elif not found.tail:
            self.doubt = "the server shows posts that cannot be read"
        else:
            self.see(found)
            return self._next(found)
        return False

    def _next(self, found: Slice) -> bool:
        start, _ = self.stretch
        if found.new:
            self._edge = 0
        elif self._edge < len(EDGES):
            self._edge += 1
        if self._edge < len(EDGES):
            self.until = self.low + EDGES[self._edge]
            return True
        if not found.ended:
            self.doubt = "the server repeats itself"
            return False
        # One second holds as many posts as a query shows: whatever more it holds stays unseen.
        second = self.low.replace(microsecond=0)
        self.capped.append((second, second + timedelta(seconds=1)))
        self.low, self.until, self._edge = max(start, second), second, 0
        return second > start

    def _in_no_order(self, found: Slice) -> bool:
        start, end = self.stretch
        self.low = end
        if found.ended and found.hits < UNSORTED_MOST:
            self.low = start
        elif end - start > SHORTEST:
            middle = _whole(start + (end - start) / 2)
            self.halves = ((start, middle), (middle, end))
        else:
            self.doubt = "the server's answers are in no order of time"
        return False


def _whole(moment: datetime) -> datetime:
    """To the millisecond, which is as fine as the server's times are."""
    return moment - timedelta(microseconds=moment.microsecond % 1000)
