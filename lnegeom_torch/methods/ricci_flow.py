"""RF-DNN Algorithm 2: training under the discrete Ricci flow."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lnegeom import InputError
from lnegeom_torch.methods.base import LossFunction, Method
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.metrics import NormalizedLNE
from lnegeom_torch.ricci import Factors, RicciFlow, residual, translate

__all__ = ["RicciFlowMethod"]


class RicciFlowMethod(Method):
    """RF-DNN Algorithm 2, whole: four translated passes, virtual updates, residual N, α-term and ε-gate.

    Each iteration costs five forward and backward passes. Its constants, and how what the paper leaves open
    was decided, are in `lnegeom_torch.RicciFlow`. A plain ``loss.backward(); optimizer.step()`` trains by
    Algorithm 1, the metric without the flow.

    Attributes
    ----------
    residuals : dict of str to Tensor
        N of the last iteration, by layer name, 0-d.
    """

    def __init__(self, model: nn.Module, config: QuantConfig, layers: tuple[str, ...]):
        super().__init__(model, config, layers)
        self.flow = config.flow or RicciFlow()
        # The registry gives `rf` a metric, and QuantConfig cannot take it away.
        self.metric = cast(NormalizedLNE, config.chosen_metric)
        self.residuals: dict[str, Tensor] = {}
        self._previous: dict[str, Factors] = {}
        self._seen, self._largest, self._open = 0, torch.zeros(()), torch.zeros(())

    def step(
        self, optimizer: torch.optim.Optimizer, loss_function: LossFunction, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One iteration of Algorithm 2; see `Method.step`. Inputs are images ``(N, …, H, W)``."""
        self._check_images(inputs)
        lr = self._virtual_lr(optimizer)
        steps = [
            self._virtual_steps(loss_function, translate(inputs, *shift), targets, lr)
            for shift in self.flow.translations
        ]
        loss, outputs = self._backward(optimizer, loss_function, inputs, targets)
        for name, weight in self._trained().items():
            if weight.grad is not None:
                self._follow_flow(name, weight, [virtual[name] for virtual in steps])
        if self.residuals:
            values = torch.stack(list(self.residuals.values()))
            self._largest = self._largest.to(values.device) + values.max()
            self._open = self._open.to(values.device) + (values <= self.flow.epsilon).float().mean()
            self._seen += 1
        self._update(optimizer)
        return loss, outputs

    def _trained(self) -> dict[str, nn.Parameter]:
        """The latent weights that are not frozen."""
        return {name: weight for name, weight in self.latents.items() if weight.requires_grad}

    def state_dict(self) -> dict[str, Tensor]:
        """The ρ of the last iteration's metrics, four for each layer."""
        return {
            f"{name}.{key}": rho
            for name, factors in self._previous.items()
            for key, rho in factors._asdict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._previous = {
            name: Factors(*(state[f"{name}.{key}"] for key in Factors._fields))
            for name in self.layers
            if f"{name}.k1" in state
        }

    def diagnostics(self) -> dict[str, float]:
        """Largest N over layers and the share of layers let through, each averaged since the last call."""
        if not self._seen:
            return {}
        found = {
            "largest_residual": self._largest.item() / self._seen,
            "gate_open": self._open.item() / self._seen,
        }
        self._seen, self._largest, self._open = 0, torch.zeros(()), torch.zeros(())
        return found

    def _virtual_steps(
        self, loss_function: LossFunction, inputs: Tensor, targets: Tensor, lr: float | Tensor
    ) -> dict[str, Tensor]:
        """``lr · g⁻¹ ∂L/∂Ŵ`` for each layer on translated inputs, leaving no trace in the model."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        devices = [inputs.device] if inputs.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            loss = loss_function(functional_call(self.model, buffers, (inputs,)), targets)
            trained = self._trained()
            found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        steps = {}
        with torch.no_grad():
            for (name, weight), gradient in zip(trained.items(), found, strict=True):
                gradient = torch.zeros_like(weight) if gradient is None else gradient
                steps[name] = lr * self.metric.natural_gradient(weight, gradient)
        return steps

    def _follow_flow(self, name: str, weight: nn.Parameter, steps: list[Tensor]) -> None:
        """Add ``α ∂N/∂W`` to a layer's gradient, gate it by N ≤ ε, and keep its metrics for the next time."""
        latent = weight.detach().requires_grad_()
        with torch.enable_grad():
            newest = self.metric.factor(latent - steps[0])
        previous = self._previous.get(name)
        if previous is not None:
            with torch.enable_grad():
                value = residual(self.flow, newest, previous)
            (slope,) = torch.autograd.grad(value, latent)
            gradient = cast(Tensor, weight.grad)
            gradient.add_(slope, alpha=self.flow.alpha)
            gradient.mul_((value <= self.flow.epsilon).to(weight.dtype))
            self.residuals[name] = value.detach()
        rest = (self.metric.factor(weight.detach() - step) for step in steps[1:])
        self._previous[name] = Factors(newest.detach(), *rest)

    def _virtual_lr(self, optimizer: torch.optim.Optimizer) -> float | Tensor:
        if self.flow.virtual_lr is not None:
            return self.flow.virtual_lr
        mine = {id(weight) for weight in self.latents.values()}
        for group in optimizer.param_groups:
            if any(id(p) in mine for p in group["params"]):
                lr: float | Tensor = group["lr"]
                return lr
        raise InputError(
            "the optimizer holds none of this model's latent weights; build it from param_groups()"
        )

    def _check_images(self, inputs: Tensor) -> None:
        reach = max(abs(k) for k in (*self.flow.rows, *self.flow.columns))
        if inputs.ndim < 3 or min(inputs.shape[-2:]) <= reach:
            raise InputError(
                "method 'rf' translates its input images: expected inputs (N, ..., H, W) with H and W above "
                f"{reach}, got shape {tuple(inputs.shape)}; let the model flatten them"
            )
