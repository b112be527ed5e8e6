"""Right-hand sides in Fourier space: the nonlinear part ``N(h) = ∂_t h − c^{ab} ∂_a ∂_b h``."""

from __future__ import annotations

import importlib.util
import math
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
"""Size of the fields of a slab, and of a block of columns, which are worked on while they are in cache."""
CHUNK = 1 << 11
"""Points whose algebra numpy does at a time."""
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
    """One-dimensional passes shared among the fields, and the algebra in a compiled loop, by `sweep`."""

    def __init__(self, modes: Modes, equation: Equation, workers: int):
        from lnegeom.flow.torus import fused, sweep

        self.modes, self.equation = modes, equation
        n, dtype = equation.n, np.dtype(modes.dtype)
        m = n * (n + 1) // 2
        # A one-dimensional torus has no axis to cut: it is one plane.
        self.planes = modes.shape[0] if n > 1 else 1
        threaded = importlib.util.find_spec("rocket_fft") is not None
        self.workers = min(workers, self.planes) if threaded else 1
        self.passes = sweep.layout(modes)
        self.k = np.zeros((n, max(modes.kept)), dtype)
        for row, axis in zip(self.k, modes.axes, strict=True):
            row[: axis.kept] = axis.derivative
        symbols = np.zeros((n, m, 0)) if equation.symbols is None else equation.symbols
        self.symbols = np.ascontiguousarray(symbols, dtype).reshape(n, m, -1)
        self.constants = np.stack([equation.constant, equation.inverse]).astype(dtype)
        column = 2 * m * modes.shape[0]
        self.mixed = np.empty(column * math.prod(modes.kept[1:]) if n > 1 else 0, modes.complex_dtype)
        grain = sweep.CACHE_LINE // self.mixed.itemsize
        self.block = max(grain, SLAB_BYTES // (column * self.mixed.itemsize) // grain * grain)
        points = (n + 1) * m * math.prod(modes.shape) // self.planes
        thickness = min(max(1, SLAB_BYTES // (points * dtype.itemsize)), -(-self.planes // self.workers))
        self.points = np.empty((self.workers, thickness * points), dtype)
        self.scratch = np.empty((self.workers, thickness * sweep.size(self.passes)), modes.complex_dtype)
        self.serial = sweep.enter, sweep.slabs, sweep.leave, fused.kernel(n, equation.gauge)
        self.threads: Any = None
        if self.workers > 1:
            from lnegeom.flow.torus import threads

            self.threads = threads
            enter, slabs, leave = threads.phases()
            algebra = fused.pointer(self.serial[-1], dtype)
            slabs = threads.resolved(slabs, *self._slabs(self.mixed, self.mixed, algebra))
            self.parallel = enter, slabs, leave, algebra

    def __call__(self, coefficients: Any) -> Any:
        """Coefficients of N(h)."""
        result = np.empty(coefficients.shape, coefficients.dtype)
        if self.threads is None or not self.threads.available():
            bad = self._run(coefficients, result, *self.serial)
        else:
            with self.threads.using(self.workers):
                bad = self._run(coefficients, result, *self.parallel)
        if bad:
            raise LeftCone(coefficients)
        return result

    def _run(self, coefficients: Any, result: Any, enter: Any, slabs: Any, leave: Any, algebra: Any) -> int:
        flat, out = coefficients.reshape(-1), result.reshape(-1)
        if self.planes == 1:
            return int(slabs(*self._slabs(flat, out, algebra)))
        first = (self.passes[0], self.k[0], self.workers, self.block)
        enter(flat, self.mixed, *first)
        bad = slabs(*self._slabs(self.mixed, self.mixed, algebra))
        leave(self.mixed, out, *first)
        return int(bad)

    def _slabs(self, source: Any, target: Any, algebra: Any) -> tuple[Any, ...]:
        buffers = (self.scratch, self.points, self.passes, self.k)
        return source, target, self.planes, *buffers, algebra, self.constants, self.symbols


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
