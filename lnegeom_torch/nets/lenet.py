"""LeNet-5 (LeCun et al. 1998) with batch norm."""

from __future__ import annotations

from torch import nn

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch.nets.mlp import MLP, Features

__all__ = ["LeNet"]


class LeNet(Features):
    """Two 5×5 convolutions of 6 and 16 channels, each halved by pooling, then an `MLP` of 120 and 84.

    Every convolution is without bias and followed by batch norm and ReLU. Both are padded to keep the image's
    size, where the original pads only its input: so images down to 4×4 pass, and no border is lost.

    Parameters
    ----------
    channels : int
        Colour channels of an image.
    image_size : int
        Height and width of an image, 4 or more.
    classes : int
        Number of logits.

    Raises
    ------
    InputError
        If a number is not a positive integer, or the image is too small to be halved twice.

    Examples
    --------
    >>> import torch
    >>> LeNet(channels=1, image_size=28, classes=10)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, channels: int, image_size: int, classes: int):
        if positive_integer("image_size", image_size) < 4:
            raise InputError(f"image_size must be 4 or more, to be halved twice, got {image_size}")
        features = nn.Sequential(
            nn.Conv2d(positive_integer("channels", channels), 6, 5, padding=2, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5, padding=2, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        super().__init__(features, MLP(16 * (image_size // 4) ** 2, classes, hidden=(120, 84)))
