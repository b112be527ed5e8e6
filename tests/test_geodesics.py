"""Geodesics against closed forms, and the laws of exp, log, distance and transport on the zoo."""

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom

RIEMANNIAN = [s for s in zoo.METRICS if s.thing.signature[1] == 0 and s.tolerance <= 1e-10 and s.dim > 1]
each = pytest.mark.parametrize("species", RIEMANNIAN, ids=repr)
few = settings(max_examples=4)


def short(species, data, x):
    """A vector at x, of length 0.2: inside a convex ball of every metric in the zoo."""
    v = data.draw(zoo.cube(species.dim, ()).filter(lambda v: np.abs(v).max() > 0.1))
    return 0.2 * v / species.thing.norm(x, v)


@each
class TestLaws:
    @few
    @given(data=st.data())
    def test_speed_is_constant(self, species, data):
        x = data.draw(species.points(()))
        path = lnegeom.geodesic(species.thing, x, short(species, data, x), samples=5)
        assert path.status == "completed"
        np.testing.assert_allclose(species.thing.norm(path.points, path.velocities), 0.2, rtol=1e-8)

    @few
    @given(data=st.data())
    def test_log_inverts_exp_and_distance_is_its_symmetric_length(self, species, data):
        metric, x = species.thing, data.draw(species.points(()))
        v = short(species, data, x)
        y = lnegeom.exp(metric, x, v)
        np.testing.assert_allclose(lnegeom.log(metric, x, y), v, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(lnegeom.distance(metric, x, y), 0.2, rtol=1e-6)
        np.testing.assert_allclose(lnegeom.distance(metric, y, x), 0.2, rtol=1e-6)

    @few
    @given(data=st.data())
    def test_transport_is_an_isometry_that_carries_the_velocity_to_itself(self, species, data):
        metric, x = species.thing, data.draw(species.points(()))
        v, w = short(species, data, x), data.draw(zoo.cube(species.dim, (2,)))
        path = lnegeom.geodesic(metric, x, v, samples=2)
        moved = lnegeom.parallel_transport(metric, x, v, np.stack([v, *w]))
        np.testing.assert_allclose(moved[0], path.velocities[-1], rtol=1e-8, atol=1e-9)
        before, after = metric.inner(x, w[0], w[1]), metric.inner(path.points[-1], moved[1], moved[2])
        np.testing.assert_allclose(after, before, rtol=1e-7, atol=1e-8)


def test_sphere_geodesics_are_great_circles():
    sphere = lnegeom.Sphere(2)
    path = lnegeom.geodesic(sphere, [0.3, 0.1], [0.5, -0.4], t_end=2.0, samples=9)
    y = sphere.embed(path.points)
    speed = sphere.norm(path.points[0], path.velocities[0])
    tangent = (sphere.embed(path.points[0] + 1e-6 * path.velocities[0]) - y[0]) / 1e-6 / speed
    angle = speed * path.times[:, None]
    np.testing.assert_allclose(y, np.cos(angle) * y[0] + np.sin(angle) * tangent, atol=1e-5)
    np.testing.assert_allclose(lnegeom.distance(sphere, [0.0, 0.0], [0.5, 0.0]), 2 * np.arctan(0.5))


@given(x=zoo.cube(2, ()).map(lambda u: 0.6 * u), y=zoo.cube(2, ()).map(lambda u: 0.6 * u))
def test_hyperbolic_distance(x, y):
    cosh = 1 + 2 * np.sum((x - y) ** 2) / ((1 - x @ x) * (1 - y @ y))
    expected = np.arccosh(cosh)
    np.testing.assert_allclose(
        lnegeom.distance(lnegeom.PoincareBall(2), x, y), expected, rtol=1e-6, atol=1e-7
    )


def test_log_cosh_geodesics_are_straight_in_gudermannian_coordinates_and_leave_in_finite_time():
    # math: y = (2/τ) arctan(tanh(τθ/2)) are Cartesian, each in (−π/2τ, π/2τ).
    tau, metric = 0.8, lnegeom.Hessian(lnegeom.LogCosh(0.8))
    x, v = np.array([0.3, -0.2]), np.array([1.1, 0.4])

    def flat(theta):
        return 2 / tau * np.arctan(np.tanh(tau * theta / 2))

    path = lnegeom.geodesic(metric, x, v, t_end=1.0, samples=5)
    slope = v / np.cosh(tau * x)
    np.testing.assert_allclose(flat(path.points), flat(x) + path.times[:, None] * slope, atol=1e-9)
    leaving = (np.pi / (2 * tau) - flat(x[0])) / slope[0]
    path = lnegeom.geodesic(metric, x, v, t_end=5.0, samples=501)
    assert path.status == "left"
    assert np.isfinite(path.points).all()
    np.testing.assert_allclose(path.times[-1], leaving, atol=0.02)
    with pytest.raises(lnegeom.GeometryError, match=r"leaves the manifold near t = 0\.\d+, before t = 1"):
        lnegeom.exp(metric, x, 2 * leaving * v)


def test_lne_leaves_through_its_boundary():
    path = lnegeom.geodesic(lnegeom.LNE(1.0), [0.5, 0.5], [1.0, 1.0], t_end=10.0, samples=5001)
    assert path.status == "left"
    u = np.tanh(path.points[-1])
    assert 0.95 < u @ u < 1


def test_a_million_dimensions():
    n = 10**6
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, n)) / n**0.5 / 2
    metric = lnegeom.LNE(1.0)
    path = lnegeom.geodesic(metric, x, v, t_end=0.5, samples=2)
    assert path.status == "completed"
    np.testing.assert_allclose(
        metric.norm(path.points[-1], path.velocities[-1]), metric.norm(x, v), rtol=1e-8
    )


def test_second_order_retraction_of_lne_is_of_third_order():
    # math: θ + v + ½ u Σ h v² / w, that is θ + v − ½ Γ(v, v), misses exp by O(|v|³).
    metric, x, v = lnegeom.LNE(1.0), np.array([0.3, -0.2, 0.1]), np.array([0.4, 0.3, -0.5])
    sizes = np.array([0.2, 0.1, 0.05, 0.025])
    misses = []
    for size in sizes:
        step = size * v
        retracted = x + step - metric.christoffel_apply(x, step, step) / 2
        misses.append(np.linalg.norm(lnegeom.exp(metric, x, step) - retracted))
    slope = np.polyfit(np.log(sizes), np.log(misses), 1)[0]
    assert slope == pytest.approx(3, abs=0.15)


def test_light_rays_in_minkowski_space_are_straight():
    path = lnegeom.geodesic(lnegeom.Minkowski(3), [0.0, 0, 0], [1.0, 1, 0], t_end=3.0, samples=4)
    np.testing.assert_allclose(path.points[-1], [3, 3, 0])
    with pytest.raises(lnegeom.GeometryError, match="indefinite, so points have no distance"):
        lnegeom.distance(lnegeom.Minkowski(3), [0.0, 0, 0], [1.0, 1, 0])


def test_batches_and_libraries():
    metric = lnegeom.HalfSpace(2)
    x = torch.tensor([[0.0, 1.0], [0.5, 2.0]])
    v = torch.tensor([0.1, 0.2])
    y = lnegeom.exp(metric, x, v)
    assert y.dtype == torch.float32
    assert y.shape == (2, 2)
    torch.testing.assert_close(lnegeom.log(metric, x, y), v.expand(2, 2), rtol=1e-4, atol=1e-5)


BAD = {
    "outside": (lambda: lnegeom.exp(lnegeom.LNE(1.0), [2.0, 2.0], [0.0, 0.0]), "lies outside the domain"),
    "a batch of geodesics": (
        lambda: lnegeom.geodesic(lnegeom.Euclidean(2), [[0.0, 0.0]], [1.0, 0.0]),
        r"expected one point and one vector \(n,\), got \(1, 2\) and \(2,\)",
    ),
    "time": (lambda: lnegeom.geodesic(lnegeom.Euclidean(1), [0.0], [1.0], -1.0), "t_end must be a positive"),
    "samples": (lambda: lnegeom.geodesic(lnegeom.Euclidean(1), [0.0], [1.0], samples=1), "at least 2, got 1"),
    "out of reach": (
        lambda: lnegeom.log(lnegeom.LNE(1.0), [0.0, 0.0], [0.9, 0.9]),
        "lies outside the domain",
    ),
    "the one that fails": (
        lambda: lnegeom.exp(lnegeom.LNE(1.0), [[0.0, 0.0], [0.5, 0.5]], [[0.1, 0.0], [3.0, 3.0]]),
        r"at x\[1\]: the geodesic leaves the manifold near",
    ),
    "transported": (
        lambda: lnegeom.parallel_transport(lnegeom.Euclidean(2), [0.0, 0.0], [1.0, 0.0], [1.0, 0.0, 0.0]),
        r"w has shape \(1, 3\): expected \(n,\) or \(m, n\) with n = 2",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call()
