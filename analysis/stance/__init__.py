"""Stance: where a post stands toward a platform's AI policy. It is not tone.

`predict` is what others use. The shipped model is fitted to invented posts only; docs/stance.md
says how well it does, and where it fails.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from analysis.stance.features import Post
from analysis.stance.linear import Floats
from analysis.stance.model import REASONS, STANCES, Model, outcome, shipped

SCORER = "stance-1"
LANGUAGES = ("en", "fr")
# Probability from which a post counts as against, a reason is named, an exit is said. Chosen on the
# labelled real posts of docs/stance.md: there as many posts count as against as are.
AGAINST = 0.37
REASON = 0.4
EXIT = 0.5

SCHEMA = pl.Schema(
    {
        "p_on_topic": pl.Float64(),
        "p_against": pl.Float64(),
        "p_for": pl.Float64(),
        "p_neutral": pl.Float64(),
        "stance": pl.String(),
        "reasons": pl.List(pl.String),
        "exit": pl.Boolean(),
    }
)

__all__ = ["LANGUAGES", "REASONS", "SCHEMA", "SCORER", "STANCES", "predict"]


def predict(posts: pl.DataFrame, model: Model | None = None) -> pl.DataFrame:
    """Where each post stands, row by row.

    In: text, lang ("en" or "fr"; any other is read as English), title, parent (what the thread is
    called and what is answered; null where unknown), names (List of String: of the platform at
    issue; empty: any platform's policy counts). Out: SCHEMA. p_on_topic is the probability that
    the post is about the platform's AI policy, p_against, p_for and p_neutral those of what it then
    says, 0..1, adding up to p_on_topic. `stance` is against from a p_against of 0.37, else the
    likeliest of for, neutral and off; `reasons` (of REASONS) are of posts against; `exit`: the
    author left, cancelled, deleted or opted out, or calls on others to. A null text gets nulls.
    """
    known = posts["text"].is_not_null()
    read = [
        Post(
            text, title or "", parent or "", tuple(names or ()), lang if lang in LANGUAGES else "en"
        )
        for text, title, parent, names, lang in posts.filter(known)
        .select("text", "title", "parent", "names", "lang")
        .iter_rows()
    ]
    found = said((model or shipped()).scores(read))
    if known.all():
        return found
    place = pl.select(pl.when(known).then(known.cum_sum() - 1)).to_series()
    return found.select(pl.all().gather(place))


def said(scores: Floats) -> pl.DataFrame:
    """What a model's scores say, as SCHEMA."""
    p = outcome(scores)
    others = np.column_stack([p["p_for"], p["p_neutral"], 1 - p["p_on_topic"]])
    second = others.argmax(axis=1) if len(others) else np.empty(0, int)
    stance = [
        "against" if against >= AGAINST else ("for", "neutral", "off")[i]
        for against, i in zip(p["p_against"], second, strict=True)
    ]
    return pl.DataFrame(
        {
            **{name: p[name] for name in SCHEMA.names()[:4]},
            "stance": stance,
            "reasons": _reasons(p, stance),
            "exit": p["exit"] >= EXIT,
        },
        schema=SCHEMA,
    )


def _reasons(p: dict[str, Floats], stance: Sequence[str]) -> list[list[str]]:
    """The reasons of each post against; of none is sure, none."""
    return [
        [name for name in REASONS if p[name][i] >= REASON] if one == "against" else []
        for i, one in enumerate(stance)
    ]
