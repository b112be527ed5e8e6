"""A flow on a torus from its initial metric to its end: set-up, loop, and what stops it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Literal

import array_api_compat
import numpy as np

from lnegeom import tensors
from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    entry,
    first_index,
    positive,
    positive_integer,
    to_numpy,
)
from lnegeom._progress import progress_bar
from lnegeom.flow.checks import sample_count
from lnegeom.flow.deturck import Gauge
from lnegeom.flow.singular import Watch
from lnegeom.flow.small import pack, positive_definite, unpack
from lnegeom.flow.solution import Solution
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.flow.torus.integrators import METHODS
from lnegeom.flow.torus.invariants import Measurement
from lnegeom.flow.torus.march import Halted, March
from lnegeom.flow.torus.record import Record, fingerprint, host_scalars
from lnegeom.flow.torus.rhs import Equation, LeftCone, right_hand_side
from lnegeom.flow.torus.spectral import Modes

ACCURACY = 0.1
"""First step, times the decay rate ``‖∇h‖² / ‖h − mean h‖²`` of the initial perturbation."""


DECIDING = ("t_end", "dt", "tolerance", "samples", "method", "dealias")
"""Settings that decide a run's numbers, beside the invariants."""


@dataclass(frozen=True)
class Settings:
    """Arguments of a flow that are not geometry; an `InputError` at the first bad one."""

    t_end: float
    dt: float | None = None
    tolerance: float = 1e-6
    samples: int = 101
    method: str = "ifrk4"
    dealias: bool = True
    invariants: tuple[str, ...] = ()
    workers: int = 1
    out: str | os.PathLike[str] | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            name: positive(name, getattr(self, name)) for name in ("t_end", "tolerance")
        }
        checked |= {"workers": positive_integer("workers", self.workers), "dealias": bool(self.dealias)}
        checked |= {"samples": sample_count(self.samples)}
        checked |= {} if self.dt is None else {"dt": positive("dt", self.dt)}
        for name, value in checked.items():  # a checkpoint writes them down: numpy's numbers become Python's
            object.__setattr__(self, name, value)
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}; got {self.method!r}")
        if self.method == "sbdf4" and self.dt is None:
            raise InputError("method 'sbdf4' takes steps of one length: pass dt")


class Run:
    """One flow: `solve` it."""

    def __init__(
        self,
        xp: Any,
        metric: Array,
        grid: TorusGrid,
        gauge: Gauge,
        background: Array | None,
        settings: Settings,
    ):
        self.xp, self.grid, self.metric, self.settings = xp, grid, metric, settings
        self.n = grid.dim
        self.background = background
        self.evaluations = 0
        self.modes = Modes(grid, xp, metric, dealias=settings.dealias, workers=settings.workers)
        self.frame = self.modes.real(grid.frame)
        self.back = self.modes.real(np.linalg.inv(grid.frame))
        packed = pack(xp, metric)
        if not grid.is_rectangular:
            packed = pack(xp, xp.matrix_transpose(self.frame) @ metric @ self.frame)
        # h is measured from the mean, whose Laplacian is the linear part: the closer the better.
        mean = to_numpy(unpack(xp, xp.mean(packed, axis=tuple(range(1, self.n + 1))), self.n))
        inverse = np.linalg.inv(mean.astype(np.float64))
        self.constant = self.modes.real(pack(np, mean))
        equation = Equation(
            self.n, gauge, pack(np, mean), pack(np, inverse), self._symbols(background, gauge)
        )
        self.rhs = right_hand_side(xp, self.modes, equation, settings.workers)
        self.linear = self.modes.laplacian(inverse)
        self.start = self.modes.forward(packed - self._lifted(self.constant))

    def _lifted(self, packed: Array) -> Array:
        return self.xp.reshape(packed, (-1, *[1] * self.n))

    def _symbols(self, background: Array | None, gauge: Gauge) -> Array | None:
        """Christoffel symbols of the background along the lattice vectors, ``(n, m, *shape)``."""
        if gauge != "background":
            return None
        xp, parts = self.xp, []
        for g, dg, _ in Measurement(xp, self.grid, background, None).jets(background, 1):
            gamma = tensors.christoffel(xp, xp.linalg.inv(g), dg)
            parts.append(pack(xp, xp.moveaxis(gamma, 0, -3)))
        joined = xp.concat(parts, axis=-1)  # (m, n, points)
        return xp.reshape(xp.permute_dims(joined, (1, 0, 2)), (self.n, -1, *self.grid.shape))

    def metric_of(self, u: Array) -> Array:
        """Metric ``(*shape, n, n)`` of a state."""
        along = unpack(self.xp, self.modes.backward(u) + self._lifted(self.constant), self.n)
        if self.grid.is_rectangular:
            return along
        return self.xp.matrix_transpose(self.back) @ along @ self.back

    def _sample(self, record: Record, index: int) -> Array:
        """A sample, back from the disk if it lies there."""
        g = record.sample(index)
        if record.folder is None:
            return g
        return self.xp.asarray(np.array(g), device=array_api_compat.device(self.metric))

    def _curvature(self, metric: Array) -> float:
        return Measurement(self.xp, self.grid, metric, None).max_riemann()

    def _nonlinear(self, u: Array) -> Array:
        self.evaluations += 1
        return self.rhs(u)

    def solve(self) -> Solution:
        """Run, or go on from the checkpoint."""
        settings = self.settings
        record = Record(
            self.grid,
            settings.samples,
            settings.invariants,
            self.background,
            settings.out,
            {} if settings.out is None else self._arguments(),
        )
        saved = record.resume(self.metric)
        march = self._march(saved)
        if saved is None:
            record.add(0.0, self.metric)
        watch = Watch(self.metric_of, self._curvature)
        if saved is not None:
            watch.longest, found = saved["watch"]
            watch.found = [(time, value) for time, value in found]
        bar = _bar(settings, march.time, self.rhs.equation.gauge)
        halted = None
        # A diverging step overflows before it is caught; torch says nothing, numpy and its kin would warn.
        with np.errstate(all="ignore"), bar:

            def on_step() -> None:
                watch.see(march.time, march.u, march.used)
                bar.update(march.time - bar.n)

            try:
                for index in range(len(record.times), settings.samples):
                    march.to(settings.t_end * (index / (settings.samples - 1)), on_step)
                    record.add(march.time, self.metric_of(march.u))
                    record.checkpoint(*self._checkpoint(march, watch))
            except Halted as reason:
                halted = reason
        return self._solution(record, march, halted, watch)

    def _arguments(self) -> dict[str, Any]:
        """What a checkpoint must agree in."""
        settings = self.settings
        return {
            "grid": self.grid.to_json(),
            "metric": fingerprint(self.metric),
            "background": fingerprint(self.background),
            "gauge": self.rhs.equation.gauge,
            "invariants": list(settings.invariants),
        } | {name: getattr(settings, name) for name in DECIDING}

    def _checkpoint(self, march: March, watch: Watch) -> tuple[dict[str, Any], dict[str, Array]]:
        memory = {f"memory-{number}": array for number, array in enumerate(march.method.memory)}
        numbers = {
            "time": march.time,
            "dt": march.dt,
            "used": march.used,
            "evaluations": self.evaluations,
            "watch": [watch.longest, watch.found],
        }
        return numbers, {"u": march.u, **memory}

    def _march(self, saved: dict[str, Any] | None) -> March:
        xp, settings = self.xp, self.settings
        method = METHODS[settings.method](xp, self.linear, self._nonlinear)
        dt = self._first_step()
        if settings.dt is not None:
            # A fixed step divides the time from sample to sample.
            interval = settings.t_end / (settings.samples - 1)
            dt = interval / max(1, math.ceil(interval / settings.dt * (1 - 1e-12)))
        tolerance = settings.tolerance if settings.dt is None else None
        try:
            march = March(method, self.modes, self.start, dt, tolerance, settings.t_end)
        except LeftCone:
            raise GeometryError(
                "metric ceases to be positive definite when it is cut to the modes that the 2/3 rule keeps: "
                "refine the grid, or pass dealias=False"
            ) from None
        if saved is not None:
            device = array_api_compat.device(self.metric)
            arrays = {
                name: xp.asarray(value, device=device)
                for name, value in saved.items()
                if name == "u" or name.startswith("memory-")
            }
            method.memory = [arrays[f"memory-{number}"] for number in range(len(arrays) - 1)]
            march.restore(arrays["u"], saved["time"], saved["dt"], saved["used"])
            self.evaluations = saved["evaluations"]
        return march

    def _first_step(self) -> float:
        """A tenth of the decay time of the initial perturbation, which only the size of a ratio gives."""
        energy = self.xp.abs(self.start) ** 2
        total = entry(self.xp.sum(self.xp.where(self.linear < 0, energy, self.xp.zeros_like(energy))))
        gradient = -entry(self.xp.sum(self.linear * energy))
        return ACCURACY * (total / gradient if gradient > 0 else 1 / self.grid.smallest_eigenvalue())

    def _solution(self, record: Record, march: March, halted: Halted | None, watch: Watch) -> Solution:
        xp, settings = self.xp, self.settings
        status: Literal["completed", "stopped"] = "completed"
        message, singular = f"reached t = {settings.t_end:g}", None
        if halted is not None:
            if march.time > record.times[-1]:
                record.add(march.time, self.metric_of(march.u))
            singular = watch.singular_time(record.times, lambda index: self._sample(record, index))
            status, message = "stopped", self._why(march, halted, singular)
        metrics = record.metrics(xp)
        like = metrics[0, ...]
        invariants = {
            name: host_scalars(array_api_compat.array_namespace(metrics), values, like)
            for name, values in record.values.items()
        }
        times = host_scalars(array_api_compat.array_namespace(metrics), record.times, like)
        on_disk = record.folder is not None and self.background is not None
        background = to_numpy(self.background) if on_disk else self.background
        return Solution(
            self.grid,
            times,
            metrics,
            status,
            message,
            march.used,
            invariants,
            background,
            singular,
            self.evaluations,
        )

    def _why(self, march: March, halted: Halted, singular: float | None) -> str:
        defect = "the step that the tolerance asks for became too small"
        if halted.coefficients is not None:
            defect = _defect(self.xp, self.metric_of(halted.coefficients))
        if singular is not None:
            defect += f", and the curvature grows like 1/(T - t) with T = {singular:.6g}"
        advice = "refine the grid, or lower the amplitude of the initial perturbation"
        if self.settings.dt is not None:
            advice = f"lower dt (it was {march.used:.3g}), {advice}"
        return f"after t = {march.time:.6g} {defect}; the last good state is kept: {advice}"


def _bar(settings: Settings, time: float, gauge: Gauge) -> Any:
    title = "Ricci flow" if gauge == "ricci" else "Ricci–DeTurck flow"
    amount = "t = {n:.4g}/{total:.4g}"
    return progress_bar(title, settings.t_end, "t", initial=time, show=settings.progress, amount=amount)


def _defect(xp: Any, g: Array) -> str:
    """What is wrong with a metric, to follow "after t = ..."."""
    if not bool(xp.all(xp.isfinite(g))):
        return "the metric ceased to be finite"
    packed = pack(xp, g)
    valid = positive_definite(g.shape[-1], [packed[s, ...] for s in range(packed.shape[0])])
    if bool(xp.all(valid)):
        return "the metric ceased to be positive definite within a step"
    index = first_index(xp, ~valid)
    smallest = entry(xp.min(xp.linalg.eigvalsh(g[(*index, ...)])))
    return f"the metric ceased to be positive definite, with eigenvalue {smallest:.3g} at grid point {index}"
