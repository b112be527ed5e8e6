"""RF-DNN's strong approximation: a network that is trained to invert the metric."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["strong_network"]


def _metrics(count: int, n: int, generator: torch.Generator) -> Tensor:
    """``I − u uᵀ`` for random u of sizes up to 0.9, (count, n, n)."""
    u = torch.randn(count, n, generator=generator)
    u = 0.9 * torch.rand(count, 1, generator=generator) * u / u.norm(dim=1, keepdim=True)
    metrics: Tensor = torch.eye(n) - u[:, :, None] * u[:, None, :]
    return metrics


def strong_network(n: int = 3, iterations: int = 1000) -> tuple[float, float]:
    """Train it on the entries of g on and below the diagonal, to give those of G (RF-DNN Eq. 28).

    Returns
    -------
    strong, weak : float
        Root mean square of ``‖I − gG‖`` on other metrics, of the network and of ``G = I + u uᵀ``.
    """
    rows, columns = torch.tril_indices(n, n)
    generator, identity = torch.Generator().manual_seed(0), torch.eye(n)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = len(rows)
        layers = nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, size)
        network = nn.Sequential(*layers)

    def defect(metric: Tensor) -> Tensor:
        lower = torch.zeros_like(metric)
        lower[:, rows, columns] = network(metric[:, rows, columns])
        inverse = lower + lower.mT - torch.diag_embed(lower.diagonal(dim1=1, dim2=2))
        return (identity - metric @ inverse).square().sum(dim=(1, 2))

    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    for _ in range(iterations):
        loss = defect(_metrics(256, n, generator)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        others = _metrics(2000, n, generator)
        weak = (identity - others @ (2 * identity - others)).square().sum(dim=(1, 2))
        return float(defect(others).mean().sqrt()), float(weak.mean().sqrt())
