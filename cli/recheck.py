"""`aftershock recheck`: ask the sources again about what is kept, and let go what is gone there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

import cases.case as case_files
from cli.collect import Outcome, alone, code_of, facts, guarded
from cli.console import CONFIGURATION, FAILED, FINE, TRY_LATER, say_json
from cli.ingest import ingest
from cli.settings import build
from cli.times import took
from cli.watching import log, watching
from collectors.errors import CollectorError
from collectors.settings import Settings
from store.schema import Batch
from store.tables import Store

SOURCES = ("bluesky", "reddit")
COLLECTOR = "recheck"
_WORST = (CONFIGURATION, TRY_LATER, FAILED, FINE)


def recheck(
    source: Annotated[
        str | None, typer.Option("--source", help="Only this source; without it, every one.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="The most requests to each source.")
    ] = None,
    many_gone: Annotated[
        bool, typer.Option("--many-gone", help="It is right that most posts are gone there.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Ask about the posts that are kept: deleted ones are wiped, edits and counts brought in."""
    if source is not None and source not in SOURCES:
        raise typer.BadParameter(f"No source is called {source}. There are: {', '.join(SOURCES)}.")
    # The libraries of the sources take a second to import, which no other command has to wait for.
    from collectors import recheck as rechecks  # noqa: PLC0415

    settings = build(budget=budget)
    store = Store.open(create=False)
    outcomes = []
    for name in [source] if source else SOURCES:
        reason = rechecks.ready(name, settings)
        if reason is not None:
            code = CONFIGURATION if name == source else FINE
            outcomes.append(Outcome(f"{COLLECTOR} {name}", sentence=reason, code=code))
        else:
            asking = partial(rechecks.collect, name, store.known(), many_gone=many_gone)
            outcomes.append(_run(store, name, settings, asking))
        if not as_json:
            _report(name, outcomes[-1])
    if as_json:
        say_json([facts(outcome) for outcome in outcomes])
    raise typer.Exit(min((one.code for one in outcomes), key=_WORST.index, default=FINE))


def _run(
    store: Store, name: str, settings: Settings, asking: Callable[[Settings], Iterator[Batch]]
) -> Outcome:
    outcome = Outcome(f"{COLLECTOR} {name}")
    begun = time.monotonic()
    try:
        with alone(f"{COLLECTOR}-{name}", store, settings.cache), watching() as moved:
            outcome.ran = True
            told = replace(settings, progress=moved)
            batches = guarded(outcome.collector, asking(told))
            cases = list(case_files.load_all().values())
            ingest(store, cases, batches, begun=outcome.units.append)
    except CollectorError as error:
        outcome.sentence = str(error)
        outcome.code = code_of(error)
    outcome.seconds = time.monotonic() - begun
    return outcome


def _report(name: str, outcome: Outcome) -> None:
    for unit in outcome.units:
        reading = unit.reading
        parts = [f"{reading.items:,} posts asked about in {took(outcome.seconds)}"]
        parts += [f"{unit.wiped:,} gone there and wiped here"] if unit.wiped else []
        parts += [f"{unit.bad:,} unreadable"] if unit.bad else []
        why = f" ({reading.stop_reason})" if reading.status == "partial" else ""
        log(f"recheck {name}: {', '.join(parts)}{why}")
    if outcome.sentence:
        log(f"recheck {name}: {outcome.sentence}", error=outcome.code != FINE)
