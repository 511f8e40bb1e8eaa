"""`aftershock import`: posts from files of any of the shapes people have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

import cases.case as case_files
from cases.case import Case
from cli.console import CONFIGURATION, FAILED, FINE, Stop, out, progress, say, say_json, warn
from cli.ingest import Unit, ingest
from cli.score import bots, rebuild
from cli.stance import wordless
from collectors import archive
from collectors.archive import ImportSettings, ShapeError
from store.schema import Batch
from store.tables import Store, Voices, Written


def import_files(
    files: Annotated[list[Path], typer.Argument(help="NDJSON, CSV or Parquet; plain, gzip, zstd.")],
    case: Annotated[
        str | None, typer.Option("--case", help="Only this case; without it, every case.")
    ] = None,
    take_all: Annotated[
        bool, typer.Option("--take-all", help="Every row belongs to the case, whatever it says.")
    ] = False,
    map_: Annotated[
        str, typer.Option("--map", help="Our columns from yours: text=body,at=created,...")
    ] = "",
    drop_text: Annotated[
        bool,
        typer.Option("--drop-text", help="Keep scores and figures, and nobody's words, for good."),
    ] = False,
    anew: Annotated[
        bool, typer.Option("--anew", help="Do not go on where this import was cut off.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Import posts from files. The queries of the cases decide what is kept."""
    if take_all and case is None:
        raise Stop(
            "--take-all needs --case NAME: it says to which case every row belongs.", CONFIGURATION
        )
    for file in files:
        if not file.is_file():
            what = "is a folder, not a file" if file.is_dir() else "is no file that can be read"
            found = f"{file} {what}" if file.exists() else f"No such file: {file}"
            raise Stop(f"{found}. Nothing was imported.")
    chosen = [case_files.get(case)] if case else list(case_files.load_all().values())
    store = Store.open()
    with progress() as bar:
        task = bar.add_task("importing", total=None, rows=0)

        def moved(done: int, total: int, rows: int) -> None:
            bar.update(task, completed=done, total=total, rows=rows)

        settings = ImportSettings(
            files=files,
            mapping=_mapping(map_),
            taken=take_all,
            progress=moved,
            # Submissions without words are known to this run only, so comments need all of them.
            anew=anew or drop_text,
        )
        batches = archive.collect(chosen, store.known(), settings)
        try:
            units = ingest(
                store, chosen, batches, write=_wordless(store, chosen) if drop_text else None
            )
        except ShapeError as error:
            raise Stop(str(error)) from error
        if drop_text:
            bar.update(task, description="building figures")
            rebuild(store)
    if as_json:
        say_json([_facts(unit) for unit in units])
    else:
        _report(units, scored=drop_text)
    broken = any(unit.reading.status in {"partial", "failed"} for unit in units)
    raise typer.Exit(FAILED if broken else FINE)


def _wordless(store: Store, chosen: list[Case]) -> Callable[[Batch, pl.DataFrame], Written]:
    """Writes a batch as scores and figures only."""
    voices = Voices()
    score = partial(wordless, cases=chosen, markers=bots(store))

    def write(batch: Batch, matches: pl.DataFrame) -> Written:
        return store.write_wordless(batch, matches, score, voices)

    return write


def _mapping(text: str) -> dict[str, str]:
    pairs = text.split(",") if text else []
    if any("=" not in pair for pair in pairs):
        raise Stop(
            f"--map {text}: each part has to read OURS=YOURS, as in --map text=body,at=created.",
            CONFIGURATION,
        )
    return {ours.strip(): yours.strip() for ours, yours in (pair.split("=", 1) for pair in pairs)}


def _facts(unit: Unit) -> dict[str, object]:
    return {
        "unit": unit.reading.unit,
        "source": unit.reading.source,
        "status": unit.reading.status,
        "rows": unit.reading.items,
        "kept": unit.kept,
        "new": unit.new,
        "gone": unit.gone,
        "bad": unit.bad,
        "bad_at": [{"place": bad.place, "reason": bad.reason} for bad in unit.bad_shown],
        "cases": dict(unit.by_case),
        "error": unit.reading.error,
    }


def _report(units: list[Unit], *, scored: bool) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("file", "source"):
        table.add_column(name)
    for name in ("rows read", "kept", "new", "deleted at source", "unreadable"):
        table.add_column(name, justify="right")
    for unit in units:
        numbers = (unit.reading.items, unit.kept, unit.new, unit.gone, unit.bad)
        table.add_row(unit.reading.unit, unit.reading.source, *(f"{n:,}" for n in numbers))
    out.print(table, markup=False)
    _details(units)
    wiped = sum(unit.wiped for unit in units)
    if wiped:
        say(f"{wiped:,} posts kept before were deleted at their source and are wiped here too.")
    if not sum(unit.kept for unit in units) and not wiped:
        say(
            "No row belongs to a case, so nothing was kept. `aftershock case test NAME` shows what "
            "a case looks for; --take-all with --case NAME keeps every row."
        )
    elif scored:
        say("Scored and counted; no words, names or addresses of these posts were stored.")
    elif wiped or sum(unit.new for unit in units):
        say("Next: aftershock score")
    else:
        say("Every row was in the store already.")


def _details(units: list[Unit]) -> None:
    """What belongs to which case, and what could not be read."""
    for unit in units:
        for name, count in sorted(unit.by_case.items()):
            say(f"{count:,} of {unit.reading.unit} belong to the case {name}.")
        for bad in unit.bad_shown:
            warn(f"{bad.place}: {bad.reason}")
        if unit.bad > len(unit.bad_shown):
            warn(f"... and {unit.bad - len(unit.bad_shown):,} more of {unit.reading.unit}.")
        if unit.reading.error:
            warn(unit.reading.error)
