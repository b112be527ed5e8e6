"""Laws of geoopt's manifolds about ways from a point: retraction, geodesics, distance, transport."""

from __future__ import annotations

from collections.abc import Iterator

import geoopt
import numpy as np
import torch
from torch import Tensor

from lnegeom.testing._check import Measures
from lnegeom.testing._law import Law, Pair
from lnegeom_torch.testing._check import derivative, numbers, same, slope, total
from lnegeom_torch.testing._tangent import NEAR, REACH, keeps_axes, lacks, no_transport, on_manifold, tangent

__all__ = ["LAWS"]


def starts(name: str, m: Measures) -> Iterator[Pair]:
    """It starts at x, with velocity v, and lands on the manifold."""
    x, v, move = m.native("x"), m.native("v"), getattr(m.thing, name)
    yield same(move(x, 0 * v), x)
    yield same(slope(lambda t: move(x, t * v), x), v)
    on_manifold(m, name, move(x, v))


def retraction(m: Measures) -> Iterator[Pair]:
    """retr(x, tv) starts at x with velocity v, and lands on the manifold."""
    yield from starts("retr", m)


def exponential(m: Measures) -> Iterator[Pair]:
    """expmap(x, tv) starts at x with velocity v, and lands on the manifold."""
    yield from starts("expmap", m)


def geodesic(m: Measures) -> Iterator[Pair]:
    """expmap(x, tv) keeps the speed |v|, and goes on from half the way as it began."""
    x, v, exp = m.native("x"), m.native("v"), m.thing.expmap
    half, end = exp(x, v / 2), exp(x, v)
    for at, point in ((0.5, half), (1.0, end)):
        velocity = m.thing.proju(point, slope(lambda t: exp(x, t * v), x, at))
        yield same(m.thing.norm(point, velocity), m.thing.norm(x, v))
        if at == 0.5:
            yield same(exp(half, velocity / 2) - x, end - x)


def logarithm(m: Measures) -> Iterator[Pair]:
    """The logarithm inverts the exponential, from both sides, and logmap(x, x) is 0."""
    x, y, v = m.native("x"), m.native("y"), m.native("v")
    found = m.thing.logmap(x, y)
    tangent(m, "logmap", x, found)
    yield same(found, v)
    yield same(m.thing.expmap(x, found) - x, y - x)
    yield numbers(m.thing.logmap(x, x)), np.zeros(tuple(x.shape)), REACH


def distance(m: Measures) -> Iterator[Pair]:
    """The distance from x to expmap(x, v), and back, is |v|, dist2 its square; no detour is shorter."""
    x, y, z = m.native("x"), m.native("y"), m.thing.expmap(m.native("x"), m.native("u"))
    there = m.thing.dist(x, y)
    yield same(there, m.thing.norm(x, m.native("v")))
    yield same(m.thing.dist(y, x), there)
    yield same(m.thing.dist2(x, y), there**2)
    keeps_axes(m, "dist", m.thing.dist(x, y, keepdim=True))
    keeps_axes(m, "dist2", m.thing.dist2(x, y, keepdim=True))
    yield same(geoopt.Scaled(m.thing, 2.0).dist(x, y), 2 * there)
    detour = m.thing.dist(x, z) + m.thing.dist(z, y)
    yield same(torch.maximum(detour, there), detour)
    yield numbers(m.thing.dist(x, x)), np.zeros(tuple(there.shape)), REACH


def gradient_of_distance(m: Measures) -> Iterator[Pair]:
    """Away from x the distance grows as one goes: its gradient at y is −logmap(y, x) / dist(x, y)."""
    x, y = m.native("x"), m.native("y").detach().requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(m.thing.dist(x, y).sum(), y)
    y = y.detach()
    unit = -m.thing.logmap(y, x) / m.thing.dist(x, y).reshape(-1, *(1 for _ in x.shape[1:]))
    yield same(m.thing.egrad2rgrad(y, slopes), unit)


def transport(m: Measures) -> Iterator[Pair]:
    """transp(x, y, v) is linear in v and tangent at y, and at x it is v."""
    x, y, u, v = (m.native(name) for name in "xyuv")
    found = m.thing.transp(x, y, v)
    tangent(m, "transp", y, found)
    yield same(m.thing.transp(x, y, 2 * u - 3 * v), 2 * m.thing.transp(x, y, u) - 3 * found)
    yield same(m.thing.transp(x, x, v), v)


def together(m: Measures) -> Iterator[Pair]:
    """Both halves of retr_transp and of expmap_transp are what they are alone, the vector tangent there."""
    x, u, v = m.native("x"), m.native("u"), m.native("v")
    for move in ("retr", "expmap"):
        end, carried = getattr(m.thing, f"{move}_transp")(x, u, v)
        tangent(m, f"{move}_transp", end, carried)
        yield same(end, getattr(m.thing, move)(x, u))
        yield same(carried, getattr(m.thing, f"transp_follow_{move}")(x, u, v))


def reversible(m: Measures) -> Iterator[Pair]:
    """Where reversible says so, and only there, retr_transp leads back the way it came."""
    x, v = m.native("x"), m.native("v")
    end, carried = m.thing.retr_transp(x, v, v)
    back, returned = m.thing.retr_transp(end, -carried, carried)
    if m.thing.reversible:
        yield same(back - end, x - end)
        yield same(returned, v)
    elif torch.allclose(back, x, atol=1e-5) and torch.allclose(returned, v, atol=1e-5):
        raise AssertionError("reversible is False, and yet it leads back")


def scaled(m: Measures) -> Iterator[Pair]:
    """geoopt.Scaled(manifold, 2) measures in other units: v / 2 goes as far, and logmap is twice as long."""
    x, y, v, double = m.native("x"), m.native("y"), m.native("v"), geoopt.Scaled(m.thing, 2.0)
    yield same(double.retr(x, v), m.thing.retr(x, v / 2))
    yield same(double.expmap(x, v), m.thing.expmap(x, v / 2))
    if lacks("logmap")(m.thing, 0) is None:
        yield same(double.logmap(x, y), 2 * m.thing.logmap(x, y))


def differentiable(m: Measures) -> Iterator[Pair]:
    """Point and vector have derivatives through egrad2rgrad, inner, retr, expmap and logmap."""
    x, y, u, v, g = (m.native(name) for name in "xyuvg")
    names = ["egrad2rgrad", "inner", "retr", "expmap"]
    names += ["logmap"] if lacks("logmap")(m.thing, 0) is None else []
    for name in names:

        def along(h: Tensor, name: str = name) -> Tensor:
            at = m.thing.retr(x, h * u)
            argument = m.thing.retr(y, h * v) if name == "logmap" else m.thing.proju(at, v + h * g)
            found = getattr(m.thing, name)(at, argument)
            weights = g if found.shape == x.shape else torch.ones_like(found)
            return total(found * weights)

        yield numbers(derivative(along, x)), numbers(slope(along, x)), REACH


LAWS = {
    "retraction": Law(
        retraction, "`retr` leaves out `projx`, or steps by another length than u", relative=NEAR
    ),
    "exponential": Law(
        exponential,
        "`expmap` has another velocity than u: a factor, or u measured in other units",
        relative=NEAR,
    ),
    "geodesic": Law(
        geodesic, "`expmap` is a retraction, or the geodesic of another metric than `inner`", relative=NEAR
    ),
    "logarithm": Law(logarithm, "`logmap` is not the inverse of `expmap`", lacks("logmap"), relative=NEAR),
    "distance": Law(
        distance, "`dist` is off by a factor, or of another metric than `inner`", lacks("dist"), relative=NEAR
    ),
    "distance's gradient": Law(
        gradient_of_distance,
        "`dist` is no geodesic's length, or has no derivative; or `egrad2rgrad` is of another metric",
        lambda manifold, n: lacks("dist")(manifold, n) or lacks("logmap")(manifold, n),
        relative=10 * NEAR,
    ),
    "transport": Law(
        transport, "`transp` leaves the vector in the tangent space of x", lacks("transp"), relative=NEAR
    ),
    "together": Law(
        together,
        "`retr_transp` or `expmap_transp` is written out anew, and otherwise",
        no_transport,
        relative=NEAR,
    ),
    "reversible": Law(
        reversible,
        "`reversible` is inherited or left out; it speaks of `retr` and the transport along it",
        no_transport,
        relative=NEAR,
    ),
    "scaled": Law(
        scaled, "the class has a `__scaling__` of its own that is no copy of its parent's", relative=NEAR
    ),
    "differentiable": Law(
        differentiable, "`detach`, `.data`, `no_grad`, or a root or quotient that is 0/0 there", relative=NEAR
    ),
}
