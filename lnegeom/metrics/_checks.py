"""Whether what a user gives is a metric."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnegeom._array import Array, InputError, check_finite, check_where, holds
from lnegeom._symmetric import check_symmetric
from lnegeom.metrics._base import Metric


def check_metric(metric: Any) -> Metric:
    """Return a metric, or raise an InputError."""
    if not isinstance(metric, Metric):
        own = "; a connection has its own christoffel(x) and curvature(x)"
        raise InputError(
            f"expected a Metric such as Sphere(2) or FromCallable(function, dim), got {metric!r}"
            f"{own if hasattr(metric, 'levi_civita') else symbolic_hint(metric)}"
        )
    return metric


def symbolic_hint(metric: Any) -> str:
    """What to add to a refusal of a symbolic metric, which prints as a metric too."""
    if not type(metric).__module__.startswith("lnegeom.symbolic"):
        return ""
    return "; make numbers of a symbolic one: FromCallable(metric.tensor.compile(), dim, vectorized=True)"


def check_negative(negative: int, dim: int) -> int:
    """Return a number of negative eigenvalues of a metric of dimension dim, or raise an InputError."""
    if isinstance(negative, bool) or not isinstance(negative, (int, np.integer)) or not 0 <= negative <= dim:
        raise InputError(f"negative must be a whole number from 0 to dim = {dim}, got {negative!r}")
    return int(negative)


def check_matrix(
    xp: Any,
    matrix: Array,
    negative: int,
    name: str = "g",
    *,
    remedy: str = "correct the function, or its domain or signature",
    rounding: Array | float = 0.0,
) -> None:
    """Raise a GeometryError unless matrices are finite, symmetric, and of the signature.

    `rounding` bounds the rounding errors of eigenvalues, ``(...)``: one that is no larger has no sign.
    """
    if float(xp.finfo(matrix.dtype).eps) > 1e-6:
        raise InputError(
            f"{name} has dtype {matrix.dtype}: expected float32 or float64, as linear algebra does; convert "
            "the points"
        )
    check_finite(xp, matrix, name)
    check_symmetric(xp, matrix, name)
    if negative == 0 and isinstance(rounding, float) and rounding == 0 and _surely_positive(xp, matrix):
        return
    eigenvalues = xp.linalg.eigvalsh(matrix)
    if negative > 0:
        last = eigenvalues[..., negative - 1]
        message = "{point} has eigenvalue {value}: expected a negative one, " + f"{negative} in all; {remedy}"
        check_where(xp, last < -rounding, last, name, message)
    if negative < matrix.shape[-1]:
        first = eigenvalues[..., negative]
        message = (
            "{point} has eigenvalue {value}: expected a positive one, " + f"all but {negative}; {remedy}"
        )
        check_where(xp, first > rounding, first, name, message)


def _surely_positive(xp: Any, matrix: Array) -> bool:
    """Whether Cholesky's pivots are positive beyond rounding, at a fraction of the eigenvalues' price."""
    failed = None
    try:
        if hasattr(xp.linalg, "cholesky_ex"):  # torch's, which does not raise and so can be traced
            factor, failed = xp.linalg.cholesky_ex(matrix)
        else:
            factor = xp.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    pivots, entries = xp.linalg.diagonal(factor) ** 2, xp.linalg.diagonal(matrix)
    positive = xp.all(pivots > 100 * float(xp.finfo(matrix.dtype).eps) * entries)
    return holds(positive if failed is None else positive & xp.all(failed == 0))
