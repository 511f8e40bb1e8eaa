"""Reddit's part of `aftershock recheck`: everything kept from it, asked about in hundreds.

What its answer marks as deleted or removed, or whose author's account is gone, is gone at once. An
id that it leaves out is gone the second time, hours later, and not while most ids are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from collectors.errors import CollectorError
from collectors.reddit_again import DUTY, Due, ask, frame
from collectors.reddit_client import BudgetSpentError, Client
from collectors.reddit_listing import AT_ONCE, Unit
from collectors.reddit_refusals import RefusedError, suspended
from collectors.reddit_threads import ended, portions
from collectors.settings import Settings
from store.schema import Batch

if TYPE_CHECKING:
    from collectors import Known

COLLECTOR = "recheck"
UNIT = "posts kept"
ROUND = 20_000  # posts between two questions to the store
UNBOUNDED = 10**9  # 100,000 posts are 1,000 requests, which PRAW spreads over ten minutes
LATE = "{:,} posts were not asked about within 48 hours, as Reddit's terms demand"
FEWEST, MOST_ABSENT = 20, 0.5  # more than half of so many left out at once: Reddit is broken
FEWEST_OF_NONE = 3  # where nothing at all is shown


def collect(known: Known, settings: Settings, *, many_gone: bool = False) -> Iterator[Batch]:
    """Ask about everything that is due, the oldest look first, within `settings.budget` requests
    (without one, as many as it takes). Where they do not reach, what can still be asked about
    within 48 hours of its last look has half of them, and the ledger says how much is late.

    A batch brings the posts as they are now (an edit is scored again), a check for each, and those
    that are gone. Raises CollectorError, before the absent of that hundred are noted, when more
    than half of 20 or more posts that were there last time are left out, or all of three or more;
    `many_gone` says that this is right.
    Raises UnfitError and TryLaterError as the collector does.
    """
    client = Client(settings, settings.budget or UNBOUNDED)
    unit = Unit(UNIT, (), settings, client, COLLECTOR)

    def late() -> str:
        posts = known.overdue("reddit", client.now() - DUTY)
        return LATE.format(posts) if posts else ""

    try:
        yield from ended(unit, _batches(client, unit, known, many_gone=many_gone), late)
    except BudgetSpentError:
        return  # the ledger says so, and the rest is due the next time
    except RefusedError as error:
        # Nothing here is of one community only: a key that may not ask about posts may do nothing.
        raise (suspended() if error.kind == "forbidden" else error).stop() from None


def _batches(client: Client, unit: Unit, known: Known, *, many_gone: bool) -> Iterator[Batch]:
    started = client.now()
    done: set[int] = set()
    asked = absent = 0
    while due := _due(client, known, started, done):
        for rows in portions(due):
            unit.begin()
            answer = ask(client, rows, UNIT, threads=False, misses=True)
            unit.end(answer.found)
            done.update(hash(row["uri"]) for row in rows)
            asked += sum(not row["misses"] for row in rows)
            absent += answer.lost
            if _broken(asked, absent) and not many_gone:
                sentence = (
                    f"Reddit shows no longer what it showed: {absent:,} of {asked:,} posts are"
                    " absent at once. That looks like a fault of Reddit, so no post was wiped for"
                    " it. Try again tomorrow; if it is right that so many are gone, run:"
                    " aftershock recheck --source reddit --many-gone"
                )
                yield unit.batch(status="failed", stop_reason="most is absent", error=sentence)
                raise CollectorError(sentence)
            yield replace(unit.batch(answer.found, checks=frame(answer.checks)), again=True)
    yield unit.batch(status="done", stop_reason="asked about everything that was due")


def _broken(asked: int, absent: int) -> bool:
    """Whether so much of what was there at the last look is left out that Reddit is broken, more
    likely than that all of it was deleted."""
    if asked < FEWEST:
        return absent == asked and asked >= FEWEST_OF_NONE
    return absent > MOST_ABSENT * asked


def _due(client: Client, known: Known, started: datetime, done: set[int]) -> list[Due]:
    left = max(client.budget - client.sent, 1)
    rows = known.due("reddit", min(ROUND, AT_ONCE * left), started, duty=DUTY)
    return [row for row in rows.iter_rows(named=True) if hash(row["uri"]) not in done]
