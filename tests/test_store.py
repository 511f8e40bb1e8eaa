"""The store on real tables: keys and salt, upserts, what never comes back, cells, two writers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from conftest import Home
from deltalake import DeltaTable
from storing import (
    CASE,
    QUERY,
    SALT,
    SCORER,
    SEEN,
    START,
    batch,
    count_cells,
    counted,
    frame,
    in_week,
    matches,
    raw,
    score_all,
    stored,
    texts,
    unlocked,
    week,
    write,
)

from analysis import series
from store.export import posts_frame
from store.schema import CHECKS, POSTS, RUNS, SCHEMA_VERSION, SCORED, TABLES, TONE_INPUT
from store.tables import CellsMoved, Stale, Store, StoreError

LATER = SEEN + timedelta(days=1)
EARLIER = SEEN - timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "a store, é"), salt=SALT)


# Opening, salt, versions


def test_every_table_has_its_schema_and_lies_by_day_or_month(store: Store) -> None:
    for name, (schema, partition, _) in TABLES.items():
        assert store.scan(name).collect_schema() == schema
        table = DeltaTable(f"{store.location}/{name}")
        assert table.metadata().partition_columns == ([partition] if partition else [])
    for name in ("posts", "checks", "matches", "scores"):
        assert TABLES[name][1] == "day"
    for name in ("cells", "runs"):
        assert TABLES[name][1] == "month"


def test_without_a_store_reading_says_what_to_do_and_makes_nothing(home: Home) -> None:
    with pytest.raises(StoreError, match="aftershock import"):
        Store.open(create=False)
    assert not home.store.exists()
    assert not home.salt.exists()


def test_the_salt_is_made_once_for_its_owner_only(home: Home) -> None:
    key = Store.open().key("reddit:t3_a")
    assert home.salt.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(home.salt.read_text().strip())) == 32
    assert Store.open().key("reddit:t3_a") == key
    assert [path.name for path in home.salt.parent.glob("*salt*")] == ["salt"]


def test_makers_of_the_salt_at_the_same_time_get_the_same_one(home: Home) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: Store.open(), range(8)))
    assert len({store.key("reddit:t3_a") for store in stores}) == 1


def test_a_salt_that_others_may_read_is_refused(home: Home) -> None:
    Store.open()
    home.salt.chmod(0o640)
    with pytest.raises(StoreError, match=f"chmod 600 {home.salt}"):
        Store.open()


@pytest.mark.parametrize("garbled", ["", "abc", "z" * 64, "a" * 63, "a" * 66, "é" * 64])
def test_a_garbled_salt_is_refused(home: Home, garbled: str) -> None:
    Store.open()
    home.salt.write_text(garbled)
    with pytest.raises(StoreError, match="64 hex digits"):
        Store.open()


def test_a_store_whose_salt_is_lost_is_refused_and_no_new_salt_made(home: Home) -> None:
    Store.open()
    home.salt.unlink()
    with pytest.raises(StoreError, match="Restore it from the backup"):
        Store.open()
    assert not home.salt.exists()


def test_another_salt_is_refused_by_its_fingerprint(home: Home) -> None:
    Store.open()
    home.salt.write_text("ab" * 32)
    with pytest.raises(StoreError, match=f"another salt than the one in {home.salt}"):
        Store.open()


def test_a_salt_inside_the_store_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERSHOCK_SALT", str(home.store / "salt"))
    with pytest.raises(StoreError, match="inside the store"):
        Store.open()


def test_demo_and_real_stores_never_mix(home: Home) -> None:
    demo = str(home.folder / "demo")
    Store.open(demo, demo=True)
    Store.open()
    assert Store.open(demo, demo=True).demo
    with pytest.raises(StoreError, match="invented posts"):
        Store.open(demo)
    with pytest.raises(StoreError, match="real posts"):
        Store.open(demo=True)


def test_a_store_of_a_newer_program_is_refused_in_one_sentence(store: Store) -> None:
    for name in TABLES:
        table = DeltaTable(f"{store.location}/{name}")
        newer = (table.metadata().description or "").replace(
            f'"schema": {SCHEMA_VERSION}', f'"schema": {SCHEMA_VERSION + 1}'
        )
        table.alter.set_table_description(newer)
    with pytest.raises(StoreError, match="newer Aftershock") as refused:
        Store.open(store.location, salt=SALT)
    assert "update Aftershock" in str(refused.value)


def test_somebody_elses_delta_table_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_delta(tmp_path / "posts")
    with pytest.raises(StoreError, match="not one that Aftershock made"):
        Store.open(str(tmp_path), salt=SALT)


def test_a_creation_that_was_killed_half_way_is_completed(store: Store) -> None:
    for name in list(TABLES)[4:]:
        shutil.rmtree(f"{store.location}/{name}")
    again = Store.open(store.location, salt=SALT)
    assert all(stored(again, name).is_empty() for name in TABLES)
    shutil.rmtree(f"{store.location}/{list(TABLES)[-1]}")
    with pytest.raises(StoreError, match="another salt"):
        Store.open(store.location, salt=SALT[::-1])


@pytest.mark.parametrize("name", ["with blank", "été", "it's, (1)+&#?*"])
def test_a_store_may_lie_in_a_folder_of_any_usual_name(tmp_path: Path, name: str) -> None:
    store = Store.open(str(tmp_path / name), salt=SALT)
    write(store, raw("a"))
    write(store, raw("b"))
    assert store.maintain(purge=True)["bytes_freed"] > 0
    assert texts(Store.open(store.location, salt=SALT)) == ["words of a", "words of b"]


@pytest.mark.parametrize("name", ["a[1]", "a%20b", "a=b", "a|b", "a^b", "a\\b"])
def test_a_folder_that_delta_lake_cannot_use_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="Name another folder"):
        Store.open(str(tmp_path / name), salt=SALT)
    assert not (tmp_path / name).exists()


def test_the_version_changes_with_every_table_and_with_nothing_else(store: Store) -> None:
    seen = [store.version()]
    assert store.version() == seen[0]
    write(store, raw("a"))
    seen.append(store.version())
    score_all(store)
    seen.append(store.version())
    store.rebuild(count_cells)
    seen.append(store.version())
    store.log_run({"run_id": "r", "started_at": SEEN})
    seen.append(store.version())
    store.forget([store.key("reddit:t3_a")])
    seen.append(store.version())
    assert len(set(seen)) == len(seen)
    assert Store.open(store.location, salt=SALT).version() == seen[-1]


def test_a_damaged_table_is_named_in_a_sentence(store: Store) -> None:
    log = Path(store.location) / "posts" / "_delta_log" / f"{0:020d}.json"
    log.write_text(log.read_text()[:50])
    with pytest.raises(StoreError, match=r"store, é/posts is damaged: entry 0 .* backup"):
        write(Store.open(store.location, salt=SALT), raw("a"))


# Keys


def test_keys_tell_apart_posts_authors_and_texts(store: Store) -> None:
    keys = {
        store.key("same"),
        store.text_hash("same"),
        store.author_key("reddit", "same"),
        store.author_key("bluesky", "same"),
    }
    assert len(keys) == 4
    assert all(len(bytes.fromhex(key)) == 16 for key in keys)


def test_reddit_names_ignore_case_and_bluesky_ids_do_not(store: Store) -> None:
    assert store.author_key("reddit", "AutoModerator") == store.author_key(
        "reddit", "automoderator"
    )
    assert store.author_key("bluesky", "did:web:A.test") != store.author_key(
        "bluesky", "did:web:a.test"
    )


def test_a_stored_post_names_its_author_and_thread_by_keys_only(store: Store) -> None:
    write(store, raw("a", author="Somebody", parent="reddit:t3_p", root="reddit:t3_r"))
    row = stored(store).row(0, named=True)
    assert row["post"] == store.key("reddit:t3_a")
    assert row["author"] == store.author_key("reddit", "somebody")
    assert (row["parent"], row["root"]) == (store.key("reddit:t3_p"), store.key("reddit:t3_r"))
    assert row["text_hash"] == store.text_hash("words of a")
    assert (row["first_seen_at"], row["state"], row["day"]) == (SEEN, "live", START.date())
    assert (row["collector"], row["likes"], row["langs"]) == ("archive", 1, ["en"])


# Upserts


def test_only_posts_of_a_case_are_stored(store: Store) -> None:
    posts = frame([raw("a"), raw("b")])
    assert store.write(batch(posts), matches(posts.head(1))).kept == 1
    assert stored(store)["uri"].to_list() == ["reddit:t3_a"]


def test_reading_the_same_posts_again_adds_nothing_and_makes_no_commit(store: Store) -> None:
    rows = [raw(n, at=START + timedelta(days=n % 9)) for n in range(200)]
    rows += [raw("late", at=None)]
    assert write(store, *rows).new == 201
    version, before = store.version(), stored(store).sort("post")
    again = write(store, *rows)
    assert (again.new, again.kept) == (0, 201)
    assert store.version() == version
    assert stored(store).sort("post").equals(before)


def test_a_newer_copy_changes_the_words_and_not_the_first_sight(store: Store) -> None:
    write(store, raw("a", root="reddit:t3_r", likes=3))
    newer = raw("a", text="edited", collected_at=LATER, root=None, likes=99, langs=["fr"])
    assert write(store, newer).new == 0
    row = stored(store).row(0, named=True)
    assert (row["text"], row["text_hash"]) == ("edited", store.text_hash("edited"))
    assert (row["collected_at"], row["first_seen_at"]) == (LATER, SEEN)
    assert (row["likes"], row["langs"]) == (3, ["fr"])
    assert row["root"] == store.key("reddit:t3_r")


def test_a_stale_copy_changes_nothing(store: Store) -> None:
    write(store, raw("a", text="new"))
    version = store.version()
    write(store, raw("a", text="old", collected_at=EARLIER))
    assert store.version() == version
    assert texts(store) == ["new"]


def test_a_copy_that_says_the_same_again_writes_no_post_anew(store: Store) -> None:
    rows = [raw(n, at=START + timedelta(days=n % 3), root="reddit:t3_r") for n in range(30)]
    write(store, *rows)
    score_all(store)
    store.rebuild(count_cells)
    posts = DeltaTable(f"{store.location}/posts").version()
    again = [row | {"collected_at": LATER, "root": None, "likes": 99} for row in rows]
    written = write(store, *again, raw("new"))
    assert (written.new, written.kept) == (1, 31)
    (last,) = DeltaTable(f"{store.location}/posts").history(1)
    assert last["version"] == posts + 1
    assert last["operationMetrics"]["num_removed_files"] == 0
    assert store.stale().weeks == (week(0),)  # of the new post
    noted = stored(store, "checks")
    assert set(noted["same_at"]) == {LATER}
    assert noted.height == 30
    assert noted["checked_at"].null_count() == 30


@pytest.mark.parametrize("kept_apart", [True, False])
def test_words_older_than_a_copy_that_said_the_same_again_change_nothing(
    tmp_path: Path, kept_apart: bool
) -> None:
    store = Store.open(str(tmp_path / "plain"), salt=SALT)
    if not kept_apart:
        unlocked(store)
    between = SEEN + timedelta(hours=12)
    write(store, raw("a", text="stands"))
    write(store, raw("a", text="stands", collected_at=LATER))
    write(store, raw("a", text="for a while only", collected_at=between))
    assert texts(store) == ["stands"]
    write(store, raw("a", text="edited", collected_at=LATER + timedelta(hours=1)))
    assert texts(store) == ["edited"]
    write(store, raw("a", text="edited", collected_at=LATER + timedelta(hours=3)))
    write(store, raw("a", text="stale", collected_at=LATER + timedelta(hours=2)))
    assert texts(store) == ["edited"]
    store.wipe([store.key("reddit:t3_a")])
    write(store, raw("a", text="edited", collected_at=LATER + timedelta(hours=9)))
    assert texts(store) == [None]


def test_a_check_of_engagement_says_nothing_about_the_words(store: Store) -> None:
    write(store, raw("a", text="old"))
    checks = pl.DataFrame(
        [{"uri": "reddit:t3_a", "checked_at": LATER + timedelta(days=1), "misses": 0, "likes": 7}]
    )
    absent = [
        pl.lit(None, kind).alias(name)
        for name, kind in CHECKS.items()
        if name not in {*checks.columns, "post", "day", "same_at"}
    ]
    write(store, raw("a", text="old", collected_at=LATER), checks=checks.with_columns(absent))
    write(store, raw("a", text="new", collected_at=LATER + timedelta(hours=1)))
    assert texts(store) == ["new"]
    row = stored(store, "checks").row(0, named=True)
    assert (row["likes"], row["same_at"]) == (7, LATER)
    assert row["checked_at"] == LATER + timedelta(days=1)


def test_copies_in_one_batch_become_what_storing_them_in_turn_would(store: Store) -> None:
    old = raw("a", text="old", collected_at=EARLIER, root="reddit:t3_r", likes=1)
    new = raw("a", text="new", collected_at=LATER, likes=2)
    assert write(store, new, old, raw("b")).new == 2
    row = stored(store).filter(uri="reddit:t3_a").row(0, named=True)
    assert (row["text"], row["likes"], row["first_seen_at"]) == ("new", 1, EARLIER)
    assert row["root"] == store.key("reddit:t3_r")


def test_a_gone_post_never_comes_back(store: Store) -> None:
    write(store, raw("a"))
    assert write(store, gone=("reddit:t3_a", "reddit:t3_never_seen")).gone == 1
    write(store, raw("a", text="back", collected_at=LATER))
    row = stored(store).row(0, named=True)
    assert row["state"] == "gone"
    assert not any(row[name] for name in ("uri", "text", "text_hash", "community"))
    assert row["author"] != store.author_key("reddit", "writera")
    assert stored(store, "matches").height == 1
    assert store.visible().collect().is_empty()


def _voices(store: Store) -> dict[str, str | None]:
    return dict(stored(store).select("post", "author").iter_rows())


def test_an_authors_wiped_posts_stay_one_voice_that_leads_back_to_nobody(store: Store) -> None:
    rows = [
        raw(n, author=("One", "Two", None)[n % 3], at=START + timedelta(days=n)) for n in range(12)
    ]
    write(store, *rows)
    keys = [store.key(row["uri"]) for row in rows]
    before = _voices(store)
    assert store.wipe(keys[:9]) == 9
    after = _voices(store)
    assert [after[key] for key in keys[9:]] == [before[key] for key in keys[9:]]
    one, two, none = ({after[key] for key in keys[n:9:3]} for n in range(3))
    assert (len(one), len(two), none) == (1, 1, {None})
    assert not (one | two) & set(before.values())
    # What is wiped later is another voice: nothing tells that it was the same.
    assert store.wipe(keys) == 3
    assert {after[key] for key in keys[:9]} == {_voices(store)[key] for key in keys[:9]}
    assert not {_voices(store)[key] for key in keys[9:11]} & (one | two | set(before.values()))


def test_wiping_one_loud_accounts_posts_does_not_change_the_interval(store: Store) -> None:
    loud = [raw(n, author="Loud") for n in range(40)]
    quiet = [raw(n) for n in range(40, 80)]
    write(store, *loud, *quiet)
    negative = {store.key(row["uri"]) for row in [*loud, *quiet[::2]]}
    scores = _scores(stored(store)).with_columns(
        compound=pl.when(pl.col("post").is_in(negative)).then(-0.5).otherwise(0.5),
        lang=pl.lit("en"),
    )
    store.add_scores(scores)
    before = series.window(store.scored().collect())
    assert before["n"] == 80
    store.wipe([store.key(row["uri"]) for row in loud])
    assert series.window(store.scored().collect()) == before


def test_an_edit_that_no_longer_matches_still_replaces_the_words(store: Store) -> None:
    write(store, raw("a"), raw("b", at=None), raw("gone"), raw("hidden"))
    store.wipe([store.key("reddit:t3_gone")])
    write(store, hidden=("writerhidden",))
    before = stored(store, "matches").sort("post")
    edits = [
        raw(name, text=f"edited {name}", collected_at=LATER)
        for name in ("a", "b", "gone", "hidden", "never kept")
    ]
    edits[1] |= {"at": LATER}  # its time is fixed since the first sight, its copy's is another day
    edits.append(raw("never kept either", at=None))
    posts = frame([*edits, raw("new")])
    written = store.write(batch(posts), matches(frame([raw("new")])))
    assert (written.new, written.kept) == (1, 1)
    assert set(texts(store)) == {
        "edited a",
        "edited b",
        None,
        "words of hidden",
        "words of new",
    }
    after = stored(store, "matches").sort("post")
    assert after.filter(pl.col("post") != store.key("reddit:t3_new")).equals(before)
    untimed = frame([raw("a", text="again", at=None, collected_at=LATER + timedelta(days=1))])
    assert store.write(batch(untimed), matches(frame([]))).kept == 0
    assert "again" in texts(store)
    assert stored(store).height == 5


def test_an_edit_in_the_batch_that_says_the_post_is_gone_is_not_written(store: Store) -> None:
    write(store, raw("a"))
    edit = frame([raw("a", text="edited", collected_at=LATER)])
    written = store.write(batch(edit, gone=("reddit:t3_a",)), matches(frame([])))
    assert (written.kept, written.gone) == (0, 1)
    assert texts(store) == [None]


def test_a_post_that_is_gone_in_its_own_batch_is_never_written(store: Store) -> None:
    assert write(store, raw("a"), raw("b"), gone=("reddit:t3_a",)).kept == 1
    assert texts(store) == ["words of b"]


def test_a_hidden_account_is_out_of_sight_until_it_is_back(store: Store) -> None:
    write(store, raw("a", author="One"), raw("b", author="Two"))
    write(store, hidden=("one",))
    assert store.visible().collect()["uri"].to_list() == ["reddit:t3_b"]
    write(store, raw("a", author="One", text="edited", collected_at=LATER))
    assert texts(store) == ["words of a", "words of b"]
    write(store, back=("ONE",))
    assert store.visible().collect().height == 2


def test_what_was_hidden_for_thirty_days_is_wiped(store: Store) -> None:
    write(store, raw("a"), raw("b"))
    store.hide([store.author_key("reddit", "writera")])
    now = datetime.now(UTC)
    assert store.maintain(now=now + timedelta(days=29))["rows_wiped"] == 0
    assert store.maintain(now=now + timedelta(days=31))["rows_wiped"] == 1
    assert sorted(stored(store)["state"]) == ["gone", "live"]
    assert store.restore([store.author_key("reddit", "writera")]) == 0


def test_forgotten_posts_and_authors_leave_no_row_and_never_come_back(store: Store) -> None:
    rows = [raw("a"), raw("b", author="Two", at=None), raw("c", author="two"), raw("d")]
    write(store, *rows)
    score_all(store)
    seen = pl.DataFrame([{"uri": row["uri"], "checked_at": SEEN} for row in rows])
    store.write(batch(checks=_checks(seen)), matches(frame([])))
    late = stored(store).with_columns(text=pl.lit("late"))
    forgotten = [store.key("reddit:t3_a"), store.author_key("reddit", "Two")]
    assert store.forget(forgotten).posts == 3
    again = write(store, *[row | {"collected_at": LATER} for row in rows], raw("e", author="TWO"))
    assert (again.new, again.kept, again.blocked) == (0, 1, 4)
    # Not even without the name by which it was forgotten, nor as a score that was under way.
    assert write(store, raw("b", author=None, collected_at=LATER)).blocked == 1
    store.add_scores(_scores(late))
    kept = {store.key("reddit:t3_d")}
    for name in ("posts", "matches", "scores", "checks"):
        assert set(stored(store, name)["post"]) == kept, name
    assert stored(store, "times").is_empty()


def _checks(seen: pl.DataFrame) -> pl.DataFrame:
    missing = [
        pl.lit(None, kind).alias(name)
        for name, kind in CHECKS.items()
        if name not in {"post", "day", *seen.columns}
    ]
    return seen.with_columns(missing)


def _scores(posts: pl.DataFrame) -> pl.DataFrame:
    rows = posts.select("post", "day", input_hash=TONE_INPUT).with_columns(
        case=pl.lit(""), scorer=pl.lit(SCORER), scored_at=pl.lit(LATER), status=pl.lit("scored")
    )
    schema = TABLES["scores"][0]
    return rows.with_columns(
        pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in rows.columns
    )


def test_a_match_only_ever_ranks_higher(store: Store) -> None:
    for via in ("thread", "taken", "thread", "own", "taken"):
        write(store, raw("a"), via=via)
    found = stored(store, "matches")
    assert found.select("case", "query_hash", "via", "root_known").rows() == [
        (CASE, QUERY, "own", True)
    ]


def test_the_root_of_a_thread_may_become_known(store: Store) -> None:
    posts = frame([raw("a")])
    for known in (False, True, False):
        store.write(batch(posts), matches(posts, via="thread", root_known=known))
    assert stored(store, "matches")["root_known"].to_list() == [True]


def test_checks_keep_the_newest_and_only_of_stored_posts(store: Store) -> None:
    write(store, raw("a"))
    for at, misses in ((SEEN, 1), (LATER, 2), (EARLIER, 3)):
        rows = [{"uri": f"reddit:t3_{n}", "checked_at": at, "misses": misses} for n in "ab"]
        store.write(batch(checks=_checks(pl.DataFrame(rows))), matches(frame([])))
    assert stored(store, "checks").select("post", "day", "misses").rows() == [
        (store.key("reddit:t3_a"), START.date(), 2)
    ]


def test_a_run_is_one_row_whose_unsaid_columns_stay(store: Store) -> None:
    first = dict.fromkeys(RUNS.names()) | {"run_id": "r", "started_at": SEEN, "status": "running"}
    store.log_run(first | {"cases": [{"case": CASE, "query_hash": QUERY}], "items": 5})
    store.log_run({"run_id": "r", "started_at": SEEN, "status": "done"})
    row = stored(store, "runs").row(0, named=True)
    assert stored(store, "runs").height == 1
    assert (row["status"], row["items"], row["month"]) == ("done", 5, date(2025, 6, 1))
    assert row["cases"] == [{"case": CASE, "query_hash": QUERY}]
    with pytest.raises(ValueError, match="no column colour"):
        store.log_run({"run_id": "r", "started_at": SEEN, "colour": "red"})


def test_an_export_is_one_row_a_path(store: Store) -> None:
    for number in (1, 2):
        export = store.begin_export("/x.csv")
        export.keep(pl.Series([store.key(f"a{number}")]))
        export.keep(pl.Series([store.key("b")]))
        with export.placing({"rows": number}):
            pass
    ((path, rows, export_id),) = stored(store, "exports").select("path", "rows", "export").rows()
    assert (path, rows) == ("/x.csv", 2)
    held = stored(store, "exported")
    assert set(held["export"]) == {export_id}
    assert set(held["post"]) == {store.key("a2"), store.key("b")}


STRANGE = [
    "",
    "plain",
    "😡🤖👩‍👩‍👧 ça suffit !",
    "long " * 20_000,
    "zero\0byte, 'quote', \"double\", back\\slash, {brace}, $1, -- comment",
    "new\nline\ttab\r\n",
    "\u202eright to left\u202c",
    "twelve bytes",  # the boundary between inline and outlying string views
    "thirteen byte",
]


def test_strings_come_through_merges_and_compaction_unscrambled(store: Store) -> None:
    """polars #28612: strings scrambled on the way through Arrow."""
    rows = [raw(n, text=STRANGE[n % len(STRANGE)], langs=["en", "fr"][: n % 3]) for n in range(500)]
    write(store, *rows)
    for step in range(3):
        changed = [
            row | {"collected_at": LATER + timedelta(days=step), "text": f"{step}{row['text']}"}
            for row in rows[step::7]
        ]
        write(store, *changed)
        rows = [dict(new) for new in ({r["uri"]: r for r in [*rows, *changed]}).values()]
    store.wipe([store.key(rows[0]["uri"])])
    store.maintain()
    found = stored(store).filter(state="live").select("uri", "text", "langs").sort("uri")
    expected = frame(rows[1:]).select("uri", "text", "langs").sort("uri")
    assert found.equals(expected)


def test_a_post_without_text_has_an_empty_one_and_is_scored_once(store: Store) -> None:
    write(store, raw("a", text=None), raw("b", text=""))
    assert texts(store) == ["", ""]
    assert score_all(store) == 2
    assert score_all(store) == 0


def test_every_merge_names_the_days_it_touches(store: Store) -> None:
    """Without literal days in its predicate a merge reads the whole table."""
    write(store, raw("a"), raw("b", **in_week(2)), via="thread")
    score_all(store)
    edited = {"text": "edited", "collected_at": LATER}
    write(store, raw("a", **edited), raw("b", **in_week(2), **edited))
    score_all(store, LATER)
    for name in ("posts", "matches", "scores"):
        (last,) = DeltaTable(f"{store.location}/{name}").history(1)
        for day in (week(0), week(2)):
            assert f"t.day = '{day}'::date" in last["operationParameters"]["mergePredicate"]


# Time


def test_a_post_without_a_time_keeps_the_time_of_first_sight(store: Store) -> None:
    write(store, raw("a", at=None))
    for days in (1, 40):
        write(store, raw("a", at=None, collected_at=SEEN + timedelta(days=days)))
    # Its id was dated in the future; that day has come, and the id now counts as a time.
    write(store, raw("a", at=LATER, collected_at=SEEN + timedelta(days=50)))
    row = stored(store).row(0, named=True)
    assert stored(store).height == 1
    assert (row["at"], row["day"], row["first_seen_at"]) == (SEEN, SEEN.date(), SEEN)
    assert stored(store, "matches")["day"].to_list() == [SEEN.date()]


def test_a_copy_without_a_time_finds_the_post_that_has_one(store: Store) -> None:
    write(store, raw("a"))
    write(store, raw("a", at=None, collected_at=LATER, text="edited"))
    assert stored(store).select("day", "text").rows() == [(START.date(), "edited")]
    assert stored(store, "times").is_empty()


# Known


def test_known_says_what_is_kept_and_what_matched_by_itself(store: Store) -> None:
    write(store, raw("own"))
    write(store, raw("taken"), via="taken")
    write(store, raw("thread"), via="thread")
    store.wipe([store.key("reddit:t3_own")])
    known = store.known()
    asked = [f"reddit:t3_{name}" for name in ("own", "taken", "thread", "never")]
    assert known.has(asked) == set(asked[:3])
    assert known.matched(CASE, QUERY, asked) == set(asked[:2])
    assert known.matched(CASE, "q2", asked) == set()
    assert known.has([]) == set()


# Scores and what is read of them


def test_work_is_what_is_live_and_not_scored_as_it_stands(store: Store) -> None:
    write(store, *[raw(n, at=START + timedelta(days=n)) for n in range(6)])
    store.wipe([store.key("reddit:t3_0")])
    store.hide([store.author_key("reddit", "writer1")])
    assert score_all(store) == 4
    assert score_all(store) == 0
    write(store, raw(2, at=START + timedelta(days=2), text="edited", collected_at=LATER))
    (posts,) = store.work(SCORER)
    assert posts["text"].to_list() == ["edited"]
    columns = ["post", "day", "source", "author", "text", "langs", "text_hash"]
    assert posts.columns == [*columns, "input_hash", "lang"]
    assert sum(posts.height for posts in store.work("vader-9")) == 4
    assert sum(posts.height for posts in store.work(SCORER, rescore=True)) == 4
    assert score_all(store, LATER) == 1
    assert score_all(store) == 0


def test_work_tells_the_language_where_it_was_found_for_the_same_text(store: Store) -> None:
    write(store, *[raw(n) for n in range(3)])
    score_all(store)
    write(store, raw(2, text="edited", collected_at=LATER))

    def languages(scorer: str, python: str) -> list[str | None]:
        (posts,) = store.work("vader-9", told=[scorer], python=python)
        return sorted(posts["lang"].to_list(), key=str)

    assert languages(SCORER, "3.11") == [None, "en", "en"]
    assert languages("vader-8", "3.11") == languages(SCORER, "3.12") == [None] * 3


def test_another_declared_language_is_work_and_its_language_is_asked_anew(store: Store) -> None:
    write(store, raw("a"), raw("b", langs=["fr", "en"]), raw("c", langs=[]))
    score_all(store)
    texts = stored(store).select("post", "text_hash")
    write(
        store,
        raw("a", langs=["fr"], collected_at=LATER),
        raw("b", langs=["en", "fr"], collected_at=LATER),  # the order says nothing
        raw("c", langs=["en"], collected_at=LATER),
    )
    assert stored(store).select("post", "text_hash").sort("post").equals(texts.sort("post"))
    changed = {store.key("reddit:t3_a"), store.key("reddit:t3_c")}
    (posts,) = store.work(SCORER, told=[SCORER], python="3.11")
    assert set(posts["post"]) == changed
    assert posts["lang"].to_list() == [None, None]
    (posts,) = store.work(SCORER, rescore=True, told=[SCORER], python="3.11")
    assert set(posts.filter(pl.col("lang").is_null())["post"]) == changed
    # Until then the older score stands: the text is the same.
    assert store.scored().collect().height == 3
    assert score_all(store, LATER) == 2
    assert score_all(store) == 0


def test_work_comes_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.tables.ROWS_AT_ONCE", 3)
    write(store, *[raw(n, at=START + timedelta(days=n // 4)) for n in range(10)])
    sizes = [posts.height for posts in store.work(SCORER)]
    assert sum(sizes) == 10
    assert max(sizes) <= 3


def test_the_score_made_last_counts(store: Store) -> None:
    write(store, raw("a"))
    for at, compound in ((SEEN, 0.1), (LATER, 0.2), (EARLIER, 0.3)):
        store.add_scores(_scores(stored(store)).with_columns(compound=compound, scored_at=at))
    assert stored(store, "scores")["compound"].to_list() == [0.2]


def test_scored_rows_are_cut_to_the_window(store: Store) -> None:
    write(store, *[raw(n, at=START + timedelta(hours=12 * n)) for n in range(40)])
    write(store, raw("unscored", at=None))
    score_all(store)
    write(store, raw("too late", at=START))
    store.wipe([store.key("reddit:t3_0")])
    assert store.scored().collect_schema() == SCORED
    rows = store.scored().collect()
    assert rows.height == 41
    assert rows.filter(pl.col("at") == START)["post"].to_list() == [store.key("reddit:t3_0")]

    since, until = START + timedelta(days=2), START + timedelta(days=5)
    window = store.scored(since=since, until=until).collect()["at"]
    assert sorted(window) == [START + timedelta(hours=12 * n) for n in range(4, 10)]
    assert store.scored(weeks=[week(0), week(2)]).collect().height == 13 + 13
    for filters in ({"case": "other"}, {"query_hash": "q2"}, {"scorer": "vader-9"}):
        assert store.scored(**filters).collect().is_empty()
    assert store.scored(case=CASE, query_hash=QUERY, scorer=SCORER).collect().height == 41


def test_an_edited_post_waits_and_the_score_of_its_old_words_does_not_count(store: Store) -> None:
    write(store, raw("a"), raw("b"))
    write(store, raw("reply"), via="thread")
    assert store.waiting(CASE, QUERY, SCORER) == 2
    score_all(store)
    store.rebuild(count_cells)
    assert store.waiting(CASE, QUERY, SCORER) == 0
    write(store, raw("a", text="edited", collected_at=LATER))
    assert store.waiting(CASE, QUERY, SCORER) == 1
    assert (store.waiting("other", QUERY, SCORER), store.waiting(CASE, "q2", SCORER)) == (0, 0)
    assert store.waiting(CASE, QUERY, "vader-9") == 2
    assert store.key("reddit:t3_a") not in set(store.scored().collect()["post"])
    exported = posts_frame(store, case=CASE, query_hash=QUERY, scorer=SCORER)
    by_text = {row["text"]: row for row in exported.iter_rows(named=True)}
    numbers = ("lang", "tone", "compound", "neg", "neu", "pos")
    assert by_text["edited"]["status"] == "waiting"
    assert not any(by_text["edited"][name] for name in numbers)
    assert (by_text["words of b"]["status"], by_text["words of b"]["compound"]) == ("scored", 0.5)
    assert store.rebuild(count_cells) == 1
    assert sum(store.scan("cells").collect()["n"]) == 2

    assert score_all(store, LATER) == 1
    store.rebuild(count_cells)
    assert sum(store.scan("cells").collect()["n"]) == 3
    store.wipe([store.key("reddit:t3_a")])
    store.hide([store.author_key("reddit", "writerb")])
    assert store.scored().collect().height == 3
    assert store.waiting(CASE, QUERY, "vader-9") == 0


# Cells


def test_stale_finds_exactly_the_weeks_that_were_touched(store: Store) -> None:
    assert store.stale().weeks == ()
    write(store, *[raw(n, **in_week(n)) for n in range(5)])
    score_all(store)
    assert store.stale().weeks == tuple(week(n) for n in range(5))
    assert store.rebuild(count_cells) == 5
    assert counted(store) == {week(n): 1 for n in range(5)}
    assert store.stale().weeks == ()
    write(store, raw("new", **in_week(1)))
    assert store.stale().weeks == (week(1),)
    store.wipe([store.key("reddit:t3_3")])
    assert store.stale().weeks == (week(1), week(3))
    score_all(store)
    assert store.rebuild(count_cells) == 2
    assert counted(store) == {week(n): 1 for n in range(5)} | {week(1): 2}


def test_a_kill_between_scores_and_cells_is_healed(store: Store) -> None:
    write(store, raw("a"), raw("b", **in_week(4)))
    score_all(store)
    store.rebuild(count_cells)
    write(store, raw("c", **in_week(4)))
    score_all(store)
    again = Store.open(store.location, salt=SALT)
    assert again.stale().weeks == (week(4),)
    again.rebuild(count_cells)
    assert counted(again) == {week(0): 1, week(4): 2}


def test_a_rebuild_that_was_killed_half_way_is_done_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.cells.ROWS_AT_ONCE", 2)
    write(store, *[raw(n, **in_week(n)) for n in range(6)])
    score_all(store)

    def kill(done: int, total: int) -> None:
        assert total == 6
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.rebuild(count_cells, kill)
    assert len(counted(store)) == 2
    assert len(store.stale().weeks) == 6
    assert store.rebuild(count_cells) == 6
    assert counted(store) == {week(n): 1 for n in range(6)}
    assert store.stale().weeks == ()


def test_weeks_whose_posts_are_forgotten_lose_their_cells(store: Store) -> None:
    write(store, raw("a"), raw("b", **in_week(3)))
    score_all(store)
    store.rebuild(count_cells)
    store.forget([store.key("reddit:t3_b")])
    assert store.stale().weeks == (week(3),)
    store.rebuild(count_cells)
    assert counted(store) == {week(0): 1}


def test_maintenance_neither_makes_weeks_stale_nor_hides_that_they_are(store: Store) -> None:
    for n in range(4):
        write(store, raw(n), raw(f"{n}b", **in_week(2)))
        score_all(store)
    store.rebuild(count_cells)
    figures = store.maintain(purge=True)
    assert figures["files_after"] < figures["files_before"]
    assert figures["bytes_freed"] > 0
    assert store.stale().weeks == ()
    write(store, raw("new", **in_week(2)))
    store.maintain(purge=True)
    assert store.stale().weeks == (week(2),)


def test_when_the_log_no_longer_tells_every_week_is_stale(store: Store) -> None:
    write(store, *[raw(n, **in_week(n)) for n in range(3)])
    score_all(store)
    store.rebuild(count_cells)
    write(store, raw("new"))
    write(store, raw("newer", **in_week(1)))
    table = DeltaTable(f"{store.location}/posts")
    table.create_checkpoint()
    *old, _ = sorted((Path(store.location) / "posts" / "_delta_log").glob("*.json"))
    for log in old:
        log.unlink()
    assert store.stale().weeks == tuple(week(n) for n in range(3))


def test_cells_of_a_slower_process_never_lie_over_newer_ones(store: Store) -> None:
    write(store, raw("a"))
    score_all(store)
    slow = store.stale()
    old = count_cells(store.scored().collect())
    write(store, raw("b"))
    score_all(store)
    store.rebuild(count_cells)
    with pytest.raises(CellsMoved):
        store.replace_cells(old, slow.weeks, slow.versions)
    assert counted(store) == {week(0): 2}


def test_a_rebuild_that_is_overtaken_starts_again(store: Store) -> None:
    write(store, raw("a"), raw("b", **in_week(1)))
    score_all(store)
    other = Store.open(store.location, salt=SALT)
    calls = []

    def overtaken(scored: pl.DataFrame) -> pl.DataFrame:
        calls.append(scored.height)
        if len(calls) == 1:
            write(other, raw("c"))
            score_all(other)
            other.rebuild(count_cells)
        return count_cells(scored)

    store.rebuild(overtaken)
    assert store.stale().weeks == ()
    assert counted(store) == {week(0): 2, week(1): 1}


def test_cells_outside_their_weeks_are_an_error_and_not_a_double_count(store: Store) -> None:
    write(store, raw("a"), raw("b", **in_week(1)))
    score_all(store)
    found = store.stale()
    cells = count_cells(store.scored().collect())
    for wrong in (
        Stale(found.weeks[:1], found.versions),
        cells.with_columns(month=pl.col("month").dt.offset_by("1mo")),
        pl.concat([cells, cells]),
    ):
        frame_, weeks = (cells, wrong.weeks) if isinstance(wrong, Stale) else (wrong, found.weeks)
        with pytest.raises(ValueError, match="cells must lie"):
            store.replace_cells(frame_, weeks, found.versions)
    assert stored(store, "cells").is_empty()


# Two processes

WRITER = """
import sys
from store.tables import Store
from storing import SALT, raw, without_lock, write
place, name, lock = sys.argv[1:]
store = Store.open(place, salt=SALT)
if lock == "unlocked":  # as on an object store, where optimistic commits are all there is
    without_lock(store)
for n in range(6):
    write(store, *[raw(f"{name}-{n}-{i}") for i in range(20)], raw("shared", at=None))
"""


@pytest.mark.parametrize("lock", ["locked", "unlocked"])
def test_two_processes_writing_at_once_lose_nothing(tmp_path: Path, lock: str) -> None:
    place = str(tmp_path / "store")
    root = Path(__file__).parents[1]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests")))}
    command = [sys.executable, "-c", WRITER, place]
    writers = [subprocess.Popen([*command, name, lock], env=env) for name in ("x", "y")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    posts = stored(Store.open(place, salt=SALT))
    assert posts.height == posts["post"].n_unique() == 2 * 6 * 20 + 1
    assert stored(Store.open(place, salt=SALT), "matches").height == posts.height


FULL = """
import resource, signal, sys
from store.tables import Store, StoreError
from storing import SALT, raw, write
store = Store.open(sys.argv[1], salt=SALT)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
try:
    write(store, *[raw(n) for n in range(500)])
except StoreError as error:
    print(error)
"""


def test_a_full_disk_is_a_sentence_and_leaves_the_store_whole(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path), salt=SALT)
    write(store, raw("a"))
    root = Path(__file__).parents[1]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests")))}
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=True)
    said = run.stdout
    assert said.startswith(f"The disk that holds {tmp_path}/posts is full.")
    assert texts(store) == ["words of a"]
    write(store, raw("b"))
    assert stored(store).height == 2


def test_posts_need_what_the_store_goes_by(store: Store) -> None:
    for missing in ("uri", "collected_at"):
        row = raw("a") | {missing: None}
        posts = frame([row])
        found = matches(frame([raw("a")])).with_columns(uri=pl.lit(row["uri"], pl.String))
        if missing == "uri":
            found = found.with_columns(uri=pl.lit(None, pl.String))
        written = None
        if missing == "collected_at":
            with pytest.raises(ValueError, match="collected"):
                store.write(batch(posts), found)
        else:
            written = store.write(batch(posts), found)
            assert written.kept == 0
    assert stored(store).is_empty()
    assert POSTS.names()[:2] == ["post", "day"]
