"""One answer of Bluesky's: its posts as rows, its unreadable ones counted, and their order in time.

Takes raw views one by one, so that a malformed one costs one post and not the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from cases.case import Case
from cases.match import match
from collectors.normalise import Row, bluesky_view, frame
from collectors.values import BadRecord, count, moment
from store.schema import RAW_POST, Bad

View = Mapping[str, Any]


@dataclass
class Page:
    """The posts of an answer, in its order. `times` holds what the server sorts by (`sort_at`)."""

    rows: list[Row] = field(default_factory=list)
    views: dict[str, View] = field(default_factory=dict)  # by uri
    times: dict[str, datetime] = field(default_factory=dict)
    bad: list[Bad] = field(default_factory=list)

    def without(self, uris: set[str]) -> Page:
        return Page(
            [r for r in self.rows if r["uri"] not in uris], self.views, self.times, self.bad
        )

    def posts(self) -> pl.DataFrame:
        return frame(self.rows) if self.rows else pl.DataFrame(schema=RAW_POST)

    def matching(self, cases: Sequence[Case]) -> list[View]:
        """Views of the posts whose own text one of the cases takes."""
        if not self.rows:
            return []
        found = match(self.posts(), cases, matched=lambda _case, _uris: set())
        own = set(found.filter(pl.col("via") == "own")["uri"])
        return [self.views[row["uri"]] for row in self.rows if row["uri"] in own]


def read(views: Any, asked: datetime, place: str) -> Page:
    """The page that these views make. `place` says in the ledger where an unreadable one stands."""
    page = Page()
    for number, view in enumerate(views if isinstance(views, list) else [], 1):
        try:
            if not isinstance(view, Mapping):
                raise BadRecord("no post")
            row = bluesky_view(view, asked)
        except BadRecord as error:
            page.bad.append(Bad(f"{place}, post {number}", str(error)))
            continue
        if row["uri"] in page.views:
            continue
        page.rows.append(row)
        page.views[row["uri"]] = view
        at = sort_at(view, row)
        if at is not None:
            page.times[row["uri"]] = at
    if not isinstance(views, list):
        page.bad.append(Bad(place, "no list of posts in the answer"))
    return page


def sort_at(view: View, row: Row) -> datetime | None:
    """The time by which Bluesky orders and cuts: the declared one, or that of indexing if earlier
    (docs.bsky.app, timestamps)."""
    times = [at for at in (row["created_at"], moment(view.get("indexedAt"))) if at is not None]
    return min(times, default=None)


def is_reply(view: View) -> bool:
    record = view.get("record")
    return isinstance(record, Mapping) and isinstance(record.get("reply"), Mapping)


def number_of(view: View, name: str) -> int:
    """A count such as replyCount; 0 when it is missing."""
    return count(view.get(name)) or 0


def written(at: datetime) -> str:
    """A time in the form of RFC 3339 that every version of the server has understood: a date alone
    once failed (bluesky-social/atproto#3258), and one it cannot read it may ignore."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
