"""The backlash index and what stands with it: figures of stance as tables, beside those of tone.

Figures are made of languages whose stance may have any (`calibration.languages`); of French, counts
stand beside them. Nothing here knows how a stance was found (`stance`) or draws it (`dashboard`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import polars as pl

from analysis.calibration import FRENCH
from analysis.cells import REASONS
from analysis.series import HEADLINE, weights
from analysis.table import STANDARDISED, series_table

# A column of the exported series -> what it is in a table of stance cells.
COLUMNS = {
    "looked": "n_looked",
    "on_topic": "n",
    "against": "n_neg",
    "for": "n_pos",
    "neutral": "n_neu",
    "backlash_index": "balance",
    "backlash_index_lo": "balance_lo",
    "backlash_index_hi": "balance_hi",
    "against_share": "neg_share",
    "against_lo": "neg_lo",
    "against_hi": "neg_hi",
    "for_share": "pos_share",
    "for_lo": "pos_lo",
    "for_hi": "pos_hi",
    "exit": "n_exit",
    **{f"reason_{reason}": f"r_{reason}" for reason in REASONS},
}
COUNTED = ("looked", "on_topic", "against", "for", "neutral", "exit")
FRENCH_COLUMNS = {"fr_looked": "n_looked", "fr_on_topic": "n"}
_KEY = ("source", "start")


def table(
    cells: pl.DataFrame,
    spans: pl.DataFrame,
    *,
    width: str,
    langs: Collection[str],
    sources: Collection[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """`series_table` of stance: `balance` is the backlash index in points, against minus for among
    posts on topic; up is worse. n_looked, n_off, n_exit and r_... stand behind its columns.

    In: cells of a case's stance in all languages; those of `langs` are in the figures. A platform
    is missing where it holds nothing in any language.
    """
    return series_table(
        cells,
        spans,
        width=width,
        sources=sources,
        langs=langs,
        since=since,
        until=until,
        fixed=weights(cells.filter(pl.col("lang").is_in(list(langs)))),
        stance=True,
    )


def beside(
    tone: pl.DataFrame,
    cells: pl.DataFrame,
    spans: pl.DataFrame,
    *,
    width: str,
    figured: Collection[str],
    note: str,
    langs: Collection[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """The series of tone with that of stance beside it, row by row: COLUMNS, FRENCH_COLUMNS and
    `stance_note`, all null where no stance has been scored.

    In: `series_table` of tone and what `table` takes; `figured` are the languages of which there
    are figures, `langs` those asked for (None: all), `note` what stands with every such figure.
    """
    empty = [pl.lit(None, pl.Int64).alias(name) for name in (*COLUMNS, *FRENCH_COLUMNS)]
    if cells.is_empty():
        return tone.with_columns(*empty, stance_note=pl.lit(None, pl.String))
    wanted = [lang for lang in figured if langs is None or lang in langs]
    sources = tone["source"].unique().to_list()
    made = table(cells, spans, width=width, langs=wanted, sources=sources, since=since, until=until)
    if made.is_empty():
        figures = tone.select(_KEY).with_columns(empty[: len(COLUMNS)])
    else:
        figures = made.select(*_KEY, **COLUMNS)
    french = _french(cells, width, sources, langs)
    rows = tone.join(figures, on=_KEY, how="left", maintain_order="left").join(
        french, on=_KEY, how="left", maintain_order="left"
    )
    counts = [*COUNTED, *FRENCH_COLUMNS, *(f"reason_{reason}" for reason in REASONS)]
    # A standardised row has no counts but n, as of tone.
    own = pl.col("source") != STANDARDISED
    return rows.with_columns(
        *(pl.when(own).then(pl.col(name).fill_null(0)).alias(name) for name in counts),
        stance_note=pl.lit(note),
    )


def french_counts(cells: pl.DataFrame) -> tuple[int, int]:
    """How many French posts are on topic by the model, of how many it has looked at."""
    found = cells.filter(pl.col("lang") == FRENCH, pl.col("via").is_in(HEADLINE))
    return int(found["n"].sum()), int(found["n_looked"].sum())


def _french(
    cells: pl.DataFrame, width: str, sources: Collection[str], langs: Collection[str] | None
) -> pl.DataFrame:
    """source (and `all`), start and FRENCH_COLUMNS."""
    rows = cells.filter(
        pl.col("width") == width,
        pl.col("lang") == FRENCH,
        pl.lit(langs is None or FRENCH in langs),
        pl.col("via").is_in(HEADLINE),
        pl.col("source").is_in(list(sources)),
    )
    each = rows.group_by(_KEY).agg(
        **{name: pl.col(column).sum() for name, column in FRENCH_COLUMNS.items()}
    )
    pooled = (
        each.group_by("start")
        .agg(pl.col(*FRENCH_COLUMNS).sum())
        .select(pl.lit("all").alias("source"), "start", *FRENCH_COLUMNS)
    )
    return pl.concat([each, pooled])
