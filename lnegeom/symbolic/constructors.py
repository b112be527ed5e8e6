"""Metrics from potentials, divergences, log-partitions and graphs."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import sympy as sp

from lnegeom._array import InputError, positive_integer
from lnegeom.symbolic._budget import Budget
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._embedding import Embedding
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inputs import (
    read_assumptions,
    read_constant,
    read_expression,
    read_symbols,
    with_assumptions,
)
from lnegeom.symbolic._writing import written
from lnegeom.symbolic.metric import Metric
from lnegeom.symbolic.tensor import Tensor

ANEW = "build it with a larger budget"


def _expression(value: Any, symbols: Sequence[Any], parameters: Sequence[Any] | None) -> Any:
    declared = (*symbols, *read_symbols(parameters or (), "parameters"))
    return read_expression(value, {str(s): s for s in read_symbols(declared, "coordinates and parameters")})


def _assumed(value: Any, symbols: Sequence[Any], assumptions: Any) -> tuple[Any, tuple[Any, ...], Any]:
    """Return value and symbols under the assumptions, and the renaming that takes them back.

    Roots are written as the assumptions say before anything is differentiated; `Metric` assumes once more.
    """
    (value,), symbols, renamed = with_assumptions(sp.Matrix([value]), symbols, assumptions)
    return value, symbols, {new: old for old, new in renamed.items()}


def from_potential(
    potential: Any, coordinates: Sequence[Any], *, parameters: Sequence[Any] | None = None, **options: Any
) -> Metric:
    """Hessian metric ``g_ij = ∂_i∂_jψ`` of a potential; its curvature needs no fourth derivative.

    Parameters
    ----------
    potential : sympy expression or text
        ψ.
    coordinates, parameters
        As in `Metric`.
    **options
        Passed on to `Metric`.

    Raises
    ------
    InputError
        If the Hessian is singular, and as in `Metric`.

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> g = symbolic.from_potential("log(cosh(x)) + log(cosh(y))", ["x", "y"])
    >>> g.tensor[0, 0], g.riemann.is_zero().value
    (cosh(x)**(-2), True)
    """
    symbols = read_symbols(coordinates, "coordinates")
    options["budget"] = clock = Budget.of(options.get("budget"))
    field = DifferentialField(clock)

    def entry(i: int, j: int) -> Any:
        with clock.watched():
            return written(field.derivative(slopes[min(i, j)], max(i, j))).xreplace(back)

    with clock.running(f"the potential was differentiated; {ANEW}"):
        with clock.watched():
            psi = _expression(potential, symbols, parameters)
            psi, assumed, back = _assumed(psi, symbols, options.get("assumptions"))
            value = Embedding([psi], assumed, field).element(psi)
        slopes = [field.derivative(value, i) for i in range(len(symbols))]
        matrix = sp.Matrix(len(symbols), len(symbols), entry)
        return Metric(matrix, symbols, parameters=parameters, **options)


def graph(
    phi: Any,
    coordinates: Sequence[Any],
    *,
    sign: Any = 1,
    parameters: Sequence[Any] | None = None,
    **options: Any,
) -> Metric:
    """Metric ``I + ε ∇φ ∇φᵀ`` of the graph of φ in Euclidean (ε = 1) or Minkowski (ε = −1) space.

    Parameters
    ----------
    phi : sympy expression or text
        The function.
    coordinates, parameters
        As in `Metric`.
    sign : {1, -1}
        ε.
    **options
        Passed on to `Metric`.

    Raises
    ------
    InputError
        If the sign is another, and as in `Metric`.

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> paraboloid = symbolic.graph("(x**2 + y**2)/2", ["x", "y"])
    >>> paraboloid.scalar.expression
    2/(x**2 + y**2 + 1)**2
    """
    if isinstance(sign, bool) or not isinstance(sign, numbers.Real) or sign not in (1, -1):
        raise InputError(f"sign must be 1 or -1, got {sign!r:.80}")
    symbols = read_symbols(coordinates, "coordinates")
    options["budget"] = clock = Budget.of(options.get("budget"))
    with clock.running(f"the function was differentiated; {ANEW}"):
        with clock.watched():
            value = _expression(phi, symbols, parameters)
            gradient = sp.Matrix([value.diff(c) for c in symbols])
            matrix = sp.eye(len(symbols)) + (1 if sign == 1 else -1) * gradient * gradient.T
        return Metric(matrix, symbols, parameters=parameters, **options)


def lne(n: int, tau: Any = "tau", **options: Any) -> Metric:
    """Return the LNE metric ``I − u uᵀ``, ``u = tanh(τ x)``, in coordinates x0, …: a graph metric.

    Parameters
    ----------
    n : int
        The dimension.
    tau : symbol, name or number
        τ.
    **options
        Passed on to `Metric`.

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> symbolic.lne(2, 1).structure
    ('graph',)
    """
    symbols = sp.symbols(f"x:{positive_integer('n', n)}")
    scale = read_constant("tau", tau, symbols, options.get("parameters"))
    u = sp.Matrix([sp.tanh(scale * c) for c in symbols])
    return Metric(sp.eye(n) - u * u.T, symbols, **options)


def log_cosh(n: int, tau: Any = "tau", **options: Any) -> Metric:
    """Return the Hessian metric of ``Σ τ⁻² log cosh(τ x_i)``, ``diag(sech²(τ x))``: it is flat.

    Parameters
    ----------
    n : int
        The dimension.
    tau : symbol, name or number
        τ.
    **options
        Passed on to `Metric`.

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> symbolic.log_cosh(2).riemann.is_zero().value
    True
    """
    symbols = sp.symbols(f"x:{positive_integer('n', n)}")
    scale = read_constant("tau", tau, symbols, options.get("parameters"))
    return from_potential(sum(sp.log(sp.cosh(scale * c)) for c in symbols) / scale**2, symbols, **options)


class DivergenceMetric(Metric):
    """The metric that a divergence induces, with its dual connections. Made by `from_divergence`."""

    _jets: Callable[[str], Any]

    def _from_jet(self, pattern: str, sign: int, name: str) -> Tensor:
        derivative, clock = self._jets(pattern), self.field.budget

        def component(k: int, i: int, j: int) -> Element:
            with clock.watched():
                value = derivative((i, j, k))
            return self.element(sign * value)

        return self._make(name, "___", component, self._connection(), tensorial=False)

    @cached_property
    def connection(self) -> Tensor:
        """Connection ``Γ_ij,k = −∂_i∂_j∂'_k D``, ``[k, i, j]``."""
        return self._from_jet("xxy", -1, r"\Gamma")

    @cached_property
    def dual_connection(self) -> Tensor:
        """Dual connection ``Γ*_ij,k = −∂'_i∂'_j∂_k D``, ``[k, i, j]``."""
        return self._from_jet("yyx", -1, r"\Gamma^*")

    @cached_property
    def cubic(self) -> Tensor:
        """Cubic tensor ``C_ijk = Γ*_ij,k − Γ_ij,k``, symmetric in all indices."""
        difference = self.dual_connection - self.connection
        difference.name = "C"
        return difference


def from_divergence(
    divergence: Any,
    x: Sequence[Any],
    y: Sequence[Any],
    *,
    parameters: Sequence[Any] | None = None,
    **options: Any,
) -> DivergenceMetric:
    """Eguchi's metric ``g_ij = ∂_i∂_j D[x : y]`` at ``y = x``, with the dual connections and cubic tensor.

    Parameters
    ----------
    divergence : sympy expression or text
        D, in both sets of coordinates.
    x, y : sequences of n symbols or names
        First and second argument; the metric's coordinates are x.
    parameters
        As in `Metric`.
    **options
        Passed on to `Metric`.

    Returns
    -------
    DivergenceMetric
        A `Metric` with `connection`, `dual_connection` and `cubic`.

    Raises
    ------
    InputError
        If D or its first derivatives do not vanish at ``y = x``, and as in `Metric`.

    References
    ----------
    Eguchi, *Geometry of minimum contrast*, 1992.

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> g = symbolic.from_divergence("x - y - y*log(x/y)", ["x"], ["y"])
    >>> g.tensor[0, 0], g.connection[0, 0, 0], g.dual_connection[0, 0, 0], g.cubic[0, 0, 0]
    (1/x, -1/x**2, 0, x**(-2))
    """
    first, second = read_symbols(x, "x"), read_symbols(y, "y")
    if len(first) != len(second) or set(map(str, first)) & set(map(str, second)):
        raise InputError(f"expected n names for x and n others for y, got {first} and {second}")
    options["budget"] = clock = Budget.of(options.get("budget"))
    given = read_assumptions(options.get("assumptions"))
    of_x = {str(symbol): assumption for symbol, assumption in given.items()}
    # y is where x is.
    given |= {b: of_x[str(a)] for a, b in zip(first, second, strict=True) if str(a) in of_x}

    def jet(variables: Sequence[Any]) -> Any:
        return value.diff(*variables).xreplace(diagonal) if variables else value.xreplace(diagonal)

    n = len(first)
    with clock.running(f"the divergence was differentiated; {ANEW}"):
        with clock.watched():
            value = _expression(divergence, (*first, *second), parameters)
            value, symbols, back = _assumed(value, (*first, *second), given)
            sides = {"x": symbols[:n], "y": symbols[n:]}
            diagonal = dict(zip(sides["y"], sides["x"], strict=True))
            for expression in (jet([]), *(jet([c]) for c in symbols)):
                if Embedding([expression], sides["x"], DifferentialField(clock)).element(expression):
                    raise InputError(f"D and its first derivatives must vanish at y = x: found {expression}")
            matrix = sp.Matrix(n, n, lambda i, j: jet([sides["x"][i], sides["x"][j]])).xreplace(back)
        metric = DivergenceMetric(matrix, first, parameters=parameters, **options)

    def pattern(letters: str) -> Any:
        return lambda index: jet([sides[s][i] for s, i in zip(letters, index, strict=True)]).xreplace(back)

    metric._jets = pattern
    return metric
