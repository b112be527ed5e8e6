"""Divergences: asymmetric squared distances, each with the metric that it induces."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

from lnegeom import metrics
from lnegeom._array import Array, as_floating, check_broadcast, check_vectors, dot, positive
from lnegeom.connections import DualConnections, HessianConnections
from lnegeom.derivatives import Derivatives
from lnegeom.eguchi import EguchiConnections
from lnegeom.families import ExponentialFamily
from lnegeom.families._base import check_family
from lnegeom.potentials import LogCosh, Potential
from lnegeom.potentials._base import check_potential

__all__ = ["KL", "Bregman", "CallableDivergence", "Divergence", "Euclidean", "Hyperbolic"]


class Divergence(abc.ABC):
    """A smooth ``D[p : q] ≥ 0`` that vanishes only at ``p = q``, where it is quadratic to lowest order.

    Calling it with points ``(..., n)`` gives values ``(...)``; batch axes broadcast. Values are differences
    of larger terms, accurate to rounding times the size of those: for points closer than about the square
    root of the rounding error a value may come out as a tiny negative number. The metric it induces is
    ``g_ij = ∂_i ∂_j D|_{p=q}``, derivatives in the first argument (Eguchi).

    Attributes
    ----------
    dim : int or None
        The dimension n, or None when any dimension will do.
    """

    dim: int | None

    def __call__(self, p: Any, q: Any) -> Array:
        """Value of ``D[p : q]``, of shape ``(...)``."""
        xp, p, q = as_floating(p=p, q=q)
        check_vectors(xp, p, "p", self.dim)
        check_vectors(xp, q, "q", p.shape[-1])
        check_broadcast(p=p, q=q)
        return self._value(xp, p, q)

    @abc.abstractmethod
    def metric(self) -> metrics.Metric:
        """The Riemannian metric that the divergence induces."""

    @abc.abstractmethod
    def connections(self) -> DualConnections:
        """The dual connections ∇ and ∇* that the divergence induces, by Eguchi's relations."""

    @abc.abstractmethod
    def _value(self, xp: Any, p: Array, q: Array) -> Array: ...


class Euclidean(metrics.Euclidean, Divergence):
    """Flat space R^n: the divergence ``D[p : q] = ½ |p − q|²`` and, at once, its metric ``δ``.

    Parameters
    ----------
    n : int, optional
        The dimension; any dimension will do when left out.

    References
    ----------
    ManiQuant Eqs. 2 and 3.

    Examples
    --------
    >>> import lnegeom
    >>> space = lnegeom.Euclidean(2)
    >>> float(space([3.0, 4.0], [0.0, 0.0]))
    12.5
    >>> space.matrix([3.0, 4.0])
    array([[1., 0.],
           [0., 1.]])
    """

    def metric(self) -> metrics.Metric:
        """The flat metric: the space itself."""
        return self

    def connections(self) -> HessianConnections:
        """Both connections are the flat one: all symbols vanish."""
        return HessianConnections(self)

    def _value(self, xp: Any, p: Array, q: Array) -> Array:
        difference = p - q
        return dot(xp, difference, difference) / 2


class Bregman(Divergence):
    """``D[p : q] = ψ(p) − ψ(q) − ⟨p − q, ∇ψ(q)⟩`` of a convex potential ψ; its metric is ``∇²ψ``.

    Parameters
    ----------
    potential : Potential
        The potential ψ.

    References
    ----------
    ManiQuant Eq. 21.

    Examples
    --------
    Of the negative entropy it is the generalized Kullback–Leibler divergence:

    >>> import lnegeom
    >>> divergence = lnegeom.Bregman(lnegeom.NegativeEntropy())
    >>> round(float(divergence([0.5, 0.5], [0.25, 0.75])), 6)
    0.143841
    """

    def __init__(self, potential: Potential):
        self.potential = check_potential(potential)
        self.dim = potential.dim

    def __repr__(self) -> str:
        return f"Bregman({self.potential!r})"

    def metric(self) -> metrics.Hessian:
        """The Hessian metric ``∇²ψ``."""
        return metrics.Hessian(self.potential)

    def connections(self) -> HessianConnections:
        """``Γ_{ij,k} = 0`` and ``Γ*_{ij,k} = ∂_i∂_j∂_kψ``: ∇ is flat in θ, ∇* in the dual coordinates."""
        return HessianConnections(self.metric())

    def _value(self, xp: Any, p: Array, q: Array) -> Array:
        psi = self.potential
        psi._check_domain(xp, p)
        psi._check_domain(xp, q)
        return psi._value(xp, p) - psi._value(xp, q) - dot(xp, p - q, psi._gradient(xp, q))


class Hyperbolic(Bregman):
    """The Hyperbolic divergence: Bregman of log-cosh, which is a Kullback–Leibler divergence of spins.

    ``D[θ' : θ] = τ⁻² Σ_i [log cosh(τθ'_i) − log cosh(τθ_i)] − τ⁻¹ Σ_i (θ'_i − θ_i) tanh(τθ_i)``, equal to
    ``τ⁻² KL(p_{τθ} ‖ p_{τθ'})`` between independent ±1 spins. Its metric is ``diag(sech²(τθ))``.

    Parameters
    ----------
    tau : float
        Scale τ > 0.

    References
    ----------
    ManiQuant Eq. 13; RF-DNN Eq. 15.

    Examples
    --------
    >>> import lnegeom
    >>> round(float(lnegeom.Hyperbolic(tau=1.0)([1.0, 0.0], [0.0, 0.0])), 6)
    0.433781
    """

    def __init__(self, tau: float = 1.0):
        super().__init__(LogCosh(tau))
        self.tau = positive("tau", tau)

    def __repr__(self) -> str:
        return f"Hyperbolic(tau={self.tau})"


class CallableDivergence(Divergence):
    """A divergence from a function ``D(p, q)`` of your own, with the geometry that it induces.

    Its metric and dual connections come from the function's derivatives, by Eguchi's relations.

    Parameters
    ----------
    function : callable
        Maps two points ``(n,)`` to the number ``D[p : q]``, in the library of the points.
    dim : int
        The dimension n.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where derivatives come from: torch.func for torch arrays, JAX for JAX arrays, else finite differences.
    vectorized : bool
        Whether the function maps points ``(..., n)`` and ``(..., n)`` to values ``(...)`` at once.
    trace : bool
        Whether to record derivatives once, on the terms of `FromDivergence`.

    Examples
    --------
    The Itakura–Saito divergence of two spectra:

    >>> import numpy as np, lnegeom
    >>> def itakura_saito(p, q):
    ...     return (p / q - np.log(p / q) - 1).sum()
    >>> divergence = lnegeom.CallableDivergence(itakura_saito, dim=2)
    >>> float(divergence([2.0, 1.0], [1.0, 1.0]).round(6))
    0.306853
    >>> np.diag(divergence.metric().matrix([2.0, 1.0])).round(6)
    array([0.25, 1.  ])
    >>> bool(divergence.connections().is_dually_flat([2.0, 1.0]))
    True
    """

    dim: int

    def __init__(
        self,
        function: Callable[[Array, Array], Array],
        dim: int,
        *,
        derivatives: Derivatives = "auto",
        vectorized: bool = False,
        trace: bool = False,
    ):
        self._metric = metrics.FromDivergence(
            function, dim, derivatives=derivatives, vectorized=vectorized, trace=trace
        )
        self.dim = self._metric.dim

    def __repr__(self) -> str:
        return repr(self._metric).replace("FromDivergence", "CallableDivergence", 1)

    def metric(self) -> metrics.FromDivergence:
        """The metric ``∂_i ∂_j D``."""
        return self._metric

    def connections(self) -> EguchiConnections:
        """∇ and ∇*, from third derivatives of the function."""
        return EguchiConnections(self._metric)

    def _value(self, xp: Any, p: Array, q: Array) -> Array:
        return self._metric.jets.value(xp, p, q)


class KL(Divergence):
    """Kullback–Leibler divergence ``KL[p : q] = E_p[log p − log q]`` within an exponential family.

    Points are natural parameters. It is the Bregman divergence of the log-partition with its arguments
    exchanged, and its metric is the Fisher information.

    Parameters
    ----------
    family : ExponentialFamily
        For instance ``Normal()`` or ``Categorical(3)``.

    Examples
    --------
    >>> import lnegeom
    >>> family = lnegeom.Normal()
    >>> p, q = family.natural(0.0, 1.0), family.natural(1.0, 1.0)
    >>> float(lnegeom.KL(family)(p, q))
    0.5
    """

    def __init__(self, family: ExponentialFamily):
        self.family = check_family(family)
        self.dim = family.dim

    def __repr__(self) -> str:
        return f"KL({self.family!r})"

    def metric(self) -> metrics.Fisher:
        """The Fisher metric, the Hessian of the log-partition."""
        return metrics.Fisher(self.family)

    def connections(self) -> HessianConnections:
        """∇ is the m-connection, ``Γ_{ij,k} = E[∂_il ∂_jl ∂_kl]``; ∇* the e-connection, zero in θ."""
        return HessianConnections(self.metric(), swapped=True)

    def _value(self, xp: Any, p: Array, q: Array) -> Array:
        self.family.log_partition._check_domain(xp, p)
        self.family.log_partition._check_domain(xp, q)
        return self.family._kl(xp, p, q)
