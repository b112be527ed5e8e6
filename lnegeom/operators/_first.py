"""First-order operators: covariant derivative, gradient, divergence; and those of a function."""

from __future__ import annotations

from typing import Any

from lnegeom import tensors
from lnegeom._array import (
    Array,
    GeometryError,
    dot,
    moveaxis,
)
from lnegeom.connections import Connection
from lnegeom.derivatives import Derivatives
from lnegeom.fields import ScalarField, as_field
from lnegeom.metrics import Metric
from lnegeom.metrics._checks import check_metric
from lnegeom.metrics._covariant_hessian import CovariantHessian
from lnegeom.operators._fields import Field, point_of, tensor_jet


def covariant_derivative(
    connection: Connection,
    field: Field,
    x: Any,
    indices: str,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Covariant derivative of a tensor field of any valence, the index of the derivative last.

    ``∇_a T^i_j = ∂_a T^i_j + Γ^i_ak T^k_j − Γ^k_aj T^i_k``, and so on for each index.

    Parameters
    ----------
    connection : Metric or DualConnections
        A metric's Levi-Civita connection, or any other.
    field : callable
        Maps one point ``(n,)`` to components ``(n, …, n)``, with `vectorized` points ``(..., n)``.
    x : array
        Points ``(..., n)``.
    indices : str
        One "^" for each upper index and one "_" for each lower one, in order: "" for a function, "^" for a
        vector field, "__" for a bilinear form.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of the field come from (`lnegeom.derivatives.jet`).
    vectorized : bool
        Whether the field takes all points at once.

    Returns
    -------
    array
        Shape ``(..., n, …, n, n)``.

    Raises
    ------
    GeometryError
        If the components do not fit the indices, or a point lies outside the chart.

    Examples
    --------
    The metric is parallel:

    >>> import numpy as np, lnegeom
    >>> sphere = lnegeom.Sphere(2)
    >>> slope = lnegeom.operators.covariant_derivative(sphere, sphere.matrix, [0.3, 0.4], "__")
    >>> bool(abs(slope).max() < 1e-11)
    True
    """
    xp, x = point_of(connection, x)
    found = tensor_jet(xp, field, x, indices, derivatives, vectorized)
    return tensors.covariant(xp, connection.christoffel(x), found.value, found.first, indices)


def gradient(
    metric: Metric,
    f: ScalarField | Field,
    x: Any,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Gradient of a function, the vector ``g^{ij} ∂_j f``, ``(..., n)``; O(n) where `sharp` is.

    Parameters
    ----------
    metric : Metric
    f : Potential or callable
        A potential, or a function of one point ``(n,) → ()``, with `vectorized` of all, ``(..., n) → (...)``.
    x : array
        Points ``(..., n)``.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of a callable come from.
    vectorized : bool
        Whether a callable takes all points at once.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.operators.gradient(lnegeom.HalfSpace(2), lambda x: x[1], [0.0, 2.0]).round(9)
    array([0., 4.])
    """
    xp, x = point_of(check_metric(metric), x)
    slope = _checked_slope(xp, as_field(f, derivatives, vectorized), x)
    return metric._sharp(xp, metric._local(xp, x), slope)


def hessian(
    metric: Metric,
    f: ScalarField | Field,
    x: Any,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Covariant Hessian of a function, ``∇_i ∇_j f = ∂_i ∂_j f − Γ^k_ij ∂_k f``, ``(..., n, n)``.

    Arguments are those of `gradient`.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.operators.hessian(lnegeom.Euclidean(2), lnegeom.SquaredNorm(), [1.0, 2.0])
    array([[1., 0.],
           [0., 1.]])
    """
    return _bend(metric, f, x, derivatives, vectorized).matrix


def laplacian(
    metric: Metric,
    f: ScalarField | Field,
    x: Any,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Laplace–Beltrami operator of a function, ``g^{ij} ∇_i ∇_j f``, of shape ``(...)``.

    For a Lorentzian metric it is the d'Alembertian. It costs O(n) where `Conformal` says that its curvature
    does.

    Arguments are those of `gradient`.

    Examples
    --------
    Heights are eigenfunctions of the unit sphere, of eigenvalue −n:

    >>> import lnegeom
    >>> def height(x):
    ...     return (x @ x - 1) / (x @ x + 1)
    >>> x = [0.5, 0.0]
    >>> round(float(lnegeom.operators.laplacian(lnegeom.Sphere(2), height, x)), 9)  # −2 · (−0.6)
    1.2
    """
    return _bend(metric, f, x, derivatives, vectorized).laplacian


def divergence(
    connection: Connection,
    field: Field,
    x: Any,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Divergence of a vector field, ``∇_i X^i = ∂_i X^i + Γ^i_ij X^j``, ``(...)``.

    Arguments are those of `covariant_derivative`. (Divergences between points are `lnegeom.Divergence`.)

    Examples
    --------
    >>> import lnegeom
    >>> round(float(lnegeom.operators.divergence(lnegeom.Euclidean(2), lambda x: x, [1.0, 2.0])), 9)
    2.0
    """
    xp, x = point_of(connection, x)
    found = tensor_jet(xp, field, x, "^", derivatives, vectorized)
    contracted = xp.linalg.trace(moveaxis(xp, connection.christoffel(x), -1, -3))  # Γ^i_ij
    return xp.linalg.trace(found.first) + dot(xp, contracted, found.value)


def _bend(
    metric: Metric, f: ScalarField | Field, x: Any, derivatives: Derivatives, vectorized: bool
) -> CovariantHessian:
    xp, x = point_of(check_metric(metric), x)
    field = as_field(f, derivatives, vectorized)
    slope = _checked_slope(xp, field, x)
    return CovariantHessian(xp, metric, metric._local(xp, x), field, x, slope)


def _checked_slope(xp: Any, field: ScalarField, x: Array) -> Array:
    field._check_domain(xp, x)
    slope = field._gradient(xp, x)
    if tuple(slope.shape) != tuple(x.shape):
        raise GeometryError(
            f"the function has derivatives of shape {tuple(slope.shape)} at points {tuple(x.shape)}: "
            "expected one number at each point"
        )
    return slope
