"""Several seeds of one configuration: one after another, vmapped into one computation, or a process each.

    python tests/benchmarks/bench_seeds.py [--device cuda] [--rounds 15]

First an iteration of all seeds, forward, backward and step, against the same of their weights stacked: a vmap
of the network (`torch.func.functional_call`), one backward pass, and each seed's own optimizer on views of
the stacks. Rounds alternate; medians of the ratio of times (the thread's own on a processor), with a 95 %
bootstrap interval, and the largest relative difference of the losses at the first iteration (on a GPU
convolutions round to 10 bits, as torch has them do by default). Then, without a GPU, a whole
comparison on digits (ten rates, then five seeds, 20 epochs) with --jobs 1 and 2: the processor time of the
busiest process, which on idle cores is the time one waits.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from bench_methods import interval
from torch.func import functional_call, vmap

from lnegeom_torch import ManifoldSGD, QuantConfig, quantize_
from lnegeom_torch._jobs import in_processes, set_up
from lnegeom_torch.compare import compare
from lnegeom_torch.nets import build
from lnegeom_torch.train import TrainConfig

CASES = {
    "digits, MLP": ("mlp", 1, 8, 64),
    "MNIST, MLP": ("mlp", 1, 28, 128),
    "MNIST, LeNet": ("lenet", 1, 28, 128),
    "CIFAR-10, ResNet-20": ("resnet20", 3, 32, 128),
}
ALL = [("ste", 5), ("dorefa", 5), ("wcg", 5), ("wcg", 2), ("wcg", 10)]
RATES = [0.001 * 10 ** (k / 3) for k in range(10)]


def prepare(network, channels, size, method, seeds, device):
    runs = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = build(network, channels=channels, image_size=size, classes=10).to(device)
        own = quantize_(model, QuantConfig(method))
        runs.append((own, ManifoldSGD(own.param_groups(), lr=0.1, momentum=0.9, nesterov=True)))
    return runs


def stack(runs, kind):
    """Each parameter, or buffer, of all seeds in one tensor, of which the models' own become views."""
    stacks = {}
    for name, _ in getattr(runs[0][0].model, f"named_{kind}s")():
        own = [getattr(method.model, f"get_{kind}")(name) for method, _ in runs]
        stacks[name] = torch.stack([tensor.data for tensor in own])
        for tensor, view in zip(own, stacks[name], strict=True):
            tensor.data = view
    return stacks


class Vmapped:
    """All seeds' iterations at once; the same numbers as one by one, to rounding."""

    def __init__(self, runs):
        self.runs = runs
        self.model = runs[0][0].model
        self.buffers = stack(runs, "buffer")
        self.weights = {name: w.requires_grad_() for name, w in stack(runs, "parameter").items()}

    def step(self, images, labels):
        losses = vmap(self.loss)(self.weights, self.buffers, images, labels)
        losses.sum().backward()
        for name, weight in self.weights.items():
            for (method, _), gradient in zip(self.runs, weight.grad, strict=True):
                method.model.get_parameter(name).grad = gradient
            weight.grad = None
        for method, optimizer in self.runs:
            method._optimize(optimizer)
        return losses.detach()

    def loss(self, weights, buffers, images, labels):
        return F.cross_entropy(functional_call(self.model, weights | buffers, (images,)), labels)


def one_by_one(runs, images, labels):
    steps = zip(runs, images, labels, strict=True)
    return torch.stack(
        [method.step(optimizer, F.cross_entropy, x, y)[0] for (method, optimizer), x, y in steps]
    )


def seconds(step, images, labels):
    clock = time.perf_counter if images.is_cuda else time.thread_time
    start = clock()
    losses = step(images, labels)
    if images.is_cuda:
        torch.cuda.synchronize()
    return clock() - start, losses


def measure(case, method, seeds, rounds, device):
    network, channels, size, batch = case
    torch.manual_seed(0)
    images = torch.randn(seeds, batch, channels, size, size, device=device)
    labels = torch.randint(10, (seeds, batch), device=device)
    runs = prepare(network, channels, size, method, seeds, device)
    together = Vmapped(prepare(network, channels, size, method, seeds, device))
    first = one_by_one(runs, images, labels)
    error = ((together.step(images, labels) - first) / first).abs().max().item()
    ratios, times = [], []
    for _ in range(rounds):
        alone, _ = seconds(lambda x, y: one_by_one(runs, x, y), images, labels)
        vmapped, _ = seconds(together.step, images, labels)
        times.append(alone)
        ratios.append(alone / vmapped)
    return [str(seeds), f"{1000 * statistics.median(times):.1f}", *interval(ratios), f"{error:.0e}"]


def compared(jobs):
    """The accuracies of a comparison on digits, after the processor time of the busiest process so far."""
    set_up(jobs, threads=1)
    configs = {"ste": TrainConfig(quant=QuantConfig("ste"), epochs=20)}
    with tempfile.TemporaryDirectory() as folder:
        found = compare(configs, RATES, 5, Path(folder), jobs=jobs)
    # A pause gives each process its turn to tell its time.
    times = dict(in_processes(busy, [(0.5,)] * 2 * jobs, jobs))
    return max(times.values()), [trial.accuracy for trial in found.final["ste"]]


def busy(pause):
    time.sleep(pause)
    return os.getpid(), time.process_time()


def compare_jobs():
    before = time.process_time()
    times = [compared(jobs) for jobs in (1, 2, 2, 1)]
    assert all(accuracies == times[0][1] for _, accuracies in times)
    (first, _), (cold, _), (warm, _), (second, _) = times
    alone = (second - before) / 2  # the two were one process
    print(f"\n15 runs on digits: {alone:.1f} s in one process ({first - before:.1f} s the first time)")
    print(
        f"--jobs 2, the busier: {cold:.1f} s, of which starting {cold - (warm - cold):.1f} s; numbers equal"
    )
    print(f"{alone / cold:.2f} × as fast with the start, {alone / (warm - cold):.2f} × without")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    where = torch.cuda.get_device_name() if options.device == "cuda" else options.device
    print(f"torch {torch.__version__}, {where}, one thread a process\n")
    print(
        "| net | method | seeds | one by one, ms | one by one / vmapped | 95 % interval | loss differs |\n"
        "|---|---|---:|---:|---:|---:|---:|"
    )
    for name, case in CASES.items():
        big = "ResNet" in name and options.device == "cpu"
        rounds, cases = (3, [("wcg", 5)]) if big else (options.rounds, ALL)
        for method, seeds in cases:
            row = measure(case, method, seeds, rounds, options.device)
            print(f"| {name} | `{method}` | {' | '.join(row)} |", flush=True)
    if options.device == "cpu":  # which is what it times
        compare_jobs()


if __name__ == "__main__":
    main()
