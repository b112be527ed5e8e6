"""Geodesics in closed form, against integration of the same geodesics and against textbook formulas."""

import mpmath
import numpy as np
import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom

TAU = 0.8
CLOSED = {
    "sphere": (lnegeom.Sphere(3, radius=2.5), lambda u: 1.5 * u),
    "ball": (lnegeom.PoincareBall(3, radius=0.7), lambda u: 0.5 * u),
    "half-space": (lnegeom.HalfSpace(3, radius=0.5), zoo.above),
    "log-cosh": (lnegeom.Hessian(lnegeom.LogCosh(TAU)), lambda u: 1.5 * u),
    "torus": (lnegeom.Torus([1.0, 2.0, 3.0]), lambda u: 2 * u),
    "minkowski": (lnegeom.Minkowski(3), lambda u: u),
}
each = pytest.mark.parametrize(("metric", "to_point"), CLOSED.values(), ids=CLOSED.keys())


def integrated(metric):
    """The same metric, whose closed forms are hidden: geodesics by scipy."""
    hidden = type(
        "Hidden", (lnegeom.Conformal,), {"closed_form_geodesics": False, "__repr__": object.__repr__}
    )
    zero = type("Zero", (lnegeom.SquaredNorm,), {})()
    zero._value = lambda xp, x: 0 * x[..., 0]
    zero._gradient = lambda xp, x: 0 * x
    zero._hessian = lambda xp, x: 0 * x[..., None] * x[..., None, :]
    return hidden(zero, metric)


@each
@settings(max_examples=3)
@given(data=st.data())
def test_closed_forms_are_the_integrated_geodesics(metric, to_point, data):
    slow = integrated(metric)
    x, v, w = to_point(data.draw(zoo.cube(3, ()))), data.draw(zoo.cube(3, ())), data.draw(zoo.cube(3, (2,)))
    fast, path = (lnegeom.geodesic(m, x, v, t_end=0.6, samples=4) for m in (metric, slow))
    assert fast.status == path.status == "completed"
    assert fast.error == 0 < path.error + 1e-300
    scale = {"rtol": 1e-8, "atol": 1e-8 * (1 + np.abs(path.points).max())}
    np.testing.assert_allclose(fast.points, path.points, **scale)
    np.testing.assert_allclose(fast.velocities, path.velocities, **scale)
    moved = lnegeom.parallel_transport(metric, x, 0.6 * v, w)
    np.testing.assert_allclose(moved, lnegeom.parallel_transport(slow, x, 0.6 * v, w), **scale)


@each
def test_exp_log_distance_of_tiny_and_zero_vectors(metric, to_point):
    x = to_point(np.array([[0.3, -0.2, 0.4], [0.0, 0.0, 0.0]]))
    v = np.array([0.3, 0.1, -0.2])
    zero = np.zeros(3)
    np.testing.assert_allclose(lnegeom.exp(metric, x, zero), x, rtol=1e-15)
    np.testing.assert_allclose(lnegeom.log(metric, x, x), 0, atol=1e-15)
    for size in (1e-3, 1e-5, 1e-7):  # where series take over, and around it
        y = lnegeom.exp(metric, x, size * v)
        np.testing.assert_allclose(lnegeom.log(metric, x, y), size * v + 0 * x, rtol=1e-14 / size, atol=1e-15)
        if not metric.signature[1]:
            np.testing.assert_allclose(
                lnegeom.distance(metric, x, y), metric.norm(x, size * v), rtol=1e-14 / size
            )


@each
def test_derivatives_pass_through_torch(metric, to_point):
    x = torch.tensor(to_point(np.array([0.3, -0.2, 0.4])), requires_grad=True)
    v = torch.tensor([0.2, 0.1, -0.1], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([0.5, 0.4, 0.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: lnegeom.exp(metric, a, b), (x, v))
    assert torch.autograd.gradcheck(lambda a, b, c: lnegeom.parallel_transport(metric, a, b, c), (x, v, w))
    y = lnegeom.exp(metric, x, v).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: lnegeom.log(metric, a, b), (x, y))
    # at zero, where norms have no derivative, exp and log have theirs
    jacobian = torch.func.jacrev(lambda u: lnegeom.exp(metric, x.detach(), u))(torch.zeros(3).double())
    torch.testing.assert_close(jacobian, torch.eye(3).double())
    jacobian = torch.func.jacrev(lambda p: lnegeom.log(metric, x.detach(), p))(x.detach())
    torch.testing.assert_close(jacobian, torch.eye(3).double())
    if not metric.signature[1]:
        slope = torch.func.grad(lambda p: lnegeom.distance(metric, x.detach(), p))(x.detach())
        torch.testing.assert_close(slope, torch.zeros(3).double())


def test_derivatives_pass_through_jax():
    jax = pytest.importorskip("jax")
    metric = lnegeom.PoincareBall(2)
    x, v = jax.numpy.asarray([0.1, 0.2]), jax.numpy.asarray([0.3, -0.1])
    jacobian = jax.jit(jax.jacfwd(lambda u: lnegeom.exp(metric, x, u)))(v)
    expected = torch.func.jacfwd(lambda u: lnegeom.exp(metric, torch.tensor([0.1, 0.2]), u))(
        torch.tensor([0.3, -0.1])
    )
    np.testing.assert_allclose(jacobian, expected, rtol=1e-5)


def test_great_circles_go_round():
    sphere = lnegeom.Sphere(2)
    x, v = np.array([0.3, 0.1]), np.array([0.5, -0.4])
    v /= sphere.norm(x, v)
    path = lnegeom.geodesic(sphere, x, v, t_end=2 * np.pi, samples=9)
    np.testing.assert_allclose(path.points[-1], x, atol=1e-14)
    y = sphere.embed(path.points)
    np.testing.assert_allclose(y[4], -y[0], atol=1e-14)  # halfway round
    np.testing.assert_allclose(
        y, np.cos(path.times)[:, None] * y[0] + np.sin(path.times)[:, None] * y[2], atol=1e-14
    )


@given(x=zoo.cube(2, ()), y=zoo.cube(2, ()))
def test_distances_of_the_textbooks(x, y):
    sphere, ball = lnegeom.Sphere(2, radius=1.5), lnegeom.PoincareBall(2)
    chord = np.linalg.norm(sphere.embed(x) - sphere.embed(y))
    np.testing.assert_allclose(lnegeom.distance(sphere, x, y), 3 * np.arcsin(min(1, chord / 3)), atol=1e-7)
    x, y = 0.6 * x, 0.6 * y
    cosh = 1 + 2 * np.sum((x - y) ** 2) / ((1 - x @ x) * (1 - y @ y))
    np.testing.assert_allclose(lnegeom.distance(ball, x, y), np.arccosh(cosh), rtol=1e-9, atol=1e-7)


def test_points_opposite_each_other():
    sphere = lnegeom.Sphere(3)
    x = np.array([0.3, 0.4, -1.0])
    opposite = -x / (x @ x)
    np.testing.assert_allclose(lnegeom.distance(sphere, x, opposite), np.pi, rtol=1e-15)
    near = lnegeom.exp(sphere, opposite, 1e-9 * np.array([1.0, 0, 0]))
    gap = np.pi - lnegeom.distance(sphere, x, near)
    np.testing.assert_allclose(gap, sphere.norm(opposite, [1e-9, 0, 0]), rtol=1e-5)
    with pytest.raises(
        lnegeom.GeometryError,
        match=r"x\[1\] = \[1, 0, 0\] and y\[1\] = \[-1, 0, 0\] are.*many, expected one; move",
    ):
        lnegeom.log(sphere, [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], [[0.1, 0.0, 0.0], [-1.0, 0.0, 0.0]])


def test_far_out_in_hyperbolic_space_and_up_its_steepest_geodesics():
    half = lnegeom.HalfSpace(2)
    np.testing.assert_allclose(lnegeom.exp(half, [0.0, 1.0], [0.0, 60.0]), [0, np.exp(60.0)], rtol=1e-13)
    up = lnegeom.exp(half, [0.0, 1.0], [1e-9, 30.0])  # cosh s − (k/h) sinh s cancels to 1e-13 of its terms
    np.testing.assert_allclose(lnegeom.distance(half, [0.0, 1.0], up), 30, rtol=1e-13)
    np.testing.assert_allclose(lnegeom.log(half, [0.0, 1.0], up), [1e-9, 30.0], rtol=1e-6)
    with pytest.raises(lnegeom.GeometryError, match="closer to its edge than floating numbers can tell"):
        lnegeom.exp(lnegeom.PoincareBall(2), [0.0, 0.0], [50.0, 0.0])


def in_many_digits(x, v, w):
    """The end of a geodesic of the ball, and w carried along it, by Möbius sums and their gyration."""
    x, v, w = (mpmath.matrix(a.astype(float).tolist()) for a in (x, v, w))

    def dot(a, b):
        return (a.T * b)[0]

    def plus(a, b):
        total = (1 + 2 * dot(a, b) + dot(b, b)) * a + (1 - dot(a, a)) * b
        return total / (1 + 2 * dot(a, b) + dot(a, a) * dot(b, b))

    length = mpmath.sqrt(dot(v, v))
    p = mpmath.tanh(length / (1 - dot(x, x))) / length * v
    end = plus(x, p)
    small = mpmath.mpf("1e-3") * w
    turned = plus(-end, plus(x, plus(p, small))) * 1000
    return end, turned * (1 - dot(end, end)) / (1 - dot(x, x))


@pytest.mark.parametrize(("dtype", "depth"), [("float32", 1e-2), ("float64", 1e-2), ("float64", 1e-6)])
def test_long_geodesics_from_edge_to_edge_of_the_ball(dtype, depth):
    ball, eps = lnegeom.PoincareBall(3), np.finfo(dtype).eps
    angles = np.array([0.01, 1.0, 2.0, 3.0, np.pi])
    x = np.array([1 - depth, 0, 0], dtype)
    y = (1 - depth) * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=-1).astype(dtype)
    v, w = lnegeom.log(ball, x, y), np.array([0.3, -0.5, 0.4], dtype)
    ends, moved = lnegeom.exp(ball, x, v), lnegeom.parallel_transport(ball, x, v, w)
    np.testing.assert_allclose(ends, y, rtol=0, atol=10 * eps / depth)
    with mpmath.workdps(60):
        for step, end, carried in zip(v, ends, moved, strict=True):
            for value, exact in zip((end, carried), in_many_digits(x, step, w), strict=True):
                gap = mpmath.matrix(value.astype(float).tolist()) - exact
                assert mpmath.norm(gap) < 10 * eps / depth * mpmath.norm(exact)


@pytest.mark.parametrize("size", [30.0, 1e200])
def test_an_end_that_rounding_puts_back_into_the_ball_is_refused(size):
    with pytest.raises(lnegeom.GeometryError, match="closer to its edge than floating numbers can tell"):
        lnegeom.exp(lnegeom.PoincareBall(2), [0.1, 0.2], [0.5 * size, size])


def test_log_cosh_is_straight_in_gudermannian_coordinates_and_leaves_in_finite_time():
    # math: y = (2/τ) arctan(tanh(τθ/2)) are Cartesian, each in (−π/2τ, π/2τ).
    metric = lnegeom.Hessian(lnegeom.LogCosh(TAU))
    x, v = np.array([0.3, -0.2]), np.array([1.1, 0.4])

    def flat(theta):
        return 2 / TAU * np.arctan(np.tanh(TAU * theta / 2))

    slope = v / np.cosh(TAU * x)
    leaving = (np.pi / (2 * TAU) - flat(x[0])) / slope[0]
    path = lnegeom.geodesic(metric, x, v, t_end=5.0, samples=501)
    assert path.status == "left"
    assert f"near t = {leaving:.6g}" in path.message
    assert path.times[-1] <= leaving < path.times[-1] + 0.01
    np.testing.assert_allclose(flat(path.points), flat(x) + path.times[:, None] * slope, atol=1e-13)
    with pytest.raises(lnegeom.GeometryError, match=r"leaves the manifold at t = 0\.5, before t = 1"):
        lnegeom.exp(metric, x, 2 * leaving * v)
    slow = lnegeom.geodesic(integrated(metric), x, v, t_end=5.0, samples=501)
    assert slow.status == "left"
    assert np.isfinite(slow.points).all()
    np.testing.assert_allclose(slow.times[-1], leaving, atol=0.02)


def test_log_cosh_holds_where_its_cartesian_coordinates_round_to_their_bound():
    metric = lnegeom.Hessian(lnegeom.LogCosh(1.0))
    x, y = np.array([50.0]), np.array([51.0])  # π/2 − y(50) = 4e-22
    v = lnegeom.log(metric, x, y)
    np.testing.assert_allclose(v, 1 - np.exp(-1.0), rtol=1e-12)  # cosh x (2e^{−x} − 2e^{−y})
    np.testing.assert_allclose(lnegeom.exp(metric, x, v), y, rtol=1e-14)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 0.1])
def test_log_cosh_keeps_the_digits_of_near_points(size):
    metric, x, y = lnegeom.Hessian(lnegeom.LogCosh(TAU)), 0.3, 0.3 + size
    with mpmath.workdps(40):
        start, end = (mpmath.atan(mpmath.sinh(mpmath.mpf(TAU) * z)) / TAU for z in (x, y))
        distance, log = end - start, (end - start) * mpmath.cosh(mpmath.mpf(TAU) * x)
    np.testing.assert_allclose(lnegeom.distance(metric, [y], [x]), float(distance), rtol=1e-14)
    np.testing.assert_allclose(lnegeom.log(metric, [x], [y]), [float(log)], rtol=1e-14)


@pytest.mark.parametrize(("x", "y", "expected"), [(-300, 100, np.pi), (100, 101, 0), (90, 90, 0)])
def test_log_cosh_distances_where_exponentials_overflow(x, y, expected):
    metric, points = lnegeom.Hessian(lnegeom.LogCosh(1.0)), np.array([[x], [y]], np.float32)
    np.testing.assert_allclose(lnegeom.distance(metric, *points), expected, rtol=1e-6)


def test_the_torus_takes_the_nearest_copy():
    torus = lnegeom.Torus([1.0, 2.0])
    np.testing.assert_allclose(lnegeom.log(torus, [0.1, 0.1], [0.9, 1.9]), [-0.2, -0.2])
    np.testing.assert_allclose(lnegeom.distance(torus, [0.1, 0.1], [0.9, 1.9]), 0.2 * 2**0.5)


def test_light_rays_in_minkowski_space_are_straight():
    path = lnegeom.geodesic(lnegeom.Minkowski(3), [0.0, 0, 0], [1.0, 1, 0], t_end=3.0, samples=4)
    np.testing.assert_allclose(path.points[-1], [3, 3, 0])


TOO_FAR = {
    "half-space": (lnegeom.HalfSpace(2), [0.0, 1.0], [0.0, 1000.0], 2),
    "ball": (lnegeom.PoincareBall(2), [0.0, 0.0], [20.0, 0.0], 4),
    "covariances": (lnegeom.SPD(2), [1.0, 0.0, 1.0], [1000.0, 0.0, 0.0], 3),
}


@pytest.mark.parametrize(("metric", "x", "v", "good"), TOO_FAR.values(), ids=TOO_FAR.keys())
def test_a_path_ends_where_floating_numbers_do(metric, x, v, good):
    path = lnegeom.geodesic(metric, x, v, samples=5)
    assert path.status == "left"
    assert path.message.endswith(f"floating numbers can tell from t = {good / 4:g} on")
    assert len(path.times) == len(path.points) == len(path.velocities) == good
    assert np.isfinite(path.velocities).all()
    metric.matrix(path.points)
    with pytest.raises(lnegeom.GeometryError, match="floating numbers can tell"):
        lnegeom.exp(metric, x, v)
