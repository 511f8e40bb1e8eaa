"""What the tests of the search on the real servers share: a case, settings, runs into a store.

As a program (`python -c "from bluesky_runs import main; main()"`) it is one run of the
collector into the store of the environment, to be killed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from testbeds.bluesky.network import Network

import cases.case as case_files
from cases.case import Case
from cli.ingest import Unit, ingest
from collectors import bluesky_search
from collectors.bluesky_account import HANDLE, PASSWORD, SERVICE
from collectors.settings import Settings
from store.tables import Store


def case(
    folder: Path, word: str, *, phrases: Sequence[str] = (), since: str = "2025-05-01"
) -> Case:
    """A case that takes what holds this word and asks for these phrases, or for the word itself."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{word}.toml"
    asked = ", ".join(f'"{phrase}"' for phrase in phrases or (word,))
    path.write_text(
        f'title = "{word}"\nplatform = "Quux"\nsummary = "Nothing real."\nsince = {since}\n'
        f'languages = ["en", "fr"]\nquery = "{word}"\n[bluesky]\nsearch = [{asked}]\n'
    )
    return case_files.load(path)


def settings(network: Network, cache: Path, name: str = "alice", **values: Any) -> Settings:
    account = network.accounts[name]
    credentials = {HANDLE: account.handle, PASSWORD: account.password, SERVICE: network.pds}
    return Settings(cache, credentials, **values)


def run(store: Store, cases: Sequence[Case], asked: Settings) -> list[Unit]:
    """One run of the collector into the store."""
    return ingest(store, cases, bluesky_search.collect(cases, store.known(), asked))


def texts(store: Store) -> list[str]:
    """The words of every live post in the store, in order."""
    posts = store.read(lambda: store.scan("posts").filter(pl.col("state") == "live"))
    return sorted(posts["text"].to_list())


def main() -> None:
    """One run; standard input says for which case file, with which cache and credentials."""
    path, cache, credentials = json.load(sys.stdin)
    run(Store.open(), [case_files.load(path)], Settings(Path(cache), credentials))
