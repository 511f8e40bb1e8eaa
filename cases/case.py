"""A case: one controversy that is watched, from one TOML file.

Loads and checks case files; docs/cases.md says what goes into one. It asks no source anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeAlias

from cases.authoring import feeling_words, plan, template
from cases.checks import (
    KINDS,
    LANGUAGE,
    NAME,
    PRECISIONS,
    SEARCH_LIMIT,
    SUBREDDIT,
    CaseError,
    Problem,
    Sheet,
    last_day,
)
from cases.query import Query, QueryError, parse

__all__ = [
    "Case",
    "CaseError",
    "Event",
    "feeling_words",
    "folder",
    "get",
    "load",
    "load_all",
    "plan",
    "template",
]

Day: TypeAlias = date  # inside Event, `date` is the event's

KEYS = (
    "title",
    "platform",
    "aliases",
    "summary",
    "since",
    "languages",
    "query",
    "bluesky",
    "reddit",
    "event",
    "demo",
)


@dataclass(frozen=True)
class Event:
    """Something that happened in the case. `date` is the start (UTC) of what is stated."""

    date: datetime
    precision: str  # hour | day | by | approx | month
    kind: str
    title: str
    source: str
    url: str | None = None

    @property
    def when(self) -> str:
        """Its date in words, no more precise than its source."""
        if self.precision == "month":
            return f"{self.date:%b %Y} (day not known)"
        on = f"{self.date.day} {self.date:%b %Y}"
        if self.precision == "hour":
            return f"{on} {self.date:%H:%M} UTC"
        return {"by": f"by {on}", "approx": f"about {on}"}.get(self.precision, on)

    @property
    def last(self) -> Day:
        """The last day (UTC) on which it may have happened, by what is stated."""
        return last_day(self.date, self.precision)


@dataclass(frozen=True)
class Case:
    """One controversy: what to ask the sources for, what of it to keep, and what happened when."""

    name: str
    title: str
    platform: str
    aliases: tuple[str, ...]
    summary: str
    since: date
    languages: tuple[str, ...]
    query: Query
    query_text: str
    query_hash: str
    bluesky_search: tuple[str, ...]
    reddit_subreddits: tuple[str, ...]
    reddit_search: tuple[str, ...]
    events: tuple[Event, ...]
    path: Path
    demo: bool = False


def folder() -> Path:
    """Where one's own cases lie: AFTERSHOCK_CASES, or else beside the cases that are shipped."""
    own = os.environ.get("AFTERSHOCK_CASES")
    return Path(own).expanduser() if own else _shipped()


def load_all() -> dict[str, Case]:
    """Every case by name: the shipped ones and those of AFTERSHOCK_CASES, which win.

    Raises CaseError with the problems of every file that cannot be used.
    """
    found: dict[str, Case] = {}
    problems: list[Problem] = []
    for name, path in sorted(_paths().items()):
        try:
            found[name] = load(path)
        except CaseError as error:
            problems.extend(error.problems)
    if problems:
        raise CaseError.of(problems)
    return found


def get(name: str) -> Case:
    """The case of this name. Raises CaseError, which lists the known names."""
    paths = _paths()
    if name not in paths:
        raise CaseError(f"No case is called {name!r}. The known cases are {', '.join(paths)}.")
    return load(paths[name])


def load(path: Path | str) -> Case:
    """Load one case file. Raises CaseError with everything that is wrong with it."""
    path = Path(path)
    sheet = Sheet(path.name, _toml(path))
    if not NAME.fullmatch(path.stem):
        sheet.wrong("file name", "expected lower-case letters, digits and _, such as my_case.toml")
    sheet.keys(KEYS)
    since = sheet.day("since")
    languages = sheet.words("languages", required=True)
    for language in languages:
        if not LANGUAGE.fullmatch(language):
            sheet.wrong("languages", f"expected codes such as en or fr, found {language!r}")
    query = _query(sheet)
    bluesky_search, subreddits, reddit_search = _asked(sheet)
    events = _events(sheet, since)
    title, platform, summary = (sheet.text(key) for key in ("title", "platform", "summary"))
    aliases, demo = sheet.words("aliases"), sheet.flag("demo")
    if sheet.problems or query is None or since is None:
        raise CaseError.of(sheet.problems)
    return Case(
        name=path.stem,
        title=title,
        platform=platform,
        aliases=aliases,
        summary=summary,
        demo=demo,
        since=since,
        languages=languages,
        query=query,
        query_text=query.text.strip(),
        query_hash=_query_hash(query, bluesky_search, subreddits, reddit_search),
        bluesky_search=bluesky_search,
        reddit_subreddits=subreddits,
        reddit_search=reddit_search,
        events=events,
        path=path,
    )


def _shipped() -> Path:
    return Path(__file__).parent


def _paths() -> dict[str, Path]:
    if not folder().is_dir():
        raise CaseError(f"AFTERSHOCK_CASES names {folder()}, which is no folder. Make it or unset.")
    return {path.stem: path for at in (_shipped(), folder()) for path in sorted(at.glob("*.toml"))}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        problem = Problem(path.name, "file", f"expected a file that can be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = Problem(path.name, "file", f"expected TOML in UTF-8: {error}")
    raise CaseError.of([problem])


def _query(sheet: Sheet) -> Query | None:
    if not sheet.text("query"):
        return None
    try:
        return parse(sheet.table["query"])
    except QueryError as error:
        sheet.wrong("query", f"{error}")
        return None


def _asked(sheet: Sheet) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What the sources are asked for: Bluesky phrases, subreddits, Reddit phrases."""
    bluesky, reddit = sheet.inner("bluesky"), sheet.inner("reddit")
    bluesky.keys(("search",))
    reddit.keys(("subreddits", "search"))
    phrases = _phrases(bluesky)
    for phrase in phrases:
        # What such words do in a search of Bluesky is left open by its documentation.
        if re.search(r"(^|\s)(AND|OR|NOT)\s", phrase):
            bluesky.wrong("search", f"expected one phrase an entry, without AND or OR: {phrase!r}")
    subreddits = reddit.words("subreddits")
    for name in subreddits:
        if not SUBREDDIT.fullmatch(name):
            reddit.wrong("subreddits", f"expected names such as duolingo, without r/: {name!r}")
    return phrases, subreddits, _phrases(reddit)


def _phrases(sheet: Sheet) -> tuple[str, ...]:
    phrases = sheet.words("search")
    for phrase in phrases:
        if len(phrase) > SEARCH_LIMIT:
            sheet.wrong("search", f"expected at most {SEARCH_LIMIT} characters: {phrase[:40]!r}...")
        if not any(char.isalnum() for char in phrase):
            sheet.wrong("search", f"expected a letter or digit in each entry, found {phrase!r}")
    return phrases


def _events(sheet: Sheet, since: date | None) -> tuple[Event, ...]:
    events: list[Event] = []
    for row in sheet.rows("event"):
        row.keys(("date", "precision", "kind", "title", "source", "url"))
        precision = row.choice("precision", PRECISIONS)
        kind, title, source = row.choice("kind", KINDS), row.text("title"), row.text("source")
        moment, url = row.moment("date", precision) if precision else None, row.https("url")
        if moment is None:
            continue
        if since and last_day(moment, precision) < since:
            row.wrong("date", f"expected a date not before since ({since}), found {moment.date()}")
        event = Event(moment, precision, kind, title, source, url)
        if (moment, kind, title) in {(other.date, other.kind, other.title) for other in events}:
            row.wrong("title", f"expected each event once, found {title!r} again on that date")
        events.append(event)
    # By the end of what is stated: "in May" must not seem to come before the 9th of May.
    return tuple(sorted(events, key=lambda event: (event.last, event.date)))


def _query_hash(
    query: Query,
    bluesky_search: tuple[str, ...],
    subreddits: tuple[str, ...],
    reddit_search: tuple[str, ...],
) -> str:
    """16 hex digits of SHA-256 over what decides which posts are in: the query and source terms."""
    terms = {
        "query": query.canonical(),
        "bluesky": sorted(bluesky_search),
        "subreddits": sorted(name.lower() for name in subreddits),
        "reddit": sorted(reddit_search),
    }
    text = json.dumps(terms, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
