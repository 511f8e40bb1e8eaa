"""Import of files: every packing and shape, damage, order, and what the ledger is told."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import shlex
import tempfile
import tracemalloc
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import archive, files, memory, readings
from collectors.archive import ImportSettings, ShapeError
from store.schema import RAW_POST, Batch

DUOLINGO = Path(__file__).parents[2] / "shared" / "data" / "duolingo.ndjson"
NOW = datetime.now(UTC)
AT = 1746800000
DID = "did:plc:inventedaaaaaaaaaaaaaaaa"


def collect(*paths: Path, **changes: Any) -> list[Batch]:
    return list(archive.collect([], None, ImportSettings(files=list(paths), **changes)))


def posts(batches: Iterable[Batch]) -> pl.DataFrame:
    return pl.concat([batch.posts for batch in batches])


def bad(batches: Iterable[Batch]) -> list[tuple[str, str]]:
    return [(record.place, record.reason) for batch in batches for record in batch.bad]


def submission(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "author": f"author{number}",
        "created_utc": AT + number,
        "id": f"s{number}",
        "num_comments": 2,
        "score": 10,
        "selftext": f"Body {number}, « déçu » 😠",
        "subreddit": "inventedmusic",
        "title": f"Title {number}",
        **changes,
    }


def comment(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "author": f"author{number}",
        "body": f"Comment {number}, « déçu » 😠",
        "created_utc": AT + number,
        "id": f"c{number}",
        "link_id": "t3_s1",
        "parent_id": "t3_s1",
        "score": 1,
        "subreddit": "inventedmusic",
        **changes,
    }


def ndjson(records: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records)


def csv_bytes(rows: list[dict[str, Any]], **dialect: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def zstd(data: bytes, **parameters: Any) -> bytes:
    chosen = zstandard.ZstdCompressionParameters.from_level(3, **parameters)
    # As the dumps are: streamed, so that the frame names its window and not its size.
    packer = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
    return packer.compress(data) + packer.flush()


def skippable(data: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


# Packing: told by the bytes, whatever the name says

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip of two members": lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
    "gzip padded with zeros": lambda data: gzip.compress(data) + b"\0" * 512,
    "zstd": zstd,
    "zstd of three frames": lambda data: zstd(data[:50]) + zstd(b"") + zstd(data[50:]),
    "zstd with skippable frames": lambda data: (
        skippable(b"index") + zstd(data[:70]) + skippable(b"") + zstd(data[70:])
    ),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", ["RC_2025-05.zst", "comments.txt"])
def test_a_file_is_read_however_it_is_packed_and_called(
    tmp_path: Path, packing: str, name: str
) -> None:
    data = PACKINGS[packing](ndjson(comment(n) for n in range(50)))
    (batch,) = collect(put(tmp_path / name, data))
    assert batch.posts["uri"].to_list() == [f"reddit:t1_c{n}" for n in range(50)]
    assert batch.posts["text"][7] == "Comment 7, « déçu » 😠"
    assert batch.posts.schema == RAW_POST
    assert (batch.collector, batch.reading.status) == ("archive", "done")
    assert (batch.reading.items, batch.reading.bytes) == (50, len(data))


def test_a_zstd_file_with_a_long_window_is_read(tmp_path: Path) -> None:
    data = zstd(ndjson(comment(n) for n in range(50)), window_log=28, enable_ldm=True)
    with pytest.raises(zstandard.ZstdError, match="too much memory"):
        zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert collect(put(tmp_path / "RC.zst", data))[-1].reading.items == 50


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_csv_and_parquet_are_read_packed_or_not(tmp_path: Path, packing: str) -> None:
    rows = [comment(n) for n in range(30)]
    parquet = io.BytesIO()
    pl.DataFrame(rows).write_parquet(parquet)
    pack = PACKINGS[packing]
    first = collect(put(tmp_path / "a", pack(csv_bytes(rows))), collected_at=NOW)
    second = collect(put(tmp_path / "b", pack(parquet.getvalue())), collected_at=NOW)
    third = collect(put(tmp_path / "c", pack(ndjson(rows))), collected_at=NOW)
    assert posts(first).equals(posts(third))
    assert posts(second).equals(posts(third))


# Damage: what was good is kept, and the ledger names the place


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_file_cut_off_keeps_what_came_before_and_ends_as_partial(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    noise = os.urandom(400_000).hex()  # cannot shrink by more than half: several blocks
    data = pack(ndjson(comment(n, body=noise[n * 400 : n * 400 + 400]) for n in range(2000)))
    batches = collect(put(tmp_path / "RC.zst", data[: len(data) // 2]))
    last = batches[-1].reading
    assert (last.status, last.stop_reason) == ("partial", "damaged file")
    assert f"is cut off at byte {len(data) // 2:,}" in last.error
    assert "RC.zst" in last.error
    kept = posts(batches)
    assert 700 < kept.height < 1300
    assert kept["uri"].to_list() == [f"reddit:t1_c{n}" for n in range(kept.height)]
    assert f"in line {kept.height:,}" in last.error
    assert last.items == kept.height
    assert bad(batches) == []


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_damage_in_the_middle_keeps_what_came_before(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    noise = os.urandom(400_000).hex()
    lines = ndjson(comment(n, body=noise[n * 400 : n * 400 + 400]) for n in range(2000))
    good = pack(lines)
    batches = collect(put(tmp_path / "x", good + good[:4] + b"\xff" * 5000))
    assert posts(batches).height == 2000
    assert batches[-1].reading.status == "partial"
    assert "is damaged near byte" in batches[-1].reading.error


def test_a_plain_file_that_ends_within_a_line_is_partial(tmp_path: Path) -> None:
    data = ndjson(comment(n) for n in range(10))
    for name, cut in (("middle", data[:-40]), ("within é", data[: data.rindex(b"\xc3") + 1])):
        batches = collect(put(tmp_path / name, cut))
        assert posts(batches).height == 9
        assert batches[-1].reading.status == "partial"
        assert "ends in the middle of line 10" in batches[-1].reading.error
        assert [place for place, _ in bad(batches)] == [f"{name}:10"]
    whole = collect(put(tmp_path / "no newline", data[:-1]))
    assert (whole[-1].reading.status, posts(whole).height) == ("done", 10)


def test_a_csv_that_ends_within_a_row_is_partial(tmp_path: Path) -> None:
    data = csv_bytes([comment(n, body='"quoted"\nand more') for n in range(10)])
    for end in (b"and", b"nd more", b"t3_s1"):
        batches = collect(put(tmp_path / "x.csv", data[: data.rindex(end)]))
        assert posts(batches).height == 9
        assert batches[-1].reading.status == "partial"
        assert "the row that begins in line 20" in batches[-1].reading.error


def test_a_file_of_which_nothing_can_be_read_is_refused_before_anything_is_stored(
    tmp_path: Path,
) -> None:
    good = put(tmp_path / "good.ndjson", ndjson([comment(1)]))
    parquet = io.BytesIO()
    pl.DataFrame([comment(1)]).write_parquet(parquet)
    for data, reason in (
        (b"", "empty"),
        (zstd(ndjson([comment(1)]))[:20], "cut off"),
        (parquet.getvalue()[:-20], "damaged"),
        (b"\0" * 4096, "NUL|empty"),
    ):
        with pytest.raises(ShapeError, match=reason):
            collect(good, put(tmp_path / "odd", data))


# Bad records


def test_every_kind_of_bad_line_is_reported_with_its_number_and_loses_no_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LINE_LIMIT", 1 << 20)
    monkeypatch.setattr(files.lines, "__defaults__", (1 << 20,))
    odd: list[tuple[bytes, str]] = [
        (b"not json at all", "not JSON"),
        (b'{"id": "x", "body": "\xff\xfe"}', "not UTF-8"),
        (b'{"id": "x", "body": "\x00\x00"}', "NUL"),
        (b"\0" * 300, "NUL"),
        (b"[1, 2]", "no object: list"),
        (b"null", "no object: NoneType"),
        (b"[" * 100_000, "not readable as JSON"),
        (b'{"body": "' + b"a" * (2 << 20) + b'"}', "longer than"),
        (b'{"unrelated": 1}', "no known shape"),
        (json.dumps(comment(0, id=None)).encode(), "no id"),
        (json.dumps(comment(0, created_utc=None)).encode(), "no time"),
        (json.dumps(comment(0, created_utc=86400)).encode(), "before 2005"),
        (json.dumps(comment(0, created_utc=4e9)).encode(), "in the future"),
        (json.dumps(comment(0, body=None)).encode(), "no text"),
    ]
    lines = []
    for number, (line, _) in enumerate(odd):
        lines += [ndjson([comment(number)]), line + b"\n"]
    path = put(tmp_path / "RC.ndjson", b"".join(lines) + b"\n  \n" + ndjson([comment(99)]))
    for taken in (True, False):
        batches = collect(path, taken=taken)
        uris = posts(batches)["uri"].to_list()
        assert uris == [f"reddit:t1_c{n}" for n in (*range(len(odd)), 99)]
        found = sorted(bad(batches), key=lambda entry: int(entry[0].split(":")[1]))
        assert [place for place, _ in found] == [f"RC.ndjson:{2 * n + 2}" for n in range(len(odd))]
        for (_, reason), (_, expected) in zip(found, odd, strict=True):
            assert expected in reason
        assert batches[-1].reading.items == 2 * len(odd) + 1
        assert batches[-1].reading.status == "done"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.one_of(st.just(None), st.binary(max_size=40).filter(lambda b: b"\n" not in b)),
        min_size=1,
        max_size=12,
    ),
    st.booleans(),
)
def test_a_bad_line_never_loses_its_neighbours(mixture: list[bytes | None], taken: bool) -> None:
    # None stands for a good line; one good line begins the file, so that it has a shape.
    lines = [ndjson([submission(0)])]
    for number, line in enumerate(mixture, start=1):
        lines.append(ndjson([comment(number)]) if line is None else line + b"\n")
    expected = [f"reddit:t1_c{n}" for n, line in enumerate(mixture, start=1) if line is None]
    with tempfile.TemporaryDirectory() as folder:
        batches = collect(put(Path(folder) / "x.ndjson", b"".join(lines)), taken=taken)
    assert posts(batches)["uri"].to_list() == ["reddit:t3_s0", *expected]
    blank = sum(line is not None and not line.strip() for line in mixture)
    assert len(bad(batches)) == len(mixture) - len(expected) - blank


def test_bad_rows_of_a_csv_are_reported_with_the_line_they_begin_in(tmp_path: Path) -> None:
    header = b"id,created_utc,body,link_id\n"
    rows = [
        b'a1,1746800000,"two\nlines",t3_x\n',
        b"a2,1746800000\n",  # line 4
        b'a3,1746800000,"a "quote" inside",t3_x\n',
        b"a4,1746800000,\xff\xfe,t3_x\n",
        b",1746800000,no id,t3_x\n",
        b"a5,1746800000,good,t3_x\n",
    ]
    batches = collect(put(tmp_path / "x.csv", header + b"".join(rows)))
    assert posts(batches)["text"].to_list() == ["two\nlines", "good"]
    found = bad(batches)
    assert [place for place, _ in found] == ["x.csv:4", "x.csv:5", "x.csv:6", "x.csv:7"]
    for (_, reason), part in zip(
        found, ["2 fields where the header has 4", "not CSV", "not UTF-8", "no id"], strict=True
    ):
        assert part in reason


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_csv_is_read_with_its_delimiter_bom_quoted_newlines_and_big_fields(
    tmp_path: Path, delimiter: str, start: str
) -> None:
    big = "word, word; " * 30_000  # beyond the csv module's own limit of 131,072
    rows = [comment(1, body=big), comment(2, body='a;b,c\td|e "f"\r\n\ng')]
    data = start.encode() + csv_bytes(rows, delimiter=delimiter)
    assert posts(collect(put(tmp_path / "x.csv", data)))["text"].to_list() == [
        row["body"] for row in rows
    ]


def test_a_csv_with_excels_first_line_and_a_blank_one_is_read(tmp_path: Path) -> None:
    data = b"sep=;\r\n\r\n" + csv_bytes([comment(1)], delimiter=";")
    assert posts(collect(put(tmp_path / "x.csv", data))).height == 1


# Shapes


def test_old_and_new_years_of_the_dumps_are_recognised(tmp_path: Path) -> None:
    records = [
        submission(1, created_utc=str(AT)),
        {k: v for k, v in submission(2).items() if k not in ("author", "num_comments")},
        submission(
            3,
            created_utc=float(AT),
            name="t3_s3",
            author_fullname="t2_x",
            edited=1746800500.0,
            permalink="/r/inventedmusic/comments/s3/",
            retrieved_on=AT + 9,
            _meta={"retrieved_2nd_on": AT + 129600},
        ),
        submission(4, selftext="[deleted]", author="[deleted]"),
        submission(5, _meta={"was_deleted_later": True, "retrieved_2nd_on": AT + 129600}),
        comment(6, author="[deleted]", edited=False, score_hidden=True),
        comment(7, body="[removed]"),
    ]
    batches = collect(put(tmp_path / "x", ndjson(records)), taken=True)
    (batch,) = batches
    assert batch.posts["uri"].to_list() == [
        *(f"reddit:t3_s{n}" for n in (1, 2, 3)),
        "reddit:t1_c6",
    ]
    assert batch.gone == ("reddit:t3_s4", "reddit:t3_s5", "reddit:t1_c7")
    assert batch.posts["author"].to_list() == ["author1", None, "author3", None]
    assert batch.posts["collected_at"][2] == datetime.fromtimestamp(AT + 129600, UTC)
    assert (batch.reading.source, batch.reading.items) == ("reddit", 7)


def test_what_others_deleted_is_in_no_batch_in_any_form(tmp_path: Path) -> None:
    taken_back = "a sentence its author took back"
    records = [
        submission(1),
        submission(2, title=taken_back, selftext="[removed]", author=taken_back),
    ]
    (batch,) = collect(put(tmp_path / "x", ndjson(records)))
    assert taken_back not in str(batch) + str(batch.posts.to_dicts())


@pytest.mark.skipif(not DUOLINGO.exists(), reason=f"needs {DUOLINGO.name}, which is not here")
def test_the_real_duolingo_file_is_read_whole() -> None:
    for taken in (True, False):
        batches = collect(DUOLINGO, taken=taken)
        kinds = dict(posts(batches)["kind"].value_counts().iter_rows())
        assert kinds == {"post": 67, "comment": 3215}
        assert bad(batches) == []
        assert batches[-1].reading.items == 3282
        assert not any(batch.gone for batch in batches)


# Round trips

WORDS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30
).filter(lambda text: "[" not in text and "\ufeff" not in text)
TIMES = st.datetimes(
    datetime(2005, 1, 2),  # noqa: DTZ001 - the zone is in `timezones`
    datetime(2026, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
COUNTS = st.none() | st.integers(-(2**53), 2**53)
IDS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


@st.composite
def rows_of_ours(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["post", "comment"]))
    reddit = draw(st.booleans())
    uri = (
        f"reddit:{'t1' if kind == 'comment' else 't3'}_{draw(IDS)}"
        if reddit
        else f"at://{DID}/app.bsky.feed.post/{draw(IDS)}"
    )
    other = "reddit:t3_root" if reddit else f"at://{DID}/app.bsky.feed.post/3root"
    at = draw(TIMES)
    return {
        "uri": uri,
        "source": "reddit" if reddit else "bluesky",
        "kind": kind,
        "author": draw(st.none() | st.just("somebody")) if reddit else DID,
        "community": draw(st.none() | st.just("invented")) if reddit else None,
        "text": draw(WORDS.filter(bool)),
        "langs": []
        if reddit
        else draw(st.lists(st.sampled_from(["en", "fr", "pt-BR"]), unique=True)),
        "at": at,
        "created_at": at if reddit else draw(st.none() | TIMES),
        "collected_at": draw(TIMES),
        "parent": other if kind == "comment" else None,
        "root": other if kind == "comment" else None,
        "quoted": draw(st.sampled_from([None, other])),
        "likes": draw(COUNTS),
        "reposts": None if reddit else draw(COUNTS),
        "replies": draw(COUNTS),
    }


def iso(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in row.items()
    }


@settings(deadline=None, max_examples=60)
@given(
    st.lists(rows_of_ours(), min_size=1, max_size=8), st.sampled_from(["ndjson", "csv", "parquet"])
)
def test_rows_written_to_a_file_come_back_as_they_were(
    rows: list[dict[str, Any]], form: str
) -> None:
    before = pl.DataFrame(rows, schema=RAW_POST)
    buffer = io.BytesIO()
    if form == "parquet":
        before.write_parquet(buffer)
    elif form == "csv":
        listed = [{**iso(row), "langs": json.dumps(row["langs"])} for row in rows]
        buffer.write(csv_bytes(listed, lineterminator="\n"))
    else:
        buffer.write(ndjson(map(iso, rows)))
    with tempfile.TemporaryDirectory() as folder:
        batches = collect(put(Path(folder) / f"x.{form}", buffer.getvalue()), taken=True)
    assert bad(batches) == []
    after = posts(batches)
    for source in ("reddit", "bluesky"):  # apart, since a batch holds one source
        same = pl.col("source") == source
        assert after.filter(same).equals(before.filter(same))
    for batch in batches:
        assert set(batch.posts["source"]) <= {batch.reading.source}


# Shapes nobody knows


UNKNOWN: dict[str, list[dict[str, Any]]] = {
    "renamed": [
        {"comment_id": f"a{n}", "message": "I am leaving.", "posted_at": "2025-05-09", "who": "x"}
        for n in range(3)
    ],
    "twitter-like names": [
        {
            "pid": f"b{n}",
            "content": f"Words, and “more” {n}",
            "timestamp": 1746800000000 + n,
            "user": "somebody",
            "upvotes": 3,
            "link_id": "t3_abc",
            "parent_id": "t3_abc",
            "type": "comment",
        }
        for n in range(3)
    ],
    "bluesky views": [
        {
            "uri": f"at://{DID}/app.bsky.feed.post/3lowordske{n}2a",
            "author": {"did": DID, "handle": "invented.example"},
            "record": {"text": "No.", "createdAt": "2025-05-09T00:00:00Z", "langs": ["en"]},
            "likeCount": 4,
        }
        for n in range(3)
    ],
    "text known by its length": [
        {
            "id": f"d{n}",
            "was sagt sie": "Das sind viele Wörter in einer Spalte.",
            "wann": "2025-05-09",
        }
        for n in range(3)
    ],
    "columns a shell would touch": [
        {"id": f"e{n}", "$text": "a column with a dollar in it, and words", "date": "2025-05-09"}
        for n in range(3)
    ],
}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (name, form)
        for name in UNKNOWN
        for form in ("ndjson", "csv", "parquet")
        if (name, form) != ("bluesky views", "csv")  # a CSV has no records inside of records
    ],
)
def test_an_unknown_shape_lists_its_columns_and_the_map_it_prints_works(
    tmp_path: Path, name: str, form: str
) -> None:
    rows = UNKNOWN[name]
    folder = tmp_path / "my files"
    folder.mkdir()
    path = folder / f"x.{form}"
    if form == "parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_bytes(csv_bytes(rows) if form == "csv" else ndjson(rows))
    with pytest.raises(ShapeError) as caught:
        collect(path)
    message = str(caught.value)
    for column, value in rows[0].items():
        assert all(part in message for part in (value if isinstance(value, dict) else [column]))

    assert ("from Bluesky" if "at://" in str(rows) else "from Reddit") in message

    # Follow the printed line literally, as a shell and the command line would.
    words = shlex.split(message.splitlines()[-1])
    assert words[:2] == ["aftershock", "import"]
    assert words[3] == "--map"
    mapping = dict(pair.split("=", 1) for pair in words[4].split(","))
    batches = collect(Path(words[2]), mapping=mapping)
    assert posts(batches).height == 3
    assert bad(batches) == []


def test_a_table_without_a_header_is_told_so_and_nobodys_words_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "zz1,These are the quux words of somebody,2025-05-09\nzz2,And more of them,2025-05-10\n"
    )
    for mapping in ({}, {"id": "id", "text": "text"}):
        with pytest.raises(ShapeError) as caught:
            collect(path, mapping=mapping)
        assert "text of 36 characters" in str(caught.value)
        assert "quux" not in str(caught.value)
    with pytest.raises(ShapeError, match="Put a line with names before it"):
        collect(path)


def test_a_shape_without_ids_or_text_says_so_and_promises_nothing(tmp_path: Path) -> None:
    for row, reason in (
        ({"n": 1, "m": 2}, "no column looks like text"),
        ({"text": "words", "date": "2025-05-09"}, "no id"),
        ({"text": "words", "id": "a1"}, "no time"),
    ):
        with pytest.raises(ShapeError, match=reason) as caught:
            collect(put(tmp_path / "x.ndjson", ndjson([row])))
        assert "Its columns: " + ", ".join(row) in str(caught.value)
        assert "This would read it" not in str(caught.value)


def test_a_map_takes_literals_nested_columns_and_time_for_at(tmp_path: Path) -> None:
    rows = [{"k": "a1", "inner": {"words": "x", "when": AT}, "a.b": "odd"}]
    mapping = {
        "id": "k",
        "text": "inner.words",
        "time": "inner.when",
        "source": "'reddit'",
        "community": '"invented"',
        "author": "a.b",
    }
    frame = posts(collect(put(tmp_path / "x.ndjson", ndjson(rows)), mapping=mapping))
    assert frame.select("uri", "text", "community", "author").rows() == [
        ("reddit:t3_a1", "x", "invented", "odd")
    ]


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"words": "k"}, "'words' is not one of our columns"),
        ({"text": "nowhere"}, "names the column 'nowhere'"),
        ({"text": "t", "id": "k", "source": "'elsewhere'"}, "neither bluesky nor reddit"),
    ],
)
def test_a_map_that_cannot_work_is_refused_with_the_reason(
    tmp_path: Path, mapping: dict[str, str], reason: str
) -> None:
    path = put(tmp_path / "x.ndjson", ndjson([{"k": "a1", "t": "x"}]))
    with pytest.raises(ShapeError, match=reason):
        collect(path, mapping=mapping)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (json.dumps([comment(1), comment(2)]).encode(), "jq -c"),
        (json.dumps([comment(1)], indent=2).encode(), "jq -c"),
        ("id,body".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_file_of_another_kind_says_how_to_turn_it_into_one_that_works(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    with pytest.raises(ShapeError, match=reason):
        collect(put(tmp_path / "x.json", data))


def test_a_wrong_map_prints_no_words_of_the_file(tmp_path: Path) -> None:
    words = "a sentence somebody wrote"
    path = put(tmp_path / "x.ndjson", ndjson([{"k": "a1", "t": words, "w": AT}]))
    good = {"id": "k", "text": "t", "at": "w", "source": "'reddit'"}
    for wrong in ("id", "at", "source", "kind"):
        with pytest.raises(ShapeError) as caught:
            collect(path, mapping={**good, wrong: "t"})
        assert "none of the first 1 records can be read" in str(caught.value)
        assert "sentence" not in str(caught.value)


def test_a_missing_file_is_named_before_anything_is_read(tmp_path: Path) -> None:
    good = put(tmp_path / "good", ndjson([comment(1)]))
    with pytest.raises(FileNotFoundError, match=r"absent\.zst: no such file"):
        collect(good, tmp_path / "absent.zst")


# Order, counting and the ledger


def test_submissions_come_before_comments_whatever_the_order_of_files_and_lines(
    tmp_path: Path,
) -> None:
    comments = put(tmp_path / "RC", zstd(ndjson(comment(n) for n in range(5))))
    mixed = [comment(5), submission(1), comment(6), submission(2, selftext="[removed]")]
    both = put(tmp_path / "both", ndjson(mixed))
    table = put(tmp_path / "table", csv_bytes([{**comment(7), "title": None, "selftext": None}]))
    pure = put(tmp_path / "RS", ndjson(submission(n) for n in (3, 4)))
    batches = collect(comments, both, table, pure)
    kinds = posts(batches)["kind"].to_list()
    assert kinds == ["post"] * 3 + ["comment"] * 8
    totals = {batch.reading.unit: batch.reading for batch in batches}
    assert {unit: reading.items for unit, reading in totals.items()} == {
        "RC": 5,
        "both": 4,
        "table": 1,
        "RS": 2,
    }
    for path in (comments, both, table, pure):
        assert totals[path.name].bytes == path.stat().st_size
        ends = [b.reading.status for b in batches if b.reading.unit == path.name]
        assert ends[-1] == "done"
        assert set(ends[:-1]) <= {"running"}
    assert [uri for batch in batches for uri in batch.gone] == ["reddit:t3_s2"]


def test_a_submission_that_hides_from_the_quick_look_is_read_all_the_same(tmp_path: Path) -> None:
    hidden = ndjson([submission(2)]).replace(b'"title"', b'"\\u0074itle"')
    batches = collect(put(tmp_path / "x", ndjson([comment(1)]) + hidden + ndjson([comment(3)])))
    assert posts(batches)["uri"].to_list() == ["reddit:t1_c1", "reddit:t3_s2", "reddit:t1_c3"]
    assert batches[-1].reading.items == 3


def own_post(number: int, **changes: Any) -> dict[str, Any]:
    at = datetime(2025, 5, 9, tzinfo=UTC).isoformat()
    return {
        **dict.fromkeys(RAW_POST),
        "uri": f"at://{DID}/app.bsky.feed.post/3p{number}",
        "source": "bluesky",
        "kind": "post",
        "text": f"Post {number}",
        "created_at": at,
        "collected_at": at,
        **changes,
    }


def test_what_quotes_comes_once_more_after_everything_else_and_is_counted_once(
    tmp_path: Path,
) -> None:
    quotes = own_post(1, quoted=own_post(9)["uri"])
    reply = own_post(3, kind="comment", root=own_post(9)["uri"], quoted=own_post(4)["uri"])
    first = put(tmp_path / "first", ndjson([quotes, own_post(2), reply]))
    crosspost = submission(5, crosspost_parent="t3_s6")
    escaped = ndjson([submission(8, crosspost_parent="t3_s6")]).replace(
        b'"crosspost_parent"', b'"\\u0063rosspost_parent"'
    )
    dump = put(
        tmp_path / "RS",
        zstd(ndjson([crosspost, comment(7)]) + b"odd\n" + escaped + ndjson([submission(4)])),
    )
    removed = submission(7, selftext="[removed]", crosspost_parent="t3_s6")
    last = put(tmp_path / "last", ndjson([own_post(9), submission(6), removed, own_post(4)]))
    told: list[tuple[int, int, int]] = []
    batches = collect(first, dump, last, progress=lambda *numbers: told.append(numbers))

    once = [batch for batch in batches if not batch.again]
    again = [batch for batch in batches if batch.again]
    assert batches == [*once, *again]
    assert sorted(posts(once)["uri"]) == sorted(
        [own_post(n)["uri"] for n in (1, 2, 3, 4, 9)]
        + [f"reddit:t3_s{n}" for n in (4, 5, 6, 8)]
        + ["reddit:t1_c7"]
    )
    assert posts(again)["uri"].to_list() == [
        quotes["uri"],
        reply["uri"],
        "reddit:t3_s5",
        "reddit:t3_s8",
    ]
    both = posts(once).filter(pl.col("quoted").is_not_null())
    assert posts(again).sort("uri").equals(both.sort("uri"))
    assert [uri for batch in batches for uri in batch.gone] == ["reddit:t3_s7"]
    assert [place for place, _ in bad(batches)] == ["RS:3"]

    totals = {(b.reading.unit, b.reading.source): b.reading for b in batches}
    assert {key: (reading.items, reading.bytes) for key, reading in totals.items()} == {
        ("first", "bluesky"): (3, first.stat().st_size),
        ("RS", "reddit"): (5, dump.stat().st_size),
        ("last", "bluesky"): (2, last.stat().st_size),
        ("last", "reddit"): (2, 0),
    }
    for key in totals:
        ends = [b.reading.status for b in batches if (b.reading.unit, b.reading.source) == key]
        assert ends[-1] == "done"
        assert set(ends[:-1]) <= {"running"}
    done, total, rows = told[-1]
    sizes = {path.name: path.stat().st_size for path in (first, dump, last)}
    assert done == total == 3 * sizes["first"] + 3 * sizes["RS"] + sizes["last"]
    assert rows == 12


def test_in_whatever_order_posts_and_quotes_stand_all_that_quotes_a_match_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "ROWS", 1)
    match = own_post(9, kind="comment", root=own_post(8)["uri"])
    quotes = own_post(1, quoted=match["uri"])
    for paths in (
        [put(tmp_path / "a", ndjson([quotes, match]))],
        [put(tmp_path / "b", ndjson([quotes])), put(tmp_path / "c", ndjson([match]))],
    ):
        uris = [uri for batch in collect(*paths) for uri in batch.posts["uri"]]
        assert uris[-1] == quotes["uri"]
        assert uris.index(match["uri"]) < len(uris) - 1
        assert len(uris) == 3


def test_a_damaged_file_with_quotes_is_partial_to_its_last_batch_with_the_same_sentence(
    tmp_path: Path,
) -> None:
    data = ndjson([submission(1, crosspost_parent="t3_s2"), submission(2), submission(3)])
    batches = collect(put(tmp_path / "RS", data[:-5]))
    assert [(b.again, b.reading.status) for b in batches] == [(False, "running"), (True, "partial")]
    assert "ends in the middle of line 3; the last record before that is in line 3" in (
        batches[-1].reading.error
    )
    assert batches[-1].reading.items == 3
    assert len(bad(batches)) == 1


def test_taken_files_are_read_once_in_their_own_order(tmp_path: Path) -> None:
    records = [comment(1), submission(1, crosspost_parent="t3_s5"), comment(2)]
    (batch,) = collect(put(tmp_path / "x", ndjson(records)), taken=True)
    assert batch.posts["kind"].to_list() == ["comment", "post", "comment"]
    assert batch.taken
    assert not collect(tmp_path / "x")[0].taken


def test_the_ledger_is_told_the_file_without_its_folder_and_the_time_it_covers(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "somebodys-name"
    folder.mkdir()
    (batch,) = collect(put(folder / "x", ndjson([submission(5), submission(1), submission(9)])))
    assert batch.reading.unit == "x"
    assert "somebodys-name" not in str(batch.reading)
    assert batch.reading.observed_from == datetime.fromtimestamp(AT + 1, UTC)
    assert batch.reading.observed_to == datetime.fromtimestamp(AT + 10, UTC)
    assert batch.reading.stop_reason == "end of file"


def test_a_file_name_reaches_the_ledger_without_raw_bytes_or_control_characters(
    tmp_path: Path,
) -> None:
    name = os.fsdecode(b"d\xe9\xc3\xa9\x1b[31m\n\x7f\xc2\x9b 1")
    data = ndjson([submission(1)])
    try:
        path = put(tmp_path / name, data + b"odd\n" + data[:-9])
    except OSError:
        pytest.skip("the file system takes no such name")
    (batch,) = collect(path, taken=True)
    assert batch.reading.unit == r"d\udce9é\x1b[31m\x0a\x7f\x9b 1"
    assert batch.bad[0].place == rf"{batch.reading.unit}:2"
    assert batch.reading.error.startswith(batch.reading.unit)
    for content in (b"", b"[1]", "id".encode("utf-16"), ndjson([{"n": 1}])):
        with pytest.raises(ShapeError) as caught:
            collect(put(path, content))
        assert r"\x1b[31m" in str(caught.value)
        assert "\x1b" not in str(caught.value).encode().decode()


def test_files_of_one_name_are_two_units(tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths.append(put(tmp_path / name / "x", ndjson([submission(1)])))
    assert [batch.reading.unit for batch in collect(*paths)] == ["x", "x (2)"]


def test_without_a_time_of_its_own_a_record_is_as_old_as_its_file(tmp_path: Path) -> None:
    path = put(tmp_path / "x", ndjson([submission(1)]))
    os.utime(path, (AT + 500, AT + 500))
    for _ in range(2):  # the second import finds nothing newer
        assert collect(path)[0].posts["collected_at"].to_list() == [
            datetime.fromtimestamp(AT + 500, UTC)
        ]
    os.utime(path, (4e9, 4e9))
    assert collect(path)[0].posts["collected_at"][0] < datetime.now(UTC) + timedelta(seconds=1)
    chosen = datetime(2025, 6, 1, tzinfo=UTC)
    assert collect(path, collected_at=chosen)[0].posts["collected_at"][0] == chosen


def test_batches_have_a_size_and_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert readings.ROWS == 20_000
    monkeypatch.setattr(readings, "ROWS", 2_000)  # tracing memory makes everything slow

    def peak(count: int) -> tuple[int, list[int]]:
        path = put(tmp_path / "x", zstd(ndjson(comment(n) for n in range(count))))
        tracemalloc.start()
        made = archive.collect([], None, ImportSettings([path], taken=True))
        heights = [batch.posts.height for batch in made]
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return memory, heights

    small, heights = peak(2_000)
    assert sum(heights) == 2_000
    large, heights = peak(6_000)
    assert heights == [2_000, 2_000, 2_000, 0]
    assert large < 1.5 * small


def test_progress_ends_at_the_whole_and_counts_every_record_once(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    paths = [
        put(tmp_path / "RC", zstd(ndjson(comment(n) for n in range(500)))),
        put(tmp_path / "RS", ndjson(submission(n) for n in range(500))),
        put(tmp_path / "both", ndjson([submission(1), comment(2)])),
    ]
    for taken in (True, False):
        told.clear()
        collect(*paths, taken=taken, progress=lambda *numbers: told.append(numbers))
        done, total, rows = told[-1]
        assert done == total
        assert rows == 1002
        assert [numbers[0] for numbers in told] == sorted(numbers[0] for numbers in told)


# Memory


def test_too_little_memory_is_said_before_anything_is_read_with_the_amount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = put(tmp_path / "good", ndjson([submission(1)]))
    data = zstd(ndjson([submission(2)]), window_log=30)
    dump = put(tmp_path / "RS.zst", skippable(b"index") + data)
    assert memory.window(dump) == 1 << 30
    assert memory.window(good) == 0
    monkeypatch.setattr(memory, "available", lambda: 900 << 20)
    with pytest.raises(
        ShapeError, match=r"RS\.zst: unpacking it takes 1,598 MB .* 944 MB are free"
    ):
        collect(good, dump)
    assert collect(good)[-1].reading.items == 1
    monkeypatch.setattr(memory, "available", lambda: None)
    assert collect(dump)[-1].reading.items == 1


def test_the_tightest_control_group_counts(tmp_path: Path) -> None:
    group = tmp_path / "outer" / "inner"
    group.mkdir(parents=True)
    for folder, most, used in ((group, "max", 1), (group.parent, str(3 << 30), 1 << 30)):
        (folder / "memory.max").write_text(most)
        (folder / "memory.current").write_text(str(used))
        (folder / "memory.stat").write_text(f"anon 1\ninactive_file {1 << 20}\n")
    found = [
        memory._left(*(folder / f"memory.{name}" for name in ("max", "current", "stat")))
        for folder in (group, group.parent)
    ]
    assert found == [None, (2 << 30) + (1 << 20)]
    assert memory.available() is None or memory.available() > 0
