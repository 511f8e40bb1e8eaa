"""The stance model: which features count for what, and what follows for a post.

Two stages. The first says whether a post is about the platform's AI policy, the second where those
that are stand; reasons and exit are read beside them. An artefact is one file of arrays, no pickle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stance.features import BLOCKS, Features, Keys, Post, features
from analysis.stance.linear import Floats, Sparse, sigmoid, softmax

STANCES = ("against", "for", "neutral")
REASONS = ("consent", "theft", "sneaky", "privacy", "jobs", "quality", "trust")
OUTPUTS = ("on", *STANCES, *REASONS, "exit")
ARTEFACT = Path(__file__).with_name("model.npz")
AT_ONCE = 2_000  # posts
TYPICAL = 6.0  # length of the values of a post of middling length


@dataclass(frozen=True)
class Block:
    """The features of one kind that count: their keys, sorted, and how rare they are."""

    key: Keys
    rarity: Floats
    scale: float

    def place(self, found: Features, height: int, first: int) -> tuple[Any, Any, Any]:
        """Row, column and value of what is known of `found`.

        Each row is divided by the root of its length: a long post says more than a short one, but
        not as often as it repeats itself. (By its whole length: average precision .01 lower.)
        """
        if not len(self.key):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        at = np.minimum(np.searchsorted(self.key, found.key), len(self.key) - 1)
        known = self.key[at] == found.key
        rows, columns = found.post[known], at[known]
        values = (1 + np.log(found.count[known])) * self.rarity[columns]
        norm = np.sqrt(np.bincount(rows, values * values, minlength=height))
        return rows, columns + first, self.scale * values / np.sqrt(TYPICAL * norm[rows])


@dataclass(frozen=True)
class Model:
    """An artefact: blocks in the order of BLOCKS, weights (features x OUTPUTS), intercepts.

    `adjust` brings the scores to the scale on which they are probabilities of real posts: for the
    first stage a factor and a shift, for the second a factor and a shift for each stance.
    """

    blocks: tuple[Block, ...]
    weights: NDArray[np.float32]
    intercepts: Floats
    adjust: Floats
    name: str

    def matrix(self, posts: Sequence[Post]) -> Sparse:
        """The posts as the model sees them."""
        return placed(self.blocks, features(posts), len(posts))

    def scores(self, posts: Sequence[Post]) -> Floats:
        """posts x OUTPUTS: the two stages on the scale of `adjust`, the rest as fitted."""
        weights = self.weights.astype(float)
        parts = [
            self.matrix(posts[start : start + AT_ONCE]).times(weights)
            for start in range(0, len(posts), AT_ONCE)
        ]
        found = np.concatenate([np.empty((0, len(OUTPUTS))), *parts]) + self.intercepts
        return self.adjusted(found)

    def adjusted(self, scores: Floats) -> Floats:
        """Scores as fitted, on the scale of `adjust`."""
        found = scores.copy()
        found[:, 0] = self.adjust[0] * scores[:, 0] + self.adjust[1]
        found[:, 1:4] = self.adjust[2] * scores[:, 1:4] + self.adjust[3:6]
        return found

    def save(self, path: Path) -> None:
        """Write the artefact; the same model gives the same bytes."""
        arrays: dict[str, Any] = {
            "weights": self.weights.astype(np.float16),
            "intercepts": self.intercepts,
            "adjust": self.adjust,
            "name": np.array(self.name),
        }
        for name, block in zip(BLOCKS, self.blocks, strict=True):
            arrays[f"{name}_key"] = block.key
            arrays[f"{name}_rarity"] = block.rarity.astype(np.float16)
            arrays[f"{name}_scale"] = np.array(block.scale)
        np.savez_compressed(path, allow_pickle=False, **arrays)


def load(path: Path = ARTEFACT) -> Model:
    """The artefact in that file. Raises OSError and ValueError when it is none."""
    with np.load(path, allow_pickle=False) as arrays:
        blocks = tuple(
            Block(
                arrays[f"{name}_key"],
                arrays[f"{name}_rarity"].astype(float),
                float(arrays[f"{name}_scale"]),
            )
            for name in BLOCKS
        )
        return Model(
            blocks,
            arrays["weights"].astype(np.float32),
            arrays["intercepts"],
            arrays["adjust"],
            str(arrays["name"]),
        )


@cache
def shipped() -> Model:
    """The model that comes with Aftershock."""
    return load()


def placed(blocks: Sequence[Block], found: dict[str, Features], height: int) -> Sparse:
    """Features as a matrix: the blocks beside each other, a row for each of `height` posts."""
    first, parts = 0, []
    for name, block in zip(BLOCKS, blocks, strict=True):
        parts.append(block.place(found[name], height, first))
        first += len(block.key)
    rows, columns, values = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Sparse(rows, columns, values, height, first)


def known(
    found: dict[str, Features], height: int, scales: dict[str, float], least: int
) -> tuple[Block, ...]:
    """The blocks of what at least `least` of `height` posts hold."""
    blocks = []
    for name in BLOCKS:
        key, posts = np.unique(found[name].key, return_counts=True)
        kept = posts >= least
        # Smoothed inverse document frequency (as in Salton and Buckley 1988), to 16 bits.
        rarity = np.log((1 + height) / (1 + posts[kept])) + 1
        blocks.append(Block(key[kept], rarity.astype(np.float16).astype(float), scales[name]))
    return tuple(blocks)


def outcome(scores: Floats) -> dict[str, Floats]:
    """Probabilities: p_on_topic, p_against, p_for, p_neutral (of all posts, not of those on topic),
    and for each of REASONS and exit one of its own.
    """
    on = sigmoid(scores[:, 0])
    stance = softmax(scores[:, 1:4]) * on[:, None]
    others = sigmoid(scores[:, 4:])
    return {
        "p_on_topic": on,
        **{f"p_{name}": stance[:, i] for i, name in enumerate(STANCES)},
        **{name: others[:, i] for i, name in enumerate((*REASONS, "exit"))},
    }
