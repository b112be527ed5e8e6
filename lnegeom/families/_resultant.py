"""The mean resultant length ``m(κ) = I_{n/2}(κ) / I_{n/2−1}(κ)`` of von Mises–Fisher, and its derivatives."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lnegeom._array import Array
from lnegeom.families._special import one_operation

# Powers of 1/κ in the asymptotic series.
_POWERS = 24


class Resultant(NamedTuple):
    """What the log-partition's derivatives and the metric's curvature are made of, at ``s = κ²``.

    The Fisher metric is ``λ eeᵀ + ρ (I − eeᵀ)``, and ``t = ρ/λ``. All but `second`, which serves near κ = 0
    alone, are right to relative rounding near 0 and far out.
    """

    rho: Array  # m/κ
    first: Array  # 2 dρ/ds
    second: Array  # the same of `first`
    radial: Array  # λ = dm/dκ
    bend: Array  # κ^{-1} dλ/dκ
    excess: Array  # t − 1
    turn: Array  # κ^{-1} dt/dκ


class ResultantLength:
    """``m(κ)`` for unit vectors of R^n, from one of two expansions.

    Near, up to a κ of 20 for small n, Gauss's continued fraction ``ρ_n = 1/(n + s ρ_{n+2})`` of ``ρ = m/κ``
    (DLMF 10.33.1), with ``2 dρ_n/ds = ρ_n (ρ_{n+2} − ρ_n)``. Far, the asymptotic series ``m = Σ c_k κ^{-k}``,
    which Riccati's equation ``m' = 1 − m² − (n − 1) m/κ`` determines.

    Parameters
    ----------
    n : int
        Length of the vectors.
    """

    def __init__(self, n: int):
        self.n = n
        self.edge = 20.0 + n**1.75 / 16
        self.terms = _terms(n / 2, self.edge)
        self.coefficients = [1.0]
        for k in range(1, _POWERS):
            c = self.coefficients
            cross = sum(c[j] * c[k - j] for j in range(1, k))
            c.append(((k - n) * c[k - 1] - cross) / 2)

    @one_operation
    def at(self, xp: Any, s: Array) -> Resultant:
        """All of it at squares s of κ."""
        far = s > self.edge**2
        near = self._near(xp, xp.where(far, xp.zeros_like(s), s))
        beyond = self._far(xp, xp.sqrt(xp.where(far, s, self.edge**2 * xp.ones_like(s))))
        return Resultant(*(xp.where(far, b, a) for a, b in zip(near, beyond, strict=True)))

    def _near(self, xp: Any, s: Array) -> Resultant:
        fraction, found = xp.zeros_like(s), []
        for m in range(self.terms, -1, -1):
            fraction = 1 / (self.n + 2 * m + s * fraction)
            if m <= 2:
                found.append(fraction)
        rho4, rho2, rho = found
        first = rho * (rho2 - rho)
        second = first * (rho2 - rho) + rho * (rho2 * (rho4 - rho2) - first)
        radial = rho + s * first
        turn = (s * (first**2 - rho * second) - 2 * rho * first) / radial**2
        return Resultant(rho, first, second, radial, 3 * first + s * second, -s * first / radial, turn)

    def _far(self, xp: Any, kappa: Array) -> Resultant:
        length, radial, bend = xp.ones_like(kappa), xp.zeros_like(kappa), xp.zeros_like(kappa)
        power = xp.ones_like(kappa)
        for k, c in enumerate(self.coefficients[1:], start=1):
            power = power / kappa
            term = c * power
            length, radial = length + term, radial - k * term / kappa
            bend = bend + k * (k + 1) * term / kappa**3
        rho = length / kappa
        first = (radial - rho) / kappa**2
        second = (bend - 3 * first) / kappa**2
        t = rho / radial
        turn = (1 - t - t * kappa**2 * bend / radial) / kappa**2
        return Resultant(rho, first, second, radial, bend, t - 1, turn)


def _terms(nu: float, kappa: float) -> int:
    """How many levels make the continued fraction right to rounding, each worth a factor ``e^{2a}``."""
    m, exponent = 3, 0.0
    while exponent < 40:
        exponent += 2 * math.asinh((nu + m) / kappa)
        m += 1
    return m
