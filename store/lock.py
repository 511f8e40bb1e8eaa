"""The writer lock: one writer at a time saves the work of merges that would collide.

A file lock in a folder, a lease (`lease.py`) on an object store.

An optimisation only. Optimistic commits are the guarantee, with or without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from store.faults import StoreBusy, sentences
from store.keys import StoreError

if TYPE_CHECKING:
    from store.lease import Lease
    from store.remote import Remote

LOCK_SECONDS = 600.0


class WriterLock:
    """Held by one thread at a time; the same thread may enter it again."""

    def __init__(self, location: str, remote: Remote | None = None) -> None:
        self.location = location
        self.keeps = True  # writers apart; tests of the commits alone switch it off
        self.lease: Lease | None = None
        self._hold: Callable[[], AbstractContextManager[object]]
        if remote is None:
            lock = FileLock(Path(location) / ".lock", timeout=LOCK_SECONDS)
            self._hold = partial(self._held, lock)
        else:
            from store.lease import Lease  # noqa: PLC0415 - a store in a folder needs none of it

            self.lease = Lease(remote, patience=LOCK_SECONDS)
            self._hold = self.lease.held

    def held(self) -> AbstractContextManager[object]:
        """Hold the lock while in the context. Raises StoreBusy when others hold it for too long."""
        return self._hold()

    def check(self) -> None:
        """Raise StoreBusy when the lock that is held may be another's by now. A file lock cannot:
        it goes with its process."""
        if self.lease is not None:
            self.lease.check()

    @contextmanager
    def _held(self, lock: FileLock) -> Iterator[None]:
        with sentences(self.location, "locked"):
            try:
                lock.acquire()
            except IsADirectoryError as error:
                raise StoreError(
                    f"{error.filename} has to be a file and is a folder, so writers cannot be kept"
                    " apart. Nothing was changed; delete it (it holds nothing of the store) and run"
                    " the same command again."
                ) from error
            except Timeout as error:
                raise StoreBusy(
                    f"Another Aftershock process has been writing to {self.location} for"
                    f" {LOCK_SECONDS / 60:.0f} minutes. Nothing is lost: run the command again when"
                    " it is done."
                ) from error
        try:
            yield
        finally:
            lock.release()
