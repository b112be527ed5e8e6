"""The configuration of a quantized model: plain data, checked where it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lnegeom import InputError
from lnegeom_torch.methods.registry import METHODS, MethodSpec
from lnegeom_torch.metrics import NormalizedLNE
from lnegeom_torch.quant.quantizers import QUANTIZERS, check_bits
from lnegeom_torch.ricci import RicciFlow

__all__ = ["QuantConfig"]


@dataclass(frozen=True)
class QuantConfig:
    """How to quantize a model and how to train it.

    Parameters
    ----------
    method : str
        ``"ste"`` (BNN), ``"dorefa"``, ``"wcg"`` (ManiQuant Algorithm 1), ``"rf"`` (RF-DNN Algorithm 2), or
        ``"fp"``, full precision, the reference.
    weight_bits : int
        1 to 8.
    activation_bits : int, optional
        1 to 8; None leaves activations alone. The first quantized layer always sees its raw input.
    quantizer : {"maniquant", "rf"}, optional
        Which k-bit quantizer, for k ≥ 2: ManiQuant Eq. 31 or RF-DNN Eq. 38. By default the method's paper's,
        and ``"rf"`` for ``"ste"``, whose paper has one bit only.
    metric : NormalizedLNE, optional
        The metric on the latent weights; by default the method's own.
    gate : {"optimizer", "quantizer", "none"}, optional
        Where gradients of weights outside ``|W| ≤ 1`` are dropped: by `ManifoldSGD` after the metric
        (ManiQuant Eq. 16), by the quantizer before it (for other optimizers), or nowhere. By default the
        method's own.
    flow : RicciFlow, optional
        The constants of RF-DNN's discrete Ricci flow; for ``"rf"`` only.

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
    weight_bits: int = 1
    activation_bits: int | None = None
    quantizer: Literal["maniquant", "rf"] | None = None
    metric: NormalizedLNE | None = None
    gate: Literal["optimizer", "quantizer", "none"] | None = None
    flow: RicciFlow | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        check_bits("weight_bits", self.weight_bits)
        if self.activation_bits is not None:
            check_bits("activation_bits", self.activation_bits)
        if self.quantizer is not None and self.quantizer not in QUANTIZERS:
            raise InputError(f"quantizer must be one of {', '.join(QUANTIZERS)}, got {self.quantizer!r}")
        if self.gate not in (None, "optimizer", "quantizer", "none"):
            raise InputError(f"gate must be 'optimizer', 'quantizer' or 'none', got {self.gate!r}")
        if not isinstance(self.metric, NormalizedLNE | None):
            raise InputError(f"metric must be a NormalizedLNE or None, got {self.metric!r}")
        if not isinstance(self.flow, RicciFlow | None):
            raise InputError(f"flow must be a RicciFlow or None, got {self.flow!r}")
        if self.flow is not None and self.method != "rf":
            raise InputError(f"flow belongs to method 'rf', got method {self.method!r}; leave flow out")
        if self.metric is not None and self.spec.metric is None:
            raise InputError(f"method {self.method!r} is Euclidean and takes no metric; use 'wcg' or 'rf'")

    @property
    def spec(self) -> MethodSpec:
        """The method's entry in the registry, with its defaults."""
        return METHODS[self.method]

    @property
    def chosen_quantizer(self) -> str:
        """The k-bit quantizer's name, the method's own unless given."""
        return self.quantizer or self.spec.quantizer

    @property
    def chosen_metric(self) -> NormalizedLNE | None:
        """The metric, the method's own unless given."""
        return self.metric or self.spec.metric

    @property
    def chosen_gate(self) -> str:
        """Where gradients are gated, the method's own unless given."""
        return self.gate or self.spec.gate
