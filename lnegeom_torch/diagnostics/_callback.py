"""A light callback: numbers of each layer at each recorded step, to a table or to TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom._array import positive_integer
from lnegeom_torch._angle import angle
from lnegeom_torch.methods import Method
from lnegeom_torch.metrics import LNE, Metric, metric_from_data, wide
from lnegeom_torch.metrics._workers import whole

__all__ = ["COLUMNS", "Diagnostics"]

COLUMNS = (
    "rank_one_size",
    "effective_tau",
    "condition_number",
    "closeness",
    "angle",
    "residual",
    "relative_residual",
    "gate_rate",
    "update_ratio",
)


class ScalarWriter(Protocol):
    """What is used of `torch.utils.tensorboard.SummaryWriter`."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Record a number."""


class Diagnostics:
    """Records, at every n-th step of an optimizer, what the metric does to each of its tensors.

    =================  ==================================================================================
    rank_one_size      ``|u|²`` of ``g = I − u uᵀ``: χ for `NormalizedLNE`, at most ½ for `LNE`
    effective_tau      the τ' of an `LNE` layer
    condition_number   of g
    closeness          least ε with ``(1 + ε)⁻¹ I ≤ g ≤ (1 + ε) I``: how far g is from Euclidean
    angle              between the gradient and the natural gradient, in degrees
    residual           N of RF-DNN's discrete Ricci flow, for method ``"rf"``
    relative_residual  N over the squares of the flow's two sides: 0 on the flow, 1 where nothing binds them
    gate_rate          share of weights outside ``|W| ≤ 1``, which a gate holds
    update_ratio       ``|ΔW| / |W|`` of the step
    =================  ==================================================================================

    What a metric or method does not have is left out. Between recorded steps it does nothing; at one it
    copies the weights and waits for the device once.

    Parameters
    ----------
    optimizer : Optimizer
        `ManifoldSGD`, `ManifoldAdamW`, `Precondition`, or torch's own.
    source : Method or Module
        Where the layers' names come from; a method also brings its residuals.
    every : int
        Record each n-th step, the first among them.
    path : Path, optional
        A CSV file to append to: step, layer, and the columns above.
    writer : SummaryWriter, optional
        Of TensorBoard; it gets ``layer/column``.
    start : int
        Number of steps already taken, of a resumed run.

    Raises
    ------
    InputError
        If there is nowhere to record to, or a number is out of range.

    Examples
    --------
    >>> import tempfile, torch
    >>> from lnegeom_torch import ManifoldSGD, NormalizedLNE
    >>> from lnegeom_torch.diagnostics import Diagnostics
    >>> model = torch.nn.Linear(3, 2, bias=False)
    >>> optimizer = ManifoldSGD(model.parameters(), lr=0.1, metric=NormalizedLNE(chi=0.5))
    >>> table = Path(tempfile.mkdtemp()) / "diagnostics.csv"
    >>> with Diagnostics(optimizer, model, every=10, path=table):
    ...     for _ in range(20):
    ...         optimizer.zero_grad()
    ...         model(torch.ones(4, 3)).square().sum().backward()
    ...         optimizer.step()
    >>> [line.split(",")[:3] for line in table.read_text().splitlines()]
    [['step', 'layer', 'rank_one_size'], ['0', 'weight', '0.5'], ['10', 'weight', '0.5']]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        source: Method | nn.Module,
        *,
        every: int = 100,
        path: Path | str | None = None,
        writer: ScalarWriter | None = None,
        start: int = 0,
    ):
        if path is None and writer is None:
            raise InputError("diagnostics need a path for a table, or a TensorBoard writer, or both")
        self.every = positive_integer("every", every)
        self.step = start
        self.path = None if path is None else Path(path)
        self.writer = writer
        self._source = source
        self._names = _names(source)
        self._before: dict[Tensor, tuple[Tensor, dict[str, Tensor]]] = {}
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        if self.path is not None and not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append([["step", "layer", *COLUMNS]])

    def close(self) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> Diagnostics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @torch.no_grad()
    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        if self.step % self.every:
            return
        for group in optimizer.param_groups:
            metric = metric_from_data(group.get("metric"))
            for weight in group["params"]:
                gradient = weight.grad
                if gradient is None or gradient.is_sparse or not weight.numel() or weight not in self._names:
                    continue
                state = optimizer.state.get(weight, {})
                self._before[weight] = (weight.detach().clone(), _measure(metric, weight, state))

    @torch.no_grad()
    def _after_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        rows = []
        residuals = {
            column: getattr(self._source, f"{column}s", {}) for column in ("residual", "relative_residual")
        }
        for weight, (before, found) in self._before.items():
            name = self._names[weight]
            length = torch.linalg.vector_norm(before).clamp(min=torch.finfo(torch.float32).tiny)
            found["update_ratio"] = torch.linalg.vector_norm(weight - before) / length
            found |= {column: of[name] for column, of in residuals.items() if name in of}
            rows.append((name, found))
        if rows:
            self._record(rows)
        self._before = {}
        self.step += 1

    def _record(self, rows: list[tuple[str, dict[str, Tensor]]]) -> None:
        # One transfer for all layers: a device is waited for once.
        values = [value.to(torch.float64).reshape(()) for _, found in rows for value in found.values()]
        numbers = iter(torch.stack([whole(value).to(values[0].device) for value in values]).tolist())
        table = []
        for name, found in rows:
            known = {column: next(numbers) for column in found}
            table.append([self.step, name, *(known.get(column, "") for column in COLUMNS)])
            if self.writer is not None:
                for column, value in known.items():
                    self.writer.add_scalar(f"{name}/{column}", value, self.step)
        if self.path is not None:
            self._append(table)

    def _append(self, rows: list[list[Any]]) -> None:
        assert self.path is not None
        with self.path.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def _names(source: Method | nn.Module) -> dict[Tensor, str]:
    model = source.model if isinstance(source, Method) else source
    names: dict[Tensor, str] = {weight: name for name, weight in model.named_parameters()}
    if isinstance(source, Method):
        names.update({weight: name for name, weight in source.latents.items()})
    return names


def _measure(metric: Metric | None, weight: Tensor, state: dict[str, Any]) -> dict[str, Tensor]:
    """What can be said before the step."""
    found: dict[str, Tensor] = {"gate_rate": (weight.abs() > 1).to(torch.float32).mean()}
    if metric is None or weight.is_complex():
        return found
    if isinstance(metric, LNE):
        found["effective_tau"] = metric.effective_tau(weight)
    sizes = metric.eigenvalues(weight)
    if sizes is not None:
        lowest, highest, outlier = sizes
        found["condition_number"] = highest / lowest
        found["closeness"] = torch.maximum(highest, 1 / lowest) - 1
        if outlier is not None:
            found["rank_one_size"] = 1 - outlier
    gradient = weight.grad
    assert gradient is not None
    (natural,) = metric.natural_gradients([weight], [gradient], None, [state])
    found["angle"] = angle(wide(natural), wide(gradient))
    return found
