"""Bad input gets one line that says what was expected, what came, and where."""

import numpy as np
import pytest
import torch

import lnegeom
from lnegeom.derivatives import jet

LNE = lnegeom.LNE(1.0)


class Saddle(lnegeom.potentials.Potential):
    """``x³ + y³ − y²``, convex where x > 0 and y > ⅓."""

    conjugate = None

    def _value(self, xp, x):
        return xp.sum(x**3, axis=-1) - x[..., 1] ** 2

    def _gradient(self, xp, x):
        return xp.stack([3 * x[..., 0] ** 2, 3 * x[..., 1] ** 2 - 2 * x[..., 1]], axis=-1)

    def _hessian(self, xp, x):
        return (6 * x[..., None] - xp.asarray([[0.0], [2.0]])) * xp.eye(2)

    def _third_derivative(self, xp, x):
        raise NotImplementedError


class Cubes(lnegeom.potentials.SeparablePotential):
    """``Σ x³``."""

    conjugate = _value = _gradient = _third_diagonal = None

    def _hessian_diagonal(self, xp, x):
        return 6 * x


def light_ray(x):
    return np.stack([np.sin(x[0]), np.sin(x[0]) * 0.6, np.sin(x[0]) * 0.8 + 0 * x[1], x[1]])


POINT = np.zeros((2, 3))

BAD = {
    "outside LNE's domain": (
        lambda: LNE.matrix([[0.1, 0.2], [2.0, 1.0]]),
        r"x\[1\] lies outside the domain of LNE\(tau=1.0\): \|tanh\(tau x\)\|\^2 = 1.50\d+, expected below 1",
    ),
    "one long point outside LNE's domain": (
        lambda: LNE.sharp(np.full(100_000, 0.1), np.ones(100_000)),
        r"x lies outside the domain",
    ),
    "nan": (lambda: LNE.matrix([[0.1, 0.2], [0.3, np.nan]]), r"x\[1, 1\] is nan: expected finite numbers"),
    "a list of tensors that require grad": (
        lambda: LNE.matrix([torch.tensor(0.1, requires_grad=True), torch.tensor(0.2)]),
        r"x: expected an array of real numbers, got \[tensor\(0.1000, requires_grad=True\)",
    ),
    "no number for alpha": (
        lambda: lnegeom.KL(lnegeom.Normal()).connections().alpha(np.nan),
        r"a must be a finite number, got nan",
    ),
    "no tolerance for a mean": (
        lambda: lnegeom.frechet_mean(lnegeom.Sphere(2), POINT[:, :2], tolerance=-1.0),
        r"tolerance must be a positive finite number, got -1.0",
    ),
    "no number of iterations for a mean": (
        lambda: lnegeom.frechet_mean(lnegeom.Sphere(2), POINT[:, :2], max_iterations=2.5),
        r"max_iterations must be a positive integer, got 2.5",
    ),
    "nan in a vector": (lambda: LNE.sharp([0.1, 0.2], [np.nan, 1.0]), r"covector\[0\] is nan"),
    "nan in a long vector": (
        lambda: LNE.sharp(np.zeros(100_000), np.r_[np.zeros(99_999), np.nan]),
        r"covector\[99999\] is nan",
    ),
    "infinity": (lambda: lnegeom.LogCosh(1.0)([np.inf]), r"x\[0\] is inf"),
    "empty batch": (
        lambda: LNE.ricci(np.empty((0, 3))),
        r"shape \(0, 3\), an empty batch: expected at least",
    ),
    "a scalar point": (lambda: LNE.matrix(1.0), r"x has shape \(\): expected \(..., n\)"),
    "wrong dimension": (
        lambda: lnegeom.Euclidean(3).matrix([0.0, 0.0]),
        r"shape \(2,\): expected \(..., 3\)",
    ),
    "mismatched vector": (
        lambda: LNE.sharp([0.1, 0.2], [1.0, 2.0, 3.0]),
        r"covector has shape \(3,\): expected",
    ),
    "mismatched batch": (
        lambda: LNE.flat(POINT, np.ones((5, 3))),
        r"do not broadcast: got x \(2, 3\), vector",
    ),
    "mismatched pair": (
        lambda: lnegeom.Euclidean()(POINT, [1.0]),
        r"q has shape \(1,\): expected \(..., 3\)",
    ),
    "mixed libraries": (
        lambda: LNE.sharp(POINT, torch.zeros(3)),
        r"arrays of one library, got x: numpy, covector: torch",
    ),
    "complex": (lambda: LNE.matrix(np.array([1j])), r"x: expected real numbers, got dtype complex128"),
    "not numeric": (lambda: LNE.matrix("here"), r"x: expected an array of real numbers, got 'here'"),
    "tau = 0": (lambda: lnegeom.LNE(0.0), r"tau must be a positive finite number, got 0.0"),
    "tau < 0": (lambda: lnegeom.Hyperbolic(-1), r"tau must be a positive finite number, got -1"),
    "tau = nan": (lambda: lnegeom.LogCosh(float("nan")), r"tau must be a positive finite number, got nan"),
    "tau = text": (lambda: lnegeom.LogCosh("one"), r"tau must be a number, got 'one'"),
    "not a dimension": (lambda: lnegeom.Euclidean(0), r"n must be a positive integer, got 0"),
    "not a potential": (lambda: lnegeom.Bregman(np.cosh), r"expected a Potential such as LogCosh"),
    "not a potential (metric)": (lambda: lnegeom.Hessian("x"), r"expected a Potential such as LogCosh"),
    "not a family": (lambda: lnegeom.KL("normal"), r"expected an exponential family such as Normal"),
    "outside the dual domain": (
        lambda: lnegeom.LogCosh(0.5).conjugate([0.0, 2.0]),
        r"x\[1\] = 2 lies outside the dual domain: expected \|x\| < 1/tau = 2",
    ),
    "negative mass": (lambda: lnegeom.NegativeEntropy()([0.5, -0.1]), r"x\[1\] = -0.1: expected positive"),
    "mass above one": (
        lambda: lnegeom.LogSumExp().conjugate([0.5, 0.6]),
        r"the probabilities of x sum to 1.1: expected a sum below 1",
    ),
    "unnormalised": (
        lambda: lnegeom.Categorical(2).natural([0.5, 0.6]),
        r"probabilities sums to 1.1: expected 1; divide by the sum",
    ),
    "one outcome": (lambda: lnegeom.Categorical(1), r"outcomes must be at least 2, got 1"),
    "not a normal": (
        lambda: lnegeom.KL(lnegeom.Normal())([0.0, 1.0], [0.0, -1.0]),
        r"second natural parameter 1",
    ),
    "not positive definite": (
        lambda: lnegeom.SPD(2).ricci([[1.0, 0.0, 1.0], [1.0, 2.0, 1.0]]),
        r"P\[1\] has eigenvalue -1: expected a positive one, all but 0; project it onto",
    ),
    "not symmetric": (
        lambda: lnegeom.SPD(2).from_matrix([[1.0, 0.5], [0.0, 1.0]]),
        r"matrix is asymmetric by 0.5: expected matrix = matrixᵀ",
    ),
    "not k by k": (lambda: lnegeom.SPD(2).from_matrix(np.eye(3)), r"shape \(3, 3\): expected \(..., 2, 2\)"),
    "no rows": (lambda: lnegeom.SPD(0), r"size must be a positive integer, got 0"),
    "warped by zero": (
        lambda: lnegeom.Warped(lnegeom.Euclidean(1), lnegeom.Euclidean(1), lambda r: r[0]).matrix(
            [[1.0, 0.0], [-0.5, 0.0]]
        ),
        r"f = -0.5 at x\[1\]: expected a positive function",
    ),
    "a fibre without dimension": (
        lambda: lnegeom.Warped(lnegeom.Euclidean(1), lnegeom.LNE(1.0), np.cos),
        r"has no dimension of its own; name all of them",
    ),
    "not a divergence": (
        lambda: lnegeom.CallableDivergence(3, 2),
        r"expected a divergence, a function of two",
    ),
    "a concave divergence": (
        lambda: lnegeom.FromDivergence(lambda p, q: -np.sum((p - q) ** 2), 2).matrix([0.0, 0.0]),
        r"g has eigenvalue -2: expected a positive one",
    ),
    "a distance, not its square": (
        lambda: lnegeom.FromDivergence(lambda p, q: np.sqrt(np.sum((p - q) ** 2)), 2).matrix([[0.0, 0.0]]),
        r"differences do not settle at x.* such as the square of a distance",
    ),
    "a divergence off its domain": (
        lambda: lnegeom.FromDivergence(lnegeom.KL(lnegeom.Normal()), 2, vectorized=True).matrix([0.0, 1.0]),
        r"second natural parameter 1",
    ),
    "a divergence of the wrong shape": (
        lambda: lnegeom.CallableDivergence(lambda p, q: p - q, 2)([0.0, 1.0], [0.0, 0.0]),
        r"the divergence returned shape \(2,\) for points \(2,\): expected \(\)",
    ),
    "not a family (Fisher)": (lambda: lnegeom.Fisher("normal"), r"for a density of your own use Estimated"),
    "not normalised": (
        lambda: lnegeom.EstimatedFisher.by_quadrature(lambda t, x: -((x - t[0]) ** 2) / 2, 1).matrix([[0.0]]),
        r"the density at x\[0\] has mass 2.50663 on the nodes: expected 1; normalise it",
    ),
    "an empty interval": (
        lambda: lnegeom.EstimatedFisher.by_quadrature(np.cos, 1, (1.0, 0.0)),
        r"support must be an interval \(low, high\), got \(1.0, 0.0\)",
    ),
    "samples without proposal": (
        lambda: lnegeom.EstimatedFisher.by_monte_carlo(np.cos, 1, np.zeros(5), np.zeros(4)),
        r"nodes have shape \(5,\), weights \(4,\): expected",
    ),
    "a density of the wrong shape": (
        lambda: lnegeom.EstimatedFisher.by_quadrature(lambda t, x: t, 1).matrix([0.0]),
        r"the log-density returned shape \(1,\) for nodes \(400,\): expected \(400,\)",
    ),
    "not normalised (Monte Carlo)": (
        lambda: lnegeom.EstimatedFisher.by_monte_carlo(
            lambda t, x: -((x - t[0]) ** 2) / 2, 1, np.linspace(-1, 1, 50), np.full(50, -np.log(2))
        ).matrix([[0.0]]),
        r"the density at x\[0\] has mass 1.7\d+ on the nodes: expected 1; normalise it, or take samples",
    ),
    "not convex": (
        lambda: lnegeom.Hessian(Saddle()).norm([[1.0, 1.0], [1.0, -1.0]], [0.0, 1.0]),
        r"hessian\(x\)\[1\] has eigenvalue -8: expected a positive one, all but 0; take a potential that is",
    ),
    "not convex (separable)": (
        lambda: lnegeom.Hessian(Cubes()).inverse([[1.0, 1.0], [1.0, 0.0]]),
        r"the Hessian's diagonal at x\[1, 1\] is 0: expected it positive; take a potential that is",
    ),
    "a light-like surface": (
        lambda: lnegeom.Pullback(light_ray, 2, lnegeom.Minkowski(4)).matrix([[0.7, 0.2]]),
        r"g\[0\] has eigenvalue .*: expected a positive one, all but 0; correct the function, or its",
    ),
    "an embedding that leaves its ambient space": (
        lambda: lnegeom.Pullback(lambda x: np.stack([x[0], x[0] - 1]), 1, lnegeom.HalfSpace(2)).matrix(
            [[2.0], [0.5]]
        ),
        r"the embedding maps x\[1\] outside HalfSpace\(2, radius=1.0\), where x\[1\] has last",
    ),
    "more negative eigenvalues than dimensions": (
        lambda: lnegeom.Pullback(light_ray, 2, lnegeom.Minkowski(4), negative=5),
        r"negative must be a whole number from 0 to dim = 2, got 5",
    ),
    "a factor of no dimensions": (
        lambda: lnegeom.Product(lnegeom.LNE(1.0), dims=(0,)),
        r"dims must be a positive integer, got 0",
    ),
    "no plane": (
        lambda: lnegeom.sectional_curvature(lnegeom.Sphere(2), [0.0, 0.0], [1.0, 2.0], [2.0, 4.0]),
        r"u and v span no plane: the square of their area is 0; choose two directions",
    ),
    "samples off the grid": (
        lambda: lnegeom.FromGrid(np.zeros((8, 9, 2, 2)), lnegeom.flow.TorusGrid((8, 8))),
        r"samples have shape \(8, 9, 2, 2\): expected \(8, 8, 2, 2\)",
    ),
    "a bad sample": (
        lambda: lnegeom.FromGrid(np.zeros((8, 8, 2, 2)), lnegeom.flow.TorusGrid((8, 8))),
        r"samples\[0, 0\] has eigenvalue 0: expected a positive one",
    ),
    "a space-time, not said": (
        lambda: lnegeom.FromCallable(lambda x: np.diag([-1.0, 1.0]), 2).matrix([0.0, 0.0]),
        r"g has eigenvalue -1: .* or give its number of negative eigenvalues as negative=$",
    ),
    "curvature of a connection": (
        lambda: lnegeom.riemann(lnegeom.KL(lnegeom.Normal()).connections(), [0.0, -0.5]),
        r"expected a Metric .*; a connection has its own christoffel\(x\) and curvature\(x\)",
    ),
    "curvature of a symbolic metric": (
        lambda: lnegeom.ricci(lnegeom.symbolic.sphere(2), [1.0, 0.0]),
        r"expected a Metric .*; make numbers of a symbolic one: FromCallable\(metric.tensor.compile\(\)",
    ),
    "geodesic of a symbolic metric": (
        lambda: lnegeom.exp(lnegeom.symbolic.sphere(2), [1.0, 0.0], [0.0, 0.1]),
        r"expected a Metric or .*; make numbers of a symbolic one",
    ),
    "no metric": (lambda: lnegeom.ricci(3, [0.0, 0.0]), r"expected a Metric such as Sphere\(2\).*, got 3"),
    "no metric (Weyl)": (lambda: lnegeom.weyl(None, [0.0] * 3), r"expected a Metric such as .*, got None"),
    "negative = text": (
        lambda: lnegeom.FromCallable(np.diag, 2, negative="a"),
        r"negative must be a whole number from 0 to dim = 2, got 'a'",
    ),
    "a sphere without dimension": (lambda: lnegeom.Sphere(None), r"n must be a positive integer, got None"),
    "one period": (
        lambda: lnegeom.Torus(3.0),
        r"periods must be a sequence of lengths, one for each .*got 3.0",
    ),
    "no periods": (lambda: lnegeom.Torus([]), r"periods must be a sequence of lengths.*, got none"),
    "two signs": (
        lambda: lnegeom.Graph(np.sum, sign=[1, 1]),
        r"sign must be 1 \(Euclidean\) or -1 .*got \[1, 1\]",
    ),
    "a graph of vectors": (
        lambda: lnegeom.Graph(np.sin).matrix([[0.1, 0.2]]),
        r"the function returned shape \(1, 2\) for points \(1, 2\): expected one number at each",
    ),
    "a factor that is a vector": (
        lambda: lnegeom.Conformal(np.sin).matrix([0.1, 0.2]),
        r"the function returned shape \(2,\) for points \(2,\): expected one number at each point",
    ),
    "a warping vector": (
        lambda: lnegeom.Warped(lnegeom.Euclidean(2), lnegeom.Euclidean(1), np.cos).matrix([0.1, 0.2, 0.3]),
        r"the function returned shape \(2,\) for points \(2,\): expected one number at each point",
    ),
    "a factor of another dimension": (
        lambda: lnegeom.Conformal(lnegeom.Normal().log_partition, lnegeom.Sphere(3)),
        r"f has dimension 2, base has 3: expected the same",
    ),
    "a warping function of another dimension": (
        lambda: lnegeom.Warped(lnegeom.Sphere(3), lnegeom.Sphere(2), lnegeom.Normal().log_partition),
        r"f has dimension 2, the base has 3: expected the same",
    ),
    "one dimension for two factors": (
        lambda: lnegeom.Product(lnegeom.Sphere(2), lnegeom.Sphere(2), dims=4),
        r"dims must be a list of one dimension for each factor, got 4",
    ),
    "an embedding into numbers": (
        lambda: lnegeom.Pullback(lambda x: x[0], 2).matrix([0.1, 0.2]),
        r"the embedding returned points of shape \(\) for \(2,\): expected \(..., N\)",
    ),
    "no interval": (
        lambda: lnegeom.EstimatedFisher.by_quadrature(np.cos, 1, 3.0),
        r"support must be an interval \(low, high\), got 3.0",
    ),
    "no samples": (
        lambda: lnegeom.EstimatedFisher.by_monte_carlo(np.cos, 1, np.zeros(0), np.zeros(0)),
        r"nodes have shape \(0,\), weights \(0,\): expected .* at least one",
    ),
    "the jet of no function": (
        lambda: jet(3, np.zeros(2)),
        r"expected a function of a point and order 1 or 2, got 3",
    ),
    "a third derivative": (lambda: jet(np.sum, np.zeros(2), order=3), r"expected a function .* got .* and 3"),
    "the jet at a number": (lambda: jet(np.sum, 1.0), r"x has shape \(\): expected \(..., n\)"),
    "inside the horizon": (
        lambda: lnegeom.Kerr(1.0, 0.6).ricci([[0.0, 5.0, 1.0, 0.0], [0.0, 1.5, 1.0, 0.0]]),
        r"x\[1\] has r = 1.5: expected it outside the horizon, 1.8",
    ),
    "a spin that is too fast": (
        lambda: lnegeom.Kerr(1.0, 2.0),
        r"spin must be below the mass 1.0 in size, got 2.0",
    ),
    "below the half-space": (
        lambda: lnegeom.HalfSpace(2).matrix([[0.0, 1.0], [0.0, -1.0]]),
        r"x\[1\] has last coordinate -1: expected it positive",
    ),
    "off the sphere": (
        lambda: lnegeom.Sphere(2).project([[0.0, 0.0, -1.0], [1.0, 1.0, 1.0]]),
        r"y\[1\] has length 1.73205: expected the radius, 1.0",
    ),
    "chi = 1": (
        lambda: lnegeom.NormalizedLNE(1.0),
        r"chi must be in \[0, 1\), got 1.0; g is singular at chi = 1",
    ),
    "a length in space-time": (
        lambda: lnegeom.Minkowski(2).norm([0.0, 0.0], [1.0, 0.0]),
        r"Minkowski\(2\) is indefinite, so vectors have no norm; use inner\(x, v, v\)",
    ),
    "not a grid": (lambda: lnegeom.FromGrid(np.eye(2), 3), r"expected a grid such as lnegeom.flow.TorusGrid"),
    "nan mean": (lambda: lnegeom.Normal().natural([0.0, np.nan], 1.0), r"mean\[1\] is nan"),
    "negative spread": (
        lambda: lnegeom.Normal().natural(0.0, -1.0),
        r"std = -1: expected a positive standard",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_error_carries_the_offender():
    with pytest.raises(lnegeom.GeometryError) as error:
        LNE.matrix([[0.1, 0.2], [2.0, 1.0]])
    assert error.value.index == (1,)
    assert error.value.value == pytest.approx(np.tanh(2) ** 2 + np.tanh(1) ** 2)


def test_inputs_are_not_mutated_and_results_do_not_alias():
    x, v = np.full(100_000, 1e-4), np.ones(100_000)
    before = x.copy(), v.copy()
    for metric in (LNE, lnegeom.Euclidean(), lnegeom.Hessian(lnegeom.SquaredNorm())):
        metric.sharp(x, v)[:] = 7
    lnegeom.SquaredNorm().gradient(x)[:] = 7
    np.testing.assert_array_equal((x, v), before)


def test_integers_and_lists_are_taken_as_floating():
    assert LNE.matrix([0, 0]).dtype == np.float64
    assert LNE.matrix(torch.tensor([0, 0])).dtype == torch.get_default_dtype()
    assert LNE.sharp(torch.zeros(2), [1.0, 2.0]).dtype == torch.float32
