"""The laws for users' own metrics, manifolds and optimizers, on every one of ours."""

import functools

import pytest
import torch
import zoo_torch as zoo
from zoo_torch import geoopt

import lnegeom
from lnegeom.testing import LawError
from lnegeom_torch import Fisher, manifolds, testing
from lnegeom_torch.metrics._base import _KINDS

OF_ONE_METRIC = "geodesic", "distance", "distance's gradient"


@pytest.mark.parametrize("metric", zoo.METRICS, ids=str)
@pytest.mark.parametrize("size", [1.0, 0.05])
def test_metrics(metric, size):
    testing.check_metric(metric, size * zoo.normal(0, 2, 2, 3))


@pytest.mark.parametrize("metric", zoo.METRICS, ids=str)
def test_metrics_of_large_layers_are_finite(metric):
    testing.check_metric(metric, zoo.normal(0, 1, 40, 30), laws=["finite"])


@pytest.mark.parametrize("manifold", zoo.MANIFOLDS, ids=str)
def test_manifolds(manifold):
    skipped = OF_ONE_METRIC if manifold in zoo.RESCALED else ()
    laws = [law for law in testing.manifold_laws(manifold) if law not in skipped]
    testing.check_manifold(manifold, 0.3 + 0.3 * zoo.normal(0, 2, 2, 3), laws=laws)


def test_rescaled_manifolds_have_no_one_metric():
    for manifold in zoo.RESCALED:
        with pytest.raises(LawError) as error:
            testing.check_manifold(manifold, 0.3 + 0.3 * zoo.normal(0, 2, 2, 3), laws=OF_ONE_METRIC)
        assert [failure.law for failure in error.value.failures] == list(OF_ONE_METRIC)


@pytest.mark.parametrize("build", zoo.OPTIMIZERS, ids=lambda build: f"{build.func.__name__}-{build.keywords}")
def test_optimizers(build):
    weights = zoo.normal(0, 2, 4, 3)
    testing.check_optimizer(build, weights)
    if build.keywords.get("kind") is not torch.optim.NAdam:  # which keeps a product in float32
        testing.check_optimizer(build, weights, laws=["resumes", "copies"], tolerance=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("kind", "broken"), zoo.THEIR_OPTIMIZERS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_optimizers_of_others(kind, broken, dtype):
    """The laws are torch's: its own optimizers keep them."""
    build = functools.partial(kind, lr=0.1)
    laws = [law for law in testing.optimizer_laws(build) if law not in broken]
    testing.check_optimizer(build, zoo.normal(0, 2, 4, 3).to(dtype), laws=laws)


@pytest.mark.parametrize(("manifold", "shape", "broken"), zoo.THEIR_MANIFOLDS, ids=lambda value: str(value))
def test_manifolds_of_others(manifold, shape, broken):
    """And geoopt's: its own manifolds keep them, but for mistakes of their own."""
    torch.manual_seed(0)
    x = manifold.random(3, *shape, dtype=torch.float64).data
    laws = [law for law in testing.manifold_laws(manifold) if law not in broken]
    testing.check_manifold(manifold, x, laws=laws)


def test_every_implementation_is_in_the_zoo():
    registered = {kind for kind in _KINDS.values() if kind.__module__.startswith("lnegeom_torch.")}
    assert {type(metric) for metric in zoo.METRICS} == registered - {Fisher}  # it has no metric of its own
    public = {getattr(manifolds, name) for name in manifolds.__all__}
    assert {type(manifold) for manifold in zoo.MANIFOLDS} == public


def test_mistakes_of_the_test_are_no_failures():
    metric, manifold = zoo.METRICS[0], zoo.MANIFOLDS[0]
    weights = zoo.normal(0, 2, 2, 3)
    for call, message in (
        (
            lambda: testing.check_metric(lnegeom.Sphere(2), weights),
            "expected a metric of lnegeom_torch.metrics",
        ),
        (
            lambda: testing.check_metric(metric, weights.half()),
            r"float32 or float64, got torch.float16; write",
        ),
        (
            lambda: testing.check_metric(metric, torch.tensor(1.0)),
            r"has shape \(\): expected at least 1, stacked",
        ),
        (lambda: testing.check_metric(metric, weights / 0), r"weights\[0, 0, 0\]"),
        (lambda: testing.check_metric(Fisher(), weights), "needs its statistics"),
        (
            lambda: testing.check_metric(Fisher(), weights[0]),
            "Fisher is the metric of weights of linear layers",
        ),
        (lambda: testing.check_metric(metric, weights, laws=["nonsense"]), "no law is called 'nonsense'"),
        (
            lambda: testing.check_metric(zoo.METRICS[-1], weights, laws=["acceleration"]),
            "does not apply to RicciStep.*it has no `acceleration`",
        ),
        (lambda: testing.check_metric(metric, weights, tolerance=2.0), "tolerance must be between 0 and 1"),
        (lambda: testing.check_manifold(metric, weights), "expected a geoopt.Manifold"),
        (lambda: testing.check_manifold(manifold, weights[:1]), "expected at least 2"),
        (lambda: testing.check_manifold(manifold, weights[0]), r"has 2 axes, and a stack of points one more"),
        (
            lambda: testing.check_manifold(geoopt.Sphere(), weights[0]),
            r"x is not on the manifold Sphere manifold: .*norm",
        ),
        (lambda: testing.check_optimizer(torch.optim.SGD([weights]), weights), "what builds an optimizer"),
        (lambda: testing.check_optimizer(torch.optim.SGD, weights[:1]), "expected at least 2"),
        (
            lambda: testing.check_optimizer(torch.optim.ASGD, weights, laws=["fused"]),
            "does not apply to ASGD: it has no option fused",
        ),
        (lambda: testing.optimizer_laws(lambda params: params), "expected an optimizer from"),
    ):
        with pytest.raises(lnegeom.InputError, match=message):
            call()
