"""Forgetting on request: posts, authors or a whole case, from every table and every file of ours.

Blocks first and deletes then, by what is blocked: whoever was killed half-way runs it again, and it
goes on where it was. Rebuilds no cells and clears no old files: who calls does both afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from store import posts
from store.lookup import portions
from store.merge import Tables, holds
from store.scrub import Scrubbed, affected, exports_of, remove_exports, scrub_exports

# Takes keys out of something that is kept beside the tables.
Beside = Callable[[Collection[str]], object]


@dataclass(frozen=True)
class Backup:
    """A file with a copy of the store in it, as the record has it."""

    path: str
    written_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True)
class Forgotten:
    """What went, or would go. `kept` are posts of a forgotten case that other cases hold too."""

    posts: int = 0
    kept: int = 0
    exports: dict[str, int] = field(default_factory=dict)  # path -> posts of those that are in it
    scrubbed: Scrubbed = field(default_factory=Scrubbed)
    backups: tuple[Backup, ...] = ()


def preview(tables: Tables, keys: Collection[str], now: datetime) -> Forgotten:
    """What `forget` would find, without changing anything."""
    wanted = pl.Series("key", sorted(set(keys)), dtype=pl.String)
    parts = [
        posts.of(tables, wanted, days)["post"]
        for days in portions(tables, "posts", posts.ROWS_AT_ONCE)
    ]
    found = pl.concat([wanted.clear().alias("post"), *parts])
    held = affected(tables, pl.concat([found, wanted.alias("post")]))
    exports = dict(held.select("path", "posts").iter_rows())
    return Forgotten(len(found), 0, exports, backups=backups(tables, now))


def preview_case(tables: Tables, case: str, now: datetime) -> Forgotten:
    """What `forget_case` would find, without changing anything."""
    only = shared = 0
    for days in portions(tables, "matches", posts.ROWS_AT_ONCE):
        alone, others = _of_case(tables, case, days)
        only += len(alone)
        shared += others
    exports = dict(exports_of(tables, case).select("path", "posts").iter_rows())
    return Forgotten(only, shared, exports, backups=backups(tables, now))


def forget(
    tables: Tables,
    keys: Collection[str],
    now: datetime,
    *,
    key: Callable[[str], str],
    beside: Sequence[Beside] = (),
) -> Forgotten:
    """Delete every row of these posts, or of these authors' posts, take them out of recorded
    exports, and never take them again. The cells are stale afterwards. `key` gives a uri's key.

    Each of `beside` gets every blocked key once they are blocked, so that nobody brings a post
    back from there. Whatever an earlier call that was killed has left goes too.
    """
    with tables.lock():
        done = posts.forget(tables, keys, now)
        for take_out in beside:
            take_out(frozenset(posts.blocked(tables)["key"]))
        return Forgotten(
            done, scrubbed=scrub_exports(tables, key, now), backups=backups(tables, now)
        )


def forget_case(
    tables: Tables,
    case: str,
    now: datetime,
    *,
    key: Callable[[str], str],
    beside: Sequence[Beside] = (),
) -> Forgotten:
    """Delete a case: its matches, labels, scores of its own, cells and recorded exports, and
    forget the posts that no other case holds. The ledger stays: it holds nobody's words.

    The matches go last: they say what there is to forget.
    """
    shared = 0
    with tables.lock():
        for days in portions(tables, "matches", posts.ROWS_AT_ONCE):
            alone, others = _of_case(tables, case, days)
            posts.block(tables, alone, now)
            shared += others
        removed = remove_exports(tables, case)
        found = forget(tables, (), now, key=key, beside=beside)
        named = "\"case\" = '{}'".format(case.replace("'", "''"))
        for name in ("labels", "scores", "cells", "matches"):
            tables.delete_where(name, named)
    scrubbed = Scrubbed(
        found.scrubbed.rewritten,
        removed.removed,
        found.scrubbed.rows_removed,
        found.scrubbed.rows_emptied,
        tuple({left.path: left for left in (*found.scrubbed.left, *removed.left)}.values()),
    )
    return Forgotten(found.posts, shared, scrubbed=scrubbed, backups=found.backups)


def _of_case(tables: Tables, case: str, days: Sequence[date]) -> tuple[pl.Series, int]:
    """The posts of these days that belong to this case alone, and how many belong to others too."""
    held = tables.read(
        lambda: (
            tables.scan("matches")
            .filter(holds(days))
            .group_by("post")
            .agg(
                here=(pl.col("case") == case).any(),
                alone=(pl.col("case") == case).all(),
            )
            .filter("here")
            .select("post", "alone")
        )
    )
    alone = held.filter("alone")["post"]
    return alone, held.height - len(alone)


def backups(tables: Tables, now: datetime) -> tuple[Backup, ...]:
    """Backups on record that have not expired: none of them can be rewritten."""
    found = tables.read(
        lambda: (
            tables.scan("exports")
            .filter(
                pl.col("kind") == "backup",
                pl.col("expires_at").is_null() | (pl.col("expires_at") > now),
            )
            .select("path", "written_at", "expires_at")
            .sort("path")
        )
    )
    return tuple(Backup(*row) for row in found.iter_rows())
