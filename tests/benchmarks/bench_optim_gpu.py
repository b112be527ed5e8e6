"""Optimizer steps on a GPU against torch's fused SGD; run by ``bench_optim.py --device cuda``.

Each step is measured with torch's fused and foreach kernels, compiled as one graph, and replayed from a CUDA
graph, in the device's time between two events, which is the host's where the device waits for it. A step that
made the host wait for the device, or that broke its graph, ends the run with an error. Compilation takes
minutes: what would begin after `SETUP` seconds is left out, and said to be. geoopt takes part if installed.
"""

import statistics
import time
import warnings

import torch

from lnegeom_torch import LNE, LogCoshHessian, ManifoldAdamW, ManifoldSGD, NormalizedLNE

ROUNDS, CALLS, SETUP = 15, 20, 200
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
    return torch.compile(plain(optimizer), fullgraph=True)


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


def candidates(make_weights, device):
    """Every step, warm, by its name and its way."""
    start = time.perf_counter()
    for name, make in STEPS.items():
        yield (name, "fused"), warm(make(make_weights(None), **FUSED).step, device)
        yield (name, "foreach"), warm(make(make_weights(None), **FOREACH).step, device)
        if device == "cuda":
            fused = plain(make(make_weights(None), **FUSED))
            yield (name, "fused, CUDA graph"), replayed(warm(fused, device))
    yield from by_geoopt(make_weights)
    for name, make in STEPS.items():
        if time.perf_counter() - start > SETUP:
            print(f"left out, {SETUP} s being over: {name}, compiled")
            continue
        one_graph = warm(compiled(make(make_weights(None), **FOREACH)), device)
        yield (name, "compiled"), one_graph
        if device == "cuda":
            yield (name, "compiled, CUDA graph"), replayed(one_graph)


def by_geoopt(make_weights):
    """Its steps, where it is installed."""
    try:
        import geoopt

        from lnegeom_torch.manifolds import LNEManifold, NormalizedLNEManifold
    except ImportError:
        print("geoopt is not installed")
        return
    for name, manifold in {"NormalizedLNE": NormalizedLNEManifold, "LNE": LNEManifold}.items():
        params = make_weights(lambda ndim, m=manifold: m(ndim=ndim))
        step = geoopt.optim.RiemannianSGD(params, lr=1e-9, momentum=0.9).step
        step()
        yield (f"geoopt RiemannianSGD, {name}", "loop"), step


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


def table(title, make_weights, device):
    """Print the median of each step's time over that of torch's fused SGD, way by way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dynamo's own
        runs = dict(candidates(make_weights, device))
    found = {key: [] for key in runs}
    for _ in range(ROUNDS):
        round_ = {key: seconds(run, device) for key, run in runs.items()}
        for key, value in round_.items():
            found[key].append((value / round_["torch SGD", "fused"], value))
    ways = list(dict.fromkeys(way for _, way in runs))
    print(f"\n| {title}, ratio to torch's fused SGD | {' | '.join(ways)} |\n|---|{'---:|' * len(ways)}")
    for name in dict.fromkeys(name for name, _ in runs):
        cells = (found.get((name, way)) for way in ways)
        print(f"| {name} | {' | '.join(f'{median(c, 0):.2f}' if c else '' for c in cells)} |")
    print(f"\ntorch's fused SGD: {1e6 * median(found['torch SGD', 'fused'], 1):.0f} µs")


def median(rows, column):
    return statistics.median(row[column] for row in rows)


def main(lists, make_weights, device):
    name = torch.cuda.get_device_name() if device == "cuda" else "this processor, to try the script"
    print(f"torch {torch.__version__}, {name}, {ROUNDS} rounds of {CALLS} steps")
    for title, (shapes, _) in lists.items():
        table(title, lambda manifold, s=shapes: make_weights(s, manifold, device), device)
