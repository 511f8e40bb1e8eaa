"""Asks the sources again about what is kept: what is gone there goes here, and counts grow on.

Knows when a post is asked about and what an answer means; how Bluesky is asked is in a module of
its own (`bluesky_recheck.py`), and Reddit, which says itself what was deleted, has all of it in
`reddit_recheck.py`. Nothing is wiped on one look: an absent post is asked about twice, hours apart,
and not at all while a source seems to have lost most of what it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

import collectors
from collectors import bluesky_recheck, reddit_recheck
from collectors.asking import Account, Source, There
from collectors.errors import CollectorError
from collectors.normalise import frame
from collectors.settings import Settings, Step
from store.schema import CHECKS, Bad, Batch, Reading

if TYPE_CHECKING:
    from collectors import Known

COLLECTOR = "recheck"
UNIT = "posts kept"

# When a post is asked about again. An hour short of a day and of a week, so that a daily run finds
# due what it asked about the day before.
DAILY, WEEKLY = timedelta(hours=23), timedelta(days=7, hours=-1)
YOUNG = timedelta(days=7)  # asked about daily until it is this old
AGAIN = timedelta(hours=5)  # at least this lies between two looks in vain
# Engagement is fixed once, by the first look that falls into this stretch after the post.
FIXED_FROM, FIXED_UNTIL = timedelta(hours=48), timedelta(hours=72)

ROUND = 5_000  # posts asked about between two writes to the store
AHEAD = 100_000  # posts due that are looked up at once: with ten million stored that takes 13 s
# A source that suddenly has no post of more than half of so many authors is broken, more likely
# than all of them left. Authors, since one of them may well delete everything.
FEWEST_AUTHORS = 20
MOST_ABSENT = 0.5
CONTROLS = 25
FEWEST_LOST = 3  # authors, where nothing at all is shown

CHECK = pl.Schema(
    {"uri": pl.String()}
    | {name: kind for name, kind in CHECKS.items() if name not in {"post", "day", "same_at"}}
)
_COUNTS = ("likes", "reposts", "replies")


@dataclass
class Result:
    """What one look at one post told; `due` is its row of `Known.due`."""

    due: dict[str, Any]
    at: datetime
    there: There | None
    author: str | None
    account: Account

    @property
    def missed(self) -> int:
        return self.due["misses"] or 0

    @property
    def fresh(self) -> bool:
        """Whether it was there when it was last heard of."""
        return self.missed == 0 and self.due["state"] == "live"

    @property
    def absent(self) -> bool:
        """Whether the source has it no more, without saying that the account is only inactive."""
        return self.there is None and self.account in {Account.ACTIVE, Account.ABSENT}

    @property
    def confirmed(self) -> bool:
        """Whether this is the second look in vain, long enough after the first."""
        return self.absent and self.missed > 0 and self.at - self.due["checked_at"] >= AGAIN


def now() -> datetime:
    return datetime.now(UTC)


def ready(source: str, settings: Settings) -> str | None:
    """None when a source can be asked now, else one line why not. Bluesky needs no account."""
    return collectors.ready("reddit", settings) if source == "reddit" else None


def collect(
    source: str,
    known: Known,
    settings: Settings,
    *,
    many_gone: bool = False,
    clock: Callable[[], datetime] = now,
) -> Iterator[Batch]:
    """Ask a source about everything that is due, oldest look first, within `settings.budget`.

    `budget` is the most requests; what was begun with them is finished. A batch brings the posts
    that are there as they are now, a check for each post, and what became of the others: `gone` and
    `deleted` after two looks in vain at least five hours apart, `hidden` while an account is
    inactive or, before the second look, unknown, `back` when it is active again. What was not
    answered is left as it is. Killed and run again it goes on with what it had not asked yet.

    Raises CollectorError, before anything absent is recorded, when the source looks broken: when
    more than half of 20 or more authors have lost posts that were there at the last look, or when
    nothing is shown at all and posts of three authors or more ought to be. `many_gone` says that
    this is right.
    """
    if source == "reddit":
        yield from reddit_recheck.collect(known, settings, many_gone=many_gone)
        return
    run = _Run(source, bluesky_recheck.Bluesky(settings), known, settings, clock)
    while due := run.next_due():
        results, error = run.ask(due)
        if error is None and not run.seen and any(result.absent for result in results):
            controls, error = run.controls()
            results += controls
        if run.suspicious and not many_gone:
            results = [result for result in results if not result.absent]
        if results:
            yield run.batch(results)
        if run.suspicious and not many_gone:
            raise CollectorError(run.suspicion())
        if error is not None:
            raise error
    yield run.last()


@dataclass
class _Run:
    """One run over one source: what it has asked, and what the ledger says of it so far."""

    name: str
    source: Source
    known: Known
    settings: Settings
    clock: Callable[[], datetime]
    started: datetime = field(init=False)
    waiting: pl.DataFrame = field(default_factory=pl.DataFrame)  # due and not asked about yet
    asked: set[int] = field(default_factory=set)  # hashes of uris
    asked_authors: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    seen: int = 0  # posts that were there

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def suspicious(self) -> bool:
        """Whether so much is absent that the source is rather broken."""
        lost, authors = len(self.lost), len(self.asked_authors)
        return (authors >= FEWEST_AUTHORS and lost > MOST_ABSENT * authors) or (
            not self.seen and lost >= FEWEST_LOST
        )

    def suspicion(self) -> str:
        return (
            f"{self.name} shows no longer what it showed: posts of {len(self.lost):,} of"
            f" {len(self.asked_authors):,} authors are absent at once. That looks like a fault of"
            " the source, so no post was wiped for it. Try again tomorrow; if it is right that so"
            f" many are gone, run: aftershock recheck --source {self.name} --many-gone"
        )

    def left(self) -> int | None:
        """How many requests are left; None when nobody counts."""
        budget = self.settings.budget
        return None if budget is None else max(0, budget - self.source.requests)

    def next_due(self) -> list[dict[str, Any]]:
        left = self.left()
        most = AHEAD if left is None else min(AHEAD, left * self.source.at_once)
        if not most:
            return []
        looked = False
        while not (looked and self.waiting.is_empty()):
            if self.waiting.is_empty():
                self.waiting, looked = self.known.due(self.name, most, self.started), True
            due = self._unasked(self.waiting.head(min(ROUND, most)))
            self.waiting = self.waiting.slice(min(ROUND, most))
            if due:
                return due
        return []

    def _unasked(self, due: pl.DataFrame) -> list[dict[str, Any]]:
        return [row for row in due.iter_rows(named=True) if hash(row["uri"]) not in self.asked]

    def ask(self, due: Sequence[dict[str, Any]]) -> tuple[list[Result], CollectorError | None]:
        """Ask about these posts; what was found out, and what kept it from finding out more."""
        results: list[Result] = []
        for start in range(0, len(due), self.source.at_once):
            if self.left() == 0:
                break
            page = due[start : start + self.source.at_once]
            try:
                results += self._page(page)
            except CollectorError as error:
                return results, error
            self.asked.update(hash(row["uri"]) for row in page)
            self.settings.tell(Step(f"{COLLECTOR} {self.name}", UNIT, len(self.asked)))
        return results, None

    def _page(self, page: Sequence[dict[str, Any]]) -> list[Result]:
        at = self.clock()
        answers = self.source.look([row["uri"] for row in page])
        results = []
        accounts: dict[str, Account] = {}
        for row in page:
            there = answers.get(row["uri"])
            author = self.source.author(row["uri"])
            account = Account.ACTIVE if there else Account.UNSEEN
            if there is None and row["uri"] in answers and author is not None:
                if author not in accounts:
                    accounts[author] = self.source.account(author)
                account = accounts[author]
            results.append(Result(row, at, there, author, account))
        for result in results:
            self.seen += result.there is not None
            if result.fresh and result.author is not None:
                self.asked_authors.add(result.author)
                if result.absent:
                    self.lost.add(result.author)
        return results

    def controls(self) -> tuple[list[Result], CollectorError | None]:
        """Nothing that was asked about is there: does the source show anything at all? Asks about
        posts that were there at their last look, though they are not due."""
        later = self.known.due(self.name, ROUND, self.started + 10 * 365 * DAILY)
        there = [
            row
            for row in self._unasked(later)
            if not row["misses"] and row["state"] == "live" and row["checked_at"] is not None
        ]
        return self.ask(there[:CONTROLS])

    def batch(self, results: Sequence[Result]) -> Batch:
        """What these looks mean."""
        confirmed = [result for result in results if result.confirmed]
        absent = [result for result in results if result.there is None]
        there = [result.there for result in results if result.there is not None]
        return Batch(
            COLLECTOR,
            self.reading("running"),
            posts=frame([one.row for one in there if one.row is not None]),
            gone=tuple(r.due["uri"] for r in confirmed if r.account is Account.ACTIVE),
            deleted=_authors(r for r in confirmed if r.account is Account.ABSENT),
            hidden=_authors(r for r in absent if r.account in {Account.INACTIVE, Account.ABSENT}),
            back=_authors(
                r for r in results if r.due["state"] == "hidden" and r.account is Account.ACTIVE
            ),
            checks=pl.DataFrame([check(r) for r in results], schema=CHECK, orient="row"),
            bad=tuple(Bad(UNIT, one.bad) for one in there if one.bad),
            again=True,
        )

    def reading(self, status: str, stop_reason: str = "") -> Reading:
        return Reading(
            UNIT,
            self.name,
            pages=self.source.requests,
            items=len(self.asked),
            bytes=self.source.bytes,
            status=status,
            stop_reason=stop_reason,
        )

    def last(self) -> Batch:
        if self.left() == 0:
            why = f"its budget of {self.settings.budget:,} requests is used up"
            return Batch(COLLECTOR, self.reading("partial", why))
        return Batch(COLLECTOR, self.reading("done", "asked about everything that was due"))


def _authors(results: Iterator[Result]) -> tuple[str, ...]:
    return tuple(sorted({result.author for result in results if result.author is not None}))


def check(result: Result) -> dict[str, Any]:
    """The row of CHECKS (with `uri`) that one look leaves."""
    due, at, there = result.due, result.at, result.there
    row: dict[str, Any] = {"uri": due["uri"], "checked_at": at}
    counts = {name: getattr(there, name) if there else None for name in _COUNTS}
    fixed = {name: due[f"{name}_48h"] for name in _COUNTS}
    if there and all(value is None for value in fixed.values()):
        age = at - due["at"]
        if FIXED_FROM <= age <= FIXED_UNTIL:
            fixed = counts
    row |= counts | {f"{name}_48h": value for name, value in fixed.items()}
    row["misses"] = result.missed + 1 if result.absent else 0 if there else result.missed
    row["next_at"] = _next(result, is_fixed=any(value is not None for value in fixed.values()))
    return row


def _next(result: Result, *, is_fixed: bool) -> datetime:
    """When a post is asked about again."""
    at, posted = result.at, result.due["at"]
    if result.absent:
        return at + AGAIN
    if result.account is Account.UNSEEN:
        return at + DAILY
    if result.due["state"] == "hidden":
        # Daily while its account is inactive. Just back, it is looked at once more soon: what the
        # source shows can lag behind what a stream said a moment ago.
        return at + (AGAIN if result.there else DAILY)
    if result.account is Account.INACTIVE:
        return at + DAILY
    regular = at + (DAILY if at - posted < YOUNG else WEEKLY)
    whole = posted + FIXED_FROM
    return min(regular, whole) if not is_fixed and at < whole else regular
