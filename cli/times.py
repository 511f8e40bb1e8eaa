"""Times as people type them on the command line: days, instants and stretches, all in UTC.

A mistake is one of the command line (exit code 2), answered with what was expected.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_STRETCH = re.compile(r"(\d{1,6})(min|m|h|d)")
_UNITS = {"min": "minutes", "m": "minutes", "h": "hours", "d": "days"}


def instant(text: str | None, name: str) -> datetime | None:
    """A date or ISO time as a UTC instant; without a zone it is UTC already.

    Raises BadParameter with what was expected when it is neither.
    """
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{name} {text}: expected a day such as 2025-05-01 or a time such as 2025-05-01T12:00Z."
        ) from None
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise typer.BadParameter(f"{name} {text}: no such time in UTC.") from None


def stretch(text: str, name: str) -> timedelta:
    """A stretch of time: 90m, 6h, 1d. Raises BadParameter when it is none."""
    found = _STRETCH.fullmatch(text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"{name} {text}: expected a stretch of time such as 90m or 6h.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def took(seconds: float) -> str:
    """A stretch of time to read: "8 s", "4 min 12 s", "2 h 5 min"."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
