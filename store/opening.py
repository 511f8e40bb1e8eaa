"""Opening a store: its salt, its tables, and whether this program and it go together.

Refuses what does not fit and completes a creation that was killed. An older store is let in;
`migrate.py` then brings it up to date.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from store.faults import DOCTOR, StoreUnfit
from store.keys import Keys, StoreError, make_salt, read_salt
from store.location import salt_path
from store.merge import Tables
from store.migrate import ADDED, LAST, bring_up, schema_of
from store.schema import SCHEMA_VERSION, TABLES

# In a local path deltalake 1.6.6 takes %20 for a blank and panics on brackets, bars and carets;
# polars takes a folder a=b for a partition.
UNSUPPORTED = set("[]^|\\%=")


def check_place(tables: Tables) -> None:
    """Raise StoreError for a place that Delta Lake cannot use, by its name."""
    if tables.remote:
        tables.remote.check()
    if tables.local and Path(tables.location).is_file():
        raise StoreUnfit(
            f"{tables.location} is a file, and a store is a folder. Name another place in"
            " AFTERSHOCK_STORE."
        )
    if tables.local and (odd := sorted(UNSUPPORTED & set(tables.location))):
        raise StoreUnfit(
            f"The store cannot lie in {tables.location}: its tables cannot be read with"
            f" {' '.join(odd)} in a folder's name. Name another folder in AFTERSHOCK_STORE."
        )


def salt_of(tables: Tables, existing: Sequence[str]) -> bytes:
    """The salt of this store, made if the store is not there yet."""
    path = salt_path()
    if tables.local and path.resolve().is_relative_to(tables.location):
        raise StoreUnfit(
            f"The salt {path} would lie inside the store {tables.location}: whoever copies the"
            " store would copy the salt. Name a file elsewhere in AFTERSHOCK_SALT."
        )
    salt = read_salt(path)
    if salt is None and existing:
        raise StoreUnfit(
            f"The store {tables.location} is there, but its salt {path} is missing. Restore it from"
            " the backup, or name it in AFTERSHOCK_SALT; a new salt would store every post twice."
        )
    return salt or make_salt(path)


def create_tables(tables: Tables, keys: Keys, *, demo: bool) -> None:
    """Make the tables that are not there yet: all of them, or what a killed creation left out."""
    if tables.local:
        with tables.sentences("created"):
            Path(tables.location).mkdir(parents=True, exist_ok=True)
    with tables.lock():
        tables.prove()
        existing = tables.existing()
        if existing:
            admit(tables, keys, demo=demo, among=existing)
        # What an older program left half-made is completed as its own, and then brought up to date.
        schema = min((schema_of(tables, name) for name in existing), default=SCHEMA_VERSION)
        _complete(tables, existing, since=schema)
        description = {"schema": schema, "salt": keys.fingerprint, "demo": demo}
        for name in TABLES:
            if name not in existing:
                tables.create(name, description)


def make_ready(tables: Tables, keys: Keys, *, demo: bool) -> None:
    """Admit the store, bring it up to date, and make the tables that are not there yet."""
    existing = tables.existing()
    if LAST in existing:
        admit(tables, keys, demo=demo)
        if bring_up(tables):
            existing = tables.existing()
    if len(existing) < len(TABLES):
        create_tables(tables, keys, demo=demo)
        admit(tables, keys, demo=demo)
        bring_up(tables)


def _complete(tables: Tables, existing: Sequence[str], *, since: int) -> None:
    """Raise StoreError when tables are missing that were there once: new ones in their place would
    be empty, and the charts with them. A creation that was killed has written nothing yet."""
    if all(tables.version(name) == 0 for name in existing):
        return
    there = tables.existing()
    missing = [name for name in TABLES if name not in there and ADDED.get(name, 1) <= since]
    if missing:
        raise StoreError(
            f"The store {tables.location} has lost its table {missing[0]}: no folder of that name"
            f" holds one. Restore it from a backup. {DOCTOR}"
        )


def admit(tables: Tables, keys: Keys, *, demo: bool, among: Sequence[str] = ("blocked",)) -> None:
    """Refuse a store that this program, this salt or this mode does not go with.

    Every table carries the same description; `blocked` is the one that opens fastest.
    """
    found = tables.description(among[0])
    version = found.get("schema")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise StoreUnfit(
            f"The store {tables.location} was made by a newer Aftershock (schema {version}, this"
            f" one knows {SCHEMA_VERSION}): update Aftershock."
        )
    if bool(found.get("demo")) != demo:
        kind = "the demo's invented posts" if found.get("demo") else "real posts"
        raise StoreUnfit(
            f"The store {tables.location} holds {kind}, and the two are never mixed."
            " Name another folder in AFTERSHOCK_STORE."
        )
    if found.get("salt") != keys.fingerprint:
        raise StoreUnfit(
            f"The store {tables.location} was made with another salt than the one in"
            f" {salt_path()} (its fingerprint is {keys.fingerprint}, the store's is"
            f" {found.get('salt')}). Restore the right salt file from the backup, or name it in"
            " AFTERSHOCK_SALT."
        )
