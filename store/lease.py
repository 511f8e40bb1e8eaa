"""The writer lock of a store on an object store: a lease, kept in the object `.lease`.

Taken, renewed and given back by puts with a condition, so that of two only one succeeds. Whether a
holder is dead is not read from its clock: who waits has to see the object unchanged for a whole
life of the lease on a clock of its own. An optimisation like the file lock: a holder that stood
still for longer than that may find another in its place, and then optimistic commits keep the
tables whole. `check` lets it notice before it commits what it had read under the lease.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from store.faults import StoreBusy, StoreUnfit, sentences
from store.keys import StoreError
from store.remote import Remote, as_os_errors

NAME = ".lease"
LIFE = 60.0
LONGEST = 600.0  # whatever a lease says of its own life
LOOK = 0.5  # seconds between two looks of one who waits, at most


def _clock() -> float:
    """Seconds that go on while the machine sleeps (a closed laptop holds no lease)."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True)
class Sign:
    """What the object says: who holds the lease (nobody: host is empty), and for how long."""

    put: str  # no two puts have the same, so no two contents have the same etag
    host: str
    pid: int
    since: str
    life: float

    @classmethod
    def read(cls, content: bytes) -> Sign:
        """The sign in an object; one that cannot be read is somebody's who has the usual life."""
        try:
            found = json.loads(content)
            life = min(float(found["life"]), LONGEST)
            return cls(found["put"], found["host"], int(found["pid"]), found["since"], life)
        except (ValueError, KeyError, TypeError):
            return cls("", "an unknown host", 0, "an unknown time", LIFE)


def _mark(told: Mapping[str, Any]) -> dict[str, str]:
    """What a condition on the next put names: the etag, or the version where there are only those
    (Google)."""
    return {name: told[name] for name in ("e_tag", "version") if told.get(name)}


class Lease:
    """Held by one thread of one process at a time; the same thread may enter it again."""

    def __init__(self, remote: Remote, *, patience: float, life: float | None = None) -> None:
        self._remote = remote
        self._patience = patience
        self._life = life or LIFE
        self._turn = threading.RLock()  # between the threads of this process
        self._depth = 0
        self._since = ""
        # Between the holder and its renewer:
        self._beat = threading.Lock()
        self._mark: dict[str, str] | None = None  # of what we put last
        self._tried = ""  # the last put we sent: its answer may have been lost
        self._renewed = 0.0
        self._lost = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease while in the context. Raises StoreBusy when others hold it for too long,
        and StoreUnfit where the object store refuses."""
        if not self._turn.acquire(timeout=self._patience):
            raise StoreBusy(self._busy("Another part of this program"))
        try:
            if self._depth == 0:
                with sentences(self._remote.url, "locked"):
                    self._take()
            self._depth += 1
            ended = threading.Event()
            if self._depth == 1:
                threading.Thread(target=self._keep, args=(ended,), daemon=True).start()
            try:
                yield
            finally:
                ended.set()
                self._depth -= 1
                if self._depth == 0:
                    self._give_back()
        finally:
            self._turn.release()

    def check(self) -> None:
        """Raise StoreBusy if another may hold the lease by now: this process stood still, or could
        not reach the object store, for longer than a lease lives."""
        with self._beat:
            if self._depth == 0 or (not self._lost and _clock() - self._renewed < self._life):
                return
            with sentences(self._remote.url, "locked"):
                if not self._lost and (self._put(self._mark) or self._ours()):
                    return  # nobody came in between
            self._lost = True
        raise StoreBusy(
            f"This process stood still for more than {self._life:.0f} seconds while it wrote to"
            f" {self._remote.url}, and another has been writing there since. Nothing is lost: run"
            " the same command again."
        )

    def prove(self) -> None:
        """Raise StoreUnfit where a put with a condition overwrites all the same: there two writers
        would overwrite each other's commits without noticing. Call it while holding the lease."""
        with sentences(self._remote.url, "tried"), self._beat:
            if self._put("create") or self._put({"e_tag": '"0"'}):
                raise StoreUnfit(
                    f"The object store at {self._remote.url} does not keep to conditions on writes"
                    " (If-None-Match, If-Match), so writers could destroy each other's work. Use"
                    " one that does: Amazon S3, or a recent MinIO, SeaweedFS or Ceph."
                )

    def versioned(self) -> bool:
        """Whether the bucket keeps what is deleted or overwritten, as far as our last put told."""
        version = (self._mark or {}).get("version", "null")
        return self._remote.s3 and version != "null"

    def _take(self) -> None:
        limit = _clock() + self._patience
        watched: dict[str, str] | None = None
        unchanged = 0.0
        with self._beat:
            # What we gave back ourselves is mostly still there: one request in place of two.
            if self._mark is not None and self._put(self._mark):
                return self._begin()
        while True:
            asked = _clock()
            found = self._look()
            if found is None:
                with self._beat:
                    if self._put("create"):
                        return self._begin()
                continue
            sign, mark = found
            if mark != watched:
                watched, unchanged = mark, _clock()
            free = not sign.host or asked - unchanged >= sign.life
            with self._beat:
                if sign.put == self._tried and sign.host:  # the answer was lost, the lease is ours
                    self._mark, self._renewed = mark, asked
                    return self._begin()
                if free and self._put(mark):
                    return self._begin()
            if _clock() > limit:
                raise StoreBusy(
                    self._busy(f"Another Aftershock process ({sign.pid} on {sign.host})", sign)
                )
            time.sleep(secrets.SystemRandom().uniform(LOOK / 10, LOOK))

    def _begin(self) -> None:
        self._lost = False

    def _keep(self, ended: threading.Event) -> None:
        """Renew the lease every third of its life until it is given back."""
        while not ended.wait(self._life / 3):
            with self._beat:
                if ended.is_set() or self._lost:
                    return
                # A network that is away for a moment: `check` sees when it was for too long.
                with suppress(OSError, StoreError):
                    self._lost = not self._put(self._mark) and not self._ours()

    def _give_back(self) -> None:
        with self._beat:
            # If this fails the others wait for the end of a life, no longer.
            if not self._lost:
                with suppress(OSError, StoreError):
                    self._put(self._mark, free=True)
            self._since = ""

    def _ours(self) -> bool:
        """Whether the last put came through though its answer did not."""
        found = self._look()
        if found is None or found[0].put != self._tried:
            return False
        self._mark, self._renewed = found[1], _clock()
        return True

    def _put(self, mode: Any, *, free: bool = False) -> bool:
        """Write the object under a condition; whether it held. The lock `_beat` is held."""
        self._since = self._since or datetime.now(UTC).isoformat(timespec="seconds")
        self._tried = secrets.token_hex(16)
        sign = {
            "put": self._tried,
            "host": "" if free else socket.gethostname() or "a host without name",
            "pid": os.getpid(),
            "since": self._since,
            "life": self._life,
        }
        asked = _clock()
        try:
            with as_os_errors():
                try:
                    done = obstore.put(
                        self._remote.objects(), NAME, json.dumps(sign).encode(), mode=mode
                    )
                except (AlreadyExistsError, PreconditionError):
                    return False
        except FileNotFoundError as error:  # If-Match, and the object was deleted; or the bucket
            if "NoSuchBucket" in str(error):
                raise
            return False
        self._mark, self._renewed = _mark(done), asked
        return True

    def _look(self) -> tuple[Sign, dict[str, str]] | None:
        try:
            with as_os_errors():
                found = obstore.get(self._remote.objects(), NAME)
                content = bytes(found.bytes())
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None
        return Sign.read(content), _mark(found.meta)

    def _busy(self, who: str, sign: Sign | None = None) -> str:
        since = f", since {sign.since}" if sign else ""
        return (
            f"{who} has been writing to {self._remote.url}{since}, and was waited for for"
            f" {self._patience / 60:.0f} minutes. Nothing is lost: run the command again when it is"
            " done."
        )
