"""One search phrase: reads its window newest first, past the depth the server shows, and says what
of it was read in full.

`bluesky_walk` says where each query begins; this sends them and makes batches of the answers, with
what is to be followed in between. It stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cases.case import Case
from collectors.bluesky_account import RefusedError
from collectors.bluesky_client import Bluesky
from collectors.bluesky_page import Page, read, written
from collectors.bluesky_progress import Progress
from collectors.bluesky_threads import Threads
from collectors.bluesky_walk import EDGES, SURELY_SHOWN, Slice, Walk
from collectors.settings import Step
from collectors.stretches import Stretch, Stretches, common, joined, length, without
from store.schema import Batch, Reading

COLLECTOR, SOURCE = "bluesky-search", "bluesky"
FOLLOWED = "replies and quotes"  # the unit of what is read beside the phrases
V1, V2 = "app.bsky.feed.searchPosts", "app.bsky.feed.searchPostsV2"

LAG = timedelta(minutes=10)  # what is younger may not be indexed yet and is not said to be read
OVERLAP = timedelta(minutes=10)  # read again before each stretch: what was indexed later still
FOLLOW_SHARE = 1 / 3  # of the budget, for replies and quotes

EMPTY_PAGES = (
    20  # in a row with nothing new: the server filters after searching, so some are normal
)


class BudgetSpentError(Exception):
    """The run may send no more requests; nothing is wrong."""


@dataclass
class Run:
    """What all phrases of a run share."""

    client: Bluesky
    cases: Sequence[Case]
    budget: int
    now: datetime
    v2: bool | None = None  # whether search v2 answers; not known before the first query
    deepest: int = SURELY_SHOWN  # the most posts that one query has shown
    followed: int = 0  # posts read as replies and quotes
    unfollowed: bool = False
    threads: Threads = field(init=False)

    def __post_init__(self) -> None:
        self.threads = Threads(self.client, self.may_follow)

    def may_search(self) -> bool:
        return self.client.requests < self.budget

    def may_follow(self) -> bool:
        return self.may_search() and self.threads.asked < self.budget * FOLLOW_SHARE

    def search(
        self, phrase: str, since: datetime, until: datetime | None, cursor: str | None
    ) -> Mapping[str, Any]:
        """One page. Search v2 is behind a gate that opens for some (bluesky-social/atproto#5035):
        it is tried once a run; its recent window is switched off."""
        params: dict[str, Any] = {"limit": 100, "since": written(since)}
        params |= {"until": written(until)} if until else {}
        params |= {"cursor": cursor} if cursor else {}
        if not self.may_search():
            raise BudgetSpentError
        answer: Mapping[str, Any] | None = None
        if self.v2 is not False:
            try:
                answer = self.client.ask(
                    V2, {"query": phrase, "sort": "recent", "allTime": True, **params}
                )
                self.v2 = True
            except RefusedError:
                if self.v2:
                    raise
                self.v2 = False
        if answer is None:
            answer = self.client.ask(V1, {"q": phrase, "sort": "latest", **params})
        if not isinstance(answer.get("posts"), list):
            # Read as an empty page it would say that nothing was posted.
            raise RefusedError(200, "an answer without posts")
        return answer


class Phrase:
    """Reads one phrase; `batches` is its work, `stopped` its last word when the run ends before."""

    def __init__(
        self,
        run: Run,
        text: str,
        cases: Sequence[Case],
        progress: Progress,
        window: Stretch | None,
    ) -> None:
        self.text = text
        self.pages = self.items = 0
        self.ended = False  # its last word is said
        self.read_to = max((end for _, end in progress.read()), default=None)
        self._run = run
        self._cases = tuple(case.name for case in cases)
        self._progress = progress
        self._window: Stretches = (window,) if window else ()
        self._before = progress.read()
        self._bytes = 0
        self._pending: Batch | None = None  # the last page, until it is known what follows it
        self._followed = True  # everything on the last page that there was to follow
        self._doubtful: list[str] = []

    def batches(self) -> Iterator[Batch]:
        """Everything that is to be read, one batch a page; the last one says how it ended, unless
        the budget ended first."""
        try:
            todo = list(self._left())
            newest = todo.pop() if todo else None
            if newest is not None:
                yield from self._stretches([newest])
            # Looks at recent posts before history: they are missed otherwise, history stays.
            due = self._progress.to_look_at(self._window, self._run.now)
            if due and self._run.may_follow():
                yield from self._stretches(list(due), again=True)
            yield from self._stretches(todo)
        except RefusedError as error:
            yield self._last("failed", str(error), error=str(error))
            return
        except BudgetSpentError:
            return
        yield self._last(*self._ending())

    def stopped(self, why: str) -> Batch:
        """The last word when the run ended before this phrase was read."""
        if not self.pages:
            return self._last("partial", f"not asked: {why}")
        return self._last("partial", f"{why}; {_days(length(self._left()))} still to be read")

    def step(self) -> Step:
        whole = length(self._window)
        share = 1 - length(self._left()) / whole if whole else 1.0
        return Step(COLLECTOR, self.text, self.items, share)

    def _left(self) -> Stretches:
        left = without(self._window, self._progress.read())
        return without(left, self._progress.capped())

    def _stretches(self, todo: list[Stretch], *, again: bool = False) -> Iterator[Batch]:
        """Read these, the newest first; one that cannot be read in one piece comes back as two.
        `again`: they were read before and are looked at for replies and quotes."""
        while todo:
            stretch = todo.pop()
            until = None if stretch[1] == self._present() else stretch[1] + EDGES[0]
            walk = Walk(stretch, until)
            yield from self._walk(walk, again=again)
            todo += walk.halves
            if again and not self._run.may_follow():
                return

    def _walk(self, walk: Walk, *, again: bool) -> Iterator[Batch]:
        followed, before = True, set[str]()
        while True:
            found, seen = Slice(), set[str]()
            for page, more in self._pages(walk, found):
                new = page.without(before | seen)
                seen |= page.views.keys()
                times = [page.times[row["uri"]] for row in page.rows if row["uri"] in page.times]
                found.add(times, len(page.rows) + len(page.bad), len(new.rows))
                self.items += len(new.rows) + len(page.bad)
                high = walk.low
                if more:
                    walk.see(found)
                self._progress.add_read(walk.shown())
                # Held back before the one before is given: whoever stops there gets this one too.
                held, self._pending = self._pending, self._batch(new, again=again)
                if held is not None:
                    yield held
                yield from self._follow(new, walk.stretch)
                followed = followed and self._followed
                if self._followed:
                    self._progress.add_looked(((walk.low, high),), self._run.now)
                elif again:
                    return
            self._run.deepest = max(self._run.deepest, found.hits)
            before = seen
            if not walk.goes_on(found, self._run.deepest):
                break
        if not found.ordered:
            self._progress.forget(without((walk.stretch,), self._before))
        self._progress.add_read(walk.shown())
        self._progress.add_capped(common(joined(walk.capped), (walk.stretch,)))
        if followed:
            self._progress.add_looked(walk.shown(), self._run.now)
        for second in walk.capped:
            self._doubt("more than the server shows (capped)", second)
        if walk.doubt:
            self._doubt(walk.doubt, walk.stretch)

    def _present(self) -> datetime | None:
        """The end of the window when it is the present: there the newest posts are wanted too."""
        end = self._window[0][1]
        return end if end >= self._run.now - LAG - timedelta(seconds=1) else None

    def _pages(self, walk: Walk, found: Slice) -> Iterator[tuple[Page, bool]]:
        """The pages of one query, and whether each has a next one. Short and empty pages are normal
        (the server filters after searching): only a missing cursor ends a query."""
        cursor: str | None = None
        cursors: set[str] = set()
        empty = 0
        while True:
            asked = datetime.now(UTC)
            bytes_before, new_before = self._run.client.bytes, found.new
            answer = self._run.search(self.text, walk.stretch[0] - OVERLAP, walk.until, cursor)
            self._bytes += self._run.client.bytes - bytes_before
            self.pages += 1
            page = read(answer.get("posts"), asked, f"page {self.pages}")
            following = answer.get("cursor")
            cursor = following if isinstance(following, str) and following else None
            found.ended = cursor is None
            yield page, cursor is not None
            empty = 0 if found.new > new_before else empty + 1
            if cursor is None or cursor in cursors or empty >= EMPTY_PAGES:
                return
            cursors.add(cursor)

    def _follow(self, page: Page, stretch: Stretch) -> Iterator[Batch]:
        """Replies and quotes of the matched posts of a page that lie in the stretch."""
        start, end = stretch
        threads = self._run.threads
        self._followed = True
        for view in page.matching(self._run.cases):
            at = page.times.get(str(view["uri"]))
            if at is None or not start <= at < end or not threads.wants(view):
                continue
            yield from self._flush()  # the post itself is stored before what belongs to it
            for found in threads.follow(view):
                if found is None:
                    self._followed, self._run.unfollowed = False, True
                    return
                self._run.followed += len(found.rows)
                reading = Reading(FOLLOWED, SOURCE, pages=threads.asked, items=self._run.followed)
                yield Batch(COLLECTOR, reading, posts=found.posts(), bad=tuple(found.bad))

    def _batch(self, page: Page, *, again: bool) -> Batch:
        return Batch(
            COLLECTOR,
            self._reading("running"),
            posts=page.posts(),
            bad=tuple(page.bad),
            cursor=self._progress.cursor(),
            again=again,
        )

    def _flush(self) -> Iterator[Batch]:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            yield pending

    def _last(self, status: str, reason: str, *, error: str = "") -> Batch:
        """The last batch: with the page that was held back, if there is one."""
        self.ended = True
        reading = self._reading(status, reason=reason, error=error)
        held = self._pending or Batch(COLLECTOR, reading)
        self._pending = None
        return replace(held, reading=reading, cursor=self._progress.cursor())

    def _reading(self, status: str, *, reason: str = "", error: str = "") -> Reading:
        ended = status != "running"
        # What a failed row observed counts as failed; the next run claims what was read.
        claim = self._claim() if status in ("done", "partial") else None
        return Reading(
            self.text,
            SOURCE,
            observed_from=claim[0] if claim else None,
            observed_to=claim[1] if claim else None,
            pages=self.pages,
            items=self.items,
            bytes=self._bytes,
            status=status,
            stop_reason=reason,
            gap=ended and bool(self._left() or self._doubtful or status == "failed"),
            error=error,
            cases=self._cases,
        )

    def _claim(self) -> Stretch | None:
        """The time read without a break, by this run and those before, that holds most of what this
        run has read; None when it read none in full. A failed or killed run's part is claimed so
        by the next."""
        now = self._progress.read()
        new = without(now, self._before)
        if not new:
            return None
        return max(now, key=lambda each: length(common((each,), new)))

    def _doubt(self, what: str, stretch: Stretch) -> None:
        start, end = stretch
        self._doubtful.append(f"{what} between {written(start)} and {written(end)}")

    def _ending(self) -> tuple[str, str]:
        if self._doubtful:
            return "partial", "; ".join(self._doubtful[:3])
        if not self._window:
            return "done", "nothing to read yet"
        start, end = self._window[0]
        between = f"between {written(start)} and {written(end)}"
        if not self.pages:
            return "done", f"all was read before {between}"
        if not self.items:
            new = without(self._progress.read(), self._before)
            between = f"between {written(new[0][0])} and {written(new[-1][1])}" if new else between
            return "done", f"the server found nothing for this phrase {between}"
        return "done", "read to the end"


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:,.0f} days" if days >= 2 else f"{span / timedelta(hours=1):,.1f} hours"
