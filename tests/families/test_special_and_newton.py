"""Special functions outside numpy against scipy; the Newton iteration at its limits; bad input."""

import numpy as np
import pytest
import scipy.special
import torch
from conftest import to_numpy

import lnegeom
from lnegeom import families
from lnegeom._array import as_floating
from lnegeom.families import _special

GRID = np.r_[np.geomspace(1e-6, 1e8, 400), np.linspace(0.5, 30, 200)]


def test_log_gamma_and_polygamma_match_scipy():
    xp, x = as_floating(x=torch.from_numpy(GRID))
    expected = scipy.special.gammaln(GRID)
    np.testing.assert_allclose(_special.gammaln(xp, x), expected, rtol=2e-15, atol=2e-14)
    np.testing.assert_allclose(
        _special.polygamma(xp, 0, x), scipy.special.digamma(GRID), rtol=2e-15, atol=5e-15
    )
    for order in (1, 2, 3):
        expected = scipy.special.polygamma(order, GRID)
        np.testing.assert_allclose(_special.polygamma(xp, order, x), expected, rtol=1e-14, err_msg=str(order))


def test_special_functions_follow_library_and_dtype(backend):
    for dtype in ("float32", "float64"):
        xp, x = as_floating(x=backend.array([0.3, 2.0, 7.5], dtype))
        for result in (
            _special.gammaln(xp, x),
            _special.polygamma(xp, 1, x),
            _special.scaled_bessel(xp, 0, x),
            _special.scaled_bessel(xp, 1, x),
        ):
            assert backend.owns(result)
            assert result.dtype == x.dtype


def test_series_are_one_operation_of_jax_and_its_derivatives_numpys():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([0.3, 2.0, 7.5])
    for function in (_special.gammaln, lambda xp, x: _special.polygamma(xp, 1, x)):
        assert len(jax.make_jaxpr(lambda x, f=function: f(jax.numpy, x))(x).eqns) == 1
    slope = jax.vmap(jax.grad(lambda x: _special.polygamma(jax.numpy, 1, x)))(x)
    np.testing.assert_allclose(slope, scipy.special.polygamma(2, x), rtol=1e-14)
    metric = lnegeom.Fisher(families.VonMisesFisher(3))
    assert len(jax.make_jaxpr(metric.ricci)(x).eqns) < 200  # of more than eight hundred


def test_bessel_functions_match_scipy(backend):
    xp, x = as_floating(x=backend.array([0.3, 2.0, 7.5, 200.0]))
    for order in (0, 1):
        expected = scipy.special.ive(order, np.array([0.3, 2.0, 7.5, 200.0]))
        np.testing.assert_allclose(to_numpy(_special.scaled_bessel(xp, order, x)), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("family", "theta", "tolerance"),
    [
        (families.Gamma(), [[1e-4, -1.0], [1e-2, -1e5], [1e4, -1e-5], [1e6, -3.0]], 1e-8),
        (families.Beta(), [[1e-3, 1e-3], [1e-3, 1e3], [1e4, 2e4], [0.5, 1e-2]], 1e-8),
        (
            families.Dirichlet(4),
            [[1e-3, 1.0, 10.0, 1e3], [1e-2] * 4, [1e3] * 4, [1e-3, 1e-3, 1e-3, 5.0]],
            1e-7,
        ),
        (families.VonMisesFisher(3), [[0.0, 0.0, 0.0], [1e-9, 0.0, 0.0], [1e4, 0.0, 0.0]], 1e-9),
        (families.VonMisesFisher(2), [[0.0, 0.0], [0.0, 3e3]], 1e-9),
        (families.VonMisesFisher(8), [[0.0] * 8, [1.0] * 8, [300.0] + [0.0] * 7], 1e-9),
    ],
    ids=repr,
)
def test_mean_parameters_are_inverted_from_one_end_to_the_other(family, theta, tolerance):
    theta = np.array(theta)
    found = family.from_mean_parameters(family.mean_parameters(theta))
    np.testing.assert_allclose(found, theta, rtol=tolerance, atol=1e-12)


def test_inversion_in_float32_is_done_in_float64():
    family = families.Gamma()
    theta = torch.tensor([3.0, -2.0], dtype=torch.float32)
    found = family.from_mean_parameters(family.mean_parameters(theta))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, theta, rtol=1e-5)


BERNOULLI, GAMMA, BETA = families.Bernoulli(), families.Gamma(), families.Beta()
MVN, DIRICHLET, VMF = families.MultivariateNormal(2), families.Dirichlet(3), families.VonMisesFisher(3)
BAD = {
    "probability": (lambda: BERNOULLI.natural([0.5, 1.0]), r"probability\[1\] = 1: expected a probability"),
    "probability nan": (lambda: BERNOULLI.natural(np.nan), r"probability is nan: expected finite"),
    "coin": (lambda: BERNOULLI.statistic([0.0, 2.0]), r"x\[1\] = 2: expected 0 or 1"),
    "count": (lambda: families.Poisson().log_density([0.0], 1.5), r"x = 1.5: expected a count 0, 1, 2"),
    "rate": (lambda: families.Poisson().natural(-1.0), r"rate = -1: expected a positive rate"),
    "mean of counts": (lambda: families.Poisson().from_mean_parameters([0.0]), r"x\[0\] = 0: expected a pos"),
    "exponential": (lambda: families.Exponential().parameters([1.0]), r"x\[0\] = 1: expected the natural"),
    "negative wait": (lambda: families.Exponential().statistic(-1.0), r"x = -1: expected a number that"),
    "mean wait": (lambda: families.Exponential().from_mean_parameters([-1.0]), r"expected a positive mean"),
    "outcome": (lambda: families.Categorical(3).statistic(3), r"x = 3: expected one of 0, ..., 2"),
    "shape": (lambda: GAMMA.natural(0.0, 1.0), r"shape = 0: expected a positive shape"),
    "shapes": (lambda: GAMMA.natural([1.0, 2.0], [1.0, 2.0, 3.0]), r"batch axes do not broadcast: got shape"),
    "gamma point": (lambda: GAMMA.log_partition([-1.0, -1.0]), r"first natural parameter -1: expected shape"),
    "gamma rate": (lambda: GAMMA.log_partition([1.0, 1.0]), r"second natural parameter 1: expected -rate"),
    "gamma mean": (lambda: GAMMA.from_mean_parameters([1.0, 1.0]), r"log E\[x\] - E\[log x\] = -1: expected"),
    "gamma mean sign": (lambda: GAMMA.from_mean_parameters([1.0, -1.0]), r"mean E\[x\] = -1: expected it"),
    "gamma event": (lambda: GAMMA.statistic(0.0), r"x = 0: expected a positive number"),
    "beta": (lambda: BETA.natural(1.0, -1.0), r"beta = -1: expected a positive parameter"),
    "beta event": (lambda: BETA.statistic(1.0), r"x = 1: expected a number strictly between 0 and 1"),
    "dirichlet": (lambda: DIRICHLET.natural([1.0, 1.0, 0.0]), r"concentration\[2\] = 0: expected a positive"),
    "dirichlet size": (lambda: DIRICHLET.natural([1.0, 1.0]), r"shape \(2,\): expected \(..., 3\)"),
    "dirichlet(1)": (lambda: families.Dirichlet(1), r"size must be at least 2, got 1"),
    "dirichlet mean": (lambda: DIRICHLET.from_mean_parameters([-1.0, -1.0, -1.0]), r"= 1.10364: expected it"),
    "dirichlet event": (lambda: DIRICHLET.statistic([0.5, 0.5, 0.5]), r"x sums to 1.5: expected 1; divide"),
    "covariance shape": (
        lambda: MVN.natural([0.0, 0.0], [1.0, 1.0]),
        r"covariance has shape \(2,\): expected",
    ),
    "covariance": (lambda: MVN.natural([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), r"smallest eigenvalue -1: exp"),
    "asymmetric": (lambda: MVN.natural([0.0, 0.0], [[1.0, 0.0], [0.5, 1.0]]), r"differs from its transpose"),
    "batches": (
        lambda: MVN.natural(np.zeros((3, 2)), np.stack([np.eye(2)] * 2)),
        r"do not broadcast: got mean",
    ),
    "normal point": (lambda: MVN.parameters([0.0, 0.0, 1.0, 0.0, 1.0]), r"with eigenvalue -2: expected it"),
    "normal mean": (
        lambda: MVN.from_mean_parameters([1.0, 1.0, 0.5, 0.0, 2.0]),
        r"a covariance with eigenval",
    ),
    "direction": (
        lambda: VMF.natural([1.0, 1.0, 0.0], 1.0),
        r"direction has length 1.41421: expected a unit",
    ),
    "concentration": (lambda: VMF.natural([1.0, 0.0, 0.0], -1.0), r"concentration = -1: expected a number"),
    "off the sphere": (lambda: VMF.statistic([0.5, 0.0, 0.0]), r"x has length 0.5: expected a unit vector"),
    "resultant": (
        lambda: VMF.from_mean_parameters([0.6, 0.8, 0.1]),
        r"length 1.00499: expected a mean result",
    ),
    "sphere(1)": (lambda: families.VonMisesFisher(1), r"size must be at least 2, got 1; for the two points"),
    "bessel": (
        lambda: families.VonMisesFisher(4).log_partition(torch.zeros(4)),
        r"expected numpy arrays, got torch's, which lack Bessel functions of order 1",
    ),
    "empty": (
        lambda: GAMMA.natural(np.zeros(0), 1.0),
        r"shape has shape \(0,\): expected at least one shape",
    ),
}


def test_an_iteration_inside_a_trace_is_refused():
    eta = torch.tensor([[-0.5, 1.0], [-0.3, 1.0]], dtype=torch.float64)
    with pytest.raises(lnegeom.InputError, match="expected values to look at, got traced ones"):
        torch.func.vmap(GAMMA.from_mean_parameters)(eta)


def test_an_iteration_that_does_not_converge_says_where(monkeypatch):
    monkeypatch.setattr("lnegeom._newton._STEPS", 1)
    with pytest.raises(lnegeom.GeometryError, match=r"x\[1\]: Newton's iteration on VonMises") as error:
        VMF.from_mean_parameters([[0.0, 0.0, 0.0], [0.9, 0.0, 0.0]])
    assert error.value.index == (1,)
    assert error.value.value > 0


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_densities_broadcast_and_results_do_not_alias():
    theta = GAMMA.natural([1.0, 2.0], 1.0)
    assert GAMMA.log_density(theta, [[0.5], [1.0], [2.0]]).shape == (3, 2)
    assert MVN.log_density(MVN.natural([0.0, 0.0], np.eye(2)), np.zeros((4, 2))).shape == (4,)
    alpha = np.ones(3)
    DIRICHLET.natural(alpha)[:] = 7
    DIRICHLET.parameters(alpha)[0][:] = 7
    DIRICHLET.parameters(alpha)
    np.testing.assert_array_equal(alpha, 1)
