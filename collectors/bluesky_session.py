"""The file that saves logins: one Bluesky session string for each account and service.

A login counts against 30 in five minutes and 300 a day (docs.bsky.app, rate-limits), a session
lasts for weeks. The file is readable by its user only and replaced whole. Asks no server anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from collectors.errors import TryLaterError, UnfitError

WAIT = 120  # seconds for another process that is logging in


class Sessions:
    """The session of one account at one service, as kept in the folder `cache`.

    The file's name and its content say whose session it is (as a hash: the name of a file is no
    secret), so that other credentials never get it.
    """

    def __init__(self, cache: Path, service: str, handle: str) -> None:
        whose = json.dumps([service.rstrip("/").lower(), handle.lower()])
        self._whose = hashlib.sha256(whose.encode()).hexdigest()
        self.path = cache / f"bluesky-{self._whose[:16]}.session"
        self._lock: FileLock | None = None

    def read(self) -> str | None:
        """The session string; None when there is none, or nothing that could be one."""
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(kept, dict) or kept.get("whose") != self._whose:
            return None
        session = kept.get("session")
        return session if isinstance(session, str) and session else None

    def keep(self, session: str) -> None:
        """Put this session in the place of the one before, at once or not at all."""
        with self.held():
            try:
                # mkstemp makes it 0600 before a byte is in it
                handle, new = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
                try:
                    with os.fdopen(handle, "w", encoding="utf-8") as file:
                        json.dump({"whose": self._whose, "session": session}, file)
                        file.flush()
                        os.fsync(file.fileno())
                    Path(new).replace(self.path)
                except BaseException:
                    with suppress(OSError):
                        Path(new).unlink()
                    raise
            except OSError as error:
                raise self._unwritable(error) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else logs in or writes meanwhile; the same object may hold it twice."""
        if self._lock is None:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise self._unwritable(error) from error
            self._lock = FileLock(self.path.with_suffix(".lock"), timeout=WAIT)
        try:
            with self._lock:
                yield
        except Timeout as error:
            raise TryLaterError(
                "Another run has been logging in to Bluesky for two minutes. Try again later."
            ) from error

    def _unwritable(self, error: OSError) -> UnfitError:
        # Without the file every run would log in, and a day has 288 runs of five minutes.
        return UnfitError(
            f"The Bluesky session cannot be kept in {self.path.parent}: {error.strerror}. "
            "Make that folder writable."
        )
