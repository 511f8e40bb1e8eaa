"""`aftershock maintain`: keeps the store small, and clears wiped text off the disk."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.console import say, say_json, warn
from store.tables import Store


def maintain(
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Clear wiped text off the disk now, not an hour later; waits for writers.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Compact the tables, drop old files and wipe posts hidden for more than 30 days."""
    store = Store.open(create=False)
    figures = store.maintain(purge=purge)
    for sentence in store.set_aside():
        warn(sentence)
    ended = store.expire_backups()
    if as_json:
        say_json(
            figures
            | {"backups_deleted": list(ended.deleted), "backups_missing": list(ended.missing)}
        )
        return
    for name, value in figures.items():
        say(
            f"{name.replace('_', ' ')}: {value:,}" if isinstance(value, int) else f"{name}: {value}"
        )
    for path in ended.deleted:
        say(f"backup deleted, its time was over: {path}")
    for path in ended.missing:
        say(
            f"backup not found, its time is over: {path}. If you moved or copied it, delete it: it"
            " holds what has been deleted at its source since."
        )
