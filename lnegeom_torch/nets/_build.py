"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from lnegeom import InputError
from lnegeom_torch.nets import _torchvision
from lnegeom_torch.nets.lenet import LeNet
from lnegeom_torch.nets.mlp import MLP
from lnegeom_torch.nets.mobilenet import MobileNet
from lnegeom_torch.nets.resnet import ResNet
from lnegeom_torch.nets.vgg import VGG11, VGG16

__all__ = ["build"]

_DEPTHS = (20, 32, 44, 56, 110)


def build(name: str, *, channels: int, image_size: int, classes: int) -> nn.Module:
    """Build a network for images ``(N, channels, image_size, image_size)``.

    Weights come from torch's global random numbers: `torch.manual_seed` first makes them reproducible.

    Parameters
    ----------
    name : str
        ``"mlp"``, ``"lenet"``, ``"vgg11"``, ``"vgg16"``, ``"mobilenet"``, and ``"resnet20"``, 32, 44, 56 or
        110 of the paper's for small images and ``"resnet18_small"``, as wide as ResNet-18; or torchvision's
        ``"alexnet"``, ``"mobilenet_v2"``, ``"resnet18"`` and ``"resnet50"``, whose layers have biases or no
        batch norm here and there: there weights want a scale, ``QuantConfig(scale="tensor")``, and a method
        other than ``"dorefa"`` and ``"metaquant"``, whose transform divides the weights' size out.
    channels, image_size, classes : int
        As in `lnegeom_torch.data.Dataset`.

    Returns
    -------
    nn.Module
        Maps images to logits ``(N, classes)``.

    Raises
    ------
    InputError
        If the name is unknown, a number does not fit, or torchvision is needed and cannot be imported.

    Examples
    --------
    >>> type(build("mlp", channels=1, image_size=8, classes=10)).__name__
    'MLP'
    """
    networks: dict[str, Callable[[], nn.Module]] = {
        "mlp": lambda: MLP(channels * image_size**2, classes),
        "lenet": lambda: LeNet(channels, image_size, classes),
        "vgg11": lambda: VGG11(channels, classes),
        "vgg16": lambda: VGG16(channels, classes),
        "mobilenet": lambda: MobileNet(channels, classes),
        **{f"resnet{depth}": partial(ResNet, channels, classes, depth) for depth in _DEPTHS},
        "resnet18_small": lambda: ResNet(channels, classes, 18, (64, 128, 256, 512)),
        **{
            name: partial(_torchvision.torchvision_network, name, channels, image_size, classes)
            for name in _torchvision.NAMES
        },
    }
    if name not in networks:
        raise InputError(f"unknown network {name!r}; known: {', '.join(networks)}")
    return networks[name]()
