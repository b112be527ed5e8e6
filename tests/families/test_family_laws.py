"""Laws of exponential families, on every family; derivatives against automatic differentiation."""

import numpy as np
import pytest
import torch
import zoo
from conftest import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import jacfwd, jacrev

import lnegeom
from lnegeom import testing
from lnegeom.families import FisherRaoFamily
from lnegeom.families._base import NewtonConjugate

each_family = pytest.mark.parametrize("species", zoo.FAMILIES, ids=repr)
each_with_distance = pytest.mark.parametrize(
    "species", [s for s in zoo.FAMILIES if isinstance(s.thing, FisherRaoFamily)], ids=repr
)


@each_family
class TestLogPartition:
    @settings(max_examples=5)
    @given(data=st.data())
    def test_derivatives_match_automatic_differentiation(self, species, data):
        theta = torch.from_numpy(data.draw(species.points(batch=(2,))))
        laws = ["gradient", "Hessian", "third derivative"]
        testing.check_family(species.thing, theta, tolerance=1e-10, laws=laws)

    @given(data=st.data())
    def test_laws_at_special_points(self, species, data):
        theta = data.draw(species.points())
        laws = ["convex", "Fenchel–Young", "conjugate", "involution", "operator", "parameters"]
        testing.check_family(species.thing, theta, tolerance=1e-10, laws=laws)
        testing.check_family(species.thing, theta, tolerance=1e-9, laws=["Kullback–Leibler"])
        psi = species.thing.log_partition
        assert type(psi.conjugate.conjugate) in type(psi).__mro__
        np.testing.assert_array_equal(psi.hessian(theta), np.swapaxes(psi.hessian(theta), -1, -2))

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
def test_natural_parameters_have_the_shape_of_the_batch(species, data):
    family, theta = species.thing, data.draw(species.points())
    assert family.natural(*family.parameters(theta)).shape == (*theta.shape[:-1], family.dim)


@each_family
def test_laws_by_differences(species):
    theta = species.to_point(np.random.default_rng(0).uniform(-1, 1, (2, species.dim)))
    testing.check_family(species.thing, theta)


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
    def test_a_distance_which_keeps_its_digits(self, species, data):
        theta, laws = data.draw(species.points()), ["distance", "near distance"]
        testing.check_family(species.thing, theta, tolerance=1e-12, laws=laws[:1])
        testing.check_family(species.thing, theta, tolerance=1e-10, laws=laws[1:])

    @given(data=st.data())
    def test_zero_only_on_the_diagonal(self, species, data):
        p, q = data.draw(species.points()), data.draw(species.points())
        distance = species.thing.distance(p, q)
        np.testing.assert_array_equal(species.thing.distance(p, p), 0)
        assert np.all(distance >= 1e-3 * np.linalg.norm(p - q, axis=-1) - 1e-15)

    @settings(max_examples=5)
    @given(data=st.data())
    def test_its_gradient_has_length_one(self, species, data):
        # Eikonal equation: only a distance of this metric solves it, and the first test fixes the solution.
        theta = torch.from_numpy(data.draw(species.points(batch=(2,))))
        testing.check_family(species.thing, theta, tolerance=1e-9, laws=["distance's gradient"])


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
