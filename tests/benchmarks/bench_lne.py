"""LNE at n = 10⁷ against the floor, one pass of tanh over the same array into a ready buffer.

    python tests/benchmarks/bench_lne.py [--n 10000000] [--repeats 9]

Each round times every candidate once, in turn, and takes its ratio to that round's floor; the median ratio is
reported, so that a noisy machine slows both alike.
"""

import argparse
import platform
import statistics
import time

import numpy as np

import lnegeom
from lnegeom.report import text_table


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10**7)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal(options.n) * (0.5 / options.n**0.5)
    v = rng.standard_normal(options.n)
    buffer = np.empty_like(x)
    metric = lnegeom.LNE(1.0)

    def plain_numpy():
        u = np.tanh(x)
        return v + u * ((u @ v) / (1 - u @ u))

    candidates = {
        "numpy.tanh(x, out=buffer), the floor": lambda: np.tanh(x, out=buffer),
        "LNE.sharp": lambda: metric.sharp(x, v),
        "the same in plain numpy, unchecked": plain_numpy,
        "LNE.ricci_apply": lambda: metric.ricci_apply(x, v),
        "LNE.scalar_curvature": lambda: metric.scalar_curvature(x),
    }
    rounds = [[seconds(f) for f in candidates.values()] for _ in range(options.repeats + 1)][1:]
    ratios = [[t / row[0] for t in row] for row in rounds]
    rows = []
    for name, column in zip(candidates, zip(*ratios, strict=True), strict=True):
        rows.append([name, f"{statistics.median(column):.2f}", f"{min(column):.2f}", f"{max(column):.2f}"])
    print(f"n = {options.n}, {options.repeats} rounds, numpy {np.__version__}, {platform.machine()}")
    print(text_table(["what", "median ratio", "least", "most"], rows))


if __name__ == "__main__":
    main()
