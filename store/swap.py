"""Putting a finished folder in the place of a store at one stroke, and clearing up after a kill.

Knows folders and names, and nothing of what the tables hold.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from store.keys import StoreError
from store.schema import TABLES

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
# What belongs to a store but not to the next one in its place. Everything else in its folder moves
# along: batches that wait in its spool, and what somebody else put there.
_DERIVED = (".lock", ".index")


def staging_prefix(place: Path) -> str:
    """How the folders are called in which a store for this place is made ready, beside it."""
    return f".{place.name}.restore-"


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.replaced")


def swap(staging: Path, place: Path) -> None:
    """Let `staging` and `place` change places, then delete the old store. Call it with the old
    store's lock held; those who wait for it find it again in the new one.

    At one stroke on Linux. Where the system or the disk cannot do that, the place is empty for a
    moment, and a reader who looks just then is told that there is no store.
    """
    _same_lock(place, staging)
    shutil.copymode(place, staging)
    os.sync()
    try:
        if not _exchange(staging, place):
            aside = _aside(place)
            place.rename(aside)
            staging.rename(place)
            aside.rename(staging)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EBUSY):
            raise
        raise StoreError(
            f"{place} cannot be replaced, since another disk begins there (it is a mount point)."
            " Restore with --into a folder inside it, and name that in AFTERSHOCK_STORE."
        ) from error
    _carry(staging, place)
    shutil.rmtree(staging)


def clear_leftovers(place: Path) -> None:
    """Clear up what a killed restore left beside the store. Call it with the store's lock held, so
    that none is under way."""
    aside = _aside(place)
    if aside.is_dir():
        if not any((place / name).is_dir() for name in TABLES):
            # Killed between two renames: the old store is what there is.
            _same_lock(place, aside)
            shutil.rmtree(place)
            aside.rename(place)
        else:
            _carry(aside, place)
            shutil.rmtree(aside)
    for left in place.parent.glob(f"{_escaped(staging_prefix(place))}*"):
        _carry(left, place)
        shutil.rmtree(left)


def _same_lock(held: Path, other: Path) -> None:
    """Give another folder the very lock file that is held, so that who waits for it waits on."""
    (other / ".lock").unlink(missing_ok=True)
    with suppress(OSError):  # no hard links here: then writers have their commits to go by only
        os.link(held / ".lock", other / ".lock")


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _carry(old: Path, new: Path) -> None:
    for entry in old.iterdir():
        if entry.name in TABLES or entry.name.startswith(_DERIVED):
            continue
        there = new / entry.name
        if not there.exists():
            entry.rename(there)
        elif entry.is_dir() and there.is_dir():  # the spool: somebody has put a batch there already
            for waiting in entry.iterdir():
                if not (there / waiting.name).exists():
                    waiting.rename(there / waiting.name)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places at one stroke (Linux's renameat2); false where that cannot be."""
    if not sys.platform.startswith("linux"):
        return False
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    if (number := ctypes.get_errno()) in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), str(other))
