"""Equations that a metric gives: Killing's, the geodesics', and its pullback."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._chart import Chart
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._inputs import read_expression, read_symbols
from lnegeom.symbolic.tensor import Tensor


def lie_derivative(x: Tensor) -> Tensor:
    """Lie derivative of its metric along a vector field; see `Metric.killing_equation`."""
    metric = x.metric
    field, g, index = metric.field, metric.geometry.g, range(metric.dim)

    def component(i: int, j: int) -> Element:
        terms = []
        for k in index:
            upper = x._component(k)
            terms.append((1, upper, field.derivative(g[i][j], k)))
            terms.append((1, g[k][j], field.derivative(upper, i)))
            terms.append((1, g[i][k], field.derivative(upper, j)))
        return field.combine(terms)

    independent = itertools.combinations_with_replacement(index, 2)
    return Tensor(metric, r"\mathcal{L}_X g", ("down", "down"), component, independent)


def geodesic_equations(gamma: Tensor, parameter: str) -> tuple[Any, ...]:
    """Left sides of the geodesic equations of Christoffel symbols; see `Metric.geodesic_equations`."""
    metric = gamma.metric
    (s,) = read_symbols([parameter], "parameter")
    if str(s) in map(str, (*metric.coordinates, *metric.parameters)):
        raise InputError(f"parameter {s} is a symbol of the metric: expected another name")
    curve = {c: sp.Function(c.name)(s) for c in metric.coordinates}
    index = range(metric.dim)

    def side(k: int) -> Any:
        total = curve[metric.coordinates[k]].diff(s, 2)
        for i, j in itertools.combinations_with_replacement(index, 2):
            speed = curve[metric.coordinates[i]].diff(s) * curve[metric.coordinates[j]].diff(s)
            total += (1 if i == j else 2) * gamma[k, i, j].xreplace(curve) * speed
        return total

    for k in gamma.independent:
        gamma[k]
    with metric.field.budget.watched():
        return tuple(side(k) for k in index)


def pulled_back(
    metric: Chart, substitution: Mapping[Any, Any], coordinates: Sequence[Any]
) -> tuple[Any, Any]:
    """Matrix and coordinates of a pullback; see `Metric.pullback`."""
    new = read_symbols(coordinates, "coordinates")
    if shared := set(map(str, new)) & set(map(str, metric.parameters)):
        raise InputError(f"coordinates: {min(shared)} is a parameter of the metric: expected another name")
    old = {str(c): c for c in metric.coordinates}
    if {str(key) for key in substitution} != set(old):
        given = ", ".join(map(str, substitution))
        raise InputError(f"substitution: expected an expression for each of {', '.join(old)}, got {given}")
    names = {str(c): c for c in (*metric.parameters, *new)}
    image = {
        old[str(key)]: read_expression(value, names, metric._renamed) for key, value in substitution.items()
    }
    jacobian = sp.Matrix([[image[c].diff(y) for y in new] for c in metric.coordinates])
    matrix = metric.matrix.subs(image, simultaneous=True)
    return jacobian.T * matrix * jacobian, new
