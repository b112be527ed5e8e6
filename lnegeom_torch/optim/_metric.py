"""What every optimizer with a metric shares: the metric as plain data in each group, applied to gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom_torch.metrics import metric_from_data, metric_to_data

__all__ = ["MetricMixin"]


class MetricMixin(torch.optim.Optimizer):
    """Puts ``metric`` and ``gate`` into the parameter groups of one of torch's optimizers.

    The optimizer's own class comes after it, and everything but the gradient stays torch's: an optimizer
    collects the gradients of a group in `_init_group`, and what follows works on whatever that list holds.
    """

    def _set_defaults(self, metric: Any, gate: bool) -> None:
        """To be called before torch's constructor, which adds the groups."""
        self._own_defaults = {"metric": metric_to_data(metric), "gate": bool(gate)}

    def _own(self) -> dict[str, Any]:
        # A copied or unpickled optimizer keeps only torch's own attributes, `defaults` among them.
        source = self.__dict__.get("_own_defaults", self.__dict__.get("defaults", {}))
        return {key: source[key] for key in ("metric", "gate")}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with its own metric and gate or the optimizer's."""
        group = {**self._own(), **param_group}
        group["metric"] = metric_to_data(group["metric"])
        if group["gate"] and group.get("quantizer_gate", False):
            raise InputError(
                "these weights are gated at |W| <= 1 by their quantizer already, and gate=True asks the "
                "optimizer to do it again; leave gate out here, or set QuantConfig(gate='optimizer')"
            )
        super().add_param_group(group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, saved under the same metric and gate, or by torch's own optimizer, which has none."""
        groups = [
            {**{k: group[k] for k in ("metric", "gate", "quantizer_gate") if k in group}, **saved}
            for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=False)
        ]
        groups += state_dict["param_groups"][len(groups) :]  # torch reports a wrong number of groups
        for index, (group, saved) in enumerate(zip(self.param_groups, groups, strict=False)):
            for key in ("metric", "gate"):
                if saved[key] != group[key]:
                    raise InputError(
                        f"parameter group {index} has {key} = {group[key]}, the loaded state {saved[key]}; "
                        "build the optimizer as the saved one was built"
                    )
        super().load_state_dict({**state_dict, "param_groups": groups})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state saved by torch's own optimizer has neither
            group.setdefault("metric", None)
            group.setdefault("gate", False)

    def _init_group(
        self, group: dict[str, Any], params: list[Tensor], grads: list[Tensor], *state: Any
    ) -> Any:
        result = super()._init_group(group, params, grads, *state)  # type: ignore[misc]
        metric, gate = metric_from_data(group["metric"]), group["gate"]
        if metric is None and not gate:
            return result
        for i, (param, gradient) in enumerate(zip(params, grads, strict=True)):
            if gradient.is_sparse:
                raise InputError(
                    "a metric or a gate needs dense gradients, got sparse ones; use metric=None for them"
                )
            # A complex weight is the pair of its real and imaginary parts, as in torch's own optimizers.
            is_complex = param.is_complex()
            weight = torch.view_as_real(param) if is_complex else param
            direction = torch.view_as_real(gradient) if is_complex else gradient
            direction = direction if metric is None else metric.natural_gradient(weight, direction)
            direction = torch.where(weight.abs() <= 1, direction, 0) if gate else direction
            grads[i] = torch.view_as_complex(direction) if is_complex else direction
        return result
