"""Single values as sources write them, read strictly or leniently: times, counts, words, ids.

Knows no shape of record (that is normalise.py) and no file (that is files.py).
"""

from __future__ import annotations

import html
import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

FIRST_YEAR = 2005  # Reddit's first year; Bluesky is younger
SKEW = timedelta(minutes=2)  # what Bluesky allows a client's clock to be ahead
DAY = timedelta(days=1)

COUNT_LIMIT = 2**63

# What Reddit puts in the place of a text that is gone. The whole text has to be the marker:
# "[removed] my old comment" is somebody's sentence.
MARKER = re.compile(
    r"\\?\[\s*(?:deleted|removed|unavailable)(?:\s+(?:by|in|on|due|for|from)\b[^\[\]]*)?\s*\\?\]",
    re.IGNORECASE,
)
FULLNAME = re.compile(r"(?:(t[13])_)?([0-9a-z]{1,13})")
REDDIT_URI = re.compile(r"reddit:(t[13])_[0-9a-z]{1,13}")
# A handle in the place of the DID is refused: it names a person and changes hands.
BLUESKY_URI = re.compile(
    r"at://(did:[a-z]+:[A-Za-z0-9._:%-]{1,256})/app\.bsky\.feed\.post/([A-Za-z0-9._:~-]{1,512})"
)
HANDLE_URI = re.compile(r"at://(?!did:)[^/\s]+/app\.bsky\.feed\.post/")

# TIDs are 13 digits of base32-sortable: bit 64 (and the padding above it) is 0, then 53 bits of
# microseconds since 1970 and 10 bits of clock id (atproto.com/specs/tid).
TID = re.compile(r"[234567ab][234567abcdefghijklmnopqrstuvwxyz]{12}")
_SORTABLE_TO_BASE32 = str.maketrans(
    "234567abcdefghijklmnopqrstuvwxyz", "0123456789abcdefghijklmnopqrstuv"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadRecord(ValueError):  # noqa: N818 - it is the record that is bad, not the program
    """A record that cannot become a row; the message says why. It is counted, never fatal."""


def described(value: Any) -> str:
    """What kind of value it is, for messages. Never what it says.

    Messages go to terminals and logs, and under a wrong --map any value may be somebody's words.
    """
    if isinstance(value, str):
        return f"text of {len(value):,} characters"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, list):
        return "a list"
    return "a record" if isinstance(value, dict) else f"a value of type {type(value).__name__}"


def is_marker(text: str) -> bool:
    """Whether the text is only a sign that there was one: "[deleted]", "[ Removed by Reddit ]"."""
    return len(text) < 200 and "[" in text and MARKER.fullmatch(text.strip()) is not None


def words(value: Any, *, entities: bool = False) -> str | None:
    """A text as Unicode that can be stored, or None when the value is no text.

    `entities` turns &amp; and the like into characters, once. Half surrogate pairs (JSON can
    escape them) become U+FFFD, since no UTF-8 file can hold them; NUL characters are left out.
    """
    if not isinstance(value, str):
        return None
    if entities and "&" in value:
        value = html.unescape(value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text: str = value
    return text.replace("\0", "") if "\0" in text else text


def count(value: Any) -> int | None:
    """A whole number, also from "12", 12.0 or "12.0"; None for everything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = int(value)
    return value if -COUNT_LIMIT <= value < COUNT_LIMIT else None


def flag(value: Any) -> bool:
    """Whether the value says yes: true, 1, or the words that CSV writers make of true."""
    return value is True or value == 1 or value in ("True", "true", "TRUE", "1")


def languages(value: Any) -> list[str]:
    """Declared languages: a list as it is, or one word, "en fr", "en,fr" or a JSON list."""
    if isinstance(value, str):
        if value.startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return []
        else:
            value = re.split(r"[\s,;|]+", value)
    if not isinstance(value, list):
        return []
    found = (words(lang) for lang in value)
    return list(dict.fromkeys(lang for lang in found if lang))


def moment(value: Any) -> datetime | None:
    """A time in UTC from epoch seconds (also milli- or microseconds, also as text) or ISO 8601.

    Without an offset it is taken as UTC. None when it is missing or cannot be read.
    """
    try:
        if type(value) is int and 0 <= value < 1e11:
            return datetime.fromtimestamp(value, UTC)  # nearly every record
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if abs(value) > 1e14:  # in seconds that would be three million years ahead
                value = value / 1e6
            elif abs(value) > 1e11:  # and this three thousand
                value = value / 1e3
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _parsed(text: str) -> int | float | datetime:
    text = text.strip()
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return datetime.fromisoformat(text)


def posted(value: Any, now: datetime) -> datetime:
    """When a post was written, in UTC. BadRecord if it is missing, unreadable or absurd."""
    if value is None:
        raise BadRecord("no time")
    at = moment(value)
    if at is None:
        raise BadRecord(f"a time expected (epoch seconds or ISO 8601), found {described(value)}")
    if at.year < FIRST_YEAR:
        raise BadRecord(f"dated {at:%Y-%m-%d}, before {FIRST_YEAR}")
    if at > now + DAY:
        raise BadRecord(f"dated {at:%Y-%m-%d}, in the future")
    return at


def tid_moment(rkey: str, seen: datetime) -> datetime | None:
    """The time inside a Bluesky record key, UTC; None if it is no TID or not believable.

    Not believable is a time more than two minutes after `seen`, when somebody already had the
    post, or before 2005: record keys are chosen by the author's software.
    """
    if TID.fullmatch(rkey) is None:
        return None
    micros = int(rkey.translate(_SORTABLE_TO_BASE32), 32) >> 10
    try:
        at = _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None
    return at if at.year >= FIRST_YEAR and at <= seen + SKEW else None


def fullname(value: Any, kind: str) -> str:
    """`t3_abc` from "abc" or "t3_abc"; `kind` is t1 or t3. BadRecord if it is no such id."""
    if value is None or value == "":
        raise BadRecord("no id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = FULLNAME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise BadRecord(f"a Reddit id expected (t3_abc, t1_abc or abc), found {described(value)}")
    if found[1] not in (None, kind):
        expected = "comment" if kind == "t1" else "post"
        raise BadRecord(f"the id is not that of a {expected} (it begins with {found[1]}_)")
    return f"{kind}_{found[2]}"


def reference(value: Any, kind: str | None = None) -> str | None:
    """The uri of another Reddit post, from "t3_abc" or, where `kind` is given, "abc"; or None."""
    found = FULLNAME.fullmatch(value) if isinstance(value, str) else None
    if found is None or (found[1] or kind) is None:
        return None
    return f"reddit:{found[1] or kind}_{found[2]}"
