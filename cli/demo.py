"""The demo's store: invented posts, built once into a folder of its own beside the real store."""

from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import cases.case as case_files
from analysis import sides, tone
from cases.case import Case
from cli.console import say
from cli.ingest import ingest
from cli.score import score_store
from collectors import archive
from collectors.archive import ImportSettings
from store.location import checkout
from store.schema import SCHEMA_VERSION
from store.tables import Store

SOURCE = Path(case_files.__file__).parent / "demo"


def open_demo() -> tuple[Store, Case]:
    """The demo's store and case; built at the first call, and again when its data change."""
    case = case_files.load(SOURCE / "murmella.toml")
    place = checkout() / ".demo" / _fingerprint(case)
    if not place.is_dir():
        say("Building the demo from invented posts ...")
        _build(case, place)
    return Store.open(str(place), demo=True), case


def _fingerprint(case: Case) -> str:
    parts = [version("aftershock"), str(SCHEMA_VERSION), tone.SCORER, sides.SCORER, case.query_hash]
    parts += [
        (SOURCE / name).read_text(encoding="utf-8") for name in ("posts.ndjson", "runs.ndjson")
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build(case: Case, place: Path) -> None:
    """Build in a temporary folder and move it into place, so that a half-built demo never shows."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        building = Path(folder) / "store"
        store = Store.open(str(building), demo=True)
        settings = ImportSettings(files=[SOURCE / "posts.ndjson"])
        ingest(store, [case], archive.collect([case], None, settings), ledger=False)
        _ledger(store, case)
        score_store(store, [case])
        try:
            building.replace(place)
        except OSError:  # another process built the same demo meanwhile: that one serves as well
            if not place.is_dir():
                raise


def _ledger(store: Store, case: Case) -> None:
    """The invented runs of the demo's collectors, in the place of the import's own row."""
    times = ("started_at", "finished_at", "observed_from", "observed_to")
    rows = [json.loads(line) for line in (SOURCE / "runs.ndjson").read_text("utf-8").splitlines()]
    for row in rows:
        row |= {name: datetime.fromisoformat(row[name]) for name in times}
        row["cases"] = [{"case": case.name, "query_hash": case.query_hash}]
        row["version"] = version("aftershock")
    store.log_run(*rows)
