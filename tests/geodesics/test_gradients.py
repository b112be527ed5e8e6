"""First derivatives of integrated geodesics, against closed forms' and against differences."""

import copy

import array_api_compat
import numpy as np
import pytest
import torch
import zoo
from conftest import to_numpy

import lnegeom
from lnegeom.geodesics import _adjoint, _gradients, _ode
from lnegeom.geodesics._ode import Transport

RNG = np.random.default_rng(0)
X, V, W, U = RNG.uniform(-0.4, 0.4, (4, 2, 2))
UP = np.array([0.0, 1.5])


def integrated(metric):
    """The same space, whose geodesics the library does not know in closed form."""
    metric = copy.copy(metric)
    metric.closed_form_geodesics = False
    return metric


def half_space(x):
    xp = array_api_compat.array_namespace(x)
    one, zero = 1 / x[..., 1] ** 2, 0 * x[..., 1]
    return xp.stack([xp.stack([one, zero], axis=-1), xp.stack([zero, one], axis=-1)], axis=-2)


def field(metric, x, v, start, slope, exact=False):
    """A Jacobi field at time 1; the exact one is the derivative of exp along a curve of its arguments."""
    if not exact:
        return lnegeom.jacobi_field(metric, x, v, start, slope, samples=2).fields[..., -1, :]
    turn = slope - metric.christoffel_apply(x, start, v)
    return torch.func.jvp(lambda p, q: lnegeom.exp(metric, p, q), (x, v), (start, turn))[1]


def path(metric, x, v, **_):
    found = lnegeom.geodesic(metric, x, v, 0.8, samples=3)
    return torch.cat([found.points, found.velocities], dim=-1)


CALLS = {  # of points, velocities and vectors, and whether the second is a point
    "exp": (lambda m, *a, **_: lnegeom.exp(m, *a), 2, False),
    "log": (lambda m, *a, **_: lnegeom.log(m, *a), 2, True),
    "distance": (lambda m, *a, **_: lnegeom.distance(m, *a), 2, True),
    "logarithm": (lambda m, *a, **_: lnegeom.logarithm(m, *a).velocities, 2, True),
    "transport": (lambda m, *a, **_: lnegeom.parallel_transport(m, *a), 3, False),
    "path": (path, 2, False),
    "field": (field, 4, False),
}
SPACES = {"sphere": (lnegeom.Sphere(2), 0 * UP), "half-space": (lnegeom.HalfSpace(2), UP)}
each_call = pytest.mark.parametrize(("call", "count", "two_points"), CALLS.values(), ids=CALLS.keys())


def pulled(call, arrays):
    """The values, and derivatives by arrays of their sum with random weights."""
    given = [torch.tensor(a, requires_grad=True) for a in arrays]
    value = call(*given)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, tuple(value.shape))
    return value.detach(), torch.autograd.grad((value * torch.tensor(weights)).sum(), given)


def assert_same(call, exact, arrays, tolerance=1e-8):
    found, expected = pulled(call, arrays), pulled(exact, arrays)
    np.testing.assert_allclose(found[0], expected[0], atol=tolerance)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert theirs.abs().max() > 0.01
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


@each_call
@pytest.mark.parametrize(("metric", "shift"), SPACES.values(), ids=SPACES.keys())
def test_as_in_closed_form(metric, shift, call, count, two_points):
    arrays = [X + shift, V + shift if two_points else V, W, U][:count]
    general = integrated(metric)
    assert_same(lambda *a: call(general, *a), lambda *a: call(metric, *a, exact=True), arrays)


def test_of_a_plain_callable():
    plain = lnegeom.FromCallable(half_space, 2, vectorized=True)
    arrays = [X[:1] + UP, V[:1] + UP]
    assert_same(lambda *a: lnegeom.log(plain, *a), lambda *a: lnegeom.log(lnegeom.HalfSpace(2), *a), arrays)


def test_means():
    metric, points, weights = lnegeom.PoincareBall(2), 0.8 * X + 0.1 * W[:, :1], np.array([0.7, 0.4])

    def mean(m):
        def both(p, w):
            found = lnegeom.frechet_mean(m, p, weights=w, tolerance=1e-13)
            return torch.cat([found.point, found.variance[None]])

        return both

    assert_same(mean(integrated(metric)), mean(metric), [points, weights], tolerance=1e-7)


DUAL = lnegeom.KL(lnegeom.Categorical(3)).connections().alpha(0.5)


@pytest.mark.parametrize("name", ["exp", "log", "transport"])
def test_of_dual_connections_against_differences(name):
    call, count, _ = CALLS[name]
    arrays = [X, V, W][:count]
    value, slopes = pulled(lambda *a: call(DUAL, *a), arrays)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, tuple(value.shape))
    along = RNG.uniform(-1, 1, (count, 2, 2))

    def total(s):
        return (weights * call(DUAL, *(a + s * d for a, d in zip(arrays, along, strict=True)))).sum()

    step = 1e-2
    expected = (8 * (total(step) - total(-step)) - total(2 * step) + total(-2 * step)) / (12 * step)
    found = sum(float((slope.numpy() * d).sum()) for slope, d in zip(slopes, along, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


CONNECTIONS = [
    *zoo.METRICS,
    *(zoo.Species(lnegeom.KL(f.thing).connections(), f.dim, f.to_point) for f in zoo.FAMILIES),
    zoo.Species(lnegeom.CallableDivergence(zoo.skewed, 2).connections(), 2, zoo.scaled(1)),
]


@pytest.mark.parametrize("species", CONNECTIONS, ids=repr)
def test_the_transpose_of_the_slope_against_differences_of_numpy(species):
    n = species.dim
    x = species.to_point(RNG.uniform(-1, 1, (1, n)))
    states = np.stack([x, *RNG.uniform(-0.3, 0.3, (2, 1, n))], axis=1)
    covectors, along = RNG.uniform(-1, 1, (2, *states.shape))
    adjoint = _adjoint.Adjoint(species.thing, torch.zeros(n, dtype=torch.float64))
    rate, pulled = adjoint.rates(states, covectors)
    slope = Transport(species.thing, np.zeros(n)).slope

    def total(s):
        return (slope((states + s * along).reshape(1, -1)) * covectors.reshape(1, -1)).sum()

    np.testing.assert_allclose(rate.reshape(1, -1), slope(states.reshape(1, -1)), atol=1e-7)
    step = 1e-4
    expected = (8 * (total(step) - total(-step)) - total(2 * step) + total(-2 * step)) / (12 * step)
    np.testing.assert_allclose((pulled * along).sum(), expected, rtol=1e-7, atol=1e-7)


def test_batch_axes_broadcast_and_a_frame_is_carried_along_one_geodesic():
    metric = lnegeom.Sphere(2)
    arrays = [X[0], V[:, None], np.stack([W, U])[:, :, None] + np.zeros((1, 1, 3, 1))]

    def carried(m):
        return lambda x, v, w: lnegeom.parallel_transport(m, x, v[0], w)

    assert_same(carried(integrated(metric)), carried(metric), arrays)


def test_logarithms_in_many_dimensions_form_no_matrix(monkeypatch):
    metric, n = lnegeom.Sphere(60), 60
    x, y = RNG.uniform(-1, 1, (2, 1, n)) / n**0.5
    monkeypatch.setattr(_gradients, "_exp_slopes", None)
    general = integrated(metric)
    assert_same(lambda *a: lnegeom.log(general, *a), lambda *a: lnegeom.log(metric, *a), [x, y])


def test_transforms_of_torch():
    metric, general = lnegeom.Sphere(2), integrated(lnegeom.Sphere(2))
    x, y = torch.tensor(X), torch.tensor(V)
    for function in (lnegeom.exp, lnegeom.log, lnegeom.distance):
        found = torch.func.vmap(torch.func.jacrev(function, argnums=(1, 2)), in_dims=(None, 0, 0))
        for ours, theirs in zip(found(general, x, y), found(metric, x, y), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-9)
    mapped = torch.func.vmap(lambda p: lnegeom.exp(general, p, y))(x)  # of every point along every velocity
    np.testing.assert_allclose(mapped, lnegeom.exp(metric, x[:, None], y), atol=1e-9)
    with pytest.raises(lnegeom.GeometryError, match=r"^at x\[1, 0\]: the geodesic leaves"):
        torch.func.vmap(lambda s: lnegeom.exp(lnegeom.LNE(1.0), x, s * y))(torch.tensor([0.1, 9.0]))
    with pytest.raises(lnegeom.InputError, match="traced"):
        torch.func.vmap(lambda p: lnegeom.geodesic(general, p, y).points)(x)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of what it does itself
def test_torch_compile_does_not_trace_the_solver(monkeypatch):
    metric, traced, march = lnegeom.LNE(0.7), [], _ode.march

    def noting(*arguments, **options):
        traced.append(torch.compiler.is_compiling())
        return march(*arguments, **options)

    def product(x, y):
        return lnegeom.exp(metric, x, y) * lnegeom.log(metric, x, y)

    monkeypatch.setattr(_ode, "march", noting)
    torch.compiler.reset()
    assert_same(torch.compile(product, backend="eager"), product, (X, V), tolerance=1e-14)
    assert traced
    assert not any(traced)


def test_single_precision_stays():
    x = torch.tensor(X, dtype=torch.float32, requires_grad=True)
    lnegeom.log(integrated(lnegeom.Sphere(2)), x, torch.tensor(V, dtype=torch.float32)).sum().backward()
    assert x.grad.dtype == torch.float32
    exact = torch.tensor(X, requires_grad=True)
    lnegeom.log(lnegeom.Sphere(2), exact, torch.tensor(V)).sum().backward()
    np.testing.assert_allclose(x.grad, exact.grad, atol=1e-5)


def test_the_distance_of_a_point_to_itself_has_slope_zero_as_in_closed_form():
    slopes = pulled(lambda x, y: lnegeom.distance(integrated(lnegeom.Sphere(2)), x, y), [X, X])[1]
    assert not any(slope.any() for slope in slopes)


def test_small_cotangents_keep_their_digits():
    x = torch.tensor(X, requires_grad=True)
    end = lnegeom.exp(integrated(lnegeom.Sphere(2)), x, torch.tensor(V))
    whole, small = (torch.autograd.grad(s * end.sum(), x, retain_graph=True)[0] for s in (1.0, 1e-12))
    np.testing.assert_allclose(small, 1e-12 * whole, rtol=1e-14)


def test_where_nobody_asks_for_derivatives_none_are_prepared(monkeypatch):
    monkeypatch.setattr(_adjoint, "_transposed", None)
    x, v = torch.tensor(X, requires_grad=True), torch.tensor(V)
    metric = integrated(lnegeom.Sphere(2))
    with torch.no_grad():
        lnegeom.exp(metric, x, v)
    for function in (lnegeom.exp, lnegeom.log, lnegeom.distance):
        function(metric, x.detach(), v)
    with pytest.raises(TypeError):
        lnegeom.exp(metric, x, v)


def test_refusals_come_with_the_call_or_name_the_order():
    metric, x, v = integrated(lnegeom.Sphere(2)), torch.tensor(X, requires_grad=True), torch.tensor(V)
    slope = torch.autograd.grad(lnegeom.exp(metric, x, v).sum(), x, create_graph=True)[0]
    with pytest.raises(lnegeom.InputError, match="second derivatives of integrated geodesics are not known"):
        slope.sum().backward()
    black_box = lnegeom.FromCallable(half_space, 2, vectorized=True, derivatives="finite")
    above = torch.tensor(X + UP, requires_grad=True)
    with pytest.raises(lnegeom.InputError, match=r"geodesics of FromCallable.* cannot be differentiated"):
        lnegeom.exp(black_box, above, v)
    with pytest.raises(lnegeom.InputError, match=r"requires grad.*detach it"):
        lnegeom.conjugate_point(metric, x, v, 1.0)
    with pytest.raises(lnegeom.InputError, match="no derivatives in forward mode"):
        torch.func.jvp(lambda p: lnegeom.exp(metric, p, v), (torch.tensor(X),), (v,))
    with pytest.raises(lnegeom.InputError, match=r"t_end has no derivatives.*requires grad"):
        lnegeom.geodesic(metric, x, v, torch.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize(("call", "count"), [(c, n) for c, n, _ in CALLS.values()], ids=CALLS)
@pytest.mark.parametrize("traced", [False, True])
def test_tensors_that_the_metric_depends_on_lose_no_derivative_silently(call, count, traced):
    rate = torch.tensor(1.1, dtype=torch.float64, requires_grad=True)
    bent = lnegeom.FromCallable(lambda x: torch.diag(torch.stack([1 + x[1] ** 2, torch.exp(rate * x[0])])), 2)
    given = [torch.tensor(a[0], requires_grad=traced) for a in (X, V, W, U)[:count]]
    with pytest.raises(lnegeom.InputError, match="depends on tensors that require grad"):
        call(bent, *given)
    if not traced:
        with torch.no_grad():
            assert torch.isfinite(call(bent, *given)).all()


def test_distances_need_no_derivative_of_the_metric_that_differences_cannot_give():
    black_box = lnegeom.FromCallable(half_space, 2, vectorized=True, derivatives="finite")
    exact = lnegeom.HalfSpace(2)
    arrays = [X[:1] + UP, V[:1] + UP]
    assert_same(lambda *a: lnegeom.distance(black_box, *a), lambda *a: lnegeom.distance(exact, *a), arrays)


def test_a_path_that_leaves_keeps_the_derivatives_of_what_was_reached():
    flat = lnegeom.Hessian(lnegeom.LogCosh(1.0))

    class Integrated(lnegeom.Hessian):
        closed_form_geodesics = False

    general = Integrated(lnegeom.LogCosh(1.0))
    arrays = [X, np.array([[3.0, 0.1], [0.2, 0.1]])]
    reached = lnegeom.geodesic(flat, *arrays, samples=5).reached.tolist()
    assert reached[0] < reached[1] == 5

    def points(m):
        return lambda x, v: lnegeom.geodesic(m, x, v, samples=5).points

    assert_same(points(general), points(flat), arrays)


def test_jax():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    metric = lnegeom.LNE(0.7)
    slope = jax.grad(lambda x, y: lnegeom.distance(metric, x, y))
    given = torch.tensor(X, requires_grad=True)
    lnegeom.distance(metric, given, torch.tensor(V)).sum().backward()
    points = [jax.numpy.asarray(array) for array in (X, V)]
    np.testing.assert_allclose(to_numpy(jax.jit(jax.vmap(slope))(*points)), given.grad, atol=1e-9)
    with pytest.raises(lnegeom.InputError, match="second derivatives of integrated geodesics are not known"):
        jax.vmap(jax.jacrev(slope))(*points)
