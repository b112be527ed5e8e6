"""Laws of connection and curvature, on every metric; derivatives of tensors by automatic differentiation."""

import numpy as np
import pytest
import torch
import zoo
from conftest import assert_agree
from hypothesis import find, given, settings
from hypothesis import strategies as st
from torch.func import jacfwd

import lnegeom

each_metric = pytest.mark.parametrize("species", zoo.METRICS, ids=repr)
few = settings(max_examples=2)


def close(species, value, expected):
    scale = max(1.0, np.max(np.abs(expected)))
    np.testing.assert_allclose(value, expected, rtol=species.tolerance, atol=species.tolerance * scale)


def covariant_derivative(metric, x, tensor):
    """``∇_m T_{i…}`` of a tensor with all indices down, m last, by differentiating its components."""
    derivative = jacfwd(tensor)(torch.from_numpy(x)).numpy()
    gamma, components = metric.christoffel(x), tensor(x)
    for axis in range(components.ndim):
        term = np.tensordot(
            gamma, np.moveaxis(components, axis, 0), axes=(0, 0)
        )  # Γ^a_{mi} T_{a…}: (m, i, …)
        derivative = derivative - np.moveaxis(np.moveaxis(term, 0, -1), 0, axis)
    return derivative


@few
@each_metric
@given(data=st.data())
def test_the_metric_is_parallel_and_the_connection_has_no_torsion(species, data):
    metric, x = species.thing, data.draw(species.generic_points(batch=()))
    close(species, covariant_derivative(metric, x, metric.matrix), 0)
    close(species, metric.christoffel(x), np.swapaxes(metric.christoffel(x), -1, -2))


@few
@each_metric
@given(data=st.data())
def test_second_bianchi_identity(species, data):
    # ∇_[m R_ij]kl = 0
    metric, x = species.thing, data.draw(species.generic_points(batch=()))
    slope = covariant_derivative(metric, x, lambda y: lnegeom.riemann(metric, y, lowered=True))
    cyclic = slope + np.einsum("jmkli->ijklm", slope) + np.einsum("miklj->ijklm", slope)
    close(species, cyclic / max(1.0, np.max(np.abs(slope))), 0)


@few
@each_metric
@given(data=st.data())
def test_curvature_is_a_tensor(species, data):
    # In coordinates y with x = x0 + A y + B(y, y), the jets of the metric give R' = A·A·A·A·R at y = 0.
    metric, x = species.thing, data.draw(species.generic_points(batch=()))
    n = species.dim
    rng = np.random.default_rng(data.draw(st.integers(1, 99)))
    a = torch.from_numpy(np.eye(n) + 0.4 * rng.uniform(-1, 1, (n, n)) / n)
    b = torch.from_numpy(0.3 * rng.uniform(-1, 1, (n, n, n)))

    def change(y):
        return torch.from_numpy(x) + a @ y + torch.einsum("kij,i,j->k", b, y, y)

    def pulled(y):
        jacobian = a + torch.einsum("kij,i->kj", b, y) + torch.einsum("kij,j->ki", b, y)
        return jacobian.T @ metric.matrix(change(y)) @ jacobian

    there = lnegeom.FromCallable(pulled, n, negative=metric.signature[1])
    origin = torch.zeros(n, dtype=torch.float64)
    expected = lnegeom.riemann(metric, x, lowered=True)
    for _ in range(4):
        expected = np.moveaxis(np.tensordot(a.numpy(), expected, axes=(0, 0)), 0, -1)
    close(species, lnegeom.riemann(there, origin, lowered=True).numpy(), expected)
    close(species, there.scalar_curvature(origin).numpy(), metric.scalar_curvature(x))


@few
@pytest.mark.parametrize("species", [s for s in zoo.METRICS if s.dim >= 4], ids=repr)
@given(data=st.data())
def test_weyl_tensor_is_conformally_invariant_and_trace_free(species, data):
    metric, x = species.thing, data.draw(species.generic_points(batch=()))
    scaled = lnegeom.Conformal(lnegeom.LogCosh(0.7), metric)
    up = [np.einsum("ia,ajkl->ijkl", m.inverse(x), lnegeom.weyl(m, x)) for m in (metric, scaled)]
    close(species, up[1], up[0])
    close(species, np.einsum("ijil->jl", up[0]), 0)


FUNCTIONS = {  # all of lnegeom.curvature that takes no vectors
    "christoffel": lambda metric, x: lnegeom.christoffel(metric, x, lowered=True),
    "riemann": lambda metric, x: lnegeom.riemann(metric, x, lowered=True),
    "ricci": lnegeom.ricci,
    "scalar": lnegeom.scalar_curvature,
    "einstein": lnegeom.einstein,
    "kretschmann": lnegeom.kretschmann,
    "weyl": lnegeom.weyl,
}
ON_BACKENDS = [
    s for s in zoo.METRICS if repr(s.thing) in ("SPD(2)", "NormalizedLNE(chi=0.5)", "LNE(tau=0.2)")
]


@pytest.mark.parametrize("species", ON_BACKENDS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_curvature_agrees_on_every_backend(species, backend, dtype):
    def evaluate(x, u, v):
        sectional = lnegeom.sectional_curvature(species.thing, x, u, v)
        return {name: f(species.thing, x) for name, f in FUNCTIONS.items()} | {"sectional": sectional}

    rng = np.random.default_rng(0)
    x = species.to_point(rng.uniform(-1, 1, (2, 1, species.dim)))
    u, v = rng.uniform(-1, 1, (2, species.dim))
    tolerance = 2e-3 if dtype == "float32" else 10 * species.tolerance
    assert_agree(backend, evaluate, (x, u, v), dtype, tolerance, (2, 1))


class Wrong(lnegeom.Sphere):
    """A sphere with a mistake in its curvature that vanishes at the origin."""

    def _riemann(self, xp, local):
        return super()._riemann(xp, local) * (1 + xp.sum(local.x**2, axis=-1))[..., None, None, None, None]


class Simplest:
    """Draws the simplest example of every strategy, the first that a law is tried on."""

    def draw(self, strategy):
        return find(strategy, lambda value: True)


@pytest.mark.parametrize("law", [test_second_bianchi_identity, test_curvature_is_a_tensor])
def test_a_law_fails_where_curvature_is_wrong(law):
    with pytest.raises(AssertionError):
        law.hypothesis.inner_test(zoo.Species(Wrong(3), 3, zoo.scaled(1.0)), Simplest())


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
