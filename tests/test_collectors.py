"""The seam for live collectors: what can run, what cannot and why, and how a new one is found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import Home

import cases.case as case_files
import collectors
from cli.ingest import ingest
from collectors.settings import Settings
from store.tables import Store

NOTHING = Settings(cache=Path("nowhere"))
KEY = Settings(cache=Path("nowhere"), credentials={"AFTERSHOCK_REDDIT": "a key"})

MODULE = '''
"""A collector as small as one can be."""
from datetime import UTC, datetime

from collectors.normalise import frame, reddit_comment
from store.schema import Batch, Reading


def ready(settings):
    return None if settings.credentials else "reddit: no key; run aftershock setup"


def collect(cases, known, settings):
    start = int(known.cursors("reddit").get("r/invented", 0))
    for number in range(start, start + 2):
        raw = {"id": f"c{number}", "created_utc": 1746800000 + number, "body": "Words."}
        row = reddit_comment(raw, datetime(2025, 6, 1, tzinfo=UTC))
        reading = Reading(unit="r/invented", source="reddit", items=number - start + 1)
        yield Batch("reddit", reading, frame([row]), cursor=str(number + 1))
'''


@pytest.fixture
def reddit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the name of a live collector, on disk where this package looks for its own."""
    path = tmp_path / "reddit.py"
    path.write_text(MODULE)
    # First, so that it also stands in for a module that has come to be there by now.
    monkeypatch.setattr(collectors, "__path__", [str(tmp_path), *collectors.__path__])
    monkeypatch.delitem(sys.modules, "collectors.reddit", raising=False)
    yield path
    sys.modules.pop("collectors.reddit", None)


def test_the_collectors_run_in_the_order_in_which_their_sources_forget() -> None:
    assert collectors.COLLECTORS == ("bluesky-stream", "bluesky-search", "reddit")


@pytest.mark.parametrize("name", collectors.COLLECTORS)
def test_a_collector_that_is_not_in_this_version_says_so_and_what_works_instead(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "__path__", [])
    monkeypatch.delitem(sys.modules, f"collectors.{name.replace('-', '_')}", raising=False)
    line = collectors.ready(name, NOTHING)
    assert line == (
        f"{name}: not in this version; import a file instead: aftershock import FILE --case NAME"
    )
    with pytest.raises(LookupError, match=name):
        collectors.load(name)


def test_a_name_nobody_knows_lists_those_there_are() -> None:
    line = collectors.ready("usenet", NOTHING)
    assert line is not None
    assert "bluesky-stream, bluesky-search, reddit" in line
    assert "\n" not in line
    with pytest.raises(LookupError, match="usenet"):
        collectors.load("usenet")


@pytest.mark.usefixtures("reddit")
def test_a_module_of_the_right_name_is_a_collector_and_speaks_for_itself() -> None:
    assert collectors.ready("reddit", NOTHING) == "reddit: no key; run aftershock setup"
    assert collectors.ready("reddit", KEY) is None


@pytest.mark.usefixtures("reddit")
def test_a_collector_goes_on_where_its_unit_stood(home: Home) -> None:
    store = Store.open()
    cases = [case_files.get("soundcloud")]
    for expected in (["1", "2"], ["3", "4"]):
        batches = list(collectors.load("reddit").collect(cases, store.known(), KEY))
        assert [batch.cursor for batch in batches] == expected
        ingest(store, cases, batches)
    runs = store.scan("runs").sort("started_at").collect()
    assert runs.select("cursor_before", "cursor_after").rows() == [(None, "2"), ("2", "4")]


def test_a_broken_module_is_an_error_and_not_an_absent_collector(reddit: Path) -> None:
    reddit.write_text("import a_module_that_nobody_has\n")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        collectors.ready("reddit", NOTHING)
