"""Boundary value problems: the velocity that arrives."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np

from lnegeom._array import GeometryError, InputError
from lnegeom.geodesics._arrays import Vector
from lnegeom.geodesics._march import BRIEF, TOLERANCE, unavoidable
from lnegeom.geodesics._ode import Transport

_ROUNDS = 15
"""Broyden's method needs about six where y lies in a convex ball."""
_COARSE, _FINER = 1e-6, 1e-3
"""The tolerance of the first round's integration, and that of later ones next to what the last one missed."""
_DENSE = 50
"""Up to this dimension, collocation's Jacobian is formed."""
_POINTS = 1500
"""Points, times the dimension, at which collocation asks for the connection before it is called off."""


class Shot(NamedTuple):
    """Velocities ``(r, n)``, by how much each misses ``(r,)``, and whether that is near enough ``(r,)``."""

    velocities: Vector
    missed: Vector
    arrived: Vector


def shoot(transport: Transport, x: Vector, y: Vector) -> Shot:
    """The velocities at points x of geodesics that are at y at time 1, all ``(r, n)``.

    Broyden's method, which forms no matrix, from the identity, the derivative of exp at 0. Where that does
    not converge, up to 50 dimensions, again from what collocation finds near the chart's straight line.
    """
    start = y - x
    attempt = _Attempt(transport, x, y)
    goal = 100 * attempt.tolerance * (1 + np.abs(y).max(axis=1))
    # The second-order retraction's inverse starts the iteration an order closer than the straight line does.
    every = np.arange(len(x))
    attempt.run(every, start + transport.bend(x, start, start[:, None])[:, 0] / 2)
    far = np.flatnonzero(attempt.missed > goal)
    if far.size and x.shape[1] <= _DENSE:
        guesses = [_collocated(transport, x[row], y[row]) for row in far]
        found = [i for i, guess in enumerate(guesses) if guess is not None]
        if found:
            attempt.run(far[found], np.array([guesses[i] for i in found]))
    return Shot(attempt.best, attempt.missed, attempt.missed <= goal)


class _Attempt:
    """The best velocities so far."""

    def __init__(self, transport: Transport, x: Vector, y: Vector):
        self.transport, self.x, self.y = transport, x, y
        self.best, self.missed = np.zeros_like(x), np.full(len(x), np.inf)
        noise = transport.noise_of(states := np.concatenate([x, y - x], axis=1))
        least = np.zeros(len(x)) if noise is None else unavoidable(noise(states), np.array([0.0, 1.0]))
        self.tolerance = np.maximum(TOLERANCE, least)
        self.lengths = np.full(len(x), np.nan)  # of the steps that the last geodesic ended with

    def run(self, rows: Vector, v: Vector) -> None:
        """Broyden's good method, row by row: the inverse derivative is the identity and a few ``a bᵀ``.

        A geodesic that misses by much need not be known exactly: its tolerance follows what the last missed.
        """
        used = np.maximum(_COARSE, self.tolerance[rows])
        gap = self._gap(rows, v, used)
        pairs: list[tuple[Vector, Vector]] = []
        with np.errstate(all="ignore"):  # what overflows is no longer pursued
            for _ in range(_ROUNDS):
                least, miss = self.tolerance[rows], np.abs(gap).max(axis=1)
                on = np.isfinite(miss) & ((miss > least) | (used > least))
                if not on.any():
                    return
                rows, v, gap, pairs = rows[on], v[on], gap[on], [(a[on], b[on]) for a, b in pairs]
                used = np.clip(_FINER * miss[on], least[on], used[on])
                step = -_applied(pairs, gap)
                v, before = v + step, gap
                gap = self._gap(rows, v, used)
                back = _applied(pairs, gap - before)
                scale = _dots(step, back)
                scale[scale == 0] = 1  # no step, and nothing to learn from it
                pairs.append(((step - back) / scale, _applied([pair[::-1] for pair in pairs], step)))

    def _gap(self, rows: Vector, v: Vector, tolerance: Vector) -> Vector:
        """By how much velocities miss, NaN where they lead out; the best are kept."""
        gap = np.full_like(v, np.nan)
        good = np.flatnonzero(np.isfinite(v.sum(axis=1)))
        if good.size:
            at = rows[good]
            found = self.transport.ends(
                self.x[at], v[good], tolerance=tolerance[good], effort=BRIEF, first=self.lengths[at]
            )
            gap[good] = np.where(found.arrived[:, None], found.states[:, 0] - self.y[at], np.nan)
            self.lengths[at] = np.where(found.arrived, found.lengths, np.nan)
        missed = np.nan_to_num(np.abs(gap).max(axis=1), nan=np.inf) + tolerance - self.tolerance[rows]
        better = missed < self.missed[rows]
        self.best[rows[better]], self.missed[rows[better]] = v[better], missed[better]
        return gap


def _applied(pairs: list[tuple[Vector, Vector]], vectors: Vector) -> Vector:
    """``(I + Σ a bᵀ) v`` of each row."""
    result = vectors.copy()
    for a, b in pairs:
        result += a * _dots(b, vectors)
    return result


def _dots(a: Vector, b: Vector) -> Vector:
    products: Vector = (a * b).sum(axis=1, keepdims=True)
    return products


def _collocated(transport: Transport, x: Vector, y: Vector) -> Vector | None:
    """The initial velocity, by scipy's collocation of fourth order; None if that leaves the chart."""
    from scipy.integrate import solve_bvp

    n, step, spent = x.size, (y - x)[:, None], 0
    times = np.linspace(0, 1, 21)

    def slope(_: Vector, states: Vector) -> Vector:
        nonlocal spent
        spent += states.shape[1]
        if spent > _POINTS * n:
            raise GeometryError("collocation does not converge")
        points, velocities = states[:n].T, states[n:].T
        return np.vstack([states[n:], -transport.bend(points, velocities, velocities[:, None])[:, 0].T])

    def ends(first: Vector, last: Vector) -> Vector:
        return np.concatenate([first[:n] - x, last[:n] - y])

    guess = np.vstack([x[:, None] + step * times, np.broadcast_to(step, (n, times.size))])
    with np.errstate(all="ignore"), contextlib.suppress(InputError):
        velocity: Vector = solve_bvp(slope, ends, times, guess, tol=1e-3, max_nodes=500).y[n:, 0]
        return velocity
    return None
