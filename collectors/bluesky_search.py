"""Bluesky's search: the phrases of the cases, from now back to where each case begins.

Logged in through the account's own server. What search cannot show (deletions, accounts it leaves
out, words it does not index) this cannot either; docs/bluesky.md says what is missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta

from cases.case import Case
from collectors import Known
from collectors.bluesky_account import Account
from collectors.bluesky_client import Bluesky, check
from collectors.bluesky_phrase import COLLECTOR, FOLLOWED, LAG, SOURCE, Phrase, Run
from collectors.bluesky_progress import Progress
from collectors.errors import CollectorError, UnfitError
from collectors.settings import Settings
from store.schema import Batch, Reading

__all__ = ["check", "collect", "ready"]

BUDGET = 2_500  # requests: below the 3,000 that the server gives one address in five minutes


def ready(settings: Settings) -> str | None:
    """None when there are credentials, else one line: what is missing."""
    try:
        Account.of(settings)
    except UnfitError as error:
        return f"{COLLECTOR}: {error}"
    return None


def collect(cases: Sequence[Case], known: Known, settings: Settings) -> Iterator[Batch]:
    """Read every phrase's newest time first, then what earlier runs left, one page in turn.

    A phrase that cases share is asked once. A run sends at most `settings.budget` requests (2,500
    unless given). Raises TryLaterError and UnfitError after it has yielded what it got.
    """
    now = datetime.now(UTC)
    run = Run(Bluesky(settings), cases, settings.budget or BUDGET, now)
    cursors = known.cursors(COLLECTOR)
    phrases: dict[str, list[Case]] = {}
    for case in cases:
        for phrase in case.bluesky_search:
            if case not in phrases.setdefault(phrase, []):
                phrases[phrase].append(case)
    readers = [
        Phrase(
            run, text, asking, Progress.of(asking, cursors.get(text)), window(asking, settings, now)
        )
        for text, asking in phrases.items()
    ]
    yield from _in_turn(run, readers, settings)


def window(
    cases: Sequence[Case], settings: Settings, now: datetime
) -> tuple[datetime, datetime] | None:
    """From where the first of these cases begins, or `settings.since`, to `settings.until` or now.

    The end is where reading is believed: what was posted in the last minutes may not be indexed
    yet. None when nothing of it has come yet.
    """
    for name, moment in (("--since", settings.since), ("--until", settings.until)):
        if moment is not None and moment.tzinfo is None:
            raise UnfitError(f"{name} has no time zone; write it as 2025-05-09T00:00:00Z.")
    if settings.since and settings.until and settings.since >= settings.until:
        raise UnfitError("--since is not before --until, so there is nothing to read.")
    begun = min(datetime.combine(case.since, time(), UTC) for case in cases)
    start, end = settings.since or begun, min(settings.until or now, now - LAG)
    start, end = (_whole(moment.astimezone(UTC)) for moment in (start, end))
    return (start, end) if start < end else None


def _whole(moment: datetime) -> datetime:
    """To the millisecond, which is as fine as the server's times and the cursor's are."""
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def _in_turn(run: Run, readers: Sequence[Phrase], settings: Settings) -> Iterator[Batch]:
    # Whoever was read least goes first: a budget smaller than a round is then shared over runs.
    longest_ago = sorted(
        readers, key=lambda reader: reader.read_to or datetime.min.replace(tzinfo=UTC)
    )
    reading = [(reader, reader.batches()) for reader in longest_ago]
    failure: CollectorError | None = None
    try:
        # Out of budget, each reader ends by itself, having noted what it last did.
        while reading:
            for reader, batches in list(reading):
                batch = next(batches, None)
                if batch is None:
                    reading.remove((reader, batches))
                else:
                    yield batch
                    settings.tell(reader.step())
    except CollectorError as error:
        failure = error
    why = str(failure) if failure else f"the budget of {run.budget:,} requests was used up"
    for reader in readers:
        # Who was never asked says so when the budget is the reason; an error speaks for itself.
        if not reader.ended and (failure is None or reader.pages):
            yield reader.stopped(why)
    if run.threads.asked:
        yield _followed(run, str(failure) if failure else "")
    if failure is not None:
        raise failure


def _followed(run: Run, why: str) -> Batch:
    reason = "followed what was due"
    if run.unfollowed:
        reason = "more is due than the run's budget allows; later runs go on"
    if run.threads.left_out:
        reason += f"; {run.threads.left_out:,} posts have more than can be asked for"
    return Batch(
        COLLECTOR,
        Reading(
            FOLLOWED,
            SOURCE,
            pages=run.threads.asked,
            items=run.followed,
            status="partial" if why or run.unfollowed else "done",
            stop_reason=why or reason,
        ),
    )
