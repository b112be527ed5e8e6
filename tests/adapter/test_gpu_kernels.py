"""The kernels of ours on a GPU, against the processor's steps; run where there is one."""

import pytest
import torch
from torch import nn

from lnegeom_torch import LNE, LogCoshHessian, ManifoldAdamW, ManifoldSGD, NormalizedLNE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

KERNELS = [LNE(0.01), LNE(2.0), NormalizedLNE(0.6), NormalizedLNE(0.6, inverse="weak"), LogCoshHessian(0.5)]
LARGE = (64, 3, 7, 7), (512, 512, 3, 3), (1000, 512), (5,)
STEPS = {
    "nesterov": lambda p: {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "gate": lambda p: {"momentum": 0.9, "gate": True},
    "decoupled": lambda p: {"weight_decay": 0.1, "decoupled_weight_decay": True, "clip": True},
    "adamw": lambda p: {"weight_decay": 0.1, "lr": torch.tensor(0.01, device=p[0].device)},
    "adam": lambda p: {"decoupled_weight_decay": False, "maximize": True},
}


def large(device, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter((0.05 * torch.randn(s, generator=generator)).to(device, dtype)) for s in LARGE]


def fused(name, weights, metric):
    kind = ManifoldAdamW if name.startswith("adam") else ManifoldSGD
    return kind(weights, metric=metric, fused=True, **{"lr": 0.01, **STEPS[name](weights)})


def give_gradients(step, *lists):
    """The same to each list, in memory of their own."""
    generator = torch.Generator().manual_seed(step)
    for own in zip(*lists, strict=True):
        gradient = 0.05 * torch.randn(own[0].shape, generator=generator)
        for weight in own:
            weight.grad = gradient.to(weight.device, weight.dtype, copy=True)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("metric", KERNELS, ids=str)
def test_our_kernels_take_the_processors_steps(metric, name):
    here, there = large("cpu"), large("cuda")
    there[1].data = there[1].data.contiguous(memory_format=torch.channels_last)
    one, other = fused(name, here, metric), fused(name, there, metric)
    for step in range(3):
        give_gradients(step, here, there)
        there[1].grad = there[1].grad.contiguous(memory_format=torch.channels_last)
        one.step()
        other.step()
    assert other._two_passes
    for a, b in zip(here, there, strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["gate", "adamw"])
def test_our_kernels_round_half_precision_once(name, dtype):
    """What a step in float32 gives, of the same numbers, rounded."""
    half = large("cuda", dtype)
    wide = [nn.Parameter(weight.detach().float()) for weight in half]
    one, other = fused(name, wide, LNE(2.0)), fused(name, half, LNE(2.0))
    give_gradients(0, half)
    for a, b in zip(wide, half, strict=True):
        a.grad = b.grad.float()
    one.step()
    other.step()
    assert other._two_passes
    for a, b in zip(wide, half, strict=True):
        torch.testing.assert_close(a, b.float(), rtol=torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("name", ["gate", "adamw"])
def test_our_kernels_heed_the_scaler_and_never_wait(name):
    plain, scaled = large("cuda"), large("cuda")
    one, other = fused(name, plain, LNE(2.0)), fused(name, scaled, LNE(2.0))
    other.grad_scale, other.found_inf = torch.tensor(8.0, device="cuda"), torch.zeros((), device="cuda")
    for step in range(4):
        give_gradients(step, plain, scaled)
        for weight in scaled:
            weight.grad *= 8
        infinite = step in (0, 2)
        other.found_inf.fill_(infinite)
        if infinite:
            scaled[0].grad.fill_(float("inf"))
        else:
            one.step()
        torch.cuda.set_sync_debug_mode("error" if step else "default")
        try:
            other.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert other._two_passes
    for a, b in zip(plain, scaled, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
        if name == "adamw":
            assert one.state[a]["step"] == other.state[b]["step"] == 2


def test_our_kernels_add_up_the_same_each_time():
    """Programs arrive in any order, but are added up in one."""
    found = []
    for _ in range(20):
        weights = large("cuda")
        give_gradients(0, weights)
        fused("gate", weights, LNE(2.0)).step()
        found.append(weights)
    for weights in found[1:]:
        assert all(map(torch.equal, weights, found[0]))
