"""Christoffel symbols, Riemann and Ricci tensor by other libraries: one metric, one library, timed.

    python symbolic_peers.py kerr pytearcat

Run by bench_symbolic.py, under the interpreter that has the library; prints JSON with the CPU seconds,
imports not counted, and the operations that sympy counts in the Ricci tensor. It does without lnegeom.
"""

import builtins
import contextlib
import importlib.util
import json
import os
import sys
import time

import sympy as sp


def given(name):
    """Matrix and coordinates as a user would type them."""
    t, r, theta, phi, psi = sp.symbols("t r theta phi psi")
    mass, a, charge, nut, k, squash, tau = sp.symbols("M a Q l k lamda tau")
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
    """The room of sympy for it."""
    from sympy.diffgeom import CoordSystem, Manifold, Patch, TensorProduct, metric_to_Ricci_components

    chart = CoordSystem("C", Patch("P", Manifold("M", len(x))), x)
    at = dict(zip(x, chart.coord_functions(), strict=True))
    forms = chart.base_oneforms()
    index = range(len(x))
    metric = sum(
        g[i, j].xreplace(at) * TensorProduct(forms[i], forms[j]) for i in index for j in index if g[i, j]
    )
    return list(metric_to_Ricci_components(metric))


def einsteinpy(g, x):
    from einsteinpy.symbolic import ChristoffelSymbols, MetricTensor, RicciTensor, RiemannCurvatureTensor

    christoffel = ChristoffelSymbols.from_metric(MetricTensor(g.tolist(), x))
    riemann = RiemannCurvatureTensor.from_christoffels(christoffel)
    return list(sp.flatten(RicciTensor.from_riemann(riemann).tensor()))


def gravipy(g, x):
    from gravipy.tensorial import All, Christoffel, Coordinates, MetricTensor, Ricci, Riemann

    metric = MetricTensor("g", Coordinates("x", x), g)
    Christoffel("Ga", metric)(-All, All, All)
    riemann, index = Riemann("Rm", metric), range(1, len(x) + 1)
    for i in index:
        for j in index:
            for k in index:
                for m in index:
                    riemann(-i, j, k, m)
    return list(Ricci("Ri", metric)(All, All))


def ogrepy(g, x):
    import OGRePy

    metric = OGRePy.Metric(coords=OGRePy.Coordinates(*x), components=g)
    metric.christoffel().components(warn=False)
    metric.riemann().components(warn=False)
    return list(sp.flatten(metric.ricci_tensor().components(warn=False)))


def pytearcat(g, x):
    import pytearcat as pt

    names = [str(c) for c in x]
    pt.coords(",".join(names))
    for symbol in sorted(g.free_symbols - set(x), key=str):
        pt.con(str(symbol))
    for function in sorted(g.atoms(sp.core.function.AppliedUndef), key=str):
        pt.fun(function.func.__name__, ",".join(map(str, function.args)))
        g = g.subs(function, sp.Symbol(function.func.__name__))
    n = range(len(x))
    terms = [f"({g[i, j]})*d{names[i]}*d{names[j]}" for i in n for j in n if g[i, j] != 0]
    pt.metric("ds2 = " + " + ".join(terms))
    pt.christoffel()
    pt.riemann()
    ricci = pt.ricci()
    return [ricci.tensor[0][i][j] for i in n for j in n]


# Each with the module that it needs, imported before the clock starts.
PEERS = {
    "loops": (plain_loops, "sympy"),
    "sympy.diffgeom": (diffgeom, "sympy.diffgeom"),
    "einsteinpy": (einsteinpy, "einsteinpy.symbolic"),
    "OGRePy": (ogrepy, "OGRePy"),
    "gravipy": (gravipy, "gravipy.tensorial"),
    "pytearcat": (pytearcat, "pytearcat"),
}


def main(name, peer):
    function, module = PEERS[peer]
    if importlib.util.find_spec(module.split(".")[0]) is None:
        print(json.dumps({"missing": module}))
        return
    builtins.display = lambda *shown, **options: None  # pytearcat takes a notebook for granted
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        importlib.import_module(module)
        g, x = given(name)
        start = time.process_time()
        ricci = function(g, x)
        seconds = time.process_time() - start
    operations = sum(int(sp.count_ops(e)) for e in ricci)
    print(json.dumps({"computed": seconds, "operations": operations}))


if __name__ == "__main__":
    main(*sys.argv[1:])
