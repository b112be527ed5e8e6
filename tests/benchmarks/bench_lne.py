"""LNE at n = 10⁷ against one allocating np.tanh of the same array.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_lne.py [--n 10000000] [--repeats 9]

Each round times every candidate once, in turn, in processor time, which other programs disturb little, and
takes its ratio to that round's tanh. Memory is the most that tracemalloc saw, in vectors of n doubles, with
the result.
"""

import argparse
import platform
import statistics
import time
import tracemalloc

import numpy as np
from symbolic_table import markdown

import lnegeom


def seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def peak(function):
    tracemalloc.start()
    function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10**7)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal(options.n) * (0.5 / options.n**0.5)
    v = rng.standard_normal(options.n)
    metric = lnegeom.LNE(1.0)

    def plain_sharp():
        u = np.tanh(x)
        return v + u * ((u @ v) / (1 - u @ u))

    def plain_ricci():
        u = np.tanh(x)
        w, h = 1 - u @ u, 1 - u**2
        trace = np.sum(h * (1 + u**2 / w))
        return -h * (trace - h) / w * v + h * u / w * ((h * u / w) @ v)

    candidates = {
        "`np.tanh(x)`, the floor": lambda: np.tanh(x),
        "`LNE.sharp`": lambda: metric.sharp(x, v),
        "the same in plain numpy, unchecked": plain_sharp,
        "`LNE.christoffel_apply`": lambda: metric.christoffel_apply(x, v, v),
        "`LNE.ricci_apply`": lambda: metric.ricci_apply(x, v),
        "the same in plain numpy, unchecked ": plain_ricci,
        "`LNE.scalar_curvature`": lambda: metric.scalar_curvature(x),
    }
    rounds = [[seconds(f) for f in candidates.values()] for _ in range(options.repeats + 1)][1:]
    ratios = zip(*([t / row[0] for t in row] for row in rounds), strict=True)
    rows = []
    for (name, function), column in zip(candidates.items(), ratios, strict=True):
        spread = [f"{value:.2f}" for value in (statistics.median(column), min(column), max(column))]
        rows.append([name.strip(), *spread, f"{peak(function) / x.nbytes:.2f}"])
    print(
        f"n = {options.n}, {options.repeats} rounds, numpy {np.__version__}, {platform.machine()}, one thread"
    )
    print(markdown(["what", "median ratio", "least", "most", "memory"], rows))


if __name__ == "__main__":
    main()
