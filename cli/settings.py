"""The one place where settings are made, of the command line's and the user's: the collectors', and
what the sources have permitted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import typer

from cases.terms import PERMISSIONS
from cli.credentials import find
from cli.times import instant, stretch
from collectors.settings import LOOKBACK, MOST_LOOKBACK, Settings
from store.location import cache_folder


def build(
    *,
    since: str | None = None,
    until: str | None = None,
    budget: int | None = None,
    lookback: str | None = None,
    follow: bool = False,
) -> Settings:
    """Settings from options as they were typed and from what is set on this machine.

    Raises BadParameter for what was mistyped, Stop for a credentials file that cannot be used.
    """
    window = _window(since, until)
    back = _lookback(lookback)
    found = find()
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Settings(
        cache=cache,
        credentials=found.values,
        since=window[0],
        until=window[1],
        budget=budget,
        lookback=back,
        follow=follow,
    )


def permissions() -> Mapping[str, str]:
    """Where the written permissions of the sources stand, for `cases.terms.permitted`: from the
    environment, `.env` or the credentials file, like a key. Raises Stop as `build` does."""
    found = find().values
    return {name: found[name] for name in PERMISSIONS.values() if name in found}


def _window(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Both ends in UTC. An end in the future is now: nothing can be read past it."""
    first, last = instant(since, "--since"), instant(until, "--until")
    now = datetime.now(UTC)
    if first is not None and first >= now:
        raise typer.BadParameter(f"--since {since} lies in the future.")
    if first is not None and last is not None and first >= last:
        raise typer.BadParameter(f"--since {since} is not before --until {until}.")
    return first, None if last is None else min(last, now)


def _lookback(text: str | None) -> timedelta:
    if text is None:
        return LOOKBACK
    back = stretch(text, "--lookback")
    if not timedelta(0) < back <= MOST_LOOKBACK:
        raise typer.BadParameter(
            f"--lookback {text}: the stream keeps {MOST_LOOKBACK // timedelta(hours=1)} hours, so"
            " it can begin at most that far back and has to begin somewhere before now. What is"
            " older comes by search: aftershock collect bluesky-search --since DAY"
        )
    return back
