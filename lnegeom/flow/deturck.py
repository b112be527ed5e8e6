"""Right-hand side of the Ricci–DeTurck flow on the flat torus, less the Laplacian of the background.

With ``V^k = g^{ab} Γ^k_ab`` (the background δ has none), ``−2 Ric + L_V g`` expands to

    ∂_t g_ij = g^{ab} ∂_a ∂_b g_ij + ½ g^{ab} g^{pq} ( ∂_i g_pa ∂_j g_qb + 2 ∂_a g_jp ∂_q g_ib
               − 2 ∂_a g_jp ∂_b g_iq − 2 ∂_j g_pa ∂_b g_iq − 2 ∂_i g_pa ∂_b g_jq ).

In terms of ``D_aij = ∂_a g_ij``, ``E^b_ij = g^{ba} D_aij`` and ``F_i^p_b = g^{pq} D_iqb`` the quadratic terms
are the part symmetric in ij of

    ½ F_i^p_b F_j^b_p + E^b_jp ( E^p_ib − F_b^p_i − 2 F_i^p_b ),

and ``(g^{ab} − δ^{ab}) ∂_a ∂_b h = ∂_a[(g^{ab} − δ^{ab}) ∂_b h] + E^a_aq E^q_ij`` needs no second
derivatives: ``2 (n + 1) n(n+1)/2`` real transforms a call (18 in two dimensions, 48 in three).

Reference: B. Chow and D. Knopf, "The Ricci Flow: An Introduction" (2004), §3.3; W.-X. Shi, J. Differential
Geom. 30 (1989), Lemma 2.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lnegeom._array import Array
from lnegeom.flow.small import inverse, pack, plus_identity, total, unpack
from lnegeom.flow.spectral import Transforms


def nonlinear_part(xp: Any, transforms: Transforms, n: int) -> Callable[[Array], Array]:
    """Return the map from coefficients of h to those of ``∂_t h − Δh``, both ``(n(n+1)/2, *half)``."""

    def evaluate(coefficients: Array) -> Array:
        # One batched transform each way: h with its derivatives, then the fluxes with the source.
        fields = transforms.backward(
            xp.stack([coefficients, *(symbol * coefficients for symbol in transforms.derivatives)])
        )
        g = plus_identity(xp, unpack(xp, fields[0, ...], n))
        derivatives = xp.stack([unpack(xp, fields[a + 1, ...], n) for a in range(n)])
        flux, source = _flux_and_source(xp, inverse(xp, g), derivatives)
        terms = transforms.forward(xp.stack([source, *flux]))
        divergence = total(symbol * terms[a + 1, ...] for a, symbol in enumerate(transforms.derivatives))
        return transforms.retained * (terms[0, ...] + divergence)

    return evaluate


def _flux_and_source(xp: Any, g_inverse: Array, D: Array) -> tuple[list[Array], Array]:
    """Return the packed ``(g^{ab} − δ^{ab}) D_bij`` for each a, and the source, from ``D[a, i, j]``."""
    n = D.shape[0]
    axes = range(n)
    E = total(g_inverse[:, a, None, None, ...] * D[None, a, ...] for a in axes)
    F = total(g_inverse[None, :, q, None, ...] * D[:, None, q, ...] for q in axes)
    flux = [pack(xp, E[a, ...] - D[a, ...]) for a in axes]
    # bracket[i, p, b] = E^p_ib − F_b^p_i − 2 F_i^p_b
    bracket = _axes(xp, E, (1, 0, 2)) - _axes(xp, F, (2, 1, 0)) - 2 * F
    trace = total(E[a, a, ...] for a in axes)
    source = total(
        0.5 * F[:, None, p, b, ...] * F[None, :, b, p, ...]
        + bracket[:, None, p, b, ...] * E[None, b, :, p, ...]
        for p in axes
        for b in axes
    ) + total(trace[q, ...] * E[q, ...] for q in axes)
    return flux, pack(xp, source)


def _axes(xp: Any, tensor: Array, order: tuple[int, int, int]) -> Array:
    """Permute the first three axes."""
    return xp.permute_dims(tensor, (*order, *range(3, tensor.ndim)))
