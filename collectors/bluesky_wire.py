"""One connection to a Jetstream server: the handshake, the dictionary, frames in portions.

On the `websockets` library and not on the SDK's client, which parses every frame (two thirds of its
time) before anybody can say that it is not wanted, returns silently when the server closes with
1000 or 1001, and takes a 429 for fatal. Knows neither events nor when to try again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import httpx
import zstandard
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from collectors.bluesky_events import POSTS

METHOD = "network.bsky.jetstream.subscribeEvents"
DICTIONARY = "network.bsky.jetstream.getZstdDictionary"
OPEN = 8.0  # seconds for the network, TLS and the handshake
LARGEST = 32 * 1024 * 1024  # bytes of one frame, as in the SDK
PORTION = 16_384  # frames that are looked at together
FRESH = 1.0  # seconds after which a portion is handed on even if it is small
_DICTIONARY = b"\x37\xa4\x30\xec"  # how a zstd dictionary begins (RFC 8878, section 5)
_ZSTD = b"\x28\xb5\x2f\xfd"


class WireError(Exception):
    """The server cannot be read now; the message is a sentence without the names of anybody."""


class CursorTooOldError(WireError):
    """The server does not keep events as old as the cursor any more."""


class BusyError(WireError):
    """The server answered 429 or 5xx; `wait` is how many seconds it asks to wait, if it does."""

    def __init__(self, message: str, wait: float | None) -> None:
        super().__init__(message)
        self.wait = wait


class UndecodableError(WireError):
    """A compressed frame cannot be decompressed."""


@dataclass
class Feed:
    """A connection that is open. `received` counts the bytes of its frames as they came."""

    host: str
    kind: str  # v2 | v1
    socket: ClientConnection
    decompressor: zstandard.ZstdDecompressor | None
    received: int = 0
    closed: ConnectionClosed | None = None

    def portion(self, wait: float) -> list[bytes]:
        """The next frames as JSON, at most PORTION; none when nothing came for `wait` seconds.

        WireError when the connection is closed, by whatever code: there is no end of a stream.
        """
        if self.closed is not None:
            code = self.closed.rcvd.code if self.closed.rcvd else "none"
            raise WireError(f"{self.host} closed the connection (code {code})")
        frames: list[bytes] = []
        ready = 0.0
        try:
            while len(frames) < PORTION:
                frames.append(self.socket.recv(wait, decode=False))
                now = time.monotonic()
                ready = ready or now + FRESH
                wait = ready - now
                if wait <= 0:
                    break
        except TimeoutError:
            pass
        except ConnectionClosed as closed:
            self.closed = closed
        self.received += sum(map(len, frames))
        return self.unpacked(frames)

    def unpacked(self, frames: list[bytes]) -> list[bytes]:
        """The frames as JSON. UndecodableError if one cannot be decompressed."""
        if self.decompressor is None:
            return frames
        decompress = self.decompressor.decompress
        with suppress(zstandard.ZstdError):
            return [decompress(frame) for frame in frames]
        try:
            # Errors come as text even where frames are compressed, and a frame need not say how
            # long it is.
            return [
                decompress(frame, max_output_size=LARGEST) if frame[:4] == _ZSTD else frame
                for frame in frames
            ]
        except zstandard.ZstdError:
            raise UndecodableError(
                f"{self.host} sent a frame that cannot be decompressed"
            ) from None


@contextmanager
def opened(host: str, cursors: Mapping[str, int], *, compress: bool = True) -> Iterator[Feed]:
    """A connection to the server by the wire it speaks, v2 if it does.

    `cursors` says where to begin by each wire: a number of an event or, from 10^15 on, microseconds
    since 1970. Raises WireError and its kinds.
    """
    for kind in ("v1",) if urlsplit(host).path.endswith("/subscribe") else ("v2", "v1"):
        try:
            socket, decompressor = _shake(host, kind, cursors[kind], compress=compress)
        except _NoSuchWireError:
            continue
        with socket:
            yield Feed(host, kind, socket, decompressor)
        return
    raise WireError(f"{host} is no Jetstream server")


class _NoSuchWireError(Exception):
    """The server does not know the address."""


class _UnknownDictionaryError(Exception):
    """The server compresses with another dictionary by now."""


def _shake(
    host: str, kind: str, cursor: int, *, compress: bool
) -> tuple[ClientConnection, zstandard.ZstdDecompressor | None]:
    blob = _dictionary(host) if compress and kind == "v2" else None
    try:
        return _connect(host, kind, cursor, blob)
    except _UnknownDictionaryError:
        # Changed between the two requests, or servers of two versions answer to one name. Without
        # any it is the same stream in two to three times as many bytes.
        with suppress(_UnknownDictionaryError):
            if (newer := _dictionary(host)) != blob:
                return _connect(host, kind, cursor, newer)
        return _connect(host, kind, cursor, None)


def _connect(
    host: str, kind: str, cursor: int, blob: bytes | None
) -> tuple[ClientConnection, zstandard.ZstdDecompressor | None]:
    decompressor, query = None, _query(kind, cursor)
    if blob is not None:
        dictionary = zstandard.ZstdCompressionDict(blob)
        decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)
        query.append(("zstdDictionary", str(dictionary.dict_id())))
    base = host.removesuffix("/subscribe")
    path = f"/xrpc/{METHOD}" if kind == "v2" else "/subscribe"
    try:
        socket = connect(
            f"{base}{path}?{urlencode(query)}",
            subprotocols=[Subprotocol("xrpc.v1.json")] if kind == "v2" else None,
            compression=None,
            open_timeout=OPEN,
            close_timeout=1,
            max_size=LARGEST,
            max_queue=(1024, 256),
            user_agent_header="aftershock",
        )
    except InvalidStatus as refused:
        raise _refusal(host, refused) from None
    except (OSError, InvalidHandshake) as error:
        raise WireError(f"{host} cannot be reached ({type(error).__name__})") from None
    return socket, decompressor


def _query(kind: str, cursor: int) -> list[tuple[str, str]]:
    # Without `sync`: nothing here needs it, and its frames have killed clients (SDK 0.0.73).
    # Accounts and their states come whatever the collection; identities are handles, never stored.
    query = [("kinds", "commit"), ("kinds", "account"), ("collections", POSTS)]
    if kind == "v1":
        query = [("wantedCollections", POSTS)]
    return [*query, ("cursor", str(cursor))]


def _refusal(host: str, refused: InvalidStatus) -> Exception:
    status = refused.response.status_code
    name = _error_name(refused.response.body)
    said = f"{host} answered HTTP {status}" + (f" {name}" if name else "")
    if status in (404, 405, 501):
        return _NoSuchWireError()
    if name == "UnknownZstdDictionary":
        return _UnknownDictionaryError()
    if name == "CursorTooOld":
        return CursorTooOldError(said)
    if status == 429 or status >= 500:
        wait = refused.response.headers.get("retry-after", "")
        return BusyError(said, float(wait) if wait.isdigit() else None)
    return WireError(said)


def _error_name(body: bytes | bytearray | None) -> str:
    try:
        name = json.loads(body or b"null")["error"]
    except (ValueError, TypeError, KeyError):
        return ""
    # A name of the protocol, not whatever a stranger's server puts there.
    return name if isinstance(name, str) and name.isalnum() and len(name) < 40 else ""


def _dictionary(host: str) -> bytes | None:
    """The dictionary that the server compresses with now; None when it has none to give.

    A raw zstd dictionary, 65,536 bytes in August 2026.
    """
    try:
        answer = httpx.get(f"http{host.removeprefix('ws')}/xrpc/{DICTIONARY}", timeout=OPEN)
    except (httpx.HTTPError, OSError) as error:
        raise WireError(f"{host} cannot be reached ({type(error).__name__})") from None
    if answer.status_code != 200 or not answer.content.startswith(_DICTIONARY):
        return None
    return answer.content
