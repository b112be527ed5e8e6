"""RF-DNN's discrete Ricci flow: its residual, from vectors alone.

Every metric is ``g = I − ρρᵀ`` on the n weights of a layer, so two of them differ by rank ones,

    ρρᵀ − ρ'ρ'ᵀ = ½ (d sᵀ + s dᵀ),   d = ρ − ρ',   s = ρ + ρ',

and the Frobenius product of two such differences is ``½ [(d·d')(s·s') + (d·s')(s·d')]``: O(n) time and memory
where matrices take O(n²). The differences d are formed first, and exactly for close vectors; expanding
``Σ_ab c_a c_b (ρ_a·ρ_b)²`` instead cancels to nothing in float32.

Reference: J. Chen et al., "Learning discretized neural networks under Ricci flow", arXiv 2302.03390v3, §6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lnegeom._array import Array, GeometryError, InputError, as_floating, check_finite, holds


def squared_norm_of_differences(
    pairs: Sequence[tuple[Array, Array]], coefficients: Sequence[Array | float]
) -> Array:
    """Squared Frobenius norm ``‖Σ_a c_a (ρ_a ρ_aᵀ − ρ'_a ρ'_aᵀ)‖²`` without a matrix.

    Parameters
    ----------
    pairs : sequence of (array, array)
        The vectors ``(ρ_a, ρ'_a)``; arrays of any shape, flattened, all with the same number n of entries.
    coefficients : sequence of float or 0-d array
        The ``c_a``, one for each pair.

    Returns
    -------
    array
        0-d, of the dtype of the vectors, not negative. Gradients flow to the vectors.

    Raises
    ------
    InputError
        If there are no pairs, the counts differ, or the vectors differ in size.
    GeometryError
        If a vector or coefficient is not finite, or the sum overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import squared_norm_of_differences
    >>> a, b = np.array([1.0, 2.0]), np.array([0.0, 1.0])
    >>> float(squared_norm_of_differences([(a, b)], [1.0]))
    18.0
    >>> float(np.sum((np.outer(a, a) - np.outer(b, b)) ** 2))
    18.0
    """
    if len(pairs) == 0 or len(pairs) != len(coefficients):
        raise InputError(
            f"expected one coefficient for each pair, and a pair at least; got {len(pairs)} pairs and "
            f"{len(coefficients)} coefficients"
        )
    named = {
        f"pairs[{a}][{side}]": vector for a, pair in enumerate(pairs) for side, vector in enumerate(pair)
    }
    return _norm(named, [(f"pairs[{a}][0]", f"pairs[{a}][1]") for a in range(len(pairs))], coefficients)


def _norm(
    named: dict[str, Array],
    pairs: Sequence[tuple[str, str]],
    coefficients: Sequence[Array | float],
    *,
    check: bool = True,
) -> Array:
    """The norm for pairs of named vectors; errors call them by these names."""
    xp, *vectors = as_floating(**named)
    flat = {name: xp.reshape(vector, (-1,)) for name, vector in zip(named, vectors, strict=True)}
    if len({vector.shape for vector in flat.values()}) > 1:
        sizes = ", ".join(f"{name} {vector.shape[0]}" for name, vector in flat.items())
        raise InputError(f"expected vectors of one size, got {sizes}; pass the same layer's vectors")
    with np.errstate(over="ignore", invalid="ignore"):  # an error says what overflowed, and where
        squared = _sum(xp, [(flat[a], flat[b]) for a, b in pairs], coefficients)
    if check and not holds(xp.isfinite(squared)):
        _explain(xp, flat, coefficients)
    # The rounding of terms that cancel must not turn a norm negative.
    return xp.maximum(squared, xp.zeros_like(squared))


def _sum(xp: Array, pairs: list[tuple[Array, Array]], coefficients: Sequence[Array | float]) -> Array:
    d = [a - b for a, b in pairs]
    s = [a + b for a, b in pairs]

    # A sum of products, not a matrix product: torch's autocast would lower the latter to half precision.
    def dot(x: Array, y: Array) -> Array:
        return xp.sum(x * y)

    squared = xp.zeros_like(dot(d[0], s[0]))
    for a, c in enumerate(coefficients):
        squared = squared + c * c * (0.5 * (dot(d[a], d[a]) * dot(s[a], s[a]) + dot(d[a], s[a]) ** 2))
        for b in range(a):
            product = dot(d[a], d[b]) * dot(s[a], s[b]) + dot(d[a], s[b]) * dot(s[a], d[b])
            squared = squared + c * coefficients[b] * product
    return squared


def _explain(xp: Array, vectors: dict[str, Array], coefficients: Sequence[Array | float]) -> None:
    """Raise for a sum that is not finite, at the first number that made it so."""
    for name, vector in vectors.items():
        check_finite(xp, vector, name)
    for index, c in enumerate(coefficients):
        if not abs(c) < math.inf:
            raise GeometryError(
                f"coefficients[{index}] is {float(c)}: expected finite numbers",
                index=(index,),
                value=float(c),
            )
    raise GeometryError(
        f"the squared norm overflows {next(iter(vectors.values())).dtype}: scale the vectors down, or pass "
        "float64"
    )


def discrete_flow_residual(
    new_k1: Array,
    k1: Array,
    k2: Array,
    j1: Array,
    j2: Array,
    row_step: Array | float,
    column_step: Array | float,
    *,
    check: bool = True,
) -> Array:
    """Residual N of RF-DNN's discrete Ricci flow, Eq. (35), for metrics ``g = I − ρρᵀ`` of one layer.

    ``N = ‖ g(t+1)|k₁ − g(t)|k₁ − (g(t)|k₁ − g(t)|k₂)/(k₁ − k₂) + (g(t)|j₁ − g(t)|j₂)/(j₁ − j₂) ‖²``, the
    squared Frobenius norm, in O(n). The paper reads the last two terms as 2 Ric (Eq. 32); they are first
    differences of the metric under translations of the input, not the Ricci tensor of g.

    Parameters
    ----------
    new_k1, k1, k2, j1, j2 : array
        The vectors ρ of ``g(t+1)|k₁``, ``g(t)|k₁``, ``g(t)|k₂``, ``g(t)|j₁``, ``g(t)|j₂``; arrays of any
        shape, flattened, all of one size.
    row_step, column_step : float or 0-d array
        ``k₁ − k₂`` and ``j₁ − j₂``, in pixels, not zero.
    check : bool, default: True
        Whether to see that N is finite, for which a GPU is waited for: training has looked at its gradients.

    Returns
    -------
    array
        0-d, not negative. Gradients flow to the vectors.

    Raises
    ------
    InputError
        If a step is zero or not finite, or the vectors differ in size.
    GeometryError
        If a vector is not finite, or N overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import discrete_flow_residual
    >>> new, k1, k2, j1, j2 = np.random.default_rng(0).normal(size=(5, 4))
    >>> g = lambda rho: np.eye(4) - np.outer(rho, rho)
    >>> dense = g(new) - g(k1) - (g(k1) - g(k2)) / 2 + (g(j1) - g(j2)) / 3
    >>> bool(np.isclose(discrete_flow_residual(new, k1, k2, j1, j2, 2, 3), np.sum(dense**2)))
    True
    """
    # g|a − g|b = −(ρ_a ρ_aᵀ − ρ_b ρ_bᵀ) in all three terms, so the sign drops out of the norm.
    named = {"new_k1": new_k1, "k1": k1, "k2": k2, "j1": j1, "j2": j2}
    pairs = [("new_k1", "k1"), ("k1", "k2"), ("j1", "j2")]
    return _norm(named, pairs, [1.0, *_weights(row_step, column_step)], check=check)


def relative_flow_residual(
    new_k1: Array,
    k1: Array,
    k2: Array,
    j1: Array,
    j2: Array,
    row_step: Array | float,
    column_step: Array | float,
    *,
    residual: Array | None = None,
) -> Array:
    """N over the squared norms of the flow's two sides, ``N / (‖∂_t g‖² + ‖−2 Ric‖²)``, in [0, 2].

    N alone is small wherever the metric hardly moves. This is 0 where the discrete flow is met, and also
    where nothing moves at all; 1 where the two sides have nothing to do with each other, or one of them is
    far the larger; and above 1 where they are opposed.

    Parameters
    ----------
    new_k1, k1, k2, j1, j2, row_step, column_step
        As of `discrete_flow_residual`.
    residual : array, optional
        N, 0-d, where it is known already: then nothing is checked anew.

    Returns
    -------
    array
        0-d.

    Raises
    ------
    InputError
        If a step is zero or not finite, or the vectors differ in size.
    GeometryError
        If a vector is not finite, or N overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import relative_flow_residual
    >>> k1, k2, j1, j2 = np.random.default_rng(0).normal(size=(4, 6)) / 4
    >>> float(relative_flow_residual(k1, k1, k2, j1, j2, 2, 2))  # the metric stands still, Eq. 32 is not 0
    1.0
    """
    weights = _weights(row_step, column_step)
    if residual is None:
        residual = discrete_flow_residual(new_k1, k1, k2, j1, j2, row_step, column_step)
    named = {"new_k1": new_k1, "k1": k1, "k2": k2, "j1": j1, "j2": j2}
    moved = _norm(named, [("new_k1", "k1")], [1.0], check=False)
    asked = _norm(named, [("k1", "k2"), ("j1", "j2")], weights, check=False)
    xp, sides = as_floating(sides=moved + asked)
    return residual / xp.where(sides > 0, sides, xp.ones_like(sides))


def _weights(row_step: Array | float, column_step: Array | float) -> list[Array | float]:
    """Of the two quotients of Eq. 32."""
    for name, step in (("row_step", row_step), ("column_step", column_step)):
        if not holds((step != 0) & (abs(step) < math.inf)):
            raise InputError(
                f"{name} must be finite and not zero, the distance of two translations; got {step}"
            )
    return [-1 / row_step, 1 / column_step]
