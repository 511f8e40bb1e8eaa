"""Posts of a case with what they answer, for a scorer that reads a post in its thread.

Says which posts wait and what stands around them; what to make of it is the scorer's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256

import polars as pl

from store import lookup
from store.merge import Tables, holds
from store.schema import TEXT_OF_INPUT

MATCHES_AT_ONCE = 50_000
TEXTS_AT_ONCE = 20_000  # a comment comes with the text of what it answers
HASHED = 12  # hex digits of a hash that tell whether a context has changed
TITLE = 300  # characters; Reddit's longest, and a whole post of Bluesky
GIVEN = ("post", "day", "author", "text", "langs", "lang", "title", "parent", "input_hash")


def work(
    tables: Tables,
    *,
    case: str,
    query_hash: str,
    scorer: str,
    tone: str,
    names: Sequence[str],
    rescore: bool,
) -> Iterator[pl.DataFrame]:
    """See `Store.work_in_context`."""
    about = sha256("\0".join(names).encode()).hexdigest()[:8]
    for days in lookup.portions(tables, "matches", MATCHES_AT_ONCE):
        kept = holds(days)
        found = tables.read(partial(_matched, tables, kept, case, query_hash))
        if found.is_empty():
            continue
        found = _with_input(tables, found, about)
        if not rescore:
            seen = tables.read(partial(_seen, tables, kept, case, scorer))
            found = found.join(seen, on=["post", "input_hash"], how="anti")
        for part in found.iter_slices(TEXTS_AT_ONCE):
            yield _with_texts(tables, part, tone)


def _matched(tables: Tables, kept: pl.Expr, case: str, query_hash: str) -> pl.LazyFrame:
    """post, day, text_hash, root, parent of the live posts of a case, in whichever way matched."""
    matched = tables.scan("matches").filter(
        kept, pl.col("case") == case, pl.col("query_hash") == query_hash
    )
    other = pl.col("root") != pl.col("post")
    return (
        tables.scan("posts")
        .filter(kept, pl.col("state") == "live")
        # What a post quotes is what it answers, as far as it answers nothing else.
        .select("post", "day", "text_hash", "root", parent=pl.coalesce("parent", "quoted"))
        .with_columns(root=pl.when(other).then("root"))
        .join(matched.select("post", "day").unique(), on=["post", "day"], how="semi")
    )


def _seen(tables: Tables, kept: pl.Expr, case: str, scorer: str) -> pl.LazyFrame:
    return (
        tables.scan("scores")
        .filter(kept, pl.col("scorer") == scorer, pl.col("case") == case)
        .select("post", "input_hash")
    )


def _with_input(tables: Tables, found: pl.DataFrame, about: str) -> pl.DataFrame:
    """Adds `input_hash`: the hash of the post's text, then parts of those of its context.

    A context that comes, changes or goes (deleted, or its account inactive) makes another one.
    """
    hashes = _around(tables, found, "text_hash").select(
        "post", of=pl.col("text_hash").str.head(HASHED)
    )
    return (
        found.join(hashes.rename({"of": "_root"}), left_on="root", right_on="post", how="left")
        .join(hashes.rename({"of": "_parent"}), left_on="parent", right_on="post", how="left")
        .with_columns(
            input_hash=pl.concat_str(
                "text_hash",
                pl.lit(about),
                pl.col("_root", "_parent").fill_null(""),
                separator=":",
            )
        )
        .drop("_root", "_parent")
    )


def _with_texts(tables: Tables, part: pl.DataFrame, tone: str) -> pl.DataFrame:
    days = holds(part["day"].unique().to_list())
    keys = part.select("post", "text_hash").lazy()

    def own() -> pl.LazyFrame:
        # A text that was edited a moment ago is left to the next run.
        posts = tables.scan("posts").filter(days, pl.col("state") == "live")
        return posts.select("post", "author", "text", "langs", "text_hash").join(
            keys, on=["post", "text_hash"], how="semi"
        )

    def langs() -> pl.LazyFrame:
        scores = tables.scan("scores").filter(days, pl.col("scorer") == tone)
        return scores.select("post", "lang", text_hash=TEXT_OF_INPUT).join(
            keys, on=["post", "text_hash"], how="semi"
        )

    around = _around(tables, part, "text").unique("post")
    titles = around.select(
        "post", title=pl.col("text").str.strip_chars().str.extract(r"^([^\n]+)").str.head(TITLE)
    )
    return (
        part.join(tables.read(own).unique("post"), on=["post", "text_hash"])
        .join(tables.read(langs).unique("post"), on=["post", "text_hash"], how="left")
        .join(titles, left_on="root", right_on="post", how="left")
        .drop("root")
        .join(around.select("post", _parent="text"), left_on="parent", right_on="post", how="left")
        .with_columns(parent="_parent")
        .select(GIVEN)
    )


def _around(tables: Tables, found: pl.DataFrame, column: str) -> pl.DataFrame:
    """`column` of the live posts that these hang on: post, column."""
    keys = pl.concat([found["root"], found["parent"]]).drop_nulls().unique().alias("post")
    if keys.is_empty():
        return pl.DataFrame(schema={"post": pl.String, column: pl.String})
    where = lookup.somewhere(tables, keys)
    return tables.read(
        lambda: (
            tables.scan("posts")
            .filter(where, pl.col("state") == "live")
            .select("post", column)
            .join(keys.to_frame().lazy(), on="post", how="semi")
        )
    ).unique("post")
