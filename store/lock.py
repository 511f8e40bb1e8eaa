"""The writer lock: one writer at a time saves the work of merges that would collide.

An optimisation only. Optimistic commits are the guarantee, with or without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from store.faults import StoreBusy, sentences
from store.keys import StoreError
from store.location import is_local

LOCK_SECONDS = 600.0


class WriterLock:
    """Held by one thread at a time; the same thread may enter it again."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._lock = (
            FileLock(Path(location) / ".lock", timeout=LOCK_SECONDS) if is_local(location) else None
        )

    @property
    def keeps(self) -> bool:
        """Whether there is a lock at all."""
        return self._lock is not None

    def held(self) -> AbstractContextManager[object]:
        """Hold the lock while in the context. Raises StoreBusy when others hold it for too long."""
        return self._held(self._lock) if self._lock else nullcontext()

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
