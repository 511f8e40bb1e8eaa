"""`aftershock forget`: what somebody asks us to forget is in no file of ours afterwards."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_wipe import traces

from cases.case import load
from cli.ingest import ingest
from cli.score import score_store
from store import handed
from store.export import csv_bytes
from store.naming import Unknown, named
from store.recording import Recording
from store.schema import RAW_POST, Batch, Reading
from store.tables import Store, StoreBusy

AT = datetime(2025, 5, 9, 14, 30, tzinfo=UTC)
SEEN = datetime(2025, 6, 1, tzinfo=UTC)
KILLS = int(os.environ.get("AFTERSHOCK_KILLS", "2"))
CASE = """
title = "{name} terms"
platform = "Tootle"
summary = "Invented for the tests."
since = 2025-01-01
languages = ["en", "fr"]
query = "{query}"
"""
# Beginning, middle and end of the words to be forgotten; the French ones with what French has.
TEXT = (
    "Quagmirestart tootle ai, " + "and so on " * 300 + "Zephyrmiddle " + "etc " * 300 + "Wickerend"
)
FRENCH = 'Tootle ai : « Crépusculaire », s’écria l’élève\nà Nîmes, "ça suffit", Naufrageuse !'
DID = "did:plc:zzplanted2345678901234567"


def post(name: str, **values: object) -> dict[str, object]:
    """One invented post that both cases match, unless its text says otherwise."""
    return dict.fromkeys(RAW_POST) | {
        "uri": f"reddit:t3_{name}",
        "source": "reddit",
        "kind": "post",
        "author": f"zz_author_{name}",
        "community": "tootle_test",
        "text": f"tootle ai number {name}, and I hate it",
        "langs": ["en"],
        "at": AT,
        "created_at": AT,
        "collected_at": SEEN,
        "likes": 1,
        "replies": 0,
        **values,
    }


PLANTED = [
    post("9planted1", author="PlantedWriter", community="u_plantedwriter", text=TEXT),
    post("9planted2", author="PlantedWriter", text=FRENCH, langs=["fr"], at=AT + timedelta(days=9)),
    post(
        "sky",
        uri=f"at://{DID}/app.bsky.feed.post/3lpzzplanted",
        source="bluesky",
        author=DID,
        community=None,
        text="tootle ai, Skyplanted words",
        reposts=2,
    ),
    post(
        "reply",
        uri="reddit:t1_9reply",
        kind="comment",
        text="tootle ai, said under it",
        parent="reddit:t3_9planted1",
        root="reddit:t3_9planted1",
    ),
]
OTHERS = [post(f"{n}other", at=AT + timedelta(days=n % 12)) for n in range(12)]


def bring_in(store: Store, folder: Path, *rows: dict[str, object]) -> None:
    """What a collector would do with these posts."""
    found = [load(path) for path in sorted(folder.glob("*.toml"))]
    for source in ("reddit", "bluesky"):
        posts = pl.DataFrame([row for row in rows if row["source"] == source], schema=RAW_POST)
        ingest(store, found, [Batch("archive", Reading("file", source, status="done"), posts)])
    score_store(store)


@pytest.fixture
def filled(home, aftershock):
    """A store with two cases and a past, and four exports in a folder of their own."""
    (home.cases / "tootle.toml").write_text(CASE.format(name="Tootle", query="tootle AND ai"))
    (home.cases / "second.toml").write_text(
        CASE.format(name="Second", query="tootle AND (0other OR 1other OR second*)")
    )
    store = Store.open()
    own = post("9second", author="PlantedSecond", text="tootle second, Onlysecond")
    bring_in(store, home.cases, *PLANTED, *OTHERS, own)
    edited = PLANTED[0] | {"text": f"{TEXT} edited", "collected_at": SEEN + timedelta(days=1)}
    bring_in(store, home.cases, edited)
    exports = home.folder / "exports"
    exports.mkdir()
    for words in (
        ("posts", "--case", "tootle", "-o", exports / "posts.csv"),
        ("posts", "--case", "tootle", "-o", exports / "posts.parquet"),
        ("posts", "--case", "tootle", "--share", "-o", exports / "share.csv"),
        ("series", "--case", "tootle", "-o", exports / "series.csv"),
        ("posts", "--case", "second", "-o", exports / "second.csv"),
    ):
        ended = aftershock("export", *words)
        assert ended.code == 0, ended.err
    store.maintain()
    return SimpleNamespace(home=home, store=store, exports=exports)


def tokens(store: Store, *which: int) -> list[str]:
    """Whatever could lead to these planted posts, but for their keys."""
    words = {
        0: ["Quagmirestart", "Zephyrmiddle", "Wickerend", "9planted1", "u_plantedwriter"],
        1: ["Crépusculaire", "Naufrageuse", "9planted2"],
        2: ["Skyplanted", "3lpzzplanted", DID],
    }
    found = [word for number in which for word in words[number]]
    found += [store.text_hash(str(PLANTED[number]["text"])) for number in which]
    return found


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


def journal(folder: Path) -> str:
    """The one file of the journal of erasures."""
    (file,) = (folder / "salt.erasures").glob("*.ndjson")
    return file.name


def places(folder: Path, key: str) -> set[str]:
    """In which tables or files a key stands."""
    return {place.split("/")[1] for place in traces(folder, [key]).get(key, ())}


def test_the_search_finds_what_is_there(filled) -> None:
    """Without this the tests below could pass by not looking."""
    wanted = tokens(filled.store, 0, 1, 2)
    assert set(traces(filled.home.folder, wanted)) == set(wanted)
    found = traces(filled.exports, wanted)
    assert {"Crépusculaire", "Quagmirestart", "9planted1", DID} <= set(found)


def test_a_forgotten_author_is_in_no_file_of_ours_but_as_a_blocked_key(filled, aftershock) -> None:
    store, folder = filled.store, filled.home.folder
    before = rows(filled.exports / "posts.csv")
    parquet = pl.read_parquet(filled.exports / "posts.parquet")
    share = (filled.exports / "share.csv").read_bytes()
    ended = aftershock("forget", "u/plantedwriter", "--yes", "--json")  # in any case of letters
    assert ended.code == 0, ended.err
    said = ended.json()
    assert (said["posts"], said["export_rows_removed"], said["exports_left"]) == (2, 4, [])
    assert len(said["exports_rewritten"]) == 2
    assert traces(folder, tokens(store, 0, 1)) == {}
    keys = [store.key(str(row["uri"])) for row in PLANTED[:2]]
    author = store.author_key("reddit", "PlantedWriter")
    # And in the journal of erasures, so that no backup brings the author back.
    assert places(folder, author) == {"blocked", journal(folder)}
    for key in keys:
        found = {p for p in traces(folder, [key])[key] if "_delta_log" not in p}
        # A reply keeps the key of what it replies to: an HMAC, which leads nowhere without salt.
        assert {p.split("/")[1] for p in found} <= {"blocked", "posts", journal(folder)}
    gone = {*keys}
    after = rows(filled.exports / "posts.csv")
    reply = store.key("reddit:t1_9reply")
    assert [row for row in before if row["post"] not in gone | {reply}] == [
        row for row in after if row["post"] != reply
    ]
    # The address of a comment names the submission above it: it goes, the comment stays.
    (kept,) = [row for row in after if row["post"] == reply]
    assert kept["permalink"] == ""
    assert kept["text"] == "tootle ai, said under it"
    left = pl.read_parquet(filled.exports / "posts.parquet")
    assert left.drop("permalink").equals(
        parquet.filter(~pl.col("post").is_in(keys)).drop("permalink")
    )
    assert (filled.exports / "share.csv").read_bytes() == share
    for name in ("posts.csv", "posts.parquet"):
        path = filled.exports / name
        manifest = json.loads((filled.exports / f"{name}.json").read_text())
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        record = store.scan("exports").filter(pl.col("path") == str(path)).collect()
        assert manifest["sha256"] == record["sha256"].item() == digest
        assert manifest["rows"] == record["rows"].item() == len(after)
        assert "taken out" in manifest["rewritten"]["note"]
    assert store.stale().weeks == ()


def test_a_forgotten_post_takes_nothing_else_with_it(filled, aftershock) -> None:
    store = filled.store
    link = "https://www.reddit.com/r/tootle_test/comments/9planted2/some_title/?utm_source=share"
    assert aftershock("forget", link, "--yes").code == 0
    assert traces(filled.home.folder, tokens(store, 1)) == {}
    assert store.scan("posts").filter(pl.col("text").str.contains("Quagmire")).collect().height == 1


def test_a_bluesky_account_is_forgotten_by_its_did(filled, aftershock) -> None:
    ended = aftershock("forget", f"https://bsky.app/profile/{DID}", "--yes")
    assert ended.code == 0
    assert "1 posts are forgotten" in ended.out
    assert DID not in ended.out + ended.err
    assert traces(filled.home.folder, tokens(filled.store, 2)) == {}


def test_what_is_forgotten_never_comes_back_and_forgetting_twice_changes_nothing(
    filled, aftershock
) -> None:
    store = filled.store
    aftershock("forget", "u/PlantedWriter", "--yes")
    exports = {p: p.read_bytes() for p in filled.exports.iterdir()}
    versions = store._tables.versions()
    again = aftershock("forget", "u/PlantedWriter", "--yes")
    assert again.code == 0
    assert "No such post is in the store. It is blocked all the same" in again.out
    assert {p: p.read_bytes() for p in filled.exports.iterdir()} == exports
    assert store._tables.versions()["blocked"] == versions["blocked"]
    bring_in(store, filled.home.cases, *PLANTED)
    store.maintain(purge=True)
    assert traces(filled.home.folder, tokens(store, 0, 1)) == {}


def test_what_was_never_here_is_blocked_all_the_same(filled, aftershock) -> None:
    ended = aftershock("forget", "t3_9later", "--yes")
    assert ended.code == 0
    assert "no import will bring it in" in ended.out
    bring_in(filled.store, filled.home.cases, post("9later"))
    uris = filled.store.scan("posts").select("uri").collect()["uri"]
    assert "reddit:t3_9later" not in set(uris)


def test_an_export_that_somebody_changed_or_moved_is_named_and_not_touched(
    filled, aftershock
) -> None:
    changed, moved = filled.exports / "posts.csv", filled.exports / "posts.parquet"
    changed.write_bytes(changed.read_bytes() + b"\n")
    bytes_ = changed.read_bytes()
    shutil.move(moved, filled.exports / "elsewhere.parquet")
    for _ in range(2):  # and again, as long as it is so
        ended = aftershock("forget", "u/PlantedWriter", "--yes")
        assert ended.code == 1  # something is left to do
        assert f"{changed} holds 2 posts that should go, but it was changed" in ended.err
        assert "Delete it, or export it again." in ended.err
        assert f"{moved} holds 2 posts" in ended.err
        assert "If it was moved or copied, delete those." in ended.err
    assert changed.read_bytes() == bytes_
    # Put back where it was, it is seen to.
    shutil.move(filled.exports / "elsewhere.parquet", moved)
    changed.unlink()
    ended = aftershock("forget", "u/PlantedWriter", "--yes")
    assert ended.code == 0, ended.err
    assert traces(filled.home.folder, tokens(filled.store, 0, 1)) == {}


def test_maintenance_takes_the_words_of_deleted_posts_out_of_exports(filled, aftershock) -> None:
    """Deleted at the source: the numbers stay, as in the store, and lead back to nobody."""
    store = filled.store
    key = store.key("reddit:t3_9planted1")
    (before,) = [row for row in rows(filled.exports / "posts.csv") if row["post"] == key]
    store.wipe([key])
    figures = aftershock("maintain", "--purge", "--json").json()
    assert (figures["exports_rewritten"], figures["exports_left"]) == (2, 0)
    assert traces(filled.home.folder, tokens(store, 0)) == {}
    after = rows(filled.exports / "posts.csv")
    (row,) = [row for row in after if row["post"] == ""]
    words = {"text", "permalink", "author", "community", "post"}
    assert {name: row[name] for name in words} == dict.fromkeys(words, "")
    assert all(row[name] == before[name] for name in row.keys() - words)
    left = pl.read_parquet(filled.exports / "posts.parquet").filter(pl.col("post").is_null())
    assert left.select(words).null_count().row(0) == (1,) * 5
    assert left["compound"].null_count() == 0
    again = aftershock("maintain", "--json").json()
    assert again["exports_rewritten"] == 0


def test_a_forgotten_case_takes_its_own_posts_and_exports_with_it(filled, aftershock) -> None:
    store = filled.store
    other = (filled.exports / "posts.csv").read_bytes()
    ended = aftershock("forget", "--case", "second", "--dry-run", "--json")
    assert (ended.json()["posts"], ended.json()["posts_kept_for_other_cases"]) == (1, 2)
    ended = aftershock("forget", "--case", "second", "--yes")
    assert ended.code == 0, ended.err
    assert "1 posts went and are blocked, 2 stay for other cases" in ended.out
    for name in ("matches", "cells", "scores", "labels", "exports"):
        assert store.scan(name).filter(pl.col("case") == "second").collect().is_empty(), name
    assert not (filled.exports / "second.csv").exists()
    assert not (filled.exports / "second.csv.json").exists()
    assert traces(filled.home.folder, ["Onlysecond", "9second"]) == {}
    assert (filled.exports / "posts.csv").read_bytes() == other
    assert store.scan("matches").collect().height == len(PLANTED) + len(OTHERS)
    assert not store.scan("runs").collect().is_empty()
    bring_in(store, filled.home.cases, post("9second", text="tootle second, Onlysecond"))
    assert "reddit:t3_9second" not in set(store.scan("posts").collect()["uri"])
    (filled.home.cases / "second.toml").unlink()
    assert "Nothing of a case third" in aftershock("forget", "--case", "third", "--yes").out


def test_a_changed_export_of_a_forgotten_case_stays_and_is_named(filled, aftershock) -> None:
    path = filled.exports / "second.csv"
    path.write_bytes(path.read_bytes() + b"\n")
    ended = aftershock("forget", "--case", "second", "--yes")
    assert ended.code == 1
    assert str(path) in ended.err
    assert path.exists()


def test_backups_are_named_with_the_day_on_which_they_expire(filled, aftershock) -> None:
    store = filled.store
    for name, days in (("old", -1), ("new", 30)):
        store.record_export(
            {
                "path": f"/invented/{name}.tar",
                "written_at": AT,
                "kind": "backup",
                "expires_at": datetime.now(UTC) + timedelta(days=days),
            }
        )
    ended = aftershock("forget", "u/PlantedWriter", "--yes")
    assert ended.code == 0
    assert "/invented/new.tar: a backup of 2025-05-09" in ended.err
    assert "Restoring it forgets again" in ended.err
    assert "old.tar" not in ended.err


def test_it_asks_first_and_a_dry_run_changes_nothing(
    filled, aftershock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = filled.store.version()
    ended = aftershock("forget", "u/PlantedWriter", "--dry-run")
    assert ended.code == 0
    assert "2 posts in the store will go" in ended.out
    assert f"{filled.exports / 'posts.csv'}: 2 of its posts will go" in ended.out
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    refused = aftershock("forget", "u/PlantedWriter")
    assert refused.code == 1
    assert "Nothing was changed." in refused.err
    assert filled.store.version() == before
    monkeypatch.setattr(sys, "stdin", io.StringIO("u/PlantedWriter\n\n"))
    assert aftershock("forget", "-", "--yes").code == 0
    assert traces(filled.home.folder, tokens(filled.store, 0, 1)) == {}


def test_an_export_that_was_under_way_while_its_post_was_forgotten_is_not_put_in_place(
    filled, aftershock
) -> None:
    path = filled.exports / "late.csv"
    export: Recording = filled.store.begin_export(path)
    export.keep(filled.store.scan("posts").select("post").collect()["post"])
    aftershock("forget", "u/PlantedWriter", "--yes")
    with pytest.raises(StoreBusy, match="Run the same command again"), export.placing({"rows": 1}):
        path.touch()
    assert not path.exists()


REPLACING = """
import os, signal, sys
import polars as pl
from store.tables import Store
export = Store.open().begin_export(sys.argv[1])
export.keep(pl.Series([sys.argv[2]]))
with export.placing({"rows": 1, "sha256": "not there yet"}):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_older_file_whose_replacement_was_killed_is_still_named_for_its_own_posts(
    filled, aftershock
) -> None:
    path = filled.exports / "posts.csv"
    before = path.read_bytes()
    command = [sys.executable, "-c", REPLACING, path, "ab" * 16]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    ended = aftershock("forget", "u/PlantedWriter", "--yes")
    assert f"{path}" in ended.err
    assert "2 posts" in ended.err
    assert path.read_bytes() == before

    export: Recording = filled.store.begin_export(path)
    export.keep(pl.Series(["ab" * 16]))
    with export.placing({"rows": 1, "sha256": "there"}):
        path.write_text("invented")
    recorded = filled.store.scan("exports").filter(pl.col("path") == str(path))
    held = filled.store.scan("exported").join(recorded, on="export", how="semi").collect()
    assert held["post"].to_list() == ["ab" * 16]


WORK = """
import sys
from cli.main import main
sys.argv = ["aftershock", *sys.argv[1:]]
print("begun", flush=True)
main()
"""


@pytest.mark.parametrize("words", [("u/PlantedWriter",), ("--case", "tootle")])
def test_a_forget_that_is_killed_anywhere_is_finished_by_the_next(
    filled, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dice = random.Random(str(words))  # noqa: S311 - when to kill
    kept = tmp_path / "kept"
    shutil.copytree(filled.home.folder, kept, ignore=shutil.ignore_patterns("kept"))
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", WORK, "forget", *words, "--yes"]
    truth: list[int] = []
    killed = 0
    for number in range(KILLS):
        for name in ("store", "exports"):
            shutil.rmtree(filled.home.folder / name)
            shutil.copytree(kept / name, filled.home.folder / name)
        work = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert work.stdout is not None
        work.stdout.readline()
        time.sleep(0.05 + 1.2 * (number + dice.random()) / KILLS)
        work.send_signal(signal.SIGKILL)
        killed += work.wait() == -signal.SIGKILL
        work.communicate()
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert traces(filled.home.folder / "store", tokens(filled.store, 0, 1)) == {}
        exports = [p for p in filled.exports.iterdir() if p.is_file()]
        assert {p.name for p in exports if p.name.startswith(".")} == set()
        found = traces(filled.exports, tokens(filled.store, 0, 1))
        assert found == {}
        truth.append(Store.open().scan("posts").collect().height)
    assert len(set(truth)) == 1
    assert killed


NAMES = {
    "at://did:plc:abc234/app.bsky.feed.post/3kxyz": "at://did:plc:abc234/app.bsky.feed.post/3kxyz",
    "https://bsky.app/profile/did:plc:abc234/post/3kxyz": "at://did:plc:abc234/app.bsky.feed.post/3kxyz",
    "bsky.app/profile/did%3Aplc%3Aabc234/post/3kxyz?x=1": "at://did:plc:abc234/app.bsky.feed.post/3kxyz",
    "reddit:t3_abc": "reddit:t3_abc",
    "t1_DEF": "reddit:t1_def",
    "https://www.reddit.com/r/some/comments/abc/a_title/": "reddit:t3_abc",
    "https://www.reddit.com/r/some/comments/abc/a_title/def/?context=3": "reddit:t1_def",
    "https://www.reddit.com/r/some/comments/abc/comment/def/": "reddit:t1_def",
    "https://old.reddit.com/r/some/comments/abc": "reddit:t3_abc",
    "https://www.reddit.com/comments/abc/_/def/": "reddit:t1_def",
    "https://www.reddit.com/user/name/comments/abc/titre_français/": "reddit:t3_abc",
    "http://redd.it/abc": "reddit:t3_abc",
    "  https://REDDIT.com/r/some/comments/ABC/#top ": "reddit:t3_abc",
}


@pytest.mark.parametrize(("text", "uri"), NAMES.items())
def test_a_post_is_understood_by_whatever_address_people_have(text: str, uri: str) -> None:
    assert named(text).uri == uri


@pytest.mark.parametrize(
    ("text", "source", "author"),
    [
        ("did:plc:abc234", "bluesky", "did:plc:abc234"),
        ("at://did:web:example.org", "bluesky", "did:web:example.org"),
        ("https://bsky.app/profile/did:plc:abc234", "bluesky", "did:plc:abc234"),
        ("u/Some-Name_1", "reddit", "Some-Name_1"),
        ("/u/name", "reddit", "name"),
        ("https://www.reddit.com/user/name/", "reddit", "name"),
        ("https://old.reddit.com/u/name/comments/", "reddit", "name"),
    ],
)
def test_an_author_is_understood(text: str, source: str, author: str) -> None:
    found = named(text)
    assert (found.uri, found.source, found.author) == (None, source, author)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("https://bsky.app/profile/somebody.example/post/3kxyz", "by its handle"),
        ("at://somebody.example/app.bsky.feed.post/3kxyz", "by its handle"),
        ("somebody.bsky.social", "by its handle"),
        ("@somebody", "by its handle"),
        ("somebody", "u/name"),
        ("https://www.reddit.com/r/some/s/AbCdEf", "share link"),
        ("https://www.reddit.com/r/some/", "no post and no account"),
        ("https://reddit.com.example.org/r/some/comments/abc/", "neither"),
        ("https://example.org/?u=https://redd.it/abc", "neither"),
        ("reddit:t3_abc' OR '1'='1", "neither"),
        ("at://did:plc:abc/app.bsky.feed.post/../../x", "neither"),
        ("u/[deleted]", "neither"),
        ("http://[", "neither"),
        ("", "neither"),
        ("café\u202e", "neither"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_is_needed(
    text: str, sentence: str, home, aftershock
) -> None:
    with pytest.raises(Unknown, match=sentence) as refused:
        named(text)
    assert not text or text not in str(refused.value)
    Store.open()
    ended = aftershock("forget", text, "--yes")
    assert ended.code == 78
    assert sentence in ended.err
    assert "Nothing was changed." in ended.err


@given(st.text())
def test_nothing_that_is_typed_breaks_it(text: str) -> None:
    try:
        found = named(text)
    except Unknown:
        return
    assert bool(found.uri) != bool(found.author)


def test_nothing_or_both_is_a_mistake_that_is_explained(home, aftershock) -> None:
    for words in ((), ("u/name", "--case", "x")):
        ended = aftershock("forget", *words)
        assert ended.code == 78
        assert "not both" in ended.err


KEYS = [f"{n:032x}" for n in range(6)]
TEXTS = st.text(alphabet=st.sampled_from("ab\",\n\r'=é /_"), max_size=12)


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(TEXTS, min_size=6, max_size=6),
    remove=st.sets(st.sampled_from(KEYS)),
    empty=st.sets(st.sampled_from(KEYS)),
    note=st.booleans(),
)
def test_a_csv_file_without_some_rows_is_what_would_have_been_written_without_them(
    tmp_path_factory, texts: list[str], remove: set[str], empty: set[str], note: bool
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    whole = pl.DataFrame({"at": [AT] * 6, "text": texts, "author": "x", "likes": 3, "post": KEYS})
    if note:
        whole = whole.with_columns(note=pl.lit("Demo: invented posts"))
    path, draft = folder / "posts.csv", folder / "draft"
    path.write_bytes(csv_bytes(whole))
    counts = handed.rewrite(
        path, draft, pl.Series(sorted(remove)), pl.Series(sorted(empty)), lambda _: False
    )
    blank = pl.col("post").is_in(sorted(empty))
    wanted = whole.filter(~pl.col("post").is_in(sorted(remove))).with_columns(
        pl.when(~blank).then(pl.col(name)).alias(name) for name in ("text", "author", "post")
    )
    assert draft.read_bytes() == csv_bytes(wanted)
    assert counts == (wanted.height, len(remove), len(empty - remove), 0)
