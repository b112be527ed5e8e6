"""Train one network: data, model, method and optimizer from a configuration; checkpoints at each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from lnegeom import InputError
from lnegeom_torch import data, nets
from lnegeom_torch.checkpoint import Checkpoint, capture, restore
from lnegeom_torch.methods import Coarse, DivergedError, Method, QuantConfig, quantize_
from lnegeom_torch.optim import ManifoldSGD

__all__ = ["Run", "TrainConfig", "accuracy", "load_dataset", "train"]


@dataclass(frozen=True)
class TrainConfig:
    """What to train, and how.

    Parameters
    ----------
    data, root : str
        A data set that `lnegeom_torch.data.load` knows, and the folder that holds it.
    image_size : int
        Height and width of the images of the data set ``"folders"``; the others have their own.
    model : str
        A network that `lnegeom_torch.nets.build` knows.
    quant : QuantConfig
        The method and its bit widths.
    epochs, batch_size : int
        At least 1, and at least 2 (batch norm).
    lr, momentum, weight_decay : float
        Of `ManifoldSGD`, with Nesterov's momentum.
    milestones : tuple of int
        Epochs after which the rate is divided by 10; if there are none, it falls from `lr` to 0 along a
        cosine, epoch by epoch.
    pretrained : str, optional
        A safetensors file with the weights to start from: a checkpoint of ``lnegeom train --method fp``, or
        the state of the network alone.
    last_epochs : int
        The accuracy of a run is the mean over so many last epochs, as the papers report theirs.
    validation : float
        Share of the training images to hold out and measure accuracy on, in place of the test images, for
        tuning; 0 measures on the test images.
    device : str
        As torch names it.
    """

    data: str = "digits"
    root: str | None = None
    image_size: int = 224
    model: str = "mlp"
    quant: QuantConfig = field(default_factory=QuantConfig)
    epochs: int = 40
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    milestones: tuple[int, ...] = ()
    pretrained: str | None = None
    last_epochs: int = 5
    validation: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs must be at least 1, got {self.epochs}")
        if self.last_epochs < 1:
            raise InputError(f"last_epochs must be at least 1, got {self.last_epochs}")
        if list(self.milestones) != sorted(set(self.milestones)) or min(self.milestones, default=1) < 1:
            raise InputError(f"milestones must be increasing epochs, got {self.milestones}")
        if not 0 < self.lr < math.inf:
            raise InputError(f"lr must be a positive finite number, got {self.lr}")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be in [0, 1), got {self.momentum}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay must be a finite number >= 0, got {self.weight_decay}")
        if not 0 <= self.validation < 1:
            raise InputError(f"validation must be in [0, 1), got {self.validation}")

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        if self.milestones:
            return self.lr * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)
        return self.lr * (1 + math.cos(math.pi * epoch / self.epochs)) / 2

    def to_data(self) -> dict[str, Any]:
        """The configuration as JSON would give it back (infinity as text)."""

        def finite(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: finite(entry) for key, entry in value.items()}
            if isinstance(value, list | tuple):
                return [finite(entry) for entry in value]
            return str(value) if isinstance(value, float) and math.isinf(value) else value

        plain: dict[str, Any] = finite(asdict(self))
        return plain


@dataclass(frozen=True)
class Run:
    """A finished run: its model and method, and one record for each epoch."""

    seed: int
    method: Method
    history: list[dict[str, float]]
    last_epochs: int = 5

    @property
    def accuracy(self) -> float:
        """Mean accuracy in percent over the last epochs."""
        last = [record["accuracy"] for record in self.history[-self.last_epochs :]]
        return sum(last) / len(last)


def train(
    config: TrainConfig,
    seed: int,
    *,
    dataset: data.Dataset | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    on_epoch: Callable[[dict[str, float]], None] = lambda record: None,
) -> Run:
    """Train one network; the same seed gives the same numbers, interrupted and resumed or not.

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
        Called with each epoch's record: epoch, lr, loss, accuracy in percent, and the method's diagnostics.

    Returns
    -------
    Run
        The trained model and its history.

    Raises
    ------
    DivergedError
        If the loss is no longer finite.
    InputError
        If the checkpoint to resume from belongs to another configuration or seed.
    """
    dataset = (load_dataset(config) if dataset is None else dataset).to(torch.device(config.device))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nets.build(
            config.model,
            channels=dataset.channels,
            image_size=dataset.image_size,
            classes=dataset.classes,
            activation=_activation(config.quant),
        ).to(config.device)
        if config.pretrained is not None:
            model.load_state_dict(_weights(Path(config.pretrained)))
        method = quantize_(model, config.quant)
        optimizer = ManifoldSGD(
            method.param_groups(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.momentum > 0,
        )
        generator = torch.Generator().manual_seed(seed)
        identity = {"config": config.to_data(), "seed": seed}
        history: list[dict[str, float]] = []
        if resume and checkpoint is not None:
            saved = Checkpoint.load(checkpoint)
            _check_same(saved.data, identity, checkpoint)
            restore(saved, method, optimizer, generator)
            history = saved.data["history"]
        elif checkpoint is not None:
            capture(method, optimizer, generator, {**identity, "history": history}).save(checkpoint)
        for epoch in range(len(history), config.epochs):
            try:
                record = _epoch(config, epoch, dataset, method, optimizer, generator)
            except DivergedError:
                raise DivergedError(_divergence(config, seed, epoch, checkpoint)) from None
            history.append(record)
            if checkpoint is not None:
                capture(method, optimizer, generator, {**identity, "history": history}).save(checkpoint)
            on_epoch(record)
    return Run(seed, method, history, config.last_epochs)


@torch.no_grad()
def accuracy(model: nn.Module, images: torch.Tensor | data.ImageFiles, labels: torch.Tensor) -> float:
    """Share of images whose largest output is their label, in percent, in evaluation mode."""
    was_training = model.training
    model.eval()
    right = 0
    for x, y in data.evaluation_batches(images, labels):
        right += int((model(x).argmax(dim=1) == y).sum())
    model.train(was_training)
    return 100 * right / len(labels)


def _weights(path: Path) -> dict[str, torch.Tensor]:
    """The state of a network in a safetensors file, by itself or in a checkpoint."""
    if not path.is_file():
        raise InputError(f"there is no file {path} to start from; see --pretrained")
    state = safetensors.torch.load_file(path)
    inside = {name.removeprefix("model."): v for name, v in state.items() if name.startswith("model.")}
    return inside or state


def _activation(quant: QuantConfig) -> type[nn.Module]:
    """Hardtanh where the papers' symmetric quantizers see next to nothing of what a ReLU leaves."""
    if isinstance(quant.chosen_options, Coarse):  # it puts a quantized ReLU in the place of each
        return nn.ReLU
    bits = quant.chosen_activation_bits
    needs_both_signs = bits == 1 or (bits == 2 and quant.chosen_quantizer == "rf")
    return nn.Hardtanh if needs_both_signs else nn.ReLU


def load_dataset(config: TrainConfig) -> data.Dataset:
    """The data set of a configuration, its validation share held out."""
    dataset = data.load(config.data, config.root, image_size=config.image_size)
    return dataset.hold_out(config.validation) if config.validation > 0 else dataset


def _epoch(
    config: TrainConfig,
    epoch: int,
    dataset: data.Dataset,
    method: Method,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> dict[str, float]:
    lr = config.rate(epoch)
    for group in optimizer.param_groups:
        group["lr"] = lr
    method.progress(epoch / max(1, config.epochs - 1))
    method.model.train()
    losses = []
    for x, y in data.training_batches(dataset, config.batch_size, generator):
        losses.append(method.step(optimizer, F.cross_entropy, x, y)[0])
    return {
        "epoch": epoch + 1,
        "lr": lr,
        "loss": float(torch.stack(losses).mean()),
        "accuracy": accuracy(method.model, dataset.test_images, dataset.test_labels),
        **method.diagnostics(),
    }


def _check_same(saved: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    if saved["seed"] != wanted["seed"]:
        raise InputError(f"{path} holds seed {saved['seed']}, not {wanted['seed']}; use another folder")
    before, now = _leaves(saved["config"]), _leaves(wanted["config"])
    different = [
        f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]
    if different:
        raise InputError(f"cannot resume {path}: {'; '.join(different)}; give the same options again")


def _leaves(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as flat names and values, ``quant.method`` and so on."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _divergence(config: TrainConfig, seed: int, epoch: int, checkpoint: Path | None) -> str:
    kept = f"; epoch {epoch} is kept in {checkpoint}" if checkpoint is not None else ""
    return (
        f"the loss of method {config.quant.method!r}, seed {seed}, is no longer finite in epoch {epoch + 1}; "
        f"lower the learning rate (it was {config.lr}){kept}"
    )
