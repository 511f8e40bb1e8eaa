"""`aftershock case`: what is watched, and what a case would ask for and find."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import polars as pl
import typer
from rich.table import Table

import cases.case as case_files
from cases import authoring
from cases.case import Case, CaseError
from cli.console import Stop, out, say, say_json, warn
from store.location import store_location
from store.portions import Stretch
from store.tables import Store, StoreMissing

POSTS_AT_ONCE = 50_000  # of posts with their texts

app = typer.Typer(no_args_is_help=True, help="The controversies that are watched.")


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Every case, with its platform and dates."""
    known = case_files.load_all()
    if as_json:
        say_json(
            [
                {"name": case.name, "title": case.title, "platform": case.platform}
                for case in known.values()
            ]
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("case", "platform", "since", "events", "title"):
        table.add_column(column)
    for case in known.values():
        table.add_row(case.name, case.platform, f"{case.since}", f"{len(case.events)}", case.title)
    out.print(table, markup=False)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A case, or the path of its file.")],
) -> None:
    """One case: its summary, query and events."""
    case = _case(name)
    say(f"{case.title} ({case.path.name})")
    say(case.summary)
    say(f"Platform: {', '.join((case.platform, *case.aliases))}")
    say(f"Watched since {case.since}, in {', '.join(case.languages)}")
    say(f"Query {case.query_hash}: {' '.join(case.query_text.split())}")
    for event in case.events:
        link = f" {event.url}" if event.url else ""
        say(f"  {event.when}, {event.kind}: {event.title}")
        say(f"    source: {event.source}{link}")


@app.command()
def test(
    name: Annotated[str, typer.Argument(help="A case, or the path of its file.")],
) -> None:
    """What each source would be asked, what is looked for, and what the store holds of it."""
    case = _case(name)
    say(f"{case.path.name} is sound. Query hash {case.query_hash}.")
    say("What each source would be asked:")
    for line in authoring.plan(case):
        say(f"  {line}")
    words = case.query.necessary()
    if words is None:
        say(
            "Prefilter: the query has no word that every hit must hold, so every record is parsed "
            "in full (slower, same result)."
        )
    else:
        say(f"Prefilter: records that hold one of: {', '.join(sorted(words))}")
    say(_hits(case))
    feeling = authoring.feeling_words(case.query)
    if feeling:
        warn(
            f"Warning: {', '.join(feeling)}: words of feeling. A query with them in it selects "
            "its own outcome, so its shares say nothing about opinion."
        )


def _hits(case: Case) -> str:
    try:
        store = Store.open(create=False)
    except StoreMissing:
        return f"No store at {store_location()} yet, so no hits to count."

    def hits(stretch: Stretch) -> pl.LazyFrame:
        matches = store.scan("matches").filter(
            stretch.days(), pl.col("case") == case.name, pl.col("query_hash") == case.query_hash
        )
        return (
            store.visible()
            .filter(*stretch.holds())
            .join(matches.select("post", "day", "via"), on=["post", "day"], how="left")
            .select(
                own=case.query.mask().sum(),
                kept=pl.col("via").is_not_null().sum(),
                posts=pl.len(),
            )
        )

    counts = {"own": 0, "kept": 0, "posts": 0}
    for stretch in store.stretches(POSTS_AT_ONCE):
        found = store.read(partial(hits, stretch)).row(0, named=True)
        counts = {name: count + found[name] for name, count in counts.items()}
    return (
        f"Store: the query takes {counts['own']:,} of {counts['posts']:,} posts kept for any case; "
        f"{counts['kept']:,} are kept for this one."
    )


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Short name: lower-case letters, digits, _.")],
) -> None:
    """Write a case file to start from."""
    path = case_files.folder() / f"{name}.toml"
    text = authoring.template(name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Stop(f"{path} exists already and was left as it is. Choose another name.") from None
    say(f"{path} written. Edit it, then: aftershock case test {name}")


def _case(name: str) -> Case:
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise CaseError(f"{path}: no such file. `aftershock case list` names the known cases.")
        return case_files.load(path)
    return case_files.get(name)
