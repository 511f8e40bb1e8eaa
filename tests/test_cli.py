"""The command line as its users meet it: sentences, exit codes, and a store left whole."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli import credentials
from cli.ingest import ingest
from store.schema import RAW_POST, Batch, Reading
from store.tables import Store

ROOT = Path(__file__).parents[1]
CASE = """
title = "Tootle terms"
platform = "Tootle"
summary = "Invented for the tests."
since = 2025-01-01
languages = ["en"]
query = "tootle AND (ai OR training)"
"""


def post(number: int, text: str, **more: object) -> dict[str, object]:
    return {
        "kind": "t1",
        "id": f"c{number}",
        "created_utc": 1746800000 + 60 * number,
        "title": None,
        "text": text,
        "score": 1,
        "num_comments": None,
        "upvote_ratio": None,
        "subreddit": "tootle_test",
        "parent_id": "t3_s1",
        "link_id": "t3_s1",
        "author": f"zz_author_{number}",
        **more,
    }


@pytest.fixture
def tootle(home):
    (home.cases / "tootle.toml").write_text(CASE)
    return home


def write(home, *rows: object) -> Path:
    file = home.folder / "posts.ndjson"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return file


def test_the_query_decides_and_the_thread_follows(tootle, aftershock) -> None:
    submission = post(0, "", kind="t3", id="s1", title="Tootle AI training", parent_id=None)
    submission["link_id"] = None
    file = write(
        tootle,
        post(1, "Cancelled my subscription."),  # before its submission: order must not matter
        submission,
        post(2, "Other thread, other topic.", link_id="t3_zz", parent_id="t3_zz"),
        post(3, "Tootle and its AI, elsewhere.", link_id="t3_zz", parent_id="t3_zz"),
    )
    ended = aftershock("import", file, "--case", "tootle", "--json")
    assert ended.code == 0, ended.err
    via = dict(Store.open().scan("matches").select("post", "via").collect().iter_rows())
    store = Store.open()
    assert via == {
        store.key("reddit:t3_s1"): "own",
        store.key("reddit:t1_c1"): "thread",
        store.key("reddit:t1_c3"): "own",
    }
    assert store.scan("posts").select(pl.len()).collect().item() == 3


def test_a_bad_line_is_named_and_its_neighbours_are_kept(tootle, aftershock) -> None:
    file = write(tootle, post(1, "one"), "{not json", post(2, "two"), post(3, "x", created_utc="?"))
    ended = aftershock("import", file, "--case", "tootle", "--take-all")
    assert ended.code == 0
    assert "posts.ndjson:2" in ended.err
    assert "posts.ndjson:4" in ended.err
    assert Store.open().scan("posts").select(pl.len()).collect().item() == 2


def test_deleted_text_is_never_stored(tootle, aftershock) -> None:
    file = write(tootle, post(1, "[deleted]"), post(2, "[removed]"), post(3, "kept tootle ai"))
    aftershock("import", file, "--case", "tootle", "--take-all")
    texts = Store.open().scan("posts").collect()["text"].to_list()
    assert texts == ["kept tootle ai"]


def test_the_ledger_tells_what_was_read(tootle, aftershock) -> None:
    file = write(tootle, post(1, "tootle ai"), "{not json", post(2, "[deleted]"), post(3, "other"))
    aftershock("import", file, "--case", "tootle")
    row = Store.open().scan("runs").collect().row(0, named=True)
    assert (row["unit"], row["source"], row["status"]) == ("posts.ndjson", "reddit", "done")
    assert (row["kept"], row["new"], row["gone"], row["bad"]) == (1, 1, 1, 1)
    assert row["finished_at"] >= row["started_at"]
    assert [case["case"] for case in row["cases"]] == ["tootle"]


def test_an_unknown_shape_shows_a_map_that_works(tootle, aftershock) -> None:
    file = tootle.folder / "odd.csv"
    file.write_text("ident,body,when,who\nq1,tootle ai is here,2025-05-09T10:00:00Z,zz\n")
    ended = aftershock("import", file, "--case", "tootle", "--take-all")
    assert ended.code == 1
    assert "ident" in ended.err
    shown = shlex.split(ended.err.splitlines()[-1])
    assert shown[:3] == ["aftershock", "import", str(file)]
    again = aftershock(*shown[1:], "--case", "tootle", "--take-all")
    assert again.code == 0, again.err
    assert Store.open().scan("posts").collect()["text"].to_list() == ["tootle ai is here"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("import", "/nowhere/x.ndjson", "--case", "tootle"), 1, "No such file"),
        (("import", "X", "--case", "nosuchcase"), 78, "soundcloud"),
        (("import", "X", "--take-all"), 78, "--case NAME"),
        (("import", "X", "--case", "tootle", "--map", "text"), 78, "OURS=YOURS"),
        (("nosuchcommand",), 2, "nosuchcommand"),
        (("collect", "nosuchcollector"), 2, "bluesky-stream"),
    ],
)
def test_a_mistake_gets_a_sentence_and_its_exit_code(
    tootle, aftershock, words, code, sentence
) -> None:
    file = write(tootle, post(1, "x"))
    ended = aftershock(*(file if word == "X" else word for word in words))
    assert ended.code == code
    assert sentence in ended.err
    assert "Traceback" not in ended.err


def test_scoring_without_a_store_says_what_to_do_next(home, aftershock) -> None:
    ended = aftershock("score")
    assert ended.code == 1
    assert "aftershock import FILE" in ended.err


def test_rescore_looks_at_every_post_again(tootle, aftershock) -> None:
    aftershock(
        "import", write(tootle, post(1, "good"), post(2, "bad")), "--case", "tootle", "--take-all"
    )
    first, idle, again = (
        aftershock("score", "--json").json(),
        aftershock("score", "--json").json(),
        aftershock("score", "--rescore", "--json").json(),
    )
    assert sum(first[name] for name in first if name in ("scored", "language")) == 2
    assert not any(idle.get(name) for name in ("scored", "language"))
    assert {k: v for k, v in again.items() if k != "weeks"} == {
        k: v for k, v in first.items() if k != "weeks"
    }


def test_a_case_is_tested_before_it_is_trusted(tootle, aftershock) -> None:
    aftershock(
        "import",
        write(tootle, post(1, "tootle ai"), post(2, "x")),
        "--case",
        "tootle",
        "--take-all",
    )
    ended = aftershock("case", "test", "tootle")
    assert ended.code == 0
    assert "takes 1 of 2 posts" in ended.out
    (tootle.cases / "tootle.toml").write_text(CASE.replace("training", "theft"))
    assert "theft" in aftershock("case", "test", tootle.cases / "tootle.toml").err


def test_a_new_case_is_sound_and_never_overwritten(home, aftershock) -> None:
    assert aftershock("case", "new", "my_case").code == 0
    assert aftershock("case", "test", "my_case").code == 0
    again = aftershock("case", "new", "my_case")
    assert again.code == 1
    assert "exists already" in again.err


def test_a_case_file_of_the_kind_nobody_can_load_names_its_errors(home, aftershock) -> None:
    (home.cases / "broken.toml").write_text('title = "x"\nsince = "soon"\nquery = "a AND ("\n')
    ended = aftershock("case", "test", home.cases / "broken.toml")
    assert ended.code == 78
    assert "broken.toml" in ended.err
    assert "since" in ended.err


def test_maintain_and_schedule_answer(tootle, aftershock) -> None:
    aftershock("import", write(tootle, post(1, "tootle ai")), "--case", "tootle")
    assert aftershock("maintain", "--purge").code == 0
    lines = aftershock("schedule", "show").out
    assert str(tootle.store) in lines
    assert " collect " in lines


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_run_with_an_empty_store_serves_the_demo_and_ends_cleanly(home) -> None:
    port = free_port()
    command = Path(sys.executable).with_name("aftershock")
    with subprocess.Popen(
        [command, "run", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            said = []
            assert process.stdout
            for line in process.stdout:
                said.append(line)
                if "Ctrl-C" in line:
                    break
            # No network (the settings name a port that refuses): a sentence, and on it goes.
            assert any("Bluesky's stream cannot be read" in line for line in said)
            assert any("invented posts" in line for line in said)
            assert any(f"http://127.0.0.1:{port}" in line for line in said)
            answer(port)
        finally:
            process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest


def answer(port: int) -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
                assert page.status == 200
                return
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail("the dashboard did not answer")


def test_a_port_in_use_is_a_sentence_with_another_port(tootle, aftershock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = aftershock("dashboard", "--port", str(port))
    assert ended.code == 1
    assert f"--port {port + 1}" in ended.err


def test_ctrl_c_says_that_nothing_is_lost(tootle) -> None:
    file = write(tootle, *(post(n, "tootle ai") for n in range(200_000)))
    command = Path(sys.executable).with_name("aftershock")
    with subprocess.Popen(
        [command, "import", file, "--case", "tootle"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        ledger = tootle.store / "runs" / "_delta_log"
        for _ in range(600):
            if ledger.is_dir() and len(list(ledger.iterdir())) > 1:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in err
    row = Store.open().scan("runs").collect().row(0, named=True)
    assert (row["status"], row["error"]) == ("failed", "Stopped by Ctrl-C.")


def test_a_ctrl_c_that_comes_twice_is_still_in_the_ledger(tootle, monkeypatch) -> None:
    # Seen with polars: it raises one at the end of its call, and Python another for the same signal
    # at the next chance, which is the first line of whoever handles the first.
    log_run = Store.log_run
    again = iter([KeyboardInterrupt()])

    def interrupted(store: Store, *rows: Mapping[str, Any]) -> None:
        if rows[0]["status"] == "failed":
            for second in again:
                raise second
        log_run(store, *rows)

    def batches() -> Iterator[Batch]:
        yield Batch("archive", Reading("posts.ndjson", "reddit"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "log_run", interrupted)
    store = Store.open()
    with pytest.raises(KeyboardInterrupt):
        ingest(store, [], batches())
    row = store.scan("runs").collect().row(0, named=True)
    assert (row["status"], row["error"]) == ("failed", "Stopped by Ctrl-C.")


def test_a_terminal_without_accents_gets_the_output_all_the_same(tootle) -> None:
    command = Path(sys.executable).with_name("aftershock")
    ended = subprocess.run(
        [command, "case", "show", "soundcloud"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0
    assert b"SoundCloud" in ended.stdout


@pytest.mark.parametrize("words", [("maintain",), ("export", "posts", "--case", "soundcloud")])
def test_a_mistyped_store_is_not_made_by_a_command_that_only_reads(home, aftershock, words) -> None:
    ended = aftershock(*words, *(["-o", home.folder / "x.csv"] if words[0] == "export" else []))
    assert ended.code == 1
    assert "There is no store at" in ended.err
    assert not home.store.exists()
    assert not home.salt.exists()


def test_the_older_copy_of_a_deleted_post_stays_out_of_one_import(tootle, aftershock) -> None:
    newer, older = tootle.folder / "newer.ndjson", tootle.folder / "older.ndjson"
    newer.write_text(json.dumps(post(1, "[deleted]")))
    older.write_text(json.dumps(post(1, "tootle ai, words that were taken back")))
    assert aftershock("import", newer, older, "--case", "tootle").code == 0
    assert Store.open().scan("posts").select(pl.len()).collect().item() == 0


def test_wiping_is_said_and_asks_for_new_figures(tootle, aftershock) -> None:
    aftershock("import", write(tootle, post(1, "tootle ai")), "--case", "tootle")
    ended = aftershock("import", write(tootle, post(1, "[deleted]")), "--case", "tootle")
    assert "1 posts kept before were deleted" in ended.out
    assert "aftershock score" in ended.out
    assert "--take-all" not in ended.out


def test_cron_gets_absolute_places_and_every_setting(tootle, aftershock, monkeypatch) -> None:
    monkeypatch.chdir(tootle.folder)
    monkeypatch.setenv("AFTERSHOCK_STORE", "store")
    said = aftershock("schedule", "show").out
    assert f'AFTERSHOCK_STORE="{tootle.store}"' in said
    assert f'AFTERSHOCK_SALT="{tootle.salt}"' in said
    assert f'AFTERSHOCK_CASES="{tootle.cases}"' in said


def test_cron_asks_search_only_with_a_login_it_can_find_and_never_gets_a_password(
    tootle, aftershock, monkeypatch
) -> None:
    monkeypatch.setenv("AFTERSHOCK_BLUESKY_HANDLE", "alice.test")
    monkeypatch.setenv("AFTERSHOCK_BLUESKY_APP_PASSWORD", "abcd-efgh-ijkl-mnop")
    only_here = aftershock("schedule", "show").out
    assert "cron does not know your AFTERSHOCK_BLUESKY_APP_PASSWORD" in only_here
    credentials.store(
        {
            "AFTERSHOCK_BLUESKY_HANDLE": "alice.test",
            "AFTERSHOCK_BLUESKY_APP_PASSWORD": "abcd-efgh-ijkl-mnop",
        }
    )
    monkeypatch.delenv("AFTERSHOCK_BLUESKY_APP_PASSWORD")
    stored = aftershock("schedule", "show").out
    asks = [
        any(line.startswith("7 * * * *") and "bluesky-search" in line for line in said.splitlines())
        for said in (only_here, stored)
    ]
    assert asks == [False, True]
    for said in (only_here, stored):
        assert "abcd-efgh" not in said
        assert f'AFTERSHOCK_CREDENTIALS="{tootle.folder / "credentials"}"' in said
        assert 'AFTERSHOCK_JETSTREAM="ws://127.0.0.1:1"' in said
        for word in (" collect bluesky-stream ", " score ", " recheck ", " maintain "):
            assert word in said


def test_a_post_that_quotes_a_later_match_is_kept_by_the_first_import(tootle, aftershock) -> None:
    """Importing the same file again must find nothing new, whatever stands before what."""

    def own(number: int, text: str, **more: object) -> dict[str, object]:
        return (
            dict.fromkeys(RAW_POST)
            | {"uri": f"reddit:t3_q{number}", "source": "reddit", "kind": "post", "text": text}
            | {"langs": [], "author": f"zz_author_{number}"}
            | {"at": "2025-05-09T10:00:00Z", "collected_at": "2025-05-10T10:00:00Z"}
            | more
        )

    file = write(
        tootle,
        own(1, "look at this", quoted="reddit:t1_q2"),
        own(2, "tootle ai", uri="reddit:t1_q2", kind="comment", root="reddit:t3_q9"),
    )
    first = aftershock("import", file, "--case", "tootle", "--json").json()
    assert [(one["rows"], one["kept"], one["new"]) for one in first] == [(2, 2, 2)]
    again = aftershock("import", file, "--case", "tootle", "--json").json()
    assert [(one["rows"], one["new"]) for one in again] == [(2, 0)]


def test_cron_asks_reddit_only_with_a_key_it_can_find_and_rechecks_in_time(
    tootle, aftershock, monkeypatch
) -> None:
    key = {name: f"{name.lower()}-quux" for name in credentials.REDDIT_KEY}
    for name, value in key.items():
        monkeypatch.setenv(name, value)
    only_here = aftershock("schedule", "show").out
    assert "cron does not know your AFTERSHOCK_REDDIT_CLIENT_ID" in only_here
    credentials.store(key)
    for name in key:
        monkeypatch.delenv(name)
    stored = aftershock("schedule", "show").out
    asks = [
        any(line.startswith("37 * ") and " collect reddit " in line for line in said.splitlines())
        for said in (only_here, stored)
    ]
    assert asks == [False, True]
    assert "quux" not in only_here + stored
    [recheck] = [line for line in stored.splitlines() if " recheck " in line]
    hours = [int(hour) for hour in recheck.split()[1].split(",")]
    apart = max(b - a for a, b in zip(hours, [*hours[1:], hours[0] + 24], strict=True))
    # Gone right after a look: a day until it is due, the next run, five hours, and the run after.
    assert timedelta(hours=23 + 5 + 2 * apart) < timedelta(hours=48)
