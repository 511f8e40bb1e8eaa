"""A watched case, a small Jetstream server and a store, for the tests of the stream."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from testbeds.bluesky.mini_jetstream import MiniJetstream, micros

import cases.case as case_files
from cases.case import Case
from cli.ingest import Unit, ingest
from collectors import bluesky_stream
from collectors.bluesky_stream import Pace
from collectors.settings import Settings
from store.tables import Store

CASE = """
title = "Tootle terms"
platform = "Tootle"
summary = "Invented for the tests."
since = 2026-01-01
languages = ["en", "fr"]
query = "tootle AND (ai OR ia OR training OR œuvres)"
"""
QUICK = Pace(first=1.5, idle=0.5, patience=4, following=4)
SECOND = 1_000_000  # microseconds


@dataclass
class Stream:
    """What a test does to the stream and sees of it."""

    mini: MiniJetstream
    store: Store
    cache: Path
    credentials: dict[str, str]

    def cases(self) -> list[Case]:
        return [case_files.get("tootle")]

    def settings(self, **values: Any) -> Settings:
        return Settings(self.cache, self.credentials, **values)

    def live(self) -> None:
        """An event of this very moment, behind which the stream has caught up."""
        self.mini.account("did:plc:clock", us=micros() + 10 * SECOND)

    def collect(self, pace: Pace = QUICK, **values: Any) -> Unit:
        """Run the collector once, store what it brings, and say what came of it."""
        batches = bluesky_stream.collect(
            self.cases(), self.store.known(), self.settings(**values), pace
        )
        [unit] = ingest(self.store, self.cases(), batches)
        return unit

    def posts(self) -> dict[str, tuple[str | None, str]]:
        """Text and state of every post in the store, by its key."""
        rows = self.store.scan("posts").select("post", "text", "state").collect()
        return {post: (text, state) for post, text, state in rows.iter_rows()}

    def said(self, *uris: str) -> list[tuple[str | None, str] | None]:
        """Text and state of these posts; None for what is not there."""
        stored = self.posts()
        return [stored.get(self.store._keys.key(uri)) for uri in uris]

    def runs(self) -> pl.DataFrame:
        return self.store.scan("runs").sort("started_at").collect()


def uri(did: str, rkey: str) -> str:
    return f"at://{did}/app.bsky.feed.post/{rkey}"


def reply(did: str, rkey: str) -> dict[str, Any]:
    to = {"uri": uri(did, rkey), "cid": f"bafyrei{rkey}"}
    return {"reply": {"root": to, "parent": to}}


def quote(did: str, rkey: str) -> dict[str, Any]:
    record = {"uri": uri(did, rkey), "cid": f"bafyrei{rkey}"}
    return {"embed": {"$type": "app.bsky.embed.record", "record": record}}


def started(stream: Stream, *, follow: bool = False) -> BaseProcess:
    """The collector in a process of its own, in small portions.

    It forks from a process that has imported everything and used nothing: starting Python anew
    costs more than all that a test does, and a fork of this process would hang on lost threads.
    """
    root = Path(__file__).parents[1]
    path = os.pathsep.join(map(str, (root, root / "tests")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(["streaming"])
        given = {name: value for name, value in os.environ.items() if name.startswith("AFTERSHOCK")}
        settings = stream.settings(lookback=timedelta(hours=36), follow=follow)
        running = forks.Process(target=_collect, args=(given, settings), daemon=True)
        running.start()
    return running


def _collect(environment: dict[str, str], settings: Settings) -> None:
    os.environ.update(environment)
    watched = [case_files.get("tootle")]
    store = Store.open()
    pace = Pace(hits=3, every=0.05, first=5, idle=2, patience=5)
    ingest(store, watched, bluesky_stream.collect(watched, store.known(), settings, pace))
