"""How often the stance score is right: measured on labelled posts it has not learnt from.

Every figure with an interval by bootstrap over threads, beside what comes for free: calling every
post against, VADER's negative, and word counts fitted to the very posts (cross-validated).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stance.linear import Floats

STANCES = ("against", "for", "neutral", "off")
RESAMPLES = 1_000
BINS = 10  # of predicted probability, equally wide, for the calibration error
BANDS = ((0, 9, "under 10 words"), (10, 39, "10 to 39 words"), (40, 10**9, "40 words and more"))
FEWEST = 20  # posts for which a row of its own is printed

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Labelled:
    """A real post with the stance its annotators agree on."""

    text: str
    stance: str
    source: str = ""
    thread: str = ""
    context: str = ""
    at: datetime | None = None
    exit: bool | None = None


@dataclass(frozen=True)
class Prediction:
    """What a scorer says of each post: p_against and p_on_topic (0..1), and its stance."""

    against: Floats
    on: Floats
    stance: tuple[str, ...]


def labelled(path: Path) -> tuple[list[Labelled], int]:
    """The posts of an NDJSON file whose annotators agree, and how many do not.

    A record has text and stance (one, or a list with one for each annotator), and may have source,
    thread, context, created_at and exit. Raises ValueError that names the line.
    """
    found: list[Labelled] = []
    apart = 0
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            stances = record["stance"]
            stances = [stances] if isinstance(stances, str) else list(stances)
            text = record["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: no record with text and stance.") from error
        if not stances or not isinstance(text, str) or not set(stances) <= set(STANCES):
            raise ValueError(
                f"{path}, line {number}: stance has to be one of {', '.join(STANCES)}, or a list of"
                " one for each annotator."
            )
        if len(set(stances)) > 1:
            apart += 1
            continue
        leaving = record.get("exit")
        votes = leaving if isinstance(leaving, list) else [] if leaving is None else [leaving]
        found.append(
            Labelled(
                text,
                stances[0],
                record.get("source") or "",
                record.get("thread") or f"line {number}",
                record.get("context") or "",
                _moment(record.get("created_at")),
                bool(votes[0]) if votes and len(set(map(bool, votes))) == 1 else None,
            )
        )
    if not found:
        raise ValueError(f"{path} holds no labelled post.")
    return found, apart


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        return None


def f1(truth: Flags, said: Flags) -> float:
    """F1 of what is so; 0 where nothing is so or is said to be."""
    both = int((truth & said).sum())
    return 2 * both / max(1, int(truth.sum() + said.sum()))


def macro_f1(truth: Flags, said: Flags) -> float:
    """Mean of the F1 of what is so and of what is not."""
    return (f1(truth, said) + f1(~truth, ~said)) / 2


def average_precision(truth: Flags, p: Floats) -> float:
    """Mean precision at each post that is so, by falling p; equal p count as one step."""
    order = np.argsort(-p, kind="stable")
    hits = np.cumsum(truth[order])
    ends = np.flatnonzero(np.r_[np.diff(p[order]) != 0, True])
    total = int(truth.sum())
    if not total:
        return float("nan")
    gained = np.diff(np.r_[0, hits[ends]]) / total
    return float((gained * hits[ends] / (ends + 1)).sum())


def calibration_error(truth: Flags, p: Floats) -> float:
    """Expected calibration error, 0..1: |mean p - share| of each of ten bins, weighted by size."""
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    gap = np.bincount(place, p - truth, minlength=BINS)
    return float(np.abs(gap).sum() / max(1, count.sum()))


def measures(posts: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """All figures of one set of posts. In: arrays `stance`, `said`, `against`, `on` (0..1)."""
    truth, said = posts["stance"] == "against", posts["said"] == "against"
    on = posts["stance"] != "off"
    present = [name for name in STANCES if (posts["stance"] == name).any()]
    return {
        "macro_f1": macro_f1(truth, said),
        "f1": f1(truth, said),
        "ap": average_precision(truth, posts["against"]),
        "on_topic_f1": f1(on, posts["said"] != "off"),
        "four_class_macro_f1": float(
            np.mean([f1(posts["stance"] == name, posts["said"] == name) for name in present])
        ),
        "ece": calibration_error(truth, posts["against"]),
        "share_true": float(truth.mean()),
        "share_said": float(said.mean()),
        "share_error": float(said.mean() - truth.mean()),
    }


def intervals(
    posts: Mapping[str, NDArray[Any]], threads: NDArray[Any], resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """95 % of each figure over bootstrap samples of whole threads (percentiles; seed fixed)."""
    _, number = np.unique(threads, return_inverse=True)
    members = [np.flatnonzero(number == i) for i in range(number.max() + 1)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(resamples):
        picked = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        drawn.append(measures({name: values[picked] for name, values in posts.items()}))
    return {
        name: tuple(np.nanpercentile([one[name] for one in drawn], [2.5, 97.5]))
        for name in drawn[0]
    }


def table(
    posts: list[Labelled],
    scorers: Mapping[str, Prediction],
    *,
    event: Callable[[Labelled], datetime | None] = lambda _: None,
) -> list[dict[str, Any]]:
    """A row for each scorer and set of posts: all, and for the first scorer each source, before and
    after the event of its case, length and language, where there are FEWEST of them.

    Keys: scorer, of, n, figures, and `interval` with (low, high) of each figure.
    """
    first = next(iter(scorers))
    truth = np.array([post.stance for post in posts])
    threads = np.array([post.thread for post in posts])
    rows = []
    for name, said in scorers.items():
        arrays = {
            "stance": truth,
            "said": np.array(said.stance),
            "against": said.against,
            "on": said.on,
        }
        for part, chosen in _parts(posts, event) if name == first else [("all", None)]:
            mask = np.ones(len(posts), bool) if chosen is None else chosen
            if chosen is not None and mask.sum() < FEWEST:
                continue
            here = {key: values[mask] for key, values in arrays.items()}
            rows.append(
                {
                    "scorer": name,
                    "of": part,
                    "n": int(mask.sum()),
                    **measures(here),
                    "interval": intervals(here, threads[mask]),
                }
            )
    return rows


def _parts(
    posts: list[Labelled], event: Callable[[Labelled], datetime | None]
) -> Iterable[tuple[str, Flags | None]]:
    yield "all", None
    sources = [post.source for post in posts]
    for source in sorted(set(sources)):
        here = np.array([name == source for name in sources])
        yield f"source {source}", here
        when = [event(post) if inside else None for post, inside in zip(posts, here, strict=True)]
        if any(when):
            for word in ("before", "after"):
                yield (
                    f"source {source}, {word} the event",
                    np.array(
                        [
                            at is not None
                            and post.at is not None
                            and (post.at < at) == (word == "before")
                            for post, at in zip(posts, when, strict=True)
                        ]
                    ),
                )
    long = np.array([len(post.text.split()) for post in posts])
    for low, high, name in BANDS:
        yield name, (long >= low) & (long <= high)
