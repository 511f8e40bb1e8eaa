"""Fits the stance model to the invented posts: `make stance-model`.

Nothing else is read: no post of a real person has a part in the shipped weights. The few numbers
of ADJUST were chosen by looking at labelled real posts (docs/stance.md says which).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.stance.corpus import Example
from analysis.stance.features import Post, features
from analysis.stance.linear import Floats, Matrix, fit
from analysis.stance.model import REASONS, STANCES, Model, known, placed

NAME = "stance-1"
SCALES = {"word": 0.7, "pair": 0.5, "concept": 1.5, "link": 1.2, "around": 0.6}
LEAST = 2  # posts of the corpus that must hold a feature
RIDGE = 2.5
# Factor and shift of the first stage, factor and shifts (against, for, neutral) of the second.
ADJUST = (1.0, 0.0, 1.0, 0.0, 0.0, 0.0)

# How much an example counts by its kind. Negatives that were made hard on purpose are many times
# as frequent here as in any stream of posts, and everyday ones a fraction as frequent.
WEIGHTS = {
    "words of the topic in another sense": 0.3,
    "another platform's AI policy": 0.5,
    "twin": 0.5,
    "off-topic aside inside an on-topic thread": 0.5,
    "asks help using an AI feature / reports a bug in it": 0.5,
    "everyday chat, learning, hobby, questions about the platform without AI": 2.0,
}

# Kinds of posts that mean nothing, or something else, without the case or the thread.
BY_TARGET = ("another platform", "twin")
BY_THREAD = ("context", "thread", "answers")


class Fittable(Matrix, Protocol):
    """A matrix of which rows can be taken."""

    def take(self, chosen: NDArray[np.bool_]) -> Matrix:
        """The rows that are chosen, in their order."""


def build(examples: Sequence[Example]) -> Model:
    """The model of these posts.

    Each is read as it is, and again as it may be met: without a case, and without its thread, at
    half the weight, unless it means something else then.
    """
    posts, holders, weights = views(examples)
    found = features(posts)
    blocks = known(found, len(posts), SCALES, LEAST)
    x = placed(blocks, found, len(posts))
    held = [examples[i] for i in holders]
    w, b = fitted(x, held, np.array(weights), ridge=RIDGE, ridge_beside=RIDGE)
    # As the artefact holds them: what is measured here is what is shipped.
    rounded = w.astype(np.float16).astype(np.float32)
    return Model(blocks, rounded, np.round(b, 6), np.array(ADJUST, float), NAME)


def fitted(
    x: Fittable, held: Sequence[Example], weights: Floats, *, ridge: float, ridge_beside: float
) -> tuple[Floats, Floats]:
    """Weights (features x OUTPUTS) and intercepts: both stages, reasons of posts against, exit.

    `held` is the example of each row of x; `ridge_beside` is for reasons and exit.
    """
    weight = weights * [WEIGHTS.get(one.sort, 1.0) for one in held]
    on = np.array([one.stance != "off" for one in held])
    against = np.array([one.stance == "against" for one in held])
    stance = np.array([[one.stance == name for name in STANCES] for one in held], float)
    reasons = np.array([[name in one.reasons for name in REASONS] for one in held], float)
    leaving = np.array([[one.exit] for one in held], float)
    beside = x.take(against)
    parts = [
        fit(x, on[:, None].astype(float), weight, ridge=ridge, exclusive=False),
        fit(x.take(on), stance[on], weight[on], ridge=ridge, exclusive=True),
        fit(beside, reasons[against], weight[against], ridge=ridge_beside, exclusive=False),
        fit(x, leaving, weight, ridge=ridge_beside, exclusive=False),
    ]
    return np.concatenate([part for part, _ in parts], axis=1), np.concatenate(
        [part for _, part in parts]
    )


def views(examples: Sequence[Example]) -> tuple[list[Post], list[int], list[float]]:
    """Posts to learn from, the number of the example of each, and its weight."""
    posts: list[Post] = []
    holders: list[int] = []
    weights: list[float] = []

    def add(number: int, post: Post, weight: float) -> None:
        posts.append(post)
        holders.append(number)
        weights.append(weight)

    for number, example in enumerate(examples):
        add(number, example.post(), 1.0)
        anywhere = not any(word in example.sort for word in BY_TARGET)
        if anywhere:
            add(number, example.post(names=False), 0.5)
        if (example.title or example.parent) and not any(w in example.sort for w in BY_THREAD):
            add(number, example.post(names=not anywhere, around=False), 0.5)
    return posts, holders, weights


def digest(artefact: Path) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(artefact.read_bytes()).hexdigest()
