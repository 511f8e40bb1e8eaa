"""Invented frames of Jetstream for the benchmark of the stream, shaped as a recording of it is.

Of 100 events 87 create a post, 8 delete one and 5 are of accounts; of the posts 45 are replies, 20
have pictures, 10 a link, and a third is in Japanese. A frame is about 840 bytes. Some concern
kept posts: `expected` of them have to be found.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from benchmarks.generate import PLAIN
from benchmarks.invent import FOREIGN
from cases.case import Case, load_all
from cases.query import parse

POSTS = "app.bsky.feed.post"
METHOD = "network.bsky.jetstream.subscribeEvents"
CASES = 20
KEPT = 100_000
ROOTS = 4  # of so many kept posts one is a root
SEQ = b"000000000000000"  # in the place of the number of an event
BACKLOG = datetime.now(UTC) - timedelta(hours=1)  # all before the reading begins
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_KANA = [chr(c) for c in range(0x3042, 0x3094)]
# PLAIN is all about platforms and their terms, as few posts are.
_LEXICON = ["".join(random.Random(n).choices("etaoinshrdlucmfw", k=2 + n % 8)) for n in range(3000)]
_AI = ("AI", "the AI", "an LLM", "machine learning", "une IA", "genai")


@dataclass
class Watched:
    """What is watched and kept."""

    cases: list[Case]
    uris: list[str]

    def kept(self, _source: str, _cases: Sequence[Case]) -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"uri": self.uris}).with_columns(
            root=pl.int_range(pl.len()) % ROOTS == 0
        )

    def cursors(self, _collector: str) -> dict[str, str]:
        return {}


def watched() -> Watched:
    """The cases that come with Aftershock and as many invented ones as make 20; kept posts."""
    dice = random.Random(3)
    shipped = [case for case in load_all().values() if not case.demo]
    model = next(case for case in shipped if case.name == "soundcloud")
    query = model.query_text.replace("soundcloud OR", "{0} OR").replace("sound cloud", "{0} app")
    query = query.replace("community:soundcloud", "community:{0}")
    cases = list(shipped)
    while len(cases) < CASES:
        name = "".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=8))
        cases.append(replace(model, name=name, query=parse(query.format(name)), query_hash=name))
    return Watched(cases, [uri(did(dice), rkey(dice)) for _ in range(KEPT)])


def frames(seen: Watched, count: int) -> list[bytes]:
    """Frames of the v2 wire with SEQ in the place of their numbers."""
    dice = random.Random(5)
    return [_dumped(_event(dice, seen)) for _ in range(count)]


def uri(author: str, key: str) -> str:
    return f"at://{author}/{POSTS}/{key}"


def did(dice: random.Random) -> str:
    return "did:plc:" + "".join(dice.choices(_BASE32, k=24))


def rkey(dice: random.Random) -> str:
    return "3m" + "".join(dice.choices(_BASE32, k=11))


def _event(dice: random.Random, seen: Watched) -> dict[str, Any]:
    at = f"{BACKLOG:%Y-%m-%dT%H:%M:%S.%fZ}"
    author, key = did(dice), rkey(dice)
    concerned = dice.random() < 0.01  # of changes and replies, those of something kept
    if concerned:
        author, key = seen.uris[dice.randrange(KEPT)][5:].split(f"/{POSTS}/")
    event = {"seq": 0, "did": author, "time": at, "witnessedAt": at}
    kind = dice.random()
    if kind < 0.05:
        account = {"active": True, "did": author, "seq": 31527015471, "time": at}
        return {"$type": f"{METHOD}#account", **event, "account": account}
    commit = {"rev": rkey(dice), "operation": "create", "collection": POSTS}
    event = {"$type": f"{METHOD}#commit", **event, **commit}
    if kind < 0.13:
        return {**event, "operation": "delete", "rkey": key}
    record = _record(dice, uri(author, key) if concerned else uri(did(dice), rkey(dice)), seen)
    return {**event, "did": did(dice), "rkey": rkey(dice), "record": record, "cid": _cid(dice)}


def _record(dice: random.Random, to: str, seen: Watched) -> dict[str, Any]:
    record: dict[str, Any] = {"$type": POSTS, "createdAt": "2026-07-04T14:38:08.420Z"}
    kind = dice.random()
    if kind < 0.2:
        image = {"$type": "blob", "ref": {"$link": _cid(dice)}, "mimeType": "image/jpeg"}
        picture = {"alt": "", "aspectRatio": {"height": 1000, "width": 800}, "image": image}
        record["embed"] = {"$type": "app.bsky.embed.images", "images": [picture]}
    elif kind < 0.3:
        link = {"description": _text(dice, seen), "title": "A & B", "uri": "https://example.org/a"}
        record["embed"] = {"$type": "app.bsky.embed.external", "external": link}
    record["langs"] = ["en"]
    if dice.random() < 0.45:
        strong = {"cid": _cid(dice), "uri": to}
        record["reply"] = {"parent": strong, "root": strong}
    return {**record, "text": _text(dice, seen)}


def _text(dice: random.Random, seen: Watched) -> str:
    kind = dice.random()
    if kind < 0.33:
        return "".join(dice.choices(_KANA, k=dice.randint(20, 90)))
    said = dice.choices(_LEXICON, k=dice.randint(5, 40))
    if dice.random() < 0.3:
        said[-1] = dice.choice(PLAIN if kind < 0.85 else FOREIGN[0])
    if dice.random() < 0.02:
        said[0] = dice.choice(_AI)
    if dice.random() < 0.008:
        said[:4] = [dice.choice(seen.cases[1:]).name, dice.choice(_AI), "training", "music"]
    return " ".join(said) + dice.choice(("", ".", " 🎵", "…", " <3"))


def _cid(dice: random.Random) -> str:
    return "bafyrei" + "".join(dice.choices(_BASE32, k=52))


def _dumped(payload: dict[str, Any]) -> bytes:
    frame = {"$type": "message", "payload": payload}
    text = json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
    for plain, escaped in (("&", r"\u0026"), ("<", r"\u003c"), (">", r"\u003e")):
        text = text.replace(plain, escaped)  # as Go's encoder does
    return text.encode().replace(b'"seq":0,', b'"seq":' + SEQ + b",", 1)
