"""Right-hand sides in Fourier space: the nonlinear part ``N(h) = ∂_t h − c^{ab} ∂_a ∂_b h``."""

from __future__ import annotations

import importlib.util
import math
import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, to_numpy
from lnegeom.flow.deturck import Gauge, flux_and_source
from lnegeom.flow.small import total
from lnegeom.flow.torus.spectral import Modes

SLAB_BYTES = 1 << 20
"""Size of the fields of a slab, which pass through the compiled loop while they are in cache."""
CHUNK = 1 << 11
"""Points whose algebra numpy does at a time."""
THREAD_BYTES = 1 << 21
"""Below this size of all fields, handing slabs to threads costs more than it gains."""
COMPILE_POINTS = 1 << 18
"""From this size of grid on torch's compiler, which takes seconds to minutes, is worth its while."""


class LeftCone(Exception):
    """The metric of these coefficients is not positive definite, or not finite, somewhere."""

    def __init__(self, coefficients: Array):
        super().__init__()
        self.coefficients = coefficients


@dataclass(frozen=True)
class Equation:
    """A flow of ``g = constant + h`` on a torus, in the coordinates along its lattice vectors.

    Attributes
    ----------
    n : int
    gauge : {"flat", "ricci", "background"}
    constant, inverse : numpy.ndarray
        Packed components of the constant metric and of its inverse ``c^{ab}``, whose Laplacian is linear.
    symbols : array or None
        Packed Christoffel symbols of the background, ``(n, m, *shape)``.
    """

    n: int
    gauge: Gauge
    constant: NDArray[np.float64]
    inverse: NDArray[np.float64]
    symbols: Array | None = None


def right_hand_side(xp: Any, modes: Modes, equation: Equation, workers: int = 1) -> Any:
    """Return the map from coefficients of h to those of N(h), both ``(n(n+1)/2, *kept)``.

    It raises `LeftCone` where the metric is not positive definite. Where numba is installed it serves arrays
    of numpy, and those of torch and JAX that lie in the CPU's memory; else torch's compiler, on large grids,
    and JAX's.
    """
    torch, jax = array_api_compat.is_torch_namespace(xp), array_api_compat.is_jax_namespace(xp)
    if importlib.util.find_spec("numba") is not None:
        if array_api_compat.is_numpy_namespace(xp):
            return Fused(modes, equation, workers)
        if (torch or jax) and modes.on_host:
            return Borrowed(xp, modes, equation, workers)
    if jax or (torch and math.prod(modes.shape) >= COMPILE_POINTS):
        return Compiled(xp, modes, equation)
    return Plain(xp, modes, equation)


class Plain:
    """Whole transforms, and the algebra by array operations of any library."""

    def __init__(self, xp: Any, modes: Modes, equation: Equation):
        self.xp = xp
        self.modes = modes
        self.equation = equation
        # Temporaries of numpy's that stay in cache; a GPU wants all the points at once.
        points = math.prod(modes.shape)
        self.chunk = min(CHUNK, points) if array_api_compat.is_numpy_namespace(xp) else points

    def __call__(self, coefficients: Array) -> Array:
        """Coefficients of N(h)."""
        xp, modes, m = self.xp, self.modes, coefficients.shape[0]
        n, points = modes.dim, math.prod(modes.shape)
        # One batched transform each way: h with its derivatives, then the source with the fluxes.
        stack = xp.stack([coefficients, *(symbol * coefficients for symbol in modes.derivatives)])
        fields = xp.reshape(modes.backward(stack), (n + 1, m, points))
        parts = [
            self._algebra(fields, slice(start, min(start + self.chunk, points)))
            for start in range(0, points, self.chunk)
        ]
        if not all(bool(xp.all(valid)) for _, valid in parts):
            raise LeftCone(coefficients)
        joined = xp.concat([values for values, _ in parts], axis=-1) if len(parts) > 1 else parts[0][0]
        terms = modes.forward(xp.reshape(joined, (n + 1, m, *modes.shape)))
        divergence = total(symbol * terms[a + 1, ...] for a, symbol in enumerate(modes.derivatives))
        return terms[0, ...] + divergence

    def _algebra(self, fields: Array, part: slice) -> tuple[Array, Array]:
        """Source and fluxes ``(n + 1, m, P)`` of some points, and which are valid."""
        xp, equation, (sets, m, _) = self.xp, self.equation, fields.shape
        rows = [[fields[a, s, part] for s in range(m)] for a in range(sets)]
        constant, inverse = ([float(value) for value in row] for row in (equation.constant, equation.inverse))
        christoffel: list[list[Array]] = []
        if equation.symbols is not None:
            symbols = xp.reshape(equation.symbols, (sets - 1, m, -1))
            christoffel = [[symbols[k, s, part] for s in range(m)] for k in range(sets - 1)]
        source, flux, valid = flux_and_source(
            sets - 1, rows[0], rows[1:], constant, inverse, equation.gauge, christoffel
        )
        return xp.stack([xp.stack(row) for row in [source, *flux]]), valid


class Compiled(Plain):
    """Whole transforms, and the algebra compiled by torch or JAX."""

    def __init__(self, xp: Any, modes: Modes, equation: Equation):
        from lnegeom.flow.torus.compiled import compiled_algebra

        super().__init__(xp, modes, equation)
        n = equation.n
        self.algebra = compiled_algebra(xp, n, equation.gauge)
        self.constants = modes.real(equation.constant), modes.real(equation.inverse)
        symbols = equation.symbols
        self.symbols = None if symbols is None else xp.reshape(symbols, (n, n * (n + 1) // 2, -1))

    def _algebra(self, fields: Array, part: slice) -> tuple[Array, Array]:
        values, valid = self.algebra(fields, *self.constants, self.symbols)
        return self.xp.reshape(values, fields.shape), valid


class Fused:
    """One-dimensional passes shared among the fields, slab by slab, and the algebra in a compiled loop.

    The first axis is transformed for all the grid; then slabs of planes across it go through the other axes,
    the algebra and back while they are in cache, `workers` of them at a time.
    """

    def __init__(self, modes: Modes, equation: Equation, workers: int):
        from lnegeom.flow.torus import fused, passes

        n, dtype = equation.n, np.dtype(modes.dtype)
        self.passes = passes
        self.kernel = fused.kernel(n, equation.gauge)
        self.modes, self.equation = modes, equation
        self.n, self.m = n, n * (n + 1) // 2
        self.constant = equation.constant.astype(dtype)
        self.inverse = equation.inverse.astype(dtype)
        symbols = np.zeros((n, self.m, 0)) if equation.symbols is None else equation.symbols
        self.symbols = np.ascontiguousarray(symbols, dtype).reshape(n, self.m, -1)
        self.k = [axis.derivative.astype(dtype) for axis in modes.axes]
        # A one-dimensional torus has no axis left to cut: it is one plane.
        self.planes = modes.shape[0] if n > 1 else 1
        self.plane_points = math.prod(modes.shape) // self.planes
        size = (n + 1) * self.m * self.plane_points * dtype.itemsize
        workers = self.workers = workers if size * self.planes > THREAD_BYTES else 1
        self.thickness = _largest_divisor(self.planes, min(SLAB_BYTES // size, -(-self.planes // workers)))
        self.mixed = np.empty((2, self.m, self.planes, *modes.kept[1:]), modes.complex_dtype)
        self.workspaces: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        for _ in range(workers):
            self.workspaces.put(self._workspace())
        self.pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def _workspace(self) -> list[Any]:
        """Buffers of a slab: padded along each axis after the first in turn, then real."""
        modes, b, lead = self.modes, self.thickness, 1 if self.n > 1 else 0
        buffers: list[Any] = []
        for axis in range(1, self.n - 1):
            shape = (axis + 2, self.m, b, *modes.shape[1 : axis + 1], *modes.kept[axis + 1 :])
            buffers.append(np.empty(shape, modes.complex_dtype))
        points = (self.n + 1, self.m, b, *modes.shape[lead:])
        buffers.append(np.empty((*points[:-1], points[-1] // 2 + 1), modes.complex_dtype))
        buffers.append(np.empty(points, modes.dtype))
        return buffers

    def __call__(self, coefficients: Any) -> Any:
        """Coefficients of N(h)."""
        passes, axis = self.passes, self.modes.axes[0]
        result = np.empty_like(coefficients)
        if self.n == 1:
            if self._slab(coefficients[None, :, None], result[None, :, None], 0):
                raise LeftCone(coefficients)
            return result
        five = (self.m, 1, -1, math.prod(self.modes.kept[1:]))
        mixed = self.mixed.reshape(2, *five)
        passes.spread(coefficients.reshape(1, *five), 0, mixed, axis.low, axis.high, self.k[0])
        passes.along(mixed, 3, inverse=True, workers=self.workers)
        starts = range(0, self.planes, self.thickness)
        slabs = map if self.pool is None else self.pool.map
        if sum(slabs(lambda start: self._slab(self.mixed, self.mixed, start), starts)):
            raise LeftCone(coefficients)
        passes.along(mixed, 3, inverse=False, workers=self.workers)
        passes.gather(mixed, result.reshape(1, *five), 0, axis.low, axis.high, self.k[0])
        return result

    def _slab(self, source: Any, target: Any, start: int) -> int:
        """Take a slab from mixed space to the points and back; count its bad points."""
        workspace = self.workspaces.get()
        try:
            *middle, half, real = workspace
            self._to_points(source, start, [*middle, half], real)
            fields = real.reshape(self.n + 1, self.m, -1)
            bad: int = self.kernel(
                fields, self.constant, self.inverse, self.symbols, start * self.plane_points
            )
            self._from_points(real, [*middle, half], target, start)
        finally:
            self.workspaces.put(workspace)
        return bad

    def _to_points(self, source: Any, start: int, buffers: list[Any], real: Any) -> None:
        passes, last = self.passes, self.n - 1
        for axis, buffer in enumerate(buffers[:-1], start=1):
            kept, padded = self.modes.axes[axis], _around(buffer, axis)
            passes.spread(_around(source, axis), start, padded, kept.low, kept.high, self.k[axis])
            passes.along(padded, 3, inverse=True)
            source, start = buffer, 0
        passes.spread_last(_lines(source), start, _lines(buffers[-1]), self.k[last])
        passes.to_real(buffers[-1], real)

    def _from_points(self, real: Any, buffers: list[Any], target: Any, start: int) -> None:
        passes, last = self.passes, self.n - 1
        passes.to_half(real, buffers[-1])
        # Each set of buffers is gathered into the one before it, the first into its planes of the target.
        for axis in range(len(buffers), 0, -1):
            into, begin = (buffers[axis - 2], 0) if axis > 1 else (target, start)
            if axis == len(buffers):
                passes.gather_last(_lines(buffers[-1]), _lines(into), begin, self.k[last])
                continue
            kept, padded = self.modes.axes[axis], _around(buffers[axis - 1], axis)
            passes.along(padded, 3, inverse=False)
            passes.gather(padded, _around(into, axis), begin, kept.low, kept.high, self.k[axis])


class Borrowed:
    """`Fused` for arrays of another library that lie in the CPU's memory, where numpy reads them."""

    def __init__(self, xp: Any, modes: Modes, equation: Equation, workers: int):
        symbols = None if equation.symbols is None else to_numpy(equation.symbols)
        self.xp, self.device, self.equation = xp, modes.device, equation
        self.fused = Fused(modes.of_numpy(workers), replace(equation, symbols=symbols), workers)
        self.differentiable = Plain(xp, modes, equation)

    def __call__(self, coefficients: Array) -> Array:
        """Coefficients of N(h)."""
        if getattr(coefficients, "requires_grad", False):  # what numpy does leaves no trace
            return self.differentiable(coefficients)
        try:
            return self.xp.asarray(self.fused(to_numpy(coefficients)), device=self.device)
        except LeftCone:
            raise LeftCone(coefficients) from None


def _largest_divisor(number: int, limit: int) -> int:
    return max(d for d in range(1, max(1, min(number, limit)) + 1) if number % d == 0)


def _around(buffer: Any, axis: int) -> Any:
    """View ``(sets, m, planes, points of the axis, rest)`` of ``(sets, m, *axes)``."""
    sets, m, *axes = buffer.shape
    return buffer.reshape(sets, m, math.prod(axes[:axis]), axes[axis], math.prod(axes[axis + 1 :]))


def _lines(buffer: Any) -> Any:
    """View ``(sets, m, lines, points of the last axis)``."""
    return buffer.reshape(buffer.shape[0], buffer.shape[1], -1, buffer.shape[-1])
