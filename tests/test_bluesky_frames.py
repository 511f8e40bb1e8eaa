"""Frames of the stream: what is picked out before parsing, and what a recording of it holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from testbeds.bluesky.jetstream_wire import POSTS, v1, v2

from cases.case import Case, load_all
from cases.match import match
from cases.query import parse as query
from cases.sieve import Sieve
from collectors.bluesky_events import Picker, parse
from collectors.bluesky_kept import Hashes, Kept
from collectors.normalise import bluesky_record, frame
from collectors.values import BadRecord

NOW = datetime(2026, 8, 1, tzinfo=UTC)
US = 1_785_000_000_000_000
RECORDED = Path(__file__).parents[2] / "shared" / "data" / "jetstream"
recorded = pytest.mark.skipif(
    not RECORDED.is_dir(), reason="shared/data/jetstream is not beside the checkout"
)

QUERIES = (
    "tootle AND (ai OR ia)",
    '"a.i." OR "œuvres d\'art"',
    "entraîn* OR straße OR k_9",
    '"train music"~3 AND NOT peace',
    "lang:fr AND ia",
    "community:tootle OR dégoût",
)
PIECES = (
    *(
        "tootle",
        "TOOTLE",
        "Toötle",
        "to\u0301otle",
        "too\0tle",
        "ｔｏｏｔｌｅ",
        "𝐭𝐨𝐨𝐭𝐥𝐞",
        "too tle",
    ),
    *("ai", "IA", "l'IA", "l’ia", "\nai", "\\ai", "a.i.", "A. I.", "&ai", "<ia>", "_ai", "aiai"),
    *("œuvres d'art", "OEUVRES D’ART", "entraîné", "ENTRAI\u0302NER", "ﬁn", "straße", "STRASSE"),
    *(
        "train",
        "music",
        "the",
        "peace",
        "k_9",
        "K_9",
        "ₖ_⁹",
        "dégoût",
        "degou\u0302t",
        "\ud800",
        "🎵",
    ),
    *("\u200bai", "ai\u2028", "ai\ufe0f", "1\ufe0f\u20e3", "ai\t", '"ai"', "/ai/", "网ai", "🎵"),
)
texts = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(max_size=3), st.sampled_from((" ", "-", "\n"))),
    max_size=6,
).map("".join)


def watched(text: str) -> Case:
    """A case of which only the query is used."""
    case = next(iter(load_all().values()))
    node = query(text)
    return Case(**{**vars(case), "name": "one", "query": node, "query_hash": "q"})


@cache
def picker_of(number: int) -> Sieve:
    return Sieve([watched(QUERIES[number])])


def event(text: str, *, rkey: str = "3mptbyoayc22k", did: str = "did:plc:anne", **more: Any):
    record = {"$type": POSTS, "createdAt": "2026-07-04T14:38:08.420Z", "langs": ["fr"]}
    return {
        "kind": "commit",
        "seq": 7,
        "did": did,
        "us": US,
        "rev": "3rev",
        "operation": "create",
        "collection": POSTS,
        "rkey": rkey,
        "record": {**record, "text": text, **more.pop("record", {})},
        **more,
    }


def spelt(event: dict[str, Any], wire: str, escapes: str) -> bytes:
    """The frame of an event in one of the spellings that JSON allows."""
    raw = (v2 if wire == "v2" else v1)(event).decode("utf-8", "surrogatepass")
    if escapes == "plain":
        return raw.encode("utf-8", "replace")
    value = json.loads(raw)
    if escapes == "ascii":
        return json.dumps(value).encode()
    if escapes == "spaced":
        return json.dumps(value, indent=1).encode()
    everything = "".join(f"\\u{ord(c):04X}" for c in value_text(value))
    plain = json.dumps(value)
    return plain.replace(json.dumps(value_text(value)), f'"{everything}"').encode()


def value_text(value: dict[str, Any]) -> str:
    commit = value.get("payload") or value["commit"]
    text = commit["record"]["text"].encode("utf-16", "surrogatepass")[2:]
    return "".join(chr(text[i] | text[i + 1] << 8) for i in range(0, len(text), 2))


@settings(max_examples=400, deadline=None)
@given(
    number=st.integers(0, len(QUERIES) - 1),
    text=texts,
    wire=st.sampled_from(("v1", "v2")),
    escapes=st.sampled_from(("plain", "ascii", "spaced", "all")),
)
@example(0, "too\0tle ai", "v2", "plain")
@example(0, "tootle&ai", "v2", "plain")
@example(1, "œuvres d’art", "v1", "plain")
@example(2, "Strasse", "v2", "all")
def test_no_post_that_a_query_takes_is_dropped_before_it_is_parsed(
    number, text, wire, escapes
) -> None:
    raw = spelt(event(text), wire, escapes)
    case = watched(QUERIES[number])
    parsed = parse(raw)
    row = bluesky_record(parsed.did, parsed.rkey, parsed.record, parsed.at, NOW)
    taken = match(frame([row]), [case], matched=lambda *_: set())
    passes = picker_of(number).passes(pl.Series([raw.decode()]))[0]
    assert passes or taken.is_empty()


@settings(max_examples=60, deadline=None)
@given(
    wire=st.sampled_from(("v1", "v2")),
    escapes=st.sampled_from(("plain", "ascii", "spaced")),
    stored=st.booleans(),
    others=st.integers(0, 3),
)
def test_nothing_that_concerns_a_kept_post_is_dropped(wire, escapes, stored, others) -> None:
    root = f"at://did:plc:anne/{POSTS}/3mptbyoayc22k"
    to = {"root": {"uri": root}, "parent": {"uri": f"at://did:plc:other/{POSTS}/3x"}}
    embed = {"$type": "app.bsky.embed.recordWithMedia", "record": {"record": {"uri": root}}}
    commit = {"did": "did:plc:ben", "rkey": "3mptbyobyc22k"}
    gone = {**event("", **commit), "operation": "delete", "record": None, "cid": None}
    account = {"kind": "account", "seq": 9, "us": US, "account": {"active": True}}
    wanted = [
        event("yes", record={"reply": to}, **commit),
        event("no", record={"embed": embed}, did="did:plc:cleo"),
        event("not a word of it", operation="update", **commit),
        gone,
        {**account, "did": "did:plc:ben"},
        {**account, "did": "did:plc:anne"},
    ]
    unwanted = [
        event(
            "of something else", did="did:plc:dora", record={"reply": {"root": {"uri": "at://x"}}}
        ),
        {**gone, "rkey": "3mptbyozyc22k"},
        {**account, "did": "did:plc:dora"},
        event("an edit of something else", operation="update", did="did:plc:dora"),
    ]
    kept = Kept()
    frames = [spelt_any(one, wire, escapes) for one in unwanted[: others + 1]]
    if stored:
        kept.add([root], roots=True)
    else:
        frames.insert(0, spelt_any(event("Tootle and its AI"), wire, escapes))
    frames += [spelt_any(one, wire, escapes) for one in wanted]
    picked = Picker([watched(QUERIES[0])], kept).pick(frames, NOW)
    assert [one.event for one in picked] == [
        parse(spelt_any(one, wire, escapes))
        for one in [*([] if stored else [event("Tootle and its AI")]), *wanted]
    ]


def spelt_any(event: dict[str, Any], wire: str, escapes: str) -> bytes:
    raw = (v2 if wire == "v2" else v1)(event)
    if escapes == "plain":
        return raw
    value = json.loads(raw)
    return json.dumps(value, indent=None if escapes == "ascii" else 2).encode()


def test_a_slash_that_is_escaped_hides_no_reply() -> None:
    root = f"at://did:plc:anne/{POSTS}/3mptbyoayc22k"
    kept = Kept()
    kept.add([root], roots=True)
    raw = v2(event("yes", did="did:plc:ben", record={"reply": {"root": {"uri": root}}}))
    picked = Picker([watched(QUERIES[0])], kept).pick([raw.replace(b"/", rb"\/")], NOW)
    assert [one.row["root"] for one in picked if one.row] == [root]


def test_a_query_without_necessary_words_takes_every_post_to_be_parsed() -> None:
    raw = [v2(event("规约")), v2(event("whatever"))]
    picked = Picker([watched("规约")], Kept()).pick(raw, NOW)
    assert [one.row["text"] for one in picked if one.row] == ["规约", "whatever"]


def test_hundreds_of_cases_are_watched_at_once() -> None:
    cases = [watched(f'(brand{n} OR "maker {n}") AND (ai OR ia{n})') for n in range(700)]
    raw = pl.Series([v2(event(t)).decode() for t in ("Maker 699: AI", "Brand699 IA", "none")])
    assert Sieve(cases).passes(raw).to_list()[::2] == [True, False]


@given(st.lists(st.integers(0, 40_000), max_size=50), st.lists(st.integers(0, 40_000), max_size=50))
@settings(max_examples=50, deadline=None)
def test_hashes_know_what_was_added_and_nothing_else(added, asked) -> None:
    hashes = Hashes()
    hashes.add(map(str, range(10_000, 20_000)))
    for number in added:
        hashes.add([str(number)])
    truth = {*map(str, range(10_000, 20_000)), *map(str, added)}
    assert hashes.holds(map(str, asked)).to_list() == [str(one) in truth for one in asked]
    assert len(hashes) == len(truth) or len(set(added) & set(range(10_000, 20_000))) > 0


def plainly(lines: list[bytes], text: str) -> dict[str, str]:
    """The posts whose text matches, by parsing every frame."""
    rows = []
    for line in lines:
        one = parse(line)
        if one.kind == "commit" and one.operation == "create":
            try:
                rows.append(bluesky_record(one.did, one.rkey, one.record, one.at, NOW))
            except BadRecord:
                continue
    posts = frame(rows)
    taken = match(posts, [watched(text)], matched=lambda *_: set()).filter(via="own")
    return dict(posts.join(taken, on="uri", how="semi").select("uri", "text").iter_rows())


@recorded
def test_every_word_of_a_recorded_stretch_finds_its_posts_by_v1() -> None:
    lines = (RECORDED / "expected_v1.jsonl").read_bytes().splitlines()
    assert len(lines) == 152
    _each_word_finds_its_posts(lines)


@recorded
def test_the_raw_frames_of_the_recorded_stretch_give_the_same_posts() -> None:
    lines = [v2(one) for one in _relayed()]
    live = [parse(one) for one in (RECORDED / "expected_v1.jsonl").read_bytes().splitlines()]
    said = {one.uri: one.record["text"] for one in live if one.operation == "create"}
    found = {one.uri: one.record["text"] for one in map(parse, lines) if one.operation == "create"}
    assert found == said
    assert len(found) == 17
    _each_word_finds_its_posts(lines)


def _each_word_finds_its_posts(lines: list[bytes]) -> None:
    words = {
        word.strip(".,!?:;()\"'").lower()
        for line in lines
        if (one := parse(line)).operation == "create"
        for word in one.record["text"].split()
    }
    words = {word for word in words if word.isalpha() and word.isascii() and len(word) > 1}
    assert len(words) > 30
    for word in sorted(words - {"and", "or", "not"})[::4]:
        picked = Picker([watched(word)], Kept()).pick(lines, NOW)
        found = {one.event.uri: one.row["text"] for one in picked if one.row}
        truth = plainly(lines, word)
        assert truth
        assert truth.items() <= found.items()


def _relayed() -> list[dict[str, Any]]:
    """The frames of the relay as events of this wire, by the SDK's decoders."""
    from atproto import CAR, models, parse_subscribe_repos_message  # noqa: PLC0415 - a second
    from atproto_firehose.models import Frame  # noqa: PLC0415

    raw = zstandard.ZstdDecompressor().decompressobj()
    data = raw.decompress((RECORDED / "frames.bin.zst").read_bytes())
    events, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        message = parse_subscribe_repos_message(Frame.from_bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
        if isinstance(message, models.ComAtprotoSyncSubscribeRepos.Commit):
            blocks = CAR.from_bytes(message.blocks).blocks
            for operation in message.ops:
                collection, _, rkey = operation.path.partition("/")
                record = blocks.get(operation.cid) if operation.cid else None
                one = event("", did=message.repo, rkey=rkey, operation=operation.action)
                events.append({**one, "collection": collection, "record": _plain(record)})
    return events


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | None) else {"$link": str(value)}
