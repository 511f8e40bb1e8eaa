"""`aftershock collect`: every live collector that can run now; the others say why not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import cases.case as case_files
import collectors
from cases.case import Case
from cli.console import Stop, say
from cli.ingest import Unit, ingest
from collectors.settings import Settings
from store.tables import Store

NAMES = "AFTERSHOCK_"


def collect_all(
    store: Store, cases: Sequence[Case], names: Sequence[str] = ()
) -> tuple[list[Unit], list[str]]:
    """Run the collectors that can run, in their order, and store what they bring.

    Returns what came of each unit, and a line for each collector that cannot run.
    """
    settings = _settings()
    units: list[Unit] = []
    reasons: list[str] = []
    for name in names or collectors.COLLECTORS:
        reason = collectors.ready(name, settings)
        if reason is not None:
            reasons.append(reason)
            continue
        batches = collectors.load(name).collect(cases, store.known(), settings)
        units += ingest(store, cases, batches)
    return units, reasons


def _settings() -> Settings:
    credentials = {name: value for name, value in os.environ.items() if name.startswith(NAMES)}
    return Settings(cache=Path.home() / ".cache" / "aftershock", credentials=credentials)


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
