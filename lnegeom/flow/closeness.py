"""ε-closeness of metrics."""

from __future__ import annotations

from lnegeom._array import Array, GeometryError, as_floating, check_finite, check_where
from lnegeom._symmetric import check_symmetric

__all__ = ["closeness", "rank_one_closeness"]


def closeness(metric: Array, background: Array | None = None) -> Array:
    """Least ε with ``(1 + ε)⁻¹ ḡ ≤ g ≤ (1 + ε) ḡ`` at each point, as quadratic forms.

    The stability theorems for the Ricci–DeTurck flow ask for metrics that are ε-close to a background in this
    sense. RF-DNN (arXiv 2302.03390) builds on them; the text of its own Definition 21 was not at hand, and
    what is here is the theorems'. With the eigenvalues μ of ``ḡ⁻¹ g`` it is
    ``ε = max(μ_max, 1/μ_min) − 1``: symmetric in the two metrics, and 0 only where they are equal.

    Parameters
    ----------
    metric : array
        Symmetric positive definite, shape ``(..., n, n)``.
    background : array, optional
        The metric ḡ, broadcasting against `metric`; δ by default.

    Returns
    -------
    array
        Shape ``(...)``. Its maximum over the points is the ε of the whole manifold.

    Raises
    ------
    GeometryError
        If a metric is not square, or not finite, symmetric or positive definite somewhere.

    References
    ----------
    O. C. Schnürer, F. Schulze and M. Simon, "Stability of Euclidean space under Ricci flow", Comm. Anal.
    Geom. 16 (2008).

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import closeness
    >>> round(float(closeness(np.diag([1.1, 0.8]))), 12)
    0.25
    """
    if background is None:
        xp, g = as_floating(metric=metric)
        _check_matrices(xp, g, "metric")
    else:
        xp, g, background = as_floating(metric=metric, background=background)
        _check_matrices(xp, g, "metric")
        _check_matrices(xp, background, "background")
        if g.shape[-1] != background.shape[-1]:
            raise GeometryError(
                f"metric has shape {tuple(g.shape)} and background {tuple(background.shape)}: expected "
                "matrices of one size"
            )
        _check_positive(xp, xp.linalg.eigvalsh(background)[..., 0], "background")
        inverse = xp.linalg.inv(xp.linalg.cholesky(background))
        g = inverse @ g @ xp.matrix_transpose(inverse)
    eigenvalues = xp.linalg.eigvalsh(g)
    _check_positive(xp, eigenvalues[..., 0], "metric")
    return xp.maximum(eigenvalues[..., -1], 1 / eigenvalues[..., 0]) - 1


def rank_one_closeness(rho: Array) -> Array:
    """ε-closeness to δ of ``g = I − ρρᵀ``, ``|ρ|²/(1 − |ρ|²)``, in O(n).

    Parameters
    ----------
    rho : array
        Vectors of shape ``(..., n)``, each of norm below 1.

    Returns
    -------
    array
        Shape ``(...)``. Gradients flow to ρ.

    Raises
    ------
    GeometryError
        If a vector is not finite, or its norm is not below 1: g is then not positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import closeness, rank_one_closeness
    >>> rho = np.array([0.3, 0.1, -0.2])
    >>> bool(np.isclose(rank_one_closeness(rho), closeness(np.eye(3) - np.outer(rho, rho))))
    True
    """
    xp, rho = as_floating(rho=rho)
    check_finite(xp, rho, "rho")
    square = xp.sum(rho * rho, axis=-1)
    check_where(
        xp,
        square < 1,
        square,
        "rho",
        "{point} has |ρ|² = {value}: expected below 1, else I − ρρᵀ is not positive definite",
    )
    return square / (1 - square)


def _check_matrices(xp: Array, g: Array, name: str) -> None:
    if g.ndim < 2 or g.shape[-1] != g.shape[-2]:
        raise GeometryError(f"{name} has shape {tuple(g.shape)}: expected (..., n, n)")
    check_finite(xp, g, name)
    check_symmetric(xp, g, name)


def _check_positive(xp: Array, smallest: Array, name: str) -> None:
    check_where(
        xp,
        smallest > 0,
        smallest,
        name,
        "{point} has eigenvalue {value}: expected a positive definite matrix",
    )
