"""Derivatives of integrated geodesics: what they cost beyond a call, and finite differences for comparison.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_geodesic_gradients.py

Processor time on torch, ten geodesics at once (one of LNE), medians of interleaved rounds, as ratios to the
call that asks for no derivative. "forward" is the same call where both arguments require grad, "backward" its
reverse pass, of both; "differences" are central ones in all directions, batched in one call. Errors are the
largest of an entry of the gradient, against the closed form's.
"""

import copy
import statistics
import time

import torch
from symbolic_table import markdown

import lnegeom

ROUNDS = 3


def half_space(x):
    return torch.eye(x.shape[-1], dtype=x.dtype) / x[..., -1, None, None] ** 2


def integrated(metric):
    metric = copy.copy(metric)
    metric.closed_form_geodesics = False
    return metric


CASES = {
    "half-space as a callable, n = 3": (lnegeom.FromCallable(half_space, 3, vectorized=True), 3, 10),
    "half-space, n = 3": (integrated(lnegeom.HalfSpace(3)), 3, 10),
    "half-space, n = 20": (integrated(lnegeom.HalfSpace(20)), 20, 10),
    "LNE, n = 100,000": (lnegeom.LNE(1.0), 10**5, 1),
}
FUNCTIONS = {
    "exp": lnegeom.exp,
    "log": lnegeom.log,
    "distance": lnegeom.distance,
    "parallel_transport": lambda metric, x, v: lnegeom.parallel_transport(metric, x, v, torch.ones_like(v)),
}


def gradient(function, metric, x, v):
    given = x.clone().requires_grad_(), v.clone().requires_grad_()
    return torch.cat(torch.autograd.grad(function(metric, *given).sum(), given))


def by_differences(function, metric, x, v, step=1e-5):
    """The same by central differences of all rows at once."""
    n = x.shape[-1]
    joint = torch.cat([x, v], dim=-1)
    moves = step * torch.eye(2 * n, dtype=x.dtype)
    stencil = torch.stack([joint + s * moves[:, None] for s in (1, -1)])
    found = function(metric, stencil[..., :n], stencil[..., n:])
    slopes = (found[0] - found[1]).reshape(2 * n, len(x), -1).sum(-1) / (2 * step)
    return torch.cat([slopes[:n].T, slopes[n:].T])


def points(label, n, count):
    """Points, and velocities or second points; of LNE, within the chart."""
    generator = torch.Generator().manual_seed(0)
    x, v = 0.6 * torch.rand(2, count, n, generator=generator, dtype=torch.float64) - 0.3
    if n > 20:
        return x / n**0.5, v / n**0.5
    x[:, -1] += 1.5
    v[:, -1] += 1.5 if label in ("log", "distance") else 0.0
    return x, v


def seconds(function, metric, x, v):
    """Median processor seconds of each part."""
    spent = {key: [] for key in ("call", "forward", "backward", "differences")}
    for _ in range(ROUNDS):
        given = x.clone().requires_grad_(), v.clone().requires_grad_()
        value = []
        steps = {
            "call": lambda: function(metric, x, v),
            "forward": lambda given=given, value=value: value.append(function(metric, *given).sum()),
            "backward": lambda value=value: value[0].backward(),
            "differences": lambda: by_differences(function, metric, x, v) if x.shape[-1] <= 20 else None,
        }
        for key, step in steps.items():
            start = time.process_time()
            step()
            spent[key].append(time.process_time() - start)
    return {key: statistics.median(times) for key, times in spent.items()}


def row(name, metric, n, count, label):
    function = FUNCTIONS[label]
    x, v = points(label, n, count)
    found = seconds(function, metric, x, v)
    ratios = [f"{found[key] / found['call']:.1f}×" for key in ("forward", "backward", "differences")]
    if n > 20:
        return [name, f"`{label}`", f"{1e3 * found['call']:.0f} ms", *ratios[:2], *3 * ["–"]]
    exact = gradient(function, lnegeom.HalfSpace(n), x, v)
    errors = [
        f"{float((of(function, metric, x, v) - exact).abs().max()):.0e}" for of in (gradient, by_differences)
    ]
    return [name, f"`{label}`", f"{1e3 * found['call']:.0f} ms", *ratios[:2], errors[0], ratios[2], errors[1]]


def main():
    """Print the table of docs/benchmarks.md."""
    rows = [
        row(name, *case, label)
        for name, case in CASES.items()
        for label in FUNCTIONS
        if case[1] == 3 or label in ("exp", "distance")
    ]
    headers = ["metric", "function", "call", "forward", "backward", "error", "differences", "their error"]
    print(markdown(headers, rows, text=2))


if __name__ == "__main__":
    main()
