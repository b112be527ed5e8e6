"""The multilayer perceptron, and the initialisation all networks here share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from lnegeom._array import positive_integer

__all__ = ["MLP", "Features", "glorot_"]


class MLP(nn.Module):
    """Fully connected network: each layer is linear without bias, batch norm, ReLU; the last has no ReLU.

    The logits go through batch norm too: weights of ±1 have no scale of their own, and sums of hundreds of
    them would saturate the softmax.

    Parameters
    ----------
    in_features : int
        Numbers in one image: channels × height × width.
    classes : int
        Number of logits.
    hidden : sequence of int
        Widths of the hidden layers; may be empty.

    Raises
    ------
    InputError
        If a width is not a positive integer.

    Examples
    --------
    >>> import torch
    >>> MLP(in_features=784, classes=10)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, in_features: int, classes: int, hidden: Sequence[int] = (256, 256)):
        super().__init__()
        widths = [positive_integer("in_features", in_features)]
        widths += [positive_integer("hidden", width) for width in hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out, bias=False), nn.BatchNorm1d(fan_out), nn.ReLU()]
        classes = positive_integer("classes", classes)
        layers += [nn.Linear(widths[-1], classes, bias=False), nn.BatchNorm1d(classes)]
        self.layers = nn.Sequential(*layers)
        glorot_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, C, H, W)``, or vectors ``(N, C·H·W)``, to logits ``(N, classes)``."""
        logits: Tensor = self.layers(images)
        return logits


def glorot_(network: nn.Module) -> None:
    """Draw the weight of every linear and convolutional layer anew, Glorot-uniform, as ManiQuant §4.2 does.

    Torch's own default is narrower for most layers. How large fresh latent weights are decides how soon their
    signs can flip, so quantizers are compared fairly only from one initialisation.

    Examples
    --------
    >>> layer = nn.Linear(30, 30)
    >>> glorot_(layer)
    >>> bool(layer.weight.abs().max() <= (6 / 60) ** 0.5)
    True
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)


class Features(nn.Module):
    """Convolutions, and a classifier of what they make of an image; Glorot-uniform, the base of the networks.

    Parameters
    ----------
    features, classifier : nn.Module
        Maps of images ``(N, channels, H, W)``, and of what `features` makes of them.
    """

    def __init__(self, features: nn.Module, classifier: MLP):
        super().__init__()
        self.features = features
        self.classifier = classifier
        glorot_(features)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, H, W)`` to logits ``(N, classes)``."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
