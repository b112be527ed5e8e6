"""VGG-16 (Simonyan and Zisserman 2015, configuration D) with batch norm, for small images."""

from __future__ import annotations

from torch import Tensor, nn

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch.nets.mlp import MLP, glorot_

__all__ = ["VGG16"]

_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """Thirteen 3×3 convolutions in five stages, each halved by pooling, then an `MLP` of two layers of 512.

    Every convolution is without bias and followed by batch norm and ReLU. The original's fully connected
    layers of 4096 are for images of 224×224.

    Parameters
    ----------
    channels : int
        Colour channels of an image.
    image_size : int
        Height and width of an image, 32 or more.
    classes : int
        Number of logits.

    Raises
    ------
    InputError
        If a number is not a positive integer, or the image is too small to be halved five times.

    Examples
    --------
    >>> import torch
    >>> VGG16(channels=3, image_size=32, classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, channels: int, image_size: int, classes: int):
        super().__init__()
        if positive_integer("image_size", image_size) < 32:
            raise InputError(f"image_size must be 32 or more, to be halved five times, got {image_size}")
        layers: list[nn.Module] = []
        width = positive_integer("channels", channels)
        for stage in _STAGES:
            for out in stage:
                layers += [nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
                width = out
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = MLP(width * (image_size // 32) ** 2, classes, hidden=(512, 512))
        glorot_(self.features)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, image_size, image_size)`` to logits ``(N, classes)``."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
