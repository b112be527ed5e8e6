"""Laws of metrics, on every metric; connection and curvature against automatic differentiation."""

import numpy as np
import pytest
import torch
import zoo
from conftest import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from remembering import of_metric
from torch.func import jacfwd

import lnegeom
from lnegeom._array import matvec


def near(species):
    return {"rtol": species.tolerance, "atol": species.tolerance}


few = settings(max_examples=3)  # the laws of `test_every_backend` imply these
each_metric = pytest.mark.parametrize("species", zoo.METRICS, ids=repr)


@each_metric
class TestAlgebra:
    @given(data=st.data())
    def test_matrix_is_symmetric_and_has_its_signature(self, species, data):
        g = species.thing.matrix(data.draw(species.points()))
        np.testing.assert_array_equal(g, np.swapaxes(g, -1, -2))
        negative = np.sum(np.linalg.eigvalsh(g) < 0, axis=-1)
        assert np.all(negative == species.thing.signature[1])
        assert species.thing.signature[0] in (None, species.dim - species.thing.signature[1])

    @given(data=st.data())
    def test_inverse_and_logdet(self, species, data):
        x = data.draw(species.points())
        g = species.thing.matrix(x)
        product = g @ species.thing.inverse(x)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(species.dim), g.shape), **near(species))
        np.testing.assert_allclose(species.thing.logdet(x), np.linalg.slogdet(g)[1], **near(species))

    @given(data=st.data())
    def test_musical_isomorphisms(self, species, data):
        metric, x = species.thing, data.draw(species.points())
        u, v = data.draw(zoo.cube(species.dim)), data.draw(zoo.cube(species.dim))
        np.testing.assert_allclose(metric.flat(x, v), matvec(metric.matrix(x), v), **near(species))
        np.testing.assert_allclose(metric.sharp(x, metric.flat(x, v)), v, **near(species))
        np.testing.assert_allclose(
            metric.inner(x, u, v), np.sum(u * metric.flat(x, v), axis=-1), **near(species)
        )
        if metric.signature[1]:
            with pytest.raises(lnegeom.GeometryError, match="indefinite"):
                metric.norm(x, v)
        else:
            np.testing.assert_allclose(metric.norm(x, v) ** 2, metric.inner(x, v, v), **near(species))


@each_metric
class TestConnectionAndCurvature:
    @few
    @given(data=st.data())
    def test_christoffel_matches_automatic_differentiation(self, species, data):
        x = data.draw(species.points(batch=()))
        dg = jacfwd(species.thing.matrix)(torch.from_numpy(x)).numpy()  # (l, j, i): ∂_i g_lj
        lowered = np.einsum("lji->lij", dg) + np.einsum("lij->lij", dg) - np.einsum("ijl->lij", dg)
        expected = np.einsum("kl,lij->kij", np.linalg.inv(species.thing.matrix(x)), lowered) / 2
        np.testing.assert_allclose(species.thing.christoffel(x), expected, **near(species))

    @few
    @given(data=st.data())
    def test_riemann_matches_automatic_differentiation(self, species, data):
        x = data.draw(species.points(batch=()))
        gamma = species.thing.christoffel(x)
        d = jacfwd(species.thing.christoffel)(torch.from_numpy(x)).numpy()  # (r, v, s, m): ∂_m Γ^r_vs
        quadratic = np.einsum("rml,lvs->rsmv", gamma, gamma)
        expected = np.einsum("rvsm->rsmv", d) + quadratic
        expected = expected - np.swapaxes(expected, -1, -2)
        np.testing.assert_allclose(species.thing.riemann(x), expected, **near(species))

    @given(data=st.data())
    def test_ricci_and_scalar_are_contractions(self, species, data):
        metric, x = species.thing, data.draw(species.points())
        v = data.draw(zoo.cube(species.dim))
        ricci = np.einsum("...rsrv->...sv", metric.riemann(x))
        np.testing.assert_allclose(metric.ricci(x), ricci, **near(species))
        np.testing.assert_allclose(metric.ricci_apply(x, v), matvec(ricci, v), **near(species))
        scalar = np.einsum("...sv,...sv->...", metric.inverse(x), ricci)
        np.testing.assert_allclose(metric.scalar_curvature(x), scalar, **near(species))

    @given(data=st.data())
    def test_christoffel_application_is_a_contraction(self, species, data):
        metric, x = species.thing, data.draw(species.points())
        u, v = data.draw(zoo.cube(species.dim)), data.draw(zoo.cube(species.dim))
        expected = np.einsum("...kij,...i,...j->...k", metric.christoffel(x), u, v)
        np.testing.assert_allclose(metric.christoffel_apply(x, u, v), expected, **near(species))

    @given(data=st.data())
    def test_riemann_symmetries_and_first_bianchi_identity(self, species, data):
        x = data.draw(species.points())
        lowered = np.einsum("...ra,...asmv->...rsmv", species.thing.matrix(x), species.thing.riemann(x))
        np.testing.assert_allclose(lowered, -np.einsum("...rsmv->...srmv", lowered), **near(species))
        np.testing.assert_allclose(lowered, np.einsum("...rsmv->...mvrs", lowered), **near(species))
        cyclic = lowered + np.einsum("...rsmv->...rmvs", lowered) + np.einsum("...rsmv->...rvsm", lowered)
        np.testing.assert_allclose(cyclic, 0, atol=10 * species.tolerance)


POINT_METHODS = ["matrix", "inverse", "logdet", "christoffel", "riemann", "ricci", "scalar_curvature"]
VECTOR_METHODS = ["sharp", "flat", "norm", "ricci_apply"]


def everything(metric):
    """All that a metric says at points x, with a vector v, as one function of arrays."""

    def evaluate(x, v):
        found = {name: getattr(metric, name)(x) for name in POINT_METHODS}
        named = [name for name in VECTOR_METHODS if name != "norm" or not metric.signature[1]]
        return found | {name: getattr(metric, name)(x, v) for name in named}

    return evaluate


@each_metric
def test_single_precision_agrees_on_every_backend(species, backend):
    rng = np.random.default_rng(0)
    x = species.to_point(rng.uniform(-1, 1, (2, 1, species.dim)))
    v = rng.uniform(-1, 1, (species.dim,))
    evaluate = of_metric(everything, species.thing, backend.name)
    assert_agree(backend, evaluate, (x, v), "float32", 2e-3, (2, 1))


@pytest.mark.parametrize(
    "name", ["LNE(tau=1.0)", "SPD(2)", "Warped(Minkowski(2), LNE(tau=0.8), SquaredNorm())", "SPD(3)"]
)
def test_gradients_flow_through_torch_and_jax(name):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    species = next(s for s in zoo.METRICS if repr(s.thing) == name)
    x = species.to_point(np.random.default_rng(2).uniform(-1, 1, (2, species.dim)))
    v = np.random.default_rng(3).uniform(-1, 1, species.dim)

    def total(x, v):
        parts = species.thing.ricci_apply(x, v), species.thing.sharp(x, v), species.thing.christoffel(x)
        return sum((part**2).sum() for part in parts)

    given = [torch.from_numpy(a).requires_grad_() for a in (x, v)]
    total(*given).backward()
    slopes = jax.jit(jax.grad(total, argnums=(0, 1)))(x, v)
    for tensor, slope, at in zip(given, slopes, (0, 1), strict=True):
        assert tensor.grad.abs().max() > 1e-3
        np.testing.assert_allclose(tensor.grad, slope, rtol=1e-9, atol=1e-10)
        step = np.zeros_like(given[at].detach().numpy())
        step.flat[0] = 1e-6
        ends = [total(*(a + s * step * (i == at) for i, a in enumerate((x, v)))) for s in (1, -1)]
        np.testing.assert_allclose(np.ravel(slope)[0], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-6)


@each_metric
def test_a_batch_is_its_points_one_by_one(species):
    rng = np.random.default_rng(1)
    x = species.to_point(rng.uniform(-1, 1, (2, 2, species.dim)))
    v = rng.uniform(-1, 1, (species.dim,))
    evaluate = everything(species.thing)
    points = [[evaluate(point, v) for point in row] for row in x]
    for name, whole in evaluate(x, v).items():
        one_by_one = [[point[name] for point in row] for row in points]
        np.testing.assert_allclose(whole, one_by_one, err_msg=name, rtol=1e-8, atol=1e-8)
