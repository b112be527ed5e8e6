"""High-order finite differences with an error estimate, on numpy float64, for functions of any library."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, from_numpy, label
from lnegeom.derivatives._automatic import on_host

Doubles = np.ndarray[Any, np.dtype[np.float64]]

# Central differences of eighth order on x ± h, …, ± 4h: weights of the first and of the second derivative.
_FIRST = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
_SECOND = (8 / 5, -1 / 5, 8 / 315, -1 / 560)
_SECOND_CENTRE = -205 / 72
# Successive steps are in an irrational ratio: no two of them are whole multiples of a period, where samples
# of a fast function are those of a slow one.
RATIO = 5**-0.5
FIRST_STEP = 0.1
_LAST_STEP = 1e-12  # as part of the first
# Two results agree, or are usable, by their gap next to their size, or to a tenth of the function's; or next
# to what values wrong by their own size would make of it, which the gap of meaningless results is near.
_AGREE, _AGREE_NOISE = 1e-6, 1e-10
_USABLE, _USABLE_NOISE = 1e-3, 1e-5
_PATIENCE = 12  # steps that a usable result is given to become a good one
_EXTRAPOLATIONS = 2


def flat_points(x: Array) -> Doubles:
    """Points ``(..., n)`` as numpy's ``(B, n)`` in float64; refuses those whose gradients it would lose."""
    return on_host(x, "finite differences would lose it").astype(np.float64).reshape(-1, x.shape[-1])


def like(x: Array, points: Doubles) -> Array:
    """Points in the library and on the device of x, in float64."""
    xp = array_api_compat.array_namespace(x)
    return from_numpy(points, x, xp.float64)


@contextlib.contextmanager
def doubles(x: Array) -> Iterator[None]:
    """Where a function of the library of x can compute in float64: JAX has to be told, by thread."""
    with contextlib.ExitStack() as stack, np.errstate(all="ignore"):
        if array_api_compat.is_jax_array(x):
            enable = getattr(importlib.import_module("jax"), "enable_x64", None)
            if enable is None:  # an older JAX
                enable = importlib.import_module("jax.experimental").enable_x64
            stack.enter_context(enable(True))
        yield


def back(x: Array, array: Doubles) -> Array:
    """Results ``(B, …)`` at the flat points of x as ``(..., …)``, in its library, dtype and device."""
    return from_numpy(array.reshape(tuple(x.shape[:-1]) + array.shape[1:]), x)


Sample = Callable[[Doubles, Doubles], tuple[Doubles, ...]]
"""Maps points ``(B, n)`` and steps ``(B,)`` to the largest size ``(B,)`` that the function had at the places
sampled, and arrays ``(B, …)`` of differences."""


class Converged(NamedTuple):
    """Differences with the best step at each of B points."""

    arrays: tuple[Doubles, ...]
    error: Doubles  # (B,): estimate of the error of the last array
    settled: np.ndarray[
        Any, np.dtype[np.bool_]
    ]  # (B,): whether that is small next to the array, or to the function
    step: Doubles  # (B,): the step that gave them


def converged(
    sample: Sample,
    points: Doubles,
    order: int,
    *,
    ratio: float = RATIO,
    value: Doubles | None = None,
    length: Doubles | None = None,
) -> Converged:
    """Differences with the best step at each point ``(B, n)``, each point for itself.

    The step is shortened by `ratio` until two successive results of the sample's last array, its most
    delicate one and of derivatives of this order, agree, and then stop approaching each other. Results that
    stop approaching each other before they agree are too coarse for the function, so the step is shortened
    further. A step that leaves the domain may give NaN, or raise a GeometryError; a smaller one is taken.
    The function's size at the points, `value` ``(B,)``, says which derivatives are as good as zero. The first
    step is a tenth of `length` ``(B,)``, by default the size of the point or 1.
    """
    length = np.maximum(1.0, np.abs(points).max(axis=-1)) if length is None else length
    value = 0 * length if value is None else value
    best, tier = np.full(len(points), math.inf), np.zeros(len(points), dtype=int)
    stalled, chosen = np.zeros(len(points), dtype=int), np.full(len(points), math.nan)
    first = np.zeros(len(points))  # the noise of the first step that could be taken
    kept: tuple[Doubles, ...] = ()
    row: list[tuple[Doubles, ...]] = []
    at = np.arange(len(points))  # what has not settled yet
    for shortening in range(round(math.log(_LAST_STEP) / math.log(ratio))):
        step = FIRST_STEP * length[at] * ratio**shortening
        largest, *found = _attempt(sample, points[at], step) or [np.full(len(at), math.nan)]
        before, row = row, _extrapolated(tuple(found), row, ratio)
        kept = kept or tuple(np.full((len(points), *array.shape[1:]), math.nan) for array in found)
        noise = np.where(np.isfinite(largest), largest, 0) / step**order  # of values wrong by their own size
        # it grows faster than the differences at a kink, which it must not make usable in the end
        first[at] = np.where(first[at] > 0, first[at], noise)
        allowed = np.minimum(noise, first[at])
        nil = 0.1 * np.fmin(value[at], largest) / length[at] ** order
        stalled[at] += np.isfinite(best[at])
        least = np.full(len(at), math.inf)
        for candidate, older in zip(row, before, strict=False):  # the same order of the row before
            gap = _largest(candidate[-1] - older[-1])
            reached = _tier(gap, _largest(candidate[-1]) + nil, allowed)
            improves = (reached > tier[at]) | (reached == tier[at]) & (gap < best[at])
            least = np.minimum(least, gap)
            better = at[improves]
            best[better], tier[better], stalled[better] = gap[improves], reached[improves], 0
            chosen[better] = step[improves]
            for array, new in zip(kept, candidate, strict=True):
                array[better] = new[improves]
        rested = stalled[at] >= np.where(tier[at] == 2, 2, _PATIENCE)
        going = ~((tier[at] > 0) & (rested | (least <= 4 * np.finfo(float).eps * noise)))
        at, row = at[going], [tuple(array[going] for array in arrays) for arrays in row]
        if at.size == 0:
            break
    return Converged(kept, best, tier > 0, chosen)


def _tier(gap: Doubles, size: Doubles, noise: Doubles) -> Any:
    """2 where two results agree, 1 where they are usable, 0 where they mean nothing."""
    size = np.where(np.isfinite(size), size, 0)
    known = np.isfinite(gap)
    usable = known & ((gap <= _USABLE * size) | (gap <= _USABLE_NOISE * noise))
    return usable + (known & ((gap <= _AGREE * size) | (gap <= _AGREE_NOISE * noise))).astype(int)


def check_settled(found: Converged, points: Doubles, batch: tuple[int, ...], hint: str = "") -> None:
    """Raise a GeometryError at the first point, of a batch of this shape, that did not settle."""
    if found.settled.all():
        return
    bad = int(np.argmax(~found.settled))
    index = tuple(int(i) for i in np.unravel_index(bad, batch))
    error, place = float(found.error[bad]), f"{label('x', index)} = {points[bad]}"
    remedy = f"smooth around it{hint}; where steps fail, take derivatives='torch' or 'jax', or a closed form"
    if not math.isfinite(error):
        raise GeometryError(
            f"the function has no finite derivatives by differences at {place}; it must be defined and "
            f"{remedy}",
            index=index,
            value=error,
        )
    size = float(_largest(found.arrays[-1][bad : bad + 1])[0])
    raise GeometryError(
        f"finite differences do not settle at {place}: derivatives of size {size:.3g} keep an error of "
        f"{error:.3g}; the function must be {remedy}",
        index=index,
        value=error,
    )


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


def _largest(array: Doubles) -> Doubles:
    """Largest size at each point; infinite where it is not a number."""
    size = np.abs(array).reshape(len(array), -1).max(axis=-1)
    return np.where(np.isfinite(size), size, math.inf)


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


def recorded(values: Callable[..., Doubles], count: int) -> tuple[Callable[..., Doubles], Doubles]:
    """A function of points ``(..., B, n)``, and where it notes its largest size at each of B, ``(B,)``."""
    largest = np.zeros(count)

    def noting(*points: Doubles) -> Doubles:
        found = values(*points)
        out = found.ndim - points[0].ndim + 1
        sizes = np.abs(found).reshape(*points[0].shape[:-1], -1).max(axis=-1) if out else np.abs(found)
        np.fmax(largest, np.fmax.reduce(sizes.reshape(-1, count), axis=0), out=largest)
        return found

    return noting, largest


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
