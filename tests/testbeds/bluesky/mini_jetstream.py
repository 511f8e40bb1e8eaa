"""A small Jetstream server on loopback that can be told to misbehave as the real ones do.

Speaks v2 and v1, with filters, inclusive cursors, cursors in microseconds, a floor below which it
keeps nothing, dictionaries that rotate, refused handshakes, silent closes and error frames. Events
come from a test (`post`, `delete`, `account`, `add`) or from a PDS (`feeding`). It checks nothing
of what it is given: records may be as wrong as on the real network.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import zstandard
from testbeds.bluesky.jetstream_wire import METHOD, POSTS, Event, dictionary, dumped, info, v1, v2
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

KINDS = {"commit", "identity", "account", "sync"}
MICROS = 10**15  # cursors from here on are microseconds since 1970
WIRES = {f"/xrpc/{METHOD}": "v2", "/subscribe": "v1"}
SUBPROTOCOL = Subprotocol("xrpc.v1.json")
BROKEN = b"\x28\xb5\x2f\xfd"  # so begins a raw frame that is sent to who wants compression only
Query = dict[str, list[str]]


@dataclass
class Refusal:
    """What the next handshake is answered with."""

    status: int
    error: str = "NotNow"
    retry_after: int | None = None


@dataclass
class MiniJetstream:
    """The server's events and its moods. Change them from the test's own thread."""

    next_seq: int = 1
    floor: int = 0  # the first number it still has
    dictionary_id: int = 20260811
    wires: tuple[str, ...] = ("v2", "v1")
    events: list[Event] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    requests: list[tuple[str, Query]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)  # for the next handshakes
    endings: list[tuple[int, int | str]] = field(default_factory=list)
    """For the next connections: after how many frames, and the close code or the error frame; 0
    drops the connection without a word."""
    url: str = ""
    _loop: asyncio.AbstractEventLoop | None = None
    _more: asyncio.Event | None = None

    def add(self, kind: str, did: str, us: int | None = None, **values: Any) -> Event:
        event = {"seq": self.next_seq, "kind": kind, "did": did, "us": us or micros(), **values}
        self.next_seq += 1
        self.events.append(event)
        self.seqs.append(event["seq"])
        if self._loop is not None and self._more is not None:
            self._loop.call_soon_threadsafe(self._more.set)
        return event

    def post(
        self, did: str, rkey: str, text: Any, operation: str = "create", us: int | None = None,
        **record: Any,
    ) -> Event:  # fmt: skip
        whole = {"$type": POSTS, "createdAt": "2026-07-04T14:38:08.420Z", "text": text, **record}
        return self.commit(did, rkey, operation, us, record=whole, cid=f"bafyrei{rkey}")

    def delete(self, did: str, rkey: str, us: int | None = None) -> Event:
        return self.commit(did, rkey, "delete", us)

    def commit(
        self, did: str, rkey: str, operation: str, us: int | None = None, **values: Any
    ) -> Event:
        values = {"collection": POSTS, "rev": f"3rev{self.next_seq}", **values}
        return self.add("commit", did, us, operation=operation, rkey=rkey, **values)

    def account(self, did: str, status: str = "", us: int | None = None) -> Event:
        """The account became active, or why it is not."""
        state = {"active": False, "status": status} if status else {"active": True}
        return self.add("account", did, us, account=state)

    def poison(self, did: str) -> Event:
        """A sync frame as the real server sends it, which no client before had expected."""
        return self.add("sync", did, sync={"rev": "3rev", "blocks": {"$bytes": "oQ=="}})

    def raw(self, frame: bytes, us: int | None = None) -> Event:
        """A frame that is sent just so, as text if it is UTF-8 and else as binary."""
        return self.add("commit", "did:plc:nobody", us, collection=POSTS, raw=frame)

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to a request that is refused or is none for the stream."""
        parts = urlsplit(request.path)
        query = parse_qs(parts.query)
        self.requests.append((parts.path, query))
        if parts.path == "/xrpc/network.bsky.jetstream.getZstdDictionary" and "v2" in self.wires:
            return _answer(200, dictionary(self.dictionary_id))
        wire = WIRES.get(parts.path)
        if wire not in self.wires:
            return _answer(404, {"error": "NotFound"})
        if self.refusals:
            refusal = self.refusals.pop(0)
            body = {"error": refusal.error, "message": "asked for by the test"}
            return _answer(refusal.status, body, refusal.retry_after)
        error = self._wrong(query) if wire == "v2" else None
        return _answer(400, {"error": error, "message": "see the docs"}) if error else None

    def _wrong(self, query: Query) -> str | None:
        cursor = query.get("cursor", ["0"])[0]
        kinds = set(query.get("kinds", []))
        if query.keys() & {"wantedCollections", "wantedDids", "compress"} or not cursor.isdigit():
            return "InvalidRequest"
        if kinds - KINDS or ("collections" in query and kinds and "commit" not in kinds):
            return "InvalidRequest"
        number = query.get("zstdDictionary", [str(self.dictionary_id)])[0]
        if number != str(self.dictionary_id):
            return "UnknownZstdDictionary"
        too_old = "cursor" in query and int(cursor) < min(self.floor, MICROS)
        return "CursorTooOld" if too_old else None

    async def stream(self, socket: ServerConnection) -> None:
        """Send one connection its events, from its cursor on and then as they come."""
        assert socket.request is not None
        parts = urlsplit(socket.request.path)
        query, wire = parse_qs(parts.query), WIRES[parts.path]
        ending = self.endings.pop(0) if self.endings else None
        sender = _Sender(socket, self.dictionary_id if "zstdDictionary" in query else None)
        at, notice = self._begin(query, wire)
        with suppress(ConnectionClosed):
            if notice:
                await sender.send(notice)
            while True:
                for event in self.events[bisect.bisect_left(self.seqs, at) :]:
                    at = event["seq"] + 1
                    if _wanted(event, query, wire):
                        await sender.send(event.get("raw") or (v2 if wire == "v2" else v1)(event))
                    if ending is not None and sender.sent >= ending[0]:
                        await _end(socket, ending[1])
                        return
                await self._wait(socket, at)
                if socket.close_code is not None:
                    return

    def _begin(self, query: Query, wire: str) -> tuple[int, bytes | None]:
        cursor = int(query.get("cursor", ["-1"])[0])
        if cursor < 0:
            return self.next_seq, None
        if cursor < MICROS:
            if cursor > self.next_seq:
                return self.next_seq, info("FutureCursor", "started at the live tip")
            return max(cursor, self.floor), None
        kept = [event for event in self.events if event["seq"] >= self.floor]
        at = next((event["seq"] for event in kept if event["us"] >= cursor), self.next_seq)
        outdated = wire == "v2" and self.floor and kept and cursor < kept[0]["us"]
        return at, info("OutdatedCursor", "below retention") if outdated else None

    async def _wait(self, socket: ServerConnection, at: int) -> None:
        """Until there is more to send or nobody to send it to."""
        assert self._more is not None
        closed = asyncio.ensure_future(socket.wait_closed())
        while self.next_seq <= at and not closed.done():
            self._more.clear()
            more = asyncio.ensure_future(self._more.wait())
            await asyncio.wait({closed, more}, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
            more.cancel()
        closed.cancel()

    async def run(self, started: threading.Event, stop: asyncio.Event) -> None:
        self._loop, self._more = asyncio.get_running_loop(), asyncio.Event()
        server = serve(
            self.stream,
            "127.0.0.1",
            0,
            process_request=self.check,
            select_subprotocol=lambda _, offered: SUBPROTOCOL if SUBPROTOCOL in offered else None,
            compression=None,
            close_timeout=0.2,
        )
        async with server as running:
            self.url = f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}"
            started.set()
            await stop.wait()


@contextmanager
def serving(mini: MiniJetstream | None = None) -> Iterator[MiniJetstream]:
    """The server in a thread of its own, until the block ends."""
    mini = mini or MiniJetstream()
    with _looping() as (loop, stop):
        started = threading.Event()
        asyncio.run_coroutine_threadsafe(mini.run(started, stop), loop)
        if not started.wait(10):
            raise RuntimeError("The small Jetstream server did not start.")
        yield mini


@contextmanager
def _looping() -> Iterator[tuple[asyncio.AbstractEventLoop, asyncio.Event]]:
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop, stop
    finally:
        loop.call_soon_threadsafe(stop.set)

        async def rest() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait(others, timeout=2) if others else None

        last: Coroutine[Any, Any, None] = rest()
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(last, loop).result(3)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(3)
        loop.close()


class _Sender:
    """Sends frames, compressed or not, and counts them."""

    def __init__(self, socket: ServerConnection, dictionary_id: int | None) -> None:
        self.socket, self.sent, self._compressor = socket, 0, None
        if dictionary_id is not None:
            blob = zstandard.ZstdCompressionDict(dictionary(dictionary_id))
            self._compressor = zstandard.ZstdCompressor(level=1, dict_data=blob)

    async def send(self, frame: bytes) -> None:
        self.sent += 1
        broken = frame.startswith(BROKEN)
        if self._compressor is None:
            if not broken:
                await self.socket.send(frame.decode())
        elif broken:
            await self.socket.send(frame)
        else:
            await self.socket.send(self._compressor.compress(frame))


async def _end(socket: ServerConnection, how: int | str) -> None:
    if isinstance(how, str):
        await socket.send(json.dumps({"$type": "error", "error": how, "message": "so it is"}))
        await socket.close(1008)
    elif how:
        await socket.close(how)
    else:
        socket.transport.abort()


def _wanted(event: Event, query: Query, wire: str) -> bool:
    kind, v2_ = event["kind"], wire == "v2"
    if (not v2_ and kind == "sync") or (v2_ and kind not in (query.get("kinds") or KINDS)):
        return False
    dids = query.get("dids" if v2_ else "wantedDids")
    if dids and event["did"] not in dids:
        return False
    patterns = query.get("collections" if v2_ else "wantedCollections")
    if kind != "commit" or not patterns:
        return True
    name = event["collection"]
    return any(name == p or (p.endswith(".*") and name.startswith(p[:-1])) for p in patterns)


def _answer(status: int, body: Any, retry_after: int | None = None) -> Response:
    content = body if isinstance(body, bytes) else dumped(body)
    headers = Headers({"content-length": str(len(content)), "connection": "close"})
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    return Response(status, HTTPStatus(status).phrase, headers, content)


def micros() -> int:
    """Now, in microseconds since 1970."""
    return time.time_ns() // 1000
