"""`aftershock status`: what is in the store, what was read last, what is missing and what waits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any

import polars as pl
import typer

import cases.case as case_files
from analysis import coverage, recall
from cases.case import Case
from cli.console import say, say_json
from store.tables import Store

WEEK = timedelta(days=7)
HEADLINE = ("own", "taken")
STREAM = recall.STREAM


def status(
    show_recall: Annotated[
        bool, typer.Option("--recall", help="Also how much of the stream's posts search found.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Say what is in the store, how the last runs ended, how much was covered and what waits."""
    store = Store.open(create=False)
    now = datetime.now(UTC)
    facts = gather(store, list(case_files.load_all().values()), now, with_recall=show_recall)
    if as_json:
        say_json(facts)
    else:
        for line in sentences(facts):
            say(line)


def gather(
    store: Store, cases: list[Case], now: datetime, *, with_recall: bool = False
) -> dict[str, Any]:
    """The figures, ready for JSON. Of cases, those with posts or runs under their present query."""
    standing = store.standing(now)
    runs = store.read(lambda: store.scan("runs"))
    known = []
    for case in cases:
        spans = coverage.spans(
            runs, case=case.name, query_hash=case.query_hash, asked=coverage.asked(case)
        )
        kept = standing.cases.filter(
            pl.col("case") == case.name, pl.col("query_hash") == case.query_hash
        )
        if kept.is_empty() and spans.is_empty():
            continue
        facts: dict[str, Any] = {"case": case.name, "sources": _sources(case, kept, spans, now)}
        if with_recall:
            sighted = store.read(
                lambda case=case: store.sighted(  # type: ignore[misc]
                    source=recall.SOURCE, case=case.name, query_hash=case.query_hash
                )
            )
            facts["recall"] = asdict(recall.recall(sighted, spans))
        known.append(facts)
    posts: dict[str, dict[str, int]] = {}
    for source, state, count in standing.posts.iter_rows():
        posts.setdefault(source, {})[state] = count
    return {
        "store": store.location,
        "posts": posts,
        "cases": known,
        "collectors": list(_collectors(standing.runs)),
        "spool_waiting": standing.waiting,
        "checks_due": standing.due,
        # Bluesky's terms set no time, and what is a week old is asked about weekly there.
        "checks_late": {name: n for name, n in standing.late.items() if name == "reddit"},
        "bytes_this_month": standing.read,
    }


def _sources(
    case: Case, kept: pl.DataFrame, spans: pl.DataFrame, now: datetime
) -> list[dict[str, Any]]:
    until = now.replace(minute=0, second=0, microsecond=0)
    begun = datetime.combine(case.since, time(), UTC)
    found = []
    for source in sorted({*kept["source"], *spans["source"]}):
        counts = kept.filter(pl.col("source") == source)
        own = int(counts.filter(pl.col("via").is_in(HEADLINE))["posts"].sum())

        def covered(since: datetime, source: str = source) -> float | None:
            return coverage.coverage(spans, sources=[source], since=since, until=until)

        found.append(
            {
                "source": source,
                "posts": own,
                "in_threads": int(counts["posts"].sum()) - own,
                "covered_last_7_days": covered(until - WEEK),
                "covered_since": str(case.since),
                "covered": covered(begun),
            }
        )
    return found


def _collectors(runs: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The last run of each collector: of its units, those read within a week of the last one."""
    for (collector, source), units in runs.group_by("collector", "source", maintain_order=True):
        last = units["started_at"].max()
        recent = units.filter(pl.col("started_at") >= pl.lit(last) - WEEK)
        short = recent.filter(pl.col("status") != "done")
        yield {
            "collector": collector,
            "source": source,
            "last_started": last,
            "units": recent.height,
            "gap": bool(recent["gap"].fill_null(value=False).any()),
            "not_done": short.select("unit", "status", "stop_reason", "error").to_dicts(),
        }


def sentences(facts: dict[str, Any]) -> Iterator[str]:
    """The same for a person."""
    if not facts["posts"]:
        yield f"The store at {facts['store']} holds no posts yet."
    for source, states in facts["posts"].items():
        parts = [f"{states.get('live', 0):,} posts"]
        parts += [f"{states['hidden']:,} hidden (account inactive)"] if "hidden" in states else []
        # An import with --drop-text leaves posts in the same state, and nothing tells them apart.
        gone = f"{states.get('gone', 0):,} without words (deleted at the source, or imported so)"
        parts += [gone] if "gone" in states else []
        yield f"{source}: {', '.join(parts)}."
    for case in facts["cases"]:
        for one in case["sources"]:
            yield (
                f"{case['case']} on {one['source']}: {one['posts']:,} posts and"
                f" {one['in_threads']:,} more in their threads;"
                f" {coverage.percent(one['covered_last_7_days'])} of the last 7 days covered,"
                f" {coverage.percent(one['covered'])} since {one['covered_since']}."
            )
    for one in facts["collectors"]:
        yield _collector(one)
    for case in facts["cases"]:
        if "recall" in case:
            found = recall.Recall(**case["recall"])
            yield f"{case['case']}: {recall.sentence(found) or _unmeasured(found)}"
    waiting = facts["spool_waiting"]
    if waiting:
        yield f"{waiting:,} batches wait in the spool; the next command that writes stores them."
    for source, count in facts["checks_due"].items():
        yield f"{count:,} posts are to be asked about again at {source}: aftershock recheck"
    for source, count in facts["checks_late"].items():
        yield (
            f"{count:,} posts were not asked about at {source} within 48 hours, as its terms"
            f" demand: aftershock recheck --source {source} (docs/reddit.md)"
        )
    if STREAM in facts["bytes_this_month"]:
        yield f"{facts['bytes_this_month'][STREAM] / 1e9:,.2f} GB read from Jetstream this month."


def _collector(one: dict[str, Any]) -> str:
    at = f"{one['last_started']:%Y-%m-%d %H:%M} UTC"
    head = f"{one['collector']} ({one['source']}) last ran at {at}"
    if not one["not_done"]:
        end = f"{one['units']:,} of {one['units']:,} units read to the end"
    else:
        first = one["not_done"][0]
        why = first["error"] or first["stop_reason"] or "no reason recorded"
        end = f"{len(one['not_done']):,} of {one['units']:,} units not read to the end"
        # What never ended was killed, or is running now.
        state = "running or killed" if first["status"] == "running" else first["status"]
        end += f" ({first['unit']}: {state}, {why})"
    return f"{head}: {end}{'; there is a gap' if one['gap'] else ''}."


def _unmeasured(found: recall.Recall) -> str:
    if not found.hours:
        return (
            "How much search finds is not measured: no hour is covered by both the stream and"
            " search."
        )
    return (
        f"How much search finds is not measured yet: {found.of:,} posts from the stream in"
        f" {found.hours:,} hours covered by both, and {recall.FEWEST} are the fewest for a share."
    )
