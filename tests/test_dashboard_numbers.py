"""The numbers a visitor reads, each against a count by hand of the invented posts.

Expectations come from plain loops over the posts and from vaderSentiment: nothing that the
dashboard or the analysis computes is used to check it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pytest
import showing
import streamlit as st
from showing import DAY, DAYS, GAP, NEGATIVE, POSITIVE, START
from streamlit.testing.v1 import AppTest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

import dashboard
from dashboard import data, posts
from dashboard.warm import warm_up
from store.tables import Store

APP = Path(dashboard.__file__).with_name("app.py")
FRENCH = "Je ne comprends pas du tout pourquoi cette entreprise a encore changé ses conditions."
STATUSES = ("language", "marker", "displaced")
NUMBER = re.compile(r"[+\u2212]?\d[\d,]*(?:\.\d+)?")


class Post(NamedTuple):
    """A post of the store and what has to become of it."""

    row: dict[str, Any]
    status: str = "scored"
    via: str = "own"

    @property
    def day(self) -> int:
        return int((self.row["at"] - START) // DAY)

    @property
    def compound(self) -> float | None:
        if self.status not in ("scored", "displaced"):
            return None
        return float(ANALYSER.polarity_scores(self.row["text"])["compound"])

    @property
    def sign(self) -> int:
        """1 for a negative post, -1 for a positive one, 0 for one between."""
        compound = self.compound
        assert compound is not None
        return 1 if compound <= -0.05 else -1 if compound >= 0.05 else 0


ANALYSER = SentimentIntensityAnalyzer()


def invented() -> list[Post]:
    """The posts of showing.py; one loud account, one crowded thread, and posts of every status."""
    found = [Post(row) for row in showing.posts()]
    numbers = iter(range(100, 900))

    def add(
        count: int, source: str, day: int, text: str, status: str = "scored", via: str = "own"
    ) -> list[dict[str, Any]]:
        rows = [showing.post(next(numbers), source, day, text) for _ in range(count)]
        found.extend(Post(row, status, via) for row in rows)
        return rows

    for row in add(23, "bluesky", 4, NEGATIVE) + add(9, "bluesky", 5, POSITIVE):
        row["author"] = "loud"
    for row in add(17, "reddit", 8, NEGATIVE):
        row["root"] = "reddit:t3_crowded"
    for source, day, counts in (
        ("bluesky", 5, (6, 3, 2, 4)),
        ("bluesky", 9, (1, 2, 3, 1)),
        ("reddit", 8, (5, 1, 4, 2)),
        ("reddit", 1, (1, 1, 1, 1)),
    ):
        texts = (FRENCH, NEGATIVE * 400, "[deleted]", POSITIVE)
        statuses = ("language", "scored", "marker", "displaced")  # a long text is like any other
        for status, count, text in zip(statuses, counts, texts, strict=True):
            for row in add(count, source, day, text, status):
                if status == "displaced":
                    row["created_at"] = row["at"] - timedelta(hours=30)
    for source, day, count in (("bluesky", 3, 2), ("bluesky", 8, 3), ("reddit", 5, 5)):
        add(count, source, day, NEGATIVE, via="thread")
    add(7, "reddit", 9, POSITIVE, via="thread")
    return found


POSTS = invented()


class Asked(NamedTuple):
    """A view: platforms and days (both inclusive, counted from START)."""

    sources: tuple[str, ...]
    first: int
    last: int

    def posts(self, *via: str) -> list[Post]:
        return [
            post
            for post in POSTS
            if post.row["source"] in self.sources
            and self.first <= post.day <= self.last
            and post.via in via
        ]

    @property
    def choice(self) -> data.Choice:
        return data.Choice(self.sources, day_of(self.first), day_of(self.last))


def day_of(number: int) -> date:
    return (START + number * DAY).date()


VIEWS = {
    "default": Asked(("bluesky", "reddit"), 0, DAYS - 1),
    "one platform, four days": Asked(("bluesky",), 3, 6),
    "other platform, three days": Asked(("reddit",), 7, 9),
    "both, three days": Asked(("bluesky", "reddit"), 7, 9),
}


class Count:
    """What loops over posts count."""

    def __init__(self, chosen: list[Post]) -> None:
        self.scored = [post for post in chosen if post.status == "scored"]
        self.n = len(self.scored)
        signs = Counter(post.sign for post in self.scored)
        self.neg, self.neu, self.pos = signs[1], signs[0], signs[-1]
        status = Counter(post.status for post in chosen)
        self.status = {name: status[name] for name in STATUSES}
        self.balance = 100 * (self.neg - self.pos) / self.n if self.n else 0.0

    def interval(self) -> tuple[float, float]:
        """The formula of docs/method.md for the balance, in points."""
        n, ratio = self.n, (self.neg - self.pos) / self.n

        def groups(*names: str) -> list[list[Post]]:
            found = defaultdict(list)
            for post in self.scored:
                ids = {"author": post.row["author"], "thread": post.row.get("root")}
                found[tuple(ids[name] or post.row["uri"] for name in names)].append(post)
            return list(found.values())

        def variance(*names: str) -> float:
            total = 0.0
            for group in groups(*names):
                total += (sum(post.sign for post in group) - ratio * len(group)) ** 2
            return total / n**2

        authors, threads = variance("author"), variance("thread")
        size = n**2 / sum(len(group) ** 2 for group in groups("author"))
        independent = ((self.neg + self.pos) / n - ratio**2) / size
        neg, pos = (
            (count / n * size + 1) / (size + 2) for count in (self.neg, self.pos)
        )  # one post more on either side
        agreed = (neg + pos - (neg - pos) ** 2) / (size + 2)
        both = authors + threads - variance("author", "thread")
        half = 100 * 1.959963984540054 * sqrt(max(both, authors, threads, independent, agreed))
        return max(-100.0, self.balance - half), min(100.0, self.balance + half)


@dataclass
class Shown:
    """A page as it was drawn, and what its download buttons make."""

    asked: Asked
    page: AppTest
    files: dict[str, list[dict[str, str]]]

    def headline(self) -> Count:
        return Count(self.asked.posts("own"))


def visit(asked: Asked | None = None) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=60)
    if asked is not None:
        page.query_params["bucket"] = "Day"
        page.query_params["platform"] = [name.title() for name in asked.sources]
        page.query_params["dates"] = [str(day_of(asked.first)), str(day_of(asked.last))]
    page.run()
    assert not page.exception
    return page


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The store of the posts, and the environment that leads to it."""
    folder = tmp_path_factory.mktemp("numbers")
    (folder / "cases").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFTERSHOCK_STORE", str(folder / "store"))
        patch.setenv("AFTERSHOCK_SALT", str(folder / "salt"))
        patch.setenv("AFTERSHOCK_CASES", str(folder / "cases"))
        patch.delenv("AFTERSHOCK_DEMO", raising=False)
        case = showing.write_case(folder / "cases")
        store = Store.open()
        for via in ("own", "thread"):
            showing.write(store, case, [post.row for post in POSTS if post.via == via], via)
        showing.log(store, case)
        showing.score(store)
        yield store


@pytest.fixture(scope="module")
def pages(store: Store) -> dict[str, Shown]:
    found = {}
    for name, asked in VIEWS.items():
        made: dict[str, Callable[[], bytes]] = {}
        real = st.download_button

        def keep(label: str, make: Any, made: Any = made, real: Any = real, **more: Any) -> Any:
            made[label.split(maxsplit=1)[0].lower()] = make
            return real(label, make, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(st, "download_button", keep)
            page = visit(None if name == "default" else asked)
        files = {
            label: list(csv.DictReader(io.StringIO(make().decode("utf-8-sig"))))
            for label, make in made.items()
        }
        found[name] = Shown(asked, page, files)
    return found


@pytest.fixture(params=VIEWS)
def shown(pages: dict[str, Shown], request: pytest.FixtureRequest) -> Shown:
    return pages[request.param]


def numbers(text: str) -> list[str]:
    return NUMBER.findall(text)


def signed(value: float) -> str:
    return "0.0" if not round(value, 1) else f"{value:+.1f}".replace("-", "\u2212")


def subject() -> data.Subject:
    return data.subject(data.cases()["murmur"])


def charts(page: AppTest) -> list[Any]:
    return [chart.proto for chart in page.get("vega_lite_chart")]


def plotted(proto: Any) -> list[dict[str, Any]]:
    raw = next(entry.data.data for entry in proto.datasets if entry.name == "buckets")
    frame = pl.from_arrow(pa.ipc.open_stream(raw).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame.to_dicts()


def tone_charts(shown: Shown) -> dict[str, list[dict[str, Any]]]:
    """The buckets of the chart of all and of each platform's, by platform."""
    with_tone = [
        proto
        for proto in charts(shown.page)
        if any(entry.name == "late" for entry in proto.datasets)
    ]
    names = ["all", *shown.asked.sources]
    return {name: plotted(proto) for name, proto in zip(names, with_tone, strict=True)}


def drawn(asked: Asked, source: str, day: int) -> Count | None:
    """The count behind a drawn day, None where nothing may be drawn."""
    sources = asked.sources if source == "all" else (source,)
    if "reddit" in sources and day == GAP:
        return None
    count = Count(Asked(sources, day, day).posts("own"))
    return count if count.n >= 30 else None


def test_the_figures_at_the_top_are_counted_and_have_the_interval_of_the_method(
    shown: Shown,
) -> None:
    count = shown.headline()
    metrics = [(metric.value, metric.delta) for metric in shown.page.metric]
    assert numbers(metrics[0][0]) == [signed(count.balance)]
    assert numbers(metrics[0][1]) == [signed(end) for end in count.interval()]
    assert metrics[1][0] == f"{count.n:,}"
    assert numbers(metrics[2][0]) == [f"{100 * count.neg / count.n:.1f}"]
    assert numbers(metrics[2][1]) == [f"{100 * count.pos / count.n:.1f}"]


def test_each_platform_has_its_own_n_share_of_posts_and_balance(shown: Shown) -> None:
    total = shown.headline().n
    found = data.by_platform(subject(), shown.asked.choice)
    assert set(found) == set(shown.asked.sources)
    for source in shown.asked.sources:
        count = Count(shown.asked._replace(sources=(source,)).posts("own"))
        (head,) = (
            entry.value
            for entry in shown.page.markdown
            if entry.value.startswith(f"**{source.title()}**") and numbers(entry.value)
        )
        said = [f"{100 * count.n / total:.1f}", signed(count.balance), f"{count.n:,}"]
        assert sorted(numbers(head)) == sorted(said)
        assert found[source]["n"] == count.n
        assert found[source]["balance"] == pytest.approx(count.balance)
        assert found[source]["neg_share"] == pytest.approx(count.neg / count.n)


def test_posts_without_a_score_are_counted_by_reason(shown: Shown) -> None:
    count = shown.headline()
    found = data.figures(subject(), shown.asked.choice)
    assert (found["n"], found["n_neg"], found["n_neu"], found["n_pos"]) == (
        count.n,
        count.neg,
        count.neu,
        count.pos,
    )
    assert {name: found[f"n_{name}"] for name in STATUSES} == count.status
    assert all(count.status.values())
    wanted = Counter(str(value) for value in count.status.values())
    captions = [Counter(numbers(caption.value)) for caption in shown.page.caption]
    assert any(wanted <= caption for caption in captions)
    left_out = sum(value for name, value in count.status.items() if name != "displaced")
    assert any(caption == Counter([str(left_out)]) for caption in captions)


def test_posts_of_threads_are_counted_for_the_chosen_platforms_and_days(shown: Shown) -> None:
    expected = len(shown.asked.posts("thread"))
    assert expected > 0
    assert data.in_threads(subject(), shown.asked.choice) == expected
    said = [
        sentence
        for caption in shown.page.caption
        for sentence in re.split(r"\.\s", caption.value)
        if "thread" in sentence and numbers(sentence)
    ]
    assert [numbers(sentence) for sentence in said] == [[str(expected)]]


def test_charts_draw_the_counts_of_each_day_with_their_intervals(shown: Shown) -> None:
    asked = shown.asked
    for source, rows in tone_charts(shown).items():
        assert len(rows) == asked.last - asked.first + 1
        for day, row in enumerate(rows, start=asked.first):
            sources = asked.sources if source == "all" else (source,)
            assert row["middle"] == START + day * DAY + DAY / 2
            assert row["n"] == Count(Asked(sources, day, day).posts("own")).n
            count = drawn(asked, source, day)
            values = [row[name] for name in ("shown", "low", "high")]
            if count is None:
                assert values == [None] * 3
            else:
                assert values == pytest.approx([count.balance, *count.interval()])


def test_the_tooltip_gives_the_lower_end_before_the_upper_one(shown: Shown) -> None:
    found = []

    def look(part: Any) -> None:
        if isinstance(part, dict):
            if "datum.low" in str(part.get("calculate")):
                found.append(re.findall(r"format\(datum\.(\w+)", part["calculate"]))
            part = list(part.values())
        if isinstance(part, list):
            for inner in part:
                look(inner)

    for proto in charts(shown.page):
        look(json.loads(proto.spec))
    assert found == [["low", "high"]] * (1 + len(shown.asked.sources))


def test_the_series_csv_holds_what_was_counted_and_what_is_drawn(shown: Shown) -> None:
    asked, charted = shown.asked, tone_charts(shown)
    rows = {(row["source"], row["start"]): row for row in shown.files["series"]}
    names = ["all", *asked.sources]
    days = asked.last - asked.first + 1
    assert len([key for key in rows if key[0] in names]) == days * len(names)
    for source in names:
        sources = asked.sources if source == "all" else (source,)
        for day in range(asked.first, asked.last + 1):
            row = rows[source, f"{START + day * DAY:%Y-%m-%dT%H:%M:%SZ}"]
            count = Count(Asked(sources, day, day).posts("own"))
            assert [int(row[name]) for name in ("n", "n_neg", "n_neu", "n_pos")] == [
                count.n,
                count.neg,
                count.neu,
                count.pos,
            ]
            assert {name: int(row[f"n_{name}"]) for name in STATUSES} == count.status
            drawn_row = charted[source][day - asked.first]
            for column, field in (
                ("balance", "shown"),
                ("balance_lo", "low"),
                ("balance_hi", "high"),
            ):
                value = float(row[column]) if row[column] else None
                assert value == pytest.approx(drawn_row[field])
            if drawn(asked, source, day):
                assert float(row["balance"]) == pytest.approx(count.balance)


def test_the_posts_csv_holds_exactly_the_posts_of_the_view(shown: Shown, store: Store) -> None:
    def instant(at: datetime) -> str:
        return f"{at:%Y-%m-%dT%H:%M:%SZ}"

    expected = sorted(
        (
            store.key(post.row["uri"]),
            instant(post.row["at"]),
            post.row["source"],
            post.via,
            post.row["text"],
            "scored" if post.status == "displaced" else post.status,
            "" if post.compound is None else f"{post.compound:.4f}",
        )
        for post in shown.asked.posts("own", "thread")
    )
    found = sorted(
        (
            row["post"],
            row["at"],
            row["source"],
            row["via"],
            row["text"],
            row["status"],
            f"{float(row['compound']):.4f}" if row["compound"] else "",
        )
        for row in shown.files["posts"]
    )
    assert len(found) == len(expected)
    assert found == expected


def test_after_warming_up_the_first_visit_reads_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    scan, portions = Store.scan, Store.scored_portions

    def counted_scan(self: Store, table: str) -> pl.LazyFrame:
        read.append(table)
        return scan(self, table)

    def counted_portions(self: Store, **chosen: Any) -> Iterator[pl.DataFrame]:
        read.append("scored")
        return portions(self, **chosen)

    monkeypatch.setattr(Store, "scan", counted_scan)
    monkeypatch.setattr(Store, "scored_portions", counted_portions)
    st.cache_resource.clear()
    warm_up()
    assert {"cells", "runs", "scored"} <= set(read)
    read.clear()
    about, choice = subject(), VIEWS["default"].choice
    data.cells(about)
    data.spans(about)
    data.figures(about, choice)
    for source in choice.sources:
        posts.most_engaged(about, source, choice.since, choice.until)
    assert read == []
    visit()
    assert read == []
