"""Convex potentials of Legendre type: value, gradient, Hessian, third derivative, conjugate.

A potential is the root of everything here: its Bregman divergence, its Hessian metric, its pair of dual
coordinates. Public methods validate the point and compute what the derivatives share once; subclasses
implement the underscored formulas.
"""

from __future__ import annotations

import abc
import math
from typing import Any

from lnegeom._array import (
    Array,
    as_floating,
    check_vectors,
    check_where,
    diagonal_matrix,
    dot,
    identity,
    matvec,
    positive,
)

__all__ = ["LogCosh", "LogSumExp", "NegativeEntropy", "Potential", "SeparablePotential", "SquaredNorm"]


class Potential(abc.ABC):
    """A strictly convex, smooth function ψ on an open convex domain of R^n.

    Calling it gives the value. With ``η = ∇ψ(θ)`` (the dual coordinates) and the conjugate
    ``ψ*(η) = sup_θ ⟨θ, η⟩ − ψ(θ)``::

        ψ(θ) + ψ*(η) = ⟨θ, η⟩,    ∇ψ*(∇ψ(θ)) = θ,    ∇²ψ*(η) = ∇²ψ(θ)^{-1}.

    Points have shape ``(..., n)``; results keep the array library, dtype and device of the point.

    Attributes
    ----------
    dim : int or None
        The dimension n, or None when any dimension will do.
    """

    dim: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __call__(self, x: Any) -> Array:
        """Value ψ(x), of shape ``(...)``."""
        return self._value(*self._point(x))

    def gradient(self, x: Any) -> Array:
        """Gradient ∇ψ(x), the dual coordinates, of shape ``(..., n)``."""
        return self._gradient(*self._point(x))

    def hessian(self, x: Any) -> Array:
        """Hessian ∇²ψ(x), of shape ``(..., n, n)``."""
        return self._hessian(*self._point(x))

    def third_derivative(self, x: Any) -> Array:
        """Third derivative ∂_i∂_j∂_kψ(x), of shape ``(..., n, n, n)``."""
        return self._third_derivative(*self._point(x))

    @property
    @abc.abstractmethod
    def conjugate(self) -> Potential:
        """The Legendre–Fenchel conjugate ψ*, itself a potential."""

    def _point(self, x: Any) -> tuple[Any, Array]:
        xp, x = as_floating(x=x)
        check_vectors(xp, x, "x", self.dim)
        self._check_domain(xp, x)
        return xp, x

    def _check_domain(self, xp: Any, x: Array) -> None:  # noqa: B027, since R^n needs no check
        """Raise a GeometryError at the first point outside the domain; R^n by default."""

    @abc.abstractmethod
    def _value(self, xp: Any, x: Array) -> Array: ...

    @abc.abstractmethod
    def _gradient(self, xp: Any, x: Array) -> Array: ...

    @abc.abstractmethod
    def _hessian(self, xp: Any, x: Array) -> Array: ...

    @abc.abstractmethod
    def _third_derivative(self, xp: Any, x: Array) -> Array: ...

    # The Hessian as an operator, for the metric it is; potentials with structure do better than O(n²).

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        return xp.linalg.inv(self._hessian(xp, x))

    def _hessian_apply(self, xp: Any, x: Array, vector: Array) -> Array:
        return matvec(self._hessian(xp, x), vector)

    def _hessian_solve(self, xp: Any, x: Array, covector: Array) -> Array:
        return matvec(self._hessian_inverse(xp, x), covector)

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        return xp.linalg.slogdet(self._hessian(xp, x))[1]


class SeparablePotential(Potential):
    """A sum of one function per coordinate: its derivatives are diagonal, stored and applied in O(n)."""

    def hessian_diagonal(self, x: Any) -> Array:
        """Diagonal of the Hessian, of shape ``(..., n)``."""
        return self._hessian_diagonal(*self._point(x))

    def _hessian(self, xp: Any, x: Array) -> Array:
        return diagonal_matrix(xp, self._hessian_diagonal(xp, x))

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        eye = identity(xp, x)
        return (self._third_diagonal(xp, x)[..., None] * eye)[..., None] * eye

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        return diagonal_matrix(xp, 1 / self._hessian_diagonal(xp, x))

    def _hessian_apply(self, xp: Any, x: Array, vector: Array) -> Array:
        return self._hessian_diagonal(xp, x) * vector

    def _hessian_solve(self, xp: Any, x: Array, covector: Array) -> Array:
        return covector / self._hessian_diagonal(xp, x)

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        return xp.sum(xp.log(self._hessian_diagonal(xp, x)), axis=-1)

    @abc.abstractmethod
    def _hessian_diagonal(self, xp: Any, x: Array) -> Array: ...

    @abc.abstractmethod
    def _third_diagonal(self, xp: Any, x: Array) -> Array: ...


class SquaredNorm(SeparablePotential):
    """Half the squared norm ``½ |x|²``, its own conjugate.

    Examples
    --------
    >>> import lnegeom
    >>> float(lnegeom.SquaredNorm()([3.0, 4.0]))
    12.5
    """

    @property
    def conjugate(self) -> SquaredNorm:
        """The squared norm again."""
        return self

    def _value(self, xp: Any, x: Array) -> Array:
        return dot(xp, x, x) / 2

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.asarray(x, copy=True)

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        return xp.ones_like(x)

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return xp.zeros_like(x)


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
        return xp.sum(xp.where(size < 1, small, large), axis=-1) / self.tau**2

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.tanh(self.tau * x) / self.tau

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        # 1/cosh², not 1 − tanh², which cancels to zero; capped where cosh would overflow.
        largest = math.log(float(xp.finfo(x.dtype).max)) / 4
        return xp.cosh(xp.clip(self.tau * x, -largest, largest)) ** -2

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


class NegativeEntropy(SeparablePotential):
    """Negative entropy ``Σ x_i log x_i`` on the positive orthant; its Bregman divergence is generalized KL.

    The conjugate is ``Σ exp(η_i − 1)``.

    Examples
    --------
    >>> import lnegeom
    >>> float(lnegeom.NegativeEntropy()([0.5, 0.5]))
    -0.693...
    """

    @property
    def conjugate(self) -> Potential:
        """``ψ*(η) = Σ exp(η_i − 1)``."""
        return _ShiftedExponential()

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_where(xp, x > 0, x, "x", "{point} = {value}: expected positive coordinates")

    def _value(self, xp: Any, x: Array) -> Array:
        return xp.sum(x * xp.log(x), axis=-1)

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.log(x) + 1

    def _hessian_diagonal(self, xp: Any, x: Array) -> Array:
        return 1 / x

    def _third_diagonal(self, xp: Any, x: Array) -> Array:
        return -1 / x**2


class _ShiftedExponential(SeparablePotential):
    """Conjugate of `NegativeEntropy`: ``Σ exp(x_i − 1)``."""

    def __repr__(self) -> str:
        return "NegativeEntropy().conjugate"

    @property
    def conjugate(self) -> NegativeEntropy:
        return NegativeEntropy()

    def _value(self, xp: Any, x: Array) -> Array:
        return xp.sum(xp.exp(x - 1), axis=-1)

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.exp(x - 1)

    _hessian_diagonal = _gradient
    _third_diagonal = _gradient


class LogSumExp(Potential):
    """``log(1 + Σ_i exp θ_i)``: the log-partition of a categorical variable with n + 1 outcomes.

    The leading 1 stands for the reference outcome, whose parameter is 0; without it the Hessian would be
    singular (a common shift of all parameters changes nothing). The conjugate is the negative Shannon
    entropy of the n + 1 probabilities.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.LogSumExp().gradient([0.0, 0.0])
    array([0.33333333, 0.33333333])
    """

    @property
    def conjugate(self) -> Potential:
        """Negative Shannon entropy on the open simplex ``x_i > 0, Σ x_i < 1``."""
        return _SimplexNegativeEntropy()

    def _value(self, xp: Any, x: Array) -> Array:
        shift = self._shift(xp, x)
        return shift[..., 0] + xp.log(xp.exp(-shift[..., 0]) + xp.sum(xp.exp(x - shift), axis=-1))

    def _gradient(self, xp: Any, x: Array) -> Array:
        shift = self._shift(xp, x)
        weights = xp.exp(x - shift)
        return weights / (xp.exp(-shift) + xp.sum(weights, axis=-1, keepdims=True))

    def _hessian(self, xp: Any, x: Array) -> Array:
        p = self._gradient(xp, x)
        return diagonal_matrix(xp, p) - p[..., :, None] * p[..., None, :]

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        # The third cumulant of a one-hot vector, E[(e − p) ⊗ (e − p) ⊗ (e − p)].
        p = self._gradient(xp, x)
        eye = identity(xp, x)
        pi, pj, pk = p[..., :, None, None], p[..., None, :, None], p[..., None, None, :]
        ij, jk, ik = eye[:, :, None], eye[None, :, :], eye[:, None, :]
        return pi * ij * jk - pi * pk * ij - pi * pj * jk - pi * pj * ik + 2 * pi * pj * pk

    @staticmethod
    def _shift(xp: Any, x: Array) -> Array:
        largest = xp.max(x, axis=-1, keepdims=True)
        return xp.where(largest > 0, largest, xp.zeros_like(largest))


class _SimplexNegativeEntropy(Potential):
    """Conjugate of `LogSumExp`: ``Σ x log x + r log r`` with ``r = 1 − Σ x``, the reference's probability."""

    def __repr__(self) -> str:
        return "LogSumExp().conjugate"

    @property
    def conjugate(self) -> LogSumExp:
        return LogSumExp()

    def _check_domain(self, xp: Any, x: Array) -> None:
        check_where(xp, x > 0, x, "x", "{point} = {value}: expected positive probabilities")
        total = xp.sum(x, axis=-1)
        check_where(
            xp,
            total < 1,
            total,
            "x",
            "the probabilities of {point} sum to {value}: expected a sum below 1; leave out the last outcome",
        )

    def _value(self, xp: Any, x: Array) -> Array:
        rest = 1 - xp.sum(x, axis=-1)
        return xp.sum(x * xp.log(x), axis=-1) + rest * xp.log(rest)

    def _gradient(self, xp: Any, x: Array) -> Array:
        return xp.log(x) - xp.log(1 - xp.sum(x, axis=-1, keepdims=True))

    def _hessian(self, xp: Any, x: Array) -> Array:
        return diagonal_matrix(xp, 1 / x) + 1 / (1 - xp.sum(x, axis=-1)[..., None, None])

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        eye = identity(xp, x)
        diagonal = ((-1 / x**2)[..., None] * eye)[..., None] * eye
        return diagonal + 1 / (1 - xp.sum(x, axis=-1)[..., None, None, None]) ** 2
