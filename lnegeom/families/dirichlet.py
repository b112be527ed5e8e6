"""Dirichlet distributions on the simplex, and beta distributions on the interval."""

from __future__ import annotations

from typing import Any, NamedTuple

from lnegeom._array import (
    Array,
    InputError,
    as_floating,
    check_vectors,
    check_where,
    diagonal_matrix,
    dot,
    identity,
    outer,
    positive_integer,
)
from lnegeom._known_curvature import HypersurfaceCurvature, KnownCurvature, OneCurvature
from lnegeom.families._base import (
    ExponentialFamily,
    NewtonConjugate,
    broadcast,
    check_entries,
    positive_entries,
)
from lnegeom.families._special import gammaln, polygamma, trigamma_excess
from lnegeom.potentials import Potential


class _LogBeta(ExponentialFamily):
    """What Dirichlet and beta share: ``θ = α``, ``A(θ) = Σ log Γ(θ_i) − log Γ(Σ θ_i)``."""

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        means = polygamma(xp, 0, p) - polygamma(xp, 0, xp.sum(p, axis=-1, keepdims=True))
        log_beta = self.log_partition._value
        return log_beta(xp, q) - log_beta(xp, p) + dot(xp, p - q, means)


class Dirichlet(_LogBeta):
    """Dirichlet distributions over probability vectors of length `size`, with ``θ = α``.

    ``t(x) = log x``, ``h(x) = 1/Π x_i`` and ``A(θ) = Σ log Γ(θ_i) − log Γ(Σ θ_i)``. An observation is a
    vector ``(..., size)`` that sums to one; the density is with respect to its first size − 1 entries.

    The Fisher metric's inverse and Ricci tensor take O(size²), the scalar curvature O(size). For
    concentrations from 1e-6 to 1e12, in float64, inverse and scalar are right to a relative 1e-12 where all
    are of one size or above 1; at worst, where one is tiny and another near 10, to 1e-14 divided by the tiny
    one. The metric, its connection and Ricci tensor lose digits besides where one concentration is nearly the
    sum of all.

    Parameters
    ----------
    size : int
        Length of the probability vectors, at least 2.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.families.Dirichlet(3)
    >>> float(family.log_density(family.natural([1.0, 1.0, 1.0]), [0.2, 0.3, 0.5]))  # uniform: log 2
    0.693147...
    """

    def __init__(self, size: int):
        self.dim = positive_integer("size", size)
        if self.dim < 2:
            raise InputError("size must be at least 2, got 1; a probability vector of length 1 is certain")
        self.event_size = self.dim
        self.log_partition = _DirichletLogPartition(self.dim, f"{self!r}.log_partition")

    def __repr__(self) -> str:
        return f"Dirichlet({self.dim})"

    def natural(self, concentration: Any) -> Array:
        """Natural parameters ``(..., size)``: the concentrations α themselves, checked."""
        xp, alpha = as_floating(concentration=concentration)
        check_vectors(xp, alpha, "concentration", self.dim)
        positive_entries(xp, alpha, "concentration", "concentration")
        return xp.astype(alpha, alpha.dtype, copy=True)

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        return (xp.astype(theta, theta.dtype, copy=True),)

    def _check_support(self, xp: Any, x: Array) -> None:
        check_entries(xp, x > 0, x, "x", "positive probabilities")
        total = xp.sum(x, axis=-1)
        tolerance = 100 * float(xp.finfo(x.dtype).eps) * self.dim
        message = "{point} sums to {value}: expected 1; divide by the sum"
        check_where(xp, xp.abs(total - 1) <= tolerance, total, "x", message)

    def _statistic(self, xp: Any, x: Array) -> Array:
        return xp.log(x)

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return -xp.sum(xp.log(x), axis=-1)


class Beta(_LogBeta):
    """Beta distributions on 0 < x < 1, with natural parameters ``θ = (α, β)``.

    ``t(x) = (log x, log(1 − x))``, ``h(x) = 1/(x (1 − x))`` and ``A(θ) = log B(θ₁, θ₂)``. What is said of the
    accuracy of `Dirichlet` holds here.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.families.Beta()
    >>> [float(v) for v in family.mean_parameters(family.natural(1.0, 1.0)).round(6)]
    [-1.0, -1.0]
    """

    dim = 2

    def __init__(self) -> None:
        self.log_partition = _DirichletLogPartition(2, "Beta().log_partition")

    def natural(self, alpha: Any, beta: Any) -> Array:
        """Natural parameters ``(..., 2)`` of α and β, each ``(...)``."""
        xp, alpha, beta = as_floating(alpha=alpha, beta=beta)
        positive_entries(xp, alpha, "alpha", "parameter")
        positive_entries(xp, beta, "beta", "parameter")
        return xp.stack(broadcast(xp, alpha=alpha, beta=beta), axis=-1)

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        return xp.astype(theta[..., 0], theta.dtype, copy=True), xp.astype(
            theta[..., 1], theta.dtype, copy=True
        )

    def _check_support(self, xp: Any, x: Array) -> None:
        check_entries(xp, (x > 0) & (x < 1), x, "x", "a number strictly between 0 and 1")

    def _statistic(self, xp: Any, x: Array) -> Array:
        return xp.stack([xp.log(x), xp.log1p(-x)], axis=-1)

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return -xp.log(x) - xp.log1p(-x)


class _DirichletLogPartition(Potential):
    """``A(θ) = Σ log Γ(θ_i) − log Γ(Σ θ_i)`` on θ > 0."""

    def __init__(self, dim: int, name: str):
        self.dim: int = dim
        self._name = name

    def __repr__(self) -> str:
        return self._name

    @property
    def conjugate(self) -> Potential:
        return _DirichletNegativeEntropy(self)

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_entries(xp, x > 0, x, "x", "positive concentrations")

    def _value(self, xp: Any, x: Array) -> Array:
        return xp.sum(gammaln(xp, x), axis=-1) - gammaln(xp, xp.sum(x, axis=-1))

    def _gradient(self, xp: Any, x: Array) -> Array:
        return polygamma(xp, 0, x) - polygamma(xp, 0, xp.sum(x, axis=-1, keepdims=True))

    def _hessian(self, xp: Any, x: Array) -> Array:
        common = polygamma(xp, 1, xp.sum(x, axis=-1))
        return diagonal_matrix(xp, polygamma(xp, 1, x)) - common[..., None, None]

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        eye = identity(xp, x)
        diagonal = (polygamma(xp, 2, x)[..., None] * eye)[..., None] * eye
        return diagonal - polygamma(xp, 2, xp.sum(x, axis=-1))[..., None, None, None]

    # The Hessian is diagonal plus rank one. With u = 1/ψ₁, its inverse is diag(u) + u uᵀ / Q, where
    # Q = u(s) − Σ u(θ_i) > 0 would lose its digits for large or small concentrations: see `_Profile`.

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        each, end = self._profiles(xp, x)
        return diagonal_matrix(xp, each.u) + outer(each.u) / _gap(xp, each, end)[..., None, None]

    def _hessian_apply(self, xp: Any, x: Array, vector: Array) -> Array:
        common = polygamma(xp, 1, xp.sum(x, axis=-1, keepdims=True))
        return polygamma(xp, 1, x) * vector - common * xp.sum(vector, axis=-1, keepdims=True)

    def _hessian_solve(self, xp: Any, x: Array, covector: Array) -> Array:
        each, end = self._profiles(xp, x)
        return each.u * (covector + (dot(xp, each.u, covector) / _gap(xp, each, end))[..., None])

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        each, end = self._profiles(xp, x)
        return xp.log(_gap(xp, each, end) / end.u) - xp.sum(xp.log(each.u), axis=-1)

    def _profiles(self, xp: Any, x: Array) -> tuple[_Profile, _Profile]:
        return _profile(xp, x), _profile(xp, xp.sum(x, axis=-1))

    def _known_curvature(self, xp: Any, x: Array) -> KnownCurvature:
        each, end = self._profiles(xp, x)
        gap = _gap(xp, each, end)
        if self.dim == 2:
            bend = _bend(xp, each, end)
            return OneCurvature(xp, -end.r * each.r[..., 0] * each.r[..., 1] * bend / gap**2, self, x)
        lower, upper = end.r[..., None] - each.r, each.rho - end.rho[..., None]
        delta = xp.where((end.x < 1)[..., None], lower, upper)
        return HypersurfaceCurvature(xp, each.u, each.r, (end.u, end.r), gap, delta)


class _Profile(NamedTuple):
    """Functions of a concentration, each to relative rounding, that stay apart where the others agree."""

    x: Array
    u: Array  # 1/ψ₁, near x² for small x
    e: Array  # x − u, near ½ for large x
    r: Array  # u'/2, near x for small x
    rho: Array  # ½ − r, near 1/(24 x²) for large x


def _profile(xp: Any, x: Array) -> _Profile:
    excess, slope, rest = trigamma_excess(xp, x)
    u, square = x / (1 + excess), 2 * (1 + excess) ** 2
    return _Profile(x, u, u * excess, (1 + excess - x * slope) / square, (rest + excess**2) / square)


def _gap(xp: Any, each: _Profile, end: _Profile) -> Array:
    """``u(s) − Σ u(x_i)``, with ``s = Σ x_i``."""
    return xp.where(end.x < 1, end.u - xp.sum(each.u, axis=-1), xp.sum(each.e, axis=-1) - end.e)


def _bend(xp: Any, each: _Profile, end: _Profile) -> Array:
    """``v(s) − Σ v(x_i)`` of ``v = u/r``, which is near x for small x and near 2x − 1 for large."""

    def parts(at: _Profile) -> tuple[Array, Array]:
        """``v − x``, right for x < 1, and ``2x − v``."""
        # From ψ₁(x) = 1/x² + ψ₁(1 + x), and so for ψ₂: v − x = x (X − Y)/(1 + Y).
        x = xp.clip(at.x, max=1.0)
        up, down = x**2 * polygamma(xp, 1, 1 + x), -(x**3) * polygamma(xp, 2, 1 + x) / 2
        low = x * (up - down) / (1 + down)
        return low, xp.where(at.x < 1, x - low, (at.e - 2 * at.x * at.rho) / at.r)

    (low, high), (low_end, high_end) = parts(each), parts(end)
    return xp.where(end.x < 1, low_end - xp.sum(low, axis=-1), xp.sum(high, axis=-1) - high_end)


class _DirichletNegativeEntropy(NewtonConjugate):
    """Conjugate of the Dirichlet log-partition; ``η_i = E log x_i``, so ``Σ exp η_i < 1``."""

    def _check_domain(self, xp: Any, x: Array) -> None:
        total = xp.sum(xp.exp(x), axis=-1)
        message = "{point} has sum of exp(E[log x_i]) = {value}: expected it to be below 1"
        check_where(xp, total < 1, total, "x", message)

    def _start(self, xp: Any, x: Array) -> Array:
        # Invert digamma(z) ≈ log(z − ½): first for the sum of the α, then for each (Minka 2000, appendix C).
        weights = xp.exp(x)
        total = xp.sum(weights, axis=-1, keepdims=True)
        scale = (x.shape[-1] - total) / (2 * (1 - total))
        target = x + polygamma(xp, 0, scale)
        tail = -1 / (xp.clip(target, max=-1.0) + 0.5772156649015329)
        return xp.where(target > -2.22, xp.exp(xp.clip(target, min=-3.0)) + 0.5, tail)
