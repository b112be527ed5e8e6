"""How the flows meet their exact solutions: prints the table of docs/flows.md (half a minute)."""

import math

import numpy as np

from lnegeom import flow
from lnegeom.flow.box_flow import _Equation as Box
from lnegeom.flow.rotational_flow import _Equation as Rotational
from lnegeom.flow.small import pack
from lnegeom.flow.stabilised import Chebyshev


def slope(steps, errors):
    return np.polyfit(np.log(steps), np.log(errors), 1)[0]


def fixed_steps(equation, y, dt, t_end):
    step = Chebyshev(equation.velocity, equation.radius, lambda y: math.inf, math.inf)
    for number in range(round(t_end / dt)):
        _, y = step(number * dt, y, (number + 1) * dt)
    return y


def king():
    grid, steps, errors = flow.TorusGrid((32, 32)), [0.02, 0.01, 0.005], []
    start, end = (flow.king_conformal(grid, t, s0=2.0)[..., 0, 0] for t in (0.0, 0.8))
    for dt in steps:
        metrics = flow.conformal(start, grid, 0.8, dt=dt, samples=2, dealias=False).metrics
        errors.append(np.max(np.abs(metrics[-1, ..., 0, 0] - end)))
    return "King-type torus, `conformal`", "4", slope(steps, errors), errors[-1], f"dt = {steps[-1]}"


def cigar(size):
    grid, steps, errors = flow.BoxGrid((size, size), (1.0, 1.0)), [0.1, 0.05, 0.025], []
    x = grid.coordinates()
    equation = Box(grid, flow.cigar(x, 0.0), flow.cigar)
    start, end = (pack(np, flow.cigar(x, t))[equation.inner] for t in (0.0, 0.4))
    for dt in steps:
        errors.append(np.max(np.abs(fixed_steps(equation, start, dt, 0.4) - end)))
    name = f"cigar on a box with moving faces, {size}² points, `box`"
    return name, "2", slope(steps, errors), errors[-1], f"dt = {steps[-1]}"


def sphere(dim):
    grid, steps, errors = flow.WarpedGrid(12, dim), [0.005, 0.0025, 0.00125], []
    equation = Rotational(grid, normalised=False)
    start = np.append(np.sin(np.pi * grid.fractions()), np.pi)
    exact = np.pi * math.sqrt(1 - 2 * (dim - 1) * 0.1)
    for dt in steps:
        errors.append(abs(fixed_steps(equation, start, dt, 0.1)[-1] - exact))
    return f"round {dim}-sphere, `rotational`", "2", slope(steps, errors), errors[-1], f"dt = {steps[-1]}"


def ode(name, metric, space, t_end, exact):
    tolerances, errors = [1e-5, 1e-7, 1e-9], []
    for rtol in tolerances:
        got = flow.homogeneous(metric, space, t_end, samples=2, rtol=rtol).metrics[-1]
        errors.append(np.max(np.abs(np.diag(got) / np.array(exact) - 1)))
    # A method of any order follows a metric that is linear in t to its rounding errors.
    order = slope(tolerances, errors) if max(errors) > 1e-11 else math.nan
    return f"{name}, `homogeneous`", "1 in rtol", order, errors[-1], f"rtol = {tolerances[-1]}"


def homogeneous():
    group = flow.LieGroup.named
    u = 1 + 12 * 2.0 / 3.0 * 10.0
    nil = [2 * u ** (-1 / 3), u ** (1 / 3), 3 * u ** (1 / 3)]
    yield ode("Nil", [2.0, 1.0, 3.0], group("Nil"), 10.0, nil)
    yield ode("round SU(2)", [1.0] * 3, group("SU(2)"), 0.2, [1 - 4 * 0.2] * 3)
    hyperbolic = flow.EinsteinSpace.hyperbolic(3)
    yield ode("hyperbolic 3-space", [1.0] * 3, hyperbolic, 1.0, [1 + 4 * 1.0] * 3)
    product = flow.ProductSpace(flow.EinsteinSpace.sphere(2), flow.EinsteinSpace.hyperbolic(2))
    yield ode("S² × H²", [1.0] * 4, product, 0.4, [0.2, 0.2, 1.8, 1.8])


def main():
    print("| exact solution | stated order | observed | error | at |")
    print("|---|---:|---:|---:|---|")
    for name, stated, order, error, at in [king(), cigar(8), cigar(16), sphere(2), sphere(3), *homogeneous()]:
        observed = "rounding" if math.isnan(order) else f"{order:.2f}"
        print(f"| {name} | {stated} | {observed} | {error:.1e} | {at} |")


if __name__ == "__main__":
    main()
