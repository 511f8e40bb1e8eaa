"""Where the store and its salt lie, from the environment or by default.

Reads no file and makes no folder: whoever needs one of these places does that.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def checkout() -> Path:
    """The folder Aftershock runs from."""
    return Path(__file__).resolve().parents[1]


def store_location() -> str:
    """The folder or object-store URL of the tables: AFTERSHOCK_STORE, or `data` in the checkout."""
    return os.environ.get("AFTERSHOCK_STORE") or str(checkout() / "data")


def salt_path() -> Path:
    """The file of the salt: AFTERSHOCK_SALT, or `aftershock/salt` in the user's configuration.

    Never inside the store: whoever copies or publishes the tables must not pass on the salt.
    """
    if named := os.environ.get("AFTERSHOCK_SALT"):
        return Path(named).expanduser()
    return configuration_folder() / "salt"


def configuration_folder() -> Path:
    """Where this user's own settings lie: `aftershock` in XDG_CONFIG_HOME or `~/.config`."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def cache_folder() -> Path:
    """Where what can be made again lies: `aftershock` in XDG_CACHE_HOME or `~/.cache`."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def _xdg(name: str, default: str) -> Path:
    # A relative path there is invalid and to be ignored (XDG Base Directory Specification).
    named = os.environ.get(name)
    base = Path(named) if named and Path(named).is_absolute() else Path.home() / default
    return base / "aftershock"


def spool_path(location: str, fingerprint: str) -> Path:
    """Where batches wait that could not be committed: inside a local store, so that they move and
    are searched with it; for an object store a folder of this user, one for each store."""
    if is_local(location):
        return Path(location) / "spool"
    place = hashlib.sha256(location.encode()).hexdigest()[:16]
    return _xdg("XDG_STATE_HOME", ".local/state") / "spool" / f"{fingerprint}-{place}"


def journals_path(beside: Path | None = None) -> Path:
    """The folder of the journals of erasures: AFTERSHOCK_ERASURES, or `beside`, or beside the salt.

    Never inside the store, since it has to outlive it.
    """
    if named := os.environ.get("AFTERSHOCK_ERASURES"):
        return Path(named).expanduser()
    salt = salt_path()
    return beside or salt.with_name(salt.name + ".erasures")


def index_path(location: str, fingerprint: str) -> Path:
    """Where the key index lies: inside a local store; for an object store in a cache folder of this
    user, one for each store."""
    if is_local(location):
        return Path(location) / ".index" / "keys.sqlite"
    place = hashlib.sha256(location.encode()).hexdigest()[:16]
    return cache_folder() / "index" / f"{fingerprint}-{place}" / "keys.sqlite"


def is_local(location: str) -> bool:
    """Whether `location` is a folder on this machine and not an object-store URL."""
    return "://" not in location


def resolved(location: str) -> str:
    """`location` as every part of the store uses it: an absolute path, or a URL without end slash.

    A relative path would mean another store as soon as the program changes its folder.
    """
    location = location.removeprefix("file://")
    if is_local(location):
        return str(Path(location).expanduser().resolve())
    scheme, _, place = location.partition("://")
    return f"{scheme}://{place.rstrip('/')}"
