"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lnegeom import InputError
from lnegeom_torch.nets.lenet import LeNet
from lnegeom_torch.nets.mlp import MLP
from lnegeom_torch.nets.resnet import ResNet
from lnegeom_torch.nets.vgg import VGG16

__all__ = ["build"]

_DEPTHS = (20, 32, 44, 56, 110)
_TORCHVISION = ("resnet18", "resnet50", "alexnet", "mobilenet_v2")


def build(
    name: str, *, channels: int, image_size: int, classes: int, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    """Build a network for images ``(N, channels, image_size, image_size)``.

    Weights come from torch's global random numbers: `torch.manual_seed` first makes them reproducible.

    Parameters
    ----------
    name : str
        ``mlp``, ``lenet``, ``vgg16``, ``resnet20``, ``resnet32``, ``resnet44``, ``resnet56`` or
        ``resnet110``; or torchvision's ``resnet18``, ``resnet50``, ``alexnet`` or ``mobilenet_v2``, as they
        are there: for three channels and images of 224, with biases where they have any.
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
        If the name is unknown, a number does not fit, or torchvision is needed and not installed.

    Examples
    --------
    >>> type(build("mlp", channels=1, image_size=8, classes=10)).__name__
    'MLP'
    """
    networks: dict[str, Callable[[], nn.Module]] = {
        "mlp": lambda: MLP(channels * image_size**2, classes),
        "lenet": lambda: LeNet(channels, image_size, classes),
        "vgg16": lambda: VGG16(channels, image_size, classes),
        **{f"resnet{depth}": lambda depth=depth: ResNet(depth, channels, classes) for depth in _DEPTHS},  # type: ignore[misc]
        **{known: lambda: _from_torchvision(name, channels, classes) for known in _TORCHVISION},
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


def _from_torchvision(name: str, channels: int, classes: int) -> nn.Module:
    if channels != 3:
        raise InputError(f"torchvision's {name} is for images of 3 channels, got {channels}")
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # the latter, where it was built for another torch
        raise InputError(
            f"network {name!r} is torchvision's, which cannot be imported ({error}); install the one built "
            "for this torch"
        ) from None
    network: nn.Module = models.get_model(name, num_classes=classes)
    return network
