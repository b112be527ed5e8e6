"""What a flow on a torus keeps or drives one way: volume, curvature, Perelman's λ, closeness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import array_api_compat
import numpy as np

from lnegeom import tensors
from lnegeom._array import Array, InputError, as_floating, entry, to_numpy
from lnegeom.flow.checks import checked_domain, checked_metric
from lnegeom.flow.closeness import closeness
from lnegeom.flow.small import pack, unpack, upper_pairs
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.flow.torus.spectral import Modes

CHUNK = 1 << 14
"""Points whose curvature tensors are in memory at a time."""


class Measurement:
    """A metric on a torus grid with what its invariants share: inverse, derivatives and curvature.

    All is in the coordinates along the lattice vectors; every result is a scalar, the same in any.
    """

    def __init__(self, xp: Any, grid: TorusGrid, metric: Array, background: Array | None):
        self.xp = xp
        self.grid = grid
        self.metric = metric
        self.background = background
        self.modes = Modes(grid, xp, metric, dealias=False)
        self.density = xp.sqrt(xp.linalg.det(metric))
        self._curvature: tuple[Array, float] | None = None

    def jets(self, metric: Array, order: int) -> Iterator[tuple[Array, Array, Array]]:
        """g, ∂g and ∂²g in chunks of points ``(P, n, n, ...)``, derivatives last; ∂²g empty if order is 1."""
        xp, n, modes = self.xp, self.grid.dim, self.modes
        frame = modes.real(self.grid.frame)
        along = xp.matrix_transpose(frame) @ metric @ frame
        packed = pack(xp, along)
        coefficients = modes.forward(packed)
        pairs = upper_pairs(n)

        def fields(symbols: Sequence[Array]) -> Array:
            return xp.reshape(
                modes.backward(xp.stack([symbol * coefficients for symbol in symbols])),
                (len(symbols), len(pairs), -1),
            )

        first = fields(modes.derivatives)
        second = (
            fields([modes.derivatives[a] * modes.derivatives[b] for a, b in pairs]) if order > 1 else None
        )
        zeroth = xp.reshape(packed, (len(pairs), -1))
        for start in range(0, zeroth.shape[1], CHUNK):
            part = slice(start, min(start + CHUNK, zeroth.shape[1]))
            dg = xp.stack([unpack(xp, first[a, :, part], n) for a in range(n)], axis=-1)
            ddg = dg
            if second is not None:
                full = {pair: unpack(xp, second[s, :, part], n) for s, pair in enumerate(pairs)}
                rows = [xp.stack([full[min(a, b), max(a, b)] for b in range(n)], axis=-1) for a in range(n)]
                ddg = xp.stack(rows, axis=-2)
            yield unpack(xp, zeroth[:, part], n), dg, ddg

    def curvature(self) -> tuple[Array, float]:
        """Scalar curvature ``(*shape,)``, and the supremum of the norm of the Riemann tensor."""
        if self._curvature is None:
            xp, scalars, largest = self.xp, [], 0.0
            for g, dg, ddg in self.jets(self.metric, 2):
                inverse = xp.linalg.inv(g)
                low = tensors.lowered_riemann(xp, inverse, dg, ddg)
                up = low
                for _ in range(4):  # raise the first index and move it behind the others, four times
                    up = xp.moveaxis(tensors.apply_first(xp, inverse, up), 1, -1)
                largest = max(largest, entry(xp.max(xp.sum(low * up, axis=(1, 2, 3, 4)))))
                # Ric_jl = g^{ik} R_ijkl, then R = g^{jl} Ric_jl
                ricci = xp.sum(
                    xp.permute_dims(low, (0, 2, 4, 1, 3)) * inverse[:, None, None, :, :], axis=(3, 4)
                )
                scalars.append(xp.sum(inverse * ricci, axis=(1, 2)))
            self._curvature = xp.reshape(xp.concat(scalars), self.grid.shape), math.sqrt(largest)
        return self._curvature

    def volume(self) -> float:
        """``∫ dV``."""
        return entry(self.grid.integrate(self.density))

    def total_scalar_curvature(self) -> float:
        """``∫ R dV``; 0 on a two-dimensional torus."""
        return entry(self.grid.integrate(self.curvature()[0] * self.density))

    def min_scalar_curvature(self) -> float:
        """``min R``, which Ricci flow never lowers."""
        return entry(self.xp.min(self.curvature()[0]))

    def max_riemann(self) -> float:
        """``sup |Rm|``."""
        return self.curvature()[1]

    def deturck_vector(self) -> float:
        """``sup |V|``, ``V^k = g^{ab}(Γ^k_ab − Γ̄^k_ab)``."""
        xp, largest = self.xp, 0.0
        steady = None if self.background is None else self.jets(self.background, 1)
        for g, dg, _ in self.jets(self.metric, 1):
            inverse = xp.linalg.inv(g)
            gamma = tensors.christoffel(xp, inverse, dg)
            if steady is not None:
                base, dbase, _ = next(steady)
                gamma = gamma - tensors.christoffel(xp, xp.linalg.inv(base), dbase)
            V = xp.sum(gamma * inverse[:, None, :, :], axis=(2, 3))
            lowered = xp.sum(g * V[:, None, :], axis=2)
            largest = max(largest, entry(xp.max(xp.sum(V * lowered, axis=1))))
        return math.sqrt(largest)

    def closeness(self) -> float:
        """Least ε with ``(1 + ε)⁻¹ ḡ ≤ g ≤ (1 + ε) ḡ`` everywhere."""
        return entry(self.xp.max(closeness(self.metric, self.background)))

    def perelman_lambda(self) -> float:
        """Perelman's ``λ = inf spec(−4Δ + R)``, which Ricci flow never lowers."""
        R, grid = to_numpy(self.curvature()[0]).astype(np.float64), self.grid
        g, density = (to_numpy(field).astype(np.float64) for field in (self.metric, self.density))
        frame = grid.frame
        density = density * abs(np.linalg.det(frame))
        inverse = np.linalg.inv(frame.T @ g @ frame)
        return _lowest(Modes(grid, np, density, dealias=False), grid, inverse, density, R)


def _lowest(modes: Modes, grid: TorusGrid, inverse: Any, density: Any, R: Any) -> float:
    """Least eigenvalue of ``−4 ∂_a(√g g^{ab} ∂_b f) + √g R f = λ √g f``."""
    from scipy.sparse.linalg import LinearOperator, lobpcg

    axes, size = range(grid.dim), R.size
    scale = float(np.mean(density))
    mean = np.linalg.inv(np.mean(np.linalg.inv(inverse), axis=tuple(axes)))
    laplacian = modes.laplacian(mean)
    # The derivative leaves out the waves of the Nyquist wavenumber, which would cost nothing then.
    resolved = sum(
        mean[a, b] * (modes.derivatives[a] * modes.derivatives[b]).real for a in axes for b in axes
    )
    lost = resolved - laplacian

    def apply(f: Any) -> Any:
        field = f.reshape(grid.shape)
        slopes = modes.backward(np.stack([d * modes.forward(field) for d in modes.derivatives]))
        fluxes = np.stack([density * sum(inverse[..., a, b] * slopes[b] for b in axes) for a in axes])
        terms = modes.forward(fluxes)
        inside = sum(d * terms[a] for a, d in enumerate(modes.derivatives))
        divergence = modes.backward(inside - scale * lost * modes.forward(field))
        return ((density * R * field - 4 * divergence) / scale).reshape(f.shape)

    symbol = 4 - 4 * laplacian

    def precondition(f: Any) -> Any:
        return modes.backward(modes.forward(f.reshape(grid.shape)) / symbol).reshape(f.shape)

    def operator(function: Callable[[Any], Any]) -> Any:
        def columns(x: Any) -> Any:
            return np.stack([function(column) for column in x.T], axis=-1)

        return LinearOperator((size, size), matvec=function, matmat=columns, dtype=np.float64)

    weight = operator(lambda f: f.reshape(-1) * (density / scale).ravel())
    start = np.ones((size, 1))
    value, _ = lobpcg(
        operator(apply), start, B=weight, M=operator(precondition), largest=False, tol=None, maxiter=60
    )
    return float(value[0])


INVARIANTS: dict[str, Callable[[Measurement], float]] = {
    name: getattr(Measurement, name)
    for name in (
        "volume",
        "closeness",
        "deturck_vector",
        "total_scalar_curvature",
        "min_scalar_curvature",
        "max_riemann",
        "perelman_lambda",
    )
}


def invariant_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names asked for: "all", one, or several.

    Raises
    ------
    InputError
        If one is unknown.
    """
    if names == "all":
        return tuple(INVARIANTS)
    try:
        wanted = (names,) if isinstance(names, str) else tuple(names)
    except TypeError:
        raise InputError(f'invariants must be names, or "all"; got {names!r}') from None
    for name in wanted:
        if name not in INVARIANTS:
            raise InputError(f'unknown invariant {name!r}: expected "all" or some of {", ".join(INVARIANTS)}')
    return wanted


def measure(
    metric: Array, grid: TorusGrid, names: str | Sequence[str] = "all", *, background: Array | None = None
) -> dict[str, float]:
    """Invariants of a metric on a torus grid, derivatives by the discrete Fourier transform.

    Parameters
    ----------
    metric : array
        Shape ``(*grid.shape, n, n)``, positive definite.
    grid : TorusGrid
    names : sequence of str, or "all"
        Some of "volume", "closeness" (to the background, see `lnegeom.flow.closeness`), "deturck_vector"
        (``sup |V|``), "total_scalar_curvature" (``∫ R dV``), "min_scalar_curvature", "max_riemann"
        (``sup |Rm|``) and "perelman_lambda" (the least eigenvalue of ``−4Δ + R``).
    background : array, optional
        A background metric on the grid; δ by default.

    Returns
    -------
    dict of str to float

    Raises
    ------
    GeometryError
        If a metric is not one on the grid.
    InputError
        If a name is unknown.

    References
    ----------
    G. Perelman, "The entropy formula for the Ricci flow and its geometric applications" (2002), §1–2.

    Examples
    --------
    >>> from lnegeom.flow import TorusGrid, king_conformal, measure
    >>> grid = TorusGrid((32, 32))
    >>> found = measure(king_conformal(grid, 0.0), grid, ["volume", "total_scalar_curvature"])
    >>> round(found["volume"] / grid.volume, 12), abs(found["total_scalar_curvature"]) < 1e-12
    (1.0, True)
    """
    wanted = invariant_names(names)
    checked_domain(grid, TorusGrid)
    if background is None:
        xp, metric = as_floating(metric=metric)
    else:
        xp, metric, background = as_floating(metric=metric, background=background)
        background = checked_metric(xp, background, grid, "background")
    return measured(checked_metric(xp, metric, grid, "metric"), grid, wanted, background)


def measured(
    metric: Array, grid: TorusGrid, names: Sequence[str], background: Array | None
) -> dict[str, float]:
    """`measure` without its checks."""
    xp = array_api_compat.array_namespace(metric)
    measurement = Measurement(xp, grid, metric, background)
    return {name: INVARIANTS[name](measurement) for name in names}
