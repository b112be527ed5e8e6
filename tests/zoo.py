"""Every implementation, listed once: the laws run on each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np

import lnegeom


@dataclass(frozen=True)
class Species:
    """An object under test, its dimension, and a map from the cube [−1, 1]^n onto valid points."""

    thing: Any
    dim: int
    to_point: Callable[[np.ndarray], np.ndarray]

    def points(self, batch=(3,)):
        """Strategy for arrays of valid points, of shape (*batch, dim)."""
        return cube(self.dim, batch).map(self.to_point)

    def __repr__(self):
        return f"{self.thing!r}-{self.dim}d"


def cube(dim, batch=(3,)):
    """Strategy for arrays in [−1, 1], of shape (*batch, dim)."""
    unit = st.floats(-1, 1, allow_nan=False, allow_subnormal=False)
    return hnp.arrays(np.float64, (*batch, dim), elements=unit)


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

METRICS = [
    Species(lnegeom.Euclidean(3), 3, scaled(5)),
    Species(lnegeom.LNE(tau=1.0), 3, scaled(0.5)),
    Species(lnegeom.LNE(tau=0.2), 4, scaled(2)),
    Species(lnegeom.LNE(tau=1.0), 1, scaled(2)),
    *(Species(lnegeom.Hessian(p.thing), p.dim, p.to_point) for p in POTENTIALS),
]

FAMILIES = [
    Species(lnegeom.Categorical(4), 3, scaled(3)),
    Species(lnegeom.Categorical(2), 1, scaled(3)),
    Species(lnegeom.Normal(), 2, normal),
]

DIVERGENCES = [
    Species(lnegeom.Euclidean(3), 3, scaled(5)),
    Species(lnegeom.Hyperbolic(tau=0.7), 3, scaled(2)),
    *(Species(lnegeom.Bregman(p.thing), p.dim, p.to_point) for p in POTENTIALS),
    *(Species(lnegeom.KL(f.thing), f.dim, f.to_point) for f in FAMILIES),
]
