"""Quantizers as modules: a parametrization for weights, a submodule for activations."""

from __future__ import annotations

import weakref
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch.quant.quantizers import (
    PROXIES,
    QUANTIZERS,
    binarize,
    check_bits,
    largest,
    maniquant,
    rf_levels,
    staircase,
    straight_through,
    ternary,
)

__all__ = ["ActivationQuantizer", "QuantizedReLU", "WeightQuantizer"]


def _check_quantizer(quantizer: str) -> str:
    if quantizer not in QUANTIZERS:
        raise InputError(f"quantizer must be one of {', '.join(QUANTIZERS)}, got {quantizer!r}")
    return quantizer


def _positive(x: Tensor) -> Tensor:
    """Where x is 0, 1: what is divided by it is 0 too; finite where the sum behind a mean overflowed."""
    return torch.where(x > 0, x, torch.ones_like(x)).clamp(max=torch.finfo(x.dtype).max)


class WeightQuantizer(nn.Module):
    """Latent weight to quantized weight, with a straight-through gradient.

    Registered as a parametrization (`torch.nn.utils.parametrize`), so the latent weight stays the same
    `Parameter` object that the model had. In evaluation mode without gradients the quantized weight is kept
    until the latent one changes. A write into ``.data`` is hidden from that: call ``eval()`` after it.

    Parameters
    ----------
    bits : int or "ternary"
        1 to 8, or the three levels of `ternary`.
    quantizer : {"maniquant", "rf"}
        The k-bit quantizer for k ≥ 2.
    transform : {"identity", "tanh"}
        ``"tanh"`` first maps W to ``tanh(W) / max|tanh(W)|`` (DoReFa), the maximum held constant in the
        gradient, as ManiQuant §1 prints it. A zero tensor is not divided by its maximum, nor is one with a
        `scale`, which would otherwise be of the order of 1 however small the weights.
    gate : bool
        Whether the gradient is dropped where the quantizer's input exceeds 1 in size.
    scale : {"none", "tensor", "channel"}
        ``"none"`` leaves the levels in [−1, 1]. Otherwise they are multiplied by a statistic of the whole
        weight or of each output channel ``W[c]`` (of a transposed convolution, whose first axis these are,
        input channel): the mean size for 1 bit (XNOR-Net), of the entries above
        the threshold for ternary, and the largest size for k bits, which first divides the weight too.
    learned : tuple of int, optional
        Makes the scale a parameter of this shape, ``exp(log_scale)``, so that it stays positive; it begins
        at the statistic (`start`). Its gradient is LSQ's: Q for 1 bit and ternary, ``Q(v) − v`` inside the
        range of k bits, ``v = W / scale``.
    """

    def __init__(
        self,
        bits: int | str,
        quantizer: str = "maniquant",
        transform: str = "identity",
        gate: bool = False,
        scale: Literal["none", "tensor", "channel"] = "none",
        learned: tuple[int, ...] | None = None,
    ):
        super().__init__()
        if bits != "ternary":
            check_bits("bits", bits)  # type: ignore[arg-type]
        if transform not in ("identity", "tanh"):
            raise InputError(f"transform must be 'identity' or 'tanh', got {transform!r}")
        if scale not in ("none", "tensor", "channel"):
            raise InputError(f"scale must be 'none', 'tensor' or 'channel', got {scale!r}")
        if learned is not None and scale == "none":
            raise InputError("a learned scale needs scale='tensor' or 'channel', got 'none'")
        self.bits = bits
        self.quantizer = _check_quantizer(quantizer)
        self.transform = transform
        self.gate = gate
        self.scale = scale
        self.log_scale = None if learned is None else nn.Parameter(torch.zeros(learned))
        self._kept: tuple[weakref.ref[Tensor], tuple[int, int], Tensor] | None = None
        self._signs: Tensor | None = None

    def extra_repr(self) -> str:
        """The constants, for the model's printed form."""
        learned = ", learned" if self.log_scale is not None else ""
        return (
            f"bits={self.bits!r}, quantizer={self.quantizer!r}, transform={self.transform!r}, "
            f"gate={self.gate}, scale={self.scale!r}{learned}"
        )

    def forward(self, weight: Tensor) -> Tensor:
        """Quantize a latent weight of any shape."""
        evaluating = not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
        # A tensor made in inference mode does not count its writes.
        if not evaluating or not isinstance(weight, nn.Parameter) or weight.is_inference():
            if not torch.compiler.is_compiling():
                self._kept = None  # a step may follow, and torch's fused ones do not count their writes
            return self.quantize(weight)
        # The version counts the writes to a tensor in place, an optimizer's and load_state_dict's among them;
        # an assignment to `.data`, which `.to()` makes, gives it other memory.
        state = (weight._version, weight.data_ptr())
        kept = self._kept
        if kept is None or kept[0]() is not weight or kept[1] != state:
            self._kept = kept = (weakref.ref(weight), state, self.quantize(weight))
        return kept[2]

    def quantize(self, weight: Tensor) -> Tensor:
        """The quantized weight, computed anew."""
        weight = self.transformed(weight)
        levels, scale = self._decompose(weight)
        surrogate = weight.clamp(-1, 1) if self.gate else weight
        if scale is None:
            return straight_through(levels, surrogate)
        quantized = straight_through(levels * scale, surrogate)
        if self.log_scale is None:
            return quantized
        ratio = weight / scale.detach()
        inside = ratio.abs() <= 1 if self.bits not in (1, "ternary") else torch.zeros_like(ratio).bool()
        slope = torch.where(inside, levels - ratio, levels)
        return quantized + slope.detach() * (scale - scale.detach())

    def decompose(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        """Levels in [−1, 1] of a latent weight, and what multiplies them; None where nothing does."""
        return self._decompose(self.transformed(weight))

    def _decompose(self, weight: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.scale == "none":
            return self._levels(weight), None
        scale = self._scale(weight)
        if self.bits in (1, "ternary"):  # their levels do not depend on the scale
            return self._levels(weight), scale
        # The scale is the range: to divide by the largest entry again would tie the channels together.
        ratio = (weight / scale.detach()).clamp(-1, 1)
        return (rf_levels if self.quantizer == "rf" else maniquant)(ratio, int(self.bits)), scale

    def transformed(self, weight: Tensor) -> Tensor:
        """What of the latent weight is quantized: itself, or its tanh, over the largest without a scale."""
        if self.transform == "identity":
            return weight
        weight = torch.tanh(weight)
        return weight / self.divisor(weight)

    def divisor(self, tanh: Tensor) -> Tensor:
        """What the tanh of a latent weight is divided by: its largest size, or 1 where a scale follows."""
        return _positive(tanh.detach().abs().amax()) if self.scale == "none" else tanh.new_ones(())

    @torch.no_grad()
    def start(self, weight: Tensor) -> None:
        """Set a learned scale to the statistic of a latent weight."""
        if self.log_scale is not None and not weight.is_meta:
            self.log_scale.copy_(
                self._statistic(self.transformed(weight)).log().reshape(self.log_scale.shape)
            )

    @torch.no_grad()
    def flips(self, weight: Tensor) -> float | None:
        """Share of the entries whose sign changed since the last call; None the first time."""
        before, self._signs = self._signs, weight.detach() >= 0
        return None if before is None else float((before != self._signs).float().mean())

    def train(self, mode: bool = True) -> WeightQuantizer:
        """As of any module; what was kept for evaluation is forgotten."""
        self._kept = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    def _levels(self, x: Tensor) -> Tensor:
        """The levels in [−1, 1]."""
        if self.bits == "ternary":
            return ternary(x, per_channel=self.scale == "channel")
        return binarize(x) if self.bits == 1 else QUANTIZERS[self.quantizer](x, int(self.bits))

    def _scale(self, x: Tensor) -> Tensor:
        if self.log_scale is None:
            return self._statistic(x.detach())
        scale = self.log_scale.exp()
        return scale.reshape(-1, *[1] * (x.ndim - 1)) if self.scale == "channel" else scale

    def _statistic(self, x: Tensor) -> Tensor:
        size = x.abs()
        axes = tuple(range(1 if self.scale == "channel" and x.ndim > 1 else 0, x.ndim))
        if self.bits == 1:
            return _positive(size.mean(dim=axes, keepdim=True))
        if self.bits == "ternary":
            chosen = self._levels(x).abs()
            count = _positive(chosen.sum(dim=axes, keepdim=True))
            return _positive((size * chosen).sum(dim=axes, keepdim=True) / count)
        return _positive(size.amax(dim=axes, keepdim=True))


class ActivationQuantizer(nn.Module):
    """Activation to quantized activation.

    The gradient is dropped where ``|a| > 1`` (ManiQuant Eq. 10), except by ``"rf"`` with two bits and more,
    which clips nothing: it divides by the largest entry, and so does its gradient. (Passed through unchanged
    it would grow by that entry in every layer.) Both quantizers are symmetric about 0, so that a ReLU before
    them wastes half of their levels: of one bit it leaves a constant, of two bits of ``"rf"`` next to one.
    There `quantize_` puts `nn.Hardtanh` in the ReLU's place.

    Parameters
    ----------
    bits : int
        1 to 8.
    quantizer : {"maniquant", "rf"}
        The k-bit quantizer for k ≥ 2.
    learned : bool
        Whether the range is a parameter ``s = exp(log_scale)``, 1 at first: ``s Q(a/s)``, clipped at s, with
        LSQ's gradient (Esser et al. 2020, Eqs. 3 and 4). ``"rf"`` then needs no largest entry.
    """

    def __init__(self, bits: int, quantizer: str = "maniquant", learned: bool = False):
        super().__init__()
        self.bits = check_bits("bits", bits)
        self.quantizer = _check_quantizer(quantizer)
        self.gate = bits == 1 or quantizer == "maniquant" or learned
        self.log_scale = nn.Parameter(torch.zeros(1)) if learned else None

    def extra_repr(self) -> str:
        """The constants, for the model's printed form."""
        learned = ", learned" if self.log_scale is not None else ""
        return f"bits={self.bits}, quantizer={self.quantizer!r}, gate={self.gate}{learned}"

    def forward(self, activation: Tensor) -> Tensor:
        """Quantize an activation of any shape."""
        if self.log_scale is not None:
            return self._learned(activation, self.log_scale.exp())
        if not self.gate:
            ratio = activation / largest(activation.detach())
            return straight_through(rf_levels(ratio, self.bits), ratio)
        levels = binarize(activation) if self.bits == 1 else maniquant(activation, self.bits)
        return straight_through(levels, activation.clamp(-1, 1))

    def _learned(self, activation: Tensor, scale: Tensor) -> Tensor:
        fixed = scale.detach()
        ratio = (activation / fixed).clamp(-1, 1)
        if self.bits == 1:
            levels = binarize(activation)
        else:
            levels = (rf_levels if self.quantizer == "rf" else maniquant)(ratio, self.bits)
        if not torch.is_grad_enabled():
            return levels * fixed
        inside = (activation.abs() <= fixed) & (self.bits > 1)
        steps: int = max(1, 2 ** (self.bits - 1) - 1)
        # LSQ §2.2: so that the range can be trained at the weights' rate.
        share: float = (max(1, activation[:1].numel()) * steps) ** -0.5
        slope = share * torch.where(inside, levels - ratio, levels).detach()
        return straight_through(levels * fixed, ratio * fixed) + slope * (scale - fixed)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        if self.log_scale is not None:  # which a full-precision checkpoint does not have
            state_dict.setdefault(f"{prefix}log_scale", self.log_scale.detach())
        super()._load_from_state_dict(state_dict, prefix, *others)

    @property
    def needs_both_signs(self) -> bool:
        """Whether it sees next to nothing of what a ReLU leaves."""
        return self.bits == 1 or (self.bits == 2 and self.quantizer == "rf")


class QuantizedReLU(nn.Module):
    """`staircase`, differentiated as a proxy: the activation whose coarse gradient has a theory.

    Parameters
    ----------
    bits : int
        1 to 8.
    proxy : {"identity", "relu", "clipped_relu"}
        Whose derivative stands for the staircase's, which is zero: 1, ``1[x > 0]`` or ``1[0 < x < top]``.
    top : float
        The highest level. It is not learned: the gain of the batch norm before it does the same.

    References
    ----------
    P. Yin et al., "Understanding straight-through estimator in training activation quantized neural nets",
    2019; Z. Long, P. Yin, J. Xin, "Learning quantized neural nets by coarse gradient method for nonlinear
    classification", 2021.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.quant import QuantizedReLU
    >>> x = torch.tensor([-1.0, 0.2, 3.0], requires_grad=True)
    >>> y = QuantizedReLU(bits=1, proxy="clipped_relu", top=1.0)(x)
    >>> y.sum().backward()
    >>> y.detach(), x.grad
    (tensor([0., 1., 1.]), tensor([0., 1., 0.]))
    """

    def __init__(self, bits: int, proxy: str = "clipped_relu", top: float = 2.0):
        super().__init__()
        self.bits = check_bits("bits", bits)
        if proxy not in PROXIES:
            raise InputError(f"proxy must be one of {', '.join(PROXIES)}, got {proxy!r}")
        if not 0 < top < float("inf"):
            raise InputError(f"top must be a positive finite number, got {top!r}")
        self.proxy = proxy
        self.top = top

    def extra_repr(self) -> str:
        """The constants, for the model's printed form."""
        return f"bits={self.bits}, proxy={self.proxy!r}, top={self.top}"

    def forward(self, x: Tensor) -> Tensor:
        """Quantize pre-activations of any shape."""
        return straight_through(staircase(x, self.bits, self.top), PROXIES[self.proxy](x, self.top))
