"""How fast the stream is read, beside the SDK's own client on the same frames in the same run.

`python -m benchmarks.stream` prints ratios of CPU time a frame: decoding alone from memory, and all
of it over a socket from a server in another process. Each reader has a process of its own, so its
memory is its own too. BENCH_FRAMES sets how many frames the collector reads for its memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard

from benchmarks import stream_frames
from benchmarks.measure import peak_mb
from benchmarks.stream_frames import METHOD, POSTS, SEQ, Watched

DISTINCT = 50_000
LONG = int(os.environ.get("BENCH_FRAMES", "2_000_000"))
ROUNDS = 5
FIRST = 10**15 // 2  # numbers of events have the length of SEQ and are below times
POSTS_A_SECOND = 53  # a recording of July 2026: 17 posts in 0.318 s
SHARE = 0.87  # of the events that are asked for, posts


def main() -> None:
    """Measure and print; fails when something that has to be found is not."""
    print(f"{DISTINCT:,} invented frames, 20 cases, {stream_frames.KEPT:,} kept posts")
    memory = _child("memory")
    print(
        f"from memory, decompression included: SDK {memory['sdk']:.1f} µs a frame, Aftershock"
        f" {memory['ours']:.2f} µs: {memory['ratio']:.1f} times as fast (aim: 10);"
        f" {memory['picked']:.2%} picked, {memory['found']:,} of {memory['wanted']:,} found"
    )
    print(
        f"from memory, frames that came uncompressed: SDK {memory['plain_sdk']:.1f} µs, Aftershock"
        f" {memory['plain_ours']:.2f} µs: {memory['plain_ratio']:.1f} times as fast"
    )
    assert memory["found"] == memory["wanted"]
    with _server() as url:
        sdk = _child("sdk", url)
        ours = _child("collector", url, str(DISTINCT * 4))
        long = _child("collector", url, str(LONG))
    print(
        f"over a socket: SDK {sdk['cpu']:.1f} µs a frame, Aftershock {ours['cpu']:.1f} µs:"
        f" {sdk['cpu'] / ours['cpu']:.1f} times as fast (aim: 3)"
    )
    print(
        f"{long['frames']:,} frames: {long['cpu']:.1f} µs each, highest memory {long['peak']:.0f}"
        f" MB, {long['early']:.0f} MB after the first tenth (aim: under 300, flat)"
    )
    backlog = 36 * 3600 * POSTS_A_SECOND / SHARE
    print(
        f"36 hours are {backlog / 1e6:.1f} million events at {POSTS_A_SECOND} posts a second:"
        f" {backlog * long['cpu'] / 60e6:.1f} minutes of one core (aim: under 15)"
    )


def from_memory() -> dict[str, float]:
    """Decoding alone: microseconds of CPU a frame, medians of rounds in turn."""
    from atproto import JetstreamClient  # noqa: PLC0415 - only where it is measured

    from collectors.bluesky_events import Picker  # noqa: PLC0415
    from collectors.bluesky_kept import Kept  # noqa: PLC0415
    from collectors.bluesky_wire import PORTION, Feed  # noqa: PLC0415

    seen = stream_frames.watched()
    raw = list(numbered(stream_frames.frames(seen, DISTINCT), FIRST))
    blob = dictionary(raw[:5000])
    packed = [_packer(blob)(frame) for frame in raw]
    client: Any = JetstreamClient()
    client._use_dictionary(blob)
    feed = Feed("", "v2", None, _unpacker(blob))  # type: ignore[arg-type]
    kept = Kept()
    kept.load(seen, seen.cases)  # type: ignore[arg-type]
    picker = Picker(seen.cases, kept)
    picked: list[Any] = []

    def sdk(frames: Sequence[str | bytes] = packed) -> None:
        client._cursor = None
        for frame in frames:
            client._decode_frame(frame)

    def plain() -> None:
        for at in range(0, len(raw), PORTION):
            picker.pick(raw[at : at + PORTION], datetime.now(UTC))

    def ours() -> None:
        picked.clear()
        for at in range(0, len(packed), PORTION):
            frames = feed.unpacked(packed[at : at + PORTION])
            picked.extend(picker.pick(frames, datetime.now(UTC)))

    wanted, found = _wanted(seen, raw), set()
    ours()
    for one in picked:
        found.add((one.event.kind, one.event.seq))
    times = [(_cpu(sdk), _cpu(ours)) for _ in range(ROUNDS)]
    texts = [frame.decode() for frame in raw]  # as the SDK gets frames that are not compressed
    unpacked = [(_cpu(lambda: sdk(texts)), _cpu(plain)) for _ in range(ROUNDS)]
    return {
        "sdk": statistics.median(one for one, _ in times) / DISTINCT * 1e6,
        "ours": statistics.median(two for _, two in times) / DISTINCT * 1e6,
        "ratio": statistics.median(one / two for one, two in times),
        "plain_sdk": statistics.median(one for one, _ in unpacked) / DISTINCT * 1e6,
        "plain_ours": statistics.median(two for _, two in unpacked) / DISTINCT * 1e6,
        "plain_ratio": statistics.median(one / two for one, two in unpacked),
        "picked": len(picked) / DISTINCT,
        "wanted": len(wanted),
        "found": len(wanted & found),
    }


def _wanted(seen: Watched, raw: list[bytes]) -> set[tuple[str, int]]:
    """What has to be found, by parsing every frame and looking into plain sets."""
    from cases.match import match  # noqa: PLC0415
    from collectors.bluesky_events import parse  # noqa: PLC0415
    from collectors.normalise import bluesky_record, frame  # noqa: PLC0415

    kept, roots = set(seen.uris), set(seen.uris[:: stream_frames.ROOTS])
    authors = {uri[5:].partition("/")[0] for uri in seen.uris}
    wanted, rows, numbers = set(), [], {}
    for event in map(parse, raw):
        if event.kind == "account" and event.did in authors:
            wanted.add(("account", event.seq))
        elif event.operation == "delete" and event.uri in kept:
            wanted.add(("commit", event.seq))
        elif event.operation == "create":
            row = bluesky_record(event.did, event.rkey, event.record, event.at)
            rows.append(row)
            numbers[event.uri] = event.seq
            if row["root"] in roots or row["quoted"] in roots:
                wanted.add(("commit", event.seq))
    own = match(frame(rows), seen.cases, matched=lambda *_: set())
    wanted |= {("commit", numbers[uri]) for uri in own["uri"].unique()}
    return wanted  # type: ignore[return-value]


def by_sdk(url: str) -> dict[str, float]:
    """The SDK's client over a socket."""
    from atproto import JetstreamClient  # noqa: PLC0415

    params = {"kinds": ["commit", "account"], "collections": [POSTS], "cursor": FIRST}
    client: Any = JetstreamClient(params=params, base_uri=f"{url}/{DISTINCT}/xrpc")
    count, begun = 0, time.process_time()

    def take(_event: object) -> None:
        nonlocal count, begun
        count += 1
        if count == 1:
            begun = time.process_time()
        if count == DISTINCT:
            client.stop()

    client.start(take)
    return {"cpu": (time.process_time() - begun) / count * 1e6, "frames": count}


def by_collector(url: str, frames: int) -> dict[str, float]:
    """The whole collector over a socket, from the first request to the last batch."""
    from collectors import bluesky_stream  # noqa: PLC0415
    from collectors.settings import Settings, Step  # noqa: PLC0415

    seen = stream_frames.watched()
    early = 0.0

    def progress(step: Step) -> None:
        nonlocal early
        if not early and step.items >= frames / 10:
            early = peak_mb()

    place = {"AFTERSHOCK_JETSTREAM": f"{url}/{frames}"}
    told = Settings(Path(), place, progress=progress, lookback=timedelta(hours=2))
    begun, read = time.process_time(), 0
    for batch in bluesky_stream.collect(seen.cases, seen, told):  # type: ignore[arg-type]
        read = batch.reading.items
    assert batch.reading.status == "done"
    cpu = (time.process_time() - begun) / read * 1e6
    return {"cpu": cpu, "frames": read, "peak": peak_mb(), "early": early}


def serve() -> None:
    """A server that sends as many frames as the address says, as fast as they are taken."""
    from websockets.asyncio.server import ServerConnection  # noqa: PLC0415
    from websockets.asyncio.server import serve as serving  # noqa: PLC0415
    from websockets.datastructures import Headers  # noqa: PLC0415
    from websockets.exceptions import ConnectionClosed  # noqa: PLC0415
    from websockets.frames import Frame, Opcode  # noqa: PLC0415
    from websockets.http11 import Request, Response  # noqa: PLC0415
    from websockets.typing import Subprotocol  # noqa: PLC0415

    raw = stream_frames.frames(stream_frames.watched(), DISTINCT)
    blob = dictionary(list(numbered(raw[:5000], FIRST)))

    def check(_: ServerConnection, request: Request) -> Response | None:
        if "getZstdDictionary" in request.path:
            headers = Headers({"content-length": str(len(blob)), "connection": "close"})
            return Response(200, "OK", headers, blob)
        return None

    async def stream(socket: ServerConnection) -> None:
        assert socket.request is not None
        count, pack = int(socket.request.path.split("/")[1]), _packer(blob)
        endless = (raw[n % DISTINCT] for n in range(count))
        try:
            for frame in numbered(endless, FIRST):
                socket.transport.write(Frame(Opcode.BINARY, pack(frame)).serialize(mask=False))
                if socket.transport.get_write_buffer_size() > 2**20:
                    await socket.drain()
            now = f"{datetime.now(UTC) + timedelta(minutes=9):%Y-%m-%dT%H:%M:%S.%fZ}"
            last = {"$type": f"{METHOD}#account", "seq": FIRST + count, "did": "did:plc:z"}
            last |= {"time": now, "witnessedAt": now, "account": {"active": True}}
            await socket.send(json.dumps({"$type": "message", "payload": last}).encode())
            await socket.wait_closed()
        except ConnectionClosed:
            pass

    async def run() -> None:
        options: dict[str, Any] = {"subprotocols": [Subprotocol("xrpc.v1.json")]}
        async with serving(
            stream, "127.0.0.1", 0, process_request=check, compression=None, **options
        ) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await asyncio.Future()

    asyncio.run(run())


def numbered(frames: Iterable[bytes], first: int) -> Iterator[bytes]:
    """The frames with their numbers in place."""
    for number, frame in enumerate(frames, first):
        yield frame.replace(SEQ, b"%015d" % number, 1)


def dictionary(sample: list[bytes]) -> bytes:
    return zstandard.train_dictionary(65_536, sample, dict_id=20260811).as_bytes()


def _packer(blob: bytes) -> Callable[[bytes], bytes]:
    words = zstandard.ZstdCompressionDict(blob)
    return zstandard.ZstdCompressor(level=1, dict_data=words).compress


def _unpacker(blob: bytes) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(blob))


def _cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _child(*words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.stream", *words]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(ended.stdout)
    return answer


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.stream", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"ws://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main()
        case ["serve"]:
            serve()
        case ["memory"]:
            print(json.dumps(from_memory()))
        case ["sdk", address]:
            print(json.dumps(by_sdk(address)))
        case ["collector", address, number]:
            print(json.dumps(by_collector(address, int(number))))
