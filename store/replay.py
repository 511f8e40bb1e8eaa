"""Making again in a store what is on record as erased: after a restore, or where rows were lost.

Asks no source. What is not on record is not erased here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from store import erasures, posts
from store.erasures import Erasure
from store.merge import Tables

TURNS = (erasures.HIDDEN, erasures.BACK)
# An account is hidden as of when that was asked for, which may be while a backup kept writers
# waiting: a little before the backup's time, and not in it.
WAITED = timedelta(hours=1)


@dataclass
class OnRecord:
    """Keys of posts that were wiped, of posts and authors that are blocked, and when which author
    was hidden or came back."""

    wiped: set[str] = field(default_factory=set)
    blocked: set[str] = field(default_factory=set)
    turns: list[tuple[datetime, str, str]] = field(default_factory=list)  # time, kind, author

    def add(self, entries: Sequence[Erasure], since: datetime | None = None) -> None:
        """Take in entries of a journal; who was hidden or came back counts from `since` on."""
        for entry in entries:
            if entry.kind == erasures.WIPED:
                self.wiped.update(entry.keys)
            elif entry.kind == erasures.BLOCKED:
                self.blocked.update(entry.keys)
            elif entry.kind in TURNS and (since is None or entry.at >= since - WAITED):
                self.turns += [(entry.at, entry.kind, author) for author in entry.keys]

    def last_turns(self) -> dict[str, tuple[str, datetime]]:
        """The newest word on every author: hidden or back, since when."""
        return {author: (kind, at) for at, kind, author in sorted(self.turns)}


def erase(tables: Tables, known: OnRecord, now: datetime) -> tuple[int, int, int, int]:
    """Erase what is on record; returns posts wiped, forgotten, hidden and brought back."""
    forgotten = posts.forget(tables, known.blocked, now) if known.blocked else 0
    wiped = posts.wipe(tables, known.wiped, now)
    hidden = back = 0
    for (kind, at), authors in _groups(tables, known).items():
        if kind == erasures.HIDDEN:
            hidden += posts.hide(tables, authors, at)
        else:
            back += posts.restore(tables, authors, at)
    return wiped, forgotten, hidden, back


def _groups(tables: Tables, known: OnRecord) -> dict[tuple[str, datetime], list[str]]:
    """Authors to be hidden or brought back, by kind and time, only those with posts here: each
    group costs a commit."""
    last = known.last_turns()
    if not last:
        return {}
    there = tables.read(lambda: tables.scan("posts").select(pl.col("author").unique()))["author"]
    groups: dict[tuple[str, datetime], list[str]] = {}
    for author in there:
        if author in last:
            groups.setdefault(last[author], []).append(author)
    return groups
