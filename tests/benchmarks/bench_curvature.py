"""Ricci tensor of a user's metric, against hand-written torch.func; closed forms against differentiation.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_curvature.py [--repeats 15] [--geomstats PYTHON]

The baseline differentiates the Christoffel symbols of the same function, jacfwd of (inverse, jacfwd), under
vmap. Each round times every candidate once, in turn, in processor time, which other programs disturb
little; the median ratio to that round's baseline is reported, and the largest error against the baseline's
result. First calls are each in a process of their own. `--geomstats` names an interpreter that can import
geomstats (and, for its pytorch backend, torch); each of its runs may take four minutes. `--backends` names
those of its backends to run.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from symbolic_table import markdown as markdown_table
from torch.func import jacfwd, vmap

import lnegeom


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
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def compare(candidates, repeats):
    """Rows of (name, median ratio, ms, error); the first candidate is the baseline."""
    results = {name: f() for name, f in candidates.items()}
    rounds = [[seconds(f)[0] for f in candidates.values()] for _ in range(repeats)]
    reference = np.asarray(next(iter(results.values())))
    scale = np.abs(reference).max()
    for index, (name, result) in enumerate(results.items()):
        ratio = statistics.median(row[0] / row[index] for row in rounds)
        error = np.abs(np.asarray(result) - reference).max() / scale
        milliseconds = 1e3 * statistics.median(row[index] for row in rounds)
        yield [name, f"{ratio:.2f}", f"{milliseconds:.1f}", f"{error:.1e}"]


SIZES = ((1000, 4), (10, 16))


def candidates(points, n):
    x = np.random.default_rng(0).uniform(-1, 1, (points, n))
    t = torch.from_numpy(x)
    baseline, ours = hand_written(user_metric), lnegeom.FromCallable(user_metric, n)
    recorded = lnegeom.FromCallable(user_metric, n, trace=True)
    differences = lnegeom.FromCallable(user_metric_numpy, n, vectorized=True)
    return {
        "hand-written torch.func, vmap": lambda: baseline(t),
        "FromCallable, torch": lambda: ours.ricci(t),
        "FromCallable, torch, trace=True": lambda: recorded.ricci(t),
        "FromCallable, numpy, differences": lambda: differences.ricci(x),
    }


def first_call(size, index):
    """Seconds of a candidate's first call, in a fresh process that has imported everything."""
    name = [sys.executable, __file__, "--first", json.dumps([size, index])]
    done = subprocess.run(name, check=True, capture_output=True, text=True)
    return float(done.stdout)


GEOMSTATS = """
import os, sys, time
import numpy as np
import geomstats.backend as gs
from geomstats.geometry.euclidean import Euclidean
from geomstats.geometry.riemannian_metric import RiemannianMetric

class Metric(RiemannianMetric):
    def metric_matrix(self, base_point=None):
        x, n = base_point, base_point.shape[-1]
        wave = 0.3 * gs.sin(x[..., :, None] + 2 * x[..., None, :] + 1.0 * gs.arange(n))
        wave = (wave + gs.moveaxis(wave, -1, -2)) / 2
        return gs.eye(n) * (2 + n / 4) + wave + 0.1 * x[..., :, None] * x[..., None, :]

points = gs.array(np.random.default_rng(0).uniform(-1, 1, tuple(map(int, sys.argv[1:]))))
metric = Metric(Euclidean(points.shape[-1], equip=False))
metric.ricci_tensor(points[:2])
start = time.process_time()
ricci = metric.ricci_tensor(points)
print(time.process_time() - start)
print(np.asarray(ricci).tolist())
"""


# Processor seconds that a run of geomstats may take.
LIMIT = 240


def geomstats_rows(python, size, backends):
    """Rows of its backends, each of one run over all points."""
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, size))
    metric = lnegeom.FromCallable(user_metric, size[1])
    right = metric.ricci(x).numpy()
    recorded = lnegeom.FromCallable(user_metric, size[1], trace=True)
    recorded.ricci(x)
    own = [statistics.median(seconds(lambda: m.ricci(x))[0] for _ in range(9)) for m in (metric, recorded)]  # noqa: B023
    for backend in backends:
        environment = {**os.environ, "GEOMSTATS_BACKEND": backend}
        command = [python, "-c", GEOMSTATS, *map(str, size)]
        limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, **limited)
        if done.returncode < 0:
            yield [backend, f"> {LIMIT}", *(f"> {LIMIT / t:.0f}" for t in own), ""]
            continue
        if done.returncode:
            yield [backend, "raises " + done.stderr.strip().splitlines()[-1][:60], "", "", ""]
            continue
        took, found = done.stdout.strip().splitlines()[-2:]
        error = np.abs(np.array(json.loads(found)) - right).max() / np.abs(right).max()
        yield [backend, f"{float(took):.1f}", *(f"{float(took) / t:.0f}" for t in own), f"{error:.1e}"]


def divergences():
    """Families and points of them, 100 each, near edges of their domains too."""
    rng = np.random.default_rng(0)
    signs = np.array([1.0, -1.0])
    yield (
        "Normal, mean −1 to 1, std ⅓ to 3",
        lnegeom.Normal(),
        lnegeom.Normal().natural(rng.uniform(-1, 1, 100), 3.0 ** rng.uniform(-1, 1, 100)),
    )
    yield "Gamma, shape and rate 1/32 to 32", lnegeom.Gamma(), 2.0 ** rng.uniform(-5, 5, (100, 2)) * signs
    yield "Categorical(4), θ −3 to 3", lnegeom.Categorical(4), rng.uniform(-3, 3, (100, 3))
    yield (
        "Dirichlet(3), concentrations 0.03 to 10",
        lnegeom.Dirichlet(3),
        10 ** rng.uniform(-1.5, 1, (100, 3)),
    )
    yield "VonMisesFisher(3), κ to 5", lnegeom.VonMisesFisher(3), rng.uniform(-5, 5, (100, 3)) / 3**0.5


def divergence_rows():
    """Relative errors of Ricci of KL divergences by differences, at each point next to its largest entry."""
    for name, family, x in divergences():
        divergence = lnegeom.KL(family)
        exact = divergence.metric()
        induced = lnegeom.FromDivergence(divergence, family.dim, vectorized=True)
        took, found = seconds(lambda: induced.ricci(x))  # noqa: B023 (called at once)
        right = exact.ricci(x)
        error = np.abs(found - right).max(axis=(1, 2)) / np.abs(right).max(axis=(1, 2))
        mild = np.linalg.cond(exact.matrix(x)) <= 1e3
        numbers = [np.median(error[mild]), error[mild].max(), error.max()]
        milliseconds = f"{1e3 * took / len(x):.1f}"
        yield [name, str(mild.sum()), *(f"{value:.1e}" for value in numbers), milliseconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--geomstats", metavar="PYTHON")
    parser.add_argument("--backends", nargs="+", default=["pytorch", "autograd", "numpy"])
    parser.add_argument("--first", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.first:
        size, index = json.loads(options.first)
        print(seconds(list(candidates(*size).values())[index])[0])
        return
    print(f"torch {torch.__version__}, numpy {np.__version__}, {platform.machine()}, one thread, float64")
    headers = ["candidate", "times as fast", "ms", "relative error"]
    for size in SIZES:
        print(f"\nRicci of a user's callable, {size[0]} points, n = {size[1]}")
        rows = list(compare(candidates(*size), options.repeats))
        first = [first_call(size, index) for index in range(len(rows))]
        columns = [[f"{first[0] / f:.2f}", f"{1e3 * f:.0f}"] for f in first]
        rows = [[*row, *column] for row, column in zip(rows, columns, strict=True)]
        print(markdown_table([*headers, "first call", "first call, ms"], rows))
    print("\nRicci in closed form against automatic differentiation, 1000 points")
    rows = []
    for name, closed, function, n in closed_forms():
        x = torch.from_numpy(0.5 * np.random.default_rng(0).uniform(-1, 1, (1000, n)))
        automatic = lnegeom.FromCallable(function, n)
        pair = {name: lambda m=automatic, x=x: m.ricci(x), "closed": lambda m=closed, x=x: m.ricci(x)}
        rows.append([name, str(n), *list(compare(pair, options.repeats))[1][1:]])
    print(markdown_table(["metric", "n", "times as fast", "ms", "relative difference"], rows))
    print("\nRicci of KL divergences by differences, 100 points, relative errors")
    headers = ["family", "condition ≤ 1000", "median", "largest", "largest of all 100", "ms a point"]
    print(markdown_table(headers, divergence_rows()))
    if options.geomstats:
        headers = ["backend", "seconds", "FromCallable is times as fast", "recorded", "relative error"]
        for size in SIZES:
            print(f"\ngeomstats, Ricci of the same callable, {size[0]} points, n = {size[1]}")
            print(markdown_table(headers, list(geomstats_rows(options.geomstats, size, options.backends))))


def closed_forms():
    scale, categorical, generic = lnegeom.LogCosh(1.0), lnegeom.LogSumExp(), GenericPotential()

    def graph(y):
        p = scale.gradient(y)
        return torch.eye(4, dtype=y.dtype) + torch.outer(p, p)

    yield "LNE", lnegeom.LNE(0.25), lne_callable, 4
    yield "Graph(LogCosh)", lnegeom.Graph(scale, sign=1), graph, 4
    yield "Hessian(LogSumExp)", lnegeom.Hessian(categorical), categorical.hessian, 4
    for n in (4, 8):
        yield "Hessian of a potential of no known curvature", lnegeom.Hessian(generic), generic.hessian, n


class GenericPotential(lnegeom.LogSumExp):
    """Log-sum-exp plus a square: a metric of no constant curvature."""

    curvature = None

    def _hessian(self, xp, x):
        return super()._hessian(xp, x) + xp.eye(x.shape[-1], dtype=x.dtype)

    def _hessian_inverse(self, xp, x):
        return xp.linalg.inv(self._hessian(xp, x))


if __name__ == "__main__":
    main()
