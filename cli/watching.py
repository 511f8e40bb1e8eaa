"""How far a collector is, while it reads: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.progress import TaskID

from cli.console import err, out, progress, say, warn
from cli.times import took
from collectors.settings import Step

EVERY = 60.0  # seconds between two lines in a log
EVERY_FOLLOWED = 900.0


def log(text: str, *, error: bool = False) -> None:
    """A line of a command that cron runs: with its time (UTC), unless somebody is watching."""
    (warn if error else say)(_stamped(text, terminal=(err if error else out).is_terminal))


def _stamped(text: str, *, terminal: bool) -> str:
    return text if terminal else f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z {text}"


class Pace:
    """Says every so often how far each unit is, with its rate and the time left if known."""

    def __init__(
        self,
        tell: Callable[[str], object],
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._every, self._clock = tell, every, clock
        self._told = clock()
        self._begun: dict[tuple[str, str], float] = {}

    def __call__(self, step: Step) -> None:
        """Take note of a step, and say it if it is time to."""
        now = self._clock()
        begun = self._begun.setdefault((step.collector, step.unit), self._told)
        if now - self._told < self._every:
            return
        self._told = now
        self._tell(line(step, now - begun))


def line(step: Step, seconds: float) -> str:
    """One step in words: "bluesky-stream jetstream: 81,000 read (1,350 a second), 40 %, ..."."""
    parts = [f"{step.items:,} read so far"]
    if seconds > 0 and step.items:
        parts[0] += f" ({step.items / seconds:,.0f} a second)"
    if step.share is not None:
        parts.append(f"{100 * step.share:.0f} %")
        if 0 < step.share < 1 and seconds > 0:
            parts.append(f"about {took(seconds / step.share * (1 - step.share))} left")
    return f"{step.collector} {step.unit}: {', '.join(parts)}"


@contextmanager
def watching(*, follow: bool = False) -> Iterator[Callable[[Step], None]]:
    """What `Settings.progress` calls: a bar for the unit under way, or lines (standard error)."""
    if not err.is_terminal:
        yield Pace(lambda text: log(text, error=True), every=EVERY_FOLLOWED if follow else EVERY)
        return
    with progress(what="records") as bar:
        tasks: dict[tuple[str, str], TaskID] = {}

        def moved(step: Step) -> None:
            key = (step.collector, step.unit)
            if key not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[key] = bar.add_task(f"{step.collector} {step.unit}", total=None, rows=0)
            bar.update(
                tasks[key],
                visible=True,
                rows=step.items,
                total=None if step.share is None else 1.0,
                completed=step.share or 0.0,
            )

        yield moved
