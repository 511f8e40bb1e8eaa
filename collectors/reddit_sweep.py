"""A watched subreddit: its new posts, from the newest down to where the last sweep had begun.

Never by `before`: once that post is deleted the listing comes back empty, for good. Never by
PRAW's streams, which miss posts beyond 100 between two looks. Comments are not in this listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from collectors.reddit_client import BudgetSpentError, Client
from collectors.reddit_listing import (
    CAP_PAGES,
    MOST_PAGES,
    SPENT,
    Found,
    Places,
    Unit,
    key,
    page,
    time,
)
from collectors.reddit_refusals import OF_A_COMMUNITY, RefusedError
from collectors.settings import Settings
from store.schema import Batch

if TYPE_CHECKING:
    from cases.case import Case

NO_PLACE = ("asked", "missing")  # how a place to go on from is refused: 400 or 404
MOST_UNREADABLE = 0.01  # of the posts of a sweep, as of the records of an imported file
# A post that a moderator lets through later stands where it was written, below what was read.
OVERLAP = timedelta(hours=1).total_seconds()


class Sweep:
    """One subreddit in one run, for every case that watches it."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        name: str,
        cases: Sequence[Case],
        cursor: str | None,
        floor: datetime,
        brought: set[str],
    ) -> None:
        """`floor`: nothing written before it is wanted. `brought`: uris that this run has had, for
        the searches after it; it is added to."""
        self.brought = brought
        self.client, self.name, self.cases, self.floor = client, name, cases, floor
        self.unit = Unit(f"r/{name}", tuple(case.name for case in cases), settings, client)
        self.places = Places(cursor)
        # Of this sweep and of the one that it goes on with: what was read twice counts as little as
        # it may among all, and as much among the unreadable.
        self.items = self.unreadable = 0
        self.since = settings.since
        known = self.places.of(cases, self.since)
        self.passed_over = self.places.passed_over(cases, self.since)
        newest = [float(one["newest"]) for one in known or () if one.get("newest") is not None]
        self.reached = min((float(one["to"]) for one in known), default=None) if known else None
        # Below `join` everything was read before.
        self.join = self.target = floor.timestamp()
        if newest and len(newest) == len(cases):
            self.join = max(self.join, min(newest))
            self.target = max(self.target, min(newest) - OVERLAP)

    @property
    def read_at(self) -> float:
        """When it was last read to where it had to be, 0 for never: the longest ago goes first."""
        return self.reached or 0.0

    def run(self) -> Iterator[Batch]:
        """Batches of a page each. Raises BudgetSpentError, or RefusedError for what is not the
        subreddit's own matter, after a batch that says so."""
        try:
            yield from self._pages()
        except BudgetSpentError:
            yield self.unit.batch(status="partial", stop_reason=SPENT)
            raise
        except RefusedError as error:
            own = error.kind in OF_A_COMMUNITY
            said = f"r/{self.name} {error}. It is not read." if own else str(error)
            yield self.unit.batch(
                status="failed", stop_reason=error.kind, gap=self.reached is not None, error=said
            )
            if not own or error.kind == "forbidden":
                raise

    def _pages(self) -> Iterator[Batch]:
        began = self.client.now().timestamp()
        cut = self._cut()
        after: str | None = None
        # Where to go on if the place of the cut is gone, at what depth and after how many posts.
        aside: tuple[str | None, int, int] | None = None
        again = True  # whether the listing may be begun anew
        newest: float | None = None
        depth = 0
        joined = False
        seen: set[str] = set()
        while True:
            try:
                found = self._page(after)
            except RefusedError as error:
                # Reddit may refuse to go on from a post that is gone. Only on its first page is
                # that said of the subreddit itself.
                if error.kind not in NO_PLACE or after is None or not (aside or again):
                    raise
                if aside is None:
                    again = False
                    seen.clear()
                (after, depth, self.items), aside = aside or (None, 0, 0), None
                continue
            if aside and not found.items and found.after is None:
                (after, depth, self.items), aside = aside, None
                continue
            aside = None
            depth += 1
            self.items += found.items
            self.unreadable += len(found.bad)
            newest = max(filter(None, (newest, found.newest)), default=None)
            oldest = float("inf") if found.oldest is None else found.oldest
            joined |= oldest < self.join
            repeats = found.after in seen
            found.since(self.floor)
            self.brought.update(row["uri"] for row in found.rows)
            if oldest < self.target or found.after is None or repeats or depth >= MOST_PAGES:
                break
            seen.add(found.after)
            after = found.after
            if cut and oldest < cut["newest"]:
                # From here on, the sweep that was cut off has read already.
                aside = (after, depth, self.items)
                after = _name(self.client.mask(cut["place"]))
                depth += cut["pages"]
                self.items += cut.get("items", 0) - found.items
                self.unreadable += cut.get("bad", 0)
                cut = None
            if found.oldest is not None and not cut:
                self.places.all["cut"] = {
                    "for": [key(case) for case in self.cases],
                    "newest": newest,
                    "place": self.client.mask(_number(after)),
                    "pages": depth,
                    "bad": self.unreadable,
                    "items": self.items,
                }
            yield self.unit.batch(found, cursor=self.places.text())
        capped = not joined and (depth >= CAP_PAGES or repeats)
        yield self._end(found, began, newest, capped=capped)

    def _end(self, found: Found, began: float, newest: float | None, *, capped: bool) -> Batch:
        """The last batch: what the sweep may claim."""
        self.places.all.pop("cut", None)
        if newest is None and not self.unreadable:
            # Reddit lists so what it keeps from a key (over 18) or has lost for the moment, too.
            reason = "Reddit lists not one post there that can be read; nothing is claimed"
            return self.unit.batch(found, status="partial", gap=True, stop_reason=reason)
        if newest is None or self.unreadable > MOST_UNREADABLE * self.items:
            # Nothing is passed, either: the next run has to come as far down as this one.
            reason = (
                f"{self.unreadable:,} of {self.items:,} posts could not be read, so nothing is"
                " claimed; the next run reads them again"
            )
            return self.unit.batch(
                found, cursor=self.places.text(), status="partial", gap=True, stop_reason=reason
            )
        return self._whole(found, began, newest, capped=capped)

    def _page(self, after: str | None) -> Found:
        self.unit.begin()
        place = f"r/{self.name}, page {self.unit.pages + 1}"
        params = {"after": after} if after else {}
        found = page(self.client, f"r/{self.name}/new", place, **params)
        self.unit.end(found)
        return found

    def _cut(self) -> dict[str, Any] | None:
        """The sweep that was cut off before it reached its end, if it read for all these cases."""
        cut = self.places.all.get("cut")
        if not isinstance(cut, dict) or not {key(case) for case in self.cases} <= set(cut["for"]):
            return None
        return cut if isinstance(cut["newest"], (int, float)) else None

    def _whole(self, found: Found, began: float, newest: float, *, capped: bool) -> Batch:
        before = [self.places.read.get(key(case), {}).get("newest") for case in self.cases]
        newest = max(one for one in (newest, *before) if one is not None)
        if not self.passed_over:
            self.places.put(self.cases, self.since, newest=newest, to=began)
        joins = self.reached is not None and not self.passed_over
        start = time(self.reached or 0) if joins else self.floor
        said: dict[str, Any] = {"status": "done", "stop_reason": "read to where the last run began"}
        if self.passed_over:
            said["stop_reason"] = "read down to --since; a run without it reads what came before"
        elif not joins:
            said["stop_reason"] = "read to the end"
        if capped:
            oldest = time(found.oldest) if found.oldest is not None else time(began)
            start = start if joins else oldest
            said = {
                "status": "capped",
                "gap": True,
                "stop_reason": (
                    "Reddit lists only about the newest 1,000 posts:"
                    f" those before {oldest:%Y-%m-%d %H:%M} UTC were not seen"
                ),
            }
        return self.unit.batch(found, cursor=self.places.text(), span=(start, time(began)), **said)


def _number(name: str) -> int:
    return int(name.removeprefix("t3_"), 36)


def _name(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return f"t3_{digits or '0'}"
