"""What the doctor says of a store: one finding for each thing that is wrong, or worth knowing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Finding:
    """One thing the doctor found.

    `kind` is a short name for machines; `where` a file, a log entry, a day or nothing; `what` a
    sentence without its place; `repair` what `--repair` does about it, empty when nothing can be
    done here. A note is no problem: it says what is worth knowing. `days` are the partition values
    concerned, `rows` how many rows.
    """

    table: str
    kind: str
    what: str
    where: str = ""
    repair: str = ""
    note: bool = False
    rows: int = 0
    days: tuple[date, ...] = ()


def problems(found: list[Finding]) -> list[Finding]:
    """Those findings that are problems."""
    return [finding for finding in found if not finding.note]
