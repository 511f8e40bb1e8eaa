"""`aftershock schedule show`: crontab lines for this checkout, to be read before they are used."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer
from store.location import store_location

from cli.console import say

app = typer.Typer(no_args_is_help=True, help="Run the collectors regularly with cron.")


@app.callback()
def _group() -> None:
    pass


def lines(command: Path, store: str, log: Path) -> list[str]:
    """Crontab lines with absolute paths, since cron knows neither our folder nor our PATH."""
    run = shlex.quote(str(command))
    to = shlex.quote(str(log))
    return [
        f"AFTERSHOCK_STORE={store}",
        f"*/15 * * * * {run} collect >> {to} 2>&1 && {run} score >> {to} 2>&1",
        f"40 3 * * * {run} maintain >> {to} 2>&1",
    ]


@app.command()
def show() -> None:
    """Print crontab lines that collect and score every 15 minutes and maintain nightly."""
    say("# Aftershock. Add these lines with: crontab -e")
    command = Path(sys.argv[0]).resolve()
    for line in lines(command, store_location(), command.parents[2] / "aftershock.log"):
        say(line)
