"""Second-order operators on tensor fields: rough and Lichnerowicz Laplacians."""

from __future__ import annotations

from typing import Any

from lnegeom import tensors
from lnegeom._array import Array
from lnegeom._symmetric import check_symmetric
from lnegeom.derivatives import Derivatives, jet
from lnegeom.metrics import Metric
from lnegeom.metrics._checks import check_metric
from lnegeom.metrics._jet import JetMetric
from lnegeom.operators._fields import Field, point_of, tensor_jet


def rough_laplacian(
    metric: Metric,
    field: Field,
    x: Any,
    indices: str = "__",
    *,
    derivatives: Derivatives = "auto",
    vectorized: bool = False,
) -> Array:
    """Rough Laplacian of a tensor field, ``g^{ab} ∇_a ∇_b T``, of the shape of T.

    Arguments are those of `covariant_derivative`. Derivatives of Christoffel symbols come from the jets of
    metrics that are given by them; else they are automatic for torch and JAX arrays, or differences.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> def form(x):
    ...     return np.diag([x[0] ** 2, 0.0])
    >>> lnegeom.operators.rough_laplacian(lnegeom.Euclidean(2), form, [1.0, 0.0]).round(9)
    array([[2., 0.],
           [0., 0.]])
    """
    xp, x = point_of(check_metric(metric), x)
    found = tensor_jet(xp, field, x, indices, derivatives, vectorized, order=2)
    return _traced(xp, metric, x, (found.value, found.first, found.second), indices, derivatives)


def lichnerowicz_laplacian(
    metric: Metric, field: Field, x: Any, *, derivatives: Derivatives = "auto", vectorized: bool = False
) -> Array:
    """Lichnerowicz Laplacian of a symmetric 2-tensor field, ``(..., n, n)``, with the sign of Ricci flow.

    ``Δ_L h_ij = g^{ab} ∇_a ∇_b h_ij + 2 R_ikjl h^{kl} − Ric_ik h^k_j − Ric_jk h^k_i``, so that ``Δ_L g = 0``,
    and the Ricci tensor changes by ``−½ Δ_L h`` up to Lie derivatives of the metric.

    Arguments are those of `covariant_derivative`.

    Raises
    ------
    GeometryError
        If the tensor is not symmetric.

    References
    ----------
    Topping, *Lectures on the Ricci Flow* (2006), Eq. 2.3.5.

    Examples
    --------
    >>> import lnegeom
    >>> sphere = lnegeom.Sphere(2)
    >>> bool(abs(lnegeom.operators.lichnerowicz_laplacian(sphere, sphere.matrix, [0.3, 0.4])).max() < 1e-8)
    True
    """
    xp, x = point_of(check_metric(metric), x)
    found = tensor_jet(xp, field, x, "__", derivatives, vectorized, order=2)
    check_symmetric(xp, found.value, "field")
    rough = _traced(xp, metric, x, (found.value, found.first, found.second), "__", derivatives)
    local = metric._local(xp, x)
    inverse = metric._inverse(xp, local)
    mixed = inverse @ found.value  # h^k_j
    raised = mixed @ inverse  # h^{kl}
    lowered = tensors.apply_first(xp, metric._matrix(xp, local), metric._riemann(xp, local))
    curved = xp.sum(lowered * raised[..., None, :, None, :], axis=(-3, -1))  # R_ikjl h^{kl}
    turned = metric._ricci(xp, local) @ mixed
    return rough + 2 * curved - turned - xp.matrix_transpose(turned)


def _traced(
    xp: Any,
    metric: Metric,
    x: Array,
    found: tuple[Array, Array, Array],
    indices: str,
    derivatives: Derivatives,
) -> Array:
    local = metric._local(xp, x)
    gamma, dgamma = metric._christoffel(xp, local), _christoffel_derivative(xp, metric, x, local, derivatives)
    twice = tensors.second_covariant(xp, gamma, dgamma, found, indices)
    inverse = metric._inverse(xp, local)
    batch, n = tuple(x.shape[:-1]), x.shape[-1]
    return xp.sum(twice * xp.reshape(inverse, (*batch, *(1,) * len(indices), n, n)), axis=(-2, -1))


def _christoffel_derivative(xp: Any, metric: Metric, x: Array, local: Any, derivatives: Derivatives) -> Array:
    """``∂_b Γ^k_ij``, b last."""
    if isinstance(metric, JetMetric):
        return tensors.christoffel_derivative(xp, metric._inverse(xp, local), *metric._jet(xp, local))
    return jet(metric.christoffel, x, derivatives=derivatives, vectorized=True, order=1).first
