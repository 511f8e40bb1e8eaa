"""Posts stored without their words: scored where they are, before anything is written.

A post comes in as one that was deleted at its source is left: no text, uri, community or author,
only its key, its time and its numbers. So nothing of it has to be asked about again, shown,
exported or scored anew, and a later copy does not bring its words back. What is stored with its
words stays.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

import polars as pl

from store import posts
from store.merge import Tables
from store.prepared import Prepared, Written
from store.schema import POSTS, SCORES

Score = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]  # of posts and matches
ASKED = ("post", "day", "source", "author", "text", "langs", "text_hash")


class Voices:
    """Authors as nobody can find them again, the same one for the length of an import: of them only
    the intervals need to know who wrote more than once. The key is never stored."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, authors: pl.Series) -> pl.Series:
        """A random id for each author's pseudonym; null stays null."""
        ids = [
            None if author is None else hmac.digest(self._key, author.encode(), "sha256")[:16].hex()
            for author in authors
        ]
        return pl.Series(authors.name, ids, dtype=pl.String)


def write(
    tables: Tables,
    batch: Prepared,
    voices: Voices,
    score: Score,
    add_scores: Callable[[pl.DataFrame], None],
) -> Written:
    """Score the posts of a batch that are not stored yet and store them without words, then their
    matches and what is gone.

    Scores go first: a kill between the two leaves numbers of a post that nobody sees, and the next
    import takes it in. Nothing of it goes to the spool: when other writers keep the store busy, the
    import is run again.
    """
    fresh = batch.posts.join(_stored(tables, batch.posts), on="post", how="anti")
    dated = fresh.with_columns(day=pl.col("at").dt.date())
    scores = score(dated.select(ASKED), batch.matches).with_columns(
        pl.lit(None, SCORES["input_hash"]).alias("input_hash")
    )
    bare = fresh.with_columns(
        voices.of(fresh["author"]),
        *(
            pl.lit(None, POSTS[name]).alias(name)
            for name in ("uri", "text", "text_hash", "community")
        ),
        state=pl.lit("gone"),
        state_at=pl.lit(batch.at).cast(POSTS["state_at"]),
    )
    with tables.lock():
        return _apply(tables, batch, fresh, bare, scores, add_scores)


def _apply(
    tables: Tables,
    batch: Prepared,
    fresh: pl.DataFrame,
    bare: pl.DataFrame,
    scores: pl.DataFrame,
    add_scores: Callable[[pl.DataFrame], None],
) -> Written:
    seen = tables.version("blocked")
    stop = posts.blocked(tables)["key"].implode()
    blocked = fresh.filter(pl.col("post").is_in(stop) | pl.col("author").is_in(stop))
    there = _stored(tables, batch.posts)  # once more: others may have been faster
    new = bare.join(there, on="post", how="anti").join(blocked, on="post", how="anti")
    placed = posts.place(tables, new).select("post", "day")
    add_scores(scores.drop("day").join(placed, on="post"))
    _, added, _ = posts.store(tables, new)
    everywhere = pl.concat([placed, there.select("post", "day")])
    posts.add_matches(tables, batch.matches.join(everywhere, on="post"))
    late = posts.erase_blocked(tables, placed.join(fresh.select("post", "author"), on="post"), seen)
    wiped = posts.wipe(tables, batch.gone["key"].to_list(), batch.at)
    kept = everywhere.join(batch.matches, on="post", how="semi")
    return Written(
        new=min(added, placed.height - len(late)),
        kept=kept.filter(~pl.col("post").is_in(late.implode())).height,
        gone=wiped,
        with_account=0,
        blocked=blocked.height + len(late),
    )


def _stored(tables: Tables, rows: pl.DataFrame) -> pl.DataFrame:
    """Which of these posts are stored, in whatever state: post, day."""
    if rows.is_empty():
        return pl.DataFrame(schema={"post": POSTS["post"], "day": POSTS["day"]})
    return posts.find(tables, rows.select("post"), "day")
