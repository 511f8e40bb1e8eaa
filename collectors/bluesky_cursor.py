"""How far the stream has been read and stored, as the ledger keeps it: one short JSON.

A number of an event (`seq`) means something on its own server only, so the server goes with it; the
time at which the event was witnessed leads to the same place on every other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

GB = 1_000_000_000


@dataclass(frozen=True)
class Cursor:
    """The last event that was stored: where, its number (null on a v1 server), and when the server
    witnessed it, in microseconds since 1970 UTC. `month` and `bytes`: what was received in it."""

    host: str
    seq: int | None
    us: int
    month: str = ""
    bytes: int = 0

    def __str__(self) -> str:
        kind = "v1" if self.seq is None else "v2"
        named = {"host": self.host, "kind": kind, "seq": self.seq, "us": self.us}
        return json.dumps({**named, "month": self.month, "bytes": self.bytes})

    def received(self, month: str) -> int:
        """Bytes received in this month up to the cursor."""
        return self.bytes if self.month == month else 0


def read(text: str | None) -> Cursor | None:
    """The cursor in the ledger; None if there is none, or none that can be read."""
    try:
        raw = json.loads(text or "null")
        seq = raw["seq"]
        return Cursor(
            str(raw["host"]),
            None if seq is None else int(seq),
            int(raw["us"]),
            str(raw.get("month", "")),
            int(raw.get("bytes", 0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def this_month(now: datetime | None = None) -> str:
    return f"{now or datetime.now(UTC):%Y-%m}"
