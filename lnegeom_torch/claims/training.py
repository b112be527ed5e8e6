"""Claims about trained networks: figures of the recorded runs in docs/results, and of docs/benchmarks.md."""

from __future__ import annotations

import json
import re
import statistics
from typing import Any

from lnegeom.claims import Figure, Group, claim
from lnegeom.claims._claim import DOCS

GEOMETRIC = ("wcg", "lne", "rf", "ricci", "fim", "logcosh")
"""Methods with a metric, RF-DNN's flow among them."""
SETS = {"digits": "digits-mlp", "MNIST": "mnist-mlp"}


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


@claim(
    "ManiQuant Tables 1 to 6; RF-DNN's tables",
    "Networks trained with the manifold's gradient, or under the flow, are more accurate than with DoReFa's "
    "or the plain straight-through estimator.",
    "not decided here",
    instead="Not found on digits and MNIST, each method at its own learning rate, with intervals that hold "
    "for all comparisons at once: no metric is ahead of DoReFa in those tables. After two epochs of MNIST "
    "the diagonal Fisher information is, and a normalised step without curvature by as much. CIFAR and "
    "ImageNet at the papers' length were not run; every row of the tables is a recipe of `lnegeom train`.",
    where=("docs/experiments.md", "docs/results/digits-mlp.json", "docs/results/mnist-mlp.json"),
    needs=("torch", "docs"),
)
def accuracy() -> list[Figure]:
    """Recorded runs, 5 seeds on digits and 3 on MNIST, of six methods with a metric, against DoReFa."""
    figures = []
    for name, file in SETS.items():
        differences = [_advantage(file, method, "dorefa") for method in GEOMETRIC]
        lower = max(d.mean - d.simultaneous for d in differences)
        figures += [
            Figure(f"{name}: largest mean difference, points", max(d.mean for d in differences), high=1),
            Figure(f"{name}: best lower end of an interval", lower, high=0),
        ]
    return figures


@claim(
    "ManiQuant §4.3, Figure 2; RF-DNN abstract",
    "Training is more stable with the manifold's gradient: the variance is smaller.",
    "not decided here",
    instead="Over seeds the variances of `wcg` and DoReFa do not differ significantly on digits and MNIST. "
    "To the learning rate `wcg` is the more sensitive by far, its step being the smaller.",
    where=("docs/experiments.md", "docs/results/digits-mlp.json", "docs/results/mnist-mlp.json"),
    needs=("docs",),
)
def stability() -> list[Figure]:
    """Recorded runs: F tests of variances over seeds; best less worst accuracy over the rates."""
    from scipy.special import fdtr

    figures = []
    for name, file in SETS.items():
        found = _recorded(file)
        wcg, dorefa = (_accuracies(found["final"][method]) for method in ("wcg", "dorefa"))
        below = float(
            fdtr(len(wcg) - 1, len(dorefa) - 1, statistics.variance(wcg) / statistics.variance(dorefa))
        )
        tuning = {m: [statistics.mean(v) for v in found["tuning"][m].values()] for m in ("wcg", "dorefa")}
        drop = {method: max(tried) - min(tried) for method, tried in tuning.items()}
        figures += [
            Figure(f"{name}: p value of equal variances", 2 * min(below, 1 - below), low=0.05),
            Figure(
                f"{name}: points that wcg loses over the rates, less DoReFa's",
                drop["wcg"] - drop["dorefa"],
                low=3,
            ),
        ]
    return figures


@claim(
    "ManiQuant abstract, Eq. 8",
    "Latent weights have to be clipped to [−1, 1], and gradients outside dropped.",
    "does not hold",
    instead="Under batch norm a 1-bit layer depends on signs alone. The gate 1[|W| ≤ 1] only shuts for good "
    "at large rates: without it the estimator is as accurate at its best rate, and hardly depends on the "
    "rate.",
    where=("docs/experiments.md", "docs/results/search.json"),
    needs=("docs",),
)
def clipping() -> list[Figure]:
    """Recorded screening on MNIST, one seed, six rates a decade apart, each layer's gradient normalised."""
    screening = _recorded("search")["screening"]
    gated, free = (
        [trial["accuracy"] for trial in screening[name].values()]
        for name in ("ste, normalised", "ste, no gate, normalised")
    )
    return [
        Figure("best accuracy without the gate less with it", max(free) - max(gated), low=-0.5),
        Figure("accuracy at the largest rate, with", gated[-1], high=90),
        Figure("without", free[-1], low=97),
    ]


@claim(
    "ManiQuant Lemma 1, §3.1",
    "The Fisher information in the straight-through estimator alleviates the mismatch, and so trains better.",
    "not decided here",
    instead="What it has over the plain estimator on MNIST, robustness to the learning rate, is the length "
    "of its step: normalised layer by layer, both have one curve over the rates. One seed; the exact matrix "
    "was not run.",
    where=("docs/experiments.md", "docs/results/search.json"),
    needs=("docs",),
)
def fisher_robustness() -> list[Figure]:
    """Recorded screening on MNIST: Kronecker-factored Fisher and plain estimator at the same six rates."""
    screening = _recorded("search")["screening"]
    plain, natural, raw = (
        [trial["accuracy"] for trial in screening[name].values()]
        for name in ("ste, normalised", "fim, Kronecker, normalised", "fim, Kronecker")
    )
    apart = [abs(a - b) for a, b in zip(plain, natural, strict=True)]
    return [
        Figure("largest difference at the first four rates, points", max(apart[:4]), high=0.5),
        Figure("at their best rates", max(natural) - max(plain), -0.3, 0.3),
        Figure("the Fisher information's best less the plain estimator's", max(raw) - max(plain), -0.3, 0.3),
    ]


@claim(
    "Yin et al., blended coarse gradient descent, 2019, abstract",
    "Blending the weights with their quantization accelerates coarse gradient training.",
    "not decided here",
    instead="At the published ρ = 10⁻⁵ blending made no difference that digits or MNIST would show.",
    where=("docs/experiments.md", "tests/adapter/test_equivalences.py"),
    needs=("torch", "docs"),
)
def blending() -> list[Figure]:
    """Recorded runs: accuracy of blended less plain coarse gradient descent, paired by seed."""
    differences = {name: _advantage(file, "bcgd", "coarse") for name, file in SETS.items()}
    return [
        Figure(f"{name}: difference over the interval's half width", d.mean / d.half_width, -1, 1)
        for name, d in differences.items()
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
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")

    def ratio(what: str) -> float:
        row = re.search(rf"^\| {re.escape(what)} \| `dorefa` \| ([\d.]+) \|", text, re.MULTILINE)
        if row is None:
            raise RuntimeError(f"docs/benchmarks.md has no row {what} against `dorefa`")
        return float(row[1])

    return [
        Figure("wcg over dorefa", ratio("`wcg`"), high=1.04),
        Figure("MetaQuant, MultiFCG, over dorefa", ratio("`metaquant`, MultiFCG"), high=1.42),
    ]


TRAINED = Group(
    "Trained networks", (accuracy, stability, clipping, fisher_robustness, blending, time_an_iteration)
)
