"""The main job: 1-bit networks by every method, and a Ricci–DeTurck flow measured against theory."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lnegeom import flow, plot
from lnegeom._array import positive_integer
from lnegeom._progress import progress_bar
from lnegeom.report import Page, check_folder, text_table, write_json
from lnegeom_torch import data
from lnegeom_torch.experiment import environment, mean_and_deviation
from lnegeom_torch.figures import accuracy_by_method, learning_curves
from lnegeom_torch.methods import METHODS, QuantConfig
from lnegeom_torch.train import Run, TrainConfig, train

__all__ = ["LEARNING_RATES", "run"]

LEARNING_RATES = {"fp": 0.1, "ste": 1.0, "dorefa": 0.1, "wcg": 1.0, "rf": 0.1}
"""Each method's own best rate on held-out training images: tests/benchmarks/tune_digits.py."""

AMPLITUDE = 1e-2
"""Largest operator norm of the metric's initial perturbation."""


def run(out: Path, *, seeds: int = 3, epochs: int = 40) -> dict[str, Any]:
    """Train every method on digits, run the flow, write the page; return its numbers."""
    positive_integer("seeds", seeds)
    positive_integer("epochs", epochs)
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    runs = _train_all(seeds, epochs)
    training, rows = _training_numbers(runs)
    decay = _flow(out)
    results = {
        "command": f"lnegeom demo --seeds {seeds} --epochs {epochs}",
        "environment": environment(),
        "seconds": time.perf_counter() - start,
        "training": training,
        "flow": decay,
    }
    write_json(out / "results.json", results)
    accuracy_by_method(runs, out / "accuracy.png")
    learning_curves(runs, out / "curves.png")
    headers = ["method", "source", "learning rate", "test accuracy (%)"]
    print(text_table(headers, rows))
    print(
        f"\nRicci–DeTurck flow on T²: rate {decay['rate']:.6f}, theory (2π/L)² = {decay['theory']:.6f}, "
        f"relative difference {decay['relative_difference']:.1e}"
    )
    _page(out, results, headers, rows)
    print(f"wrote {out / 'index.html'} in {results['seconds']:.0f} s")
    return results


def _train_all(seeds: int, epochs: int) -> dict[str, list[Run]]:
    dataset = data.load("digits")
    runs: dict[str, list[Run]] = {}
    with progress_bar("training", len(LEARNING_RATES) * seeds * epochs, "epoch") as bar:
        for method, lr in LEARNING_RATES.items():
            bar.set_postfix(method=method)
            config = TrainConfig(quant=QuantConfig(method), lr=lr, epochs=epochs)
            runs[method] = [
                train(config, seed, dataset=dataset, on_epoch=lambda record: bar.update())
                for seed in range(seeds)
            ]
    return runs


def _training_numbers(runs: dict[str, list[Run]]) -> tuple[dict[str, Any], list[list[Any]]]:
    numbers, rows = {}, []
    for method, several in runs.items():
        accuracies = [run.accuracy for run in several]
        numbers[method] = {
            "learning_rate": LEARNING_RATES[method],
            "accuracy_mean": statistics.mean(accuracies),
            "accuracy": accuracies,
            "last_epochs": TrainConfig.last_epochs,
            "history": [run.history for run in several],
        }
        rows.append([method, METHODS[method].source, LEARNING_RATES[method], mean_and_deviation(accuracies)])
    return numbers, rows


def _flow(out: Path) -> dict[str, Any]:
    grid = flow.TorusGrid((64, 64))
    metric = flow.perturbed_flat(grid, AMPLITUDE, seed=0)
    solution = flow.ricci_deturck(metric, grid, t_end=12.0, progress=True)
    solution.save(out / "flow.npz")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    plot.plot_decay(solution, figure.subplots())
    figure.savefig(out / "decay.png", dpi=150)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    plot.plot_component(solution, axes=figure.subplots(1, 2, sharey=True))
    figure.savefig(out / "component.png", dpi=150, bbox_inches="tight")
    decay = flow.decay_rate(solution)
    return {
        "grid": list(grid.shape),
        "lengths": list(grid.lengths),
        "amplitude": AMPLITUDE,
        "status": solution.status,
        "rate": decay.rate,
        "standard_error": decay.standard_error,
        "theory": decay.theory,
        "relative_difference": decay.relative_difference,
        "window": list(decay.window),
    }


def _page(out: Path, results: dict[str, Any], headers: list[str], rows: list[list[Any]]) -> None:
    decay = results["flow"]
    page = Page("lnegeom demo")
    page.heading("1-bit networks on digits")
    page.text(
        "A 64-256-256-10 network with batch norm, every weight −1 or +1, trained by each method at its own "
        "learning rate. Accuracy is on test images, the mean over the last "
        f"{TrainConfig.last_epochs} epochs; then mean "
        "± standard deviation over seeds. fp keeps full-precision weights, as the reference."
    )
    page.table(headers, rows)
    records = [record for history in results["training"]["rf"]["history"] for record in history]
    page.text(
        f"Under rf the discrete flow's residual N, averaged over an epoch, was at most "
        f"{max(r['largest_residual'] for r in records):.1e} (its gate closes above 1e-3), and "
        f"{100 * statistics.mean(r['gate_open'] for r in records):.2f} % of layers' gradients passed."
    )
    page.figure(out / "accuracy.png", "Test accuracy: a point for each seed, a bar for the mean.")
    page.figure(out / "curves.png", "Training loss and test accuracy by epoch.")
    page.heading("A perturbed metric under Ricci–DeTurck flow")
    page.text(
        f"A flat torus of side 2π, its metric perturbed at random by {decay['amplitude']} (largest operator "
        f"norm), on a {decay['grid'][0]} × {decay['grid'][1]} grid. The mean-free part of the perturbation "
        "decays exponentially, at the first eigenvalue (2π/L)² of the Laplacian; its mean stays."
    )
    page.table(
        ["quantity", "value"],
        [
            ["measured rate", f"{decay['rate']:.8f}"],
            ["standard error", f"{decay['standard_error']:.1e}"],
            ["theory, (2π/L)²", f"{decay['theory']:.8f}"],
            ["relative difference", f"{decay['relative_difference']:.1e}"],
        ],
    )
    page.figure(out / "decay.png", "Norm of the perturbation's mean-free part, with the theoretical rate.")
    page.figure(out / "component.png", "A component of the metric, before and after.")
    page.heading("What was run")
    page.code(results["command"])
    page.table(["environment", "value"], [[k, str(v)] for k, v in results["environment"].items()])
    page.save(out / "index.html")
