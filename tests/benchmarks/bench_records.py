"""What recording a metric's derivatives (trace=True) gains, for torch and JAX, and what it costs at first.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_records.py [--rounds 9]

Each round times every candidate once, in turn, in processor time; ratios are medians over rounds. "Recording"
is the first call of a recorded metric less a later one, where torch's transforms are loaded. The second table
sets the same jets through three executors: torch's transforms at each call, the record, and the record as
compiled by torch's inductor, which needs a C++ compiler.
"""

import argparse
import os
import platform
import statistics
import time

os.environ.setdefault("JAX_ENABLE_X64", "1")

import jax
import numpy as np
import torch
from bench_curvature import user_metric
from symbolic_table import markdown

import lnegeom
from lnegeom.derivatives import jet


def waves(x):
    """`bench_curvature.user_metric` on JAX."""
    jnp, n = jax.numpy, x.shape[-1]
    wave = 0.3 * jnp.sin(x[:, None] + 2 * x[None, :] + jnp.arange(n, dtype=x.dtype))
    return jnp.eye(n, dtype=x.dtype) * (2 + n / 4) + (wave + wave.T) / 2 + 0.1 * jnp.outer(x, x)


def surface(x):
    """A bumpy sphere in space."""
    radius, around = 1 + 0.2 * torch.cos(3 * x[0]) * torch.sin(2 * x[1]), torch.sin(x[0])
    return radius * torch.stack([around * torch.cos(x[1]), around * torch.sin(x[1]), torch.cos(x[0])])


def hill(x):
    return torch.exp(-x @ x)


def divergence(p, q):
    return ((p - q) ** 2).sum() * (1 + (p**2).sum()) + ((p - q) ** 4).sum()


def callable_metric(n, function=user_metric):
    return lambda trace: lnegeom.FromCallable(function, n, trace=trace)


def pullback(trace):
    return lnegeom.Pullback(surface, 2, trace=trace)


def christoffel(metric, x):
    return metric.christoffel(x)


def ricci(metric, x):
    return metric.ricci(x)


def geodesic(metric, x):
    return lnegeom.geodesic(metric, x[0], 0.2 + 0 * x[0], samples=2).points


CASES = [
    ("`FromCallable`, Ricci", callable_metric(4), ricci, 1000, 4),
    ("`FromCallable`, Ricci", callable_metric(16), ricci, 10, 16),
    ("`FromCallable`, Ricci", callable_metric(4), ricci, 1, 4),
    ("`FromCallable`, Christoffel symbols", callable_metric(4), christoffel, 1, 4),
    ("`FromCallable`, a geodesic", callable_metric(4), geodesic, 1, 4),
    ("`Pullback`, Ricci", pullback, ricci, 100, 2),
    ("`Pullback`, a geodesic", pullback, geodesic, 1, 2),
    ("`Graph`, Ricci", lambda trace: lnegeom.Graph(hill, trace=trace), ricci, 100, 4),
    (
        "`FromDivergence`, Ricci",
        lambda trace: lnegeom.FromDivergence(divergence, 2, trace=trace),
        ricci,
        100,
        2,
    ),
]


def seconds(function):
    start = time.process_time()
    result = function()
    if not isinstance(result, torch.Tensor | tuple):
        result.block_until_ready()
    return time.process_time() - start, result


def medians(calls, rounds):
    """Median milliseconds of each call, and of the first one's ratio to each."""
    for call in calls:
        call()
    times = [[seconds(call)[0] for call in calls] for _ in range(rounds)]
    ratios = [statistics.median(row[0] / row[i] for row in times) for i in range(len(calls))]
    return [1e3 * statistics.median(column) for column in zip(*times, strict=True)], ratios


def row(name, build, call, x, rounds):
    plain, traced = build(False), build(True)
    call(plain, x)
    first, found = seconds(lambda: call(traced, x))
    gap = np.abs(np.asarray(found) - np.asarray(call(plain, x))).max()
    (before, after), (_, ratio) = medians([lambda: call(plain, x), lambda: call(traced, x)], rounds)
    shown = f"{first - after / 1e3:.2f}"
    return [name, len(x), x.shape[-1], f"{before:.2f}", f"{after:.2f}", f"{ratio:.1f}", shown, f"{gap:.0e}"]


def rows(rounds):
    for name, build, call, points, n in CASES:
        x = torch.from_numpy(np.random.default_rng(0).uniform(0.2, 1, (points, n)))
        yield row(name, build, call, x, rounds)
    for points, n in ((1000, 4), (1, 4)):
        x = jax.numpy.asarray(np.random.default_rng(0).uniform(0.2, 1, (points, n)))
        yield row("`FromCallable`, Ricci, JAX", callable_metric(n, waves), ricci, x, rounds)


def executors(rounds):
    for points, n in ((1000, 4), (10, 16), (1, 4)):
        x = torch.from_numpy(np.random.default_rng(0).uniform(0.2, 1, (points, n)))
        traced = lnegeom.FromCallable(user_metric, n, trace=True).function
        recording = seconds(lambda: jet(traced, x).second)[0]  # noqa: B023 (called at once)
        (program,) = traced._programs.values()
        mapped = torch.func.vmap(program)
        compiled = torch.compile(mapped)
        start = time.perf_counter()
        compiled(x)
        compiling = time.perf_counter() - start
        calls = [lambda: jet(user_metric, x).second, lambda: mapped(x), lambda: compiled(x)]  # noqa: B023
        (plain, after, fused), _ = medians(calls, rounds)
        yield [
            points,
            n,
            f"{plain:.2f}",
            f"{after:.2f}",
            f"{recording:.2f}",
            f"{fused:.2f}",
            f"{compiling:.1f}",
        ]


def embedding_rows(rounds):
    for points in (1, 1000):
        x = torch.from_numpy(np.random.default_rng(0).uniform(0.2, 1, (points, 2)))
        metric = pullback(False)
        xp = metric._at(x)[0]
        both = [
            lambda: metric._matrix(xp, metric._curved_local(xp, x)),  # noqa: B023
            lambda: metric._matrix(xp, metric._local(xp, x)),  # noqa: B023
        ]
        (before, after), (_, ratio) = medians(both, rounds)
        yield [points, f"{before:.2f}", f"{after:.2f}", f"{ratio:.1f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, JAX {jax.__version__}, {platform.machine()}, one thread, float64\n")
    headers = ["what", "points", "n", "ms", "recorded, ms", "times as fast", "recording, s", "difference"]
    print(markdown(headers, rows(rounds)))
    print("\nThe same jets through three executors\n")
    headers = [
        "points",
        "n",
        "transforms, ms",
        "record, ms",
        "recording, s",
        "inductor, ms",
        "compiling, s (wall)",
    ]
    print(markdown(headers, executors(rounds), text=0))
    print("\n`Pullback.matrix`\n")
    headers = ["points", "with second derivatives, ms", "first alone, ms", "times as fast"]
    print(markdown(headers, embedding_rows(rounds), text=0))


if __name__ == "__main__":
    main()
