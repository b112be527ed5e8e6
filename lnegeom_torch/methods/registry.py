"""The methods of the papers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lnegeom_torch.metrics import NormalizedLNE

__all__ = ["METHODS", "MethodSpec"]


@dataclass(frozen=True)
class MethodSpec:
    """What a training method is made of, apart from an algorithm of its own.

    Parameters
    ----------
    source : str
        Where it is published.
    transform : {"identity", "tanh"}
        What the latent weight goes through before it is quantized.
    quantizer : {"maniquant", "rf"}
        The k-bit quantizer, for k ≥ 2.
    metric : NormalizedLNE or None
        The metric on latent weights; None is Euclidean.
    gate : {"optimizer", "none"}
        Whether gradients of weights outside ``|W| ≤ 1`` are dropped.
    quantized : bool
        False for the full-precision reference.
    """

    source: str
    transform: Literal["identity", "tanh"] = "identity"
    quantizer: Literal["maniquant", "rf"] = "maniquant"
    metric: NormalizedLNE | None = None
    gate: Literal["optimizer", "none"] = "none"
    quantized: bool = True


_WEAK = NormalizedLNE(inverse="weak")  # the inverse that both papers' experiments use

METHODS = {
    "fp": MethodSpec("full precision, the reference", quantized=False),
    "ste": MethodSpec("straight-through estimator (BNN; ManiQuant §1)", quantizer="rf", gate="optimizer"),
    "dorefa": MethodSpec("DoReFa (ManiQuant §1)", transform="tanh"),
    "wcg": MethodSpec("weak curvature gradient (ManiQuant Algorithm 1)", metric=_WEAK, gate="optimizer"),
    "rf": MethodSpec(
        "discrete Ricci flow (RF-DNN Algorithm 2)",
        quantizer="rf",
        metric=NormalizedLNE(chi=0.5, inverse="weak"),
    ),
}
