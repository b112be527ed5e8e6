"""Small image classifiers built for quantization: no biases, and batch norm after every weight."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lnegeom import InputError
from lnegeom_torch.nets.lenet import LeNet
from lnegeom_torch.nets.mlp import MLP, glorot_
from lnegeom_torch.nets.resnet import ResNet20

__all__ = ["MLP", "LeNet", "ResNet20", "build", "glorot_"]


def build(
    name: str, *, channels: int, image_size: int, classes: int, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    """Build a network for images ``(N, channels, image_size, image_size)``.

    Weights come from torch's global random numbers: `torch.manual_seed` first makes them reproducible.

    Parameters
    ----------
    name : {"mlp", "lenet", "resnet20"}
        Which network.
    channels, image_size, classes : int
        As in `lnegeom_torch.data.Dataset`.
    activation : type of module
        Stands in every ReLU's place. Activations of 1 bit want `nn.Hardtanh`: the sign of a ReLU is constant.

    Returns
    -------
    nn.Module
        Maps images to logits ``(N, classes)``.

    Raises
    ------
    InputError
        If the name is unknown or a number does not fit.

    Examples
    --------
    >>> type(build("mlp", channels=1, image_size=8, classes=10)).__name__
    'MLP'
    """
    networks: dict[str, Callable[[], nn.Module]] = {
        "mlp": lambda: MLP(channels * image_size**2, classes),
        "lenet": lambda: LeNet(channels, image_size, classes),
        "resnet20": lambda: ResNet20(channels, classes),
    }
    if name not in networks:
        raise InputError(f"unknown network {name!r}; known: {', '.join(networks)}")
    network = networks[name]()
    if activation is not nn.ReLU:
        for module in list(network.modules()):
            for key, child in module.named_children():
                if isinstance(child, nn.ReLU):
                    setattr(module, key, activation())
    return network
