"""A small store of invented posts whose every figure is known, for the tests of the dashboard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from analysis import series, sides, tone
from analysis.tone import SCORER
from cases.case import Case, load
from store.schema import RAW_POST, Batch, Reading
from store.tables import Store

START = datetime(2026, 5, 4, tzinfo=UTC)  # a Monday
DAY = timedelta(days=1)
DAYS = 12
# Day 2 has no Reddit at all, day 4 only its first half, day 6 five posts a platform.
GAP, HALF, QUIET = 2, 4, 6
NEGATIVE, POSITIVE, NEUTRAL = (
    "I hate this, it is awful.",
    "I love this, it is great.",
    "A page about it.",
)
TEXTS = {  # of 40 posts a day
    "bluesky": [NEGATIVE] * 20 + [POSITIVE] * 10 + [NEUTRAL] * 10,  # +25 points
    "reddit": [NEGATIVE] * 10 + [POSITIVE] * 20 + [NEUTRAL] * 10,  # -25 points
}
FRENCH = (
    "Je ne veux pas que ma musique serve à entraîner leur modèle, personne ne m'a rien demandé."
)
# The side each text takes, by a stand-in for the model: not the one its tone suggests.
SIDES: dict[str, dict[str, Any]] = {
    NEGATIVE: {"stance": "for"},
    POSITIVE: {"stance": "against", "reasons": ["consent", "trust"], "exit": True},
    FRENCH: {"stance": "against", "reasons": ["consent"], "exit": True},
}
HOSTILE = (
    '<img src="https://evil.example/a.png"> ![x](https://evil.example/b.png) '
    '[x](javascript:alert(1)) :red[x] =HYPERLINK("https://evil.example/c")'
)
CASE = """
title = "Murmur: the invented clause"
platform = "Murmur"
aliases = []
summary = "Invented."
since = 2026-05-01
languages = ["en"]
query = "murmur"

[[event]]
date = 2026-05-07
precision = "day"
kind = "discovery"
title = "The clause is *noticed*"
source = "Invented Times"
url = "https://times.example/clause"

[[event]]
date = "2026-06"
precision = "month"
kind = "reversal"
title = "Taken back"
source = "Invented Times"
"""


def write_case(folder: Path, text: str = CASE) -> Case:
    path = folder / "murmur.toml"
    path.write_text(text)
    return load(path)


def post(number: int, source: str, day: int, text: str, **values: Any) -> dict[str, Any]:
    at = START + day * DAY + timedelta(minutes=(number * 35) % 1440)
    if source == "reddit" and day == HALF:
        at = START + day * DAY + timedelta(minutes=(number * 17) % 720)
    name = f"{source[0]}{day:02d}x{number:03d}"
    return {
        "uri": f"reddit:t3_{name}"
        if source == "reddit"
        else f"at://did:plc:invented/app.bsky.feed.post/{name}",
        "source": source,
        "kind": "post",
        "author": name,
        "community": "murmur" if source == "reddit" else None,
        "text": text,
        "langs": ["en"],
        "at": at,
        "created_at": at,
        "collected_at": at + DAY,
        "likes": number,
        "reposts": 2 * number if source == "bluesky" else None,
    } | values


def posts() -> list[dict[str, Any]]:
    rows = []
    for source, texts in TEXTS.items():
        for day in range(DAYS):
            if source == "reddit" and day == GAP:
                continue
            kept = texts[:5] if day == QUIET else texts
            rows += [post(number, source, day, text) for number, text in enumerate(kept)]
    rows.append(post(990, "bluesky", 8, HOSTILE, likes=5000))
    rows.append(
        post(991, "reddit", 8, "Nobody answered.", uri="reddit:t1_c1", root="reddit:t3_unknown")
        | {"kind": "comment", "likes": 4000}
    )
    return rows


def write(store: Store, case: Case, rows: list[dict[str, Any]], via: str = "own") -> None:
    frame = pl.DataFrame(rows, schema=RAW_POST)
    for (source,), part in frame.group_by("source"):
        matches = part.select(
            "uri",
            case=pl.lit(case.name),
            query_hash=pl.lit(case.query_hash),
            via=pl.lit(via),
            root_known=pl.lit(value=True),
        )
        store.write(Batch("test", Reading("all", str(source)), posts=part), matches)


def log(store: Store, case: Case) -> None:
    """The ledger: days 0 and 1 read a week later, the rest live, to 18:00 of the last day."""
    read = [
        ("bluesky", 0, 2, 9),
        ("reddit", 0, 2, 9),
        ("bluesky", 2, DAYS - 0.25, None),
        ("reddit", 3, 4.5, None),
        ("reddit", 5, DAYS - 0.25, None),
    ]
    for number, (source, first, last, started) in enumerate(read):
        at = START + (last if started is None else started) * DAY
        store.log_run(
            {
                "run_id": str(number),
                "collector": "test",
                "source": source,
                "cases": [{"case": case.name, "query_hash": case.query_hash}],
                "unit": "all",
                # A live run is started as early as what it reads.
                "started_at": at if started else START + first * DAY,
                "finished_at": at,
                "observed_from": START + first * DAY,
                "observed_to": START + last * DAY,
                "status": "done",
            }
        )


def score(store: Store) -> None:
    for work in store.work(SCORER):
        store.add_scores(tone.score(work, markers=set()))
    store.rebuild(series.cells)


def predict(posts: pl.DataFrame) -> pl.DataFrame:
    """The stand-in for `analysis.stance.predict`: what SIDES says, and off topic for the rest."""
    rows = []
    for text in posts["text"]:
        found = {"stance": "off", "reasons": [], "exit": False} | SIDES.get(text, {})
        shares = {name: float(found["stance"] == name) for name in ("against", "for", "neutral")}
        rows.append({f"p_{name}": share for name, share in shares.items()} | found)
        rows[-1]["p_on_topic"] = sum(shares.values())
    schema = {"stance": pl.String, "reasons": pl.List(pl.String), "exit": pl.Boolean}
    return pl.DataFrame(rows, schema_overrides=schema)


def score_stance(store: Store, case: Case) -> None:
    """Stance of every post of the case that waits for one, by the stand-in."""
    for work in store.work_in_context(
        case=case.name,
        query_hash=case.query_hash,
        scorer=sides.SCORER,
        tone=SCORER,
        names=[case.platform],
    ):
        rows = sides.score(work, case=case.name, names=[], markers=set(), predict=predict)
        store.add_scores(rows)
    store.rebuild(series.cells)


def build(location: Path, cases: Path) -> Store:
    """The whole store. The salt is the one of the environment."""
    case = write_case(cases)
    store = Store.open(str(location))
    write(store, case, posts())
    write(
        store,
        case,
        [post(992, "bluesky", 3, NEGATIVE, uri="at://did:plc:invented/app.bsky.feed.post/thread")],
        via="thread",
    )
    log(store, case)
    score(store)
    return store
