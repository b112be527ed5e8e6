"""`ManifoldSGD(fused=True)` on a GPU: when the kernels of `_kernels` do a step, and how they are launched."""

from __future__ import annotations

import warnings
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from lnegeom_torch.metrics import LNE, NormalizedLNE
from lnegeom_torch.optim import _kernels as kernels
from lnegeom_torch.optim._moves import Move, count_writes

__all__ = ["TwoPasses", "take_step"]

_CHUNK = 8192  # entries a program
_SUMS = 512  # of chunks that a program adds up at a time
_ADDRESSES = 16  # that a launch writes to the table


class TwoPasses:
    """The kernels' tables for one list of weights.

    Parameters
    ----------
    weights : list of Tensor
        In float32, contiguous, on one device.
    """

    def __init__(self, weights: list[Tensor]) -> None:
        self._shapes = [weight.shape for weight in weights]
        sizes = [weight.numel() for weight in weights]
        chunks = [-(-size // _CHUNK) for size in sizes]
        device = weights[0].device
        self._count, self._rounds = sum(chunks), -(-max(chunks) // _SUMS)
        self._addresses: list[list[int]] = []
        rows = -(-len(weights) // _ADDRESSES) * _ADDRESSES
        self._table = torch.empty((3, rows), dtype=torch.int64, device=device)
        self._sizes = torch.tensor(sizes, dtype=torch.int64, device=device)
        self._first = torch.tensor([0, *accumulate(chunks)], dtype=torch.int32, device=device)
        self._owner = torch.repeat_interleave(torch.tensor(chunks)).to(torch.int32).to(device)
        self._strengths: tuple[Any, Tensor] = None, torch.empty(0, device=device)

    def serves(self, weights: list[Tensor]) -> bool:
        """Whether the tables are those of these weights, wherever their memory is by now."""
        return self._table.device == weights[0].device and self._shapes == [w.shape for w in weights]

    def step(self, group: dict[str, Any], move: Move, lists: list[list[Tensor]], keep: float) -> None:
        """Move weights and momenta, of which `keep` is taken of a step.

        The lists are weights, gradients and, where there are any, momenta.
        """
        strengths = self._strength(move.metric, lists[0])
        weights, gradients, momenta = self._pointed(lists).unbind()
        where = self._sizes, self._owner, self._first
        sums = lengths, *_ = torch.empty((3, self._count), device=strengths.device).unbind()
        scaled, tau = isinstance(move.metric, LNE), getattr(move.metric, "tau", 1.0)
        launch, chunk = (self._count,), {"CHUNK": _CHUNK, "num_warps": 8}
        if scaled:
            kernels.squares[launch](weights, *where, lengths, **chunk)
        known = {"SCALED": scaled, "ROUNDS": self._rounds, **chunk}
        kernels.products[launch](weights, gradients, *where, *sums, tau, **known)
        kernels.apply[launch](
            weights, gradients, momenta, *where, *sums, strengths, tau,
            float(group["lr"]), float(group["momentum"]), keep, float(move.torch_decay),
            MOMENTUM=group["momentum"] != 0, NESTEROV=group["nesterov"], MAXIMIZE=group["maximize"],
            GATE=group["gate"], CLIP=group["clip"], **known,
        )  # fmt: skip

    def _pointed(self, lists: list[list[Tensor]]) -> Tensor:
        """The table of the tensors' addresses, a row for each list."""
        addresses = [[tensor.data_ptr() for tensor in tensors] for tensors in lists]
        # What is recorded has a table of its own: a step outside, whose gradients lie elsewhere, would
        # change it for all replays.
        recorded = recording()
        if addresses == self._addresses and not recorded:
            return self._table
        table = torch.empty_like(self._table) if recorded else self._table
        for row, own in zip(table, addresses, strict=False):
            for start in range(0, len(own), _ADDRESSES):
                part = own[start : start + _ADDRESSES]
                part += part[-1:] * (_ADDRESSES - len(part))
                kernels.write[(1,)](row, start, tuple(part))
        if not recorded:
            self._addresses = addresses
        return table

    def _strength(self, metric: Any, weights: list[Tensor]) -> Tensor:
        """What the inverse of a normalised metric has before ``p pᵀ / |p|²``, for each weight."""
        if isinstance(metric, NormalizedLNE) and self._strengths[0] != metric:
            found = [metric._strength(1.0, weight) for weight in weights]
            self._strengths = metric, torch.tensor(found).to(self._strengths[1])
        return self._strengths[1]


def take_step(optimizer: Any, group: dict[str, Any], lists: list[list[Any]]) -> bool:
    """Do a step of `ManifoldSGD` by the kernels, if they can; say whether they did."""
    if group["fused"] is not True or kernels.triton is None or group["metric"] is None:
        return False
    move, momenta = Move(group, torch_decouples=False), lists[2]
    first = group["momentum"] != 0 and all(buffer is None for buffer in momenta)
    parts = [*lists[:2], *([] if first or group["momentum"] == 0 else [momenta])]
    if not (_is_plain(optimizer, group, move) and _are_plain(parts)):
        return False
    tables = optimizer.__dict__.setdefault("_two_passes", {})
    kept: TwoPasses | None = tables.get(id(group))
    try:
        if kept is None or not kept.serves(lists[0]):
            if recording():
                return False  # the tables come from the host, which cannot be recorded: warm up first
            kept = tables[id(group)] = TwoPasses(lists[0])
        if first:
            parts.append([torch.zeros_like(weight) for weight in lists[0]])
        with torch.cuda.device_of(lists[0][0]):  # type: ignore[no-untyped-call]
            kept.step(group, move, parts, 1.0 if first else 1.0 - group["dampening"])
    except Exception as error:  # a compiler's, before anything was launched
        kernels.triton = None
        warnings.warn(
            f"Triton failed ({str(error).splitlines()[0] if str(error) else type(error).__name__}): "
            "fused steps run through torch's operations, several times slower",
            RuntimeWarning,
            stacklevel=3,
        )
        return False
    momenta[:] = parts[2] if len(parts) > 2 else momenta
    count_writes(group, lists[0])
    return True


def _is_plain(optimizer: Any, group: dict[str, Any], move: Move) -> bool:
    """Whether the group asks for nothing but what the kernels do."""
    metric = move.metric
    known = isinstance(metric, LNE) or (isinstance(metric, NormalizedLNE) and metric.per == "layer")
    tensors = (group[name] for name in ("lr", "momentum", "dampening", "weight_decay"))
    return (
        known
        and not move.follows
        and not move.preconditions_decay
        and not any(isinstance(value, Tensor) for value in tensors)
        and move.own_decay == 0
        and not group["differentiable"]
        and getattr(optimizer, "found_inf", None) is None
        and not torch.compiler.is_compiling()
    )


def _are_plain(lists: list[list[Any]]) -> bool:
    """Whether all tensors are there, on one GPU, in float32 and in order."""
    found = [tensor for tensors in lists for tensor in tensors]
    device = found[0].device if found else None
    return bool(found) and all(
        isinstance(t, Tensor)
        and type(t.data) is Tensor
        and t.device == device
        and on_gpu(t)
        and t.dtype is torch.float32
        and t.is_contiguous()
        and t.numel() > 0
        and t.data_ptr() % 16 == 0
        for t in found
    )


def on_gpu(tensor: Tensor) -> bool:
    """Whether a tensor lies where the kernels run."""
    return tensor.is_cuda


def recording() -> bool:
    """Whether what is launched is being recorded in a CUDA graph."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return started and torch.cuda.is_current_stream_capturing()
