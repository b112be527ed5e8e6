"""Residual networks for small images (He et al. 2016, §4.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch.nets.mlp import MLP, glorot_

__all__ = ["ResNet"]


class ResNet(nn.Module):
    """Residual network of 6n + 2 layers: of depth 20, about 0.27 million parameters; of 110, 1.73 million.

    A 3×3 convolution, three stages of n blocks at 16, 32 and 64 channels, the mean over the image, and a
    linear layer. Each convolution is without bias and followed by batch norm; so is the linear layer, since
    weights of ±1 have no scale of their own. Shortcuts are He et al.'s option A, without parameters: a
    projection there would be quantized too, and the identity path is what survives quantization.

    Parameters
    ----------
    depth : int
        ``6n + 2``: the paper's are 20, 32, 44, 56 and 110.
    channels : int
        Colour channels of an image.
    classes : int
        Number of logits.

    Raises
    ------
    InputError
        If a number is not a positive integer, or the depth not of that form.

    Examples
    --------
    >>> import torch
    >>> network = ResNet(depth=20, channels=3, classes=10)
    >>> network(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in network.parameters())
    269732
    """

    def __init__(self, depth: int, channels: int, classes: int):
        super().__init__()
        count, rest = divmod(positive_integer("depth", depth) - 2, 6)
        if count < 1 or rest:
            raise InputError(f"depth must be 6n + 2 (20, 32, 44, 56, 110), got {depth}")
        blocks, width = [], 16
        for stage_width in (16, 32, 64):
            for _ in range(count):
                blocks.append(_Block(width, stage_width))
                width = stage_width
        self.stem = nn.Sequential(
            _conv(positive_integer("channels", channels), 16), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = MLP(width, classes, hidden=())
        for part in (self.stem, self.blocks):
            glorot_(part)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, H, W)`` to logits ``(N, classes)``."""
        logits: Tensor = self.classifier(self.pool(self.blocks(self.stem(images))))
        return logits


class _Block(nn.Module):
    """``ReLU(shortcut(x) + BN(conv(ReLU(BN(conv(x))))))``; a block that widens also halves the image."""

    def __init__(self, fan_in: int, fan_out: int):
        super().__init__()
        self.stride, self.widening = (1 if fan_in == fan_out else 2), fan_out - fan_in
        self.residual = nn.Sequential(
            _conv(fan_in, fan_out, self.stride),
            nn.BatchNorm2d(fan_out),
            nn.ReLU(),
            _conv(fan_out, fan_out),
            nn.BatchNorm2d(fan_out),
        )
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        shortcut = images[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.widening))  # option A: new channels begin at zero
        output: Tensor = self.activation(shortcut + self.residual(images))
        return output


def _conv(fan_in: int, fan_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False)
