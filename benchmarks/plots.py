"""The large benchmark's figures against the size of the store, as SVG: time, memory, disk.

Small multiples on logarithmic axes, on white, to be read at the width of a page on GitHub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from benchmarks import report

BLUE, ORANGE, GREY = "#0b63a5", "#c4510a", "#777777"
MEGABYTES = [step * 10.0**power for power in range(6) for step in (1, 2, 5)]


def write(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw into `folder`; returns the files. Nothing to draw of a single size."""
    if len(report.sizes(found)) < 2:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    charts = {"time": _time(found), "memory": _memory(found), "disk": _disk(found)}
    paths = []
    for name, chart in charts.items():
        path = folder / f"performance_{name}.svg"
        path.write_text(vl_convert.vegalite_to_svg(_styled(chart).to_dict()))
        paths.append(path)
    return paths


def _frame(found: Mapping[str, Any], what: Mapping[str, str]) -> pl.DataFrame:
    """size, step, series, value: one row a point; `what` names the series of each figure."""
    rows = [
        (size, name, series, figure)
        for size in report.sizes(found)
        for name in report.names(found)
        for key, series in what.items()
        if (figure := report.figure(found, size, name, key)) is not None and figure > 0
    ]
    schema = {"size": pl.Int64, "step": pl.String, "series": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _time(found: Mapping[str, Any]) -> Any:
    rows = _frame(found, {"wall": "wall", "cpu": "CPU"})
    # What was laid down as files is no load.
    laid = [s for s in report.sizes(found) if report.figure(found, s, report.LOAD, "laid")]
    rows = rows.filter(~((pl.col("step") == report.LOAD) & pl.col("size").is_in(laid)))
    lines = _lines(rows, "seconds", [10.0**power for power in range(-4, 6)]).encode(
        color=alt.Color(
            "series:N",
            title=None,
            scale=alt.Scale(domain=["wall", "CPU"], range=[BLUE, ORANGE]),
            legend=alt.Legend(orient="top"),
        ),
        strokeDash=alt.StrokeDash(
            "series:N", title=None, scale=alt.Scale(domain=["wall", "CPU"], range=[[1, 0], [4, 3]])
        ),
    )
    return _panels(
        found, lines, rows, "Time of each operation against the size of the store, seconds"
    )


def _memory(found: Mapping[str, Any]) -> Any:
    rows = _frame(found, {"peak_mb": "peak"})
    aim = alt.Chart().mark_rule(color=GREY, strokeDash=[2, 3]).encode(y=alt.datum(1_000))
    lines = alt.layer(aim, _lines(rows, "MB", MEGABYTES).encode(color=alt.value(BLUE)))
    title = "Highest memory of each operation against the size of the store, MB (dotted: 1,000 MB)"
    return _panels(found, lines, rows, title)


def _disk(found: Mapping[str, Any]) -> Any:
    held = found["sizes"]
    rows = pl.DataFrame(
        {
            "size": report.sizes(found),
            "value": [held[str(size)]["store_mb"] for size in report.sizes(found)],
        }
    )
    lines = _lines(rows, "MB", MEGABYTES).encode(color=alt.value(BLUE))
    return lines.properties(
        data=alt.Data(values=rows.to_dicts()),
        width=330,
        height=200,
        title="Disk space of the store against its posts, MB",
    )


def _lines(rows: pl.DataFrame, unit: str, ticks: Sequence[float]) -> Any:
    held = sorted(set(rows["size"]))
    return (
        alt.Chart()
        .mark_line(point=alt.OverlayMarkDef(size=28), strokeWidth=2)
        .encode(
            x=alt.X(
                "size:Q",
                title="posts in the store",
                scale=alt.Scale(type="log", domain=[held[0], held[-1]]),
                axis=alt.Axis(values=held, format="~s"),
            ),
            y=alt.Y(
                "value:Q",
                title=unit,
                scale=alt.Scale(
                    type="log", domain=[rows["value"].min(), rows["value"].max()], nice=True
                ),
                axis=alt.Axis(values=list(ticks), format=",~r", labelOverlap=True),
            ),
        )
    )


def _panels(found: Mapping[str, Any], lines: Any, rows: pl.DataFrame, title: str) -> Any:
    return (
        lines.properties(width=170, height=110)
        .facet(
            facet=alt.Facet(
                "step:N", title=None, sort=report.names(found), header=alt.Header(labelFontSize=12)
            ),
            columns=4,
            data=alt.Data(values=rows.to_dicts()),
        )
        .properties(title=title)
    )


def _styled(chart: Any) -> Any:
    return (
        chart.configure(background="white", font="sans-serif", padding=12)
        .configure_axis(labelFontSize=11, titleFontSize=11, gridColor="#e6e6e6")
        .configure_title(fontSize=15, anchor="start", offset=14)
        .configure_legend(labelFontSize=12)
    )
