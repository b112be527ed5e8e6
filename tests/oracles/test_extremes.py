"""Points where a formula's intermediate numbers vanish, overflow or underflow though its result does not."""

import numpy as np
import pytest
import torch

import lnegeom


@pytest.mark.parametrize(
    "metric", [lnegeom.Euclidean(2), lnegeom.LNE(1.0), lnegeom.Sphere(2), lnegeom.FromCallable(torch.diag, 2)]
)
def test_the_length_of_no_vector_has_the_gradient_zero(metric):
    x = torch.tensor([0.3, 0.4], dtype=torch.float64)
    v = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    metric.norm(x, v).backward()
    assert torch.equal(v.grad, torch.zeros_like(v))


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e-8), ("float64", 1e-60), ("float64", 1e-150)])
def test_the_normalised_metric_near_the_origin_scales_as_its_limit(dtype, size):
    # There p = θ, so the field depends on the direction alone: Riem(εθ) = Riem(θ)/ε² with θ small itself.
    metric, direction = lnegeom.NormalizedLNE(0.5), np.array([1.0, 2.0, -1.5])
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-7, "atol": 1e-7}
    near, far = (direction * size).astype(dtype), direction * 1e-5
    np.testing.assert_allclose(metric.riemann(near) * size**2, metric.riemann(far) * 1e-10, **tolerance)
    np.testing.assert_allclose(
        np.einsum("rsrv->sv", metric.riemann(near)) * size**2, metric.ricci(near) * size**2, **tolerance
    )


def test_the_normalised_metric_keeps_its_direction_where_squares_underflow():
    metric = lnegeom.NormalizedLNE(0.5)
    np.testing.assert_allclose(metric.matrix([3e-200, 4e-200]), metric.matrix([3e-9, 4e-9]), rtol=1e-12)
    with pytest.raises(lnegeom.GeometryError, match="underflows in float64"):
        metric.ricci([3e-200, 4e-200])


@pytest.mark.parametrize(("dtype", "far"), [("float32", 1e10), ("float64", 2e77)])
def test_a_sphere_is_measured_far_out(dtype, far):
    distance = lnegeom.distance(lnegeom.Sphere(2), np.array([far, 0], dtype), np.array([0, 1], dtype))
    np.testing.assert_allclose(distance, np.pi / 2, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "far"), [("float32", 1e20), ("float64", 1e160)])
def test_a_sphere_says_where_its_chart_ends(dtype, far):
    x = np.array([far, 0], dtype)
    np.testing.assert_allclose(lnegeom.Sphere(2, radius=2.0).embed(x), [4 / far, 0, 2], rtol=1e-6)
    with pytest.raises(lnegeom.GeometryError, match="underflows to 0 at x: expected a point nearer"):
        lnegeom.Sphere(2).matrix(x)


def test_information_that_overflows_is_refused():
    fisher = lnegeom.Fisher(lnegeom.families.Beta())
    for function in (fisher.matrix, fisher.scalar_curvature):
        with pytest.raises(lnegeom.GeometryError, match=r"information at x\[1\] overflows to .* in float64"):
            function([[1.0, 1.0], [1e-200, 1.0]])


def test_concentrations_that_overflow_are_refused():
    metric = lnegeom.Fisher(lnegeom.VonMisesFisher(2))
    for function in (metric.matrix, metric.scalar_curvature, metric.potential):
        with pytest.raises(
            lnegeom.GeometryError, match=r"x\[1\] has an entry of size 1e\+200, whose powers overflow"
        ):
            function([[1.0, 0.0], [1e200, 0.0]])
    np.testing.assert_allclose(metric.scalar_curvature([1e60, 1e60]), -1, rtol=1e-14)


def test_rates_that_overflow_are_refused():
    family = lnegeom.families.Poisson()
    theta = np.array([[700.0], [800.0]])
    for function in (lnegeom.Fisher(family).matrix, lambda x: lnegeom.KL(family)(x, x)):
        with pytest.raises(
            lnegeom.GeometryError, match=r"x\[1, 0\] = 800: expected below 709.78, for the rate"
        ):
            function(theta)
    np.testing.assert_allclose(lnegeom.Fisher(family).matrix(theta[0]), np.exp([[700.0]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_height_whose_metric_overflows_is_refused_without_a_warning(dtype):
    low = np.array([0, np.finfo(dtype).tiny], dtype)
    with pytest.raises(lnegeom.GeometryError, match=r"e\^\{2f\}\[0\] is inf"):
        lnegeom.HalfSpace(2).matrix(low)
