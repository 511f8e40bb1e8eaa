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

import polars as pl
import typer
from deltalake.exceptions import DeltaError

from cases.case import CaseError
from cli.backup import backup, restore
from cli.case import app as case_app
from cli.collect import collect
from cli.console import CONFIGURATION, FAILED, FINE, TRY_LATER, Stop, say, warn
from cli.dashboard import dashboard, demo
from cli.doctor import doctor
from cli.export import app as export_app
from cli.files import import_files
from cli.forget import forget
from cli.maintain import maintain
from cli.quiet import without_panics
from cli.recheck import recheck
from cli.run import run
from cli.schedule import app as schedule_app
from cli.score import score
from cli.setup import setup
from cli.stance_app import app as stance_app
from cli.status import status
from store.faults import panicked, said
from store.location import store_location
from store.tables import StoreBusy, StoreError, StoreUnfit

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
MISTYPED = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
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
app.command()(setup)
app.command()(run)
app.command()(collect)
app.command("import")(import_files)
app.command()(score)
app.add_typer(export_app, name="export")
app.add_typer(stance_app, name="stance")
app.command()(dashboard)
app.command()(demo)
app.add_typer(case_app, name="case")
app.add_typer(schedule_app, name="schedule")
app.command()(status)
app.command()(recheck)
app.command()(maintain)
app.command()(forget)
app.command()(backup)
app.command()(restore)
app.command()(doctor)


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
    with without_panics():
        code = _run()
    sys.exit(code)


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
    except BaseException as error:
        if isinstance(error, (SystemExit, GeneratorExit)) or os.environ.get("AFTERSHOCK_DEBUG"):
            raise
        warn(_sentence(error))
        return _code(error)
    if code == INTERRUPTED:  # Typer makes an exit of Ctrl-C before it comes here
        return _stopped()
    return int(code) if isinstance(code, int) else FINE


def _stopped() -> int:
    warn("Stopped. What was stored before stays; run the same command again to go on.")
    return INTERRUPTED


def _code(error: BaseException) -> int:
    if isinstance(error, StoreBusy):
        return TRY_LATER
    closed = isinstance(error, OSError) and error.errno in _CLOSED
    return CONFIGURATION if closed or isinstance(error, (CaseError, StoreUnfit)) else FAILED


def _sentence(error: BaseException) -> str:
    if isinstance(error, (CaseError, StoreError)):
        return str(error)
    library = isinstance(error, OSError) and error.errno is None and "os error" in str(error)
    if isinstance(error, OSError) and not library:
        place = f"{error.filename}: " if error.filename else ""
        what = f"{place}{error.strerror or error}."
        if error.errno in _FULL:
            what = f"{place}the disk is full. Free some space, then run the same command again."
        elif error.errno in _CLOSED:
            what += " Give this user access to it, or name another place."
        return what
    if library or isinstance(error, (DeltaError, pl.exceptions.PolarsError)) or panicked(error):
        return str(said(error, store_location(), "read"))
    return (
        f"Aftershock stopped on a mistake of its own ({type(error).__name__}: {error}). What was"
        " stored before is whole. Run the command again with AFTERSHOCK_DEBUG=1 to see where, and"
        " report it."
    )
