"""The `aftershock` command: puts the commands together and turns errors into sentences.

Exit codes: 0 fine, 1 failed, 2 a mistyped command, 75 try again later, 78 configuration.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib.metadata import version
from typing import Any

import typer

from cases.case import CaseError
from cli.case import app as case_app
from cli.collect import collect
from cli.console import CONFIGURATION, FAILED, FINE, TRY_LATER, Stop, say, warn
from cli.dashboard import dashboard, demo
from cli.export import app as export_app
from cli.files import import_files
from cli.maintain import maintain
from cli.run import run
from cli.schedule import app as schedule_app
from cli.score import score
from store.faults import StoreUnfit
from store.tables import StoreBusy, StoreError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
MISTYPED = 2
# Typer carries a click of its own and shows only this subclass of its base of usage errors.
USAGE_ERROR: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="aftershock",
    help="Measures the public backlash when a platform changes its AI policy.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(collect)
app.command("import")(import_files)
app.command()(score)
app.add_typer(export_app, name="export")
app.command()(dashboard)
app.command()(demo)
app.add_typer(case_app, name="case")
app.add_typer(schedule_app, name="schedule")
app.command()(maintain)


def _version(value: bool) -> None:
    if value:
        say(f"aftershock {version('aftershock')}")
        raise typer.Exit


@app.callback()
def _options(
    _: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line and exit with its code. Set AFTERSHOCK_DEBUG=1 to see tracebacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # French has to get through an ASCII terminal
            stream.reconfigure(errors="backslashreplace")
    sys.exit(_run())


def _run() -> int:  # noqa: PLR0911 - one return for each way a command ends
    try:
        code = app(standalone_mode=False)
    except Stop as stop:
        if str(stop):
            warn(str(stop))
        return stop.code
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except USAGE_ERROR as error:
        error.show()
        return MISTYPED
    except BrokenPipeError:  # the reader of our output, head for instance, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except (CaseError, StoreBusy, StoreError, OSError) as error:
        if os.environ.get("AFTERSHOCK_DEBUG"):
            raise
        warn(_sentence(error))
        if isinstance(error, (CaseError, StoreUnfit)):
            return CONFIGURATION
        return TRY_LATER if isinstance(error, StoreBusy) else FAILED
    if code == INTERRUPTED:  # Typer makes an exit of Ctrl-C before it comes here
        return _stopped()
    return int(code) if isinstance(code, int) else FINE


def _stopped() -> int:
    warn("Stopped. What was stored before stays; run the same command again to go on.")
    return INTERRUPTED


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        if error.errno == errno.ENOSPC:
            return f"{place}the disk is full. Free some space, then run the same command again."
        return f"{place}{error.strerror or error}."
    return str(error)
