"""How far a search phrase has been read: the cursor that the ledger keeps for it.

A phrase's cursor says, for each case that asks for it and the query the case had, which stretches
of time were read in full and at which ages the posts in them were looked at for replies and quotes.
It holds times only: the server's own cursors die within a day (bluesky-social/atproto#5211), and a
post's uri would name its author in the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cases.case import Case
from collectors.stretches import Stretches, common, common_to_all, joined, without

READ, CAPPED = "read", "capped"
# Replies and quotes of a post come for days. Each post is looked at when it is first read and again
# at these ages; what was read later than that needs the later looks only once.
LOOKS = (timedelta(0), timedelta(hours=1), timedelta(days=1), timedelta(days=4))


@dataclass
class Progress:
    """What was read of one phrase, for the cases of this run (and, unchanged, for others)."""

    cases: tuple[str, ...]  # name@hash of those that ask for it now
    done: dict[str, dict[str, Stretches]] = field(default_factory=dict)

    @classmethod
    def of(cls, cases: Sequence[Case], cursor: str | None) -> Progress:
        """From a cursor; what cannot be understood, and what was read for another query of the same
        case, counts as never read."""
        mine = tuple(f"{case.name}@{case.query_hash}" for case in cases)
        names = {case.name for case in cases}
        done = _parsed(cursor)
        kept = {
            key: value
            for key, value in done.items()
            if key in mine or key.partition("@")[0] not in names
        }
        return cls(mine, kept)

    def cursor(self) -> str:
        return json.dumps(
            {
                case: {
                    name: [[_text(start), _text(end)] for start, end in stretches]
                    for name, stretches in parts.items()
                    if stretches
                }
                for case, parts in self.done.items()
            },
            separators=(",", ":"),
            sort_keys=True,
        )

    def read(self) -> Stretches:
        """What was read in full for every case that asks now."""
        return self._common(READ)

    def capped(self) -> Stretches:
        """What holds more posts than the server shows, so that asking again brings no more."""
        return self._common(CAPPED)

    def add_capped(self, stretches: Stretches) -> None:
        self._add(CAPPED, stretches)

    def add_read(self, stretches: Stretches) -> None:
        self._add(READ, stretches)

    def forget(self, stretches: Stretches) -> None:
        """Nothing is known of these after all."""
        for case in self.cases:
            parts = self.done.get(case, {})
            for name, known in parts.items():
                parts[name] = without(known, stretches)

    def add_looked(self, stretches: Stretches, now: datetime) -> None:
        """Their posts were looked at now: that is every look whose age they have reached."""
        for number, age in enumerate(LOOKS):
            self._add(str(number), common(stretches, ((_FIRST, max(_FIRST, now - age)),)))

    def to_look_at(self, window: Stretches, now: datetime) -> Stretches:
        """Stretches that were read and whose posts are due for a look at their replies and quotes.

        A look waits until a quarter of its age has come together, so that a run every five minutes
        does not ask for five minutes of last week each time.
        """
        due: Stretches = ()
        read = common(self.read(), window)
        for number, age in enumerate(LOOKS):
            ripe = max(_FIRST, now - age)
            left = without(common(read, ((_FIRST, ripe),)), self._common(str(number)))
            due = joined(
                (*due, *((a, b) for a, b in left if b - a >= age / 4 or b <= ripe - age / 4))
            )
        return due

    def _common(self, name: str) -> Stretches:
        return common_to_all([self.done.get(case, {}).get(name, ()) for case in self.cases])

    def _add(self, name: str, stretches: Stretches) -> None:
        for case in self.cases:
            parts = self.done.setdefault(case, {})
            parts[name] = joined((*parts.get(name, ()), *stretches))


_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parsed(cursor: str | None) -> dict[str, dict[str, Stretches]]:
    try:
        return {
            str(case): {
                str(name): joined((_moment(start), _moment(end)) for start, end in stretches)
                for name, stretches in parts.items()
            }
            for case, parts in json.loads(cursor or "{}").items()
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC)
