"""The papers' quantizers, as functions of a tensor, and the straight-through estimator.

Quantizers return discrete values and pass no gradient on their own; `straight_through` gives them one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lnegeom import InputError

__all__ = [
    "PROXIES",
    "QUANTIZERS",
    "binarize",
    "check_bits",
    "largest",
    "maniquant",
    "rf",
    "rf_levels",
    "staircase",
    "straight_through",
    "ternary",
]


def check_bits(name: str, bits: int, least: int = 1) -> int:
    """Return a bit width from `least` to 8, or raise an InputError."""
    if isinstance(bits, bool) or not isinstance(bits, int) or not least <= bits <= 8:
        raise InputError(f"{name} must be an integer from {least} to 8, got {bits!r}")
    return bits


def binarize(x: Tensor) -> Tensor:
    """Q₁: the sign, with ``Q₁(0) = +1`` so that there are only two values, −1 and +1.

    References
    ----------
    RF-DNN Eq. 37.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.quant import binarize
    >>> binarize(torch.tensor([-0.3, -0.0, 0.0, 2.0]))
    tensor([-1.,  1.,  1.,  1.])
    """
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def maniquant(x: Tensor, bits: int) -> Tensor:
    """ManiQuant's Q_k: ``round((2^{k−1} − 1) x) / (2^{k−1} − 1)``, the input clamped to [−1, 1].

    It has ``2^k − 1`` levels from −1 to 1, zero among them, and no scale: a tensor of small weights becomes
    all zeros. It is defined for k ≥ 2 only.

    Parameters
    ----------
    x : Tensor
        Any shape.
    bits : int
        k, from 2 to 8.

    References
    ----------
    ManiQuant Eq. 31.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.quant import maniquant
    >>> maniquant(torch.tensor([-3.0, -0.6, 0.2, 0.8]), bits=2)
    tensor([-1., -1.,  0.,  1.])
    """
    steps: int = 2 ** (check_bits("bits", bits, least=2) - 1) - 1
    return torch.round(steps * x.clamp(-1, 1)) / steps


def rf(x: Tensor, bits: int) -> Tensor:
    """RF-DNN's Q_k: ``2/(2^k − 1) round[(2^k − 1)(x / (2 max|x|) + ½)] − 1``, scaled by the largest entry.

    It has ``2^k`` levels, evenly spaced from −1 to 1, and therefore **no zero level**: 0 goes to one of
    ``±1/(2^k − 1)``. A tensor of zeros, whose largest entry is 0, is not divided by it. On activations the
    largest entry is the batch's, so that a sample's levels depend on the batch that it comes in.

    Parameters
    ----------
    x : Tensor
        Any shape; the maximum is over the whole tensor.
    bits : int
        k, from 2 to 8 (for one bit the paper has `binarize`).

    References
    ----------
    RF-DNN Eq. 38.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.quant import rf
    >>> rf(torch.tensor([-3.0, -0.9, 0.0, 3.0]), bits=2)
    tensor([-1.0000, -0.3333,  0.3333,  1.0000])
    """
    return rf_levels(x / largest(x), bits)


def rf_levels(ratio: Tensor, bits: int) -> Tensor:
    """`rf` of what has been divided by its largest entry, and lies in [−1, 1]."""
    steps: int = 2 ** check_bits("bits", bits, least=2) - 1
    return torch.round(steps * (ratio / 2 + 0.5)) * (2 / steps) - 1


def largest(x: Tensor) -> Tensor:
    """The size of the largest entry, 0-d; 1 for a tensor of zeros, which it is there to divide."""
    found = x.abs().max()  # of amax without an axis, the ONNX exporter knows nothing
    return torch.where(found > 0, found, torch.ones_like(found))


QUANTIZERS: dict[str, Callable[[Tensor, int], Tensor]] = {"maniquant": maniquant, "rf": rf}


def ternary(x: Tensor, per_channel: bool = False) -> Tensor:
    """Signs of the entries above ``0.7 mean|x|`` in size, zero for the others; never all zeros unless x is.

    Parameters
    ----------
    x : Tensor
        Any shape.
    per_channel : bool
        Whether the mean is over each ``x[c]`` instead of the whole tensor.

    References
    ----------
    F. Li et al., "Ternary weight networks", 2016, Eq. 6.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.quant import ternary
    >>> ternary(torch.tensor([-3.0, -0.9, 0.1, 2.0]))
    tensor([-1.,  0.,  0.,  1.])
    """
    size = x.abs()
    axes = tuple(range(1, x.ndim)) if per_channel and x.ndim > 1 else tuple(range(x.ndim))
    mean = size.mean(dim=axes, keepdim=True).clamp(max=torch.finfo(x.dtype).max)  # its sum may overflow
    return torch.where(size > 0.7 * mean, x.sign(), torch.zeros_like(x))


def staircase(x: Tensor, bits: int, top: float = 1.0) -> Tensor:
    """The quantized ReLU: 0 for ``x ≤ 0``, else the next of ``2^k − 1`` equal steps up to `top`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    bits : int
        k, from 1 to 8; of one bit it is the step ``top · 1[x > 0]``.
    top : float
        The highest level.

    References
    ----------
    P. Yin et al., "Blended coarse gradient descent for full quantization of deep neural networks",
    2019, Eq. 2.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.quant import staircase
    >>> staircase(torch.tensor([-0.5, 0.1, 0.5, 2.0]), bits=2, top=3.0)
    tensor([0., 1., 1., 2.])
    """
    steps: int = 2 ** check_bits("bits", bits) - 1
    # Both bounds floats: the ONNX exporter refuses one integer and one float.
    return torch.ceil(x.clamp(0.0, float(top)) * (steps / top)).clamp(max=steps) * (top / steps)


PROXIES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda x, top: x,
    "relu": lambda x, top: x.clamp(min=0),
    "clipped_relu": lambda x, top: x.clamp(0.0, float(top)),
}
"""What a quantized ReLU is differentiated as: a function of its input and its highest level."""


def straight_through(quantized: Tensor, surrogate: Tensor) -> Tensor:
    """The value of `quantized`, exactly, with the gradient of a finite `surrogate`.

    ``surrogate = x`` passes the gradient unchanged; ``surrogate = x.clamp(-1, 1)`` passes it only where
    ``|x| ≤ 1`` (BNN). Plain tensor operations, so compilation, export, vmap and double backward all work.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.quant import binarize, straight_through
    >>> x = torch.tensor([0.3, 2.0], requires_grad=True)
    >>> y = straight_through(binarize(x), x.clamp(-1, 1))
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([1., 1.]), tensor([1., 0.]))
    """
    if not torch.is_grad_enabled():
        return quantized.detach()
    # surrogate − surrogate is exactly 0, where x + (quantized − x) would round.
    return quantized.detach() + (surrogate - surrogate.detach())
