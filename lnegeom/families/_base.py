"""The contracts of an exponential family and of its log-partition."""

from __future__ import annotations

import abc
from typing import Any

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    as_floating,
    check_broadcast,
    check_finite,
    check_vectors,
    check_where,
    dot,
    moveaxis,
    widened,
)
from lnegeom._newton import minimize
from lnegeom.potentials import Potential


class ExponentialFamily(abc.ABC):
    """A regular, minimal exponential family ``p(x) = h(x) exp(⟨θ, t(x)⟩ − A(θ))``.

    A point of the family is its natural parameter θ, of shape ``(..., dim)``. Its mean parameter is
    ``η = E t(x) = ∇A(θ)``, its Fisher information ``∇²A(θ)``. Every family has a method ``natural(...)`` that
    takes its usual parameters, and ``natural(*parameters(theta))`` is ``theta`` again.

    Attributes
    ----------
    dim : int
        Number of natural parameters.
    event_size : int or None
        Length of one observation x, or None when it is a number.
    log_partition : Potential
        A(θ); its conjugate is the negative entropy, less ``E log h``.

    References
    ----------
    Brown, *Fundamentals of Statistical Exponential Families* (1986), chapters 1 and 3; Nielsen and Garcia,
    *Statistical exponential families: a digest with flash cards* (2009).
    """

    dim: int
    event_size: int | None = None
    log_partition: Potential

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def parameters(self, theta: Any) -> tuple[Array, ...]:
        """The usual parameters of natural parameters ``(..., dim)``, in the order that `natural` takes."""
        return self._parameters(*self.log_partition._point(theta))

    def mean_parameters(self, theta: Any) -> Array:
        """Mean parameters ``η = ∇A(θ)``, of shape ``(..., dim)``."""
        return self.log_partition.gradient(theta)

    def from_mean_parameters(self, eta: Any) -> Array:
        """Natural parameters ``(..., dim)`` of mean parameters ``(..., dim)``.

        Raises
        ------
        GeometryError
            At the first η that is no mean of the statistic, or that Newton's iteration cannot invert.
        """
        return self.log_partition.conjugate.gradient(eta)

    def statistic(self, x: Any) -> Array:
        """Sufficient statistic t(x), of shape ``(..., dim)``.

        Observations have shape ``(...)``, or ``(..., event_size)`` where they are vectors.

        Raises
        ------
        GeometryError
            At the first observation outside the family's support.
        """
        xp, x = as_floating(x=x)
        self._check_event(xp, x)
        return self._statistic(xp, x)

    def log_density(self, theta: Any, x: Any) -> Array:
        """``log p(x)`` for natural parameters ``(..., dim)`` and observations as in `statistic`.

        Batch axes broadcast. The density is with respect to counting, Lebesgue or (on a sphere) surface
        measure.
        """
        xp, theta, x = as_floating(theta=theta, x=x)
        check_vectors(xp, theta, "theta", self.dim)
        self.log_partition._check_domain(xp, theta)
        self._check_event(xp, x)
        check_broadcast(theta=theta, x=x[..., None] if self.event_size is None else x)
        exponent = dot(xp, theta, self._statistic(xp, x)) - self.log_partition._value(xp, theta)
        return exponent + self._log_base_measure(xp, x)

    def _check_event(self, xp: Any, x: Array) -> None:
        check_vectors(xp, x[..., None] if self.event_size is None else x, "x", self.event_size or 1)
        self._check_support(xp, x)

    @abc.abstractmethod
    def _parameters(self, xp: Any, theta: Array) -> tuple[Array, ...]: ...

    @abc.abstractmethod
    def _check_support(self, xp: Any, x: Array) -> None:
        """Raise a GeometryError at the first observation outside the support."""

    @abc.abstractmethod
    def _statistic(self, xp: Any, x: Array) -> Array: ...

    @abc.abstractmethod
    def _log_base_measure(self, xp: Any, x: Array) -> Array: ...

    @abc.abstractmethod
    def _kl(self, xp: Any, p: Array, q: Array) -> Array:
        """``KL[p : q]`` of shape ``(...)`` between natural parameters, in closed form."""


class FisherRaoFamily(ExponentialFamily):
    """An exponential family whose Fisher–Rao distance has a closed form."""

    def distance(self, p: Any, q: Any) -> Array:
        """Fisher–Rao distance, of shape ``(...)``, between natural parameters ``(..., dim)``.

        It is the length of the shortest geodesic of the Fisher metric; near ``p = q`` it is accurate to
        rounding, and ``½ distance²`` equals the Kullback–Leibler divergence to third order. Its gradient at
        ``p = q``, where it has none, is taken as 0.
        """
        xp, p, q = as_floating(p=p, q=q)
        check_vectors(xp, p, "p", self.dim)
        check_vectors(xp, q, "q", self.dim)
        check_broadcast(p=p, q=q)
        self.log_partition._check_domain(xp, p)
        self.log_partition._check_domain(xp, q)
        return self._distance(xp, p, q)

    @abc.abstractmethod
    def _distance(self, xp: Any, p: Array, q: Array) -> Array: ...


class ImplicitConjugate(Potential):
    """Conjugate of a potential ψ through the inverse θ(η) of its gradient.

    ``ψ*(η) = ⟨θ, η⟩ − ψ(θ)``, ``∇²ψ* = g^{-1}``, ``∂^a∂^b∂^cψ* = −g^{ai} g^{bj} g^{ck} T_ijk``, all at θ(η).
    A subclass gives θ(η): in closed form, or by `NewtonConjugate`.
    """

    def __init__(self, primal: Potential):
        self.primal = primal
        self.dim = primal.dim

    def __repr__(self) -> str:
        return f"{self.primal!r}.conjugate"

    @property
    def conjugate(self) -> Potential:
        return self.primal

    def _value(self, xp: Any, x: Array) -> Array:
        theta = self._gradient(xp, x)
        return dot(xp, theta, x) - self.primal._value(xp, theta)

    def _hessian(self, xp: Any, x: Array) -> Array:
        inverse = self.primal._hessian_inverse(xp, self._gradient(xp, x))
        return (inverse + xp.matrix_transpose(inverse)) / 2  # rounding may leave it asymmetric

    def _third_derivative(self, xp: Any, x: Array) -> Array:
        theta = self._gradient(xp, x)
        inverse = self.primal._hessian_inverse(xp, theta)
        tensor = self.primal._third_derivative(xp, theta)
        n = x.shape[-1]
        for _ in range(3):  # each pass raises the first index and moves it last
            wide = inverse @ xp.reshape(tensor, (*x.shape[:-1], n, n * n))
            tensor = moveaxis(xp, xp.reshape(wide, tensor.shape), -3, -1)
        return -tensor


class NewtonConjugate(ImplicitConjugate):
    """A conjugate whose gradient is found by Newton's iteration, in float64 where the library has it."""

    def _gradient(self, xp: Any, x: Array) -> Array:
        wide = widened(xp, x)
        theta = minimize(xp, self.primal, self._start(xp, wide), wide, None, "x")
        return xp.astype(theta, x.dtype)

    @abc.abstractmethod
    def _start(self, xp: Any, x: Array) -> Array:
        """A first guess of θ(η), inside the domain of the primal potential."""


def check_entries(xp: Any, valid: Array, value: Array, name: str, expected: str) -> None:
    """Raise a GeometryError at the first entry where `valid` is false, saying what was expected."""
    check_where(xp, valid, value, name, f"{{point}} = {{value}}: expected {expected}")


def positive_entries(xp: Any, value: Array, name: str, noun: str) -> None:
    """Raise a GeometryError at the first entry that is not a positive finite number."""
    if 0 in value.shape:
        raise GeometryError(f"{name} has shape {tuple(value.shape)}: expected at least one {noun}")
    check_finite(xp, value, name)
    check_entries(xp, value > 0, value, name, f"a positive {noun}")


def broadcast(xp: Any, **values: Array) -> tuple[Array, ...]:
    """Arrays of one common shape, or a GeometryError that names them."""
    check_broadcast(**{name: value[..., None] for name, value in values.items()})
    return tuple(xp.broadcast_arrays(*values.values()))


def log_ratio(xp: Any, a: Array, b: Array) -> Array:
    """``log(a/b)`` of positive numbers, to relative rounding where they are near too."""
    rise = (a - b) / b
    near = xp.abs(rise) < 0.5
    return xp.where(near, xp.log1p(xp.where(near, rise, xp.zeros_like(rise))), xp.log(a) - xp.log(b))


def whole(xp: Any, x: Array) -> Array:
    """Mask of the entries that are whole numbers, none of them negative."""
    return (x >= 0) & (x == xp.floor(x))


def check_family(family: Any, hint: str = "") -> ExponentialFamily:
    """Return an exponential family, or raise an InputError."""
    if not isinstance(family, ExponentialFamily):
        raise InputError(
            f"expected an exponential family such as Normal() or Categorical(3), got {family!r}{hint}"
        )
    return family
