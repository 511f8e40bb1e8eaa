"""The charts as plain Vega-Lite dictionaries for `st.vega_lite_chart`: frames in, dictionaries out.

Plain because building and validating Altair objects took twelve times the CPU of a rerun. Nothing
here reads the store, and no text of a post ever enters a chart. Up is worse in every one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

import polars as pl

from cases.case import Event
from dashboard.palette import Palette
from dashboard.stance_words import INDEX_NAME
from dashboard.words import BALANCE, INDEX, NAMES, NEGATIVE

Spec = dict[str, Any]

# A null ends a line or an area; the other modes of Vega-Lite run on to the next value.
BREAK = {"invalid": "break-paths-show-domains"}
SIGNED = (
    "datum.value > 0 ? '+' + format(datum.value, ',')"
    " : datum.value < 0 ? '\u2212' + format(-datum.value, ',') : '0'"
)
UNSIGNED = "format(abs(datum.value), ',')"
AXES: dict[str, Spec] = {
    BALANCE: {"tickCount": 5, "labelExpr": SIGNED},
    NEGATIVE: {"tickCount": 5, "labelExpr": "datum.value + ' %'"},
    INDEX: {"tickCount": 5, "labelExpr": SIGNED},
}
TOOLTIPS = {
    BALANCE: ("Tone balance (VADER)", "+.1f"),
    NEGATIVE: ("Negative share, %", ".1f"),
    INDEX: (INDEX_NAME, "+.1f"),
}
# What up, down, between and all of them are called in the chart of volume, and n in the tooltips.
TONE_SIDES = ("Negative", "Positive", "Neutral", "Posts scored")
STANCE_SIDES = ("Against", "For", "Neutral", "Posts on topic")
DRAWN = (
    "start",
    "middle",
    "stop",
    "run",
    "shown",
    "whole",
    "dotted",
    "alone",
    "above",
    "below",
    "low",
    "high",
    "n",
    "note",
)
MOST_LABELS = 3  # gaps and late stretches named in the chart; all of them are listed below it


def over_time(
    frame: pl.DataFrame,
    *,
    absent: pl.DataFrame,
    late: pl.DataFrame,
    events: Sequence[Event],
    colours: Palette,
    standardised: pl.DataFrame | None = None,
    measure: str = BALANCE,
) -> Spec:
    """One measure of tone or stance over time, with band, gaps and numbered events.

    In: `dashboard.buckets.plotted`, GAPS and STRETCH frames of the sources shown, the events inside
    the window in the order of their numbers, and `dashboard.buckets.standardised`. Balance in
    points. Each bucket stands at its middle: at its start, a day would seem to precede the event
    that moved it.
    """
    domain = domain_of(frame)
    base = Base(colours)
    datasets = {
        "edges": edges_of(domain, shared_scale([frame, *_ranges(standardised)], measure)),
        "buckets": frame.select(DRAWN),
        "gaps": labelled_stretches(absent, domain, "no {} data"),
        "late": labelled_stretches(late, domain, "{}: collected afterwards"),
        "events": _numbered(events, domain),
    }
    layers = [
        edge_layer(base, domain, AXES[measure]),
        *gap_layers(base, datasets["gaps"], named=True),
        *_event_rules(base, datasets["events"]),
        *(_standardised_layers(base) if standardised is not None else []),
        *_series_layers(base, frame, colours.ink, "point", measure),
        *(_event_numbers(base) if events else []),
        *_late_layers(base, datasets["late"], named=True),
    ]
    if standardised is not None:
        datasets["standardised"] = standardised.select("middle", "run", standardised="balance")
    return spec_of(layers, datasets, colours, height=280)


def volume(
    frame: pl.DataFrame, *, absent: pl.DataFrame, colours: Palette, measure: str = BALANCE
) -> Spec:
    """Posts per bucket: negative ones up, positive ones down, their difference as a line; of the
    measure INDEX those against and for.

    In: `dashboard.buckets.plotted` and a GAPS frame. All in posts, on one axis. The brush `span`
    selects along `start`.
    """
    base = Base(colours)
    up, down, between, _ = STANCE_SIDES if measure == INDEX else TONE_SIDES
    # A hair of page between the bars, as part of the bucket, at any width.
    seconds = int((frame["stop"][0] - frame["start"][0]).total_seconds() * 0.88)
    bars = frame.select(
        "start",
        "middle",
        "n",
        "n_neg",
        "n_pos",
        "n_neu",
        "n_not_scored",
        "note",
        edge=pl.col("start") + timedelta(seconds=seconds),
        down=-pl.col("n_pos"),
        net=pl.col("n_neg") - pl.col("n_pos"),
    )
    tooltip = [
        moment_field("start", "From (UTC)"),
        number_field("n_neg", up),
        number_field("n_pos", down),
        number_field("n_neu", between),
        number_field("n_not_scored", "Not scored"),
        {"field": "note", "type": "nominal", "title": "Collection"},
    ]
    axis = {"tickCount": 5, "labelExpr": UNSIGNED, "tickMinStep": 1}

    def bar(column: str, colour: str) -> Spec:
        return {
            "data": {"name": "buckets"},
            "transform": [utc_field("start")],
            "mark": {"type": "rect", "color": colour},
            "encoding": {
                "x": base.x("start"),
                "x2": {"field": "edge"},
                "y": base.y(column),
                "y2": {"datum": 0},
                "tooltip": tooltip,
            },
        }

    def net(colour: str, thickness: float) -> Spec:
        return {
            "data": {"name": "buckets"},
            "mark": {"type": "line", "color": colour, "strokeWidth": thickness, **BREAK},
            "encoding": {"x": base.x("middle"), "y": base.y("net")},
        }

    negative = bar("n_neg", colours.negative)
    negative["params"] = [
        {
            "name": "span",
            "select": {
                "type": "interval",
                "encodings": ["x"],
                "mark": {"fill": colours.ink, "fillOpacity": 0.12, "stroke": colours.ink},
            },
        }
    ]
    gaps = labelled_stretches(absent, domain_of(frame), "no {} data")
    layers = [
        edge_layer(base, domain_of(frame), axis),
        *gap_layers(base, gaps, named=False),
        negative,
        bar("down", colours.positive),
        _zero(colours),
        net(colours.page, 4.5),
        net(colours.ink, 2),
        # Above the bars, which can reach any corner.
        _corner(f"\u25b2 {up} posts", colours.negative, right=115),
        _corner(f"\u25bc {down} posts", colours.positive),
    ]
    edges = edges_of(domain_of(frame), (0.0, 0.0))
    return spec_of(layers, {"edges": edges, "buckets": bars, "gaps": gaps}, colours, height=226)


def platform(
    frame: pl.DataFrame,
    source: str,
    *,
    absent: pl.DataFrame,
    late: pl.DataFrame,
    scale: tuple[float, float],
    colours: Palette,
    measure: str = BALANCE,
) -> Spec:
    """One platform's tone balance or negative share, small, on the `shared_scale` of all."""
    domain = domain_of(frame)
    base = Base(colours)
    datasets = {
        "edges": edges_of(domain, scale),
        "buckets": frame.select(DRAWN),
        "gaps": labelled_stretches(absent, domain, "no {} data"),
        "late": labelled_stretches(late, domain, "{}: collected afterwards"),
    }
    layers = [
        edge_layer(base, domain, AXES[measure]),
        *gap_layers(base, datasets["gaps"], named=False),
        *_series_layers(base, frame, colours.platform(source), f"point_{source}", measure),
        *_late_layers(base, datasets["late"], named=False),
    ]
    return spec_of(layers, datasets, colours, height=92)


def shared_scale(frames: Sequence[pl.DataFrame], measure: str = BALANCE) -> tuple[float, float]:
    """Lowest and highest value to show, in tens: for the balance never nearer to zero than -20 and
    +40 points, for the negative share from 0 to at least 40 %."""
    low = min((_least(frame["low"]) for frame in frames), default=0.0)
    high = max((_most(frame["high"]) for frame in frames), default=0.0)
    bottom = 0.0 if measure == NEGATIVE else min(-20.0, 10 * (low // 10))
    return bottom, max(40.0, -10 * (-high // 10))


class Base:
    """The encodings that the layers of one chart share."""

    def __init__(self, colours: Palette) -> None:
        self.colours = colours

    def x(self, field: str, **more: Any) -> Spec:
        """Time in UTC. Only the edge layer says an axis."""
        scale = {"type": "utc", "nice": False}
        return {"field": field, "type": "temporal", "title": None, "scale": scale, **more}

    def y(self, field: str, **more: Any) -> Spec:
        """A number: points in the charts of balance, posts in the one of volume."""
        scale = {"nice": False}
        return {"field": field, "type": "quantitative", "title": None, "scale": scale, **more}


def edges_of(domain: tuple[datetime, datetime], scale: tuple[float, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"at": domain, "value": scale},
        schema={"at": pl.Datetime("us", "UTC"), "value": pl.Float64},
    )


def edge_layer(base: Base, domain: tuple[datetime, datetime], y_axis: Spec) -> Spec:
    """Two unseen points that span the axes. A `domain` said outright is a conflict to Vega as soon
    as a chart has layers, and fills the console."""
    axis = {
        "grid": False,
        "tickCount": 8,
        "labelFlush": True,
        "labelOverlap": True,
        "format": _time_format(domain),
    }
    return {
        "data": {"name": "edges"},
        "mark": {"type": "point", "opacity": 0, "tooltip": None},
        "encoding": {
            "x": base.x("at", axis=axis),
            "y": base.y("value", axis=y_axis),
        },
    }


def _series_layers(
    base: Base, frame: pl.DataFrame, colour: str, point: str, measure: str
) -> list[Spec]:
    """The balance of the buckets, then what the pointer finds; `point` names its selection.

    Layers without a value are left out: Vega warns of a field that is null throughout.
    """
    colours = base.colours
    layers = []
    if frame["shown"].count():
        layers += [
            _path(base, "area", "above", color=colours.negative, opacity=0.22),
            _path(base, "area", "below", color=colours.positive, opacity=0.22),
            _path(base, "area", "low", to="high", color=colours.muted, opacity=0.38),
        ]
    layers.append(_zero(colours))
    if frame["whole"].count():
        layers.append(_path(base, "line", "whole", color=colour, strokeWidth=2.2))
    if frame["dotted"].count():
        dots: Spec = {"strokeWidth": 1.6, "strokeDash": [2, 3]}
        layers.append(_path(base, "line", "dotted", color=colour, **dots))
    if frame["alone"].count():
        layers += _alone_layers(base, colour)
    return layers + _hover_layers(base, frame, colour, point, measure)


def _path(base: Base, mark: str, field: str, to: str | None = None, **style: Any) -> Spec:
    """A line or an area through the buckets, one for each run, broken at nulls."""
    encoding = {
        "x": base.x("middle"),
        "y": base.y(field, stack=None) if mark == "area" else base.y(field),
        "detail": {"field": "run", "type": "ordinal"},
    }
    if mark == "area":
        encoding["y2"] = {"field": to} if to else {"datum": 0}
    return {
        "data": {"name": "buckets"},
        "mark": {"type": mark, "strokeJoin": "round", **style, **BREAK},
        "encoding": encoding,
    }


def _alone_layers(base: Base, colour: str) -> list[Spec]:
    """A bucket between two empty ones is no line: its point and its band."""
    here: Spec = {
        "data": {"name": "buckets"},
        "transform": [{"filter": "isValid(datum.alone)"}],
    }
    band = {"type": "rule", "color": base.colours.muted, "opacity": 0.6, "strokeWidth": 3}
    dot = {"type": "point", "filled": True, "color": colour, "size": 26, "opacity": 1}
    middle = base.x("middle")
    return [
        here
        | {"mark": band, "encoding": {"x": middle, "y": base.y("low"), "y2": {"field": "high"}}},
        here | {"mark": dot, "encoding": {"x": middle, "y": base.y("alone")}},
    ]


def _hover_layers(
    base: Base, frame: pl.DataFrame, colour: str, point: str, measure: str
) -> list[Spec]:
    title, form = TOOLTIPS[measure]
    buckets: Spec = {"data": {"name": "buckets"}}
    hovered: Spec = {"param": point, "empty": False}
    noise = (
        "isValid(datum.shown)"
        f" ? format(datum.low, '{form}') + ' to ' + format(datum.high, '{form}') : ''"
    )
    nearest = {
        "type": "point",
        "nearest": True,
        "on": "pointermove",
        "clear": "pointerout",
        "fields": ["start"],
    }
    rule = buckets | {
        "transform": [utc_field("start"), {"calculate": noise, "as": "noise"}],
        "params": [{"name": point, "select": nearest}],
        "mark": {"type": "rule", "color": base.colours.muted},
        "encoding": {
            "x": base.x("middle"),
            "opacity": {"condition": hovered | {"value": 0.8}, "value": 0},
            "tooltip": [
                moment_field("start", "From (UTC)"),
                {**number_field("shown", title), "format": form},
                {"field": "noise", "type": "nominal", "title": "Sampling noise only"},
                number_field("n", (STANCE_SIDES if measure == INDEX else TONE_SIDES)[-1]),
                {"field": "note", "type": "nominal", "title": "Collection"},
            ],
        },
    }
    dot = {
        "type": "point",
        "filled": True,
        "size": 70,
        "color": colour,
        "stroke": base.colours.page,
        "strokeWidth": 1.5,
    }
    shown = buckets | {
        "mark": dot,
        "encoding": {
            "x": base.x("middle"),
            "y": base.y("shown"),
            "opacity": {"condition": hovered | {"value": 1}, "value": 0},
        },
    }
    return [rule, shown] if frame["shown"].count() else [rule]


def _standardised_layers(base: Base) -> list[Spec]:
    colour = base.colours.standardised
    return [
        {
            "data": {"name": "standardised"},
            "mark": {"type": "line", "color": colour, "strokeWidth": 1.5, **BREAK},
            "encoding": {
                "x": base.x("middle"),
                "y": base.y("standardised"),
                "detail": {"field": "run", "type": "ordinal"},
            },
        },
        _corner("platform-standardised (thin line)", colour, y=6),
    ]


def gap_layers(base: Base, gaps: pl.DataFrame, *, named: bool) -> list[Spec]:
    if gaps.is_empty():  # an empty dataset has no extent, and Vega warns of it
        return []
    tooltip = [
        {"field": "label", "type": "nominal", "title": "Gap"},
        moment_field("start", "From (UTC)"),
        moment_field("end", "To (UTC)"),
        {"field": "reason", "type": "nominal", "title": "Why"},
    ]
    shade: Spec = {
        "data": {"name": "gaps"},
        "transform": [utc_field("start"), utc_field("end")],
        "mark": {"type": "rect", "color": base.colours.gap},
        "encoding": {"x": base.x("start"), "x2": {"field": "end"}, "tooltip": tooltip},
    }
    return [shade, *(_labels(base, "gaps", gaps, "label", 10) if named else [])]


def _late_layers(base: Base, late: pl.DataFrame, *, named: bool) -> list[Spec]:
    if late.is_empty():
        return []
    bar: Spec = {
        "data": {"name": "late"},
        "transform": [utc_field("start"), utc_field("end")],
        "mark": {"type": "rect", "color": base.colours.late},
        "encoding": {
            "x": base.x("start"),
            "x2": {"field": "end"},
            "y": {"value": {"expr": "height - 3"}},
            "y2": {"value": {"expr": "height"}},
            "tooltip": [
                {"field": "label", "type": "nominal", "title": "Survivors only"},
                moment_field("start", "From (UTC)"),
                moment_field("end", "To (UTC)"),
            ],
        },
    }
    return [bar, *(_labels(base, "late", late, None, 26) if named else [])]


def _labels(
    base: Base, dataset: str, frame: pl.DataFrame, field: str | None, above: int
) -> list[Spec]:
    """Names beside stretches: to the right of their start, or to the left of it near the edge."""
    return [
        {
            "data": {"name": dataset},
            "transform": [{"filter": f"datum.side === '{side}'"}],
            "mark": {
                "type": "text",
                "align": side,
                "baseline": "middle",
                "dx": 4 if side == "left" else -4,
                "fontSize": 11,
                "color": base.colours.muted,
            },
            "encoding": {
                "x": base.x("place"),
                "y": {"value": {"expr": f"height - {above}"}},
                "text": {"field": field, "type": "nominal"}
                if field
                else {"value": "collected afterwards"},
            },
        }
        for side in ("left", "right")
        if (frame["side"] == side).any()
    ]


def _event_rules(base: Base, events: pl.DataFrame) -> list[Spec]:
    """A dashed line at an event whose day is known; a bar over the month of one whose day is not:
    a line would claim a day that nobody has stated."""
    tooltip = _event_tooltip()
    line = {"type": "rule", "color": base.colours.muted, "strokeDash": [3, 3]}
    bar = {"type": "rule", "color": base.colours.ink, "strokeWidth": 3}
    height: Spec = {"field": "y", "type": "quantitative", "scale": None}
    layers = {
        "moments": {"mark": line, "encoding": {"x": base.x("at"), "tooltip": tooltip}},
        "months": {
            "mark": bar,
            "encoding": {
                "x": base.x("since"),
                "x2": {"field": "until"},
                "y": height,
                "tooltip": tooltip,
            },
        },
    }
    keep = {"moments": "!isValid(datum.since)", "months": "isValid(datum.since)"}
    wanted = {"moments": events["since"].is_null(), "months": events["since"].is_not_null()}
    return [
        {"data": {"name": "events"}, "transform": [{"filter": keep[name]}], **layer}
        for name, layer in layers.items()
        if wanted[name].any()
    ]


def _event_numbers(base: Base) -> list[Spec]:
    place: Spec = {"x": base.x("at"), "y": {"field": "y", "type": "quantitative", "scale": None}}
    disc = {"type": "point", "filled": True, "size": 300, "color": base.colours.ink, "opacity": 1}
    number = {"type": "text", "fontSize": 11, "fontWeight": "bold", "color": base.colours.page}
    events: Spec = {"data": {"name": "events"}}
    return [
        events | {"mark": disc, "encoding": place | {"tooltip": _event_tooltip()}},
        events
        | {
            "mark": number,
            "encoding": place
            | {"text": {"field": "number", "type": "nominal"}, "tooltip": _event_tooltip()},
        },
    ]


def _event_tooltip() -> list[Spec]:
    return [
        {"field": "title", "type": "nominal", "title": "Event"},
        {"field": "when", "type": "nominal", "title": "When"},
    ]


def _numbered(events: Sequence[Event], domain: tuple[datetime, datetime]) -> pl.DataFrame:
    """number, at, since, until, title, when, row, y: those that would touch stand above each other.

    `since` and `until` are the part of its month inside the chart for an event whose day is not
    known, and `at` the middle of it; null for the others.
    """
    near = (domain[1] - domain[0]) * 0.03
    ends: list[datetime] = []  # of each row: up to where it is taken
    rows = []
    for number, event in enumerate(events, start=1):
        since = until = None
        at = event.date
        if event.precision == "month":
            since = max(event.date, domain[0])
            until = min(datetime.combine(event.last, time.max, UTC), domain[1])
            at = since + (until - since) / 2
        first, last = since or at, (until or at) + near
        row = next((i for i, end in enumerate(ends) if end <= first), len(ends))
        ends[row : row + 1] = [last]
        rows.append(
            {
                "number": str(number),
                "at": at,
                "since": since,
                "until": until,
                "title": event.title,
                "when": event.when,
                "row": row,
                "y": -12.0 - 20 * row,
            }
        )
    moment = pl.Datetime("us", "UTC")
    schema: dict[str, pl.DataType] = {
        "number": pl.String(),
        "at": moment,
        "since": moment,
        "until": moment,
        "title": pl.String(),
        "when": pl.String(),
        "row": pl.Int64(),
        "y": pl.Float64(),
    }
    return pl.DataFrame(rows, schema=schema)


def labelled_stretches(
    stretches: pl.DataFrame, domain: tuple[datetime, datetime], words: str
) -> pl.DataFrame:
    """The stretches with their label, and for the few that are named the side it stands on.

    The longest are named, and of two near each other only one, so that no labels collide.
    """
    span = domain[1] - domain[0]
    frame = (
        stretches.group_by(pl.exclude("source"), maintain_order=True)
        .agg(label=pl.col("source").replace(NAMES).sort().str.join(" and "))
        .with_columns(label=pl.format(words, "label"))
        .sort(pl.col("end") - pl.col("start"), descending=True)
    )
    early = domain[0] + 0.75 * span
    taken: list[datetime] = []
    sides: list[str] = []
    places: list[datetime] = []
    for start, end in frame.select("start", "end").iter_rows():
        inside = end - start > 0.25 * span  # wide enough for its label
        apart = all(abs(start - other) > 0.25 * span for other in taken)
        if len(taken) == MOST_LABELS or not apart or end - start < 0.005 * span:
            sides.append("")
        else:
            taken.append(start)
            sides.append("left" if inside or end < early else "right")
        places.append(start if inside or end >= early else end)
    return frame.with_columns(
        side=pl.Series(sides, dtype=pl.String),
        place=pl.Series(places, dtype=pl.Datetime("us", "UTC")),
    )


def spec_of(
    layers: list[Spec],
    datasets: dict[str, pl.DataFrame],
    colours: Palette,
    *,
    height: int,
) -> Spec:
    return {
        "layer": layers,
        "height": height,
        "padding": {"top": 8, "left": 0, "right": 10, "bottom": 6},
        "datasets": datasets,
        "config": {
            "view": {"stroke": None},
            "axis": {
                "grid": True,
                "gridColor": colours.grid,
                "domain": False,
                "ticks": False,
                "labelColor": colours.muted,
                "labelFontSize": 12,
                "labelPadding": 6,
            },
        },
    }


def _zero(colours: Palette) -> Spec:
    return {
        "data": {"values": [{"zero": 0}]},
        "mark": {"type": "rule", "color": colours.ink, "strokeWidth": 1.1},
        "encoding": {"y": {"field": "zero", "type": "quantitative"}},
    }


def _corner(text: str, colour: str, *, right: int = 0, y: int = -12) -> Spec:
    return {
        "data": {"values": [{}]},
        "mark": {
            "type": "text",
            "align": "right",
            "fontSize": 12,
            "fontWeight": "bold",
            "color": colour,
            "text": text,
        },
        "encoding": {"x": {"value": {"expr": f"width - {right}"}}, "y": {"value": y}},
    }


def utc_field(field: str) -> Spec:
    # A tooltip's own time format is the reader's time zone; this one is UTC, as the title says.
    return {
        "calculate": f"utcFormat(datum.{field}, '%a %d %b %Y %H:%M')",
        "as": f"{field}utc",
    }


def moment_field(field: str, title: str) -> Spec:
    return {"field": f"{field}utc", "type": "nominal", "title": title}


def number_field(field: str, title: str) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "format": ","}


def _time_format(domain: tuple[datetime, datetime]) -> str:
    days = (domain[1] - domain[0]).days
    if days <= 3:
        return "%d %b %H:%M"
    if days > 400:
        return "%b %Y"
    return "%d %b %Y" if domain[0].year != domain[1].year else "%d %b"


def domain_of(frame: pl.DataFrame) -> tuple[datetime, datetime]:
    return frame["start"][0], frame["stop"][-1]


def _ranges(standardised: pl.DataFrame | None) -> list[pl.DataFrame]:
    return [] if standardised is None else [standardised.select(low="balance", high="balance")]


def _least(values: pl.Series) -> float:
    least = values.min()
    return float(least) if isinstance(least, int | float) else 0.0


def _most(values: pl.Series) -> float:
    most = values.max()
    return float(most) if isinstance(most, int | float) else 0.0
