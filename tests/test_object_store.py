"""A store on S3: everything that works in a folder works there, by the credentials that the AWS
tools would take, and what goes wrong is said in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from racing import race
from searching import traces
from storing import (
    SALT,
    START,
    batch,
    count_cells,
    counted,
    frame,
    in_week,
    matches,
    process,
    raw,
    score_all,
    stored,
    texts,
    without_lock,
    write,
)
from streamlit.testing.v1 import AppTest
from test_races import check
from testbeds.s3 import KEY, SECRET, Bed

import dashboard.app
from store.faults import StoreUnfit, vanished
from store.schema import TABLES
from store.tables import Store, StoreBusy

CASE = """
title = "Tootle terms"
platform = "Tootle"
summary = "Invented for the tests."
since = 2025-01-01
languages = ["en"]
query = "tootle AND (ai OR training)"
"""
SECRET_WORD = "zzwiped"  # noqa: S105 - a word of a post


def post(number: int, text: str) -> dict[str, object]:
    return {
        "kind": "t1",
        "id": f"c{number}",
        "created_utc": 1746800000 + 7200 * number,
        "text": text,
        "score": number,
        "subreddit": "tootle_test",
        "parent_id": "t3_s1",
        "link_id": "t3_s1",
        "author": f"zz_author_{number}",
    }


def copied(s3: Bed, place: str, folder: Path) -> Path:
    """Every object of the store's bucket as a file, to be searched."""
    for name, content in s3.contents(place.split("/")[2]).items():
        path = folder / "copied" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "copied"


# Working with it


def test_every_command_works_as_in_a_folder(bucket, s3, home, aftershock, monkeypatch) -> None:
    (home.cases / "tootle.toml").write_text(CASE)
    file = home.folder / "posts.ndjson"
    words = [f"I hate this tootle ai training {n}" for n in range(8)] + [f"tootle ai {SECRET_WORD}"]
    file.write_text("\n".join(json.dumps(post(n, text)) for n, text in enumerate(words)))
    for command in (("import", file, "--case", "tootle"), ("score",), ("case", "test", "tootle")):
        ended = aftershock(*command)
        assert ended.code == 0, ended.err
    assert "9" in ended.out
    out = home.folder / "out.csv"
    assert aftershock("export", "posts", "--case", "tootle", "-o", out).code == 0
    assert SECRET_WORD in out.read_text(encoding="utf-8")

    store = Store.open()
    assert stored(store, "exports")["rows"].to_list() == [9]
    page = AppTest.from_file(dashboard.app.__file__, default_timeout=60)
    page.run()
    assert not page.exception
    assert not page.error
    assert {m.label: m.value for m in page.metric}["Posts"] == "9"

    assert store.wipe([store.key("reddit:t1_c8")]) == 1
    assert aftershock("score").code == 0  # brings the cells up to date
    ended = aftershock("maintain", "--purge", "--json")
    assert ended.code == 0, ended.err
    assert "bytes_freed" not in ended.json()
    assert traces(copied(s3, bucket, home.folder), [SECRET_WORD, "zz_author", "t1_c8"]) == {}
    assert store.stale().weeks == ()

    lines = aftershock("schedule", "show").out
    assert f'AFTERSHOCK_STORE="{bucket}"' in lines
    assert f'AWS_ENDPOINT_URL="{s3.endpoint}"' in lines
    assert SECRET not in lines
    assert "~/.aws/credentials" in lines


def test_what_was_forgotten_is_in_no_object_and_stays_out(bucket, s3, home) -> None:
    store = Store.open(salt=SALT)
    rows = [raw(n, text=f"zzword{n}", author=f"zzwriter{n % 2}", **in_week(n)) for n in range(4)]
    write(store, *rows)
    score_all(store)
    store.rebuild(count_cells)
    assert store.forget([store.author_key("reddit", "zzwriter0")]).posts == 2
    assert write(store, *rows).blocked == 2
    store.rebuild(count_cells)
    store.maintain(purge=True)
    assert texts(store) == ["zzword1", "zzword3"]
    assert sum(counted(store).values()) == 2
    wanted = ["zzword0", "zzword2", "t3_0", "t3_2", "zzwriter"]
    assert traces(copied(s3, bucket, home.folder), wanted) == {}


def test_hidden_posts_come_back_and_old_ones_are_wiped(bucket: str) -> None:
    store = Store.open(salt=SALT)
    write(store, raw(1), raw(2))
    hidden = [store.author_key("reddit", f"writer{n}") for n in (1, 2)]
    assert store.hide(hidden) == 2
    assert store.restore(hidden[:1]) == 1
    assert store.read(lambda: store.visible().select("uri"))["uri"].to_list() == ["reddit:t3_1"]


@pytest.mark.parametrize("lock", ["lease", pytest.param("unlocked", marks=pytest.mark.long)])
def test_two_writers_at_once_lose_and_double_nothing(bucket: str, lock: str) -> None:
    Store.open(bucket, salt=SALT)
    code = "from test_object_store import write_some; write_some()"
    writers = [process(code, bucket, lock, str(number)) for number in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    posts = stored(Store.open(salt=SALT))
    expected = {f"reddit:t3_own{w}x{n}" for w in range(2) for n in range(2)} | {"reddit:t3_shared"}
    assert sorted(posts["uri"]) == sorted(expected)
    assert posts.filter(uri="reddit:t3_shared")["text"].to_list() == ["v3"]


def write_some() -> None:
    """What one of the two writers does, in a process of its own."""
    import sys  # noqa: PLC0415
    from datetime import timedelta  # noqa: PLC0415

    place, lock, number = sys.argv[1:]
    store = Store.open(place, salt=SALT)
    if lock == "unlocked":
        without_lock(store)
    for n in range(2):
        version = 2 * n + int(number)
        later = {"collected_at": START + timedelta(days=40, seconds=version)}
        rows = [raw("shared", text=f"v{version}", **later), raw(f"own{number}x{n}")]
        posts = frame(rows)
        store.write(batch(posts), matches(posts))


@pytest.mark.long
@pytest.mark.parametrize("lock", ["locked", "unlocked"])
def test_many_work_at_once_on_an_object_store(bucket: str, tmp_path: Path, lock: str) -> None:
    met = race(bucket, lock, batches=4, stop=tmp_path / "stop")
    assert [one["error"] for one in met if one["error"]] == []
    check(bucket, lock, batches=4)


def test_a_reader_of_files_that_a_purge_took_looks_again(bucket: str) -> None:
    store, other = Store.open(salt=SALT), Store.open(salt=SALT)
    write(store, raw(1), raw(2))
    once = [store.scan("posts").select("uri", "text")]  # names files that will be gone
    other.wipe([other.key("reddit:t3_1")])
    other.maintain(purge=True)
    with pytest.raises(FileNotFoundError) as raised:
        once[0].collect()
    assert vanished(raised.value)
    found = store.read(lambda: once.pop() if once else store.scan("posts").select("uri", "text"))
    assert found["text"].drop_nulls().to_list() == ["words of 2"]


def test_a_look_for_changes_is_one_request_a_table_and_a_day_is_read_alone(bucket, s3) -> None:
    if not s3.moto:
        pytest.skip("only moto's server counts requests")
    store = Store.open(salt=SALT)
    write(store, *(raw(n, **in_week(n)) for n in range(4)))
    store.version()
    before = s3.requests()
    store.version()
    assert s3.requests() - before == len(TABLES)
    store.scan("posts")
    before = s3.requests()
    one = store.scan("posts").filter(pl.col("day") == START.date()).collect()
    assert one.columns == TABLES["posts"][0].names()
    assert one["uri"].to_list() == ["reddit:t3_0"]
    assert s3.requests() - before <= 3  # the newest version, and a file in one or two ranges


def test_a_purge_says_when_the_bucket_keeps_what_is_deleted(bucket, s3, monkeypatch) -> None:
    store = Store.open(f"s3://{s3.bucket(versioned=True)}/kept", salt=SALT)
    write(store, raw(1))
    store.wipe([store.key("reddit:t3_1")])
    with pytest.raises(StoreUnfit, match="old versions"):
        store.maintain(purge=True)


# Credentials


def profile(folder: Path, monkeypatch: pytest.MonkeyPatch, *, name: str = "newsroom") -> None:
    """A profile in the files of a home, and none of the variables that the files could hold."""
    settings = folder / ".aws"
    settings.mkdir()
    keys = f"[{name}]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
    (settings / "credentials").write_text(keys)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)


def test_a_profile_serves_as_well_as_variables(bucket, s3, home, monkeypatch) -> None:
    profile(home.folder, monkeypatch)
    (home.folder / ".aws" / "config").write_text(
        f"[profile newsroom]\nregion = us-east-1\nendpoint_url = {s3.endpoint}\n"
    )
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_PROFILE", "newsroom")
    with s3.strict():
        if s3.moto:  # knows no keys but those made by it, so it refuses them: they were shown
            with pytest.raises(StoreUnfit, match="does not take the credentials"):
                Store.open(salt=SALT)
    store = Store.open(salt=SALT)
    write(store, raw(1))
    store.rebuild(count_cells)
    assert texts(store) == ["words of 1"]
    store.maintain(purge=True)


def refused(aftershock, *, code: int = 78) -> str:
    """What a command says that finds the store closed to it."""
    ended = aftershock("score")
    assert ended.code == code, ended.err
    assert ended.err.count("\n") == 1, ended.err  # one sentence, no traceback
    assert SECRET not in ended.err
    assert "\x1b" not in ended.err
    return str(ended.err)


def test_no_credentials_are_said_at_once(bucket, aftershock, monkeypatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said = refused(aftershock)
    assert "AWS_ACCESS_KEY_ID" in said
    assert "AWS_PROFILE" in said


def test_a_profile_that_is_not_there_is_named(bucket, aftershock, monkeypatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in refused(aftershock)


def test_wrong_keys_are_told_from_a_wrong_bucket(bucket, s3, aftershock, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
    with s3.strict():
        assert "does not take the credentials" in refused(aftershock)
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AFTERSHOCK_STORE", "s3://no-such-bucket-here/x")
    assert "no bucket no-such-bucket-here" in refused(aftershock)


def test_a_server_that_does_not_answer_is_a_case_for_later(bucket, aftershock, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "cannot be reached" in refused(aftershock, code=75)


def test_posts_do_not_cross_a_network_in_the_clear_unasked(bucket, aftershock, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.example")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    assert "encryption" in refused(aftershock)


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("ftp://host/x", "no place for a store"),
        ("s3://", "no place for a store"),
        ("s3://bucket/a b", "without accents or blanks"),
        ("s3://bucket/café", "without accents or blanks"),
        ("s3://bucket/day=1", "without accents or blanks"),
    ],
)
def test_a_place_that_cannot_be_is_refused(bucket, aftershock, monkeypatch, place, word) -> None:
    monkeypatch.setenv("AFTERSHOCK_STORE", place)
    assert word in refused(aftershock)


def test_a_lost_connection_while_writing_leaves_the_batch_waiting(
    bucket, s3, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(salt=SALT)
    remote = store._tables.remote
    settings = remote._settings
    remote._settings = settings | {"aws_endpoint_url": "http://127.0.0.1:9"}
    with pytest.raises(StoreBusy):
        write(store, raw(1))
    remote._settings = settings
    assert store.drain() == 1
    assert texts(store) == ["words of 1"]
