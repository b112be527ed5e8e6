"""Compare methods honestly: each at its own best learning rate, over several seeds, with intervals."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from lnegeom import InputError
from lnegeom._progress import count_from_here, progress_bar
from lnegeom.report import write_json
from lnegeom_torch import data
from lnegeom_torch._jobs import dataset_of, forget_datasets, in_processes
from lnegeom_torch.checkpoint import differences
from lnegeom_torch.methods import DivergedError
from lnegeom_torch.statistics import calibration_error
from lnegeom_torch.train import OnEpoch, Run, TrainConfig, train

__all__ = ["Comparison", "Trial", "compare"]


Tuned = Literal["lr", "latent_lr"]
"""Which learning rate a comparison tunes."""


@dataclass(frozen=True)
class Trial:
    """One training run of a comparison, as it is kept on disk.

    Parameters
    ----------
    accuracy : float
        Mean over the last epochs, in percent; 0 for a run that diverged.
    diverged : bool
        Whether the loss stopped being finite.
    calibration, ensemble : float
        Expected calibration error of `Method.predict`, and its accuracy, in percent.
    seconds : float or None
        Of an iteration (`Run.seconds`); None for a run that diverged.
    history : list of dict
        A record for each epoch.
    """

    accuracy: float
    diverged: bool
    calibration: float
    ensemble: float
    seconds: float | None
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Parameters
    ----------
    configs : dict of str to TrainConfig
        The methods by label.
    rates : list of float
        Learning rates that were tried.
    tuned : {"lr", "latent_lr"}
        Whose they are.
    tuning : dict of str to dict of float to list of Trial
        On held-out images, by label and rate.
    final : dict of str to list of Trial
        At the best rate, over the seeds, on the test images.
    """

    configs: dict[str, TrainConfig]
    rates: list[float]
    tuned: Tuned
    tuning: dict[str, dict[float, list[Trial]]]
    final: dict[str, list[Trial]]

    def best_rate(self, label: str) -> float:
        """The rate of the highest mean accuracy on held-out images; of equals, the first."""
        return _best(self.tuning[label])

    def worst_drop(self, label: str) -> float:
        """Points between the best and the worst rate's mean accuracy."""
        means = [
            statistics.mean(trial.accuracy for trial in trials) for trials in self.tuning[label].values()
        ]
        return max(means) - min(means)


def compare(
    configs: dict[str, TrainConfig],
    rates: Sequence[float],
    seeds: int,
    out: Path,
    *,
    tuned: Tuned = "lr",
    tuning_seeds: int = 1,
    validation: float = 0.2,
    jobs: int = 1,
) -> Comparison:
    """Tune each configuration's rate on held-out images, then train it at that rate over the seeds.

    Every run is written to `out` when it is done, and read from there if the same comparison is asked for
    again; one that was interrupted goes on from its last whole epoch.

    Parameters
    ----------
    configs : dict of str to TrainConfig
        What to compare, by label; their own ``validation``, and the rate that is tuned, are not used.
    rates : sequence of float
        Learning rates to try.
    seeds : int
        Runs at the best rate; seed 0, 1, … is the same for all methods, so that they can be paired.
    out : Path
        Folder for the runs.
    tuned : {"lr", "latent_lr"}
        Which rate: of all parameters (a ``latent_lr`` keeps its ratio to it), or of the latent weights alone,
        while everything else learns at the configuration's own ``lr``. Without latent weights (full
        precision) it is ``lr`` in either case.
    tuning_seeds : int
        Runs at each rate.
    validation : float
        Share of the training images held out for tuning; the test images are not looked at then.
    jobs : int
        Runs at the same time, each in a process of its own with its part of torch's threads.

    Returns
    -------
    Comparison
        All trials.

    Raises
    ------
    InputError
        If there is nothing to compare, or `out` holds runs of another comparison.
    """
    if not configs or not rates or seeds < 1 or tuning_seeds < 1:
        raise InputError(
            "a comparison needs a method, a learning rate, and one of seeds and of tuning_seeds at least"
        )
    if not 0 < validation < 1:
        raise InputError(f"the share held out to tune on must lie strictly between 0 and 1, got {validation}")
    if len(sets := {config.data for config in configs.values()}) > 1:
        raise InputError(f"a comparison is on one data set, got {', '.join(sorted(sets))}; see --data")
    rates = list(dict.fromkeys(rates))
    trials = {
        out / label / f"lr-{rate:.12g}": replace(_at(config, tuned, rate), validation=validation)
        for label, config in configs.items()
        for rate in rates
    }
    epochs = sum(config.epochs * (len(rates) * tuning_seeds + seeds) for config in configs.values())
    with progress_bar("comparing", epochs, "epoch") as bar:
        try:
            tried = iter(_trials(trials, tuning_seeds, jobs, bar))
            tuning = {label: {rate: next(tried) for rate in rates} for label in configs}
            best = {
                out / label / "final": replace(_at(config, tuned, _best(tuning[label])), validation=0.0)
                for label, config in configs.items()
            }
            final = dict(zip(configs, _trials(best, seeds, jobs, bar), strict=True))
        finally:
            forget_datasets()
    return Comparison(dict(configs), rates, tuned, tuning, final)


def _at(config: TrainConfig, tuned: Tuned, rate: float) -> TrainConfig:
    if tuned == "latent_lr" and config.has_latents:
        return replace(config, latent_lr=rate)
    latent = None if config.latent_lr is None else rate * config.latent_lr / config.lr
    return replace(config, lr=rate, latent_lr=latent)


def _best(by_rate: dict[float, list[Trial]]) -> float:
    return max(by_rate, key=lambda rate: statistics.mean(trial.accuracy for trial in by_rate[rate]))


def _trials(configs: dict[Path, TrainConfig], seeds: int, jobs: int, bar: Any) -> list[list[Trial]]:
    """For each configuration, by the beginning of its files' names, a trial for each seed."""
    calls = [
        (config, seed, path.with_name(f"{path.name}-seed-{seed}.json"))
        for path, config in configs.items()
        for seed in range(seeds)
    ]
    epochs = [0 if file.exists() else config.epochs for config, _, file in calls]
    if there := sum(config.epochs for config, _, _ in calls) - sum(epochs):
        bar.update(there)
        count_from_here(bar)

    def watched(config: TrainConfig, seed: int, file: Path) -> Trial:
        bar.set_postfix_str(f"{file.parent.name}, {file.stem}")
        return _trial(config, seed, file, lambda record: bar.update())

    found, done = [], bar.n
    trials = in_processes(watched if jobs == 1 else _trial, calls, jobs)
    for (_, _, file), own, trial in zip(calls, epochs, trials, strict=True):
        bar.set_postfix_str(f"{file.parent.name}, {file.stem}")
        done += own
        bar.update(done - bar.n)  # of a run of another process, or what a run that diverged leaves out
        found.append(trial)
    return [found[start : start + seeds] for start in range(0, len(found), seeds)]


def _trial(config: TrainConfig, seed: int, file: Path, on_epoch: OnEpoch = lambda record: None) -> Trial:
    identity = {"config": config.to_data(), "seed": seed}
    if file.exists():
        saved = json.loads(file.read_text())
        if different := differences(saved["identity"], identity):
            raise InputError(
                f"{file} is a run of another comparison: {different}; choose another --out, or give the same "
                "options again"
            )
        return Trial(**saved["trial"])
    checkpoint = file.with_suffix(".safetensors")
    trial = _run(config, seed, dataset_of(config), checkpoint, on_epoch)
    write_json(file, {"identity": identity, "trial": vars(trial)})
    checkpoint.unlink(missing_ok=True)
    return trial


def _run(config: TrainConfig, seed: int, dataset: data.Dataset, checkpoint: Path, on_epoch: OnEpoch) -> Trial:
    resume = checkpoint.exists()
    try:
        run = train(config, seed, dataset=dataset, checkpoint=checkpoint, resume=resume, on_epoch=on_epoch)
    except DivergedError:
        return Trial(0.0, True, 100.0, 0.0, None, [])
    probabilities = _predict(run, dataset)
    labels = dataset.test_labels.to(probabilities.device)
    right = float((probabilities.argmax(1) == labels).double().mean())
    calibration = calibration_error(probabilities, labels)
    return Trial(run.accuracy, False, calibration, 100 * right, run.seconds, run.history)


def _predict(run: Run, dataset: data.Dataset) -> torch.Tensor:
    device = next(run.method.model.parameters()).device
    batches = data.evaluation_batches(dataset.test_images.to(device), dataset.test_labels.to(device))
    found = torch.cat([run.method.predict(images) for images, _ in batches])
    if not math.isfinite(float(found.sum())):
        raise DivergedError("predictions are not finite")
    return found
