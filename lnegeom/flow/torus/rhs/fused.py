"""The right-hand side compiled by numba, slab by slab."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from typing import Any

import numpy as np

from lnegeom._array import Array, to_numpy
from lnegeom.flow.torus.rhs.plain import Equation, LeftCone, Plain
from lnegeom.flow.torus.spectral import Modes

SLAB_BYTES = 1 << 20
"""Size of the fields of a slab, and of a block of columns, which are worked on while they are in cache."""


class Fused:
    """One-dimensional passes shared among the fields, and the algebra in a compiled loop, by `sweep`."""

    def __init__(self, modes: Modes, equation: Equation, workers: int):
        from lnegeom.flow.torus.rhs import algebra, sweep

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
        self.scratch = np.empty((self.workers, thickness * sweep.elements(self.passes)), modes.complex_dtype)
        self.serial = sweep.enter, sweep.slabs, sweep.leave, algebra.kernel(n, equation.gauge)
        self.threads: Any = None
        if self.workers > 1:
            from lnegeom.flow.torus.rhs import threads

            self.threads = threads
            enter, slabs, leave = threads.phases()
            kernel = algebra.pointer(self.serial[-1], dtype)
            slabs = threads.resolved(slabs, *self._slabs(self.mixed, self.mixed, kernel))
            self.parallel = enter, slabs, leave, kernel

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

    def _run(self, coefficients: Any, result: Any, enter: Any, slabs: Any, leave: Any, kernel: Any) -> int:
        flat, out = coefficients.reshape(-1), result.reshape(-1)
        if self.planes == 1:
            return int(slabs(*self._slabs(flat, out, kernel)))
        first = (self.passes[0], self.k[0], self.workers, self.block)
        enter(flat, self.mixed, *first)
        bad = slabs(*self._slabs(self.mixed, self.mixed, kernel))
        leave(self.mixed, out, *first)
        return int(bad)

    def _slabs(self, source: Any, target: Any, kernel: Any) -> tuple[Any, ...]:
        buffers = (self.scratch, self.points, self.passes, self.k)
        return source, target, self.planes, *buffers, kernel, self.constants, self.symbols


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
