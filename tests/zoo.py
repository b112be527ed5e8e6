"""Every implementation, listed once: the laws run on each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

import lnegeom
from lnegeom.testing import vectors
from lnegeom.testing.strategies import spd_of


@dataclass(frozen=True)
class Species:
    """An object under test, its dimension, and a map from the cube [−1, 1]^n onto valid points."""

    thing: Any
    dim: int
    to_point: Callable[[np.ndarray], np.ndarray]
    tolerance: float = 1e-10  # relative and absolute; finite differences ask for more

    def points(self, batch=(3,)):
        """Strategy for arrays of valid points, of shape (*batch, dim)."""
        return cube(self.dim, batch).map(self.to_point)

    def generic_points(self, batch=(3,)):
        """The same from random numbers: even the first and simplest example is no special point.

        Laws too dear for many examples take these. A strategy's first example of `points` is the image of
        the origin, where much vanishes that a law is about.
        """
        return generic_cube(self.dim, batch).map(self.to_point)

    def __repr__(self):
        return f"{self.thing!r}-{self.dim}d"


def cube(dim, batch=(3,)):
    """Strategy for arrays in [−1, 1], of shape (*batch, dim)."""
    return vectors(dim, batch)


def generic_cube(dim, batch=(3,)):
    """Strategy for uniformly random arrays in [−1, 1], of shape (*batch, dim)."""
    return vectors(dim, batch, generic=True)


def positive(unit):
    return 2.0**unit


def simplex(unit):
    weights = np.concatenate([2.0**unit, np.ones_like(unit[..., :1])], axis=-1)
    return (weights / weights.sum(axis=-1, keepdims=True))[..., :-1]


def normal(unit):
    mean, std = unit[..., 0], 2.0 ** unit[..., 1]
    return np.stack([mean / std**2, -1 / (2 * std**2)], axis=-1)


def normal_dual(unit):
    mean, variance = unit[..., 0], 4.0 ** unit[..., 1]
    return np.stack([mean, variance + mean**2], axis=-1)


def scaled(factor):
    return lambda unit: factor * unit


POTENTIALS = [
    Species(lnegeom.SquaredNorm(), 3, scaled(3)),
    Species(lnegeom.LogCosh(tau=1.0), 3, scaled(2)),
    Species(lnegeom.LogCosh(tau=0.3), 2, scaled(6)),
    Species(lnegeom.LogCosh(tau=0.5).conjugate, 3, scaled(1.8)),
    Species(lnegeom.NegativeEntropy(), 3, positive),
    Species(lnegeom.NegativeEntropy().conjugate, 3, scaled(2)),
    Species(lnegeom.LogSumExp(), 3, scaled(3)),
    Species(lnegeom.LogSumExp().conjugate, 3, simplex),
    Species(lnegeom.Normal().log_partition, 2, normal),
    Species(lnegeom.Normal().log_partition.conjugate, 2, normal_dual),
]


def wavy(x):
    """A generic metric of three dimensions, at one point or many."""
    xp = array_api_compat.array_namespace(x)
    a, b, c = x[..., 0], x[..., 1], x[..., 2]
    rows = [
        [2 + xp.sin(a + b), 0.3 * xp.cos(c), 0.1 * a * b],
        [0.3 * xp.cos(c), 2 + xp.cos(a) * xp.sin(c), 0.2 * xp.sin(b)],
        [0.1 * a * b, 0.2 * xp.sin(b), xp.exp(0.3 * a) + 1],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def expanding(x):
    """A Lorentzian metric in which space grows with time."""
    xp = array_api_compat.array_namespace(x)
    growth, zero = xp.exp(0.4 * x[0]), 0 * x[0]
    rows = [[zero - 1, zero + 0.1 * x[1]], [zero + 0.1 * x[1], growth]]
    return xp.stack([xp.stack(row) for row in rows])


def ellipsoid(x):
    """A chart of the ellipsoid with half-axes 1, 2 and 3, at one point or many."""
    xp = array_api_compat.array_namespace(x)
    u, v = x[..., 0], x[..., 1]
    return xp.stack([xp.cos(u) * xp.cos(v), 2 * xp.cos(u) * xp.sin(v), 3 * xp.sin(u)], axis=-1)


def bowl(x):
    """A function of any number of variables, at one point or many."""
    xp = array_api_compat.array_namespace(x)
    return xp.sum(xp.cos(x) * xp.roll(x, 1, axis=-1), axis=-1) / 2


def factor(x):
    """A positive function of any number of variables, in closed form nowhere."""
    xp = array_api_compat.array_namespace(x)
    return 2 + xp.sum(xp.sin(x) * xp.cos(xp.roll(x, 1, axis=-1)), axis=-1)


def spd(size):
    """Maps the cube onto well-conditioned symmetric positive definite matrices, as SPD's coordinates."""
    return lambda unit: spd_of(unit, size)[..., *np.triu_indices(size)]


def outside_horizon(unit):
    return np.stack([unit[..., 0], 4 + unit[..., 1], 1.5 + unit[..., 2], unit[..., 3]], axis=-1)


def above(unit):
    return np.concatenate([unit[..., :-1], 2.0 ** unit[..., -1:]], axis=-1)


def off_centre(unit):
    return np.where(unit < 0, unit / 2 - 0.5, unit / 2 + 0.5)


def above_and_beside(unit):
    return np.concatenate([above(unit[..., :2]), unit[..., 2:]], axis=-1)


def apart(unit):
    return np.concatenate([unit[..., :1] + 2, unit[..., 1:2], 0.5 * unit[..., 2:]], axis=-1)


def skewed(p, q):
    """A divergence of points in R^2 that is neither symmetric nor a Bregman divergence."""
    xp = array_api_compat.array_namespace(p)
    d = p - q
    first = (1 + 0.3 * xp.sin(q[..., 0] + p[..., 1])) * d[..., 0] ** 2
    second = (1.2 + 0.2 * xp.cos(p[..., 0] * q[..., 1])) * d[..., 1] ** 2
    return (first + second) / 2 + 0.2 * d[..., 0] * d[..., 1] * xp.cos(q[..., 1]) + 0.1 * d[..., 0] ** 3


def logistic(theta, x):
    """Log-density of a logistic variable: location, and logarithm of the scale."""
    xp = array_api_compat.array_namespace(theta)
    z = xp.abs(x - theta[0]) * xp.exp(-theta[1])
    return -z - 2 * xp.log1p(xp.exp(-z)) - theta[1]


GRID = lnegeom.flow.TorusGrid((10, 11), (5.0, 6.0))


def waves(x):
    """A metric on the torus of `GRID`, which the grid resolves exactly."""
    a, b = 2 * np.pi * x[..., 0] / 5, 2 * np.pi * x[..., 1] / 6
    off = 0.2 * np.sin(a) * np.cos(2 * b)
    rows = [[1.5 + 0.3 * np.sin(a + b), off], [off, 1.2 + 0.2 * np.cos(2 * a)]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def spd_and_number(unit):
    return np.concatenate([spd(2)(unit[..., :3]), unit[..., 3:]], axis=-1)


METRICS = [
    Species(lnegeom.Euclidean(3), 3, scaled(5)),
    Species(lnegeom.Torus([1.0, 2.0]), 2, scaled(3)),
    Species(lnegeom.Minkowski(3), 3, scaled(3)),
    Species(lnegeom.Sphere(3), 3, scaled(1.5)),
    Species(lnegeom.Sphere(2, radius=2.5), 2, scaled(1.5)),
    Species(lnegeom.PoincareBall(3), 3, scaled(0.5)),
    Species(lnegeom.HalfSpace(2, radius=0.5), 2, above),
    Species(lnegeom.Graph(lnegeom.LogCosh(1.0), sign=-1), 3, scaled(0.5)),
    Species(lnegeom.Graph(lnegeom.LogSumExp(), sign=1), 3, scaled(2)),
    Species(lnegeom.Graph(bowl, sign=1, vectorized=True), 3, scaled(1), 1e-8),
    Species(lnegeom.Conformal(lnegeom.SquaredNorm(), lnegeom.LNE(0.5)), 3, scaled(0.8)),
    Species(lnegeom.Conformal(bowl, lnegeom.Minkowski(4), vectorized=True), 4, scaled(1), 1e-8),
    Species(lnegeom.Conformal(bowl, lnegeom.Sphere(2)), 2, scaled(1), 1e-8),
    Species(lnegeom.Product(lnegeom.Sphere(2), lnegeom.LNE(1.0), dims=(2, 2)), 4, scaled(0.6)),
    Species(lnegeom.Product(lnegeom.Minkowski(2), lnegeom.HalfSpace(2)), 4, above),
    Species(lnegeom.Product(lnegeom.SPD(2), lnegeom.Euclidean(1)), 4, spd_and_number),
    Species(lnegeom.FromDivergence(skewed, 2, vectorized=True), 2, scaled(1), 1e-7),
    Species(lnegeom.EstimatedFisher.by_quadrature(logistic, 2, points=100), 2, scaled(0.5), 1e-7),
    Species(lnegeom.FromGrid(waves(GRID.coordinates()), GRID), 2, scaled(3)),
    Species(lnegeom.SPD(2), 3, spd(2)),
    Species(lnegeom.SPD(3), 6, spd(3)),
    Species(
        lnegeom.Warped(lnegeom.HalfSpace(2), lnegeom.Sphere(2), factor, vectorized=True),
        4,
        above_and_beside,
        1e-8,
    ),
    Species(
        lnegeom.Warped(lnegeom.Minkowski(2), lnegeom.LNE(0.8), lnegeom.SquaredNorm(), dims=(2, 2)), 4, apart
    ),
    Species(lnegeom.Pullback(ellipsoid, 2, vectorized=True), 2, scaled(1), 1e-8),
    Species(lnegeom.Pullback(ellipsoid, 2, lnegeom.Sphere(3), vectorized=True), 2, scaled(1), 1e-7),
    Species(lnegeom.FromCallable(wavy, 3, vectorized=True), 3, scaled(1), 1e-8),
    Species(lnegeom.FromCallable(expanding, 2, negative=1), 2, scaled(1), 1e-8),
    Species(lnegeom.NormalizedLNE(0.5), 3, off_centre),
    Species(lnegeom.Schwarzschild(1.0), 4, outside_horizon, 1e-7),
    Species(lnegeom.Kerr(1.0, 0.6), 4, outside_horizon, 1e-7),
    Species(lnegeom.LNE(tau=1.0), 3, scaled(0.5)),
    Species(lnegeom.LNE(tau=0.2), 4, scaled(2)),
    Species(lnegeom.LNE(tau=1.0), 1, scaled(2)),
    *(Species(lnegeom.Hessian(p.thing), p.dim, p.to_point) for p in POTENTIALS),
]


def negative(unit):
    return -(2.0**unit)


def gamma(unit):
    return np.stack([2.0 ** unit[..., 0], -(2.0 ** unit[..., 1])], axis=-1)


def bivariate_normal(unit):
    factor = np.zeros((*unit.shape[:-1], 2, 2))
    factor[..., 0, 0], factor[..., 1, 1] = 2.0 ** unit[..., 2], 2.0 ** unit[..., 3]
    factor[..., 1, 0] = unit[..., 4]
    return lnegeom.families.MultivariateNormal(2).natural(unit[..., :2], factor @ np.swapaxes(factor, -1, -2))


FAMILIES = [
    Species(lnegeom.Categorical(4), 3, scaled(3)),
    Species(lnegeom.Categorical(2), 1, scaled(3)),
    Species(lnegeom.Normal(), 2, normal),
    Species(lnegeom.families.Bernoulli(), 1, scaled(3)),
    Species(lnegeom.families.Poisson(), 1, scaled(2)),
    Species(lnegeom.families.Exponential(), 1, negative),
    Species(lnegeom.families.MultivariateNormal(2), 5, bivariate_normal),
    Species(lnegeom.families.Gamma(), 2, gamma),
    Species(lnegeom.families.Beta(), 2, positive),
    Species(lnegeom.families.Dirichlet(3), 3, positive),
    Species(lnegeom.families.VonMisesFisher(2), 2, scaled(3)),
    Species(lnegeom.families.VonMisesFisher(3), 3, scaled(6)),
]

DIVERGENCES = [
    Species(lnegeom.Euclidean(3), 3, scaled(5)),
    Species(lnegeom.Hyperbolic(tau=0.7), 3, scaled(2)),
    *(Species(lnegeom.Bregman(p.thing), p.dim, p.to_point) for p in POTENTIALS),
    *(Species(lnegeom.KL(f.thing), f.dim, f.to_point) for f in FAMILIES),
]

METRICS += [
    Species(lnegeom.Fisher(f.thing), f.dim, f.to_point)
    for f in FAMILIES
    if isinstance(
        f.thing, lnegeom.Gamma | lnegeom.Dirichlet | lnegeom.MultivariateNormal | lnegeom.VonMisesFisher
    )
]
