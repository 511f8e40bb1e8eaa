"""What a line of a Reddit dump says of its record being deleted, told without parsing it.

One submission in five says so: parsing them all would take longer than everything else. What cannot
be told from the bytes next to a mark is left to whoever parses. The same facts as in
`normalise._removed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from collectors.normalise import NOTHING
from collectors.values import is_marker

# Patterns that are looked for in whole blocks; what they find is judged one by one.
MARKS = {
    "later": [r'was_deleted_later"\s*:\s*"?(?:[tT]rue|TRUE|1)["\s,}]'],
    "category": [r'removed_by_category"\s*:\s*"'],
    "reason": [r'collapsed_reason_code"\s*:\s*"DELETED"'],
    # A text that begins with a bracket. Blanks before it are looked for behind the keys of texts
    # only: behind any quote they make the whole search take twice as long.
    "marker": [
        r'"\[(?:\s|\\.|[druDRU])',
        *(rf'{key}"\s*:\s*"(?:\s|\\.|[\x80-\xff])+\[' for key in ("body", "text", "title")),
    ],
}
SUBMISSION = re.compile(rb'"(?:selftext|title|edited_title)"\s*:\s*$')
COMMENT = re.compile(rb'"(?:body|edited_title)"\s*:\s*$')
META = re.compile(rb'[{,]\s*"_meta"\s*:\s*$')
# Others may be values of a record inside of this one.
CATEGORIES = frozenset(
    "reddit moderator automod_filtered deleted content_takedown author copyright_takedown"  # noqa: SIM905
    " community_ops anti_evil_ops".split()
)


def says_gone(line: bytes, marks: Iterable[tuple[str, int]], *, submission: bool) -> bool | None:
    """Whether a line says that its own record is deleted; None where only parsing can tell.

    The line has one id, one title at most and repeats no other post; `marks` are names of `MARKS`
    and the places where they end.
    """
    if (b'"selftext"' if submission else b'"body"') not in line:
        return None
    judged = (_judged(line, mark, end, submission=submission) for mark, end in marks)
    unsure = False
    for gone in judged:
        if gone:
            return True
        unsure |= gone is None
    return None if unsure else False


def _judged(line: bytes, mark: str, end: int, *, submission: bool) -> bool | None:
    match mark:
        case "later":
            return _of_itself(line, end - 1)
        case "category":
            return _category(line, end)
        case "reason":
            return not submission
        case _:
            return _marker(line, end, SUBMISSION if submission else COMMENT)


def _of_itself(line: bytes, end: int) -> bool | None:
    """Whether a fact stands directly in the `_meta` of the record."""
    opened = line.rfind(b"{", 0, end)
    plain = b"}" not in line[opened:end] and META.search(line, 0, opened) is not None
    return True if plain else None


def _category(line: bytes, end: int) -> bool | None:
    value = line[end : line.find(b'"', end)].decode("utf-8", "replace")
    if value.lower() in NOTHING:
        return False
    # Gone at the first look and back at the second: the category of the first is left standing.
    return True if value in CATEGORIES and b"was_initially_deleted" not in line else None


def _marker(line: bytes, end: int, texts: re.Pattern[bytes]) -> bool | None:
    """Whether a whole text says that there was one."""
    quote = _opening(line, end)
    if texts.search(line, max(quote - 30, 0), quote) is None:
        return False
    value = line[quote + 1 : line.find(b'"', quote + 1)]
    if b"\\" in value:
        return None
    return is_marker(value.decode("utf-8", "replace"))


def _opening(line: bytes, end: int) -> int:
    """The quote before this place that is not escaped."""
    quote = line.rfind(b'"', 0, end)
    while quote > 0 and line[quote - 1] == ord("\\"):
        quote = line.rfind(b'"', 0, quote)
    return quote
