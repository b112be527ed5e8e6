"""Derivatives of users' functions: each source against exact ones."""

import sys

import numpy as np
import pytest
import torch
import zoo
from conftest import in_single_precision
from hypothesis import given
from hypothesis import strategies as st

import lnegeom
from lnegeom.derivatives import jet
from lnegeom.derivatives._automatic import FEW
from lnegeom.derivatives._jet import hessian_apply

RNG = np.random.default_rng(0)

POINTS = np.array([[0.3, -0.5, 1.0], [2.0, 0.1, -1.0]])


def field(x):
    module = torch if isinstance(x, torch.Tensor) else np
    return module.stack([module.sin(x[0] * x[1]), module.exp(x[2]) * x[0] ** 3])


def exact():
    a, b, c = POINTS.T
    zero, e = 0 * a, np.exp(c)
    first = np.array([[b * np.cos(a * b), a * np.cos(a * b), zero], [3 * a**2 * e, zero, a**3 * e]])
    cross = np.cos(a * b) - a * b * np.sin(a * b)
    second = np.array(
        [
            [
                [-(b**2) * np.sin(a * b), cross, zero],
                [cross, -(a**2) * np.sin(a * b), zero],
                [zero, zero, zero],
            ],
            [[6 * a * e, zero, 3 * a**2 * e], [zero, zero, zero], [3 * a**2 * e, zero, a**3 * e]],
        ]
    )
    return np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)


@pytest.mark.parametrize(
    ("points", "source", "used", "tolerance"),
    [
        (POINTS, "auto", "finite", 1e-9),
        (POINTS, "torch", "torch", 1e-13),
        (torch.from_numpy(POINTS), "auto", "torch", 1e-13),
        (torch.from_numpy(POINTS), "finite", "finite", 1e-9),
    ],
)
def test_each_source_is_exact_to_its_order(points, source, used, tolerance):
    found = jet(field, points, derivatives=source)
    first, second = exact()
    assert found.source == used
    assert type(found.second) is type(points)
    np.testing.assert_allclose(found.first, first, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.second, second, rtol=tolerance, atol=tolerance)
    error = np.abs(np.asarray(found.second) - second).max()
    if used == "finite":
        assert error / 100 < found.error < 1e-8  # an estimate of the error's size
    else:
        assert found.error == 0


@given(scale=st.floats(-3, 3), place=st.floats(-5, 5))
def test_finite_differences_find_their_step_at_any_scale(scale, place):
    k = 10.0**scale
    found = jet(lambda x: np.sin(k * x[0]), np.array([place]))
    np.testing.assert_allclose(found.second[0, 0], -(k**2) * np.sin(k * place), rtol=1e-6, atol=1e-6 * k**2)


def test_vectorized_functions_are_called_once_a_step_and_agree():
    calls = []

    def both(x):
        calls.append(x.shape)
        return np.stack([np.sin(x[..., 0] * x[..., 1]), np.exp(x[..., 2]) * x[..., 0] ** 3], axis=-1)

    one, all_ = jet(field, POINTS), jet(both, POINTS, vectorized=True)
    np.testing.assert_allclose(one.second, all_.second, rtol=1e-12, atol=1e-14)  # exp of one and of many
    assert len(calls) < 20


def test_single_precision_is_differenced_in_double():
    found = jet(lambda x: np.cos(x[0]) * x[1], np.array([0.5, 2.0], dtype=np.float32))
    assert found.second.dtype == np.float32
    np.testing.assert_allclose(found.second[0, 0], -2 * np.cos(0.5), rtol=1e-6)


def test_jax_in_single_precision_is_differenced_in_double():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    x = jnp.asarray(np.array([0.5, 2.0], dtype=np.float32))
    with in_single_precision(jax):
        found = jet(lambda y: jnp.cos(y[0]) * y[1], x, derivatives="finite")
    assert found.second.dtype == np.float32
    np.testing.assert_allclose(found.second[0, 0], -2 * np.cos(0.5), rtol=1e-6)


def by_assignment(x):
    g = torch.eye(2, dtype=x.dtype)
    g[0, 0] = 2 + torch.sin(x[0])
    return g


TO_ONE_POINT_ONLY = {
    "assignment": by_assignment,
    "item": lambda x: torch.diag(torch.tensor([2 + np.sin(x[0].item()), 1.0], dtype=x.dtype)),
    "lists": lambda x: [[2 + torch.sin(x[0]), 0.0], [0.0, 1.0]],
    "numpy": lambda x: np.diag([2 + np.sin(float(x[0])), 1.0]),
}


@pytest.mark.parametrize("function", TO_ONE_POINT_ONLY.values(), ids=TO_ONE_POINT_ONLY.keys())
def test_a_function_that_torch_cannot_map_is_named_and_the_remedy_works(function):
    x = torch.tensor([[0.3, 0.2], [0.1, 0.4]], dtype=torch.float64)
    with pytest.raises(
        lnegeom.InputError, match=r"torch could not map the function.*pass derivatives='finite'"
    ):
        lnegeom.FromCallable(function, 2).matrix(x)
    found = lnegeom.FromCallable(function, 2, derivatives="finite").derivatives_at(x)
    np.testing.assert_allclose(found.value[:, 0, 0], 2 + torch.sin(x[:, 0]))
    np.testing.assert_allclose(found.second[:, 0, 0, 0, 0], -torch.sin(x[:, 0]), atol=1e-8)


def test_a_function_of_torch_arrays_takes_numpy_points_where_torch_is_asked_for():
    metric = lnegeom.FromCallable(lambda x: torch.diag(torch.exp(x)), 2, derivatives="torch")
    np.testing.assert_allclose(metric.matrix([0.0, 1.0]), np.diag([1.0, np.e]))
    assert abs(metric.scalar_curvature([0.0, 1.0])) < 1e-14


@pytest.mark.parametrize("trace", [False, True])
def test_derivatives_are_the_same_in_torchs_inference_mode(trace):
    scale = torch.ones(2, dtype=torch.float64, requires_grad=True)
    metric = lnegeom.FromCallable(lambda x: torch.diag(torch.exp(scale * x.flip(0))), 2, trace=trace)
    divergence = lnegeom.FromDivergence(lambda p, q: ((scale * (p - q)) ** 2 * torch.exp(p)).sum(), 2)
    x = torch.tensor([[0.3, 0.2], [0.1, 0.4]], dtype=torch.float64)

    def found(y):
        slope = lnegeom.derivatives.gradient(lambda z: torch.sin(scale @ z), y)
        return metric.christoffel(y), divergence.matrix(y), slope

    with torch.inference_mode():
        inside = [found(y) for y in (x, x + 0)]  # the second are tensors of that mode
    for results in inside:
        assert not any(result.requires_grad for result in results)
        torch.testing.assert_close(results, found(x), rtol=1e-12, atol=1e-14)
    assert all(float(result.detach().abs().max()) > 1e-3 for result in found(x))


def test_a_step_out_of_the_domain_is_taken_again_shorter():
    found = jet(lambda x: np.log(x[0]), np.array([0.01]))
    np.testing.assert_allclose(found.second[0, 0], -1e4, rtol=1e-8)


SCALES = {  # functions whose smooth scale is far from the point's, with both derivatives there
    "a pole, near": (lambda x: 1 / x[0] ** 2, 0.01, -2e6, 6e8),
    "a pole, very near": (lambda x: 1 / x[0] ** 2, 1e-6, -2e18, 6e24),
    "far out": (lambda x: np.sin(x[0]), 100.0, np.cos(100.0), -np.sin(100.0)),
    "farther out": (lambda x: np.sin(x[0]), 1e4, np.cos(1e4), -np.sin(1e4)),
    "a whole number of periods": (lambda x: np.cos(20 * np.pi * x[0]), 0.3, 0.0, -((20 * np.pi) ** 2)),
    "an essential singularity": (
        lambda x: np.exp(-1 / x[0]),
        0.02,
        np.exp(-50.0) * 50**2,
        np.exp(-50.0) * (50**4 - 2 * 50**3),
    ),
    "no slope": (lambda x: x[0] ** 4, 0.0, 0.0, 0.0),
    "a constant": (lambda x: 3.0, 7.0, 0.0, 0.0),
}


@pytest.mark.parametrize(("function", "place", "first", "second"), SCALES.values(), ids=SCALES.keys())
def test_differences_shorten_their_step_until_the_function_is_smooth(function, place, first, second):
    found = jet(function, np.array([place]))
    np.testing.assert_allclose(found.first[0], first, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.second[0, 0], second, rtol=1e-6, atol=1e-12)
    assert abs(found.second[0, 0] - second) <= 100 * found.error + 1e-12 * abs(second)
    np.testing.assert_allclose(
        jet(function, np.array([place]), order=1).first[0], first, rtol=1e-6, atol=1e-9
    )


def test_metrics_by_differences_have_the_curvature_of_their_smooth_scale():
    half_plane = lnegeom.FromCallable(lambda x: np.eye(2) / x[1] ** 2, 2)
    np.testing.assert_allclose(half_plane.scalar_curvature([[0, 0.01], [3.0, 1e-4]]), -2, rtol=1e-6)
    ripple = lnegeom.FromCallable(lambda x: np.eye(2) * np.exp(0.2 * np.sin(100 * x[0])), 2)
    exact = 2000 * np.sin(30.0) * np.exp(-0.2 * np.sin(30.0))  # −e^{−u} Δu of g = e^u δ
    np.testing.assert_allclose(ripple.scalar_curvature([0.3, 0]), exact, rtol=1e-6)


def test_differences_that_do_not_settle_are_refused_with_their_point_and_error():
    def edge(x):
        return abs(x[0]) ** 1.5  # without a second derivative at 0

    with pytest.raises(
        lnegeom.GeometryError, match=r"do not settle at x\[1, 0\] = \[0\.\]:.*'torch'"
    ) as error:
        jet(edge, np.array([[[1.0]], [[0.0]]]))
    assert error.value.index == (1, 0)
    assert error.value.value > 0
    noise = np.random.default_rng(0)
    with pytest.raises(lnegeom.GeometryError, match="keep an error of"):
        jet(lambda x: x[0] + 0.1 * noise.normal(), np.array([0.3]), order=1)


def distance(p, q):
    return ((p - q) ** 2).sum() + ((p - q) ** 4).sum() + ((p - q) ** 2).sum() * (p**2).sum()


def saddle(x):
    return torch.sin(x[0]) * x[1]


DERIVED = {
    "callable": lambda source: lnegeom.FromCallable(
        lambda x: torch.diag(torch.exp(x)), 2, derivatives=source
    ),
    "divergence": lambda source: lnegeom.FromDivergence(distance, 2, derivatives=source),
    "pullback": lambda source: lnegeom.Pullback(
        lambda x: torch.stack([x[0], x[1], x[0] * x[1]]), 2, derivatives=source
    ),
    "graph": lambda source: lnegeom.Graph(saddle, derivatives=source),
    "conformal": lambda source: lnegeom.Conformal(saddle, derivatives=source),
    "warped": lambda source: lnegeom.Warped(
        lnegeom.Euclidean(2), lnegeom.Sphere(2), lambda x: 2 + saddle(x), derivatives=source
    ),
}


@pytest.mark.parametrize("build", DERIVED.values(), ids=DERIVED.keys())
def test_a_metric_tells_its_source_and_error(build):
    x = torch.tensor([[0.3, 0.4, 0.5, 0.6][: build("auto").dim or 2]], dtype=torch.float64)
    exact, found = build("auto").derivatives_at(x), build("finite").derivatives_at(x)
    assert (exact.source, exact.error, found.source) == ("torch", 0.0, "finite")
    assert 0 <= found.error < 1e-5
    there = build("torch").derivatives_at(x.numpy())
    assert (there.source, type(there.second)) == ("torch", np.ndarray)
    for name in ("value", "first", "second"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=1e-6, atol=1e-6)


def test_metrics_made_of_others_tell_of_each():
    f, surface = lnegeom.LogCosh(0.7), lnegeom.Graph(saddle, derivatives="finite")
    x = torch.tensor([[0.3, 0.4, 0.5]], dtype=torch.float64)
    parts = lnegeom.Product(surface, lnegeom.LNE(1.0), dims=(2, 1)).derivatives_at(x)
    assert parts[0].source == "finite"
    assert parts[1] is None
    torch.testing.assert_close(parts[0].second, surface.derivatives_at(x[:, :2]).second)
    conformal = lnegeom.Conformal(f, surface)
    found = conformal.derivatives_at(x[:, :2])
    assert (found.source, found.error) == ("closed form", 0.0)
    torch.testing.assert_close(found.second, f.hessian(x[:, :2]))
    assert conformal.base.derivatives_at(x[:, :2]).source == "finite"


def test_gradients_flow_through():
    x = torch.tensor([0.3, 0.4, 0.5], dtype=torch.float64, requires_grad=True)
    jet(field, x).second.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().max() > 0


BAD = {
    "unknown source": (
        lambda: jet(field, POINTS, derivatives="guess"),
        "must be one of auto, torch, jax, finite",
    ),
    "not defined": (
        lambda: jet(lambda x: np.log(x[0] - 9), POINTS),
        r"no finite derivatives by differences at x\[0\]",
    ),
    "numpy in torch": (
        lambda: jet(lambda x: np.sin(x.numpy()), torch.from_numpy(POINTS)),
        r"torch could not .* the function",
    ),
    "metric of the wrong shape": (
        lambda: lnegeom.FromCallable(lambda x: np.eye(3), 2).matrix([0.0, 0.0]),
        r"returned shape \(3, 3\) for points \(2,\): expected \(2, 2\) at each point",
    ),
    "asymmetric": (
        lambda: lnegeom.FromCallable(lambda x: np.array([[1.0, 0.1], [0.0, 1.0]]), 2).matrix([[0.0, 0.0]]),
        r"g\[0\] is asymmetric by 0.1: expected g = gᵀ",
    ),
    "not definite": (
        lambda: lnegeom.FromCallable(lambda x: np.diag([1.0, x[0]]), 2).matrix([[1.0, 0.0], [-2.0, 0.0]]),
        r"g\[1\] has eigenvalue -2: expected a positive one, all but 0",
    ),
    "not Lorentzian": (
        lambda: lnegeom.FromCallable(lambda x: np.eye(2), 2, negative=1).matrix([0.0, 0.0]),
        r"g has eigenvalue 1: expected a negative one, 1 in all",
    ),
    "nan": (
        lambda: lnegeom.FromCallable(lambda x: np.eye(2) * np.nan, 2).matrix([0.0, 0.0]),
        r"g\[0, 0\] is nan",
    ),
    "half precision": (
        lambda: lnegeom.FromCallable(lambda x: torch.diag(torch.exp(x)), 2).matrix(torch.ones(2).half()),
        "g has dtype torch.float16: expected float32 or float64",
    ),
    "not a function": (lambda: lnegeom.FromCallable(np.eye(2), 2), "expected a function of a point"),
    "sign": (lambda: lnegeom.Graph(lnegeom.LogCosh(1.0), sign=2), r"sign must be 1 \(Euclidean\) or -1"),
    "not space-like": (
        lambda: lnegeom.Graph(lnegeom.SquaredNorm(), sign=-1).matrix([[0.5, 0.5], [1.0, 1.0]]),
        r"not space-like at x\[1\]: \|dphi\|\^2 = 2, expected below 1",
    ),
    "no base": (lambda: lnegeom.Conformal(np.cos, 3), "base must be a Metric, got 3"),
    "no factor": (lambda: lnegeom.Product(3), r"expected one metric or more, got \(3,\)"),
    "open dimension": (
        lambda: lnegeom.Product(lnegeom.LNE(1.0)),
        "has no dimension of its own; name all of them",
    ),
    "wrong dims": (lambda: lnegeom.Product(lnegeom.Sphere(2), dims=(3,)), "has dimension 2, not 3"),
    "off the sphere": (
        lambda: lnegeom.Sphere(2).project([1.0, 1.0, 0.0]),
        r"y has length 1.41421: expected the radius",
    ),
    "the north pole": (lambda: lnegeom.Sphere(2).project([0.0, 0.0, 1.0]), r"y is the north pole"),
    "outside the ball": (
        lambda: lnegeom.PoincareBall(2).matrix([0.9, 0.9]),
        r"x has \|x\|\^2 = 1.62: expected it below",
    ),
    "below the half-space": (
        lambda: lnegeom.HalfSpace(2).matrix([0.0, -1.0]),
        r"last coordinate -1: expected it positive",
    ),
    "inside the horizon": (
        lambda: lnegeom.Kerr(1.0, 0.6).matrix([0.0, 1.5, 1.0, 0.0]),
        r"x has r = 1.5: expected it outside the horizon, 1.8",
    ),
    "no horizon": (lambda: lnegeom.Kerr(1.0, 1.0), "spin must be below the mass 1.0 in size, got 1.0"),
    "chi": (lambda: lnegeom.NormalizedLNE(1.0), r"chi must be in \[0, 1\), got 1.0; g is singular"),
    "flat embedding": (
        lambda: lnegeom.Pullback(lambda x: np.stack([x[0], x[0]]), 2).matrix([1.0, 1.0]),
        r"g has eigenvalue .*: expected a positive one",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("species", [s for s in zoo.METRICS if s.tolerance <= 1e-10], ids=repr)
def test_torch_maps_curvature_over_points(species):
    metric, points = species.thing, torch.tensor(species.to_point(RNG.uniform(-1, 1, (2, species.dim))))
    for call in (metric.christoffel, metric.riemann, metric.ricci, metric.scalar_curvature):
        torch.testing.assert_close(torch.func.vmap(call)(points), call(points))


def test_a_source_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax.numpy", None)
    with pytest.raises(lnegeom.InputError, match=r"needs jax: pip install .lnegeom\[jax\]"):
        jet(field, POINTS, derivatives="jax")


@pytest.mark.parametrize("points", [POINTS, torch.from_numpy(POINTS)], ids=["finite", "torch"])
def test_first_derivatives_alone(points):
    found = jet(field, points, order=1)
    assert found.second is None
    np.testing.assert_allclose(found.first, exact()[0], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found.value, jet(field, points).value)


def test_single_precision_stays_single():
    # torch's forward mode makes tangents of 0.3 * x[0] doubles
    x = torch.tensor([0.5, 1.0])
    for order in (1, 2):
        found = jet(lambda x: torch.stack([torch.exp(0.3 * x[0]), x[1]]), x, order=order)
        parts = [found.value, found.first] + [found.second] * (order == 2)
        assert all(part.dtype == torch.float32 for part in parts)


def test_differences_refuse_points_whose_gradient_they_would_lose():
    metric = lnegeom.FromCallable(lambda x: torch.diag(2 + torch.sin(x)), 2, derivatives="finite")
    x = torch.tensor([0.3, 0.4], dtype=torch.float64, requires_grad=True)
    with pytest.raises(lnegeom.InputError, match="x requires grad, and finite differences would lose it"):
        metric.scalar_curvature(x)
    with torch.no_grad():
        assert not metric.scalar_curvature(x).requires_grad


@pytest.mark.parametrize("order", [1, 2])
def test_torchs_small_jets_are_those_of_many_points(order):
    """Which are taken in another mode."""
    x = np.random.default_rng(0).uniform(-1, 1, (3, 3))
    many = np.concatenate([x] * (FEW // 100))
    modes = []

    def noting(y):
        transform = torch._C._functorch.peek_interpreter_stack()
        modes.append(transform and transform.key().name)
        return zoo.wavy(y)

    few, whole = (jet(noting, torch.from_numpy(at), vectorized=True, order=order) for at in (x, many))
    assert modes == [None, "Grad", "Jvp"]  # the first time, to see how many outputs there are
    for name in ("value", "first", "second")[: order + 1]:
        np.testing.assert_allclose(getattr(few, name), getattr(whole, name)[:3], atol=1e-14, err_msg=name)


@pytest.mark.parametrize("vectorized", [False, True])
@pytest.mark.parametrize("source", ["torch", "jax", "finite"])
def test_second_derivatives_along_vectors(source, vectorized):
    jax = pytest.importorskip("jax")

    def function(x):
        xp = {torch.Tensor: torch, np.ndarray: np}.get(type(x), jax.numpy)
        return xp.sin(x[..., 0] * x[..., 1]) + x[..., 2] ** 3

    a, b, c = POINTS.T
    v = np.array([0.5, -1.0, 2.0])  # one for both points
    cross, bend = np.cos(a * b) - a * b * np.sin(a * b), -np.sin(a * b)
    expected = [b**2 * bend * v[0] + cross * v[1], cross * v[0] + a**2 * bend * v[1], 6 * c * v[2]]
    found = hessian_apply(function, POINTS, v, derivatives=source, vectorized=vectorized)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, np.stack(expected, axis=-1), atol={"torch": 1e-14}.get(source, 1e-5))


def test_a_graph_of_a_function_of_many_variables_needs_no_square_matrix():
    n = 200_000  # a Hessian would take 320 GB
    x = torch.linspace(-0.01, 0.01, n, dtype=torch.float64)
    v = torch.ones_like(x)
    for trace in (False, True):
        metric = lnegeom.Graph(lambda y: torch.log(torch.cosh(y)).sum(), trace=trace)
        known = lnegeom.Graph(lnegeom.LogCosh(1.0)).christoffel_apply(x, v, v)
        np.testing.assert_allclose(metric.christoffel_apply(x, v, v), known, rtol=1e-11)
