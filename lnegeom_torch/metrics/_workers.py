"""Tensors divided among processes: whole gradients of sharded weights, sums and rows over all workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError

__all__ = ["reduced", "sharded_like", "together", "total", "whole"]


def whole(tensor: Tensor) -> Tensor:
    """All of a DTensor, on each process; any other tensor as it is."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def reduced(sums: Tensor) -> Tensor:
    """Sums over sharded axes, each process's part of them added up; any other tensor as it is.

    torch adds them up when they are used, but a sharded tensor that is multiplied by such parts is gathered.
    """
    placements = getattr(sums, "placements", ())
    if not any(placement.is_partial() for placement in placements):
        return sums
    from torch.distributed.tensor import DTensor, Replicate

    assert isinstance(sums, DTensor)
    return sums.redistribute(placements=[Replicate() if p.is_partial() else p for p in placements])


def sharded_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor that each process has whole, sharded as another one is, without communication."""
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, Replicate  # loading it takes long

    assert isinstance(like, DTensor)
    mesh = like.device_mesh
    copies = DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return copies.redistribute(mesh, like.placements)


def total(tensor: Tensor, workers: Sequence[Any]) -> Tensor:
    """The sum over all workers, on each."""
    for group in workers:
        torch.distributed.all_reduce(tensor, group=group)
    return tensor


def together(rows: Tensor, workers: Sequence[Any]) -> Tensor:
    """The rows of all workers, on each."""
    for group in workers:
        sizes = rows.new_tensor([len(rows), -len(rows)], dtype=torch.int64)
        torch.distributed.all_reduce(sizes, torch.distributed.ReduceOp.MAX, group=group)
        if int(sizes[0]) != -int(sizes[1]):
            raise InputError(
                f"kind='block' keeps the samples of all workers, which must be as many on each, got from "
                f"{-int(sizes[1])} to {int(sizes[0])}; give each worker the same number, or use another kind"
            )
        parts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size(group))]
        torch.distributed.all_gather(parts, rows.contiguous(), group=group)
        rows = torch.cat(parts)
    return rows
