"""Log-cosh: the potential of the Hyperbolic divergence."""

from __future__ import annotations

import math
from typing import Any

from lnegeom._array import Array, check_where, positive
from lnegeom.potentials._base import Potential, SeparablePotential


class LogCosh(SeparablePotential):
    """The potential of the Hyperbolic divergence, ``ψ(θ) = Σ_i τ⁻² log cosh(τθ_i)``.

    It is τ⁻² times the log-partition of independent ±1 spins with natural parameter τθ (less a constant).
    ``∇ψ = tanh(τθ)/τ`` and the Hessian is ``diag(sech²(τθ))``.

    Parameters
    ----------
    tau : float
        Scale τ > 0.

    References
    ----------
    ManiQuant Eq. 12; RF-DNN Eq. 14.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.LogCosh(tau=1.0).gradient([0.0, 0.5])
    array([0.        , 0.46211716])
    """

    def __init__(self, tau: float = 1.0):
        self.tau = positive("tau", tau)

    def __repr__(self) -> str:
        return f"LogCosh(tau={self.tau})"

    @property
    def conjugate(self) -> Potential:
        """``ψ*(η) = τ⁻² [τη artanh(τη) + ½ log(1 − τ²η²)]`` on ``|τη| < 1``."""
        return _LogCoshConjugate(self.tau)

    def _value(self, xp: Any, x: Array) -> Array:
        z = self.tau * x
        size = xp.abs(z)
        # No overflow for large z; for small z the terms of `large` cancel, and |z| is not differentiable.
        large = size + xp.log1p(xp.exp(-2 * size)) - math.log(2)
        small = xp.log1p(2 * xp.sinh(xp.where(size < 1, z, xp.zeros_like(z)) / 2) ** 2)
        return xp.sum(xp.where(size < 1, small, large), axis=-1) / self.tau / self.tau

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.tanh(self.tau * x) / self.tau

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        # 1/cosh², not 1 − tanh², which cancels to zero; capped where cosh would overflow.
        largest = math.log(float(xp.finfo(x.dtype).max)) / 2
        return xp.cosh(xp.clip(self.tau * x, -largest, largest)) ** -2

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        size = xp.abs(self.tau * x)
        return -2 * xp.sum(size + xp.log1p(xp.exp(-2 * size)) - math.log(2), axis=-1)

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return -2 * self.tau * xp.tanh(self.tau * x) * self._hessian_diagonal(xp, x)


class _LogCoshConjugate(SeparablePotential):
    """Conjugate of `LogCosh`: the negative entropy of spins with mean τη, over τ²."""

    def __init__(self, tau: float):
        self.tau = tau

    def __repr__(self) -> str:
        return f"LogCosh(tau={self.tau}).conjugate"

    @property
    def conjugate(self) -> LogCosh:
        return LogCosh(self.tau)

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_where(
            xp,
            xp.abs(self.tau * x) < 1,
            x,
            "x",
            "{point} = {value} lies outside the dual domain: expected |x| < 1/tau = "
            f"{1 / self.tau:.6g}; a dual point is tanh(tau theta)/tau",
        )

    def _value(self, xp: Any, x: Array) -> Array:
        m = self.tau * x
        return xp.sum(m * xp.atanh(m) + xp.log1p(-m * m) / 2, axis=-1) / self.tau**2

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.atanh(self.tau * x) / self.tau

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        return 1 / ((1 - self.tau * x) * (1 + self.tau * x))

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return 2 * self.tau**2 * x * self._hessian_diagonal(xp, x) ** 2
