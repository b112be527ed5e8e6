"""What a run leaves besides its checkpoint: tables of epochs and of layers, TensorBoard's files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from lnegeom import InputError
from lnegeom_torch.diagnostics import Diagnostics
from lnegeom_torch.methods import Method

__all__ = ["RunLog", "write_history"]

_Record = dict[str, float]


class RunLog:
    """Logs one run: its epochs to TensorBoard, its layers to ``diagnostics.csv`` and TensorBoard.

    A resumed run's files are those of an uninterrupted one: what was logged after the checkpoint is dropped.

    Parameters
    ----------
    folder : Path
        Of the run.
    tensorboard : bool
        Whether to write files for TensorBoard, into ``tensorboard`` there.
    every : int, optional
        To log layers at each so many steps; by default not at all.

    Raises
    ------
    InputError
        If TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool = False, every: int | None = None):
        self._folder = folder
        self._every = every
        self._writers: list[Any] = []
        self._tensorboard = tensorboard
        self._epochs = self._writer("epochs", 0) if tensorboard else None

    def epoch(self, record: _Record) -> None:
        """Log an epoch's record."""
        if self._epochs is None:
            return
        for name, value in record.items():
            if name != "epoch":
                self._epochs.add_scalar(name, value, int(record["epoch"]))

    def watch(
        self, method: Method, optimizer: torch.optim.Optimizer, steps: int
    ) -> AbstractContextManager[Any]:
        """What `lnegeom_torch.train.train` takes to log layers."""
        if self._every is None:
            return nullcontext()
        table = self._folder / "diagnostics.csv"
        _drop_from(table, steps)
        writer = self._writer("layers", steps) if self._tensorboard else None
        return Diagnostics(optimizer, method, every=self._every, path=table, writer=writer, start=steps)

    def close(self) -> None:
        """Write out what is left."""
        for writer in self._writers:
            writer.close()

    def _writer(self, name: str, start: int) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                f'--tensorboard needs TensorBoard ({error}): pip install "lnegeom[tensorboard]"'
            ) from None
        writer: Any = SummaryWriter(str(self._folder / "tensorboard" / name), purge_step=start)
        self._writers.append(writer)
        return writer


def _drop_from(table: Path, step: int) -> None:
    """Drop the rows of steps that the run will take again."""
    if not table.exists():
        return
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    with table.open("w", newline="") as file:
        kept = [row for row in rows if int(row[0]) < step]
        csv.writer(file, lineterminator="\n").writerows([header, *kept])


def write_history(histories: Mapping[str, Sequence[Sequence[_Record]]], path: Path) -> None:
    """Write a CSV file with a line for each method, seed and epoch, and a column for each number."""
    records = [record for runs in histories.values() for run in runs for record in run]
    columns = list(dict.fromkeys(name for record in records for name in record))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["method", "seed", *columns])
        for method, runs in histories.items():
            for seed, run in enumerate(runs):
                for record in run:
                    writer.writerow([method, seed, *(record.get(name, "") for name in columns)])
