"""The loop of the flows that march through time: samples, progress, checkpoints, and how a run ends."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError, positive_integer, to_numpy
from lnegeom.flow.archive import read_archive, write_archive
from lnegeom.flow.domain import Domain
from lnegeom.flow.singular import singular_time
from lnegeom.flow.solution import Solution
from lnegeom.flow.stabilised import StepTooSmall

FORMAT = "lnegeom.flow.checkpoint"
GROWTH = 1.5
INTERVAL = 5.0
"""Seconds between two checkpoints at least; an interruption writes one too."""


class Stepper(Protocol):
    """Takes steps; ``h``, its next one, is all that it remembers."""

    h: float

    def __call__(self, t: float, y: Array, limit: float) -> tuple[float, Array]:
        """Take one step that does not pass `limit`; raise StepTooSmall where there is none."""


class Sample(NamedTuple):
    """What is recorded at a sampled time."""

    t: float
    metric: Array
    invariants: dict[str, float]


@dataclass
class March:
    """What a run has recorded, and its state at the last sample.

    Attributes
    ----------
    samples : list of Sample
    state : tuple of (float, array, float)
        ``(t, y, h)`` at the last sample: what a resumed run starts from.
    defect : str or None
        What stopped the run, to follow "after t = ...", if anything did.
    last_step : float
        Size of the last step.
    """

    samples: list[Sample]
    state: tuple[float, Array, float]
    defect: str | None = None
    last_step: float = 0.0

    def solution(self, grid: Domain, advice: str = "") -> Solution:
        """The solution that the run has found so far; `advice` ends the message of one that stopped."""
        xp = array_api_compat.array_namespace(self.samples[0].metric)
        metrics = xp.stack([sample.metric for sample in self.samples])

        def column(values: list[float]) -> Array:
            return xp.asarray(values, dtype=metrics.dtype, device=array_api_compat.device(metrics))

        times = column([sample.t for sample in self.samples])
        invariants = {
            name: column([sample.invariants[name] for sample in self.samples])
            for name in self.samples[0].invariants
        }
        end = self.samples[-1].t
        if self.defect is None:
            message = f"reached t = {end:g}"
            return Solution(grid, times, metrics, "completed", message, self.last_step, invariants)
        singular = singular_time(times, invariants["curvature"]) if "curvature" in invariants else None
        estimate = "" if singular is None else f"; the curvature blows up near t = {singular:.6g}"
        message = f"after t = {end:.6g} {self.defect}{estimate}; the last good state is kept{advice}"
        return Solution(
            grid, times, metrics, "stopped", message, self.last_step, invariants, singular_time=singular
        )


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state, and what run it is.

    Parameters
    ----------
    path : path
        An npz archive. A run that finds it there goes on from it.
    settings : mapping
        All that decides the run's numbers; a checkpoint of other settings is refused.
    initial : sequence of array
        Initial data, of which a hash is kept.
    """

    path: Path
    settings: Mapping[str, Any]
    initial: tuple[Array, ...] = ()

    def _run(self) -> dict[str, Any]:
        digest = hashlib.sha256()
        for array in self.initial:
            digest.update(np.ascontiguousarray(to_numpy(array)).tobytes())
        return json.loads(json.dumps({**self.settings, "initial": digest.hexdigest()}))  # type: ignore[no-any-return]

    def write(self, march: March) -> None:
        """Replace the file by the state of the run."""
        t, y, h = march.state
        # An interruption may fall between a sample and its state: such a sample is taken again.
        kept = [sample for sample in march.samples if sample.t <= t]
        header = {
            "format": FORMAT,
            "run": self._run(),
            "t": t,
            "h": h,
            "last_step": march.last_step,
            "defect": march.defect,
            "samples": [[sample.t, sample.invariants] for sample in kept],
        }
        arrays = {"y": to_numpy(y), "metrics": np.stack([to_numpy(sample.metric) for sample in kept])}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(self.path, {"header": np.array(json.dumps(header)), **arrays})

    def read(self, like: Array) -> March | None:
        """The run that the file holds, on the library of `like`; None where there is no file."""
        if not os.path.exists(self.path):
            return None
        arrays = read_archive(self.path, "checkpoint")
        header = json.loads(str(arrays["header"]))
        if header.get("format") != FORMAT:
            raise InputError(f"{self.path} is no checkpoint of a flow; choose another file")
        ours = self._run()
        differing = sorted(k for k in {*ours, *header["run"]} if ours.get(k) != header["run"].get(k))
        if differing:
            raise InputError(
                f"{self.path} is a checkpoint of another run, which differs in {', '.join(differing)}; "
                "choose another file, or delete it to start afresh"
            )
        samples = [
            Sample(t, _as_like(g, like), invariants)
            for (t, invariants), g in zip(header["samples"], arrays["metrics"], strict=True)
        ]
        state = (header["t"], _as_like(arrays["y"], like), header["h"])
        return March(samples, state, header["defect"], header["last_step"])


def sample_times(t_end: float, samples: int) -> NDArray[np.float64]:
    """``samples`` times from 0 to t_end, both included."""
    count = positive_integer("samples", samples)
    if count < 2:
        raise InputError(f"samples must be at least 2, the initial and the final time; got {samples!r}")
    return np.linspace(0.0, t_end, count)


def march(
    step: Stepper,
    y: Array,
    times: NDArray[np.float64],
    observe: Callable[[float, Array], tuple[Array, dict[str, float]]],
    defect: Callable[[float, Array], str | None],
    *,
    curvature: Callable[[Array], float] | None = None,
    title: str,
    progress: bool,
    checkpoint: Checkpoint | None = None,
) -> March:
    """March from ``times[0]`` to ``times[-1]`` and record at each of them.

    Parameters
    ----------
    step : Stepper
    y : array
        State at ``times[0]``.
    times : numpy.ndarray
        Ascending.
    observe : callable
        The metric and the invariants of ``(t, y)``.
    defect : callable
        What is wrong with ``(t, y)``, or None. A state with a defect is dropped and ends the run, which keeps
        the one before it.
    curvature : callable, optional
        The invariant "curvature" of y. Where it has grown by half since the last sample there is another
        sample, so that a singularity is sampled all the way.
    title : str
        Of the progress bar.
    progress : bool
    checkpoint : Checkpoint, optional
        Where to keep the state, and where to go on from if it is there.
    """
    run = checkpoint.read(y) if checkpoint else None
    if run is not None and run.defect is not None:
        return run
    if run is None:
        t = float(times[0])
        run = March([Sample(t, *observe(t, y))], (t, y, step.h))
    try:
        with np.errstate(all="ignore"):  # a diverging run overflows before it is caught
            _advance(run, step, times, observe, defect, curvature, title, progress, checkpoint)
    finally:
        if checkpoint:
            checkpoint.write(run)
    return run


def _advance(
    run: March,
    step: Stepper,
    times: NDArray[np.float64],
    observe: Callable[[float, Array], tuple[Array, dict[str, float]]],
    defect: Callable[[float, Array], str | None],
    curvature: Callable[[Array], float] | None,
    title: str,
    progress: bool,
    checkpoint: Checkpoint | None,
) -> None:
    t, y, step.h = run.state
    written = time.monotonic()
    left = times[times > t]
    with _bar(title, len(times) - 1, len(times) - 1 - len(left), progress) as bar:
        for target in left:
            while t < target:
                try:
                    new_t, new_y = step(t, y, float(target))
                    run.defect = defect(new_t, new_y)
                except StepTooSmall as error:
                    run.defect = str(error)
                if run.defect is None:
                    run.last_step, t, y = new_t - t, new_t, new_y
                if t > run.samples[-1].t and (run.defect or t >= target or _grown(run, curvature, y)):
                    run.samples.append(Sample(t, *observe(t, y)))
                    run.state = (t, y, step.h)
                if run.defect is not None:
                    return
            bar.update()
            if checkpoint and time.monotonic() - written > INTERVAL:
                checkpoint.write(run)
                written = time.monotonic()


def _grown(run: March, curvature: Callable[[Array], float] | None, y: Array) -> bool:
    return curvature is not None and curvature(y) > GROWTH * run.samples[-1].invariants["curvature"]


def _bar(title: str, total: int, done: int, progress: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, desc=title, unit="sample", disable=not progress)


def _as_like(array: NDArray[Any], like: Array) -> Array:
    xp = array_api_compat.array_namespace(like)
    return xp.asarray(array, device=array_api_compat.device(like))
