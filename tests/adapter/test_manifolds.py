"""geoopt's manifolds: its own laws for a manifold, and the metrics behind them."""

import pytest
import torch

import lnegeom
from lnegeom_torch import LNE, Graph, ManifoldSGD

geoopt = pytest.importorskip("geoopt", reason="geoopt is not installed")

from geoopt.optim import RiemannianAdam, RiemannianSGD  # noqa: E402

from lnegeom_torch.manifolds import (  # noqa: E402
    GraphManifold,
    LNEManifold,
    LogCoshManifold,
    NormalizedLNEManifold,
)

MANIFOLDS = [
    NormalizedLNEManifold(0.6, ndim=2),
    NormalizedLNEManifold(0.6, "weak", ndim=2),
    NormalizedLNEManifold(per="channel", ndim=2),
    LNEManifold(0.2, ndim=2),
    LNEManifold(3.0, ndim=2),
    GraphManifold(lnegeom.LogCosh(0.7), ndim=2),
    GraphManifold(lnegeom.SquaredNorm(), sign=-1, ndim=2),
    LogCoshManifold(0.5, ndim=2),
]
close = torch.testing.assert_close


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=MANIFOLDS, ids=str)
def manifold(request):
    return request.param


def test_every_point_and_vector_belongs(manifold):
    x, v = normal(0, 3, 4), normal(1, 3, 4)
    close(manifold.projx(x), x)
    close(manifold.proju(x, v), v)
    manifold.assert_check_point_on_manifold(x)
    manifold.assert_check_vector_on_tangent(x, v)
    close(geoopt.ManifoldTensor(x, manifold=manifold).proj_().data, x)
    with pytest.raises(ValueError, match="not finite"):
        manifold.assert_check_point_on_manifold(x / 0)
    with pytest.raises(ValueError, match="ndim"):
        manifold.assert_check_point_on_manifold(x[0])


def test_a_batch_is_its_points(manifold):
    x, u, v = normal(0, 5, 3, 4), 0.1 * normal(1, 5, 3, 4), normal(2, 5, 3, 4)
    for name, args in {
        "projx": (x,),
        "proju": (x, u),
        "egrad2rgrad": (x, u),
        "retr": (x, u),
        "expmap": (x, u),
        "inner": (x, u, v),
        "norm": (x, u),
        "component_inner": (x, u, v),
        "transp_follow_retr": (x, u, v),
        "transp_follow_expmap": (x, u, v),
    }.items():
        method = getattr(manifold, name)
        whole = method(*args)
        for i in range(5):
            close(whole[i], method(*(a[i] for a in args)))
    close(manifold.egrad2rgrad(x, u[0]), manifold.egrad2rgrad(x, u[:1].expand(5, 3, 4)))


def test_inner_belongs_to_the_gradient(manifold):
    """⟨grad L, v⟩ = dL(v), symmetric, positive; norm and keepdim agree."""
    x, gradient, v = normal(0, 5, 3, 4), normal(1, 5, 3, 4), normal(2, 5, 3, 4)
    natural = manifold.egrad2rgrad(x, gradient)
    close(manifold.inner(x, natural, v), (gradient * v).sum(dim=(1, 2)))
    close(manifold.inner(x, gradient, v), manifold.inner(x, v, gradient))
    assert (manifold.inner(x, v) > 0).all()
    close(manifold.norm(x, v) ** 2, manifold.inner(x, v))
    assert manifold.inner(x, v, keepdim=True).shape == (5, 1, 1)


def test_retractions_agree_to_first_order(manifold):
    x, v = normal(0, 3, 4), normal(1, 3, 4)
    close(manifold.expmap(x, 0 * v), x)
    errors = [float((manifold.expmap(x, t * v) - manifold.retr(x, t * v)).norm()) for t in (1e-2, 1e-3)]
    assert errors[0] == 0 or errors[0] / errors[1] == pytest.approx(100, rel=0.1)


def test_geodesics_keep_their_speed():
    """Where the metric is one field, not rescaled: |γ'| is constant, though γ' and g change."""
    x, v = 0.3 * normal(0, 3, 4), 0.1 * normal(1, 3, 4)
    for manifold in (
        NormalizedLNEManifold(0.6, ndim=2),
        LNEManifold(0.2, ndim=2),
        LogCoshManifold(0.5, ndim=2),
    ):
        end, step = manifold.expmap(x, v), 1e-5
        velocity = (manifold.expmap(x, (1 + step) * v) - manifold.expmap(x, (1 - step) * v)) / (2 * step)
        close(manifold.norm(end, velocity), manifold.norm(x, v), rtol=1e-6, atol=0)


def test_going_back_the_way_one_came(manifold):
    x, v = normal(0, 3, 4), normal(1, 3, 4) / 3
    there, carried = manifold.retr_transp(x, v, v)
    back, returned = manifold.retr_transp(there, -carried, carried)
    assert manifold.reversible == torch.allclose(back, x, atol=1e-5)
    if manifold.reversible:
        close(returned, v)


def test_log_cosh_is_flat_in_closed_form():
    manifold = LogCoshManifold(0.5, ndim=2)
    x, v = normal(0, 4, 3, 4), 0.3 * normal(1, 3, 4)
    y = manifold.expmap(x, v)
    close(manifold.logmap(x, y), v.expand_as(x))
    close(manifold.expmap(x, manifold.logmap(x, y)), y)
    close(manifold.dist(x, y), manifold.norm(x, v.expand_as(x)))
    close(manifold.dist2(x, y, keepdim=True), manifold.dist(x, y)[:, None, None] ** 2)
    carried = manifold.transp(x, y, v)
    close(manifold.norm(y, carried), manifold.norm(x, v.expand_as(x)))
    close(manifold.transp(y, x, carried), v.expand_as(x))
    core = lnegeom.Hessian(lnegeom.LogCosh(0.5))
    close(manifold.dist(x[0], y[0]), lnegeom.distance(core, x[0].flatten(), y[0].flatten()))
    close(manifold.component_inner(x, x).sum(dim=(1, 2)), manifold.inner(x, x))


def test_the_logarithm_is_the_exponentials_inverse(manifold):
    x, v = normal(0, 5, 3, 4), 0.2 * normal(1, 5, 3, 4)
    y = manifold.expmap(x, v)
    close(manifold.logmap(x, y), v, rtol=1e-10, atol=1e-10)
    near = x + 0.1 * v
    close(manifold.expmap(x, manifold.logmap(x, near)), near, rtol=1e-12, atol=1e-12)
    close(manifold.logmap(x[0], y[0]), manifold.logmap(x, y)[0])
    assert torch.equal(manifold.logmap(x, x), torch.zeros_like(x))
    single = manifold.logmap(x.float(), y.float())
    assert single.dtype == torch.float32
    close(single.double(), v, rtol=1e-3, atol=1e-4)


def test_the_logarithm_can_be_differentiated(manifold):
    """One derivative forward, by differences, against the same backward."""
    x, y, a, b, c = 0.3 * normal(0, 5, 1, 3)
    ends = x.requires_grad_(), y.requires_grad_()
    slopes = torch.autograd.grad((manifold.logmap(*ends) * c).sum(), ends)
    with torch.no_grad():
        up, down = (manifold.logmap(x + h * a, y + h * b) for h in (1e-5, -1e-5))
    close(sum((s * d).sum() for s, d in zip(slopes, (a, b), strict=True)), ((up - down) * c).sum() / 2e-5)


ONE_FIELD = [
    (NormalizedLNEManifold(0.6), None),
    (LNEManifold(0.2), lnegeom.LNE(0.2)),
    (GraphManifold(lnegeom.LogCosh(0.7)), lnegeom.Graph(lnegeom.LogCosh(0.7))),
    (LogCoshManifold(0.5), lnegeom.Hessian(lnegeom.LogCosh(0.5))),
]


@pytest.mark.parametrize(("manifold", "core"), ONE_FIELD, ids=lambda value: type(value).__name__)
def test_distance_is_the_geodesics_length(manifold, core):
    x, y, z = 0.5 + 0.3 * normal(0, 3, 4, 5)
    there, back = manifold.dist(x, y), manifold.dist(y, x)
    close(there, manifold.norm(x, manifold.logmap(x, y)))
    close(there, back, rtol=1e-4, atol=0)  # the error of expmap's eight steps
    assert (there <= manifold.dist(x, z) + manifold.dist(z, y)).all()
    close(manifold.dist2(x, y, keepdim=True), there[:, None] ** 2)
    if core is not None:
        close(there[0], lnegeom.distance(core, x[0], y[0]), rtol=1e-5, atol=0)
    # First variation: along the geodesic, away from x, distance grows as fast as one goes.
    end = y.clone().requires_grad_()
    (slope,) = torch.autograd.grad(manifold.dist(x, end).sum(), end)
    close(manifold.egrad2rgrad(y, slope), -manifold.logmap(y, x) / back[:, None], rtol=1e-3, atol=3e-4)
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


def test_random_and_origin(manifold):
    torch.manual_seed(0)
    point = manifold.random(2000, 3, 4, std=0.5, mean=1.0, dtype=torch.float64)
    assert isinstance(point, geoopt.ManifoldTensor)
    assert point.manifold is manifold
    assert float(point.std()) == pytest.approx(0.5, abs=0.02)
    assert float(point.mean()) == pytest.approx(1.0, abs=0.02)
    origin, v = manifold.origin(3, 4, dtype=torch.float64), normal(0, 3, 4)
    close(manifold.egrad2rgrad(origin, v), v)  # Euclidean there


def test_a_scaled_manifold_measures_in_other_units(manifold):
    scaled, (x, v) = geoopt.Scaled(manifold, 2.0), 0.5 * normal(0, 2, 3, 4)
    close(scaled.retr(x, v), manifold.retr(x, v / 2))
    close(scaled.expmap(x, v), manifold.expmap(x, v / 2))
    assert float(scaled.random(2000, 3, 4, std=1.0).std()) == pytest.approx(0.5, abs=0.02)
    y = x + 0.1 * v
    close(scaled.logmap(x, y), 2 * manifold.logmap(x, y))
    if manifold.metric not in (LNE(3.0), Graph(lnegeom.SquaredNorm(), -1)):  # they have no one distance here
        close(scaled.dist(x, y), 2 * manifold.dist(x, y))


@pytest.mark.parametrize("kind", [RiemannianSGD, RiemannianAdam])
def test_geoopts_optimizers_descend(manifold, kind):
    weight = geoopt.ManifoldParameter(normal(0, 3, 4), manifold=manifold)
    optimizer = kind([weight], lr=0.01, stabilize=5)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (weight - 0.1).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


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
