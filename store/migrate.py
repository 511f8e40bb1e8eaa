"""Bringing an older store up to date, one schema version after the other.

Every table says in its description which version it has; `blocked` says it last, and the store has
the version that `blocked` says. So a migration that was killed is seen as not done, and done again:
each step has to be repeatable, and must never take away what it has not put elsewhere before.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence

import polars as pl
from deltalake import DeltaTable, Field, write_deltalake
from deltalake.schema import PrimitiveType

from store.faults import StoreBusy
from store.keys import StoreError
from store.merge import ROWS_A_MERGE, WRITER, Tables, arrow
from store.schema import CELL_STANCE, EXPORTED, EXPORTS, SCHEMA_VERSION

LOG = logging.getLogger(__name__)  # without a set-up of its own, warnings go to standard error
LAST = "blocked"
ADDED = {"exported": 2, "sightings": 3}  # tables that the first version did not have


def schema_of(tables: Tables, name: str = LAST) -> int:
    """The schema version a table says it has; of `blocked`, the version of the store."""
    return int(tables.description(name).get("schema", 0))


def bring_up(tables: Tables) -> bool:
    """Bring an older store up to date, or wait until somebody else has done so; returns whether it
    was older.

    The first process that opens it does this, under the writer lock. Raises StoreError when this
    user may not write to it.
    """
    found = schema_of(tables)
    if found >= SCHEMA_VERSION:
        return False
    try:
        with tables.lock():
            for step in range(schema_of(tables), SCHEMA_VERSION):
                LOG.warning(
                    "Bringing the store %s from version %d to %d. This is done once.",
                    tables.location,
                    step,
                    step + 1,
                )
                STEPS[step](tables)
                for name in sorted(tables.existing(), key=lambda name: name == LAST):
                    _say(tables, name, step + 1)
    except StoreBusy:
        raise
    except StoreError as error:
        raise StoreError(
            f"The store {tables.location} was made by an earlier Aftershock (version {found} of its"
            f" tables, now {SCHEMA_VERSION}) and could not be brought up to date: {error} Whoever"
            " may write to it can do it with `aftershock maintain`; until then nothing is read."
        ) from error
    return True


def _say(tables: Tables, name: str, version: int) -> None:
    """Write the version into a table's description; what else stands there stays."""
    description = tables.description(name)
    if description.get("schema") != version:
        text = json.dumps(description | {"schema": version})
        tables.commit(name, lambda table: table.alter.set_table_description(text))


def _keys_of_exports(tables: Tables) -> None:
    """1 to 2: the keys of the posts in an export, one list in its row, get a table of their own.

    An export of millions of posts made its row too large to write, and every other with it. The old
    lists leave the disk with the next maintenance.
    """
    existing = tables.existing()
    if "exported" not in existing:
        tables.create("exported", tables.description(LAST))
    if "exports" not in existing:
        return
    old = tables.commit("exports", lambda table: table)
    if "posts" not in {field.name for field in old.schema().fields}:
        return
    rows = _columns(tables, old, [name for name in EXPORTS.names() if name in _names(old)])
    ids = pl.Series("export", [_first_id(*row) for row in rows.select("path", "sha256").rows()])
    rows = rows.with_columns(ids.cast(pl.String))
    for path, export in rows.select("path", "export").rows():
        keys = _columns(tables, old, ["posts"], path)["posts"].explode().drop_nulls().unique()
        held = pl.DataFrame({"export": export, "post": keys}, schema=EXPORTED)
        for part in held.iter_slices(ROWS_A_MERGE):
            tables.merge("exported", part)
    new = rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in EXPORTS.items()
    )
    tables.commit(
        "exports",
        lambda table: write_deltalake(
            table, arrow(new), mode="overwrite", schema_mode="overwrite", writer_properties=WRITER
        ),
    )


def _names(table: DeltaTable) -> list[str]:
    return [field.name for field in table.schema().fields]


def _columns(
    tables: Tables, table: DeltaTable, columns: list[str], path: str | None = None
) -> pl.DataFrame:
    """Columns of a table as it was, which `Tables.scan` does not know any more."""
    with tables.sentences("read", "exports"):
        filters = None if path is None else [("path", "=", path)]
        found = table.to_pyarrow_table(columns=columns, filters=filters)
        return pl.DataFrame(pl.from_arrow(found))


def _first_id(path: str, sha256: str | None) -> str:
    """An id that is the same when the step is done again after a kill."""
    return hashlib.sha256(f"{path}\0{sha256}".encode()).hexdigest()[:32]


# From a version to the next.
def _second(tables: Tables) -> None:
    """1 to 2."""
    _keys_of_exports(tables)
    _time_of_same(tables)


def _time_of_same(tables: Tables) -> None:
    """The checks say when a copy was last collected that told nothing new."""
    _add(tables, "checks", [Field("same_at", PrimitiveType("timestamp"))])


def _add(tables: Tables, name: str, columns: Sequence[Field]) -> None:
    """Give a table those of these columns that it has not; they are empty in its old rows."""
    if name not in tables.existing():
        return

    def add(table: DeltaTable) -> None:
        there = _names(table)
        new = [column for column in columns if column.name not in there]
        if new:
            table.alter.add_columns(new)

    tables.commit(name, add)


def _third(tables: Tables) -> None:
    """2 to 3: which collectors have brought a post gets a table of its own. Of what was stored
    before that nobody knows more than one, so it begins empty."""
    if "sightings" not in tables.existing():
        tables.create("sightings", tables.description(LAST))


def _fourth(tables: Tables) -> None:
    """3 to 4: the cells have counts of stance. Cells of tone hold none, so none changes."""
    _add(tables, "cells", [Field(name, PrimitiveType("long")) for name in CELL_STANCE])


STEPS: dict[int, Callable[[Tables], None]] = {1: _second, 2: _third, 3: _fourth}
