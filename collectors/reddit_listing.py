"""One page of what Reddit lists, as rows; and what the ledger and the cursor say of a unit.

Paging itself, and when it ends, is the business of the sweeps and searches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from datetime import time as clock
from typing import TYPE_CHECKING, Any

from collectors.normalise import Gone, Row, frame, reddit_comment, reddit_submission
from collectors.reddit_client import Client
from collectors.reddit_refusals import RefusedError
from collectors.settings import Settings, Step
from collectors.values import BadRecord, is_marker
from store.schema import Bad, Batch, Reading

if TYPE_CHECKING:
    import polars as pl

    from cases.case import Case

COLLECTOR = "reddit"
AT_ONCE = 100  # Reddit gives no more on a page
# A listing ends at about 1,000 posts however many there are (recordings of PRAW: 1,001 on 11 pages;
# bulk-downloader-for-reddit#57: 976). What was removed is taken out of a page afterwards, so the
# pages are counted and not the posts on them.
CAP_PAGES = 10
MOST_PAGES = 30
PLACE = re.compile(r"t[13]_[0-9a-z]{1,13}")
SPENT = "the budget of requests is spent; the next run goes on from here"


@dataclass
class Found:
    """What one or more answers held. `oldest` and `newest` are epoch seconds, `after` where the
    listing goes on (the fullname of a post), None at its end."""

    rows: list[Row] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    items: int = 0
    newest: float | None = None
    oldest: float | None = None
    after: str | None = None

    def take(self, things: Iterable[Any], asked: datetime, place: str) -> None:
        """Add things as Reddit gives them: kind and data."""
        for thing in things:
            self.items += 1
            try:
                row = normalised(thing, asked)
            except BadRecord as error:
                self.bad.append(Bad(place, str(error)))
                continue
            if isinstance(row, Gone):
                self.gone.append(row.uri)
                at = row.at
            else:
                self.rows.append(row)
                at = row["at"]
            if at is not None:
                self.oldest = at.timestamp()  # listings of what is new are in the order of time
                self.newest = max(self.newest or 0.0, self.oldest)

    def unlike(self, brought: set[str]) -> None:
        """Leave out what was brought before, and note what is brought now."""
        self.rows = [row for row in self.rows if row["uri"] not in brought]
        brought.update(row["uri"] for row in self.rows)

    def since(self, floor: datetime) -> None:
        """Leave out what was written before."""
        self.rows = [row for row in self.rows if row["at"] >= floor]


def normalised(thing: Any, asked: datetime) -> Row | Gone:
    """A row of a thing with kind t1 or t3. Raises BadRecord.

    Where the author's account is gone (author "[deleted]", the text still there), the post counts
    as gone: Reddit asks for what identified its author to go, and an address does.
    """
    raw = thing.get("data") if isinstance(thing, Mapping) else None
    if not isinstance(raw, Mapping) or thing.get("kind") not in ("t1", "t3"):
        raise BadRecord("neither a post nor a comment")
    comment = thing["kind"] == "t1"
    row = reddit_comment(raw, asked) if comment else reddit_submission(raw, asked)
    author = raw.get("author")
    if not isinstance(row, Gone) and isinstance(author, str) and is_marker(author):
        return Gone(row["uri"], "reddit", row["kind"], row["at"])
    return row


def page(client: Client, path: str, place: str, **params: str | int) -> Found:
    """One page of a listing. Raises RefusedError or BudgetSpentError."""
    asked = client.now()
    things, after = listing(client.get(path, limit=AT_ONCE, **params))
    found = Found(after=after)
    found.take(things, asked, place)
    return found


def listing(answer: Any) -> tuple[list[Any], str | None]:
    """The children of a Listing and where it goes on. Raises RefusedError when it is none."""
    data = answer.get("data") if isinstance(answer, Mapping) else None
    children = data.get("children") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(children, list):
        raise RefusedError("garbled", "Reddit answers with something that is no list of posts.")
    after = data.get("after") or None
    if after is not None and not (isinstance(after, str) and PLACE.fullmatch(after)):
        raise RefusedError("garbled", "Reddit does not say where its list of posts goes on.")
    return children, after


@dataclass
class Unit:
    """What the ledger should say about one unit, as far as it has been read in this run."""

    name: str
    cases: tuple[str, ...]
    settings: Settings
    client: Client
    collector: str = COLLECTOR
    pages: int = 0
    items: int = 0
    bytes: int = 0
    _before: int = 0

    def begin(self) -> None:
        """What is read from now on, until `end`, is this unit's."""
        self._before = self.client.bytes

    def end(self, found: Found, pages: int = 1) -> None:
        self.pages += pages
        self.items += found.items
        self.bytes += self.client.bytes - self._before
        self.settings.tell(Step(self.collector, self.name, self.items))

    def batch(
        self,
        found: Found | None = None,
        *,
        cursor: str | None = None,
        checks: pl.DataFrame | None = None,
        span: tuple[datetime, datetime] | None = None,
        **said: Any,
    ) -> Batch:
        """A batch with totals so far; `said`: status, stop_reason, gap, error of the reading."""
        found = found or Found()
        start, stop = span or (None, None)
        reading = Reading(
            self.name,
            "reddit",
            observed_from=start,
            observed_to=stop,
            pages=self.pages,
            items=self.items,
            bytes=self.bytes,
            cases=self.cases,
            **said,
        )
        return Batch(
            self.collector,
            reading,
            posts=frame(found.rows),
            gone=tuple(found.gone),
            bad=tuple(found.bad),
            checks=checks,
            cursor=cursor,
        )


class Places:
    """The cursor of a unit: how far it was read, for each case and query by itself, since a run may
    be for one case only and a new query has seen nothing yet. JSON: {"read": {"case:hash": {...}},
    and what else the unit keeps}."""

    def __init__(self, text: str | None) -> None:
        try:
            told = json.loads(text or "{}")
        except ValueError:
            told = {}
        self.all: dict[str, Any] = told if isinstance(told, dict) else {}
        read = self.all.get("read")
        self.read: dict[str, dict[str, Any]] = {
            key: value for key, value in (read or {}).items() if isinstance(value, dict)
        }

    def of(self, cases: Sequence[Case], since: datetime | None) -> list[dict[str, Any]] | None:
        """What is known for these cases; None when one of them was never read, or by runs only that
        began (`--since`) later than this one does."""
        found = [self.read.get(key(case)) for case in cases]
        known = [
            one
            for case, one in zip(cases, found, strict=True)
            if one is not None and one.get("floor", 0) <= beginning(case, since).timestamp()
        ]
        return known if len(known) == len(cases) else None

    def passed_over(self, cases: Sequence[Case], since: datetime | None) -> bool:
        """Whether a run from `since` on leaves a hole below itself: what was written after the last
        run and before `since`. What it reads is kept, and how far it came must not be: the next run
        without `since` would begin there."""
        known = zip(cases, self.of(cases, since) or (), strict=False)
        return any(
            beginning(case, since) > max(beginning(case), time(float(one["to"])))
            for case, one in known
        )

    def put(self, cases: Sequence[Case], since: datetime | None, **values: Any) -> None:
        for case in cases:
            before = self.read.get(key(case), {})
            lowest = min(beginning(case, since).timestamp(), before.get("floor", float("inf")))
            if before and "floor" not in before:
                lowest = 0
            older = [one for one in self.read if one.startswith(f"{case.name}:")]
            for one in older:
                del self.read[one]
            self.read[key(case)] = before | values | {"floor": lowest}

    def text(self) -> str:
        return json.dumps(self.all | {"read": self.read}, separators=(",", ":"), sort_keys=True)


def beginning(case: Case, since: datetime | None = None) -> datetime:
    """From when on a case is read: its own beginning, or `since` (of the command line)."""
    return since or datetime.combine(case.since, clock(), UTC)


def key(case: Case) -> str:
    return f"{case.name}:{case.query_hash}"


def time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
