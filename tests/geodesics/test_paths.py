"""Integrated geodesics: of any connection, at any size, to the edge of the manifold; and bad input."""

import array_api_compat
import numpy as np
import pytest
import torch
import zoo

import lnegeom

LNE = lnegeom.LNE(1.0)


def test_the_error_estimate_is_of_the_size_of_the_error():
    family = lnegeom.Normal()
    metric = lnegeom.KL(family).metric()
    x = family.natural(mean=0.0, std=1.0)
    step = np.array([0.0, 1 / np.sqrt(2)])
    for tolerance in (1e-6, 1e-9):
        path = lnegeom.geodesic(metric, x, step, t_end=3.0, samples=4, tolerance=tolerance)
        # θ₂ = −1/(2σ²), and log σ grows evenly
        exact = np.stack([0 * path.times, x[1] * np.exp(step[1] / x[1] * path.times)], axis=-1)
        error = np.abs(path.points - exact).max()
        assert error / 30 < path.error < 3000 * error


def spins(p, q):
    """The Bregman divergence of log cosh, whose metric is that of `lnegeom.Hessian(lnegeom.LogCosh(1.0))`."""
    return (np.log(np.cosh(p) / np.cosh(q)) - (p - q) * np.tanh(q)).sum(-1)


class TestByDifferences:
    metric = lnegeom.FromDivergence(spins, 2, vectorized=True)
    exact = lnegeom.Hessian(lnegeom.LogCosh(1.0))
    x, v = np.array([-1.0, 1.0]), np.array([-0.8, 0.6])

    @pytest.fixture
    def limited(self, monkeypatch):
        """At most 1500 evaluations: steps that follow the noise of third derivatives take many thousands."""
        left = [1500]

        def apply(x, u, v, own=self.metric.christoffel_apply):
            left[0] -= 1
            assert left[0] >= 0, "the steps collapse"
            return own(x, u, v)

        monkeypatch.setattr(self.metric, "christoffel_apply", apply)

    def test_the_error_owns_up_to_noise(self):
        path = lnegeom.geodesic(self.metric, self.x, self.v, samples=3)
        error = np.abs(path.points - lnegeom.geodesic(self.exact, self.x, self.v, samples=3).points).max()
        assert path.status == "completed"
        assert 1e-11 < error < path.error < 1e-5

    @pytest.mark.usefixtures("limited")
    def test_steps_to_the_edge_do_not_follow_the_noise_and_leaving_is_reported(self):
        path, exact = (lnegeom.geodesic(m, self.x, 2 * self.v, samples=6) for m in (self.metric, self.exact))
        assert path.status == exact.status == "left"
        times = [float(found.message.split()[-1]) for found in (path, exact)]
        assert times[0] == pytest.approx(times[1], abs=1e-3)
        np.testing.assert_allclose(path.points, exact.points, atol=path.error)


SKEWED = lnegeom.FromDivergence(zoo.skewed, 2, vectorized=True)
DIFFERENCED = {
    "divergence": (SKEWED, 1e-15),
    "connections": (lnegeom.CallableDivergence(zoo.skewed, 2, vectorized=True).connections(), 1e-15),
    "function": (lnegeom.FromCallable(zoo.wavy, 3), 1e-16),
    "density": (lnegeom.EstimatedFisher.by_quadrature(zoo.logistic, 2, points=100), 1e-13),
    "embedding": (lnegeom.Pullback(zoo.ellipsoid, 2, lnegeom.Sphere(3)), 1e-14),
    "product": (lnegeom.Product(lnegeom.Euclidean(1), SKEWED), 1e-15),
    "conformal": (lnegeom.Conformal(lnegeom.SquaredNorm(), SKEWED), 1e-15),
    "warped": (lnegeom.Warped(lnegeom.Euclidean(1), SKEWED, lambda r: 2 + r[0]), 1e-15),
}


@pytest.mark.parametrize(("connection", "least"), DIFFERENCED.values(), ids=DIFFERENCED.keys())
def test_connections_by_differences_know_their_error(connection, least):
    x = np.array([0.3, -0.4, 0.2])[: getattr(connection, "metric", connection).dim]
    exact = torch.from_numpy(x)
    assert connection._christoffel_error(array_api_compat.array_namespace(exact), exact) == 0
    found = connection._christoffel_error(np, x)
    error = np.abs(connection.christoffel(x) - connection.christoffel(exact).numpy()).max()
    assert max(least, error / 10) < found < 1e-8


def test_lne_leaves_through_its_boundary():
    path = lnegeom.geodesic(LNE, [0.5, 0.5], [1.0, 1.0], t_end=10.0, samples=5001)
    assert path.status == "left"
    u = np.tanh(path.points[-1])
    assert 0.95 < u @ u < 1


def test_a_million_dimensions():
    n = 10**6
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, n)) / n**0.5 / 2
    path = lnegeom.geodesic(LNE, x, v, t_end=0.5, samples=2)
    assert path.status == "completed"
    assert path.error < 1e-8
    np.testing.assert_allclose(LNE.norm(path.points[-1], path.velocities[-1]), LNE.norm(x, v), rtol=1e-8)


def test_log_in_ten_thousand_dimensions():
    rng = np.random.default_rng(1)
    x, v = rng.standard_normal((2, 10_000)) / 100 / 3
    y = lnegeom.exp(LNE, x, v)
    np.testing.assert_allclose(lnegeom.log(LNE, x, y), v, atol=1e-9)


class TestLeaving:
    """Connections whose geodesics leave in finite time, with velocities that grow without bound."""

    @pytest.fixture(autouse=True)
    def limited(self, monkeypatch):
        """At most 20 000 evaluations, where unlimited steps would take millions."""
        left, own = [20_000], lnegeom.DualConnections.christoffel_apply

        def apply(self, x, u, v):
            left[0] -= 1
            assert left[0] >= 0, "the work is not bounded"
            return own(self, x, u, v)

        monkeypatch.setattr(lnegeom.DualConnections, "christoffel_apply", apply)

    def test_a_dual_geodesic_reports_when_it_leaves(self):
        # in the mean parameter ½ + ¾ t, the edge is at t = ⅔
        path = lnegeom.geodesic(lnegeom.KL(lnegeom.Bernoulli()).connections(), [0.0], [3.0], samples=3)
        assert path.status == "left"
        assert float(path.message.split()[-1]) == pytest.approx(2 / 3, abs=1e-5)
        np.testing.assert_allclose(path.points[:, 0], [0, np.log(7)], atol=1e-8)

    def test_exp_names_when_the_geodesic_leaves(self):
        connections = lnegeom.KL(lnegeom.Categorical(3)).connections()  # the edge is at t = ¾
        with pytest.raises(lnegeom.GeometryError, match=r"leaves the manifold near t = 0\.(7499\d*|75),"):
            lnegeom.exp(connections, [0.0, 0.0], [4.0, 0.0])


def test_log_gives_up_out_of_reach():
    calls = [0]

    def plane(x):  # the sphere without a point, which the end is too close to
        calls[0] += x[..., 0].size
        return (4 / (1 + (x**2).sum(-1, keepdims=True)) ** 2)[..., None] * np.eye(2)

    metric = lnegeom.FromCallable(plane, 2, vectorized=True)
    with pytest.raises(lnegeom.GeometryError, match="no geodesic from x to y was found"):
        lnegeom.log(metric, [0.0, 0.0], [1e6, 0.0])
    assert calls[0] < 10**6  # three million if collocation goes on


class TestConnections:
    family = lnegeom.Categorical(3)
    connections = lnegeom.KL(family).connections()  # ∇ is the m-connection, its dual the e-connection
    x, v = np.array([0.2, -0.5]), np.array([0.7, 0.3])

    def test_e_geodesics_are_straight_in_natural_parameters(self):
        path = lnegeom.geodesic(self.connections.dual, self.x, self.v, samples=5)
        np.testing.assert_allclose(path.points, self.x + path.times[:, None] * self.v, atol=1e-12)

    def test_m_geodesics_are_straight_in_mean_parameters(self):
        path = lnegeom.geodesic(self.connections, self.x, self.v, t_end=0.5, samples=5)
        means = self.family.log_partition.gradient(path.points)
        np.testing.assert_allclose(np.diff(means, axis=0), np.diff(means, axis=0)[:1].repeat(4, 0), atol=1e-9)
        slope = self.family.log_partition.hessian(self.x) @ self.v
        np.testing.assert_allclose(means[-1] - means[0], 0.5 * slope, atol=1e-9)

    def test_dual_transports_keep_the_inner_product(self):
        # ⟨P w, P* z⟩ = ⟨w, z⟩, here along an e-geodesic.
        metric = self.connections.metric
        w, z = np.array([1.0, 0.2]), np.array([-0.3, 0.8])
        y = lnegeom.exp(self.connections.dual, self.x, self.v)
        moved = lnegeom.parallel_transport(self.connections.dual, self.x, self.v, w)
        np.testing.assert_allclose(moved, w, atol=1e-12)  # flat coordinates
        # the m-connection is flat in mean parameters, whose components are g z
        dual = metric.sharp(y, metric.flat(self.x, z))
        np.testing.assert_allclose(metric.inner(y, moved, dual), metric.inner(self.x, w, z), atol=1e-12)

    def test_levi_civita_is_the_metric_s_own(self):
        own = lnegeom.exp(self.connections.metric, self.x, self.v)
        np.testing.assert_allclose(lnegeom.exp(self.connections.levi_civita, self.x, self.v), own, atol=1e-9)

    def test_exp_and_log_invert_each_other(self):
        y = lnegeom.exp(self.connections, self.x, 0.5 * self.v)
        np.testing.assert_allclose(lnegeom.log(self.connections, self.x, y), 0.5 * self.v, atol=1e-8)

    def test_jacobi_fields_of_flat_connections_do_not_bend(self):
        field = lnegeom.jacobi_field(self.connections.dual, self.x, self.v, [1, 0], [0, 1], samples=3)
        np.testing.assert_allclose(field.fields, [[1, 0], [1, 0.5], [1, 1]], atol=1e-10)


def test_batches_and_libraries():
    metric = lnegeom.LNE(0.5)
    x = torch.tensor([[0.0, 1.0], [0.5, 1.0]])
    v = torch.tensor([0.1, 0.2])
    y = lnegeom.exp(metric, x, v)
    assert y.dtype == torch.float32
    assert y.shape == (2, 2)
    torch.testing.assert_close(lnegeom.log(metric, x, y), v.expand(2, 2), rtol=1e-4, atol=1e-5)
    w = lnegeom.parallel_transport(metric, x, v, v)
    assert w.shape == (2, 2)


class TestGradients:
    """Where results decide how many there are, or which, arrays without values are refused."""

    metric = lnegeom.LNE(0.5)
    calls = (
        lambda x: lnegeom.geodesic(TestGradients.metric, x, 0.1 * x, samples=2).points,
        lambda x: lnegeom.jacobi_field(TestGradients.metric, x, 0.1 * x, x, x, samples=2).fields,
        lambda x: lnegeom.logarithm(TestGradients.metric, x, 0.9 * x).velocities,
        lambda x: lnegeom.conjugate_point(TestGradients.metric, x, 0.1 * x, 1.0).point,
    )
    names = ("geodesic", "jacobi_field", "logarithm", "conjugate_point")

    @pytest.mark.parametrize("call", calls, ids=names)
    def test_traced_arrays(self, call):
        jax = pytest.importorskip("jax", reason="jax is not installed")
        with pytest.raises(lnegeom.InputError, match=r"traced.*outside of them"):
            jax.jit(call)(jax.numpy.asarray([0.2, 0.3]))
        with pytest.raises(lnegeom.InputError, match=r"traced.*outside of them|requires grad.*detach it"):
            torch.func.jacrev(call)(torch.tensor([0.2, 0.3], dtype=torch.float64))

    def test_a_retraction_has_them(self):
        x, v = np.array([0.2, 0.3]), np.array([0.1, -0.2])
        given = torch.from_numpy(v).requires_grad_()
        slopes = torch.autograd.functional.jacobian(
            lambda u: lnegeom.retract(self.metric, torch.from_numpy(x), u), given
        )
        steps = 1e-6 * np.eye(2)
        expected = [
            lnegeom.retract(self.metric, x, v + h) - lnegeom.retract(self.metric, x, v - h) for h in steps
        ]
        np.testing.assert_allclose(slopes, np.transpose(expected) / 2e-6, atol=1e-8)


def test_a_torch_callable_sees_torch_arrays():
    metric = lnegeom.FromCallable(lambda x: torch.diag(torch.stack([1 + 0 * x[0], torch.sin(x[0]) ** 2])), 2)
    x = torch.tensor([1.0, 0.0], dtype=torch.float64)
    points = lnegeom.geodesic(metric, x, [0.3, 0.4], samples=2).points.numpy()
    sphere = lnegeom.Sphere(2)  # the same geodesic, through the embedding

    def place(p):
        return np.array([np.sin(p[0]) * np.cos(p[1]), np.sin(p[0]) * np.sin(p[1]), np.cos(p[0])])

    start, end = sphere.project(place(points[0])), sphere.project(place(points[-1]))
    np.testing.assert_allclose(lnegeom.distance(sphere, start, end), metric.norm(x, [0.3, 0.4]), rtol=1e-9)


def test_a_retraction_in_three_lines_of_the_theory():
    # math: θ + v + ½ u Σ h v² / w
    x, v = np.array([0.3, -0.2, 0.1]), np.array([0.4, 0.3, -0.5])
    u = np.tanh(x)
    expected = x + v + u * np.sum((1 - u**2) * v**2) / (1 - u @ u) / 2
    np.testing.assert_allclose(lnegeom.retract(LNE, x, v), expected, rtol=1e-14)
    sizes = np.array([0.2, 0.1, 0.05, 0.025])
    misses = [np.linalg.norm(lnegeom.exp(LNE, x, s * v) - lnegeom.retract(LNE, x, s * v)) for s in sizes]
    assert np.polyfit(np.log(sizes), np.log(misses), 1)[0] == pytest.approx(3, abs=0.15)


PLANE = lnegeom.Euclidean(2)
BAD = {
    "outside": (lambda: lnegeom.exp(LNE, [2.0, 2.0], [0.0, 0.0]), "lies outside the domain"),
    "time": (lambda: lnegeom.geodesic(lnegeom.Euclidean(1), [0.0], [1.0], -1.0), "t_end must be a positive"),
    "samples": (lambda: lnegeom.geodesic(lnegeom.Euclidean(1), [0.0], [1.0], samples=1), "at least 2, got 1"),
    "tolerance": (
        lambda: lnegeom.geodesic(PLANE, [0.0, 0], [1.0, 0], tolerance=0),
        "tolerance must be a pos",
    ),
    "out of reach": (
        lambda: lnegeom.log(LNE, [0.0, 0.0], [0.9, 0.9]),
        "the second point, y: x lies outside the domain",
    ),
    "the one that fails": (
        lambda: lnegeom.exp(LNE, [[0.0, 0.0], [0.5, 0.5]], [[0.1, 0.0], [3.0, 3.0]]),
        r"at x\[1\]: the geodesic leaves the manifold near",
    ),
    "the one that fails in closed form": (
        lambda: lnegeom.exp(lnegeom.Hessian(lnegeom.LogCosh()), [[0.0], [1.0]], [[1.0], [3.0]]),
        r"from x\[1\] the geodesic leaves the manifold at t = 0.36\d+, before t = 1",
    ),
    "transported": (
        lambda: lnegeom.parallel_transport(PLANE, [0.0, 0.0], [1.0, 0.0], [1.0, 0.0, 0.0]),
        r"w has shape \(3,\): expected \(..., 2\)",
    ),
    "an indefinite distance": (
        lambda: lnegeom.distance(lnegeom.Minkowski(3), [0.0, 0, 0], [1.0, 1, 0]),
        "indefinite, so points have no distance",
    ),
    "a connection's distance": (
        lambda: lnegeom.distance(lnegeom.KL(lnegeom.Normal()).connections(), [0, -1], [0, -2]),
        "a connection has no distance",
    ),
    "not a metric": (lambda: lnegeom.exp(np.eye(2), [0.0, 0], [1.0, 0]), "expected a Metric or a connection"),
    "a retraction too far": (
        lambda: lnegeom.retract(LNE, [0.5, 0.0], [2.0, 2.0]),
        "the end is outside the chart.* shorten the velocity",
    ),
    "out of reach from inside": (
        lambda: lnegeom.log(LNE, [1.7, 0.1], [0.1, 1.7]),
        "no geodesic from x to y was found",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_log_reaches_past_where_straight_lines_lead_out():
    # The straight line's velocity, corrected to second order, leaves the manifold: collocation finds the way.
    x, y = np.array([1.4, 0.2]), np.array([0.2, 1.4])
    v = lnegeom.log(LNE, x, y)
    np.testing.assert_allclose(lnegeom.exp(LNE, x, v), y, atol=1e-8)
