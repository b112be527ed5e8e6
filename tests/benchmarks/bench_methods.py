"""Time of a training iteration by method, against the straight-through estimator's, on ResNet-20.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_methods.py [--rounds 9] [--batch 128]

CIFAR-10's shape, random images. Each round times one iteration of every candidate in turn, in an order that
changes, by the processor time of this one thread; the table has medians over rounds of the ratio to the same
round's baseline, with a 95 % bootstrap interval. Then the same for the data loader, and, on digits, how much
larger N of the discrete Ricci flow is on a quarter of each batch than on the whole of it.
"""

import argparse
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F

from lnegeom.report import text_table
from lnegeom_torch import ManifoldSGD, QuantConfig, RicciFlow, data, quantize_
from lnegeom_torch.methods import METHODS, MetaQuant
from lnegeom_torch.nets import build

CHEAP = RicciFlow(every=20)
CANDIDATES = {name: QuantConfig(name) for name in METHODS} | {
    "rf cheap": QuantConfig("rf", options=CHEAP),
    "metaquant fcgrad": QuantConfig("metaquant", options=MetaQuant("fcgrad")),
}
BASELINE = {"wcg": "dorefa", "metaquant": "dorefa", "metaquant fcgrad": "dorefa"}
STEPS = {"rf cheap": CHEAP.every, "ste": CHEAP.every}
"""Iterations timed at once: a whole period of the cheap flow, whose iterations differ."""


def prepare(config):
    torch.manual_seed(0)
    model = build("resnet20", channels=3, image_size=32, classes=10)
    method = quantize_(model, config)
    return method, ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9, nesterov=True)


def seconds(method, optimizer, images, labels, count=1):
    start = time.thread_time()
    for _ in range(count):
        method.step(optimizer, F.cross_entropy, images, labels)
    return (time.thread_time() - start) / count


def interval(ratios):
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    return f"{statistics.median(ratios):.3f}", "{:.3f} … {:.3f}".format(*np.quantile(medians, [0.025, 0.975]))


def time_methods(names, rounds, images, labels):
    prepared = {name: prepare(CANDIDATES[name]) for name in names}
    for method, optimizer in prepared.values():
        for _ in range(2):
            seconds(method, optimizer, images, labels)
    taken = {name: [] for name in names}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(names):
            taken[name].append(seconds(*prepared[name], images, labels, STEPS.get(name, 1)))
    return taken


def time_loader(rounds, batch):
    images = torch.randn(20 * batch, 3, 32, 32)
    labels = torch.randint(10, (len(images),))
    generator = torch.Generator().manual_seed(0)
    taken = []
    for _ in range(rounds):
        start = time.thread_time()
        for x, _ in data.batches(images, labels, batch, generator):
            data.crop_and_flip(x, generator)
        taken.append((time.thread_time() - start) / 20)
    return taken


def residual_on_a_quarter(iterations=30, batch=128):
    """Medians, over layers and iterations, of N on a quarter of each batch by N on the whole of it."""
    digits = data.load("digits")
    flow = RicciFlow(virtual_lr=0.1, alpha=0.0, epsilon=float("inf"))
    torch.manual_seed(0)
    model = build("lenet", channels=1, image_size=8, classes=10)
    method = quantize_(model, QuantConfig("rf", options=flow))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9)
    part = quantize_(build("lenet", channels=1, image_size=8, classes=10), QuantConfig("rf", options=flow))
    idle = ManifoldSGD(part.param_groups(), lr=0.0)
    ratios, generator = [], torch.Generator().manual_seed(0)
    for _ in range(iterations // (len(digits.train_labels) // batch) + 1):
        for images, labels in data.batches(digits.train_images, digits.train_labels, batch, generator):
            part.model.load_state_dict(model.state_dict())
            part.step(idle, F.cross_entropy, images[: batch // 4], labels[: batch // 4])
            method.step(optimizer, F.cross_entropy, images, labels)
            ratios += [float(part.residuals[k] / v) for k, v in method.residuals.items()]
    return ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--only", nargs="+", default=list(CANDIDATES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, labels = torch.randn(options.batch, 3, 32, 32), torch.randint(10, (options.batch,))
    names = list(dict.fromkeys([*options.only, "ste", "dorefa"]))
    taken = time_methods(names, options.rounds, images, labels)
    rows = []
    for name in names:
        base = BASELINE.get(name, "ste")
        ratios = [a / b for a, b in zip(taken[name], taken[base], strict=True)]
        rows.append([name, base, *interval(ratios)])
    loader = time_loader(options.rounds, options.batch)
    ste = statistics.median(taken["ste"])
    rows.append(["data loading", "ste", *interval([t / ste for t in loader])])
    print(text_table(["what", "against", "median ratio", "95 % interval"], rows))
    print(f"\nste: {ste:.2f} s an iteration; torch {torch.__version__}, one thread")
    ratios = residual_on_a_quarter()
    print(
        f"N on a quarter of the batch, by N on the batch: median {statistics.median(ratios):.2f}, "
        "10th and 90th percentiles {:.2f}, {:.2f}".format(*np.quantile(ratios, [0.1, 0.9]))
    )


if __name__ == "__main__":
    main()
