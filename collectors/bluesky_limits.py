"""Which Jetstream servers to read, how many bytes in a month, and how long to wait for them.

What the settings say is checked here. Connects to nothing.
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from collectors.bluesky_cursor import GB, Cursor, this_month
from collectors.errors import UnfitError
from collectors.settings import Settings

HOSTS = ("wss://jetstream.us-east.bsky.network", "wss://jetstream.us-west.bsky.network")


class Month:
    """The bytes received in this month, earlier runs included."""

    def __init__(self, cursor: Cursor | None) -> None:
        self.name = this_month()
        self._before = cursor.received(self.name) if cursor else 0

    def received(self, run: int) -> int:
        """With what this run has received so far; only what came since, when a month begins."""
        if self.name != this_month():
            self.name, self._before = this_month(), -run
        return self._before + run


class Waits:
    """Waiting twice as long each time, `patience` seconds in all."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.start_again()

    def start_again(self) -> None:
        self.next, self.left = 1.0, self.patience

    def wait(self, asked: float) -> bool:
        """Wait, at least as long as asked; False when that would be too long."""
        seconds = max(self.next, asked)
        if seconds > self.left:
            return False
        time.sleep(seconds)
        self.left -= seconds
        self.next = min(2 * self.next, 64)
        return True


def hosts(settings: Settings) -> tuple[str, ...]:
    """The servers that the settings name, else Bluesky's own. UnfitError if it names none."""
    named = settings.credentials.get("AFTERSHOCK_JETSTREAM", "")
    given = tuple(host.strip().rstrip("/") for host in named.split(",") if host.strip())
    for host in given:
        parts = urlsplit(host)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise UnfitError(
                "AFTERSHOCK_JETSTREAM has to name servers as wss://HOST, parted by commas; it names"
                f" one that begins with {parts.scheme or 'no scheme'}. Leave it out for Bluesky's"
                " own servers."
            )
    return tuple(host.removesuffix("/xrpc") for host in given) or HOSTS


def cap(settings: Settings) -> float | None:
    """The most bytes to receive in a month; None without a limit. UnfitError if it is no number."""
    given = settings.credentials.get("AFTERSHOCK_JETSTREAM_MONTHLY_GB", "").strip()
    if not given:
        return None
    try:
        most = float(given) * GB
    except ValueError:
        most = -1
    if not most >= 0:
        raise UnfitError("AFTERSHOCK_JETSTREAM_MONTHLY_GB has to be a number of gigabytes, as 40.")
    return most
