"""`aftershock status` says what is there, what was read and what is missing, and overclaims none of
it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from storing import batch, frame, matches, raw
from streamlit.testing.v1 import AppTest

import cases.case as case_files
import dashboard
from cases.case import Case
from cli.ingest import ingest
from cli.score import score_store
from cli.status import gather, sentences
from collectors.reddit_again import CHECK
from store.schema import Batch, Reading
from store.tables import Store

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
FROM = NOW.replace(minute=0, second=0, microsecond=0) - 84 * HOUR  # half a week


@pytest.fixture
def store(home) -> Store:
    return Store.open()


@pytest.fixture(scope="module")
def case() -> Case:
    return case_files.get("soundcloud")


def sky(name: str | int, at: datetime = FROM + HOUR, **values: Any) -> dict[str, Any]:
    uri = f"at://did:plc:a{name}/app.bsky.feed.post/a{name}"
    seen = at + HOUR
    return raw(name, uri=uri, source="bluesky", at=at, collected_at=seen) | values


def bring(store: Store, case: Case, collector: str, *rows: dict[str, Any], **said: Any) -> None:
    reading = Reading(
        **{
            "unit": collector,
            "source": "bluesky",
            "observed_from": FROM,
            "observed_to": FROM + 84 * HOUR,
            "status": "done",
            **said,
        }
    )
    ingest(store, [case], [Batch(collector, reading, frame(rows))])


def words(store: Store, case: Case, **more: bool) -> str:
    return "\n".join(sentences(gather(store, [case], datetime.now(UTC), **more)))


TEXT = {"text": "SoundCloud and its AI training terms"}


def test_what_is_in_the_store_and_how_much_was_covered(store: Store, case: Case) -> None:
    bring(store, case, "bluesky-stream", *[sky(n, **TEXT) for n in range(5)], bytes=1_500_000_000)
    store.hide([store.author_key("bluesky", "writer1")])
    store.wipe([store.key("at://did:plc:a0/app.bsky.feed.post/a0")])
    said = words(store, case)
    assert "bluesky: 3 posts, 1 hidden (account inactive), 1 without words" in said
    assert "soundcloud on bluesky: 5 posts and 0 more in their threads; 50.0 % of the last" in said
    assert "bluesky-stream (bluesky) last ran at" in said
    assert "1 of 1 units read to the end" in said
    assert "4 posts are to be asked about again at bluesky: aftershock recheck" in said
    assert "1.50 GB read from Jetstream this month" in said
    assert "gap" not in said
    assert "spool" not in said


def test_a_run_that_did_not_end_well_is_named_with_its_reason(store: Store, case: Case) -> None:
    bring(store, case, "bluesky-search", unit="one")
    why = "the source gives no more than 10,000"
    bring(store, case, "bluesky-search", unit="two", status="capped", gap=True, stop_reason=why)
    said = words(store, case)
    assert f"1 of 2 units not read to the end (two: capped, {why}); there is a gap." in said
    # Read to the end since.
    bring(store, case, "bluesky-search", unit="two")
    assert "2 of 2 units read to the end." in words(store, case)


def test_recall_is_shown_once_both_have_covered_the_same_hours(store: Store, case: Case) -> None:
    both = [sky(n, **TEXT) for n in range(40)]
    bring(store, case, "bluesky-stream", *both)
    said = words(store, case, with_recall=True)
    assert "no hour is covered by both the stream and search" in said
    later = [row | {"collected_at": row["collected_at"] + HOUR} for row in both[:30]]
    first, *others = case.bluesky_search
    bring(store, case, "bluesky-search", *later, unit=first)
    assert "no hour is covered by both" in words(store, case, with_recall=True)
    for phrase in others:
        bring(store, case, "bluesky-search", unit=phrase)
    said = words(store, case, with_recall=True)
    assert "Search found 30 of 40 posts that the stream brought in 84 hours" in said
    assert "75.0 % (95 %: " in said
    assert "What neither saw is not known" in said
    assert "Search found" not in words(store, case)


def test_the_command_speaks_to_people_and_to_machines(store: Store, case: Case, aftershock) -> None:
    assert "holds no posts yet" in aftershock("status").out
    bring(store, case, "bluesky-stream", sky(1, **TEXT))
    ended = aftershock("status", "--recall")
    assert ended.code == 0, ended.err
    assert "soundcloud on bluesky: 1 posts" in ended.out
    facts = aftershock("status", "--recall", "--json").json()
    assert facts["posts"] == {"bluesky": {"live": 1}}
    assert facts["checks_due"] == {"bluesky": 1}
    assert facts["cases"][0]["recall"]["of"] == 0
    assert facts["collectors"][0]["collector"] == "bluesky-stream"


def test_posts_of_reddit_that_were_not_asked_about_in_time_are_counted(
    store: Store, case: Case
) -> None:
    now = datetime.now(UTC)
    seen = {"at": now - 80 * HOUR, "created_at": now - 80 * HOUR}
    fresh, late = now - 47 * HOUR, now - 49 * HOUR
    text = {"text": TEXT["text"], **seen}
    rows = [raw(1, **text, collected_at=fresh), raw(2, **text, collected_at=late)]
    bring(store, case, "reddit", *rows, source="reddit")
    bring(store, case, "bluesky-stream", sky(3, **TEXT))  # long ago, and of no such terms
    assert gather(store, [case], now)["checks_late"] == {"reddit": 1}
    said = words(store, case)
    assert "1 posts were not asked about at reddit within 48 hours, as its terms demand" in said
    check = {"uri": "reddit:t3_2", "checked_at": now - HOUR, "misses": 0}
    checks = pl.DataFrame([check], schema=CHECK)
    store.write(batch(checks=checks), matches(frame([])))
    assert "48 hours" not in words(store, case)


def test_without_a_store_it_says_how_to_get_one(home, aftershock) -> None:
    ended = aftershock("status")
    assert ended.code != 0
    assert "aftershock import" in ended.err


def test_the_dashboards_coverage_says_how_much_search_found(store: Store, case: Case) -> None:
    both = [sky(n, **TEXT) for n in range(40)]
    bring(store, case, "bluesky-stream", *both)
    later = [row | {"collected_at": row["collected_at"] + HOUR} for row in both[:30]]
    first, *others = case.bluesky_search
    bring(store, case, "bluesky-search", *later, unit=first)
    for phrase in others:
        bring(store, case, "bluesky-search", unit=phrase)
    score_store(store)
    page = AppTest.from_file(str(Path(dashboard.__file__).with_name("app.py")), default_timeout=60)
    page.query_params["case"] = "soundcloud"
    page.run()
    assert not page.exception
    (badge,) = [entry for entry in page.markdown if "Coverage" in entry.value]
    assert "Bluesky: Search found 30 of 40 posts that the stream brought" in badge.proto.help
