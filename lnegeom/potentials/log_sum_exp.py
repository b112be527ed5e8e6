"""Log-sum-exp, and negative entropy on the simplex."""

from __future__ import annotations

from typing import Any

from lnegeom._array import Array, check_where, diagonal_matrix, identity, outer
from lnegeom._low_rank import LowRank
from lnegeom.potentials._base import Potential


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

    curvature = 0.25

    @property
    def conjugate(self) -> Potential:
        """Negative Shannon entropy on the open simplex ``x_i > 0, Σ x_i < 1``."""
        return _SimplexNegativeEntropy()

    def _value(self, xp: Any, x: Array) -> Array:
        shift = self._shift(xp, x)
        others = xp.expm1(-shift[..., 0]) + xp.sum(xp.exp(x - shift), axis=-1)  # near 0 where all are small
        return shift[..., 0] + xp.log1p(others)

    def _gradient(self, xp: Any, x: Array) -> Array:
        shift = self._shift(xp, x)
        weights = xp.exp(x - shift)
        return weights / (xp.exp(-shift) + xp.sum(weights, axis=-1, keepdims=True))

    def _hessian(self, xp: Any, x: Array) -> Array:
        p = self._gradient(xp, x)
        return diagonal_matrix(xp, p) - outer(p)

    # In closed form, for the Hessian is all but singular where one outcome is nearly certain.

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        p, rest = self._probabilities(xp, x)
        return diagonal_matrix(xp, 1 / p) + 1 / rest[..., None]

    def _hessian_apply(self, xp: Any, x: Array, vector: Array) -> Array:
        p, _ = self._probabilities(xp, x)
        return p * (vector - xp.sum(p * vector, axis=-1, keepdims=True))

    def _hessian_solve(self, xp: Any, x: Array, covector: Array) -> Array:
        p, rest = self._probabilities(xp, x)
        return covector / p + xp.sum(covector, axis=-1, keepdims=True) / rest

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        value = self._value(xp, x)
        return xp.sum(x - value[..., None], axis=-1) - value

    def _probabilities(self, xp: Any, x: Array) -> tuple[Array, Array]:
        """The probabilities (..., n) and the reference's (..., 1), none of which may vanish."""
        p = self._gradient(xp, x)
        rest = xp.exp(-self._value(xp, x))[..., None]
        both = xp.concat([p, rest], axis=-1)
        smallest = xp.min(both, axis=-1)
        message = (
            "at {point} an outcome has probability {value}: expected a positive one; theta is too far out"
        )
        check_where(xp, smallest > 0, smallest, "x", message)
        return p, rest

    def _low_rank(self, xp: Any, x: Array) -> tuple[LowRank, LowRank]:
        p, rest = self._probabilities(xp, x)
        return LowRank(p, ((-p, p),)), LowRank(1 / p, ((1 / rest, xp.ones_like(p)),))

    def _third_low_rank(self, xp: Any, x: Array, vector: Array) -> LowRank:
        p = self._gradient(xp, x)
        change = self._hessian_apply(xp, x, vector)  # of p, along the vector
        return LowRank(change, ((-change, p), (-p, change)))

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        # ∂_k p_i = G_ik, the Hessian, so T_ijk = ∂_k (p_i δ_ij − p_i p_j) = G_ik (δ_ij − p_j) − p_i G_jk.
        p = self._gradient(xp, x)
        hessian = diagonal_matrix(xp, p) - outer(p)
        rest = identity(xp, x) - p[..., None, :]
        return hessian[..., :, None, :] * rest[..., None] - p[..., :, None, None] * hessian[..., None, :, :]

    @staticmethod
    def _shift(xp: Any, x: Array) -> Array:
        largest = xp.max(x, axis=-1, keepdims=True)
        return xp.where(largest > 0, largest, xp.zeros_like(largest))


class _SimplexNegativeEntropy(Potential):
    """Conjugate of `LogSumExp`: ``Σ x log x + r log r`` with ``r = 1 − Σ x``, the reference's probability."""

    curvature = 0.25

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

    # In O(n), and the inverse in closed form.

    def _hessian_inverse(self, xp: Any, x: Array) -> Array:
        return diagonal_matrix(xp, x) - outer(x)

    def _hessian_apply(self, xp: Any, x: Array, vector: Array) -> Array:
        return vector / x + xp.sum(vector, axis=-1, keepdims=True) / self._rest(xp, x)

    def _hessian_solve(self, xp: Any, x: Array, covector: Array) -> Array:
        return x * (covector - xp.sum(x * covector, axis=-1, keepdims=True))

    def _hessian_logdet(self, xp: Any, x: Array) -> Array:
        return -xp.sum(xp.log(x), axis=-1) - xp.log(self._rest(xp, x)[..., 0])

    def _low_rank(self, xp: Any, x: Array) -> tuple[LowRank, LowRank]:
        one = xp.ones_like(x)
        return LowRank(1 / x, ((one / self._rest(xp, x), one),)), LowRank(x, ((-x, x),))

    def _third_low_rank(self, xp: Any, x: Array, vector: Array) -> LowRank:
        total = xp.sum(vector, axis=-1, keepdims=True) / self._rest(xp, x) ** 2
        one = xp.ones_like(x)
        return LowRank(-vector / x**2, ((total * one, one),))

    @staticmethod
    def _rest(xp: Any, x: Array) -> Array:
        """The reference's probability, ``(..., 1)``."""
        return 1 - xp.sum(x, axis=-1, keepdims=True)

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        eye = identity(xp, x)
        diagonal = ((-1 / x**2)[..., None] * eye)[..., None] * eye
        return diagonal + 1 / (1 - xp.sum(x, axis=-1)[..., None, None, None]) ** 2
