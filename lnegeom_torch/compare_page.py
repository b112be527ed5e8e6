"""The page of a comparison: tables, pictures, numbers."""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from pathlib import Path
from typing import Any

from lnegeom import InputError
from lnegeom.plot._style import check_matplotlib
from lnegeom.report import Page, check_folder, text_table, write_json
from lnegeom_torch import recipes
from lnegeom_torch._jobs import set_up
from lnegeom_torch._logs import write_history
from lnegeom_torch.compare import Comparison, Trial, compare
from lnegeom_torch.experiment import environment, from_options, mean_and_deviation
from lnegeom_torch.figures import accuracy_by_rate, curves_by_method
from lnegeom_torch.methods import METHODS
from lnegeom_torch.statistics import paired_difference
from lnegeom_torch.train import TrainConfig

__all__ = ["report", "run", "table"]


def run(options: argparse.Namespace) -> Comparison:
    """``lnegeom compare``: build the configurations, run them, write the page."""
    check_folder(options.out)
    check_matplotlib()
    set_up(options.jobs, options.threads)
    configs = _configs(options)
    reference = options.reference or next(iter(configs))
    if reference not in configs:
        raise InputError(f"--reference must be one of {', '.join(configs)}, got {reference!r}")
    try:
        found = compare(
            configs,
            options.rates,
            3 if options.seeds is None else options.seeds,
            options.out / "runs",
            tuned=options.tune,
            tuning_seeds=options.tuning_seeds,
            validation=options.held_out,
            jobs=options.jobs,
        )
    except KeyboardInterrupt:
        print(f"stopped; what was run is in {options.out}: the same command goes on where it was")
        raise
    report(found, reference, options.out)
    return found


def _configs(options: argparse.Namespace) -> dict[str, TrainConfig]:
    """The methods by label: registry names, or recipes, whose row is the label."""
    if options.lr is not None and options.tune == "lr":
        raise InputError("--lr is what all but the latent weights learn at: add --tune latent_lr")
    configs = {}
    for name in options.methods:
        own = argparse.Namespace(**vars(options))
        if name in METHODS:
            own.method = name
        elif "/" in name:
            own.recipe = name
        else:
            raise InputError(
                f"--methods takes names of methods ({', '.join(METHODS)}) and of recipes, got {name!r}; "
                f"the recipes' tables are {', '.join(sorted({r.split('/')[0] for r in recipes.names()}))}"
            )
        label = name.rpartition("/")[2]
        if label in configs:
            raise InputError(f"--methods has two that are called {label!r}; leave one out")
        configs[label] = from_options(own)
    return configs


def table(found: Comparison, reference: str) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows: a method a line, differences paired by seed against the reference."""
    headers = [
        "method",
        "learning rate",
        "accuracy (%)",
        f"against {reference}",
        "±, all at once",
        "worst drop",
        "calibration error (%)",
        "time an iteration",
    ]
    base = [trial.accuracy for trial in found.final[reference]]
    floor = _median_seconds(found.final[reference])
    rows: list[list[Any]] = []
    for label, trials in found.final.items():
        accuracies = [trial.accuracy for trial in trials]
        against = paired_difference(accuracies, base, max(1, len(found.final) - 1))
        width = against.simultaneous if len(found.final) > 2 else None
        seconds = _median_seconds(trials)
        rows.append(
            [
                label,
                found.best_rate(label),
                mean_and_deviation(accuracies) + _diverged(trials),
                None if label == reference else str(against),
                None if label == reference or width is None else f"{width:.2f}",
                f"{found.worst_drop(label):.2f}",
                mean_and_deviation([trial.calibration for trial in trials]),
                None if seconds is None or floor is None else f"{seconds / floor:.2f} ×",
            ]
        )
    return headers, rows


def _diverged(trials: list[Trial]) -> str:
    count = sum(trial.diverged for trial in trials)
    return f", {count} diverged" if count else ""


def _notes(found: Comparison, last: int) -> str:
    """What to know of the table: what accuracy is, and whose best rate may lie beyond those tried."""
    notes = f"Accuracy is the mean over the last {last} epochs, then over seeds."
    ends = {min(found.rates), max(found.rates)}
    labels = [label for label in found.configs if found.best_rate(label) in ends]
    if labels and len(found.rates) > 1:
        notes += (
            f" The best learning rate of {', '.join(labels)} is the lowest or highest tried: a better one "
            "may lie beyond; widen --rates."
        )
    return notes


def _median_seconds(trials: list[Trial]) -> float | None:
    known = [trial.seconds for trial in trials if trial.seconds is not None]
    return statistics.median(known) if known else None


def rate_table(found: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Headers and rows: mean accuracy on held-out images by method and rate."""
    rows = [
        [label, *(_mean_or_diverged(by_rate[rate]) for rate in found.rates)]
        for label, by_rate in found.tuning.items()
    ]
    return ["method", *(f"{rate:g}" for rate in found.rates)], rows


def _mean_or_diverged(trials: list[Trial]) -> str:
    if any(trial.diverged for trial in trials):
        return "diverged"
    return f"{statistics.mean(trial.accuracy for trial in trials):.2f}"


def report(found: Comparison, reference: str, out: Path) -> None:
    """Write results.json, history.csv, the pictures and index.html, and print the table."""
    headers, rows = table(found, reference)
    rate_headers, rate_rows = rate_table(found)
    config = next(iter(found.configs.values()))
    last = min(config.last_epochs, config.epochs)
    notes = _notes(found, last)
    print(f"{text_table(headers, rows)}\n{notes}")
    command = shlex.join(["lnegeom", *sys.argv[1:]])
    write_json(
        out / "results.json",
        {
            "command": command,
            "environment": environment(),
            "tuned": found.tuned,
            "configs": {label: config.to_data() for label, config in found.configs.items()},
            "table": [dict(zip(headers, row, strict=True)) for row in rows],
            "tuning": {
                label: {f"{rate:g}": [t.accuracy for t in trials] for rate, trials in by_rate.items()}
                for label, by_rate in found.tuning.items()
            },
            "final": {label: [vars(trial) for trial in trials] for label, trials in found.final.items()},
        },
    )
    histories = {label: [trial.history for trial in trials] for label, trials in found.final.items()}
    write_history(histories, out / "history.csv")
    accuracy_by_rate(found, out / "rates.png")
    curves_by_method(found, out / "curves.png")
    page = Page(f"Methods on {config.data}, {config.model}")
    whose = f" of the latent weights (all else at {config.lr:g})" if found.tuned == "latent_lr" else ""
    page.text(
        f"Each method at its own best learning rate{whose} on held-out training images; then, on the test "
        "images, mean ± standard deviation over seeds. "
        "Differences are paired by seed, with Student's 95 % interval; in the next column is half the width "
        "of the intervals that hold for all methods at once (Bonferroni). The worst drop is between the best "
        f"and the worst of the learning rates, {min(found.rates):g} to {max(found.rates):g}, on held-out "
        "images, where a run that diverged counts as 0. The calibration error is the expected one, over 15 "
        "bins of confidence. Times are medians over these runs' iterations, loading included: the "
        "processor's, or on a GPU the wall's."
    )
    page.table(headers, rows)
    page.text(notes)
    page.figure(out / "rates.png", "Accuracy on held-out images against learning rate.")
    page.table(rate_headers, rate_rows)
    page.figure(out / "curves.png", "Loss and test accuracy by epoch, the mean over seeds.")
    page.heading("What was run")
    page.code(command)
    page.table(["option", "value"], [[k, str(v)] for k, v in config.to_data().items() if k != "quant"])
    page.table(["environment", "value"], [[k, str(v)] for k, v in environment().items()])
    page.save(out / "index.html")
    print(f"wrote {out / 'index.html'}")
