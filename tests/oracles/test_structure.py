"""Metrics of known structure: right where n is small, and never n × n where n is large."""

import tracemalloc

import numpy as np
import pytest
import torch

import lnegeom

SMALL, LARGE = 5, 10**5


def structured(n):
    """Metrics of n dimensions whose every application takes O(n)."""
    separable, half = lnegeom.LogCosh(1.0), n // 2
    bases = {
        "LNE": lnegeom.LNE(0.7),
        "Minkowski": lnegeom.Minkowski(n),
        "Graph": lnegeom.Graph(separable, sign=-1),
        "Hessian": lnegeom.Hessian(lnegeom.LogCosh(0.7)),
        "NormalizedLNE": lnegeom.NormalizedLNE(0.6),
    }
    parts = bases["LNE"], bases["Hessian"]
    simplex = lnegeom.LogSumExp().conjugate
    over = {
        "HalfSpace": lnegeom.HalfSpace(n),
        "Graph of log-sum-exp": lnegeom.Graph(lnegeom.LogSumExp()),
        "categorical": lnegeom.Fisher(lnegeom.Categorical(n + 1)),
        "simplex": lnegeom.Hessian(simplex),
        "flat Conformal": lnegeom.Conformal(separable),
        "flat Conformal of log-sum-exp": lnegeom.Conformal(lnegeom.LogSumExp()),
        "Warped": lnegeom.Warped(bases["Graph"], bases["NormalizedLNE"], separable, dims=(half, n - half)),
        "Warped HalfSpace": lnegeom.Warped(
            lnegeom.HalfSpace(half), parts[0], separable, dims=(half, n - half)
        ),
        "Product": lnegeom.Product(*parts, dims=(half, n - half)),
    }
    names = "LNE", "Minkowski", "Graph", "NormalizedLNE"
    on = {name: bases[name] for name in names} | {
        name: metric for name, metric in over.items() if name != "HalfSpace"
    }
    on["Sphere"] = lnegeom.Sphere(n)
    conformal = {f"Conformal {name}": lnegeom.Conformal(separable, metric) for name, metric in on.items()}
    return bases | over | conformal


def points(n):
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal((2, n))
    return rng.uniform(0.2, 0.8, n) / n, u, v  # inside a simplex, too


def applied(metric, x, u, v):
    yield "flat", metric.flat(x, v)
    yield "sharp", metric.sharp(x, v)
    yield "inner", metric.inner(x, u, v)
    yield "logdet", metric.logdet(x)
    yield "christoffel_apply", metric.christoffel_apply(x, u, v)
    yield "ricci_apply", metric.ricci_apply(x, v)
    yield "scalar_curvature", metric.scalar_curvature(x)


@pytest.mark.parametrize("name", structured(SMALL))
def test_structure_agrees_with_automatic_differentiation_of_the_matrix(name):
    metric, arguments = structured(SMALL)[name], points(SMALL)
    negative = metric.signature[1]
    plain = lnegeom.FromCallable(metric.matrix, SMALL, negative=negative, derivatives="torch")
    oracle = dict(applied(plain, *map(torch.from_numpy, arguments)))
    for what, result in applied(metric, *arguments):
        np.testing.assert_allclose(result, oracle[what].numpy(), rtol=1e-10, atol=1e-11, err_msg=what)


@pytest.mark.parametrize("chi", [0.0, 0.3, 0.95])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_normalised_lne_agrees_with_automatic_differentiation_of_its_definition(n, chi):
    def definition(x):
        p = torch.tanh(x)
        return torch.eye(n, dtype=x.dtype) - chi * torch.outer(p, p) / (p @ p)

    plain, metric = lnegeom.FromCallable(definition, n, derivatives="torch"), lnegeom.NormalizedLNE(chi)
    x, u, v = torch.from_numpy(np.random.default_rng(1).uniform(0.3, 1.5, (3, 4, n)))
    x = x * torch.tensor([[1.0], [-1.0], [2.0], [0.2]])
    oracle = dict(applied(plain, x, u, v), ricci=plain.ricci(x), christoffel=plain.christoffel(x))
    actual = dict(applied(metric, x, u, v), ricci=metric.ricci(x), christoffel=metric.christoffel(x))
    for what, expected in oracle.items():
        np.testing.assert_allclose(actual[what], expected, rtol=1e-11, atol=1e-10, err_msg=what)


def test_a_function_of_torch_arrays_has_its_gradient_in_one_pass():
    x, v = torch.full((LARGE,), 1e-3, dtype=torch.float64), torch.ones(LARGE, dtype=torch.float64)
    graph = lnegeom.Graph(lambda y: torch.log(torch.cosh(y)).sum(), sign=-1)
    exact = lnegeom.Graph(lnegeom.LogCosh(1.0), sign=-1)
    torch.testing.assert_close(graph.sharp(x, v), exact.sharp(x, v))
    with pytest.raises(
        lnegeom.GeometryError, match=r"shape \(2,\) for one point: expected one number at each"
    ):
        lnegeom.Graph(torch.sin).matrix(x[:2])


@pytest.mark.parametrize("name", structured(LARGE))
def test_nothing_of_size_n_by_n_is_formed(name):
    metric, arguments = structured(LARGE)[name], points(LARGE)
    tracemalloc.start()
    for what, result in applied(metric, *arguments):
        assert np.all(np.isfinite(result)), what
    peak = tracemalloc.get_traced_memory()[1] / (8 * LARGE)
    tracemalloc.stop()
    assert peak < 48  # vectors, where a matrix would be a hundred thousand
