"""What collectors may ask of the store: what is kept, what a case has matched, what is to be asked.

Reads only. The protocol it keeps is `collectors.Known`; whatever it goes through whole, it goes
through in portions, so that ten million posts need no more memory than a busy day.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

import polars as pl

from store import lookup
from store.keys import Keys
from store.merge import Tables, holds
from store.portions import Stretch, stretches
from store.schema import CHECKS, POSTS

if TYPE_CHECKING:
    from cases.case import Case

ROWS_AT_ONCE = 250_000
AGAIN = 1.0  # seconds until authors whom another process may have brought are looked for

WITH_WORDS = ("live", "hidden")
ITS_OWN = ("own", "taken")
_CHECKED = ("checked_at", "misses", "next_at", "likes_48h", "reposts_48h", "replies_48h")
_WAITING = pl.Schema(
    {name: POSTS[name] for name in ("post", "day", "at")} | {"looked_at": POSTS["first_seen_at"]}
)
DUE = pl.Schema(
    {name: POSTS[name] for name in ("uri", "at", "first_seen_at", "state")}
    | {name: CHECKS[name] for name in _CHECKED}
)


class Known:
    """What the store keeps, as collectors may ask. Made for one run: it remembers the authors."""

    def __init__(self, tables: Tables, keys: Keys) -> None:
        self._tables = tables
        self._keys = keys
        self._authors: dict[str, _Authors] = {}

    def has(self, uris: Sequence[str]) -> set[str]:
        """Which of these posts are stored, in whatever state."""
        return self._among(lambda: self._tables.scan("posts"), uris)

    def matched(self, case: str, query_hash: str, uris: Sequence[str]) -> set[str]:
        """Which of these posts belong to the case by themselves (own or taken), so that what hangs
        on them does too."""
        return self._among(
            lambda: self._tables.scan("matches").filter(
                pl.col("case") == case,
                pl.col("query_hash") == query_hash,
                pl.col("via").is_in(ITS_OWN),
            ),
            uris,
        )

    def kept(self, source: str, cases: Sequence[Case]) -> Iterator[pl.DataFrame]:
        """All posts of a source that still have their words, live or hidden: uri, and root
        (boolean), whether one of these cases, by its present query, has it as own or taken.

        In portions of about 250,000 posts, in the order of their time.
        """
        wanted = pl.LazyFrame(
            [(case.name, case.query_hash) for case in cases],
            schema={"case": pl.String, "query_hash": pl.String},
            orient="row",
        )
        for stretch in stretches(self._tables, ROWS_AT_ONCE):
            found = self._tables.read(partial(self._kept, source, wanted, stretch))
            if found.height:
                yield found

    def _kept(self, source: str, wanted: pl.LazyFrame, stretch: Stretch) -> pl.LazyFrame:
        matches = self._tables.scan("matches").filter(stretch.days(), pl.col("via").is_in(ITS_OWN))
        roots = matches.join(wanted, on=["case", "query_hash"], how="semi").select("post").unique()
        return (
            self._tables.scan("posts")
            .filter(*stretch.holds(), pl.col("source") == source, _words())
            .select("post", "uri")
            .join(roots.with_columns(root=pl.lit(value=True)), on="post", how="left")
            .select("uri", pl.col("root").fill_null(value=False))
        )

    def author(self, source: str, author: str) -> bool:
        """Whether posts of this author (the source's own id) are kept, live or hidden.

        Asked of a list in memory, 8 bytes an author, which is read once and then kept up: at once
        with what this process stores, within a second with what others do. An author whose posts
        were all wiped meanwhile may still be on it.
        """
        known = self._authors.get(source)
        if known is None:
            known = self._authors[source] = _Authors(self._tables, source)
        return known.has(self._keys.author_key(source, author))

    def due(
        self,
        source: str,
        limit: int,
        now: datetime,
        *,
        since: datetime | None = None,
        kind: str | None = None,
        uris: Collection[str] | None = None,
        duty: timedelta | None = None,
    ) -> pl.DataFrame:
        """Posts whose source is to be asked about them again, at most `limit`: columns of DUE, null
        where a post was never asked about. What was looked at longest ago comes first; a post that
        was never asked about was looked at when it was first seen. Posts whose `next_at` lies in
        the future are left out; hidden ones are in, since their accounts may be back.

        Only those written `since`, of this `kind` (post, comment), or among `uris`, where given.
        With `duty`, those looked at within that time and those left longer take turns, so that what
        is in time stays so beside a backlog of any size, and the backlog gets its half.
        """
        if uris is not None and not uris:
            return pl.DataFrame(schema=DUE)
        among = None if uris is None else self._keys.posts(pl.Series(list(uris), dtype=pl.String))
        only = [pl.col("source") == source, _words()]
        only += [] if kind is None else [pl.col("kind") == kind]
        if among is not None:
            only += [pl.col("post").is_in(among.implode()), lookup.somewhere(self._tables, among)]
        late = pl.lit(value=False) if duty is None else pl.col("looked_at") < now - duty
        order = ("looked_at", "at", "post")
        first = pl.DataFrame(schema=_WAITING)
        for stretch in stretches(self._tables, ROWS_AT_ONCE, since):
            more = self._tables.read(partial(self._due, only, now, stretch))
            first = (
                pl.concat([first.select(_WAITING.names()), more])
                .sort(order)
                .with_columns(late=late)
                .with_columns(place=pl.int_range(pl.len()).over("late"))
                .filter(pl.col("place") < limit)
            )
        if first.is_empty():
            return pl.DataFrame(schema=DUE)
        first = first.sort("place", "late").head(limit)
        days = first["day"].unique().to_list()
        rows = self._tables.read(partial(self._details, first.select("post"), days))
        return (
            first.select("post")
            .join(rows, on="post", how="inner", maintain_order="left")
            .select(DUE.names())
        )

    def overdue(self, source: str, before: datetime) -> int:
        """How many kept posts nobody has looked at, at their source, since `before`."""
        return sum(
            self._tables.read(partial(self._overdue, source, before, stretch)).item()
            for stretch in stretches(self._tables, ROWS_AT_ONCE)
        )

    def _overdue(self, source: str, before: datetime, stretch: Stretch) -> pl.LazyFrame:
        only = [pl.col("source") == source, _words()]
        looked = self._looked(only, stretch).filter(pl.col("looked_at") < before)
        return looked.select(pl.len().cast(pl.Int64))

    def _due(self, only: Sequence[pl.Expr], now: datetime, stretch: Stretch) -> pl.LazyFrame:
        waits = pl.col("next_at").is_null() | (pl.col("next_at") <= now)
        return self._looked(only, stretch).filter(waits).select(_WAITING.names())

    def _looked(self, only: Sequence[pl.Expr], stretch: Stretch) -> pl.LazyFrame:
        posts = self._tables.scan("posts").filter(*stretch.holds(), *only)
        checks = self._tables.scan("checks").filter(stretch.days())
        return (
            posts.select("post", "day", "at", "first_seen_at")
            .join(checks.select("post", "checked_at", "next_at"), on="post", how="left")
            .with_columns(looked_at=pl.coalesce("checked_at", "first_seen_at"))
        )

    def _details(self, wanted: pl.DataFrame, days: Sequence[date]) -> pl.LazyFrame:
        checks = self._tables.scan("checks").filter(holds(days)).select("post", *_CHECKED)
        return (
            self._tables.scan("posts")
            .filter(holds(days), _words())  # once more: wiped meanwhile, it has no uri
            .select("post", "uri", "at", "first_seen_at", "state")
            .join(wanted.lazy(), on="post", how="semi")
            .join(checks, on="post", how="left")
        )

    def cursors(self, collector: str) -> dict[str, str]:
        """The cursor that each unit of a collector had reached when it last stored something."""
        rows = self._tables.read(
            lambda: (
                self._tables.scan("runs")
                .filter(pl.col("collector") == collector, pl.col("cursor_after").is_not_null())
                .group_by("unit")
                .agg(pl.col("cursor_after").sort_by("started_at").last())
            )
        )
        return dict(rows.select("unit", "cursor_after").iter_rows())

    def _among(self, rows: Callable[[], pl.LazyFrame], uris: Sequence[str]) -> set[str]:
        if not uris:
            return set()
        asked = pl.DataFrame({"uri": list(dict.fromkeys(uris))}, schema={"uri": pl.String})
        asked = asked.with_columns(self._keys.posts(asked["uri"]).alias("post"))
        where = lookup.somewhere(self._tables, asked["post"])
        found = self._tables.read(
            lambda: rows().filter(where).select("post").join(asked.lazy(), on="post").select("uri")
        )
        return set(found["uri"])


def _words() -> pl.Expr:
    """Whether a post still has its words and its uri."""
    return pl.col("state").is_in(WITH_WORDS)


class _Authors:
    """The authors of one source, by half of their keys: with ten million, one stranger in 10^12 is
    taken for one of them, and all that comes of it is an erasure that finds nothing."""

    def __init__(self, tables: Tables, source: str) -> None:
        self._tables = tables
        self._source = source
        self._sorted = array("Q")
        self._late: set[int] = set()
        self._version = -1
        self._commits = -1
        self._next = 0.0

    def has(self, key: str) -> bool:
        if self._commits != self._tables.commits or monotonic() >= self._next:
            self._catch_up()
        number = int(key[:16], 16)
        place = bisect_left(self._sorted, number)
        there = place < len(self._sorted) and self._sorted[place] == number
        return there or number in self._late

    def _catch_up(self) -> None:
        # Before anybody looks: what is stored meanwhile is looked for the next time.
        self._commits, self._next = self._tables.commits, monotonic() + AGAIN
        version = self._tables.version("posts")
        if version == self._version:
            return
        touched = None
        if 0 <= self._version < version:
            touched = lookup.touched(self._tables, "posts", self._version, version, edits=True)
        if touched is None:
            self._load()
        else:
            days = sorted(touched)
            if days:
                self._late.update(self._tables.read(partial(self._numbers, days))["author"])
        self._version = version

    def _load(self) -> None:
        found = pl.Series("author", [], pl.UInt64)
        for days in lookup.portions(self._tables, "posts", ROWS_AT_ONCE):
            more = self._tables.read(partial(self._numbers, days))["author"]
            found = pl.concat([found, more]).unique()
        self._sorted = array("Q")
        self._sorted.frombytes(found.sort().to_numpy().tobytes())
        self._late.clear()

    def _numbers(self, days: Sequence[date]) -> pl.LazyFrame:
        half = pl.col("author").str.decode("hex").bin.slice(0, 8)
        return (
            self._tables.scan("posts")
            .filter(holds(days), pl.col("source") == self._source, _words())
            .select(half.bin.reinterpret(dtype=pl.UInt64, endianness="big"))
            .drop_nulls()
            .unique()
        )
