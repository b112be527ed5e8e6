"""A method at work on a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.metrics import metric_to_data

__all__ = ["LossFunction", "Method"]

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Method:
    """A quantized model together with how it is trained; made by `quantize_`.

    Attributes
    ----------
    model : nn.Module
        The model, quantized in place.
    config : QuantConfig
        What was asked for.
    latents : dict of str to Parameter
        The latent weights by layer name: the same objects that the model had before it was quantized.
    """

    def __init__(self, model: nn.Module, config: QuantConfig, latents: dict[str, nn.Parameter]):
        self.model = model
        self.config = config
        self.latents = latents

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer: latent weights with the metric and gate, then all the others.

        `ManifoldSGD` understands the metric and the gate; torch's own optimizers ignore them.
        """
        latent = {id(p) for p in self.latents.values()}
        others = [p for p in self.model.parameters() if id(p) not in latent]
        gate = self.config.chosen_gate
        groups: list[dict[str, Any]] = [
            {
                "params": list(self.latents.values()),
                "metric": metric_to_data(self.config.chosen_metric),
                **({"quantizer_gate": True} if gate == "quantizer" else {"gate": gate == "optimizer"}),
            },
            {"params": others, "metric": None, "gate": False},
        ]
        return [group for group in groups if group["params"]]

    def step(
        self, optimizer: torch.optim.Optimizer, loss_function: LossFunction, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One training iteration: gradients, then the optimizer's step.

        Parameters
        ----------
        optimizer : Optimizer
            Over the parameters of the model, as a rule ``ManifoldSGD(method.param_groups(), …)``.
        loss_function : callable
            Maps (outputs, targets) to a scalar loss, as `torch.nn.functional.cross_entropy` does.
        inputs, targets : Tensor
            A mini-batch.

        Returns
        -------
        loss, outputs : Tensor
            Detached, from before the step.
        """
        optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = loss_function(outputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach(), outputs.detach()

    def state_dict(self) -> dict[str, Tensor]:
        """What the method itself carries from one iteration to the next; nothing for most."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""

    def diagnostics(self) -> dict[str, float]:
        """Numbers to report about the last epoch; reading them starts the next one."""
        return {}
