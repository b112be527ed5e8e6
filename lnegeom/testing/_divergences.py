"""Laws of divergences, and the check that holds a divergence to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from lnegeom._array import InputError, to_numpy
from lnegeom.derivatives._divergence import DivergenceJets
from lnegeom.divergences import Divergence
from lnegeom.testing._check import Measures, in_batches, near, points_of, rolled, run
from lnegeom.testing._law import Law, Pair
from lnegeom.testing._tensor_laws import smaller

LEAST = 1e-6  # of what a divergence is next to half the squared length: some saturate


def not_negative(m: Measures) -> Iterator[Pair]:
    """D[p : q] ≥ 0, and D[p : p] = 0."""
    yield np.minimum(m["value"], 0), np.zeros_like(m["value"])
    yield m["diagonal"], np.zeros_like(m["diagonal"])


def zero_only_on_the_diagonal(m: Measures) -> Iterator[Pair]:
    """D[p : q] is no smaller than a millionth of ½ |p − q|² in the metric at p or at q."""
    step = m["q"] - m["x"]
    half = [np.einsum("...i,...ij,...j->...", step, m[name], step) / 2 for name in ("matrix", "matrix at q")]
    apart = np.max(np.abs(step), axis=-1) > 1e-4  # nearer, values are but rounding
    share = np.where(apart, m["value"] / np.where(apart, np.minimum(*half), 1), 1)
    yield np.minimum(share, LEAST), np.full_like(share, LEAST), LEAST


def stationary(m: Measures) -> Iterator[Pair]:
    """∂_i D = 0 = ∂'_i D on the diagonal."""
    for name in ("first argument", "second argument"):
        slope = to_numpy(m.native(name).first)
        yield slope, np.zeros_like(slope), smaller(m["matrix"])


def metric(m: Measures) -> Iterator[Pair]:
    """g_ij = ∂_i ∂_j D = ∂'_i ∂'_j D on the diagonal."""
    for name in ("first argument", "second argument"):
        yield m["matrix"], to_numpy(m.native(name).second), smaller(m["matrix"])


def connections(m: Measures) -> Iterator[Pair]:
    """Γ_{ij,k} = −∂_i ∂_j ∂'_k D and Γ*_{ij,k} = −∂'_i ∂'_j ∂_k D on the diagonal."""
    pair = to_numpy(m.native("symbols")[0])
    yield m["lowered"], pair[:, 0]
    yield m["dual"], pair[:, 1]


def symmetric(m: Measures) -> Iterator[Pair]:
    """Γ_{ij,k} = Γ_{ji,k}, the same of Γ*, and Γ* − Γ is symmetric in all indices."""
    for symbols in (m["lowered"], m["dual"]):
        yield symbols, np.swapaxes(symbols, -1, -2)
    cubic = m["dual"] - m["lowered"]
    size = np.maximum(np.abs(m["dual"]), np.abs(m["lowered"])).max(axis=(1, 2, 3))
    yield cubic, np.swapaxes(cubic, -2, -3), np.maximum(1, size)


def dual(m: Measures) -> Iterator[Pair]:
    """∂_k g_ij = Γ_{ki,j} + Γ*_{kj,i}."""
    # Γ_{ki,j} is stored at [j, k, i], Γ*_{kj,i} at [i, k, j]; the slope at [i, j, k].
    found = np.einsum("...jki->...ijk", m["lowered"]) + np.einsum("...ikj->...ijk", m["dual"])
    yield found, to_numpy(m.native("jet of matrix").first)


def batched(m: Measures) -> Iterator[Pair]:
    """A batch of pairs is its pairs one by one."""
    yield from in_batches(m.thing, ["__call__"], m.native("x"), m.native("q"))


LAWS = {
    "not negative": Law(
        not_negative, "a sign, a term missing, or two points in one another's place in one of its terms"
    ),
    "zero only on the diagonal": Law(
        zero_only_on_the_diagonal,
        "a coordinate is forgotten, or the function is not convex between the points",
    ),
    "stationary": Law(
        stationary, "a linear term is missing or has another sign", slopes=True, error="error of jets"
    ),
    "metric": Law(
        metric,
        "`metric()` is that of another divergence, or off by a factor",
        slopes=True,
        error="error of jets",
    ),
    "connections": Law(
        connections,
        "`connections()` are those of another divergence; exchanging its arguments exchanges ∇ and ∇*",
        slopes=True,
        error="error of symbols",
    ),
    "symmetric symbols": Law(
        symmetric, "a term of the symbols lacks its mirror image", error="error of symbols"
    ),
    "dual": Law(
        dual,
        "`connections()` do not belong to `metric()`, or one of the pair is stored in another order",
        slopes=True,
        error="error of duality",
    ),
    "batched": Law(batched, "a formula sums over a leading axis: write axis=-1"),
}


def _jets(m: Measures) -> DivergenceJets:
    return DivergenceJets(m.thing, "auto", vectorized=True)


TABLE: dict[str, Callable[[Measures], Any]] = {
    "q": lambda m: rolled(m.native("x")),
    "value": lambda m: m.thing(m.native("x"), m.native("q")),
    "diagonal": lambda m: m.thing(m.native("x"), m.native("x")),
    "matrix": lambda m: m.thing.metric().matrix(m.native("x")),
    "matrix at q": lambda m: m.thing.metric().matrix(m.native("q")),
    "jet of matrix": lambda m: near(m.thing.metric().matrix, m.native("x"), order=1),
    "lowered": lambda m: m.thing.connections().lowered(m.native("x")),
    "dual": lambda m: m.thing.connections().dual.lowered(m.native("x")),
    "first argument": lambda m: near(lambda p: m.thing(p, m.native("x")), m.native("x")),
    "second argument": lambda m: near(lambda q: m.thing(m.native("x"), q), m.native("x")),
    "symbols": lambda m: _jets(m).symbols(m.native("x")),
    "error of jets": lambda m: max(m.native(f"{name} argument").error for name in ("first", "second")),
    "error of symbols": lambda m: m.native("symbols")[1],
    "error of duality": lambda m: m.native("jet of matrix").error + m.native("symbols")[1],
}


def divergence_laws() -> list[str]:
    """Names of the laws of divergences, for ``pytest.mark.parametrize`` and `check_divergence`.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.testing.divergence_laws()[:2]
    ['not negative', 'zero only on the diagonal']
    """
    return list(LAWS)


def check_divergence(
    divergence: Divergence, x: Any, *, tolerance: float | None = None, laws: Iterable[str] | None = None
) -> None:
    """Hold a divergence to its laws at points and between them, and report every law that it breaks.

    Its metric and its dual connections are compared with derivatives of its values (Eguchi's relations):
    automatic ones for torch and JAX points, else differences.

    Parameters
    ----------
    divergence : Divergence
        The divergence; a function of your own is one as ``CallableDivergence(function, dim)``.
    x : array
        At least two points ``(..., n)`` of its domain; each is compared with the next.
    tolerance, laws
        As in `check_metric`, of the laws that `divergence_laws` lists.

    Raises
    ------
    LawError, InputError, GeometryError
        As in `check_metric`; the last also where there is but one point.

    References
    ----------
    Eguchi, *Second order efficiency of minimum contrast estimators* (1983).

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.testing.check_divergence(lnegeom.Hyperbolic(tau=0.5), [[0.3, -0.2], [1.1, 0.7]])
    """
    __tracebackhide__ = True
    if not isinstance(divergence, Divergence):
        raise InputError(
            f"expected a Divergence such as CallableDivergence(function, dim), got {divergence!r}"
        )
    x = points_of(divergence, x, least=2)
    divergence(x, x)  # a point outside the domain is an error of the test, not of the divergence
    run(divergence, LAWS, Measures(divergence, TABLE, x=x), tolerance, laws)
