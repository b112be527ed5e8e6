"""Points and tangent vectors of a manifold under test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import geoopt
from torch import Tensor

from lnegeom.testing._check import Measures, random_vectors

__all__ = ["NEAR", "REACH", "TABLE", "keeps_axes", "lacks", "no_transport", "on_manifold", "tangent"]

NEAR = 1e-6  # what geodesics by a few steps, and projections by iteration, are good to
REACH = 0.2  # length of tangent vectors: where there is one logarithm, unless curvature is large


def on_manifold(m: Measures, name: str, point: Tensor) -> None:
    """Raise unless the manifold itself accepts the result of a method as a point."""
    fine, reason = m.thing.check_point_on_manifold(point, explain=True)
    if not fine:
        raise AssertionError(f"the result of {name} is not on the manifold: {reason}")


def tangent(m: Measures, name: str, point: Tensor, vector: Tensor) -> None:
    """Raise unless the manifold itself accepts the result of a method as a tangent vector."""
    fine, reason = m.thing.check_vector_on_tangent(point, vector, explain=True)
    if not fine:
        raise AssertionError(f"the result of {name} is not tangent: {reason}")


def keeps_axes(m: Measures, name: str, kept: Tensor) -> None:
    """Raise unless numbers with keepdim=True broadcast against the points."""
    expected = (len(m.native("x")), *(1 for _ in range(m.thing.ndim)))
    if kept.shape != expected:
        raise AssertionError(f"{name} with keepdim=True has shape {tuple(kept.shape)}, expected {expected}")


def lacks(*names: str) -> Callable[[Any, int], str | None]:
    """Why a law about methods does not apply: geoopt's base class leaves all of them open."""

    def missing(manifold: Any, n: int) -> str | None:
        own = any(getattr(type(manifold), name) is not getattr(geoopt.Manifold, name) for name in names)
        return None if own else f"it has no {names[0]}"

    return missing


no_transport = lacks("transp", "retr_transp", "transp_follow_retr")


def tangent_vector(name: str, m: Measures) -> Tensor:
    """A tangent vector of length `REACH`, from a random one."""
    x = m.native("x")
    vector = m.thing.proju(x, m.native(f"random {name}"))
    scale = REACH / m.thing.norm(x, vector).reshape(-1, *(1 for _ in x.shape[1:]))
    found: Tensor = vector * scale
    return found


TABLE: dict[str, Callable[[Measures], Any]] = {
    "random": lambda m: random_vectors(m.native("x"), 3),
    "g": lambda m: m.native("random")[0],
    "random u": lambda m: m.native("random")[1],
    "random v": lambda m: m.native("random")[2],
    "u": partial(tangent_vector, "u"),
    "v": partial(tangent_vector, "v"),
    "y": lambda m: m.thing.expmap(m.native("x"), m.native("v")),
}
