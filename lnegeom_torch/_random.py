"""torch's random state, put back after what draws from it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

__all__ = ["forked"]


def forked(device: torch.device | str) -> AbstractContextManager[Any]:
    """`torch.random.fork_rng` for the processor and one device; by itself it takes all GPUs, and warns."""
    device = torch.device(device)
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
