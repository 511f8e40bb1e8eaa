"""The two wires of Jetstream as its servers write them: v2 (subscribeEvents) and v1 (/subscribe).

Sources: the lexicon network.bsky.jetstream.subscribeEvents and its proposal 0015; the README of
bluesky-social/jetstream for v1; the order of fields is that of a recording of the real server.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import zstandard

METHOD = "network.bsky.jetstream.subscribeEvents"
POSTS = "app.bsky.feed.post"
COMMIT = ("rev", "operation", "collection", "rkey", "record", "cid")

Event = dict[str, Any]  # seq, kind, did, us, and the fields of its kind; or raw: bytes as they are


def iso(us: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def dumped(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    # Go's encoder writes these three as escapes.
    for plain, escaped in (("&", r"\u0026"), ("<", r"\u003c"), (">", r"\u003e")):
        text = text.replace(plain, escaped)
    return text.encode("utf-8", "surrogatepass")


def v2(event: Event) -> bytes:
    kind = event["kind"]
    payload = {
        "$type": f"{METHOD}#{kind}",
        "seq": event["seq"],
        "did": event["did"],
        "time": iso(event["us"]),
        "witnessedAt": iso(event["us"]),
        **(_commit(event) if kind == "commit" else {kind: _wrapped(event)}),
    }
    return dumped({"$type": "message", "payload": payload})


def v1(event: Event) -> bytes:
    kind = event["kind"]
    body = _commit(event) if kind == "commit" else _wrapped(event)
    return dumped({"did": event["did"], "time_us": event["us"], "kind": kind, kind: body})


def info(name: str, message: str) -> bytes:
    payload = {"$type": f"{METHOD}#info", "name": name, "message": message}
    return dumped({"$type": "message", "payload": payload})


def _commit(event: Event) -> dict[str, Any]:
    return {name: event[name] for name in COMMIT if event.get(name) is not None}


def _wrapped(event: Event) -> dict[str, Any]:
    """The relay's own event, with the relay's number of it."""
    kind, did, us = event["kind"], event["did"], event["us"]
    return {"did": did, "seq": event["seq"] + 10**9, "time": iso(us), **event[kind]}


@cache
def dictionary(number: int) -> bytes:
    """A dictionary of that id, trained on invented frames of this wire."""
    words = [
        "soundcloud",
        "terms",
        "ai",
        "training",
        "artists",
        "music",
        "upload",
        "opt",
        "out",
        "delete",
        "account",
    ]
    sample = [
        v2(
            {
                "seq": i,
                "kind": "commit",
                "did": f"did:plc:{i * 7919 % 10**9:024d}",
                "us": 1747000000000000 + i * 997,
                "operation": "create",
                "collection": POSTS,
                "rkey": f"3l{i * 104729 % 10**11:011d}",
                "rev": f"3l{i:011d}",
                "cid": "bafyrei" + f"{i * 15485863:052d}",
                "record": {
                    "$type": POSTS,
                    "langs": ["en"],
                    "createdAt": iso(1747000000000000 + i),
                    "text": " ".join(words[(i * k) % len(words)] for k in range(1, 12)),
                },
            }
        )
        for i in range(1, 1000)
    ]
    return zstandard.train_dictionary(16384, sample, dict_id=number).as_bytes()
