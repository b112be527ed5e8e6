"""Check a manifold of geoopt's kind: every law that applies to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import geoopt

from lnegeom import GeometryError, InputError
from lnegeom.testing._check import Measures, run
from lnegeom.testing._law import applying
from lnegeom_torch.testing._check import stacked
from lnegeom_torch.testing._geodesic_laws import LAWS as OF_WAYS
from lnegeom_torch.testing._manifold_laws import LAWS as OF_POINTS
from lnegeom_torch.testing._tangent import TABLE

__all__ = ["check_manifold", "manifold_laws"]

LAWS = {**OF_POINTS, **OF_WAYS}


def manifold_laws(manifold: Any) -> list[str]:
    """Names of the laws that a manifold must obey, for ``pytest.mark.parametrize`` and `check_manifold`.

    Parameters
    ----------
    manifold : geoopt.Manifold
        Which of `logmap`, `dist`, `transp`, `random` and `origin` it has says which laws apply.

    Raises
    ------
    InputError
        If it is no manifold of geoopt's.

    Examples
    --------
    >>> import geoopt
    >>> from lnegeom_torch.testing import manifold_laws
    >>> "logarithm" in manifold_laws(geoopt.Sphere()), "logarithm" in manifold_laws(geoopt.Stiefel())
    (True, False)
    """
    return list(applying(LAWS, _checked(manifold), 0))


def check_manifold(
    manifold: Any, x: Any, *, tolerance: float | None = None, laws: Iterable[str] | None = None
) -> None:
    """Hold a manifold of geoopt's kind to its contract at points, and report every law that it breaks.

    They are the laws of geoopt's own tests, and the ones that they leave out: that `egrad2rgrad` belongs to
    `inner`, that `expmap` follows geodesics, that derivatives pass. Tangent vectors are random ones of length
    0.2 that depend on the points alone.

    Parameters
    ----------
    manifold : geoopt.Manifold
        The manifold, whose last `ndim` axes are one point.
    x : Tensor
        At least two points, stacked: ``(B, *point)``, where no coordinate is special.
    tolerance : float, optional
        Relative tolerance of every law. Left out, it is 1e-9, and 1e-6 where geodesics, projections or
        derivatives play a part (for float32 points 1e-3).
    laws : list of str, optional
        Which laws, of those that `manifold_laws` lists; left out, all of them.

    Raises
    ------
    LawError
        An AssertionError that names each law broken, where, and what usually causes it.
    InputError
        If a law is unknown or does not apply, or an argument is none of the above.
    GeometryError
        If a point is not on the manifold.

    References
    ----------
    Kochurov, Karimov, Kozlukov, *Geoopt: Riemannian optimization in PyTorch* (2020).

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.manifolds import LogCoshManifold
    >>> from lnegeom_torch.testing import check_manifold
    >>> check_manifold(LogCoshManifold(tau=0.5), torch.tensor([[0.3, -0.2], [1.1, 0.7]]).double())
    """
    __tracebackhide__ = True
    x = stacked(x, "x", least=2)
    if x.ndim != _checked(manifold).ndim + 1:
        raise InputError(
            f"x has shape {tuple(x.shape)}: a point of {manifold!r} has {manifold.ndim} axes, and a stack of "
            "points one more"
        )
    fine, reason = manifold.check_point_on_manifold(x, explain=True)
    if not fine:
        raise GeometryError(f"x is not on the manifold {manifold!r}: {reason}")
    run(manifold, LAWS, Measures(manifold, TABLE, x=x), tolerance, laws)


def _checked(manifold: Any) -> Any:
    if not isinstance(manifold, geoopt.Manifold):
        raise InputError(f"expected a geoopt.Manifold, got {manifold!r}")
    return manifold
