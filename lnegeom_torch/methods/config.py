"""The configuration of a quantized model: plain data, checked where it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from lnegeom import InputError
from lnegeom_torch.methods.options import Coarse, ProxQuant
from lnegeom_torch.methods.registry import METHODS, MethodSpec
from lnegeom_torch.metrics import metric_to_data
from lnegeom_torch.quant.quantizers import QUANTIZERS, check_bits

__all__ = ["QuantConfig"]


@dataclass(frozen=True)
class QuantConfig:
    """How to quantize a model and how to train it.

    Parameters
    ----------
    method : str
        A name in `lnegeom_torch.methods.METHODS`, which holds each one's source and defaults: ``"ste"``,
        ``"dorefa"``, ``"wcg"``, ``"lne"``, ``"rf"``, ``"ricci"``, ``"fim"``, ``"logcosh"``, ``"coarse"``,
        ``"bcgd"``, ``"metaquant"``, ``"md"``, ``"proxquant"``, ``"spin"``, or ``"fp"``, full precision, the
        reference.
    weight_bits : int or "ternary"
        1 to 8, three levels, or 32, which leaves the weights alone.
    activation_bits : int, optional
        1 to 8, or 32, which leaves activations alone; by default the method's own, 32 for most. The first
        quantized layer always sees its raw input.
    quantizer : {"maniquant", "rf"}, optional
        Which k-bit quantizer, for k ≥ 2: ManiQuant Eq. 31 or RF-DNN Eq. 38. By default the method's.
    scale : {"none", "tensor", "channel"}, optional
        What multiplies the levels: nothing, or a statistic of the weight or of each output channel
        (`lnegeom_torch.quant.WeightQuantizer`). By default the method's own.
    learned_scale : bool
        Whether the scale is a parameter that starts at that statistic.
    learned_range : bool
        Whether the range of each layer's input activations is learned
        (`lnegeom_torch.quant.ActivationQuantizer`).
    metric : metric of `lnegeom_torch.metrics`, optional
        The metric on the latent weights; by default the method's own.
    gate : {"optimizer", "quantizer", "none"}, optional
        Where gradients of weights outside ``|W| ≤ 1`` are dropped: by `ManifoldSGD` after the metric
        (ManiQuant Eq. 16), by the quantizer before it (for other optimizers), or nowhere. By default the
        method's own.
    options : dataclass of `lnegeom_torch.methods`, optional
        The method's own constants, of the type that it takes: `RicciFlow` for ``"rf"``, and so on.
    first_last_bits : int, optional
        Width of the weights of the first and of the last quantized layer: 1 to 8, or 32 to leave them alone.
        By default they are as all the others.
    layer_bits : mapping of str to int or "ternary"
        Widths of single layers, ahead of the two above: types or patterns of names, of which the first that
        fits counts. Kept as a tuple of pairs.
    include, exclude : tuple of str
        Types (``"Linear"``) or patterns of names (``"encoder.*"``) of layers to quantize, and not to. The
        types are Linear, Conv1d, Conv2d, Embedding and MultiheadAttention, their subclasses among them, and
        the name of any other class whose ``weight`` has two axes or more (``"Conv3d"``). A pattern that fits
        no layer of a model is refused by `quantize_`.

    Raises
    ------
    InputError
        If a value is unknown, out of range, or does not belong to the method.

    Examples
    --------
    >>> from lnegeom_torch import NormalizedLNE, QuantConfig
    >>> QuantConfig("wcg", metric=NormalizedLNE(chi=0.1, inverse="exact")).weight_bits
    1
    """

    method: str = "ste"
    weight_bits: int | Literal["ternary"] = 1
    activation_bits: int | None = None
    quantizer: Literal["maniquant", "rf"] | None = None
    scale: Literal["none", "tensor", "channel"] | None = None
    learned_scale: bool = False
    learned_range: bool = False
    metric: Any = None
    gate: Literal["optimizer", "quantizer", "none"] | None = None
    options: Any = None
    first_last_bits: int | None = None
    layer_bits: Mapping[str, int | str] | tuple[tuple[str, int | str], ...] = ()
    include: tuple[str, ...] = ("Linear", "Conv1d", "Conv2d")
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        object.__setattr__(self, "layer_bits", _pairs(self.layer_bits))
        self._check_bits()
        if self.quantizer is not None and self.quantizer not in QUANTIZERS:
            raise InputError(f"quantizer must be one of {', '.join(QUANTIZERS)}, got {self.quantizer!r}")
        if self.gate not in (None, "optimizer", "quantizer", "none"):
            raise InputError(f"gate must be 'optimizer', 'quantizer' or 'none', got {self.gate!r}")
        if self.scale not in (None, "none", "tensor", "channel"):
            raise InputError(f"scale must be 'none', 'tensor' or 'channel', got {self.scale!r}")
        if self.learned_scale and self.chosen_scale == "none":
            raise InputError("learned_scale needs scale='tensor' or 'channel', got 'none'")
        if self.learned_scale and isinstance(self.spec.options, ProxQuant):
            raise InputError(
                "method 'proxquant' trains the latent weights themselves, which no scale multiplies: "
                "there is none to learn; leave learned_scale out"
            )
        if self.learned_range and (
            self.chosen_activation_bits is None or isinstance(self.spec.options, Coarse)
        ):
            raise InputError(
                "learned_range is of activations: set activation_bits from 1 to 8, with another method than "
                "'coarse' and 'bcgd', whose staircases have a fixed top"
            )
        for name in ("include", "exclude"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(isinstance(pattern, str) for pattern in names):
                raise InputError(f"{name} must be a tuple of types and name patterns, got {names!r}")
        if metric_to_data(self.metric) is not None and self.spec.metric is None:
            raise InputError(f"method {self.method!r} is Euclidean and takes no metric; use {_with_metric()}")
        self._check_options()

    def _check_bits(self) -> None:
        widths = (*self.spec.weight_bits, 32)
        layers = {f"layer_bits of {pattern!r}": bits for pattern, bits in self.bits_by_pattern}
        for name, bits in {"weight_bits": self.weight_bits, **layers}.items():
            if bits != "ternary" and bits != 32:
                check_bits(name, bits)  # type: ignore[arg-type]
            if self.spec.quantized and bits not in widths:
                known = ", ".join(map(str, widths))
                raise InputError(f"method {self.method!r} is for {name} {known}, got {bits!r}")
        for name in ("activation_bits", "first_last_bits"):
            if getattr(self, name) not in (None, 32):
                check_bits(name, getattr(self, name))

    def _check_options(self) -> None:
        if self.options is None:
            return
        kind = type(self.spec.options)
        if self.spec.options is None:
            raise InputError(
                f"method {self.method!r} has no constants of its own, got options {self.options!r}"
            )
        if type(self.options) is not kind:
            raise InputError(f"method {self.method!r} takes options {kind.__name__}, got {self.options!r}")
        if kind.__name__ == "RicciFlow" and not hasattr(self.chosen_metric, "factor"):
            raise InputError(
                f"method 'rf' needs a metric I − ρρᵀ, such as NormalizedLNE, got {self.metric!r}"
            )

    @property
    def bits_by_pattern(self) -> tuple[tuple[str, int | str], ...]:
        """`layer_bits` as it is kept."""
        return cast(tuple[tuple[str, int | str], ...], self.layer_bits)

    @property
    def spec(self) -> MethodSpec:
        """The method's entry in the registry, with its defaults."""
        return METHODS[self.method]

    @property
    def chosen_quantizer(self) -> str:
        """The k-bit quantizer's name, the method's own unless given."""
        return self.quantizer or self.spec.quantizer

    @property
    def chosen_activation_bits(self) -> int | None:
        """The activations' width, the method's own unless given; None leaves them alone."""
        bits = self.activation_bits or self.spec.activation_bits
        return None if bits == 32 else bits

    @property
    def chosen_scale(self) -> Literal["none", "tensor", "channel"]:
        """What multiplies the levels, the method's own unless given."""
        return self.scale or self.spec.scale

    @property
    def chosen_metric(self) -> Any:
        """The metric, the method's own unless given."""
        return self.metric or self.spec.metric

    @property
    def chosen_gate(self) -> str:
        """Where gradients are gated, the method's own unless given."""
        return self.gate or self.spec.gate

    @property
    def chosen_options(self) -> Any:
        """The method's own constants, its defaults unless given; None for most methods."""
        return self.options or self.spec.options


def _pairs(given: Any) -> tuple[tuple[str, Any], ...]:
    pairs = given.items() if isinstance(given, Mapping) else given
    try:
        found = tuple((pattern, bits) for pattern, bits in pairs)
    except (TypeError, ValueError):
        found = ((None, None),)
    if not all(isinstance(pattern, str) for pattern, _ in found):
        raise InputError(
            f"layer_bits must map types and name patterns to widths, as {{'head': 8}}, got {given!r}"
        )
    return found


def _with_metric() -> str:
    return ", ".join(repr(name) for name, spec in METHODS.items() if spec.metric is not None)
