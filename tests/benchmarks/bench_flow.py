"""The Ricci–DeTurck flow on a torus against its Fourier transforms.

    python tests/benchmarks/bench_flow.py [--picture docs/images/flow_scaling.png]
    python tests/benchmarks/bench_flow.py --device cuda

The reference is the 2m(n + 1) real transforms of a right-hand side, m = n(n + 1)/2 (18 in two dimensions,
48 in three), by the fastest of numpy, scipy, ducc0 and FFTW (pyfftw, plans measured) that are installed, on
arrays that are there already. Each round times every candidate in turn, by a few calls in a row; ratios are
medians over rounds of the ratio to the same round's reference. One thread: processor time of the thread,
which a busy machine disturbs least; more: wall time, and ratios of the least times, for the same reason.

With a device it is `bench_flow_gpu` that runs.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
import scipy.fft

from lnegeom.flow import TorusGrid, king_conformal, perturbed_flat, ricci_deturck
from lnegeom.flow.torus.integrators import METHODS
from lnegeom.flow.torus.march import March
from lnegeom.flow.torus.rhs import Plain
from lnegeom.flow.torus.run import Run, Settings

SHAPES = [(64, 64), (128, 128), (32, 32, 32), (64, 64, 64)]
LARGE = (128, 128, 128)


def run_of(shape, dtype, workers):
    """A flow ready to step, from a perturbation of 0.2."""
    grid = TorusGrid(shape)
    metric = perturbed_flat(grid, 0.2, seed=0).astype(dtype)
    settings = Settings(t_end=1.0, workers=workers)
    return Run(np, metric, grid, "flat", None, settings)


def references(shape, dtype, workers):
    """Functions that transform all fields of a right-hand side there and back, by library."""
    n = len(shape)
    axes = tuple(range(1, n + 1))
    x = np.random.default_rng(0).normal(size=((n + 1) * n * (n + 1) // 2, *shape)).astype(dtype)
    y = np.fft.rfftn(x, axes=axes).astype(np.result_type(dtype, np.complex64))

    def by_scipy():
        scipy.fft.irfftn(scipy.fft.rfftn(x, axes=axes, workers=workers), s=shape, axes=axes, workers=workers)

    found = {"scipy": by_scipy}
    if workers == 1:
        found["numpy"] = lambda: np.fft.irfftn(np.fft.rfftn(x, axes=axes), s=shape, axes=axes)
    try:
        from ducc0 import fft

        def by_ducc0():
            fft.r2c(x, axes=axes, out=y, nthreads=workers)
            fft.c2r(y, axes=axes, lastsize=shape[-1], forward=False, inorm=2, out=x,
                    allow_overwriting_input=True, nthreads=workers)  # fmt: skip

        found["ducc0"] = by_ducc0
    except ImportError:
        pass
    try:
        import pyfftw

        a, b = pyfftw.empty_aligned(x.shape, x.dtype), pyfftw.empty_aligned(y.shape, y.dtype)
        plans = {"axes": axes, "flags": ("FFTW_MEASURE",), "threads": workers}
        there, back = pyfftw.FFTW(a, b, **plans), pyfftw.FFTW(b, a, direction="FFTW_BACKWARD", **plans)
        a[...] = x

        def by_fftw():
            there()
            back(normalise_idft=True)

        found["FFTW"] = by_fftw
    except ImportError:
        pass
    return found


def rounds(candidates, clock, count):
    """Seconds of each candidate in each round, by name."""
    times = {name: [] for name in candidates}
    calls = {}
    for name, function in candidates.items():
        function()  # the first call compiles, plans and faults pages in
        start = time.perf_counter()
        function()
        calls[name] = max(1, min(10, int(2e-3 / (time.perf_counter() - start))))
    for _ in range(count):
        for name, function in candidates.items():
            function()  # its arrays are in cache, as far as they fit
            start = clock()
            for _ in range(calls[name]):
                function()
            times[name].append((clock() - start) / calls[name])
    return times


def stepper(run):
    """A function that takes one step of fixed length, from the same state."""
    method = METHODS["ifrk4"](run.xp, run.linear, run.rhs)
    march = March(method, run.modes, run.start, 0.02, 1e9, 1e9)
    start, first = march.u, march.first

    def step():
        march.u, march.first = start, first
        march._step(0.02)

    return step


def measured(shape, dtype, workers, count, plain):
    run = run_of(shape, dtype, workers)
    names = references(shape, dtype, workers)
    candidates = {
        **names,
        "right-hand side": lambda: run.rhs(run.start),
        "step": stepper(run),
    }
    clock = time.thread_time if workers == 1 else time.perf_counter
    times = rounds(candidates, clock, count)
    middle = statistics.median if workers == 1 else min
    fastest = min(names, key=lambda name: middle(times[name]))

    def ratio(name, scale=1.0):
        if workers > 1:
            return min(times[name]) / (scale * min(times[fastest]))
        return median_ratio(times[name], times[fastest]) / scale

    uncompiled = ""
    if plain:
        slow = Plain(np, run.modes, run.rhs.equation)
        few = rounds({"reference": names[fastest], "plain": lambda: slow(run.start)}, clock, 5)
        uncompiled = f"{median_ratio(few['plain'], few['reference']):.1f}"
    return {
        "threads": str(run.rhs.workers),
        "reference": f"{1e3 * middle(times[fastest]):.2f} ms, {fastest}",
        "right-hand side": f"{ratio('right-hand side'):.2f}",
        "step": f"{ratio('step', scale=4):.2f}",
        "plain": uncompiled,
    }


def median_ratio(mine, theirs):
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def speed_table(cores):
    print("| grid | dtype | threads | reference | right-hand side | step | uncompiled right-hand side |")
    print("|---|---|---:|---|---:|---:|---:|")
    for workers in sorted({1, cores}):
        for shape in SHAPES:
            for dtype in ("float64", "float32"):
                large = len(shape) == 3 and shape[0] >= 64
                count = (9 if large else 25) if workers == 1 else (12 if large else 40)
                row = measured(shape, dtype, workers, count, plain=workers == 1)
                print(f"| {'×'.join(map(str, shape))} | {dtype} | {' | '.join(row.values())} |", flush=True)


def accuracy_table():
    print("\n| method | tolerance or step | right-hand sides | error |")
    print("|---|---|---:|---:|")
    grid = TorusGrid((32, 32))
    start, exact = (king_conformal(grid, t, wavevector=(1, 0), s0=3.0) for t in (0.0, 1.0))
    cases = [("ifrk4", {"tolerance": t}) for t in (1e-6, 1e-7)] + [("etdrk4", {"tolerance": 1e-6})]
    cases += [
        ("ifrk4", {"dt": 1 / 8}),
        ("etdrk4", {"dt": 1 / 8}),
        ("sbdf4", {"dt": 1 / 40}),
        ("rk4", {"dt": 1 / 40}),
    ]
    for method, choice in cases:
        solution = ricci_deturck(start, grid, 1.0, samples=2, method=method, **choice)
        error = np.max(np.abs(solution.metrics[-1] - exact))
        given = ", ".join(f"{name} {value:.3g}" for name, value in choice.items())
        print(f"| `{method}` | {given} | {solution.evaluations} | {error:.1e} |")


def memory():
    """Peak resident memory of a process that runs 128³ in float32, initial data and imports included."""
    code = (
        "import resource, numpy as np\n"
        "from lnegeom.flow import TorusGrid, plane_wave, ricci_deturck\n"
        f"grid = TorusGrid({LARGE})\n"
        "start = plane_wave(grid, (1, 1, 0), np.diag([0.1, 0.0, -0.1])).astype(np.float32)\n"
        "solution = ricci_deturck(start, grid, 0.1, dt=0.05, samples=2)\n"
        "assert solution.status == 'completed'\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    print(f"\n128³ in float32, two steps of a run: at most {float(done.stdout):.2f} GiB resident.")


def scaling(path):
    """Seconds a step against N^n log N; draw them where a path is given."""
    found = {}
    for n, sizes in ((2, (32, 64, 128, 256, 512)), (3, (16, 24, 32, 48, 64, 96))):
        rows = []
        for size in sizes:
            step = stepper(run_of((size,) * n, "float64", 1))
            times = rounds({"step": step}, time.thread_time, 3 if size**n > 10**5 else 15)
            rows.append((size**n * np.log2(size**n), statistics.median(times["step"])))
        found[n] = np.array(rows)
    print("\n| n | power of N^n log N that fits seconds a step, upper half of the sizes |")
    print("|---|---:|")
    for n, rows in found.items():
        late = np.log(rows[len(rows) // 2 - 1 :])
        print(f"| {n} | {np.polyfit(late[:, 0], late[:, 1], 1)[0]:.2f} |")
    if path is None:
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(5.4, 3.6), layout="constrained")
    for (n, rows), color, marker in zip(found.items(), ("#0072B2", "#D55E00"), "os", strict=True):
        ax.loglog(rows[:, 0], 1e3 * rows[:, 1], marker + "-", color=color, label=f"$n = {n}$")
        last = rows[-1]
        ax.loglog(rows[:, 0], 1e3 * last[1] * rows[:, 0] / last[0], "--", color=color, linewidth=1, alpha=0.6)
    ax.set(xlabel=r"$N^n \log_2 N^n$", ylabel="milliseconds a step", title="Ricci–DeTurck flow, one thread")
    ax.legend(frameon=False, title="dashed: proportional")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", help="where to draw the scaling, as PNG")
    parser.add_argument("--device", help="of torch, such as cuda or cpu: time its flow instead")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    if "OMP_NUM_THREADS" in os.environ and not options.device:
        parser.error(
            "unset OMP_NUM_THREADS: FFTW and ducc0 take no more threads than it says, where two are asked for"
        )
    print(f"numpy {np.__version__}, scipy {scipy.__version__}, {platform.machine()}, {cores} cores\n")
    if options.device:
        from bench_flow_gpu import device_table  # which imports this module

        device_table(options.device, [(64,) * 3] if options.device == "cpu" else [LARGE, (64,) * 3], cores)
        return
    speed_table(cores)
    accuracy_table()
    memory()
    scaling(options.picture)


if __name__ == "__main__":
    main()
