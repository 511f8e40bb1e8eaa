"""What the live collectors are told: where credentials are, how far to go, whom to tell of it.

Only holds it. Who fills it in, from the environment and from files, is the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

LOOKBACK = timedelta(hours=1)
MOST_LOOKBACK = timedelta(hours=36)  # what Jetstream keeps


@dataclass(frozen=True)
class Step:
    """How far a unit of a source is: records read so far, and the share of it (0..1) if known."""

    collector: str
    unit: str
    items: int
    share: float | None = None


@dataclass(frozen=True)
class Settings:
    """How a run of the live collectors goes.

    `credentials` maps names as in the environment (AFTERSHOCK_BLUESKY_HANDLE) to values that never
    go into a log, an error or a table. `cache` is a folder of this user for what saves logins.
    `since` (inclusive) and `until` (exclusive), UTC, bound history; `budget` is the most requests
    of the run. `lookback` is where a stream begins that was never read, `follow` says that it is
    read until somebody stops it.
    """

    cache: Path
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    since: datetime | None = None
    until: datetime | None = None
    budget: int | None = None
    lookback: timedelta = LOOKBACK
    follow: bool = False
    progress: Callable[[Step], object] | None = None

    def tell(self, step: Step) -> None:
        if self.progress is not None:
            self.progress(step)
