"""Submanifolds: how an embedding bends, and the equations of Gauss and Codazzi."""

from __future__ import annotations

from typing import Any

from lnegeom import tensors
from lnegeom._array import (
    Array,
    InputError,
    moveaxis,
)
from lnegeom.derivatives import jet
from lnegeom.metrics import FromCallable, Pullback
from lnegeom.operators._fields import point_of


def second_fundamental_form(submanifold: Pullback, x: Any) -> Array:
    """Second fundamental form ``N^A_ij``, vectors normal to the image, ``(..., N, n, n)``.

    The normal part of ``∂_i ∂_j f^A + Γ̂^A_BC ∂_i f^B ∂_j f^C``, in any codimension.

    Parameters
    ----------
    submanifold : Pullback
        ``lnegeom.Pullback(embedding, dim, ambient)``.
    x : array
        Points ``(..., n)`` of its chart.

    Examples
    --------
    A sphere of radius 2 bends inward, by ``−g/2`` along its outer unit normal:

    >>> import numpy as np, lnegeom
    >>> def sphere(x):
    ...     return 2 * np.stack([np.cos(x[1]) * np.cos(x[0]), np.cos(x[1]) * np.sin(x[0]), np.sin(x[1])])
    >>> form = lnegeom.operators.second_fundamental_form(lnegeom.Pullback(sphere, 2), [0.0, 0.0])
    >>> form[0].round(9) + 0.0  # at (2, 0, 0), where g = 4 δ
    array([[-2.,  0.],
           [ 0., -2.]])
    """
    xp, x = point_of(_check_submanifold(submanifold), x)
    return submanifold._normal(xp, submanifold._curved_local(xp, x))


def gauss_residual(submanifold: Pullback, x: Any) -> Array:
    """What is missing in Gauss's equation, ``(..., n, n, n, n)``: zero up to the error of derivatives.

    ``R_ijkl − R̂(∂_i, ∂_j, ∂_k, ∂_l) − G(N_ik, N_jl) + G(N_il, N_jk)``, with the curvature R of the induced
    metric from its own jets, that is from third derivatives of the embedding.

    Parameters are those of `second_fundamental_form`.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> def saddle(x):
    ...     return np.stack([x[0], x[1], x[0] * x[1]])
    >>> residual = lnegeom.operators.gauss_residual(lnegeom.Pullback(saddle, 2), [0.3, 0.4])
    >>> residual.shape, bool(abs(residual).max() < 1e-6)
    ((2, 2, 2, 2), True)
    """
    xp, x = point_of(_check_submanifold(submanifold), x)
    own = FromCallable(
        submanifold.matrix,
        submanifold.dim,
        negative=submanifold.negative,
        derivatives=submanifold.derivatives,
        vectorized=True,
    )
    local = submanifold._curved_local(xp, x)
    difference = own.riemann(x) - submanifold._riemann(xp, local)
    return tensors.apply_first(xp, local.matrix, difference)


def codazzi_residual(submanifold: Pullback, x: Any) -> Array:
    """What is missing in Codazzi's equation, ``(..., N, i, j, k)``: zero up to the error of derivatives.

    ``(∇_i N)_jk − (∇_j N)_ik − (R̂(∂_i, ∂_j) ∂_k)^⊥``, with the connection of the normal bundle, from third
    derivatives of the embedding.

    Parameters are those of `second_fundamental_form`.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> def saddle(x):
    ...     return np.stack([x[0], x[1], x[0] * x[1]])
    >>> residual = lnegeom.operators.codazzi_residual(lnegeom.Pullback(saddle, 2), [0.3, 0.4])
    >>> residual.shape, bool(abs(residual).max() < 1e-6)
    ((3, 2, 2, 2), True)
    """
    xp, x = point_of(_check_submanifold(submanifold), x)
    local = submanifold._curved_local(xp, x)
    ambient, t = submanifold.ambient, local.tangents
    batch, n, size = tuple(x.shape[:-1]), x.shape[-1], t.shape[-2]
    form = submanifold._normal(xp, local)  # (A, j, k)
    slope = jet(
        lambda y: second_fundamental_form(submanifold, y),
        x,
        derivatives=submanifold.derivatives,
        vectorized=True,
        order=1,
    ).first  # (A, j, k, i)
    # Γ̂^A_BC ∂_i f^B N^C_jk, as matrices (i, A, C) on N
    gamma_hat = ambient._christoffel(xp, ambient._local(xp, local.value))
    gamma_hat = moveaxis(xp, gamma_hat, -1, -3)  # (C, A, B)
    along = moveaxis(xp, gamma_hat @ t[..., None, :, :], (-1, -2, -3), (-3, -2, -1))
    moved = along @ xp.reshape(form, (*batch, 1, size, n * n))  # (i, A, jk)
    rotated = moveaxis(xp, xp.reshape(moved, (*batch, n, size, n, n)), -4, -1)  # (A, j, k, i)
    # −Γ^l_ik N_jl; the term −Γ^l_ij N_lk is symmetric in i and j
    gamma = submanifold._tangential(xp, local, submanifold._acceleration(xp, local))
    wide = form @ xp.reshape(gamma, (*batch, 1, n, n * n))  # N_jl Γ^l_ik: (A, j, ik)
    bent = xp.matrix_transpose(xp.reshape(wide, (*batch, size, n, n, n)))  # (A, j, k, i)
    total = moveaxis(xp, _normal_part(xp, submanifold, local, slope + rotated) - bent, -1, -3)  # (A, i, j, k)
    total = total - moveaxis(xp, total, -3, -2)
    return total - _normal_part(xp, submanifold, local, _ambient_curvature(xp, submanifold, local))


def _ambient_curvature(xp: Any, submanifold: Pullback, local: Any) -> Array:
    """``(R̂(∂_i, ∂_j) ∂_k)^A = R̂^A_SMV ∂_k f^S ∂_i f^M ∂_j f^V``, ``(..., A, i, j, k)``."""
    ambient = submanifold.ambient
    tensor = ambient._riemann(xp, ambient._local(xp, local.value))
    down = xp.matrix_transpose(local.tangents)
    for _ in range(3):  # each pass pulls the second index back and moves it last: S, M, V in turn
        second_first = moveaxis(xp, tensor, -3, -4)
        tensor = moveaxis(xp, tensors.apply_first(xp, down, second_first), -4, -1)
    return moveaxis(xp, tensor, -3, -1)  # (A, k, i, j) to (A, i, j, k)


def _normal_part(xp: Any, submanifold: Pullback, local: Any, vectors: Array) -> Array:
    """Of vectors ``(..., A, …)``."""
    t = local.tangents
    projector = submanifold._inverse(xp, local) @ submanifold._lower(xp, local.value, t)
    return vectors - tensors.apply_first(xp, t @ projector, vectors)


def _check_submanifold(submanifold: Any) -> Pullback:
    if not isinstance(submanifold, Pullback):
        raise InputError(f"expected a submanifold, lnegeom.Pullback(embedding, dim), got {submanifold!r}")
    return submanifold
