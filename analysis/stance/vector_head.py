"""What makes a stance of a sentence vector: its weights, beside those of concepts and their links.

`make stance-embeddings` runs this module, which fits them to the invented posts and to nothing
else. Knows no model of sentences: whoever calls it brings the vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.stance.concepts import names
from analysis.stance.corpus import Example, corpus
from analysis.stance.features import BLOCKS, Post, features
from analysis.stance.linear import Floats, Sparse
from analysis.stance.model import OUTPUTS, Block, known, placed
from analysis.stance.train import BY_TARGET, LEAST, fitted

SCALES = {"concept": 1.5, "link": 1.2, "around": 0.6}  # blocks of BLOCKS that are read; no words
VECTOR = 0.15  # what a standard deviation of a vector's number counts
RIDGE = 20.0  # of the two stages
RIDGE_BESIDE = 8.0  # of reasons and exit, which fewer posts have
# Of the first stage: the invented posts off topic were made hard, so real ones seem less on topic
# than they are. One of the settings that were chosen by looking at labelled posts.
SHIFT = 0.3
LANGUAGES = ("en", "fr")


@dataclass(frozen=True)
class Head:
    """An artefact: blocks in the order of BLOCKS, weights (their features, then those of the
    vector, x OUTPUTS), intercepts, and mean and spread of vectors by language.
    """

    blocks: tuple[Block, ...]
    weights: NDArray[np.float32]
    intercepts: Floats
    mean: NDArray[np.float32]  # LANGUAGES x numbers of a vector
    spread: NDArray[np.float32]

    def scores(self, posts: Sequence[Post], vectors: NDArray[Any]) -> Floats:
        """posts x OUTPUTS, for `analysis.stance.said`. A row of `vectors` for each post."""
        there = Beside(
            placed(self.blocks, features(posts), len(posts)),
            self.standard(vectors, [post.lang for post in posts]),
        )
        return there.times(self.weights.astype(float)) + self.intercepts

    def standard(self, vectors: NDArray[Any], langs: Sequence[str]) -> Floats:
        """Vectors of each language around 0: the same sentence in another language lies elsewhere
        (a head for English read French at .35 macro-F1 as it is, at .53 so).
        """
        place = np.array([LANGUAGES.index("fr" if lang == "fr" else "en") for lang in langs], int)
        apart = vectors.astype(float) - self.mean[place]
        return np.asarray(VECTOR * apart / self.spread[place])

    def save(self, path: Path) -> None:
        """Write the artefact; the same head gives the same bytes."""
        arrays: dict[str, Any] = {
            "weights": self.weights.astype(np.float16),
            "intercepts": self.intercepts,
            "mean": self.mean,
            "spread": self.spread,
            "concepts": np.array(_concepts()),
        }
        for name, block in zip(BLOCKS, self.blocks, strict=True):
            if name in SCALES:
                arrays[f"{name}_key"] = block.key
                arrays[f"{name}_rarity"] = block.rarity.astype(np.float16)
        np.savez_compressed(path, allow_pickle=False, **arrays)


class Beside:
    """Sparse features and vectors beside each other, as `linear.fit` takes a matrix."""

    def __init__(self, sparse: Sparse, dense: Floats) -> None:
        self.sparse, self.dense = sparse, dense
        self.width = sparse.width + dense.shape[1]

    def times(self, weights: Floats) -> Floats:
        """height x outputs, of weights width x outputs."""
        at = self.sparse.width
        return np.asarray(self.sparse.times(weights[:at]) + self.dense @ weights[at:])

    def transposed_times(self, errors: Floats) -> Floats:
        """width x outputs, of errors height x outputs."""
        return np.concatenate([self.sparse.transposed_times(errors), self.dense.T @ errors])

    def take(self, chosen: NDArray[np.bool_]) -> Beside:
        """The rows that are chosen, in their order."""
        return Beside(self.sparse.take(chosen), self.dense[chosen])


def load(path: Path) -> Head:
    """The artefact in that file. Raises OSError and ValueError when it is none, or when concepts
    were renumbered since it was made.
    """
    with np.load(path, allow_pickle=False) as arrays:
        if str(arrays["concepts"]) != _concepts():
            raise ValueError(f"{path} was fitted to other concepts: run make stance-embeddings.")
        blocks = tuple(
            Block(
                arrays[f"{name}_key"], arrays[f"{name}_rarity"].astype(float), float(SCALES[name])
            )
            if name in SCALES
            else _NOTHING
            for name in BLOCKS
        )
        return Head(
            blocks,
            arrays["weights"].astype(np.float32),
            arrays["intercepts"],
            arrays["mean"],
            arrays["spread"],
        )


def build(examples: Sequence[Example], vectors: NDArray[Any]) -> Head:
    """The head for these posts and their vectors. Each is read as it is and, at half the weight,
    without its case, unless it means something else then.
    """
    posts, holders, weights = _views(examples)
    found = features(posts)
    scales = {name: SCALES.get(name, 0.0) for name in BLOCKS}
    every = known(found, len(posts), scales, LEAST)
    blocks = tuple(
        block if name in SCALES else _NOTHING for name, block in zip(BLOCKS, every, strict=True)
    )
    of = np.array([example.lang for example in examples])
    each = vectors.astype(float)
    head = Head(
        blocks,
        np.empty((0, len(OUTPUTS)), np.float32),
        np.empty(0),
        np.array([each[of == lang].mean(axis=0) for lang in LANGUAGES], np.float32),
        np.array([each[of == lang].std(axis=0) for lang in LANGUAGES], np.float32),
    )
    dense = head.standard(vectors[holders], [post.lang for post in posts])
    x = Beside(placed(blocks, found, len(posts)), dense)
    held = [examples[i] for i in holders]
    w, b = fitted(x, held, np.array(weights), ridge=RIDGE, ridge_beside=RIDGE_BESIDE)
    b[0] += SHIFT
    return Head(
        blocks, w.astype(np.float16).astype(np.float32), np.round(b, 6), head.mean, head.spread
    )


_NOTHING = Block(np.empty(0, np.uint64), np.empty(0), 0.0)


def _views(examples: Sequence[Example]) -> tuple[list[Post], list[int], list[float]]:
    posts, holders, weights = [], [], []
    for number, example in enumerate(examples):
        anywhere = not any(word in example.sort for word in BY_TARGET)
        for named, weight in [(True, 1.0), (False, 0.5)][: 1 + anywhere]:
            posts.append(example.post(names=named))
            holders.append(number)
            weights.append(weight)
    return posts, holders, weights


def _concepts() -> str:
    return hashlib.sha256("\n".join(names()).encode()).hexdigest()[:16]


def main() -> None:
    """Fit the head anew and write it beside `embeddings`; vectors are kept for the next time."""
    from analysis.stance import embeddings  # noqa: PLC0415 - it reads this module

    examples = corpus()
    texts = [embeddings.joined(example.post()) for example in examples]
    cache = Path(".artifacts") / "stance-vectors.sqlite"
    build(examples, embeddings.vectors(texts, cache)).save(embeddings.ARTEFACT)


if __name__ == "__main__":
    main()
