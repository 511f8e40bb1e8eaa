"""Stance of posts toward a case's platform: who is looked at, and rows of the scores table.

What makes a stance of a text is `analysis.stance`; series are made of the rows in `analysis.cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import polars as pl

from analysis import stance, tone

SCORER = stance.SCORER
LANGUAGES = ("en", "fr")
Predict = Callable[[pl.DataFrame], pl.DataFrame]

_FOUND = ("stance", "p_against", "p_on_topic", "reasons", "exit")


def score(
    posts: pl.DataFrame,
    *,
    case: str,
    names: Sequence[str],
    markers: Collection[str],
    predict: Predict | None = None,
) -> pl.DataFrame:
    """Rows of the scores table, one for each post, in order, so that the work list ends.

    In: post, day, author, text, langs (declared), lang (detected, null where nobody has looked),
    title and parent (texts, null where unknown), input_hash. `names` are those of the case's
    platform, `markers` as in `tone.score`. Out: tone.SCHEMA with this case; stance (against, for,
    neutral, off), p_against and p_on_topic (0..1), reasons and exit where status is `scored`. The
    statuses are those of tone: `marker`, `language` (neither English nor French), `scored`.
    """
    text = pl.when(~tone.is_gone()).then("text")
    looked = posts.with_columns(text, marker=tone.is_marker(markers))
    looked = looked.with_columns(lang=tone.languages(looked)).with_columns(
        status=pl.when("marker")
        .then(pl.lit("marker"))
        .when(~pl.col("lang").is_in(LANGUAGES))
        .then(pl.lit("language"))
        .otherwise(pl.lit("scored"))
    )
    judged = looked.with_row_index("_row").filter(pl.col("status") == "scored")
    given = judged.select(
        "text", "lang", "title", "parent", names=pl.lit(list(names), pl.List(pl.String))
    )
    # A model need not be asked about nothing.
    found = (predict or stance.predict)(given) if given.height else None
    if found is None:
        said = looked.with_columns(pl.lit(None, tone.SCHEMA[name]).alias(name) for name in _FOUND)
    else:
        said = (
            looked.with_row_index("_row")
            .join(
                judged.select("_row").hstack(found.select(_FOUND)),
                on="_row",
                how="left",
                maintain_order="left",
            )
            .drop("_row")
        )
    rows = said.with_columns(
        case=pl.lit(case),
        scorer=pl.lit(SCORER),
        python=pl.lit(tone.PYTHON),
        scored_at=pl.lit(datetime.now(UTC)),
    )
    return rows.select(
        (pl.col(name) if name in rows.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in tone.SCHEMA.items()
    )
