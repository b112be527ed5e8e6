"""Train one network: data, model, method and optimizer from a configuration; checkpoints at each epoch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lnegeom import InputError
from lnegeom_torch import data, distributed, nets
from lnegeom_torch._pretrained import start_from
from lnegeom_torch._random import forked
from lnegeom_torch._train_config import TrainConfig
from lnegeom_torch.checkpoint import Checkpoint, capture, check_same, restore
from lnegeom_torch.methods import DivergedError, Method, quantize_
from lnegeom_torch.optim import ManifoldSGD

__all__ = ["OnEpoch", "Outcome", "Run", "TrainConfig", "Watch", "accuracy", "load_dataset", "train"]

Watch = Callable[[Method, torch.optim.Optimizer, int], AbstractContextManager[Any]]
"""Given a run's method, its optimizer and how many steps it has taken: what to have around the others."""


OnEpoch = Callable[[dict[str, float]], None]
"""Told each epoch's record."""


@dataclass(frozen=True)
class Outcome:
    """The numbers of a finished run: one record for each epoch."""

    seed: int
    history: list[dict[str, float]]
    last_epochs: int = 5

    @property
    def accuracy(self) -> float:
        """Mean accuracy in percent over the last epochs."""
        return self._mean("accuracy")

    @property
    def top5(self) -> float | None:
        """The same of the top-5 accuracy, which is recorded from 100 classes on; None without."""
        return self._mean("top5") if "top5" in self.history[-1] else None

    def _mean(self, name: str) -> float:
        last = [record[name] for record in self.history[-self.last_epochs :]]
        return sum(last) / len(last)


@dataclass(frozen=True)
class Run(Outcome):
    """A finished run with its method, whose model is the trained one, and the time it took.

    Attributes
    ----------
    seconds : float or None
        Of an iteration, loading included, evaluation not: the processor's time, on CUDA the wall's. None for
        a run that was resumed when all of it was done.
    """

    method: Method = field(kw_only=True)
    seconds: float | None = field(kw_only=True)


def train(
    config: TrainConfig,
    seed: int,
    *,
    dataset: data.Dataset | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_epoch: OnEpoch = lambda record: None,
    watch: Watch = lambda method, optimizer, steps: nullcontext(),
) -> Run:
    """Train one network; the same seed gives the same numbers, interrupted and resumed or not.

    Where torch's process group is initialized (`lnegeom_torch.distributed`), its processes train the network
    together, each on its share of every batch: the numbers are one process's to rounding, for a network
    without batch norm (on CUDA, with it) and a method that draws no random numbers. Elsewhere batch norm
    normalises by each process's share, and running statistics are their mean.

    Parameters
    ----------
    config : TrainConfig
        What to train, and how.
    seed : int
        Of the initial weights and of the order of the images. The caller's random state is left alone.
    dataset : Dataset, optional
        To use instead of loading ``config.data``.
    checkpoint : Path, optional
        File to keep the state in, written after every epoch.
    resume : bool
        Go on from the checkpoint.
    on_epoch : callable
        Called with each epoch's record: epoch, lr, loss, accuracy in percent (from 100 classes on the top-5
        accuracy too), and the method's diagnostics.
        Of a resumed run, the records of the epochs before come first.
    watch : Watch
        To look on at each step, as `lnegeom_torch.diagnostics.Diagnostics` does.

    Returns
    -------
    Run
        The trained model and its history.

    Raises
    ------
    DivergedError
        If the loss is no longer finite.
    InputError
        If the checkpoint to resume from belongs to another configuration or seed, or several processes cannot
        share this method or batch.
    """
    dataset = (load_dataset(config) if dataset is None else dataset).to(torch.device(config.device))
    _check_share(config, dataset)
    with forked(config.device):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        session = _Session(config, seed, dataset, checkpoint, *_build(config, dataset), generator)
        if resume and checkpoint is not None:
            session.load(checkpoint)
        else:
            session.save()
        if distributed.count() > 1:
            session.method.distribute()
        for record in session.history:
            on_epoch(record)
        batches, times = data.batch_count(dataset, config.batch_size), []
        with watch(session.method, session.optimizer, len(session.history) * batches):
            while len(session.history) < config.epochs:
                times.append(session.epoch() / batches)
                session.save()
                on_epoch(session.history[-1])
    seconds = statistics.mean(times) if times else None
    return Run(seed, session.history, config.last_epochs, method=session.method, seconds=seconds)


@dataclass
class _Session:
    """A run in progress."""

    config: TrainConfig
    seed: int
    dataset: data.Dataset
    checkpoint: Path | None
    method: Method
    optimizer: ManifoldSGD
    generator: torch.Generator
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, Any]:
        return {"config": self.config.to_data(), "seed": self.seed}

    def save(self) -> None:
        if self.checkpoint is not None and distributed.leads():
            numbers = {**self.identity, "history": self.history}
            capture(self.method, self.optimizer, self.generator, numbers).save(self.checkpoint)

    def load(self, checkpoint: Path) -> None:
        saved = Checkpoint.load(checkpoint)
        check_same(saved.data, self.identity, checkpoint)
        restore(saved, self.method, self.optimizer, self.generator)
        self.history = saved.data["history"]

    def epoch(self) -> float:
        """Train for the next epoch and record it; return the time of its iterations."""
        config, number = self.config, len(self.history)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * config.decay(number)
        self.method.progress(number / max(1, config.epochs - 1))
        if distributed.count() > 1:  # each process draws noise of its own, a resumed one the same
            torch.manual_seed((self.seed * 100_003 + number) * 1_009 + distributed.rank())
        start = _clock(config.device)
        try:
            losses = self._iterations()
        except DivergedError:
            if number == 0 and self.checkpoint is not None and distributed.leads():
                self.checkpoint.unlink()  # nothing is learned yet, and the next try has another rate
            raise DivergedError(_divergence(config, self.seed, number, self.checkpoint)) from None
        seconds = _clock(config.device) - start
        record = {
            "epoch": number + 1,
            "lr": config.rate(number),
            **({} if config.latent_lr is None else {"latent_lr": config.latent_lr * config.decay(number)}),
            "loss": float(torch.stack(losses).mean()),
            **self._accuracy(),
            **self.method.diagnostics(),
        }
        self.history.append(record)
        return seconds

    def _iterations(self) -> list[torch.Tensor]:
        self.method.model.train()
        batches = data.training_batches(
            self.dataset, self.config.batch_size, self.generator, share=distributed.share()
        )
        return [self.method.step(self.optimizer, F.cross_entropy, x, y)[0] for x, y in batches]

    def _accuracy(self) -> dict[str, float]:
        """On the test images, of which each process sees its share."""
        distributed.share_statistics(self.method.model)
        share, labels = distributed.share(), self.dataset.test_labels
        right = _right(self.method.model, self.dataset.test_images[share], labels[share]).double()
        distributed.mean_([right])
        first, fifth = (100 * round(r * distributed.count()) / len(labels) for r in right.tolist())
        return {"accuracy": first, **({"top5": fifth} if self.dataset.classes >= 100 else {})}


def _check_share(config: TrainConfig, dataset: data.Dataset) -> None:
    batch, processes = min(config.batch_size, len(dataset.train_labels)), distributed.count()
    if processes > 1 and (batch % processes or batch < 2 * processes):
        raise InputError(
            f"{processes} processes cannot share batches of {batch} samples evenly, two each at least; "
            f"choose a multiple of {processes} for --batch-size"
        )


def _build(config: TrainConfig, dataset: data.Dataset) -> tuple[Method, ManifoldSGD]:
    """A fresh model, quantized, and its optimizer."""
    model = nets.build(
        config.model,
        channels=dataset.channels,
        image_size=dataset.image_size,
        classes=dataset.classes,
    ).to(config.device)
    if config.pretrained is not None:
        start_from(model, Path(config.pretrained), config)
    method = quantize_(model, config.quant)
    optimizer = ManifoldSGD(
        method.param_groups(config.latent_lr),
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return method, optimizer


def accuracy(model: nn.Module, images: torch.Tensor | data.ImageFiles, labels: torch.Tensor) -> float:
    """Share of images whose largest output is their label, in percent, in evaluation mode."""
    return 100 * int(_right(model, images, labels)[0]) / len(labels)


@torch.no_grad()
def _right(model: nn.Module, images: torch.Tensor | data.ImageFiles, labels: torch.Tensor) -> torch.Tensor:
    """How many images have their label as the largest output, and among the five largest."""
    was_training = model.training
    model.eval()
    right = torch.zeros(2, dtype=torch.int64, device=labels.device)
    for x, y in data.evaluation_batches(images, labels):
        outputs = model(x)
        largest = outputs.topk(min(5, outputs.shape[1])).indices
        right += torch.stack([(outputs.argmax(dim=1) == y).sum(), (largest == y[:, None]).sum()])
    model.train(was_training)
    return right


def load_dataset(config: TrainConfig) -> data.Dataset:
    """The data set of a configuration, its validation share held out."""
    size = {} if config.image_size is None else {"image_size": config.image_size}
    dataset = data.load(config.data, config.root, **size)
    return dataset.hold_out(config.validation) if config.validation > 0 else dataset


def _clock(device: str) -> float:
    """Seconds of this process, whatever else the processor does; for CUDA the wall's, its work done."""
    if not device.startswith("cuda"):
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _divergence(config: TrainConfig, seed: int, epoch: int, checkpoint: Path | None) -> str:
    kept = f"; epoch {epoch} is kept in {checkpoint}" if checkpoint is not None and epoch > 0 else ""
    latent = "" if config.latent_lr is None else f", and {config.latent_lr} for latent weights"
    return (
        f"the loss of method {config.quant.method!r}, seed {seed}, is no longer finite in epoch {epoch + 1}; "
        f"lower the learning rate (it was {config.lr}{latent}){kept}"
    )
