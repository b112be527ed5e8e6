"""How far the gradient of a straight-through estimator is from that of the noise-smoothed loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import scipy.stats
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils import parametrize

from lnegeom import InputError
from lnegeom._array import positive, positive_integer
from lnegeom._progress import progress_bar
from lnegeom_torch._random import forked

__all__ = ["GradientMismatch", "gradient_mismatch"]

_LATENT = "parametrizations.weight.original"
_BLOCKS = 16  # of samples, left out one at a time


class GradientMismatch(NamedTuple):
    """The mismatch of one layer, with confidence intervals.

    Attributes
    ----------
    angle : float
        Between the estimator's gradient and the smoothed loss's, in degrees; 90 if undetermined.
    angle_interval : (float, float)
        Its confidence interval; 0 to 180 if the samples do not tell the true gradient from zero.
    relative_error : float
        ``|g − ∇| / |∇|``; infinite in that case.
    relative_error_interval : (float, float)
        Its confidence interval.
    """

    angle: float
    angle_interval: tuple[float, float]
    relative_error: float
    relative_error_interval: tuple[float, float]


def gradient_mismatch(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    loss_function: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    *,
    noise: float = 0.5,
    samples: int = 512,
    confidence: float = 0.95,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, GradientMismatch]:
    """Compare an estimator's gradient with the gradient of the loss that it stands for.

    A quantized network's loss is constant almost everywhere; smoothed by noise on its latent weights it has a
    gradient, ``∇ E L(Q(W + σε)) = E [L(Q(W + σε)) − L(Q(W − σε))] ε / (2σ)`` for normal ε. Its mean over
    samples is unbiased, and so are the estimates here of its dot product with the estimator's gradient g and
    of its squared length (from pairs of different samples). The intervals are jackknife ones over 16 blocks:
    on a layer of 4 weights, where the truth is known, those at 95 % held its angle in 93 % of 800 trials.

    Parameters
    ----------
    model : nn.Module
        A model with parametrized weights, as `lnegeom_torch.quantize_` makes them, in the mode to look at it
        in: in training mode batch norm sees the batch. Nothing of the model is changed.
    batch : (Tensor, Tensor)
        Inputs and targets.
    loss_function : callable
        Maps (outputs, targets) to a scalar.
    noise : float
        σ over the root mean square of each layer's latent weights.
    samples : int
        Number of ε, at least 16; each costs two forward passes. The variance grows with the number of
        weights, so that thousands are needed for a layer of thousands.
    confidence : float
        Of the intervals, in (0, 1).
    seed : int
        Of the noise.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    dict of str to GradientMismatch
        By the layer's name.

    Raises
    ------
    InputError
        If the model has no parametrized weight that requires a gradient, or a number is out of range.

    References
    ----------
    ManiQuant Appendix A derives the straight-through estimator from such a smoothing.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import QuantConfig, quantize_
    >>> from lnegeom_torch.diagnostics import gradient_mismatch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    >>> _ = quantize_(model, QuantConfig("ste"))
    >>> batch = torch.randn(32, 4), torch.randint(3, (32,))
    >>> found = gradient_mismatch(model, batch, samples=64)
    >>> sorted(found)
    ['0', '2']
    >>> low, high = found["0"].angle_interval
    >>> low < found["0"].angle < high
    True
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be in (0, 1), got {confidence}")
    if positive_integer("samples", samples) < _BLOCKS:
        raise InputError(f"samples must be at least {_BLOCKS}, got {samples}")
    positive("noise", noise)
    latents = _latents(model)
    generator = torch.Generator(next(iter(latents.values())).device).manual_seed(seed)

    def loss(weights: dict[str, Tensor]) -> Tensor:
        # Fresh copies of running statistics, and the same dropout for each pair.
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with forked(generator.device):
            torch.manual_seed(seed)
            return loss_function(functional_call(model, {**buffers, **weights}, (batch[0],)), batch[1])

    found = torch.autograd.grad(loss(latents), list(latents.values()), allow_unused=True)
    draws = progress_bar("smoothed gradient", range(samples), "sample", show=progress)
    sums, counts = _smoothed(loss, latents, noise, generator, draws)
    return {
        key.removesuffix(_LATENT).removesuffix("."): _compare(
            torch.zeros_like(w) if g is None else g, sums[key], counts, confidence
        )
        for (key, w), g in zip(latents.items(), found, strict=True)
    }


def _latents(model: nn.Module) -> dict[str, Tensor]:
    latents: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            key = f"{name}.{_LATENT}" if name else _LATENT
            weight = model.get_parameter(key)
            if weight.requires_grad:
                latents[key] = weight
    if not latents:
        raise InputError(
            "the model has no parametrized weight that requires a gradient; quantize it with quantize_ first"
        )
    return latents


@torch.no_grad()
def _smoothed(
    loss: Callable[[dict[str, Tensor]], Tensor],
    latents: dict[str, Tensor],
    noise: float,
    generator: torch.Generator,
    indices: Iterable[int],
) -> tuple[dict[str, Tensor], Tensor]:
    """Sums of the smoothed gradient's samples, a row for each block, and how many there are in each."""
    scales = {key: noise * w.square().mean().sqrt() for key, w in latents.items()}
    sums = {key: torch.zeros(_BLOCKS, *w.shape, dtype=w.dtype, device=w.device) for key, w in latents.items()}
    counts = torch.zeros(_BLOCKS, dtype=torch.float64)
    for index in indices:
        steps = {
            key: scales[key] * torch.empty_like(w).normal_(generator=generator) for key, w in latents.items()
        }
        up = loss({key: w + steps[key] for key, w in latents.items()})
        down = loss({key: w - steps[key] for key, w in latents.items()})
        counts[index % _BLOCKS] += 1
        for key, step in steps.items():
            sums[key][index % _BLOCKS] += (up - down) / (2 * scales[key] ** 2) * step
    return sums, counts


def _compare(gradient: Tensor, sums: Tensor, counts: Tensor, confidence: float) -> GradientMismatch:
    rows = sums.flatten(1).to(torch.float64)
    flat = gradient.detach().flatten().to(torch.float64)
    gram, along = (rows @ rows.T).cpu(), (rows @ flat).cpu()
    length = float(flat @ flat)
    whole = _cosine_and_error(gram, along, counts, length)
    kept = [torch.arange(_BLOCKS) != block for block in range(_BLOCKS)]
    others = [_cosine_and_error(gram[k][:, k], along[k], counts[k], length) for k in kept]
    if whole is None or None in others:
        return GradientMismatch(90.0, (0.0, 180.0), math.inf, (0.0, math.inf))
    values = torch.tensor([other for other in others if other is not None], dtype=torch.float64)
    spread = ((values - values.mean(dim=0)).square().sum(dim=0) * (_BLOCKS - 1) / _BLOCKS).sqrt()
    reach = (spread * scipy.stats.t.ppf((1 + confidence) / 2, _BLOCKS - 1)).tolist()
    cosine, error = whole
    return GradientMismatch(
        _degrees(cosine),
        (_degrees(cosine + reach[0]), _degrees(cosine - reach[0])),
        error,
        (max(error - reach[1], 0.0), error + reach[1]),
    )


def _cosine_and_error(
    gram: Tensor, along: Tensor, counts: Tensor, length: float
) -> tuple[float, float] | None:
    """Cosine and relative error, or None if the true gradient's estimated squared length is not positive."""
    pairs = counts.sum() ** 2 - counts.square().sum()
    squared = float((gram.sum() - gram.trace()) / pairs)  # pairs of different blocks: independent
    product = float(along.sum() / counts.sum())
    if squared <= 0 or length <= 0:
        return None
    cosine = product / math.sqrt(length * squared)
    return cosine, math.sqrt(max(length - 2 * product + squared, 0.0) / squared)


def _degrees(cosine: float) -> float:
    return math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
