"""Accuracy against learning rate for every method on digits, measured on held-out training images.

    python tests/benchmarks/tune_digits.py [--epochs 40] [--seeds 3] [--out runs/tune]

The test images are never looked at: a fifth of the training images is held out. `lnegeom demo` uses the rates
that this prints as best.
"""

import argparse
import statistics
from pathlib import Path

import torch

from lnegeom.report import text_table, write_json
from lnegeom_torch import QuantConfig
from lnegeom_torch.methods import DivergedError
from lnegeom_torch.train import TrainConfig, train

METHODS = ["fp", "ste", "dorefa", "wcg", "rf"]
RATES = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]


def measure(method, lr, epochs, seeds):
    config = TrainConfig(quant=QuantConfig(method), lr=lr, epochs=epochs, validation=0.2)
    try:
        return [train(config, seed).accuracy for seed in range(seeds)]
    except DivergedError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--out", type=Path, default=Path("runs/tune"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    measured = {}
    for method in options.methods:
        measured[method] = {lr: measure(method, lr, options.epochs, options.seeds) for lr in RATES}
        print(
            method, {lr: v and round(statistics.mean(v), 2) for lr, v in measured[method].items()}, flush=True
        )
    rows = [
        [method, *(f"{statistics.mean(v):.2f}" if v else "diverged" for v in by_rate.values())]
        for method, by_rate in measured.items()
    ]
    print(text_table(["method", *map(str, RATES)], rows))
    write_json(options.out / "tune.json", {"epochs": options.epochs, "accuracy": measured})


if __name__ == "__main__":
    main()
