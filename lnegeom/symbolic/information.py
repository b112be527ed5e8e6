"""Fisher metrics, of log-partitions and of densities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._budget import Budget
from lnegeom.symbolic._child import run_limited
from lnegeom.symbolic._density import fisher_matrix
from lnegeom.symbolic._expectation import Integers, Interval, Support
from lnegeom.symbolic._inputs import read_expression, read_symbols, with_assumptions
from lnegeom.symbolic.constructors import from_potential
from lnegeom.symbolic.metric import Metric

__all__ = ["fisher"]

_SECONDS = 60.0
_ENDS = {"oo": sp.oo, "-oo": -sp.oo}


def fisher(
    function: Any,
    coordinates: Sequence[Any],
    *,
    support: Mapping[Any, Any] | None = None,
    parameters: Sequence[Any] | None = None,
    assumptions: Mapping[Any, str] | None = None,
    budget: float | None = None,
    **options: Any,
) -> Metric:
    """Fisher metric: of an exponential family from its log-partition, or of any density with a `support`.

    A log-partition is a function of the natural parameters, and the metric is its Hessian. For a density p,
    ``g_ij = −E[∂_i∂_j log p]`` takes the means of some statistics. In an exponential family with as many
    parameters as statistics they follow from ``E[∂_i log p] = 0`` by linear algebra; what is left is
    integrated by sympy. All of that happens in an interpreter of its own, which is ended when the budget is
    spent. In numbers it is checked that p integrates to 1, and that means that were integrated are right.

    Parameters
    ----------
    function : sympy expression or text
        The log-partition, or with `support` the density or probability.
    coordinates : sequence of symbols or names
        The parameters of the family.
    support : mapping from symbols or names to pairs or ranges, optional
        For each random variable ``(low, high)``, the ends of an interval, "-oo" and "oo" among them; for an
        integer one a `range`, or ``sympy.S.Naturals0``. It may not depend on the coordinates.
    parameters, assumptions
        As in `Metric`. Integrals are found only where scales are known to be positive.
    budget : float, optional
        Seconds for the means (default 60), and as in `Metric`.
    **options
        Passed on to `Metric`.

    Raises
    ------
    InputError
        If p is no density, its support depends on the coordinates, or a mean has no closed form.
    TimeBudgetError
        If the budget is spent before the means are found; the message says at which.

    References
    ----------
    Amari and Nagaoka, *Methods of Information Geometry*, section 2.2.

    Examples
    --------
    The normal family in natural parameters, ``θ = (μ/σ², −1/(2σ²))``, and in mean and standard deviation:

    >>> from lnegeom import symbolic
    >>> g = symbolic.fisher("-a**2/(4*b) - log(-2*b)/2", ["a", "b"])
    >>> g.scalar.expression
    -1
    >>> density = "exp(-(x - mu)**2/(2*sigma**2))/(sigma*sqrt(2*pi))"
    >>> support, assumptions = {"x": ("-oo", "oo")}, {"sigma": "positive"}
    >>> g = symbolic.fisher(density, ["mu", "sigma"], support=support, assumptions=assumptions)
    >>> g.tensor.nonzero()
    {(0, 0): sigma**(-2), (1, 1): 2/sigma**2}
    """
    shared: dict[str, Any] = {
        "parameters": parameters,
        "assumptions": assumptions,
        "budget": budget,
        **options,
    }
    Budget(budget)  # refuses what is no limit before any work
    if support is None:
        return from_potential(function, coordinates, **shared)
    symbols = read_symbols(coordinates, "coordinates")
    matrix = _matrix(function, symbols, support, parameters, assumptions, budget)
    return Metric(matrix, symbols, **shared)


def _matrix(
    density: Any,
    symbols: tuple[Any, ...],
    support: Mapping[Any, Any],
    parameters: Sequence[Any] | None,
    assumptions: Mapping[Any, str] | None,
    budget: float | None,
) -> Any:
    if not isinstance(support, Mapping) or not support:
        raise InputError(f'support: expected a mapping such as {{"x": (0, "oo")}}, got {support!r:.80}')
    variables = read_symbols(list(support), "support")
    declared = (*symbols, *variables, *read_symbols(parameters or (), "parameters"))
    names = {str(symbol): symbol for symbol in declared}
    if len(names) < len(declared):
        raise InputError(f"expected different names, got {', '.join(map(str, declared))}")
    value = read_expression(density, names)
    if value.has(sp.Abs, sp.Piecewise, sp.Heaviside, sp.sign):
        raise InputError(f"{value} is not smooth: expected a density with two derivatives in the parameters")
    for symbol in symbols:
        if not value.has(symbol):
            raise InputError(f"the density does not depend on {symbol}: expected all coordinates in it")
    # Real symbols, or sympy answers by cases.
    _, _, renamed = with_assumptions(sp.Matrix([value]), symbols, assumptions)
    for symbol in value.free_symbols - set(renamed) - set(variables):
        renamed[symbol] = sp.Symbol(symbol.name, **{**symbol.assumptions0, "real": True})
    domains: Support = {}
    for key, variable in zip(support, variables, strict=True):
        domain = _domain(support[key], variable)
        kind = {"integer": True} if isinstance(domain, Integers) else {"real": True}
        renamed[variable] = sp.Symbol(variable.name, nonnegative=True if domain.low >= 0 else None, **kind)
        domains[renamed[variable]] = domain
    arguments = value.xreplace(renamed), [renamed[s] for s in symbols], domains
    matrix = run_limited(fisher_matrix, *arguments, seconds=_SECONDS if budget is None else budget)
    return matrix.xreplace({new: old for old, new in renamed.items()})


def _domain(given: Any, variable: Any) -> Interval | Integers:
    if isinstance(given, range) and given.step == 1 and len(given):
        return Integers(sp.Integer(given.start), sp.Integer(given.stop - 1))
    if given in (sp.S.Naturals, sp.S.Naturals0):
        return Integers(given.inf, sp.oo)
    if isinstance(given, tuple | list) and len(given) == 2:
        low, high = (_end(end, variable) for end in given)
        if low < high:
            return Interval(low, high)
    raise InputError(
        f"support of {variable}: expected (low, high), a range of step 1 or sympy.S.Naturals0, got {given!r}"
    )


def _end(given: Any, variable: Any) -> Any:
    end = _ENDS.get(given, given) if isinstance(given, str) else given
    if isinstance(end, sp.core.numbers.Infinity | sp.core.numbers.NegativeInfinity):
        return end
    try:
        number = read_expression(end, {})
    except InputError:
        number = None
    if number is None or number.free_symbols:
        raise InputError(
            f"support of {variable}: expected numbers, '-oo' or 'oo', got {given!r}; where the support "
            "depends on a parameter there is no Fisher information"
        )
    return number
