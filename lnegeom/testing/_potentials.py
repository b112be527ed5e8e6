"""Laws of convex potentials, and the check that holds a potential to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array, dot, to_numpy
from lnegeom.metrics import Hessian
from lnegeom.potentials import Potential
from lnegeom.potentials._base import check_potential as checked
from lnegeom.testing._check import Measures, in_batches, near, points_of, random_vectors, run
from lnegeom.testing._law import Law, Numbers, Pair
from lnegeom.testing._tensor_laws import smaller

NAMES = ("__call__", "gradient", "hessian", "third_derivative")


def gradient(m: Measures) -> Iterator[Pair]:
    """The gradient is ∂_i ψ."""
    yield m["gradient"], m["slope of __call__"]


def hessian(m: Measures) -> Iterator[Pair]:
    """The Hessian is ∂_j of ∂_i ψ, and symmetric."""
    yield m["hessian"], m["slope of gradient"]
    yield m["hessian"], np.swapaxes(m["hessian"], -1, -2), smaller(m["hessian"])


def third_derivative(m: Measures) -> Iterator[Pair]:
    """The third derivative is ∂_k of ∂_i ∂_j ψ."""
    yield m["third_derivative"], m["slope of hessian"]


def convex(m: Measures) -> Iterator[Pair]:
    """The lowest eigenvalue of the Hessian is positive."""
    lowest = np.linalg.eigvalsh(m["hessian"])[:, 0]
    yield lowest, np.maximum(lowest, np.finfo(float).tiny), 0.0


def fenchel_young(m: Measures) -> Iterator[Pair]:
    """ψ(θ) + ψ*(η) = ⟨θ, η⟩ at η = ∇ψ(θ)."""
    x, eta = m.native("x"), m.native("gradient")
    product = dot(array_api_compat.array_namespace(x), x, eta)
    yield to_numpy(m.native("__call__") + m.native("psi").conjugate(eta)), to_numpy(product)


def conjugate(m: Measures) -> Iterator[Pair]:
    """At η = ∇ψ(θ), ∇ψ*(η) = θ and ∇²ψ*(η) is the inverse of ∇²ψ(θ)."""
    dual, eta = m.native("psi").conjugate, m.native("gradient")
    yield to_numpy(dual.gradient(eta)), m["x"]
    yield to_numpy(dual.hessian(eta)) @ m["hessian"], identity(m["hessian"])


def involution(m: Measures) -> Iterator[Pair]:
    """The conjugate of the conjugate is ψ."""
    yield to_numpy(m.native("psi").conjugate.conjugate(m.native("x"))), m["__call__"]


def operator(m: Measures) -> Iterator[Pair]:
    """As the metric Hessian(ψ), it raises and lowers indices and has the determinant of its matrix."""
    metric, x, v = Hessian(m.native("psi")), m.native("x"), m.native("v")
    expected = np.einsum("...ij,...j->...i", m["hessian"], m["v"])
    yield to_numpy(metric.flat(x, v)), expected, smaller(m["hessian"])
    yield to_numpy(metric.sharp(x, metric.flat(x, v))), m["v"]
    yield to_numpy(metric.inverse(x)) @ m["hessian"], identity(m["hessian"])
    yield to_numpy(metric.logdet(x)), np.linalg.slogdet(m["hessian"])[1]


def identity(like: Numbers) -> Numbers:
    """Identity matrices, as many as there are matrices."""
    return np.broadcast_to(np.eye(like.shape[-1]), like.shape)


def batched(m: Measures) -> Iterator[Pair]:
    """A batch is its points one by one."""
    yield from in_batches(m.native("psi"), NAMES, m.native("x"))


LAWS = {
    "gradient": Law(
        gradient, "`_gradient` is not the derivative of `_value`", slopes=True, error="error of __call__"
    ),
    "Hessian": Law(
        hessian, "`_hessian` is not the derivative of `_gradient`", slopes=True, error="error of gradient"
    ),
    "third derivative": Law(
        third_derivative,
        "`_third_derivative` is not the derivative of `_hessian`",
        slopes=True,
        error="error of hessian",
    ),
    "convex": Law(convex, "the function is not strictly convex there, or `_check_domain` lets in too much"),
    "Fenchel–Young": Law(
        fenchel_young, "the value of `conjugate` is off by a constant, or is that of another potential"
    ),
    "conjugate": Law(conjugate, "`conjugate` is that of another potential, or its gradient no inverse"),
    "involution": Law(involution, "`conjugate` of the conjugate forgets a parameter"),
    "operator": Law(
        operator,
        "the closed form of `_hessian_solve`, `_hessian_apply` or `_hessian_logdet` is of another matrix",
    ),
    "batched": Law(batched, "a formula sums or indexes over a leading axis: write x[..., i] and axis=-1"),
}


def _of(name: str, m: Measures) -> Array:
    return getattr(m.native("psi"), name)(m.native("x"))


def _jet(name: str, m: Measures) -> Any:
    return near(getattr(m.native("psi"), name), m.native("x"), order=1)


def _part(part: str, name: str, m: Measures) -> Any:
    return getattr(m.native(f"jet of {name}"), part)


TABLE: dict[str, Callable[[Measures], Any]] = {
    **{name: partial(_of, name) for name in NAMES},
    **{f"jet of {name}": partial(_jet, name) for name in NAMES},
    **{f"slope of {name}": partial(_part, "first", name) for name in NAMES},
    **{f"error of {name}": partial(_part, "error", name) for name in NAMES},
}


def potential_laws() -> list[str]:
    """Names of the laws of potentials, for ``pytest.mark.parametrize`` and `check_potential`.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.testing.potential_laws()[:3]
    ['gradient', 'Hessian', 'third derivative']
    """
    return list(LAWS)


def check_potential(
    potential: Potential, x: Any, *, tolerance: float | None = None, laws: Iterable[str] | None = None
) -> None:
    """Hold a potential to the laws of convexity and duality at points, and report every law that it breaks.

    Derivatives are compared with automatic ones for torch and JAX points, else with differences.

    Parameters
    ----------
    potential : Potential
        The potential ψ.
    x : array
        Points ``(..., n)`` of its domain.
    tolerance, laws
        As in `check_metric`, of the laws that `potential_laws` lists.

    Raises
    ------
    LawError, InputError, GeometryError
        As in `check_metric`.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.testing.check_potential(lnegeom.LogCosh(tau=0.5), [[0.3, -0.2], [1.1, 0.7]])
    """
    __tracebackhide__ = True
    x = points_of(checked(potential), x)
    potential(x)  # a point outside the domain is an error of the test, not of the potential
    (v,) = random_vectors(x, 1)
    run(potential, LAWS, Measures(potential, TABLE, psi=potential, x=x, v=v), tolerance, laws)
