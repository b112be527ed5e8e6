"""Claims about trained networks: figures of the recorded runs in docs/results, and of docs/benchmarks.md."""

from __future__ import annotations

import json
import re
import statistics
from typing import Any

from lnegeom.claims import Figure, Group, claim
from lnegeom.claims._claim import DOCS
from lnegeom_torch.claims._threads import on_one_thread

GEOMETRIC = ("wcg", "lne", "rf", "ricci", "fim", "logcosh")
"""Methods with a metric, RF-DNN's flow among them."""
SETS = {"digits": "digits-mlp", "MNIST": "mnist-mlp"}
STABILITY = {
    "digits, both at rate 0.1": "stability-digits-shared",
    "digits, each at its own": "stability-digits",
    "MNIST, both at rate 0.1": "stability-mnist-shared",
    "MNIST, each at its own": "stability-mnist",
}


def _recorded(name: str) -> Any:
    return json.loads((DOCS / "results" / f"{name}.json").read_text(encoding="utf-8"))


def _accuracies(trials: Any) -> list[float]:
    return [trial["accuracy"] for trial in trials]


def _advantage(name: str, method: str, reference: str) -> Any:
    """The paired difference of two methods, each at its own rate, among as many as were run."""
    from lnegeom_torch.statistics import paired_difference

    final = _recorded(name)["final"]
    ours, theirs = (_accuracies(final[which]) for which in (method, reference))
    return paired_difference(ours, theirs, comparisons=len(final) - 1)


def _confirmed(search: Any, variant: str) -> list[float]:
    """Test accuracies of a variant at the rate that was best in the screening, seed by seed."""
    runs, screened = search["confirmation"][variant], search["screening"][variant]
    return _accuracies(runs[max(runs, key=lambda rate: screened[rate]["accuracy"])])


@claim(
    "ManiQuant Tables 1 to 6; RF-DNN's tables",
    "Networks trained with the manifold's gradient, or under the flow, are more accurate than with DoReFa's "
    "or the plain straight-through estimator.",
    "not decided here",
    instead="Not found on digits and MNIST, each method at its own learning rate, with intervals that hold "
    "for all comparisons at once: no metric is ahead of DoReFa in those tables. After two epochs of MNIST "
    "the diagonal Fisher information is, and a normalised step without curvature by as much. At a rate that "
    "they share, as in the tables, `wcg` is behind there, its step being the shorter. CIFAR and ImageNet at "
    "the papers' length were not run; every row of the tables is a recipe of `lnegeom train`.",
    where=(
        "docs/experiments.md",
        *(f"docs/results/{file}.json" for file in SETS.values()),
        *(f"docs/results/{file}.json" for file in STABILITY.values() if file.endswith("-shared")),
    ),
    needs=("torch", "docs"),
)
def accuracy() -> list[Figure]:
    """Recorded runs, 5 seeds on digits and 3 on MNIST, of six methods with a metric, against DoReFa; and 40
    and 20 seeds of wcg and DoReFa at one rate, 0.1.
    """
    figures = []
    for name, file in SETS.items():
        differences = [_advantage(file, method, "dorefa") for method in GEOMETRIC]
        lower = max(d.mean - d.simultaneous for d in differences)
        figures += [
            Figure(f"{name}: largest mean difference, points", max(d.mean for d in differences), high=1),
            Figure(f"{name}: best lower end of an interval", lower, high=0),
        ]
    for name, file in STABILITY.items():
        if file.endswith("-shared"):
            shared = _advantage(file, "wcg", "dorefa")
            upper = shared.mean + shared.half_width
            figures.append(Figure(f"{name}: wcg less DoReFa, upper end", upper, high=0))
    return figures


@claim(
    "ManiQuant §4.3, Figure 2, Tables 1 to 3; RF-DNN abstract",
    "Training is more stable with the manifold's gradient: the variance over runs is smaller than DoReFa's, "
    "in the tables 4 to 40 times.",
    "does not hold",
    instead="Not on digits and MNIST: over 40 and 20 seeds the variances of `wcg` and DoReFa do not differ "
    "significantly, at the papers' shared rate or at each one's own, and one half as large is excluded. To "
    "the learning rate `wcg` is the more sensitive by far, its step being the smaller. The tables' networks "
    "were not run.",
    where=("docs/experiments.md", *(f"docs/results/{file}.json" for file in STABILITY.values())),
    needs=("docs",),
)
def stability() -> list[Figure]:
    """Recorded runs: variance of wcg's accuracy over DoReFa's and its 95 % interval (F); best less worst
    accuracy over the rates of the comparisons.
    """
    from scipy.special import fdtri

    figures = []
    for name, file in STABILITY.items():
        wcg, dorefa = (_accuracies(_recorded(file)["final"][method]) for method in ("wcg", "dorefa"))
        ratio, free = statistics.variance(wcg) / statistics.variance(dorefa), len(wcg) - 1
        low, high = (ratio / float(fdtri(free, free, p)) for p in (0.975, 0.025))
        figures += [
            Figure(f"{name}: variance of wcg over DoReFa's, lower end", low, 0.5, 1),
            Figure(f"{name}: upper end", high, low=1),
        ]
    for name, file in SETS.items():
        tuning = _recorded(file)["tuning"]
        means = {m: [statistics.mean(v) for v in tuning[m].values()] for m in ("wcg", "dorefa")}
        drop = {method: max(tried) - min(tried) for method, tried in means.items()}
        more = drop["wcg"] - drop["dorefa"]
        figures.append(Figure(f"{name}: points that wcg loses over the rates, less DoReFa's", more, low=3))
    return figures


@claim(
    "ManiQuant abstract, Eq. 8",
    "Latent weights have to be clipped to [−1, 1], and gradients outside dropped.",
    "does not hold",
    instead="Under batch norm a 1-bit layer depends on signs alone. The gate 1[|W| ≤ 1] only shuts for good "
    "at large rates: without it the estimator is as accurate at its best rate, and hardly depends on the "
    "rate.",
    where=("docs/experiments.md", "docs/results/search.json", "docs/results/digits-latent.json"),
    needs=("torch", "docs"),
)
def clipping() -> list[Figure]:
    """Recorded screening on MNIST, one seed, six rates a decade apart, each layer's gradient normalised; and
    digits, 5 seeds, each at its own rate of the latent weights.
    """
    screening = _recorded("search")["screening"]
    digits = _advantage("digits-latent", "ste-no-gate", "ste")
    gated, free = (
        [trial["accuracy"] for trial in screening[name].values()]
        for name in ("ste, normalised", "ste, no gate, normalised")
    )
    return [
        Figure("best accuracy without the gate less with it", max(free) - max(gated), low=-0.5),
        Figure("accuracy at the largest rate, with", gated[-1], high=90),
        Figure("without", free[-1], low=97),
        Figure(
            "digits: without less with, lower end of the interval", digits.mean - digits.half_width, low=-1
        ),
    ]


@claim(
    "ManiQuant Lemma 1, §3.1",
    "With the Fisher information in it the straight-through estimator trains better.",
    "does not hold",
    instead="What it gains is the length of its step. On MNIST the diagonal one is ahead of DoReFa, and the "
    "identity, as long a step in each layer, by as much; normalised, the Kronecker-factored one has the "
    "plain estimator's curve over the rates. On digits neither that nor the exact one is ahead of DoReFa, "
    "and both lose more over three decades of the rate.",
    where=(
        "docs/experiments.md",
        "docs/results/search.json",
        "docs/results/search-digits.json",
        "docs/results/search-mnist.json",
    ),
    needs=("torch", "docs"),
)
def fisher_robustness() -> list[Figure]:
    """Recorded searches: MNIST, 6 seeds, and one over six rates; digits, 10 seeds, intervals for all variants
    at once.
    """
    from lnegeom_torch.statistics import paired_difference

    screening, digits, mnist = (_recorded(f"search{name}") for name in ("", "-digits", "-mnist"))
    plain, natural = (
        [trial["accuracy"] for trial in screening["screening"][name].values()]
        for name in ("ste, normalised", "fim, Kronecker, normalised")
    )
    apart = [abs(a - b) for a, b in zip(plain, natural, strict=True)]
    fisher, control = (
        _confirmed(mnist, name) for name in ("fim, diagonal, damping 1e-2", "ste, no gate, normalised")
    )
    gain = paired_difference(fisher, control)
    figures = [
        Figure("MNIST: normalised, largest difference at the first four rates", max(apart[:4]), high=0.5),
        Figure(
            "MNIST: diagonal less identity over the half width", gain.mean / (gain.half_width or 1), -1, 1
        ),
    ]
    reference = _confirmed(digits, "dorefa")
    for name in ("fim, Kronecker", "fim, exact, damping 1e-2"):
        against = paired_difference(_confirmed(digits, name), reference, comparisons=6)
        low = against.mean - (against.simultaneous or 0)
        figures.append(Figure(f"digits: {name}, lower end against dorefa", low, high=0))
    return figures


@claim(
    "Yin et al., blended coarse gradient descent, 2019, abstract",
    "Blending the weights with their quantization accelerates coarse gradient training.",
    "does not hold",
    instead="Not on digits and MNIST: at the published ρ = 10⁻⁵ nothing shows, at a ρ that blends as much in "
    "these short runs as that does in 10⁵ iterations the loss falls no faster, and at ten times as much "
    "more slowly. Blending draws one-bit weights to their mean size, those near 0 away from changing sign. "
    "Networks of ImageNet's size were not run.",
    where=("docs/experiments.md", "tests/adapter/test_equivalences.py"),
    needs=("torch", "docs"),
)
@on_one_thread
def blending() -> list[Figure]:
    """Recorded runs, paired by seed; and digits, 64-32-32-10, 90 iterations of rate 0.3, 4 seeds: mean loss
    with blending over that without.
    """
    from lnegeom_torch.claims._small import blended_loss

    differences = {name: _advantage(file, "bcgd", "coarse") for name, file in SETS.items()}
    without = statistics.mean(blended_loss(0.0, seed) for seed in range(4))
    ratios = {
        rho: statistics.mean(blended_loss(rho, seed) for seed in range(4)) / without for rho in (0.01, 0.1)
    }
    return [
        *(
            Figure(f"{name}: difference over the interval's half width", d.mean / d.half_width, -1, 1)
            for name, d in differences.items()
        ),
        Figure("mean loss with ρ = 0.01 over that without", ratios[0.01], low=0.95),
        Figure("the same with ρ = 0.1", ratios[0.1], low=1),
    ]


@claim(
    "ManiQuant §4.5",
    "The weak-curvature gradient costs 4 % more time than DoReFa, MetaQuant 42 %.",
    "holds with a correction",
    instead="The metric is O(n): fused into the optimizer's step it costs nothing that shows. MetaQuant's "
    "network runs on the 2^k values of a quantized weight, not on every weight, and then costs a few per "
    "cent.",
    where=("docs/benchmarks.md", "tests/benchmarks/bench_methods.py"),
    needs=("docs",),
)
def time_an_iteration() -> list[Figure]:
    """Medians of the interleaved benchmark on ResNet-20, as docs/benchmarks.md has them."""
    return [
        Figure("wcg over dorefa", _time("`wcg`", "dorefa"), high=1.04),
        Figure("MetaQuant, MultiFCG, over dorefa", _time("`metaquant`, MultiFCG", "dorefa"), high=1.42),
    ]


def _time(what: str, reference: str) -> float:
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {re.escape(what)} \| `{reference}` \| ([\d.]+) \|", text, re.MULTILINE)
    if row is None:
        raise RuntimeError(f"docs/benchmarks.md has no row {what} against `{reference}`")
    return float(row[1])


@claim(
    "ManiQuant §3.1 and §3.2.1",
    "The Fisher information is too expensive to embed in a large network: inverting it takes O(n³).",
    "holds with a correction",
    instead="The exact one is. Kronecker-factored, and estimated in one iteration of ten, it costs less than "
    "a second training pass; RF-DNN's flow costs four more.",
    where=("docs/benchmarks.md", "tests/benchmarks/bench_methods.py"),
    needs=("docs",),
)
def fisher_cost() -> list[Figure]:
    """Medians of the interleaved benchmark on ResNet-20, as docs/benchmarks.md has them."""
    return [
        Figure("fim, Kronecker-factored, over ste", _time("`fim`, F every 10th", "ste"), high=2),
        Figure("rf, exact, over ste", _time("`rf`, exact", "ste"), low=4.5),
    ]


TRAINED = Group(
    "Trained networks",
    (accuracy, stability, clipping, fisher_robustness, blending, time_an_iteration, fisher_cost),
)
