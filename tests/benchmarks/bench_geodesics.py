"""Batches of integrated geodesics: our rows, a loop of single calls, and scipy with and without shared steps.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_geodesics.py

Processor time, medians of interleaved rounds, as ratios to the batch. scipy's solve_ivp integrates the same
slopes by the same method to the same tolerances; "shared" is the whole batch as one system, "alone" one call
for each geodesic. The error of an end is the largest over the batch, against a run at a tolerance of 1e-13.

The second table is of one logarithm on other libraries, as ratios to numpy's; JAX's once it has compiled what
outlasts a call.
"""

import statistics
import time

import array_api_compat
import jax
import numpy as np
import torch
from scipy.integrate import solve_ivp
from symbolic_table import markdown

import lnegeom

COUNT, ROUNDS, TOLERANCE = 50, 3, 1e-10
RNG = np.random.default_rng(0)
GRID = lnegeom.flow.TorusGrid((16, 16))
CASES = {
    "LNE(1.0), n = 3": (lnegeom.LNE(1.0), RNG.uniform(-0.3, 0.3, (COUNT, 3))),
    "Fisher of Dirichlet, n = 3": (lnegeom.Fisher(lnegeom.Dirichlet(3)), RNG.uniform(0.5, 2, (COUNT, 3))),
    "FromGrid, n = 2": (
        lnegeom.FromGrid(lnegeom.flow.perturbed_flat(GRID, 0.3, seed=0), GRID),
        RNG.uniform(0, 6, (COUNT, 2)),
    ),
}


def scipy_end(metric, x, v, tolerance=TOLERANCE):
    """Ends of a batch as one system."""
    count, n = x.shape

    def slope(_, state):
        points, velocities = state.reshape(2, count, n)
        return np.concatenate([velocities, -metric.christoffel_apply(points, velocities, velocities)]).ravel()

    state = np.concatenate([x, v]).ravel()
    found = solve_ivp(slope, (0, 1), state, method="DOP853", rtol=tolerance, atol=tolerance)
    return found.y[:, -1].reshape(2, count, n)[0]


def medians(calls):
    """Median processor seconds of each call, interleaved."""
    times = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def row(name, metric, x):
    v = RNG.uniform(-1, 1, x.shape)
    v *= np.geomspace(0.01, 0.5, COUNT)[:, None] / metric.norm(x, v)[:, None]  # short and long ones
    exact = np.concatenate([scipy_end(metric, a[None], b[None], 1e-13) for a, b in zip(x, v, strict=True)])
    y = lnegeom.exp(metric, x, v)
    ends = medians(
        {
            "batch": lambda: lnegeom.exp(metric, x, v),
            "loop": lambda: [lnegeom.exp(metric, a, b) for a, b in zip(x, v, strict=True)],
            "shared": lambda: scipy_end(metric, x, v),
            "alone": lambda: [scipy_end(metric, a[None], b[None]) for a, b in zip(x, v, strict=True)],
        }
    )
    logs = medians(
        {
            "batch": lambda: lnegeom.log(metric, x, y),
            "loop": lambda: [lnegeom.log(metric, a, b) for a, b in zip(x, y, strict=True)],
        }
    )
    errors = [np.abs(found - exact).max() for found in (y, scipy_end(metric, x, v))]
    ratios = [ends[name] / ends["batch"] for name in ("loop", "alone", "shared")]
    return [
        name,
        f"{1e3 * ends['batch']:.1f} ms",
        *(f"{ratio:.1f}×" for ratio in ratios),
        *(f"{error:.0e}" for error in errors),
        f"{1e3 * logs['batch']:.1f} ms",
        f"{logs['loop'] / logs['batch']:.1f}×",
    ]


def wavy(x):
    """A metric in the library of its points."""
    xp = array_api_compat.array_namespace(x)
    a, b = x[..., 0], x[..., 1]
    rows = [[2 + xp.sin(a + b), 0.3 * xp.cos(a)], [0.3 * xp.cos(a), 2 + xp.cos(a) * xp.sin(b)]]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


OWN = {
    "LNE(1.0)": lnegeom.LNE(1.0),
    "`Fisher(Dirichlet(2))`": lnegeom.Fisher(lnegeom.Dirichlet(2)),
    "`FromCallable`": lnegeom.FromCallable(wavy, 2, vectorized=True),
}


def library_row(name, metric):
    x, v = np.array([0.4, 0.3]), np.array([0.15, 0.1])
    y = lnegeom.exp(metric, x, v)
    given = {"numpy": (x, y), "torch": (torch.from_numpy(x), torch.from_numpy(y))}
    given["JAX"] = tuple(map(jax.numpy.asarray, (x, y)))
    found = medians({key: lambda pair=pair: lnegeom.log(metric, *pair) for key, pair in given.items()})
    ratios = [f"{found[key] / found['numpy']:.1f}×" for key in ("torch", "JAX")]
    return [name, f"{1e3 * found['numpy']:.1f} ms", *ratios]


def main():
    jax.config.update("jax_enable_x64", True)
    print(markdown(["metric", "`log`, numpy", "torch", "JAX"], [library_row(*case) for case in OWN.items()]))
    print()
    head = ["metric", "`exp`, batch", "loop", "scipy alone", "scipy shared", "error", "error of shared"]
    print(markdown([*head, "`log`, batch", "loop"], [row(name, *case) for name, case in CASES.items()]))


if __name__ == "__main__":
    main()
