"""`aftershock doctor`: is the store whole? With --repair, mends what can be mended."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from analysis import series
from cli.console import FAILED, FINE, out, progress, say, say_json
from store.doctor import SAMPLE, Doctor
from store.findings import Finding, problems

BACKUP = "Cannot be mended here: restore a backup (aftershock restore FILE)."


def doctor(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended, after saying what.")
    ] = False,
    sample: Annotated[
        int, typer.Option(min=0, help="How many weeks' figures to count again and compare.")
    ] = SAMPLE,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only logs and the ends of files; reads no rows.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Check that the store is whole: logs, files, rows and figures. Changes nothing by itself."""
    patient = Doctor()
    found = _examine(patient, sample=sample, quick=quick)
    if not as_json:
        _show(found)
    done: list[tuple[Finding, str]] = []
    left = found
    if repair and any(finding.repair for finding in problems(found)):
        if not as_json:
            say("Mending ...")
        done = patient.repair(series.cells)
        left = _examine(patient, sample=sample, quick=False)
    if as_json:
        say_json(
            {
                "healthy": not problems(left),
                "found": [asdict(finding) for finding in found],
                "repaired": [asdict(finding) | {"done": what} for finding, what in done],
                "left": [asdict(finding) for finding in left] if repair else None,
            }
        )
    else:
        _conclude(patient, found, done, left, repair=repair, quick=quick)
    raise typer.Exit(FAILED if problems(left) else FINE)


def _examine(patient: Doctor, *, sample: int, quick: bool) -> list[Finding]:
    with progress() as bar:
        task = bar.add_task("looking", total=None, rows=0)

        def moved(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"looking at {what}", completed=done, total=total)

        return patient.examine(series.cells, sample=sample, quick=quick, progress=moved)


def _show(found: list[Finding]) -> None:
    wrong = problems(found)
    if wrong and out.is_terminal:
        table = Table(box=None, pad_edge=False)
        for name in ("table", "where", "what is wrong", "with --repair"):
            table.add_column(name, overflow="fold")
        for finding in wrong:
            table.add_row(finding.table, finding.where, finding.what, finding.repair or BACKUP)
        # Not wrapped softly as lines are: sentences break within their columns.
        out.print(table, markup=False, soft_wrap=False)
    elif wrong:  # a file or a mail from cron: whole sentences, a line each
        for finding in wrong:
            say(f"{_place(finding)}: {finding.what} {finding.repair or BACKUP}")
    for finding in found:
        if finding.note:
            say(f"Note on {finding.table}: {finding.what}")


def _conclude(
    patient: Doctor,
    found: list[Finding],
    done: list[tuple[Finding, str]],
    left: list[Finding],
    *,
    repair: bool,
    quick: bool,
) -> None:
    place = patient.tables.location
    for text in dict.fromkeys(f"{_place(finding)}: {what}" for finding, what in done):
        say(text)
    wrong = problems(left)
    if not wrong:
        looked = "Logs and files" if quick and not done else "Logs, files, rows and figures"
        say(f"{looked} of {place} are whole{' again' if done else ''}.")
        if quick and not done:
            say("Rows were not read; `aftershock doctor` without --quick does.")
        return
    if done:
        say("What is left:")
        _show(wrong)
    mendable = sum(1 for finding in wrong if finding.repair)
    if mendable and not repair:
        say(
            f"{mendable:,} of {len(wrong):,} can be mended: aftershock doctor --repair. What is"
            " lost for good is said above; a backup restored instead (aftershock restore FILE)"
            " brings it back as far as the backup reaches."
        )
    else:
        say(f"{len(wrong):,} cannot be mended. Restore a backup: aftershock restore FILE")


def _place(finding: Finding) -> str:
    return f"{finding.table} ({finding.where})" if finding.where else finding.table
