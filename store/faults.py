"""What the disk, the network or a damaged table raises, as a sentence for whoever must act.

Knows no table; who calls says which place was being read or written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from deltalake.exceptions import DeltaError, TableNotFoundError

from store import answers
from store.keys import StoreError

# What to do about damage, wherever it shows.
DOCTOR = (
    "Run `aftershock doctor`: it says what is damaged and what is lost, and with --repair mends"
    " what can be mended; the rest comes back with a backup."
)


class StoreBusy(StoreError):  # noqa: N818 - a state of things, not a mistake
    """Other writers were in the way for too long. Nothing is lost: repeat the same call."""


class StoreUnfit(StoreError):  # noqa: N818 - a state of things, not a mistake
    """The store, its place or its salt do not go with this program, this user or the settings:
    running the command again helps only after a person has changed something."""


class StoreMissing(StoreError):  # noqa: N818 - a state of things, not a mistake
    """There is no store yet, and the command is not one that makes it."""


@contextmanager
def sentences(place: str, done: str) -> Iterator[None]:
    """Turn what is raised while `place` is being `done` (read, written, ...) into a StoreError."""
    try:
        yield
    except TableNotFoundError as error:
        raise StoreError(
            f"The table {place} is not there. If the store was moved, name its place in"
            f" AFTERSHOCK_STORE; if the folder was deleted, restore it from the backup. {DOCTOR}"
        ) from error
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        raise said(error, place, done) from error
    except BaseException as error:
        if not panicked(error):
            raise
        raise StoreError(damage(error, place, done)) from error


def said(error: BaseException, place: str, done: str) -> StoreError:
    """The StoreError for whatever a library raised about a place of the store."""
    if sentence := answers.refusal(error, place):
        return StoreUnfit(sentence)
    if sentence := answers.away(error, place):
        return StoreBusy(sentence)
    if sentence := forbidden(error, place, done):
        return StoreUnfit(sentence)
    return StoreError(fault(error, place) or damage(error, place, done))


# What the operating system calls its errors inside delta-rs's messages.
_FULL = (
    *("os error 28", "os error 122", "os error 27"),
    *("No space left", "Disk quota", "File too large"),
)
_READ_ONLY = ("os error 30", "Read-only file")
_FORBIDDEN = ("os error 13", "os error 1)", "Permission denied", "Operation not permitted")
_BROKEN = ("os error 5)", "Input/output error")


def fault(error: BaseException, place: str = "") -> str | None:
    """The sentence for a disk that is full, read-only, closed to this user or broken; None for
    anything else."""
    text = str(error)
    if any(sign in text for sign in _FULL):
        return (
            f"The disk that holds {place} is full. What was stored before is whole; free some space"
            " (or raise the quota) and run the same command again."
        )
    if any(sign in text for sign in _BROKEN):
        return (
            f"The disk that holds {place} answers with errors ({_first(error)}). Copy the store to"
            " another disk, or restore it from a backup, before anything is written again."
        )
    return forbidden(error, place, "written")


def forbidden(error: BaseException, place: str, done: str) -> str | None:
    """The sentence for a place that this user, or everybody, may only read; None otherwise."""
    text = str(error)
    if any(sign in text for sign in _READ_ONLY):
        return (
            f"{place} lies on a file system that may only be read, so nothing was changed. Mount it"
            " for writing, or name another place in AFTERSHOCK_STORE; the dashboard works without."
        )
    if any(sign in text for sign in _FORBIDDEN):
        may = "read" if done in {"read", "opened", "looked up"} else "write to"
        return (
            f"This user may not {may} {place}. Give it access to the folder, or name another"
            " one in AFTERSHOCK_STORE, and run the same command again."
        )
    return None


def damage(error: BaseException, place: str, done: str) -> str:
    """The sentence for anything else that went wrong with a place of the store."""
    return f"{place} could not be {done}: {_first(error)}. {DOCTOR}"


def damaged(table: str, what: str) -> str:
    """The sentence for damage whose place is known: a file or log entry of a table."""
    return f"The table {table} is damaged: {what}. Nothing was changed. {DOCTOR}"


def panicked(error: BaseException) -> bool:
    """Whether polars or delta-rs stopped on a bug of theirs. Each brings a class of its own that is
    no Exception, so that nothing else catches it (pyo3)."""
    return type(error).__name__ == "PanicException"


def vanished(error: Exception) -> bool:
    """Whether a file that a snapshot names is gone: a purge took it while it was being read."""
    # polars says FileNotFoundError on a disk and on an object store, delta-rs DeltaError; a bucket
    # that is not there says the same, and looking again does not bring it back.
    signs = ("No such file or directory", "os error 2)", "NoSuchKey", "404 Not Found")
    text = str(error)
    gone = isinstance(error, FileNotFoundError) or any(sign in text for sign in signs)
    return gone and "NoSuchBucket" not in text


def _first(error: BaseException) -> str:
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    # polars tells how to see more, which is not for the person who must act.
    line = re.sub(r" \(set POLARS_VERBOSE=1 [^)]*\)", "", line)
    return "".join(c if c.isprintable() else "?" for c in line).rstrip(". ")
