"""Laws of geoopt's manifolds about points and vectors, and about what its optimizers make of them."""

from __future__ import annotations

from collections.abc import Iterator

import geoopt
import torch
from torch import Tensor

from lnegeom.testing._check import Measures, rolled
from lnegeom.testing._law import Law, Pair
from lnegeom_torch.testing._check import same
from lnegeom_torch.testing._tangent import NEAR, keeps_axes, lacks, no_transport, on_manifold, tangent

__all__ = ["LAWS"]

_STEPS = 20
_OF_POINTS = {  # methods, and what they are given
    "projx": "x",
    "proju": "xg",
    "egrad2rgrad": "xg",
    "retr": "xu",
    "expmap": "xu",
    "inner": "xuv",
    "norm": "xu",
    "component_inner": "xuv",
}
_OF_PATHS = {"transp_follow_retr": "xuv", "transp_follow_expmap": "xuv"}


def projection(m: Measures) -> Iterator[Pair]:
    """A point is its own projection, and what is projected lies on the manifold, where it stays."""
    yield same(m.thing.projx(m.native("x")), m.native("x"))
    landed = m.thing.projx(m.native("x") + 0.1 * m.native("g"))
    on_manifold(m, "projx", landed)
    yield same(m.thing.projx(landed), landed)


def tangent_projection(m: Measures) -> Iterator[Pair]:
    """As a projection proju is linear, gives tangent vectors, and leaves these as they are."""
    x, g, v = m.native("x"), m.native("g"), m.native("v")
    found = m.thing.proju(x, g)
    tangent(m, "proju", x, found)
    yield same(m.thing.proju(x, found), found)
    yield same(m.thing.proju(x, 2 * g - 3 * v), 2 * found - 3 * m.thing.proju(x, v))


def inner_product(m: Measures) -> Iterator[Pair]:
    """⟨u, v⟩ is symmetric and linear, |u|² = ⟨u, u⟩ > 0, and keepdim keeps the axes of a point."""
    x, u, v = m.native("x"), m.native("u"), m.native("v")
    product, squared = m.thing.inner(x, u, v), m.thing.inner(x, u)
    yield same(m.thing.inner(x, v, u), product)
    yield same(m.thing.inner(x, u, 2 * u - 3 * v), 2 * squared - 3 * product)
    yield same(m.thing.norm(x, u) ** 2, squared)
    yield same(squared.clamp_min(torch.finfo(x.dtype).tiny), squared)
    keeps_axes(m, "inner", m.thing.inner(x, u, v, keepdim=True))
    keeps_axes(m, "norm", m.thing.norm(x, u, keepdim=True))


def gradient(m: Measures) -> Iterator[Pair]:
    """The gradient is tangent, and ⟨grad L, v⟩ is dL(v) of each tangent vector v: egrad2rgrad is g⁻¹."""
    x, g, v = m.native("x"), m.native("g"), m.native("v")
    found = m.thing.egrad2rgrad(x, g)
    tangent(m, "egrad2rgrad", x, found)
    yield same(m.thing.inner(x, found, v), _sum(g * v, m.thing.ndim))


def component_inner(m: Measures) -> Iterator[Pair]:
    """component_inner is symmetric, not negative, and broadcasts against a vector."""
    x, u, v = m.native("x"), m.native("u"), m.native("v")
    product, squared = m.thing.component_inner(x, u, v), m.thing.component_inner(x, u)
    if product.ndim != x.ndim or torch.broadcast_tensors(product, x)[0].shape != x.shape:  # type: ignore[no-untyped-call]
        raise AssertionError(f"it has shape {tuple(product.shape)}, the vector {tuple(x.shape)}")
    yield same(m.thing.component_inner(x, v, u), product)
    yield same(m.thing.component_inner(x, u, u), squared)
    yield same(squared.clamp_min(0), squared)


def batched(m: Measures) -> Iterator[Pair]:
    """A batch is its points one by one, and one vector serves all points."""
    paths = _OF_PATHS if no_transport(m.thing, 0) is None else {}
    for name, given in (_OF_POINTS | paths).items():
        arrays, method = [m.native(key) for key in given], getattr(m.thing, name)
        singly = [method(*(array[i] for array in arrays)) for i in range(len(arrays[0]))]
        yield same(method(*arrays), torch.stack(singly))
        if name in ("proju", "egrad2rgrad"):
            x, g = arrays
            yield same(method(x, g[0]), method(x, g[:1].expand_as(x)))


def keeps_dtype(m: Measures) -> Iterator[Pair]:
    """Results at float32 points are float32, at float64 points float64."""
    wrong = []
    paths = _OF_PATHS if no_transport(m.thing, 0) is None else {}
    for dtype in (torch.float32, torch.float64):
        for name, given in (_OF_POINTS | paths).items():
            found = getattr(m.thing, name)(*(m.native(key).to(dtype) for key in given)).dtype
            wrong += [f"{name} of {dtype} is {found}"] if found != dtype else []
    if wrong:
        raise AssertionError(", ".join(wrong))
    yield from ()


def random(m: Measures) -> Iterator[Pair]:
    """random(*size) is of the size and dtype asked for, with points on the manifold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _made(m, "random", m.thing.random(*m.native("x").shape, dtype=m.native("x").dtype))
    yield from ()


def origin(m: Measures) -> Iterator[Pair]:
    """origin(*size) is of that size and dtype, on the manifold, and the same each time."""
    size, dtype = m.native("x").shape, m.native("x").dtype
    found = m.thing.origin(*size, dtype=dtype)
    _made(m, "origin", found)
    yield same(m.thing.origin(*size, dtype=dtype).data, found.data)


def optimized(m: Measures) -> Iterator[Pair]:
    """In twenty steps of RiemannianSGD or RiemannianAdam a parameter comes nearer to a point."""
    goal = rolled(m.native("x"))
    for kind in (geoopt.optim.RiemannianSGD, geoopt.optim.RiemannianAdam):
        weight = geoopt.ManifoldParameter(m.native("x").clone(), manifold=m.thing)
        optimizer, losses = kind([weight], lr=0.01, stabilize=5), []
        for _ in range(_STEPS):
            optimizer.zero_grad()
            loss = (weight - goal).square().sum()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        on_manifold(m, kind.__name__, weight.data)
        if not losses[-1] < losses[0]:
            raise AssertionError(f"{kind.__name__} went from {losses[0]:.6g} to {losses[-1]:.6g}")
    yield from ()


def _sum(products: Tensor, ndim: int) -> Tensor:
    return products.sum(dim=tuple(range(-ndim, 0))) if ndim else products


def _made(m: Measures, name: str, point: Tensor) -> None:
    if (point.shape, point.dtype) != (m.native("x").shape, m.native("x").dtype):
        raise AssertionError(f"{name} gives {point.dtype} of shape {tuple(point.shape)}")
    if isinstance(point, geoopt.ManifoldTensor) and point.manifold is not m.thing:
        raise AssertionError(f"{name} gives a tensor of the manifold {point.manifold!r}")
    on_manifold(m, name, point.data)


LAWS = {
    "projection": Law(
        projection, "`projx` moves points that are on the manifold, or stops short of it", relative=NEAR
    ),
    "tangent projection": Law(
        tangent_projection, "`proju` projects onto another space, or scales what is tangent"
    ),
    "inner product": Law(
        inner_product,
        "`inner` forgets v, sums over the batch, or takes no notice of keepdim; or g is indefinite",
    ),
    "gradient": Law(
        gradient,
        "`egrad2rgrad` is not g⁻¹ for the g of `inner`: a factor, the wrong one of the two, or no `proju`",
    ),
    "component inner": Law(
        component_inner, "`component_inner` sums without keepdim=True, or forgets that v may be left out"
    ),
    "batched": Law(batched, "a formula sums or indexes over a leading axis: write dim=-1"),
    "keeps dtype": Law(
        keeps_dtype, "a constant is a float64 tensor with axes, or made without dtype=x.dtype"
    ),
    "random": Law(random, "`random` ignores size or dtype, or leaves out `projx`", lacks("random")),
    "origin": Law(origin, "`origin` ignores size, dtype or seed", lacks("origin", "random")),
    "optimized": Law(optimized, "the sign of `egrad2rgrad` or `retr`, or points that drift off the manifold"),
}
