"""Small collectors of the tests' own, on disk where the package looks for its modules.

They behave as live ones do (batches, cursors, errors) and read a plan instead of a source: a list
of steps in JSON, one after the other.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import collectors

ROOT = Path(__file__).parents[1]
CHECK: dict[str, Any] = {"refused": []}
MODULE = '''
"""Does what the plan beside it says."""
import json, signal, time
from datetime import UTC, datetime
from pathlib import Path

from collectors.errors import CollectorError, TryLaterError, UnfitError
from collectors.normalise import frame, reddit_comment
from collectors.settings import Step
from store.schema import Batch, Reading

NAME = {name!r}
PLAN = Path(__file__).with_suffix(".json")
ERRORS = dict(later=TryLaterError, unfit=UnfitError, failed=CollectorError, mistake=KeyError)


def ready(settings):
    return json.loads(PLAN.read_text()).get("ready")


def check(settings):
    plan = json.loads(PLAN.read_text())["check"]
    if settings.credentials["AFTERSHOCK_BLUESKY_APP_PASSWORD"] in plan["refused"]:
        raise UnfitError("Bluesky does not take this login.")
    if plan.get("down"):
        raise TryLaterError("Bluesky cannot be reached.")
    return "Logged in to " + settings.credentials.get("AFTERSHOCK_BLUESKY_SERVICE", "Bluesky") + "."


def collect(cases, known, settings):
    plan = json.loads(PLAN.read_text())
    PLAN.with_suffix(".settings").write_text(repr(settings))
    items = 0
    for step in plan["steps"]:
        if "post" in step:
            raw = dict(id=step["post"], created_utc=1746800000, body=step.get("text", "tootle ai"))
            posts = frame([reddit_comment(raw, datetime(2025, 6, 1, tzinfo=UTC))])
        else:
            posts = frame([])
        items += posts.height
        settings.tell(Step(NAME, step.get("unit", "all"), items))
        if "wait" in step:
            PLAN.with_suffix(".waiting").touch()
            time.sleep(60)
        if "alarm" in step:
            signal.raise_signal(signal.SIGALRM)  # as the clock does
        if "raise" in step:
            raise ERRORS[step["raise"]](step["words"])
        start, end = (datetime(2025, 5, 9, hour, tzinfo=UTC) for hour in (8, 12))
        reading = Reading(
            step.get("unit", "all"), "reddit", items=items, status=step.get("status", "running"),
            stop_reason=step.get("why", ""), observed_from=start, observed_to=end,
        )
        yield Batch(NAME, reading, posts, cursor=str(items))
'''


class Planned:
    """The tests' own collectors in the place of the real ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self,
        name: str,
        *steps: dict[str, Any],
        ready: str | None = None,
        check: dict[str, Any] = CHECK,
    ) -> Path:
        """A collector of this name that takes these steps; returns the path of its plan."""
        module = self.folder / f"{name.replace('-', '_')}.py"
        module.write_text(MODULE.format(name=name))
        plan = module.with_suffix(".json")
        plan.write_text(json.dumps({"ready": ready, "steps": steps, "check": check}))
        return plan

    def process(self, *words: str, **streams: int) -> subprocess.Popen[str]:
        """The command line in a process of its own, with these collectors."""
        code = (
            "import sys, collectors; collectors.__path__[:] = [sys.argv.pop(1),"
            " *collectors.__path__]; from cli.main import main; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code, str(self.folder), *words],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams,
            start_new_session=True,  # no terminal but the one it is given
            text=True,
        )


def planned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Planned:
    """Put the tests' own collectors first; those that a test does not write cannot run."""
    folder.mkdir()
    monkeypatch.setattr(collectors, "__path__", [str(folder), *collectors.__path__])
    plans = Planned(folder)
    for name in collectors.COLLECTORS:
        monkeypatch.delitem(sys.modules, f"collectors.{name.replace('-', '_')}", raising=False)
        plans.write(name, ready=f"{name}: no login; run aftershock setup")
    return plans
