"""VGG-11 and VGG-16 for small images."""

from __future__ import annotations

from torch import nn

from lnegeom._array import positive_integer
from lnegeom_torch.nets.mlp import MLP, Features

__all__ = ["VGG11", "VGG16"]

_Stages = tuple[tuple[int, ...], ...]


class _VGG(Features):
    """Stages of 3×3 convolutions, the mean over what is left of the image, and a classifier."""

    stages: _Stages

    def __init__(self, channels: int, classes: int):
        layers: list[nn.Module] = []
        width = positive_integer("channels", channels)
        for stage in self.stages:
            for fan_out in stage:
                layers += [
                    nn.Conv2d(width, fan_out, 3, padding=1, bias=False),
                    nn.BatchNorm2d(fan_out),
                    nn.ReLU(),
                ]
                width = fan_out
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        super().__init__(features, MLP(width, classes, hidden=(512,)))


class VGG16(_VGG):
    """The 13 3×3 convolutions of VGG-16, then an `MLP` of one hidden layer of 512: 15 million parameters.

    This is the network's usual form for CIFAR: the original's two layers of 4096 were made for larger images.
    Each convolution is without bias and followed by batch norm and ReLU. Each of the five stages ends in a
    pooling, rounded up, so that images smaller than 32×32 pass too; the mean over what is left of the image
    goes to the classifier.

    Parameters
    ----------
    channels : int
        Colour channels of an image.
    classes : int
        Number of logits.

    Raises
    ------
    InputError
        If a number is not a positive integer.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
    configuration D; for CIFAR: H. Li et al., "Pruning filters for efficient ConvNets", 2017, Table 1.

    Examples
    --------
    >>> import torch
    >>> VGG16(channels=3, classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    stages = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG11(_VGG):
    """As `VGG16`, with the 8 convolutions of VGG-11 (configuration A): 9.5 million parameters.

    Parameters
    ----------
    channels : int
        Colour channels of an image.
    classes : int
        Number of logits.

    Raises
    ------
    InputError
        If a number is not a positive integer.

    Examples
    --------
    >>> import torch
    >>> VGG11(channels=3, classes=10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    stages = ((64,), (128,), (256, 256), (512, 512), (512, 512))
