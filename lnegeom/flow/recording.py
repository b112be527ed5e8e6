"""The loop of boxes, warped products and conformal flows: samples, checkpoints, and how a run ends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from lnegeom._array import Array, InputError, to_numpy
from lnegeom._progress import progress_bar
from lnegeom.flow.archive import read_archive, write_archive
from lnegeom.flow.checks import check_same_run, checked_folder, sample_count
from lnegeom.flow.domain import Domain
from lnegeom.flow.singular import singular_time
from lnegeom.flow.small import pack, unpack
from lnegeom.flow.solution import Solution
from lnegeom.flow.stabilised import StepTooSmall
from lnegeom.flow.torus.record import fingerprint, host_scalars

FORMAT = "lnegeom.flow.recording 2"
GROWTH = 1.5
INTERVAL = 5.0
"""Seconds between two checkpoints at least; an interruption writes one too."""


class Stepper(Protocol):
    """Takes steps; ``h``, its next one, is all that it remembers."""

    h: float

    def __call__(self, t: float, y: Array, limit: float) -> tuple[float, Array]:
        """Take one step that does not pass `limit`; raise StepTooSmall where there is none."""


class Flow(Protocol):
    """What is recorded of a flow's state ``(t, y)``, and when it is over."""

    title: str
    """Of the progress bar."""

    def observe(self, t: float, y: Array) -> tuple[Array, dict[str, float]]:
        """The metric, and the invariants."""

    def defect(self, t: float, y: Array) -> str | None:
        """What is wrong with the state, to follow "after t = ...", or None.

        A state with a defect is dropped and ends the run, which keeps the one before it.
        """

    def curvature(self, y: Array) -> float | None:
        """The invariant "curvature", if there is one.

        Where it has grown by half since the last sample there is another sample, so that a singularity is
        sampled all the way.
        """


class Sample(NamedTuple):
    """What is recorded at a sampled time."""

    t: float
    metric: Array
    invariants: dict[str, float]


@dataclass
class Recording:
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
        t = [sample.t for sample in self.samples]
        values = {name: [s.invariants[name] for s in self.samples] for name in self.samples[0].invariants}
        times = host_scalars(xp, t, metrics)
        invariants = {name: host_scalars(xp, column, metrics) for name, column in values.items()}
        end = t[-1]
        if self.defect is None:
            message = f"reached t = {end:g}"
            return Solution(grid, times, metrics, "completed", message, self.last_step, invariants)
        singular = singular_time(t, values["curvature"]) if "curvature" in values else None
        estimate = "" if singular is None else f"; the curvature blows up near t = {singular:.6g}"
        message = f"after t = {end:.6g} {self.defect}{estimate}; the last good state is kept{advice}"
        return Solution(
            grid, times, metrics, "stopped", message, self.last_step, invariants, singular_time=singular
        )


class Checkpoint:
    """The file in a folder from which a run goes on.

    Parameters
    ----------
    folder : path
    settings : mapping
        All that decides the run's numbers, as plain data; the checkpoint of another run is refused.
    initial : array
        Initial data, of which a hash is kept.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any], initial: Array):
        self.path = checked_folder(folder) / "checkpoint.npz"
        self.settings = json.loads(json.dumps({**settings, "initial data": fingerprint(initial)}))

    def write(self, recording: Recording) -> None:
        """Replace the file by the state of the run."""
        t, y, h = recording.state
        # An interruption may fall between a sample and its state: such a sample is taken again.
        kept = [sample for sample in recording.samples if sample.t <= t]
        header = {
            "format": FORMAT,
            "run": self.settings,
            "t": t,
            "h": h,
            "last_step": recording.last_step,
            "defect": recording.defect,
            "dim": kept[0].metric.shape[-1],
            "samples": [[sample.t, sample.invariants] for sample in kept],
        }
        metrics = np.stack([to_numpy(sample.metric) for sample in kept])
        arrays = {"y": to_numpy(y), "metrics": pack(np, metrics)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_archive(self.path, {"header": np.array(json.dumps(header)), **arrays})

    def read(self, like: Array) -> Recording | None:
        """The run that the file holds, on the library of `like`; None where there is no file."""
        if not os.path.exists(self.path):
            return None
        arrays = read_archive(self.path, "checkpoint")
        header = json.loads(str(arrays["header"]))
        if header.get("format") != FORMAT:
            raise InputError(f"{self.path} is no checkpoint of this kind of flow: choose another folder")
        check_same_run(self.path.parent, self.settings, header["run"])
        metrics = unpack(np, arrays["metrics"], header["dim"])
        samples = [
            Sample(t, _as_like(g, like), invariants)
            for (t, invariants), g in zip(header["samples"], metrics, strict=True)
        ]
        state = (header["t"], _as_like(arrays["y"], like), header["h"])
        return Recording(samples, state, header["defect"], header["last_step"])


def sample_times(t_end: float, samples: int) -> NDArray[np.float64]:
    """``samples`` times from 0 to t_end, both included."""
    return np.linspace(0.0, t_end, sample_count(samples))


def record(
    flow: Flow,
    step: Stepper,
    y: Array,
    times: NDArray[np.float64],
    *,
    progress: bool,
    checkpoint: Checkpoint | None = None,
) -> Recording:
    """Run a flow from ``times[0]``, where its state is y, to ``times[-1]``, and record it at each of them."""
    run = checkpoint.read(y) if checkpoint else None
    if run is not None and run.defect is not None:
        return run
    if run is None:
        t = float(times[0])
        run = Recording([Sample(t, *flow.observe(t, y))], (t, y, step.h))
    try:
        with np.errstate(all="ignore"):  # a diverging run overflows before it is caught
            _advance(run, flow, step, times, progress, checkpoint)
    finally:
        if checkpoint:
            checkpoint.write(run)
    return run


def _advance(
    run: Recording,
    flow: Flow,
    step: Stepper,
    times: NDArray[np.float64],
    progress: bool,
    checkpoint: Checkpoint | None,
) -> None:
    t, y, step.h = run.state
    written = time.monotonic()
    left = times[times > t]
    total = len(times) - 1
    with progress_bar(flow.title, total, "sample", initial=total - len(left), show=progress) as bar:
        for target in left:
            while t < target:
                try:
                    new_t, new_y = step(t, y, float(target))
                    run.defect = flow.defect(new_t, new_y)
                except StepTooSmall as error:
                    run.defect = str(error)
                if run.defect is None:
                    run.last_step, t, y = new_t - t, new_t, new_y
                if t > run.samples[-1].t and (run.defect or t >= target or _has_grown(run, flow, y)):
                    run.samples.append(Sample(t, *flow.observe(t, y)))
                    run.state = (t, y, step.h)
                if run.defect is not None:
                    return
            bar.update()
            if checkpoint and time.monotonic() - written > INTERVAL:
                checkpoint.write(run)
                written = time.monotonic()


def _has_grown(run: Recording, flow: Flow, y: Array) -> bool:
    curvature = flow.curvature(y)
    return curvature is not None and curvature > GROWTH * run.samples[-1].invariants["curvature"]


def _as_like(array: NDArray[Any], like: Array) -> Array:
    xp = array_api_compat.array_namespace(like)
    return xp.asarray(array, device=array_api_compat.device(like))
