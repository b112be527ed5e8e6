"""Dually flat spaces: Legendre transform, Pythagoras, projections against scipy.optimize and closed forms."""

import numpy as np
import pytest
import scipy.optimize
import torch
import zoo
from conftest import assert_agree, in_single_precision, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom
from lnegeom.dually_flat import DuallyFlat

POTENTIALS = [*zoo.POTENTIALS, *(zoo.Species(f.thing.log_partition, f.dim, f.to_point) for f in zoo.FAMILIES)]
each_potential = pytest.mark.parametrize("species", POTENTIALS, ids=repr)
MANY = [s for s in POTENTIALS if s.dim > 1]


@each_potential
class TestSpace:
    @settings(max_examples=5)
    @given(data=st.data())
    def test_coordinates_come_back_and_the_divergence_is_canonical(self, species, data):
        space = DuallyFlat(species.thing)
        p, q = data.draw(species.points()), data.draw(species.points())
        eta = space.dual_coordinates(p)
        np.testing.assert_allclose(space.from_dual_coordinates(eta), p, rtol=1e-9, atol=1e-9)
        conjugate = species.thing.conjugate(space.dual_coordinates(q))
        canonical = species.thing(p) + conjugate - np.sum(p * space.dual_coordinates(q), axis=-1)
        np.testing.assert_allclose(space.divergence(p, q), canonical, rtol=1e-9, atol=1e-9)
        # Exchanging the roles of the coordinates exchanges the arguments.
        dual = DuallyFlat(species.thing.conjugate)
        np.testing.assert_allclose(
            dual.divergence(space.dual_coordinates(q), eta), space.divergence(p, q), rtol=1e-8, atol=1e-9
        )

    @settings(max_examples=5)
    @given(data=st.data())
    def test_pythagorean_residual_is_the_inner_product(self, species, data):
        space = DuallyFlat(species.thing)
        p, q, r = (data.draw(species.points()) for _ in range(3))
        residual = space.pythagorean_residual(p, q, r)
        np.testing.assert_allclose(residual, space.cross(p, q, r), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("species", MANY, ids=repr)
class TestProjection:
    def drawn(self, species, affine_in):
        """A point, a base and the direction from it to a third point: a set that meets the domain."""
        rng = np.random.default_rng(0)
        point, base, third = species.to_point(rng.uniform(-1, 1, (3, 4, species.dim)))
        psi = species.thing
        ends = (base, third) if affine_in == "theta" else (psi.gradient(base), psi.gradient(third))
        return point, base, (ends[1] - ends[0])[..., None]

    @pytest.mark.parametrize("affine_in", ["theta", "eta"])
    def test_it_lies_in_the_set_and_pythagoras_holds(self, species, affine_in):
        space, psi = DuallyFlat(species.thing), species.thing
        point, base, directions = self.drawn(species, affine_in)
        nearest = space.project(point, base, directions, affine_in=affine_in)
        moved = nearest - base if affine_in == "theta" else psi.gradient(nearest) - psi.gradient(base)
        off = moved[..., None] - directions @ (np.linalg.pinv(directions) @ moved[..., None])
        np.testing.assert_allclose(off, 0, atol=1e-9 * (1 + np.max(np.abs(moved))))
        triangle = (base, nearest, point) if affine_in == "theta" else (point, nearest, base)
        scale = 1 + np.max(np.abs(space.divergence(triangle[0], triangle[2])))
        np.testing.assert_allclose(space.pythagorean_residual(*triangle), 0, atol=1e-9 * scale)

    @pytest.mark.parametrize("affine_in", ["theta", "eta"])
    def test_it_is_the_minimizer(self, species, affine_in):
        space, psi = DuallyFlat(species.thing), species.thing
        point, base, directions = self.drawn(species, affine_in)
        point, base, direction = point[0], base[0], directions[0, :, 0]
        nearest = space.project(point, base, direction[:, None], affine_in=affine_in)

        def objective(s):
            try:
                if affine_in == "theta":
                    return float(space.divergence(base + s * direction, point))
                return float(
                    space.divergence(point, psi.conjugate.gradient(psi.gradient(base) + s * direction))
                )
            except lnegeom.GeometryError:
                return 1e6 * (1 + s * s)

        best = scipy.optimize.minimize_scalar(objective, bracket=(0.0, 0.1), tol=1e-10)
        reached = space.divergence(*((nearest, point) if affine_in == "theta" else (point, nearest)))
        assert reached <= best.fun + 1e-9 * (1 + best.fun)
        np.testing.assert_allclose(reached, best.fun, rtol=1e-6, atol=1e-9)


def test_projections_of_bits_onto_independence_and_onto_given_margins():
    bits = lnegeom.Categorical(4)  # 00, 01, 10, 11
    space = DuallyFlat(bits.log_partition)
    p = np.array([[0.4, 0.1, 0.2, 0.3], [0.05, 0.05, 0.1, 0.8]])
    independent = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    product = space.project(bits.natural(p), np.zeros(3), independent, affine_in="theta")
    first, second = p[:, 2] + p[:, 3], p[:, 1] + p[:, 3]
    expected = np.stack(
        [(1 - first) * (1 - second), (1 - first) * second, first * (1 - second), first * second], axis=-1
    )
    np.testing.assert_allclose(bits.probabilities(product), expected, rtol=1e-12)
    # The set of given margins is affine in η: iterative proportional fitting is its closed-form iteration.
    target = np.array([0.3, 0.2, 0.3, 0.2])
    direction = [[1.0], [-1.0], [-1.0]]
    fitted = space.project(bits.natural(p), bits.natural(target), direction, affine_in="eta")
    table = p.reshape(2, 2, 2)
    for _ in range(400):
        table = table * (target.reshape(2, 2).sum(1) / table.sum(2))[:, :, None]
        table = table * (target.reshape(2, 2).sum(0) / table.sum(1))[:, None, :]
    np.testing.assert_allclose(bits.probabilities(fitted).reshape(2, 2, 2), table, rtol=1e-10)


def test_projection_of_a_normal_onto_a_known_variance():
    normal = lnegeom.Normal()
    space = DuallyFlat(normal.log_partition)
    theta = normal.natural([0.7, -3.0], [2.0, 0.1])
    nearest = space.project(theta, normal.natural(0.0, 1.5), [[1.0], [0.0]], affine_in="theta")
    mean, std = normal.parameters(nearest)  # the m-projection keeps the mean
    np.testing.assert_allclose(mean, [0.7, -3.0], rtol=1e-12)
    np.testing.assert_allclose(std, 1.5, rtol=1e-12)


def test_projection_onto_the_whole_space_and_of_a_point_of_the_set():
    gamma = lnegeom.families.Gamma()
    space = DuallyFlat(gamma.log_partition)
    far, base = gamma.natural(200.0, 0.01), gamma.natural(0.3, 50.0)
    for affine_in in ("theta", "eta"):
        whole = space.project(far, base, np.eye(2), affine_in=affine_in)
        np.testing.assert_allclose(whole, far, rtol=1e-9)
    still = space.project(base, base, [[1.0], [2.0]], affine_in="theta")
    np.testing.assert_allclose(still, base, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends(backend, dtype):
    family = lnegeom.Categorical(4)
    space = DuallyFlat(family.log_partition)
    rng = np.random.default_rng(0)
    p, q, r = rng.uniform(-1, 1, (3, 2, 3, 3))
    directions = rng.normal(size=(3, 2))
    tolerance = 1e-5 if dtype == "float32" else 1e-11

    def evaluate(p, q, r):
        return {
            "divergence": space.divergence(p, q),
            "residual": space.pythagorean_residual(p, q, r),
            "cross": space.cross(p, q, r),
        }

    assert_agree(backend, evaluate, (p, q, r), dtype, tolerance, (2, 3))
    if backend.name == "jax" and dtype == "float32":
        return  # Newton's iteration cannot be traced, and op by op JAX takes seconds: one dtype is enough
    for affine_in in ("theta", "eta"):
        result = space.project(*(backend.array(a, dtype) for a in (p, q, directions)), affine_in=affine_in)
        assert backend.owns(result)
        assert str(result.dtype).endswith(dtype)
        expected = space.project(p, q, directions, affine_in=affine_in)
        np.testing.assert_allclose(to_numpy(result), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("affine_in", ["theta", "eta"])
def test_projections_have_derivatives_by_all_that_defines_them(affine_in):
    space = DuallyFlat(lnegeom.NegativeEntropy())
    directions = [[0.3, 1.0], [-1.0, 0.2], [0.4, 0.5]]
    given = [
        torch.tensor(a, dtype=torch.float64, requires_grad=True)
        for a in ([1.0, 2.0, 0.5], [0.7, 1.1, 1.6], directions)
    ]
    assert torch.autograd.gradcheck(lambda *a: space.project(*a, affine_in=affine_in), given, atol=1e-7)


def test_newton_steps_of_jax_in_single_precision_do_not_warn():
    jax = pytest.importorskip("jax")
    partition = lnegeom.Gamma().log_partition
    with in_single_precision(jax):
        theta = jax.numpy.asarray([1.5, -0.7])
        eta = partition.gradient(theta)
        back = partition.conjugate.gradient(eta)
        nearest = DuallyFlat(partition).project(theta, theta, [[1.0], [0.5]], affine_in="eta")
    assert back.dtype == nearest.dtype == "float32"
    np.testing.assert_allclose([back, nearest], [theta, theta], rtol=1e-5)


SPACE = DuallyFlat(lnegeom.Normal().log_partition)
THETA = np.array([0.0, -0.5])
LINE = np.array([[1.0], [0.0]])
BAD = {
    "potential": (lambda: DuallyFlat(np.cosh), r"expected a Potential such as LogCosh"),
    "coordinates": (lambda: SPACE.project(THETA, THETA, LINE, affine_in="mu"), r'must be "theta" or "eta"'),
    "point": (lambda: SPACE.project([0.0, 1.0], THETA, LINE, affine_in="eta"), r"second natural parameter 1"),
    "directions": (
        lambda: SPACE.project(THETA, THETA, [1.0, 0.0], affine_in="eta"),
        r"directions has shape \(2,\): expected \(..., 2, m\) with 1 <= m <= 2, a direction in each column",
    ),
    "dependent": (
        lambda: SPACE.project(THETA, THETA, [[1.0, 2.0], [1.0, 2.0]], affine_in="eta"),
        r"directions are dependent: expected columns of full rank",
    ),
    "zero": (lambda: SPACE.project(THETA, THETA, 0 * LINE, affine_in="eta"), r"directions are dependent"),
    "nan": (
        lambda: SPACE.project(THETA, THETA, np.nan * LINE, affine_in="eta"),
        r"directions\[0, 0\] is nan",
    ),
    "batches": (
        lambda: SPACE.project([THETA] * 2, THETA, [LINE] * 3, affine_in="eta"),
        r"do not broadcast: got point \(2, 2\), base \(2,\), directions \(3, 2\)",
    ),
    "pair": (lambda: SPACE.divergence(THETA, [0.0, -1.0, 1.0]), r"q has shape \(3,\): expected \(..., 2\)"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_projection_that_does_not_converge_says_where(monkeypatch):
    monkeypatch.setattr("lnegeom._newton._STEPS", 1)
    with pytest.raises(lnegeom.GeometryError, match=r"point\[1\]: Newton's iteration on .* did not converge"):
        SPACE.project([THETA, 9 * THETA], THETA, [[0.0], [1.0]], affine_in="theta")
