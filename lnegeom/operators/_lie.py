"""Lie derivatives, and vector fields that preserve a metric."""

from __future__ import annotations

from typing import Any

from lnegeom import tensors
from lnegeom._array import Array, as_floating, check_vectors
from lnegeom.derivatives import Derivatives
from lnegeom.metrics import Metric
from lnegeom.metrics._checks import check_metric
from lnegeom.operators._fields import Field, point_of, tensor_jet


def lie_derivative(
    vector: Field,
    field: Field,
    x: Any,
    indices: str,
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Lie derivative of a tensor field along a vector field, of the shape of the tensor.

    ``L_X T^i_j = X^a ∂_a T^i_j − T^k_j ∂_k X^i + T^i_k ∂_j X^k``, and so on for each index; without a metric.

    Parameters
    ----------
    vector, field : callable
        The vector field X and the tensor field T, functions of one point, or with `vectorized` of all.
    x : array
        Points ``(..., n)``.
    indices : str
        "^" and "_" for the upper and lower indices of T, as in `covariant_derivative`.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where derivatives come from.
    vectorized : bool
        Whether both fields take all points at once.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> def rotation(x):
    ...     return np.array([-x[1], x[0]])
    >>> def shift(x):
    ...     return np.array([1.0, 0.0])
    >>> lnegeom.operators.lie_derivative(rotation, shift, [0.3, 0.4], "^").round(9)  # [rotation, shift]
    array([ 0., -1.])
    """
    xp, x = as_floating(x=x)
    check_vectors(xp, x, "x", None)
    along = tensor_jet(xp, vector, x, "^", derivatives, vectorized)
    found = tensor_jet(xp, field, x, indices, derivatives, vectorized)
    batch, n = tuple(x.shape[:-1]), x.shape[-1]
    direction = xp.reshape(along.value, (*batch, *(1,) * len(indices), n))
    return xp.sum(found.first * direction, axis=-1) - tensors.derivation(
        xp, along.first, found.value, indices
    )


def killing_residual(
    metric: Metric, vector: Field, x: Any, *, derivatives: Derivatives = "auto", vectorized: bool = False
) -> Array:
    """Lie derivative of the metric, ``L_X g = ∇_i X_j + ∇_j X_i``, ``(..., n, n)``: 0 for a Killing field.

    Arguments are those of `covariant_derivative`.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> def rotation(x):
    ...     return np.array([-x[1], x[0]])
    >>> bool(abs(lnegeom.operators.killing_residual(lnegeom.Sphere(2), rotation, [0.3, 0.4])).max() < 1e-11)
    True
    """
    xp, x = point_of(check_metric(metric), x)
    found = tensor_jet(xp, vector, x, "^", derivatives, vectorized)
    local = metric._local(xp, x)
    slope = tensors.covariant(xp, metric._christoffel(xp, local), found.value, found.first, "^")
    lowered = metric._matrix(xp, local) @ slope
    return lowered + xp.matrix_transpose(lowered)
