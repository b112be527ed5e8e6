"""Compiled curvature against closed forms written by hand, in numpy, torch and JAX, at 10⁵ points.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_compiled.py [--rounds 15] [--points 100000]

Each round calls both once, in turn, on the same float64 points, in one thread; the median of the rounds'
ratios of CPU seconds is printed, and before that both are checked against each other. The hand-written
formulas are the shortest that we know: for Kerr's Riemann tensor the frame of Carter, in which it has two
functions. JAX is timed under `jax.jit`; torch and JAX are left out where they are not installed.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from symbolic_table import markdown

from lnegeom import symbolic
from lnegeom.symbolic._code import BACKENDS

MASS, SPIN = 1.0, 0.6


def filled(xp, x, rank, entries):
    """Tensors with the given entries, the others zero."""
    shape = (*x.shape, *[x.shape[-1]] * (rank - 1))
    if xp.__name__ == "jax.numpy":
        parts = [xp.zeros_like(x[..., 0])] * x.shape[-1] ** rank
        for index, value in entries.items():
            parts[int(np.ravel_multi_index(index, [x.shape[-1]] * rank))] = value
        return xp.stack(parts, -1).reshape(shape)
    out = xp.zeros(shape, dtype=x.dtype)
    for index, value in entries.items():
        out[(..., *index)] = value
    return out


def sphere_ricci(xp, x):
    return filled(xp, x, 2, {(0, 0): xp.ones_like(x[..., 0]), (1, 1): xp.sin(x[..., 0]) ** 2})


def lne_ricci(xp, x):
    u = xp.tanh(x)
    square = u * u
    h = 1 - square
    w = (1 - square.sum(-1))[..., None]
    total = (h * (1 + square / w)).sum(-1)[..., None]
    hu = h * u
    out = hu[..., :, None] * (hu / (w * w))[..., None, :]
    diagonal = h * (total - h) / w
    index = list(range(x.shape[-1]))
    if xp.__name__ == "jax.numpy":
        return out.at[..., np.array(index), np.array(index)].add(-diagonal)
    out[..., index, index] -= diagonal
    return out


def kerr_kretschmann(xp, x):
    r2, ac2 = x[..., 1] ** 2, SPIN**2 * xp.cos(x[..., 2]) ** 2
    sigma = r2 + ac2
    square = sigma * sigma
    return 48 * MASS**2 * (r2 - ac2) * (square - 16 * r2 * ac2) / (square * square * square)


def kerr_riemann(xp, x):
    """R_ijkl from E + iB = M / (r − i a cos θ)³ and the bivectors of Carter's frame."""
    r, s, c = x[..., 1], xp.sin(x[..., 2]), SPIN * xp.cos(x[..., 2])
    r2, c2, s2 = r * r, c * c, s * s
    sigma, k, drag = r2 + c2, r2 + SPIN**2, SPIN * s2
    delta = k - 2 * MASS * r
    cube = MASS / (sigma * sigma * sigma)
    e, b = r * (r2 - 3 * c2) * cube, c * (c2 - 3 * r2) * cube * s
    over, down = e / delta, e * delta
    tr, tx, tp, rx, rp, xp_ = (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)
    pairs = {
        (tr, tr): -2 * e - over * SPIN * drag,
        (tr, rp): -drag * (2 * e + over * k),
        (rp, rp): -2 * e * drag * drag - over * k * k * s2,
        (tx, tx): down + 2 * e * SPIN * drag,
        (tx, xp_): drag * (down + 2 * e * k),
        (xp_, xp_): down * drag * drag + 2 * e * k * k * s2,
        (tr, tx): -3 * SPIN * b,
        (tr, xp_): -b * (2 * k + SPIN * drag),
        (rp, tx): -b * (k + 2 * SPIN * drag),
        (rp, xp_): -3 * drag * k * b,
        (tp, tp): down * s2,
        (rx, rx): -over * sigma * sigma,
        (tp, rx): b * sigma,
    }
    entries = {}
    for (first, second), value in pairs.items():
        opposite = -value
        for (i, j), (m, n) in ((first, second), (second, first)):
            entries[i, j, m, n] = entries[j, i, n, m] = value
            entries[j, i, m, n] = entries[i, j, n, m] = opposite
    return filled(xp, x, 4, entries)


def cases(points):
    """Name, tensor, hand-written function, points."""
    rng = np.random.default_rng(0)
    hole = rng.uniform([0, 3, 0.5, 0], [1, 9, 2.5, 6], (points, 4))
    kerr = symbolic.kerr(1, symbolic.parse("0.6", {}))
    return (
        ("sphere, Ricci", symbolic.sphere(2).ricci, sphere_ricci, rng.uniform(0.5, 2.5, (points, 2))),
        ("LNE, n = 4, Ricci", symbolic.lne(4, 1).ricci, lne_ricci, rng.uniform(-0.4, 0.4, (points, 4))),
        ("Kerr, Kretschmann", kerr.kretschmann, kerr_kretschmann, hole),
        ("Kerr, Riemann", kerr.riemann_lowered, kerr_riemann, hole),
    )


def library(backend):
    """The namespace, how to make and wait for arrays, and how to prepare functions."""
    if backend == "numpy":
        return np, np.asarray, lambda f: f, lambda out: out
    if backend == "torch":
        import torch

        torch.set_num_threads(1)
        return torch, torch.tensor, lambda f: f, lambda out: out
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax.numpy, jax.numpy.asarray, jax.jit, lambda out: out.block_until_ready()


def ratio(backend, tensor, hand, points, rounds):
    """Milliseconds of the compiled function, and the median ratio to the hand-written one."""
    xp, convert, prepare, wait = library(backend)
    x = convert(points)
    compiled, written = prepare(tensor.compile(backend)), prepare(lambda y: hand(xp, y))
    np.testing.assert_allclose(np.asarray(compiled(x)), np.asarray(written(x)), rtol=1e-8, atol=1e-12)
    times, ratios = [], []
    for _ in range(rounds):
        start = time.process_time()
        wait(written(x))
        middle = time.process_time()
        wait(compiled(x))
        times.append(time.process_time() - middle)
        ratios.append(times[-1] / (middle - start))
    return 1e3 * statistics.median(times), statistics.median(ratios)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--points", type=int, default=10**5)
    options = parser.parse_args()
    backends = [b for b in BACKENDS if importlib.util.find_spec(b)]
    rows = []
    for name, tensor, hand, points in cases(options.points):
        found = [ratio(backend, tensor, hand, points, options.rounds) for backend in backends]
        rows.append([name, *(f"{r:.2f} ({ms:.1f} ms)" for ms, r in found)])
        print(rows[-1], flush=True)
    print(f"{platform.machine()}, numpy {np.__version__}, {options.points} points, {options.rounds} rounds\n")
    print(markdown(["what", *backends], rows))


if __name__ == "__main__":
    main()
