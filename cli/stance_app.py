"""`aftershock stance`: read posts of a file for their stance; measure how often that is right."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any

import numpy as np
import polars as pl
import typer
from rich.console import Console
from rich.table import Table
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

import cases.case as case_files
from analysis import language, stance, tone
from analysis.stance import evaluate as measure
from analysis.stance import own, train
from analysis.stance.corpus import corpus
from analysis.stance.model import ARTEFACT
from cases.case import Case
from cli.console import CONFIGURATION, Stop, say
from cli.stance import names
from cli.stance_scorers import Name, Predict
from cli.stance_scorers import scorer as scorer_named

AT_ONCE = 5_000  # records
WIDTH = 180  # of the table, also where it is written to a file
COMMUNITY = re.compile(r"\br/([\w-]+)")
UNKNOWN = "(unknown)"

app = typer.Typer(no_args_is_help=True, help="Where posts stand toward a platform's AI policy.")


@app.command()
def predict(
    file: Annotated[
        Path, typer.Argument(help="NDJSON: text, and where there is one context, case.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="NDJSON, a line for each line.")],
    scorer: Annotated[
        Name, typer.Option("--scorer", help="The optional ones: docs/stance-extras.md.")
    ] = "default",
) -> None:
    """Say of each record where it stands: stance, p_against, p_on_topic, reasons, exit."""
    _, scored = scorer_named(scorer)
    # The limits of a language model are those of the run, so it gets the whole file at once.
    most = sys.maxsize if scorer == "remote" else AT_ONCE
    with _written(output) as lines:
        for records in _portions(file, most):
            found = _predicted(records, scored)
            for record, row in zip(records, found.iter_rows(named=True), strict=True):
                kept = {name: record[name] for name in ("uid", "id") if name in record}
                lines.write(json.dumps(kept | row, ensure_ascii=False) + "\n")


@app.command()
def evaluate(
    file: Annotated[Path, typer.Argument(help="NDJSON with text and stance; more is used.")],
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """How often the stance is right on labelled posts, beside what comes for free."""
    try:
        posts, apart = measure.labelled(file)
    except (OSError, ValueError) as error:
        raise Stop(f"{error} See docs/stance.md for what it has to hold.", CONFIGURATION) from error
    known = case_files.load_all()
    records = [
        {"text": post.text, "context": post.context, "source": post.source} for post in posts
    ]
    rows = measure.table(posts, _scorers(posts, _predicted(records)), event=_event(known))
    if as_json:
        print(json.dumps({"file": file.name, "n": len(posts), "apart": apart, "rows": rows}))  # noqa: T201
        return
    say(f"{len(posts)} posts of {file.name} on which their annotators agree; {apart} left out.")
    Console(width=WIDTH).print(_table(rows), markup=False)


@app.command()
def build() -> None:
    """Fit the shipped model to the invented posts again (what `make stance-model` does)."""
    model = train.build(corpus())
    model.save(ARTEFACT)
    say(f"{ARTEFACT.name}: {ARTEFACT.stat().st_size:,} bytes, SHA-256 {train.digest(ARTEFACT)}")


@contextmanager
def _written(path: Path) -> Iterator[IO[str]]:
    """A file that is there whole, or not at all."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as lines:
            place = Path(lines.name)
            try:
                yield lines
                lines.close()
                place.replace(path)
            finally:
                place.unlink(missing_ok=True)
    except OSError as error:
        raise Stop(f"{path} cannot be written: {error.strerror}.", CONFIGURATION) from error


def _portions(file: Path, most: int = AT_ONCE) -> Iterator[list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    record = json.loads(line)
                    if not isinstance(record["text"], str):
                        raise TypeError
                except (ValueError, KeyError, TypeError) as error:
                    raise Stop(
                        f"{file}, line {number}: no JSON object with a text. Mend that line or"
                        " take it out, then run this again; nothing was written."
                    ) from error
                records.append(record)
                if len(records) == most:
                    yield records
                    records = []
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(
            f"{file} cannot be read: {error}. Name a file of NDJSON in UTF-8; nothing was written.",
            CONFIGURATION,
        ) from error
    yield records


def _predicted(records: list[dict[str, Any]], scored: Predict = stance.predict) -> pl.DataFrame:
    known = case_files.load_all()
    texts = pl.Series("text", [record["text"] for record in records], pl.String)
    nothing = pl.Series([[]] * len(records), dtype=pl.List(pl.String))
    return scored(
        pl.DataFrame(
            {
                "text": texts,
                "lang": language.detect(texts, nothing),
                "title": [_title(record) for record in records],
                "parent": [str(record.get("parent") or "") for record in records],
                "names": [list(_names(record, known)) for record in records],
                "source": [record.get("source") and str(record["source"]) for record in records],
            },
            schema_overrides={
                "title": pl.String,
                "parent": pl.String,
                "source": pl.String,
                "names": pl.List(pl.String),
            },
        )
    )


def _title(record: dict[str, Any]) -> str:
    """The thread's title: of its own field, or of a context like "r/music; thread title: ..."."""
    if record.get("title"):
        return str(record["title"])
    context = str(record.get("context") or "")
    title = (
        context.rpartition("thread title:")[2].strip() if "thread title:" in context else context
    )
    return "" if title == UNKNOWN else title


def _names(record: dict[str, Any], known: dict[str, Case]) -> tuple[str, ...]:
    """What the platform at issue is called: of the case that the record names (its name, or the
    platform's), or of the one whose own community its context or source names."""
    wanted = str(record.get("case") or "").lower()
    if wanted:
        for case in known.values():
            if wanted in (case.name.lower(), *(name.lower() for name in names(case))):
                return names(case)
        return (str(record["case"]),)
    places = COMMUNITY.findall(str(record.get("context") or ""))
    places += str(record.get("source") or "").split("_")[1:]
    for case in known.values():
        called = names(case)
        if any(place.lower() == name.lower() for place in places for name in called):
            return called
    return ()


def _event(known: dict[str, Case]) -> Any:
    """When the policy of a post's case changed (UTC, without a zone); None where no case is."""

    def when(post: measure.Labelled) -> Any:
        called = _names({"context": post.context, "source": post.source}, known)
        for case in known.values():
            if called and names(case) == called and case.events:
                return min(event.date for event in case.events).replace(tzinfo=None)
        return None

    return when


def _scorers(posts: list[measure.Labelled], found: pl.DataFrame) -> dict[str, measure.Prediction]:
    """The stance score, and what it has to beat."""
    analyzer = SentimentIntensityAnalyzer()
    compound = np.array([analyzer.polarity_scores(post.text)["compound"] for post in posts])
    negative = compound <= tone.NEGATIVE
    ones = np.ones(len(posts))

    def called(against: Any) -> tuple[str, ...]:
        return tuple("against" if one else "off" for one in against)

    crossed = own.crossed(posts)
    return {
        stance.SCORER: measure.Prediction(
            found["p_against"].to_numpy(), found["p_on_topic"].to_numpy(), tuple(found["stance"])
        ),
        "VADER negative": measure.Prediction((1 - compound) / 2, ones, called(negative)),
        "all against": measure.Prediction(ones, ones, called(ones)),
        "words of these posts, cross-validated": measure.Prediction(
            crossed, ones, called(crossed >= 0.5)
        ),
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    shown = {
        "macro_f1": "macro-F1",
        "f1": "F1",
        "ap": "AP",
        "on_topic_f1": "on topic F1",
        "four_class_macro_f1": "4-class",
        "ece": "ECE",
    }
    table = Table(box=None, pad_edge=False)
    for column in ("scorer", "of", "n", *shown.values(), "share true", "said", "error [95 %]"):
        table.add_column(column, justify="left" if column in ("scorer", "of") else "right")
    for row in rows:
        low, high = row["interval"]["macro_f1"]
        cells = [f"{row['macro_f1']:.3f} [{low:.2f}, {high:.2f}]"]
        cells += [f"{row[name]:.3f}" for name in list(shown)[1:]]
        low, high = row["interval"]["share_error"]
        table.add_row(
            row["scorer"],
            row["of"],
            f"{row['n']}",
            *cells,
            f"{row['share_true']:.2f}",
            f"{row['share_said']:.2f}",
            f"{row['share_error']:+.2f} [{low:+.2f}, {high:+.2f}]",
        )
    return table
