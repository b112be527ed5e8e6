"""Optimizers, methods and diagnostics on a simulated GPU: devices never mix, and no wait is hidden."""

import importlib
import itertools
import types

import pytest
import torch
from simulated_gpu import DEVICE, is_there, simulated
from torch import nn

import lnegeom
from lnegeom_torch import (
    LNE,
    Fisher,
    Graph,
    LogCoshHessian,
    ManifoldAdamW,
    ManifoldSGD,
    NormalizedLNE,
    Precondition,
    QuantConfig,
    freeze,
    quantize_,
)
from lnegeom_torch.diagnostics import Diagnostics
from lnegeom_torch.methods import METHODS, MetaQuant
from lnegeom_torch.nets import build
from lnegeom_torch.optim import estimate_fisher

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")

METRICS = [
    NormalizedLNE(0.6),
    NormalizedLNE(0.6, inverse="weak", per="channel"),
    LNE(2.0),
    LogCoshHessian(0.5),
    Graph(lnegeom.LogCosh(1.0), sign=-1),
]
KINDS = {
    "sgd": lambda p, **o: ManifoldSGD(p, lr=0.1, momentum=0.9, **o),
    "adamw": lambda p, **o: ManifoldAdamW(p, lr=0.1, **o),
    "capturable": lambda p, **o: ManifoldAdamW(p, lr=torch.tensor(0.1, device=DEVICE), capturable=True, **o),
}
MODES = {"foreach": False}, {"foreach": True}, {"fused": True}
OPTIONS = (
    {"gate": True},
    {"clip": True, "weight_decay": 0.1, "decoupled_weight_decay": True},
    {"metric_on": "update", "weight_decay": 0.1, "precondition_weight_decay": True},
    {"retraction": "second", "weight_decay": 0.1, "decoupled_weight_decay": False},
    {"retraction": "exponential", "weight_decay": 0.0},
)


def a_step(metric, kind, mode, options):
    """What a second step moves between host and device, the first having begun the state."""
    with simulated() as traffic, torch.no_grad():
        weights = [nn.Parameter(torch.randn(4, 3, device=DEVICE)) for _ in range(2)]
        for weight in weights:
            weight.grad = torch.randn(4, 3, device=DEVICE)
        optimizer = KINDS[kind](weights, metric=metric, **mode, **options)
        optimizer.step()
        traffic.clear()
        optimizer.step()
        # torch keeps the number of steps on the host, unless it is told that they are to be captured
        state = {k: v for w in weights for k, v in optimizer.state[w].items() if isinstance(v, torch.Tensor)}
        assert all(is_there(value) for name, value in state.items() if name != "step" or kind == "capturable")
    return traffic


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_steps_in_every_mode_wait_for_nothing(metric):
    every = itertools.product(KINDS, MODES)
    for (kind, mode), options in zip(every, itertools.cycle(OPTIONS), strict=False):
        traffic = a_step(metric, kind, mode, options)
        assert traffic.kernels
        assert traffic.reads == traffic.sends == [], (kind, mode, options)


def test_preconditioned_steps_wait_for_nothing():
    with simulated() as traffic, torch.no_grad():
        weight = nn.Parameter(torch.randn(4, 3, device=DEVICE))
        weight.grad = torch.randn(4, 3, device=DEVICE)
        optimizer = Precondition(torch.optim.SGD([weight], lr=0.1, fused=True), LNE(), gate=True)
        optimizer.step()
        traffic.clear()
        optimizer.step()
    assert traffic.kernels
    assert traffic.reads == traffic.sends == []


class Hasty(LNE):
    """LNE with the mistakes that these tests are for."""

    mistake = "read"

    def natural_gradient(self, weight, gradient):
        if self.mistake == "read":
            return gradient if weight.max() > 1e9 else -gradient
        scale = torch.ones(3) if self.mistake == "mix" else torch.tensor(2.0, device=weight.device)
        return gradient * scale


@pytest.mark.parametrize("mistake", ["read", "send", "mix"])
def test_mistakes_are_seen(monkeypatch, mistake):
    monkeypatch.setattr(LNE, "natural_gradient", Hasty.natural_gradient)
    monkeypatch.setattr(LNE, "mistake", mistake, raising=False)
    if mistake == "mix":
        with pytest.raises(RuntimeError, match=r"lazy:0(,| and) cpu"):
            a_step(LNE(), "sgd", {"foreach": True}, {})
        return
    traffic = a_step(LNE(), "sgd", {"foreach": True}, {})
    found = {"read": traffic.reads, "send": traffic.sends}
    assert found.pop(mistake) == ["Hasty.natural_gradient"] * 2
    assert found.popitem()[1] == []


@pytest.mark.parametrize("kind", ["diagonal", "kronecker", "block", "exact"])
def test_fisher_statistics_are_made_and_used_on_the_device(kind):
    with simulated() as traffic:
        with torch.device(DEVICE):
            model, x, y = nn.Linear(6, 4), torch.randn(8, 6), torch.randint(4, (8,))
        optimizer = ManifoldSGD([model.weight], lr=0.1, metric=Fisher(kind, damping=0.1))
        for targets in (y, None):
            estimate_fisher(optimizer, model, x, targets)
        nn.functional.cross_entropy(model(x), y).backward()
        traffic.clear()
        optimizer.step()
    assert all(is_there(value) for value in optimizer.state[model.weight].values())
    assert traffic.reads == traffic.sends == []


def network():
    with torch.device(DEVICE):
        model = build("mlp", channels=1, image_size=6, classes=3)
        return model, torch.randn(8, 1, 6, 6), torch.randint(3, (8,))


REWRITES_GRADIENTS = {"bcgd", "md", "metaquant"}  # so that their norm is looked at twice


@pytest.mark.parametrize("name", METHODS)
def test_a_method_waits_for_the_loss_and_for_the_gradients_norm_only(monkeypatch, name):
    monkeypatch.setattr(  # fake tensors cannot be copied
        importlib.import_module("lnegeom_torch.quant.freeze"),
        "copy",
        types.SimpleNamespace(deepcopy=lambda m: m),
    )
    with simulated() as traffic:
        model, x, y = network()
        bits = None if name in ("fp", "coarse") else 2
        method = quantize_(model, QuantConfig(name, activation_bits=bits))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.01, momentum=0.9)
        method.step(optimizer, nn.functional.cross_entropy, x, y)
        traffic.clear()
        method.step(optimizer, nn.functional.cross_entropy, x, y)
        checks = 2 if name in REWRITES_GRADIENTS or name == "rf" else 1
        assert traffic.reads == ["Method._backward"] + ["check_gradients"] * checks
        # its sums begin on the host, once an epoch
        assert len(traffic.sends) == (1 if name == "rf" else 0)
        traffic.clear()
        assert all(map(is_there, (method.predict(x), model.eval()(x))))
        assert traffic.reads == traffic.sends == []
        if name != "fp":
            assert is_there(freeze(model)(x))


def test_diagnostics_wait_once_a_step_for_all_layers(tmp_path):
    with simulated() as traffic:
        model, x, y = network()
        optimizer = ManifoldSGD(model.parameters(), lr=0.1, metric=NormalizedLNE())
        nn.functional.cross_entropy(model(x), y).backward()
        traffic.clear()
        with Diagnostics(optimizer, model, path=tmp_path / "table.csv"):
            optimizer.step()
    assert set(traffic.reads) == {"Diagnostics._record"}
    assert traffic.sends == []


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bits", [1, 4])
def test_a_model_may_be_moved_after_it_was_quantized(name, bits):
    """As Lightning does, and accelerate."""
    options = MetaQuant("fcgrad", "tanh") if (name, bits) == ("metaquant", 1) else None
    with simulated():
        model = build("mlp", channels=1, image_size=6, classes=3)
        config = QuantConfig(name, bits if bits in METHODS[name].weight_bits else 1, 2, options=options)
        method = quantize_(model, config)
        model.to(DEVICE)
        optimizer = ManifoldSGD(method.param_groups(), lr=0.01, momentum=0.9)
        with torch.device(DEVICE):
            x, y = torch.randn(8, 1, 6, 6), torch.randint(3, (8,))
        for _ in range(2):
            method.step(optimizer, nn.functional.cross_entropy, x, y)
        assert all(map(is_there, model.parameters()))
