"""Several processes that train one network, as torchrun starts them: each has a share of every batch."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from lnegeom import InputError

__all__ = [
    "count",
    "launched",
    "lead_",
    "leads",
    "mean_",
    "process_group",
    "rank",
    "share",
    "share_statistics",
    "wrap",
]

_PATIENCE = 10.0  # seconds; torchrun ends the others of a process that failed within a fraction of one


def launched() -> bool:
    """Whether torchrun started this process."""
    return dist.is_torchelastic_launched()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def count() -> int:
    """How many processes train together; 1 without a process group.

    Examples
    --------
    >>> from lnegeom_torch import distributed
    >>> distributed.count(), distributed.rank(), distributed.leads()
    (1, 0, True)
    """
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if _joined() else 0


def leads() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def share() -> slice:
    """What of a batch is this process's: every `count`-th sample, from `rank` on."""
    return slice(rank(), None, count())


def wait() -> None:
    """Until all processes have come here."""
    if count() > 1:
        dist.barrier()


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the processes that torchrun started, and leave them at the end; nothing if none or joined already.

    On CUDA each process of a machine gets the GPU of its own number, and the backend is NCCL; otherwise it is
    gloo.

    An error that all of them meet is told by the one that leads: the others wait for torchrun to end them.

    Parameters
    ----------
    device : str
        As of ``lnegeom train``: ``"auto"`` is CUDA where there is one.

    Raises
    ------
    InputError
        If there are fewer GPUs than processes, or the device names one GPU for all of them.
    """
    if _joined() or not launched():
        yield
        return
    cuda = (device == "auto" or device.startswith("cuda")) and torch.cuda.is_available()
    try:
        if cuda:
            chosen = _choose_gpu("cuda" if device == "auto" else device, int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("nccl", device_id=chosen)  # or a barrier has to guess the GPU
        else:
            dist.init_process_group("gloo")
        yield
    except Exception:
        if int(os.environ["RANK"]) > 0:
            time.sleep(_PATIENCE)
        raise
    finally:
        if _joined():
            dist.destroy_process_group()


def _choose_gpu(name: str, local_rank: int) -> torch.device:
    device, processes = torch.device(name), int(os.environ["LOCAL_WORLD_SIZE"])
    if device.index is not None and processes > 1:
        raise InputError(
            f"--device {device} names one GPU for {processes} processes; say --device cuda, and each takes "
            "its own"
        )
    if local_rank >= torch.cuda.device_count():
        raise InputError(
            f"{processes} processes need as many GPUs, found {torch.cuda.device_count()}; lower "
            "--nproc-per-node"
        )
    chosen = torch.device("cuda", local_rank if device.index is None else device.index)
    torch.cuda.set_device(chosen)
    return chosen


def wrap(model: nn.Module) -> nn.Module:
    """The model as its processes call it: DDP averages their gradients.

    On CUDA, batch norm takes its statistics over all of them (`torch.nn.SyncBatchNorm`), which torch has for
    CUDA only. Elsewhere each process normalises by its own share of a batch; see `share_statistics`.
    """
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    # A forward pass does not send buffers: the old name of the option warns in new versions of torch.
    names = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    options: dict[str, Any] = {name: False}
    return DistributedDataParallel(model, **options)


def mean_(tensors: Sequence[Tensor]) -> None:
    """Put the mean over processes in the place of each tensor, all in one message."""
    if count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    flat /= count()
    with torch.no_grad():
        for tensor, mean in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def lead_(tensors: Sequence[Tensor]) -> None:
    """Put the first process's tensors in the place of each other's."""
    if count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)


def share_statistics(model: nn.Module) -> None:
    """Give every process the mean of their batch norms' running statistics."""
    if count() == 1:
        return
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and not isinstance(m, nn.SyncBatchNorm)]
    mean_([b for norm in norms for b in norm.buffers() if b.is_floating_point()])
