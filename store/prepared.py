"""A batch made ready for the tables: keyed and pseudonymised, then applied step by step.

Preparing touches no table but to ask what is stored; applying takes nothing else, so that a batch
can wait in the spool in between. Every step goes by key, so applying twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import polars as pl

from store import posts, sightings
from store.keys import Keys
from store.merge import Tables, shaped
from store.schema import CHECKS, MATCHES, POSTS, RUNS, TABLES, Batch

KEY = pl.Schema({"key": pl.String()})
FRAMES: dict[str, pl.Schema] = {
    "posts": pl.Schema({name: kind for name, kind in POSTS.items() if name != "day"}),
    "matches": pl.Schema({name: kind for name, kind in MATCHES.items() if name != "day"}),
    "gone": KEY,  # posts
    "hidden": KEY,  # authors
    "back": KEY,
    "deleted": KEY,
    "checks": pl.Schema(
        {name: kind for name, kind in CHECKS.items() if name not in {"day", "same_at"}}
    ),
    "runs": RUNS,
}


def _none(name: str) -> Callable[[], pl.DataFrame]:
    return partial(pl.DataFrame, schema=FRAMES[name])


@dataclass(frozen=True)
class Written:
    """What became of a batch, in posts: those kept because they belong to a case (neither gone in
    the same batch nor blocked), of these the ones not seen before, those wiped because they are
    gone, by themselves or with their author's account, of these the ones that went with it, and
    those refused because they or their author are blocked."""

    new: int
    kept: int
    gone: int
    with_account: int
    blocked: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """What applying takes, each frame with the columns of FRAMES; `at` is when it was prepared.

    `posts` still lack their day, and may lack `at`: where they go is known once they are applied.
    """

    at: datetime
    posts: pl.DataFrame = field(default_factory=_none("posts"))
    matches: pl.DataFrame = field(default_factory=_none("matches"))
    gone: pl.DataFrame = field(default_factory=_none("gone"))
    hidden: pl.DataFrame = field(default_factory=_none("hidden"))
    back: pl.DataFrame = field(default_factory=_none("back"))
    deleted: pl.DataFrame = field(default_factory=_none("deleted"))
    checks: pl.DataFrame = field(default_factory=_none("checks"))
    runs: pl.DataFrame = field(default_factory=_none("runs"))  # of the ledger, written last

    def frames(self) -> dict[str, pl.DataFrame]:
        return {name: getattr(self, name) for name in FRAMES}

    @property
    def empty(self) -> bool:
        return all(frame.is_empty() for frame in self.frames().values())

    def without(self, keys: Collection[str]) -> Prepared:
        """This batch as if these posts and these authors were not in it; itself if they are not."""
        named = pl.Series(sorted(keys), dtype=pl.String)
        theirs = self.posts.filter(pl.col("author").is_in(named.implode()))["post"]
        every = pl.concat([named, theirs]).implode()
        by = {"posts": "post", "matches": "post", "checks": "post"}
        left = {
            name: frame
            if name == "runs"
            else frame.filter(~pl.col(by.get(name, "key")).is_in(every))
            for name, frame in self.frames().items()
        }
        if all(left[name].height == frame.height for name, frame in self.frames().items()):
            return self
        return Prepared(at=self.at, **left)


def prepare(
    batch: Batch,
    matches: pl.DataFrame,
    keys: Keys,
    now: datetime,
    stored: Callable[[pl.DataFrame], pl.DataFrame],
) -> Prepared:
    """Key and pseudonymise a batch. `stored` picks those rows of RAW_POST that are copies of
    stored posts: of what matches nothing, they alone are kept."""
    gone = pl.DataFrame({"uri": batch.gone}, schema={"uri": pl.String})
    # A post that is gone in the batch that brings it is never written, not even to be wiped; nor is
    # one whose author's account is.
    there = batch.posts.join(gone, on="uri", how="anti")
    belong = there.join(matches, on="uri", how="semi")
    again = stored(there.join(matches, on="uri", how="anti"))
    source = batch.reading.source
    left = _keys(keys.author_key(source, author) for author in batch.deleted)
    rows = posts.shape(pl.concat([belong, again]), batch.collector, keys)
    checks = batch.checks
    if checks is not None:
        checks = checks.with_columns(keys.posts(checks["uri"]).alias("post"))
    return Prepared(
        at=now,
        posts=rows.join(left, left_on="author", right_on="key", how="anti"),
        matches=shaped(
            matches.with_columns(keys.posts(matches["uri"]).alias("post")), FRAMES["matches"]
        ),
        gone=_keys(keys.key(uri) for uri in batch.gone),
        hidden=_keys(keys.author_key(source, author) for author in batch.hidden),
        back=_keys(keys.author_key(source, author) for author in batch.back),
        deleted=left,
        checks=pl.DataFrame(schema=FRAMES["checks"])
        if checks is None
        else shaped(checks, FRAMES["checks"]),
    )


def apply(tables: Tables, batch: Prepared) -> Written:
    """Put a batch into the tables: posts, their matches, what is gone, hidden or back, checks."""
    seen = tables.version("blocked")
    placed, new, refused = posts.store(tables, batch.posts)
    kept = placed.join(batch.matches, on="post", how="semi")
    posts.add_matches(tables, batch.matches.join(placed, on="post"))
    sightings.add(tables, batch.posts.join(placed, on="post"))
    late = posts.erase_blocked(
        tables, placed.join(batch.posts.select("post", "author"), on="post"), seen
    )
    wiped = posts.wipe(tables, batch.gone["key"].to_list(), batch.at)
    with_account = posts.wipe_authors(tables, batch.deleted["key"].to_list(), batch.at)
    posts.hide(tables, batch.hidden["key"].to_list(), batch.at)
    posts.restore(tables, batch.back["key"].to_list(), batch.at)
    if batch.checks.height:
        posts.add_checks(tables, batch.checks)
    if batch.runs.height:
        log_runs(tables, batch.runs, RUNS.names())
    return Written(
        # What was forgotten meanwhile counts as refused; whether it was new, nobody knows any more.
        new=min(new, placed.height - len(late)),
        kept=kept.filter(~pl.col("post").is_in(late.implode())).height,
        gone=wiped + with_account,
        with_account=with_account,
        blocked=refused + len(late),
    )


def log_runs(tables: Tables, rows: pl.DataFrame, columns: Collection[str]) -> None:
    """Upsert rows of the ledger by run_id; only `columns` of those that are there change."""
    _, partition, key = TABLES["runs"]
    updates = {name: f"s.{name}" for name in columns if name not in {*key, partition}}
    tables.merge("runs", rows, updates=updates)


def _keys(values: Iterable[str]) -> pl.DataFrame:
    return pl.DataFrame({"key": list(values)}, schema=KEY)
