"""Divergences from functions: Eguchi's relations by differences, torch and JAX, against closed forms."""

import numpy as np
import pytest
import torch
import zoo
from torch.func import jacfwd

import lnegeom
from lnegeom.derivatives import _divergence

SKEWED = lnegeom.CallableDivergence(zoo.skewed, 2, vectorized=True)
RNG = np.random.default_rng(0)
FAMILIES = {
    "categorical": (lnegeom.Categorical(4), RNG.uniform(-1, 1, (4, 3))),
    "normal": (lnegeom.Normal(), zoo.normal(RNG.uniform(-1, 1, (4, 2)))),
    "gamma": (lnegeom.Gamma(), zoo.gamma(RNG.uniform(-1, 1, (4, 2)))),
    "Dirichlet": (lnegeom.Dirichlet(3), 1 + RNG.uniform(0, 1, (4, 3))),
}


def relative(value, expected):
    return np.abs(np.asarray(value) - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("name", FAMILIES)
def test_differences_of_kl_against_closed_forms(name):
    family, x = FAMILIES[name]
    kl = lnegeom.KL(family)
    induced = lnegeom.CallableDivergence(kl, family.dim, vectorized=True)
    metric, exact = induced.metric(), kl.metric()
    assert relative(metric.matrix(x), exact.matrix(x)) < 1e-10
    assert relative(metric.christoffel(x), exact.christoffel(x)) < 1e-8
    assert relative(metric.ricci(x), exact.ricci(x)) < 1e-6
    connections, theory = induced.connections(), kl.connections()
    assert relative(connections.cubic(x), theory.cubic(x)) < 1e-9
    a, b = connections.alpha(0.4), theory.alpha(0.4)
    assert relative(a.christoffel(x), b.christoffel(x)) < 1e-9
    assert relative(a.curvature(x), b.curvature(x)) < 1e-6
    assert np.all(connections.is_dually_flat(x, 1e-5))


def test_automatic_differentiation_of_kl_against_closed_forms():
    family, x = FAMILIES["normal"]
    kl = lnegeom.KL(family)
    induced = lnegeom.CallableDivergence(kl, 2)
    assert relative(induced.metric().ricci(torch.from_numpy(x)), kl.metric().ricci(x)) < 1e-12
    curvature = induced.connections().alpha(0.4).curvature(torch.from_numpy(x))
    assert relative(curvature, kl.connections().alpha(0.4).curvature(x)) < 1e-12
    from_numpy = lnegeom.CallableDivergence(kl, 2, derivatives="torch").connections().cubic(x)
    assert isinstance(from_numpy, np.ndarray)
    assert relative(from_numpy, kl.connections().cubic(x)) < 1e-13


class TestADivergenceThatIsNotDuallyFlat:
    x = RNG.uniform(-0.5, 0.5, (3, 2))

    def test_levi_civita_is_the_mean(self):
        connections = SKEWED.connections()
        metric = SKEWED.metric()
        assert relative(connections.levi_civita.christoffel(self.x), metric.christoffel(self.x)) < 1e-8
        assert relative(connections.alpha(0.0).curvature(self.x), metric.riemann(self.x)) < 1e-7
        assert not connections.is_dually_flat(self.x).any()

    def test_it_is_a_statistical_manifold(self):
        connections = SKEWED.connections()
        for a in (1.0, -1.0, 0.4):
            assert np.abs(connections.alpha(a).duality_residual(self.x)).max() < 1e-8
            assert np.abs(connections.alpha(a).torsion(self.x)).max() < 1e-9
        cubic = connections.cubic(self.x)
        for order in ("jik", "ikj", "kji"):
            np.testing.assert_allclose(np.einsum(f"...ijk->...{order}", cubic), cubic, atol=1e-9)
        lowered, dual = (connections.alpha(a).curvature(self.x, lowered=True) for a in (0.4, -0.4))
        np.testing.assert_allclose(lowered, -np.einsum("...ijkl->...jikl", dual), atol=1e-7)

    def test_every_source_agrees(self):
        exact = SKEWED.connections().curvature(torch.from_numpy(self.x)).numpy()
        assert relative(SKEWED.connections().curvature(self.x), exact) < 1e-7
        jax = pytest.importorskip("jax", reason="jax is not installed")
        cubic = jax.jit(SKEWED.connections().cubic)(jax.numpy.asarray(self.x))
        assert relative(cubic, SKEWED.connections().cubic(self.x)) < 1e-8

    def test_one_point_at_a_time_is_the_same(self):
        single = lnegeom.CallableDivergence(zoo.skewed, 2)
        p, q = RNG.uniform(-1, 1, (2, 3, 2))
        np.testing.assert_array_equal(single(p, q), SKEWED(p, q))
        np.testing.assert_array_equal(single(p[0], q), SKEWED(p[0], q))
        np.testing.assert_allclose(single.metric().matrix(p), SKEWED.metric().matrix(p), rtol=1e-13)
        assert single(torch.from_numpy(p).float(), torch.from_numpy(q).float()).dtype == torch.float32


def test_close_to_the_edge_of_the_domain_steps_are_shortened():
    # KL raises outside θ₂ < 0, in a batch with points far from the edge.
    family = lnegeom.Normal()
    x = np.array([[0.0, -1e-3], [0.3, -1.0], [0.1, -5.0]])
    induced = lnegeom.FromDivergence(lnegeom.KL(family), 2, vectorized=True)
    for point, ricci in zip(x, induced.ricci(x), strict=True):
        np.testing.assert_allclose(ricci, lnegeom.Fisher(family).ricci(point), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("family", "point"),
    [
        (lnegeom.Dirichlet(3), [0.05, 1.0, 0.7]),
        (lnegeom.Dirichlet(3), [0.4, 2.0, 4.0]),
        (lnegeom.Gamma(), [0.06, -0.02]),
        (lnegeom.Gamma(), [8.0, -6.0]),
    ],
    ids=repr,
)
def test_each_coordinate_has_steps_of_its_own(family, point):
    # One step for all, as short as the smallest concentration allows, would leave an error of 1e-4 and more.
    exact = lnegeom.Fisher(family)
    assert np.linalg.cond(exact.matrix(point)) < 1e3
    induced = lnegeom.FromDivergence(lnegeom.KL(family), family.dim, vectorized=True)
    assert relative(induced.ricci(point), exact.ricci(point)) < 1e-6
    found = induced.derivatives_at(point)
    second = jacfwd(jacfwd(exact.matrix))(torch.tensor(point, dtype=torch.float64)).numpy()
    assert np.abs(found.second - second).max() <= 10 * found.error


def test_points_are_taken_in_pieces(monkeypatch):
    family = lnegeom.Categorical(3)
    x = RNG.uniform(-1, 1, (7, 2))
    induced = lnegeom.FromDivergence(lnegeom.KL(family), 2, vectorized=True)
    whole = induced.scalar_curvature(x)
    monkeypatch.setattr(_divergence, "_AT_ONCE", 3 * 24**2)  # three points at once
    np.testing.assert_allclose(induced.scalar_curvature(x), whole, rtol=1e-7)
