"""From a source's raw record to a row: what becomes text, time, identity; and what does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors import normalise
from collectors.normalise import Gone, frame
from collectors.values import BadRecord, is_marker, moment, tid_moment
from store.schema import RAW_POST

NOW = datetime(2026, 11, 1, tzinfo=UTC)
DID = "did:plc:inventedaaaaaaaaaaaaaaaa"
SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"
MARKERS = [
    "[deleted]",
    "[removed]",
    " [removed]\n",
    "[DELETED]",
    "[deleted by user]",
    "[ Removed by Reddit ]",
    "[ Removed by moderator ]",
    "[ Removed by reddit in response to a copyright notice. ]",
    "[removed by reddit]",
    "\\[removed\\]",
    "&#91;deleted&#93;",
]


def tid(at: datetime, clock: int = 7) -> str:
    """A record key made as atproto.com/specs/tid says, digit by digit."""
    number = ((at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)) << 10 | clock
    return "".join(SORTABLE[number >> shift & 31] for shift in range(60, -1, -5))


def submission(**changes: Any) -> dict[str, Any]:
    return {
        "id": "1abcde",
        "created_utc": 1746800000,
        "title": "They changed the terms",
        "selftext": "Did anyone read them?",
        "author": "invented_author",
        "subreddit": "inventedmusic",
        "score": 41,
        "num_comments": 7,
        **changes,
    }


def comment(**changes: Any) -> dict[str, Any]:
    return {
        "id": "mabc12",
        "created_utc": 1746800100,
        "body": "I did not.",
        "author": "another_author",
        "subreddit": "inventedmusic",
        "link_id": "t3_1abcde",
        "parent_id": "t3_1abcde",
        "score": 3,
        **changes,
    }


def test_a_submission_is_its_title_a_blank_line_and_its_body() -> None:
    row = normalise.reddit_submission(submission(), NOW)
    assert row == {
        "uri": "reddit:t3_1abcde",
        "source": "reddit",
        "kind": "post",
        "author": "invented_author",
        "community": "inventedmusic",
        "text": "They changed the terms\n\nDid anyone read them?",
        "langs": [],
        "at": datetime(2025, 5, 9, 14, 13, 20, tzinfo=UTC),
        "created_at": datetime(2025, 5, 9, 14, 13, 20, tzinfo=UTC),
        "collected_at": NOW,
        "parent": None,
        "root": None,
        "quoted": None,
        "likes": 41,
        "reposts": None,
        "replies": 7,
    }


@pytest.mark.parametrize("body", ["", None, " \n"])
def test_a_submission_without_a_body_is_its_title_alone(body: str | None) -> None:
    assert normalise.reddit_submission(submission(selftext=body), NOW)["text"] == (
        "They changed the terms"
    )


def test_a_crosspost_is_its_title_and_quotes_what_it_crossposts() -> None:
    row = normalise.reddit_submission(submission(selftext="", crosspost_parent="t3_zz9"), NOW)
    assert (row["text"], row["quoted"]) == ("They changed the terms", "reddit:t3_zz9")


def test_a_comment_names_its_parent_and_the_submission_it_stands_under() -> None:
    row = normalise.reddit_comment(comment(parent_id="t1_mzz"), NOW)
    assert (row["kind"], row["text"]) == ("comment", "I did not.")
    assert (row["parent"], row["root"]) == ("reddit:t1_mzz", "reddit:t3_1abcde")
    lone = normalise.reddit_comment(comment(link_id=None), NOW)
    assert lone["root"] == "reddit:t3_1abcde"
    lost = normalise.reddit_comment(comment(link_id=None, parent_id="t1_mzz"), NOW)
    assert (lost["parent"], lost["root"]) == ("reddit:t1_mzz", None)


@pytest.mark.parametrize("value", [1746800000, 1746800000.0, "1746800000", "1746800000.0"])
def test_the_time_is_read_from_every_form_the_dumps_of_the_years_have(value: Any) -> None:
    row = normalise.reddit_submission(submission(created_utc=value), NOW)
    assert row["at"] == datetime(2025, 5, 9, 14, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no time"),
        ("soon", "a time expected"),
        (float("nan"), "a time expected"),
        (True, "a time expected"),
        (0, "before 2005"),
        (10**400, "a time expected"),
        ((NOW + timedelta(days=1, seconds=1)).timestamp(), "in the future"),
    ],
)
def test_a_missing_or_absurd_time_is_a_bad_record_that_says_so(value: Any, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        normalise.reddit_comment(comment(created_utc=value), NOW)


@pytest.mark.parametrize("value", [None, "", "a b", "t3_", {"a": 1}, "../x"])
def test_a_record_without_a_usable_id_is_a_bad_record(value: Any) -> None:
    with pytest.raises(BadRecord, match="id"):
        normalise.reddit_comment(comment(id=value), NOW)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_is_a_post_gone_and_never_text(marker: str) -> None:
    at = datetime.fromtimestamp(1746800000, UTC)
    gone = Gone("reddit:t3_1abcde", "reddit", "post", at)
    for changes in ({"selftext": marker}, {"title": marker, "selftext": ""}):
        assert normalise.reddit_submission(submission(**changes), NOW, entities=True) == gone
    found = normalise.reddit_comment(comment(body=marker), NOW, entities=True)
    assert isinstance(found, Gone)
    assert found.uri == "reddit:t1_mabc12"


@settings(deadline=None)
@given(
    marker=st.sampled_from(MARKERS),
    before=st.text(" \n\t", max_size=3),
    after=st.text(" \n\t", max_size=3),
    kind=st.sampled_from(["t1", "t3"]),
    author=st.sampled_from(["[deleted]", "someone"]),
)
def test_no_marker_ever_becomes_text_in_any_shape(
    marker: str, before: str, after: str, kind: str, author: str
) -> None:
    text = before + marker + after
    flat = {"kind": kind, "id": "a1", "created_utc": 1746800000, "title": None, "text": text}
    if kind == "t3":
        flat["title"] = "A title"
    ours = {"source": "reddit", "id": f"{kind}_a1", "text": text, "at": 1746800000}
    dump = {"id": "a1", "created_utc": 1746800000, "author": author}
    results = [
        normalise.reddit_flat({**flat, "author": author}, NOW),
        normalise.mapped({**ours, "author": author}, NOW),
        normalise.reddit_comment({**dump, "body": text}, NOW, entities=True),
        normalise.reddit_submission(
            {**dump, "title": "A title", "selftext": text}, NOW, entities=True
        ),
    ]
    assert all(isinstance(result, Gone) for result in results)


def test_a_sentence_that_only_mentions_a_marker_stays() -> None:
    for text in ("[removed] is all I see", "Why [deleted]?", "[removed a comma]", "[edited]"):
        assert not is_marker(text)
        assert normalise.reddit_comment(comment(body=text), NOW)["text"] == text


@pytest.mark.parametrize(
    "changes",
    [
        {"removed_by_category": "moderator"},
        {"removed_by_category": "deleted"},
        {"_meta": {"was_deleted_later": True}},
        {"_meta": {"edited_title": "[ Removed by Reddit ]"}},
    ],
)
def test_what_the_dump_marks_as_removed_is_gone_though_the_text_is_there(
    changes: dict[str, Any],
) -> None:
    assert isinstance(normalise.reddit_submission(submission(**changes), NOW), Gone)


def test_what_was_gone_at_the_first_look_and_came_back_is_kept() -> None:
    raw = submission(
        removed_by_category="automod_filtered",
        _meta={"was_initially_deleted": True, "removal_type": "automod_filtered"},
    )
    assert isinstance(normalise.reddit_submission(raw, NOW), dict)


def test_a_comment_collapsed_as_deleted_is_gone() -> None:
    assert isinstance(normalise.reddit_comment(comment(collapsed_reason_code="DELETED"), NOW), Gone)


def test_where_the_account_is_gone_the_post_is_gone_whichever_way_it_comes() -> None:
    gone = {"author": "[deleted]"}
    flat = {"kind": "t1", "id": "a1", "created_utc": 1746800000, "title": None, "text": "x"}
    ours = {"source": "reddit", "id": "t1_a1", "text": "x", "at": 1746800000}
    results = [
        normalise.reddit_comment(comment(**gone), NOW),
        normalise.reddit_submission(submission(**gone), NOW),
        normalise.reddit_flat(flat | gone, NOW),
        normalise.mapped(ours | gone, NOW),
    ]
    assert all(isinstance(result, Gone) for result in results)
    nameless = [normalise.reddit_comment(comment(author=None), NOW), normalise.mapped(ours, NOW)]
    assert all(isinstance(row, dict) and row["author"] is None for row in nameless)


def test_a_hidden_score_is_no_score() -> None:
    assert normalise.reddit_comment(comment(score_hidden=True), NOW)["likes"] is None
    assert normalise.reddit_submission(submission(hide_score=True), NOW)["likes"] is None
    assert normalise.reddit_comment(comment(score_hidden=False), NOW)["likes"] == 3


def test_entities_are_undone_once_and_only_where_asked() -> None:
    raw = comment(body="a &amp;gt; b &amp; c")
    assert normalise.reddit_comment(raw, NOW, entities=True)["text"] == "a &gt; b & c"
    assert normalise.reddit_comment(raw, NOW)["text"] == "a &amp;gt; b &amp; c"


def test_collected_at_is_the_later_reading_of_the_record_itself() -> None:
    raw = comment(retrieved_on=1746800200, _meta={"retrieved_2nd_on": 1746900000})
    row = normalise.reddit_comment(raw, NOW)
    assert row["collected_at"] == datetime.fromtimestamp(1746900000, UTC)
    row = normalise.reddit_comment(comment(retrieved_utc=1746800200), NOW)
    assert row["collected_at"] == datetime.fromtimestamp(1746800200, UTC)
    assert normalise.reddit_comment(comment(), NOW)["collected_at"] == NOW


def test_half_a_surrogate_pair_and_nul_never_reach_the_frame() -> None:
    raw = json.loads(r'{"id": "a1", "created_utc": 1746800000, "body": "x\ud83d y\u0000z"}')
    row = normalise.reddit_comment({**raw, "author": "a\ud83d", "subreddit": "b"}, NOW)
    assert row["text"] == "x\ufffd yz"
    assert frame([row])["author"].to_list() == ["a\ufffd"]


# Bluesky


def record(**changes: Any) -> dict[str, Any]:
    return {
        "$type": "app.bsky.feed.post",
        "text": "L'IA partout, le consentement nulle part",
        "createdAt": "2025-05-09T10:11:12.345Z",
        "langs": ["fr"],
        **changes,
    }


def test_a_bluesky_post_has_the_time_of_its_key_and_the_declared_one_apart() -> None:
    at = datetime(2025, 5, 9, 12, 0, 0, 123456, tzinfo=UTC)
    row = normalise.bluesky_record(DID, tid(at), record(), NOW)
    assert row["at"] == at
    assert row["created_at"] == datetime(2025, 5, 9, 10, 11, 12, 345000, tzinfo=UTC)
    assert (row["author"], row["source"], row["kind"]) == (DID, "bluesky", "post")
    assert (row["uri"], row["langs"]) == (f"at://{DID}/app.bsky.feed.post/{tid(at)}", ["fr"])
    assert set(row) == set(RAW_POST)


@settings(deadline=None)
@given(
    st.datetimes(datetime(2005, 1, 1), datetime(2026, 10, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(0, 1023),
)
def test_the_time_in_a_record_key_is_read_to_the_microsecond(at: datetime, clock: int) -> None:
    assert tid_moment(tid(at, clock), NOW) == at


def test_a_key_that_is_no_tid_or_lies_ahead_of_its_sighting_gives_no_time() -> None:
    for key in ("self", "3k", tid(NOW)[:-1], tid(NOW) + "2", "z" + tid(NOW)[1:], "1" * 13):
        assert tid_moment(key, NOW) is None
    # the top bit set: the first digit is past its half
    assert tid_moment("c" + tid(NOW)[1:], NOW) is None
    assert tid_moment(tid(NOW + timedelta(minutes=2)), NOW) == NOW + timedelta(minutes=2)
    assert tid_moment(tid(NOW + timedelta(minutes=2, seconds=1)), NOW) is None
    assert tid_moment("2222222222222", NOW) is None


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (None, None),
        ("yesterday", None),
        (17, datetime(1970, 1, 1, 0, 0, 17, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", None),
        ("2099-12-31T23:59:59.123456789Z", datetime(2099, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)),
    ],
)
def test_the_declared_time_is_taken_as_it_is_or_not_at_all(declared: Any, expected: Any) -> None:
    row = normalise.bluesky_record(DID, "3abc", record(createdAt=declared), NOW)
    assert row["created_at"] == expected
    assert frame([row])["created_at"].to_list() == [expected]


def test_a_view_with_odd_parts_is_still_a_row() -> None:
    root = f"at://{DID}/app.bsky.feed.post/3root"
    parent = f"at://{DID}/app.bsky.feed.post/3parent"
    quoted = f"at://{DID}/app.bsky.feed.post/3quoted"
    view = {
        "uri": f"at://{DID}/app.bsky.feed.post/3lxyz",
        "author": {"did": DID, "handle": "invented.example"},
        "record": {
            "text": "four languages and no createdAt",
            "langs": ["en", "fr", "de", "ja", 5],
            "reply": {"root": {"uri": root, "cid": "x"}, "parent": {"uri": parent, "cid": "y"}},
            "embed": {
                "$type": "app.bsky.embed.recordWithMedia",
                "media": {"$type": "com.example.unknown"},
                "record": {
                    "$type": "app.bsky.embed.record",
                    "record": {"uri": quoted, "cid": "z"},
                },
            },
        },
        "likeCount": 3.0,
        "repostCount": "2",
        "replyCount": None,
    }
    row = normalise.bluesky_view(view, NOW)
    assert (row["kind"], row["root"], row["parent"], row["quoted"]) == (
        "comment",
        root,
        parent,
        quoted,
    )
    assert row["langs"] == ["en", "fr", "de", "ja"]
    assert (row["likes"], row["reposts"], row["replies"]) == (3, 2, None)
    assert row["created_at"] is None
    assert "invented.example" not in str(row)


def test_only_a_quoted_post_is_quoted() -> None:
    post = f"at://{DID}/app.bsky.feed.post/3q"
    feed = f"at://{DID}/app.bsky.feed.generator/x"
    for embed, expected in (
        ({"$type": "app.bsky.embed.record", "record": {"uri": post}}, post),
        ({"$type": "app.bsky.embed.record", "record": {"uri": feed}}, None),
        ({"$type": "com.example.new", "record": 5}, None),
        ("odd", None),
        (None, None),
    ):
        row = normalise.bluesky_record(DID, "3abc", record(embed=embed), NOW)
        assert row["quoted"] == expected


@pytest.mark.parametrize(
    "view",
    [
        {},
        {"uri": f"at://{DID}/app.bsky.feed.post/3a"},
        {"uri": f"at://{DID}/app.bsky.feed.post/3a", "record": {"text": 5}},
        {"uri": "at://invented.example/app.bsky.feed.post/3a", "record": {"text": "handle"}},
        {"uri": f"at://{DID}/app.bsky.feed.like/3a", "record": {"text": "no post"}},
    ],
)
def test_a_view_without_identity_or_text_is_a_bad_record(view: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        normalise.bluesky_view(view, NOW)


WORDS = "I am Jo Invented and I am leaving, r/inventedmusic"


@pytest.mark.parametrize(
    ("function", "raw", "reason"),
    [
        (normalise.reddit_comment, comment(created_utc=WORDS), "found text of 50 characters"),
        (normalise.reddit_comment, comment(id=WORDS), "found text of 50 characters"),
        (normalise.reddit_comment, comment(id="t3_leaving"), r"begins with t3_\)"),
        (normalise.reddit_comment, comment(id={"leaving": 1}), "found a record"),
        (
            normalise.bluesky_view,
            {"uri": "at://jo.invented/app.bsky.feed.post/3a", "record": {"text": "x"}},
            "a handle in the place of the did",
        ),
        (normalise.bluesky_view, {"uri": WORDS, "record": {"text": "x"}}, "50 characters"),
        (normalise.bluesky_view, {"uri": [WORDS], "record": {"text": "x"}}, "a list"),
        (normalise.mapped, {"source": WORDS, "id": "a"}, "neither bluesky nor reddit"),
        (normalise.mapped, {"source": "reddit", "id": "a", "kind": WORDS}, "neither post nor"),
        (normalise.mapped, {"source": "reddit", "id": "a", "at": WORDS}, "50 characters"),
        (normalise.mapped, {"source": "bluesky", "id": WORDS, "author": DID}, "characters"),
        (normalise.mapped, {"source": "bluesky", "id": "3a", "author": WORDS}, "characters"),
        (normalise.mapped, {"source": "bluesky", "id": "3a"}, "without the did"),
        (normalise.own, {"collected_at": WORDS}, "collected_at: a time expected"),
    ],
)
def test_a_bad_record_is_told_by_the_kind_of_its_value_and_never_by_its_words(
    function: Any, raw: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadRecord, match=reason) as caught:
        function(raw, NOW)
    message = str(caught.value).lower()
    assert not [word for word in ("jo", "invented", "leaving") if word in message]


@pytest.mark.parametrize("langs", ["[" * 200_000, '["en"', "[1]", "[]"])
def test_languages_that_cannot_be_read_are_none(langs: str) -> None:
    ours = {"source": "reddit", "id": "a", "text": "x", "at": 1746800000, "langs": langs}
    assert normalise.mapped(ours, NOW)["langs"] == []


# The flat shape under our own names


def test_a_mapped_reddit_row_gets_its_scheme_and_its_thread() -> None:
    row = normalise.mapped(
        {
            "source": "reddit",
            "id": "ab1",
            "kind": "comment",
            "text": "x",
            "at": "2025-05-09 10:00:00",
            "root": "zz",
            "parent": "zz",
            "community": "/r/invented",
        },
        NOW,
    )
    assert (row["uri"], row["root"], row["parent"]) == (
        "reddit:t1_ab1",
        "reddit:t3_zz",
        "reddit:t3_zz",
    )
    assert (row["community"], row["at"]) == ("invented", datetime(2025, 5, 9, 10, tzinfo=UTC))
    deeper = normalise.mapped({**row, "id": "ab2", "uri": None, "parent": "ab1"}, NOW)
    assert deeper["parent"] == "reddit:t1_ab1"


def test_a_mapped_bluesky_row_is_made_of_did_and_key_and_keeps_no_handle() -> None:
    at = datetime(2025, 5, 9, tzinfo=UTC)
    ours = {"source": "bluesky", "author": DID, "id": tid(at), "text": "&amp;", "at": "2025-01-01"}
    row = normalise.mapped(ours, NOW)
    assert (row["uri"], row["at"]) == (f"at://{DID}/app.bsky.feed.post/{tid(at)}", at)
    assert row["created_at"] == datetime(2025, 1, 1, tzinfo=UTC)
    assert row["text"] == "&amp;"  # Bluesky escapes nothing: somebody typed that
    with pytest.raises(BadRecord, match="at://did"):
        normalise.mapped({**ours, "author": "invented.example"}, NOW)
    named = normalise.mapped({**ours, "id": row["uri"], "author": "invented.example"}, NOW)
    assert named["author"] == DID


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": "elsewhere"}, "neither bluesky nor reddit"),
        ({"source": None, "id": "ab1"}, "no source"),
        ({"kind": "poll"}, "neither post nor comment"),
        ({"text": None}, "no text"),
        ({"id": "t3_ab1", "kind": "comment"}, "not that of a comment"),
    ],
)
def test_a_mapped_row_says_what_is_wrong_with_it(changes: dict[str, Any], reason: str) -> None:
    ours = {"source": "reddit", "id": "ab1", "text": "x", "at": 1746800000, **changes}
    with pytest.raises(BadRecord, match=reason):
        normalise.mapped(ours, NOW)


def test_milliseconds_microseconds_and_offsets_are_the_same_moment() -> None:
    at = datetime(2025, 5, 9, 14, 13, 20, tzinfo=UTC)
    for value in (1746800000, 1746800000000, 1746800000000000, "2025-05-09T16:13:20+02:00", at):
        assert moment(value) == at


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    ),
    st.sampled_from(sorted({*submission(), *comment(), "_meta", "retrieved_on", "hide_score"})),
)
def test_whatever_stands_in_a_field_gives_a_storable_row_gone_or_a_bad_record(
    value: Any, name: str
) -> None:
    for function, raw in (
        (normalise.reddit_submission, submission()),
        (normalise.reddit_comment, comment()),
    ):
        try:
            row = function({**raw, name: value}, NOW, entities=True)
        except BadRecord:
            continue
        if isinstance(row, dict):
            assert frame([row]).schema == RAW_POST
