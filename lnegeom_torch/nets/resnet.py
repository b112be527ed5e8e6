"""Residual networks for small images (He et al. 2016, §4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch.nets.mlp import MLP, glorot_

__all__ = ["ResNet"]


class ResNet(nn.Module):
    """Residual network of 6n + 2 layers: 0.27 million parameters at depth 20, 1.7 million at 110.

    A 3×3 convolution, stages of n blocks at 16, 32 and 64 channels, the mean over the image, and a linear
    layer. Each convolution is without bias and followed by batch norm; so is the linear layer, since
    weights of ±1 have no scale of their own. Shortcuts are He et al.'s option A, without parameters: a
    projection there would be quantized too, and the identity path is what survives quantization.

    Parameters
    ----------
    channels : int
        Colour channels of an image.
    classes : int
        Number of logits.
    depth : int
        6n + 2: the paper has 20, 32, 44, 56 and 110.
    widths : sequence of int
        Channels of each stage. ``(64, 128, 256, 512)`` with depth 18 is what papers on small images call
        ResNet-18, but for its shortcuts; with k stages the depth is 2kn + 2.

    Raises
    ------
    InputError
        If a number is not a positive integer, or the depth does not fit the number of stages.

    Examples
    --------
    >>> import torch
    >>> network = ResNet(channels=3, classes=10, depth=20)
    >>> network(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in network.parameters())
    269732
    """

    def __init__(self, channels: int, classes: int, depth: int = 20, widths: Sequence[int] = (16, 32, 64)):
        super().__init__()
        step = 2 * len([positive_integer("widths", width) for width in widths])
        if positive_integer("depth", depth) < step + 2 or (depth - 2) % step:
            raise InputError(
                f"depth must be {step}n + 2 with {len(widths)} stages, as 20, 32, 44, 56 and 110 are with "
                f"three, got {depth}"
            )
        blocks, width = [], widths[0]
        for stage_width in widths:
            for _ in range((depth - 2) // step):
                blocks.append(_Block(width, stage_width))
                width = stage_width
        first = widths[0]
        self.stem = nn.Sequential(
            _conv(positive_integer("channels", channels), first), nn.BatchNorm2d(first), nn.ReLU()
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
        shortcut = images
        if self.widening:  # option A: new channels begin at zero
            shortcut = F.pad(images[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.widening))
        output: Tensor = self.activation(shortcut + self.residual(images))
        return output


def _conv(fan_in: int, fan_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(fan_in, fan_out, 3, stride=stride, padding=1, bias=False)
