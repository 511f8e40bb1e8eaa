"""Every sentence of the dashboard about stance that holds a value; the rest is in `words`.

Held to the same rules by tests/test_dashboard_safety.py. No figure leaves here without what it is
measured against: `note` is what `analysis.calibration` says of its window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analysis.calibration import FRENCH_LABELS
from analysis.interval import INTERVAL_NOTE
from analysis.series import MIN_N
from dashboard.words import (
    INDEX,
    MEASURES,
    band,
    chart_notes,
    day,
    platform,
    points,
    posts,
    safe,
    share,
    waits,
)

INDEX_NAME, INDEX_IN_TEXT = "Backlash index", "backlash index"
SHOWN = {INDEX: INDEX_NAME, **MEASURES}  # with stance, the charts can show these
REASON_NAMES = {
    "consent": "Consent",
    "theft": "Theft",
    "sneaky": "Sneaky",
    "privacy": "Privacy",
    "jobs": "Jobs",
    "quality": "Quality",
    "trust": "Trust",
}
LANGUAGE_NAMES = {"en": "English", "fr": "French"}

INDEX_HELP = (
    "Share of posts against the platform's AI policy minus share of posts for it, among posts on "
    "topic, in points from \u2212100 to +100. Up is worse. A model decides which side a post "
    "takes, and whether it takes one at all. The range holds 95 % for sampling noise only, scorer "
    "error not included; authors and threads count as clusters."
)
EXIT_HELP = (
    "Posts on topic whose words say that their author left or is leaving. A lower bound: whoever "
    "goes without a word, or says it in words the scorer does not know, is not in it."
)
PEAK_HELP = (
    "The day (UTC) with the highest figure of stance among days read in full, or wholly within a "
    "file, that have at least 30 posts on topic. The highest of many noisy days lies above the "
    "truth on average: look at its n and its range."
)
REASONS_HELP = (
    "Consent: nobody asked, or opt-out in place of opt-in. Theft: taken, not paid for. Sneaky: "
    "changed quietly or buried. Privacy: personal data. Jobs: people replaced. Quality: what AI "
    "makes is worse. Trust: promises broken."
)


def value(figures: Mapping[str, Any]) -> str:
    """The index with its sign; a dash where there is none."""
    return points(figures["balance"])


def on_topic(figures: Mapping[str, Any], langs: Sequence[str]) -> str:
    """What the index rests on: "on topic 812 of 2,313 English posts"."""
    return f"on topic {figures['n']:,} of {figures['n_looked']:,} {languages(langs)} posts"


def languages(langs: Sequence[str]) -> str:
    """ "English", "English and French"."""
    names = [LANGUAGE_NAMES.get(lang) or safe(lang) for lang in langs]
    return " and ".join(names)


def below(figures: Mapping[str, Any], langs: Sequence[str], note: str) -> str:
    """What stands below the index."""
    if figures["balance"] is None:
        return f"{on_topic(figures, langs)}; {safe(note)}"
    return f"{on_topic(figures, langs)}; scorer error not included; {safe(note)}"


def exits(figures: Mapping[str, Any]) -> str:
    """How many posts say that somebody left."""
    return f"{figures['n_exit']:,}"


def exit_below(figures: Mapping[str, Any], langs: Sequence[str], note: str) -> str:
    """What stands below the figure of those who left."""
    return f"{on_topic(figures, langs)}; {safe(note)}"


def peak_sample(peak: Mapping[str, Any] | None, note: str) -> str:
    """What the peak rests on."""
    return f"{peak['n']:,} on topic; {band(peak)}; {safe(note)}" if peak else "\u2013"


def sides(figures: Mapping[str, Any], note: str) -> str:
    """The shares that the index is made of."""
    if figures["neg_share"] is None:
        return (
            f"Of {posts(figures['n'])} on topic by the model {figures['n_neg']:,} against and "
            f"{figures['n_pos']:,} for: fewer than {MIN_N:,}, so no share. {sentence(note)}"
        )
    return (
        f"Of {posts(figures['n'])} on topic {share(figures['neg_share'])} against, "
        f"{share(figures['pos_share'])} for, {share(figures['neu_share'])} neutral, by a model. "
        f"{sentence(note)}"
    )


def sentence(note: str) -> str:
    """A note as a sentence of its own."""
    return f"{safe(note[:1].upper())}{safe(note[1:])}."


def left_out(
    figures: Mapping[str, Any],
    *,
    french: tuple[int, int],
    thread: tuple[int, int],
    waiting: int,
    note: str,
) -> str:
    """What the figures of stance are made of and leave out."""
    said = [sides(figures, note)]
    on, looked = french
    if looked:
        said.append(
            f"{on:,} French {plural(on)} on topic by the model, of {looked:,}; no figure until "
            f"{FRENCH_LABELS:,} French labels exist."
        )
    on, looked = thread
    if looked:
        said.append(
            f"In threads about it {on:,} more of {looked:,} are on topic, not in these figures."
        )
    if waiting:
        said.append(
            f"{posts(waiting)} of this case still {waits(waiting)} for a stance: aftershock score."
        )
    return " ".join(said)


def plural(count: int) -> str:
    """The noun."""
    return "post" if count == 1 else "posts"


def unscored() -> str:
    """A store in which no stance of this case has been scored."""
    return (
        "Which side these posts take has not been scored yet: run `aftershock score`. Until then "
        "this page shows their tone, which is not stance."
    )


def nothing_to_draw(langs: Sequence[str]) -> str:
    """Posts in these dates, and none in a language of whose stance there are figures."""
    return f"No {languages(langs)} posts in these dates, so the charts show the tone."


# Charts


def over_time(measure: str) -> str:
    """Heading of the chart over time."""
    return f"{INDEX_NAME} over time" if measure == INDEX else "Tone over time"


def volume_head(measure: str) -> str:
    """Heading of the chart of volume."""
    return "Volume by stance" if measure == INDEX else "Volume by sentiment"


def volume_caption(langs: Sequence[str], note: str) -> str:
    """What the bars are."""
    return (
        f"{languages(langs)} posts on topic per bucket: against up, for down; the line is against "
        f"minus for. {sentence(note)} Drag across the chart to filter the posts below."
    )


def same_scale(note: str) -> str:
    """What the platforms' small charts show."""
    return f"The same measure and the same scale for each. {sentence(note)}"


def chart_caption(
    frame: pl.DataFrame,
    width: str,
    weights: Mapping[str, float],
    langs: Sequence[str],
    note: str,
) -> str:
    """What the chart of the index shows and what it leaves out."""
    said = [
        f"Against minus for, among {languages(langs)} posts on topic, in points; up is worse.",
        f"Band: {safe(INTERVAL_NOTE)}. {sentence(note)}",
    ]
    if len(weights) > 1:
        fixed = ", ".join(f"{platform(name)} {share(part)}" for name, part in weights.items())
        said.append(f"Thin line: platform-standardised, each platform at a fixed weight ({fixed}).")
    return " ".join([*said, *chart_notes(frame, width)])


def chart_alt(figures: Mapping[str, Any], peak: Mapping[str, Any] | None, gaps: int) -> str:
    """The chart for those who cannot see it. Plain text."""
    most = f"highest day {points(peak['balance'])} on {day(peak['start'])}" if peak else "no peak"
    return (
        f"Line chart of the {INDEX_IN_TEXT} over time. Whole window {value(figures)}, "
        f"{most}. {gaps:,} gaps in collection."
    )


def volume_alt(figures: Mapping[str, Any]) -> str:
    """The chart of volume for those who cannot see it. Plain text."""
    return (
        f"Diverging bars of posts on topic over time: {figures['n_neg']:,} against up, "
        f"{figures['n_pos']:,} for down, with their difference as a line."
    )


def platform_head(source: str, figures: Mapping[str, Any], total: int) -> str:
    """Heading of one platform's small chart."""
    part = figures["n"] / total if total else None
    index = f"{INDEX_IN_TEXT} {points(figures['balance'])}"
    return (
        f"**{platform(source)}** :small[{share(part)} of posts on topic, {index}, "
        f"n = {figures['n']:,}]"
    )


def platform_alt(source: str, figures: Mapping[str, Any]) -> str:
    """A platform's chart for those who cannot see it. Plain text."""
    index = points(figures["balance"])
    return f"Line chart of the {INDEX_IN_TEXT} on {platform(source)}: {index}."


def no_posts(source: str) -> str:
    """A platform without posts on topic in the window."""
    return f"**{platform(source)}** :small[no posts on topic in these dates]"


def reason_name(reason: str) -> str:
    """A reason as it is labelled."""
    return REASON_NAMES.get(reason) or safe(reason)


def reasons_caption(against: int, langs: Sequence[str], note: str) -> str:
    """What the chart of reasons shows."""
    return (
        f"{languages(langs)} posts against per bucket that give the reason, all on one scale; of "
        f"{posts(against)} against, each may give several or none. By a model. {sentence(note)}"
    )


def reasons_alt(totals: Mapping[str, int]) -> str:
    """The chart of reasons for those who cannot see it. Plain text."""
    listed = ", ".join(f"{reason_name(name)} {count:,}" for name, count in totals.items())
    return f"Small bars over time, a row a reason, of posts against that give it: {listed}."
