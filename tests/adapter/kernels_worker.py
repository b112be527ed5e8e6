"""The kernels for a GPU in Triton's interpreter, against the same steps by torch's operations."""

import itertools

import torch
from torch import nn

from lnegeom_torch import LNE, ManifoldSGD, NormalizedLNE
from lnegeom_torch.optim import _two_passes

SHAPES = (3, 5), (1,), (129, 128), (7, 3, 3, 3)  # one of them has three chunks
OPTIONS = (
    {},
    {"nesterov": True, "weight_decay": 0.1},
    {"maximize": True, "weight_decay": 0.1, "gate": True},
    {"dampening": 0.3, "clip": True},
    {"momentum": 0.0, "gate": True, "lr": 0.5},
)
METRICS = LNE(0.01), LNE(2.0), NormalizedLNE(), NormalizedLNE(0.9), NormalizedLNE(3.0, inverse="weak")


def weights(seed):
    generator = torch.Generator().manual_seed(seed)
    found = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    found[1].data.zero_()  # where the metric is the identity
    for weight in found:
        weight.grad = torch.randn(weight.shape, generator=generator)
    return found


def moved(on_gpu, metric, options):
    _two_passes.on_gpu = lambda tensor: on_gpu
    found = weights(0)
    optimizer = ManifoldSGD(found, metric=metric, fused=True, **{"lr": 0.1, "momentum": 0.9, **options})
    for step in range(4):
        before = [weight._version for weight in found]
        for weight, other in zip(found, weights(step), strict=True):
            if step != 2:  # the third step finds the second's gradients, in the same memory
                weight.grad = other.grad
        optimizer.step()
        assert all(weight._version > version for weight, version in zip(found, before, strict=True))
    return found, hasattr(optimizer, "_two_passes")


if __name__ == "__main__":
    for metric, options in itertools.product(METRICS, OPTIONS):
        expected, launched = moved(False, metric, options)
        assert not launched
        found, launched = moved(True, metric, options)
        assert launched
        for a, b in zip(found, expected, strict=True):
            worst = float(((a - b).abs() / (2e-6 + 2e-5 * b.abs())).detach().max())
            assert worst <= 1, f"{metric}, {options}: {worst} times what is allowed"

    # Recorded steps, which here are only launched at once, leave the tables of those outside alone.
    (weight,) = found[2:3]
    weight.grad = torch.randn_like(weight)
    optimizer = ManifoldSGD([weight], lr=0.1, metric=LNE(2.0), fused=True)
    optimizer.step()
    (tables,) = optimizer._two_passes.values()
    kept, before = tables._table.clone(), weight.detach().clone()
    _two_passes.recording = lambda: True
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    assert torch.equal(tables._table, kept)
    assert not torch.equal(weight, before)
    print("all steps agree")
