"""Ends the reading of a source early and in good order: by Ctrl-C while following, or by the clock.

A collector is interrupted where it waits for its source, never the store where it writes: what was
read until then is stored, the unit's row in the ledger says why it ended, and its cursor stands at
the last thing stored. Outside of `halting`, Ctrl-C is what it always is.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from store.schema import Batch, Reading

_ALARM = getattr(signal, "SIGALRM", None)  # not on Windows


class Halt:
    """Whether somebody wants the reading to end, and the way there.

    The collector meets KeyboardInterrupt, once, while it reads or at its `yield`. It may yield what
    it still has and return; what it leaves open is closed here. `status` is what the ledger says of
    units that end so, whatever the collector takes the interruption for.
    """

    def __init__(self, *, status: str = "partial") -> None:
        self.why = ""
        self.told = False
        self._status = status
        self._reading = False

    def ask(self, why: str) -> None:
        """End it for this reason, at once if the collector is reading, else after the store."""
        self.why = self.why or why
        if self._reading and not self.told:
            self.told = True
            raise KeyboardInterrupt

    def through(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches until somebody asks for the end, and one more for each open unit."""
        last: dict[tuple[str, str], tuple[str, Reading]] = {}
        while True:
            try:
                batch = self._next(batches)
            except StopIteration:
                break
            except KeyboardInterrupt:
                if not self.why:
                    raise
                break
            if self.told:
                batch = replace(batch, reading=self._ended(batch.reading))
            last[batch.reading.source, batch.reading.unit] = batch.collector, batch.reading
            yield batch
        if not self.why:
            return
        for collector, reading in last.values():
            if reading.status == "running":
                yield Batch(collector, self._ended(reading))

    def _ended(self, reading: Reading) -> Reading:
        return replace(reading, status=self._status, stop_reason=self.why)

    def _next(self, batches: Iterator[Batch]) -> Batch:
        self._reading = True
        try:
            throw: Any = getattr(batches, "throw", None)  # generators have it
            if self.why and not self.told and throw is not None:
                self.told = True
                stopped: Batch = throw(KeyboardInterrupt())
                return stopped
            return next(batches)
        finally:
            self._reading = False


@contextmanager
def halting(*, follow: bool = False, seconds: float | None = None) -> Iterator[Halt]:
    """A Halt that Ctrl-C and SIGTERM ask for while following, and the clock after `seconds`.

    While following, the end is the user's will and the unit is done; a second Ctrl-C ends the
    program as usual. Without signals (outside of the main thread) it never halts.
    """
    halt = Halt(status="done" if follow else "partial")
    if threading.current_thread() is not threading.main_thread():
        yield halt
        return

    def stopped(number: int, _: FrameType | None) -> None:
        if halt.why:
            raise KeyboardInterrupt
        halt.ask("stopped by Ctrl-C" if number == signal.SIGINT else "stopped by SIGTERM")

    def over(_: int, __: FrameType | None) -> None:
        halt.ask(f"stopped by the clock after {seconds:.0f} seconds")

    before: dict[int, Any] = {}
    try:
        if follow:
            before |= {
                int(number): signal.signal(number, stopped)
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        if seconds is not None and _ALARM is not None:
            before[_ALARM] = signal.signal(_ALARM, over)
            signal.setitimer(signal.ITIMER_REAL, seconds)
        yield halt
    finally:
        if _ALARM in before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
