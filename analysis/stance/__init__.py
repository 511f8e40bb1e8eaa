"""STUB, for running the rest of the program only: the real model takes its place.

A crude rule by keywords that has the interface of the model and none of its worth.
"""

from __future__ import annotations

import polars as pl

SCORER = "stance-1"
_TOPIC = r"(?i)\b(ai|ia|train(ing|ed)?|clause|terms|conditions|opt[- ]?(in|out)|upload\w*|model)\b"
_FOR = r"(?i)\b(great|love|glad|good|finally|relieved|bien|bravo|heureu\w+)\b"
_AGAINST = (
    r"(?i)\b(no|not|never|hate|theft|steal\w*|fraud|leav\w*|delet\w*|betray\w*|non|vol|pas)\b"
)
_REASONS = {
    "consent": r"(?i)consent|opt|ask|permission",
    "theft": r"(?i)theft|steal|stole|vol\b|fraud",
    "sneaky": r"(?i)quiet|sneak|hid|buried|discr",
    "privacy": r"(?i)privacy|data|priv",
    "jobs": r"(?i)\bjobs?\b|replace|emploi",
    "quality": r"(?i)slop|quality|qualit",
    "trust": r"(?i)trust|betray|confiance|lied",
}
_EXIT = r"(?i)\b(leav\w+|cancel\w*|delet\w+ my|moved? to|gone|quitt?\w*|supprim\w+)\b"


def predict(posts: pl.DataFrame) -> pl.DataFrame:
    """p_on_topic, p_against, p_for, p_neutral, stance, reasons, exit, row by row.

    In: text, lang, title, parent, names (of the case's platform).
    """
    words = pl.concat_str("text", "title", "parent", separator=" ", ignore_nulls=True)
    on = words.str.contains(_TOPIC)
    against = pl.col("text").str.contains(_AGAINST)
    favour = pl.col("text").str.contains(_FOR)
    stance = (
        pl.when(~on)
        .then(pl.lit("off"))
        .when(against)
        .then(pl.lit("against"))
        .when(favour)
        .then(pl.lit("for"))
        .otherwise(pl.lit("neutral"))
    )
    named = pl.concat_list(
        pl.when(pl.col("text").str.contains(rule)).then(pl.lit(name))
        for name, rule in _REASONS.items()
    ).list.drop_nulls()
    none = pl.lit([], pl.List(pl.String))
    return posts.select(
        stance=stance, _named=named, exit=pl.col("text").str.contains(_EXIT)
    ).select(
        p_on_topic=(pl.col("stance") != "off").cast(pl.Float64),
        p_against=(pl.col("stance") == "against").cast(pl.Float64),
        p_for=(pl.col("stance") == "for").cast(pl.Float64),
        p_neutral=(pl.col("stance") == "neutral").cast(pl.Float64),
        stance="stance",
        reasons=pl.when(pl.col("stance") == "against").then("_named").otherwise(none),
        exit="exit",
    )
