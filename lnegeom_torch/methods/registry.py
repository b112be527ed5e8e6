"""The methods of the papers, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lnegeom_torch.methods.options import (
    Blended,
    Coarse,
    FisherEmbedding,
    MetaQuant,
    MirrorDescent,
    ProxQuant,
    Spin,
)
from lnegeom_torch.metrics import Fisher, LogCoshHessian, NormalizedLNE
from lnegeom_torch.ricci import RicciFlow
from lnegeom_torch.ricci_step import RicciStep

__all__ = ["BITS", "METHODS", "MethodSpec"]

BITS: tuple[int | str, ...] = (1, "ternary", 2, 3, 4, 5, 6, 7, 8)


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
    metric : metric of `lnegeom_torch.metrics`, or None
        The metric on latent weights; None is Euclidean.
    gate : {"optimizer", "none"}
        Whether gradients of weights outside ``|W| ≤ 1`` are dropped.
    quantized : bool
        False for the full-precision reference.
    scale : {"none", "tensor", "channel"}
        What the levels of a weight are multiplied by (`WeightQuantizer`).
    options : dataclass of `lnegeom_torch.methods.options`, or None
        The method's own constants. Their type also names the algorithm, where there is one.
    activation_bits : int or None
        The activations' default width.
    weight_bits : tuple
        The widths that the method is defined for.
    soft : bool
        True if the weights are discrete in evaluation mode only.
    """

    source: str
    transform: Literal["identity", "tanh"] = "identity"
    quantizer: Literal["maniquant", "rf"] = "maniquant"
    metric: Any = None
    gate: Literal["optimizer", "none"] = "none"
    quantized: bool = True
    scale: Literal["none", "tensor", "channel"] = "none"
    options: Any = None
    activation_bits: int | None = None
    weight_bits: tuple[int | str, ...] = BITS
    soft: bool = False


METHODS = {
    "fp": MethodSpec("full precision, the reference", quantized=False),
    "ste": MethodSpec("straight-through estimator (BNN; ManiQuant §1)", quantizer="rf", gate="optimizer"),
    "dorefa": MethodSpec("DoReFa (ManiQuant §1)", transform="tanh"),
    "wcg": MethodSpec(
        "weak curvature gradient (ManiQuant Algorithm 1)",
        metric=NormalizedLNE(inverse="weak"),  # the inverse that both papers' experiments use
        gate="optimizer",
    ),
    "lne": MethodSpec(
        "LNE manifold (RF-DNN Algorithm 1)", quantizer="rf", metric=NormalizedLNE(chi=0.5, inverse="weak")
    ),
    "rf": MethodSpec(
        "discrete Ricci flow (RF-DNN Algorithm 2)",
        quantizer="rf",
        metric=NormalizedLNE(chi=0.5, inverse="weak"),
        options=RicciFlow(),
    ),
    "ricci": MethodSpec(
        "a step of the LNE metric's own Ricci flow (this project)", quantizer="rf", metric=RicciStep()
    ),
    "fim": MethodSpec(
        "Fisher information embedding (ManiQuant Lemma 1)",
        quantizer="rf",
        metric=Fisher("kronecker", damping=1e-2),
        gate="optimizer",
        options=FisherEmbedding(),
    ),
    "logcosh": MethodSpec(
        "natural gradient of the Hyperbolic divergence's Hessian (Amari 2016, §6)",
        quantizer="rf",
        metric=LogCoshHessian(1.0),
    ),
    "coarse": MethodSpec(
        "coarse gradient (Yin et al. 2019; Long et al. 2021)",
        quantizer="rf",
        scale="tensor",
        options=Coarse(),
        activation_bits=4,
    ),
    "bcgd": MethodSpec(
        "blended coarse gradient descent (Yin et al. 2019, Algorithm 1)",
        quantizer="rf",
        scale="tensor",
        options=Blended(),
        activation_bits=4,
    ),
    "metaquant": MethodSpec("MetaQuant (Chen et al. 2019)", transform="tanh", options=MetaQuant()),
    "md": MethodSpec(
        "mirror descent, tanh (Ajanthan et al. 2021)", options=MirrorDescent(), weight_bits=(1,), soft=True
    ),
    "proxquant": MethodSpec(
        "ProxQuant (Bai et al. 2018)", quantizer="rf", scale="tensor", options=ProxQuant(), soft=True
    ),
    "spin": MethodSpec(
        "natural gradient on random spins (LR-Net; Meng et al. 2020)",
        options=Spin(),
        weight_bits=(1,),
        soft=True,
    ),
}
