"""Optimizer steps on a GPU against torch's fused SGD; run by ``bench_optim.py --device cuda``.

Each step is measured with torch's fused and foreach kernels, replayed from a CUDA graph, and compiled as one
graph, in the device's time between two events, which is the host's where the device waits for it. A step that
fails, that makes the host wait for the device or that breaks its graph is named and left out, and the run
ends with an error. Compilation takes minutes and comes last: what would begin `SETUP` seconds after the start
is left out, and said to be. geoopt takes part if installed.
"""

import statistics
import time
import warnings
from functools import partial

import torch

from lnegeom_torch import LNE, LogCoshHessian, ManifoldAdamW, ManifoldSGD, NormalizedLNE

ROUNDS, CALLS, SETUP = 15, 20, 120
SGD = {"lr": 1e-9, "momentum": 0.9}
STEPS = {
    "torch SGD": lambda p, **o: torch.optim.SGD(p, **SGD, **o),
    "ManifoldSGD, no metric": lambda p, **o: ManifoldSGD(p, **SGD, **o),
    "ManifoldSGD, NormalizedLNE": lambda p, **o: ManifoldSGD(p, metric=NormalizedLNE(), **SGD, **o),
    "ManifoldSGD, LNE": lambda p, **o: ManifoldSGD(p, metric=LNE(), **SGD, **o),
    "ManifoldSGD, LNE, gate": lambda p, **o: ManifoldSGD(p, metric=LNE(), gate=True, **SGD, **o),
    "ManifoldSGD, LogCoshHessian": lambda p, **o: ManifoldSGD(p, metric=LogCoshHessian(), **SGD, **o),
    "torch AdamW": lambda p, **o: torch.optim.AdamW(p, **adam(p), **o),
    "ManifoldAdamW, LNE": lambda p, **o: ManifoldAdamW(p, metric=LNE(), **adam(p), **o),
}
FUSED, FOREACH = {"fused": True}, {"foreach": True}  # torch keeps its fused kernels out of compiled graphs
REFERENCE = "torch SGD", "fused"


def adam(params):
    """What CUDA graphs ask of Adam."""
    device = params[0].device
    on_gpu = device.type == "cuda"
    return {"lr": torch.tensor(1e-9, device=device) if on_gpu else 1e-9, "capturable": on_gpu}


def plain(optimizer):
    """The step without torch's hooks, which break any optimizer's graph."""
    step = type(optimizer).step
    while hasattr(step, "__wrapped__"):
        step = step.__wrapped__
    return torch.no_grad()(lambda: step(optimizer))


def compiled(optimizer):
    torch._dynamo.config.recompile_limit = 64  # one a candidate
    step = plain(optimizer)
    step()  # with its state begun it is compiled once, not twice
    return torch.compile(step, fullgraph=True)


def replayed(run):
    """A step recorded in a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def as_they_are(make_weights, device):
    """Every step that needs no compiler, by its name and its way."""

    def ready(make, options):
        return warm(make(make_weights(None), **options).step, device)

    def recorded(make):
        return replayed(warm(plain(make(make_weights(None), **FUSED)), device))

    found = {}
    for name, make in STEPS.items():
        found[name, "fused"] = partial(ready, make, FUSED)
        found[name, "foreach"] = partial(ready, make, FOREACH)
        if device == "cuda":
            found[name, "fused, CUDA graph"] = partial(recorded, make)
    return found | by_geoopt(make_weights)


def by_geoopt(make_weights):
    """Its steps, where it is installed."""
    try:
        import geoopt

        from lnegeom_torch.manifolds import LNEManifold, NormalizedLNEManifold
    except ImportError:
        print("geoopt is not installed")
        return {}

    def ready(manifold):
        params = make_weights(lambda ndim: manifold(ndim=ndim))
        step = geoopt.optim.RiemannianSGD(params, lr=1e-9, momentum=0.9).step
        step()
        return step

    kinds = {"NormalizedLNE": NormalizedLNEManifold, "LNE": LNEManifold}
    return {(f"geoopt RiemannianSGD, {name}", "loop"): partial(ready, kind) for name, kind in kinds.items()}


def in_one_graph(make_weights, device):
    """Every step compiled, ours first, and the steps that it is compared with."""

    def ready(make):
        return warm(compiled(make(make_weights(None), **FOREACH)), device)

    def reference():
        return warm(STEPS["torch SGD"](make_weights(None), **FUSED).step, device)

    names = sorted(STEPS, key=lambda name: "LNE" not in name)
    return {REFERENCE: reference} | {(name, "compiled"): partial(ready, STEPS[name]) for name in names}


def warm(run, device):
    """A step that has begun its state and compiled; another one must not wait for the device."""
    for _ in range(3):
        run()
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return run


def set_up(builders, failures, until=float("inf")):
    """What could be set up, or begun to be by a time; what could not is printed."""
    runs = {}
    for key, build in builders.items():
        if time.perf_counter() > until and key != REFERENCE:
            print(f"left out, {SETUP} s being over: {', '.join(key)}")
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # dynamo's own
                runs[key] = build()
        except Exception as error:  # which must not take the figures of all others with it
            failures.append(key)
            reason = (str(error).strip().splitlines() or [""])[0]
            print(f"failed: {', '.join(key)}: {type(error).__name__}: {reason}", flush=True)
    return runs


def seconds(run, device):
    if device != "cuda":
        start = time.thread_time()
        for _ in range(CALLS):
            run()
        return (time.thread_time() - start) / CALLS
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(CALLS):
        run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3 / CALLS


def measured(runs, device):
    """Each step's time and its ratio to the reference's of the same round, both medians."""
    found = {key: [] for key in runs}
    for index in range(ROUNDS + 1):
        round_ = {key: seconds(run, device) for key, run in runs.items()}
        if index:  # the first wakes the device's clocks
            for key, value in round_.items():
                found[key].append((value / round_[REFERENCE], value))
    return {
        key: [statistics.median(column) for column in zip(*rows, strict=True)] for key, rows in found.items()
    }


def peaks(runs, size):
    """Copies of the weights that a step has in memory at once, beside weights, gradients and state."""
    found = {}
    for key, run in runs.items():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        found[key] = (torch.cuda.max_memory_allocated() - before) / size
    return found


def print_table(title, cells):
    ways = list(dict.fromkeys(way for _, way in cells))
    print(f"\n| {title} | {' | '.join(ways)} |\n|---|{'---:|' * len(ways)}")
    for name in dict.fromkeys(name for name, _ in cells):
        row = (cells.get((name, way)) for way in ways)
        print(f"| {name} | {' | '.join('' if c is None else f'{c:.2f}' for c in row)} |", flush=True)


def ratios(title, runs, device):
    found = measured(runs, device)
    print_table(f"{title}, ratio to torch's fused SGD", {key: ratio for key, (ratio, _) in found.items()})
    print(f"\ntorch's fused SGD: {1e6 * found[REFERENCE][1]:.0f} µs", flush=True)


def main(lists, make_weights, device):
    name = torch.cuda.get_device_name() if device == "cuda" else "this processor, to try the script"
    print(f"torch {torch.__version__}, {name}, {ROUNDS} rounds of {CALLS} steps")
    failures, until = [], time.perf_counter() + SETUP
    for title, (shapes, _) in lists.items():
        runs = set_up(as_they_are(lambda m, s=shapes: make_weights(s, m, device), device), failures)
        ratios(title, runs, device)
        if device == "cuda":
            size = sum(4 * torch.Size(shape).numel() for shape in shapes)
            eager = {key: run for key, run in runs.items() if "graph" not in key[1]}
            print_table(f"{title}, copies of the weights that a step needs", peaks(eager, size))
    for title, (shapes, _) in lists.items():
        builders = in_one_graph(lambda m, s=shapes: make_weights(s, m, device), device)
        runs = set_up(builders, failures, until)
        if device == "cuda":
            ready = [(key, run) for key, run in runs.items() if key[1] == "compiled"]
            graphs = {(key[0], "compiled, CUDA graph"): partial(replayed, run) for key, run in ready}
            runs |= set_up(graphs, failures)
        if len(runs) > 1:
            ratios(f"{title}, compiled", runs, device)
    if failures:
        raise SystemExit(f"{len(failures)} steps failed: see above")
