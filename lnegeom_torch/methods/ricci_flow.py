"""RF-DNN Algorithm 2: training under the discrete Ricci flow."""

from __future__ import annotations

import math
from typing import NoReturn, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from lnegeom import InputError
from lnegeom_torch._random import forked
from lnegeom_torch.methods.base import LossFunction, Method
from lnegeom_torch.methods.batches import split
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.gradients import check_gradients
from lnegeom_torch.methods.selection import Target
from lnegeom_torch.metrics import NormalizedLNE
from lnegeom_torch.ricci import (
    Factors,
    RicciFlow,
    relative_residual,
    residual,
    translate,
    whole_batch_residual,
)

__all__ = ["RicciFlowMethod"]


class RicciFlowMethod(Method):
    """RF-DNN Algorithm 2, whole: four translated passes, virtual updates, residual N, α-term and ε-gate.

    Each iteration costs five forward and backward passes; `lnegeom_torch.RicciFlow` has the constants that
    make it cheaper, and how what the paper leaves open was decided. A plain ``loss.backward();
    optimizer.step()`` trains by Algorithm 1, the metric without the flow, which is ``"lne"``.

    Attributes
    ----------
    residuals : dict of str to Tensor
        N of the last iteration that had one, by layer name, 0-d.
    relative_residuals : dict of str to Tensor
        It over the squared norms of the flow's two sides: 0 where the flow is met, 1 where they are unrelated
        (`lnegeom.flow.relative_flow_residual`). Of a part of the batch, that part's own.
    """

    def __init__(self, model: nn.Module, config: QuantConfig, targets: dict[str, Target]):
        super().__init__(model, config, targets)
        self.flow = cast(RicciFlow, config.chosen_options)
        # The registry gives `rf` a metric, and QuantConfig cannot take it away.
        self.metric = cast(NormalizedLNE, config.chosen_metric)
        self.residuals: dict[str, Tensor] = {}
        self.relative_residuals: dict[str, Tensor] = {}
        self._previous: dict[str, list[Factors]] = {}
        self._iteration = 0
        self._seen, self._totals = 0, torch.zeros(3)

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        loss_function: LossFunction,
        inputs: Tensor,
        targets: Tensor,
        *,
        parts: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """One iteration of Algorithm 2; see `Method.step`. Inputs are images ``(N, …, H, W)``."""
        self._check_images(inputs)
        split(inputs, targets, parts)  # raises before anything is done
        lr = self._virtual_lr(optimizer)
        anchors = self._iteration % self.flow.every == 0
        count = 4 if anchors else 1 if self._previous else 0
        shifts = self.flow.translations[:count]
        share, samples = self._samples(inputs, targets)
        pieces = math.ceil(parts * len(samples[0][0]) / len(inputs))  # none larger than a part of the batch
        virtual = self._virtual(loss_function, samples, shifts, pieces)
        loss, outputs = self._backward(optimizer, loss_function, inputs, targets, parts)
        check_gradients(optimizer)  # before they reach the factors that the next iteration is measured from
        follows = bool(self._previous)
        for name, weight in self._trained().items() if count else ():
            if weight.grad is not None:
                gradients = [[of[s][name] if s in of else weight.grad for s in shifts] for of in virtual]
                self._follow_flow(name, weight, self._steps(weight, gradients, lr), share)
        if not anchors:
            self._previous = {}
        self._iteration += 1
        if follows and self.residuals:
            self._record()
        self._optimize(optimizer)
        return loss, outputs

    def attach(self, optimizer: torch.optim.Optimizer) -> NoReturn:
        """Raises: without the batch there is no flow."""
        raise InputError(
            "method 'rf' translates the batch, which the optimizer does not see: train with "
            "method.step(optimizer, loss_function, inputs, targets), or take 'lne', the same metric without "
            "the flow"
        )

    def _record(self) -> None:
        values = torch.stack(list(self.residuals.values()))
        relative = torch.stack(list(self.relative_residuals.values())).mean()
        passed = (values <= self.flow.epsilon).float().mean()
        self._totals = self._totals.to(values.device) + torch.stack([values.max(), relative, passed])
        self._seen += 1

    def _trained(self) -> dict[str, nn.Parameter]:
        """The latent weights that are not frozen."""
        return {name: weight for name, weight in self.latents.items() if weight.requires_grad}

    def state_dict(self) -> dict[str, Tensor]:
        """The number of iterations, and the ρ of the last one's metrics, four for each layer and sample."""
        return {"iteration": torch.tensor(self._iteration)} | {
            f"{name}.{index}.{key}": rho
            for name, samples in self._previous.items()
            for index, factors in enumerate(samples)
            for key, rho in factors._asdict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._iteration = int(state["iteration"])
        self._previous = {
            name: [
                Factors(*(state[f"{name}.{index}.{key}"] for key in Factors._fields))
                for index in range(3)
                if f"{name}.{index}.k1" in state
            ]
            for name in self.layers
            if f"{name}.0.k1" in state
        }

    def diagnostics(self) -> dict[str, float]:
        """Averages over the iterations since the last call: the largest N of a layer, the layers' mean
        `relative_residuals`, and the share of layers let through.
        """
        if not self._seen:
            return {}
        names = "largest_residual", "relative_residual", "gate_open"
        found = dict(zip(names, (self._totals / self._seen).tolist(), strict=True))
        self._seen, self._totals = 0, torch.zeros(3)
        return found

    def _samples(self, inputs: Tensor, targets: Tensor) -> tuple[float, list[tuple[Tensor, Tensor]]]:
        """What is translated, and its share of the batch: the batch, or two halves of a part of it."""
        if self.flow.share == 1:
            return 1.0, [(inputs, targets)]
        count = len(inputs)
        half = min(count, max(2, round(self.flow.share * count / 2)))  # batch norm needs two
        later = min(half, count - half)  # of less than four samples the halves overlap
        two = slice(0, half), slice(later, later + half)
        return min(1.0, 2 * half / count), [(inputs[part], targets[part]) for part in two]

    def _virtual(
        self,
        loss_function: LossFunction,
        samples: list[tuple[Tensor, Tensor]],
        shifts: tuple[tuple[int, int], ...],
        parts: int,
    ) -> list[dict[tuple[int, int], dict[str, Tensor]]]:
        """``∂L/∂Ŵ`` of each sample at each translation, but for those that the real gradient gives."""
        wanted = [s for s in dict.fromkeys(shifts) if s != (0, 0) or len(samples) > 1]
        lanes = [(translate(x, *s), y) for x, y in samples for s in wanted]
        if self.flow.batched and len(lanes) > 1:
            x, y = (torch.stack(each) for each in zip(*lanes, strict=True))
            found = self._together(loss_function, x, y, parts)
        else:
            found = [self._gradients(loss_function, x, y, parts) for x, y in lanes]
        size = len(wanted)
        return [dict(zip(wanted, found[i * size :], strict=False)) for i in range(len(samples))]

    def _gradients(
        self, loss_function: LossFunction, inputs: Tensor, targets: Tensor, parts: int = 1
    ) -> dict[str, Tensor]:
        """``∂L/∂Ŵ`` for each layer, leaving no trace in the model."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        trained = self._trained()
        total = {name: torch.zeros_like(weight) for name, weight in trained.items()}
        with forked(inputs.device):
            for share, x, y in split(inputs, targets, parts):
                loss = loss_function(functional_call(self.model, buffers, (x,)), y)
                found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
                for name, gradient in zip(trained, found, strict=True):
                    if gradient is not None:
                        total[name].add_(gradient, alpha=share)
        self._average_(list(total.values()))
        return total

    def _together(
        self, loss_function: LossFunction, inputs: Tensor, targets: Tensor, parts: int
    ) -> list[dict[str, Tensor]]:
        """`_gradients` of several batches of one size, stacked along a first axis, in one pass."""
        places = {name: self._targets[name].latent for name in self._trained()}
        latents = {places[name]: weight.detach() for name, weight in self._trained().items()}
        fixed = {name: p.detach() for name, p in self.model.named_parameters() if name not in latents}
        count = len(inputs)
        buffers = {name: b.expand(count, *b.shape).clone() for name, b in self.model.named_buffers()}

        def loss(moving: dict[str, Tensor], own: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return loss_function(functional_call(self.model, {**fixed, **moving, **own}, (x,)), y)

        gradients = vmap(grad(loss), in_dims=(None, 0, 0, 0), randomness="same")
        total = {name: torch.zeros((), device=inputs.device) for name in places}
        with forked(inputs.device):
            for share, x, y in split(inputs.transpose(0, 1), targets.transpose(0, 1), parts):
                found = gradients(latents, buffers, x.transpose(0, 1), y.transpose(0, 1))
                total = {name: total[name] + share * found[place] for name, place in places.items()}
        self._average_(list(total.values()))
        return [{name: gradient[lane] for name, gradient in total.items()} for lane in range(count)]

    @torch.no_grad()
    def _steps(self, weight: Tensor, gradients: list[list[Tensor]], lr: float | Tensor) -> list[list[Tensor]]:
        """Virtual updates: of the batch, or of a part of it and of that part's halves."""
        steps = [[lr * self.metric.natural_gradient(weight, g) for g in sample] for sample in gradients]
        if len(steps) == 1:
            return steps
        return [[(a + b) / 2 for a, b in zip(*steps, strict=True)], *steps]

    def _follow_flow(
        self, name: str, weight: nn.Parameter, steps: list[list[Tensor]], share: float = 1.0
    ) -> None:
        """Add ``α ∂N/∂W`` to a layer's gradient, gate it by N ≤ ε, and keep its metrics for the next time.

        `steps` are the virtual updates of each sample: all four, or k₁ alone where nothing is to be kept.
        """
        latent = weight.detach().requires_grad_()
        previous = self._previous.get(name)
        with torch.enable_grad():
            newest = [self.metric.factor(latent - sample[0]) for sample in steps]
            if previous is not None:
                values = [residual(self.flow, *pair) for pair in zip(newest, previous, strict=True)]
                value = values[0]
                if len(values) == 3:
                    value = whole_batch_residual(value, (values[1], values[2]), share)
                (slope,) = torch.autograd.grad(value, latent)
                gradient = cast(Tensor, weight.grad)
                gradient.add_(slope, alpha=self.flow.alpha * self.flow.every)
                gradient.mul_((value <= self.flow.epsilon).to(weight.dtype))
                self.residuals[name] = value.detach()
                own = newest[0].detach(), previous[0], values[0].detach()
                self.relative_residuals[name] = relative_residual(self.flow, *own)
        if len(steps[0]) == 4:
            fixed = weight.detach()
            self._previous[name] = [
                Factors(rho.detach(), *(self.metric.factor(fixed - step) for step in sample[1:]))
                for rho, sample in zip(newest, steps, strict=True)
            ]

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
