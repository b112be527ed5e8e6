"""A run of ``lnegeom flow``: from the options to a folder with page, numbers, picture and animation."""

from __future__ import annotations

import argparse
import math
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lnegeom import flow
from lnegeom._array import InputError, positive, positive_integer, to_numpy
from lnegeom.flow.decay import CONTAMINATION, Decaying
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.solution import Solution
from lnegeom.plot._style import check_matplotlib
from lnegeom.report import Page, check_folder, environment, text_table, write_json

__all__ = ["run"]

# What each kind takes of the options that not all of them take.
TORUS = ("dim", "size", "length", "amplitude", "seed")
TAKES = {
    "deturck": TORUS,
    "ricci": TORUS,
    "conformal": ("size", "length", "amplitude", "seed"),
    "box": TORUS,
    "homogeneous": ("group", "metric", "normalised"),
    "rotational": ("dim", "size", "neck", "normalised"),
}
MAX_DIM = {"deturck": 4, "ricci": 4, "box": 3}
# Points an axis, by dimension.
TORUS_SIZE = {1: 64, 2: 48, 3: 24, 4: 12}
BOX_SIZE = {1: 16, 2: 14, 3: 9}
INVARIANTS = ("volume", "closeness", "min_scalar_curvature", "max_riemann")
ON_A_GRID = "What decays against time, and a component of the metric at the first and the last time."
PICTURES = {
    "homogeneous": "The lengths of the frame, and the scalar curvature.",
    "rotational": "Outlines at successive times, the later the darker, and the scalar curvature.",
}
NAMES = {"norm": "the norm", "max_riemann": "sup |Rm|"}
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
FOLDINGS = 5.0
"""E-foldings of the first mode after the others have died away, in the default time."""


def run(options: argparse.Namespace, what: str) -> Solution:
    """Run the flow that the options ask for, or go on with it; print its table and write the folder.

    `what` says what the kind of flow is, for the page.
    """
    check_matplotlib()
    _check(options)
    try:
        return _run(options, what)
    except KeyboardInterrupt:
        if (options.out / "run" / "checkpoint.npz").exists():
            raise KeyboardInterrupt("interrupted; the same command with --resume goes on from here") from None
        raise


def _run(options: argparse.Namespace, what: str) -> Solution:
    out: Path = options.out
    start = time.perf_counter()
    solution = _solve(options)
    numbers = _numbers(solution, "max_riemann" if options.kind == "ricci" else "norm")
    results = {
        "command": _command(options),
        "seconds": time.perf_counter() - start,
        "status": solution.status,
        "message": solution.message,
        "singular_time": solution.singular_time,
        **numbers,
        "environment": environment(),
    }
    out.mkdir(parents=True, exist_ok=True)
    solution.save(out / "solution.npz")
    write_json(out / "results.json", results)
    solution.plot().savefig(out / "picture.png", dpi=150)
    if options.frames:
        solution.animate(out / "animation.gif", frames=options.frames, progress=True)
    headers, rows = _table(solution, numbers)
    print(text_table(headers, rows))
    print(f"\n{solution.status}: {solution.message}")
    _page(options, what, results, headers, rows)
    print(f"wrote {out / 'index.html'} in {time.perf_counter() - start:.0f} s")
    return solution


def _check(options: argparse.Namespace) -> None:
    """Raise at the first bad option, in the command line's words."""
    _refuse_others(options)
    out, dim, largest = options.out, options.dim, MAX_DIM.get(options.kind)
    check_folder(out)
    if largest is not None and dim is not None and not 1 <= dim <= largest:
        raise InputError(f"--dim must be 1 to {largest} for {options.kind}, got {dim}")
    for name in ("length", "t_end"):
        if (value := getattr(options, name)) is not None:
            positive(f"--{name.replace('_', '-')}", value)
    for name in ("size", "samples"):
        if (count := getattr(options, name)) is not None:
            positive_integer(f"--{name}", count)
    if options.frames < 0:
        raise InputError(f"--frames must not be negative, got {options.frames}")
    if not options.resume and any((out / name).exists() for name in ("run", "solution.npz")):
        raise InputError(f"{out} holds a run already; add --resume to go on with it, or choose another --out")


def _refuse_others(options: argparse.Namespace) -> None:
    """Raise for an option that the kind does not take: it would be ignored."""
    for name in sorted({name for names in TAKES.values() for name in names}):
        if name not in TAKES[options.kind] and _given(options, name):
            takers = ", ".join(kind for kind, names in TAKES.items() if name in names)
            raise InputError(f"--{name} is for --kind {takers}; leave it out for {options.kind}")


def _given(options: argparse.Namespace, name: str) -> bool:
    value = getattr(options, name)
    return value is not None and value is not False  # 0 is a value


def _solve(options: argparse.Namespace) -> Solution:
    common: dict[str, Any] = {"samples": options.samples}
    if options.kind == "homogeneous":
        group = flow.LieGroup.named(options.group or "SU(2)")
        metric = options.metric or [0.2, 1.0, 1.0]
        return flow.homogeneous(
            metric, group, _or(options.t_end, 1.0), normalised=options.normalised, **common
        )
    common |= {"out": options.out / "run", "progress": True}
    if options.kind == "rotational":
        grid = flow.WarpedGrid(_or(options.size, 129), _or(options.dim, 3), focus=0.9)
        profile, length = flow.dumbbell(grid, _or(options.neck, 0.2))
        return flow.rotational(
            profile, length, grid, _or(options.t_end, 1.0), normalised=options.normalised, **common
        )
    return _solve_on_grid(options, common)


def _solve_on_grid(options: argparse.Namespace, common: dict[str, Any]) -> Solution:
    boxed = options.kind == "box"
    dim = 2 if options.kind == "conformal" else _or(options.dim, 2)
    shape = (_or(options.size, (BOX_SIZE if boxed else TORUS_SIZE)[dim]),) * dim
    lengths = None if options.length is None else (options.length,) * dim
    grid: Any = flow.BoxGrid(shape, lengths) if boxed else flow.TorusGrid(shape, lengths)
    metric = flow.perturbed_flat(grid, _or(options.amplitude, 0.1), seed=_or(options.seed, 0))
    t_end = _or(options.t_end, _time_to_fit(grid))
    if boxed:
        return flow.box(metric, grid, t_end, **common)
    if options.kind == "conformal":
        return flow.conformal(metric[..., 0, 0], grid, t_end, tolerance=1e-8, **common)
    solve = flow.ricci if options.kind == "ricci" else flow.ricci_deturck
    return solve(metric, grid, t_end, invariants=INVARIANTS, **common)


def _time_to_fit(grid: SpectralDomain) -> float:
    """When a rate can be fitted: the second shell of modes has died away, and the first has decayed on."""
    first, second = grid.eigenvalues(2)
    return -math.log(CONTAMINATION) / (second - first) + FOLDINGS / first


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _numbers(solution: Solution, decaying: Decaying) -> dict[str, Any]:
    invariants = {name: to_numpy(values) for name, values in solution.invariants.items()}
    numbers: dict[str, Any] = {"times": to_numpy(solution.times), "invariants": invariants}
    if not isinstance(solution.grid, SpectralDomain):
        return numbers
    norms = {"norm": to_numpy(solution.perturbation_norm("l2", mean_free=solution.grid.keeps_mean))}
    if solution.grid.keeps_mean:
        norms["norm with mean"] = to_numpy(solution.perturbation_norm("l2", mean_free=False))
    try:
        fit = flow.decay_rate(solution, decaying)
    except InputError as error:
        return {**numbers, "norms": norms, "decay": None, "no_fit": str(error)}
    return {**numbers, "norms": norms, "decay": {"of": NAMES[decaying], **asdict(fit)}}


def _table(solution: Solution, numbers: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    names = {
        "norm": "‖h − mean h‖₂" if getattr(solution.grid, "keeps_mean", False) else "‖h‖₂",
        "norm with mean": "‖h‖₂",
    }
    series = {names[name]: values for name, values in numbers.get("norms", {}).items()}
    series |= {name.replace("_", " "): values for name, values in numbers["invariants"].items()}
    end = float(solution.times[-1])
    rows: list[list[Any]] = [[name, float(values[0]), float(values[-1])] for name, values in series.items()]
    if numbers.get("decay"):
        decay = numbers["decay"]
        name = f"decay rate of {decay['of']}: theory (λ{str(decay['shell']).translate(SUBSCRIPTS)}), measured"
        rows.append([name, decay["theory"], decay["rate"]])
    if solution.singular_time is not None:
        rows.append(["singular time", None, solution.singular_time])
    return ["quantity", "t = 0", f"t = {end:.6g}"], rows


def _page(
    options: argparse.Namespace, what: str, results: dict[str, Any], headers: list[str], rows: list[list[Any]]
) -> None:
    page, out = Page(f"lnegeom flow: {options.kind}"), options.out
    page.text(f"{what[0].upper()}{what[1:]}.")
    page.table(headers, rows)
    page.text(f"{results['status']}: {results['message']}.")
    if results.get("decay"):
        decay = results["decay"]
        page.text(
            f"Rate of {decay['of']}: {decay['rate']:.8g} ± {decay['standard_error']:.1e} (standard error of "
            f"the fit), {decay['relative_difference']:+.1e} from the linear theory's {decay['theory']:.8g}, "
            f"fitted over t = {decay['window'][0]:.4g} … {decay['window'][1]:.4g}."
        )
        if "norm with mean" in results["norms"] and options.kind != "ricci":  # whose limit is not constant
            page.text(
                f"The mean has moved by {decay['limit_shift']:.2e} in operator norm; the first eigenvalue of "
                f"the limit is {decay['limit_theory']:.8g}."
            )
    elif results.get("no_fit"):
        page.text(f"No rate was fitted: {results['no_fit']}.")
    page.figure(out / "picture.png", PICTURES.get(options.kind, ON_A_GRID))
    if options.frames:
        page.figure(out / "animation.gif", "The same in motion.")
    page.heading("What was run")
    page.code(results["command"])
    page.table(["environment", "version"], [[name, value] for name, value in results["environment"].items()])
    page.save(out / "index.html")


def _command(options: argparse.Namespace) -> str:
    words = ["lnegeom", "flow", "--kind", options.kind]
    for name in (*TAKES[options.kind], "t_end", "samples", "frames"):
        value = getattr(options, name)
        if value is True:
            words.append(f"--{name}")
        elif _given(options, name):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return shlex.join([*words, "--out", str(options.out)])
