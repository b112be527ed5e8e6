"""Exact curvature against plain sympy loops, and compiled formulas against hand-written numpy.

    python tests/benchmarks/bench_symbolic.py [--rounds 3] [--cap 120] [--only kerr,lne-4] [--peers]

Every candidate runs in an interpreter of its own with PYTHONHASHSEED=0, imports not counted, under a cap. It
gets a sympy matrix and makes Christoffel symbols, Riemann and Ricci tensor. A round runs all candidates for a
metric in turn; medians over rounds, and the median of the rounds' ratios to the plain loops, are printed.
"computed" is lnegeom's time to normal forms, zeros proved; "written" is the time with every component turned
into a factored sympy expression too. Operations are those of all components of the Ricci tensor. For LNE,
"lnegeom" uses the structure it recognises, "general engine" does not, and "R_ijkl" makes the Riemann
tensor with
all indices down instead of R^r_smv.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
import sympy as sp

from lnegeom.report import text_table

METRICS = (
    *("schwarzschild", "kerr", "reissner-nordstrom", "taub-nut", "flrw", "berger-sphere"),
    *("lne-2", "lne-3", "lne-4", "lne-8"),
)


def given(name):
    """Matrix and coordinates as a user would type them."""
    t, r, theta, phi, psi = sp.symbols("t r theta phi psi")
    mass, a, charge, nut, k, squash, tau = sp.symbols("M a Q l k lambda tau")
    s, c = sp.sin(theta), sp.cos(theta)
    if name.startswith("lne"):
        x = sp.symbols(f"x:{name[4:]}")
        u = sp.Matrix([sp.tanh(tau * xi) for xi in x])
        return sp.eye(len(x)) - u * u.T, x
    if name == "berger-sphere":
        g = sp.Matrix([[1, 0, 0], [0, s**2 + squash**2 * c**2, squash**2 * c], [0, squash**2 * c, squash**2]])
        return g / 4, (theta, phi, psi)
    if name in ("schwarzschild", "reissner-nordstrom"):
        f = 1 - 2 * mass / r + (charge**2 / r**2 if name[0] == "r" else 0)
        g = sp.diag(-f, 1 / f, r**2, r**2 * s**2)
    elif name == "flrw":
        scale = sp.Function("a")(t) ** 2
        g = sp.diag(-1, scale / (1 - k * r**2), scale * r**2, scale * r**2 * s**2)
    elif name == "kerr":
        sigma, delta = r**2 + a**2 * c**2, r**2 - 2 * mass * r + a**2
        last = (r**2 + a**2 + 2 * mass * r * a**2 * s**2 / sigma) * s**2
        g = sp.diag(-(1 - 2 * mass * r / sigma), sigma / delta, sigma, last)
        g[0, 3] = g[3, 0] = -2 * mass * a * r * s**2 / sigma
    else:
        sigma = r**2 + nut**2
        f = (r**2 - 2 * mass * r - nut**2) / sigma
        g = sp.diag(-f, 1 / f, sigma, sigma * s**2 - 4 * f * nut**2 * c**2)
        g[0, 3] = g[3, 0] = -2 * f * nut * c
    return g, (t, r, theta, phi)


def plain_loops(g, x):
    """Textbook formulas: a generic inverse, nothing simplified, symmetries of Γ and Riemann used."""
    n, inverse = len(x), g.inv()
    index = range(n)
    gamma = [[[0] * n for _ in index] for _ in index]
    for k in index:
        for i in index:
            for j in range(i, n):
                terms = (
                    inverse[k, m] * (g[m, j].diff(x[i]) + g[m, i].diff(x[j]) - g[i, j].diff(x[m]))
                    for m in index
                )
                gamma[k][i][j] = gamma[k][j][i] = sum(terms) / 2
    riemann = {}
    for r in index:
        for s in index:
            for m in index:
                for v in range(m + 1, n):
                    value = gamma[r][v][s].diff(x[m]) - gamma[r][m][s].diff(x[v])
                    for p in index:
                        value += gamma[r][m][p] * gamma[p][v][s] - gamma[r][v][p] * gamma[p][m][s]
                    riemann[r, s, m, v], riemann[r, s, v, m] = value, -value
    return [sum(riemann[r, s, r, v] for r in index if r != v) for s in index for v in index]


def diffgeom(g, x):
    """sympy's own room for it."""
    from sympy.diffgeom import CoordSystem, Manifold, Patch, TensorProduct, metric_to_Ricci_components

    chart = CoordSystem("C", Patch("P", Manifold("M", len(x))), x)
    at = dict(zip(x, chart.coord_functions(), strict=True))
    forms = chart.base_oneforms()
    index = range(len(x))
    metric = sum(
        g[i, j].subs(at) * TensorProduct(forms[i], forms[j]) for i in index for j in index if g[i, j]
    )
    return list(metric_to_Ricci_components(metric))


def job(name, how):
    """What a subprocess does: one candidate on one metric, timed."""
    g, x = given(name)
    if how in ("loops", "diffgeom"):
        start = time.perf_counter()
        ricci = plain_loops(g, x) if how == "loops" else diffgeom(g, x)
        seconds = time.perf_counter() - start
        return {"computed": seconds, "operations": sum(int(sp.count_ops(e)) for e in ricci)}
    import tqdm  # noqa: F401, an import of the library's, not to be counted

    from lnegeom.symbolic import Metric
    from lnegeom.symbolic._curvature import Curvature

    start = time.perf_counter()
    metric = Metric(g, x)
    if how == "general engine":
        metric.geometry = Curvature(metric.field, metric.geometry.g)
    riemann = metric.riemann_lowered if how == "R_ijkl" else metric.riemann
    tensors = [metric.christoffel, riemann, metric.ricci]
    zero = not metric.ricci.nonzero_elements()
    computed = time.perf_counter() - start
    for tensor in tensors:
        tensor.nonzero()
    written = time.perf_counter() - start
    operations = sum(int(sp.count_ops(e)) for e in metric.ricci.array())
    return {"computed": computed, "written": written, "operations": operations, "zero": zero}


def run(name, how, cap):
    """One candidate in a fresh interpreter; None if it does not finish."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--job", name, how]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=cap, check=True
        )
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout)


def compare(name, rounds, cap, peers):
    """Rows of the table for one metric."""
    ours = ["lnegeom", "general engine", "R_ijkl"] if name.startswith("lne") else ["lnegeom"]
    candidates = ["loops", *ours, *(["diffgeom"] if peers else [])]
    results = {how: [] for how in candidates}
    for _ in range(rounds):
        for how in candidates:
            if None not in results[how]:
                results[how].append(run(name, how, cap))
    rows = []
    for how, runs in results.items():
        if None in runs:
            rows.append([name, how, f"> {cap:g}", None, None, None, None])
            continue
        times = [r["computed"] for r in runs]
        ratios = [
            (loops["computed"] if loops else cap) / r["computed"]
            for r, loops in zip(runs, results["loops"] + [results["loops"][-1]] * rounds, strict=False)
        ]
        bound = "> " if None in results["loops"] else ""
        written = statistics.median(r["written"] for r in runs) if "written" in runs[0] else None
        zero = runs[0].get("zero")
        proved = None if zero is None else "yes" if zero else "no"
        ratio = f"{bound}{statistics.median(ratios):.3g}"
        rows.append(
            [name, how, f"{statistics.median(times):.4f}", ratio, written, runs[0]["operations"], proved]
        )
    return rows


# --- compiled formulas ------------------------------------------------------------------------------------


def hand_sphere(x):
    out = np.zeros((*x.shape, 2))
    out[..., 0, 0] = 1
    out[..., 1, 1] = np.sin(x[..., 0]) ** 2
    return out


def hand_lne(x):
    u = np.tanh(x)
    square, h = u * u, 1 - u * u
    w = 1 - square.sum(-1, keepdims=True)
    total = (h * (1 + square / w)).sum(-1, keepdims=True)
    hu = h * u
    out = hu[..., :, None] * (hu / (w * w))[..., None, :]
    n = x.shape[-1]
    out[..., range(n), range(n)] -= h * (total - h) / w
    return out


def hand_kerr(x, mass, a):
    """The metric itself: Ricci is zero."""
    r, theta = x[..., 1], x[..., 2]
    s2 = np.sin(theta) ** 2
    r2 = r * r
    sigma = r2 + a * a * (1 - s2)
    pull = 2 * mass * r / sigma
    out = np.zeros((*x.shape, 4))
    out[..., 0, 0] = pull - 1
    out[..., 0, 3] = out[..., 3, 0] = -a * pull * s2
    out[..., 1, 1] = sigma / (r2 - 2 * mass * r + a * a)
    out[..., 2, 2] = sigma
    out[..., 3, 3] = (r2 + a * a * (1 + pull * s2)) * s2
    return out


def compiled_rows(rounds, points=10**5):
    """Compiled against hand-written formulas, in turn."""
    from lnegeom import symbolic

    rng = np.random.default_rng(0)
    kerr = rng.uniform([0, 3, 0.5, 0], [1, 9, 2.5, 6], (points, 4))
    cases = {
        "sphere: Ricci": (
            symbolic.sphere(2).ricci.compile(),
            hand_sphere,
            rng.uniform(0.5, 2.5, (points, 2)),
            {},
        ),
        "lne, n = 4: Ricci": (
            symbolic.lne(4, 1).ricci.compile(),
            hand_lne,
            rng.uniform(-0.4, 0.4, (points, 4)),
            {},
        ),
        "kerr: metric": (symbolic.kerr().tensor.compile(), hand_kerr, kerr, {"M": 1.0, "a": 0.6}),
    }
    rows = []
    for name, (compiled, hand, x, parameters) in cases.items():
        np.testing.assert_allclose(
            compiled(x, **parameters), hand(x, *parameters.values()), rtol=1e-9, atol=1e-12
        )
        ratios, times = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            hand(x, *parameters.values())
            middle = time.perf_counter()
            compiled(x, **parameters)
            times.append(time.perf_counter() - middle)
            ratios.append(times[-1] / (middle - start))
        rows.append([name, f"{1e3 * statistics.median(times):.2f}", f"{statistics.median(ratios):.2f}"])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cap", type=float, default=120.0, help="seconds for one candidate")
    parser.add_argument("--only", help="metrics, with commas")
    parser.add_argument("--peers", action="store_true", help="sympy.diffgeom too")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(job(*options.job)))
        return
    names = options.only.split(",") if options.only else METRICS
    rows = [row for name in names for row in compare(name, options.rounds, options.cap, options.peers)]
    print(f"sympy {sp.__version__}, {platform.machine()}, {options.rounds} rounds, cap {options.cap:g} s")
    headers = ["metric", "what", "computed, s", "times faster", "written, s", "operations", "Ricci zero"]
    print(text_table(headers, rows))
    print(f"\ncompiled, 10⁵ points, numpy {np.__version__}, ratio to numpy written by hand")
    print(text_table(["what", "ms", "ratio"], compiled_rows(max(15, options.rounds))))


if __name__ == "__main__":
    main()
