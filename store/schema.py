"""The tables of the store and the one shape in which posts arrive: `Batch`.

Nothing here touches a disk. Collectors import this module and no other of `store`.
All times are UTC with microseconds; days, weeks (Mondays) and months (first days) are UTC dates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

SCHEMA_VERSION = 4  # `store/migrate.py` brings older ones here

TIME = pl.Datetime("us", "UTC")
WORDS = pl.List(pl.String)

# What a collector hands over: uris and author ids as the source gives them. The store turns them
# into keyed pseudonyms on writing; nothing but `uri` and `text` of it is ever stored as it is.
# `at` is null where the source gives no trustworthy time (the store then fixes it at first sight).
RAW_POST = pl.Schema(
    {
        "uri": pl.String(),  # at://did/app.bsky.feed.post/rkey or reddit:t3_abc or reddit:t1_abc
        "source": pl.String(),  # bluesky | reddit
        "kind": pl.String(),  # post | comment
        "author": pl.String(),  # the source's own id or name; null when unknown or deleted
        "community": pl.String(),  # subreddit; null on Bluesky
        "text": pl.String(),  # a Reddit submission: title, blank line, body
        "langs": WORDS,  # as declared by the author; empty when not declared
        "at": TIME,
        "created_at": TIME,  # as declared
        "collected_at": TIME,  # when the source was asked: decides which of two copies is newer
        "parent": pl.String(),  # uris
        "root": pl.String(),
        "quoted": pl.String(),
        "likes": pl.Int64(),  # Reddit: score
        "reposts": pl.Int64(),  # null on Reddit
        "replies": pl.Int64(),
    }
)

POSTS = pl.Schema(
    {
        "post": pl.String(),  # HMAC-SHA256(salt, uri), first 128 bits, 32 hex digits
        "day": pl.Date(),  # date(at)
        "uri": pl.String(),
        "source": pl.String(),
        "collector": pl.String(),
        "kind": pl.String(),
        "author": pl.String(),  # pseudonym: HMAC over source and author id
        "community": pl.String(),
        "text": pl.String(),
        "langs": WORDS,
        "at": TIME,
        "created_at": TIME,
        "collected_at": TIME,
        "first_seen_at": TIME,
        "parent": pl.String(),  # keys
        "root": pl.String(),
        "quoted": pl.String(),
        "likes": pl.Int64(),  # engagement at first sight
        "reposts": pl.Int64(),
        "replies": pl.Int64(),
        "state": pl.String(),  # live | hidden | gone
        "state_at": TIME,
        "text_hash": pl.String(),
    }
)

# Posts whose time the source does not tell: when they were first seen is their time for good, so
# that a later copy, with or without a time, lands on the same row.
TIMES = pl.Schema({"post": pl.String(), "at": TIME})

# What was asked about a post since it was stored. A copy that says just what is stored is noted
# here too: it changes nothing but how fresh the post is, and rewriting whole days of posts for that
# would be nearly all of what collecting costs.
CHECKS = pl.Schema(
    {
        "post": pl.String(),
        "day": pl.Date(),
        "checked_at": TIME,
        "misses": pl.Int64(),
        "next_at": TIME,
        "likes": pl.Int64(),
        "reposts": pl.Int64(),
        "replies": pl.Int64(),
        "likes_48h": pl.Int64(),
        "reposts_48h": pl.Int64(),
        "replies_48h": pl.Int64(),
        "same_at": TIME,  # when a copy was last collected that said just what is stored
    }
)

# Which collector has brought a post by itself: of two that watch one source side by side, each
# says what the other missed. Kept for these only; a file or a recheck watches nothing.
SIGHTINGS = pl.Schema(
    {
        "post": pl.String(),
        "collector": pl.String(),
        "day": pl.Date(),
        "seen_at": TIME,  # when its first copy was collected
    }
)
SIDE_BY_SIDE = ("bluesky-stream", "bluesky-search")

MATCHES = pl.Schema(
    {
        "case": pl.String(),
        "post": pl.String(),
        "query_hash": pl.String(),
        "day": pl.Date(),
        "via": pl.String(),  # own | thread | taken
        "root_known": pl.Boolean(),
    }
)

SCORES = pl.Schema(
    {
        "post": pl.String(),
        "case": pl.String(),  # empty for tone
        "scorer": pl.String(),  # name and version: vader_norm-3, vader-3.3.2
        "day": pl.Date(),
        "python": pl.String(),  # minor version the numbers follow: sum() differs from 3.12 on
        "status": pl.String(),  # scored | language | marker; too_long in older rows
        "lang": pl.String(),  # detected; und when nothing decides
        "input_hash": pl.String(),  # text_hash of what was looked at; what else was read, behind it
        "compound": pl.Float64(),
        "neg": pl.Float64(),
        "neu": pl.Float64(),
        "pos": pl.Float64(),
        "stance": pl.String(),
        "p_against": pl.Float64(),
        "p_on_topic": pl.Float64(),
        "reasons": WORDS,
        "exit": pl.Boolean(),
        "scored_at": TIME,
    }
)
# An input_hash begins with the hash of the post's own text, whatever else the scorer has read.
TEXT_OF_INPUT = pl.col("input_hash").str.head(32)
# Tone has read the text, and the languages declared for it (of posts; in any order).
_DECLARED = pl.col("langs").list.unique().list.sort().list.join(" ").fill_null("")
TONE_INPUT = pl.concat_str("text_hash", _DECLARED, separator=" ").str.strip_chars_end(" ")

# One cell: one case, query, scorer, source, via, language, width and start. Cluster sums per kind
# (author, thread, both = author x thread) and measure y: over clusters c, nn = sum n_c^2,
# ny = sum n_c*y_c, yy = sum y_c^2, where y is balance (neg - pos), neg, pos or compound.
CLUSTERS = ("author", "thread", "both")
MEASURES = ("balance", "neg", "pos", "compound")
WIDTHS = {"hour": "1h", "6h": "6h", "day": "1d", "week": "1w"}

CELL_KEY = ("case", "query_hash", "scorer", "source", "via", "lang", "width", "start")
CELL_COUNTS = (
    "n",  # scored posts in the series
    "n_neg",
    "n_neu",
    "n_pos",
    "n_language",  # in no language the scorer knows
    "n_too_long",  # of older rows: no text is too long any more
    "n_marker",
    "n_displaced",  # declared time off by more than 24 hours: left out of every other count
)
# Of stance only, 0 in cells of tone. In cells of stance n counts the posts on topic, n_neg those
# against, n_pos those for and n_neu the neutral ones.
CELL_STANCE = (
    "n_looked",  # scored posts in all, on topic or off
    "n_off",
    "n_exit",  # on topic, and say that they left or are leaving
    *(
        f"r_{reason}"  # against, for this reason among others
        for reason in ("consent", "theft", "sneaky", "privacy", "jobs", "quality", "trust")
    ),
)
CELL_SUMS: dict[str, pl.DataType] = {
    "sum_compound": pl.Float64(),
    "sum_compound2": pl.Float64(),
    **{
        name: pl.Float64() if "compound" in name else pl.Int64()
        for kind in CLUSTERS
        for name in (
            f"{kind}_nn",
            *(f"{kind}_{s}_{m}" for m in MEASURES for s in ("ny", "yy")),
        )
    },
}
CELLS = pl.Schema(
    {
        "case": pl.String(),
        "query_hash": pl.String(),
        "scorer": pl.String(),
        "source": pl.String(),
        "via": pl.String(),
        "lang": pl.String(),
        "width": pl.String(),
        "start": TIME,
        "week": pl.Date(),  # Monday of `start`: the unit in which cells are rebuilt
        "month": pl.Date(),  # first day of the month of `start`
        **dict.fromkeys(CELL_COUNTS, pl.Int64()),
        **CELL_SUMS,
        **dict.fromkeys(CELL_STANCE, pl.Int64()),
    }
)

RUNS = pl.Schema(
    {
        "run_id": pl.String(),
        "month": pl.Date(),
        "collector": pl.String(),
        "source": pl.String(),
        "host": pl.String(),
        "cases": pl.List(pl.Struct({"case": pl.String(), "query_hash": pl.String})),
        "unit": pl.String(),  # phrase, subreddit, file
        "started_at": TIME,
        "finished_at": TIME,  # null while running, and for ever after a kill
        "observed_from": TIME,  # event time that was fully read, from (inclusive)
        "observed_to": TIME,  # to (exclusive)
        "cursor_before": pl.String(),
        "cursor_after": pl.String(),
        "pages": pl.Int64(),
        "items": pl.Int64(),  # records read
        "kept": pl.Int64(),  # records that belong to a case
        "new": pl.Int64(),  # of those, not in the store before
        "gone": pl.Int64(),  # records the source marks as deleted or removed
        "bad": pl.Int64(),  # records that could not be read
        "bytes": pl.Int64(),
        "status": pl.String(),  # running | done | capped | partial | failed
        "stop_reason": pl.String(),
        "gap": pl.Boolean(),
        "error": pl.String(),
        "version": pl.String(),  # of Aftershock
    }
)

EXPORTS = pl.Schema(
    {
        "path": pl.String(),
        "export": pl.String(),  # which writing of that file: 32 hex digits, new with each
        "written_at": TIME,
        "expires_at": TIME,  # null but for backups
        "case": pl.String(),
        "kind": pl.String(),  # posts | series | backup
        "share": pl.Boolean(),
        "filters": pl.String(),  # JSON
        "rows": pl.Int64(),
        "sha256": pl.String(),
    }
)

# Whose words an export holds. A row goes as soon as the file holds them no longer.
EXPORTED = pl.Schema({"export": pl.String(), "post": pl.String()})

LABELS = pl.Schema(
    {
        "post": pl.String(),
        "case": pl.String(),
        "annotator": pl.String(),
        "codebook": pl.String(),
        "stance": pl.String(),
        "tone": pl.String(),
        "exit": pl.Boolean(),
        "reasons": WORDS,
        "sample": pl.String(),
        "stratum": pl.String(),
        "probability": pl.Float64(),  # of being sampled
        "labelled_at": TIME,
    }
)

BLOCKED = pl.Schema({"key": pl.String(), "blocked_at": TIME})  # posts and authors

# name -> (schema, partition column, key columns)
TABLES: dict[str, tuple[pl.Schema, str | None, tuple[str, ...]]] = {
    "posts": (POSTS, "day", ("post",)),
    "times": (TIMES, None, ("post",)),
    "checks": (CHECKS, "day", ("post",)),
    "sightings": (SIGHTINGS, "day", ("post", "collector")),
    "matches": (MATCHES, "day", ("case", "post", "query_hash")),
    "scores": (SCORES, "day", ("post", "case", "scorer")),
    "cells": (CELLS, "month", CELL_KEY),
    "runs": (RUNS, "month", ("run_id",)),
    "exports": (EXPORTS, None, ("path",)),
    "exported": (EXPORTED, "export", ("export", "post")),
    "labels": (LABELS, None, ("post", "case", "annotator", "codebook")),
    "blocked": (BLOCKED, None, ("key",)),
}

# What `Store.scored` gives and `analysis.series` takes: one row for each match and score.
SCORED = pl.Schema(
    {
        "case": pl.String(),
        "query_hash": pl.String(),
        "scorer": pl.String(),
        "source": pl.String(),
        "via": pl.String(),
        "post": pl.String(),
        "at": TIME,
        "created_at": TIME,
        "author": pl.String(),
        "root": pl.String(),
        "lang": pl.String(),
        "status": pl.String(),
        "compound": pl.Float64(),
        "stance": pl.String(),
        "reasons": WORDS,
        "exit": pl.Boolean(),
    }
)


@dataclass(frozen=True)
class Bad:
    """A record that could not be read: where it stands and what is wrong with it."""

    place: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """What the ledger should say about one unit of a source, as far as it has been read.

    `cases` names the cases for which the unit is read; none means all that are collected for.
    """

    unit: str
    source: str
    host: str = ""
    observed_from: datetime | None = None
    observed_to: datetime | None = None
    pages: int = 0
    items: int = 0
    bytes: int = 0
    status: str = "running"
    stop_reason: str = ""
    gap: bool = False
    error: str = ""
    cases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """What a collector yields. Counts in `reading` are totals of the unit so far, `bad` is new.

    `posts` has the columns of RAW_POST. `gone` holds uris deleted or removed at the source,
    `hidden` and `back` author ids whose accounts went inactive or came back, `deleted` those whose
    accounts are gone for good, so that all their posts go. `taken` says that the
    unit belongs to the case whole, whatever the query says. `again` says that these are posts
    already yielded once; the caller counts only what is new.
    """

    collector: str
    reading: Reading
    posts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RAW_POST))
    gone: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    checks: pl.DataFrame | None = None  # CHECKS with `uri` for post and day, without `same_at`
    bad: tuple[Bad, ...] = ()
    cursor: str | None = None
    taken: bool = False
    again: bool = False
