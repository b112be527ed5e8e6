"""Laws of metrics on weights about accelerations and geodesics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lnegeom.testing._check import Measures
from lnegeom.testing._law import Law, Pair
from lnegeom_torch.metrics import Metric
from lnegeom_torch.metrics._base import RUNGE_KUTTA_STEPS, runge_kutta
from lnegeom_torch.testing._check import matrices, same

__all__ = ["LAWS", "TABLE", "no_acceleration"]

_REACH = 0.2  # of geodesics, next to |W|: an optimizer's steps are shorter


def acceleration(m: Measures) -> Iterator[Pair]:
    """Where g does not scale itself, −Γ(v, v) is as Hamilton's equations of ½ p g⁻¹ p have it."""
    x, v = (m.native(name).double() for name in "xv")
    pairs = [
        (0 * each, 0 * each)
        if _scales_itself(m.thing, w, each)
        else (m.thing.acceleration(w, each), _by_hamilton(m.thing, w, each))
        for w, each in zip(x, v, strict=True)
    ]
    found, expected = (list(side) for side in zip(*pairs, strict=True))
    yield same(found, expected)


def quadratic(m: Measures) -> Iterator[Pair]:
    """−Γ(v, v) is quadratic in v, and its origin is the weight where none is given."""
    x, u, v = m.native("x"), m.native("u"), m.native("v")

    def bend(velocity: Tensor) -> Tensor:
        return torch.stack([m.thing.acceleration(w, each) for w, each in zip(x, velocity, strict=True)])

    yield same(bend(u + v) + bend(u - v), 2 * bend(u) + 2 * bend(v))
    yield same([m.thing.acceleration(w, each, w) for w, each in zip(x, v, strict=True)], bend(v))


def exponential(m: Measures) -> Iterator[Pair]:
    """The exponential starts at W, and at time 1 is where its acceleration leads, by 64 Runge–Kutta steps."""
    x = m.native("x").double()
    yield same([m.thing.exponential(w, torch.zeros_like(w)) for w in x], x)
    ends = [m.thing.exponential(w, v) for w, v in zip(x, m.native("velocity"), strict=True)]
    yield same(ends, m.native("ends"))


def _scales_itself(metric: Metric, weight: Tensor, velocity: Tensor) -> bool:
    """Whether the metric depends on where a geodesic began: of that field, only its origin is known."""
    here = metric.acceleration(weight, velocity)
    return not torch.allclose(here, metric.acceleration(weight, velocity, weight / 2), rtol=1e-12, atol=0)


def _by_hamilton(metric: Metric, weight: Tensor, velocity: Tensor) -> Tensor:
    """``∂_v(g⁻¹) p − ½ g⁻¹ ∂(p g⁻¹ p)``, which is ``d/dt (g⁻¹ p)`` with ``p = g v``."""
    inverse = matrices(partial(metric.natural_gradient, weight), weight)
    momentum = torch.linalg.solve(inverse, velocity.reshape(-1)).view_as(weight)

    def energy(w: Tensor) -> Tensor:
        return torch.sum(momentum * metric.natural_gradient(w, momentum)) / 2

    _, turned = torch.autograd.functional.jvp(  # type: ignore[no-untyped-call]
        lambda w: metric.natural_gradient(w, momentum), weight, velocity
    )
    force = torch.autograd.functional.jacobian(energy, weight)  # type: ignore[no-untyped-call]
    bend: Tensor = turned - metric.natural_gradient(weight, force)
    return bend


def no_acceleration(metric: Metric, n: int) -> str | None:
    """Why a metric has no geodesics."""
    own = type(metric).acceleration is not Metric.acceleration
    return None if own else "it has no `acceleration`, and steps of the first order alone"


def _velocity(m: Measures) -> Tensor:
    x, v = (m.native(name).double() for name in "xv")
    lengths = [torch.linalg.vector_norm(t, dim=tuple(range(1, t.ndim)), keepdim=True) for t in (x, v)]
    velocity: Tensor = _REACH * v * lengths[0] / lengths[1]
    return velocity


def _ends(m: Measures, steps: int) -> Tensor:
    geodesics = zip(m.native("x").double(), m.native("velocity"), strict=True)
    return torch.stack([runge_kutta(m.thing, w, v, steps) for w, v in geodesics])


TABLE: dict[str, Callable[[Measures], Any]] = {
    "velocity": _velocity,
    "ends": lambda m: _ends(m, 8 * RUNGE_KUTTA_STEPS),
    "error of steps": lambda m: float((_ends(m, RUNGE_KUTTA_STEPS) - m.native("ends")).abs().max()),
}

LAWS = {
    "acceleration": Law(
        acceleration,
        "a sign, a factor ½, or an index that is not raised by g⁻¹",
        no_acceleration,
        relative=1e-8,
    ),
    "quadratic": Law(quadratic, "the velocity enters once, or normalised", no_acceleration, relative=1e-8),
    "exponential": Law(
        exponential,
        "the closed form of `exponential` is that of another metric",
        no_acceleration,
        error="error of steps",
    ),
}
