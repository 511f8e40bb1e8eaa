"""`aftershock run`: the main job. Collect, score, and show the dashboard."""

from __future__ import annotations

import polars as pl

import cases.case as case_files
from cli.collect import collect_all, report
from cli.console import say
from cli.dashboard import Port, show
from cli.demo import open_demo
from cli.score import score_store, summary
from store.tables import Store


def run(port: Port = 8501) -> None:
    """Collect with what can run now, score, and serve the dashboard.

    While the store is empty and nothing comes in, the demo is shown in its place.
    """
    store = Store.open()
    units, reasons = collect_all(store, list(case_files.load_all().values()))
    for line in report(units, reasons):
        say(line)
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
