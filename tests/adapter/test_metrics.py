"""Metrics on weights against dense algebra, the core's metrics, and automatic differentiation."""

import dataclasses
import io
import math

import numpy as np
import pytest
import torch
import zoo_torch
from torch.func import hessian, jacfwd

import lnegeom
from lnegeom_torch import ManifoldSGD
from lnegeom_torch.metrics import (
    LNE,
    Fisher,
    Graph,
    LogCoshHessian,
    Metric,
    NormalizedLNE,
    Room,
    metric_from_data,
    metric_to_data,
    register_metric,
)
from lnegeom_torch.metrics._room import squared_cosh_, tanh_
from lnegeom_torch.ricci_step import RicciStep

METRICS = [metric for metric in zoo_torch.METRICS if type(metric) is not RicciStep]


def matrix(metric, x, at):
    """The metric as a matrix, from its definition; what depends on `at` is held constant."""
    eye = torch.eye(x.numel(), dtype=x.dtype)
    if isinstance(metric, NormalizedLNE):
        p = torch.tanh(x)
        chi = metric.chi if metric.inverse == "exact" else metric.chi / (1 + metric.chi)
        blocks = torch.kron(torch.eye(2), torch.ones(3, 3)) if metric.per == "channel" else 1
        norms = (p * p) @ (blocks * torch.ones(6, 6)).to(x.dtype)
        return eye - chi * blocks * torch.outer(p, p) / norms
    if isinstance(metric, LNE):
        u = torch.tanh(min(metric.tau, math.sqrt(0.5) / at.norm().item()) * x)
        return eye - torch.outer(u, u)
    if isinstance(metric, LogCoshHessian):
        return torch.diag(torch.cosh(metric.tau * x) ** -2)
    slope = torch.tanh(metric.phi.tau * x) / metric.phi.tau if hasattr(metric.phi, "tau") else x
    at_slope = torch.tanh(metric.phi.tau * at) / metric.phi.tau if hasattr(metric.phi, "tau") else at
    shrink = min(1.0, 0.5 / float(at_slope @ at_slope)) if metric.sign < 0 else 1.0
    return eye + metric.sign * shrink * torch.outer(slope, slope)


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_natural_gradient_solves_with_the_matrix(metric, tensors):
    w, g = tensors
    expected = torch.linalg.solve(matrix(metric, w.flatten(), w.flatten()), g.flatten())
    torch.testing.assert_close(metric.natural_gradient(w, g).flatten(), expected)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_acceleration_is_the_levi_civita_connections(metric, tensors):
    w, v = tensors
    x, velocity = w.flatten(), v.flatten()
    first = jacfwd(lambda y: matrix(metric, y, x))(x)  # (i, j, derivative)
    lowered = 0.5 * (first + first.permute(0, 2, 1) - first.permute(2, 0, 1))
    force = torch.einsum("lij,i,j->l", lowered, velocity, velocity)
    expected = -torch.linalg.solve(matrix(metric, x, x), force)
    torch.testing.assert_close(metric.acceleration(w, v).flatten(), expected)


def units_in_the_last_place(found, truth):
    least = np.finfo(found.dtype).smallest_subnormal
    return np.abs(found - truth) / np.spacing(np.maximum(np.abs(truth), least).astype(found.dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions_of_a_room_are_good_to_four_units(dtype):
    """At every size, subnormal ones too, where numpy's long double is the truth."""
    generator = torch.Generator().manual_seed(0)
    sizes = (0.0, 1e-310, 1e-40, 1e-30, 1e-8, 1e-3, 0.3, 5.0, 40.0)
    x = torch.cat([s * torch.randn(20_000, generator=generator, dtype=torch.float64) for s in sizes]).to(
        dtype
    )
    exact = x.numpy().astype(np.longdouble)
    assert units_in_the_last_place(tanh_(x.clone()).numpy(), np.tanh(exact)).max() < 4
    inside = np.abs(exact) < 40
    found = squared_cosh_(x[torch.from_numpy(inside)]).numpy()
    assert units_in_the_last_place(found, np.cosh(exact[inside]) ** 2).max() < 4


def test_functions_of_a_room_at_the_ends_raise_no_warning():
    ends = torch.tensor([math.inf, -math.inf, 1e30, -1e-45, 0.0, math.nan])
    with np.errstate(all="raise"):
        tanh = tanh_(ends.clone())
        assert torch.isposinf(squared_cosh_(ends.clone())[:3]).all()
    expected = torch.tensor([1.0, -1.0, 1.0, -1e-45, 0.0, math.nan])
    torch.testing.assert_close(tanh, expected, rtol=0, atol=0, equal_nan=True)


def test_lne_of_a_small_layer_is_the_cores(tensors):
    w, g = 0.1 * tensors
    actual = LNE(0.5).natural_gradient(w, g).flatten()
    torch.testing.assert_close(actual, lnegeom.LNE(0.5).sharp(w.flatten(), g.flatten()))
    rho = LNE(0.5).factor(w).flatten()
    metric = torch.eye(6, dtype=w.dtype) - torch.outer(rho, rho)
    torch.testing.assert_close(metric, lnegeom.LNE(0.5).matrix(w.flatten()))


def test_a_rescaled_metric_is_held_along_its_geodesics(tensors):
    """The exponential is the core's, for the τ' or the scale of φ at the start."""
    w, v = tensors[0], 0.2 * tensors[1]
    tau = float(LNE(2.0).effective_tau(w))
    assert tau < 0.5
    expected = lnegeom.exp(lnegeom.LNE(tau), w.flatten(), v.flatten())
    torch.testing.assert_close(LNE(2.0).exponential(w, v).flatten(), expected, rtol=1e-5, atol=1e-6)
    scale = math.sqrt(0.5) / float(w.norm())
    phi = lambda x: scale * (x * x).sum() / 2  # noqa: E731
    expected = lnegeom.exp(lnegeom.Graph(phi, sign=-1), w.flatten(), v.flatten())
    found = Graph(lnegeom.SquaredNorm(), sign=-1).exponential(w, v).flatten()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1e-3, 0.1, 10.0, 1e4])
def test_lne_stays_positive_definite_whatever_the_layer(size):
    w = size * torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    assert LNE(1.0).factor(w).square().sum() <= 0.5 * (1 + 1e-6)
    assert LNE(1.0).effective_tau(w) <= 1
    natural = LNE(1.0).natural_gradient(w, w)
    assert 1 <= natural.norm() / w.norm() <= 2 * (1 + 1e-6)


def test_log_cosh_step_is_mirror_descent(tensors):
    theta, _ = tensors
    eta = (torch.tanh(0.7 * theta) / 0.7).requires_grad_()
    loss = lambda x: (x**3 - x).sum()  # noqa: E731
    loss(torch.atanh(0.7 * eta) / 0.7).backward()  # the plain gradient in the dual coordinates
    latent = theta.clone().requires_grad_()
    loss(latent).backward()
    torch.testing.assert_close(LogCoshHessian(0.7).natural_gradient(theta, latent.grad), eta.grad)


def test_log_cosh_exponential_is_the_cores(tensors):
    theta, v = 0.3 * tensors
    metric = lnegeom.Hessian(lnegeom.LogCosh(0.7))
    expected = lnegeom.exp(metric, theta.flatten(), v.flatten())
    actual = LogCoshHessian(0.7).exponential(theta, v).flatten()
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)
    far = LogCoshHessian(0.7).exponential(theta, 100 * torch.ones_like(v))
    assert torch.isfinite(far).all()  # the line has left the manifold: stopped just inside


def test_log_cosh_hessian_is_that_of_the_potential():
    x = torch.tensor([0.3, -1.2], dtype=torch.float64)
    expected = hessian(lambda y: torch.log(torch.cosh(0.7 * y)).sum() / 0.7**2)(x)
    natural = LogCoshHessian(0.7).natural_gradient(x, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(expected @ natural, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("value", [0.0, 1e-20, 1e-4, 3.0, 300.0, 1e30])
def test_no_finite_weight_gives_nan_or_infinity(metric, dtype, value):
    value = min(value, torch.finfo(dtype).max)
    w = torch.full((40, 30), value, dtype=dtype)
    g = torch.full((40, 30), 0.25, dtype=dtype)
    for room in (None, Room.within(torch.empty(w.numel()), [w])):
        (found,) = metric.natural_gradients([w], [g], room)
        assert found.dtype == dtype
        assert torch.isfinite(found).all()


def test_channels_have_metrics_of_their_own():
    w, g = torch.randn(4, 3, 2), torch.randn(4, 3, 2)
    whole = NormalizedLNE(0.5, per="channel").natural_gradient(w, g)
    for i in range(4):
        torch.testing.assert_close(whole[i], NormalizedLNE(0.5).natural_gradient(w[i], g[i]))
    vector = NormalizedLNE(0.5, per="channel").natural_gradient(w[0, 0], g[0, 0])
    torch.testing.assert_close(vector, 2 * g[0, 0])  # each entry lies along its own p


@dataclasses.dataclass(frozen=True)
class Unknown(Metric):
    def natural_gradient(self, weight, gradient):
        return gradient


BAD = {
    "per": (lambda: NormalizedLNE(0.1, per="row"), r"per must be 'layer' or 'channel', got 'row'"),
    "tau": (lambda: LNE(0.0), "tau must be"),
    "tau nan": (lambda: LogCoshHessian(float("nan")), "tau must be"),
    "phi": (lambda: Graph(lnegeom.NegativeEntropy()), r"phi must be LogCosh\(tau\) or SquaredNorm"),
    "phi data": (lambda: Graph({"name": "LogCosh", "sigma": 1.0}), "phi must be LogCosh with a tau"),
    "sign": (lambda: Graph(lnegeom.SquaredNorm(), sign=0), "sign must be 1"),
    "channel of 0-d": (lambda: NormalizedLNE(0.1, per="channel").check(torch.ones(())), "got a 0-d tensor"),
    "factor": (lambda: NormalizedLNE(0.1, per="channel").factor(torch.ones(2, 2)), "use per='layer'"),
    "not registered": (lambda: metric_to_data(Unknown()), "is not registered"),
    "not a metric": (lambda: register_metric(int), "a dataclass derived from Metric"),
    "same name": (
        lambda: register_metric(dataclasses.make_dataclass("LNE", [], bases=(Unknown,), frozen=True)),
        "has registered a metric named LNE",
    ),
    "no connection": (lambda: Unknown().acceleration(torch.ones(1), torch.ones(1)), "has no acceleration"),
    "extra data": (lambda: metric_from_data({"name": "LNE", "chi": 1.0}), "unknown entries"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call()


@pytest.mark.parametrize("metric", [NormalizedLNE(0.9), NormalizedLNE(30.0, inverse="weak", per="channel")])
def test_of_vanishing_weights_the_metric_is_the_identity_whatever_chi_is(metric):
    gradient = torch.ones(2, 3)
    assert torch.equal(metric.natural_gradient(torch.zeros(2, 3), gradient), gradient)


@register_metric
@dataclasses.dataclass(frozen=True)
class Scales(Metric):
    sizes: tuple
    name_of: dict

    def natural_gradient(self, weight, gradient):
        return gradient / self.sizes[0]


def test_a_metric_of_numpys_numbers_is_plain_data():
    """As from a sweep over numpy.linspace: torch.load(weights_only=True) takes none of them."""
    half, one = np.float64(0.5), np.float32(1.0)
    metrics = (
        NormalizedLNE(half),
        NormalizedLNE(torch.tensor(0.5)),
        LNE(one),
        Graph(lnegeom.LogCosh(one), np.int64(-1)),
        Fisher(damping=half, decay=half),
        RicciStep(half, one),
        Scales((half, 2), {"a": [one]}),
    )
    for metric in metrics:
        file = io.BytesIO()
        optimizer = ManifoldSGD([torch.nn.Parameter(torch.ones(2, 2))], metric=metric)
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        optimizer.load_state_dict(state)
        assert metric_from_data(state["param_groups"][0]["metric"]) == metric
