"""RF-DNN Algorithm 2: training under the discrete Ricci flow."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lnegeom import InputError
from lnegeom_torch.methods.base import LossFunction, Method, check_gradients
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.selection import Target
from lnegeom_torch.metrics import NormalizedLNE
from lnegeom_torch.ricci import Factors, RicciFlow, residual, translate

__all__ = ["RicciFlowMethod"]


class RicciFlowMethod(Method):
    """RF-DNN Algorithm 2, whole: four translated passes, virtual updates, residual N, α-term and ε-gate.

    Each iteration costs five forward and backward passes, fewer with ``RicciFlow(every=…)``. Its
    constants, and how what the paper leaves open was decided, are in `lnegeom_torch.RicciFlow`. A plain
    ``loss.backward(); optimizer.step()`` trains by Algorithm 1, the metric without the flow.

    Attributes
    ----------
    residuals : dict of str to Tensor
        N of the last iteration that had one, by layer name, 0-d.
    """

    def __init__(self, model: nn.Module, config: QuantConfig, targets: dict[str, Target]):
        super().__init__(model, config, targets)
        self.flow = cast(RicciFlow, config.chosen_options)
        # The registry gives `rf` a metric, and QuantConfig cannot take it away.
        self.metric = cast(NormalizedLNE, config.chosen_metric)
        self.residuals: dict[str, Tensor] = {}
        self._previous: dict[str, Factors] = {}
        self._iteration = 0
        self._seen, self._largest, self._open = 0, torch.zeros(()), torch.zeros(())

    def step(
        self, optimizer: torch.optim.Optimizer, loss_function: LossFunction, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One iteration of Algorithm 2; see `Method.step`. Inputs are images ``(N, …, H, W)``."""
        self._check_images(inputs)
        lr = self._virtual_lr(optimizer)
        anchors = self._iteration % self.flow.every == 0
        count = 4 if anchors else 1 if self._previous else 0
        translated = [
            self._gradients(loss_function, translate(inputs, *shift), targets)
            for shift in self.flow.translations[:count]
        ]
        loss, outputs = self._backward(optimizer, loss_function, inputs, targets)
        check_gradients(optimizer)  # before they reach the factors that the next iteration is measured from
        follows = bool(self._previous)
        for name, weight in self._trained().items() if count else ():
            if weight.grad is not None:
                with torch.no_grad():
                    steps = [lr * self.metric.natural_gradient(weight, found[name]) for found in translated]
                self._follow_flow(name, weight, steps)
        if not anchors:
            self._previous = {}
        self._iteration += 1
        if follows and self.residuals:
            self._record()
        self._optimize(optimizer)
        return loss, outputs

    def _record(self) -> None:
        values = torch.stack(list(self.residuals.values()))
        self._largest = self._largest.to(values.device) + values.max()
        self._open = self._open.to(values.device) + (values <= self.flow.epsilon).float().mean()
        self._seen += 1

    def _trained(self) -> dict[str, nn.Parameter]:
        """The latent weights that are not frozen."""
        return {name: weight for name, weight in self.latents.items() if weight.requires_grad}

    def state_dict(self) -> dict[str, Tensor]:
        """The number of iterations, and the ρ of the last one's metrics, four for each layer."""
        return {"iteration": torch.tensor(self._iteration)} | {
            f"{name}.{key}": rho
            for name, factors in self._previous.items()
            for key, rho in factors._asdict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._iteration = int(state["iteration"])
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

    def _gradients(self, loss_function: LossFunction, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """``∂L/∂Ŵ`` for each layer, leaving no trace in the model."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        devices = [inputs.device] if inputs.device.type == "cuda" else []
        trained = self._trained()
        with torch.random.fork_rng(devices=devices):
            loss = loss_function(functional_call(self.model, buffers, (inputs,)), targets)
            found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        gradients = {
            name: torch.zeros_like(weight) if gradient is None else gradient
            for (name, weight), gradient in zip(trained.items(), found, strict=True)
        }
        self._average_(list(gradients.values()))
        return gradients

    def _follow_flow(self, name: str, weight: nn.Parameter, steps: list[Tensor]) -> None:
        """Add ``α ∂N/∂W`` to a layer's gradient, gate it by N ≤ ε, and keep its metrics for the next time.

        `steps` are the virtual updates: all four, or k₁ alone where nothing is to be kept.
        """
        latent = weight.detach().requires_grad_()
        with torch.enable_grad():
            newest = self.metric.factor(latent - steps[0])
        previous = self._previous.get(name)
        if previous is not None:
            with torch.enable_grad():
                value = residual(self.flow, newest, previous)
            (slope,) = torch.autograd.grad(value, latent)
            gradient = cast(Tensor, weight.grad)
            gradient.add_(slope, alpha=self.flow.alpha * self.flow.every)
            gradient.mul_((value <= self.flow.epsilon).to(weight.dtype))
            self.residuals[name] = value.detach()
        if len(steps) == 4:
            rest = (self.metric.factor(weight.detach() - step) for step in steps[1:])
            self._previous[name] = Factors(newest.detach(), *rest)

    def _virtual_lr(self, optimizer: torch.optim.Optimizer) -> float | Tensor:
        if self.flow.virtual_lr is not None:
            return self.flow.virtual_lr
        return self._learning_rate(optimizer)

    def _check_images(self, inputs: Tensor) -> None:
        reach = max(abs(k) for k in (*self.flow.rows, *self.flow.columns))
        if inputs.ndim < 3 or min(inputs.shape[-2:]) <= reach:
            raise InputError(
                "method 'rf' translates its input images: expected inputs (N, ..., H, W) with H and W above "
                f"{reach}, got shape {tuple(inputs.shape)}; let the model flatten them"
            )
