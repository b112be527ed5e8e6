"""Any torch optimizer on a Riemannian manifold of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import _use_grad_for_differentiable

from lnegeom import InputError
from lnegeom_torch.metrics import Room, metric_to_data
from lnegeom_torch.optim._groups import DEFAULTS, check_group, check_loaded, check_parameters
from lnegeom_torch.optim._moves import Move, count_writes
from lnegeom_torch.optim._scratch import Scratch
from lnegeom_torch.optim.fisher import keep_precision, set_aside

__all__ = ["Precondition"]

_AMP = ("grad_scale", "found_inf")
_DECOUPLING = tuple(
    getattr(torch.optim, name) for name in ("AdamW", "Muon", "Adafactor") if hasattr(torch.optim, name)
)


class Precondition(torch.optim.Optimizer):
    """Any torch optimizer on natural gradients: ``d = g(W)⁻¹ ∂L/∂W`` takes the gradient's place in its step.

    It is an optimizer itself, with the wrapped one's parameter groups and state: schedulers, scalers, hooks
    and checkpoints work on it. The groups get the options below, and may bring their own of them. While the
    wrapped optimizer steps, each ``.grad`` is another tensor; afterwards it is the user's again, unchanged.

    Parameters
    ----------
    base_optimizer : Optimizer
        Any of torch's or of the same interface.
    metric, metric_on, retraction, gate, clip, precondition_weight_decay
        As in `ManifoldSGD`.
    decoupled_weight_decay : bool, optional
        As in `ManifoldSGD`; by default what the wrapped optimizer does.

    Raises
    ------
    InputError
        As `ManifoldSGD`.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.metrics import LNE
    >>> from lnegeom_torch.optim import Precondition
    >>> weight = torch.nn.Parameter(torch.ones(4, 3))
    >>> optimizer = Precondition(torch.optim.RMSprop([weight], lr=0.01), metric=LNE(tau=1.0))
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    >>> optimizer.param_groups[0]["metric"]
    {'name': 'LNE', 'tau': 1.0}
    """

    def __init__(
        self,
        base_optimizer: torch.optim.Optimizer,
        metric: Any = None,
        *,
        metric_on: Literal["gradient", "update"] = "gradient",
        retraction: Literal["first", "second", "exponential"] = "first",
        gate: bool = False,
        clip: bool = False,
        decoupled_weight_decay: bool | None = None,
        precondition_weight_decay: bool = False,
    ):
        if not isinstance(base_optimizer, torch.optim.Optimizer):
            raise InputError(f"base_optimizer must be a torch optimizer, got {base_optimizer!r}")
        if "metric" in base_optimizer.defaults or isinstance(base_optimizer, Precondition):
            raise InputError(
                f"{type(base_optimizer).__name__} has a metric of its own, which would be applied too; "
                "give the metric to it, or wrap one of torch's own optimizers"
            )
        options = {
            "metric": metric,
            "metric_on": metric_on,
            "retraction": retraction,
            "gate": gate,
            "clip": clip,
            "precondition_weight_decay": precondition_weight_decay,
        }
        if decoupled_weight_decay is not None:
            options["decoupled_weight_decay"] = decoupled_weight_decay
        self._wrap(base_optimizer, options)

    def _wrap(self, base_optimizer: torch.optim.Optimizer, options: dict[str, Any]) -> None:
        self.base_optimizer = base_optimizer
        self._options = options
        self._scratch: dict[int, Scratch] = {}
        # These decouple, AdamW in torch 2.6 only, and have no option that says so.
        self._always_decouples = (
            isinstance(base_optimizer, _DECOUPLING)
            and "decoupled_weight_decay" not in base_optimizer.defaults
        )
        self._torch_decouples = self._always_decouples or "decoupled_weight_decay" in base_optimizer.defaults
        super().__setstate__({})
        for group in self.param_groups:
            self._complete(group)

    def _complete(self, group: dict[str, Any]) -> None:
        # The wrapped optimizer knows one of the options itself, and has put it into the group.
        group.update({key: self._options[key] for key in ("decoupled_weight_decay",) if key in self._options})
        own = {"decoupled_weight_decay": self._always_decouples}
        for key, value in {**DEFAULTS, **own, **self._options}.items():
            group.setdefault(key, value)
        if self._always_decouples and not group["decoupled_weight_decay"]:
            raise InputError(
                f"{type(self.base_optimizer).__name__} always decouples weight decay, got "
                "decoupled_weight_decay=False; leave it out, or wrap another optimizer"
            )
        group["metric"] = metric_to_data(group["metric"])
        check_group(group)
        check_parameters(group)

    # --- what is the wrapped optimizer's own ------------------------------------------------------------

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The wrapped optimizer's parameter groups, themselves."""
        return self.base_optimizer.param_groups

    @property
    def state(self) -> Any:  # type: ignore[override]
        """The wrapped optimizer's state, itself."""
        return self.base_optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The wrapped optimizer's defaults, themselves."""
        return self.base_optimizer.defaults

    @property
    def _step_supports_amp_scaling(self) -> bool:
        scaled_too = any(group["precondition_weight_decay"] for group in self.param_groups)
        return getattr(self.base_optimizer, "_step_supports_amp_scaling", False) and not scaled_too

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group to the wrapped optimizer, with its own metric and other options or this one's."""
        self.base_optimizer.add_param_group(param_group)
        try:
            self._complete(self.param_groups[-1])
        except InputError:
            self.param_groups.pop()
            raise

    def state_dict(self) -> dict[str, Any]:
        """The wrapped optimizer's state, with the metric in its groups."""
        for before in self._optimizer_state_dict_pre_hooks.values():
            before(self)
        state = self.base_optimizer.state_dict()
        for after in self._optimizer_state_dict_post_hooks.values():
            state = _or(after(self, state), state)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state saved under the same options, or by the wrapped optimizer without a metric."""
        for before in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = _or(before(self, state_dict), state_dict)
        if len(self.param_groups) == len(state_dict["param_groups"]):  # torch reports another number of them
            groups = check_loaded(self.param_groups, state_dict["param_groups"])
            state_dict = {**state_dict, "param_groups": groups}
        decoupled = [group["decoupled_weight_decay"] for group in self.param_groups]
        self.base_optimizer.load_state_dict(state_dict)
        keep_precision(self, state_dict)
        for group, own in zip(self.param_groups, decoupled, strict=True):
            group["decoupled_weight_decay"] = own  # torch's AdamW says True whatever was saved
        for after in self._optimizer_load_state_dict_post_hooks.values():
            after(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"base_optimizer": self.base_optimizer, "options": self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._wrap(state["base_optimizer"], state["options"])

    def __repr__(self) -> str:
        return f"Precondition({self.base_optimizer!r})"

    # --- the step ---------------------------------------------------------------------------------------

    @_use_grad_for_differentiable
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform a step of the wrapped optimizer, after each call of the closure if there is one."""
        swap = _Swap(self)
        with self._lent_scaler():
            try:
                if closure is None:
                    swap.enter()
                    loss = self._base_step(None)
                else:
                    loss = self._base_step(lambda: swap.evaluate(closure))
            finally:
                swap.restore()
            swap.finish()
        return loss

    def _base_step(self, closure: Callable[[], Any] | None) -> Any:
        # Adam takes a state that holds anything at all for one that it has begun.
        with set_aside(self.state, [p for group in self.param_groups for p in group["params"]]):
            return self.base_optimizer.step() if closure is None else self.base_optimizer.step(closure)

    @contextmanager
    def _lent_scaler(self) -> Iterator[None]:
        """Pass on what GradScaler sets on the optimizer that it is given."""
        lent = {name: getattr(self, name) for name in _AMP if hasattr(self, name)}
        for name, value in lent.items():
            setattr(self.base_optimizer, name, value)
        try:
            yield
        finally:
            for name in lent:
                delattr(self.base_optimizer, name)


def _or(changed: dict[str, Any] | None, state: dict[str, Any]) -> dict[str, Any]:
    """What a hook returns, or what it was given if it returns nothing."""
    return state if changed is None else changed


class _Swap:
    """For one step: directions in the place of gradients, and no weight decay where it is not torch's."""

    def __init__(self, optimizer: Precondition):
        self.optimizer = optimizer
        self.moves = [Move(group, optimizer._torch_decouples) for group in optimizer.param_groups]
        self.grads: dict[Tensor, Tensor] = {}
        self.decays: list[Any] = []
        self.before: dict[Tensor, Tensor] = {}

    def evaluate(self, closure: Callable[[], Any]) -> Any:
        self.restore()
        with torch.enable_grad():
            loss = closure()
        # LBFGS calls closures with gradients enabled.
        with torch.set_grad_enabled(self.optimizer.defaults["differentiable"]):
            self.enter()
        return loss

    def enter(self) -> None:
        first = not self.before
        for move in self.moves:
            group = move.group
            params = [p for p in group["params"] if p.grad is not None]
            if move.euclidean or not params:
                continue
            states = [self.optimizer.state.get(p, {}) for p in params]
            grads = [p.grad for p in params]
            directions = move.directions(params, grads, states, self.room(group, params))
            move.decay(params, states, getattr(self.optimizer, "found_inf", None))
            if move.follows and first:
                self.before.update({p: p.clone() for p in params})
            for param, gradient, direction in zip(params, grads, directions, strict=True):
                self.grads[param] = gradient
                # torch's SGD may write to what it is given.
                param.grad = gradient.clone() if direction is gradient else direction
        self.decays = [move.group.get("weight_decay") for move in self.moves]
        for move in self.moves:
            if "weight_decay" in move.group:
                move.group["weight_decay"] = move.torch_decay

    def room(self, group: dict[str, Any], params: list[Tensor]) -> Room | None:
        if group.get("differentiable", False) or torch.compiler.is_compiling():
            return None
        scratch = self.optimizer._scratch.setdefault(id(group["params"]), Scratch(whole=True))
        ((_, room),) = scratch.parts(params)
        return room

    def restore(self) -> None:
        for param, gradient in self.grads.items():
            param.grad = gradient
        for move, decay in zip(self.moves, self.decays, strict=False):
            if "weight_decay" in move.group:
                move.group["weight_decay"] = decay
        self.grads, self.decays = {}, []

    def finish(self) -> None:
        for move in self.moves:
            params = [p for p in move.group["params"] if p in self.before or not move.follows]
            states = [self.optimizer.state.get(p, {}) for p in params]
            move.finish(params, [self.before[p] for p in params] if move.follows else None, states)
            count_writes(move.group, params)
