"""Every metric on weights, manifold and optimizer of the adapter, listed once: the laws run on each."""

from functools import partial

import pytest
import torch

import lnegeom
from lnegeom_torch import ManifoldAdamW, ManifoldSGD, Precondition
from lnegeom_torch.metrics import LNE, Graph, LogCoshHessian, NormalizedLNE
from lnegeom_torch.optim._groups import DEFAULTS
from lnegeom_torch.ricci_step import RicciStep

geoopt = pytest.importorskip("geoopt", reason="geoopt is not installed")

from lnegeom_torch.manifolds import (  # noqa: E402
    GraphManifold,
    LNEManifold,
    LogCoshManifold,
    NormalizedLNEManifold,
)

METRICS = [
    NormalizedLNE(0.6),
    NormalizedLNE(0.6, "weak"),
    NormalizedLNE(0.6, per="channel"),
    LNE(0.3),
    LNE(2.0),
    LogCoshHessian(0.7),
    Graph(lnegeom.LogCosh(0.7), sign=1),
    Graph(lnegeom.LogCosh(0.7), sign=-1),
    Graph(lnegeom.SquaredNorm(), sign=1),
    Graph(lnegeom.SquaredNorm(), sign=-1),
    RicciStep(),
]

RESCALED = [  # each point has a metric of its own: "no one metric measures the distance", as dist says
    LNEManifold(3.0, ndim=2),
    GraphManifold(lnegeom.SquaredNorm(), sign=-1, ndim=2),
]
MANIFOLDS = [
    NormalizedLNEManifold(0.6, ndim=2),
    NormalizedLNEManifold(0.6, "weak", ndim=2),
    NormalizedLNEManifold(per="channel", ndim=2),
    LNEManifold(0.2, ndim=2),
    GraphManifold(lnegeom.LogCosh(0.7), ndim=2),
    LogCoshManifold(0.5, ndim=2),
    *RESCALED,
]


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def preconditioned(params, kind=torch.optim.SGD, **options):
    """A wrapped optimizer: what a metric adds are the wrapper's options, all others the wrapped one's."""
    own = {key: options.pop(key) for key in DEFAULTS if key in options}
    return Precondition(kind(params, **options), own.pop("metric", None), **own)


def _each(build, **options):
    """The optimizer without geometry, and with it by each of the ways that a step can take."""
    yield partial(build, **options)
    yield partial(build, metric=LNE(2.0), **options)
    yield partial(build, metric=NormalizedLNE(0.4), retraction="second", gate=True, **options)
    yield partial(build, metric=LogCoshHessian(0.5), retraction="exponential", **options)


OPTIMIZERS = [
    *_each(ManifoldSGD, lr=0.1),
    *_each(ManifoldSGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    *_each(ManifoldAdamW, lr=0.1, eps=1e-4),
    *_each(preconditioned, lr=0.1, momentum=0.9),
    *_each(preconditioned, kind=torch.optim.NAdam, lr=0.1),
]

THEIR_OPTIMIZERS = {  # torch's and geoopt's, and the laws that they break
    torch.optim.SGD: [],
    torch.optim.Adam: [],
    torch.optim.AdamW: [],
    torch.optim.RMSprop: [],
    torch.optim.Rprop: ["schedules"],  # its rate is but the size of the first step
    geoopt.optim.RiemannianSGD: ["closure"],
}

THEIR_MANIFOLDS = [  # geoopt's, the shape of a point, and the laws that they break in 0.5.1
    (geoopt.Euclidean(ndim=0), (), []),
    (geoopt.Euclidean(ndim=1), (4,), []),
    (geoopt.Sphere(), (4,), ["distance"]),  # dist(x, x) is 4e-4
    # The inner product of B pairs has shape (B, B).
    (geoopt.PoincareBall().double(), (4,), ["inner product", "gradient", "batched"]),
    (geoopt.SymmetricPositiveDefinite(), (2, 2), []),
    (geoopt.EuclideanStiefel(), (4, 2), ["differentiable"]),  # projx divides in place
]
