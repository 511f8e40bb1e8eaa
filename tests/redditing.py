"""Short ways to collect from the simulated Reddit with the real PRAW, for the tests of Reddit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from storing import stored
from testbeds.reddit.sim import AGENT, KEY, SECRET, SimReddit, Thing

import cases.case as case_files
from cases.case import Case
from cli.ingest import Unit, ingest
from collectors import reddit, reddit_recheck
from collectors.settings import Settings
from store.tables import Store

CASE = """
title = "Invented: terms"
platform = "SoundCloud"
summary = "Invented."
since = {since}
languages = ["en"]
query = "{query}"
[reddit]
subreddits = {subreddits}
search = {search}
"""


def case(
    folder: Path,
    name: str = "mine",
    *,
    subreddits: tuple[str, ...] = ("InventedMusic",),
    search: tuple[str, ...] = (),
    query: str = "soundcloud AND terms",
    since: str = "2020-01-01",
) -> Case:
    """A case of its own file in the folder of cases."""
    text = CASE.format(
        query=query, subreddits=list(subreddits), search=list(search), since=since
    ).replace("'", '"')
    (folder / f"{name}.toml").write_text(text)
    return case_files.get(name)


def settings(sim: SimReddit, folder: Path, **changes: Any) -> Settings:
    """Settings with the key of the simulated Reddit; `key`, `secret`, `agent` in their place."""
    credentials = {
        "AFTERSHOCK_REDDIT_CLIENT_ID": changes.pop("key", KEY),
        "AFTERSHOCK_REDDIT_CLIENT_SECRET": changes.pop("secret", SECRET),
        "AFTERSHOCK_REDDIT_USER_AGENT": changes.pop("agent", AGENT),
        "AFTERSHOCK_REDDIT_URL": sim.url,
    }
    return Settings(cache=folder / "cache", credentials=credentials, **changes)


def collect(store: Store, cases: list[Case], how: Settings) -> dict[str, Unit]:
    """One run, and what came of each unit."""
    units = ingest(store, cases, reddit.collect(cases, store.known(), how))
    return {unit.reading.unit: unit for unit in units}


def recheck(store: Store, cases: list[Case], how: Settings, **changes: Any) -> Unit:
    [unit] = ingest(store, cases, reddit_recheck.collect(store.known(), how, **changes))
    return unit


def ledger(store: Store) -> pl.DataFrame:
    """The rows of the ledger, in their order."""
    return stored(store, "runs").sort("started_at")


def held(store: Store) -> dict[str, str]:
    """Texts that are kept, by the fullname."""
    live = stored(store).filter(pl.col("state") == "live")
    return {
        uri.removeprefix("reddit:"): text for uri, text in live.select("uri", "text").iter_rows()
    }


def truth(*things: Thing) -> dict[str, str]:
    """Texts as they should be kept, by the fullname."""
    return {
        one["name"]: one["body"]
        if one["name"].startswith("t1_")
        else "\n\n".join(filter(None, (one["title"], one["selftext"])))
        for one in things
    }


Passing = Callable[[timedelta], None]  # lets so much time pass, for the collector
