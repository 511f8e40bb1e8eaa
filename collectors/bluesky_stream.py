"""Bluesky as it happens, from Jetstream: no login, every case at once, from where the last run was.

Drains the stream from the saved cursor until it has caught up, for cron, or follows it until it is
stopped. Takes posts by the words of the cases, replies to and quotes of posts that belong, and what
happens to posts that are kept: edits, deletions, accounts that go and come back.

Jetstream keeps about 36 hours. What is older is for `bluesky_search`; whatever lies between is a
gap, and the ledger says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from cases.case import Case
from collectors import Known, bluesky_cursor
from collectors.bluesky_cursor import GB, Cursor, this_month
from collectors.bluesky_events import Event, Picked, Picker, parse
from collectors.bluesky_kept import Kept
from collectors.bluesky_pending import Pending
from collectors.bluesky_wire import (
    BusyError,
    CursorTooOldError,
    Feed,
    UndecodableError,
    WireError,
    opened,
)
from collectors.errors import TryLaterError, UnfitError
from collectors.settings import MOST_LOOKBACK, Settings, Step
from store.schema import Bad, Batch, Reading

NAME, UNIT = "bluesky-stream", "jetstream"
HOSTS = ("wss://jetstream.us-east.bsky.network", "wss://jetstream.us-west.bsky.network")

REWIND = timedelta(seconds=30)  # two servers witness one event at different moments
HOLE = timedelta(minutes=5)  # the stream has some 50 posts a second


@dataclass(frozen=True)
class Pace:
    """How long to wait for what, in seconds, and how much goes into a batch."""

    hits: int = 5_000  # posts in a batch
    every: float = 30  # a batch that is not full
    quiet: float = 300  # a batch that holds nothing but the cursor, while following
    first: float = 30  # until the first event of a connection
    idle: float = 10  # without any event: there is no mark at the end of the backlog
    patience: float = 60  # for servers that are busy or close, without any event in between
    following: float = 900  # the same while following
    refresh: float = 300  # what else came into the store meanwhile


def ready(settings: Settings) -> str | None:
    """None: the stream needs no credentials. Whether there is a network shows when it is read."""
    return None


def collect(
    cases: Sequence[Case], known: Known, settings: Settings, pace: Pace | None = None
) -> Iterator[Batch]:
    """Read the stream from the cursor of the last batch stored, or from `settings.lookback` ago.

    Yields batches of the one unit `jetstream`, each with the cursor of its last event; the last one
    says why the reading stopped. `collected_at` of a post is when the server witnessed it, not when
    it was read here: a replay then says just what is stored, and an old create that is read late
    never counts as newer than the edit, or than what search has seen in between.

    Raises TryLaterError when no server can be read, UnfitError when the settings name none.
    """
    run = _Run(cases, known, settings, pace or Pace())
    yield from run.batches()


class _Stop(Exception):  # noqa: N818 - it is no error to have read everything
    """The reading is over; status and reason are for the ledger."""

    def __init__(self, status: str, reason: str, error: Exception | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.error = status, reason, error


class _AgainError(Exception):
    """Connect again, at once."""


@dataclass
class _Count:
    """Totals of the run for the ledger."""

    connections: int = 0
    items: int = 0
    bytes: int = 0
    wanted: int = 0
    observed_from: datetime | None = None
    observed_to: datetime | None = None
    gap: bool = False


@dataclass
class _Run:
    """One reading of the stream."""

    cases: Sequence[Case]
    known: Known
    settings: Settings
    pace: Pace
    count: _Count = field(default_factory=_Count)

    def __post_init__(self) -> None:
        self.hosts = _hosts(self.settings)
        self.cap = _cap(self.settings)
        saved = self.known.cursors(NAME).get(UNIT)
        self.cursor = bluesky_cursor.read(saved)
        # A cursor that nobody can read stands for a stretch that nobody will read.
        self.count.gap = saved is not None and self.cursor is None
        self.month = this_month()
        self.before = self.cursor.received(self.month) if self.cursor else 0
        self.begun = datetime.now(UTC)
        self.lookback = self.begun - min(self.settings.lookback, MOST_LOOKBACK)
        self.by_time = False  # the number in the cursor means nothing any more
        self.compress = True
        self.pending = Pending()
        self.stored = self.fresh = time.monotonic()

    def batches(self) -> Iterator[Batch]:
        try:
            self._check_cap()
            picker = Picker(self.cases, self._kept())
            yield from self._read(picker)
        except _Stop as stop:
            yield self._batch(stop.status, stop.reason)
            if stop.error is not None:
                raise stop.error from None
        except KeyboardInterrupt:
            if self.count.items:
                yield self._batch("done", f"stopped by hand; {self._summary()}")
            raise

    def _kept(self) -> Kept:
        kept = Kept()
        kept.load(self.known, self.cases)
        return kept

    def _read(self, picker: Picker) -> Iterator[Batch]:
        """Connect again and again until somebody says stop."""
        waits = _Waits(self.pace.following if self.settings.follow else self.pace.patience)
        while True:
            items, wait = self.count.items, 0.0
            reasons = []
            for host in self._order():
                try:
                    with opened(host, self._start(host), compress=self.compress) as feed:
                        self.count.connections += 1
                        yield from self._portions(feed, picker)
                except CursorTooOldError as error:
                    self._lost()
                    if self.by_time:
                        reasons.append(str(error))
                        continue
                    self.by_time = True
                except UndecodableError:
                    self.compress = False
                    self.pending.bad.append(Bad("a frame of the stream", "it cannot be unpacked"))
                except _AgainError:
                    pass
                except WireError as error:
                    reasons.append(str(error))
                    if isinstance(error, BusyError):
                        wait = max(wait, error.wait or 1)
                    if self.count.items == items:
                        continue
                break
            if self.count.items > items:
                waits.start_again()
            elif reasons:
                self._wait(waits, wait, reasons)

    def _wait(self, waits: _Waits, asked: float, reasons: Sequence[str]) -> None:
        # Nothing came, ever, and nobody asks for patience: then there is no network.
        hopeless = not self.count.items and not asked
        if hopeless or not waits.wait(asked):
            sentence = f"Bluesky's stream cannot be read: {'; '.join(dict.fromkeys(reasons))}."
            error = TryLaterError(f"{sentence} Try again later; nothing is lost for 36 hours.")
            if not self.count.items:
                raise error
            raise _Stop("partial", f"{sentence} {self._summary()}", error)

    def _order(self) -> list[str]:
        """The servers, that of the cursor first."""
        mine = self.cursor.host if self.cursor else None
        return sorted(self.hosts, key=lambda host: host != mine)

    def _start(self, host: str) -> dict[str, int]:
        """Where to begin on this server, by each wire."""
        if self.cursor is None:
            at = _micros(self.lookback)
            return {"v2": at, "v1": at}
        at = self.cursor.us - REWIND // timedelta(microseconds=1)
        number = self._number(host)
        return {"v2": at if number is None else number, "v1": at}

    def _number(self, host: str) -> int | None:
        """The cursor's number of an event, if this server knows it by that."""
        if self.cursor is None or self.cursor.host != host or self.by_time:
            return None
        return self.cursor.seq

    def _portions(self, feed: Feed, picker: Picker) -> Iterator[Batch]:
        """Read one connection until it closes or the reading is over."""
        seen = 0
        heard = time.monotonic()
        while True:
            frames = feed.portion(min(1.0, self.pace.idle))
            self.count.bytes += feed.received - seen
            seen = feed.received
            fresh = self._unseen(feed, frames)
            if fresh:
                heard = time.monotonic()
                picked = picker.pick(fresh, datetime.now(UTC))
                self._heed(picked)
                for one in picked:
                    if self.pending.clashes(one):
                        yield self._batch("running", "", cut=True)
                    self.pending.add(one)
                self._advance(feed, fresh)
                notices = sum(one.event.kind in ("info", "error") for one in picked)
                self.count.items += len(fresh) - notices
                _end(picked)
            if self._due():
                yield self._batch("running", "")
            self._check_cap()
            self._check_end(heard)
            self._refresh(picker)

    def _unseen(self, feed: Feed, frames: list[bytes]) -> list[bytes]:
        """Without the events up to the cursor, which a server sends once more: it is inclusive."""
        last, start = self._number(feed.host), 0
        if last is None:
            return frames
        for frame in frames:
            try:
                event = parse(frame)
            except ValueError:
                break
            if event.seq is None or event.seq > last:
                break
            start += 1
        return frames[start:]

    def _advance(self, feed: Feed, frames: list[bytes]) -> None:
        """The cursor is at the last of these events."""
        first, last = _located(frames), _located(frames[::-1])
        if first is None or last is None:
            return
        self._observe(
            first.at, last.at, joined=feed.kind == "v2" and self._number(feed.host) is not None
        )
        self.by_time = False
        self.cursor = Cursor(feed.host, last.seq, last.us, self.month, self._received())
        now = datetime.now(UTC)
        reach = (now if self.settings.follow else self.begun) - (self.count.observed_from or now)
        share = None
        if not self.settings.follow and reach > timedelta(0) and self.count.observed_from:
            share = min(1.0, max(0.0, (last.at - self.count.observed_from) / reach))
        self.settings.tell(Step(NAME, UNIT, self.count.items, share))

    def _observe(self, first: datetime, last: datetime, *, joined: bool) -> None:
        """Note the time that was read; `joined`: nothing can be missing since the cursor."""
        if self.count.observed_from is None:
            self.count.observed_from = first
            if self.cursor is not None and not self.count.gap:
                before = _moment(self.cursor.us)
                # A v1 server begins with the oldest it has, without a word.
                self.count.gap = not joined and first > before + HOLE
                if not self.count.gap:
                    self.count.observed_from = before
        last = min(last, datetime.now(UTC))  # a clock may be ahead; the future was not read
        self.count.observed_to = max(last, self.count.observed_to or last)

    def _heed(self, picked: Sequence[Picked]) -> None:
        """What the server says about the cursor, before what came after it is counted as read."""
        names = {one.event.name for one in picked if one.event.kind == "info"}
        if "OutdatedCursor" in names and self.cursor is not None:
            self._lost()
        if "FutureCursor" in names and self.cursor is not None and not self.by_time:
            # The number is of another server, or of this one before it was set up anew.
            self.by_time = True
            raise _AgainError

    def _lost(self) -> None:
        """The server no longer has what comes after the cursor."""
        if self.count.items:
            reason = "the server no longer has what comes next; the next run begins after the gap"
            raise _Stop("partial", f"{reason}; {self._summary()}")
        self.count.gap = True

    def _due(self) -> bool:
        age = time.monotonic() - self.stored
        if self.pending.posts_waiting >= self.pace.hits:
            return True
        lone = self.pace.quiet if self.settings.follow else self.pace.every
        return age >= (self.pace.every if self.pending else lone) and self.count.items > 0

    def _received(self) -> int:
        """Bytes received in this month, earlier runs included."""
        if self.month != this_month():
            self.month, self.before = this_month(), -self.count.bytes
        return self.before + self.count.bytes

    def _check_cap(self) -> None:
        if self.cap is None or self._received() < self.cap:
            return
        raise _Stop(
            "capped",
            f"the {self.cap / GB:g} GB of this month (AFTERSHOCK_JETSTREAM_MONTHLY_GB) are used"
            f" up; {self._summary()}",
        )

    def _check_end(self, heard: float) -> None:
        if self.settings.follow:
            return
        if self.count.observed_to is not None and self.count.observed_to >= self.begun:
            raise _Stop("done", f"caught up; {self._summary()}")
        quiet = time.monotonic() - heard
        if quiet < (self.pace.idle if self.count.items else self.pace.first):
            return
        if self.count.observed_to is None:
            raise _Stop("done", f"the server sent no event within {quiet:.0f} s")
        # Of 50 posts a second one would have come: a server that falls silent long before now has
        # not given all it has.
        stalled = self.begun - self.count.observed_to > HOLE
        raise _Stop(
            "partial" if stalled else "done",
            f"no event within {quiet:.0f} s after that of"
            f" {self.count.observed_to:%Y-%m-%d %H:%M:%S} UTC; {self._summary()}",
        )

    def _refresh(self, picker: Picker) -> None:
        """While following, others put posts into the store whose deletions are heard here."""
        if time.monotonic() - self.fresh >= self.pace.refresh:
            picker.kept.load(self.known, self.cases)
            self.fresh = time.monotonic()

    def _batch(self, status: str, reason: str, *, cut: bool = False) -> Batch:
        """What is pending; with the cursor unless it is cut off in the middle of a portion."""
        self.count.wanted += self.pending.size
        reading = Reading(
            UNIT,
            "bluesky",
            observed_from=self.count.observed_from,
            observed_to=self.count.observed_to,
            pages=self.count.connections,
            items=self.count.items,
            bytes=self.count.bytes,
            status=status,
            stop_reason=reason,
            gap=self.count.gap,
        )
        cursor = None if cut or self.cursor is None else str(self.cursor)
        batch = self.pending.batch(NAME, reading, cursor)
        self.pending, self.stored = Pending(), time.monotonic()
        return batch

    def _summary(self) -> str:
        wanted = self.count.wanted + self.pending.size
        told = f"{self.count.items:,} events read, {wanted:,} of them looked into"
        if not wanted:
            told = (
                f"{self.count.items:,} events read; none holds the words of a query, belongs to a"
                " thread or changes a post that is kept"
            )
        return told


class _Waits:
    """Waiting twice as long each time, `patience` seconds in all."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.start_again()

    def start_again(self) -> None:
        self.next, self.left = 1.0, self.patience

    def wait(self, asked: float) -> bool:
        """Wait, at least as long as asked; False when that would be too long."""
        seconds = max(self.next, asked)
        if seconds > self.left:
            return False
        time.sleep(seconds)
        self.left -= seconds
        self.next = min(2 * self.next, 64)
        return True


def _hosts(settings: Settings) -> tuple[str, ...]:
    named = settings.credentials.get("AFTERSHOCK_JETSTREAM", "")
    hosts = tuple(host.strip().rstrip("/") for host in named.split(",") if host.strip())
    for host in hosts:
        parts = urlsplit(host)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise UnfitError(
                "AFTERSHOCK_JETSTREAM has to name servers as wss://HOST, parted by commas; it names"
                f" one that begins with {parts.scheme or 'no scheme'}. Leave it out for Bluesky's"
                " own servers."
            )
    return tuple(host.removesuffix("/xrpc") for host in hosts) or HOSTS


def _cap(settings: Settings) -> float | None:
    given = settings.credentials.get("AFTERSHOCK_JETSTREAM_MONTHLY_GB", "").strip()
    if not given:
        return None
    try:
        cap = float(given) * GB
    except ValueError:
        cap = -1
    if not cap >= 0:
        raise UnfitError("AFTERSHOCK_JETSTREAM_MONTHLY_GB has to be a number of gigabytes, as 40.")
    return cap


def _end(picked: Sequence[Picked]) -> None:
    """Raises WireError if the server said that it ends the stream."""
    for one in picked:
        if one.event.kind == "error":
            name = one.event.name if one.event.name.isalnum() else "an error"
            raise WireError(f"the server ended the stream ({name})")


def _located(frames: Sequence[bytes]) -> Event | None:
    """The first of these events that says where it stands."""
    for frame in frames:
        try:
            event = parse(frame)
        except ValueError:
            continue
        if event.us:
            return event
    return None


def _moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def _micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
