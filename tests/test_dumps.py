"""Dumps through the prefilter: the same posts come in as when every line is parsed."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_archive import AT, comment, ndjson, own_post, put, submission, zstd

from cases.case import Case
from cases.glance import READY
from cases.match import match
from collectors import archive, deletions, dumps, files, readings, shapes
from collectors.archive import ImportSettings
from collectors.normalise import Gone
from store.schema import Batch

CASE = """
title = "Invented"
platform = "Soundbox"
summary = "Invented."
since = 2025-01-01
languages = ["en"]
query = '''{query}'''
"""
QUERY = '(soundbox OR "sound box" OR community:soundbox*) AND (ai OR "a.i." OR créé* OR terms)'


def case(folder: Path, query: str = QUERY, name: str = "invented") -> Case:
    from cases.case import load  # noqa: PLC0415

    path = folder / f"{name}.toml"
    path.write_text(CASE.format(query=query))
    return load(path)


class Model:
    """A store in memory, as simple as can be: what is kept, by what, and what was erased."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self.posts: dict[str, dict[str, Any]] = {}
        self.matches: dict[tuple[str, str], str] = {}
        self.gone: set[str] = set()
        self.named: dict[str, str] = {}

    def kept(self, source: str, cases: Sequence[Case]) -> Iterator[pl.DataFrame]:
        rows = [
            (uri, any(self.matches.get((case.name, uri)) == "own" for case in cases))
            for uri in self.posts
            if uri.startswith(source)
        ]
        yield pl.DataFrame(rows, schema={"uri": pl.String, "root": pl.Boolean}, orient="row")

    def cursors(self, collector: str) -> dict[str, str]:
        assert collector == "archive"
        return dict(self.named)

    def take(self, batches: Iterable[Batch], *, until: int | None = None) -> list[Batch]:
        def matched(case: Case, uris: Sequence[str]) -> set[str]:
            return {uri for uri in uris if self.matches.get((case.name, uri)) == "own"}

        taken = []
        for batch in batches:
            self.gone.update(batch.gone)
            posts = batch.posts.filter(~pl.col("uri").is_in(list(self.gone)))
            for row in match(posts, self.cases, matched=matched, taken=batch.taken).to_dicts():
                key = (row["case"], row["uri"])
                self.matches[key] = min(row["via"], self.matches.get(key, "thread"))
            for row in posts.to_dicts():
                there = self.posts.get(row["uri"])
                belongs = any(key[1] == row["uri"] for key in self.matches)
                if belongs and (there is None or row["collected_at"] > there["collected_at"]):
                    self.posts[row["uri"]] = row
            for uri in batch.gone:
                self.posts.pop(uri, None)
            if batch.cursor:
                self.named[batch.reading.unit] = batch.cursor
            taken.append(batch)
            if until is not None and len(taken) >= until:
                break
        return taken

    def holds(self) -> tuple[Any, Any]:
        alive = {key: via for key, via in self.matches.items() if key[1] in self.posts}
        return dict(sorted(self.posts.items())), alive


PIECES = st.sampled_from(
    [
        "Soundbox",
        "SOUND BOX",
        "sound",
        "box",
        "ＳＯＵＮＤＢＯＸ",
        "so&#117;ndbox",
        "A.I.",
        "ai",
        "AI’s",
        "said",
        "créée",
        "CREE",
        "terms",
        "a",
        "i think",
        "été",
        "❤️",
        "…",
        "\n",
        "&amp;",
        '"x"',
        "\\",
        "[deleted]",
        "soundb́ox",
        "中文",
        "…terms…",
        "c&eacute;",
    ]
)
TEXTS = st.lists(PIECES, max_size=7).map(" ".join) | st.sampled_from(
    ["[deleted]", "[removed]", "[ Removed by Reddit ]", ""]
)
NAMES = st.sampled_from([f"a{n}" for n in range(5)])


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A line of a dump of any year, or something else that stands in one."""
    name, at = draw(NAMES), draw(st.integers(AT, AT + 9))
    some: dict[str, Any] = {
        "id": draw(st.sampled_from([name, f"t3_{name}"])) if draw(st.booleans()) else name,
        "created_utc": draw(st.sampled_from([at, str(at), float(at)])),
        "author": draw(st.sampled_from(["somebody", "[deleted]"])),
        "subreddit": draw(st.sampled_from(["music", "soundbox", "SoundBoxers"])),
        "score": draw(st.integers(-5, 5)),
    }
    extra = draw(
        st.dictionaries(
            st.sampled_from(["_meta", "removed_by_category", "author_soundbox_flair", "media"]),
            st.sampled_from(
                [
                    None,
                    "moderator",
                    {"was_deleted_later": True},
                    {"was_initially_deleted": True},
                    {"id": "a1", "title": "x"},
                    {"was_deleted_later": False},
                    "null",
                ]
            ),
            max_size=2,
        )
    )
    form = draw(st.sampled_from(["submission", "submission", "comment", "comment", "flat", "own"]))
    if form == "submission":
        some |= {"title": draw(TEXTS), "selftext": draw(TEXTS)}
        quoted = draw(st.none() | NAMES.map("t3_{}".format))
        some |= {} if quoted is None else {"crosspost_parent": quoted}
    elif form == "comment":
        some |= {"id": name, "body": draw(TEXTS), "parent_id": f"t3_{draw(NAMES)}"}
        some |= {"link_id": draw(NAMES.map("t3_{}".format) | NAMES)} if draw(st.booleans()) else {}
    elif form == "flat":
        # A submission has a title, also in this shape: without one it would be read with comments.
        kind = draw(st.sampled_from(["t1", "t3"]))
        some |= {"id": name, "kind": kind, "text": draw(TEXTS)}
        some |= {"link_id": f"t3_{draw(NAMES)}"} if draw(st.booleans()) else {}
        some |= {"title": draw(TEXTS)} if kind == "t3" or draw(st.booleans()) else {}
    else:
        return own_post(1, text=draw(TEXTS), quoted=draw(st.none() | st.just(own_post(2)["uri"])))
    keys = draw(st.permutations(sorted({**some, **extra})))
    return {key: {**some, **extra}[key] for key in keys}


@st.composite
def dump(draw: st.DrawFn) -> bytes:
    lines = []
    # No id twice, but for deletions: what several copies of a post come to depends on batches.
    seen: set[str] = set()
    for record in draw(st.lists(records(), min_size=1, max_size=9)):
        kind = "t1" if "body" in record or record.get("kind") == "t1" else "t3"
        name = str(record.get("id", record.get("uri"))).removeprefix("t3_")
        if (key := f"{kind}{name}") in seen:
            continue
        seen.add(key)
        spaced = draw(st.booleans())
        line = json.dumps(
            record,
            ensure_ascii=draw(st.booleans()),
            separators=None if spaced else (",", ":"),
        ).encode()
        if draw(st.integers(0, 9)) == 0:
            line = line.replace(b'"link_id"', b'"\\u006cink_id"').replace(b"oundb", b"o\\u0075ndb")
        lines.append(line)
        lines += draw(st.sampled_from([[], [], [], [b""], [b"  "], [b"no json"], [b"{soundbox"]]))
    return draw(st.sampled_from([b"\n", b"\n", b"\r\n"])).join(lines) + b"\n"


def alive_once(dumps_: list[bytes]) -> list[bytes]:
    """Without what is the second living copy of a post, in whichever of the files: what several
    copies come to depends on batches. Deletions stay."""
    seen: set[str] = set()
    kept = []
    for data in dumps_:
        lines = []
        for line in data.splitlines(keepends=True):
            uri = _alive(line)
            if uri is None or uri not in seen:
                lines.append(line)
            if uri is not None:
                seen.add(uri)
        kept.append(b"".join(lines))
    return kept


def _alive(line: bytes) -> str | None:
    record, _ = files.parsed(line)
    normaliser = None if isinstance(record, str) else shapes.recognise(record)
    if normaliser is None:
        return None
    now = datetime.now(UTC)
    row = readings.tried(normaliser, record, now, now)
    return row["uri"] if isinstance(row, dict) else None


def begun(data: bytes, comments: bool) -> bytes:
    """With a first record of a known shape, which decides how often the file is read."""
    first = comment(99, id="zz", link_id="t3_zz") if comments else submission(99, id="zz")
    return ndjson([first]) + data


@settings(deadline=None, max_examples=25)
@given(
    st.lists(dump(), min_size=1, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.booleans(),
)
def test_an_import_through_the_prefilter_keeps_what_one_of_every_line_keeps(
    dumps_: list[bytes], comments: list[bool], earlier: bool
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = [case(folder), case(folder, "terms AND (créé* OR box)", "other")]
        written = [begun(*pair) for pair in zip(alive_once(dumps_), comments, strict=False)]
        paths = [put(folder / f"{n}", data) for n, data in enumerate(written)]
        found = []
        before = ndjson(
            [
                submission(1, id="a1", title="Soundbox A.I.", retrieved_on=AT),
                comment(2, id="a2", body="soundbox terms", retrieved_on=AT, link_id="t3_q"),
            ]
        )
        for whole in (True, False):
            model = Model(cases)
            if earlier:
                model.take(
                    archive.collect(cases, None, ImportSettings([put(folder / "e", before)]))
                )
            batches = model.take(archive.collect(cases, model, ImportSettings(paths, whole=whole)))
            counts = {b.reading.unit: b.reading.items for b in batches}
            ends = {b.reading.unit: b.reading.status for b in batches}
            found.append((model.holds(), sum(counts.values()), ends))
        assert found[0] == found[1]


def test_comments_come_in_by_their_submission_by_their_words_or_because_they_are_kept(
    tmp_path: Path,
) -> None:
    cases = [case(tmp_path)]
    model = Model(cases)
    earlier = [submission(7, title="Soundbox and ai"), comment(8, body="soundbox terms")]
    model.take(archive.collect(cases, None, ImportSettings([put(tmp_path / "e", ndjson(earlier))])))
    heads = [submission(1, title="Soundbox terms", selftext=""), submission(2)]
    below = [
        comment(1, body="I am leaving", link_id="t3_s1"),
        comment(2, body="I stay", link_id="t3_s2"),
        comment(3, body="Soundbox, A.I.?", link_id="t3_s2"),
        comment(4, body="so do I", link_id="t3_s7"),
        comment(8, body="edited: nothing", link_id="t3_q", retrieved_on=AT + 999),
        comment(9, body="[removed]", link_id="t3_s1"),
    ]
    paths = [put(tmp_path / "RC", zstd(ndjson(below))), put(tmp_path / "RS", zstd(ndjson(heads)))]
    batches = model.take(archive.collect(cases, model, ImportSettings(paths)))
    assert sorted(model.posts) == [
        *(f"reddit:t1_c{n}" for n in (1, 3, 4, 8)),
        *(f"reddit:t3_s{n}" for n in (1, 7)),
    ]
    assert model.matches["invented", "reddit:t1_c1"] == "thread"
    assert sum(batch.posts.height for batch in batches) < 8
    assert {b.reading.unit: b.reading.items for b in batches} == {"RC": 6, "RS": 2}


def test_a_submission_among_comments_brings_in_those_before_it(tmp_path: Path) -> None:
    cases = [case(tmp_path)]
    below = [comment(n, body="so", link_id=f"t3_s{n % 2}") for n in range(6)]
    mixed = [*below[:3], submission(1, title="Soundbox terms"), below[3]]
    paths = [put(tmp_path / "a", ndjson(mixed)), put(tmp_path / "b", ndjson(below[4:]))]
    model = Model(cases)
    batches = model.take(archive.collect(cases, model, ImportSettings(paths)))
    assert sorted(model.posts) == ["reddit:t1_c1", "reddit:t1_c3", "reddit:t1_c5", "reddit:t3_s1"]
    assert {b.reading.unit: b.reading.items for b in batches} == {"a": 5, "b": 2}


@pytest.mark.parametrize("whole", [True, False])
def test_a_pure_dump_is_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    read: list[str] = []
    real = files.chunks
    monkeypatch.setattr(files, "chunks", lambda p, *a: read.append(p.name) or real(p, *a))
    head = submission(1, title="Soundbox terms")
    repeats = submission(2, title="look", crosspost_parent="t3_s1", crosspost_parent_list=[head])
    other = submission(3, title="look", crosspost_parent="t3_s9")
    cases = [case(tmp_path)]
    paths = [
        put(tmp_path / "RS", ndjson([head, repeats, other])),
        put(tmp_path / "RC", ndjson([comment(1, body="so", link_id="t3_s1")])),
    ]
    model = Model(cases)
    model.take(archive.collect(cases, model, ImportSettings(paths, whole=whole)))
    assert sorted(model.posts) == ["reddit:t1_c1", "reddit:t3_s1", "reddit:t3_s2"]
    looked = 2  # at the first records, for the form and for the shape
    assert read.count("RC") == (looked + 1 if READY and not whole else looked + 2)
    assert read.count("RS") == (looked + 1 if READY and not whole else looked + 2)


@settings(deadline=None, max_examples=100)
@given(records(), st.booleans())
def test_what_a_line_says_of_deletion_is_what_its_record_says(
    record: dict[str, Any], spaced: bool
) -> None:
    now = datetime.now(UTC)
    line = json.dumps(record, separators=None if spaced else (",", ":")).encode()
    normaliser = shapes.recognise(record)
    if normaliser is None or line.count(b'"id"') != 1 or line.count(b'"title"') > 1:
        return
    marks = [
        (name, found.end())
        for name, patterns in deletions.MARKS.items()
        for pattern in patterns
        for found in re.finditer(pattern.encode("latin-1"), line + b"\n")
    ]
    said = deletions.says_gone(line, marks, submission=b'"title"' in line)
    result = readings.tried(normaliser, record, now, now)
    assert said is None or said == isinstance(result, Gone)


def test_what_one_file_says_is_deleted_does_not_come_in_from_an_older_copy(tmp_path: Path) -> None:
    cases = [case(tmp_path)]
    marked: list[dict[str, Any]] = [
        submission(1, title="x", selftext="[removed]"),
        submission(2, title="x", _meta={"was_deleted_later": True}),
        submission(3, title="x", removed_by_category="moderator", media={"id": "s9"}),
        submission(4, title="x", removed_by_category=None, selftext="[deleted] by nobody"),
        submission(
            5, title="x", removed_by_category="moderator", _meta={"was_initially_deleted": True}
        ),
        comment(1, body="[deleted]"),
        comment(2, body="x", collapsed_reason_code="DELETED"),
    ]
    alive = [submission(n, title="Soundbox ai", selftext="") for n in (1, 2, 3, 4, 5, 9)]
    alive += [comment(n, body="Soundbox ai") for n in (1, 2)]
    paths = [put(tmp_path / "new", ndjson(marked)), put(tmp_path / "old", ndjson(alive))]
    model = Model(cases)
    model.take(archive.collect(cases, model, ImportSettings(paths)))
    assert sorted(model.posts) == ["reddit:t3_s4", "reddit:t3_s5", "reddit:t3_s9"]


def test_what_is_said_of_a_record_inside_of_another_deletes_the_other_only(
    tmp_path: Path,
) -> None:
    cases = [case(tmp_path)]
    removed = submission(8, title="x", selftext="[removed]", removed_by_category="moderator")
    marked: list[dict[str, Any]] = [
        submission(1, title="x", crosspost_parent="t3_s8", crosspost_parent_list=[removed]),
        submission(2, title="x", media={"oembed": {"title": "[deleted]"}}),
        submission(3, title="x", media={"was_deleted_later": True}),
        submission(4, title="x", removed_by_category="null"),
        submission(5, title="x", _meta={"edited_title": "no", "was_deleted_later": True}),
    ]
    alive = [submission(n, title="Soundbox ai", selftext="") for n in range(1, 6)]
    paths = [put(tmp_path / "new", ndjson(marked)), put(tmp_path / "old", ndjson(alive))]
    model = Model(cases)
    model.take(archive.collect(cases, model, ImportSettings(paths)))
    assert sorted(model.posts) == [f"reddit:t3_s{n}" for n in range(1, 5)]


def test_a_flat_record_that_says_deleted_keeps_an_older_copy_out(
    tmp_path: Path,
) -> None:
    cases = [case(tmp_path)]
    flat = comment(7, id="a7", kind="t1", text="[deleted]")
    del flat["body"]
    alive = [comment(7, id="a7", body="Soundbox ai"), comment(8, id="a8", body="Soundbox ai")]
    other = comment(9, id="a9", body="nothing of it")
    paths = [put(tmp_path / "new", ndjson([other, flat])), put(tmp_path / "old", ndjson(alive))]
    model = Model(cases)
    model.take(archive.collect(cases, model, ImportSettings(paths)))
    assert list(model.posts) == ["reddit:t1_a8"]


def test_nearly_nothing_of_a_dump_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [case(tmp_path)]
    rows = [submission(n, selftext=f"said {n} “été” 🙂") for n in range(3000)]
    rows[1500]["selftext"] = "SoundBox: Ａ.I."
    parsed: list[bytes] = []
    real = files.parsed
    monkeypatch.setattr(files, "parsed", lambda line: parsed.append(line) or real(line))
    path = put(tmp_path / "RS", zstd(ndjson(rows)))
    model = Model(cases)
    batches = model.take(archive.collect(cases, model, ImportSettings([path])))
    assert list(model.posts) == ["reddit:t3_s1500"]
    assert len(parsed) < 10
    assert batches[-1].reading.items == 3000
    assert batches[-1].reading.observed_from.timestamp() == AT
    assert batches[-1].reading.observed_to.timestamp() == AT + 3000


# Going on where an import was cut off


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("taken", [True, False])
def test_an_import_that_was_cut_off_anywhere_goes_on_after_its_last_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool, taken: bool
) -> None:
    monkeypatch.setattr(readings, "ROWS", 3)
    cases = [case(tmp_path)]
    heads = [submission(n, title="Soundbox terms" if n % 3 else "else") for n in range(14)]
    heads += [submission(20 + n, crosspost_parent=f"t3_s{n}", title="look") for n in range(4)]
    below = [comment(n, body="so", link_id=f"t3_s{n % 14}") for n in range(20)]
    below[7]["body"] = "[removed]"
    paths = [put(tmp_path / "RS", zstd(ndjson(heads))), put(tmp_path / "RC", zstd(ndjson(below)))]
    settings_ = ImportSettings(paths, whole=whole, taken=taken)
    straight = Model(cases)
    batches = straight.take(archive.collect(cases, straight, settings_))
    rows = sum(batch.posts.height for batch in batches)
    assert len(batches) > 8
    for cut in range(1, len(batches)):
        model = Model(cases)
        first = model.take(archive.collect(cases, model, settings_), until=cut)
        rest = model.take(archive.collect(cases, model, settings_))
        assert model.holds() == straight.holds()
        assert sum(batch.posts.height for batch in [*first, *rest]) <= rows + 12
        last = {b.reading.unit: b.reading for b in rest}
        assert {unit: r.items for unit, r in last.items()} == {"RS": 18, "RC": 20}
    # What came to its end is read anew.
    again = straight.take(archive.collect(cases, straight, settings_))
    assert sum(batch.posts.height for batch in again) >= rows


def test_a_line_that_cannot_be_read_is_reported_once_however_often_the_import_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "ROWS", 3)
    monkeypatch.setattr(files.blocks, "__defaults__", (500, 500))
    monkeypatch.setattr(files, "READ", 20)
    cases = [case(tmp_path)]
    rows = [comment(n, body="Soundbox terms") for n in range(20)]
    path = put(
        tmp_path / "RC", ndjson(rows[:2]) + b"a" * 2_000 + b"\n{Soundbox terms\n" + ndjson(rows[2:])
    )
    model = Model(cases)
    batches = model.take(archive.collect(cases, model, ImportSettings([path])), until=3)
    batches += model.take(archive.collect(cases, model, ImportSettings([path])))
    assert len(model.posts) == 20
    reasons = [one.reason for batch in batches for one in batch.bad]
    assert [reason.partition(":")[0] for reason in reasons] == ["longer than 16 MiB", "not JSON"]


def test_a_cursor_is_good_for_the_same_file_and_the_same_import_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "ROWS", 2)
    cases = [case(tmp_path)]
    rows = [submission(n, title="Soundbox terms") for n in range(9)]
    path = put(tmp_path / "RS", ndjson(rows))

    def left(cases: list[Case], settings_: ImportSettings) -> int:
        model = Model(cases)
        model.take(archive.collect([case(tmp_path)], model, ImportSettings([path])), until=2)
        return sum(b.posts.height for b in archive.collect(cases, model, settings_))

    assert left(cases, ImportSettings([path])) == 5
    assert left(cases, ImportSettings([path], anew=True)) == 9
    assert left(cases, ImportSettings([path], taken=True)) == 9
    assert left(cases, ImportSettings([path, put(tmp_path / "RC", ndjson([comment(1)]))])) >= 9
    assert left([case(tmp_path, "terms")], ImportSettings([path])) == 9
    other = tmp_path / "other"
    other.mkdir()
    changed = put(other / "RS", ndjson([*rows[1:], submission(99, title="Soundbox terms")]))
    assert left(cases, ImportSettings([changed])) == 9
    (other / "RS").unlink()
    moved = path.rename(other / "RS")
    model = Model(cases)
    model.named = {"RS": "no cursor of ours"}
    assert sum(b.posts.height for b in archive.collect(cases, model, ImportSettings([moved]))) == 9


# Blocks of lines


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from([b"a", b"bb", b"", b"\r", b"c" * 9]), max_size=12).map(b"\n".join),
    st.lists(st.integers(1, 7), min_size=1),
    st.integers(1, 20),
)
def test_blocks_hold_every_line_once_in_order(data: bytes, cuts: list[int], size: int) -> None:
    def parts() -> Iterator[bytes]:
        at, turn = 0, 0
        while at < len(data):
            yield data[at : (at := at + cuts[turn % len(cuts)])]
            turn += 1

    limit = 8
    expected = [(number, raw) for number, raw, _ in files.lines(parts(), limit)]
    found: list[tuple[int, bytes | None]] = []
    for first, block, ended in files.blocks(parts(), size, limit):
        assert ended or (first, block) == (first, block)
        rows = [None] if block is None else bytes(block).split(b"\n")[:-1]
        found += [
            (first + n, None if row is not None and len(row) > limit else row)
            for n, row in enumerate(rows)
        ]
    assert found == expected


def test_ids_are_numbers_that_never_meet() -> None:
    names = ["0", "00", "a", "0a", "a0", "zzzzzzzzzzzz", "1kf", "fk1"]
    assert len({dumps.code(name) for name in names}) == len(names)
    ids = dumps.Ids()
    for name in names:
        ids.add([dumps.code(name)])
        assert ids.has(dumps.codes(pl.Series([f"reddit:t3_{name}", "reddit:t3_b"]))).tolist() == [
            True,
            False,
        ]
