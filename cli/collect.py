"""`aftershock collect`: every live collector that can run now; the others say why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import polars as pl
import typer

import cases.case as case_files
import collectors
from cases.case import Case
from cli.console import Stop, say
from cli.ingest import Unit, ingest
from store.tables import Store


def collect_all(
    store: Store, cases: Sequence[Case], names: Sequence[str] = ()
) -> tuple[list[Unit], list[str]]:
    """Run the collectors that can run, in their order, and store what they bring.

    Returns what came of each unit, and a line for each collector that cannot run.
    """
    units: list[Unit] = []
    reasons: list[str] = []
    for name in names or collectors.COLLECTORS:
        reason = collectors.ready(name)
        if reason is not None:
            reasons.append(reason)
            continue
        cursor = _cursor(store, name)
        batches = collectors.load(name).collect(cases, cursor, store.known(), None)
        units += ingest(store, cases, batches, cursor=cursor)
    return units, reasons


def _cursor(store: Store, name: str) -> str | None:
    """The cursor that the collector's last finished or killed run had reached."""
    row = store.read(
        lambda: (
            store.scan("runs")
            .filter(pl.col("collector") == name, pl.col("cursor_after").is_not_null())
            .sort("started_at")
            .last()
            .select("cursor_after")
        )
    )
    return None if row.is_empty() else str(row.item())


def collect(
    names: Annotated[
        list[str] | None, typer.Argument(help="Collectors to run; without any, all of them.")
    ] = None,
    case: Annotated[str | None, typer.Option("--case", help="Only this case.")] = None,
) -> None:
    """Bring in what is new on the sources that can be asked now."""
    unknown = [name for name in names or () if name not in collectors.COLLECTORS]
    if unknown:
        raise Stop(
            f"No collector is called {unknown[0]}. There are: {', '.join(collectors.COLLECTORS)}."
        )
    chosen = [case_files.get(case)] if case else list(case_files.load_all().values())
    for line in report(*collect_all(Store.open(), chosen, names or ())):
        say(line)


def report(units: Sequence[Unit], reasons: Sequence[str]) -> list[str]:
    """A line for each unit read, and one for each collector that could not run."""
    lines = [
        f"{unit.collector} {unit.reading.unit}: {unit.reading.items:,} read, {unit.kept:,} kept, "
        f"{unit.new:,} new"
        for unit in units
    ]
    return [*lines, *reasons]
