"""ResNet-20 on CIFAR-10 with 1-bit weights, on a schedule that one core can bear.

    python tests/benchmarks/cifar_short.py --root data [--iterations 780] [--seeds 1] [--out runs/cifar-short]

The rows are the recipes' (`maniquant-table1`, `rf-dnn-cifar10`), ``rf`` with ``every = 20``, and ``spin``
like ManiQuant's. What is scaled down: the length, the rate's fall (a cosine over all iterations in place of
three drops), and the arithmetic, which is bfloat16 by autocast. Every method has the same budget: three
rates, and more while the best is the least or the greatest, each tried for 100 iterations on training images
other than the 5,000 held out to measure on; then, at the best, so many iterations on all training images, and
one measurement on the test images at the end.

Interrupted, the same command goes on where it was; asked for more seeds, it adds them.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from short_runs import fit, kept, measure

from lnegeom.report import text_table, write_json
from lnegeom_torch import ManifoldSGD, data, nets, quantize_, recipes
from lnegeom_torch.experiment import environment, mean_and_deviation
from lnegeom_torch.settings import to_config
from lnegeom_torch.statistics import paired_difference
from lnegeom_torch.train import accuracy

RATES = [0.1, 0.3, 1.0]
FACTOR = 3
TUNING_ITERATIONS = 100
METHODS = ["fp", "dorefa", "wcg", "rf", "spin"]


def configuration(method):
    table = "rf-dnn-cifar10" if method == "rf" else "maniquant-table1"
    settings = recipes.load(f"{table}/resnet20-{'dorefa' if method == 'spin' else method}")
    settings.pop("seeds")
    settings["quant"] = {"method": method, **({"options": {"every": 20}} if method == "rf" else {})}
    return to_config(settings)


def run(config, dataset, rate, seed, iterations, measured=measure):
    torch.manual_seed(seed)
    model = nets.build(config.model, channels=3, image_size=32, classes=10)
    method = quantize_(model, config.quant)
    optimizer = ManifoldSGD(
        method.param_groups(), rate, config.momentum, weight_decay=config.weight_decay, nesterov=True
    )
    start = time.process_time()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fit(method, optimizer, dataset, iterations=iterations, batch_size=config.batch_size, seed=seed)
        seconds = (time.process_time() - start) / iterations
        return {**measured(method, dataset), "seconds": seconds, "rate": rate, "iterations": iterations}


def likeliest(method, dataset):
    """The accuracy alone, which is all that tuning asks for."""
    return {"accuracy": accuracy(method.model, dataset.test_images, dataset.test_labels)}


def tuned(accuracy_at):
    """The accuracy at each rate tried: `RATES`, and further out while the best is the last on either side."""
    found = {rate: accuracy_at(rate) for rate in RATES}
    while (best := max(found, key=found.get)) in (min(found), max(found)):
        rate = float(f"{best / FACTOR if best == min(found) else best * FACTOR:.1g}")
        found[rate] = accuracy_at(rate)
    return dict(sorted(found.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=780, help="of 128 images, at the best rate")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/cifar-short"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    whole = data.load("cifar10", options.root)
    held = whole.hold_out(0.1)
    configs = {name: configuration(name) for name in METHODS}
    tuning, best = {}, {}
    for name, config in configs.items():
        tuning[name] = tuned(
            lambda rate, n=name, c=config: kept(
                options.out / f"{n}-{rate:g}.json",
                lambda: run(c, held, rate, 0, TUNING_ITERATIONS, likeliest),
            )["accuracy"]
        )
        best[name] = max(tuning[name], key=tuning[name].get)
        print(name, tuning[name], flush=True)
    final = {name: [] for name in METHODS}
    for seed in range(options.seeds):
        for name, config in configs.items():
            file = options.out / f"{name}-{best[name]:g}-{options.iterations}-iterations-{seed}.json"
            final[name].append(
                kept(file, lambda c=config, n=name, s=seed: run(c, whole, best[n], s, options.iterations))
            )
            print(name, seed, final[name][-1], flush=True)
    report(options.out, best, tuning, final)


def report(out, best, tuning, final):
    base = [run["accuracy"] for run in final["dorefa"]]
    rows = []
    for name, runs in final.items():
        accuracies = [run["accuracy"] for run in runs]
        against = "–" if name == "dorefa" else str(paired_difference(accuracies, base))
        calibration = mean_and_deviation([run["calibration"] for run in runs])
        milliseconds = 1000 * statistics.median(run["seconds"] for run in runs)
        tried = ", ".join(f"{rate:g}: {found:.1f}" for rate, found in tuning[name].items())
        rows.append([name, tried, best[name], mean_and_deviation(accuracies), against, calibration])
        rows[-1].append(f"{milliseconds:.0f}")
    headers = [
        "method",
        "held-out accuracy at each rate (%)",
        "rate",
        "accuracy (%)",
        "against dorefa",
        "calibration error (%)",
    ]
    print(text_table([*headers, "ms an iteration"], rows))
    write_json(
        out / "results.json",
        {"environment": environment(), "tuning": tuning, "rate": best, "final": final},
    )


if __name__ == "__main__":
    main()
