"""Why posts are against, over time: a row of small bars for each reason, all on one scale.

One chart with a lane a reason in place of one chart each: it is drawn once, and read as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from dashboard.charts import (
    Base,
    Spec,
    edge_layer,
    edges_of,
    gap_layers,
    labelled_stretches,
    moment_field,
    number_field,
    spec_of,
    utc_field,
)
from dashboard.palette import Palette
from dashboard.stance_words import reason_name

LANE = 34  # pixels
FILLED = 0.84  # of a lane, by the highest bar of all


def reasons(frame: pl.DataFrame, *, absent: pl.DataFrame, colours: Palette) -> Spec:
    """Posts against by reason and bucket. In: `dashboard.stance.reasons` with at least one post in
    it, and a GAPS frame. The first reason is on top. Counts are posts; a post may give several."""
    order = frame["reason"].unique(maintain_order=True).to_list()
    highest = max(frame["count"].max() or 1, 1)
    lane = {name: len(order) - 1 - place for place, name in enumerate(order)}
    span = (frame["start"].min(), frame["stop"].max())
    base = Base(colours)
    width = int((frame["stop"][0] - frame["start"][0]).total_seconds() * 0.88)
    bars = (
        frame.filter(pl.col("count") > 0)
        .with_columns(
            edge=pl.col("start") + timedelta(seconds=width),
            bottom=pl.col("reason").replace_strict(lane, return_dtype=pl.Float64),
            name=pl.col("reason").replace_strict({name: reason_name(name) for name in order}),
        )
        .with_columns(top=pl.col("bottom") + FILLED * pl.col("count") / highest)
        .select("start", "edge", "bottom", "top", "name", "count", "against")
    )
    gaps = labelled_stretches(absent, span, "no {} data")  # type: ignore[arg-type]
    bar: Spec = {
        "data": {"name": "bars"},
        "transform": [utc_field("start")],
        "mark": {"type": "rect", "color": colours.negative},
        "encoding": {
            "x": base.x("start"),
            "x2": {"field": "edge"},
            "y": base.y("bottom"),
            "y2": {"field": "top"},
            "tooltip": [
                {"field": "name", "type": "nominal", "title": "Reason"},
                moment_field("start", "From (UTC)"),
                number_field("count", "Posts giving it"),
                number_field("against", "Posts against"),
            ],
        },
    }
    floors: Spec = {
        "data": {"values": [{"floor": place} for place in range(len(order))]},
        "mark": {"type": "rule", "color": colours.grid, "strokeWidth": 1},
        "encoding": {"y": {"field": "floor", "type": "quantitative"}},
    }
    layers = [
        edge_layer(base, span, _axis(order, totals(frame))),  # type: ignore[arg-type]
        *gap_layers(base, gaps, named=False),
        floors,
        bar,
    ]
    edges = edges_of(span, (0.0, float(len(order))))  # type: ignore[arg-type]
    datasets = {"edges": edges, "bars": bars, "gaps": gaps}
    return spec_of(layers, datasets, colours, height=LANE * len(order) + 28)


def totals(frame: pl.DataFrame) -> dict[str, int]:
    """Posts by reason over the window, in order. In: `dashboard.stance.reasons`."""
    return dict(frame.select("reason", "total").unique(maintain_order=True).iter_rows())


def _axis(order: Sequence[str], counts: Mapping[str, int]) -> dict[str, Any]:
    """The lanes by name and total, from the lowest up; the expression holds no text but ours."""
    names = [f"{reason_name(name)} {counts[name]:,}" for name in reversed(order)]
    listed = ", ".join(f"'{name}'" for name in names)
    return {
        "grid": False,
        # Without it Vega wants one name in 40 pixels, and leaves out every other one.
        "tickCount": len(order),
        "values": [place + 0.4 for place in range(len(order))],
        "labelExpr": f"[{listed}][floor(datum.value)]",
    }
