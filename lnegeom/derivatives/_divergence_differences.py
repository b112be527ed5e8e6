"""Eguchi's relations by differences: third and fourth derivatives of a divergence, on numpy float64.

They are differences of differences with one step for all levels, in units of each coordinate's own, which is
shortened until successive results settle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lnegeom.derivatives._differences import (
    FIRST_STEP,
    Converged,
    Doubles,
    converged,
    differences,
    recorded,
    slopes,
)

# Of successive steps. Fourth derivatives leave a narrow window between truncation and rounding.
_RATIO = 2**-0.5

# The first step in each coordinate, next to the best one along its axis alone.
_STEPS_ABOVE = 4.0

Values = Callable[[Doubles, Doubles], Doubles]
Sample = Callable[[Values, Doubles, Doubles], tuple[Doubles, ...]]


def in_best_units(values: Values, sample: Sample, points: Doubles, order: int) -> Converged:
    """Converged differences, each coordinate in units of its own.

    Near an edge of the domain one coordinate may allow short steps only, in which rounding would drown the
    derivatives in the others. So the best step along each axis alone is found first, by the same differences.
    """
    units = np.maximum(1.0, np.abs(points))
    for a, axis in enumerate(np.eye(points.shape[-1])[:, None, :]):
        alone = _converged_in(units[:, a, None, None] * axis, values, sample, points, order)
        units[:, a] *= _STEPS_ABOVE * np.where(np.isfinite(alone.step), alone.step, 1.0) / FIRST_STEP
    frame = units[:, :, None] * np.eye(points.shape[-1])
    found = _converged_in(frame, values, sample, points, order)
    arrays = []
    for array in found.arrays:
        shaped = array
        for axis in range(2 if array.ndim > order + 1 else 1, array.ndim):  # past B, and the pair of symbols
            shaped = shaped / np.expand_dims(units, tuple(k for k in range(1, array.ndim) if k != axis))
        arrays.append(shaped)
    return found._replace(arrays=tuple(arrays), error=found.error / units.min(axis=-1) ** order)


def _converged_in(frame: Doubles, values: Values, sample: Sample, points: Doubles, order: int) -> Converged:
    """Differences along the rows of frames ``(B, m, n)``, in the m coordinates that belong to them."""
    _, m, n = frame.shape

    def noted(state: Doubles, step: Doubles) -> tuple[Doubles, ...]:
        at, rows = state[:, :n], state[:, n:].reshape(-1, m, n)

        def framed(*pair: Doubles) -> Doubles:
            moved = (at + (y.reshape(-1, len(at), 1, m) @ rows)[:, :, 0, :] for y in pair)
            return values(*moved).reshape(pair[0].shape[:-1])

        noting, largest = recorded(framed, len(at))
        return largest, *sample(noting, np.zeros((len(at), m)), step)

    state = np.concatenate([points, frame.reshape(-1, m * n)], axis=-1)
    return converged(noted, state, order, ratio=_RATIO, length=np.ones(len(points)))


def _bend(values: Values, p: Doubles, q: Doubles, step: Doubles) -> Doubles:
    """``∂_i ∂_j D(p, q)``, derivatives in p, ``(..., n, n)`` from ``(..., n)`` and steps ``(...)``."""
    n = p.shape[-1]
    flat, other, steps = p.reshape(-1, n), q.reshape(-1, n), step.reshape(-1)

    def function(y: Doubles) -> Doubles:
        return values(y, np.broadcast_to(other, y.shape))

    return differences(function, flat, function(flat), steps)[1].reshape((*p.shape, n))


def metric_function(values: Values, step: Doubles) -> Callable[[Doubles], Doubles]:
    """``g_ij`` at points ``(..., B, n)``, by differences of steps ``(B,)``."""
    return lambda y: _bend(values, y, y, np.broadcast_to(step, y.shape[:-1]))


def third_derivatives(values: Values, points: Doubles, step: Doubles) -> Doubles:
    """Both ``Γ_{ij,k} = −∂_i ∂_j ∂'_k D``, ``(..., 2, k, i, j)``."""
    n = points.shape[-1]
    flat, steps = points.reshape(-1, n), step.reshape(-1)

    def slope(function: Values) -> Doubles:
        def bend(q: Doubles) -> Doubles:
            return _bend(function, np.broadcast_to(flat, q.shape), q, np.broadcast_to(steps, q.shape[:-1]))

        return slopes(bend, flat, steps)

    pair = np.stack([slope(values), slope(lambda p, q: values(q, p))], axis=1)
    return -np.moveaxis(pair, -1, 2).reshape((*points.shape[:-1], 2, n, n, n))
