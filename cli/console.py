"""What every command shares: the consoles, exit codes, and how an error becomes a sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

FINE = 0
FAILED = 1
TRY_LATER = 75  # EX_TEMPFAIL: cron may simply run it again
CONFIGURATION = 78  # EX_CONFIG: a person has to change something

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Stop(Exception):  # noqa: N818 - a command ends with it; it need not be an error
    """Ends a command with a sentence for the person who must act, and an exit code."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def say(text: str) -> None:
    """Print a line as it stands: brackets in it are no markup."""
    out.print(text, markup=False)


def warn(text: str) -> None:
    """Print a line on standard error as it stands."""
    err.print(text, markup=False)


def say_json(value: Any) -> None:
    """Print a value as JSON for machines, times in ISO 8601."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


@contextmanager
def transfer(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar in bytes on standard error; call what it gives with bytes done and in all."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class Rate(ProgressColumn):
    """Rows a second, once there is something to divide."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def render(self, task: Task) -> Text:
        """Rows so far and rows/s over the time the task has run."""
        rows = int(task.fields.get("rows", task.completed))
        elapsed = task.elapsed or 0
        rate = f"{rows / elapsed:,.0f}" if elapsed > 0 and rows else "-"
        return Text(f"{rows:,} {self._what}, {rate} {self._what}/s")


def progress(*, counted: bool = False, what: str = "rows") -> Progress:
    """A progress bar on standard error with rows/s and time left; silent when not a terminal.

    `counted` shows n of N instead of a share, for work whose total is rows.
    """
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    if counted:
        columns.append(MofNCompleteColumn())
    return Progress(
        *columns,
        Rate(what),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
