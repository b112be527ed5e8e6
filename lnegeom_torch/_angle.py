"""The angle between two tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from lnegeom_torch.metrics._workers import whole

__all__ = ["angle"]


def angle(a: Tensor, b: Tensor) -> Tensor:
    """The angle in degrees, 0-d, by Kahan's formula: by the cosine, small ones would be lost in float32.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch._angle import angle
    >>> angle(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0]))
    tensor(45.)
    """
    tiny = torch.finfo(a.dtype).tiny
    a, b = (v / torch.linalg.vector_norm(v).clamp(min=tiny) for v in (a, b))
    apart, along = (whole(torch.linalg.vector_norm(v)) for v in (a - b, a + b))
    return torch.rad2deg(2 * torch.atan2(apart, along))
