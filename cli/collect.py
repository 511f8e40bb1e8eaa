"""`aftershock collect`: every live collector that can run now; the others say why not."""

from __future__ import annotations

import hashlib
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

import cases.case as case_files
import collectors
from analysis.coverage import READ
from cases.case import Case
from cli.console import CONFIGURATION, FAILED, FINE, TRY_LATER, say_json
from cli.halting import Halt, halting
from cli.ingest import BAD_SHOWN, Unit, ingest
from cli.settings import build
from cli.times import took
from cli.watching import log, watching
from collectors.errors import CollectorError, TryLaterError, UnfitError
from collectors.settings import Settings
from store.location import checkout
from store.schema import Batch
from store.tables import Store, StoreError

FOLLOWED = "bluesky-stream"  # the only source that can be read without an end
_WORST = (CONFIGURATION, TRY_LATER, FAILED, FINE)  # one exit code for all, in this order


@dataclass
class Outcome:
    """What came of one collector: its units, and why it did not run or ended early."""

    collector: str
    units: list[Unit] = field(default_factory=list)
    sentence: str = ""
    code: int = FINE
    ran: bool = False
    seconds: float = 0.0


def collect_each(
    store: Store,
    cases: Sequence[Case],
    settings: Settings,
    names: Sequence[str] = (),
    *,
    every: Sequence[Case] = (),
    halt: Halt | None = None,
) -> Iterator[Outcome]:
    """Run the collectors, in their order, store what they bring, and say of each what came of it.

    `every` are all cases, where `cases` are chosen ones: the stream is always read for all, since
    it has one cursor and what that has passed cannot be had again.

    A collector that stops with an error keeps no other from running; an error of the store ends
    all. One that cannot run counts as an error only when it was asked for by name.
    """
    for name in collectors.COLLECTORS:
        if names and name not in names:
            continue
        outcome = Outcome(name)
        reason = collectors.ready(name, settings)
        if reason is None and halt is not None and halt.why:
            outcome.sentence = f"{name}: not begun, out of time."
        elif reason is not None:
            outcome.sentence = _named(name, reason)
            outcome.code = CONFIGURATION if name in names else FINE
        else:
            wanted = (every or cases) if name == FOLLOWED else cases
            _run(outcome, store, wanted, settings, halt or Halt())
        yield outcome


def _run(
    outcome: Outcome, store: Store, cases: Sequence[Case], settings: Settings, halt: Halt
) -> None:
    begun = time.monotonic()
    name = outcome.collector
    try:
        with alone(name, store, settings.cache), watching(follow=settings.follow) as moved:
            outcome.ran = True
            told = replace(settings, progress=moved)
            batches = guarded(name, collectors.load(name).collect(cases, store.known(), told))
            ingest(store, cases, halt.through(batches), begun=outcome.units.append)
    except CollectorError as error:
        outcome.sentence = _named(name, str(error))
        outcome.code = code_of(error)
    outcome.seconds = time.monotonic() - begun
    if halt.why and not outcome.units and not outcome.sentence:
        outcome.sentence = f"{name}: {halt.why}, before the source had given anything."
    if outcome.code == FINE and any(unit.reading.status == "failed" for unit in outcome.units):
        outcome.code = FAILED


@contextmanager
def alone(name: str, store: Store, cache: Path) -> Iterator[None]:
    """Hold what keeps a second run of a collector into the same store off this machine.

    For the sake of the source, which would be asked everything twice; the store itself takes two
    writers. Raises TryLaterError when the other run is still under way.
    """
    folder = cache / "running"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = hashlib.sha256(store.location.encode()).hexdigest()[:16]
    lock = FileLock(folder / f"{name}-{place}.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise TryLaterError(
            f"{name}: another run of it into {store.location} is still under way, so this one"
            " leaves it to that. Nothing is lost."
        ) from None
    try:
        yield
    finally:
        lock.release()


def guarded(name: str, batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches of a collector; a mistake of its own becomes an error of this collector only.

    The sentence has the kind of the mistake and its place and never its words, which could be a
    post's.
    """
    try:
        yield from batches
    except (CollectorError, StoreError):
        raise
    except Exception as error:
        ours = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).parent.name in {"collectors", "store", "cases"}
            and Path(frame.filename).is_relative_to(checkout())
        ]
        # The store's errors, also those that come through `known`, are the same for everybody.
        if os.environ.get("AFTERSHOCK_DEBUG") or any(
            Path(frame.filename).parent.name == "store" for frame in ours
        ):
            raise
        place = f" in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
        raise CollectorError(
            f"{name}: stopped on a mistake of its own ({type(error).__name__}{place}). What was"
            " stored before is whole. Run it again with AFTERSHOCK_DEBUG=1 to see more,"
            " and report it."
        ) from error


def code_of(error: CollectorError) -> int:
    if isinstance(error, UnfitError):
        return CONFIGURATION
    return TRY_LATER if isinstance(error, TryLaterError) else FAILED


def _named(name: str, sentence: str) -> str:
    return sentence if sentence.startswith(name) else f"{name}: {sentence}"


def collect(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Collectors to run ({', '.join(collectors.COLLECTORS)}); without any, all that"
            " can run.",
            show_default=False,
        ),
    ] = None,
    case: Annotated[
        str | None,
        typer.Option("--case", help=f"Only this case; {FOLLOWED} is read for all the same."),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="First day (or UTC time) of history: 2025-05-01.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="First day (or UTC time) no longer in it.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="The most requests each collector may make.")
    ] = None,
    lookback: Annotated[
        str | None,
        typer.Option(
            help="Where a stream begins that was never read: 6h; 36h at most, 1h if unset."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help=f"Read {FOLLOWED} until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Bring in what is new on the sources that can be asked now."""
    asked = _asked(names or (), follow=follow)
    settings = build(since=since, until=until, budget=budget, lookback=lookback, follow=follow)
    every = list(case_files.load_all().values())
    chosen = [case_files.get(case)] if case else every
    store = Store.open()
    outcomes = []
    with halting(follow=follow) as halt:
        for outcome in collect_each(store, chosen, settings, asked, every=every, halt=halt):
            outcomes.append(outcome)
            if not as_json:
                report(outcome)
    if as_json:
        say_json([facts(outcome) for outcome in outcomes])
    elif any(unit.new or unit.wiped for outcome in outcomes for unit in outcome.units):
        log("Next: aftershock score")
    raise typer.Exit(min((one.code for one in outcomes), key=_WORST.index, default=FINE))


def _asked(names: Sequence[str], *, follow: bool) -> Sequence[str]:
    for name in names:
        if name not in collectors.COLLECTORS:
            raise typer.BadParameter(
                f"No collector is called {name}. There are: {', '.join(collectors.COLLECTORS)}."
            )
    if not follow:
        return names
    if set(names) - {FOLLOWED}:
        raise typer.BadParameter(
            f"--follow reads without an end, which only {FOLLOWED} can: "
            f"aftershock collect {FOLLOWED} --follow"
        )
    return (FOLLOWED,)


def report(outcome: Outcome, *, units: bool = True) -> None:
    """A line for each unit read, and one for the collector; what is wrong on standard error."""
    if units:
        for unit in outcome.units:
            log(f"{outcome.collector} {unit_line(unit)}")
            for bad in unit.bad_shown:
                log(f"{bad.place}: {bad.reason}", error=True)
            if unit.bad > len(unit.bad_shown):
                log(f"Only the first {BAD_SHOWN} unreadable records are named.", error=True)
    if outcome.ran:
        log(collector_line(outcome))
    if outcome.sentence:
        log(outcome.sentence, error=outcome.code != FINE)


def unit_line(unit: Unit) -> str:
    """What came of a unit, and always why it ended where it did."""
    reading = unit.reading
    counts = [f"{reading.items:,} read", f"{unit.kept:,} kept", f"{unit.new:,} new"]
    counts += [f"{unit.wiped:,} deleted at the source"] if unit.wiped else []
    counts += [f"{unit.bad:,} unreadable"] if unit.bad else []
    # A unit that is still open was cut off by the error that the collector's own sentence tells.
    end = "cut off" if reading.status == "running" else reading.status
    why = reading.stop_reason or reading.error
    name = f'"{reading.unit}"' if " " in reading.unit else reading.unit
    said = f"{name}: {', '.join(counts)}; {end}{': ' if why else ''}{why}"
    if reading.status in READ and reading.observed_from and reading.observed_to:
        # By this run and, for a search, those before it without a break.
        said += f"; read in full: {_time(reading.observed_from)} to {_time(reading.observed_to)}"
    return said


def collector_line(outcome: Outcome) -> str:
    """What came of a collector as a whole."""
    units = outcome.units
    read = sum(unit.reading.items for unit in units)
    kept, new = sum(unit.kept for unit in units), sum(unit.new for unit in units)
    short = [unit for unit in units if unit.reading.status != "done"]
    left = f"; {len(short):,} of {len(units):,} not read to the end" if short else ""
    return (
        f"{outcome.collector}: {read:,} read, {kept:,} kept, {new:,} new in "
        f"{took(outcome.seconds)}{left}"
    )


def _time(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M}"


def facts(outcome: Outcome) -> dict[str, object]:
    """The same for machines."""
    return {
        "collector": outcome.collector,
        "ran": outcome.ran,
        "code": outcome.code,
        "sentence": outcome.sentence,
        "seconds": round(outcome.seconds, 1),
        "units": [
            {
                "unit": unit.reading.unit,
                "source": unit.reading.source,
                "status": unit.reading.status,
                "stop_reason": unit.reading.stop_reason,
                "gap": unit.reading.gap,
                "error": unit.reading.error,
                "observed_from": unit.reading.observed_from,
                "observed_to": unit.reading.observed_to,
                "read": unit.reading.items,
                "kept": unit.kept,
                "new": unit.new,
                "gone": unit.gone,
                "wiped": unit.wiped,
                "bad": unit.bad,
                "pages": unit.reading.pages,
                "bytes": unit.reading.bytes,
                "cases": dict(unit.by_case),
            }
            for unit in outcome.units
        ],
    }
