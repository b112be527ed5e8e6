"""Metrics of constant curvature have it, by automatic differentiation of their matrices."""

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom

few = settings(max_examples=2)


def close(species, value, expected):
    scale = max(1.0, np.max(np.abs(expected)))
    np.testing.assert_allclose(value, expected, rtol=species.tolerance, atol=species.tolerance * scale)


CONSTANT = {  # all of the curvature in the zoo that is constant: K
    "Sphere(3, radius=1.0)": 1.0,
    "Sphere(2, radius=2.5)": 1 / 2.5**2,
    "PoincareBall(3, radius=1.0)": -1.0,
    "HalfSpace(2, radius=0.5)": -4.0,
    "Hessian(Normal().log_partition)": -0.5,
    "Hessian(Normal().log_partition.conjugate)": -0.5,
    "Hessian(LogSumExp())": 0.25,
    "Hessian(LogSumExp().conjugate)": 0.25,
    "Hessian(LogCosh(tau=1.0))": 0.0,
}


@few
@pytest.mark.parametrize("name", CONSTANT)
@given(data=st.data())
def test_constant_curvature(name, data):
    # Ric = K (n − 1) g, from the derivatives of the matrix alone: the metric's own formula puts K in.
    (species,) = (s for s in zoo.METRICS if repr(s.thing) == name)
    metric, x, n, k = species.thing, data.draw(species.generic_points(batch=())), species.dim, CONSTANT[name]
    numeric = lnegeom.FromCallable(metric.matrix, n)
    close(species, numeric.ricci(torch.from_numpy(x)).numpy(), k * (n - 1) * metric.matrix(x))
    np.testing.assert_allclose(metric.ricci(x), k * (n - 1) * metric.matrix(x), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(metric.scalar_curvature(x), k * n * (n - 1), rtol=1e-12)
