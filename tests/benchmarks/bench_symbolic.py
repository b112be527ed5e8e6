"""Exact curvature, side by side with other libraries and with plain sympy loops.

    python tests/benchmarks/bench_symbolic.py [--peers PYTHON …] [--cap 120] [--only kerr,lne-4] [--plot FILE]

Every candidate runs in an interpreter of its own with PYTHONHASHSEED=0; CPU seconds are given, imports not
counted, and what takes more than `--cap` is ended. It gets a sympy matrix and makes Christoffel symbols,
Riemann and Ricci tensor. A round runs all candidates for a metric in turn, and there are `--rounds` of them,
or one where a candidate takes longer than 10 s. The other libraries are looked for in the interpreters that
`--peers` names; without it they are left out, and with it they take a quarter of an hour.

"computed" is the time to normal forms, zeros proved; "written" the time with every component turned into a
factored sympy expression too. Operations are those of all components of the Ricci tensor. For LNE,
"lnegeom" uses the structure it recognises, "general engine" does not, and "R_ijkl" makes the Riemann tensor
with all indices down instead of R^r_smv.
"""

import argparse
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from symbolic_peers import PEERS, given
from symbolic_table import markdown

METRICS = (
    *("schwarzschild", "kerr", "reissner-nordstrom", "taub-nut", "flrw", "berger-sphere"),
    *("lne-2", "lne-3", "lne-4", "lne-8"),
)
COMPARED = ("schwarzschild", "kerr", "lne-4")
"""What the other libraries are given: each may take as long as the cap."""

OURS = ("lnegeom", "general engine", "R_ijkl")
SLOW = 10.0
PEERS_FILE = str(Path(__file__).with_name("symbolic_peers.py"))


def job(name, how):
    """What a subprocess does: one candidate of ours on one metric, timed."""
    import sympy as sp
    import tqdm  # noqa: F401, an import of the library's, not to be counted

    from lnegeom.symbolic import Metric
    from lnegeom.symbolic._curvature import Curvature

    g, x = given(name)
    start = time.process_time()
    metric = Metric(g, x)
    if how == "general engine":
        metric.geometry = Curvature(metric.field, metric.geometry.g)
    riemann = metric.riemann_lowered if how == "R_ijkl" else metric.riemann
    tensors = [metric.christoffel, riemann, metric.ricci]
    zero = not metric.ricci.nonzero_elements()
    computed = time.process_time() - start
    for tensor in tensors:
        tensor.nonzero()
    written = time.process_time() - start
    operations = sum(int(sp.count_ops(e)) for e in metric.ricci.array())
    return {"computed": computed, "written": written, "operations": operations, "zero": zero}


def fisher(how):
    """The bivariate normal family's Fisher metric and scalar curvature, by the clock on the wall."""
    from lnegeom import symbolic

    start = time.perf_counter()
    if how == "log-partition":
        metric = symbolic.bivariate_normal(budget=5.0)
    else:
        form = "((x-m)**2/s**2 - 2*r*(x-m)*(y-n)/(s*t) + (y-n)**2/t**2)/(2*(1-r**2))"
        metric = symbolic.fisher(
            f"exp(-{form})/(2*pi*s*t*sqrt(1-r**2))",
            ["m", "n", "s", "t", "r"],
            support={"x": ("-oo", "oo"), "y": ("-oo", "oo")},
            assumptions={"s": "positive", "t": "positive"},
            budget=30.0,
        )
    made = time.perf_counter() - start
    scalar = str(metric.scalar.expression)
    return {"metric": made, "curvature": time.perf_counter() - start, "scalar": scalar}


def run(arguments, cap, python=sys.executable):
    """One candidate in a fresh interpreter; None if it does not finish within `cap` CPU seconds."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (cap, cap)),
    )
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return None
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def run_peer(name, peer, cap, interpreters):
    """One other library, in the first interpreter that has it."""
    found = {"missing": peer}
    for python in (sys.executable, *interpreters):
        found = run([PEERS_FILE, name, peer], cap, python)
        if found is None or "missing" not in found:
            return found
    return found


def measure(name, options):
    """Results of all candidates for one metric, by candidate: lists of dicts, None for "does not finish"."""
    ours = OURS if name.startswith("lne") else OURS[:1]
    others = ["loops"] if name != "lne-8" else []
    if name in COMPARED and options.peers is not None:
        others += [peer for peer in PEERS if peer != "loops"]
    results = {how: [] for how in (*others, *ours)}
    for _ in range(options.rounds):
        for how, found in results.items():
            last = found[-1] if found else {"computed": 0}
            if last is None or "missing" in last or last["computed"] > SLOW:
                continue
            if how in ours:
                found.append(run([__file__, "--job", name, how], options.cap))
            else:
                found.append(run_peer(name, how, options.cap, options.peers or []))
    return results


def rows_of(name, results, cap):
    """Rows of the table, and the times for the picture."""
    rows, times = [], {}
    loops = [r["computed"] for r in results.get("loops", []) if r]
    for how, found in results.items():
        unfinished = found.count(None)
        if 2 * unfinished >= len(found):  # by the median round, it does not finish
            rows.append([name, how, f"> {cap}", "–", "–", "–", "–"])
            times[how] = None
        elif "missing" in found[0]:
            rows.append([name, how, "not installed", "–", "–", "–", "–"])
        else:
            found = [r for r in found if r]
            times[how] = statistics.median(r["computed"] for r in found)
            ratio = statistics.median(loops) / times[how] if loops else None
            written = statistics.median(r["written"] for r in found) if "written" in found[0] else None
            zero = {True: "yes", False: "no"}.get(found[0].get("zero"), "–")
            cells = [f"{times[how]:.4f}", f"{ratio:.3g}" if ratio else "–"]
            cells.append("–" if written is None else f"{written:.3f}")
            rows.append([name, how, *cells, found[0]["operations"], zero])
    return rows, times


def draw(times, cap, path):
    """Draw the times of all candidates, one line a metric, those that did not finish at the cap."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = {name: found for name, found in times.items() if len(found) > 1}
    hows = list(dict.fromkeys(how for found in shown.values() for how in found if how not in OURS[1:]))
    figure, ax = pyplot.subplots(figsize=(8, 0.4 * len(shown) + 1.2), layout="constrained")
    colours = pyplot.get_cmap("tab10").colors
    for number, how in enumerate(hows):
        marker, size = ("D", 60) if how == "lnegeom" else ("o", 36)
        style = {"color": colours[number], "marker": marker, "s": size, "zorder": 3}
        at = [(found[how], -row) for row, found in enumerate(shown.values()) if found.get(how)]
        ax.scatter(*zip(*(at or [(float("nan"), 0)]), strict=True), label=how, **style)
        late = [-row - 0.16 * (number - 3) for row, f in enumerate(shown.values()) if f.get(how, 0) is None]
        ax.scatter([cap] * len(late), late, **{**style, "marker": ">", "facecolors": "none"})
    ax.axvline(cap, color="0.6", linewidth=0.8, linestyle="--")
    ax.set(xscale="log", xlabel=f"CPU seconds; hollow triangles: not finished after {cap} s")
    ax.set_yticks([-row for row in range(len(shown))], list(shown))
    ax.grid(axis="x", color="0.9")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, dpi=150)


def fisher_table(cap):
    """Times of the bivariate normal family's Fisher metric; past its budget it would have failed."""
    rows = []
    for how, budget in (("log-partition", 5), ("density", 30)):
        found = run([__file__, "--fisher", how], cap)
        times = f"{found['metric']:.2f}", f"{found['curvature']:.2f}"
        rows.append([how, f"{budget} s", *times, found["scalar"]])
    return markdown(["bivariate normal from", "budget", "metric, s", "and curvature, s", "scalar"], rows)


def report(names, options):
    """Print the tables, and draw the picture."""
    kept = Path(options.keep or os.devnull)
    results = json.loads(kept.read_text()) if kept.is_file() else {}
    rows, times = [], {}
    for name in names:
        if name not in results:
            results[name] = measure(name, options)
            kept.write_text(json.dumps(results, indent=1))
        found, times[name] = rows_of(name, results[name], options.cap)
        rows += found
        print(*(" ".join(map(str, row)) for row in found), sep="\n", file=sys.stderr, flush=True)
    headers = ["metric", "what", "computed, s", "times faster than loops", "written, s", "operations", "zero"]
    print(markdown(headers, rows, text=2))
    if {"lne-4", "lne-8"} <= set(times):
        growth = {how: times["lne-8"][how] / times["lne-4"][how] for how in OURS}
        print("\nLNE, n = 8 over n = 4: " + ", ".join(f"{how} {r:.2f}" for how, r in growth.items()))
    if not options.only:
        print("\n" + fisher_table(options.cap))
    if options.plot:
        draw(times, options.cap, options.plot)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cap", type=int, default=120, help="CPU seconds for one candidate")
    parser.add_argument("--only", help="metrics, with commas")
    parser.add_argument(
        "--peers", nargs="*", metavar="PYTHON", help="other libraries too, in these interpreters and this one"
    )
    parser.add_argument("--keep", metavar="FILE", help="keep results there, and go on from those that are")
    parser.add_argument("--plot", metavar="FILE", help="draw the times, such as docs/images/symbolic.png")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--fisher", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job or options.fisher:
        print(json.dumps(job(*options.job) if options.job else fisher(options.fisher)))
        return
    import sympy as sp

    names = options.only.split(",") if options.only else METRICS
    print(f"sympy {sp.__version__}, Python {platform.python_version()}, {platform.machine()}\n")
    report(names, options)


if __name__ == "__main__":
    main()
