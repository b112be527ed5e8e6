"""Fused steps on a GPU: when the kernels of `_kernels` do one, and how they are launched."""

from __future__ import annotations

import math
import warnings
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from lnegeom_torch.metrics import LNE, LogCoshHessian, Metric, NormalizedLNE, metric_from_data
from lnegeom_torch.metrics.log_cosh import largest_argument
from lnegeom_torch.optim import _kernels as kernels
from lnegeom_torch.optim._moves import count_writes

__all__ = ["TwoPasses", "take_step"]

_CHUNK = 4096  # entries a program
_WARPS = {"sums": 4, "step": 8}  # of a program
_ADDRESSES = 16  # that a launch writes to the table
_DTYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}
_FORMATS = {0: torch.contiguous_format, 4: torch.channels_last, 5: torch.channels_last_3d}

Group = dict[str, Any]
Lists = list[list[Tensor]]


class TwoPasses:
    """The kernels' tables for one list of weights.

    Parameters
    ----------
    weights : list of Tensor
        On one device.
    """

    def __init__(self, weights: list[Tensor]) -> None:
        sizes = [weight.numel() for weight in weights]
        chunks = [-(-size // _CHUNK) for size in sizes]
        device = weights[0].device
        self._count = sum(chunks)
        self._addresses: list[list[int]] = [[]] * 5
        self._width = -(-len(weights) // _ADDRESSES) * _ADDRESSES
        self._table = torch.empty((5, self._width), dtype=torch.int64, device=device)
        self._where = (
            torch.tensor(sizes, dtype=torch.int64, device=device),
            torch.repeat_interleave(torch.tensor(chunks)).to(torch.int32).to(device),
            torch.tensor([0, *accumulate(chunks)], dtype=torch.int32, device=device),
        )
        self._left = torch.empty((max(kernels.SUMS.values()), self._count), device=device)
        self._arrived = torch.zeros(len(weights), dtype=torch.int32, device=device)
        self._turns = torch.empty((len(weights), 2), device=device)
        self._strengths: tuple[Any, Tensor] = None, torch.empty(0, device=device)

    def step(self, optimizer: Any, group: Group, metric: Metric, lists: Lists, keep: float) -> None:
        """Move weights and what the optimizer remembers of them; see `take_step`.

        The lists are weights, gradients, momenta if there are any, or both moments and the counts of steps.
        """
        table = self._pointed(lists)
        dtype, device = lists[0][0].dtype, table.device
        where, launch = (table, self._width, *self._where), (self._count,)
        name, tau = type(metric).__name__, getattr(metric, "tau", 1.0)
        known = {"METRIC": name, "DTYPE": getattr(kernels.tl, _DTYPES[dtype]), "CHUNK": _CHUNK}
        if kernels.SUMS[name]:
            sums = self._left, self._arrived, self._strength(metric, lists[0]), self._turns
            kernels.sums[launch](*where, *sums, tau, num_warps=_WARPS["sums"], **known)
        decay = float(group["weight_decay"])
        scaler = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
        numbers = tau, largest_argument(dtype), *_rate(group["lr"], device), decay, *scaler
        known |= {flag.upper(): group[flag] for flag in ("gate", "maximize", "clip")}
        known |= {"DECOUPLED": group["decoupled_weight_decay"], "num_warps": _WARPS["step"]}
        if "betas" not in group:
            momentum = float(group["momentum"])
            known |= {"MOMENTUM": momentum != 0, "NESTEROV": group["nesterov"]}
            kernels.sgd[launch](*where, self._turns, *numbers, momentum, keep, **known)
            return
        shares = [1.0 - beta for beta in group["betas"]]
        rates = [-math.log(beta) if beta else math.inf for beta in group["betas"]]
        kernels.adamw[launch](*where, self._turns, *numbers, *shares, *rates, float(group["eps"]), **known)
        torch._foreach_add_(lists[4], 1)  # as torch's fused steps count themselves
        if scaler[1] is not None:
            torch._foreach_sub_(lists[4], [scaler[1]] * len(lists[4]))

    def _pointed(self, lists: Lists) -> Tensor:
        """The table of the tensors' addresses, a row for each list."""
        # What is recorded has a table of its own: a step outside, whose gradients lie elsewhere, would
        # change it for all replays.
        recorded = recording()
        table = torch.empty_like(self._table) if recorded else self._table
        for number, tensors in enumerate(lists):
            own = [tensor.data_ptr() for tensor in tensors]
            if own == self._addresses[number] and not recorded:
                continue
            for start in range(0, len(own), _ADDRESSES):
                part = own[start : start + _ADDRESSES]
                part += part[-1:] * (_ADDRESSES - len(part))
                kernels.write[(1,)](table[number, start:], *part)
            if not recorded:
                self._addresses[number] = own
        return table

    def _strength(self, metric: Any, weights: list[Tensor]) -> Tensor:
        """What the inverse of a normalised metric has before ``p pᵀ / |p|²``, for each weight."""
        if isinstance(metric, NormalizedLNE) and self._strengths[0] != metric:
            found = [metric._strength(1.0, weight) for weight in weights]
            self._strengths = metric, torch.tensor(found).to(self._strengths[1])
        return self._strengths[1]


def take_step(optimizer: Any, group: Group, lists: list[list[Any]]) -> bool:
    """Do a step by the kernels, if they can; say whether they did.

    The lists are what torch's `_init_group` fills: weights, gradients and state.
    """
    if group["fused"] is not True or kernels.triton is None:
        return False
    adam, momentum = "betas" in group, group.get("momentum", 0)
    first = not adam and momentum != 0 and all(buffer is None for buffer in lists[2])
    moments = lists[2:4] if adam else [lists[2]] if momentum != 0 and not first else []
    counts = lists[5:] if adam else []
    metric = metric_from_data(group["metric"])
    if metric is None or not (
        _is_plain(optimizer, group, metric) and _are_plain([*lists[:2], *moments], counts)
    ):
        return False
    weights = lists[0]
    kept: dict[Any, TwoPasses] = optimizer.__dict__.setdefault("_two_passes", {})
    key = id(group), weights[0].device, tuple(weight.shape for weight in weights)
    try:
        if key not in kept:
            if recording():
                return False  # the tables come from the host, which cannot be recorded: warm up first
            kept[key] = TwoPasses(weights)
        if first:
            moments = [[torch.zeros_like(weight) for weight in weights]]
        keep = 1.0 if first else 1.0 - group.get("dampening", 0)
        with torch.cuda.device_of(weights[0]):  # type: ignore[no-untyped-call]
            kept[key].step(optimizer, group, metric, [*lists[:2], *moments, *counts], keep)
    except Exception as error:  # a compiler's, before any weight was written
        kernels.triton = None
        warnings.warn(
            f"Triton failed ({str(error).splitlines()[0] if str(error) else type(error).__name__}): "
            "fused steps run through torch's operations, several times slower",
            RuntimeWarning,
            stacklevel=3,
        )
        return False
    if first:
        lists[2][:] = moments[0]
    count_writes(group, weights)
    return True


def _is_plain(optimizer: Any, group: Group, metric: Metric) -> bool:
    """Whether the group asks for nothing but what the kernels do."""
    known = type(metric) in (LNE, NormalizedLNE, LogCoshHessian)
    names = ("momentum", "dampening", "weight_decay")
    numbers = [*(group[name] for name in names if name in group), *group.get("betas", ())]
    scaler = [getattr(optimizer, name, None) for name in ("grad_scale", "found_inf")]
    return (
        known
        and getattr(metric, "per", "layer") == "layer"
        and (group["metric_on"], group["retraction"]) == ("gradient", "first")
        and not group["precondition_weight_decay"]
        and not any(isinstance(value, Tensor) for value in numbers)
        and not group.get("amsgrad", False)
        and not group["differentiable"]
        and all(value is None or _is_number(value, group["params"][0].device) for value in scaler)
        and not torch.compiler.is_compiling()
    )


def _is_number(value: Any, device: torch.device) -> bool:
    """Whether the kernels can read a number from the device."""
    return type(value) is Tensor and value.dtype is torch.float32 and value.device == device


def _are_plain(lists: list[list[Any]], counts: list[list[Any]]) -> bool:
    """Whether all tensors are there, on one GPU, of one dtype that the kernels know, and in the same order.

    Each step asks this of hundreds of tensors, so that it takes one question at a time to all of them.
    """
    found = [tensor for tensors in lists for tensor in tensors]
    kinds = set(map(type, found))
    if not kinds <= {Tensor, nn.Parameter} and not all(_is_dense(tensor) for tensor in found):
        return False
    devices, dtypes = {tensor.device for tensor in found}, {tensor.dtype for tensor in found}
    if len(devices) != 1 or len(dtypes) != 1 or not dtypes <= _DTYPES.keys() or not on_gpu(found[0]):
        return False
    sizes = [tensor.numel() for tensor in lists[0]]
    return (
        0 not in sizes
        and all([tensor.numel() for tensor in tensors] == sizes for tensors in lists[1:])
        and not any(tensor.data_ptr() % 16 for tensor in found)
        and _are_in_order(lists)
        and all(_is_number(count, found[0].device) for row in counts for count in row)
    )


def _is_dense(tensor: Any) -> bool:
    """Whether something, of a class of its own maybe, is an ordinary tensor."""
    return isinstance(tensor, Tensor) and type(tensor.data) is Tensor


def _are_in_order(lists: Lists) -> bool:
    """Whether tensors fill their memory, and all that belong to a weight in its order, NHWC say."""
    if all(tensor.is_contiguous() for tensors in lists for tensor in tensors):
        return True
    formats: list[Any] = [_FORMATS.get(0 if weight.is_contiguous() else weight.ndim) for weight in lists[0]]
    return None not in formats and all(
        tensor.is_contiguous(memory_format=format_)
        for tensors in lists
        for tensor, format_ in zip(tensors, formats, strict=True)
    )


def _rate(lr: float | Tensor, device: torch.device) -> tuple[float, Tensor | None]:
    """The learning rate, or, where it lies on a device, that in float32."""
    if isinstance(lr, Tensor) and on_gpu(lr):
        return 0.0, lr.to(device, torch.float32)
    return float(lr), None


def on_gpu(tensor: Tensor) -> bool:
    """Whether a tensor lies where the kernels run."""
    return tensor.is_cuda


def recording() -> bool:
    """Whether what is launched is being recorded in a CUDA graph."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return started and torch.cuda.is_current_stream_capturing()
