"""Eguchi's relations for a divergence that is given as a function: metric, symbols and their derivatives.

By automatic differentiation, or by differences.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, InputError, check_where, from_numpy, moveaxis, to_numpy
from lnegeom.derivatives._automatic import (
    at_each,
    check_real,
    in_library,
    library_of,
    named_failure,
    transforms_of,
)
from lnegeom.derivatives._differences import (
    Converged,
    Doubles,
    back,
    check_settled,
    differences,
    doubles,
    flat_points,
    like,
    slopes,
)
from lnegeom.derivatives._divergence_differences import (
    Sample,
    Values,
    in_best_units,
    metric_function,
    third_derivatives,
)
from lnegeom.derivatives._jet import Derivatives, check_source, evaluate, jet, source_of
from lnegeom.derivatives._recorded import with_record

# Evaluations of a vectorized function at once: some 100 MB of arrays.
_AT_ONCE = 1 << 20


class DivergenceJets:
    """Derivatives of ``D(p, q)`` at ``q = p``, in the library, dtype and device of the points ``(..., n)``.

    Parameters
    ----------
    function : callable
        Maps two points ``(n,)`` to a number; with `vectorized`, ``(..., n)`` and ``(..., n)`` to ``(...)``.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where derivatives come from.
    vectorized : bool
        Whether the function takes many points at once.
    trace : bool
        Whether to record automatic derivatives.
    """

    def __init__(
        self,
        function: Callable[[Array, Array], Array],
        derivatives: Derivatives,
        vectorized: bool,
        trace: bool = False,
    ):
        self.function = function
        self.derivatives = check_source(derivatives)
        self.vectorized = vectorized
        # D is zero at p = q whatever else it depends on, so its value there tells nothing about a record.
        self._hessians = {
            source: with_record(functools.partial(self._hessian, source), trace, derivatives, compared=False)
            for source in ("torch", "jax")
        }

    def value(self, xp: Any, p: Array, q: Array) -> Array:
        """``D[p : q]``, of shape ``(...)``, of points whose batch axes broadcast."""
        shape = np.broadcast_shapes(tuple(p.shape), tuple(q.shape))
        p, q = xp.broadcast_to(p, shape), xp.broadcast_to(q, shape)
        n = shape[-1]
        if self.vectorized:
            found = self.function(p, q)
        else:  # as a function of one point (p, q)
            found = evaluate(
                lambda pair: self.function(pair[:n], pair[n:]),
                xp.concat([p, q], axis=-1),
                derivatives=self.derivatives,
            )
        if tuple(found.shape) != shape[:-1]:
            raise InputError(
                f"the divergence returned shape {tuple(found.shape)} for points {tuple(shape)}: expected "
                f"{tuple(shape[:-1])}"
            )
        found = xp.astype(found, p.dtype, copy=False)
        message = "the divergence of {point} and q is {value}: expected a number; is one outside its domain?"
        check_where(xp, ~xp.isnan(found), found, "p", message)
        return found

    def metric(self, x: Array) -> Array:
        """``g_ij = ∂_i ∂_j D``, of shape ``(..., n, n)``."""
        if self._source(x) != "finite":
            return self._automatic(x, "metric", self._hessian)
        return self._finite(x, 2, lambda v, points, step: (metric_function(v, step)(points),))[0][0]

    def metric_slope(self, x: Array) -> tuple[Array, float]:
        """``∂_a g_ij``, of shape ``(..., i, j, a)``, and its error, 0 by automatic differentiation."""
        source = self._source(x)
        if source != "finite":
            return jet(self._hessians[source], x, derivatives=source, order=1).first, 0.0
        (found,), error = self._finite(
            x, 3, lambda v, points, step: (slopes(metric_function(v, step), points, step),)
        )
        return found, error

    def metric_jet(self, x: Array) -> tuple[Array, Array, str, float]:
        """``∂_a g_ij`` and ``∂_a ∂_b g_ij``, derivative axes last, their source and the latter's error."""
        source = self._source(x)
        if source != "finite":
            found = jet(self._hessians[source], x, derivatives=source)
            return found.first, found.second, found.source, found.error

        def sample(values: Values, points: Doubles, step: Doubles) -> tuple[Doubles, ...]:
            metric = metric_function(values, step)
            return differences(metric, points, metric(points), step)

        (first, second), error = self._finite(x, 4, sample)
        return first, second, "finite", error

    def symbols(self, x: Array) -> tuple[Array, float]:
        """``Γ_{ij,k}`` and ``Γ*_{ij,k}``, of shape ``(..., 2, k, i, j)``, and their estimated error."""
        if self._source(x) != "finite":
            return _stored(self._automatic(x, "symbols", self._pair), -1), 0.0
        (found,), error = self._finite(x, 3, lambda v, points, step: (third_derivatives(v, points, step),))
        return found, error

    def symbols_slope(self, x: Array) -> Array:
        """``∂_m`` of both, of shape ``(..., 2, k, i, j, m)``."""
        source = self._source(x)
        if source != "finite":
            jacfwd = transforms_of(source).jacfwd  # of n³ numbers by n, which reverse mode would take apart
            slope = self._automatic(x, "slope", lambda s, y: jacfwd(lambda z: self._pair(s, z))(y))
            return _stored(slope, -2)

        def sample(values: Values, points: Doubles, step: Doubles) -> tuple[Doubles, ...]:
            def symbols(y: Doubles) -> Doubles:
                return third_derivatives(values, y, np.broadcast_to(step, y.shape[:-1]))

            return (slopes(symbols, points, step),)

        return self._finite(x, 4, sample)[0][0]

    def _source(self, x: Array) -> Any:
        return source_of(self._hessians["torch"], x, self.derivatives)

    # Automatic differentiation, at one point

    def _one(self, p: Array, q: Array) -> Array:
        found = self.function(p[None, :], q[None, :])[0] if self.vectorized else self.function(p, q)
        return _one_number(found)

    def _hessian(self, source: str, y: Array) -> Array:
        outer, inner = _modes(source)
        return outer(inner(lambda p: self._one(p, y)))(y)

    def _pair(self, source: str, y: Array) -> Array:
        """``−∂_i∂_j∂'_k D`` and ``−∂'_i∂'_j∂_k D``, as (2, i, j, k)."""
        outer, inner = _modes(source)
        first = outer(lambda q: outer(inner(lambda p: self._one(p, q)))(y))(y)
        second = outer(lambda p: outer(inner(lambda q: self._one(p, q)))(y))(y)
        return -library_of(source).stack([first, second])

    def _automatic(self, x: Array, kind: str, at_point: Callable[[str, Array], Array]) -> Array:
        source = self._source(x)
        given, function = in_library(source, x), self._hessians[source]
        with named_failure(source):
            points = given.reshape(-1, x.shape[-1])
            (found,) = at_each(source, function, kind, lambda y: (at_point(source, y),), points, function)
        shaped = found.reshape(tuple(x.shape[:-1]) + tuple(found.shape[1:]))
        return shaped if given is x else from_numpy(shaped, x)

    # Differences, on numpy float64

    def _finite(self, x: Array, order: int, sample: Sample) -> tuple[tuple[Array, ...], float]:
        """Converged differences and their error, some points at a time: the levels multiply evaluations."""
        points = flat_points(x)
        n = points.shape[-1]

        def values(p: Doubles, q: Doubles) -> Doubles:
            rows = [like(x, np.array(a).reshape(-1, n)) for a in np.broadcast_arrays(p, q)]
            if self.vectorized:
                found = self.function(*rows)
                check_real(found)
                found = to_numpy(found)
            else:
                found = np.array(
                    [
                        float(_one_number(self.function(rows[0][i, :], rows[1][i, :])))
                        for i in range(p.size // n)
                    ]
                )
            return np.asarray(found, dtype=np.float64).reshape(p.shape[:-1])

        size = max(1, _AT_ONCE // (4 * n * (n + 1)) ** 2)
        with doubles(x):
            values(points, points)  # a point outside the domain raises here, by name
            parts = [
                in_best_units(values, sample, part, order)
                for part in np.split(points, range(size, len(points), size))
            ]
        arrays = tuple(np.concatenate(array) for array in zip(*(p.arrays for p in parts), strict=True))
        error, settled, step = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
        hint = ", such as the square of a distance is at p = q"
        check_settled(Converged(arrays, error, settled, step), points, tuple(x.shape[:-1]), hint)
        return tuple(back(x, array) for array in arrays), float(error.max())


def _modes(source: str) -> tuple[Any, Any]:
    """What differentiates arrays, and what numbers: torch in reverse mode (see `FEW`), JAX in forward."""
    transforms = transforms_of(source)
    return (transforms.jacrev, transforms.grad) if source == "torch" else (transforms.jacfwd,) * 2


def _one_number(found: Any) -> Any:
    """What a divergence returned for two points, or an error if it is not one real number."""
    check_real(found)
    shape = tuple(getattr(found, "shape", ()))
    if shape != ():
        raise GeometryError(
            f"the divergence returned shape {shape} for two points: expected one number; sum over coordinates"
        )
    return found


def _stored(pair: Array, k: int) -> Array:
    """Symbols with their axis k, the last or the last but one, before i and j."""
    return moveaxis(array_api_compat.array_namespace(pair), pair, k, k - 2)
