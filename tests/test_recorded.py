"""Metrics whose derivatives are recorded: the same as without, and what cannot be recorded is refused."""

import pickle

import numpy as np
import pytest
import torch

import lnegeom

X = torch.tensor([[0.3, 0.7], [0.9, 0.2], [0.5, 0.4]], dtype=torch.float64)


def hill(x):
    return torch.exp(-x @ x)


def sphere(x):
    flat = torch.sin(x[0])
    return torch.stack([flat * torch.cos(x[1]), flat * torch.sin(x[1]), torch.cos(x[0])])


def bumpy(x):
    return torch.diag(2 + torch.sin(x)) + torch.outer(torch.cos(x), torch.cos(x)) / 10


def distance(p, q):
    return (p - q) @ (p - q) * (1 + p @ p)


BUILDS = {
    "callable": lambda trace: lnegeom.FromCallable(bumpy, 2, trace=trace),
    "pullback": lambda trace: lnegeom.Pullback(sphere, 2, trace=trace),
    "graph": lambda trace: lnegeom.Graph(hill, trace=trace),
    "conformal": lambda trace: lnegeom.Conformal(hill, trace=trace),
    "warped": lambda trace: lnegeom.Warped(
        lnegeom.Euclidean(1), lnegeom.Euclidean(1), lambda t: 2 + torch.sin(t[0]), trace=trace
    ),
    "divergence": lambda trace: lnegeom.FromDivergence(distance, 2, trace=trace),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
def test_a_record_gives_what_the_transforms_give_at_any_batch(build):
    plain, traced = build(False), build(True)
    assert repr(traced) == repr(plain)

    def check(name, x):
        torch.testing.assert_close(getattr(traced, name)(x), getattr(plain, name)(x), rtol=1e-13, atol=1e-13)

    check("matrix", X)
    check("ricci", X)
    for x in (X, X[0], X[:, None].flip(0)):
        check("christoffel", x)


def test_dual_connections_of_a_recorded_divergence():
    plain, traced = (lnegeom.CallableDivergence(distance, 2, trace=t).connections() for t in (False, True))
    torch.testing.assert_close(traced.christoffel(X), plain.christoffel(X), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(traced.curvature(X), plain.curvature(X), rtol=1e-13, atol=1e-13)


def by_assignment(x):
    g = torch.zeros_like(torch.outer(x, x)) + 0 * x[0]
    g[0, 0] = 2 + torch.sin(x[0] * x[1])
    g[1, 1].fill_(3.0)
    g[1, 1] += x[0] ** 2
    return g


def by_layout(x):
    rows = (torch.outer(x, torch.exp(x)) + torch.outer(torch.exp(x), x)).T.contiguous().view(-1)
    return (rows / 10 + torch.eye(2, dtype=x.dtype).reshape(-1)).view(2, 2)


def by_linear_algebra(x):
    g = 2 * torch.eye(2, dtype=x.dtype) + torch.outer(x, x)
    return torch.linalg.inv(g) + torch.linalg.cholesky(g)[0, 0] * torch.eye(2, dtype=x.dtype)


def by_choice(x):
    return torch.where(x[0] > 0.4, bumpy(x), by_layout(x))


@pytest.mark.parametrize("function", [by_assignment, by_layout, by_linear_algebra, by_choice])
def test_ways_to_write_a_function(function, capfd):
    plain, traced = (lnegeom.FromCallable(function, 2, trace=trace) for trace in (False, True))
    expected = plain.christoffel(X)
    capfd.readouterr()
    torch.testing.assert_close(traced.christoffel(X), expected, rtol=1e-12, atol=1e-12)
    assert "performance drop" not in capfd.readouterr().err  # of operations that vmap has to loop over


def test_later_calls_replay_the_record():
    calls = []

    def counted(x):
        calls.append(x)
        return bumpy(x)

    metric = lnegeom.FromCallable(counted, 2, trace=True)
    metric.ricci(X)
    calls.clear()
    metric.ricci(X[:2])
    assert len(calls) == 2  # its values at all points, and a comparison at the first
    calls.clear()
    assert metric.ricci(X.float()).dtype == torch.float32
    assert len(calls) == 3  # recorded anew
    again = pickle.loads(pickle.dumps(lnegeom.FromCallable(bumpy, 2, trace=True)))
    torch.testing.assert_close(again.ricci(X), metric.ricci(X))


def test_gradients_flow_to_points_and_parameters_that_change_in_place():
    theta = torch.nn.Parameter(torch.tensor([0.7, 1.3], dtype=torch.float64))
    x = X.clone().requires_grad_()

    def stretched(y):
        return bumpy(theta * y) * torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=y.dtype)

    plain, traced = (lnegeom.FromCallable(stretched, 2, trace=trace) for trace in (False, True))
    with torch.inference_mode():
        traced.ricci(X)  # recorded where no gradients are
    for _ in range(2):
        found, expected = (
            torch.autograd.grad(m.scalar_curvature(x).sum(), [x, theta]) for m in (traced, plain)
        )
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert found[1].abs().max() > 1e-5
        with torch.no_grad():
            theta.mul_(1.1)


def test_transforms_of_points_and_of_what_is_closed_over():
    theta = torch.tensor([0.7, 1.3], dtype=torch.float64)
    slopes = []
    for trace in (False, True):
        metric = lnegeom.FromCallable(bumpy, 2, trace=trace)
        metric.ricci(X)

        def total(t, trace=trace):
            return lnegeom.FromCallable(lambda y: bumpy(t * y), 2, trace=trace).christoffel(X).sum()

        slopes.append(
            (torch.func.grad(lambda y, m=metric: m.christoffel(y).sum())(X), torch.func.grad(total)(theta))
        )
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-12, atol=1e-12)


def test_a_function_that_changes_is_refused():
    scale = 2.0
    metric = lnegeom.FromCallable(lambda x: torch.diag(torch.exp(scale * x)), 2, trace=True)
    metric.christoffel(X)
    scale = 2.001
    with pytest.raises(lnegeom.InputError, match=r"other values than its record, by 0\.00.*a new metric"):
        metric.christoffel(X)
    scale = 2.0
    metric.christoffel(X)


SIGN = torch.tensor(1.0, dtype=torch.float64)
REFUSED = {
    "a branch": (
        lambda: lnegeom.FromCallable(lambda x: bumpy(x) if SIGN * 2 > 0 else -bumpy(x), 2, trace=True).ricci(
            X
        ),
        r"torch could not record the function .*leave trace out",
    ),
    "differences": (
        lambda: lnegeom.Pullback(np.sin, 2, derivatives="finite", trace=True),
        "these derivatives are finite differences",
    ),
    "numpy": (
        lambda: lnegeom.FromCallable(lambda x: np.diag(np.exp(x)), 2, trace=True).ricci(X.numpy()),
        "these derivatives are finite differences: .* pass derivatives='torch' or 'jax'",
    ),
    "numpy's divergence": (
        lambda: lnegeom.FromDivergence(distance, 2, trace=True).matrix(X.numpy()),
        "these derivatives are finite differences",
    ),
    "no flag": (lambda: lnegeom.Graph(hill, trace=2), "trace must be True or False, got 2"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_recorded_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_geodesic_of_a_recorded_metric():
    v = torch.tensor([0.4, -0.3], dtype=torch.float64)
    plain, traced = (lnegeom.FromCallable(bumpy, 2, trace=trace) for trace in (False, True))
    torch.testing.assert_close(
        lnegeom.exp(traced, X[0], v), lnegeom.exp(plain, X[0], v), rtol=1e-12, atol=1e-12
    )


def test_numpy_points_where_torch_records():
    metric = lnegeom.FromCallable(bumpy, 2, derivatives="torch", trace=True)
    np.testing.assert_allclose(metric.ricci(X.numpy()), lnegeom.FromCallable(bumpy, 2).ricci(X), rtol=1e-12)


def test_jax_compiles_a_traced_function():
    jax = pytest.importorskip("jax")
    calls = []

    def waves(x):
        calls.append(x)
        return jax.numpy.diag(2 + jax.numpy.sin(x)) + jax.numpy.outer(x, x) / 10

    x = jax.numpy.asarray(X.numpy())
    plain, traced = (lnegeom.FromCallable(waves, 2, trace=trace) for trace in (False, True))
    np.testing.assert_allclose(traced.ricci(x), plain.ricci(x), rtol=1e-12, atol=1e-13)
    calls.clear()
    traced.ricci(x + 0.1)
    assert not calls
    assert traced.ricci(x.astype("float32")).dtype == "float32"
    field = lnegeom.Graph(lambda y: jax.numpy.exp(-y @ y), trace=True)
    torch_s = lnegeom.Graph(hill).scalar_curvature(X)
    np.testing.assert_allclose(jax.jit(field.scalar_curvature)(x), torch_s, rtol=1e-12)


def test_the_matrix_of_an_embedding_takes_first_derivatives_alone():
    def kinked(x):  # without a second derivative at 0
        return torch.stack([x[0], torch.sign(x[0]) * torch.abs(x[0]) ** 1.5])

    x = torch.tensor([[0.0]], dtype=torch.float64)
    surface = lnegeom.Pullback(kinked, 1)
    torch.testing.assert_close(surface.matrix(x), torch.ones(1, 1, 1, dtype=torch.float64))
    with pytest.raises(lnegeom.GeometryError):
        surface.christoffel(x)
