"""`aftershock export`: posts and series of a case to CSV or Parquet, a manifest beside each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, cast

import polars as pl
import typer

import cases.case as case_files
from analysis import backlash, calibration, coverage, sides
from analysis.series import COLUMNS, INTERVAL_NOTE, cells_of, compact
from analysis.table import STEPS, series_table
from analysis.tone import RAW, SCORER
from cases.case import Case
from cli.console import CONFIGURATION, Stop, say, say_json, warn
from cli.demo import open_demo
from cli.times import instant
from store import export as files
from store.tables import Store

app = typer.Typer(no_args_is_help=True, help="Write posts or series of a case to a file.")


VIA = (
    "own: the post's own text matches the query; taken: its file was taken whole, whatever the "
    "query says; thread: only its thread's root or the post it quotes matches. Series hold own and "
    "taken."
)
A_MONDAY = datetime(2001, 1, 1, tzinfo=UTC)
EARLIEST = datetime(2005, 1, 1, tzinfo=UTC)  # before either platform


class Source(StrEnum):
    """The platforms."""

    bluesky = "bluesky"
    reddit = "reddit"


class Bucket(StrEnum):
    """The widths of a series; weeks begin on Monday."""

    hour = "hour"
    six_hours = "6h"
    day = "day"
    week = "week"


CaseName = Annotated[str, typer.Option("--case", help="The case, by the name of its file.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="FILE.csv or FILE.parquet.")]
Since = Annotated[str | None, typer.Option(help="First day (or UTC time) in it: 2025-05-01.")]
Until = Annotated[str | None, typer.Option(help="First day (or UTC time) no longer in it.")]
Sources = Annotated[list[Source] | None, typer.Option("--source", help="Only this platform.")]
Langs = Annotated[list[str] | None, typer.Option("--lang", help="Only this detected language.")]
Json = Annotated[bool, typer.Option("--json", help="Say what was written as JSON.")]
Demo = Annotated[bool, typer.Option("--demo", help="From the demo's invented posts.")]


@app.command()
def posts(
    case: CaseName,
    output: Output,
    since: Since = None,
    until: Until = None,
    source: Sources = None,
    lang: Langs = None,
    share: Annotated[
        bool,
        typer.Option("--share", help="For passing on: no text, link or author, times to the hour."),
    ] = False,
    demo: Demo = False,
    as_json: Json = False,
) -> None:
    """The posts of a case with text, link and scores."""
    store, chosen = _open(case, demo=demo)
    window = _window(since, until)
    sources = [item.value for item in source] if source else None
    manifest = _manifest(store, chosen, "posts", window, sources, lang, share=share)
    manifest["raw_scorer"] = RAW
    manifest["stance_note"] = _stance_note(store, chosen, window)
    write = partial(
        files.write_posts,
        store,
        output,
        manifest,
        case=chosen.name,
        query_hash=chosen.query_hash,
        scorer=SCORER,
        raw=RAW,
        stance=sides.SCORER,
        sources=sources,
        langs=lang,
        share=share,
        **window,
    )
    _finish(store, chosen, write, manifest, as_json=as_json)


@app.command()
def series(
    case: CaseName,
    output: Output,
    bucket: Bucket = Bucket.day,
    since: Since = None,
    until: Until = None,
    source: Sources = None,
    lang: Langs = None,
    share: Annotated[
        bool, typer.Option("--share", help="The same: a series holds nobody's words.")
    ] = False,
    demo: Demo = False,
    as_json: Json = False,
) -> None:
    """The series of a case: tone and stance in counts and shares, pooled and by platform."""
    store, chosen = _open(case, demo=demo)
    window = _window(since, until)
    for name, text in (("since", since), ("until", until)):
        _on_boundary(f"--{name} {text}", window[name], bucket.value)
    sources = [item.value for item in source] if source else None
    store.rebuild(cells_of, compact=compact)  # never figures of yesterday's posts
    widths = {"day", bucket.value}  # the fixed weights are made of days
    cells = store.read(
        lambda: (
            store.scan("cells")
            .filter(
                pl.col("case") == chosen.name,
                pl.col("query_hash") == chosen.query_hash,
                pl.col("scorer").is_in([SCORER, sides.SCORER]),
                pl.col("width").is_in(widths),
            )
            .select(COLUMNS)
        )
    )
    of_stance = pl.col("scorer") == sides.SCORER
    runs = store.read(lambda: store.scan("runs"))
    spans = coverage.spans(
        runs, case=chosen.name, query_hash=chosen.query_hash, asked=coverage.asked(chosen)
    )
    frame = series_table(
        cells.filter(~of_stance),
        spans,
        width=bucket.value,
        sources=sources,
        langs=lang,
        since=window["since"],
        until=window["until"],
    )
    note = _stance_note(store, chosen, window)
    if not frame.is_empty():
        frame = backlash.beside(
            frame,
            cells.filter(of_stance),
            spans,
            width=bucket.value,
            figured=calibration.languages(store.labelled(SCORER)),
            note=note,
            langs=lang,
            since=window["since"],
            until=window["until"],
        )
    if store.demo:
        frame = frame.with_columns(note=pl.lit(files.DEMO_NOTE))
    manifest = _manifest(store, chosen, "series", window, sources, lang, share=share)
    manifest["filters"]["bucket"] = bucket.value
    manifest["interval"] = INTERVAL_NOTE
    manifest["stance_note"] = note

    def write() -> files.Written | None:
        return None if frame.is_empty() else files.write(store, frame, output, manifest)

    _finish(store, chosen, write, manifest, as_json=as_json)


def _on_boundary(option: str, edge: datetime | None, bucket: str) -> None:
    """A series has whole buckets only: an edge inside one would leave posts out, or let them in."""
    if edge is None:
        return
    step = STEPS[bucket]
    before = edge - (edge - A_MONDAY) % step
    if before != edge:
        form = "%Y-%m-%d" if step >= STEPS["day"] else "%Y-%m-%dT%H:%MZ"
        raise Stop(
            f"{option} lies inside of a bucket of one {bucket}. The nearest edges of buckets are "
            f"{before:{form}} and {before + step:{form}} (UTC; weeks begin on Monday).",
            CONFIGURATION,
        )


def _open(name: str, *, demo: bool) -> tuple[Store, Case]:
    if demo:
        store, case = open_demo()
        if name != case.name:
            raise Stop(f"The demo has one case: --demo --case {case.name}.", CONFIGURATION)
        return store, case
    case = case_files.get(name)
    return Store.open(create=False), case


def _window(since: str | None, until: str | None) -> dict[str, datetime | None]:
    window = {"since": instant(since, "--since"), "until": instant(until, "--until")}
    if window["since"] and window["until"] and window["since"] >= window["until"]:
        raise Stop(f"--since {since} is not before --until {until}.", CONFIGURATION)
    return window


def _manifest(
    store: Store,
    case: Case,
    kind: str,
    window: dict[str, datetime | None],
    sources: list[str] | None,
    langs: list[str] | None,
    *,
    share: bool,
) -> dict[str, Any]:
    runs = store.read(lambda: store.scan("runs"))
    spans = coverage.spans(
        runs, case=case.name, query_hash=case.query_hash, asked=coverage.asked(case)
    )
    matches = store.read(
        lambda: (
            store.scan("matches")
            .filter(pl.col("case") == case.name, pl.col("query_hash") == case.query_hash)
            .group_by("via")
            .len()
            .sort("via")
        )
    )
    via = dict(matches.iter_rows())
    gaps = coverage.gaps(
        spans, since=window["since"] or EARLIEST, until=window["until"] or datetime.now(UTC)
    )
    if sources is not None:
        gaps = gaps.filter(pl.col("source").is_in(sources))
    return {
        "case": case.name,
        "query": case.query_text,
        "query_hash": case.query_hash,
        "kind": kind,
        "share": share,
        "filters": {
            "since": window["since"],
            "until": window["until"],
            "sources": sources,
            "langs": langs,
        },
        "scorer": SCORER,
        "stance_scorer": sides.SCORER,
        "scorer_python": _pythons(store, window),
        "aftershock": version("aftershock"),
        "coverage": coverage.percent(_coverage(spans, sources, window)),
        "coverage_gaps": gaps.to_dicts(),
        "case_posts_by_via": via,
        "via": VIA,
        "waiting_for_a_score": store.waiting(case.name, case.query_hash, SCORER),
        "waiting_for_a_stance": store.waiting(case.name, case.query_hash, sides.SCORER),
    }


def _stance_note(store: Store, case: Case, window: dict[str, datetime | None]) -> str:
    """What has to be said of the stance of this window; without ends, of all the time there is."""
    labels = store.labelled(SCORER).filter(pl.col("case") == case.name)
    until = window["until"] or datetime.now(UTC)
    return calibration.note(labels, (window["since"] or EARLIEST, until))


def _pythons(store: Store, window: dict[str, datetime | None]) -> list[str]:
    """The minor versions of Python that the scores of the window follow (sums are rounded in
    another way from 3.12 on)."""
    kept = [pl.col("scorer") == SCORER, pl.col("compound").is_not_null()]
    if since := window["since"]:
        kept.append(pl.col("day") >= since.date())
    if until := window["until"]:
        kept.append(pl.col("day") <= until.date())
    found = store.read(lambda: store.scan("scores").filter(*kept).select(pl.col("python").unique()))
    return sorted(found["python"].drop_nulls())


def _coverage(
    spans: pl.DataFrame, sources: list[str] | None, window: dict[str, datetime | None]
) -> float | None:
    """Coverage of the window, by default from the first to the last hour the ledger knows."""
    known = spans if sources is None else spans.filter(pl.col("source").is_in(sources))
    if known.is_empty():
        return None
    return coverage.coverage(
        known,
        sources=sources or known["source"].unique().to_list(),
        since=window["since"] or cast(datetime, known["start"].min()),
        until=window["until"] or cast(datetime, known["end"].max()),
    )


def _finish(
    store: Store,
    case: Case,
    write: Callable[[], files.Written | None],
    manifest: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    try:
        written = write()
    except ValueError as error:
        raise Stop(str(error), CONFIGURATION) from error
    if written is None:
        raise Stop(_why_empty(store, case))
    if as_json:
        say_json(
            {
                "file": str(written.path),
                "manifest": str(written.manifest),
                "rows": written.rows,
                "sha256": written.sha256,
            }
        )
        return
    say(f"{written.rows:,} rows written to {written.path}; what they are: {written.manifest}")
    if manifest["waiting_for_a_score"]:
        warn(
            f"{manifest['waiting_for_a_score']:,} posts of the case wait for a score and are in no "
            "figure. Run: aftershock score"
        )
    if manifest["waiting_for_a_stance"]:
        warn(
            f"{manifest['waiting_for_a_stance']:,} posts of the case wait for a stance and are in"
            " no figure of stance. Run: aftershock score"
        )
    if manifest["case_posts_by_via"].get("taken"):
        say(
            f"{manifest['case_posts_by_via']['taken']:,} posts of the case were taken whole from "
            "files, whatever the query says."
        )
    if manifest["kind"] == "posts" and not manifest["share"]:
        say(files.DUTY)


def _why_empty(store: Store, case: Case) -> str:
    matches = store.read(
        lambda: (
            store.scan("matches").filter(pl.col("case") == case.name).group_by("query_hash").len()
        )
    )
    held = dict(matches.iter_rows())
    if held.get(case.query_hash):
        return (
            f"No post of {case.name} passes these filters, or none is scored yet. Nothing was "
            "written. Widen the filters, or run: aftershock score"
        )
    if held:
        return (
            f"The query of {case.name} has changed since its {sum(held.values()):,} posts were "
            "kept, and figures of two queries are never mixed. Nothing was written. Import or "
            "collect again to match them by the new query."
        )
    return (
        f"No posts are kept for {case.name}. Nothing was written. Import some: "
        f"aftershock import FILE --case {case.name}"
    )
