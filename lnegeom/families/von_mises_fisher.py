"""Von Mises–Fisher distributions on the sphere."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

from lnegeom._array import (
    Array,
    InputError,
    as_floating,
    check_broadcast,
    check_finite,
    check_vectors,
    check_where,
    dot,
    identity,
    moveaxis,
    outer,
    positive_integer,
)
from lnegeom._known_curvature import KnownCurvature, RadialCurvature
from lnegeom.families._base import ExponentialFamily, NewtonConjugate, check_entries
from lnegeom.families._resultant import ResultantLength
from lnegeom.families._special import scaled_bessel, through_scipy
from lnegeom.potentials import Potential

_SMALL = 16.0  # κ² below which the value's series is exact to rounding
_TERMS = 24
_MANY = 600  # dimensions from which Debye's expansion is exact to rounding, and Bessel functions underflow
_DEBYE = (
    (24, (3, -5)),
    (1152, (81, -462, 385)),
    (414720, (30375, -369603, 765765, -425425)),
    (39813120, (4465125, -94121676, 349922430, -446185740, 185910725)),
)


class VonMisesFisher(ExponentialFamily):
    """Von Mises–Fisher distributions on the unit sphere of R^n, with natural parameters ``θ = κ μ``.

    ``t(x) = x`` and ``A(θ) = log ∫ exp(θ·x) dS``: with ``κ = |θ|`` and modified Bessel functions,
    ``A = (n/2) log 2π + log I_{n/2−1}(κ) − (n/2 − 1) log κ``. θ = 0 is the uniform distribution, a regular
    point. On the circle (n = 2) and the sphere (n = 3) it works for arrays of every library, and so do the
    derivatives of A for all n; the value of A needs numpy's arrays, or those whose memory numpy reads, from
    n = 4 to 599.

    Fisher metric, inverse and curvature are right to a relative 1e-10 for κ from 1e-6 to 1e8 and n up to
    1000, in float64.

    Parameters
    ----------
    size : int
        Length n ≥ 2 of an observation, a unit vector.

    References
    ----------
    Mardia and Jupp, *Directional Statistics* (2000), sections 3.5.4 and 9.3.2.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.families.VonMisesFisher(3)
    >>> family.mean_parameters(family.natural([0.0, 0.0, 1.0], 2.0)).round(6)  # coth 2 − ½
    array([0.      , 0.      , 0.537315])
    """

    log_partition: _LogPartition

    def __init__(self, size: int):
        self.dim = positive_integer("size", size)
        if self.dim < 2:
            raise InputError("size must be at least 2, got 1; for the two points of R^1 use Bernoulli()")
        self.event_size = self.dim
        self.log_partition = _LogPartition(self.dim)

    def __repr__(self) -> str:
        return f"VonMisesFisher({self.dim})"

    def natural(self, direction: Any, concentration: Any) -> Array:
        """Natural parameters ``(..., n)`` of unit vectors ``(..., n)`` and κ ≥ 0, of shape ``(...)``."""
        xp, mu, kappa = as_floating(direction=direction, concentration=concentration)
        check_vectors(xp, mu, "direction", self.dim)
        _check_unit(xp, mu, "direction")
        check_finite(xp, kappa, "concentration")
        check_entries(xp, kappa >= 0, kappa, "concentration", "a number that is not negative")
        check_broadcast(direction=mu, concentration=kappa[..., None])
        return kappa[..., None] * mu

    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]:
        # Squares of small entries would underflow. The uniform distribution has no direction; the first axis
        # stands in.
        size = xp.max(xp.abs(theta), axis=-1, keepdims=True)
        uniform, one = size == 0, xp.ones_like(size)
        scaled = theta / xp.where(uniform, one, size)
        length = xp.sqrt(xp.where(uniform, one, dot(xp, scaled, scaled)[..., None]))
        axis = xp.zeros_like(theta) + identity(xp, theta)[0, :]
        return xp.where(uniform, axis, scaled / length), (size * length)[..., 0]

    def _check_support(self, xp: Any, x: Array) -> None:
        _check_unit(xp, x, "x")

    def _statistic(self, xp: Any, x: Array) -> Array:
        return x + xp.zeros_like(x)

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x[..., 0])

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        # κ_p ρ(κ_p) is the mean resultant length along μ_p, so ⟨θ_p − θ_q, η_p⟩ = ρ ⟨θ_p − θ_q, θ_p⟩.
        psi = self.log_partition
        rho = psi._resultant.at(xp, dot(xp, p, p)).rho
        return rho * dot(xp, p - q, p) + psi._value(xp, q) - psi._value(xp, p)


def _check_unit(xp: Any, x: Array, name: str) -> None:
    length = xp.sqrt(dot(xp, x, x))
    tolerance = 100 * float(xp.finfo(x.dtype).eps)
    message = "{point} has length {value}: expected a unit vector; divide by its length"
    check_where(xp, xp.abs(length - 1) <= tolerance, length, name, message)


class _LogPartition(Potential):
    """A as a function of ``s = κ²``, through ``ρ = I_{n/2}(κ) / (κ I_{n/2−1}(κ))``, smooth in s even at 0.

    ``∇A = ρθ``, ``∇²A = ρ I + ρ′ θθᵀ`` and ``∇³A = ρ′ (δ_ij θ_k + …) + ρ″ θ_i θ_j θ_k`` with ``′ = 2 d/ds``.
    """

    def __init__(self, dim: int):
        self.dim: int = dim
        self._resultant = ResultantLength(dim)

    def __repr__(self) -> str:
        return f"VonMisesFisher({self.dim}).log_partition"

    @property
    def conjugate(self) -> Potential:
        return _NegativeEntropy(self)

    def _check_domain(self, xp: Any, x: Array) -> None:
        most = float(xp.finfo(x.dtype).max) ** 0.2
        largest = xp.max(xp.abs(x), axis=-1)
        message = f"{{point}} has an entry of size {{value}}, whose powers overflow in {x.dtype}: "
        message = message + f"expected below {most:.3g}; take a smaller concentration"
        check_where(xp, largest < most, largest, "x", message)

    def _value(self, xp: Any, x: Array) -> Array:
        n, s = self.dim, dot(xp, x, x)
        if n >= _MANY:
            return n / 2 * math.log(2 * math.pi) + _debye(xp, n / 2 - 1, s)
        small = xp.where(s < _SMALL, s, xp.zeros_like(s))
        series = xp.ones_like(s)  # Γ(n/2) (κ/2)^{1−n/2} I_{n/2−1}(κ) by Horner's rule, less one at the end
        for m in range(_TERMS, 1, -1):
            series = 1 + series * small / (4 * m * (m - 1 + n / 2))
        area = math.log(2) + (n / 2) * math.log(math.pi) - math.lgamma(n / 2)
        near = area + xp.log1p(series * small / (2 * n))
        kappa = xp.sqrt(xp.where(s < _SMALL, _SMALL, s))
        far = (n / 2) * math.log(2 * math.pi) + kappa + xp.log(self._bessel(xp, kappa))
        return xp.where(s < _SMALL, near, far - (n / 2 - 1) * xp.log(kappa))

    def _gradient(self, xp: Any, x: Array) -> Array:
        return self._resultant.at(xp, dot(xp, x, x)).rho[..., None] * x

    def _hessian(self, xp: Any, x: Array) -> Array:
        found, along = self._resultant.at(xp, dot(xp, x, x)), self._along(xp, x)
        across = identity(xp, x) - along
        regular = found.rho[..., None, None] * identity(xp, x) + found.first[..., None, None] * outer(x)
        split = found.rho[..., None, None] * across + found.radial[..., None, None] * along
        return xp.where(self._is_far(xp, x)[..., None, None], split, regular)

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        found = self._resultant.at(xp, dot(xp, x, x))
        bend = found.first / (found.rho * found.radial)
        return identity(xp, x) / found.rho[..., None, None] - bend[..., None, None] * outer(x)

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        found = self._resultant.at(xp, dot(xp, x, x))
        return (self.dim - 1) * xp.log(found.rho) + xp.log(found.radial)

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        found, along = self._resultant.at(xp, dot(xp, x, x)), self._along(xp, x)
        first, second, bend = (r[..., None, None, None] for r in (found.first, found.second, found.bend))
        cube = outer(x)[..., None] * x[..., None, None, :]
        regular = first * _mixed(xp, identity(xp, x), x) + second * cube
        axial = along[..., None] * x[..., None, None, :]
        split = first * _mixed(xp, identity(xp, x) - along, x) + bend * axial
        return xp.where(self._is_far(xp, x)[..., None, None, None], split, regular)

    def _known_curvature(self, xp: Any, x: Array) -> KnownCurvature:
        # The metric λ dκ² + ρ κ² dΩ² is a warped product, and its curvature simple in t = ρ/λ:
        # K₁ = (1 − t) t' / (4 κ ρ t) and K₂ = −(t − 1)² / (4 κ² ρ t).
        s = dot(xp, x, x)
        found = self._resultant.at(xp, s)
        scale = found.excess / (4 * found.rho * (1 + found.excess))
        over = found.first / found.radial  # (1 − t)/κ², regular at 0
        return RadialCurvature(xp, x, (found.radial, found.rho), (-scale * found.turn, scale * over))

    def _is_far(self, xp: Any, x: Array) -> Array:
        return dot(xp, x, x) > 1

    def _along(self, xp: Any, x: Array) -> Array:
        """``eeᵀ`` with ``e = x/|x|``, where x is not small."""
        s = xp.where(self._is_far(xp, x), dot(xp, x, x), xp.ones_like(x[..., 0]))
        return outer(x / xp.sqrt(s)[..., None])

    def _bessel(self, xp: Any, kappa: Array) -> Array:
        """``exp(−κ) I_{n/2−1}(κ)``."""
        if self.dim > 3:
            if array_api_compat.is_torch_namespace(xp) or array_api_compat.is_jax_namespace(xp):
                kind = type(kappa).__module__.split(".")[0]
                raise InputError(
                    f"{self!r}: expected numpy arrays, got {kind}'s, which lack Bessel functions of order "
                    f"{self.dim / 2 - 1:g}; pass numpy arrays, or use VonMisesFisher(2) or (3)"
                )
            return through_scipy(xp, "ive", kappa, self.dim / 2 - 1)
        if self.dim == 2:
            return scaled_bessel(xp, 0, kappa)
        return -xp.expm1(-2 * kappa) / xp.sqrt(2 * math.pi * kappa)  # I_{1/2} is elementary


def _debye(xp: Any, nu: float, s: Array) -> Array:
    """``log(I_ν(κ) κ^{−ν})`` of squares s of κ, for a large order, where I itself would underflow.

    Debye's expansion, uniform in κ (DLMF 10.41.3 and 10.41.10), to an absolute ``ν^{−5}``.
    """
    root = xp.sqrt(1 + s / nu**2)
    p = 1 / root
    series = xp.ones_like(s)
    for k, (scale, coefficients) in enumerate(_DEBYE, start=1):
        polynomial = sum((c * p ** (k + 2 * j) for j, c in enumerate(coefficients)), xp.zeros_like(s))
        series = series + polynomial / (scale * nu**k)
    scale = nu * root - nu * xp.log(nu * (1 + root)) - math.log(2 * math.pi * nu) / 2
    return scale - xp.log(root) / 2 + xp.log(series)


def _mixed(xp: Any, matrix: Array, x: Array) -> Array:
    """``M_ij x_k + M_ik x_j + M_jk x_i``."""
    term = matrix[..., None] * x[..., None, None, :]
    return term + moveaxis(xp, term, -1, -2) + moveaxis(xp, term, -1, -3)


class _NegativeEntropy(NewtonConjugate):
    """Conjugate of the log-partition, on mean resultant lengths ``|η| < 1``."""

    def _check_domain(self, xp: Any, x: Array) -> None:
        length = xp.sqrt(dot(xp, x, x))
        check_where(
            xp,
            length < 1,
            length,
            "x",
            "{point} has length {value}: expected a mean resultant length below 1",
        )

    def _start(self, xp: Any, x: Array) -> Array:
        # Banerjee et al., "Clustering on the unit hypersphere" (2005), Eq. 4.4.
        square = dot(xp, x, x)[..., None]
        return x * (x.shape[-1] - square) / (1 - square)
