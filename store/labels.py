"""What people have labelled: how much there is, of which time and in which language."""

from __future__ import annotations

import polars as pl

from store.merge import Tables
from store.posts import find
from store.schema import TIME

LABELLED = pl.Schema({"case": pl.String(), "post": pl.String(), "at": TIME, "lang": pl.String()})


def labelled(tables: Tables, tone: str) -> pl.DataFrame:
    """One row for each case and post that somebody has labelled: LABELLED. `at` is the post's time,
    `lang` what the scorer `tone` took it for."""
    rows = tables.read(lambda: tables.scan("labels").select("case", "post").unique())
    if rows.is_empty():
        return pl.DataFrame(schema=LABELLED)
    placed = find(tables, rows, "day", "at")
    keys = placed.select("post", "day").lazy()
    langs = tables.read(
        lambda: (
            tables.scan("scores")
            .filter(pl.col("scorer") == tone)
            .select("post", "day", "lang")
            .join(keys, on=["post", "day"], how="semi")
        )
    ).unique("post")
    return (
        rows.join(placed.unique("post"), on="post")
        .join(langs.drop("day"), on="post", how="left")
        .select(LABELLED.names())
        .sort("case", "post")
    )
