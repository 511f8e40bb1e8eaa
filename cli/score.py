"""`aftershock score`: tone for every post, stance for those of cases, then the charts' figures."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import polars as pl
import typer

import cases.case as case_files
from analysis import language, series, sides, tone
from analysis.explain import Unexplained, explain
from analysis.tone import SCORER
from cases.case import Case
from cli import stance
from cli.console import Stop, progress, say, say_json
from store.tables import Store

# Accounts whose words are a subreddit's rules, not anybody's opinion.
BOTS = (("reddit", "AutoModerator"),)
STATUS = {
    "scored": "scored",
    "language": "not scored: in another language or too short to tell",
    "marker": "not scored: bots and deletion markers",
}


def score_store(
    store: Store, cases: Iterable[Case] | None = None, *, rescore: bool = False
) -> Counter[str]:
    """Score the posts that wait, their stance for each of `cases` (None: all) that they
    belong to, and rebuild the cells that no longer reflect the store.

    Returns how many posts got which status of tone, how many which of stance (`stance_...`), and
    under `weeks` how many weeks were rebuilt.
    """
    if cases is None:  # read before anything is scored: a broken file stops nothing half-way
        cases = case_files.load_all().values()
    markers = bots(store)
    counts: Counter[str] = Counter()
    store.drain()  # what waits in the spool is scored too
    with progress() as bar:
        task = bar.add_task("scoring", total=None, rows=0)
        waiting = store.work(SCORER, rescore=rescore, told=tone.SAME_LANGUAGES, python=tone.PYTHON)
        for posts in waiting:
            scores = tone.score(posts, markers=markers)
            store.add_scores(scores)
            shown = scores.filter(pl.col("scorer") == SCORER)  # each post has a raw score too
            counts.update(shown["status"].to_list())
            bar.update(task, rows=sum(counts.values()))
        bar.update(task, description="scoring stance")

        def done(rows: pl.DataFrame) -> None:
            counts.update(stance.PREFIX + status for status in rows["status"])
            bar.update(task, rows=sum(counts.values()))

        # After tone, which has found out the languages.
        stance.score_cases(store, cases, markers, rescore=rescore, done=done)
        bar.update(task, description="building figures")
        counts["weeks"] = rebuild(store)
    return counts


def bots(store: Store) -> set[str]:
    """The author keys of accounts that are never scored."""
    return {store.author_key(source, name) for source, name in BOTS}


def rebuild(store: Store) -> int:
    """Bring the charts' figures up to date and return how many weeks that took."""
    return store.rebuild(series.cells_of, compact=series.compact)


def score(
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Score again what has a score of this version.")
    ] = False,
    explained: Annotated[
        str | None,
        typer.Option(
            "--explain",
            metavar="TEXT",
            help="Say word by word how TEXT gets its tone (- reads it), and keep nothing.",
        ),
    ] = None,
    lang: Annotated[
        str | None, typer.Option("--lang", help="With --explain: the language declared for it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The counts as JSON.")] = False,
) -> None:
    """Score tone and stance of what has no score yet, then rebuild the charts' figures."""
    if explained is not None:
        try:
            lines = told(sys.stdin.read() if explained == "-" else explained, lang)
        except Unexplained as error:
            raise Stop(str(error)) from None
        for line in lines:
            say(line)
        return
    store = Store.open(create=False)
    counts = score_store(store, rescore=rescore)
    if as_json:
        say_json({"scorer": SCORER, "stance_scorer": sides.SCORER, **counts})
        return
    for line in summary(counts):
        say(line)


def told(text: str, declared: str | None) -> list[str]:
    """How the text gets its tone, in lines; no store is opened for it."""
    langs = pl.Series([[declared] if declared else []], dtype=pl.List(pl.String))
    code = str(language.detect(pl.Series([text], dtype=pl.String), langs)[0])
    if code not in tone.LANGUAGES:
        found = "no language that can be told" if code == language.UNDETERMINED else f"{code}"
        known = f"{SCORER} scores English (en) and French (fr)"
        return [
            f"Not scored: its language is {found}. {known}; declare it with --lang if it is one."
        ]
    why = explain(text, code)
    lines = [f"Language: {code}. Read by {SCORER} as:", f"  {why.read}"]
    for word in why.words:
        lines += [word.word, *(f"  {note}" for note in word.notes)]
    if not why.words:
        lines.append("No word of it is in the lexicon.")
    lines += why.notes
    compound = why.numbers["compound"]
    called = "negative" if compound <= tone.NEGATIVE else "neutral"
    called = "positive" if compound >= tone.POSITIVE else called
    shares = ", ".join(f"{name} {why.numbers[name]:.3f}" for name in ("neg", "neu", "pos"))
    return [*lines, f"compound {compound:+.4f}: {called} ({shares})"]


def summary(counts: Counter[str]) -> list[str]:
    """What scoring did, a line a status."""
    looked_at = sum(counts[name] for name in STATUS)
    judged = stance.summary(counts, STATUS)
    if not looked_at and not judged and not counts["weeks"]:
        return ["Nothing to score: every post has its score."]
    lines = [f"{looked_at:,} posts looked at by {SCORER}:"] if looked_at else []
    lines += [f"  {counts[name]:,} {words}" for name, words in STATUS.items() if counts[name]]
    lines += judged
    return [*lines, f"Figures of {counts['weeks']:,} weeks rebuilt."]
