"""Gradient descent to Fréchet means."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, InputError, dot
from lnegeom.geodesics._arrays import Vector, at, returner, values_of
from lnegeom.geodesics._maps import exp, velocity_between
from lnegeom.geodesics._march import TOLERANCE
from lnegeom.metrics import Metric

_HALVINGS = 30
"""Of a step, before it is given up."""
_TRACED = "means are found by steps that look at values: call it outside of them, or under jax.grad alone"


class Pulls(NamedTuple):
    """At points ``(r, n)``: the mean logarithm, the mean of squared norms, the mean's own squared norm.

    And the norm of the error that integration leaves in the mean logarithm; 0 for a closed form.
    """

    pull: Array
    variance: Array
    square: Array
    error: Array


class Descent:
    """Gradient descent of many variances at once, each with a step of its own."""

    def __init__(
        self, metric: Metric, xp: Any, points: Array, weights: Array, x: Array, batch: tuple[int, ...]
    ):
        self.metric, self.xp, self.points, self.weights, self.x = metric, xp, points, weights, x
        self.pulls = self._named_pulls(batch)
        self.steps = np.zeros(x.shape[0], dtype=int)
        self.converged = np.zeros(x.shape[0], dtype=bool)

    def norms(self) -> Vector:
        """The norms of the gradients, ``(r,)``."""
        return _roots(self.pulls.square)

    def run(self, tolerance: float | None, most: int) -> None:
        """Descend until every gradient is small enough, or no step lowers the variance.

        Without a tolerance, small enough is also one within its error that a step does not lower.
        """
        resolution = 100 * float(self.xp.finfo(self.x.dtype).eps)
        goal = (max(1e-10, resolution) if tolerance is None else tolerance) * _roots(self.pulls.variance)
        sizes, halved = np.ones(len(goal)), np.zeros(len(goal), dtype=int)
        while True:
            norms = self.norms()
            within = norms <= values_of(self.pulls.error, _TRACED)
            stuck = halved >= np.where(within, 1, _HALVINGS)
            self.converged = (norms <= goal) | (stuck & within & (tolerance is None))
            rows = np.flatnonzero(~self.converged & ~stuck & (self.steps < most))
            if not rows.size:
                return
            lower = self._step(rows, sizes[rows])
            self.steps[rows[lower]] += 1
            sizes[rows] = np.where(lower, np.minimum(1.0, 2 * sizes[rows]), sizes[rows] / 2)
            halved[rows] = np.where(lower, 0, halved[rows] + 1)

    def _step(self, rows: Vector, sizes: Vector) -> Vector:
        """Move those rows whose variance a step of this size lowers; return which these are."""
        xp, old = self.xp, Pulls(*(self._taken(part, rows) for part in self.pulls))
        lengths = returner(self.x)(sizes)
        trial, new = self._trial(rows, lengths[:, None] * old.pull)
        # Armijo's condition; where the change is below rounding or integration's error, the gradient decides
        before, after = (values_of(part.variance, _TRACED) for part in (old, new))
        norms, later = _roots(old.square), _roots(new.square)
        noise = 10 * float(xp.finfo(self.x.dtype).eps) * before
        noise = noise + 2 * np.sqrt(before) * values_of(old.error, _TRACED)
        drop = before - after
        lower: Vector = (drop >= sizes * norms**2 / 2) | ((np.abs(drop) <= noise) & (later < norms))
        self.x = self._merged(self.x, trial, rows, lower)
        self.pulls = Pulls(*(self._merged(a, b, rows, lower) for a, b in zip(self.pulls, new, strict=True)))
        return lower

    def _trial(self, rows: Vector, steps: Array) -> tuple[Array, Pulls]:
        """Points after steps, and what pulls there; where that is out of the chart, an infinite variance."""
        x, points, weights = (self._taken(part, rows) for part in (self.x, self.points, self.weights))
        xp = self.xp
        try:
            trial = exp(self.metric, x, steps)
            return trial, pulls(self.metric, xp, trial, points, weights)
        except GeometryError:
            if len(rows) == 1:
                never = xp.full_like(x[:, 0], np.inf)
                return x, Pulls(steps, never, never, never)
        middle = len(rows) // 2
        first, second = (
            self._trial(rows[:middle], steps[:middle, :]),
            self._trial(rows[middle:], steps[middle:, :]),
        )
        both = (xp.concat(pair, axis=0) for pair in zip(first[1], second[1], strict=True))
        return xp.concat([first[0], second[0]], axis=0), Pulls(*both)

    def _named_pulls(self, batch: tuple[int, ...]) -> Pulls:
        """What pulls at the start, where an error names the first of the batch that causes it."""
        arrays = self.x, self.points, self.weights
        try:
            return pulls(self.metric, self.xp, *arrays)
        except InputError:
            for row in range(self.x.shape[0]):
                try:
                    pulls(self.metric, self.xp, *(array[row : row + 1, ...] for array in arrays))
                except GeometryError as error:
                    prefix, index = at(row, batch)
                    prefix = prefix.replace("x", "points")
                    raise GeometryError(f"{prefix}{error}", index=index, value=error.value) from None
            raise

    def _taken(self, array: Array, rows: Vector) -> Array:
        return self.xp.take(array, self.xp.asarray(rows, device=array_api_compat.device(array)), axis=0)

    def _merged(self, old: Array, new: Array, rows: Vector, good: Vector) -> Array:
        """The old rows, of which some are replaced."""
        order = np.arange(old.shape[0])
        order[rows[good]] = old.shape[0] + np.flatnonzero(good)
        return self._taken(self.xp.concat([old, new], axis=0), order)


def pulls(metric: Metric, xp: Any, x: Array, points: Array, weights: Array) -> Pulls:
    """At points ``(r, n)``, towards points ``(r, k, n)`` with weights ``(r, k)``."""
    v, missed, _ = velocity_between(metric, xp, x[:, None, :], points)
    local, wide = metric._local(xp, x), metric._local(xp, x[:, None, :])
    squares = dot(xp, v, metric._flat(xp, wide, v))
    pull = xp.sum(weights[..., None] * v, axis=1)
    square = dot(xp, pull, metric._flat(xp, local, pull))
    error = xp.zeros_like(square)
    if not metric.closed_form_geodesics:
        inexact = missed + TOLERANCE * (1 + xp.max(xp.abs(points), axis=-1))  # of an entry of v
        largest = xp.max(xp.abs(v), axis=-1)
        moves = largest > 0
        scale = xp.sqrt(squares) / xp.where(moves, largest, xp.ones_like(largest))
        error = xp.sum(weights * inexact * scale, axis=1)
    return Pulls(pull, xp.sum(weights * squares, axis=1), square, error)


def _roots(squares: Array) -> Vector:
    roots: Vector = np.sqrt(np.maximum(0.0, values_of(squares, _TRACED)))
    return roots
