"""The options that a metric adds to a parameter group: plain data, checked where the group is added."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom_torch.metrics import LNE, LogCoshHessian, Metric, metric_from_data, metric_to_data
from lnegeom_torch.optim.fisher import keep_precision

__all__ = ["DEFAULTS", "GroupOptions", "check_group", "check_loaded", "check_parameters"]

_logger = logging.getLogger("lnegeom_torch.optim")

# What a group of torch's own optimizer has, put in words: no metric, nothing after the step.
DEFAULTS: dict[str, Any] = {
    "metric": None,
    "metric_on": "gradient",
    "retraction": "first",
    "gate": False,
    "clip": False,
    "decoupled_weight_decay": False,
    "precondition_weight_decay": False,
}
_CHOICES = {"metric_on": ("gradient", "update"), "retraction": ("first", "second", "exponential")}
_NUMBERS = ("lr", "momentum", "weight_decay", "eps")  # torch checks the optimizer's, not a group's own
_FLAGS = ("gate", "clip", "precondition_weight_decay", "decoupled_weight_decay")


def check_group(group: dict[str, Any]) -> None:
    """Check that a group's options are known and do not contradict each other."""
    for key, allowed in _CHOICES.items():
        if group[key] not in allowed:
            raise InputError(f"{key} must be one of {', '.join(map(repr, allowed))}, got {group[key]!r}")
    for key in _FLAGS:
        if not isinstance(group[key], bool):
            raise InputError(f"{key} must be True or False, got {group[key]!r}")
    if group["gate"] and group.get("quantizer_gate", False):
        raise InputError(
            "these weights are gated at |W| <= 1 by their quantizer already, and gate=True asks the "
            "optimizer to do it again; leave gate out here, or set QuantConfig(gate='optimizer')"
        )
    if group["gate"] and group["clip"]:
        raise InputError("gate and clip both act at |W| = 1, and clipped weights pass any gate; choose one")
    for key in _NUMBERS:
        number = group.get(key)
        if isinstance(number, Tensor) and number.device.type == "cpu" and number.numel() == 1:
            number = number.item()
        if isinstance(number, int | float) and not 0 <= number < math.inf:
            raise InputError(f"{key} must be a finite number >= 0, got {number}")
    if group["metric"] is None:
        if group["metric_on"] != "gradient" or group["retraction"] != "first":
            raise InputError(
                "metric_on and retraction need a metric, got metric=None; name one, or leave them"
            )
        return
    _check_retraction(metric_from_data(group["metric"]), group["retraction"])
    decay = group.get("weight_decay", 0)
    coupled = (isinstance(decay, Tensor) or decay != 0) and not group["decoupled_weight_decay"]
    if group["metric_on"] == "update" and coupled and not group["precondition_weight_decay"]:
        raise InputError(
            "metric_on='update' applies the metric to what momentum makes of gradient and weight decay "
            "together; say precondition_weight_decay=True if that is meant, or decoupled_weight_decay=True"
        )


def _check_retraction(metric: Metric | None, retraction: str) -> None:
    kind = type(metric)
    assert issubclass(kind, Metric)
    bends = kind.acceleration is not Metric.acceleration
    follows = bends or kind.exponential is not Metric.exponential
    if not {"first": True, "second": bends, "exponential": follows}[retraction]:
        raise InputError(
            f"{kind.__name__} has no acceleration, which retraction={retraction!r} needs; use "
            "retraction='first', or give the metric an acceleration method"
        )


def check_parameters(group: dict[str, Any]) -> None:
    """Check that the group's metric suits each of its parameters; log what LNE rescales."""
    metric = metric_from_data(group["metric"])
    if metric is None:
        return
    for index, parameter in enumerate(group["params"]):
        if getattr(parameter, "_fsdp_flattened", False) and not isinstance(metric, LogCoshHessian):
            raise InputError(
                f"parameter {index} of the group is what FullyShardedDataParallel has flattened and cut, and "
                "a layer's metric needs the layer; use torch.distributed.fsdp.fully_shard, or metric=None"
            )
        try:
            metric.check(parameter)
        except InputError as error:
            raise InputError(
                f"parameter {index} of the group, of shape {tuple(parameter.shape)}: {error}"
            ) from None
    if isinstance(metric, LNE) and _logger.isEnabledFor(logging.INFO):
        _log_rescaled(metric, group["params"])


def _log_rescaled(metric: LNE, parameters: list[Tensor]) -> None:
    with torch.no_grad():
        values = [
            (float(metric.effective_tau(p.detach())), tuple(p.shape))
            for p in parameters
            if type(p.data) is Tensor and p.device.type != "meta" and not p.is_complex()
        ]
    rescaled = [value for value in values if value[0] < metric.tau]
    if rescaled:
        tau, shape = min(rescaled)
        _logger.info(
            "LNE(tau=%g): %d of %d tensors are beyond |tanh(tau W)|^2 = 1/2 and take a smaller tau, the "
            "least %.4g (shape %s)",
            metric.tau,
            len(rescaled),
            len(values),
            tau,
            shape,
        )


def check_loaded(groups: list[dict[str, Any]], saved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The saved groups with the options that torch's own optimizer does not save; they must not differ."""
    keys = (*DEFAULTS, "quantizer_gate")
    result = [
        {**{key: group[key] for key in keys if key in group}, **old, **_named(old)}
        for group, old in zip(groups, saved, strict=True)
    ]
    for index, (group, old) in enumerate(zip(groups, result, strict=True)):
        for key in DEFAULTS:
            if old[key] != group[key]:
                raise InputError(
                    f"parameter group {index} has {key} = {group[key]}, the loaded state {old[key]}; "
                    "build the optimizer as the saved one was built"
                )
    return result


def _named(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved group's metric, completed by what its class has learned since."""
    return {"metric": metric_to_data(saved["metric"])} if "metric" in saved else {}


class GroupOptions(torch.optim.Optimizer):
    """Puts the options into the parameter groups of one of torch's optimizers, whose class comes after it."""

    def _set_defaults(self, **options: Any) -> None:
        """To be called before torch's constructor, which adds the groups."""
        self._own_defaults = {**DEFAULTS, **options}

    def _own(self) -> dict[str, Any]:
        # A copied or unpickled optimizer keeps only torch's own attributes, `defaults` among them.
        source = self.__dict__.get("_own_defaults", self.__dict__.get("defaults", {}))
        return {key: source.get(key, value) for key, value in DEFAULTS.items()}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with its own metric and other options or the optimizer's."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")  # as torch says it
        group = {**self._own(), **param_group}
        group["metric"] = metric_to_data(group["metric"])
        check_group({**self.__dict__.get("defaults", {}), **group})
        super().add_param_group(group)
        try:
            check_parameters(self.param_groups[-1])
        except InputError:
            self.param_groups.pop()
            raise

    @property
    def _step_supports_amp_scaling(self) -> bool:
        # What precondition_weight_decay adds to a scaled gradient would have to be scaled too.
        decays = any(group["precondition_weight_decay"] for group in self.param_groups)
        return self.__dict__.get("_torch_scales", False) and not decays

    @_step_supports_amp_scaling.setter
    def _step_supports_amp_scaling(self, value: bool) -> None:
        self._torch_scales = value  # torch's constructor says so of fused steps

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, saved under the same options, or by torch's own optimizer, which has none."""
        super().load_state_dict(state_dict)
        keep_precision(self, state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Where a state is loaded, its hooks have run by now, and nothing is changed yet.
        if "param_groups" in self.__dict__ and "param_groups" in state:
            state = {**state, "param_groups": check_loaded(self.param_groups, state["param_groups"])}
        decoupled = [group.get("decoupled_weight_decay") for group in state.get("param_groups", [])]
        super().__setstate__(state)
        for group, own in zip(self.param_groups, decoupled, strict=True):
            if own is not None:  # AdamW's own __setstate__ says True whatever was saved
                group["decoupled_weight_decay"] = own
            for key, value in DEFAULTS.items():  # pickled before there was such an option
                group.setdefault(key, value)
