"""Laws of metrics, on every metric, in single precision on every backend; and gradients through them."""

import numpy as np
import pytest
import torch
import zoo
from conftest import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from remembering import of_metric

import lnegeom
from lnegeom import testing
from lnegeom.testing import _contract_laws, _tensor_laws

each_metric = pytest.mark.parametrize("species", zoo.METRICS, ids=repr)
OF_OTHERS = "lowered", "compositions", "sectional", "Weyl"  # made of what the rest hold, at generic points
POINTWISE = [
    name
    for name, law in _tensor_laws.LAWS.items()
    if not (law.slopes or any(part in name for part in OF_OTHERS))
]


def applying(species, names):
    return [name for name in testing.metric_laws(species.thing, species.dim) if name in names]


@each_metric
@given(data=st.data())
def test_laws_at_special_points(species, data):
    x, laws = data.draw(species.points()), applying(species, POINTWISE)
    testing.check_metric(species.thing, x, tolerance=species.tolerance, laws=laws)


@each_metric
@settings(max_examples=3)  # the laws of `test_every_backend` imply these
@given(data=st.data())
def test_connection_and_curvature_by_automatic_differentiation(species, data):
    x = torch.from_numpy(data.draw(species.points(batch=(1,))))
    laws = ["without torsion", "parallel metric", "Riemann of Christoffel"]
    testing.check_metric(species.thing, x, tolerance=species.tolerance, laws=laws)


@each_metric
@settings(max_examples=1)
@given(data=st.data())
def test_laws_of_the_contract(species, data):
    x, laws = data.draw(species.generic_points(batch=(2,))), applying(species, _contract_laws.LAWS)
    testing.check_metric(species.thing, x, laws=laws)


def test_vectors_of_an_indefinite_metric_have_no_length():
    with pytest.raises(lnegeom.GeometryError, match="indefinite"):
        lnegeom.Minkowski(2).norm([0.0, 0.0], [1.0, 0.0])


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
