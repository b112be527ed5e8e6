"""The contract that every potential keeps."""

from __future__ import annotations

import abc
from typing import Any

from lnegeom._array import Array, InputError, as_floating, check_vectors, diagonal_matrix, identity, matvec
from lnegeom._known_curvature import KnownCurvature, OneCurvature
from lnegeom._low_rank import LowRank


class Potential(abc.ABC):
    """A strictly convex, smooth function ψ on an open convex domain of R^n.

    Calling it gives the value. With ``η = ∇ψ(θ)`` (the dual coordinates) and the conjugate
    ``ψ*(η) = sup_θ ⟨θ, η⟩ − ψ(θ)``::

        ψ(θ) + ψ*(η) = ⟨θ, η⟩,    ∇ψ*(∇ψ(θ)) = θ,    ∇²ψ*(η) = ∇²ψ(θ)^{-1}.

    Public methods validate the point; a subclass implements the underscored formulas.

    Points have shape ``(..., n)``; results keep the array library, dtype and device of the point.

    Attributes
    ----------
    dim : int or None
        The dimension n, or None when any dimension will do.
    curvature : float or None
        Sectional curvature of the metric ∇²ψ, where it is constant and known.
    """

    dim: int | None = None
    curvature: float | None = None

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

    def _low_rank(self, xp: Any, x: Array) -> tuple[LowRank, LowRank] | None:
        """The Hessian and its inverse as diagonals with a few dyads, if they are that; else None."""
        return None

    def _third_low_rank(self, xp: Any, x: Array, vector: Array) -> LowRank:
        """``∂_i∂_j∂_kψ v^k`` in this form, where `_low_rank` is not None."""
        raise NotImplementedError

    def _known_curvature(self, xp: Any, x: Array) -> KnownCurvature | None:
        """Curvature of the metric ∇²ψ where it has a closed form that is better than third derivatives."""
        return None if self.curvature is None else OneCurvature(xp, self.curvature, self, x)


class SeparablePotential(Potential):
    """A sum of one function per coordinate: its derivatives are diagonal, stored and applied in O(n)."""

    curvature = 0.0  # y_i = ∫ √ψ_i'' dx_i are Cartesian coordinates

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

    def _low_rank(self, xp: Any, x: Array) -> tuple[LowRank, LowRank]:
        diagonal = self._hessian_diagonal(xp, x)
        return LowRank(diagonal), LowRank(1 / diagonal)

    def _third_low_rank(self, xp: Any, x: Array, vector: Array) -> LowRank:
        return LowRank(self._third_diagonal(xp, x) * vector)

    @abc.abstractmethod
    def _hessian_diagonal(self, xp: Any, x: Array) -> Array: ...

    @abc.abstractmethod
    def _third_diagonal(self, xp: Any, x: Array) -> Array: ...


def check_potential(potential: Any) -> Potential:
    """Return a potential, or raise an InputError."""
    if not isinstance(potential, Potential):
        raise InputError(f"expected a Potential such as LogCosh(tau=1.0), got {potential!r}")
    return potential
