"""MobileNet, the first version (Howard et al. 2017)."""

from __future__ import annotations

from torch import nn

from lnegeom._array import positive_integer
from lnegeom_torch.nets.mlp import MLP, Features

__all__ = ["MobileNet"]

_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Output channels and stride of each depthwise separable block."""


class MobileNet(Features):
    """The 28 layers of MobileNet, for images of any size: 4.2 million parameters with 1,000 classes.

    A 3×3 convolution to 32 channels, 13 depthwise separable blocks, the mean over the image, and a linear
    layer. Each convolution is without bias and followed by batch norm and ReLU; the linear layer by batch
    norm, as in the other networks here. It is the one of both papers' tables; torchvision has only the
    second version.

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
    A. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications",
    2017, Table 1.

    Examples
    --------
    >>> import torch
    >>> MobileNet(channels=3, classes=10)(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 10])
    """

    def __init__(self, channels: int, classes: int):
        width = 32
        layers = _conv(positive_integer("channels", channels), width, 3, stride=2)
        for fan_out, stride in _BLOCKS:
            layers += _conv(width, width, 3, stride=stride, groups=width)
            layers += _conv(width, fan_out, 1)
            width = fan_out
        super().__init__(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)), MLP(width, classes, hidden=()))


def _conv(fan_in: int, fan_out: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(
        fan_in, fan_out, size, stride=stride, padding=size // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(fan_out), nn.ReLU()]
