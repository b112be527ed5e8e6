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
    positive_integer,
)
from lnegeom._special import scaled_bessel, through_scipy
from lnegeom.families._base import ExponentialFamily, NewtonConjugate, check_entries
from lnegeom.potentials import Potential

_SMALL = 16.0  # κ² below which the series and the continued fraction are exact to rounding
_TERMS = 24


class VonMisesFisher(ExponentialFamily):
    """Von Mises–Fisher distributions on the unit sphere of R^n, with natural parameters ``θ = κ μ``.

    ``t(x) = x`` and ``A(θ) = log ∫ exp(θ·x) dS``: with ``κ = |θ|`` and modified Bessel functions,
    ``A = (n/2) log 2π + log I_{n/2−1}(κ) − (n/2 − 1) log κ``. θ = 0 is the uniform distribution, a regular
    point. On the circle (n = 2) and the sphere (n = 3) it works for arrays of every library; from n = 4 on
    for numpy's and those whose memory numpy reads, not for torch's.

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
        # The uniform distribution has no direction; the first axis stands in.
        kappa = xp.sqrt(dot(xp, theta, theta))
        uniform = (kappa == 0)[..., None]
        axis = xp.zeros_like(theta) + identity(xp, theta)[0, :]
        return xp.where(uniform, axis, theta / xp.where(uniform, 1.0, kappa[..., None])), kappa

    def _check_support(self, xp: Any, x: Array) -> None:
        _check_unit(xp, x, "x")

    def _statistic(self, xp: Any, x: Array) -> Array:
        return x + xp.zeros_like(x)

    def _log_base_measure(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x[..., 0])

    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        # κ_p ρ(κ_p) is the mean resultant length along μ_p, so ⟨θ_p − θ_q, η_p⟩ = ρ ⟨θ_p − θ_q, θ_p⟩.
        psi = self.log_partition
        rho = psi._ratios(xp, dot(xp, p, p))[0]
        return rho * dot(xp, p - q, p) + psi._value(xp, q) - psi._value(xp, p)


def _check_unit(xp: Any, x: Array, name: str) -> None:
    length = xp.sqrt(dot(xp, x, x))
    tolerance = 100 * float(xp.finfo(x.dtype).eps)
    message = "{point} has length {value}: expected a unit vector; divide by its length"
    check_where(xp, xp.abs(length - 1) <= tolerance, length, name, message)


class _LogPartition(Potential):
    """A as a function of ``s = κ²``, through ``ρ_n = I_{n/2}(κ) / (κ I_{n/2−1}(κ))``, smooth in s even at 0.

    ``ρ_n = 1/(n + s ρ_{n+2})`` (Gauss; DLMF 10.33.1) and ``2 dρ_n/ds = ρ_n (ρ_{n+2} − ρ_n)``, so
    ``∇A = ρθ``, ``∇²A = ρ I + ρ′ θθᵀ`` and ``∇³A = ρ′ (δ_ij θ_k + …) + ρ″ θ_i θ_j θ_k`` with ``′ = 2 d/ds``.
    """

    def __init__(self, dim: int):
        self.dim: int = dim

    def __repr__(self) -> str:
        return f"VonMisesFisher({self.dim}).log_partition"

    @property
    def conjugate(self) -> Potential:
        return _NegativeEntropy(self)

    def _value(self, xp: Any, x: Array) -> Array:
        n, s = self.dim, dot(xp, x, x)
        small = xp.where(s < _SMALL, s, xp.zeros_like(s))
        series = xp.ones_like(s)  # Γ(n/2) (κ/2)^{1−n/2} I_{n/2−1}(κ) by Horner's rule, less one at the end
        for m in range(_TERMS, 1, -1):
            series = 1 + series * small / (4 * m * (m - 1 + n / 2))
        area = math.log(2) + (n / 2) * math.log(math.pi) - math.lgamma(n / 2)
        near = area + xp.log1p(series * small / (2 * n))
        kappa = xp.sqrt(xp.where(s < _SMALL, _SMALL, s))
        far = (n / 2) * math.log(2 * math.pi) + kappa + xp.log(self._bessel(xp, 0, kappa))
        return xp.where(s < _SMALL, near, far - (n / 2 - 1) * xp.log(kappa))

    def _gradient(self, xp: Any, x: Array) -> Array:
        return self._ratios(xp, dot(xp, x, x))[0][..., None] * x

    def _hessian(self, xp: Any, x: Array) -> Array:
        rho, first, _ = self._derivatives(xp, x)
        outer = x[..., :, None] * x[..., None, :]
        return rho[..., None, None] * identity(xp, x) + first[..., None, None] * outer

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        _, first, second = (r[..., None, None, None] for r in self._derivatives(xp, x))
        eye = identity(xp, x)
        i, j, k = x[..., :, None, None], x[..., None, :, None], x[..., None, None, :]
        mixed = eye[:, :, None] * k + eye[:, None, :] * j + eye[None, :, :] * i
        return first * mixed + second * i * j * k

    def _derivatives(self, xp: Any, x: Array) -> tuple[Array, Array, Array]:
        rho, rho2, rho4 = self._ratios(xp, dot(xp, x, x))
        first = rho * (rho2 - rho)
        return rho, first, first * (rho2 - rho) + rho * (rho2 * (rho4 - rho2) - first)

    def _ratios(self, xp: Any, s: Array) -> tuple[Array, Array, Array]:
        """``ρ_n, ρ_{n+2}, ρ_{n+4}`` at s = κ²."""
        small = xp.where(s < _SMALL, s, xp.zeros_like(s))
        fraction = xp.zeros_like(s)
        near = []
        for m in range(_TERMS, -1, -1):
            fraction = 1 / (self.dim + 2 * m + small * fraction)
            if m <= 2:
                near.append(fraction)
        large = xp.where(s < _SMALL, _SMALL, s)
        kappa = xp.sqrt(large)
        bessel = [self._bessel(xp, 0, kappa), self._bessel(xp, 1, kappa)]
        for m in (0, 1):  # I_{ν+1} = I_{ν−1} − (2ν/κ) I_ν loses no digits that matter where κ ≥ 4
            bessel.append(self._bessel(xp, m + 2, kappa, bessel[m], bessel[m + 1]))
        far = [bessel[m + 1] / (kappa * bessel[m]) for m in range(3)]
        first, second, third = (xp.where(s < _SMALL, a, b) for a, b in zip(reversed(near), far, strict=True))
        return first, second, third

    def _bessel(self, xp: Any, above: int, kappa: Array, *before: Array) -> Array:
        """``exp(−κ) I_{n/2−1+above}(κ)``; `before` are the two orders below, for the recurrence."""
        if self.dim > 3:
            if array_api_compat.is_torch_namespace(xp) or array_api_compat.is_jax_namespace(xp):
                kind = type(kappa).__module__.split(".")[0]
                raise InputError(
                    f"{self!r}: expected numpy arrays, got {kind}'s, which lack Bessel functions of order "
                    f"{self.dim / 2 - 1 + above:g}; pass numpy arrays, or use VonMisesFisher(2) or (3)"
                )
            return through_scipy(xp, "ive", kappa, self.dim / 2 - 1 + above)
        if before:
            return before[0] - (2 * (self.dim / 2 - 2 + above) / kappa) * before[1]
        if self.dim == 2:
            return scaled_bessel(xp, above, kappa)
        decay = xp.exp(-2 * kappa)  # I_{1/2} and I_{3/2} are elementary
        scale = 1 / xp.sqrt(2 * math.pi * kappa)
        if above == 0:
            return scale * (1 - decay)
        return scale * (1 + decay - (1 - decay) / kappa)


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
