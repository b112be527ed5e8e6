"""The Ricci–DeTurck flow of torch tensors on a device; run by ``bench_flow.py --device cuda``.

Compiled by ``torch.compile``, against torch's own transforms there of as many fields; its step against the
CPU's on numpy arrays, all cores. A call is over when the device has done what it launched: clocks wait for
that, calls in a row do not. The first call of a right-hand side is the one that compiles it.
"""

import importlib.util
import statistics
import time

import array_api_compat
import torch
from bench_flow import median_ratio, rounds, run_of, stepper

from lnegeom.flow.torus.rhs import Compiled, Plain
from lnegeom.flow.torus.run import Run, Settings


def on_device(device, shape, dtype, cores):
    """Ratios of the flow and of its parts, seconds of the first call, and the memory of a step."""

    def clock():
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    cpu = run_of(shape, dtype, cores)
    metric = torch.asarray(cpu.metric, device=device)
    xp, grid = array_api_compat.array_namespace(metric), cpu.grid
    run = Run(xp, metric, grid, "flat", None, Settings(t_end=1.0))
    slow = run.rhs = Plain(xp, run.modes, run.rhs.equation)
    uncompiled = stepper(run)
    run.rhs = Compiled(xp, run.modes, slow.equation)
    start = clock()
    run.rhs(run.start)
    first = clock() - start
    n = len(shape)
    axes = tuple(range(1, n + 1))
    x = torch.randn((n + 1) * n * (n + 1) // 2, *shape, dtype=metric.dtype, device=device)
    step = stepper(run)
    candidates = {
        "reference": lambda: torch.fft.irfftn(torch.fft.rfftn(x, dim=axes), s=shape, dim=axes),
        "right-hand side": lambda: run.rhs(run.start),
        "step": step,
        "uncompiled": uncompiled,
    }
    times = rounds(candidates, clock, 9)
    few = rounds({"step": step, "CPU": stepper(cpu)}, clock, 3)  # the CPU's steps take long
    return {
        "reference": f"{1e3 * statistics.median(times['reference']):.2f} ms",
        "right-hand side": f"{median_ratio(times['right-hand side'], times['reference']):.2f}",
        "step": f"{median_ratio(times['step'], times['reference']) / 4:.2f}",
        "uncompiled": f"{median_ratio(times['uncompiled'], times['reference']) / 4:.2f}",
        "CPU": f"{median_ratio(few['CPU'], few['step']):.2g}",
        "first": f"{first:.0f} s",
        "memory": f"{peak(step):.2f} GiB" if device == "cuda" else "",
    }


def peak(function):
    """The most that is allocated on the GPU while a function runs, in GiB."""
    torch.cuda.reset_peak_memory_stats()
    function()
    return torch.cuda.max_memory_allocated() / 2**30


def device_table(device, shapes, cores):
    where = torch.cuda.get_device_name() if device == "cuda" else "this processor"
    names = {"rocket_fft": "rocket-fft", "ducc0": "ducc0", "scipy": "scipy"}  # several threads, one, none
    transforms = next(name for module, name in names.items() if importlib.util.find_spec(module))
    print(f"torch {torch.__version__}, {where}; the CPU's step: numba, {transforms}, {cores} threads\n")
    columns = (
        *("grid", "dtype", "device", "reference", "right-hand side", "step", "uncompiled step"),
        *("CPU step / step", "first call", "memory of a step"),
    )
    print(f"| {' | '.join(columns)} |\n|---|---|---|{'---:|' * 7}", flush=True)
    for shape in shapes:
        for dtype in ("float32", "float64"):
            row = on_device(device, shape, dtype, cores)
            print(
                f"| {'×'.join(map(str, shape))} | {dtype} | {device} | {' | '.join(row.values())} |",
                flush=True,
            )
