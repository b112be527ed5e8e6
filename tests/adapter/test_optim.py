"""torch's optimizers, bit for bit, without geometry; the stated inverse with it."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import lnegeom
from lnegeom_torch import ManifoldAdamW, ManifoldSGD, NormalizedLNE

SGD, ADAMW = (ManifoldSGD, torch.optim.SGD), (ManifoldAdamW, torch.optim.AdamW)
CONFIGURATIONS = [
    (SGD, {}),
    (SGD, {"momentum": 0.9}),
    (SGD, {"momentum": 0.9, "dampening": 0.1}),
    (SGD, {"momentum": 0.9, "nesterov": True}),
    (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (SGD, {"weight_decay": 0.1, "maximize": True}),
    (SGD, {"momentum": 0.9, "foreach": True}),
    (SGD, {"momentum": 0.9, "fused": True}),
    (ADAMW, {}),
    (ADAMW, {"weight_decay": 0.1, "amsgrad": True}),
    (ADAMW, {"maximize": True, "foreach": True}),
    (ADAMW, {"fused": True}),
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(64, 5))


def descend(model, optimizer, steps=6):
    torch.manual_seed(1)
    for _ in range(steps):
        x, y = torch.randn(8, 1, 6, 6), torch.randint(5, (8,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(("pair", "options"), CONFIGURATIONS, ids=str)
@pytest.mark.parametrize("metric", [NormalizedLNE(0.0, "exact"), NormalizedLNE(0.0, "weak"), None], ids=str)
def test_without_curvature_they_are_torchs_own_bit_for_bit(pair, options, metric, monkeypatch):
    calls = []
    general = NormalizedLNE._strength
    monkeypatch.setattr(NormalizedLNE, "_strength", lambda *args: (calls.append(1), general(*args))[1])
    ours, theirs = network(), network()
    a = descend(ours, pair[0](ours.parameters(), lr=0.1, metric=metric, **options))
    b = descend(theirs, pair[1](theirs.parameters(), lr=0.1, **options))
    assert torch.equal(a, b)
    assert not torch.equal(a, torch.cat([p.detach().flatten() for p in network().parameters()]))
    # The formula ran, for each tensor at each step: χ = 0 is no bypass.
    assert len(calls) == (0 if metric is None else 6 * 4)


@pytest.mark.parametrize("options", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize(("pair"), [SGD, ADAMW], ids=["sgd", "adamw"])
def test_with_a_metric_they_are_torchs_own_on_natural_gradients(pair, options):
    metric = NormalizedLNE(0.6)
    w = torch.randn(5, 4)
    a, b = nn.Parameter(w.clone()), nn.Parameter(w.clone())
    ours, theirs = pair[0]([a], lr=0.1, metric=metric, **options), pair[1]([b], lr=0.1, **options)
    for _ in range(4):
        gradient = torch.randn(5, 4)
        a.grad, b.grad = gradient.clone(), metric.natural_gradient(b.detach(), gradient)
        ours.step()
        theirs.step()
        assert torch.equal(a.grad, gradient)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("chi", [0.1, 0.5, 0.9])
def test_exact_inverse_against_dense_algebra(chi):
    torch.manual_seed(0)
    w, g = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    p = np.tanh(w.numpy().ravel())
    projector = np.outer(p, p) / (p @ p)
    exact = np.linalg.solve(np.eye(12) - chi * projector, g.numpy().ravel())
    weak = (np.eye(12) + chi * projector) @ g.numpy().ravel()
    for inverse, expected in (("exact", exact), ("weak", weak)):
        actual = NormalizedLNE(chi, inverse).natural_gradient(w, g)
        np.testing.assert_allclose(actual.numpy().ravel(), expected, rtol=1e-12, atol=1e-13)


def test_factor_gives_the_metric():
    w = torch.randn(4, 3, dtype=torch.float64)
    rho = NormalizedLNE(0.3).factor(w).flatten()
    g = torch.randn(12, dtype=torch.float64)
    metric = torch.eye(12, dtype=torch.float64) - torch.outer(rho, rho)
    natural = NormalizedLNE(0.3).natural_gradient(w, g.reshape(4, 3)).flatten()
    torch.testing.assert_close(metric @ natural, g)


def test_default_chi_is_the_reciprocal_of_output_channels():
    w, g = torch.randn(8, 3), torch.randn(8, 3)
    for inverse in ("exact", "weak"):
        assert torch.equal(
            NormalizedLNE(None, inverse).natural_gradient(w, g),
            NormalizedLNE(1 / 8, inverse).natural_gradient(w, g),
        )
    one = torch.randn(1, 3)
    assert torch.isfinite(NormalizedLNE().natural_gradient(one, one)).all()  # χ = 1 would be singular


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_zero_layer_is_euclidean_and_half_precision_does_not_overflow(dtype):
    zero, g = torch.zeros(4, 3, dtype=dtype), torch.randn(4, 3).to(dtype)
    assert torch.equal(NormalizedLNE(0.5).natural_gradient(zero, g), g)
    assert torch.equal(NormalizedLNE(0.5).factor(zero), zero)
    for size, value in ((300, 3.0), (30, 1e-4)):  # |p|² = 90,000, or p² = 1e-8: neither fits float16
        w = torch.full((size, size), value, dtype=dtype)
        natural = NormalizedLNE(0.5).natural_gradient(w, torch.ones_like(w))
        torch.testing.assert_close(natural, torch.full_like(w, 2.0), rtol=1e-2, atol=0)
        length = NormalizedLNE(0.5).factor(w).float().norm()
        torch.testing.assert_close(length, torch.tensor(0.5**0.5), rtol=1e-2, atol=0)


def test_gate_drops_gradients_outside_one_after_the_metric():
    w = nn.Parameter(torch.tensor([[0.5, 2.0, 1.0]]))  # 1 itself is inside: |W| ≤ 1
    optimizer = ManifoldSGD([w], lr=1.0, metric=NormalizedLNE(0.5, "weak"), gate=True)
    w.grad = torch.tensor([[1.0, 1.0, 1.0]])
    before = w.detach().clone()
    natural = NormalizedLNE(0.5, "weak").natural_gradient(before, w.grad)
    optimizer.step()
    assert torch.equal(w.detach(), before - natural * torch.tensor([[1.0, 0.0, 1.0]]))
    assert torch.equal(w.grad, torch.ones(1, 3))  # the user's gradient is not written to


def test_metric_belongs_to_the_group():
    a, b = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = ManifoldSGD([{"params": [a], "metric": NormalizedLNE(0.5)}, {"params": [b]}], lr=1.0)
    a.grad, b.grad = torch.eye(2), torch.eye(2)
    optimizer.step()
    assert torch.equal(b.detach(), 1 - torch.eye(2))
    assert not torch.equal(a.detach(), b.detach())


def test_a_metric_is_checked_on_load():
    model = network()
    optimizer = ManifoldSGD(model.parameters(), lr=0.1, momentum=0.9, metric=NormalizedLNE(0.5), gate=True)
    other = ManifoldSGD(model.parameters(), lr=0.1, metric=NormalizedLNE(0.4), gate=True)
    with pytest.raises(lnegeom.InputError, match=r"group 0 has metric = .*0.4.*, the loaded state .*0.5"):
        other.load_state_dict(optimizer.state_dict())


def test_a_state_of_torchs_own_optimizer_keeps_our_metric_and_gate():
    w = nn.Parameter(torch.ones(2, 2))
    plain = torch.optim.SGD([w], lr=0.3, momentum=0.9)
    ours = ManifoldSGD([w], lr=0.1, momentum=0.9, metric=NormalizedLNE(0.5), gate=True)
    ours.load_state_dict(plain.state_dict())
    (group,) = ours.param_groups
    assert group["metric"]["chi"] == 0.5
    assert group["gate"] is True
    assert group["lr"] == 0.3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_keeps_its_metric_for_groups_to_come(duplicate):
    copied = duplicate(ManifoldSGD([nn.Parameter(torch.ones(2))], metric=NormalizedLNE(0.5), gate=True))
    copied.add_param_group({"params": [nn.Parameter(torch.ones(3))]})
    assert [g["metric"]["chi"] for g in copied.param_groups] == [0.5, 0.5]
    assert [g["gate"] for g in copied.param_groups] == [True, True]


BAD = {
    "chi = 1, exact": (lambda: NormalizedLNE(1.0), r"chi must be in \[0, 1\) for the exact inverse, got 1.0"),
    "chi < 0, exact": (
        lambda: NormalizedLNE(-0.1),
        r"chi must be in \[0, 1\) for the exact inverse, got -0.1",
    ),
    "chi < 0, weak": (lambda: NormalizedLNE(-0.1, "weak"), r"chi must be a finite number >= 0 for the weak"),
    "chi = nan": (lambda: NormalizedLNE(float("nan")), r"chi must be in \[0, 1\)"),
    "chi = nan, weak": (lambda: NormalizedLNE(float("nan"), "weak"), r"chi must be a finite number >= 0"),
    "chi = text": (lambda: NormalizedLNE("big"), r"chi must be a number, got 'big'"),
    "inverse": (lambda: NormalizedLNE(0.1, "strong"), r"inverse must be 'exact' or 'weak', got 'strong'"),
    "not a metric": (
        lambda: ManifoldSGD([nn.Parameter(torch.ones(1))], metric="lne"),
        r"metric must be None or one of .*NormalizedLNE.*, got 'lne'",
    ),
    "unknown metric data": (
        lambda: ManifoldSGD([nn.Parameter(torch.ones(1))], metric={"name": "Kerr"}),
        r"metric data must name one of .*NormalizedLNE.*, got 'Kerr'",
    ),
    "gated twice": (
        lambda: ManifoldSGD([{"params": [nn.Parameter(torch.ones(1))], "quantizer_gate": True}], gate=True),
        r"gated at \|W\| <= 1 by their quantizer already",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_at_construction(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_sparse_gradient_is_refused_only_with_a_metric():
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    ManifoldSGD(table.parameters(), lr=0.1).step()
    with pytest.raises(lnegeom.InputError, match="dense gradients"):
        ManifoldSGD(table.parameters(), lr=0.1, metric=NormalizedLNE(0.5)).step()
