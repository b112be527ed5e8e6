"""The Fisher metric of an exponential family, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnegeom._array import Array, check_where
from lnegeom.families import ExponentialFamily
from lnegeom.families._base import check_family
from lnegeom.metrics.hessian import Hessian


class Fisher(Hessian):
    """The Fisher metric of an exponential family in its natural parameters, ``∇²A(θ)`` in closed form.

    For a density of your own, see `EstimatedFisher`.

    Parameters
    ----------
    family : ExponentialFamily
        For instance ``Normal()`` or ``Categorical(3)``.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.Fisher(lnegeom.Bernoulli()).matrix([0.0])
    array([[0.25]])
    """

    def __init__(self, family: ExponentialFamily):
        self.family = check_family(family, "; for a density of your own use EstimatedFisher")
        super().__init__(family.log_partition)

    def __repr__(self) -> str:
        return f"Fisher({self.family!r})"

    def _local(self, xp: Any, x: Array) -> Array:
        local = super()._local(xp, x)
        with np.errstate(all="ignore"):  # what overflows is named below
            size = xp.sum(self.potential._hessian_apply(xp, x, xp.ones_like(x)), axis=-1)
        message = (
            f"the information at {{point}} overflows to {{value}} in {x.dtype}: expected a point further "
        )
        check_where(xp, xp.isfinite(size), size, "x", message + "inside the domain")
        return local
