"""Dual connections: Eguchi's relations and curvature by automatic differentiation, and their laws."""

import numpy as np
import pytest
import torch
import zoo
from conftest import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import jacfwd

import lnegeom
from lnegeom.connections import HessianConnections

each_divergence = pytest.mark.parametrize("species", zoo.DIVERGENCES, ids=repr)
ALPHA = [1.0, -1.0, 0.0, 0.4]


def close(value, expected, tolerance=1e-9):
    expected = np.asarray(expected)
    scale = 1 + np.max(np.abs(expected))
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance * scale)


@each_divergence
class TestAgainstAutomaticDifferentiation:
    def test_eguchis_relations(self, species):
        x = species.to_point(np.random.default_rng(1).uniform(-1, 1, species.dim))
        point = torch.from_numpy(x)
        connections = species.thing.connections()
        first = jacfwd(jacfwd(jacfwd(species.thing, 0), 0), 1)(point, point)  # (i, j, k): ∂_i ∂_j ∂'_k D
        second = jacfwd(jacfwd(jacfwd(species.thing, 0), 1), 1)(point, point)  # (k, i, j): ∂_k ∂'_i ∂'_j D
        close(connections.lowered(x), -np.einsum("ijk->kij", first))
        close(connections.dual.lowered(x), -second.numpy())
        close(connections.cubic(x), np.einsum("ijk->kij", first) - second.numpy())

    @pytest.mark.parametrize("a", ALPHA)
    def test_curvature_is_that_of_the_symbols(self, species, a):
        x = species.to_point(np.random.default_rng(2).uniform(-1, 1, species.dim))
        connection = species.thing.connections().alpha(a)
        gamma = connection.christoffel(x)
        d = jacfwd(connection.christoffel)(torch.from_numpy(x)).numpy()  # (r, v, s, m): ∂_m Γ^r_vs
        expected = np.einsum("rvsm->rsmv", d) + np.einsum("rml,lvs->rsmv", gamma, gamma)
        close(connection.curvature(x), expected - np.swapaxes(expected, -1, -2), 1e-8)

    def test_duality(self, species):
        x = species.to_point(np.random.default_rng(3).uniform(-1, 1, species.dim))
        dg = jacfwd(species.thing.metric().matrix)(torch.from_numpy(x)).numpy()  # (i, j, k): ∂_k g_ij
        for a in ALPHA:
            connection = species.thing.connections().alpha(a)
            both = np.einsum("jki->ijk", connection.lowered(x))
            both = both + np.einsum("ikj->ijk", connection.dual.lowered(x))
            close(both, dg)


@each_divergence
class TestLaws:
    @settings(max_examples=5)
    @given(data=st.data())
    def test_statistical_manifold(self, species, data):
        x = data.draw(species.points())
        connections = species.thing.connections()
        for a in ALPHA:
            connection = connections.alpha(a)
            scale = 1 + np.max(np.abs(connections.cubic(x)))
            assert np.max(np.abs(connection.duality_residual(x))) <= 1e-10 * scale
            assert np.max(np.abs(connection.torsion(x))) <= 1e-10 * scale**2

    @settings(max_examples=5)
    @given(data=st.data())
    def test_the_line_of_connections(self, species, data):
        x, a = data.draw(species.points()), data.draw(st.floats(-2, 2))
        c = species.thing.connections()
        close(c.levi_civita.christoffel(x), species.thing.metric().christoffel(x))
        close((c.lowered(x) + c.dual.lowered(x)) / 2, c.levi_civita.lowered(x))
        close(c.dual.lowered(x) - c.lowered(x), c.cubic(x))
        close(c.alpha(a).lowered(x), c.levi_civita.lowered(x) - a / 2 * c.cubic(x))
        assert c.alpha(a).dual.a == -a
        assert c.dual.dual.a == c.a == 1
        close(
            np.einsum("...kl,...lij->...kij", c.metric.matrix(x), c.alpha(a).christoffel(x)),
            c.alpha(a).lowered(x),
            1e-8,
        )

    @settings(max_examples=5)
    @given(data=st.data())
    def test_symmetry_of_the_cubic_tensor(self, species, data):
        cubic = species.thing.connections().cubic(data.draw(species.points()))
        for order in ("jik", "ikj", "kji"):
            close(np.einsum(f"...ijk->...{order}", cubic), cubic, 1e-12)

    @settings(max_examples=5)
    @given(data=st.data())
    def test_dual_flatness(self, species, data):
        x = data.draw(species.points())
        c = species.thing.connections()
        assert np.all(c.is_dually_flat(x))
        assert c.is_dually_flat(x).shape == x.shape[:-1]
        # Curvatures of dual connections are each other's transposes: R_ijkl = −R*_jikl.
        lowered, dual = c.alpha(0.4).curvature(x, lowered=True), c.alpha(-0.4).curvature(x, lowered=True)
        close(lowered, -np.einsum("...ijkl->...jikl", dual))


def test_a_curved_pair_is_not_called_flat():
    class Curved(HessianConnections):
        def alpha(self, a):
            return Curved(self.metric, self.swapped, a)

        def _curvature(self, xp, x):
            return self.metric._riemann(xp, x)

    family = lnegeom.Normal()
    theta = family.natural([0.0, 1.0], [1.0, 2.0])
    assert not np.any(Curved(lnegeom.KL(family).metric()).is_dually_flat(theta))


def test_the_cubic_tensor_is_the_third_moment_of_the_score():
    # Amari–Chentsov: E[∂l ∂l ∂l] > 0 for a Poisson rate; + for Bregman of A, − for KL[p : q].
    family = lnegeom.families.Poisson()
    theta = family.natural(2.0)
    x = np.arange(60.0)
    moment = np.sum(np.exp(family.log_density(theta, x)) * (x - 2.0) ** 3)
    np.testing.assert_allclose(
        lnegeom.Bregman(family.log_partition).connections().cubic(theta), [[[moment]]], rtol=1e-12
    )
    np.testing.assert_allclose(lnegeom.KL(family).connections().cubic(theta), [[[-moment]]], rtol=1e-12)


@pytest.mark.parametrize("a", ALPHA)
def test_alpha_curvature_of_the_constant_curvature_families(a):
    # Normal: −½ (1 − α²); categorical: ¼ (1 − α²).
    normal, categorical = lnegeom.Normal(), lnegeom.Categorical(3)
    cases = ((normal, normal.natural(0.3, 0.7), -0.5), (categorical, np.array([0.3, -1.0]), 0.25))
    for family, x, curvature in cases:
        connection = lnegeom.KL(family).connections().alpha(a)
        area = np.linalg.det(lnegeom.KL(family).metric().matrix(x))
        value = connection.curvature(x, lowered=True)[0, 1, 0, 1] / area
        np.testing.assert_allclose(value, curvature * (1 - a**2), rtol=1e-12, atol=1e-15)


def test_mixture_lines_are_geodesics_of_the_kl_connection():
    # A mixture of two distributions is straight in the mean parameters, so it solves ∇'s geodesic equation.
    family = lnegeom.Categorical(3)
    ends = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], dtype=torch.float64)

    def curve(t):
        return family.natural((1 - t) * ends[0] + t * ends[1])

    t = torch.tensor(0.3, dtype=torch.float64)
    velocity, acceleration = jacfwd(curve)(t).numpy(), jacfwd(jacfwd(curve))(t).numpy()
    symbols = lnegeom.KL(family).connections().christoffel(curve(t).numpy())
    np.testing.assert_allclose(
        acceleration + np.einsum("kij,i,j->k", symbols, velocity, velocity), 0, atol=1e-12
    )


class TestEmbeddingCurvature:
    family = lnegeom.Normal()

    def derivatives(self, curve, u):
        point = torch.tensor([u], dtype=torch.float64)
        first, second = jacfwd(curve)(point), jacfwd(jacfwd(curve))(point)
        return curve(point).numpy(), first.numpy(), second.numpy()

    @pytest.mark.parametrize(("u", "power"), [(1.3, 2), (0.8, 1), (-0.6, 2), (2.0, 0.5)])
    def test_efrons_statistical_curvature(self, u, power):
        # γ² = (Var l'' − Cov(l', l'')² / Var l') / Var(l')² of N(u, |u|^{2·power}), by Gauss–Hermite.
        def log_density(u, x):
            std = torch.abs(u) ** power
            return -torch.log(std) - ((x - u) / std) ** 2 / 2

        nodes, weights = np.polynomial.hermite_e.hermegauss(20)
        weights = weights / weights.sum()
        x = torch.from_numpy(u + abs(u) ** power * nodes)
        point = torch.tensor(u, dtype=torch.float64)
        score = jacfwd(lambda t: log_density(t, x))
        first, second = score(point).numpy(), jacfwd(score)(point).numpy()
        covariance = np.cov(first, second, aweights=weights, bias=True)
        gamma2 = (covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0]) / covariance[0, 0] ** 2

        def curve(u):
            return self.family.natural(u[0], torch.abs(u[0]) ** power)

        theta, jacobian, hessian = self.derivatives(curve, u)
        connections = lnegeom.KL(self.family).connections()
        h = connections.dual.embedding_curvature(theta, jacobian, hessian)[:, 0, 0]  # e-connection
        metric = connections.metric
        value = metric.inner(theta, h, h) / metric.inner(theta, jacobian[:, 0], jacobian[:, 0]) ** 2
        np.testing.assert_allclose(value, gamma2, rtol=1e-9, atol=1e-12)

    def test_flat_submodels_have_none(self):
        connections = lnegeom.KL(self.family).connections()

        def e_flat(u):  # N(u, 1): a line in θ
            return self.family.natural(u[0], torch.ones_like(u[0]))

        def m_flat(u):  # E x = u, E x² = 2 + u/2: a line in η
            return self.family.natural(u[0], torch.sqrt(2 + u[0] / 2 - u[0] ** 2))

        for curve, flat in ((e_flat, connections.dual), (m_flat, connections)):
            x, jacobian, hessian = self.derivatives(curve, 0.4)
            np.testing.assert_allclose(flat.embedding_curvature(x, jacobian, hessian), 0, atol=1e-12)
            assert np.max(np.abs(flat.dual.embedding_curvature(x, jacobian, hessian))) > 0.1

    def test_normal_and_free_of_the_parametrisation(self):
        family = lnegeom.families.Dirichlet(3)
        connection = lnegeom.KL(family).connections().alpha(0.3)

        def surface(u):
            return torch.stack([torch.exp(u[0]), 1 + u[0] ** 2 + u[1] ** 2, 2 + torch.sin(u[1])])

        def change(v):
            return torch.stack([v[0] + 0.2 * v[1] ** 2, v[1] - 0.3 * v[0] * v[1]])

        v = torch.tensor([0.3, 0.5], dtype=torch.float64)
        tensors = []
        for chart, at in ((surface, change(v)), (lambda w: surface(change(w)), v)):
            x, first, second = chart(at).numpy(), jacfwd(chart)(at).numpy(), jacfwd(jacfwd(chart))(at).numpy()
            tensors.append(connection.embedding_curvature(x, first, second))
            g = connection.metric.matrix(x)
            np.testing.assert_allclose(np.einsum("kc,kl,lab->cab", first, g, tensors[-1]), 0, atol=1e-12)
        jacobian = jacfwd(change)(v).numpy()
        transformed = np.einsum("kab,ac,bd->kcd", tensors[0], jacobian, jacobian)
        np.testing.assert_allclose(tensors[1], transformed, rtol=1e-10, atol=1e-12)

    def test_batches(self):
        connection = lnegeom.KL(self.family).connections()
        theta = self.family.natural([[0.0, 1.0, 2.0]] * 2, 1.5)
        rng = np.random.default_rng(0)
        first, second = rng.normal(size=(3, 2, 1)), rng.normal(size=(2, 1, 2, 1, 1))
        whole = connection.embedding_curvature(theta, first, second)
        assert whole.shape == (2, 3, 2, 1, 1)
        one = connection.embedding_curvature(theta[1, 2], first[2], second[1, 0])
        np.testing.assert_allclose(whole[1, 2], one, rtol=1e-12)


@each_divergence
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_agree_and_keep_kind_dtype_and_batch(species, backend, dtype):
    x = species.to_point(np.random.default_rng(0).uniform(-1, 1, (2, 3, species.dim)))
    c = species.thing.connections().alpha(0.5)
    scale = 1 + np.max(np.abs(c.christoffel(x))) ** 2

    def evaluate(x):
        names = ("lowered", "christoffel", "cubic", "curvature", "duality_residual")
        return {name: getattr(c, name)(x) for name in names}

    tolerance = 1e-3 if dtype == "float32" else 1e-10
    assert_agree(backend, evaluate, (x,), dtype, tolerance * scale, (2, 3))


CONNECTIONS = lnegeom.KL(lnegeom.Normal()).connections()
THETA = np.array([0.0, -0.5])
BAD = {
    "not a metric": (lambda: HessianConnections("x"), r"expected a metric such as Hessian"),
    "alpha": (lambda: CONNECTIONS.alpha("one"), r"a must be a number, got 'one'"),
    "point": (lambda: CONNECTIONS.lowered([0.0, 1.0]), r"second natural parameter 1"),
    "dimension": (lambda: lnegeom.Euclidean(3).connections().lowered([0.0]), r"expected \(..., 3\)"),
    "jacobian": (
        lambda: CONNECTIONS.embedding_curvature(THETA, np.ones(2), np.ones((2, 1, 1))),
        r"jacobian has shape \(2,\): expected \(..., 2, m\) with 1 <= m <= 2",
    ),
    "hessian": (
        lambda: CONNECTIONS.embedding_curvature(THETA, np.ones((2, 1)), np.ones((2, 1))),
        r"hessian has shape \(2, 1\): expected \(..., 2, 1, 1\)",
    ),
    "batches": (
        lambda: CONNECTIONS.embedding_curvature([THETA] * 2, np.ones((3, 2, 1)), np.ones((2, 1, 1))),
        r"do not broadcast: got x \(2, 2\), jacobian",
    ),
    "nan": (
        lambda: CONNECTIONS.embedding_curvature(THETA, np.full((2, 1), np.nan), np.ones((2, 1, 1))),
        r"jacobian\[0, 0\] is nan",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
