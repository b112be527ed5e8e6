"""The constants of the methods that have any, as plain data. RF-DNN's are in `lnegeom_torch.RicciFlow`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from lnegeom import InputError
from lnegeom._array import positive_integer, real
from lnegeom_torch.quant.quantizers import PROXIES

__all__ = ["Blended", "Coarse", "FisherEmbedding", "MetaQuant", "MirrorDescent", "ProxQuant", "Spin"]


def _number(owner: object, name: str, least: float, strict: bool = True) -> None:
    value = real(name, getattr(owner, name))
    if not (least < value if strict else least <= value) or value == math.inf:
        raise InputError(f"{name} must be a finite number {'>' if strict else '>='} {least:g}, got {value!r}")


def _one_of(owner: object, name: str, known: Any) -> None:
    if getattr(owner, name) not in known:
        raise InputError(f"{name} must be one of {', '.join(known)}, got {getattr(owner, name)!r}")


@dataclass(frozen=True)
class Coarse:
    """The coarse gradient: every ReLU becomes a staircase with a proxy derivative.

    Parameters
    ----------
    proxy : {"identity", "relu", "clipped_relu"}
        What the staircase is differentiated as (`lnegeom_torch.quant.QuantizedReLU`).
    top : float
        The staircase's highest level.
    """

    proxy: Literal["identity", "relu", "clipped_relu"] = "clipped_relu"
    top: float = 2.0

    def __post_init__(self) -> None:
        _one_of(self, "proxy", PROXIES)
        _number(self, "top", 0)


@dataclass(frozen=True)
class Blended(Coarse):
    """Blended coarse gradient descent: ``W ← (1 − ρ) W + ρ Q(W) − step`` (Yin et al. 2019, Algorithm 1).

    Parameters
    ----------
    proxy, top
        As of `Coarse`.
    rho : float
        The blending ρ in [0, 1); the paper's is 1e-5.
    """

    rho: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        _number(self, "rho", 0, strict=False)
        if self.rho >= 1:
            raise InputError(
                f"rho must be below 1, got {self.rho!r}: at 1 nothing is left of the latent weight"
            )


@dataclass(frozen=True)
class FisherEmbedding:
    """The Fisher information in the straight-through estimator (ManiQuant Lemma 1); its kind is the metric's.

    `Method.step` takes the model's outputs for logits (N, classes), whatever the loss. Where they are means,
    use `Method.attach`, and call ``estimate_fisher(…, likelihood="normal")`` in a loop of your own.

    Parameters
    ----------
    every : int
        It is estimated once in so many iterations.
    """

    every: int = 10

    def __post_init__(self) -> None:
        positive_integer("every", self.every)


@dataclass(frozen=True)
class MetaQuant:
    """The meta quantizer ``M_φ``: a small network, shared by the layers, that learns the gradient through Q.

    Parameters
    ----------
    form : {"multifcg", "fcgrad"}
        ``M = g · FC(Q(W̃))`` or ``M = FC(g)``, g the gradient at the quantized weight.
    activation : {"linear", "relu", "tanh"}
        Between the two layers of FC. Linear, as published, `fcgrad` is one learned scalar.
    hidden : int
        Width of FC.
    lr : float
        Learning rate of Adam on φ.
    """

    form: Literal["multifcg", "fcgrad"] = "multifcg"
    activation: Literal["linear", "relu", "tanh"] = "linear"
    hidden: int = 100
    lr: float = 1e-3

    def __post_init__(self) -> None:
        _one_of(self, "form", ("multifcg", "fcgrad"))
        _one_of(self, "activation", ("linear", "relu", "tanh"))
        positive_integer("hidden", self.hidden)
        _number(self, "lr", 0, strict=False)


@dataclass(frozen=True)
class MirrorDescent:
    """Mirror descent under the map ``w = tanh(β W)``, β growing from `start` to `end` with the progress.

    Parameters
    ----------
    form : {"dual", "primal"}
        Which of the two is stored and stepped: W, which is stable, or w itself, multiplicatively. In exact
        arithmetic they are the same.
    start, end : float
        β at the beginning and at the end of the training, geometric in between.
    """

    form: Literal["dual", "primal"] = "dual"
    start: float = 1.0
    end: float = 1000.0

    def __post_init__(self) -> None:
        _one_of(self, "form", ("dual", "primal"))
        _number(self, "start", 0)
        _number(self, "end", 0)


@dataclass(frozen=True)
class ProxQuant:
    """The proximal method: after each step W moves towards Q(W) by at most ``strength · progress``.

    Parameters
    ----------
    strength : float
        λ, the weight of the distance ``|W − Q(W)|₁`` times the learning rate, at the end of the training; it
        grows linearly from 0.
    """

    strength: float = 0.001

    def __post_init__(self) -> None:
        _number(self, "strength", 0, strict=False)


@dataclass(frozen=True)
class Spin:
    """Random binary weights ``P(w = ±1) ∝ exp(±τW)``, trained by the natural gradient of the expected loss.

    Parameters
    ----------
    estimator : {"local", "gumbel"}
        Local reparametrization (LR-Net): pre-activations are Gaussian with the exact mean and variance of
        the sum. Or straight-through Gumbel-softmax: weights are samples, differentiated as relaxed ones.
    tau : float
        τ: the latent weight is ``λ/τ``. A large one makes fresh weights nearly certain.
    temperature : float
        Of the relaxed samples (Gumbel-softmax).
    """

    estimator: Literal["local", "gumbel"] = "local"
    tau: float = 30.0
    temperature: float = 0.3

    def __post_init__(self) -> None:
        _one_of(self, "estimator", ("local", "gumbel"))
        _number(self, "tau", 0)
        _number(self, "temperature", 0)
