"""What labels of one's own can do: word counts fitted to the very posts, the bar to beat.

Nothing that is fitted here is shipped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.stance.evaluate import Labelled
from analysis.stance.features import BLOCKS, Post, features
from analysis.stance.linear import Floats, fit, sigmoid
from analysis.stance.model import known, placed

FOLDS = 5
# Words and pairs of words only, as anybody's first attempt has them.
SCALES = {name: {"word": 1.0, "pair": 0.7}.get(name, 0.0) for name in BLOCKS}


def crossed(posts: Sequence[Labelled]) -> Floats:
    """p_against of each post by tf-idf of words fitted to the posts of all other threads' folds."""
    y = np.array([[post.stance == "against"] for post in posts], float)
    read = [Post(post.text) for post in posts]
    found = np.full(len(posts), y.mean())
    for held in folds([post.thread for post in posts]):
        there = features([post for post, out in zip(read, held, strict=True) if not out])
        blocks = known(there, int((~held).sum()), SCALES, 2)
        x = placed(blocks, there, int((~held).sum()))
        w, b = fit(x, y[~held], np.ones(len(y[~held])), ridge=1.0, exclusive=False)
        here = features([post for post, out in zip(read, held, strict=True) if out])
        found[held] = sigmoid(placed(blocks, here, int(held.sum())).times(w) + b)[:, 0]
    return found


def folds(threads: Sequence[str]) -> list[NDArray[np.bool_]]:
    """For each of FOLDS, which posts are held out; a thread is never divided."""
    names, number = np.unique(np.array(threads), return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names)) % FOLDS
    return [fold[number] == i for i in range(FOLDS)]
