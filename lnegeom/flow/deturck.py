"""Pointwise algebra of the Ricci and Ricci–DeTurck flows on a torus, in divergence form.

In linear coordinates the flat connection has no Christoffel symbols, and with ``V^k = g^{ab} Γ^k_ab`` the
right-hand side ``−2 Ric + L_V g`` expands to

    ∂_t g_ij = g^{ab} ∂_a ∂_b g_ij + ½ g^{ab} g^{pq} ( ∂_i g_pa ∂_j g_qb + 2 ∂_a g_jp ∂_q g_ib
               − 2 ∂_a g_jp ∂_b g_iq − 2 ∂_j g_pa ∂_b g_iq − 2 ∂_i g_pa ∂_b g_jq ).

In terms of ``D_aij = ∂_a g_ij``, ``E^b_ij = g^{ba} D_aij`` and ``F_i^p_b = g^{pq} D_iqb`` the quadratic terms
are the part symmetric in ij of

    ½ F_i^p_b F_j^b_p + E^b_jp ( E^p_ib − F_b^p_i − 2 F_i^p_b ),

and with a constant ``c^{ab}``, whose Laplacian the time stepper takes,
``(g^{ab} − c^{ab}) ∂_a ∂_b g = ∂_a[(g^{ab} − c^{ab}) ∂_b g] + E^a_aq E^q_ij`` needs no second derivatives:
``2 (n + 1) n(n+1)/2`` real transforms a call (18 in two dimensions, 48 in three).

Any other DeTurck vector ``V + X`` adds ``L_X g``, in divergence form too: with ``Y = g X``,

    (L_X g)_ij = ∂_i Y_j + ∂_j Y_i − 2 Γ_ij,l X^l,

so that Ricci flow itself (``X = −V``) and a curved background (``X^k = −g^{ab} Γ̄^k_ab``) take no further
transform.

Reference: B. Chow and D. Knopf, "The Ricci Flow: An Introduction" (2004), §3.3; W.-X. Shi, J. Differential
Geom. 30 (1989), Lemma 2.1.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, Literal

from lnegeom.flow.small import inverse_and_pivots, packed_index, total, upper_pairs

Gauge = Literal["flat", "ricci", "background"]
"""The DeTurck vector: V of the flat background, none, or that of a background with Christoffel symbols."""

Component = Any
"""One component at all points: an array, or a symbol of `lnegeom.flow.torus.rhs.algebra`."""


def flux_and_source(
    n: int,
    h: Sequence[Component],
    D: Sequence[Sequence[Component]],
    constant: Sequence[Component],
    inverse_constant: Sequence[Component],
    gauge: Gauge,
    symbols: Sequence[Sequence[Component]] = (),
) -> tuple[list[Component], list[list[Component]], Component]:
    """Return source, fluxes (one list a derivative) and the mask of positive definite points.

    The metric is ``constant + h``, with ``D[a]`` the packed ``∂_a h``; `symbols` are the packed ``Γ̄^k`` of
    the background, one list for each k.
    """
    at, axes, pairs = packed_index(n), range(n), range(n * (n + 1) // 2)
    g = [h[s] + constant[s] for s in pairs]
    G, pivots = inverse_and_pivots(n, g)
    valid = functools.reduce(operator.and_, [pivot > 0 for pivot in pivots])
    H = [G[s] - inverse_constant[s] for s in pairs]
    E = [[total(G[at[b][a]] * D[a][s] for a in axes) for s in pairs] for b in axes]
    flux = [[total(H[at[b][a]] * D[a][s] for a in axes) for s in pairs] for b in axes]
    F = [[[total(G[at[p][q]] * D[i][at[q][b]] for q in axes) for b in axes] for p in axes] for i in axes]
    T = [total(E[a][at[a][q]] for a in axes) for q in axes]
    source = _quadratic(n, E, F, T)
    if gauge != "flat":
        if gauge == "ricci":
            Y = [0.5 * total(F[q][p][p] for p in axes) - T[q] for q in axes]
            X = [total(G[at[k][q]] * Y[q] for q in axes) for k in axes]
        else:
            X = [-total(_weight(a, b) * G[s] * symbols[k][s] for s, (a, b) in _pairs(n)) for k in axes]
            Y = [total(g[at[k][q]] * X[q] for q in axes) for k in axes]
        _add_lie_derivative(n, D, X, Y, source, flux)
    return source, flux, valid


def _quadratic(n: int, E: Any, F: Any, T: Any) -> list[Component]:
    at, axes = packed_index(n), range(n)
    # bracket[i][p][b] = E^p_ib − F_b^p_i − 2 F_i^p_b
    bracket = [[[E[p][at[i][b]] - F[b][p][i] - 2.0 * F[i][p][b] for b in axes] for p in axes] for i in axes]
    source = []
    for i, j in upper_pairs(n):
        products = [F[i][p][b] * F[j][b][p] for p in axes for b in axes]
        products += [E[b][at[j][p]] * bracket[i][p][b] for p in axes for b in axes]
        products += [E[b][at[i][p]] * bracket[j][p][b] for p in axes for b in axes]
        source.append(0.5 * total(products) + total(T[q] * E[q][at[i][j]] for q in axes))
    return source


def _add_lie_derivative(n: int, D: Any, X: Any, Y: Any, source: Any, flux: Any) -> None:
    at, axes = packed_index(n), range(n)
    for s, (i, j) in _pairs(n):
        first = [D[i][at[j][k]] + D[j][at[i][k]] - D[k][s] for k in axes]  # 2 Γ_ij,k
        source[s] = source[s] - total(first[k] * X[k] for k in axes)
        flux[i][s] = flux[i][s] + Y[j]
        flux[j][s] = flux[j][s] + Y[i]


def _pairs(n: int) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(upper_pairs(n)))


def _weight(a: int, b: int) -> float:
    """How often a packed component stands in a full contraction."""
    return 1.0 if a == b else 2.0
