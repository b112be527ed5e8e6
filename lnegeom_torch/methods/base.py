"""A method at work on a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from lnegeom import InputError
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.metrics import metric_to_data

__all__ = ["DivergedError", "LossFunction", "Method"]

LossFunction = Callable[[Tensor, Tensor], Tensor]

_LATENT = "parametrizations.weight.original"


class DivergedError(RuntimeError):
    """The loss or its gradient is infinite or NaN. No step was taken: the weights are the last good ones."""


class Method:
    """A quantized model together with how it is trained; made by `quantize_`.

    Attributes
    ----------
    model : nn.Module
        The model, quantized in place.
    config : QuantConfig
        What was asked for.
    layers : tuple of str
        Names of the quantized layers, in the model's order.
    """

    def __init__(self, model: nn.Module, config: QuantConfig, layers: tuple[str, ...]):
        self.model = model
        self.config = config
        self.layers = layers

    @property
    def latents(self) -> dict[str, nn.Parameter]:
        """The latent weights by layer name, as the model has them now.

        They are the Parameters that the model had before it was quantized, until FSDP2's `fully_shard` or
        ``load_state_dict(assign=True)`` puts others in their place: build the optimizer after those.
        """
        return {
            name: self.model.get_parameter(f"{name}.{_LATENT}" if name else _LATENT) for name in self.layers
        }

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer: latent weights with the metric and gate, then all the others.

        `ManifoldSGD` and `ManifoldAdamW` understand the metric and the gate. torch's own optimizers ignore
        both: for the gate alone, let the quantizer have it, ``QuantConfig(gate="quantizer")``.
        """
        latents = self.latents
        latent = {id(p) for p in latents.values()}
        others = [p for p in self.model.parameters() if id(p) not in latent]
        gate = self.config.chosen_gate
        groups: list[dict[str, Any]] = [
            {
                "params": list(latents.values()),
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

        Raises
        ------
        InputError
            If the batch is empty.
        DivergedError
            If the loss, or the norm of its gradient, is not finite; no step is taken.
        """
        loss, outputs = self._backward(optimizer, loss_function, inputs, targets)
        self._update(optimizer)
        return loss, outputs

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        """Take the optimizer's step, or raise if the gradients in the parameters cannot bear one.

        A norm that overflows counts as infinite: a metric's products of such gradients would overflow too.
        """
        gradients = [
            p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        norm = get_total_norm([g.coalesce().values() if g.is_sparse else g for g in gradients])
        if not torch.isfinite(norm):
            raise DivergedError(
                f"the norm of the gradient is {norm.item()} while the loss is finite: no step was taken; "
                "lower the learning rate, or begin from other weights"
            )
        optimizer.step()

    def _backward(
        self, optimizer: torch.optim.Optimizer, loss_function: LossFunction, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Leave the gradients of a batch in the parameters, or raise if there is nothing good to leave."""
        if inputs.numel() == 0:
            raise InputError(
                f"inputs have shape {tuple(inputs.shape)}, an empty batch: expected a sample at least"
            )
        optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = loss_function(outputs, targets)
        if not torch.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss.item()}: expected a finite one, so no step was taken; look for bad "
                "values in the batch, or lower the learning rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), outputs.detach()

    def state_dict(self) -> dict[str, Tensor]:
        """What the method itself carries from one iteration to the next; nothing for most."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""

    def diagnostics(self) -> dict[str, float]:
        """Numbers to report about the last epoch; reading them starts the next one."""
        return {}
