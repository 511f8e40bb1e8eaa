"""Frames of Jetstream as events: parsed one by one, or picked out of thousands before parsing.

Reads both wires, v2 (network.bsky.jetstream.subscribeEvents, proposal 0015) and v1 (/subscribe of
bluesky-social/jetstream). Opens no connection and decides nothing about batches.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any

import polars as pl

from cases.case import Case
from cases.sieve import Sieve
from collectors.bluesky_kept import Kept
from collectors.normalise import Row, bluesky_record
from collectors.values import BadRecord
from store.schema import Bad

POSTS = "app.bsky.feed.post"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_CREATES = '"operation":"create"'
_OPERATION = '"operation":"'
LINKS = ("root", "quoted")
_DID = r'did:[a-z]+:[^"\\/]+'
_SLASH = r"\\?/"
_REFERENCE = rf'at:{_SLASH}{_SLASH}[^"/\\]+{_SLASH}{POSTS}{_SLASH}[^"\\]+'.replace(".", r"\.")


@dataclass(frozen=True, slots=True)
class Event:
    """One frame. `us` is when the server witnessed it, in microseconds since 1970 UTC; `seq` is the
    server's own number of it (v2 only). `operation` and `rkey` are of a commit of a post; `status`
    is of an account (active, or why not); `name` and `message` are of an info or error frame."""

    kind: str  # commit | account | info | error | other
    us: int = 0
    seq: int | None = None
    did: str = ""
    operation: str = ""
    rkey: str = ""
    record: Any = None
    status: str = ""
    name: str = ""
    message: str = ""

    @property
    def uri(self) -> str:
        return f"at://{self.did}/{POSTS}/{self.rkey}"

    @property
    def at(self) -> datetime:
        return _EPOCH + self.us * _MICRO


def parse(raw: str | bytes) -> Event:
    """A frame of either wire. ValueError when it is none; the message quotes nothing of it."""
    try:
        frame = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    if not isinstance(frame, dict):
        raise ValueError("no JSON object")
    kind = frame.get("$type")
    if kind == "error":
        return Event("error", name=_text(frame, "error"), message=_text(frame, "message"))
    try:
        if kind == "message":
            return _v2(frame["payload"])
        return _v1(frame)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("a part that every event has is missing") from None


def _v2(payload: dict[str, Any]) -> Event:
    kind = payload["$type"].partition("#")[2]
    if kind == "info":
        return Event("info", name=_text(payload, "name"), message=_text(payload, "message"))
    us = (datetime.fromisoformat(payload["witnessedAt"]) - _EPOCH) // _MICRO
    seq = payload["seq"]
    if not isinstance(seq, int):
        raise ValueError("a number of the event that is none")
    return _event(kind, us, seq, payload, payload if kind == "commit" else payload.get(kind))


def _v1(frame: dict[str, Any]) -> Event:
    us, kind = frame["time_us"], frame["kind"]
    if not isinstance(us, int):
        raise ValueError("a time of the event that is none")
    return _event(kind, us, None, frame, frame.get(kind))


def _event(kind: str, us: int, seq: int | None, frame: dict[str, Any], body: Any) -> Event:
    did = frame["did"]
    if kind == "commit" and body["collection"] == POSTS:
        record = body.get("record")
        operation, rkey = body["operation"], body["rkey"]
        return Event("commit", us, seq, did, operation, rkey, record)
    if kind == "account":
        # `active` decides; the status is detail (atproto.com/specs/account).
        status = "active" if body["active"] else str(body.get("status") or "inactive")
        return Event("account", us, seq, did, status=status)
    return Event("other", us, seq, did)


def _text(frame: dict[str, Any], key: str) -> str:
    value = frame.get(key)
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Picked:
    """A frame to deal with: its event, the row of the post where it carries one, or what is bad."""

    event: Event
    row: Row | None = None
    bad: Bad | None = None


class Picker:
    """Picks from raw frames what concerns the cases: posts that hold a query's words, replies to
    and quotes of posts that belong to a case, and whatever happens to what is kept.

    The posts it picks it adds to `kept`, those by words as roots too: whether the whole query takes
    them is decided later. A post of somebody else about something else is never parsed.
    """

    def __init__(self, cases: Sequence[Case], kept: Kept) -> None:
        self._sieve = Sieve(cases)
        self.kept = kept

    def pick(self, frames: Sequence[bytes], now: datetime) -> list[Picked]:
        """What to deal with, in the order of the frames. `now` bounds times in the future."""
        raw = column(frames)
        # Roots and authors of this very chunk count: a reply can be a second younger than its root.
        worded = self._sieve.passes(raw)
        found = self._by_words(raw, worded, now)
        threaded = _having(raw, _REFERENCE, self.kept.roots.holds) & ~worded
        found |= self._others(raw, threaded, now)
        changes = self._changes(raw) & ~worded & ~threaded
        found |= self._others(raw, changes, now)
        return [found[place] for place in sorted(found)]

    def _by_words(self, raw: pl.Series, rows: pl.Series, now: datetime) -> dict[int, Picked]:
        found = _parsed(raw, rows, now)
        posts = [one.event.uri for one in found.values() if one.row is not None]
        if posts:
            self.kept.add(posts, roots=True)
        return self._concerning(found)

    def _others(self, raw: pl.Series, rows: pl.Series, now: datetime) -> dict[int, Picked]:
        """Parse these frames and keep those that are wanted, by their place."""
        found = self._concerning(_parsed(raw, rows, now))
        posts = {place: one for place, one in found.items() if one.row is not None}
        if not posts:
            return found
        names = [pl.Series([one.row[n] for one in posts.values() if one.row], dtype=pl.String)
                 for n in LINKS]  # fmt: skip
        belong = reduce(or_, map(self.kept.roots.holds, names))
        stored = self.kept.posts.holds(one.event.uri for one in posts.values())
        edits = pl.Series([one.event.operation == "update" for one in posts.values()])
        for place, wanted in zip(posts, belong | (stored & edits), strict=True):
            if not wanted:
                del found[place]
        self.kept.add(one.event.uri for one in found.values() if one.row is not None)
        return found

    def _concerning(self, found: dict[int, Picked]) -> dict[int, Picked]:
        """Without the deletions of posts that are not kept and what is nothing to anybody."""
        deletions = [place for place, one in found.items() if one.event.operation == "delete"]
        ours = self.kept.posts.holds(found[place].event.uri for place in deletions)
        foreign = {place for place, kept in zip(deletions, ours, strict=True) if not kept}
        accounts = [place for place, one in found.items() if one.event.kind == "account"]
        ours = self.kept.authors.holds(found[place].event.did for place in accounts)
        foreign |= {place for place, kept in zip(accounts, ours, strict=True) if not kept}
        return {
            place: one
            for place, one in found.items()
            if place not in foreign and (one.event.kind != "other" or one.bad is not None)
        }

    def _changes(self, raw: pl.Series) -> pl.Series:
        """Frames that create no post, of authors whose posts are kept or of nobody at all."""
        # A frame has its `operation` before the record (the order of Go's fields), and the first
        # is compared. Whatever is not surely a create counts as a change.
        first = raw.str.find(_OPERATION, literal=True)
        creates = (first == raw.str.find(_CREATES, literal=True)).fill_null(value=False)
        rows = (~creates).arg_true()
        part = raw.gather(rows)
        concerned = _having(part, _DID, self.kept.authors.holds, nameless=True)
        return (~creates).scatter(rows.filter(~concerned), False)


def _parsed(raw: pl.Series, rows: pl.Series, now: datetime) -> dict[int, Picked]:
    """The frames of the mask, parsed, by their place."""
    places = rows.arg_true()
    return {
        place: _one(frame, now)
        for place, frame in zip(places.to_list(), raw.gather(places).to_list(), strict=True)
    }


def _one(raw: str, now: datetime) -> Picked:
    try:
        event = parse(raw)
        if event.operation not in ("create", "update"):
            return Picked(event)
        place = f"event {event.seq or event.us}"
        row = bluesky_record(event.did, event.rkey, event.record, min(event.at, now), now)
        return Picked(event, row)
    except BadRecord as error:
        return Picked(event, bad=Bad(place, str(error)))
    except ValueError as error:
        return Picked(Event("other"), bad=Bad("an event of the stream", str(error)))


def column(frames: Sequence[bytes]) -> pl.Series:
    """The frames as one column of strings; bytes that are no UTF-8 become U+FFFD."""
    raw = pl.Series(frames, dtype=pl.Binary)
    try:
        return raw.cast(pl.String)
    except pl.exceptions.InvalidOperationError:
        return pl.Series([frame.decode("utf-8", "replace") for frame in frames], dtype=pl.String)


def _having(
    raw: pl.Series, pattern: str, holds: Callable[[pl.Series], pl.Series], *, nameless: bool = False
) -> pl.Series:
    """Which frames name, by the pattern, something that `holds` knows; with `nameless` also those
    that name nothing at all."""
    places = pl.int_range(len(raw), eager=True)
    found = pl.DataFrame({"place": places, "name": raw.str.extract_all(pattern)})
    empty = found["name"].list.len() == 0
    named = found.filter(~empty).explode("name")
    names = named["name"]
    if names.str.contains("\\", literal=True).any():
        names = names.str.replace_all("\\", "", literal=True)  # some encoders write a slash as \/
    wanted = named["place"].filter(holds(names)).unique()
    rows = empty if nameless else pl.repeat(value=False, n=len(raw), dtype=pl.Boolean, eager=True)
    return rows.scatter(wanted, True)
