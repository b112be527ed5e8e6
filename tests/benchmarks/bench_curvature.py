"""Ricci tensor of a user's metric, against hand-written torch.func; closed forms against differentiation.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_curvature.py [--repeats 7]

The baseline differentiates the Christoffel symbols of the same function, jacfwd of (inverse, jacfwd), under
vmap. Each round times every candidate once, and the median ratio to that round's baseline is reported, with
the largest error against the baseline's result. First calls are in a column of their own.
"""

import argparse
import platform
import statistics
import time

import numpy as np
import torch
from torch.func import jacfwd, vmap

import lnegeom
from lnegeom.report import text_table


def user_metric(x):
    """A generic metric: the identity plus waves and a rank one, in any dimension."""
    n = x.shape[-1]
    wave = 0.3 * torch.sin(x[:, None] + 2 * x[None, :] + torch.arange(n, dtype=x.dtype))
    return torch.eye(n, dtype=x.dtype) * (2 + n / 4) + (wave + wave.T) / 2 + 0.1 * torch.outer(x, x)


def user_metric_numpy(x):
    """The same for numpy points (..., n)."""
    n = x.shape[-1]
    wave = 0.3 * np.sin(x[..., :, None] + 2 * x[..., None, :] + np.arange(n))
    outer = x[..., :, None] * x[..., None, :]
    return np.eye(n) * (2 + n / 4) + (wave + np.swapaxes(wave, -1, -2)) / 2 + 0.1 * outer


def hand_written(metric):
    def christoffel(x):
        dg = jacfwd(metric)(x)  # (i, j, a)
        low = (dg.permute(0, 2, 1) + dg - dg.permute(2, 0, 1)) / 2  # (k, i, j)
        return torch.einsum("kl,lij->kij", torch.linalg.inv(metric(x)), low)

    def ricci(x):
        gamma, d = christoffel(x), jacfwd(christoffel)(x)  # d: (r, v, s, m)
        return (
            torch.einsum("rvsr->sv", d)
            - torch.einsum("rrsv->sv", d)
            + torch.einsum("rrl,lvs->sv", gamma, gamma)
            - torch.einsum("rvl,lrs->sv", gamma, gamma)
        )

    return vmap(ricci)


def lne_callable(x):
    u = torch.tanh(x / 4)
    return torch.eye(x.shape[-1], dtype=x.dtype) - torch.outer(u, u)


def seconds(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def compare(candidates, repeats):
    """Rows of (name, first call's ratio, median ratio, error); the first candidate is the baseline."""
    first = {name: seconds(f) for name, f in candidates.items()}
    rounds = [[seconds(f)[0] for f in candidates.values()] for _ in range(repeats)]
    reference = np.asarray(next(iter(first.values()))[1])
    scale = np.abs(reference).max()
    base_first = next(iter(first.values()))[0]
    for index, (name, (cold, result)) in enumerate(first.items()):
        ratio = statistics.median(row[index] / row[0] for row in rounds)
        error = np.abs(np.asarray(result) - reference).max() / scale
        milliseconds = 1e3 * statistics.median(row[index] for row in rounds)
        yield [name, f"{1 / ratio:.2f}", f"{base_first / cold:.2f}", f"{milliseconds:.1f}", f"{error:.1e}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, {platform.machine()}, one thread, float64")
    headers = ["candidate", "times as fast", "first call", "ms", "relative error"]
    for points, n in ((1000, 4), (10, 16)):
        x = np.random.default_rng(0).uniform(-1, 1, (points, n))
        t = torch.from_numpy(x)
        baseline = hand_written(user_metric)
        ours = lnegeom.FromCallable(user_metric, n)
        differences = lnegeom.FromCallable(user_metric_numpy, n, vectorized=True)
        print(f"\nRicci of a user's callable, {points} points, n = {n}")
        rows = compare(
            {
                "hand-written torch.func, vmap": lambda b=baseline, t=t: b(t),
                "FromCallable, torch": lambda m=ours, t=t: m.ricci(t),
                "FromCallable, numpy, differences": lambda m=differences, x=x: m.ricci(x),
            },
            options.repeats,
        )
        print(text_table(headers, list(rows)))

    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1000, 4)))
    scale = lnegeom.LogCosh(1.0)
    graph = lnegeom.Graph(scale, sign=1)

    def graph_callable(y):
        p = scale.gradient(y)
        return torch.eye(4, dtype=y.dtype) + torch.outer(p, p)

    print("\nRicci in closed form against automatic differentiation, 1000 points, n = 4")
    for name, closed, function in (
        ("LNE", lnegeom.LNE(0.25), lne_callable),
        ("Graph(LogCosh)", graph, graph_callable),
        ("Hessian(LogSumExp)", lnegeom.Hessian(lnegeom.LogSumExp()), lnegeom.LogSumExp().hessian),
    ):
        automatic = lnegeom.FromCallable(function, 4)
        rows = compare(
            {
                f"{name} by automatic differentiation": lambda m=automatic: m.ricci(x),
                f"{name} in closed form": lambda m=closed: m.ricci(x),
            },
            options.repeats,
        )
        print(text_table(headers, list(rows)))


if __name__ == "__main__":
    main()
