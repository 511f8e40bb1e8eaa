"""Matching: a post belongs by its own text, by its thread, or by the file it came in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.case import Case
from cases.match import MATCH, match
from cases.query import parse

COLUMNS = pl.Schema(
    {
        "uri": pl.String,
        "source": pl.String,
        "kind": pl.String,
        "author": pl.String,
        "community": pl.String,
        "text": pl.String,
        "langs": pl.List(pl.String),
        "collected_at": pl.Datetime("us", "UTC"),
        "root": pl.String,
        "quoted": pl.String,
    }
)


def a_case(name: str, query: str) -> Case:
    return Case(
        name=name,
        title=name,
        platform=name,
        aliases=(),
        summary=name,
        since=date(2024, 1, 1),
        languages=("en",),
        query=parse(query),
        query_text=query,
        query_hash=f"hash of {name}",
        bluesky_search=(),
        reddit_subreddits=(),
        reddit_search=(),
        events=(),
        path=Path("none.toml"),
    )


TOOTLE = a_case("tootle", "tootle AND ai")
MUSIC = a_case("music", "music")


def post(uri: str, text: str | None, root: str | None = None, **more: object) -> dict[str, object]:
    return {"uri": uri, "source": "bluesky", "text": text, "root": root, "langs": [], **more}


def posts(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=COLUMNS)


class Kept:
    """What a store would answer, and what it was asked."""

    def __init__(self, **by_case: set[str]) -> None:
        self.by_case = by_case
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, case: Case, uris: Sequence[str]) -> set[str]:
        self.asked.append((case.name, list(uris)))
        return self.by_case.get(case.name, set()) & set(uris)


def found(
    frame: pl.DataFrame, *cases: Case, kept: Kept | None = None, taken: bool = False
) -> dict[tuple[str, str], tuple[str, bool]]:
    rows = match(frame, cases or (TOOTLE,), matched=kept or Kept(), taken=taken)
    assert rows.schema == MATCH
    assert not rows.select("case", "uri").is_duplicated().any()
    return {(r["case"], r["uri"]): (r["via"], r["root_known"]) for r in rows.to_dicts()}


def test_a_post_belongs_by_its_own_text() -> None:
    rows = found(posts(post("a", "Tootle and AI"), post("b", "Tootle"), post("c", None)))
    assert rows == {("tootle", "a"): ("own", True)}


def test_a_reply_belongs_by_its_root_wherever_the_root_stands_in_the_frame() -> None:
    rows = [post("a", "tootle ai"), post("b", "cancelled mine", "a"), post("c", "hello", "x")]
    for order in (rows, rows[::-1]):
        assert found(posts(*order)) == {
            ("tootle", "a"): ("own", True),
            ("tootle", "b"): ("thread", True),
        }


def test_a_quoting_post_belongs_by_the_post_it_quotes() -> None:
    rows = found(posts(post("b", "look at this", quoted="a"), post("a", "tootle ai")))
    assert rows["tootle", "b"] == ("thread", True)


def test_own_text_comes_before_the_thread() -> None:
    rows = found(posts(post("a", "tootle ai"), post("b", "AI on Tootle again", "a")))
    assert rows["tootle", "b"] == ("own", True)


def test_a_match_by_thread_passes_nothing_on() -> None:
    frame = posts(
        post("a", "tootle ai"), post("b", "no", "a"), post("c", "see", quoted="b"), post("d", "x")
    )
    assert set(found(frame)) == {("tootle", "a"), ("tootle", "b")}


def test_a_root_in_the_store_counts_like_one_in_the_frame() -> None:
    kept = Kept(tootle={"old"})
    frame = posts(
        post("b", "leaving", "old"), post("c", "see", quoted="old"), post("d", "no", "new")
    )
    assert found(frame, kept=kept) == {
        ("tootle", "b"): ("thread", True),
        ("tootle", "c"): ("thread", True),
    }
    assert kept.asked == [("tootle", ["new", "old"])]


def test_the_store_is_not_asked_where_the_frame_says_it_all() -> None:
    kept = Kept()
    found(posts(post("a", "tootle ai"), post("b", "leaving", "a")), kept=kept)
    assert kept.asked == []


def test_an_own_match_whose_root_was_never_seen_says_so() -> None:
    frame = posts(
        post("b", "tootle ai", "unseen"),
        post("c", "tootle ai", "r"),
        post("r", "nothing"),
        post("d", "tootle ai", "d"),
    )
    assert found(frame) == {
        ("tootle", "b"): ("own", False),
        ("tootle", "c"): ("own", True),
        ("tootle", "d"): ("own", True),
    }


def test_a_post_is_not_its_own_thread() -> None:
    kept = Kept(tootle={"a"})
    assert found(posts(post("a", "edited away", "a", quoted="a")), kept=kept) == {}


def test_of_two_copies_the_one_collected_last_decides() -> None:
    early, late = (datetime(2025, 5, day, tzinfo=UTC) for day in (1, 2))
    edited = [
        post("a", "never mind", collected_at=late),
        post("a", "tootle ai", collected_at=early),
    ]
    assert found(posts(*edited)) == {}
    restored = [
        post("a", "tootle ai", collected_at=late),
        post("a", "never mind", collected_at=early),
    ]
    assert found(posts(*restored)) == {("tootle", "a"): ("own", True)}


def test_cases_are_decided_apart() -> None:
    kept = Kept(music={"old"})
    frame = posts(
        post("a", "tootle ai music"),
        post("b", "x", "a"),
        post("c", "x", "old"),
        post("d", "music", "a"),
    )
    rows = found(frame, TOOTLE, MUSIC, kept=kept)
    assert rows == {
        ("tootle", "a"): ("own", True),
        ("tootle", "b"): ("thread", True),
        ("tootle", "d"): ("thread", True),
        ("music", "a"): ("own", True),
        ("music", "b"): ("thread", True),
        ("music", "c"): ("thread", True),
        ("music", "d"): ("own", True),
    }
    alone = {**found(frame, TOOTLE, kept=kept), **found(frame, MUSIC, kept=kept)}
    assert rows == alone


def test_a_query_is_asked_in_full_whatever_it_is_made_of() -> None:
    by_community = a_case("community", "community:Tootle AND ai")
    by_letters = a_case("letters", "реклама OR ai")
    frame = posts(
        post("a", "𝐀𝐈 it is", community="tootle"),
        post("b", "AI it is", community=None),
        post("c", "РЕКЛАМА", community="tootle"),
        post("d", None, community="tootle"),
    )
    assert set(found(frame, by_community, by_letters)) == {
        ("community", "a"),
        ("letters", "a"),
        ("letters", "b"),
        ("letters", "c"),
    }


def test_a_file_taken_whole_belongs_whole() -> None:
    frame = posts(post("a", "tootle ai"), post("b", "x", "a"), post("c", "x", "unseen"))
    assert found(frame, taken=True) == {
        ("tootle", "a"): ("taken", True),
        ("tootle", "b"): ("taken", True),
        ("tootle", "c"): ("taken", False),
    }


def test_every_row_carries_the_query_hash_of_its_case() -> None:
    rows = match(posts(post("a", "tootle ai music")), (TOOTLE, MUSIC), matched=Kept())
    assert rows["query_hash"].to_list() == ["hash of tootle", "hash of music"]


def test_no_posts_and_no_cases_give_no_rows() -> None:
    assert found(posts()) == {}
    assert match(posts(post("a", "x")), (), matched=Kept()).schema == MATCH
    assert found(posts(), taken=True) == {}


uris = st.sampled_from([*"abcdef", None])
rows_of_posts = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["tootle ai", "tootle", "x"]), uris, uris),
    max_size=6,
    unique_by=lambda row: row[0],
)


@settings(deadline=None, max_examples=150)
@given(rows_of_posts, st.sets(st.sampled_from("abcdef")), st.booleans())
def test_matching_agrees_with_the_rule_read_out_post_by_post(
    rows: list[tuple[str, str, str | None, str | None]], store: set[str], taken: bool
) -> None:
    frame = posts(*(post(u, text, root, quoted=quoted) for u, text, root, quoted in rows))
    here = {u for u, *_ in rows}
    own = {u for u, text, *_ in rows if text == "tootle ai"}
    expected = {}
    for uri, _, root, quoted in rows:
        others = {other for other in (root, quoted) if other is not None and other != uri}
        known = root is None or root in here or root in store
        if taken:
            expected["tootle", uri] = ("taken", known)
        elif uri in own:
            expected["tootle", uri] = ("own", known)
        elif others & (own | store):
            expected["tootle", uri] = ("thread", known)
    assert found(frame, kept=Kept(tootle=store), taken=taken) == expected
