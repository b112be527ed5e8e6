"""High-order finite differences with an error estimate, on numpy float64, for functions of any library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, InputError, to_numpy

Doubles = np.ndarray[Any, np.dtype[np.float64]]

# Central differences of eighth order on x ± h, …, ± 4h: weights of the first and of the second derivative.
_FIRST = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
_SECOND = (8 / 5, -1 / 5, 8 / 315, -1 / 560)
_SECOND_CENTRE = -205 / 72
_FIRST_STEP = 0.1
_LAST_STEP = 2.0**-14  # as part of the first
_EXTRAPOLATIONS = 2


def flat_points(x: Array) -> Doubles:
    """Points ``(..., n)`` as numpy's ``(B, n)`` in float64."""
    return np.array(to_numpy(x), dtype=np.float64).reshape(-1, x.shape[-1])


def like(x: Array, points: Doubles) -> Array:
    """Points in the library and on the device of x, in float64."""
    xp = array_api_compat.array_namespace(x)
    return xp.asarray(points, dtype=xp.float64, device=array_api_compat.device(x))


def back(x: Array, array: Doubles) -> Array:
    """Results ``(B, …)`` at the flat points of x as ``(..., …)``, in its library, dtype and device."""
    xp = array_api_compat.array_namespace(x)
    shaped = np.ascontiguousarray(array).reshape(tuple(x.shape[:-1]) + array.shape[1:])
    return xp.asarray(shaped, dtype=x.dtype, device=array_api_compat.device(x))


Sample = Callable[[Doubles, Doubles], tuple[Doubles, ...]]
"""Maps points ``(B, n)`` and steps ``(B,)`` to arrays ``(B, …)`` of differences."""


def converged(sample: Sample, points: Doubles, ratio: float = 0.5) -> tuple[tuple[Doubles, ...], float]:
    """Differences with the best step at each point ``(B, n)``, and the largest estimate of their errors.

    The step is shortened by `ratio` until two successive results of the sample's last array, its most
    delicate one, stop approaching each other, at each point for itself. A step that leaves the domain may
    give NaN, or raise a GeometryError; a smaller one is taken.
    """
    scale = _FIRST_STEP * np.maximum(1.0, np.abs(points).max(axis=-1))
    count = len(points)
    best = np.full(count, math.inf)
    kept: tuple[Doubles, ...] = ()
    row: list[tuple[Doubles, ...]] = []
    stalled = 0
    for shortening in range(round(math.log(_LAST_STEP) / math.log(ratio))):
        found = _attempt(sample, points, scale * ratio**shortening)
        before, row = row, _extrapolated(found, row, ratio)
        if not found or not before:
            kept = tuple(array.copy() for array in found)
            continue
        better = np.zeros(count, dtype=bool)
        for candidate, older in zip(row, before, strict=False):  # the same order of the row before
            gap = _gap(candidate[-1], older[-1])
            improves = gap < best
            best = np.where(improves, gap, best)
            for array, new in zip(kept, candidate, strict=True):
                array[improves] = new[improves]
            better |= improves
        stalled = 0 if better.any() or np.isinf(best).any() else stalled + 1
        if stalled == 2:
            break
    if not np.isfinite(best).all():
        bad = int(np.argmax(~np.isfinite(best)))
        raise InputError(
            f"the function has no finite derivatives by differences at point {bad}, {points[bad]}; it must "
            "be defined and smooth around it"
        )
    return kept, float(best.max())


def _extrapolated(
    found: tuple[Doubles, ...], before: list[tuple[Doubles, ...]], ratio: float
) -> list[tuple[Doubles, ...]]:
    """A row of Richardson's table, the error a series in h^8, h^10, …; `before` is the longer step's."""
    if not found:
        return []
    row = [found]
    for order, older in enumerate(before[:_EXTRAPOLATIONS]):
        factor = ratio ** (-8 - 2 * order) - 1
        row.append(tuple(new + (new - old) / factor for new, old in zip(row[-1], older, strict=True)))
    return row


def _gap(a: Doubles, b: Doubles) -> Doubles:
    """Largest difference at each point; infinite where it is not a number."""
    gap = np.abs(a - b).reshape(len(a), -1).max(axis=-1)
    return np.where(np.isfinite(gap), gap, math.inf)


def _attempt(sample: Sample, points: Doubles, step: Doubles) -> tuple[Doubles, ...]:
    """A sample with NaN at the points where it raises a GeometryError, found by bisection; () if at all."""
    try:
        return sample(points, step)
    except GeometryError:
        half = len(points) // 2
        if half == 0:
            return ()
        parts = [_attempt(sample, points[at], step[at]) for at in (slice(half), slice(half, None))]
        known = parts[0] or parts[1]
        sizes = (half, len(points) - half)
        filled = [
            part or tuple(np.full((size, *array.shape[1:]), math.nan) for array in known)
            for part, size in zip(parts, sizes, strict=True)
        ]
        return tuple(np.concatenate(arrays) for arrays in zip(*filled, strict=True))


def differences(
    values: Callable[[Doubles], Doubles], points: Doubles, centre: Doubles, step: Doubles
) -> tuple[Doubles, Doubles]:
    """First derivatives (B, *out, n) and second (B, *out, n, n), from lines along e_a and e_a + e_b.

    `values` maps points ``(..., B, n)`` to ``(..., B, *out)``; `centre` is its value at the points.
    """
    n = points.shape[-1]
    pairs = [(a, b) for a in range(n) for b in range(a, n)]
    directions = np.array([np.eye(n)[a] + (np.eye(n)[b] if a != b else 0) for a, b in pairs])
    plus, minus = _along(values, points, directions, step)
    h = step.reshape((-1,) + (1,) * (centre.ndim - 1))
    bend = (np.tensordot(_SECOND, plus + minus, axes=(0, 1)) + _SECOND_CENTRE * centre) / h**2
    place = {pair: k for k, pair in enumerate(pairs)}
    axes = [place[a, a] for a in range(n)]
    slope = np.tensordot(_FIRST, plus[axes] - minus[axes], axes=(0, 1)) / h
    first = np.moveaxis(slope, 0, -1)
    second = np.empty((*first.shape, n))
    for (a, b), k in place.items():
        # Along e_a + e_b the second derivative is f_aa + 2 f_ab + f_bb.
        mixed = bend[k] if a == b else (bend[k] - bend[place[a, a]] - bend[place[b, b]]) / 2
        second[..., a, b] = second[..., b, a] = mixed
    return first, second


def slopes(values: Callable[[Doubles], Doubles], points: Doubles, step: Doubles) -> Doubles:
    """First derivatives alone, as in `differences`, from lines along the axes."""
    plus, minus = _along(values, points, np.eye(points.shape[-1]), step)
    slope = np.tensordot(_FIRST, plus - minus, axes=(0, 1))
    return np.moveaxis(slope / step.reshape((-1,) + (1,) * (slope.ndim - 2)), 0, -1)


def _along(
    values: Callable[[Doubles], Doubles], points: Doubles, directions: Doubles, step: Doubles
) -> tuple[Doubles, Doubles]:
    """Values at x + kh d and at x − kh d, each (line, k, B, *out)."""
    multiples = np.array([s * k for k in range(1, 5) for s in (1, -1)])
    offsets = multiples[:, None, None] * step[:, None] * directions[:, None, None, :]
    samples = values(points + offsets)
    return samples[:, 0::2], samples[:, 1::2]
