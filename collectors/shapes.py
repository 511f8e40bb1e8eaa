"""Recognising what a record is from its keys, and proposing a `--map` where nothing fits.

A shape is recognised a record at a time, since one file may hold submissions and comments.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from collectors import normalise
from collectors.normalise import Gone, Raw, Row
from collectors.values import BadRecord, described, moment
from store.schema import RAW_POST

Normaliser = Callable[[Raw, datetime, datetime], Row | Gone]

# Our names in a --map, each with the names that files have for it, the likeliest first.
SIMILAR: dict[str, tuple[str, ...]] = {
    "uri": ("uri", "at_uri", "post_uri"),
    "id": (
        "id",
        "post_id",
        "comment_id",
        "submission_id",
        "fullname",
        "name",
        "rkey",
        "pid",
        "key",
    ),
    "source": ("source", "platform", "network", "site"),
    "kind": ("kind", "type", "post_type", "item_type"),
    "author": (
        "author",
        "did",
        "author_did",
        "author.did",
        "user",
        "username",
        "author_name",
        "by",
    ),
    "community": ("community", "subreddit", "sub", "forum"),
    "text": (
        *("text", "body", "selftext", "content", "message", "comment", "full_text", "comment_text"),
        *("post_text", "record.text", "post", "caption", "tweet"),
    ),
    "title": ("title", "headline", "subject", "post_title"),
    "langs": ("langs", "lang", "language", "languages", "record.langs"),
    "at": (
        *("at", "created_utc", "created_at", "createdat", "record.createdat", "created", "time"),
        *("timestamp", "datetime", "date", "published", "published_at", "posted_at", "posted"),
    ),
    "parent": ("parent", "parent_id", "reply_to", "in_reply_to", "parent_uri"),
    "root": ("root", "link_id", "thread", "thread_id", "root_uri", "root_id"),
    "quoted": ("quoted", "quoted_uri", "crosspost_parent", "quote"),
    "likes": ("likes", "like_count", "likecount", "score", "ups", "upvotes", "points", "favorites"),
    "reposts": ("reposts", "repost_count", "repostcount", "shares", "retweets"),
    "replies": ("replies", "reply_count", "replycount", "num_comments", "comment_count"),
}
NAMES = (*SIMILAR, "time")  # `time` is another word for `at`
LITERAL = re.compile(r"'([^']*)'|\"([^\"]*)\"")
COLUMNS_SHOWN = 40
LONGEST_NAME, MOST_BLANKS = 60, 4  # longer than that it is a sentence, and no name of a column

KNOWN = (
    "Arctic Shift or Pushshift submissions and comments; flat Reddit records (kind t1 or t3, id, "
    "created_utc, text); Aftershock's own posts"
)


class ShapeError(ValueError):
    """A file that cannot be imported as it is; the message says what to do."""


def recognise(record: Raw) -> Normaliser | None:
    """The function that makes a row of such a record, or None if its keys are of no known shape."""
    keys = record.keys()
    if "created_utc" in keys:
        if "body" in keys and not record.get("title"):
            return _dump_comment
        if "kind" in keys and "text" in keys and record["kind"] in ("t1", "t3"):
            return normalise.reddit_flat
        # Old dumps lack name, permalink and upvote_ratio; nothing but the text is in all of them.
        if "title" in keys and "selftext" in keys:
            return _dump_submission
        return None
    return normalise.own if keys == _OWN else None


def is_dump(record: Raw) -> bool:
    """Whether the record is a line of an Arctic Shift or Pushshift dump."""
    return recognise(record) in (_dump_comment, _dump_submission)


def mapping(names: Mapping[str, str]) -> Normaliser:
    """The function that reads records by a --map: our name -> their column, or 'literal'.

    A column "a.b" that is not there by that name is b inside of a. ShapeError for a name that is
    not ours.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ShapeError(
            f"--map: {unknown[0]!r} is not one of our columns. They are: {', '.join(NAMES)}."
        )
    plan: list[tuple[str, str | None, str]] = []
    for ours, theirs in names.items():
        literal = LITERAL.fullmatch(theirs)
        value = (literal[1] or literal[2] or "") if literal else None
        plan.append(("at" if ours == "time" else ours, value, theirs))

    def read(record: Raw, asked: datetime, now: datetime) -> Row | Gone:
        ours = {
            name: value if value is not None else lookup(record, column)
            for name, value, column in plan
        }
        return normalise.mapped(ours, asked, now)

    return read


def columns_of(names: Mapping[str, str]) -> list[str]:
    """The columns of the file that a --map asks for."""
    return [column for column in names.values() if not LITERAL.fullmatch(column)]


def lookup(record: Raw, column: str) -> Any:
    """The value of a column, also inside nested records ("record.text"); None if it is absent."""
    value: Any = record
    if column in record:
        return record[column]
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def has(record: Raw, column: str) -> bool:
    """Whether the record has the column, with or without a value."""
    if column in record:
        return True
    outer, _, inner = column.partition(".")
    value = record.get(outer)
    return bool(inner) and isinstance(value, Mapping) and has(value, inner)


def columns(records: Iterable[Raw]) -> list[str]:
    """Every column of the records, nested ones with a dot, in the order they appear."""
    found: dict[str, None] = {}
    for record in records:
        for name, value in record.items():
            inner = [f"{name}.{key}" for key in value] if isinstance(value, Mapping) else []
            found.update(dict.fromkeys(inner or [name]))
    return list(found)


def shown(records: Iterable[Raw]) -> str:
    """The columns for a message. In a table without a header they are somebody's words, of which
    it tells the kind, as of any other value."""
    names = columns(records)
    parts = [name if _is_name(name) else f"({described(name)})" for name in names[:COLUMNS_SHOWN]]
    more = f" and {len(names) - COLUMNS_SHOWN} more" if len(names) > COLUMNS_SHOWN else ""
    return f"{', '.join(parts)}{more}"


def _is_name(column: str) -> bool:
    return len(column) <= LONGEST_NAME and column.count(" ") < MOST_BLANKS and not _is_time(column)


def unknown_shape(path: str, sample: Sequence[Raw], now: datetime) -> ShapeError:
    """The error for a file of no known shape: its columns, and a --map that was tried on it."""
    names = columns(sample)
    if not all(map(_is_name, names)):
        return ShapeError(
            f"{path}: no known shape. Its first line looks like a record and not like the names of"
            f" columns: {shown(sample)}. Put a line with names before it, such as id,text,at, or"
            " name the columns with --map if these are names."
        )
    message = (
        f"{path}: no known shape. Its columns: {shown(sample)}. Known by themselves: {KNOWN}. "
    )
    guess = suggest(names, sample)
    try:
        works = "text" in guess and any(_reads(guess, record, now) for record in sample)
        problem = "" if works else _problem(guess, sample[0], now)
    except BadRecord as error:
        problem = str(error)
    if problem:
        return ShapeError(
            f"{message}No --map could be found that works ({problem}). Name the columns yourself: "
            "--map \"id=...,text=...,at=...,source='reddit'\""
        )
    option = ",".join(f"{ours}={theirs}" for ours, theirs in guess.items())
    literal = LITERAL.fullmatch(guess["source"])
    assumed = f" and the posts are from {literal[1].capitalize()}" if literal else ""
    return ShapeError(
        f"{message}This would read it, if the columns mean what they are called{assumed}:\n"
        f"  aftershock import {shlex.quote(path)} --map {_quoted(option)}"
    )


def suggest(names: Sequence[str], sample: Sequence[Raw]) -> dict[str, str]:
    """A guess which columns are ours, by their names and the values in the sample."""
    by_name = {name.lower(): name for name in reversed(names) if "," not in name}
    guess: dict[str, str] = {}
    for ours, theirs in SIMILAR.items():
        fitting = (by_name[name] for name in theirs if name in by_name)
        column = next((c for c in fitting if _fits(ours, _values(sample, c))), None)
        if column is not None and column not in guess.values():
            guess[ours] = column
    free = [c for c in by_name.values() if c not in guess.values()]
    if "at" not in guess:
        _take(guess, "at", [c for c in free if _fits("at", _values(sample, c))])
    if "text" not in guess:
        lengths = {c: _length(_values(sample, c)) for c in free if c not in guess.values()}
        _take(
            guess,
            "text",
            sorted((c for c in lengths if lengths[c] > 20), key=lambda c: -lengths[c]),
        )
    if "uri" in guess:
        guess.pop("id", None)
    elif "id" not in guess:
        left = [c for c in free if c not in guess.values()]
        _take(guess, "id", [c for c in left if _tells_apart(_values(sample, c), len(sample))])
    if "source" not in guess:
        guess["source"] = f"'{_source(guess, sample)}'"
    return guess


def _dump_submission(record: Raw, asked: datetime, now: datetime) -> Row | Gone:
    return normalise.reddit_submission(record, asked, now, entities=True)


def _dump_comment(record: Raw, asked: datetime, now: datetime) -> Row | Gone:
    return normalise.reddit_comment(record, asked, now, entities=True)


_OWN = RAW_POST.keys()


def _reads(guess: Mapping[str, str], record: Raw, now: datetime) -> bool:
    try:
        mapping(guess)(record, now, now)
    except BadRecord:
        return False
    return True


def _problem(guess: Mapping[str, str], record: Raw, now: datetime) -> str:
    if "text" not in guess:
        return "no column looks like text"
    mapping(guess)(record, now, now)
    return "none of the first records could be read"


def _quoted(option: str) -> str:
    """For a shell: in double quotes, which leave the quotes of literals readable, if that holds."""
    return shlex.quote(option) if re.search(r'["$`\\!]', option) else f'"{option}"'


def _values(sample: Sequence[Raw], column: str) -> list[Any]:
    values = (lookup(record, column) for record in sample)
    return [value for value in values if value is not None]


def _fits(ours: str, values: list[Any]) -> bool:
    """Whether the values of a column can be what the name of the column promises."""
    first = values[0] if values else None
    if ours in ("source", "kind"):
        allowed = normalise.SOURCES if ours == "source" else normalise.KINDS
        return bool(values) and all(
            isinstance(value, str) and value.strip().lower() in allowed for value in values
        )
    if ours == "at":
        return bool(values) and all(_is_time(value) for value in values)
    if ours == "uri":
        return isinstance(first, str) and first.startswith(("at://", "reddit:"))
    if ours in ("text", "title", "community"):
        return isinstance(first, str)
    return first is not None


def _tells_apart(values: list[Any], records: int) -> bool:
    """Whether the values can be ids: one for each record, no two alike, short, no blanks."""
    ids = {str(value) for value in values if isinstance(value, str | int)}
    return len(ids) == records and all(0 < len(i) <= 64 and not re.search(r"\s", i) for i in ids)


def _is_time(value: Any) -> bool:
    at = moment(value)
    return at is not None and at.year >= 2005


def _length(values: list[Any]) -> float:
    texts = [len(value) for value in values if isinstance(value, str)]
    return sum(texts) / len(texts) if texts else 0


def _take(guess: dict[str, str], ours: str, candidates: list[str]) -> None:
    if candidates:
        guess[ours] = candidates[0]


def _source(guess: Mapping[str, str], sample: Sequence[Raw]) -> str:
    for name in ("uri", "id", "author"):
        for value in _values(sample, guess[name]) if name in guess else []:
            if isinstance(value, str) and value.startswith(("at://", "did:")):
                return "bluesky"
    return "reddit"
