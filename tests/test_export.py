"""What leaves the store: files that say what they are, and cells no spreadsheet will run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from analysis import tone
from store.export import content, csv_bytes, permalink

AT = datetime(2025, 5, 9, 14, 30, tzinfo=UTC)
CASE = """
title = "Tootle terms"
platform = "Tootle"
summary = "Invented for the tests."
since = 2025-01-01
languages = ["en"]
query = "tootle AND (ai OR training)"
"""


def read_csv(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_any_text_comes_back_from_csv_and_never_as_a_formula(text: str) -> None:
    cell = read_csv(csv_bytes(pl.DataFrame({"id": [1], "text": [text]})))[0]["text"]
    assert cell in (text, "'" + text)
    assert cell[:1] not in tuple("=+-@\t\r\n＝＋－＠")


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@x", "\t=1", "\r=1", "＝1"])
def test_a_formula_is_escaped_with_an_apostrophe(text: str) -> None:
    assert read_csv(csv_bytes(pl.DataFrame({"text": [text]})))[0]["text"] == "'" + text


def test_lists_times_and_nulls_have_one_plain_form() -> None:
    frame = pl.DataFrame({"langs": [["en", "fr"]], "at": [AT], "none": [None], "n": [3]})
    assert read_csv(csv_bytes(frame)) == [
        {"langs": "en fr", "at": "2025-05-09T14:30:00Z", "none": "", "n": "3"}
    ]


def test_an_unknown_ending_is_refused_with_the_endings_that_work() -> None:
    with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
        content(pl.DataFrame({"n": [1]}), ".xlsx")


def test_permalinks_lead_to_the_two_platforms_and_nowhere_else() -> None:
    rows = {
        "at://did:plc:abc234/app.bsky.feed.post/3kxyz": (
            None,
            "https://bsky.app/profile/did:plc:abc234/post/3kxyz",
        ),
        "reddit:t3_abc": (None, "https://www.reddit.com/comments/abc/"),
        "reddit:t1_def": ("reddit:t3_abc", "https://www.reddit.com/comments/abc/_/def/"),
        "reddit:t1_ghi": (None, None),
        "at://did:plc:abc234/app.bsky.feed.post/3k/../../evil": (None, None),
        "javascript:alert(1)": (None, None),
        "reddit:t3_abc/../../evil": (None, None),
    }
    frame = pl.DataFrame(
        {"uri": list(rows), "root_uri": [root for root, _ in rows.values()]},
        schema={"uri": pl.String, "root_uri": pl.String},
    )
    links = frame.select(link=permalink())["link"].to_list()
    assert links == [link for _, link in rows.values()]


@pytest.fixture
def filled(home, aftershock):
    """A store with five invented posts of one invented case, imported and scored."""
    (home.cases / "tootle.toml").write_text(CASE)
    rows = [
        ("t3_a1", "Tootle and AI training", "I hate this awful, terrible change.", "zz_author_1"),
        ("t3_a2", "=HYPERLINK(1) tootle ai", "I love this great, wonderful change.", "zz_author_2"),
        (
            "t3_a3",
            "Tootle AI",
            "Die Bedingungen wurden gestern geändert, ohne jemanden zu fragen.",
            "zz_author_3",
        ),
        ("t3_a4", "Tootle ai terms", "The terms were published on Monday.", "zz_author_4"),
        ("t3_a5", "Weather", "Nothing about it.", "zz_author_5"),
    ]
    lines = [
        {
            "kind": "t3",
            "id": name[3:],
            "created_utc": int(AT.timestamp()) + 3600 * n,
            "title": title,
            "text": text,
            "score": 10 * n,
            "num_comments": n,
            "upvote_ratio": 0.5,
            "subreddit": "tootle_test",
            "parent_id": None,
            "link_id": None,
            "author": author,
        }
        for n, (name, title, text, author) in enumerate(rows)
    ]
    file = home.folder / "posts.ndjson"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert aftershock("import", file, "--case", "tootle").code == 0
    assert aftershock("score").code == 0
    return home


def test_a_posts_export_holds_text_link_scores_and_pseudonym(filled, aftershock) -> None:
    file = filled.folder / "posts.csv"
    ended = aftershock("export", "posts", "--case", "tootle", "-o", file)
    assert ended.code == 0, ended.err
    rows = read_csv(file.read_bytes())
    assert [row["permalink"] for row in rows] == [
        f"https://www.reddit.com/comments/a{n}/" for n in (1, 2, 3, 4)
    ]
    assert rows[0]["tone"] == "negative"
    assert rows[1]["tone"] == "positive"
    assert rows[1]["text"].startswith("'=HYPERLINK")
    assert rows[2]["status"] == "language"
    assert rows[2]["compound"] == ""
    assert "zz_author" not in file.read_text(encoding="utf-8-sig")
    assert all(len(row["author"]) == 32 for row in rows)


def test_the_raw_compound_stands_beside_the_one_that_charts_show(filled, aftershock) -> None:
    line = json.loads((filled.folder / "posts.ndjson").read_text().splitlines()[0])
    curly = {"title": "Tootle AI", "text": "I don’t like what they did to our songs."}
    more = filled.folder / "more.ndjson"
    more.write_text(json.dumps(line | curly | {"id": "zz7"}))
    assert aftershock("import", more, "--case", "tootle").code == 0
    assert aftershock("score", "--json").json()["scored"] == 1
    package = SentimentIntensityAnalyzer()
    text = f"{curly['title']}\n\n{curly['text']}"
    raw = package.polarity_scores(text)["compound"]
    charted = package.polarity_scores(text.replace("’", "'"))["compound"]
    assert charted < 0 < raw
    for option in ((), ("--share",)):
        file = filled.folder / "posts.csv"
        assert aftershock("export", "posts", *option, "--case", "tootle", "-o", file).code == 0
        rows = read_csv(file.read_bytes())
        (row,) = (row for row in rows if row["compound_raw"] == str(raw))
        assert (float(row["compound"]), row["tone"]) == (charted, "negative")


def test_a_store_with_raw_scores_only_waits_for_the_others_and_gets_them(
    filled, aftershock
) -> None:
    DeltaTable(filled.store / "scores").delete("scorer = 'vader_norm-3'")
    words = ("export", "posts", "--case", "tootle", "-o", filled.folder / "posts.csv")
    assert "4 posts of the case wait for a score" in aftershock(*words).err
    rows = read_csv((filled.folder / "posts.csv").read_bytes())
    assert {row["status"] for row in rows} == {"waiting"}
    scored = aftershock("score", "--json").json()
    assert (scored["scorer"], scored["scored"], scored["language"]) == ("vader_norm-3", 3, 1)
    assert "wait" not in aftershock(*words).err
    rows = read_csv((filled.folder / "posts.csv").read_bytes())
    assert all(row["compound"] == row["compound_raw"] for row in rows)
    assert [row["status"] for row in rows].count("scored") == 3
    assert aftershock("score", "--json").json().get("scored", 0) == 0


def test_the_manifest_says_what_the_file_is(filled, aftershock) -> None:
    file = filled.folder / "posts.parquet"
    since = "2025-05-09"
    assert (
        aftershock(
            "export",
            "posts",
            "--case",
            "tootle",
            "--since",
            since,
            "--source",
            "reddit",
            "-o",
            file,
        ).code
        == 0
    )
    manifest = json.loads((filled.folder / "posts.parquet.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert manifest["rows"] == pl.read_parquet(file).height == 4
    assert manifest["case"] == "tootle"
    assert manifest["filters"]["since"].startswith(since)
    assert manifest["filters"]["sources"] == ["reddit"]
    assert (manifest["scorer"], manifest["raw_scorer"]) == ("vader_norm-3", "vader-3.3.2")
    assert manifest["scorer_python"] == [tone.PYTHON]
    assert len(manifest["query_hash"]) == 16
    assert "deleted" in manifest["note"]
    assert manifest["coverage_gaps"] == []
    assert manifest["coverage"] == "not known"  # a file does not say what it leaves out
    assert "demo" not in manifest


def test_a_shared_file_has_no_text_link_or_pseudonym(filled, aftershock) -> None:
    whole, shared = filled.folder / "posts.csv", filled.folder / "shared.csv"
    aftershock("export", "posts", "--case", "tootle", "-o", whole)
    assert aftershock("export", "posts", "--case", "tootle", "--share", "-o", shared).code == 0
    rows = read_csv(shared.read_bytes())
    assert [row["row"] for row in rows] == ["1", "2", "3", "4"]
    assert all(row["hour"].endswith(":00:00Z") for row in rows)
    text = shared.read_text(encoding="utf-8-sig")
    for row in read_csv(whole.read_bytes()):
        for column in ("text", "permalink", "author", "post"):
            assert row[column] not in text


def test_exports_are_recorded_with_the_keys_of_their_posts(filled, aftershock) -> None:
    from store.tables import Store  # noqa: PLC0415

    aftershock("export", "posts", "--case", "tootle", "-o", filled.folder / "posts.csv")
    aftershock("export", "series", "--case", "tootle", "-o", filled.folder / "series.csv")
    store = Store.open()
    rows = {row["kind"]: row for row in store.scan("exports").collect().to_dicts()}
    held = store.scan("exported").collect()
    assert set(held["export"]) == {rows["posts"]["export"]}
    assert set(held["post"]) == {store.key(f"reddit:t3_a{n}") for n in (1, 2, 3, 4)}
    assert Path(rows["posts"]["path"]).is_file()


def test_a_series_export_counts_every_scored_post_once(filled, aftershock) -> None:
    file = filled.folder / "series.csv"
    ended = aftershock("export", "series", "--case", "tootle", "--bucket", "day", "-o", file)
    assert ended.code == 0, ended.err
    rows = read_csv(file.read_bytes())
    pooled = [row for row in rows if row["source"] == "all"]
    assert [(row["n"], row["n_neg"], row["n_pos"], row["n_language"]) for row in pooled] == [
        ("3", "1", "1", "1")
    ]
    assert pooled[0]["balance"] == ""  # three posts are too few for a share


def test_an_export_of_a_case_without_posts_says_what_to_do(filled, aftershock) -> None:
    file = filled.folder / "none.csv"
    ended = aftershock("export", "posts", "--case", "soundcloud", "-o", file)
    assert ended.code == 1
    assert "aftershock import FILE --case soundcloud" in ended.err
    assert not file.exists()


def test_a_changed_query_is_never_mixed_with_the_old_one(filled, aftershock) -> None:
    (filled.cases / "tootle.toml").write_text(CASE.replace("OR training", "OR learning"))
    ended = aftershock("export", "series", "--case", "tootle", "-o", filled.folder / "s.csv")
    assert ended.code == 1
    assert "query of tootle has changed" in ended.err


@pytest.mark.parametrize("day", ["2025-13-01", "yesterday", "2025-02-30"])
def test_a_bad_date_is_a_sentence_with_an_example(filled, aftershock, day: str) -> None:
    file = filled.folder / "x.csv"
    ended = aftershock("export", "posts", "--case", "tootle", "--since", day, "-o", file)
    assert ended.code == 2
    assert "2025-05-01" in ended.err
    assert not file.exists()


def test_a_folder_that_cannot_be_written_to_leaves_nothing_behind(filled, aftershock) -> None:
    ended = aftershock("export", "posts", "--case", "tootle", "-o", "/proc/none/x.csv")
    assert ended.code == 1
    assert "Cannot write" in ended.err


def test_an_edge_inside_a_bucket_is_refused_with_the_edges_that_work(filled, aftershock) -> None:
    words = ("export", "series", "--case", "tootle", "-o", filled.folder / "s.csv")
    ended = aftershock(*words, "--bucket", "week", "--since", "2025-05-07")
    assert ended.code == 78
    assert "2025-05-05 and 2025-05-12" in ended.err
    assert aftershock(*words, "--bucket", "week", "--since", "2025-05-05").code == 0


def test_posts_that_wait_for_a_score_are_named(filled, aftershock) -> None:
    line = json.loads((filled.folder / "posts.ndjson").read_text().splitlines()[0])
    more = filled.folder / "more.ndjson"
    more.write_text(json.dumps(line | {"id": "zz9"}))
    assert aftershock("import", more, "--case", "tootle").code == 0
    file = filled.folder / "s.csv"
    ended = aftershock("export", "series", "--case", "tootle", "-o", file)
    assert "1 posts of the case wait for a score" in ended.err
    assert json.loads(Path(f"{file}.json").read_text())["waiting_for_a_score"] == 1
    aftershock("score")
    assert "wait" not in aftershock("export", "series", "--case", "tootle", "-o", file).err


def test_the_manifest_tells_what_was_taken_whole(filled, aftershock) -> None:
    taken = filled.folder / "taken.ndjson"
    line = json.loads((filled.folder / "posts.ndjson").read_text().splitlines()[0])
    taken.write_text(json.dumps(line | {"id": "zz8", "title": "cats", "text": "I love cats"}))
    aftershock("import", taken, "--case", "tootle", "--take-all")
    file = filled.folder / "p.csv"
    ended = aftershock("export", "posts", "--case", "tootle", "-o", file)
    assert json.loads(Path(f"{file}.json").read_text())["case_posts_by_via"] == {
        "own": 4,
        "taken": 1,
    }
    assert "1 posts of the case were taken whole" in ended.out


def test_a_missing_folder_is_named(filled, aftershock) -> None:
    ended = aftershock("export", "posts", "--case", "tootle", "-o", filled.folder / "no" / "x.csv")
    assert ended.code == 1
    assert "there is no folder" in ended.err
