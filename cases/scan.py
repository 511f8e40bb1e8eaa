"""Looks over the characters of a query before it is parsed, and holds the error a query raises.

What Lucene would take in a way that nobody means (ranges, boosts, a comma, a typographic quote) is
refused here with its position and what to write instead. The structure is grammar.py's business.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NoReturn

FAR = 50  # the widest proximity: beyond it two words have no more to do with each other
DEEP = 40  # parentheses within parentheses


class QueryError(ValueError):
    """A query that cannot be read: `line` and `column` count from 1."""

    def __init__(self, text: str, at: int, advice: str) -> None:
        before = text[:at]
        self.line = before.count("\n") + 1
        self.column = at - (before.rfind("\n") + 1) + 1
        place = f"column {self.column}"
        if "\n" in text.strip():
            place = f"line {self.line}, {place}"
        super().__init__(f"{place}: {advice}")


# What Lucene or a habit from elsewhere may put outside quotes, and what to write instead.
_ANYWHERE = {
    "“": 'write straight quotes: "open letter"',
    "”": 'write straight quotes: "open letter"',
    "„": 'write straight quotes: "open letter"',
    "«": 'write straight quotes: "lettre ouverte"',
    "»": 'write straight quotes: "lettre ouverte"',
    "?": "? stands for nothing here; write the words out, joined with OR",
    "\\": "a backslash escapes nothing here; put the words in quotes",
    "[": "ranges are not part of the query language; remove the bracket",
    "]": "ranges are not part of the query language; remove the bracket",
    "{": "ranges are not part of the query language; remove the brace",
    "}": "ranges are not part of the query language; remove the brace",
    "<": "comparisons are not part of the query language; remove the sign",
    ">": "comparisons are not part of the query language; remove the sign",
    "=": "= means nothing here; a field is written with a colon, such as community:duolingo",
    "~": "fuzzy words are not part of the query language; write the beginning of a word, as train*",
    "^": "boosts are not part of the query language, a post matches or it does not; remove ^",
    "+": "+ is not part of the query language; words side by side are all required",
    "|": "write OR in place of |",
    "!": "write AND NOT in place of !",
    ",": "a comma parts nothing here; write AND or OR, or put the words in quotes",
    ";": "a semicolon parts nothing here; write AND or OR, or put the words in quotes",
}
_AT_START = {
    "/": "regular expressions are not part of the query language; write words joined with OR",
    "-": "write AND NOT in place of -",
    "'": 'write double quotes: "open letter"',
    "&": "write AND in place of &",
}


def scan(text: str) -> None:
    """Refuse, character by character, what luqum would read in a way nobody means."""
    if not text.strip():
        raise QueryError(text, 0, "the query is empty; write at least one word to look for")
    opened: list[int] = []
    at = 0
    while at < len(text):
        if text[at] == '"':
            at = _quoted(text, at)
            continue
        if advice := _refused(text, at):
            raise QueryError(text, at, advice)
        if text[at] == "(":
            opened.append(at)
        if text[at] == ")":
            _close(text, at, opened)
        at += 1
    if opened:
        raise QueryError(text, opened[-1], "this parenthesis is never closed; write ) at its end")
    if new := next((n for n, char in enumerate(text) if unicodedata.category(char) == "Cn"), None):
        raise QueryError(text, new, "this character is too new to be searched for; remove it")


def _refused(text: str, at: int) -> str | None:
    """What to write instead of the character at `at`, outside quotes; None when it may stand."""
    char = text[at]
    starts = at == 0 or text[at - 1].isspace() or text[at - 1] in "(:"
    if char in _ANYWHERE:
        return _ANYWHERE[char]
    return _AT_START.get(char) if starts else None


def _close(text: str, at: int, opened: list[int]) -> None:
    if not opened:
        raise QueryError(text, at, "this parenthesis closes none; remove it or open one before")
    if len(opened) > DEEP:
        raise QueryError(text, at, f"parentheses stand {DEEP} deep; write the query more simply")
    if not text[opened.pop() + 1 : at].strip():
        raise QueryError(text, at, "nothing stands between the parentheses; write a word")


def _quoted(text: str, at: int) -> int:
    """Check the quoted phrase that begins at `at`; give the position after it and its ~n."""

    def wrong(place: int, advice: str) -> NoReturn:
        raise QueryError(text, place, advice)

    if at and not (text[at - 1].isspace() or text[at - 1] in "(:"):
        wrong(at, "write a blank before the quote, or close the phrase before it")
    end = text.find('"', at + 1)
    if end < 0:
        wrong(at, 'this quote is never closed; write " where the phrase ends')
    if (slash := text.find("\\", at, end)) >= 0:
        wrong(slash, _ANYWHERE["\\"])
    end += 1
    if text[end : end + 1] == "~":
        number = re.compile(r"~([0-9]{1,9})(?=[\s()]|$)").match(text, end)
        if number is None or not 1 <= int(number[1]) <= FAR:
            wrong(end, f'after ~ write how many words apart, 1 to {FAR}: "train music"~5')
        end = number.end()
    if end < len(text) and not (text[end].isspace() or text[end] in "()"):
        wrong(end, "write a blank after the quote")
    return end
