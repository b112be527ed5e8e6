"""Fisher information of a probability density, ``g_ij = −E[∂_i∂_j log p]``.

The derivatives of ``log p`` are sums of ``c(θ) t(x, θ)``, and the means E[t] are what is needed. The scores'
means vanish, ``E[∂_i log p] = 0``: linear equations for them, which determine all of them for an exponential
family in as many parameters as it has statistics. Only what these leave open is integrated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._child import Report
from lnegeom.symbolic._expectation import Expectation, Support

Sum = dict[Any, Any]
"""A sum of c(θ) t(x, θ): from t to c."""


def fisher_matrix(density: Any, coordinates: Sequence[Any], support: Support, report: Report) -> Any:
    """Return the Fisher information as a sympy matrix.

    Parameters
    ----------
    density : sympy expression
        p, of the variables that `support` names.
    coordinates : sequence of symbols
        θ.
    support : Support
        For each variable an interval or a set of integers.
    report : callable
        Told what is about to be done.

    Raises
    ------
    InputError
        If p is no density, or a mean is not found in closed form.
    """
    expectation = Expectation(density, support)
    report("checking that the density integrates to 1")
    expectation.check_total()
    report("taking the logarithm of the density")
    log_density, variables = _logarithm(density), tuple(support)
    scores = [_separated(log_density.diff(c), variables) for c in coordinates]
    pairs = list(itertools.combinations_with_replacement(range(len(coordinates)), 2))
    curvatures = {
        (i, j): _separated(-log_density.diff(coordinates[i], coordinates[j]), variables) for i, j in pairs
    }
    needed = {t for terms in curvatures.values() for t in terms}
    report("solving for the means of the statistics")
    means = _means_from_scores(scores)
    for t in sorted(needed - set(means), key=sp.default_sort_key):
        report(f"integrating {t} times the density")
        means[t] = expectation.of(t)
    n = len(coordinates)
    result = sp.zeros(n, n)
    for (i, j), terms in curvatures.items():
        result[i, j] = result[j, i] = sp.Add(*(c * means[t] for t, c in terms.items()))
    return result


def _logarithm(density: Any) -> Any:
    """``log p`` as a sum, gamma functions as their logarithms."""
    value = sp.expand_log(sp.log(density.rewrite(sp.gamma)), force=True)
    value = value.replace(
        lambda e: isinstance(e, sp.log) and isinstance(e.args[0], sp.gamma),
        lambda e: sp.loggamma(e.args[0].args[0]),
    )
    return sp.expand(value)


def _separated(expression: Any, variables: Sequence[Any]) -> Sum:
    found: Sum = {}
    for term in sp.Add.make_args(sp.expand(expression)):
        c, t = term.as_independent(*variables, as_Add=False)
        found[t] = found.get(t, 0) + c
    return {t: c for t, c in found.items() if c != 0}


def _means_from_scores(scores: Sequence[Sum]) -> Sum:
    """Means that ``E[∂_i log p] = 0`` determines; that of 1 is 1."""
    statistics = sorted({t for terms in scores for t in terms if t != 1}, key=sp.default_sort_key)
    unknown = [sp.Dummy() for _ in statistics]
    equations = [
        sum((terms.get(t, 0) * m for t, m in zip(statistics, unknown, strict=True)), terms.get(sp.S.One, 0))
        for terms in scores
    ]
    solutions = sp.linsolve([e for e in equations if e != 0], unknown) if unknown else sp.S.EmptySet
    means: Sum = {sp.S.One: sp.S.One}
    if solutions:
        found = zip(statistics, next(iter(solutions)), strict=True)
        means |= {t: m for t, m in found if not m.free_symbols & set(unknown)}
    elif unknown:
        raise InputError("the means of the scores cannot all vanish: the support depends on the parameters")
    return means
