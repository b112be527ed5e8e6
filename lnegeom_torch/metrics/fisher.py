"""The Fisher information of a network as a metric on the weights of its layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import positive
from lnegeom_torch.metrics._base import Metric, register_metric, wide, without_autocast
from lnegeom_torch.metrics._room import Room
from lnegeom_torch.metrics._workers import sharded_like, together, total, whole

__all__ = ["Fisher"]

_KINDS = ("diagonal", "kronecker", "block", "exact")
_LARGEST = 4096  # weights of a layer whose n × n block is kept: 64 MiB in float32


@register_metric
@dataclass(frozen=True)
class Fisher(Metric):
    """The Fisher information ``F = E[vec(∂ℓ/∂Ŵ) vec(∂ℓ/∂Ŵ)ᵀ]`` of a layer, ℓ the log-likelihood, damped.

    ``g = F + λI``. It is taken at the quantized weights Ŵ, as ManiQuant's Lemma 1 has it, and its
    statistics are the optimizer's state: `lnegeom_torch.optim.estimate_fisher` finds them on a batch, before
    the first step and then as often as one likes.

    Parameters
    ----------
    kind : {"diagonal", "kronecker", "block", "exact"}
        What is kept of a layer's block: its diagonal; factors ``A ⊗ G`` of inputs and output gradients
        (K-FAC), each with its share of the damping; the block itself as the rank-B matrix that the last
        batch of B samples makes of it; or the running mean of the n × n block, for layers of up to 4096
        weights. Each group of a grouped convolution has factors of its own.
    damping : float
        λ > 0.
    decay : float
        Weight in [0, 1) of what was known before, at each estimate; ``"block"`` keeps the last batch only.

    Raises
    ------
    InputError
        If an argument is unknown or out of range.

    References
    ----------
    ManiQuant Lemma 1, Eqs. 8–10; Martens & Grosse 2015, §§3 and 6.3; Grosse & Martens 2016 (convolutions).

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.metrics import Fisher
    >>> from lnegeom_torch.optim import ManifoldSGD, estimate_fisher
    >>> model = torch.nn.Linear(3, 2)
    >>> optimizer = ManifoldSGD([model.weight], lr=0.1, metric=Fisher("kronecker", damping=0.1))
    >>> inputs, targets = torch.randn(8, 3), torch.randint(2, (8,))
    >>> estimate_fisher(optimizer, model, inputs)
    >>> torch.nn.functional.cross_entropy(model(inputs), targets).backward()
    >>> optimizer.step()
    """

    kind: Literal["diagonal", "kronecker", "block", "exact"] = "kronecker"
    damping: float = 1e-3
    decay: float = 0.95

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise InputError(f"kind must be one of {', '.join(map(repr, _KINDS))}, got {self.kind!r}")
        object.__setattr__(self, "damping", positive("damping", self.damping))
        if not isinstance(self.decay, int | float) or not 0 <= self.decay < 1:
            raise InputError(f"decay must be a number in [0, 1), got {self.decay!r}")

    def check(self, weight: Tensor) -> None:
        """Raise an InputError unless this is the weight of a layer, and small if its block is to be kept."""
        if weight.ndim not in (2, 4) or weight.is_complex():
            raise InputError(
                "Fisher is the metric of weights of linear layers (out, in) and 2-d convolutions "
                "(out, in, height, width); put other parameters into a group without it, or "
                "exclude their layers from quantize_"
            )
        if self.kind == "exact" and weight.numel() > _LARGEST:
            raise InputError(
                f"kind='exact' keeps n × n numbers for n weights, here n = {weight.numel()}, of at most "
                f"{_LARGEST}; use 'block', 'kronecker' or 'diagonal'"
            )

    def natural_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Raises: a Fisher metric lives in the state of an optimizer; see `natural_gradients`."""
        raise InputError("a Fisher metric needs its statistics: use it in an optimizer, with estimate_fisher")

    def natural_gradients(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        room: Room | None = None,
        states: Sequence[Any] | None = None,
    ) -> list[Tensor]:
        """``(F + λI)⁻¹ ∂L/∂Ŵ`` of each weight of a list, by the statistics in its state."""
        known: Sequence[Any] = [{}] * len(weights) if states is None else states
        return [
            sharded_like(self._solve(whole(g), state), g) for g, state in zip(gradients, known, strict=True)
        ]

    def _solve(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        if not any(key.startswith("fisher_") for key in state):
            raise InputError(
                "a weight has no Fisher statistics yet; call estimate_fisher(optimizer, model, inputs) first"
            )
        with without_autocast(gradient):
            return self._solved(wide(gradient).flatten(1), state).view_as(gradient).to(gradient.dtype)

    def _solved(self, flat: Tensor, state: dict[str, Tensor]) -> Tensor:
        found: Tensor
        if self.kind == "diagonal":
            found = flat / (state["fisher_diagonal"] + self.damping)
        elif self.kind == "kronecker":
            left, right = state["fisher_output_inverse"], state["fisher_input_inverse"]
            found = left @ flat.reshape(*left.shape[:-2], -1, flat.shape[-1]) @ right
        elif self.kind == "exact":
            found = (state["fisher_inverse"] @ flat.flatten()).view_as(flat)
        else:  # Woodbury: (JᵀJ + λI)⁻¹ g = [g − Jᵀ (J Jᵀ + λI)⁻¹ J g] / λ
            samples, vector = state["fisher_samples"], flat.flatten()
            inner = state["fisher_gram_inverse"] @ (samples @ vector)
            found = ((vector - inner @ samples) / self.damping).view_as(flat)
        return found

    def update(
        self, state: dict[str, Any], inputs: Tensor, outputs: Tensor, workers: Sequence[Any] = ()
    ) -> None:
        """Put a batch's statistics into a weight's state.

        Parameters
        ----------
        state : dict
            Where to; what is there is the past.
        inputs : Tensor
            What the layer multiplies, ``(samples, positions, in)``; a linear layer has one position. Of a
            grouped convolution ``(samples, positions, groups, in)``, each group's own.
        outputs : Tensor
            Gradients of each sample's log-likelihood by the layer's outputs, ``(samples, positions, out)``,
            or ``(samples, positions, groups, out)``.
        workers : sequence of process groups
            Among which the batch is divided; the statistics are then those of all of it, on each.
        """
        # In half precision sums over a batch overflow, and a running mean stands still.
        with without_autocast(inputs):
            self._update(state, inputs, outputs, workers)

    def _update(self, state: dict[str, Any], inputs: Tensor, outputs: Tensor, workers: Sequence[Any]) -> None:
        positions = inputs.shape[1]
        count = total(inputs.new_tensor(float(len(inputs))), workers)
        if self.kind == "kronecker":
            a = total(torch.einsum("bt...i,bt...j->...ij", inputs, inputs), workers) / count
            g = total(torch.einsum("bt...i,bt...j->...ij", outputs, outputs), workers) / (count * positions)
            a, g = self._mean(state, "fisher_input", a), self._mean(state, "fisher_output", g)
            # Martens & Grosse §6.3: π shares the damping out by the factors' mean eigenvalues.
            share = torch.sqrt(_mean_eigenvalue(a).clamp(min=1e-12) / _mean_eigenvalue(g).clamp(min=1e-12))
            state["fisher_input_inverse"] = _inverse(a, share * math.sqrt(self.damping))
            state["fisher_output_inverse"] = _inverse(g, math.sqrt(self.damping) / share)
            return
        samples = torch.einsum("bt...o,bt...i->b...oi", outputs, inputs)  # Eq. 10, summed over positions
        samples = samples.flatten(1, -2)  # groups one after the other, as the weight has them
        if self.kind == "diagonal":
            self._mean(state, "fisher_diagonal", total(samples.square().sum(dim=0), workers) / count)
            return
        samples = samples.flatten(1)
        if self.kind == "exact":
            block = self._mean(state, "fisher_block", total(samples.T @ samples, workers) / count)
            state["fisher_inverse"] = _inverse(block, self.damping)
        else:
            samples = together(samples, workers)
            state["fisher_samples"] = samples / torch.sqrt(count)
            state["fisher_gram_inverse"] = _inverse(samples @ samples.T / count, self.damping)

    def _mean(self, state: dict[str, Any], key: str, value: Tensor) -> Tensor:
        state[key] = value if key not in state else torch.lerp(value, state[key], self.decay)
        mean: Tensor = state[key]
        return mean


def _mean_eigenvalue(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).mean(-1)


def _inverse(matrix: Tensor, damping: Tensor | float) -> Tensor:
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    if isinstance(damping, Tensor):  # one for each group
        damping = damping[..., None, None]
    damped = matrix + damping * identity
    factor, _ = torch.linalg.cholesky_ex(damped)  # damped: positive definite; no look at the device's flag
    return torch.cholesky_inverse(factor)
