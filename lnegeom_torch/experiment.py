"""An experiment: one configuration over several seeds, with a page, numbers and checkpoints in a folder."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import statistics
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom._progress import count_from_here, progress_bar
from lnegeom.plot._style import check_matplotlib
from lnegeom.report import Page, check_folder, text_table, write_json
from lnegeom_torch import distributed, recipes
from lnegeom_torch._jobs import dataset_of, forget_datasets, in_processes, set_up
from lnegeom_torch._logs import RunLog, write_history
from lnegeom_torch.figures import learning_curves
from lnegeom_torch.methods import Method, QuantConfig
from lnegeom_torch.settings import parse_options, to_config
from lnegeom_torch.train import Outcome, TrainConfig, train

__all__ = ["environment", "from_options", "mean_and_deviation", "refuse_ignored", "run", "seeds_of"]


def from_options(options: argparse.Namespace) -> TrainConfig:
    """The configuration that the options of ``lnegeom train`` ask for: its recipe, and what replaces it."""
    settings: dict[str, Any] = (
        recipes.load(options.recipe) if options.recipe else {"quant": {"method": "wcg"}}
    )
    settings.pop("seeds", None)
    quant = settings.pop("quant", {})
    names = {field.name for field in dataclasses.fields(QuantConfig)}
    given = {name: value for name, value in vars(options).items() if value is not None}
    if given.get("method", quant.get("method")) != quant.get("method"):
        quant.pop("options", None)  # another method's
    quant |= {name: value for name, value in given.items() if name in names - {"options"}}
    if given.get("option"):
        quant["options"] = {**quant.get("options", {}), **parse_options(options.option)}
    metric = {name: given[name] for name in ("chi", "inverse") if name in given}
    if metric:
        quant["metric"] = metric
    names = {field.name for field in dataclasses.fields(TrainConfig)} - {"quant", "device"}
    settings |= {name: value for name, value in given.items() if name in names}
    return to_config({**settings, "quant": quant, "device": _device(options.device)})


def refuse_ignored(options: argparse.Namespace, config: TrainConfig) -> None:
    """Raise for an option on quantization of a run in full precision: it would be without effect.

    Not for ``lnegeom compare``, whose options are those of all its methods.
    """
    widths = ("weight_bits", "activation_bits", "first_last_bits")
    names = (
        *widths,
        "layer_bits",
        "include",
        "exclude",
        "scale",
        "learned_scale",
        "learned_range",
        "quantizer",
        "gate",
    )
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) not in (None, 32)]
    if given and not config.quant.spec.quantized:
        raise InputError(
            f"method {config.quant.method!r} is full precision, in which {', '.join(given)} would be without "
            "effect; leave it out, or choose a method with --method"
        )


def seeds_of(options: argparse.Namespace) -> int:
    """The number of seeds that the options, or their recipe, ask for; 1 otherwise."""
    if options.seeds is not None:
        return int(options.seeds)
    return int(recipes.load(options.recipe).get("seeds", 1)) if options.recipe else 1


def run(
    config: TrainConfig,
    seeds: int,
    out: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    tensorboard: bool = False,
    diagnostics: int | None = None,
) -> list[Outcome]:
    """Train each seed; write checkpoints as it goes, then results.json, history.csv, PNG and index.html.

    Parameters
    ----------
    config : TrainConfig
        What to train, and how.
    seeds : int
        How many: 0, 1, …
    out : Path
        Folder for all of it.
    resume : bool
        Go on with the run in `out`.
    jobs : int
        Seeds to train at the same time, each in a process of its own with its part of torch's threads.
    tensorboard : bool
        Whether to write ``seed-0/tensorboard``, and so on.
    diagnostics : int, optional
        To write ``seed-0/diagnostics.csv``, what the metric does to each layer at each so many steps.

    Raises
    ------
    InputError
        If `out` is a file, or holds a run and `resume` is not said; if a number is out of range, or
        TensorBoard is missing.
    ImportError
        If matplotlib is missing, which draws the picture at the end.
    """
    if seeds < 1:
        raise InputError(f"seeds must be at least 1, got {seeds}")
    if diagnostics is not None:
        positive_integer("diagnostics", diagnostics)
    check_folder(out)
    check_matplotlib()
    set_up(jobs)
    files = [out / f"seed-{seed}" / "checkpoint.safetensors" for seed in range(seeds)]
    there = [file.exists() for file in files]
    if not resume and any(there):
        raise InputError(f"{out} holds a run already; add --resume to go on with it, or choose another --out")
    distributed.wait()  # until all processes have looked
    calls = [(config, seed, there[seed], out, tensorboard, diagnostics, jobs > 1) for seed in range(seeds)]
    try:
        outcomes = list(in_processes(_train_seed, calls, jobs))
    except KeyboardInterrupt:
        if distributed.leads():
            print(f"stopped; the last whole epoch is in {out}: the same command with --resume goes on")
        raise
    finally:
        forget_datasets()
    if distributed.leads():
        _report(config, outcomes, out)
    return outcomes


def _train_seed(
    config: TrainConfig,
    seed: int,
    started: bool,
    out: Path,
    tensorboard: bool,
    diagnostics: int | None,
    beside_others: bool,
) -> Outcome:
    folder, leads = out / f"seed-{seed}", distributed.leads()
    log = RunLog(folder, tensorboard, diagnostics) if leads else RunLog(folder)
    title = f"{config.quant.method}, seed {seed}"
    place = seed if beside_others else None
    with closing(log), progress_bar(title, config.epochs, "epoch", show=leads, place=place) as bar:

        def show(record: dict[str, float]) -> None:
            log.epoch(record)
            numbers = {"loss": f"{record['loss']:.3f}", "accuracy": f"{record['accuracy']:.2f} %"}
            bar.set_postfix(numbers, refresh=False)
            bar.update()

        def watch(method: Method, optimizer: Optimizer, steps: int) -> AbstractContextManager[Any]:
            count_from_here(bar)  # the epochs before those of a resumed run have been shown
            return log.watch(method, optimizer, steps)

        file = folder / "checkpoint.safetensors"
        found = train(
            config,
            seed,
            dataset=dataset_of(config),
            checkpoint=file,
            resume=started,
            on_epoch=show,
            watch=watch,
        )
    return Outcome(seed, found.history, config.last_epochs)


def mean_and_deviation(accuracies: Sequence[float]) -> str:
    """``97.35 ± 0.21``: mean and sample standard deviation, which one run alone does not have."""
    mean = f"{statistics.mean(accuracies):.2f}"
    return f"{mean} ± {statistics.stdev(accuracies):.2f}" if len(accuracies) > 1 else mean


def environment() -> dict[str, Any]:
    """What a figure depends on besides the code: versions and threads."""
    import platform

    import numpy

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used: {reason}") from None
    return name


def _report(config: TrainConfig, runs: list[Outcome], out: Path) -> None:
    accuracies = [run.accuracy for run in runs]
    command = shlex.join(["lnegeom", *sys.argv[1:]])
    rate = f"{config.lr:g}" + ("" if config.latent_lr is None else f", latent {config.latent_lr:g}")
    fifth = [run.top5 for run in runs if run.top5 is not None]
    more = [mean_and_deviation(fifth)] if fifth else []
    rows = [[config.quant.method, rate, mean_and_deviation(accuracies), *more, len(runs)]]
    headers = ["method", "learning rate", "accuracy (%)", *(["top-5 (%)"] if fifth else []), "seeds"]
    last = min(config.last_epochs, config.epochs)
    print(f"{text_table(headers, rows)}\nAccuracy is the mean over the last {last} epochs, then over seeds.")
    write_json(
        out / "results.json",
        {
            "command": command,
            "environment": environment(),
            "config": config.to_data(),
            "accuracy": {
                "mean": statistics.mean(accuracies),
                "runs": accuracies,
                "last_epochs": config.last_epochs,
            },
            "runs": [{"seed": run.seed, "accuracy": run.accuracy, "history": run.history} for run in runs],
        },
    )
    write_history({config.quant.method: [run.history for run in runs]}, out / "history.csv")
    learning_curves({config.quant.method: runs}, out / "curves.png")
    page = Page(f"{config.quant.method} on {config.data}")
    bits = config.quant.weight_bits if config.quant.spec.quantized else 32
    page.text(
        f"{config.quant.spec.source}; {config.model}, weight bits {bits}. Accuracy is "
        f"the mean over the last {last} epochs, then mean ± standard deviation over seeds."
    )
    page.table(headers, rows)
    page.figure(out / "curves.png", "Loss and accuracy by epoch; one line for each seed.")
    page.heading("What was run")
    page.code(command)
    page.table(["option", "value"], [[k, str(v)] for k, v in config.to_data().items()])
    page.table(["environment", "value"], [[k, str(v)] for k, v in environment().items()])
    page.save(out / "index.html")
    print(f"wrote {out / 'index.html'}")
