"""The same numbers on a GPU; run where there is one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import lnegeom
from lnegeom import flow
from lnegeom_torch import (
    LNE,
    Fisher,
    LogCoshHessian,
    ManifoldAdamW,
    ManifoldSGD,
    NormalizedLNE,
    Precondition,
    QuantConfig,
    quantize_,
)
from lnegeom_torch.nets import build
from lnegeom_torch.optim import estimate_fisher
from lnegeom_torch.train import TrainConfig, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture
def full_precision():
    """Convolutions in float32, where cuDNN rounds their inputs to 10 bits by default."""
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.usefixtures("full_precision")
@pytest.mark.parametrize("method", ["ste", "dorefa", "wcg", "rf"])
def test_a_training_step_matches_the_cpus(method):
    torch.manual_seed(0)
    here = build("resnet20", channels=3, classes=10, image_size=32)
    there = copy.deepcopy(here).cuda()
    x, y = torch.randn(16, 3, 32, 32), torch.randint(10, (16,))
    for model, inputs, targets in ((here, x, y), (there, x.cuda(), y.cuda())):
        work = quantize_(model, QuantConfig(method))
        optimizer = ManifoldSGD(work.param_groups(), lr=1e-3, momentum=0.9)
        for _ in range(2):
            work.step(optimizer, nn.functional.cross_entropy, inputs, targets)
    for a, b in zip(here.parameters(), there.parameters(), strict=True):
        assert b.is_cuda
        torch.testing.assert_close(a, b.cpu(), rtol=1e-2, atol=1e-4)


def test_training_runs_whole():
    config = TrainConfig(quant=QuantConfig("rf"), epochs=3, device="cuda")
    assert train(config, 0).accuracy > 85


@pytest.mark.parametrize("method", ["wcg", "spin"])  # the second draws random numbers on the device
def test_a_resumed_run_goes_on_as_the_whole_one(tmp_path, method):
    config = TrainConfig(quant=QuantConfig(method), epochs=2, device="cuda")
    whole = train(config, 0)

    def interrupt(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, 0, checkpoint=tmp_path / "run.safetensors", on_epoch=interrupt)
    resumed = train(config, 0, checkpoint=tmp_path / "run.safetensors", resume=True)
    for one, other in zip(whole.history, resumed.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_metrics_and_flow_stay_on_the_device():
    x = torch.full((5, 4), 0.2, dtype=torch.float64)
    metric = lnegeom.LNE(1.0)
    for name in ("matrix", "christoffel", "riemann", "ricci", "scalar_curvature"):
        result = getattr(metric, name)(x.cuda())
        assert result.is_cuda
        torch.testing.assert_close(result.cpu(), getattr(metric, name)(x))
    grid = flow.TorusGrid((16, 16))
    g = torch.from_numpy(flow.perturbed_flat(grid, 0.1, seed=0))
    here, there = (flow.ricci_deturck(m, grid, 1.0, samples=3) for m in (g, g.cuda()))
    assert there.metrics.is_cuda
    np.testing.assert_allclose(there.metrics.cpu(), here.metrics, atol=1e-12)


METRICS = [NormalizedLNE(0.6), NormalizedLNE(0.6, per="channel"), LNE(2.0), LogCoshHessian(0.5)]
OPTIMIZERS = {
    "sgd": lambda p, **o: ManifoldSGD(p, lr=0.01, momentum=0.9, **o),
    "adamw": lambda p, **o: ManifoldAdamW(p, lr=0.01, **o),
    "capturable": lambda p, **o: ManifoldAdamW(
        p, lr=torch.tensor(0.01, device=p[0].device), capturable=True, **o
    ),
    "fused": lambda p, **o: ManifoldAdamW(
        p, lr=torch.tensor(0.01, device=p[0].device), capturable=True, fused=True, **o
    ),
    "precondition": lambda p, **o: Precondition(torch.optim.SGD(p, lr=0.01), **o),
}


def weights(device, count=3):
    generator = torch.Generator().manual_seed(0)
    found = [nn.Parameter(torch.randn(8, 5, generator=generator).to(device)) for _ in range(count)]
    for weight in found:
        weight.grad = torch.randn(8, 5, generator=generator).to(device)
    return found


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("mode", [{"foreach": False}, {"foreach": True}, {"fused": True}], ids=str)
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_step_matches_the_cpus_and_never_waits_for_the_device(kind, mode, metric):
    here, there = weights("cpu"), weights("cuda")
    steps = [OPTIMIZERS[kind](here, metric=metric, gate=True).step]
    steps.append(OPTIMIZERS[kind](there, metric=metric, gate=True, **mode).step)
    for step in steps:
        step()  # begins the state
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in steps:
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b.cpu())


def test_our_kernels_replay_whatever_steps_there_are_outside():
    eager, captured = weights("cuda"), weights("cuda")
    one, other = (ManifoldSGD(p, 0.01, 0.9, metric=LNE(2.0), fused=True) for p in (eager, captured))
    replay = recorded(other)
    assert other._two_passes
    memory = [weight.grad for weight in captured]  # which the graph reads
    for own in (eager, captured):
        for weight in own:
            weight.grad = 2 * weight.grad
    for optimizer in (one, other):
        optimizer.step()
    found = [weight.detach().clone() for weight in captured]
    for gradient in memory:
        gradient.zero_()
    replay()  # what is left is the momentum
    for a, b in zip(found, captured, strict=True):
        torch.testing.assert_close(a - 0.01 * other.state[b]["momentum_buffer"], b.detach())


def recorded(optimizer):
    """The step in a CUDA graph, after three of them."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            optimizer.step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()
    return graph.replay


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("kind", ["sgd", "capturable", "fused"])
def test_steps_replay_from_one_cuda_graph(kind, metric):
    eager, captured = weights("cuda"), weights("cuda")
    one, other = (OPTIMIZERS[kind](p, metric=metric) for p in (eager, captured))
    recorded(other)()
    for _ in range(4):
        one.step()
    for a, b in zip(eager, captured, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("kind", ["sgd", "capturable"])
def test_a_compiled_step_is_one_graph_and_never_waits_for_the_device(kind, metric):
    torch._dynamo.reset()
    eager, compiled = weights("cuda"), weights("cuda")
    one, other = (OPTIMIZERS[kind](p, metric=metric, gate=True) for p in (eager, compiled))
    inner = type(other).step
    while hasattr(inner, "__wrapped__"):  # torch's hooks break any optimizer's graph
        inner = inner.__wrapped__
    step = torch.compile(torch.no_grad()(lambda: inner(other)), fullgraph=True)
    for _ in range(3):
        one.step()
        step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    one.step()
    for a, b in zip(eager, compiled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_fisher_statistics_stay_on_the_device():
    torch.manual_seed(0)
    here = nn.Linear(6, 4)
    there, x, y = copy.deepcopy(here).cuda(), torch.randn(8, 6), torch.randint(4, (8,))
    for model, inputs, targets in ((here, x, y), (there, x.cuda(), y.cuda())):
        optimizer = ManifoldSGD([model.weight], lr=0.1, metric=Fisher(damping=0.1))
        estimate_fisher(optimizer, model, inputs, targets)
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    torch.testing.assert_close(here.weight, there.weight.cpu(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [ManifoldSGD, ManifoldAdamW])
def test_a_scaler_of_half_precision_gradients(kind):
    (weight,) = weights("cuda", 1)
    optimizer, scaler = (
        kind([weight], lr=0.1, metric=LNE(2.0), fused=True),
        torch.amp.GradScaler("cuda", init_scale=8.0),
    )
    before = weight.detach().clone()
    for factor in (float("inf"), 1.0):
        optimizer.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16):
            loss = (weight @ torch.ones(5, 2, device="cuda")).sum()
        scaler.scale(loss * factor).backward()
        scaler.step(optimizer)
        scaler.update()
        assert torch.equal(weight, before) == (factor != 1.0)


def test_parameters_on_two_devices():
    here, there = weights("cpu", 1), weights("cuda", 1)
    ManifoldSGD([*here, *there], lr=0.1, metric=LNE(2.0), foreach=True).step()
    torch.testing.assert_close(here[0], there[0].cpu())
