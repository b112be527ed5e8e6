"""Connection and curvature from a metric's jet: g, ∂g, ∂²g in; Γ, Riemann, Ricci out.

The jet's derivative axes come last: `dg[..., i, j, a] = ∂_a g_ij`, `ddg[..., i, j, a, b] = ∂_a ∂_b g_ij`.
"""

from __future__ import annotations

from typing import Any

from lnegeom._array import (
    Array,
    moveaxis,
)

__all__ = [
    "apply_first",
    "christoffel",
    "christoffel_derivative",
    "covariant",
    "derivation",
    "lowered_christoffel",
    "lowered_riemann",
    "ricci",
    "second_covariant",
]


def lowered_christoffel(xp: Any, dg: Array) -> Array:
    """``Γ_{ij,k} = ½ (∂_i g_kj + ∂_j g_ki − ∂_k g_ij)``, stored ``(..., k, i, j)``."""
    first = moveaxis(xp, dg, -1, -2)  # (k, i, j): ∂_i g_kj
    return (first + dg - moveaxis(xp, dg, -1, -3)) / 2


def apply_first(xp: Any, matrix: Array, tensor: Array) -> Array:
    """Apply matrices ``(..., a, b)`` to the first index of tensors ``(..., b, …)`` of the same batch."""
    batch, shape = tuple(matrix.shape[:-2]), tuple(tensor.shape[matrix.ndim - 2 :])
    wide = xp.reshape(tensor, (*batch, shape[0], -1))
    return xp.reshape(matrix @ wide, (*batch, matrix.shape[-2], *shape[1:]))


def christoffel(xp: Any, inverse: Array, dg: Array) -> Array:
    """``Γ^k_ij``, ``(..., k, i, j)``."""
    return apply_first(xp, inverse, lowered_christoffel(xp, dg))


def christoffel_derivative(xp: Any, inverse: Array, dg: Array, ddg: Array) -> Array:
    """``∂_b Γ^k_ij = g^{kl} (∂_b Γ_{ij,l} − ∂_b g_lm Γ^m_ij)``, ``(..., k, i, j, b)``."""
    gamma = christoffel(xp, inverse, dg)
    low = lowered_christoffel(xp, moveaxis(xp, ddg, -1, -4))  # (b, l, i, j)
    n = dg.shape[-1]
    slopes = moveaxis(xp, dg, -1, -3)  # (b, l, m)
    wide = slopes @ xp.reshape(gamma, (*gamma.shape[:-3], 1, n, n * n))
    rest = low - xp.reshape(wide, low.shape)
    wide = inverse[..., None, :, :] @ xp.reshape(rest, (*rest.shape[:-2], n * n))
    return moveaxis(xp, xp.reshape(wide, rest.shape), -4, -1)


def derivation(xp: Any, matrix: Array, tensor: Array, indices: str) -> Array:
    """``Σ M^i_k T^…k…`` over upper indices "^", less ``Σ M^k_j T_…k…`` over lower ones "_", of one batch."""
    rank = len(indices)
    total = xp.zeros_like(tensor)
    for axis, kind in enumerate(indices, start=-rank):
        moved = moveaxis(xp, tensor, axis, -rank)
        if kind == "^":
            total = total + moveaxis(xp, apply_first(xp, matrix, moved), -rank, axis)
        else:
            total = total - moveaxis(xp, apply_first(xp, xp.matrix_transpose(matrix), moved), -rank, axis)
    return total


def covariant(xp: Any, gamma: Array, value: Array, first: Array, indices: str) -> Array:
    """``∇_a T``, a last, from Γ, T and ``∂_a T`` of one batch."""
    rank, n = len(indices), gamma.shape[-1]
    along = moveaxis(xp, gamma, -2, -3)  # (a, k, j): the matrix of ∇_a
    batch = tuple(gamma.shape[:-3])
    repeated = xp.broadcast_to(xp.expand_dims(value, axis=len(batch)), (*batch, n, *(n,) * rank))
    return first + moveaxis(xp, derivation(xp, along, repeated, indices), -rank - 1, -1)


def second_covariant(
    xp: Any, gamma: Array, dgamma: Array, jet: tuple[Array, Array, Array], indices: str
) -> Array:
    """``∇_b ∇_a T``, ``(..., T, a, b)``, from Γ, ``∂_b Γ`` (b last), and T, ∂T, ∂∂T, of one batch."""
    value, first, second = jet
    rank, batch, n = len(indices), tuple(gamma.shape[:-3]), gamma.shape[-1]

    def repeated(array: Array) -> Array:
        shape = (*batch, n, *array.shape[len(batch) :])
        return xp.broadcast_to(xp.expand_dims(array, axis=len(batch)), shape)

    # The connection's term is bilinear in Γ and T; b is a batch axis while the product rule is applied.
    bends = moveaxis(xp, second, -1, -rank - 2)
    change = covariant(xp, repeated(gamma), moveaxis(xp, first, -1, -rank - 1), bends, indices)
    change = covariant(xp, moveaxis(xp, dgamma, -1, -4), repeated(value), change, indices)
    once = covariant(xp, gamma, value, first, indices)
    return covariant(xp, gamma, once, moveaxis(xp, change, -rank - 2, -1), indices + "_")


def lowered_riemann(xp: Any, inverse: Array, dg: Array, ddg: Array) -> Array:
    """Riemann tensor with all indices down, ``(..., i, j, k, l)``.

    ``R_ijkl = ½(∂_j∂_k g_il + ∂_i∂_l g_jk − ∂_i∂_k g_jl − ∂_j∂_l g_ik) + Γ_{p,jk}Γ^p_il − Γ_{p,ik}Γ^p_jl``.
    """
    n = dg.shape[-1]
    batch = dg.shape[:-3]
    low = lowered_christoffel(xp, dg)
    wide = xp.reshape(low, (*batch, n, n * n))
    # product[j, k, i, l] = Γ_{p,jk} g^{pq} Γ_{q,il}
    product = xp.reshape(xp.matrix_transpose(wide) @ (inverse @ wide), (*batch, n, n, n, n))
    # half[i, j, k, l] = ½ (∂_j∂_k g_il − ∂_i∂_k g_jl) + Γ_{p,jk} Γ^p_il, antisymmetrised in k and l below
    il_jk = moveaxis(xp, ddg, -3, -1)  # (i, j, k, l): ∂_j∂_k g_il
    half = (il_jk - _swap(xp, il_jk, -4, -3)) / 2 + moveaxis(xp, product, -2, -4)
    return half - xp.matrix_transpose(half)


def ricci(xp: Any, inverse: Array, dg: Array, ddg: Array) -> Array:
    """``Ric_jl = g^{ik} R_ijkl`` without forming the Riemann tensor."""
    n = dg.shape[-1]
    batch = dg.shape[:-3]
    row = xp.reshape(inverse, (*batch, 1, n * n))

    def traced(tensor: Array) -> Array:
        """Contract the last two of four axes with the inverse metric.

        A row on the left: torch's batches of matrices times columns take up to ten times as long.
        """
        wide = xp.matrix_transpose(xp.reshape(tensor, (*batch, n * n, n * n)))
        return xp.reshape(row @ wide, (*batch, n, n))

    low = lowered_christoffel(xp, dg)
    up = apply_first(xp, inverse, low)
    mixed = traced(moveaxis(xp, ddg, -4, -2))  # (l, j, i, k): ∂_j∂_k g_il, so g^{ik} of it
    laplacian = traced(ddg)
    hessian = traced(moveaxis(xp, moveaxis(xp, ddg, -4, -1), -4, -1))  # (a, b, i, j): ∂_a∂_b g_ij
    second = (mixed + xp.matrix_transpose(mixed) - laplacian - hessian) / 2
    # contracted[p] = g^{ik} Γ^p_ik;  mixed_up[p, k, l] = g^{ki} Γ^p_il
    contracted = xp.reshape(up, (*batch, n, n * n)) @ xp.matrix_transpose(row)
    mixed_up = inverse[..., None, :, :] @ up
    first_term = _as_rows(xp, low, batch, n) @ xp.reshape(mixed_up, (*batch, n * n, n))
    second_term = xp.matrix_transpose(xp.reshape(low, (*batch, n, n * n))) @ contracted
    return second + first_term - xp.reshape(second_term, (*batch, n, n))


def _as_rows(xp: Any, low: Array, batch: tuple[int, ...], n: int) -> Array:
    """Γ_{p,jk} as rows j, columns (p, k)."""
    return xp.reshape(moveaxis(xp, low, -2, -3), (*batch, n, n * n))


def _swap(xp: Any, tensor: Array, a: int, b: int) -> Array:
    axes = list(range(tensor.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return xp.permute_dims(tensor, tuple(axes))
