"""The Fisher information embedded in the straight-through estimator."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lnegeom_torch.methods.base import LossFunction, Method
from lnegeom_torch.methods.batches import split
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.options import FisherEmbedding
from lnegeom_torch.methods.selection import Target
from lnegeom_torch.metrics import Fisher, metric_from_data
from lnegeom_torch.optim import estimate_fisher

__all__ = ["FisherMethod"]


class FisherMethod(Method):
    """``W ← W − lr · F(Ŵ)⁻¹ ∂L/∂Ŵ · 1[|W| ≤ 1]``, F the damped Fisher information of each layer.

    F is estimated on the batch at hand, with labels drawn from the model, once in a few iterations. The
    metric (`lnegeom_torch.Fisher`: Kronecker-factored, diagonal, or exact) keeps it in the optimizer's state.
    A loop of one's own, without `step`, has to call `lnegeom_torch.optim.estimate_fisher`.

    References
    ----------
    ManiQuant Lemma 1, Eqs. 8–10.
    """

    undistributable = "the Fisher information is that of a whole batch"

    def __init__(self, model: nn.Module, config: QuantConfig, targets: dict[str, Target]):
        super().__init__(model, config, targets)
        self._iteration = 0

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        loss_function: LossFunction,
        inputs: Tensor,
        targets: Tensor,
        *,
        parts: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """One iteration, before which F may be estimated anew; see `Method.step`.

        Each of several parts is a batch of F's running mean.
        """
        loss, outputs = self._backward(optimizer, loss_function, inputs, targets, parts)
        every = cast(FisherEmbedding, self.config.chosen_options).every
        if self._iteration % every == 0 or self._has_new_weights(optimizer):
            for _, part, _ in split(inputs, targets, parts):
                estimate_fisher(optimizer, self.model, part)
        self._iteration += 1
        self._optimize(optimizer)
        return loss, outputs

    def _has_new_weights(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether a weight has a gradient for the first time, as when a layer is unfrozen."""
        groups = [g for g in optimizer.param_groups if isinstance(metric_from_data(g.get("metric")), Fisher)]
        states = [optimizer.state.get(w, {}) for g in groups for w in g["params"] if w.grad is not None]
        return not all(any(key.startswith("fisher_") for key in state) for state in states)

    def state_dict(self) -> dict[str, Tensor]:
        """The number of iterations; F itself is the optimizer's state."""
        return {"iteration": torch.tensor(self._iteration)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._iteration = int(state["iteration"])
