"""`aftershock run`: the main job. Collect for a minute, score, and show the dashboard."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

import cases.case as case_files
from cli.collect import collect_each, report
from cli.console import Stop, say, warn
from cli.dashboard import Port, show
from cli.demo import open_demo
from cli.halting import halting
from cli.score import score_store, summary
from cli.settings import build
from store.tables import Store

# Somebody waits for the dashboard: what is left is said, and `aftershock collect` goes on with it.
SECONDS = 60.0
BUDGET = 40  # requests to a search, which takes a few a second


def run(port: Port = 8501) -> None:
    """Collect with what can run now for a minute at most, score, and serve the dashboard.

    While the store is empty and nothing comes in, the demo is shown in its place.
    """
    store = Store.open()
    _collect(store)
    if not store.read(lambda: store.scan("posts").select(pl.len())).item():
        say(
            f"The store at {store.location} is empty, so here is the demo: invented posts, never "
            "mixed with real ones. Bring in real posts with: .venv/bin/aftershock import FILE"
        )
        show(open_demo()[0], port)
        return
    for line in summary(score_store(store)):
        say(line)
    show(store, port)


def _collect(store: Store) -> None:
    try:
        settings = replace(build(), budget=BUDGET)
    except Stop as stop:
        warn(f"Nothing was collected. {stop}")
        return
    left = False
    with halting(seconds=SECONDS) as halt:
        for outcome in collect_each(
            store, list(case_files.load_all().values()), settings, halt=halt
        ):
            report(outcome, units=False)
            left |= any(unit.reading.status == "partial" for unit in outcome.units)
    if left or halt.why:
        say("What was left out comes with: .venv/bin/aftershock collect")
