"""Reddit, through its API with a key of one's own: subreddits, searches, threads, revisits.

Puts the work of a run in order and shares its requests fairly between the cases. What comes of it
without a key: nothing; docs/reddit.md says how to get one and how to work without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collectors.errors import CollectorError, TryLaterError
from collectors.reddit_client import BudgetSpentError, Client, missing
from collectors.reddit_listing import COLLECTOR, Unit, beginning
from collectors.reddit_refusals import FAILURES, OF_THE_KEY, PASSING, RefusedError, suspended
from collectors.reddit_search import Search
from collectors.reddit_sweep import Sweep
from collectors.reddit_threads import Revisits, Threads

if TYPE_CHECKING:
    from cases.case import Case
    from collectors import Known
    from collectors.settings import Settings
    from store.schema import Batch

UNTRIED = "not tried"


def ready(settings: Settings) -> str | None:
    """None when there is a key, else one line: what is missing, and what works instead."""
    absent = missing(settings.credentials)
    if not absent:
        return None
    return (
        f"reddit: {', '.join(absent)} not set. Reddit gives keys on request only (docs/reddit.md);"
        " archives work without one: aftershock import FILE --case NAME"
    )


def collect(cases: Sequence[Case], known: Known, settings: Settings) -> Iterator[Batch]:
    """Batches of a page each, of every subreddit, phrase and thread of the cases.

    A unit that cannot be read says so in the ledger and the others go on. At most
    `settings.budget` requests (600 without one), of which each case gets the same share as long as
    it has work left. `settings.since` takes the place of the cases' own beginning.
    Raises UnfitError when the key is of no use, TryLaterError when Reddit, its quota or the network
    stopped the run, or when some units could not be read.
    """
    asked = [case for case in cases if case.reddit_subreddits or case.reddit_search]
    if not asked:
        return
    client = Client(settings)
    failed: list[RefusedError] = []
    in_a_row = 0
    work = _Work(client, asked, _tasks(client, asked, known, settings))
    for turn in work.turns():
        if isinstance(turn, RefusedError):
            in_a_row += 1
            try:
                _go_on(client, turn, in_a_row)
            except CollectorError as error:
                yield from work.untried(status="failed", stop_reason=UNTRIED, error=str(error))
                raise
            if turn.kind in PASSING:
                failed.append(turn)
        else:
            in_a_row = 0 if turn.reading.status != "failed" else in_a_row
            yield turn
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise TryLaterError(
            f"Some of Reddit could not be read{more}: {failed[0]} The rest was stored; what is"
            " missing is read by the next run."
        )


@dataclass
class _Task:
    """A unit's work in this run, or a part of it."""

    unit: Unit
    work: Iterator[Batch]
    begun: bool = False


class _Work:
    """All tasks of a run, in the queues of the cases they are for."""

    def __init__(self, client: Client, cases: Sequence[Case], tasks: Sequence[_Task]) -> None:
        self.client, self.tasks = client, tasks
        self.queues = {
            case.name: deque(task for task in tasks if case.name in task.unit.cases)
            for case in cases
        }

    def turns(self) -> Iterator[Batch | RefusedError]:
        """A batch of whichever case has used the fewest requests so far, over and over.

        When the budget is spent, what was begun is taken up once more, so that it can say so, and
        what was not is named.
        """
        used = dict.fromkeys(self.queues, 0.0)
        spent = False
        while any(self.queues.values()):
            waiting = (name for name, queue in self.queues.items() if queue)
            task = self.queues[min(waiting, key=lambda one: used[one])][0]
            before = self.client.sent
            turn: Batch | RefusedError | None = None
            if task.begun or not spent:
                task.begun = True
                try:
                    turn = next(task.work, None)
                except BudgetSpentError:
                    spent = True
                except RefusedError as error:
                    turn = error
            for one in task.unit.cases:
                used[one] += (self.client.sent - before) / len(task.unit.cases)
            if turn is None or isinstance(turn, RefusedError):
                for one in task.unit.cases:
                    self.queues[one].remove(task)
            if turn is not None:
                yield turn
        if spent:
            yield from self.untried(
                status="partial", stop_reason=f"{UNTRIED}: the budget of requests is spent"
            )

    def untried(self, **said: Any) -> Iterator[Batch]:
        """A batch for each unit of which nothing was begun: without a row of its own nobody would
        know of it."""
        begun = {task.unit.name for task in self.tasks if task.begun}
        units = {task.unit.name: task.unit for task in self.tasks}
        for name, unit in units.items():
            if name not in begun:
                yield unit.batch(**said)


def _tasks(client: Client, cases: Sequence[Case], known: Known, settings: Settings) -> list[_Task]:
    """All there is to do, in its order: what does not stay first, then what waited longest."""
    cursors = known.cursors(COLLECTOR)
    floors = {case.name: beginning(case, settings.since) for case in cases}
    sweeps, searches = [], []
    brought: set[str] = set()
    for name, watching in _sharing(cases, "reddit_subreddits").items():
        floor = min(floors[case.name] for case in watching)
        cursor = cursors.get(f"r/{name}")
        sweeps.append(Sweep(client, settings, name, watching, cursor, floor, brought))
    for phrase, watching in _sharing(cases, "reddit_search").items():
        floor = min(floors[case.name] for case in watching)
        cursor = cursors.get(f"search: {phrase}")
        searches.append(Search(client, settings, phrase, watching, cursor, floor, brought))
    sweeps.sort(key=lambda sweep: sweep.read_at)
    searches.sort(key=lambda search: search.read_at)
    done: set[str] = set()
    threads = [Threads(client, settings, case, known, done, brought) for case in cases]
    revisits = Revisits(client, settings, cases, known, done)
    return [
        *(_Task(sweep.unit, sweep.run()) for sweep in sweeps),
        *(_Task(search.unit, search.newest()) for search in searches),
        *(_Task(one.unit, one.run()) for one in threads),
        *(_Task(search.unit, search.grid()) for search in searches),
        _Task(revisits.unit, revisits.run()),
    ]


def _sharing(cases: Sequence[Case], source: str) -> dict[str, list[Case]]:
    """Each subreddit (in lower case, it is the same) or phrase, and the cases that have it."""
    sharing: dict[str, list[Case]] = {}
    for case in cases:
        terms: Sequence[str] = getattr(case, source)
        names = [term.lower() for term in terms] if source == "reddit_subreddits" else terms
        for name in dict.fromkeys(names):
            sharing.setdefault(name, []).append(case)
    return sharing


def _go_on(client: Client, error: RefusedError, in_a_row: int) -> None:
    """Return when only the unit is concerned; else raise what ends the run."""
    if error.kind in OF_THE_KEY or error.kind in ("limited", "network"):
        raise error.stop() from None
    if error.kind == "forbidden" and not _may_read(client):
        raise suspended().stop() from None
    if in_a_row >= FAILURES and error.kind in PASSING:
        raise error.stop() from None


def _may_read(client: Client) -> bool:
    """Whether this key may read what everybody may."""
    try:
        client.get("r/all/new", limit=1)
    except (RefusedError, CollectorError) as error:
        return not (isinstance(error, RefusedError) and error.kind == "forbidden")
    except BudgetSpentError:
        return True
    return True
