"""What the manifolds of geoopt's kind are besides the laws of manifolds, which `test_laws` holds them to."""

import pytest
import torch

import lnegeom
from lnegeom_torch import ManifoldSGD

geoopt = pytest.importorskip("geoopt", reason="geoopt is not installed")

from geoopt.optim import RiemannianSGD  # noqa: E402
from zoo_torch import MANIFOLDS, normal  # noqa: E402

from lnegeom_torch.manifolds import (  # noqa: E402
    GraphManifold,
    LNEManifold,
    LogCoshManifold,
    NormalizedLNEManifold,
)
from lnegeom_torch.testing import check_manifold  # noqa: E402

close = torch.testing.assert_close


@pytest.fixture(params=MANIFOLDS, ids=str)
def manifold(request):
    return request.param


def test_points_and_vectors_must_be_finite_and_of_enough_axes(manifold):
    x = normal(0, 3, 4)
    close(geoopt.ManifoldTensor(x, manifold=manifold).proj_().data, x)
    for call in (
        lambda: manifold.assert_check_point_on_manifold(x / 0),
        lambda: manifold.assert_check_vector_on_tangent(x, x / 0),
    ):
        with pytest.raises(ValueError, match="not finite"):
            call()
    with pytest.raises(ValueError, match="ndim"):
        manifold.assert_check_point_on_manifold(x[0])


def test_an_empty_batch_is_one(manifold):
    points = torch.zeros(0, *([3] * manifold.ndim))
    for map_ in (manifold.egrad2rgrad, manifold.expmap, manifold.logmap):
        assert map_(points, points).shape == points.shape
    for number in (manifold.inner, manifold.dist, manifold.dist2):
        assert number(points, points).shape == (0,)


def test_the_logarithm_inverts_the_exponential_to_rounding(manifold):
    x = normal(0, 3, 3, 4)
    check_manifold(manifold, x, laws=["logarithm"], tolerance=1e-10)
    assert torch.equal(manifold.logmap(x, x), torch.zeros_like(x))
    y = manifold.expmap(x, 0.2 * normal(1, 3, 3, 4))
    close(manifold.logmap(x[0], y[0]), manifold.logmap(x, y)[0])
    assert manifold.logmap(x.float(), y.float()).dtype == torch.float32


def test_log_cosh_transports_parallelly_and_by_coordinate():
    manifold = LogCoshManifold(0.5, ndim=2)
    x, v = normal(0, 4, 3, 4), 0.3 * normal(1, 4, 3, 4)
    y = manifold.expmap(x, v)
    carried = manifold.transp(x, y, v)
    close(manifold.norm(y, carried), manifold.norm(x, v))
    close(manifold.transp(y, x, carried), v)
    close(manifold.component_inner(x, x).sum(dim=(1, 2)), manifold.inner(x, x))


ONE_FIELD = [
    (LNEManifold(0.2), lnegeom.LNE(0.2)),
    (GraphManifold(lnegeom.LogCosh(0.7)), lnegeom.Graph(lnegeom.LogCosh(0.7))),
    (LogCoshManifold(0.5), lnegeom.Hessian(lnegeom.LogCosh(0.5))),
]


@pytest.mark.parametrize(("manifold", "core"), ONE_FIELD, ids=lambda value: type(value).__name__)
def test_distance_is_the_cores(manifold, core):
    x, y, _ = 0.5 + 0.3 * normal(0, 3, 4, 5)
    close(manifold.dist(x, y)[0], lnegeom.distance(core, x[0], y[0]), rtol=1e-5, atol=0)
    end = y.clone().requires_grad_()
    (at_rest,) = torch.autograd.grad(manifold.dist(y, end).sum(), end)
    assert torch.equal(at_rest, torch.zeros_like(y))


def test_a_logarithm_in_many_dimensions():
    manifold = LNEManifold(1.0)
    x, v = normal(0, 20_000), 0.3 * normal(1, 20_000)
    close(manifold.logmap(x, manifold.expmap(x, v)), v)


def test_where_there_is_no_logarithm_it_says_so():
    x = torch.tensor([[0.1, 0.0], [0.6, 0.1]], dtype=torch.float64)
    for call, message in (
        (lambda: LNEManifold().logmap(x, x + torch.tensor([[0.0], [2.0]])), r"reaches y\[1\]: .*below 1"),
        (lambda: LNEManifold().dist(x, 5 * x), r"y\[1\] lies where LNE\(tau=1.0\) is scaled by 0.2"),
        (lambda: NormalizedLNEManifold(0.9).logmap(x[0], x[0].flip(0)), "no geodesic was found from x to y"),
        (lambda: NormalizedLNEManifold(0.9).logmap(x[:, None], -x), r"no geodesic was found from x\[0, 1\]"),
    ):
        with pytest.raises(lnegeom.GeometryError, match=message):
            call()


def test_random_points_are_normal(manifold):
    for made, size in ((manifold, 0.5), (geoopt.Scaled(manifold, 2.0), 0.25)):
        torch.manual_seed(0)
        point = made.random(2000, 3, 4, std=0.5, mean=1.0, dtype=torch.float64)
        assert isinstance(point, geoopt.ManifoldTensor)
        assert point.manifold is manifold
        assert float(point.std()) == pytest.approx(size, abs=0.02)
        assert float(point.mean()) == pytest.approx(1.0, abs=0.02)
    origin, v = manifold.origin(3, 4, dtype=torch.float64), normal(0, 3, 4)
    assert isinstance(origin, geoopt.ManifoldTensor)
    close(manifold.egrad2rgrad(origin, v), v)  # Euclidean there


def test_geoopts_descent_is_ours():
    manifold = NormalizedLNEManifold(0.6, ndim=2)
    theirs = geoopt.ManifoldParameter(normal(0, 3, 4), manifold=manifold)
    ours = torch.nn.Parameter(normal(0, 3, 4))
    optimizers = RiemannianSGD([theirs], lr=0.1), ManifoldSGD([ours], lr=0.1, metric=manifold.metric)
    for i in range(3):
        for weight, optimizer in zip((theirs, ours), optimizers, strict=True):
            weight.grad = normal(i + 1, 3, 4)
            optimizer.step()
    close(theirs.data, ours.data)


def test_bad_input():
    for call, message in (
        (lambda: LNEManifold(-1.0), "tau must be"),
        (lambda: NormalizedLNEManifold(1.0), r"chi must be in \[0, 1\)"),
        (lambda: LogCoshManifold(ndim=0), "ndim must be"),
        (lambda: GraphManifold(lnegeom.NegativeEntropy()), "phi must be"),
    ):
        with pytest.raises(lnegeom.InputError, match=message):
            call()
