"""What a user's function may do wrong: kinks, edges of its domain, other dtypes; refused or put right."""

import numpy as np
import pytest
import torch

import lnegeom
from lnegeom.derivatives import gradient, jet


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("kink", [abs, lambda y: np.maximum(y, 0), lambda y: 1 + abs(y)])
def test_differences_at_a_kink_do_not_settle(kink):
    with pytest.raises(lnegeom.GeometryError, match="finite differences do not settle at x = "):
        jet(lambda x: kink(x[0]), np.array([0.0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: lnegeom.Graph(lambda y: torch.sqrt(y[0])).matrix(x),
        lambda x: lnegeom.FromCallable(lambda y: torch.diag(1 + torch.sqrt(y)), 2).ricci(x),
        lambda x: lnegeom.operators.laplacian(lnegeom.Euclidean(2), lambda y: torch.sqrt(y[0]), x),
        lambda x: jet(lambda y: y[0] * torch.sqrt(y[0]), x, order=2),
    ],
)
def test_infinite_automatic_derivatives_are_refused(call):
    with pytest.raises(lnegeom.GeometryError, match=r"a derivative of it is (inf|nan) at x\[1\]") as error:
        call(doubles([1.0, 1.0], [0.0, 1.0]))
    assert error.value.index == (1,)


def test_a_function_without_a_value_has_no_gradient():
    with pytest.raises(lnegeom.GeometryError, match=r"it is nan at x\[0\]"):
        gradient(lambda y: torch.log(y[0]), doubles([-1.0, 0.0], [1.0, 0.0]))


@pytest.mark.parametrize("points", [np.array([0.3, 0.4]), doubles(0.3, 0.4)], ids=["numpy", "torch"])
@pytest.mark.parametrize("vectorized", [False, True])
def test_complex_functions_are_refused(points, vectorized):
    metric = lnegeom.FromCallable(
        lambda x: (1 + 0j) * x[..., None] * x[..., None, :], 2, vectorized=vectorized
    )
    for call in (metric.matrix, lambda x: jet(lambda y: 1j * y, x, vectorized=vectorized)):
        with pytest.raises(lnegeom.GeometryError, match="the function returned complex numbers"):
            call(points)


def test_results_take_the_dtype_of_the_points_whatever_the_function_returns():
    x = doubles(0.3, 0.4)
    whole = lnegeom.FromCallable(lambda y: torch.eye(2, dtype=torch.int64), 2).ricci(x)
    assert whole.dtype == torch.float64
    assert not whole.any()
    single = lnegeom.FromCallable(lambda y: torch.diag(torch.exp(y)).float(), 2)
    assert single.christoffel(x).dtype == torch.float64
    np.testing.assert_allclose(single.christoffel(x)[0, 0, 0], 0.5, rtol=1e-6)


@pytest.mark.parametrize("points", [np.array([0.3, 0.4]), doubles(0.3, 0.4)], ids=["numpy", "torch"])
def test_a_divergence_gives_one_number(points):
    with pytest.raises(
        lnegeom.GeometryError, match=r"returned shape \(2,\) for two points: expected one number"
    ):
        lnegeom.FromDivergence(lambda p, q: (p - q) ** 2, 2).matrix(points)
    with pytest.raises(lnegeom.GeometryError, match="complex"):
        lnegeom.FromDivergence(lambda p, q: ((1 + 0j) * (p - q) ** 2).sum(), 2).matrix(points)


def test_a_divergence_outside_its_domain_is_no_number():
    divergence = lnegeom.CallableDivergence(lambda p, q: (p * torch.log(p / q) - p + q).sum(), 2)
    with pytest.raises(lnegeom.GeometryError, match=r"the divergence of p\[1\] and q is nan") as error:
        divergence(doubles([1.0, 2.0], [-1.0, 1.0]), doubles(1.0, 1.0))
    assert error.value.index == (1,)


@pytest.mark.parametrize("transform", [torch.func.jacfwd, torch.func.jacrev])
def test_differences_are_no_part_of_a_transform(transform):
    metric = lnegeom.FromCallable(lambda y: torch.diag(2 + torch.sin(y)), 2, derivatives="finite")
    with pytest.raises(lnegeom.InputError, match=r"finite differences would lose it: .* call"):
        transform(metric.scalar_curvature)(doubles(0.3, 0.4))


def test_another_librarys_derivatives_do_not_drop_a_gradient():
    jnp = pytest.importorskip("jax.numpy", reason="jax is not installed")
    metric = lnegeom.FromCallable(lambda y: jnp.diag(2 + jnp.sin(y)), 2, derivatives="jax")
    with pytest.raises(lnegeom.InputError, match="x requires grad, and derivatives='jax' would lose it"):
        metric.matrix(doubles(0.3, 0.4).requires_grad_())


@pytest.mark.parametrize("axis", [0.0, np.pi, -np.pi])
def test_the_axis_of_a_black_hole_is_refused_though_the_sine_of_pi_is_rounded(axis):
    with pytest.raises(lnegeom.GeometryError, match="lies on the axis"):
        lnegeom.Kerr(1.0, 0.6).ricci([0.0, 5.0, axis, 0.0])
