"""Reads the tables of a case file key by key and collects everything that is wrong with them.

It knows what a value may look like, not what it is used for, and opens no file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

KINDS = (
    "policy_change",
    "discovery",
    "company_response",
    "reversal",
    "effective",
    "backlash_peak",
)
PRECISIONS = ("hour", "day", "by", "approx", "month")
SEARCH_LIMIT = 512  # characters: Reddit answers a longer search with 400
SUBREDDIT = re.compile(r"[A-Za-z0-9_]{2,21}")
NAME = re.compile(r"[a-z][a-z0-9_]*")
LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a case file: where, and what was expected there."""

    file: str
    key: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.expected}"


class CaseError(ValueError):
    """A case that cannot be used. The message has every problem; file, key, expected the first."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems
        first = problems[0] if problems else Problem("", "", message)
        self.file, self.key, self.expected = first.file, first.key, first.expected

    @classmethod
    def of(cls, problems: list[Problem]) -> CaseError:
        return cls("\n".join(map(str, problems)), tuple(problems))


@dataclass
class Sheet:
    """One table of a case file. What is wrong goes to `problems`; the value given is then empty."""

    file: str
    table: Mapping[str, Any]
    where: str = ""
    problems: list[Problem] = field(default_factory=list)

    def wrong(self, key: str, expected: str) -> None:
        self.problems.append(Problem(self.file, f"{self.where}{key}", expected))

    def keys(self, allowed: Collection[str]) -> None:
        for key in self.table:
            if key not in allowed:
                self.wrong(key, f"no such key; expected one of {', '.join(allowed)}")

    def inner(self, key: str) -> Sheet:
        """The table under `key`, empty when it is not there."""
        table = self.table.get(key, {})
        if not isinstance(table, dict):
            self.wrong(key, f"expected a table, written as [{key}], found {_shown(table)}")
            table = {}
        return Sheet(self.file, table, f"{self.where}{key}.", self.problems)

    def rows(self, key: str) -> list[Sheet]:
        """The tables under [[key]], none when it is not there."""
        rows = self.table.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.wrong(key, f"expected tables, each written as [[{key}]], found {_shown(rows)}")
            rows = []
        return [Sheet(self.file, r, f"{key} {n}, ", self.problems) for n, r in enumerate(rows, 1)]

    def text(self, key: str, *, required: bool = True) -> str:
        value = self.table.get(key)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, f"expected a text that is not empty, found {_shown(value)}")
            return ""
        return value.strip()

    def choice(self, key: str, allowed: Collection[str]) -> str:
        value = self.table.get(key)
        if not isinstance(value, str) or value not in allowed:
            self.wrong(key, f"expected one of {', '.join(allowed)}, found {_shown(value)}")
            return ""
        return value

    def flag(self, key: str) -> bool:
        value = self.table.get(key, False)
        if not isinstance(value, bool):
            self.wrong(key, f"expected true or false, found {_shown(value)}")
            return False
        return value

    def words(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """A list of texts, each once (capitals aside)."""
        value = self.table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
            self.wrong(key, f"expected a list of texts, found {_shown(value)}")
            return ()
        words = tuple(" ".join(v.split()) for v in value)
        if required and not words:
            self.wrong(key, "expected a list of at least one text")
        seen: set[str] = set()
        for word in words:
            if word.lower() in seen:
                self.wrong(key, f"expected each entry once, found {_shown(word)} again")
            seen.add(word.lower())
        return words

    def day(self, key: str) -> date | None:
        value = self.table.get(key)
        if not isinstance(value, date) or isinstance(value, datetime):
            self.wrong(key, f"expected a date such as 2025-05-14, found {_shown(value)}")
            return None
        return value

    def moment(self, key: str, precision: str) -> datetime | None:
        """When an event happened: the start of what is stated, in UTC."""
        value = self.table.get(key)
        if precision == "hour":
            if isinstance(value, datetime) and value.tzinfo is not None:
                return value.astimezone(UTC)
            example = "a date with time and zone such as 2025-05-14T15:00:00Z"
        elif precision == "month":
            if isinstance(value, str) and re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", value):
                return datetime(int(value[:4]), int(value[5:]), 1, tzinfo=UTC)
            example = 'a month in quotes such as "2025-05"'
        else:
            if isinstance(value, date) and not isinstance(value, datetime):
                return datetime(value.year, value.month, value.day, tzinfo=UTC)
            example = "a date such as 2025-05-14"
        self.wrong(key, f"expected {example} (precision {precision}), found {_shown(value)}")
        return None

    def https(self, key: str) -> str | None:
        value = self.table.get(key)
        if value is None:
            return None
        if isinstance(value, str) and not re.search(r"\s", value):
            try:
                parts = urlsplit(value)
            except ValueError:
                parts = urlsplit("")
            if parts.scheme == "https" and parts.hostname:
                return value
        self.wrong(key, f"expected an address that begins with https://, found {_shown(value)}")
        return None


def last_day(moment: datetime, precision: str) -> date:
    """The last day an event may have happened on, by what is stated about it."""
    if precision != "month":
        return moment.date()
    return (moment + timedelta(days=31)).replace(day=1).date() - timedelta(days=1)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    shown = f"{value}" if isinstance(value, date) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
