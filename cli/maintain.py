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
    if as_json:
        say_json(figures)
        return
    for name, value in figures.items():
        say(
            f"{name.replace('_', ' ')}: {value:,}" if isinstance(value, int) else f"{name}: {value}"
        )
