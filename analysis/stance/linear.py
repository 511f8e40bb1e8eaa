"""Logistic models on sparse features, in numpy: their fit and their use.

Small on purpose: the shipped artefact has to be rebuilt to the same bytes, and labels of one's own
are fitted where nothing but numpy is installed. What the features mean: `analysis.stance.features`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MEMORY = 12  # steps that L-BFGS remembers


class Matrix(Protocol):
    """What `fit` asks of a matrix."""

    @property
    def width(self) -> int:
        """How many columns."""

    def times(self, weights: Floats) -> Floats:
        """height x outputs, of weights width x outputs."""

    def transposed_times(self, errors: Floats) -> Floats:
        """width x outputs, of errors height x outputs."""


@dataclass(frozen=True)
class Sparse:
    """A matrix by its filled places, row by row; every row may be empty."""

    rows: Ints
    columns: Ints
    values: Floats
    height: int
    width: int

    def times(self, weights: Floats) -> Floats:
        """height x outputs, of weights width x outputs."""
        return np.column_stack(
            [
                np.bincount(self.rows, self.values * column[self.columns], minlength=self.height)
                for column in weights.T
            ]
        )

    def transposed_times(self, errors: Floats) -> Floats:
        """width x outputs, of errors height x outputs."""
        return np.column_stack(
            [
                np.bincount(self.columns, self.values * column[self.rows], minlength=self.width)
                for column in errors.T
            ]
        )

    def take(self, chosen: NDArray[np.bool_]) -> Sparse:
        """The rows that are chosen, in their order."""
        place = np.cumsum(chosen) - 1
        kept = chosen[self.rows]
        return Sparse(
            place[self.rows[kept]],
            self.columns[kept],
            self.values[kept],
            int(chosen.sum()),
            self.width,
        )


def softmax(scores: Floats) -> Floats:
    """Shares of each row that add up to 1."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def sigmoid(scores: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * scores)))


def fit(
    x: Matrix,
    y: Floats,
    weight: Floats,
    *,
    ridge: float,
    exclusive: bool,
    start: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Weights (width x outputs) and intercepts of a logistic model with a quadratic penalty.

    y: height x outputs, shares 0..1; `exclusive`: one output holds for each row (softmax), else
    each for itself. Minimises the weighted sum of cross entropies plus ridge/2 * |weights|^2; the
    intercepts are free. `start`: scores (height x outputs) that are added before the link.
    """
    outputs = y.shape[1]
    link = softmax if exclusive else sigmoid
    offset = np.zeros_like(y) if start is None else start

    def loss(flat: Floats) -> tuple[float, Floats]:
        w = flat[: x.width * outputs].reshape(x.width, outputs)
        b = flat[x.width * outputs :]
        p = link(x.times(w) + b + offset)
        e = 1e-12
        fit_loss = y * np.log(p + e)
        if not exclusive:
            fit_loss = fit_loss + (1 - y) * np.log(1 - p + e)
        error = (p - y) * weight[:, None]
        value = -(fit_loss.sum(axis=1) * weight).sum() + ridge / 2 * (w * w).sum()
        slope = np.concatenate([(x.transposed_times(error) + ridge * w).ravel(), error.sum(axis=0)])
        return float(value), slope

    found = descend(loss, np.zeros((x.width + 1) * outputs))
    return found[: x.width * outputs].reshape(x.width, outputs), found[x.width * outputs :]


def descend(
    loss: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    steps: int = 400,
    near: float = 1e-4,
) -> Floats:
    """The minimum of a smooth convex function: L-BFGS (Nocedal and Wright 2006, algorithm 7.5) with
    backtracking. `loss` gives value and gradient. Ends when no slope is above `near`.
    """
    at = start
    value, slope = loss(at)
    moves: list[tuple[Floats, Floats, float]] = []
    for _ in range(steps):
        if np.abs(slope).max() < near:
            break
        way = -_newton(slope, moves)
        long, down = 1.0, float(slope @ way)
        if not moves:
            long = min(1.0, 1.0 / float(np.abs(slope).sum()))
        while True:
            there = at + long * way
            new_value, new_slope = loss(there)
            if new_value <= value + 1e-4 * long * down or long < 1e-10:
                break
            long /= 2
        moved, turned = there - at, new_slope - slope
        bend = float(moved @ turned)
        if bend > 1e-12:
            moves = [*moves[1 - MEMORY :], (moved, turned, 1 / bend)]
        if long < 1e-10:
            break
        at, value, slope = there, new_value, new_slope
    return at


def _newton(slope: Floats, moves: list[tuple[Floats, Floats, float]]) -> Floats:
    way = slope.copy()
    shares = []
    for moved, turned, scale in reversed(moves):
        share = scale * float(moved @ way)
        shares.append(share)
        way -= share * turned
    if moves:
        moved, turned, _ = moves[-1]
        way *= float(moved @ turned) / float(turned @ turned)
    for (moved, turned, scale), share in zip(moves, reversed(shares), strict=True):
        way += (share - scale * float(turned @ way)) * moved
    return way
