"""The logarithm of a manifold by its exponential: the velocity that arrives, in O(n), and its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import torch
from torch import Tensor

from lnegeom._array import check_where

__all__ = ["logarithm"]

_ITERATIONS = 60
_WINDOW = 6  # past steps that the next one is drawn from
_GOAL, _ENOUGH = 16, 1000  # units of rounding at which to stop, and which to be content with

_Map = Callable[[Tensor], Tensor]
_Exponential = Callable[[Tensor, Tensor, int], Tensor]


def logarithm(exponential: _Exponential, x: Tensor, y: Tensor, steps: int) -> Tensor:
    """The v with ``exponential(x, v) = y`` that is found from ``y − x``; it can be differentiated once.

    Parameters
    ----------
    exponential : callable
        ``exponential(x, v, steps)`` maps points and velocities, both ``(..., n)``, to points: by an
        integrator of so many steps.
    x, y : Tensor
        Points ``(..., n)``.
    steps : int
        Those of the exponential to invert. With twice as many, the same v must arrive at y to a thousandth
        of the way: elsewhere the integrator, and not the geodesic, would be inverted.

    Returns
    -------
    Tensor
        Velocities ``(..., n)``.

    Raises
    ------
    GeometryError
        If none is found, with the index of the first such pair.

    References
    ----------
    Walker & Ni 2011, "Anderson acceleration for fixed-point iterations", of which this is the simplest form.
    """
    with torch.no_grad():
        size = _length(x) + _length(y)
        v, miss = _solved(lambda u: exponential(x, u, steps) - y, y - x, size)
        found = (miss <= _enough(size)) & (_length(exponential(x, v, 2 * steps) - y) <= 1e-3 * _length(y - x))
    check_where(
        xp,
        (found | (x == y).all(dim=-1, keepdim=True))[..., 0],
        miss[..., 0],
        "x",
        "no geodesic was found from {point} to y: there may be none, or they lie too far apart, or too near "
        "to the metric's edge; take a y nearer by",
    )
    if not (torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)):
        return v
    # A step of Newton's from the solution: it moves nothing, and has the solution's derivative.
    back: Any = torch.func.vjp(lambda u: exponential(x.detach(), u, steps), v)[1]
    correction: Tensor = _Inverse.apply(exponential(x, v, steps) - y, back)  # type: ignore[no-untyped-call]
    return v - correction


class _Inverse(torch.autograd.Function):
    """``(∂exp/∂v)⁻¹ r`` at a solution, where r is 0, with its derivative."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, back: Callable[[Tensor], tuple[Tensor]]) -> Tensor:
        ctx.back = back
        return torch.zeros_like(residual)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        size = _length(slope)
        found, miss = _solved(lambda z: ctx.back(z)[0] - slope, slope, size)
        check_where(
            xp,
            (miss <= _enough(size))[..., 0],
            miss[..., 0],
            "x",
            "the logarithm from {point} to y has no derivative that can be found; take a y nearer by",
        )
        return found, None


def _solved(residual: _Map, start: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The best of what Anderson's method finds for ``residual = 0``, and how large its residual is."""
    goal = _GOAL * torch.finfo(start.dtype).eps * size
    v, r = start, residual(start)
    best, least = v, _length(r)
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    for _ in range(_ITERATIONS):
        if bool((least <= goal).all()):
            break
        step = -r - _drawn(r, steps, changes) if steps else -r
        new = residual(v + step)
        steps, changes = [*steps, step][-_WINDOW:], [*changes, new - r][-_WINDOW:]
        v, r = v + step, new
        better = _length(r) < least  # False for NaN
        best, least = torch.where(better, v, best), torch.where(better, _length(r), least)
    return best, least


def _drawn(r: Tensor, steps: list[Tensor], changes: list[Tensor]) -> Tensor:
    """What the past says beyond ``−r``: the combination of past changes of the residual nearest to it."""
    change, step = torch.stack(changes, dim=-1), torch.stack(steps, dim=-1)
    scale = _length(change, dim=-2).clamp_min(torch.finfo(r.dtype).tiny)
    change, step = change / scale, step / scale
    gram = change.mT @ change
    ridge = 16 * torch.finfo(r.dtype).eps * torch.eye(len(changes), dtype=r.dtype, device=r.device)
    weights = torch.linalg.solve_ex(gram + ridge, change.mT @ r[..., None]).result
    drawn: Tensor = ((step - change) @ weights)[..., 0]
    return torch.where(torch.isfinite(drawn), drawn, 0)


def _enough(size: Tensor) -> Tensor:
    return _ENOUGH * torch.finfo(size.dtype).eps * size


def _length(vectors: Tensor, dim: int = -1) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return length
