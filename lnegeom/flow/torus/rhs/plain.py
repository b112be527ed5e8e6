"""The right-hand side by operations on whole arrays of any library, plain or compiled by torch or JAX."""

from __future__ import annotations

import functools
import importlib
import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array
from lnegeom.flow.deturck import Gauge, flux_and_source
from lnegeom.flow.small import total
from lnegeom.flow.torus import fft
from lnegeom.flow.torus.rhs.program import array_function
from lnegeom.flow.torus.spectral import Modes

CHUNK = 1 << 11
"""Points whose algebra numpy does at a time."""


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
        fields = xp.reshape(self._to_points(coefficients), (n + 1, m, points))
        parts = [
            self._algebra(fields, slice(start, min(start + self.chunk, points)))
            for start in range(0, points, self.chunk)
        ]
        if not all(bool(xp.all(valid)) for _, valid in parts):
            raise LeftCone(coefficients)
        joined = xp.concat([values for values, _ in parts], axis=-1) if len(parts) > 1 else parts[0][0]
        return self._from_points(xp.reshape(joined, (n + 1, m, *modes.shape)))

    def _to_points(self, coefficients: Array) -> Array:
        """Fields ``(n + 1, m, *shape)`` of h and its derivatives."""
        derivatives = (symbol * coefficients for symbol in self.modes.derivatives)
        return self.modes.backward(self.xp.stack([coefficients, *derivatives]))

    def _from_points(self, values: Array) -> Array:
        """Coefficients of the source plus the divergence of the fluxes."""
        terms = self.modes.forward(values)
        divergence = total(symbol * terms[a + 1, ...] for a, symbol in enumerate(self.modes.derivatives))
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
        super().__init__(xp, modes, equation)
        n = equation.n
        self.algebra = compiled_algebra(xp, n, equation.gauge)
        self.constants = modes.real(equation.constant), modes.real(equation.inverse)
        symbols = equation.symbols
        self.symbols = None if symbols is None else xp.reshape(symbols, (n, n * (n + 1) // 2, -1))
        self.padded = Padded(xp, modes) if array_api_compat.is_torch_namespace(xp) else None

    def _to_points(self, coefficients: Array) -> Array:
        # What is written over leaves no trace for derivatives.
        if self.padded is None or coefficients.requires_grad:
            return super()._to_points(coefficients)
        return self.padded.to_points(coefficients)

    def _from_points(self, values: Array) -> Array:
        if self.padded is None or values.requires_grad:
            return super()._from_points(values)
        return self.padded.from_points(values)

    def _algebra(self, fields: Array, part: slice) -> tuple[Array, Array]:
        values, valid = self.algebra(fields, *self.constants, self.symbols)
        return self.xp.reshape(values, fields.shape), valid


class Padded:
    """Whole transforms of torch's from one buffer of half spectra, of which the kept modes are written anew.

    To join them with zeros axis by axis would move more bytes than the algebra does.
    """

    def __init__(self, xp: Any, modes: Modes):
        self.xp, self.modes = xp, modes
        n = modes.dim
        ones = xp.ones(modes.kept, dtype=modes.complex_dtype, device=modes.device)
        self.symbols = xp.stack([ones, *(symbol * ones for symbol in modes.derivatives)])[:, None]
        # The forward transform's factor: left to cuFFT, it is a pass of its own over all the terms.
        self.scaled = self.symbols / math.prod(modes.shape)
        half = (*modes.shape[:-1], modes.shape[-1] // 2 + 1)
        shape = (n + 1, n * (n + 1) // 2, *half)
        self.buffer = xp.zeros(shape, dtype=modes.complex_dtype, device=modes.device)
        parts = [
            [(slice(0, axis.low), slice(0, axis.low))]
            + [(slice(axis.low, None), slice(size - axis.high, None))] * (axis.high > 0)
            for axis, size in zip(modes.axes, half, strict=True)
        ]
        self.blocks = [
            tuple((..., *where) for where in zip(*block, strict=True)) for block in itertools.product(*parts)
        ]

    def to_points(self, coefficients: Array) -> Array:
        """Fields ``(n + 1, m, *shape)`` of h and its derivatives."""
        for kept, there in self.blocks:
            self.xp.mul(self.symbols[kept], coefficients[kept], out=self.buffer[there])
        return fft.backward(self.xp, self.buffer, self.modes.shape)

    def from_points(self, values: Array) -> Array:
        """Coefficients of the source plus the divergence of the fluxes."""
        xp, modes = self.xp, self.modes
        terms = xp.fft.rfftn(values, axes=tuple(range(2, modes.dim + 2)))
        shape = (values.shape[1], *modes.kept)
        result = xp.empty(shape, dtype=modes.complex_dtype, device=modes.device)
        for kept, there in self.blocks:
            result[kept] = xp.sum(self.scaled[kept] * terms[there], dim=0)
        return result


@functools.cache
def compiled_algebra(xp: Any, n: int, gauge: Gauge) -> Callable[..., Any]:
    """Return `array_function` of torch or JAX, compiled at its first call for each kind of arguments."""
    function = array_function(n, gauge, xp.stack)
    if array_api_compat.is_jax_namespace(xp):
        compiled: Callable[..., Any] = importlib.import_module("jax").jit(function)
        return compiled
    return TorchCompiled(function)


class TorchCompiled:
    """A function compiled by ``torch.compile``, or as it is, with a warning, where that fails."""

    def __init__(self, function: Callable[..., Any]):
        self.plain = function
        # By default torch fuses 64 operations at most, and writes what passes between two kernels to memory:
        # 52 fields in three dimensions, where this is one kernel.
        self.function = importlib.import_module("torch").compile(
            function, fullgraph=True, options={"max_fusion_size": 4096}
        )

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        try:
            return self.function(*arguments)
        except Exception as error:  # each of its backends has its own
            if self.function is self.plain:
                raise
            self.function = self.plain
            # Its errors say who raised on the first line, and what on the second.
            reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
            warnings.warn(
                f"torch.compile failed ({reason}): the flow runs uncompiled, several times slower; on a CPU "
                "install numba or a C++ compiler, on a GPU install triton",
                RuntimeWarning,
                stacklevel=2,
            )
            return self.plain(*arguments)
