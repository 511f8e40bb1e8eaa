"""The doctor's look at the rows: keys unique, partitions right, nothing kept that had to go.

Goes through the store a few days at a time, so that its memory does not grow with the store; only
a hash of every post's key is held for all of them (8 bytes each). Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial

import polars as pl

from store.findings import Finding
from store.keys import Keys
from store.merge import Tables, holds
from store.schema import TABLES

ROWS_AT_ONCE = 200_000
BY_DAY = ("posts", "matches", "scores", "checks", "sightings")
HANGING = ("matches", "scores", "checks", "sightings")
STATES = ("live", "hidden", "gone")
STANCES = ("against", "for", "neutral", "off")
STATUSES = ("scored", "language", "too_long", "marker")
WORDS = ("uri", "text", "text_hash", "community")

AGAIN = "They are deleted; import or collect those days again."
REPAIRS = {
    "twice": "The newest row of each stays; a deletion at the source outlives every copy.",
    "day": "They are moved to where they belong.",
    "garbled": AGAIN,
    "state": AGAIN,
    "value": "They are deleted; run `aftershock score` afterwards.",
    "words": "They are wiped.",
    "half_wiped": "They are wiped.",
    "blocked": "They are deleted.",
    "dangling": "Those whose post is kept on another day are moved there, the others deleted.",
    "time": "The time on the post stays; the other one is deleted.",
}
WHATS = {
    "twice": "{n} rows stand there more than once",
    "day": "{n} rows lie in another partition than their time says",
    "garbled": "{n} posts do not match their own keys: their words or links are damaged",
    "state": "{n} posts are neither live, hidden nor gone, or live without words",
    "value": "{n} scores hold no value that a scorer gives",
    "words": "{n} rows still hold words of posts deleted at the source",
    "half_wiped": "{n} posts were deleted at their source, but still have their words",
    "blocked": "{n} rows belong to forgotten posts or authors",
    "dangling": "{n} rows belong to posts that are not in the store",
    "time": "{n} posts have another time than was fixed for them",
}


def finding(table: str, kind: str, rows: int, days: Sequence[date] = ()) -> Finding:
    """The finding for so many rows of a table."""
    days = tuple(sorted(set(days)))
    where = "" if not days else str(days[0])
    if len(days) > 1:
        where += f" and {len(days) - 1:,} more"
    what = WHATS[kind].format(n=f"{rows:,}") + "."
    return Finding(table, kind, what, where, REPAIRS[kind], rows=rows, days=days)


def portions(tables: Tables, names: Sequence[str]) -> Iterator[list[date]]:
    """The days of these tables, cut where the rows of all of them exceed what is read at once."""
    sizes: dict[date, int] = {}
    for name in names:
        for day, rows in tables.partitions(name).select("value", "rows").iter_rows():
            sizes[day] = sizes.get(day, 0) + rows
    portion: list[date] = []
    held = 0
    for day in sorted(sizes):
        if portion and held + sizes[day] > ROWS_AT_ONCE:
            yield portion
            portion, held = [], 0
        portion.append(day)
        held += sizes[day]
    if portion:
        yield portion


def examine_days(
    tables: Tables,
    keys: Keys,
    skip: dict[str, set[date]],
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """What is wrong with posts, matches, scores and checks.

    `skip` names the days of each table of which files are damaged: nothing is said of those, since
    what is missing there would show as damage everywhere else. A table that cannot be read at all
    is left out of `skip`'s keys.
    """
    names = [name for name in BY_DAY if name in skip]
    stop = _blocked(tables) if "blocked" in skip else set()
    fixed = tables.read(lambda: tables.scan("times")) if "times" in skip else None
    counts: dict[tuple[str, str], tuple[int, list[date]]] = {}
    seen = pl.Series("seen", [], pl.UInt64)
    unmatched = 0
    parts = list(portions(tables, names))
    for number, days in enumerate(parts):
        for name, faults, frame in _portion(tables, keys, names, skip, stop, fixed, days):
            for kind, mask in faults.items():
                if mask.any():
                    rows, where = counts.get((name, kind), (0, []))
                    bad = frame.filter(mask)
                    counts[name, kind] = (rows + bad.height, where + bad["day"].unique().to_list())
            if name == "posts":
                seen = seen.append(frame["post"].hash())
                unmatched += int(frame["unmatched"].sum())
        if progress:
            progress(number + 1, len(parts))
    found = [finding(name, kind, *value) for (name, kind), value in counts.items()]
    if "posts" in skip and ("posts", "twice") not in counts:
        found += _across_days(tables, seen, skip["posts"])
    if unmatched:
        text = (
            f"{unmatched:,} posts belong to no case: a program was stopped between a post and its"
            " case. Repeat the import or collection."
        )
        found.append(Finding("posts", "unmatched", text, note=True, rows=unmatched))
    return found


def _portion(
    tables: Tables,
    keys: Keys,
    names: Sequence[str],
    skip: dict[str, set[date]],
    stop: set[str],
    fixed: pl.DataFrame | None,
    days: list[date],
) -> Iterator[tuple[str, dict[str, pl.Series], pl.DataFrame]]:
    """Each table's rows of these days, with a mask for each kind of fault."""
    if "posts" not in names:
        return
    sound = [day for day in days if day not in skip["posts"]]
    posts = tables.read(lambda: tables.scan("posts").filter(holds(sound)))
    matched = wiped = pl.DataFrame(schema={"post": pl.String})
    for name in HANGING:
        if name not in names:
            continue
        there = [day for day in sound if day not in skip[name]]
        rows = tables.read(partial(_rows, tables, name, there))
        if name == "matches":
            matched = rows.select("post")
        if name == "scores":
            wiped = unhashed(rows)
        yield name, hanging_faults(name, rows, posts, stop), rows
    checked = "matches" in names and not any(day in skip["matches"] for day in sound)
    unmatched = ~posts["post"].is_in(matched["post"].implode()) if checked else pl.lit(False)
    faults = post_faults(posts, keys, stop, fixed)
    faults["half_wiped"] = (posts["state"] != "gone") & posts["post"].is_in(wiped["post"].implode())
    yield "posts", faults, posts.with_columns(unmatched.alias("unmatched"))


def _rows(tables: Tables, name: str, days: list[date]) -> pl.LazyFrame:
    return tables.scan(name).filter(holds(days))


def _blocked(tables: Tables) -> set[str]:
    return set(tables.read(lambda: tables.scan("blocked").select("key"))["key"])


def post_faults(
    posts: pl.DataFrame, keys: Keys, stop: set[str], fixed: pl.DataFrame | None
) -> dict[str, pl.Series]:
    """A mask for each kind of fault of rows of POSTS."""
    told = posts.select(
        day=pl.col("day").ne_missing(pl.col("at").dt.date()),
        words=(pl.col("state") == "gone") & pl.any_horizontal(pl.col(WORDS).is_not_null()),
        state=~pl.col("state").is_in(STATES).fill_null(value=False)
        | (
            (pl.col("state") != "gone")
            & pl.any_horizontal(pl.col("uri", "text", "text_hash").is_null())
        ),
        blocked=pl.col("post").is_in(list(stop))
        | pl.col("author").is_in(list(stop)).fill_null(value=False),
    ).to_dict(as_series=True)
    # Parquet as delta-rs writes it has no checksums, but what was said is kept with its HMAC: a
    # byte that flipped on the disk and still decodes shows here.
    whole = (posts["state"] != "gone") & posts["uri"].is_not_null() & posts["text"].is_not_null()
    own = keys.posts(posts["uri"]).ne_missing(posts["post"])
    text = keys.texts(posts["text"]).ne_missing(posts["text_hash"])
    faults = told | {
        "garbled": whole & (own | text) & ~told["state"],
        "twice": posts["post"].is_duplicated(),
    }
    if fixed is not None:
        times = posts.select("post", "at").join(
            fixed.select("post", fixed="at"), on="post", how="left", maintain_order="left"
        )
        if times.height == posts.height:  # else `times` holds a post twice, which is said of it
            faults["time"] = (times["fixed"].is_not_null()) & (times["fixed"] != times["at"])
    return faults


def unhashed(scores: pl.DataFrame) -> pl.DataFrame:
    """The posts that have been wiped, as their scores tell: a wipe takes the hash of the text from
    a score before it comes to the post. Survives where the post's own row is lost or undone."""
    return scores.filter(pl.col("input_hash").is_null()).select("post", "day").unique("post")


def hanging_faults(
    name: str, rows: pl.DataFrame, posts: pl.DataFrame, stop: set[str]
) -> dict[str, pl.Series]:
    """A mask for each kind of fault of rows that hang on posts of the same days."""
    state = rows.select("post", "day").join(
        posts.select("post", "day", "state").unique(["post", "day"]),
        on=["post", "day"],
        how="left",
        maintain_order="left",
    )["state"]
    blocked = rows["post"].is_in(list(stop))
    faults = {
        "twice": rows.select(TABLES[name][2]).is_duplicated(),
        "blocked": blocked,
        "dangling": state.is_null() & ~blocked,
    }
    if name == "scores":
        faults["words"] = (state == "gone").fill_null(value=False) & rows[
            "input_hash"
        ].is_not_null()
        faults["value"] = rows.select(
            ~(
                pl.col("status").is_in(STATUSES)
                & pl.col("compound").is_between(-1, 1).fill_null(value=True)
                & pl.col("p_against").is_between(0, 1).fill_null(value=True)
                & pl.col("p_on_topic").is_between(0, 1).fill_null(value=True)
                & pl.col("stance").is_in(STANCES).fill_null(value=True)
            ).fill_null(value=False)
        ).to_series()
    return faults


def _across_days(tables: Tables, seen: pl.Series, skip: set[date]) -> list[Finding]:
    """Posts that stand on more than one day."""
    twice = seen.filter(seen.is_duplicated()).unique()
    if twice.is_empty():
        return []
    rows = tables.read(
        lambda: (
            tables.scan("posts")
            .select("post", "day")
            .filter(pl.col("post").hash().is_in(twice.implode()), ~holds(sorted(skip)))
        )
    )
    rows = rows.filter(rows["post"].is_duplicated())
    return [finding("posts", "twice", rows.height, rows["day"].to_list())] if rows.height else []


def examine_others(tables: Tables, name: str) -> list[Finding]:
    """What is wrong with the rows of a table that is not kept by day."""
    _, partition, key = TABLES[name]
    columns = {*key, *([partition] if partition else [])}
    columns |= {"runs": {"started_at"}, "cells": {"week"}}.get(name, set())
    rows = tables.read(lambda: tables.scan(name).select(sorted(columns)))
    faults = {"twice": rows.select(key).is_duplicated()}
    if name == "runs":
        start = rows["started_at"].dt.date().dt.month_start()
        faults["day"] = start.ne_missing(rows["month"])
    if name == "cells":
        start = rows["start"].dt.date()
        faults["day"] = (start.dt.month_start() != rows["month"]) | (
            start.dt.truncate("1w") != rows["week"]
        )
    days = rows[partition] if partition else None
    return [
        finding(name, kind, int(mask.sum()), [] if days is None else days.filter(mask).to_list())
        for kind, mask in faults.items()
        if mask.any()
    ]


def examine_labels(tables: Tables) -> list[Finding]:
    """Labels of posts that are not in the store."""
    labels = tables.read(lambda: tables.scan("labels").select("post"))
    if labels.is_empty():
        return []
    lost = tables.read(
        lambda: labels.lazy().join(tables.scan("posts").select("post"), on="post", how="anti")
    )
    return [finding("labels", "dangling", lost.height)] if lost.height else []
