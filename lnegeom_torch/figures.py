"""Pictures of training runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lnegeom_torch.compare import Comparison
from lnegeom_torch.train import Outcome

__all__ = ["accuracy_by_method", "accuracy_by_rate", "curves_by_method", "learning_curves"]

# Okabe and Ito's palette, told apart by colour-blind readers too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def learning_curves(runs: Mapping[str, Sequence[Outcome]], path: Path) -> Path:
    """Draw loss and accuracy by epoch, a colour for each method, a line for each seed; return the path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for colour, (method, several) in zip(_COLOURS, runs.items(), strict=False):
        for number, run in enumerate(several):
            epochs = [record["epoch"] for record in run.history]
            for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
                values = [record[key] for record in run.history]
                ax.plot(epochs, values, color=colour, lw=1, alpha=0.8, label=None if number else method)
    axes[0].set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes[1].set(xlabel="epoch", ylabel="accuracy (%)")
    best = max(record["accuracy"] for several in runs.values() for run in several for record in run.history)
    axes[1].set_ylim(bottom=max(0.0, best - 12))
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, loc="lower right")
    return _save(figure, path)


def accuracy_by_method(runs: Mapping[str, Sequence[Outcome]], path: Path) -> Path:
    """Draw each run's accuracy as a point and each method's mean as a bar; return the PNG's path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    for place, (colour, several) in enumerate(zip(_COLOURS, runs.values(), strict=False)):
        values = [run.accuracy for run in several]
        ax.hlines(statistics.mean(values), place - 0.3, place + 0.3, color=colour, lw=3)
        spread = [place + 0.12 * (i - (len(values) - 1) / 2) for i in range(len(values))]
        ax.plot(spread, values, "o", color=colour, ms=6, mec="white")
    ax.set_xticks(range(len(runs)), list(runs))
    ax.set(ylabel="test accuracy (%)", xlim=(-0.6, len(runs) - 0.4))
    ax.grid(axis="y", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def accuracy_by_rate(found: Comparison, path: Path) -> Path:
    """Draw accuracy on held-out images against learning rate, a line for each method; return the path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    ax = figure.subplots()
    for (label, by_rate), style in zip(found.tuning.items(), _styles(), strict=False):
        means = [statistics.mean(trial.accuracy for trial in trials) for trials in by_rate.values()]
        ax.plot(list(by_rate), means, marker="o", ms=4, label=label, **style)
    ax.set(xscale="log", xlabel="learning rate", ylabel="accuracy on held-out images (%)")
    _finish(ax)
    return _save(figure, path)


def curves_by_method(found: Comparison, path: Path) -> Path:
    """Draw loss and accuracy by epoch, the mean over seeds, a line for each method; return the path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for (label, trials), style in zip(found.final.items(), _styles(), strict=False):
        histories = [trial.history for trial in trials if not trial.diverged]
        for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
            means = [
                statistics.mean(record[key] for record in epoch) for epoch in zip(*histories, strict=True)
            ]
            ax.plot(range(1, len(means) + 1), means, lw=1.2, label=label, **style)
    axes[0].set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes[1].set(xlabel="epoch", ylabel="test accuracy (%)")
    best = max((t.accuracy for trials in found.final.values() for t in trials), default=100.0)
    axes[1].set_ylim(bottom=max(0.0, best - 12))
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
        _finish(ax)
    return _save(figure, path)


def _styles() -> list[dict[str, Any]]:
    """Colours first, then the same ones dashed and dotted."""
    return [{"color": colour, "ls": line} for line in ("-", "--", ":") for colour in _COLOURS]


def _finish(ax: Any) -> None:
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, ncols=2)


def _save(figure: "Figure", path: Path) -> Path:  # type: ignore[name-defined]  # noqa: F821, UP037
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
