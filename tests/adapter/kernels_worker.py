"""The kernels for a GPU in Triton's interpreter, against the same steps by torch's operations."""

import copy
import itertools
from functools import partial

import torch
import triton
import triton.language as tl
from torch import nn

from lnegeom_torch import LNE, LogCoshHessian, ManifoldAdamW, ManifoldSGD, NormalizedLNE
from lnegeom_torch.optim import _kernels, _two_passes

SHAPES = (3, 5), (1,), (33, 64)  # one of them has three chunks
CHUNK = 1024
KINDS = {
    ManifoldSGD: (
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.3, "maximize": True, "weight_decay": 0.1, "gate": True},
        {"clip": True, "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"gate": True, "lr": torch.tensor(0.5, dtype=torch.float64)},
    ),
    ManifoldAdamW: (
        {"weight_decay": 0.1, "gate": True},
        {"betas": (0.0, 0.9), "maximize": True, "lr": torch.tensor(0.1)},
        {"weight_decay": 0.1, "decoupled_weight_decay": False, "clip": True, "eps": 1e-3},
    ),
}
METRICS = LNE(0.01), LNE(2.0), NormalizedLNE(), NormalizedLNE(3.0, inverse="weak"), LogCoshHessian(0.3)


def weights(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    found = [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in SHAPES]
    found[1].data.zero_()  # where the metric is the identity
    for weight in found:
        weight.grad = torch.randn(weight.shape, generator=generator).to(dtype)
    return found


def moved(on_gpu, kind, metric, options, dtype=torch.float32, infinite=None):
    """Weights and their state after steps; by torch's operations in float32, what is kept in the dtype.

    With the number of an infinite step, the steps are those that a GradScaler asks for.
    """
    _two_passes.on_gpu = lambda tensor: on_gpu
    found = weights(0, dtype if on_gpu else torch.float32)
    optimizer = kind(found, metric=metric, fused=True, **{"lr": 0.1, **options})
    for step in range(3):
        before = [weight._version for weight in found]
        scale = 1.0 if infinite is None else 8.0
        for weight, other in zip(found, weights(step, dtype), strict=True):
            if (
                step != 2 or infinite is not None
            ):  # or the third step has the second's gradients, where they lie
                weight.grad = (scale * other.grad).to(weight.dtype)
        if infinite is not None:
            optimizer.grad_scale, optimizer.found_inf = torch.tensor(scale), torch.zeros(())
            if step == infinite:
                optimizer.found_inf.fill_(1.0)
                found[0].grad = torch.full_like(found[0], float("inf"))
        optimizer.step()
        assert all(weight._version > version for weight, version in zip(found, before, strict=True))
        for tensor in [*found, *kept(optimizer, found)]:
            tensor.data.copy_(tensor.to(dtype))
    assert hasattr(optimizer, "_two_passes") == on_gpu
    return [*found, *kept(optimizer, found)]


def kept(optimizer, found):
    states = (sorted(optimizer.state[weight].items()) for weight in found)
    return [tensor for state in states for _, tensor in state if tensor is not None]


def compare(*case, near=(2e-6, 2e-5), **named):
    here, there = moved(False, *case, **named), moved(True, *case, **named)
    for a, b in zip(there, here, strict=True):
        a, b = a.detach().float(), b.detach()
        worst = float(((a - b).abs() / (near[0] + near[1] * b.abs())).max())
        assert worst <= 1, f"{case}, {named}: {worst} times what is allowed"


def steps_agree():
    for kind, options in KINDS.items():
        for turn in range(2):  # each metric with two of the options, each option with a metric or two
            chosen = itertools.islice(itertools.cycle(options), 2 * turn, None)
            for metric, own in zip(METRICS, chosen, strict=False):
                compare(kind, metric, own)
        for infinite, metric in enumerate((LNE(2.0), LogCoshHessian(0.3))):
            compare(kind, metric, {}, infinite=infinite + 1)
        for dtype in (torch.bfloat16, torch.float16):  # the interpreter rounds bfloat16 toward 0
            compare(kind, LNE(2.0), {}, near=[4 * torch.finfo(dtype).eps] * 2, dtype=dtype)


def an_infinite_first_step_leaves_no_trace():
    for state in moved(True, ManifoldSGD, LNE(2.0), {"momentum": 0.9}, infinite=0):
        assert torch.isfinite(state).all()


def a_state_of_torchs_goes_on(kind, torchs):
    found = weights(0, torch.float32)
    optimizer = torchs(found, lr=0.1)
    for _ in range(2):
        optimizer.step()
    ends = []
    for on_gpu in (False, True):
        _two_passes.on_gpu = lambda tensor, there=on_gpu: there
        own = copy.deepcopy(found)
        for weight, other in zip(own, found, strict=True):
            weight.grad = other.grad.clone()
        ours = kind(own, lr=0.1, metric=LNE(2.0), fused=True)
        ours.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        ours.param_groups[0]["fused"] = True  # which torch's own, saved without, has set aside
        ours.step()
        assert hasattr(ours, "_two_passes") == on_gpu
        ends.append([*own, *kept(ours, own)])
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b)


@triton.jit
def factor(left, chunks, begin, end, tau, out):
    scale, value = _kernels._factor_by_moments(left, chunks, begin, end, tau)
    tl.store(out, scale)
    tl.store(out + 1, value)


def moments_of_many_chunks_add_up(lone):
    """Against float64: 600 chunks, in two rounds, sizes from 1e-9 to 1, maybe one weight far above."""
    generator = torch.Generator().manual_seed(0)
    weight, gradient = torch.randn((2, 600, 4), generator=generator).double()
    weight *= 10.0 ** -(9 * torch.rand((600, 1), generator=generator))
    weight[3, 0] += lone
    squared = weight.square().sum(dim=1)
    x = weight / squared.sqrt()[:, None] * 0.5**0.5
    rows = [squared, *((x ** (2 * k + 1) * gradient).sum(1) for k in range(6))]
    rows += [(x ** (2 * k)).sum(1) for k in range(2, 7)]
    left = torch.zeros(len(rows), 7 + 600)  # another tensor has the first 7
    left[:, 7:] = torch.stack(rows)
    for tau in (0.001, 2.0):
        out = torch.empty(2)
        factor[(1,)](left, 607, 7, 607, tau, out)
        scale = LNE(tau).effective_tau(weight)
        p = torch.tanh(scale * weight)
        expected = torch.stack([scale, (p * gradient).sum() / (1 - p.square().sum())])
        torch.testing.assert_close(out.double(), expected, rtol=1e-6, atol=0)


def weights_in_another_order_take_the_same_steps():
    """But not by the kernels where a gradient is in an order of its own."""
    here, there, apart = (nn.Parameter(torch.linspace(-1, 1, 108).view(4, 3, 3, 3)) for _ in range(3))
    for weight in (there, apart):
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    optimizers = [ManifoldSGD([w], 0.1, 0.9, metric=LNE(2.0), fused=True) for w in (here, there, apart)]
    for _ in range(2):
        here.grad = torch.randn(here.shape, generator=torch.Generator().manual_seed(0))
        there.grad, apart.grad = here.grad.contiguous(memory_format=torch.channels_last), here.grad
        for optimizer in optimizers:
            optimizer.step()
    assert [hasattr(optimizer, "_two_passes") for optimizer in optimizers] == [True, True, False]
    assert there.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(there, here)


def recorded_steps_leave_those_outside_alone():
    """Here they are launched at once, and not replayed."""
    (weight,) = weights(0, torch.float32)[2:]
    optimizer = ManifoldSGD([weight], lr=0.1, metric=LNE(2.0), fused=True)
    optimizer.step()
    (tables,) = optimizer._two_passes.values()
    before, start = tables._table.clone(), weight.detach().clone()
    _two_passes.recording = lambda: True
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert torch.equal(tables._table, before)
    assert not torch.equal(weight, start)


if __name__ == "__main__":
    _two_passes._CHUNK = CHUNK
    steps_agree()
    an_infinite_first_step_leaves_no_trace()
    a_state_of_torchs_goes_on(ManifoldSGD, partial(torch.optim.SGD, momentum=0.9))
    a_state_of_torchs_goes_on(ManifoldAdamW, torch.optim.AdamW)
    moments_of_many_chunks_add_up(lone=0.0)
    moments_of_many_chunks_add_up(lone=1e4)
    weights_in_another_order_take_the_same_steps()
    recorded_steps_leave_those_outside_alone()
    print("all steps agree")
