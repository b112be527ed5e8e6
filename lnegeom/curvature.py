"""Curvature of a metric at points: the tensors, and what is made of them."""

from __future__ import annotations

from typing import Any

from lnegeom._array import (
    Array,
    GeometryError,
    check_where,
    dot,
    moveaxis,
)
from lnegeom.metrics import Metric
from lnegeom.metrics._checks import check_metric
from lnegeom.tensors import apply_first

__all__ = [
    "christoffel",
    "einstein",
    "kretschmann",
    "ricci",
    "riemann",
    "scalar_curvature",
    "sectional_curvature",
    "weyl",
]


def christoffel(metric: Metric, x: Any, *, lowered: bool = False) -> Array:
    """Christoffel symbols ``Γ^k_ij``, or ``Γ_{ij,k} = g_kl Γ^l_ij``, both stored ``(..., k, i, j)``.

    Examples
    --------
    >>> import lnegeom
    >>> float(lnegeom.christoffel(lnegeom.HalfSpace(2), [0.0, 2.0], lowered=True)[1, 0, 0])
    0.125
    """
    xp, local = check_metric(metric)._at(x, curved=True)
    symbols = metric._christoffel(xp, local)
    return apply_first(xp, metric._matrix(xp, local), symbols) if lowered else symbols


def riemann(metric: Metric, x: Any, *, lowered: bool = False) -> Array:
    """Riemann tensor ``R^r_smv``, or ``R_rsmv``, of shape ``(..., r, s, m, v)``.

    Storage and sign are those of Misner, Thorne and Wheeler, with the upper index first, as in einsteinpy,
    OGRePy, pytearcat, sympy and SageManifolds. From other libraries' arrays to this one's::

        einsum("...ijkl->...lijk", from_geomstats)
        einsum("...ijkl->...lkij", from_jaxgeometry)

    Examples
    --------
    At the centre of the unit sphere's chart ``g = 4 δ``, so ``R_0101 = g_00 g_11 = 16``:

    >>> import lnegeom
    >>> float(lnegeom.riemann(lnegeom.Sphere(2), [0.0, 0.0], lowered=True)[0, 1, 0, 1])
    16.0
    """
    xp, local = check_metric(metric)._at(x, curved=True)
    return _lowered_riemann(xp, metric, local) if lowered else metric._riemann(xp, local)


def ricci(metric: Metric, x: Any) -> Array:
    """Ricci tensor ``Ric_ij``, of shape ``(..., n, n)``.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.ricci(lnegeom.Sphere(3), [0.0, 0.0, 0.0])  # (n − 1) g
    array([[8., 0., 0.],
           [0., 8., 0.],
           [0., 0., 8.]])
    """
    return check_metric(metric).ricci(x)


def scalar_curvature(metric: Metric, x: Any) -> Array:
    """Scalar curvature R, of shape ``(...)``.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.scalar_curvature(lnegeom.PoincareBall(2, radius=0.5), [[0.0, 0.0], [0.3, 0.4]])  # −2/r²
    array([-8., -8.])
    """
    return check_metric(metric).scalar_curvature(x)


def sectional_curvature(metric: Metric, x: Any, u: Any, v: Any) -> Array:
    """Sectional curvature ``R(u, v, u, v) / (|u|² |v|² − ⟨u, v⟩²)`` of the plane of u and v, ``(...)``.

    Raises
    ------
    GeometryError
        If u and v span no plane on which the metric is nondegenerate.

    Examples
    --------
    >>> import lnegeom
    >>> round(float(lnegeom.sectional_curvature(lnegeom.Sphere(3), [0, 0, 0], [1, 0, 0], [1, 1, 0])), 12)
    1.0
    """
    xp, local, u, v = check_metric(metric)._at(x, curved=True, u=u, v=v)
    tensor = _lowered_riemann(xp, metric, local)
    for left, vector in zip((3, 2, 1, 0), (v, u, v, u), strict=True):  # contract the last index that is left
        tensor = xp.sum(tensor * xp.reshape(vector, (*vector.shape[:-1], *(1,) * left, -1)), axis=-1)
    uu, vv, uv = (dot(xp, a, metric._flat(xp, local, b)) for a, b in ((u, u), (v, v), (u, v)))
    area = uu * vv - uv**2
    scale = 100 * float(xp.finfo(area.dtype).eps)
    message = "{point} and v span no plane: the square of their area is {value}; choose two directions"
    check_where(xp, xp.abs(area) > scale * xp.abs(uu * vv), area, "u", message)
    return tensor / area


def einstein(metric: Metric, x: Any) -> Array:
    """Einstein tensor ``Ric_ij − ½ R g_ij``, of shape ``(..., n, n)``.

    Examples
    --------
    >>> import lnegeom
    >>> bool(abs(lnegeom.einstein(lnegeom.Sphere(2), [0.1, 0.2])).max() < 1e-12)
    True
    """
    xp, local = check_metric(metric)._at(x, curved=True)
    scalar = metric._scalar_curvature(xp, local)
    return metric._ricci(xp, local) - scalar[..., None, None] / 2 * metric._matrix(xp, local)


def kretschmann(metric: Metric, x: Any) -> Array:
    """Kretschmann scalar ``R_ijkl R^ijkl``, of shape ``(...)``.

    Examples
    --------
    It tells that the horizon of a black hole is no singularity, ``48 M²/r⁶``:

    >>> import lnegeom
    >>> near = lnegeom.kretschmann(lnegeom.Schwarzschild(1.0), [0.0, 2.001, 1.0, 0.0])
    >>> round(float(near * 2.001**6), 6)
    48.0
    """
    xp, local = check_metric(metric)._at(x, curved=True)
    down = _lowered_riemann(xp, metric, local)
    up, inverse = down, metric._inverse(xp, local)
    for _ in range(4):  # each pass raises the first index and moves it last
        up = moveaxis(xp, apply_first(xp, inverse, up), -4, -1)
    return xp.sum(down * up, axis=(-4, -3, -2, -1))


def weyl(metric: Metric, x: Any) -> Array:
    """Weyl tensor ``W_ijkl`` with all indices down, ``(..., i, j, k, l)``, for n ≥ 3.

    ``W = Riem − g ⊙ S``, with the Schouten tensor ``S = (Ric − R g / (2(n − 1))) / (n − 2)`` and the
    Kulkarni–Nomizu product ⊙.

    Raises
    ------
    GeometryError
        If n < 3.

    Examples
    --------
    >>> import lnegeom
    >>> bool(abs(lnegeom.weyl(lnegeom.Sphere(4), [0.1, 0.2, 0.3, 0.4])).max() < 1e-12)
    True
    """
    xp, local = check_metric(metric)._at(x, curved=True)
    g = metric._matrix(xp, local)
    n = g.shape[-1]
    if n < 3:
        raise GeometryError(f"the Weyl tensor needs n >= 3, got n = {n}")
    scalar = metric._scalar_curvature(xp, local)[..., None, None]
    schouten = (metric._ricci(xp, local) - scalar * g / (2 * (n - 1))) / (n - 2)
    term = g[..., :, None, :, None] * schouten[..., None, :, None, :]
    term = term + schouten[..., :, None, :, None] * g[..., None, :, None, :]
    return _lowered_riemann(xp, metric, local) - (term - xp.matrix_transpose(term))


def _lowered_riemann(xp: Any, metric: Metric, local: Any) -> Array:
    return apply_first(xp, metric._matrix(xp, local), metric._riemann(xp, local))
