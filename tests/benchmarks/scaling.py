"""How time grows with the dimension and with the number of points: fitted exponents, and their picture.

    OMP_NUM_THREADS=1 python tests/benchmarks/scaling.py [--out docs/images/scaling.png]

Processor time, the least of several calls; exponents are slopes of log time over the upper half of the sizes.
"""

import argparse
import functools
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from bench_curvature import GenericPotential, user_metric
from symbolic_table import markdown

import lnegeom

RNG = np.random.default_rng(0)
LNE = lnegeom.LNE(1.0)


def least(function, calls=5):
    function()
    times = []
    for _ in range(calls):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def point(n):
    return RNG.standard_normal(n) * (0.5 / n**0.5)


def user(points, n):
    metric, x = lnegeom.FromCallable(user_metric, n), torch.from_numpy(RNG.uniform(-1, 1, (points, n)))
    return lambda: metric.ricci(x)


def hessian(points, n, potential=None):
    metric = lnegeom.Hessian(potential or GenericPotential())
    x = 2 ** RNG.uniform(-1, 1, (points, n))
    return lambda: metric.ricci(x)


def applied(name):
    def at(n):
        x, v = point(n), RNG.standard_normal(n)
        return lambda: getattr(LNE, name)(x, v)

    return at


def step(n):
    x, v = point(n), point(n)
    return lambda: lnegeom.retract(LNE, x, v)


BY_DIMENSION = {
    "LNE sharp": (applied("sharp"), [10**k for k in (3, 4, 5, 6, 7)]),
    "LNE Ricci application": (applied("ricci_apply"), [10**k for k in (3, 4, 5, 6, 7)]),
    "LNE retraction": (step, [10**k for k in (3, 4, 5, 6)]),
    "LNE Ricci tensor": (lambda n: functools.partial(LNE.ricci, point(n)), [64, 128, 256, 512, 1024, 2048]),
    "Hessian Ricci tensor": (lambda n: hessian(1, n), [8, 16, 32, 64, 128]),
    "Dirichlet Ricci tensor": (
        lambda n: hessian(1, n, lnegeom.Dirichlet(n).log_partition),
        [64, 128, 256, 512, 1024, 2048],
    ),
    "callable's Ricci tensor (torch)": (lambda n: user(1, n), [4, 8, 16, 32, 48]),
}
BY_POINTS = {
    "callable's Ricci tensor (torch), n = 4": (lambda p: user(p, 4), [1, 10, 100, 1000, 10000, 50000]),
    "Hessian Ricci tensor, n = 4": (lambda p: hessian(p, 4), [1, 10, 100, 1000, 10000, 100000]),
    "LNE Ricci tensor, n = 4": (
        lambda p: functools.partial(LNE.ricci, RNG.uniform(-0.4, 0.4, (p, 4))),
        [1, 10, 100, 1000, 10000, 100000],
    ),
}


def exponent(sizes, times):
    upper = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[upper:]), np.log(times[upper:]), 1)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="docs/images/scaling.png")
    options = parser.parse_args()
    torch.set_num_threads(1)
    figure, axes = plt.subplots(1, 2, figsize=(10, 5.5), layout="constrained")
    rows = []
    for axis, cases, label in ((axes[0], BY_DIMENSION, "dimension n"), (axes[1], BY_POINTS, "points")):
        for name, (make, sizes) in cases.items():
            times = [least(make(size)) for size in sizes]
            slope = exponent(sizes, times)
            axis.loglog(sizes, times, marker="o", markersize=4, label=f"{name}: {slope:.2f}")
            rows.append([name, label, f"{sizes[0]} to {sizes[-1]}", f"{slope:.2f}"])
        axis.set(xlabel=label, ylabel="seconds")
        axis.grid(alpha=0.2)
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15)}  # below, off the lines
        axis.legend(frameon=False, fontsize="small", title="exponent", **place)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(options.out, dpi=120, metadata={"Software": None})
    print(markdown(["what", "against", "sizes", "exponent"], rows, text=3))


if __name__ == "__main__":
    main()
