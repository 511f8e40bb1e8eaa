"""Which posts belong to which case, and by what: their own text, their thread, or their file.

Decides for one frame of collected posts; what the store keeps from before is asked of `matched`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from cases.case import Case
from cases.query import fold

MATCH = pl.Schema(
    {
        "case": pl.String,
        "uri": pl.String,
        "query_hash": pl.String,
        "via": pl.String,  # own | taken | thread
        "root_known": pl.Boolean,
    }
)
_NEEDED = ("uri", "text", "source", "community", "langs", "root", "quoted", "collected_at")


def match(
    posts: pl.DataFrame,
    cases: Sequence[Case],
    *,
    matched: Callable[[Case, Sequence[str]], set[str]],
    taken: bool = False,
) -> pl.DataFrame:
    """Match posts (the columns of RAW_POST) with cases: one row a case and post that belong.

    `via` is `taken` for every row when `taken` says that the file belongs to the cases whole.
    Otherwise it is `own` when the text matches the query, and else `thread` when the text of the
    thread's root, or of the post it quotes, does: in this frame, in whatever order its rows stand,
    or in the store, where `matched(case, uris)` says which of these it keeps as own or taken.
    A match by thread passes nothing on, and what one case takes never decides about another.

    `root_known` is whether the root's text was there to be looked at: the post is its own root,
    the root is in this frame, or the store keeps it as a match. A root that the store once saw and
    did not keep counts as unknown; nothing of it is left to tell. Of several copies of a post the
    one collected last counts, as in the store.
    """
    if posts.is_empty():  # many batches of a live collector only say how far it got
        return pl.DataFrame(schema=MATCH)
    posts = (
        posts.filter(pl.col("uri").is_not_null())
        .select(_NEEDED)
        .sort("collected_at", maintain_order=True)
        .unique("uri", keep="last", maintain_order=True)
    )
    if not taken:
        posts = posts.with_columns(folded=fold(pl.col("text")))
    frames = [_one(posts, case, matched, taken=taken) for case in cases]
    return pl.concat([pl.DataFrame(schema=MATCH), *frames])


def _one(
    posts: pl.DataFrame,
    case: Case,
    matched: Callable[[Case, Sequence[str]], set[str]],
    *,
    taken: bool,
) -> pl.DataFrame:
    rows = posts.select("uri", "root", "quoted")
    took = rows["uri"] if taken else _own(posts, case)
    asked = pl.concat([rows["root"], rows["quoted"]]).drop_nulls().unique().sort()
    # What is in the frame and matches need not be asked for; what is here and does not match may
    # still have matched by a text the store saw earlier.
    asked = asked.filter(~asked.is_in(took.implode()))
    kept = sorted(matched(case, asked.to_list())) if len(asked) else []
    stored = pl.Series(kept, dtype=pl.String)
    matching = pl.concat([took, stored]).implode()
    by_root, by_quote = (
        ((pl.col(name) != pl.col("uri")) & pl.col(name).is_in(matching)).fill_null(value=False)
        for name in ("root", "quoted")
    )
    known = pl.col("root").is_null() | pl.col("root").is_in(
        pl.concat([rows["uri"], stored]).implode()
    )
    via = (
        pl.when(taken)
        .then(pl.lit("taken"))
        .when(pl.col("uri").is_in(took.implode()))
        .then(pl.lit("own"))
        .when(by_root | by_quote)
        .then(pl.lit("thread"))
    )
    return (
        rows.with_columns(via=via, root_known=known.fill_null(value=False))
        .filter(pl.col("via").is_not_null())
        .select(
            pl.lit(case.name).alias("case"),
            "uri",
            pl.lit(case.query_hash).alias("query_hash"),
            "via",
            "root_known",
        )
    )


def _own(posts: pl.DataFrame, case: Case) -> pl.Series:
    """The uris of the posts whose own text matches."""
    necessary = case.query.necessary()
    if necessary is not None:
        # Most posts are about none of the cases; one search for the necessary words spares them
        # the query, which is a dozen searches.
        words = "|".join(sorted(necessary))
        community = pl.col("community").str.to_lowercase()
        posts = posts.filter(
            pl.col("folded").str.contains(words).fill_null(value=False)
            | community.str.contains(words).fill_null(value=False)
        )
    return posts.filter(case.query.mask(pl.col("folded")))["uri"]
