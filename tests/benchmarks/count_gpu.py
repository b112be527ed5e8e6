"""What steps would launch and move on a GPU, counted on one that is simulated: nothing is measured.

    python tests/benchmarks/count_gpu.py

For optimizers: torch's operations, or kernels of ours, a step, and bytes read and written a weight, caches
left aside. From these an estimate, 3 microseconds a launch and 3 TB/s, over that of torch's fused step. For
the flow: a right-hand side at 128³ in float32, its algebra one kernel or torch's operations, over the
transforms that it has to do, each three passes. An operation is taken to read its arguments and write its
result once.
"""

import sys
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from bench_optim import resnet18, resnet20
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
from simulated_gpu import DEVICE, simulated

from lnegeom.flow import TorusGrid
from lnegeom.flow.torus.rhs import Compiled, Plain
from lnegeom.flow.torus.run import Run, Settings
from lnegeom_torch import LNE, LogCoshHessian, ManifoldAdamW, ManifoldSGD, NormalizedLNE
from lnegeom_torch.optim import _two_passes
from lnegeom_torch.optim._kernels import SUMS

LAUNCH, BANDWIDTH = 3e-6, 3e12
SGD = {"lr": 0.1, "momentum": 0.9, "fused": True}
STEPS = {
    "torch SGD": lambda p: torch.optim.SGD(p, **SGD),
    "torch AdamW": lambda p: torch.optim.AdamW(p, fused=True),
}
for metric in (NormalizedLNE(), LNE(), LogCoshHessian()):
    STEPS[f"ManifoldSGD, {type(metric).__name__}"] = partial(ManifoldSGD, metric=metric, **SGD)
    STEPS[f"ManifoldAdamW, {type(metric).__name__}"] = partial(ManifoldAdamW, metric=metric, fused=True)


def of_step(make, shapes):
    """Launches of a step, and bytes a weight."""
    with simulated() as traffic, torch.no_grad():
        weights = [nn.Parameter(torch.empty(shape, device=DEVICE)) for shape in shapes]
        for weight in weights:
            weight.grad = torch.empty_like(weight)
        optimizer = make(weights)
        optimizer.step()
        traffic.clear()
        optimizer.step()
        return len(traffic.kernels), traffic.moved / sum(weight.numel() for weight in weights)


class Counted:
    """A kernel of ours, of which only the launches count."""

    def __init__(self, moved):
        self.moved, self.launches = moved, 0

    def __getitem__(self, grid):
        return self

    def __call__(self, *arguments, **named):
        self.launches += 1


def of_kernels(make, shapes):
    """The same of our kernels: what each reads and writes of weights, gradients and state."""
    kernels = {"write": Counted(0), "sums": Counted(8), "sgd": Counted(20), "adamw": Counted(28)}
    stand_in = SimpleNamespace(triton=True, SUMS=SUMS, tl=mock.Mock(), **kernels)
    steps = kernels["counts of steps"] = Counted(0)
    with (
        mock.patch.object(_two_passes, "kernels", stand_in),
        mock.patch.object(_two_passes, "on_gpu", bool_true),
        mock.patch.object(torch, "_foreach_add_", steps),
    ):
        weights = [nn.Parameter(torch.empty(shape)) for shape in shapes]
        for weight in weights:
            weight.grad = torch.empty_like(weight)
        optimizer = make(weights)
        optimizer.step()
        for kernel in kernels.values():
            kernel.launches = 0
        optimizer.step()
    used = [kernel for kernel in kernels.values() if kernel.launches]
    return sum(kernel.launches for kernel in used), float(sum(k.launches * k.moved for k in used))


def bool_true(tensor):
    return True


def optimizers(title, shapes):
    print(
        f"\n| {title} | launches | bytes a weight | estimate over torch's fused step |\n|---|---:|---:|---:|"
    )
    count = sum(torch.Size(shape).numel() for shape in shapes)
    rows = {name: of_step(make, shapes) for name, make in STEPS.items()}
    for name, make in STEPS.items():
        if "Manifold" in name:
            rows[f"{name}, our kernels"] = of_kernels(make, shapes)
    seconds = {name: LAUNCH * n + moved * count / BANDWIDTH for name, (n, moved) in rows.items()}
    for name, (launches, moved) in sorted(rows.items(), key=lambda row: ("AdamW" in row[0], "our" in row[0])):
        ratio = seconds[name] / seconds["torch AdamW" if "AdamW" in name else "torch SGD"]
        print(f"| {name} | {launches} | {moved:.0f} | {ratio:.2f} |")


def flow(size):
    """Bytes of a right-hand side over those of its transforms, its algebra one kernel, and as operations."""
    found = []
    for fused in (True, False):
        with simulated() as traffic:
            metric = torch.empty((size,) * 3 + (3, 3), device=DEVICE)
            run = Run(sys.modules["array_api_compat.torch"], metric, TorusGrid((size,) * 3), "flat", None,
                      Settings(t_end=1.0))  # fmt: skip
            run.rhs = (Compiled if fused else Plain)(run.xp, run.modes, run.rhs.equation)
            if fused:
                run.rhs._algebra = lambda fields, part: (fields.clone(), fields[0, 0] > 0)
            traffic.clear()
            run.rhs(run.start)
            whole = (len(traffic.kernels), traffic.moved)
            traffic.clear()
            fields = torch.empty((4, 6, *(size,) * 3), device=DEVICE)
            run.modes._xp.fft.irfftn(
                run.modes._xp.fft.rfftn(fields, axes=(2, 3, 4)), s=(size,) * 3, axes=(2, 3, 4)
            )
            transforms = traffic.moved
        found.append((whole[0], (whole[1] + 2 * transforms) / (3 * transforms)))
    return found


def main():
    warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
    print(f"torch {torch.__version__}: counted, not measured")
    optimizers("ResNet-18, 62 tensors", resnet18())
    optimizers("ResNet-20, 65 tensors", resnet20())
    print("\n| right-hand side, 128³, float32 | launches | bytes over the transforms' |\n|---|---:|---:|")
    for name, (launches, ratio) in zip(("one kernel", "torch's operations"), flow(128), strict=True):
        print(f"| algebra by {name} | {launches} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
