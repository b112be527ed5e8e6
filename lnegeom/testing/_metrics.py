"""Check a metric: every law that applies to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lnegeom._array import Array, from_numpy
from lnegeom.metrics import Metric
from lnegeom.metrics._checks import check_metric as checked
from lnegeom.testing import _contract_laws, _tensor_laws
from lnegeom.testing._check import generator, points_of, random_vectors, run
from lnegeom.testing._law import applying, dimension
from lnegeom.testing._measure import Measured

LAWS = {**_tensor_laws.LAWS, **_contract_laws.LAWS}


def metric_laws(metric: Metric, dim: int | None = None) -> list[str]:
    """Names of the laws that a metric must obey, for ``pytest.mark.parametrize`` and `check_metric`.

    Parameters
    ----------
    metric : Metric
        Its signature, its dimension and whether its geodesics are in closed form say which laws apply.
    dim : int, optional
        The dimension, of a metric that leaves it open.

    Raises
    ------
    InputError
        If the metric is none, or the dimension is missing or another.

    Examples
    --------
    >>> import lnegeom
    >>> "length" in lnegeom.testing.metric_laws(lnegeom.Sphere(2))
    True
    >>> "length" in lnegeom.testing.metric_laws(lnegeom.Minkowski(4))  # vectors have none
    False
    """
    return list(applying(LAWS, checked(metric), dimension(metric, dim)))


def check_metric(
    metric: Metric, x: Any, *, tolerance: float | None = None, laws: Iterable[str] | None = None
) -> None:
    """Hold a metric to the laws of geometry at points, and report every law that it breaks.

    Christoffel symbols and curvature in closed form are compared with derivatives of the matrix, by
    automatic differentiation for torch and JAX points, else by differences of eighth order; inverse, index
    raising, contractions and geodesics in closed form with what they are of; identities such as Bianchi's
    with zero. Vectors, and new coordinates, are random ones that depend on the points alone.

    Parameters
    ----------
    metric : Metric
        The metric: one of your own, or one made of your function, potential or divergence.
    x : array
        Points ``(..., n)`` of its chart, where no coordinate is special: at a centre of symmetry most terms
        vanish, right or wrong.
    tolerance : float, optional
        Relative tolerance of every law. Left out, it is 1e-9 (for float32 points 1e-3), 1e-8 where
        derivatives along the chart are differences, and in addition ten times the error that these estimate.
    laws : list of str, optional
        Which laws, of those that `metric_laws` lists; left out, all of them.

    Raises
    ------
    LawError
        An AssertionError that names each law broken, the point and component where it fails worst, what was
        found there and expected, and what usually causes it.
    InputError
        If a law is unknown or does not apply, or an argument is none of the above.
    GeometryError
        If a point is outside the chart.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> x = np.array([[0.3, -0.2], [0.1, 0.4]])
    >>> lnegeom.testing.check_metric(lnegeom.Sphere(2), x)

    A sphere whose author forgot a factor:

    >>> class Forgetful(lnegeom.Sphere):
    ...     def _christoffel(self, xp, local):
    ...         return super()._christoffel(xp, local) / 2
    >>> try:
    ...     lnegeom.testing.check_metric(Forgetful(2), x, laws=["parallel metric"])
    ... except AssertionError as error:
    ...     print(error)
    Forgetful [Sphere(2, radius=1.0)] breaks 1 of 1 laws
    <BLANKLINE>
      parallel metric: ∇_a g_ij = 0.
        at x[1] = [0.1, 0.4], entry [0, 0, 1]: found -1.99..., expected 0, allowed difference 1e-08
        usual cause: the closed form of `_christoffel` disagrees with the derivatives of `_matrix`: ...
    """
    __tracebackhide__ = True
    x = points_of(checked(metric), x)
    metric.matrix(x)  # a point outside the chart is an error of the test, not of the metric
    (v, w), (a, b) = random_vectors(x, 2), _coordinates(x)
    measured = Measured(metric, x, v, w, a, b, few=x.shape[0])
    run(metric, LAWS, measured, tolerance, laws)


def _coordinates(x: Array) -> tuple[Array, Array]:
    """The jet A, B of random new coordinates; it depends on the points alone."""
    n, rng = x.shape[-1], generator(x)
    a = np.eye(n) + 0.4 * rng.uniform(-1, 1, (n, n)) / n
    b = 0.3 * rng.uniform(-1, 1, (n, n, n))
    return from_numpy(a, x), from_numpy(b + np.swapaxes(b, 1, 2), x)
