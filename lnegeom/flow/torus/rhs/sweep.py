"""A right-hand side in three phases, each in parts; needs numba.

`enter` transforms the first axis, some columns at a time; `slabs` takes planes across it through the other
axes, the algebra and back while they are in cache; `leave` transforms the first axis back. On one thread
Python runs these functions, and what they call is compiled; on more, `threads` compiles them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable
from numpy.typing import NDArray

from lnegeom.flow.torus.rhs.passes import along, gather, gather_last, spread, spread_last, to_half, to_real
from lnegeom.flow.torus.spectral import Modes

Numbers = NDArray[Any]
CACHE_LINE = 64
"""Bytes."""
Algebra = Callable[[Numbers, Numbers, Numbers, Numbers, Any], int]

KEPT, LOW, HIGH, ROWS, POINTS, REST, BEGIN, SIZE = range(8)
"""What `layout` knows of an axis: its kept modes, how many come before and after the gap, and the buffer they
are padded to, ``(sets, m, rows, points, rest)``: rows a plane, and along the last axis the points of half a
spectrum; where the buffer of one plane begins in a part's scratch, and its size."""


def layout(modes: Modes) -> NDArray[np.int64]:
    """Return ``(n, 8)`` numbers. The first axis, if there are more, is padded in a buffer of all the grid."""
    n, begin, found = modes.dim, 0, []
    for number, axis in enumerate(modes.axes):
        last = number == n - 1
        rows = math.prod(modes.shape[min(1, n - 1) : number])
        points = axis.size // 2 + 1 if last else axis.size
        rest = math.prod(modes.kept[number + 1 :])
        size = (number + 2) * n * (n + 1) // 2 * rows * points * rest if number or last else 0
        found.append([axis.kept, axis.low, axis.high, rows, points, rest, begin, size])
        begin += size
    return np.array(found, np.int64)


@register_jitable
def elements(passes: Numbers) -> int:
    """Return the elements of scratch a plane."""
    return int(passes[-1, BEGIN] + passes[-1, SIZE])


@register_jitable
def columns(part: int, parts: int, rest: int, itemsize: int) -> tuple[int, int]:
    """Return where a part of the columns begins and ends: at whole cache lines, which no two threads share.

    They are also as many columns as a vector of the processor's transforms at a time.
    """
    grain = CACHE_LINE // itemsize
    lines = (rest + grain - 1) // grain
    return part * lines // parts * grain, min(rest, (part + 1) * lines // parts * grain)


@register_jitable
def views(kept: Numbers, mixed: Numbers, axis: Numbers) -> tuple[Numbers, Numbers]:
    """Return what `spread` and `gather` take of the first axis: its kept modes, and its buffer."""
    m, rest = mixed.shape[0] // (2 * axis[POINTS] * axis[REST]), axis[REST]
    return kept.reshape((1, m, 1, axis[KEPT], rest)), mixed.reshape((2, m, 1, axis[POINTS], rest))


def enter(coefficients: Numbers, mixed: Numbers, axis: Numbers, k: Numbers, parts: int, block: int) -> None:
    """Pad the first axis and transform it, so many columns at a time."""
    source, target = views(coefficients, mixed, axis)
    for part in prange(parts):
        first, last = columns(part, parts, axis[REST], mixed.itemsize)
        for begin in range(first, last, block):
            end = min(begin + block, last)
            spread(source, 0, target, axis[LOW], axis[HIGH], k, (begin, end))
            along(target[:, :, :, :, begin:end], False)


def leave(mixed: Numbers, result: Numbers, axis: Numbers, k: Numbers, parts: int, block: int) -> None:
    """Transform the first axis back, so many columns at a time, and crop it."""
    target, source = views(result, mixed, axis)
    for part in prange(parts):
        first, last = columns(part, parts, axis[REST], mixed.itemsize)
        for begin in range(first, last, block):
            end = min(begin + block, last)
            along(source[:, :, :, :, begin:end], True)
            gather(source, target, 0, axis[LOW], axis[HIGH], k, (begin, end))


@register_jitable
def to_points(
    source: Numbers, start: int, planes: int, scratch: Numbers, fields: Numbers, passes: Numbers, k: Numbers
) -> None:
    """Take planes of mixed space, from `start` on, through the other axes to the points."""
    n = passes.shape[0]
    m = n * (n + 1) // 2
    for number in range(min(1, n - 1), n):
        axis = passes[number]
        begin, rows = planes * axis[BEGIN], planes * axis[ROWS]
        target = scratch[begin : begin + planes * axis[SIZE]]
        if number < n - 1:
            kept = source.reshape((number + 1, m, -1, axis[KEPT], axis[REST]))
            padded = target.reshape((number + 2, m, rows, axis[POINTS], axis[REST]))
            spread(kept, start, padded, axis[LOW], axis[HIGH], k[number], (0, axis[REST]))
            along(padded, False)
        else:
            lines = source.reshape((number + 1, m, -1, axis[KEPT]))
            half = target.reshape((number + 2, m, rows, axis[POINTS]))
            spread_last(lines, start, half, axis[KEPT], k[number])
            to_real(half, fields.reshape((number + 2, m, rows, -1)))
        source, start = target, 0


@register_jitable
def from_points(
    fields: Numbers, scratch: Numbers, target: Numbers, start: int, planes: int, passes: Numbers, k: Numbers
) -> None:
    """Bring planes back: each buffer into the one before it, the first into the target, from `start` on."""
    n = passes.shape[0]
    m = n * (n + 1) // 2
    for number in range(n - 1, min(1, n - 1) - 1, -1):
        axis = passes[number]
        begin, rows, where = planes * axis[BEGIN], planes * axis[ROWS], start
        source, into = scratch[begin : begin + planes * axis[SIZE]], target
        if number > 1:
            before = passes[number - 1]
            begin, where = planes * before[BEGIN], 0
            into = scratch[begin : begin + planes * before[SIZE]]
        if number < n - 1:
            padded = source.reshape((number + 2, m, rows, axis[POINTS], axis[REST]))
            along(padded, True)
            kept = into.reshape((number + 1, m, -1, axis[KEPT], axis[REST]))
            gather(padded, kept, where, axis[LOW], axis[HIGH], k[number], (0, axis[REST]))
        else:
            half = source.reshape((number + 2, m, rows, axis[POINTS]))
            to_half(fields.reshape((number + 2, m, rows, -1)), half)
            gather_last(half, into.reshape((number + 1, m, -1, axis[KEPT])), where, axis[KEPT], k[number])


@register_jitable
def some_slabs(
    source: Numbers,
    target: Numbers,
    first: int,
    last: int,
    scratch: Numbers,
    points: Numbers,
    passes: Numbers,
    k: Numbers,
    algebra: Algebra,
    constants: Numbers,
    symbols: Numbers,
) -> int:
    """`slabs` of the planes from `first` to `last`."""
    n, bad = passes.shape[0], 0
    thickness = scratch.shape[0] // elements(passes)
    plane = points.shape[0] // thickness
    for start in range(first, last, thickness):
        planes = min(thickness, last - start)
        fields = points[: planes * plane]
        to_points(source, start, planes, scratch, fields, passes, k)
        cells = fields.reshape((n + 1, n * (n + 1) // 2, -1))
        offset = np.int64(start * (cells.shape[2] // planes))
        bad += algebra(cells, constants[0], constants[1], symbols, offset)
        from_points(fields, scratch, target, start, planes, passes, k)
    return bad


def slabs(
    source: Numbers,
    target: Numbers,
    planes: int,
    scratch: Numbers,
    points: Numbers,
    passes: Numbers,
    k: Numbers,
    algebra: Algebra,
    constants: Numbers,
    symbols: Numbers,
) -> int:
    """Take planes of mixed space to the points and back, in slabs that fill a part's scratch.

    The result is the number of points where the metric is not positive definite.
    """
    parts, bad = scratch.shape[0], 0
    for part in prange(parts):
        first, last = part * planes // parts, (part + 1) * planes // parts
        rows = scratch[part], points[part]
        bad += some_slabs(source, target, first, last, *rows, passes, k, algebra, constants, symbols)
    return bad
