"""The box flow's stabilised steps against scipy's solvers of ordinary differential equations.

    python tests/benchmarks/bench_box.py

The same right-hand side, the cigar soliton on a box with moving faces, each solver at the loosest of the
tolerances 10⁻³, 10⁻⁴, … that ends with an error below 10⁻⁵. Rounds are interleaved; the median of the ratios
of processor times to the same round's stabilised run is given. Four minutes on a quiet machine.
"""

import functools
import statistics
import time

import numpy as np
from scipy.integrate import solve_ivp

from lnegeom import flow
from lnegeom.flow.box_flow import _Equation
from lnegeom.flow.small import pack
from lnegeom.flow.stabilised import Chebyshev

END, GOAL, ROUNDS = 0.3, 1e-5, 3
TOLERANCES = [10.0**-k for k in range(3, 10)]
SOLVERS = ("RK45", "LSODA", "BDF", "Radau")


class Case:
    def __init__(self, size):
        self.grid = flow.BoxGrid((size, size), (1.0, 1.0))
        x = self.grid.coordinates()
        self.equation = _Equation(self.grid, flow.cigar(x, 0.0), flow.cigar)
        self.start, self.end = (pack(np, flow.cigar(x, t))[self.equation.inner] for t in (0.0, END))
        self.calls = 0

    def velocity(self, t, y):
        self.calls += 1
        return self.equation.velocity(t, y)

    def stabilised(self, rtol):
        step = Chebyshev(self.velocity, self.equation.radius, self.equation.allowed(rtol), 1e-3 * END)
        t, y = 0.0, self.start
        while t < END:
            t, y = step(t, y, END)
        return y

    def scipy(self, method, rtol):
        def flat(t, y):
            return self.velocity(t, y.reshape(self.start.shape)).ravel()

        solved = solve_ivp(flat, (0.0, END), self.start.ravel(), method, rtol=rtol, atol=rtol * 0.1)
        return solved.y[:, -1].reshape(self.start.shape)

    def measure(self, run, rtol):
        self.calls, begin = 0, time.process_time()
        error = float(np.max(np.abs(run(rtol) - self.end)))
        return time.process_time() - begin, error, self.calls


def loosest(case, run):
    """The first tolerance that meets the goal, with what a first run at it found."""
    for rtol in TOLERANCES:
        _, error, calls = case.measure(run, rtol)
        if error < GOAL:
            return rtol, error, calls
    raise RuntimeError("no tolerance meets the goal")


def main():
    print("| grid | solver | right-hand sides | error | processor time / stabilised |")
    print("|---|---|---:|---:|---:|")
    for size in (8, 16):
        case = Case(size)
        runs = {"stabilised": case.stabilised}
        runs |= {method: functools.partial(case.scipy, method) for method in SOLVERS}
        chosen = {name: loosest(case, run) for name, run in runs.items()}
        times = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                times[name].append(case.measure(run, chosen[name][0])[0])
        for name, (_, error, calls) in chosen.items():
            ratio = statistics.median(a / b for a, b in zip(times[name], times["stabilised"], strict=True))
            print(f"| {size}² | {name} | {calls} | {error:.0e} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
