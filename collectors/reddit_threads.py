"""The comments under submissions that belong to a case, and their submissions' scores and edits.

A thread is read when its submission is first kept and at each step of the ladder. Which ones wait
is asked of the store, so a run that is cut off forgets none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from collectors.reddit_again import RECENT, Due, ask, check, frame, stepped, unread
from collectors.reddit_client import BudgetSpentError, Client
from collectors.reddit_listing import AT_ONCE, SPENT, Found, Unit, listing
from collectors.reddit_refusals import (
    FAILURES,
    OF_A_COMMUNITY,
    OF_THE_KEY,
    PASSING,
    RefusedError,
)
from collectors.settings import Settings
from store.schema import Bad, Batch

if TYPE_CHECKING:
    from cases.case import Case
    from collectors import Known

MOST = 500_000  # recent posts that are due, of which those that are wanted are picked
MORE = 8  # further requests for one thread: each brings at most 100 comments
# Refusals that say nothing about other threads and will be the same in an hour: the thread is tried
# again at its next step. Without a reason ("forbidden") it may be the key.
OF_A_THREAD = ("asked", *(kind for kind in OF_A_COMMUNITY if kind != "forbidden"))
ALL = 2048  # as PRAW asks; Reddit gives what it gives


@dataclass
class Thread:
    """What was read of one thread. `unread`: comments Reddit only counts, at least; `whole` says
    that nothing went wrong."""

    found: Found = field(default_factory=Found)
    unread: int = 0
    whole: bool = True


class Threads:
    """The threads of one case, in one run."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        case: Case,
        known: Known,
        done: set[str],
        brought: set[str],
    ) -> None:
        """`done`: uris dealt with in this run, also for other cases; it is added to. `brought`:
        uris that the run's listings had."""
        self.client, self.case, self.known, self.done = client, case, known, done
        self.brought = brought
        self.unit = Unit(f"threads: {case.name}", (case.name,), settings, client)
        self.read = self.unread = self.broken = 0
        self.failing = 0  # in a row

    def run(self) -> Iterator[Batch]:
        """Batches. Raises BudgetSpentError or RefusedError after one that says so."""
        yield from ended(self.unit, self._batches(), self._said)

    def _batches(self) -> Iterator[Batch]:
        now, since = self.client.now(), self.client.now() - RECENT
        # Of what is older only what was just found: an imported archive brought its own comments,
        # and however much of it waits for its recheck must not hide the threads that are due.
        found = self.known.due("reddit", len(self.brought), now, uris=self.brought)
        recent = self.known.due("reddit", MOST, now, since=since, kind="post")
        links = pl.concat([recent, found]).unique("uri", maintain_order=True)
        rows = [row for row in links.iter_rows(named=True) if unread(row, now)]
        uris = [row["uri"] for row in rows if row["uri"] not in self.done]
        own = self.known.matched(self.case.name, self.case.query_hash, uris)
        wanted = {row["uri"]: row for row in rows if row["uri"] in own}
        if not wanted:
            return
        comments = self.known.due("reddit", MOST, now, since=since, kind="comment")
        due = pl.concat([links, comments])
        for portion in portions(list(wanted.values())):
            self.unit.begin()
            asked = ask(self.client, portion, self.unit.name, threads=True)
            self.unit.end(asked.found)
            self.done.update(row["uri"] for row in portion)
            yield self.unit.batch(asked.found, checks=frame(asked.checks))
            likes = {row["uri"]: row["likes"] for row in asked.found.rows}
            for uri, replies in asked.replies.items():
                yield from self._thread(wanted[uri], due, (likes[uri], replies))
        status = "partial" if self.broken else "done"
        yield self.unit.batch(status=status, gap=bool(self.unread), stop_reason=self._said())

    def _thread(
        self, row: Due, due: pl.DataFrame, counts: tuple[int | None, int]
    ) -> Iterator[Batch]:
        """Batches of one thread; `counts` are the score and the comments of its submission."""
        thread = Thread()
        before = self.client.sent
        self.unit.begin()
        checks: list[dict[str, Any]] = []
        stop: Exception | None = None
        try:
            read(self.client, row["uri"].removeprefix("reddit:"), self.unit.name, thread)
        except BudgetSpentError as error:
            stop = error  # what came is kept, and the thread waits for the next run
        except RefusedError as error:
            thread.whole = False
            thread.found.bad.append(Bad(self.unit.name, f"a thread: {error}"))
            # Some trees Reddit never manages to send; one of them must not hold up the others.
            if error.kind in OF_A_THREAD:
                checks = [check(row, self.client.now(), *counts)]
            else:
                self.failing += 1
                alone = error.kind in ("down", "garbled", "forbidden")
                stop = None if alone and self.failing < FAILURES else error
        else:
            self.failing = 0
            now = self.client.now()
            seen = {one["uri"]: one for one in thread.found.rows}
            checks = [
                check(one, now, seen[one["uri"]]["likes"], seen[one["uri"]]["replies"])
                for one in due.filter(pl.col("uri").is_in(list(seen))).iter_rows(named=True)
            ]
        self.read += 1
        self.unread += thread.unread
        self.broken += not thread.whole
        self.done.update(check["uri"] for check in checks)
        self.unit.end(thread.found, self.client.sent - before)
        yield self.unit.batch(thread.found, checks=frame(checks))
        if stop is not None:
            raise stop

    def _said(self) -> str:
        said = f"{self.read:,} threads read"
        if self.unread:
            said += f"; at least {self.unread:,} comments in them were not, Reddit only counts them"
        if self.broken:
            said += f"; {self.broken:,} threads came damaged, or not at all"
        return said


class Revisits:
    """Whatever else has passed a step of the ladder: comments that no thread brought again."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        cases: Sequence[Case],
        known: Known,
        done: set[str],
    ) -> None:
        self.client, self.known, self.done = client, known, done
        self.unit = Unit("revisits", tuple(case.name for case in cases), settings, client)

    def run(self) -> Iterator[Batch]:
        """Batches. Raises BudgetSpentError or RefusedError after one that says so."""
        yield from ended(self.unit, self._batches(), lambda: "")

    def _batches(self) -> Iterator[Batch]:
        now = self.client.now()
        due = self.known.due("reddit", MOST, now, since=now - RECENT)
        rows = due.filter(~pl.col("uri").is_in(self.done)).iter_rows(named=True)
        wanted = [row for row in rows if stepped(row, now)]
        if not wanted:
            return
        for portion in portions(wanted):
            self.unit.begin()
            asked = ask(self.client, portion, self.unit.name, threads=False)
            self.unit.end(asked.found)
            yield self.unit.batch(asked.found, checks=frame(asked.checks))
        yield self.unit.batch(status="done", stop_reason="all that had passed a step were asked")


def portions(rows: Sequence[Due]) -> Iterator[Sequence[Due]]:
    """As many at a time as Reddit can be asked about in one request."""
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def ended(unit: Unit, batches: Iterator[Batch], said: Callable[[], str]) -> Iterator[Batch]:
    """The batches, and one more with the reason where they are cut off."""
    try:
        yield from batches
    except BudgetSpentError:
        reason = "; ".join(filter(None, (said(), SPENT)))
        yield unit.batch(status="partial", stop_reason=reason)
        raise
    except RefusedError as error:
        reason = "; ".join(filter(None, (error.kind, said())))
        yield unit.batch(status="failed", stop_reason=reason, error=f"{unit.name}: {error}")
        raise


def read(client: Client, name: str, place: str, thread: Thread) -> None:
    """Read a thread into `thread`, which holds what came when this raises: BudgetSpentError,
    or RefusedError when not even its beginning could be read.

    Not by PRAW's `replace_more`: it ends in AssertionError on odd trees (praw#1437, #1581, #1709)
    and keeps no raw records. Like it, this takes the largest stubs first.
    """
    asked = client.now()
    short = name.removeprefix("t3_")
    answer = client.get(f"comments/{short}", limit=ALL, sort="confidence")
    if not isinstance(answer, list) or len(answer) < 2:
        raise RefusedError("garbled", "Reddit answers with something that is no thread.")
    thread.found.take(listing(answer[0])[0], asked, place)
    seen: set[str] = set()
    stubs = _walk(listing(answer[1])[0], asked, place, thread.found, seen)
    blind: list[_Stub] = []  # what says neither what it stands for nor where
    try:
        for _ in range(MORE):
            blind += [stub for stub in stubs if stub.blind]
            stubs = [stub for stub in stubs if not stub.blind]
            if not stubs:
                return
            stubs.sort(key=lambda stub: stub.count)
            stub = stubs.pop()
            if stub.children:
                ids, rest = stub.children[:AT_ONCE], stub.children[AT_ONCE:]
                if rest:
                    stubs.append(_Stub(max(stub.count - len(ids), len(rest)), rest, stub.parent))
                    stub = _Stub(len(ids), ids, stub.parent)
                answer = client.post(
                    "api/morechildren/", link_id=name, children=",".join(ids), sort="confidence"
                )
                things = _things(answer)
            else:  # "continue this thread"
                parent = stub.parent.removeprefix("t1_")
                answer = client.get(f"comments/{short}/_/{parent}", limit=ALL, sort="confidence")
                things = listing(answer[1] if isinstance(answer, list) and answer[1:] else None)[0]
            stubs += _walk(things, asked, place, thread.found, seen)
    except RefusedError as error:
        stubs.append(stub)
        thread.whole = False
        if error.kind in (*PASSING, *OF_THE_KEY):
            raise
        thread.found.bad.append(Bad(place, f"part of a thread: {error}"))
    finally:
        thread.unread = sum(max(stub.count, 1) for stub in (*stubs, *blind))


@dataclass
class _Stub:
    """Comments that Reddit only counts: `count` of them, 0 where it does not know."""

    count: int
    children: list[str]
    parent: str

    @property
    def blind(self) -> bool:
        return not self.children and not self.parent.startswith("t1_")


def _walk(
    things: Sequence[Any], asked: datetime, place: str, found: Found, seen: set[str]
) -> list[_Stub]:
    """Take every comment of a forest that was not seen yet, and give the stubs in it."""
    stubs: list[_Stub] = []
    waiting = list(reversed(things))
    while waiting:
        thing = waiting.pop()
        data = thing.get("data") if isinstance(thing, Mapping) else None
        if not isinstance(data, Mapping):
            found.take([thing], asked, place)  # counts it as bad
            continue
        if thing.get("kind") == "more":
            stubs.append(_stub(data))
            continue
        name = str(data.get("name") or data.get("id"))
        if name not in seen:
            seen.add(name)
            found.take([thing], asked, place)
        replies = data.get("replies")
        if isinstance(replies, Mapping):
            try:
                waiting += reversed(listing(replies)[0])
            except RefusedError:
                found.bad.append(Bad(place, "replies that are no list"))
    return stubs


def _stub(data: Mapping[str, Any]) -> _Stub:
    count, children = data.get("count"), data.get("children")
    ids = [one for one in children if isinstance(one, str)] if isinstance(children, list) else []
    return _Stub(count if isinstance(count, int) else 0, ids, str(data.get("parent_id") or ""))


def _things(answer: Any) -> list[Any]:
    try:
        things = answer["json"]["data"]["things"]
    except (KeyError, TypeError):
        things = None
    if not isinstance(things, list):
        raise RefusedError("garbled", "Reddit answers with something that is no list of comments.")
    return things
