"""torchvision's networks, where torchvision can be imported."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch.nets.mlp import glorot_

NAMES = ("alexnet", "mobilenet_v2", "resnet18", "resnet50")

_LEAST_SIZE = {"alexnet": 63}  # three poolings after a stride of four: smaller images vanish


def torchvision_network(name: str, channels: int, image_size: int, classes: int) -> nn.Module:
    """One of torchvision's classifiers, with fresh weights: as all networks here, Glorot-uniform."""
    if channels != 3:
        raise InputError(
            f"network {name!r} takes images of 3 channels, got {channels}; repeat a grey channel"
        )
    if image_size < _LEAST_SIZE.get(name, 1):
        raise InputError(
            f"network {name!r} takes images of {_LEAST_SIZE[name]} pixels or more, got {image_size}"
        )
    positive_integer("classes", classes)
    try:
        models: Any = importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError: it was built for another torch
        raise InputError(
            f"network {name!r} needs torchvision, which cannot be imported ({error}); install the release "
            "of torchvision that belongs to this torch"
        ) from None
    network: nn.Module = getattr(models, name)(num_classes=classes)
    glorot_(network)
    return network
