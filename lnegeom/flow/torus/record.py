"""What a run keeps on its way: samples, invariants, and on disk the checkpoint from which it goes on."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array, InputError, to_numpy
from lnegeom.flow.archive import read_archive, write_archive
from lnegeom.flow.checks import check_same_run, checked_folder
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.flow.torus.invariants import measured

FORMAT = "lnegeom.flow.run"


class Record:
    """Samples of a run in memory, or in a folder.

    Parameters
    ----------
    grid : TorusGrid
    count : int
        Samples that a completed run has.
    invariants : tuple of str
    background : array or None
    folder : path or None
        Where to keep the samples (``metrics.npy``) and the checkpoint (``checkpoint.npz``).
    arguments : dict
        What defines the run, as plain data: a folder serves the run that began it only.
    """

    def __init__(
        self,
        grid: TorusGrid,
        count: int,
        invariants: tuple[str, ...],
        background: Array | None,
        folder: str | os.PathLike[str] | None,
        arguments: dict[str, Any],
    ):
        self.grid = grid
        self.count = count
        self.background = background
        self.arguments = arguments
        self.times: list[float] = []
        self.values: dict[str, list[float]] = {name: [] for name in invariants}
        self.folder = None if folder is None else checked_folder(folder)
        self._metrics: Any = []

    def resume(self, metric: Array) -> dict[str, Any] | None:
        """Open the folder; return the checkpoint's arrays where the same run left one.

        Raises
        ------
        InputError
            If the folder holds another run.
        """
        if self.folder is None:
            return None
        path = self.folder / "checkpoint.npz"
        # One more than the samples of a completed run: the last good state of one that stops between two.
        shape = (self.count + 1, *metric.shape)
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            dtype = to_numpy(metric[(slice(0, 1),) * metric.ndim]).dtype
            self._metrics = np.lib.format.open_memmap(self.folder / "metrics.npy", "w+", dtype, shape)
            return None
        saved = read_archive(path, "run")
        header = json.loads(str(saved["header"]))
        if header.get("format") != FORMAT:
            raise InputError(f"{path} is no checkpoint of this kind of flow: choose another folder")
        check_same_run(self.folder, self.arguments, header["arguments"])
        self._metrics = np.lib.format.open_memmap(self.folder / "metrics.npy", "r+")
        self.times, self.values = header["times"], header["values"]
        return {**saved, **header["march"]}

    def add(self, time: float, metric: Array) -> None:
        """Keep a sample."""
        if self.folder is None:
            self._metrics.append(metric)
        else:
            self._metrics[len(self.times)] = to_numpy(metric)
        self.times.append(time)
        found = measured(metric, self.grid, tuple(self.values), self.background)
        for name, value in found.items():
            self.values[name].append(value)

    def checkpoint(self, march: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Write what a later call needs to go on, whole or not at all."""
        if self.folder is None:
            return
        self._metrics.flush()
        header = {
            "format": FORMAT,
            "arguments": self.arguments,
            "times": self.times,
            "values": self.values,
            "march": march,
        }
        numbers = {name: to_numpy(value) for name, value in arrays.items()}
        write_archive(self.folder / "checkpoint.npz", {"header": np.array(json.dumps(header)), **numbers})

    def metrics(self, xp: Any) -> Array:
        """All samples, ``(T, *shape, n, n)``: a memory map where they lie in a folder."""
        if self.folder is None:
            return xp.stack(self._metrics)
        return self._metrics[: len(self.times)]

    def sample(self, index: int) -> Array:
        """One sample."""
        return self._metrics[index]


def fingerprint(array: Array | None) -> str | None:
    """Digest of an array's numbers and dtype."""
    if array is None:
        return None
    values = np.ascontiguousarray(to_numpy(array))
    return f"{values.dtype} {hashlib.sha256(values.tobytes()).hexdigest()}"


def host_scalars(xp: Any, values: list[float], like: Array) -> Array:
    """A list of numbers as an array of the library, dtype and device of another."""
    return xp.asarray(values, dtype=like.dtype, device=array_api_compat.device(like))
