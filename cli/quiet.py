"""Keeps the libraries' own panic reports off the screen.

On a full disk delta-rs 1.6.6 panics in its worker threads besides raising an error that is caught
(object_store's buffered.rs: "Already shut down"), once for every file it was writing: hundreds of
lines that would bury the one sentence that helps. Rust prints them straight to descriptor 2, so
they are taken out there; whatever else comes that way passes. On a busy machine the workers panic
after the command has already said its sentence, so that way stays as it is until the process ends.
"""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PANIC = re.compile(rb"thread '.*panicked at ")
_MORE = re.compile(rb"stack backtrace:|note: |\s+\d+: |\s+at |\s*$")
_SO_FAR = b"\x00all that was written until here has passed\n"


@contextmanager
def without_panics() -> Iterator[None]:
    """Pass on what is written to standard error but for reports of panics, to the process's end.

    Python's own standard error goes straight to where it went before, so that a terminal stays one.
    On leaving, what was written until then has passed. Does nothing with AFTERSHOCK_DEBUG=1, or
    where standard error is not the process's own.
    """
    before = sys.__stderr__
    if os.environ.get("AFTERSHOCK_DEBUG") or before is None or not _own():
        yield
        return
    place = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    passed = threading.Event()
    threading.Thread(target=_pass, args=(reading, place, passed), daemon=True).start()
    sys.stderr = io.TextIOWrapper(
        os.fdopen(os.dup(place), "wb"),
        encoding=before.encoding,
        errors="backslashreplace",
        line_buffering=True,
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        before.flush()
        os.write(2, _SO_FAR)
        passed.wait(5)


def _own() -> bool:
    try:
        own = sys.__stderr__
        return own is not None and sys.stderr is own and own.fileno() == 2
    except (OSError, ValueError, AttributeError):
        return False


def _pass(reading: int, place: int, passed: threading.Event) -> None:
    after = 0  # lines since a panic was announced
    blank = b""  # an empty line that may belong to the report after it
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if line == _SO_FAR:
                passed.set()
            elif _PANIC.match(line):
                after, blank = 1, b""
            elif after == 1:  # what it says
                after = 2
            elif not (after and _MORE.match(line)):
                after = 0
                os.write(place, blank)
                blank = b"" if line.strip() else line
                if not blank:
                    os.write(place, line)
