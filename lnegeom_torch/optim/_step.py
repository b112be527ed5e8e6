"""What `ManifoldSGD` and `ManifoldAdamW` share: a step of torch's inside a move on the manifold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lnegeom_torch.metrics import Fisher, metric_from_data
from lnegeom_torch.optim._groups import GroupOptions
from lnegeom_torch.optim._moves import Move, count_writes
from lnegeom_torch.optim._scratch import Part, Scratch
from lnegeom_torch.optim.fisher import set_aside

__all__ = ["ManifoldStep"]

Update = Callable[..., None]


class ManifoldStep(GroupOptions):
    """The step of a group; the optimizer's own class supplies torch's part of it."""

    _torch_decouples = False  # whether a decoupled weight decay is torch's own

    def _move(self, group: dict[str, Any], lists: list[list[Any]], update: Update) -> None:
        """Move a group.

        Parameters
        ----------
        group : dict
            The parameter group.
        lists : list of lists
            Parameters, gradients, and torch's state, a list of each for the group.
        update : callable
            torch's functional step: ``update(weight_decay, params, directions, *state)``.
        """
        move = Move(group, self._torch_decouples)
        if move.euclidean:
            update(move.torch_decay, *lists)
            count_writes(group, lists[0])
            return
        for part, room in self._parts(group, lists[0]):
            params, grads, *rest = (whole[part] for whole in lists)
            states = [self.state.get(p, {}) for p in params]
            directions = move.directions(params, grads, states, room)
            move.decay(params, states, getattr(self, "found_inf", None))
            before = [p.clone() for p in params] if move.follows else None
            update(move.torch_decay, params, directions, *rest)
            move.finish(params, before, states)
            for whole, piece in zip(lists[2:], rest, strict=True):
                whole[part] = piece  # torch puts new momentum buffers into its list
        count_writes(group, lists[0])

    def _begin(self, group: dict[str, Any], lists: list[list[Any]]) -> Any:
        """Torch's `_init_group`: gather parameters, gradients and state, beginning the state if need be."""
        begin: Any = self._init_group  # type: ignore[attr-defined]
        if not isinstance(metric_from_data(group["metric"]), Fisher):
            return begin(group, *lists)
        # Adam takes a state that holds anything at all for one that it has begun.
        with set_aside(self.state, group["params"]):
            return begin(group, *lists)

    def _check_capture(self) -> None:
        """Refuse to be captured in a CUDA graph without ``capturable=True``, by torch's own check."""
        name = "_accelerator_graph_capture_health_check"  # its name in newer torch
        getattr(self, name if hasattr(self, name) else "_cuda_graph_capture_health_check")()

    def _parts(self, group: dict[str, Any], params: list[Tensor]) -> list[Part]:
        # Views into a buffer would tie one step to the next where a graph is recorded.
        if not params or group.get("differentiable", False) or torch.compiler.is_compiling():
            return [(slice(0, len(params)), None)]
        scratch = self.__dict__.setdefault("_scratch", {})
        parts: list[Part] = scratch.setdefault(id(group["params"]), Scratch()).parts(params)
        return parts
