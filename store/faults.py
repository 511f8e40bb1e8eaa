"""What the disk, the network or a damaged table raises, as a sentence for whoever must act.

Knows no table; who calls says which place was being read or written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
from deltalake.exceptions import DeltaError, TableNotFoundError

from store import answers
from store.keys import StoreError


class StoreBusy(StoreError):  # noqa: N818 - a state of things, not a mistake
    """Other writers were in the way for too long. Nothing is lost: repeat the same call."""


class StoreUnfit(StoreError):  # noqa: N818 - a state of things, not a mistake
    """The store, its place or its salt do not go with this program, this user or the settings:
    running the command again helps only after a person has changed something."""


@contextmanager
def sentences(place: str, done: str) -> Iterator[None]:
    """Turn what is raised while `place` is being `done` (read, written, ...) into a StoreError."""
    try:
        yield
    except TableNotFoundError as error:
        raise StoreError(
            f"The table {place} is not there. If the store was moved, name its place in"
            " AFTERSHOCK_STORE; if the folder was deleted, restore it from the backup."
        ) from error
    except (DeltaError, OSError, pl.exceptions.PolarsError) as error:
        raise said(error, place, done) from error


def said(error: BaseException, place: str, done: str) -> StoreError:
    """The StoreError for whatever a library raised about a place of the store."""
    if sentence := answers.refusal(error, place):
        return StoreUnfit(sentence)
    if sentence := answers.away(error, place):
        return StoreBusy(sentence)
    return StoreError(fault(error, place) or damage(error, place, done))


# What the operating system calls its errors inside delta-rs's messages.
_FULL = ("os error 28", "os error 122", "os error 27", "No space left", "Disk quota")
_FORBIDDEN = ("os error 13", "os error 1)", "os error 30", "Permission denied", "Read-only file")


def fault(error: BaseException, place: str = "") -> str | None:
    """The sentence for a full disk or missing rights, None for anything else."""
    text = str(error)
    if any(sign in text for sign in _FULL):
        return (
            f"The disk that holds {place} is full. What was stored before is whole; free some space"
            " and run the same command again."
        )
    if any(sign in text for sign in _FORBIDDEN):
        return (
            f"This user may not write to {place}. Give it access to the folder, or name another"
            " one in AFTERSHOCK_STORE, and run the same command again."
        )
    return None


def damage(error: BaseException, place: str, done: str) -> str:
    """The sentence for anything else that went wrong with a place of the store."""
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return (
        f"{place} could not be {done}: {first.rstrip('.')}. Run the same command again; if it says"
        " the same, restore the store from a backup."
    )


def vanished(error: Exception) -> bool:
    """Whether a file that a snapshot names is gone: a purge took it while it was being read."""
    # polars says FileNotFoundError on a disk and on an object store, delta-rs DeltaError; a bucket
    # that is not there says the same, and looking again does not bring it back.
    signs = ("No such file or directory", "os error 2)", "NoSuchKey", "404 Not Found")
    text = str(error)
    gone = isinstance(error, FileNotFoundError) or any(sign in text for sign in signs)
    return gone and "NoSuchBucket" not in text
