"""What a training run is asked to be: plain data, checked where it is made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from lnegeom import InputError
from lnegeom_torch.methods import QuantConfig


@dataclass(frozen=True)
class TrainConfig:
    """What to train, and how.

    Parameters
    ----------
    data, root : str
        A data set that `lnegeom_torch.data.load` knows, and the folder that holds it; ``"digits"`` has none.
    image_size : int, optional
        Height and width of the images of the data set ``"folders"``, by default 224; the others have their
        own.
    model : str
        A network that `lnegeom_torch.nets.build` knows.
    quant : QuantConfig
        The method and its bit widths.
    epochs, batch_size : int
        At least 1, and at least 2 (batch norm). Several processes share a batch of this size.
    lr, momentum, weight_decay : float
        Of `ManifoldSGD`, with Nesterov's momentum.
    latent_lr : float, optional
        Learning rate of the latent weights, those that are quantized; by default `lr`, the others'.
    milestones : tuple of int
        Epochs after which the rates are divided by 10, all before the last; if there are none, they fall to 0
        along a cosine, epoch by epoch.
    pretrained : str, optional
        A safetensors file with the weights to start from: a checkpoint of ``lnegeom train``, of a quantized
        network the latent weights, or the state of the network alone.
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
    image_size: int | None = None
    model: str = "mlp"
    quant: QuantConfig = field(default_factory=QuantConfig)
    epochs: int = 40
    batch_size: int = 64
    lr: float = 0.1
    latent_lr: float | None = None
    momentum: float = 0.9
    weight_decay: float = 0.0
    milestones: tuple[int, ...] = ()
    pretrained: str | None = None
    last_epochs: int = 5
    validation: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("last_epochs", 1), ("batch_size", 2), ("image_size", 1)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise InputError(f"{name} must be at least {least}, got {number}")
        self._check_data()
        self._check_milestones()
        for name in ("lr", "latent_lr"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < math.inf:
                raise InputError(f"{name} must be a positive finite number, got {rate}")
        if self.latent_lr is not None and not self.has_latents:
            full = "with 32 bits " if self.quant.spec.quantized else ""
            raise InputError(
                f"latent_lr is the rate of quantized weights, and method {self.quant.method!r} {full}has "
                "none; give lr alone"
            )
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must be in [0, 1), got {self.momentum}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay must be a finite number >= 0, got {self.weight_decay}")
        if not 0 <= self.validation < 1:
            raise InputError(f"validation must be in [0, 1), got {self.validation}")

    def _check_data(self) -> None:
        """Refuse what would be ignored, since as a rule another data set is meant."""
        if self.image_size is not None and self.data != "folders":
            raise InputError(
                f"image_size is for the data set 'folders', and the images of {self.data!r} have a size of "
                "their own; leave it out"
            )
        if self.root is not None and self.data == "digits":
            raise InputError(
                f"the data set 'digits' comes with scikit-learn, and root is {self.root!r}; leave it out, or "
                "name the data set that is there"
            )

    def _check_milestones(self) -> None:
        if list(self.milestones) != sorted(set(self.milestones)) or min(self.milestones, default=1) < 1:
            raise InputError(f"milestones must be increasing epochs, got {self.milestones}")
        if late := [milestone for milestone in self.milestones if milestone >= self.epochs]:
            raise InputError(
                f"milestones are epochs after which others follow, got {', '.join(map(str, late))} of "
                f"{self.epochs} epochs: they would never be reached; give earlier ones, or none for a cosine"
            )

    @property
    def has_latents(self) -> bool:
        """Whether there are quantized weights, and latent ones behind them."""
        layers = (bits for _, bits in self.quant.bits_by_pattern)
        widths = {self.quant.weight_bits, self.quant.first_last_bits or 32, *layers}
        return self.quant.spec.quantized and widths != {32}

    def decay(self, epoch: int) -> float:
        """What the learning rates are multiplied by in an epoch, counted from 0."""
        if self.milestones:
            return float(0.1 ** sum(epoch >= milestone for milestone in self.milestones))
        return (1 + math.cos(math.pi * epoch / self.epochs)) / 2

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.lr * self.decay(epoch)

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
