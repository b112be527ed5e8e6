"""The layer-normalised LNE metric as a field on the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat

from lnegeom._array import Array, InputError, check_where, dot, identity, outer, real
from lnegeom.derivatives import Derivatives, check_source, jet
from lnegeom.metrics._jet import JetMetric


class _Local(NamedTuple):
    x: Array
    unit: Array  # p/|p|, 0 where p = 0
    size: Array  # |p|²


class NormalizedLNE(JetMetric):
    """The metric ``g = I − χ p pᵀ/|p|²`` with ``p = tanh(θ)``, ManiQuant's form of LNE for one layer.

    Its inverse is ``I + χ/(1 − χ) p pᵀ/|p|²``. At ``p = 0`` the metric is taken as I, which makes a good
    preconditioner; but the field is discontinuous there, so its Christoffel symbols and curvature raise.

    Parameters
    ----------
    chi : float
        χ in [0, 1).
    derivatives : {"auto", "torch", "jax", "finite"}
        Where the derivatives of the metric come from.

    References
    ----------
    ManiQuant Eq. 16.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.NormalizedLNE(chi=0.5).sharp([3.0, 3.0], [1.0, 0.0])
    array([1.5, 0.5])
    """

    def __init__(self, chi: float, *, derivatives: Derivatives = "auto"):
        self.chi = real("chi", chi)
        if not 0 <= self.chi < 1:
            raise InputError(f"chi must be in [0, 1), got {chi}; g is singular at chi = 1")
        self.derivatives = check_source(derivatives)

    def __repr__(self) -> str:
        return f"NormalizedLNE(chi={self.chi})"

    def _local(self, xp: Any, x: Array) -> _Local:
        p = xp.tanh(x)
        size = dot(xp, p, p)
        length = xp.sqrt(xp.where(size > 0, size, xp.ones_like(size)))
        return _Local(x, p / length[..., None], size)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.x) - self.chi * outer(local.unit)

    def _inverse(self, xp: Any, local: _Local) -> Array:
        return identity(xp, local.x) + self.chi / (1 - self.chi) * outer(local.unit)

    def _sharp(self, xp: Any, local: _Local, covector: Array) -> Array:
        along = dot(xp, local.unit, covector)[..., None]
        return covector + self.chi / (1 - self.chi) * local.unit * along

    def _flat(self, xp: Any, local: _Local, vector: Array) -> Array:
        return vector - self.chi * local.unit * dot(xp, local.unit, vector)[..., None]

    def _logdet(self, xp: Any, local: _Local) -> Array:
        return xp.log1p(-self.chi * dot(xp, local.unit, local.unit))

    def _jet(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        check_where(
            xp,
            local.size > 0,
            local.size,
            "x",
            "the metric is discontinuous at {point}, where |tanh(x)|^2 = {value}: it has no connection there",
        )

        def function(y: Array) -> Array:
            namespace = array_api_compat.array_namespace(y)
            return self._matrix(namespace, self._local(namespace, y))

        found = jet(function, local.x, derivatives=self.derivatives, vectorized=True)
        return found.first, found.second
