"""Random binary weights, trained by the natural gradient of their expected loss."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lnegeom import InputError
from lnegeom_torch._random import forked
from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.options import Spin
from lnegeom_torch.methods.selection import Target
from lnegeom_torch.methods.soft import SoftWeightQuantizer
from lnegeom_torch.quant.quantizers import binarize

__all__ = ["RandomSpins", "SpinMethod"]

_VARIANCE_FLOOR = 1e-6  # under the root, whose slope is infinite at 0


class RandomSpins(SoftWeightQuantizer):
    """Latent weight W to spins of mean ``tanh(τ W)``: their mean, samples of them, or the likelier signs.

    In training mode it gives the mean (for local reparametrization, which adds the noise to the layer's
    output) or samples (Gumbel), in evaluation mode the likelier sign, or samples while `sampling`. The
    gradient with respect to the mean is passed to W as it is, which makes the plain gradient the natural
    one: the mean is the dual coordinate of ``λ = τ W``.
    """

    options: Spin = Spin()
    sampling = False

    def forward(self, weight: Tensor) -> Tensor:
        """Means or samples in training mode; signs or samples in evaluation mode."""
        if self.training:
            if self.options.estimator == "local":
                return self.soften(torch.tanh(self.options.tau * weight), weight, weight)
            return self._gumbel(weight)
        if self.sampling:
            up: Tensor = torch.sigmoid(2 * self.options.tau * weight)
            return binarize(up - torch.rand_like(weight)) * self.scale_of(weight)
        return super().forward(weight)

    def _gumbel(self, weight: Tensor) -> Tensor:
        """The sign of ``λ + δ``, δ half a logistic variable, differentiated as ``r = tanh((λ + δ)/T)``.

        ``∂r/∂m = (1 − r²) / (T (1 − m²))``. Relaxed values instead of signs would leave batch norm with
        statistics that no binary network has.
        """
        logits, temperature = self.options.tau * weight.detach(), self.options.temperature
        limits = torch.finfo(weight.dtype)
        uniform = torch.rand_like(weight).clamp(limits.tiny, 1 - limits.eps)
        noisy = logits + 0.5 * (uniform.log() - torch.log1p(-uniform))
        relaxed, mean = torch.tanh(noisy / temperature), torch.tanh(logits)
        # Both vanish where a spin is certain, and so does, almost surely, their ratio.
        slope = (1 - relaxed * relaxed) / (temperature * (1 - mean * mean) + 1e-6)
        return self.soften(binarize(noisy), weight, weight * slope)


def _add_noise(
    layer: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor
) -> Tensor:
    """Add Gaussian noise of the variance of the sum over spins, ``Σ s² (1 − m²) x²``, to a layer's output."""
    if not layer.training:
        return output
    parts = cast(Any, layer.parametrizations).weight
    mean, scale = cast(Tensor, layer.weight), cast(RandomSpins, parts[0]).scale_of(parts.original)
    squared, uncertain = (inputs[0] if inputs else named["input"]).square(), scale**2 - mean.square()
    if isinstance(layer, _ConvNd):
        variance = cast(nn.Conv2d, layer)._conv_forward(squared, uncertain, None)
    else:
        variance = F.linear(squared, uncertain)
    noisy: Tensor = output + torch.randn_like(output) * (variance.clamp(min=0) + _VARIANCE_FLOOR).sqrt()
    return noisy


class SpinMethod(Method):
    """Independent spins ``P(w = ±1) ∝ exp(±λ)``, ``λ = τ W``; ``λ ← λ − ρ ∂_m E[L]``, ``m = tanh λ``.

    The loss expected over random binary weights is smooth in m, so there is no gradient mismatch; its natural
    gradient in λ is the plain gradient in m. An optimizer's weight decay is the entropy term that draws λ to
    0. The model in evaluation mode has the likelier sign of each weight, and `predict` averages over samples.

    References
    ----------
    O. Shayer, D. Levi, E. Fetaya, "Learning discrete weights using the local reparameterization trick",
    2018; X. Meng, R. Bachmann, M. E. Khan, "Training binary neural networks using the Bayesian learning
    rule", 2020.
    """

    quantizer_class = RandomSpins

    def __init__(self, model: nn.Module, config: QuantConfig, targets: dict[str, Target]):
        super().__init__(model, config, targets)
        options = cast(Spin, config.chosen_options)
        for quantizer in self.quantizers.values():
            cast(RandomSpins, quantizer).options = options
        if options.estimator == "local":
            for name, target in targets.items():
                if (
                    not isinstance(target.module, nn.Linear | nn.Conv1d | nn.Conv2d)
                    or target.tensor != "weight"
                ):
                    raise InputError(
                        f"local reparametrization needs linear and convolutional layers, got {name!r}; "
                        "exclude it, or use Spin(estimator='gumbel')"
                    )
                target.module.register_forward_hook(_add_noise, with_kwargs=True)

    def predict(self, inputs: Tensor, samples: int = 8, seed: int = 0) -> Tensor:
        """Class probabilities averaged over networks with sampled weights, in evaluation mode."""
        was_training = self.model.training
        self.model.eval()
        quantizers = [cast(RandomSpins, quantizer) for quantizer in self.quantizers.values()]
        with torch.no_grad(), forked(inputs.device):
            torch.manual_seed(seed)
            for quantizer in quantizers:
                quantizer.sampling = True
            try:
                total = sum(self.model(inputs).softmax(-1) for _ in range(samples))
            finally:
                for quantizer in quantizers:
                    quantizer.sampling = False
        self.model.train(was_training)
        return cast(Tensor, total) / samples
