"""Every sentence of the dashboard that holds a value. Pages show these or literals, nothing else.

Text that is not ours (a case file can come from a stranger) enters a sentence through `safe`;
tests/test_dashboard_safety.py reads this file and the pages and holds them to it. Text of posts
never comes here: pages show it by `st.text` and table columns, which take no markdown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from analysis.coverage import percent
from analysis.recall import Recall, sentence
from analysis.series import MIN_N
from cases.case import Case, Event
from store.export import DUTY

NAMES = {"bluesky": "Bluesky", "reddit": "Reddit"}
WIDTH_NAMES = {"hour": "Hour", "6h": "6 hours", "day": "Day", "week": "Week"}
# What the charts can show: of tone the first two, of stance the third.
BALANCE, NEGATIVE, INDEX = "balance", "negative", "index"
MEASURES = {BALANCE: "Tone balance", NEGATIVE: "Negative share"}
DEMO = "Demo: invented posts"
MOST_GAPS = 6

BALANCE_HELP = (
    "Negative share minus positive share of the scored posts, in points from \u2212100 to +100. "
    "Up is worse. VADER scores the wording, not the side a post takes: it is not stance. "
    "The band holds 95 % for sampling noise only, scorer error not included; authors and threads "
    "count as clusters."
)
POSTS_HELP = (
    "Scored posts that match the case by their own text, or whose file was taken whole. "
    "English and French are scored, each by its own words; posts in other languages and bots are "
    "in no share."
)
NEGATIVE_HELP = (
    "Share of the scored posts with a VADER compound of \u22120.05 or less. "
    "Positive: 0.05 or more. The rest is neutral."
)
PEAK_HELP = (
    "The day (UTC) with the highest tone balance among days read in full, or wholly within "
    "a file, that have at least 30 scored posts. The highest of many noisy days lies above the "
    "truth on average: look at its n and its range."
)

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_ADDRESS = re.compile(r":(?=//)|www(?=\.)|@(?=\S)", re.IGNORECASE)
_WEB = re.compile(r"https?://[A-Za-z0-9][^\s<>\\\"'`]*")


def safe(text: str) -> str:
    """Text as markdown that shows exactly this text: no link, image, colour, icon or formula.

    Browsers are also shown addresses without any markup as links; an invisible word joiner in them
    (U+2060) ends that.
    """
    joined = _ADDRESS.sub("\\g<0>\u2060", " ".join(text.split()))
    return _PUNCTUATION.sub(r"\\\1", joined)


def platform(source: str) -> str:
    """The name of a platform."""
    return NAMES.get(source) or safe(source)


def platforms(sources: Sequence[str]) -> str:
    """Names of platforms: "Bluesky and Reddit"."""
    names = [platform(source) for source in sources]
    before = ", ".join(names[:-1])
    return " and ".join(filter(None, [before, *names[-1:]]))


# Numbers and times


def points(value: float | None) -> str:
    """A tone balance with its sign, one decimal: "+10.1", "\u22123.0", "0.0"; a dash for none."""
    if value is None:
        return "\u2013"
    rounded = round(value, 1)
    return f"{rounded:+.1f}".replace("-", "\u2212") if rounded else "0.0"


def share(value: float | None) -> str:
    """A share of posts as a percentage with one decimal; a dash for none."""
    return "\u2013" if value is None else f"{100 * value:.1f} %"


def number(count: int) -> str:
    """A count with its thousands marked."""
    return f"{count:,}"


def posts(count: int) -> str:
    """ "1 post", "2,000 posts"."""
    return "1 post" if count == 1 else f"{count:,} posts"


def moment(at: datetime) -> str:
    """A time in UTC: "20 Jul 2025 23:00 UTC"."""
    return f"{at:%d %b %Y %H:%M} UTC".removeprefix("0")


def day(at: datetime) -> str:
    """A day: "9 May 2025"."""
    return f"{at:%d %b %Y}".removeprefix("0")


# Head of the page


def title(case: Case) -> str:
    """The title of the page."""
    return safe(case.title)


def tab_title(case: Case | None, *, demo: bool) -> str:
    """The title of the browser's tab, plain text."""
    return " \u00b7 ".join(
        part for part in (DEMO if demo else "", case.title if case else "", "Aftershock") if part
    )


def freshness(
    through: Mapping[str, datetime], sources: Sequence[str] = (), *, files: bool = False
) -> list[str]:
    """Up to when the posts of these platforms were read: one sentence if all agree to the hour."""
    if not through:
        return ["Data through: not recorded"]
    if files:
        return [f"Files reach to {moment(max(through.values()))}"]
    silent = [name for name in sources if name not in through]
    if silent:
        known = [f"{platform(name)} through {moment(at)}" for name, at in sorted(through.items())]
        return known + [f"{platform(name)}: not recorded" for name in silent]
    if len({at.replace(minute=0, second=0, microsecond=0) for at in through.values()}) == 1:
        return [f"Data through {moment(min(through.values()))}"]
    return [f"{platform(name)} through {moment(at)}" for name, at in sorted(through.items())]


def coverage(value: float | None) -> str:
    """The share of source-hours read, rounded down."""
    return f"Coverage {percent(value)}"


def coverage_help(found: Recall | None) -> str:
    """What coverage is and, where it was measured, how much of Bluesky search finds."""
    said = (
        "Source-hours read in full out of all in these dates, up to the last hour read. Rounded"
        " down."
    )
    measured = sentence(found) if found is not None else None
    return f"{said} Bluesky: {measured}" if measured else said


def summary(case: Case) -> str:
    """The summary of the case."""
    return safe(case.summary)


# Figures


def band(figures: Mapping[str, Any]) -> str:
    """The interval of a tone balance and what it is."""
    if figures["balance_lo"] is None:
        return f"fewer than {MIN_N:,} posts"
    low, high = points(figures["balance_lo"]), points(figures["balance_hi"])
    return f"sampling noise only {low} to {high}"


def sample(count: int) -> str:
    """The number of posts a figure rests on."""
    return f"n = {count:,}"


def a_day(count: int, days: int) -> str:
    """Posts per day of the window."""
    each = count / max(days, 1)
    return f"{each:,.0f} a day" if each >= 10 else f"{each:,.1f} a day"


def positive(figures: Mapping[str, Any]) -> str:
    """The positive share."""
    return f"{share(figures['pos_share'])} positive"


def peak_value(peak: Mapping[str, Any] | None) -> str:
    """The tone balance of the peak day."""
    return points(peak["balance"] if peak else None)


def peak_day(peak: Mapping[str, Any] | None) -> str:
    """The peak day, or why there is none."""
    return day(peak["start"]) if peak else f"no full day with {MIN_N:,} posts"


def peak_sample(peak: Mapping[str, Any] | None) -> str:
    """What the peak rests on."""
    return f"{sample(peak['n'])}; {band(peak)}" if peak else "\u2013"


def not_scored(count: int) -> str:
    """Posts without a score, beside the scored ones."""
    return f"scored; {count:,} not scored" if count else "scored; none without a score"


def counted(
    figures: Mapping[str, Any],
    *,
    waiting: int,
    thread: int,
    taken: int = 0,
    missing: tuple[int, int] = (0, 0),
    uncollected: Sequence[str] = (),
) -> str:
    """What the figures leave out and what they are made of, by reason."""
    reasons = [
        f"{figures[name]:,} {words}"
        for name, words in (
            ("n_language", "in another language or too short to tell"),
            ("n_too_long", "too long for an older version"),
            ("n_marker", "by bots"),
            ("n_displaced", "with a declared time more than 24 hours off"),
        )
        if figures[name]
    ]
    listed = ", ".join(reasons)
    left_out = sum(
        figures[name] for name in ("n_language", "n_too_long", "n_marker", "n_displaced")
    )
    sentences = [f"Not scored: {listed}."] if left_out else []
    if waiting:
        sentences.append(
            f"{posts(waiting)} of this case still {waits(waiting)} for a score: aftershock score."
        )
    if thread:
        sentences.append(f"Plus {posts(thread)} in threads about it, not in these figures.")
    if taken:
        sentences.append(
            f"{taken:,} of the {figures['n']:,} are from files taken whole: they were not chosen "
            "by the query, and need not be about the case."
        )
    lost, days = missing
    if lost:
        kept = "so there is no figure of both" if lost == days else "so the mix of platforms varies"
        sentences.append(
            f"A platform is missing on {lost:,} of {days:,} days, {kept}: choose one platform."
        )
    if uncollected:
        sentences.append(f"Nothing of {platforms(uncollected)} is kept for this case.")
    return " ".join(sentences)


# Charts


def chart_caption(
    frame: pl.DataFrame, width: str, weights: Mapping[str, float], *, negative: bool
) -> str:
    """What the chart of the balance or the negative share shows and what it leaves out."""
    sentences = [
        "Negative posts out of the scored ones; up is worse."
        if negative
        else "Negative minus positive share of posts, in points; up is worse.",
        "Band: sampling noise only, scorer error not included.",
    ]
    if len(weights) > 1 and not negative:
        fixed = ", ".join(f"{platform(name)} {share(value)}" for name, value in weights.items())
        sentences.append(
            f"Thin line: platform-standardised, each platform at a fixed weight ({fixed})."
        )
    return " ".join([*sentences, *chart_notes(frame, width)])


def chart_notes(frame: pl.DataFrame, width: str) -> list[str]:
    """What a chart over time leaves out, or draws otherwise, and why."""
    sentences = []
    few = frame.filter(pl.col("n") > 0, ~pl.col("enough"), ~pl.col("missing")).height
    if few:
        sentences.append(f"{buckets(few, width)} with fewer than {MIN_N:,} posts not drawn.")
    missing = frame.filter(pl.col("missing"), pl.col("n") > 0).height
    if missing:
        sentences.append(
            f"{buckets(missing, width)} not drawn because a platform was not collected: "
            "choose one platform to see the other."
        )
    if frame["dotted"].count():
        sentences.append("Dotted: not read in full.")
    if frame["afterwards"].any():
        sentences.append(
            "Bar along the axis: collected afterwards, so posts deleted before then are missing; "
            "not joined to what was collected live."
        )
    return sentences


def buckets(count: int, width: str) -> str:
    """ "1 day", "3 buckets of 6 hours"."""
    if width == "6h":
        return "1 bucket of 6 hours" if count == 1 else f"{count:,} buckets of 6 hours"
    unit = {"hour": "hour", "day": "day", "week": "week"}[width]
    return f"{count:,} {plural(unit, count)}"


def plural(unit: str, count: int) -> str:
    """A unit of time in the singular or the plural."""
    return safe(unit) if count == 1 else f"{safe(unit)}s"


def drawn_wider(asked: str, width: str) -> str:
    """Why the buckets are wider than asked for."""
    wanted, used = WIDTH_NAMES[asked].lower(), WIDTH_NAMES[width].lower()
    return (
        f"These dates hold too many buckets of one {wanted} to draw one by one; this is by "
        f"{used}. Choose fewer days to see them."
    )


def week_note() -> str:
    """Why a chart by weeks begins before and ends after the chosen dates."""
    return "Weeks start on Monday, so the first and the last one can reach beyond the dates chosen."


def gaps(absent: pl.DataFrame) -> str:
    """The gaps in words, the longest first."""
    longest = absent.sort(pl.col("end") - pl.col("start"), descending=True).head(MOST_GAPS)
    named = [
        f"{platform(row['source'])} {moment(row['start'])} to {moment(row['end'])} "
        f"({safe(row['reason'])})"
        for row in longest.sort("start").iter_rows(named=True)
    ]
    more = absent.height - len(named)
    listed = "; ".join(named)
    rest = f"; and {more:,} shorter" if more else ""
    return f"Gaps in collection, shaded: {listed}{rest}."


def event_line(number: int, event: Event) -> str:
    """One line of the list below the chart; its title is a link only where a page was read."""
    text = safe(event.title)
    if event.url and _WEB.fullmatch(event.url):
        web = event.url.replace("(", "%28").replace(")", "%29")
        text = f"[{safe(event.title)}](<{trusted(web)}>)"
    source = safe(event.source)
    return f"**{number:d}** {safe(event.when)} {text} :small[{source}]"


def event_list(events: Sequence[Event]) -> str:
    """The numbered events, a line each."""
    return "  \n".join(event_line(number, event) for number, event in enumerate(events, start=1))


def trusted(address: str) -> str:
    """An address that has been matched against `_WEB`; anything else is dropped."""
    return address if _WEB.fullmatch(address) else ""


def events_outside(count: int) -> str:
    """Events that lie outside the dates."""
    return (
        "1 more event lies outside these dates."
        if count == 1
        else f"{count:,} more events lie outside these dates."
    )


def platform_head(source: str, figures: Mapping[str, Any], total: int, *, negative: bool) -> str:
    """Heading of one platform's small chart."""
    part = figures["n"] / total if total else None
    value = (
        f"{share(figures['neg_share'])} negative"
        if negative
        else f"tone balance {points(figures['balance'])}"
    )
    return f"**{platform(source)}** :small[{share(part)} of posts, {value}, n = {figures['n']:,}]"


def no_posts(source: str) -> str:
    """A platform without scored posts in the window."""
    return f"**{platform(source)}** :small[no scored posts in these dates]"


def chart_alt(
    figures: Mapping[str, Any], peak: Mapping[str, Any] | None, gaps: int, *, negative: bool
) -> str:
    """The chart for those who cannot see it. Plain text."""
    if negative:
        return (
            f"Line chart of the negative share over time. Whole window "
            f"{share(figures['neg_share'])}. {gaps:,} gaps in collection."
        )
    most = f"highest day {peak_value(peak)} on {peak_day(peak)}" if peak else "no full day"
    return (
        f"Line chart of the tone balance over time. Whole window {points(figures['balance'])}, "
        f"{most}. {gaps:,} gaps in collection."
    )


def volume_alt(figures: Mapping[str, Any]) -> str:
    """The chart of volume for those who cannot see it. Plain text."""
    return (
        f"Diverging bars of posts over time: {figures['n_neg']:,} negative ones up, "
        f"{figures['n_pos']:,} positive ones down, with their difference as a line."
    )


def platform_alt(source: str, figures: Mapping[str, Any], *, negative: bool) -> str:
    """A platform's chart for those who cannot see it. Plain text."""
    what = (
        f"negative share on {platform(source)}: {share(figures['neg_share'])}"
        if negative
        else f"tone balance on {platform(source)}: {points(figures['balance'])}"
    )
    return f"Line chart of the {what}."


# Posts


def filtered(since: datetime, until: datetime) -> str:
    """What the brush has chosen."""
    return (
        f"Only posts of {moment(since)} to {moment(until)}. "
        "Double-click in the chart above to see all of them."
    )


def posts_head(source: str) -> str:
    """Heading of one platform's table of posts."""
    measure = {"reddit": "score", "bluesky": "likes and reposts"}.get(source, "likes and reposts")
    return f"**{platform(source)}** :small[by {safe(measure)}]"


def too_many(posts: int) -> str:
    """Why so many posts cannot be downloaded here, and where they can be had."""
    return (
        f"{posts:,} posts are too many for a download. Choose fewer days, or run "
        "`aftershock export posts` on the machine of this store."
    )


def duty() -> str:
    """What goes with the file of posts."""
    return f"Posts CSV: {safe(DUTY)}"


# Empty states: why there is nothing, and what to do next


def store_empty() -> str:
    """A store without any post."""
    return (
        "No posts are kept yet. Import a file: `aftershock import FILE`, or look around with "
        "invented posts: `aftershock demo`."
    )


def case_empty(case: Case) -> str:
    """A case without posts."""
    return (
        f"0 posts kept for {safe(case.title)}. Import a file: "
        f"aftershock import FILE --case {safe(case.name)}"
    )


def unscored(waiting: int) -> str:
    """Posts kept, none scored."""
    return f"{posts(waiting)} {waits(waiting)} for a score: run `aftershock score`."


def waits(count: int) -> str:
    """The verb."""
    return "waits" if count == 1 else "wait"


def query_changed(count: int) -> str:
    """Posts are kept under another query only."""
    return (
        f"The query of this case has changed since its {posts(count)} were kept. Figures of two "
        "queries are never mixed: import or collect again to match the posts by the new query."
    )


def nothing_here(looked: Collection[str]) -> str:
    """The filters leave nothing: why, by what the ledger says of that time, and what to do."""
    if "covered" in looked:
        why = "they were read, and nothing in them belongs to the case"
    elif "file" in looked:
        why = "the imported files hold none, which does not say that there were none"
    elif looked:
        why = "collecting failed or was cut short then"
    else:
        why = "nothing was collected then"
    return (
        f"No posts in these dates on these platforms: {why}. "
        "Widen the dates or choose another platform."
    )
