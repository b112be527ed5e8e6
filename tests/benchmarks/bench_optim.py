"""Optimizer steps against torch, geoopt and PARQ on the weights of two ResNets, and a whole iteration.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_optim.py
    python tests/benchmarks/bench_optim.py --device cuda

The floor is what any step with a metric has to do: one fused SGD step of torch with momentum, and one pass of
tanh over the weights into a ready buffer. Each round runs every candidate in turn and takes its ratio to that
round's floor; medians over rounds are printed, in time of this thread, which other processes disturb least.
PARQ, of torchao, takes part if it is installed. On a GPU it is `bench_optim_gpu` that runs.
"""

import argparse
import math
import platform
import statistics
import time
from functools import partial

import bench_optim_gpu
import numpy as np
import scipy.stats
import torch
from torch import nn

import lnegeom
from lnegeom_torch import (
    LNE,
    Graph,
    LogCoshHessian,
    ManifoldAdamW,
    ManifoldSGD,
    NormalizedLNE,
    Precondition,
    QuantConfig,
    quantize_,
)
from lnegeom_torch.metrics._room import tanh_
from lnegeom_torch.nets import build

try:
    import geoopt

    from lnegeom_torch.manifolds import GraphManifold, LNEManifold, LogCoshManifold, NormalizedLNEManifold
except ImportError:  # which on a GPU need not be there
    geoopt = None

ROUNDS = 15
PHI = lnegeom.LogCosh(1.0)
METRICS = "NormalizedLNE", "LNE", "LogCoshHessian", "Graph"
SMALL = {"lr": 1e-9, "momentum": 0.9}
FUSED = {**SMALL, "fused": True}
ADAM = {"lr": 1e-9, "weight_decay": 0.0}


def resnet20():
    """He et al.'s network for CIFAR-10 with projections in its shortcuts: 65 tensors."""
    shapes, width = [(16, 3, 3, 3), (16,), (16,)], 16
    for stage in (16, 32, 64):
        for block in range(3):
            fan_in = width if block == 0 else stage
            shapes += [(stage, fan_in, 3, 3), (stage,), (stage,), (stage, stage, 3, 3), (stage,), (stage,)]
            if fan_in != stage:
                shapes += [(stage, fan_in, 1, 1), (stage,), (stage,)]
        width = stage
    return [*shapes, (10, 64), (10,)]


def resnet18():
    """The ImageNet network: 62 tensors."""
    shapes, width = [(64, 3, 7, 7), (64,), (64,)], 64
    for stage in (64, 128, 256, 512):
        for block in range(2):
            fan_in = width if block == 0 else stage
            shapes += [(stage, fan_in, 3, 3), (stage,), (stage,), (stage, stage, 3, 3), (stage,), (stage,)]
            if fan_in != stage:
                shapes += [(stage, fan_in, 1, 1), (stage,), (stage,)]
        width = stage
    return [*shapes, (1000, 512), (1000,)]


def weights(shapes, manifold=None, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    found = []
    for shape in shapes:
        value = (0.05 * torch.randn(shape, generator=generator)).to(device)
        if manifold is None:
            weight = nn.Parameter(value)
        else:
            weight = geoopt.ManifoldParameter(value, manifold=manifold(len(shape)))
        weight.grad = (0.01 * torch.randn(shape, generator=generator)).to(device)
        found.append(weight)
    return found


def floor(shapes):
    params = weights(shapes)
    optimizer, data = torch.optim.SGD(params, **FUSED), [p.detach() for p in params]
    buffers = [torch.empty_like(p) for p in data]

    def run():
        optimizer.step()
        for p, buffer in zip(data, buffers, strict=True):
            torch.tanh(p, out=buffer)

    return run


def parq(params):
    """PARQ's optimizer at two bits, over torch's fused SGD."""
    from torchao.prototype.parq import ProxPARQ, QuantOptimizer, UnifQuantizer

    base = torch.optim.SGD([{"params": params, "quant_bits": 2}], **FUSED)
    return QuantOptimizer(base, UnifQuantizer(), ProxPARQ(anneal_start=0, anneal_end=10**9))


def candidates(shapes):
    yield "floor", floor(shapes)
    for name, make in {
        "torch SGD, fused": lambda p: torch.optim.SGD(p, **FUSED),
        "torch SGD, default": lambda p: torch.optim.SGD(p, **SMALL),
        "ManifoldSGD, no metric, fused": lambda p: ManifoldSGD(p, **FUSED),
        "ManifoldSGD, NormalizedLNE, fused": lambda p: ManifoldSGD(p, metric=NormalizedLNE(), **FUSED),
        "ManifoldSGD, LNE, fused": lambda p: ManifoldSGD(p, metric=LNE(), **FUSED),
        "ManifoldSGD, LNE, default": lambda p: ManifoldSGD(p, metric=LNE(), **SMALL),
        "ManifoldSGD, LNE, gate, fused": lambda p: ManifoldSGD(p, metric=LNE(), gate=True, **FUSED),
        "ManifoldSGD, LogCoshHessian, fused": lambda p: ManifoldSGD(p, metric=LogCoshHessian(), **FUSED),
        "ManifoldSGD, Graph, fused": lambda p: ManifoldSGD(p, metric=Graph(PHI), **FUSED),
        "ManifoldSGD, LNE, second order, fused": lambda p: ManifoldSGD(
            p, metric=LNE(), retraction="second", **FUSED
        ),
        "Precondition(torch SGD, fused), LNE": lambda p: Precondition(torch.optim.SGD(p, **FUSED), LNE()),
        "torch AdamW, fused": lambda p: torch.optim.AdamW(p, fused=True, **ADAM),
        "ManifoldAdamW, LNE, fused": lambda p: ManifoldAdamW(p, metric=LNE(), fused=True, **ADAM),
        "PARQ over torch SGD, fused": parq,
    }.items():
        try:
            yield name, make(weights(shapes)).step
        except ImportError:
            print(f"{name}: torchao is not installed")
    for name, kind, options, manifold in (
        ("RiemannianSGD, Euclidean", geoopt.optim.RiemannianSGD, SMALL, None),
        ("RiemannianSGD, NormalizedLNE", geoopt.optim.RiemannianSGD, SMALL, NormalizedLNEManifold),
        ("RiemannianSGD, LNE", geoopt.optim.RiemannianSGD, SMALL, LNEManifold),
        ("RiemannianSGD, LogCoshHessian", geoopt.optim.RiemannianSGD, SMALL, LogCoshManifold),
        ("RiemannianSGD, Graph", geoopt.optim.RiemannianSGD, SMALL, partial(GraphManifold, PHI)),
        ("RiemannianAdam, LNE", geoopt.optim.RiemannianAdam, ADAM, LNEManifold),
    ):
        make = None if manifold is None else lambda ndim, m=manifold: m(ndim=ndim)
        yield f"geoopt {name}", kind(weights(shapes, make), **options).step


def measured(function, calls):
    start = time.thread_time()
    for _ in range(calls):
        function()
    return (time.thread_time() - start) / calls


def compare(shapes, calls):
    """Median ratio to the floor of each, the floor's median in microseconds, and geoopt's ratios to ours."""
    runs = dict(candidates(shapes))
    table = {name: [] for name in runs}
    faster = {name: [] for name in METRICS}
    for index in range(ROUNDS + 1):
        round_ = {name: measured(run, calls) for name, run in runs.items()}
        if index:  # the first warms up
            for name, seconds in round_.items():
                table[name].append((seconds / round_["floor"], seconds))
            for name, ratios in faster.items():
                ratios.append(round_[f"geoopt RiemannianSGD, {name}"] / round_[f"ManifoldSGD, {name}, fused"])
    ratios = {name: statistics.median(ratio for ratio, _ in rows) for name, rows in table.items()}
    floor_us = 1e6 * statistics.median(seconds for _, seconds in table["floor"])
    return ratios, floor_us, {name: statistics.median(rows) for name, rows in faster.items()}


def memory(shapes):
    """Bytes that a step keeps beside torch's, over the bytes of the weights."""
    optimizer = ManifoldSGD(weights(shapes), metric=LNE(), **FUSED)
    optimizer.step()
    (scratch,) = optimizer._scratch.values()
    _, room = scratch._parts[0]
    return room.flat.untyped_storage().nbytes() / sum(4 * math.prod(shape) for shape in shapes)


def tanh_error():
    """Units in the last place that the tanh of our kernels is off, over every 16th positive float32."""
    worst = 0.0
    for start in range(0, 0x7F800000, 1 << 26):
        x = np.arange(start, min(start + (1 << 26), 0x7F800000), 16, dtype=np.uint32).view(np.float32)
        truth = np.tanh(x.astype(np.float64))
        error = np.abs(tanh_(torch.from_numpy(x)).numpy() - truth) / np.spacing(truth.astype(np.float32))
        worst = max(worst, float(error.max()))
    return worst


def iteration(pairs=40):
    """A whole iteration of ResNet-20, batch 128: `wcg` over `dorefa`, by pairs, with its 95 % interval."""
    torch.manual_seed(0)
    x, y = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
    steps = []
    for name in ("dorefa", "wcg"):
        torch.manual_seed(0)
        method = quantize_(build("resnet20", channels=3, classes=10, image_size=32), QuantConfig(name))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
        steps.append(lambda m=method, o=optimizer: m.step(o, nn.functional.cross_entropy, x, y))
    logs = []
    for index in range(pairs + 2):
        order = steps if index % 2 else steps[::-1]
        spent = {id(step): measured(step, 1) for step in order}
        if index >= 2:
            logs.append(math.log(spent[id(steps[1])] / spent[id(steps[0])]))
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(pairs)
    reach = error * scipy.stats.t.ppf(0.975, pairs - 1)
    return math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), pairs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to step")
    device = parser.parse_args().device
    torch.set_num_threads(1)
    lists = {"ResNet-18, 62 tensors": (resnet18(), 1), "ResNet-20, 65 tensors": (resnet20(), 20)}
    if device == "cuda":
        bench_optim_gpu.main(lists, weights, device)
        return
    print(
        f"torch {torch.__version__}, geoopt {geoopt.__version__}, numpy {np.__version__}, "
        f"{platform.machine()}, one thread, {ROUNDS} rounds"
    )
    found = {name: compare(shapes, calls) for name, (shapes, calls) in lists.items()}
    print(f"\n| step, ratio to the floor | {' | '.join(found)} |\n|---|{'---:|' * len(found)}")
    for name in next(iter(found.values()))[0]:
        print(f"| {name} | {' | '.join(f'{ratios[name]:.2f}' for ratios, *_ in found.values())} |")
    print(
        f"\n| geoopt's RiemannianSGD over ManifoldSGD, fused | {' | '.join(found)} |\n"
        f"|---|{'---:|' * len(found)}"
    )
    for name in METRICS:
        print(f"| {name} | {' | '.join(f'{faster[name]:.2f}' for *_, faster in found.values())} |")
    print()
    for name, (shapes, _) in lists.items():
        print(
            f"{name}: floor {found[name][1]:.0f} µs; a step keeps {memory(shapes):.2f} copies of the weights"
        )
    print(f"tanh in float32: within {tanh_error():.2f} units in the last place")
    ratio, low, high, pairs = iteration()
    print(f"ResNet-20 iteration, batch 128, wcg / dorefa: {ratio:.4f} [{low:.4f}, {high:.4f}], {pairs} pairs")


if __name__ == "__main__":
    main()
