"""Posts of Reddit that are kept, asked about again by their ids: scores, edits, and what is gone.

Says when each is due the next time. Reddit wants what was deleted there to be gone here within 48
hours (Data API Wiki, 2026-05-11), so everything kept is asked about once a day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from collectors.reddit_client import Client
from collectors.reddit_listing import AT_ONCE, Found, listing
from collectors.reddit_refusals import RefusedError
from store.schema import CHECKS, Bad

Due = Mapping[str, Any]  # a row of `Known.due`

DUTY = timedelta(hours=48)
DAILY = timedelta(hours=23)  # so that a daily run finds due what it asked about the day before
# When a thread has grown by enough to be read again, and a score has moved: after it was written.
LADDER = (timedelta(days=1), timedelta(days=3), timedelta(days=7), timedelta(days=30))
RECENT = LADDER[-1] + timedelta(days=2)  # the last step, and two days for runs that fail
MOST_REFUSED = 3  # ids of a hundred that Reddit stumbles over
MISSES = 2  # an id that info() leaves out twice, hours apart, is gone
MISSED = timedelta(hours=5)
LEFT = timedelta(seconds=1)
AT_48H = (timedelta(hours=48), timedelta(hours=72))  # a score within these is its score at 48 h

CHECK = pl.Schema(
    {"uri": pl.String()}
    | {name: kind for name, kind in CHECKS.items() if name not in ("post", "day", "same_at")}
)


def stepped(row: Due, now: datetime) -> bool:
    """Whether a post has passed a step of the ladder since it was last looked at."""
    last = row["checked_at"] or row["first_seen_at"]
    return any(last < row["at"] + step <= now for step in LADDER)


def unread(row: Due, now: datetime) -> bool:
    """Whether the thread under a submission is to be read: it never was, a recheck (which reads no
    threads) left it over, or a step of the ladder has passed."""
    if row["checked_at"] is None or stepped(row, now):
        return True
    return row["next_at"] is not None and row["next_at"] <= row["checked_at"] + LEFT


def next_at(row: Due, now: datetime, *, left: bool = False) -> datetime:
    """When a post is due again. `left`: its thread still waits for the collector."""
    if left:
        return now + LEFT
    steps: list[datetime] = [row["at"] + step for step in LADDER]
    return min([now + DAILY, *(step for step in steps if step > now)])


def check(row: Due, now: datetime, likes: int | None, replies: int | None, **values: Any) -> Any:
    """A row of checks for a post that was just seen at its source."""
    first, last = AT_48H
    age = now - row["at"]
    old, old_replies = row["likes_48h"], row["replies_48h"]
    return {
        "uri": row["uri"],
        "checked_at": now,
        "misses": 0,
        "next_at": next_at(row, now),
        "likes": likes,
        "replies": replies,
        "likes_48h": likes if old is None and first <= age <= last else old,
        "replies_48h": replies if old_replies is None and first <= age <= last else old_replies,
        **values,
    }


def frame(checks: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as the store takes them."""
    return pl.DataFrame(list(checks), schema=CHECK)


@dataclass
class Asked:
    """What Reddit said about some posts: what it still shows, what is gone, and the checks."""

    found: Found = field(default_factory=Found)
    checks: list[dict[str, Any]] = field(default_factory=list)
    replies: dict[str, int] = field(default_factory=dict)  # comments under each, by uri
    lost: int = 0  # that were there at the last look, and are left out now


def ask(
    client: Client, rows: Sequence[Due], place: str, *, threads: bool, misses: bool = False
) -> Asked:
    """Ask about at most 100 posts. Raises RefusedError or BudgetSpentError.

    Ids that Reddit does not know are left out of its answer. With `misses` that is counted, and
    gone at the second miss; without, they are as if nobody had asked: only the recheck can tell
    what is gone from a Reddit that has lost most of what it had. `threads`: the caller reads those
    that have any, and checks them off then; otherwise a thread that waits to be read is left
    waiting.
    """
    asked = client.now()
    names = {row["uri"].removeprefix("reddit:"): row for row in rows[:AT_ONCE]}
    result = Asked()
    found = result.found
    there: dict[str, Any] = {}
    for name in _look(client, list(names), there):
        found.bad.append(Bad(place, "Reddit does not take the question about this id"))
        result.checks.append(check(names.pop(name), asked, None, None))
    found.take([there[name] for name in names if name in there], asked, place)
    seen, gone = {row["uri"]: row for row in found.rows}, set(found.gone)
    for name, row in names.items():
        uri = row["uri"]
        if uri in seen:
            likes, replies = seen[uri]["likes"], seen[uri]["replies"]
            waits = "t3_" in uri and unread(row, asked)
            if waits and threads and replies:
                result.replies[uri] = replies
                continue
            # The collector comes for what is new, or new here, and not for what an archive brought.
            comes = max(row["at"], row["first_seen_at"]) > asked - RECENT
            left = waits and comes and not threads
            result.checks.append(
                check(row, asked, likes, replies, next_at=next_at(row, asked, left=left))
            )
        elif name in there and uri not in gone:
            # It is there, and no words of it can be read: asked again like the others, or a few
            # such would be first in line for ever.
            result.checks.append(check(row, asked, None, None))
        elif misses and name not in there:
            times = (row["misses"] or 0) + 1
            result.lost += times == 1
            if times >= MISSES:
                found.gone.append(uri)
                continue
            result.checks.append(
                check(row, asked, None, None, misses=times, next_at=asked + MISSED)
            )
    return result


def _look(client: Client, names: Sequence[str], there: dict[str, Any]) -> list[str]:
    """Ask about these fullnames, put into `there` what is shown, and give those that cannot be
    asked about: one id that Reddit stumbles over (files hold any) must not hold up the others.
    Raises RefusedError where more than a few are refused: then it is the question."""
    refused: list[str] = []
    waiting = [list(names)]
    while waiting:
        some = waiting.pop()
        try:
            things, _ = listing(client.get("api/info/", id=",".join(some)))
        except RefusedError as error:
            if error.kind != "asked" or len(refused) >= MOST_REFUSED:
                raise
            if len(some) > 1:
                waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
            else:
                refused += some
            continue
        there.update((_name(thing), thing) for thing in things)
    if refused and len(refused) == len(names) > 1:
        raise RefusedError("asked", "Reddit does not take questions about posts as they are put.")
    return refused


def _name(thing: Any) -> str:
    data = thing.get("data") if isinstance(thing, Mapping) else None
    name = data.get("name") if isinstance(data, Mapping) else None
    return name if isinstance(name, str) else ""
