"""Laws of exponential families, on every family; derivatives against automatic differentiation."""

import numpy as np
import pytest
import torch
import zoo
from conftest import assert_agree
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.func import jacfwd, jacrev

import lnegeom
from lnegeom.families import FisherRaoFamily
from lnegeom.families._base import NewtonConjugate

TIGHT = {"rtol": 1e-10, "atol": 1e-10}
each_family = pytest.mark.parametrize("species", zoo.FAMILIES, ids=repr)
each_with_distance = pytest.mark.parametrize(
    "species", [s for s in zoo.FAMILIES if isinstance(s.thing, FisherRaoFamily)], ids=repr
)


@each_family
class TestLogPartition:
    @settings(max_examples=5)
    @given(data=st.data())
    def test_derivatives_match_automatic_differentiation(self, species, data):
        psi, x = species.thing.log_partition, data.draw(species.points(batch=()))
        point = torch.from_numpy(x)
        np.testing.assert_allclose(psi.gradient(x), jacfwd(psi)(point), **TIGHT)
        np.testing.assert_allclose(psi.hessian(x), jacfwd(psi.gradient)(point), **TIGHT)
        np.testing.assert_allclose(psi.third_derivative(x), jacfwd(psi.hessian)(point), **TIGHT)

    @given(data=st.data())
    def test_conjugate_inverts_and_fenchel_young_holds(self, species, data):
        psi, x = species.thing.log_partition, data.draw(species.points())
        eta, dual = psi.gradient(x), psi.conjugate
        np.testing.assert_allclose(dual.gradient(eta), x, **TIGHT)
        np.testing.assert_allclose(psi(x) + dual(eta), np.sum(x * eta, axis=-1), **TIGHT)
        product = dual.hessian(eta) @ psi.hessian(x)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(species.dim), product.shape), **TIGHT)
        assert type(dual.conjugate) in type(psi).__mro__
        assert np.all(np.linalg.eigvalsh(psi.hessian(x)) > 0)
        np.testing.assert_array_equal(psi.hessian(x), np.swapaxes(psi.hessian(x), -1, -2))

    @settings(max_examples=2)
    @given(data=st.data())
    def test_derivatives_of_the_conjugate_match_automatic_differentiation(self, species, data):
        psi = species.thing.log_partition
        eta, dual = psi.gradient(data.draw(species.points(batch=()))), psi.conjugate
        point = torch.from_numpy(eta)
        np.testing.assert_allclose(dual.gradient(eta), jacfwd(dual)(point), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(dual.hessian(eta), jacfwd(dual.gradient)(point), rtol=1e-8, atol=1e-8)
        third = jacrev(dual.hessian)(point)
        scale = np.max(np.abs(third.numpy()))
        np.testing.assert_allclose(dual.third_derivative(eta), third, rtol=1e-7, atol=1e-8 * (1 + scale))


@each_family
@given(data=st.data())
def test_parameters_come_back(species, data):
    family, theta = species.thing, data.draw(species.points())
    parameters = family.parameters(theta)
    np.testing.assert_allclose(family.natural(*parameters), theta, **TIGHT)
    np.testing.assert_allclose(family.from_mean_parameters(family.mean_parameters(theta)), theta, **TIGHT)
    assert family.natural(*parameters).shape == (*theta.shape[:-1], family.dim)


@each_family
@given(data=st.data())
def test_kl_of_near_points_is_half_the_squared_length(species, data):
    p, v = data.draw(species.points()), data.draw(zoo.cube(species.dim))
    step = 1e-4 * np.abs(p) * v
    length = np.einsum("...i,...ij,...j->...", step, species.thing.log_partition.hessian(p), step)
    kl = lnegeom.KL(species.thing)(p, p + step)
    np.testing.assert_allclose(kl, length / 2, rtol=2e-3, atol=1e-14)


@each_with_distance
class TestDistance:
    @given(data=st.data())
    def test_symmetric_and_zero_only_on_the_diagonal(self, species, data):
        p, q = data.draw(species.points()), data.draw(species.points())
        distance = species.thing.distance(p, q)
        np.testing.assert_allclose(distance, species.thing.distance(q, p), rtol=1e-12, atol=1e-13)
        np.testing.assert_array_equal(species.thing.distance(p, p), 0)
        assert np.all(distance >= 1e-3 * np.linalg.norm(p - q, axis=-1) - 1e-15)

    @given(data=st.data())
    def test_triangle_inequality(self, species, data):
        p, q, r = (data.draw(species.points()) for _ in range(3))
        d = species.thing.distance
        assert np.all(d(p, r) <= d(p, q) + d(q, r) + 1e-12)

    @settings(max_examples=5)
    @given(data=st.data())
    def test_its_gradient_has_length_one(self, species, data):
        # Eikonal equation: only a distance of this metric solves it, and the next test fixes the solution.
        p, q = data.draw(species.points(batch=())), data.draw(species.points(batch=()))
        assume(np.max(np.abs(p - q)) > 1e-3)
        slope = jacfwd(lambda x: species.thing.distance(x, torch.from_numpy(q)))(torch.from_numpy(p)).numpy()
        metric = lnegeom.KL(species.thing).metric()
        square = np.dot(slope, metric.sharp(p, slope))
        np.testing.assert_allclose(square, 1, rtol=1e-9)

    @given(data=st.data())
    def test_small_distances_keep_their_digits(self, species, data):
        p, v = data.draw(species.points()), data.draw(zoo.cube(species.dim))
        step = 1e-7 * (1 + np.abs(p)) * v
        step = (p + step) - p  # as rounded
        expected = lnegeom.KL(species.thing).metric().norm(p, step)
        np.testing.assert_allclose(species.thing.distance(p, p + step), expected, rtol=1e-5, atol=1e-15)


@each_family
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_backends_agree_and_keep_kind_dtype_and_batch(species, backend, dtype):
    family = species.thing
    rng = np.random.default_rng(0)
    p, q = species.to_point(rng.uniform(-1, 1, (2, 2, 3, species.dim)))
    eta = family.mean_parameters(q)
    closed = not isinstance(family.log_partition.conjugate, NewtonConjugate)

    def evaluate(p, q, eta, *parameters):
        psi = family.log_partition
        found = {
            "KL": lnegeom.KL(family)(p, q),
            "log-partition": psi(p),
            "natural": family.natural(*parameters),
        }
        found |= {"hessian": psi.hessian(p), "third": psi.third_derivative(p)}
        found |= {"mean": family.mean_parameters(p), "parameters": family.parameters(p)[-1]}
        if closed or backend.name != "jax":  # Newton's iteration looks at values: see the next test
            found["from mean"] = family.from_mean_parameters(eta)
        return found | ({"distance": family.distance(p, q)} if isinstance(family, FisherRaoFamily) else {})

    tolerance = 3e-4 if dtype == "float32" else 1e-10
    assert_agree(backend, evaluate, (p, q, eta, *family.parameters(p)), dtype, tolerance, (2, 3))


def test_newtons_iteration_on_jax_arrays():
    jax = pytest.importorskip("jax")
    family = lnegeom.families.Gamma()
    theta = jax.numpy.asarray([[2.0, -1.0], [0.5, -3.0]])
    found = family.from_mean_parameters(family.mean_parameters(theta))
    assert isinstance(found, jax.Array)
    np.testing.assert_allclose(found, theta, rtol=1e-12)
    with pytest.raises(lnegeom.InputError, match=r"got traced ones .*jax.jit"):
        jax.jit(family.from_mean_parameters)(theta)


def test_gradients_flow_through_torch_inputs():
    family = lnegeom.families.Gamma()
    shape = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    theta = family.natural(shape, 1.0)
    lnegeom.KL(family)(theta, torch.tensor([1.0, -1.0])).sum().backward()
    # d/dα KL[Γ(α, 1) : Γ(1, 1)] = (α − 1) ψ₁(α) at equal rates.
    trigamma = np.array([np.pi**2 / 6 - 1, np.pi**2 / 6 - 1.25])
    np.testing.assert_allclose(shape.grad, trigamma * [1, 2], rtol=1e-12)
