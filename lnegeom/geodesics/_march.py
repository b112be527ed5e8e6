"""Many initial value problems at once, each with a time, a step and a tolerance of its own.

The method is that of scipy's DOP853, of eighth order, whose coefficients are used. scipy itself takes one
system, whose parts share their steps: one geodesic near an edge would then slow down all others, and their
errors would be controlled on average only. Here, rows share nothing but the calls of the slope.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lnegeom._array import InputError
from lnegeom.geodesics._arrays import Vector

Slope = Callable[[Vector], Vector]
"""Maps states ``(r, s)`` to their rates of change."""
Noise = Callable[[Vector], Vector]
"""Maps states ``(r, s)`` to the error ``(r,)`` of an entry of their slope."""

TOLERANCE = 1e-10
"""Of an integration step, relative and absolute, where rounding is the connection's only error."""


class Effort(NamedTuple):
    """How far to go before an end is called near: the number of steps, and the length of the shortest."""

    steps: float
    shortest: float


THOROUGH = Effort(np.inf, 1e-12)
BRIEF = Effort(300, 1e-3)
_STALL, _PACE = 100, 1e-4
"""Steps that together advance by less than this part of the time before them approach an edge without end."""
_BLOCK = 2**17
"""Numbers in the states of rows that march together: more would not stay in cache."""
_SAFETY, _LEAST, _MOST = 0.9, 0.2, 10.0
"""How far a step is from the longest that its error allows, and how fast it may change (Hairer, Nørsett and
Wanner, *Solving Ordinary Differential Equations I*, II.4)."""


class Marched(NamedTuple):
    """What became of the rows.

    Attributes
    ----------
    states : array, shape (r, T, s)
        At the times that were reached; beyond, the last of these states.
    counts : array of int, shape (r,)
        How many times were reached.
    reached : array, shape (r,)
        The last time of a state that is good.
    lengths : array, shape (r,)
        Of the step that would come next.
    """

    states: Vector
    counts: Vector
    reached: Vector
    lengths: Vector


def march(
    slope: Slope,
    states: Vector,
    times: Vector,
    tolerance: float | Vector = TOLERANCE,
    effort: Effort = THOROUGH,
    noise: Noise | None = None,
    first: Vector | None = None,
) -> Marched:
    """Carry states ``(r, s)`` from the first of the increasing times to the others.

    Rows may have tolerances ``(r,)`` of their own, and lengths ``(r,)`` of the first steps to try, NaN where
    that is not known. A tolerance below what `noise` adds up to over all the time would shrink the steps
    without end and gain nothing, so it is raised.

    An error within a step, from a stage outside the manifold or where no derivatives are to be had, shortens
    the steps of that row, from its last good state on; at the first state it is raised. A row ends where no
    step is short enough, or all are spent; or where velocities grow without bound and steps shrink with what
    time is left.
    """
    size = max(1, _BLOCK // states.shape[1])
    tolerances = np.broadcast_to(tolerance, len(states))
    firsts = np.full(len(states), np.nan) if first is None else first
    parts = [slice(i, i + size) for i in range(0, len(states), size)]
    blocks = [
        _March(slope, states[part], times, tolerances[part], effort, noise, firsts[part]).run()
        for part in parts
    ]
    return blocks[0] if len(blocks) == 1 else Marched(*map(np.concatenate, zip(*blocks, strict=True)))


def unavoidable(noise: Vector, times: Vector) -> Vector:
    """The least tolerance of a step that makes sense over the times, for slopes with an error."""
    return noise * float(times[-1] - times[0])


class _Step(NamedTuple):
    """An attempt of some rows: their old states, step lengths, new states, and the slopes of all stages."""

    old: Vector
    length: Vector
    new: Vector
    stages: Vector


class _March:
    def __init__(
        self,
        slope: Slope,
        states: Vector,
        times: Vector,
        tolerance: Vector,
        effort: Effort,
        noise: Noise | None,
        first: Vector,
    ):
        from scipy.integrate import DOP853

        self.method, self.slope, self.times, self.effort, self.noise = DOP853, slope, times, effort, noise
        rows = len(states)
        self.kept = np.repeat(states[:, None], len(times), axis=1)
        self.counts = np.ones(rows, dtype=int)
        self.now = np.full(rows, times[0])
        self.mark = self.now.copy()  # where the last stall check was
        self.state, self.rate = states.copy(), slope(states)  # a first point that is not valid raises here
        self.least = tolerance
        self.tolerance = self._tolerances(np.arange(rows))
        self.longest = np.full(rows, np.inf)
        self.growth = np.full(rows, _MOST)  # 1 after a step that was too long
        self.tried, self.taken = np.zeros(rows, dtype=int), np.zeros(rows, dtype=int)
        known = np.isfinite(first)
        self.length = first.copy() if known.all() else np.where(known, first, self._first_lengths())

    def run(self) -> Marched:
        """March all rows to their ends."""
        rows = np.arange(len(self.state))
        with np.errstate(
            over="ignore", invalid="ignore", divide="ignore"
        ):  # a row that overflows is rejected
            while rows.size:
                rows = rows[self._advance(rows)]
        for kept, count in zip(self.kept, self.counts, strict=True):
            kept[count:] = kept[count - 1]
        return Marched(self.kept, self.counts, self.now, self.length)

    def _tolerances(self, rows: Vector) -> Vector:
        if self.noise is None:
            return self.least[rows]
        return np.maximum(self.least[rows], unavoidable(self.noise(self.state[rows]), self.times))

    def _first_lengths(self) -> Vector:
        """Steps after which a first and a second derivative still tell about the state (ibid., II.4.14)."""
        scale = self.tolerance[:, None] * (1 + np.abs(self.state))
        d0, d1 = _size(self.state / scale), _size(self.rate / scale)
        far = (d0 >= 1e-5) & (d1 >= 1e-5)
        first = np.where(far, 0.01 * d0 / np.where(far, d1, 1), 1e-6)
        first = np.minimum(first, self.times[-1] - self.times[0])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            later = _rates(self.slope, self.state + first[:, None] * self.rate)
            d2 = _size((later - self.rate) / scale) / first
            second = (0.01 / np.maximum(d1, np.where(np.isfinite(d2), d2, 0))) ** (1 / 8)
        still = np.maximum(d1, d2) <= 1e-15
        second = np.where(still, np.maximum(1e-6, 1e-3 * first), second)
        lengths: Vector = np.where(np.isfinite(d2), np.minimum(100 * first, second), first)
        return lengths

    def _advance(self, rows: Vector) -> Vector:
        """One attempt of each row, and a mask of the rows that go on."""
        end = self.times[-1]
        length = np.minimum(np.minimum(self.length[rows], self.longest[rows]), end - self.now[rows])
        step = self._attempt(rows, length)
        error = self._error(step, self.tolerance[rows])
        self.tried[rows] += 1
        then = np.where(length < end - self.now[rows], self.now[rows] + length, end)
        good = error < 1
        good = self._keep(rows, step, then, good)
        failed = ~good & ~(error >= 1)
        self._lengthen(rows, length, error, good)
        self.longest[rows] = np.where(failed, length / 4, 2 * self.longest[rows])
        moved = rows[good]
        self.state[moved], self.rate[moved], self.now[moved] = (
            step.new[good],
            step.stages[12][good],
            then[good],
        )
        if self.noise is not None and moved.size:
            self.tolerance[moved] = self._tolerances(moved)
        return self._goes_on(rows, moved)

    def _attempt(self, rows: Vector, length: Vector) -> _Step:
        """The stages of a step; of a row that leaves the manifold in one of them, NaN from there on."""
        old, wide = self.state[rows], length[:, None]
        stages = np.empty((13, *old.shape))
        stages[0] = self.rate[rows]
        for i in range(1, 12):
            moved = np.tensordot(self.method.A[i, :i], stages[:i], axes=1)
            stages[i] = _rates(self.slope, old + wide * moved)
        new = old + wide * np.tensordot(self.method.B, stages[:12], axes=1)
        stages[12] = _rates(self.slope, new)
        return _Step(old, length, new, stages)

    def _error(self, step: _Step, tolerance: Vector) -> Vector:
        """The error of a step by its tolerance, from embedded formulas of orders 5 and 3 (ibid., II.10)."""
        scale = tolerance[:, None] * (1 + np.maximum(np.abs(step.old), np.abs(step.new)))
        fifth = _size(np.tensordot(self.method.E5, step.stages, axes=1) / scale) ** 2
        third = _size(np.tensordot(self.method.E3, step.stages, axes=1) / scale) ** 2
        total = fifth + 0.01 * third
        return np.where(total == 0, 0, step.length * fifth / np.sqrt(np.where(total == 0, 1, total)))

    def _lengthen(self, rows: Vector, length: Vector, error: Vector, good: Vector) -> None:
        factor = _SAFETY * np.where(error > 0, error, 1e-16) ** (-1 / 8)
        factor = np.where(good, np.minimum(factor, self.growth[rows]), np.maximum(factor, _LEAST))
        self.length[rows] = np.where(np.isfinite(error), factor, 1 / 4) * length
        self.growth[rows] = np.where(good, _MOST, 1.0)

    def _goes_on(self, rows: Vector, moved: Vector) -> Vector:
        self.taken[moved] += 1
        now, end = self.now[rows], self.times[-1]
        most = np.minimum(self.length[rows], self.longest[rows])
        going: Vector = (now < end) & (self.tried[rows] < self.effort.steps)
        going &= (self.longest[rows] >= self.effort.shortest * max(1.0, end)) & (most > 10 * np.spacing(now))
        checked = (self.taken[rows] % _STALL == 0) & np.isin(rows, moved)
        going &= ~(checked & (now - self.mark[rows] < _PACE * (self.mark[rows] - self.times[0])))
        self.mark[rows[checked]] = now[checked]
        return going

    def _keep(self, rows: Vector, step: _Step, then: Vector, good: Vector) -> Vector:
        """Record the states at the times passed in good steps; a mask of those that prove good there too."""
        before, after = self.counts[rows], np.searchsorted(self.times, then, side="right")
        passed = good & (after > before)
        within = passed & (self.times[before] < then)
        if within.any():
            part = _Step(step.old[within], step.length[within], step.new[within], step.stages[:, within])
            good = good.copy()
            good[within] = self._interpolate(rows[within], part, before[within], after[within])
        for i in np.flatnonzero(passed & good & (self.times[after - 1] == then)):
            self.kept[rows[i], after[i] - 1] = step.new[i]
        self.counts[rows[good]] = after[good]
        return good

    def _interpolate(self, rows: Vector, step: _Step, before: Vector, after: Vector) -> Vector:
        """States at times within steps, by the method's polynomial of seventh order (ibid., II.6)."""
        wide, stages = step.length[:, None], np.concatenate([step.stages, np.empty((3, *step.old.shape))])
        for i, weights in enumerate(self.method.A_EXTRA, start=13):
            moved = np.tensordot(weights[:i], stages[:i], axes=1)
            stages[i] = _rates(self.slope, step.old + wide * moved)
        gap = step.new - step.old
        first, last = wide * stages[0], wide * stages[12]
        terms = [
            gap,
            first - gap,
            2 * gap - first - last,
            *(wide * np.tensordot(self.method.D, stages, axes=1)),
        ]
        good: Vector = np.isfinite(terms[-1].sum(axis=1))
        for i in np.flatnonzero(good).tolist():
            inner = slice(before[i], after[i])
            part = ((self.times[inner] - self.now[rows[i]]) / step.length[i])[:, None]
            value = np.zeros((part.size, gap.shape[1]))
            for k in reversed(range(len(terms))):
                value = (value + terms[k][i]) * (part if k % 2 == 0 else 1 - part)
            self.kept[rows[i], inner] = step.old[i] + value
        return good


def _size(rows: Vector) -> Vector:
    """The root of the mean square of each row."""
    size: Vector = np.sqrt(np.einsum("ij,ij->i", rows, rows) / rows.shape[1])
    return size


def _rates(slope: Slope, states: Vector) -> Vector:
    """Slopes, and NaN for each row that is not finite or whose slope cannot be had."""
    good = np.isfinite(states.sum(axis=1))
    if good.all():
        return _halved(slope, states)
    rates = np.full_like(states, np.nan)
    if good.any():
        rates[good] = _halved(slope, states[good])
    return rates


def _halved(slope: Slope, states: Vector) -> Vector:
    try:
        return slope(states)
    except InputError:
        if len(states) == 1:
            return np.full_like(states, np.nan)
        middle = len(states) // 2
        return np.concatenate([_halved(slope, states[:middle]), _halved(slope, states[middle:])])
