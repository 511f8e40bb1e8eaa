"""The store against a plain dictionary that obeys the same rules, over random histories."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from storing import (
    CASE,
    QUERY,
    SALT,
    SEEN,
    START,
    batch,
    count_cells,
    frame,
    raw,
    score_all,
    stored,
)

from store.tables import Store

# Every post has one time, which a copy of it may or may not bring along.
NAMES = range(6)
TIMES = [START + timedelta(days=2 * n) for n in NAMES]
AUTHORS = ("One", "Two", "Three")
RANK = {"thread": 1, "taken": 2, "own": 3}

copies = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.integers(0, 4),  # when collected
        st.booleans(),  # with its time
        st.sampled_from(["", "a", "😡 b", None]),
        st.sampled_from([None, "reddit:t3_0", "reddit:t3_other"]),  # its root
        st.sampled_from([*sorted(RANK), None]),  # None: does not match
    ),
    min_size=1,
    max_size=8,
)
some = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)
author = st.sampled_from(AUTHORS)


def uri(name: int) -> str:
    return f"reddit:t3_{name}"


def by(name: int) -> str:
    return AUTHORS[name % len(AUTHORS)]


class Model(RuleBasedStateMachine):
    """What the store should hold: posts and matches by name, blocked names and authors, scores."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.store = Store.open(self.folder, salt=SALT)
        self.posts: dict[int, dict[str, Any]] = {}
        self.via: dict[int, str] = {}
        self.fixed: dict[int, datetime] = {}
        self.blocked: set[int] = set()
        self.barred: set[str] = set()
        self.scored: dict[int, str] = {}
        self.wipes = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(copies=copies, gone=st.lists(st.sampled_from(NAMES), max_size=1))
    def write(self, copies: list[tuple[Any, ...]], gone: list[int]) -> None:
        rows = [
            raw(
                name,
                author=by(name),
                collected_at=SEEN + timedelta(hours=hour),
                at=TIMES[name] if timed else None,
                text=text,
                root=root,
                likes=place,
            )
            for place, (name, hour, timed, text, root, _) in enumerate(copies)
        ]
        vias: dict[int, str] = {}
        for name, *_, via in copies:
            if via:
                vias[name] = max(vias.get(name, "thread"), via, key=RANK.__getitem__)
        found = pl.DataFrame(
            [
                {
                    "case": CASE,
                    "uri": uri(name),
                    "query_hash": QUERY,
                    "via": via,
                    "root_known": True,
                }
                for name, *_, via in copies
                if via
            ],
            schema=["case", "uri", "query_hash", "via", "root_known"],
            schema_overrides={"uri": pl.String, "case": pl.String, "via": pl.String},
        )
        fresh = self._write(copies, set(gone), vias)
        wiped = sum(name in self.posts and self.posts[name]["state"] != "gone" for name in gone)
        written = self.store.write(batch(frame(rows), gone=tuple(map(uri, gone))), found)
        assert (written.new, written.gone) == (fresh, wiped)
        assert written.kept == sum(
            name not in self.blocked and by(name) not in self.barred
            for name in vias.keys() - set(gone)
        )
        self._wipe(gone)

    def _write(self, copies: list[tuple[Any, ...]], gone: set[int], vias: dict[int, str]) -> int:
        fresh = 0
        for name in dict.fromkeys(name for name, *_ in copies):
            if name in gone or name in self.blocked or by(name) in self.barred:
                continue
            if name not in vias and name not in self.posts:
                continue
            mine = [(place, *copy[1:]) for place, copy in enumerate(copies) if copy[0] == name]
            mine.sort(key=lambda copy: copy[1])
            likes, first, *_ = mine[0]
            _, last, _, text, _, _ = mine[-1]
            roots = [root for *_, root, _ in mine if root]
            if name not in self.posts:
                fresh += 1
                at = TIMES[name] if any(timed for _, _, timed, *_ in mine) else None
                if at is None or name in self.fixed:
                    at = self.fixed.setdefault(name, SEEN + timedelta(hours=first))
                self.posts[name] = {
                    "at": at,
                    "likes": likes,
                    "first": first,
                    "state": "live",
                    "last": last,
                    "text": text or "",
                    "root": roots[-1] if roots else None,
                }
            elif self.posts[name]["state"] == "live" and last > self.posts[name]["last"]:
                post = self.posts[name]
                post |= {"last": last, "text": text or ""}
                post["root"] = roots[-1] if roots else post["root"]
            if name in vias:
                ranked = self.via.get(name, "thread"), vias[name]
                self.via[name] = max(ranked, key=RANK.__getitem__)
        return fresh

    @rule(names=some)
    def wipe(self, names: list[int]) -> None:
        expected = sum(name in self.posts and self.posts[name]["state"] != "gone" for name in names)
        assert self.store.wipe([self.store.key(uri(name)) for name in names]) == expected
        self._wipe(names)

    def _wipe(self, names: list[int]) -> None:
        self.wipes += 1
        for name in names:
            if name in self.posts and self.posts[name]["state"] != "gone":
                # Posts of one author that are wiped together stay one voice.
                voice = (self.wipes, by(name))
                self.posts[name] |= {"state": "gone", "text": None, "voice": voice}

    @rule(author=author)
    def hide(self, author: str) -> None:
        self.store.hide([self.store.author_key("reddit", author)])
        self._turn(author, "live", "hidden")

    @rule(author=author)
    def restore(self, author: str) -> None:
        self.store.restore([self.store.author_key("reddit", author)])
        self._turn(author, "hidden", "live")

    def _turn(self, author: str, old: str, new: str) -> None:
        for name, post in self.posts.items():
            if by(name) == author and post["state"] == old:
                post["state"] = new

    @rule(names=some)
    def forget_posts(self, names: list[int]) -> None:
        self.store.forget([self.store.key(uri(name)) for name in names])
        self._forget(set(names))

    @rule(author=author)
    def forget_author(self, author: str) -> None:
        self.store.forget([self.store.author_key("reddit", author)])
        self.barred.add(author)
        # A wiped post no longer says whose it was.
        self._forget(
            {n for n, post in self.posts.items() if by(n) == author and post["state"] != "gone"}
        )

    def _forget(self, names: set[int]) -> None:
        self.blocked |= names
        for name in names:
            # A time is fixed for as long as its post is stored.
            if self.posts.pop(name, None):
                self.fixed.pop(name, None)
            self.via.pop(name, None)
            self.scored.pop(name, None)

    @rule()
    def score_and_rebuild(self) -> None:
        waiting = {
            name: post["text"]
            for name, post in self.posts.items()
            if post["state"] == "live" and self.scored.get(name) != post["text"]
        }
        # A rescored post keeps its row, so the later score has to be made later.
        self.clock = getattr(self, "clock", SEEN) + timedelta(seconds=1)
        assert score_all(self.store, self.clock) == len(waiting)
        self.scored |= waiting
        self.store.rebuild(count_cells)
        weeks = Counter(
            (self.posts[name]["at"] - timedelta(days=self.posts[name]["at"].weekday())).date()
            for name, text in self.scored.items()
            if self.posts[name]["state"] == "gone" or self.posts[name]["text"] == text
        )
        held = self.store.scan("cells").group_by("week").agg(pl.col("n").sum()).collect()
        assert dict(held.iter_rows()) == dict(weeks)
        assert self.store.stale().weeks == ()

    @rule(purge=st.booleans())
    def maintain(self, purge: bool) -> None:
        weeks = self.store.stale().weeks
        self.store.maintain(purge)
        assert self.store.stale().weeks == weeks

    @rule()
    def open_again(self) -> None:
        self.store = Store.open(self.folder, salt=SALT)

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "store"):
            return
        key = self.store.key
        authors = {name: self.store.author_key("reddit", name) for name in AUTHORS}
        gone = {key(uri(n)): post["voice"] for n, post in self.posts.items() if "voice" in post}
        expected = {
            key(uri(name)): (
                post["at"],
                post["at"].date(),
                post["text"],
                None if post["state"] == "gone" else uri(name),
                post["voice"] if post["state"] == "gone" else authors[by(name)],
                post["likes"],
                SEEN + timedelta(hours=post["first"]),
                SEEN + timedelta(hours=post["last"]),
                post["state"],
                post["root"] and key(post["root"]),
            )
            for name, post in self.posts.items()
        }
        # A copy that says just what is stored is noted beside the post, which stays as it is.
        same = stored(self.store, "checks").select("post", "same_at")
        every = stored(self.store).join(same, on="post", how="left")
        assert every.height == stored(self.store).height
        every = every.with_columns(
            pl.max_horizontal("collected_at", "same_at").alias("collected_at")
        )
        posts = every.select(
            "post",
            "at",
            "day",
            "text",
            "uri",
            "author",
            "likes",
            "first_seen_at",
            "collected_at",
            "state",
            "root",
        )
        assert posts.height == posts["post"].n_unique()
        # Random ids of wiped posts, as what they stand for: one for each voice, none an author's.
        ids = {(row[5], gone[row[0]]) for row in posts.iter_rows() if row[0] in gone}
        assert len(ids) == len({i for i, _ in ids}) == len({voice for _, voice in ids})
        assert not {i for i, _ in ids} & {None, *authors.values()}
        assert {
            row[0]: (*row[1:5], gone.get(row[0], row[5]), *row[6:]) for row in posts.iter_rows()
        } == expected
        found = stored(self.store, "matches").select("post", "day", "via")
        assert sorted(found.iter_rows()) == sorted(
            (key(uri(name)), self.posts[name]["at"].date(), via) for name, via in self.via.items()
        )
        scores = stored(self.store, "scores").select("post", "input_hash")
        assert dict(scores.iter_rows()) == {
            key(uri(name)): None if key(uri(name)) in gone else self.store.text_hash(text)
            for name, text in self.scored.items()
        }
        assert scores.height == len(self.scored)


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=15,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
