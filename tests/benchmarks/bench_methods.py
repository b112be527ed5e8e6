"""Time of a training iteration by method, against the straight-through estimator's, on ResNet-20.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_methods.py [--rounds 7] [--batch 128]

CIFAR-10's shape, random images. Each round times one iteration of every candidate in turn, in an order that
changes, by the processor time of this one thread; the table has medians over rounds of the ratio to the same
round's baseline, with a 95 % bootstrap interval. Then the same for the data loader and for the translations
of `rf` in one pass against four; and, on digits, N of the discrete Ricci flow on a part of each batch, plain
and extrapolated, by N on the whole of it.
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

UNMOVED = {"rows": (1, 0), "columns": (1, 0)}  # k₂ and j₂ are no translation: the real gradient
FLOWS = {
    "rf, k₂ = j₂ = 0": RicciFlow(**UNMOVED),
    "rf, every=20": RicciFlow(every=20),
    "rf, every=16, k₂ = j₂ = 0": RicciFlow(every=16, **UNMOVED),
    "rf, every=8, share=0.25": RicciFlow(every=8, share=0.25),
}
CANDIDATES = {name: QuantConfig(name) for name in METHODS} | {
    **{name: QuantConfig("rf", options=flow) for name, flow in FLOWS.items()},
    "metaquant fcgrad": QuantConfig("metaquant", options=MetaQuant("fcgrad")),
}
BASELINE = {"wcg": "dorefa", "metaquant": "dorefa", "metaquant fcgrad": "dorefa"}
STEPS = {name: flow.every for name, flow in FLOWS.items()} | {"ste": 10, "fim": 10}
"""Iterations timed at once: a whole period of what does not do the same in each."""


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


def time_one_pass(rounds):
    """Time of the four translated passes at once, by torch.func.vmap, against one after the other."""
    rows = []
    for name, channels, size, batch in (
        ("mlp", 1, 8, 64),
        ("lenet", 1, 8, 64),
        ("lenet", 1, 28, 128),
        ("resnet20", 3, 32, 128),
    ):
        torch.manual_seed(0)
        samples = [(torch.randn(batch, channels, size, size), torch.randint(10, (batch,)))]
        taken = {False: [], True: []}
        for _ in range(rounds + 1):
            for batched, times in taken.items():
                flow = RicciFlow(batched=batched)
                model = build(name, channels=channels, image_size=size, classes=10)
                method = quantize_(model, QuantConfig("rf", options=flow))
                start = time.thread_time()
                method._virtual(F.cross_entropy, samples, flow.translations, 1)
                times.append(time.thread_time() - start)
        ratios = [a / b for a, b in zip(taken[True][1:], taken[False][1:], strict=True)]
        rows.append([f"{name}, {size} × {size}, batch {batch}", *interval(ratios)])
    return rows


def residuals_on_a_part(name, share, batch=128, passes=4):
    """N on a part of each batch by N on the whole of it, over layers and iterations: plain, extrapolated."""
    digits = data.load("digits")
    flows = {"whole": 1.0, "plain": 1.0, "extrapolated": share}
    methods = {}
    for key, own in flows.items():
        torch.manual_seed(0)
        flow = RicciFlow(virtual_lr=0.1, alpha=0.0, epsilon=float("inf"), share=own)
        model = build(name, channels=1, image_size=8, classes=10)
        methods[key] = quantize_(model, QuantConfig("rf", options=flow))
    optimizer = ManifoldSGD(methods["whole"].param_groups(), lr=0.1, momentum=0.9)
    ratios, generator = {"plain": [], "extrapolated": []}, torch.Generator().manual_seed(0)
    for _ in range(passes):
        for x, y in data.batches(digits.train_images, digits.train_labels, batch, generator):
            for key in ratios:
                method, seen = methods[key], int(share * batch) if key == "plain" else batch
                method.model.load_state_dict(methods["whole"].model.state_dict())
                method.step(ManifoldSGD(method.param_groups(), lr=0.0), F.cross_entropy, x[:seen], y[:seen])
            methods["whole"].step(optimizer, F.cross_entropy, x, y)
            for key, found in ratios.items():
                exact = methods["whole"].residuals
                found += [float(methods[key].residuals[layer] / n) for layer, n in exact.items()]
    return ratios


def residual_rows():
    rows = []
    for name in ("mlp", "lenet"):
        for share in (0.5, 0.25):
            for key, ratios in residuals_on_a_part(name, share).items():
                median, low, high = np.quantile(ratios, [0.5, 0.1, 0.9])
                error = np.median(np.abs(np.array(ratios) - 1))
                row = f"{median:.2f}", f"{low:.2f} … {high:.2f}", f"{100 * error:.0f} %"
                rows.append([name, share, key, *row])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
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
    print("\nfour translations in one pass, against one after the other")
    print(text_table(["network", "median ratio", "95 % interval"], time_one_pass(options.rounds)))
    print("\nN on a part of each batch of digits, by N on the whole of it")
    headers = ["network", "share", "N", "median ratio", "10th … 90th percentile", "median error"]
    print(text_table(headers, residual_rows()))


if __name__ == "__main__":
    main()
