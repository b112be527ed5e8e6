"""The search for a geometry that helps: 1-bit weights, learning rates over five decades, with controls.

    python tests/benchmarks/search_geometry.py --root data [--seeds 3] [--out runs/search]
    python tests/benchmarks/search_geometry.py --data digits --seeds 10 [--out runs/search-digits]

MNIST: a 784-256-256-10 network with batch norm, 2 epochs, batch 128. Digits: 64-32-32-10, small enough for
the exact Fisher information of each layer, 20 epochs, batch 64. Nesterov 0.9, cosine. The rate that varies is
that of the latent weights; everything else learns at 0.1 (with Adam at 0.01), so that what is measured is the
geometry of the weights alone. The rates' unit differs between variants, so that a fixed range would favour
whichever has its best rate in the middle: robustness is the smallest drop over any four neighbouring rates,
three decades, that hold the best.

Screening: one seed (digits: three) at each rate, on a fifth of the training images, held out. Confirmation:
the four neighbouring rates of the smallest drop, all training images, other seeds, the test images;
differences from ``dorefa`` are paired by seed, and their intervals hold for all confirmed variants together,
with 95 % (Bonferroni).

"normalised" divides each layer's gradient, natural or not, by its root mean square: the control that tells a
geometry from its being free of scale.
"""

import argparse
import shlex
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from short_runs import fit, kept, measure

from lnegeom.report import text_table, write_json
from lnegeom_torch import ManifoldSGD, NormalizedLNE, QuantConfig, data, nets, quantize_
from lnegeom_torch.experiment import environment
from lnegeom_torch.methods import FisherEmbedding, Spin
from lnegeom_torch.metrics import Fisher
from lnegeom_torch.optim import ManifoldAdamW, Precondition
from lnegeom_torch.ricci_step import RicciStep

OTHERS = 0.1  # the rate of all that is not a latent weight
TRIED = 6  # rates, a decade apart
WINDOW = 4  # neighbouring rates: three decades


class NormalizedSGD(torch.optim.SGD):
    """SGD whose gradients, of matrices, are divided by their root mean square."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim > 1:
                    p.grad = p.grad / p.grad.square().mean().sqrt().clamp_min(1e-20)
        return super().step(closure)


def manifold(groups, rate):
    return ManifoldSGD(with_rates(groups, rate, OTHERS), rate, 0.9, nesterov=True)


def normalised(groups, rate):
    return Precondition(NormalizedSGD(with_rates(groups, rate, OTHERS), rate, 0.9, nesterov=True))


def adam(groups, rate):
    return ManifoldAdamW(with_rates(groups, rate, OTHERS / 10), rate, weight_decay=0.0)


def with_rates(groups, latent, others):
    return [{**group, "lr": rate} for group, rate in zip(groups, (latent, others), strict=True)]


def anneal(method, done):
    """τ of `Spin` from 10 to 100, geometrically: spins begin nearly free and end nearly certain."""
    for quantizer in method.quantizers.values():
        quantizer.options = replace(quantizer.options, tau=10 * 10**done)


@dataclass(frozen=True)
class Task:
    hidden: tuple[int, ...]
    epochs: int
    batch: int
    screening_seeds: int


TASKS = {
    "mnist": Task((256, 256), epochs=2, batch=128, screening_seeds=1),
    "digits": Task((32, 32), epochs=20, batch=64, screening_seeds=3),
}


@dataclass(frozen=True)
class Variant:
    config: QuantConfig
    optimizer: Any = manifold
    on_iteration: Any = lambda method, done: None
    first: float | None = None  # of the rates; by default the optimizer's
    tasks: tuple[str, ...] = ("mnist", "digits")

    @property
    def rates(self):
        first = self.first or (3e-4 if self.optimizer is manifold else 1e-5)
        return [float(f"{first * 10**i:g}") for i in range(TRIED)]


def fisher(kind, damping=1e-2, optimizer=manifold, first=None):
    return Variant(QuantConfig("fim", metric=Fisher(kind, damping)), optimizer, first=first)


def exact_fisher(damping=1e-2, optimizer=manifold, first=None):
    """Of digits alone, being n × n numbers a layer; for its price estimated four times as seldom."""
    metric = Fisher("exact", damping, decay=0.95**4)
    config = QuantConfig("fim", metric=metric, options=FisherEmbedding(every=40))
    return Variant(config, optimizer, first=first, tasks=("digits",))


def gumbel(**settings):
    return Variant(QuantConfig("spin", options=Spin("gumbel")), **{"first": 3e-3} | settings)


VARIANTS = {
    "dorefa": Variant(QuantConfig("dorefa")),
    "dorefa, rates between": Variant(QuantConfig("dorefa"), first=1e-3),
    "dorefa, normalised": Variant(QuantConfig("dorefa"), normalised),
    "ste, no gate": Variant(QuantConfig("ste", gate="none"), first=3e-2),
    "ste, no gate, normalised": Variant(QuantConfig("ste", gate="none"), normalised, first=1e-4),
    "ste, normalised": Variant(QuantConfig("ste"), normalised),
    "fim, Kronecker, normalised": fisher("kronecker", optimizer=normalised),
    "fim, Kronecker": fisher("kronecker"),
    "fim, diagonal, damping 1e-2": fisher("diagonal"),
    "fim, diagonal, damping 1e-4": fisher("diagonal", 1e-4, first=3e-6),
    "fim, diagonal, normalised": fisher("diagonal", 1e-4, normalised),
    "fim, exact, damping 1e-2": exact_fisher(),
    "fim, exact, damping 1e-4": exact_fisher(1e-4, first=3e-6),
    "fim, exact, normalised": exact_fisher(1e-4, normalised),
    "ricci, step 10, normalised": Variant(QuantConfig("ricci", metric=RicciStep(0.9, 10.0)), normalised),
    "lne, per channel, normalised": Variant(
        QuantConfig("lne", metric=NormalizedLNE(chi=0.9, per="channel")), normalised
    ),
    "spin": Variant(QuantConfig("spin"), first=3e-3),
    "spin, annealed": Variant(QuantConfig("spin"), on_iteration=anneal),
    "spin, Gumbel": gumbel(),
    "spin, Gumbel, annealed": gumbel(on_iteration=anneal),
    "spin, Gumbel, normalised": gumbel(optimizer=normalised, first=1e-4),
    "dorefa, Adam": Variant(QuantConfig("dorefa"), adam),
}


def run(task, variant, dataset, rate, seed):
    torch.manual_seed(seed)
    pixels = dataset.channels * dataset.image_size**2
    method = quantize_(nets.MLP(pixels, dataset.classes, task.hidden), variant.config)
    optimizer = variant.optimizer(method.param_groups(), rate)
    iterations = task.epochs * (len(dataset.train_labels) // task.batch)
    fit(
        method,
        optimizer,
        dataset,
        iterations=iterations,
        batch_size=task.batch,
        seed=seed,
        on_iteration=variant.on_iteration,
    )
    return measure(method, dataset)


def steadiest(means):
    """The first index of the `WINDOW` neighbouring rates that differ least, of those that hold the best."""
    best = max(range(len(means)), key=means.__getitem__)
    starts = [s for s in range(len(means) - WINDOW + 1) if s <= best < s + WINDOW]
    return min(starts, key=lambda s: max(means[s : s + WINDOW]) - min(means[s : s + WINDOW]))


def average(trials):
    return {key: statistics.mean(trial[key] for trial in trials) for key in trials[0]}


def screen(task, names, held, out):
    """By name, the mean trial of each rate."""
    found = {}
    for name in names:
        variant = VARIANTS[name]
        found[name] = [
            average(
                [
                    kept(
                        out / "screening" / f"{name}-{rate:g}-seed-{seed}.json",
                        lambda v=variant, r=rate, s=seed: run(task, v, held, r, s),
                    )
                    for seed in range(task.screening_seeds)
                ]
            )
            for rate in variant.rates
        ]
        means = [trial["accuracy"] for trial in found[name]]
        print(
            name,
            [f"{m:.2f}" for m in means],
            f"{max(means) - min(means[(start := steadiest(means)) : start + WINDOW]):.2f}",
            flush=True,
        )
    return found


def confirm(task, names, screened, whole, seeds, out):
    found = {}
    for name in names:
        variant = VARIANTS[name]
        start = steadiest([trial["accuracy"] for trial in screened[name]])
        for rate in variant.rates[start : start + WINDOW]:
            found.setdefault(name, {})[rate] = [
                kept(
                    out / "confirmation" / f"{name}-{rate:g}-seed-{seed}.json",
                    lambda v=variant, r=rate, s=seed: run(task, v, whole, r, s),
                )
                for seed in range(task.screening_seeds, task.screening_seeds + seeds)
            ]
        print(name, {r: [t["accuracy"] for t in trials] for r, trials in found[name].items()}, flush=True)
    return found


def interval(differences, comparisons):
    """Mean and half width of Student's 95 % interval, Bonferroni's share of it for so many comparisons."""
    from scipy.special import stdtrit

    count = len(differences)
    error = statistics.stdev(differences) / count**0.5
    return statistics.mean(differences), float(stdtrit(count - 1, 1 - 0.025 / comparisons)) * error


def compared(screened, confirmed):
    """A row a confirmed variant: accuracy at the screening's best rate, and the drop, against dorefa.

    The drop is from the rate of the highest mean accuracy to that of the lowest, seed by seed.
    """
    runs = {}
    for name, by_rate in confirmed.items():
        tried = dict(zip(VARIANTS[name].rates, screened[name], strict=True))
        rate = max(by_rate, key=lambda r, t=tried: t[r]["accuracy"])
        found = {r: [trial["accuracy"] for trial in trials] for r, trials in by_rate.items()}
        high, low = (choose(found.values(), key=statistics.mean) for choose in (max, min))
        runs[name] = {
            "rate": rate,
            "accuracy": found[rate],
            "drop": [a - b for a, b in zip(high, low, strict=True)],
            "calibration": [trial["calibration"] for trial in by_rate[rate]],
        }
    comparisons = max(1, len(runs) - 1)
    rows = []
    for name, found in runs.items():
        row = [name, f"{min(confirmed[name]):g} … {max(confirmed[name]):g}", f"{found['rate']:g}"]
        for key in ("accuracy", "drop", "calibration"):
            row.append(f"{statistics.mean(found[key]):.2f}")
            differences = [a - b for a, b in zip(found[key], runs["dorefa"][key], strict=True)]
            row.append(
                "–" if name == "dorefa" else "{:+.2f} ± {:.2f}".format(*interval(differences, comparisons))
            )
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=TASKS, default="mnist")
    parser.add_argument("--root", type=Path, help="folder that holds MNIST/raw")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="to screen; by default all")
    parser.add_argument("--confirm", nargs="*", default=[], choices=VARIANTS, help="besides dorefa")
    parser.add_argument("--seeds", type=int, default=3, help="of the confirmation")
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    task, whole = TASKS[options.data], data.load(options.data, options.root)
    names = options.variants or [name for name, variant in VARIANTS.items() if options.data in variant.tasks]
    screened = screen(task, names, whole.hold_out(0.2), options.out)
    confirmed = {}
    if options.confirm:
        chosen = ["dorefa", *options.confirm]
        confirmed = confirm(task, chosen, screened, whole, options.seeds, options.out)
    headers = ["variant", "rates", "best", "accuracy (%)", "against dorefa", "drop", "against dorefa"]
    print(text_table([*headers, "calibration error (%)", "against dorefa"], compared(screened, confirmed)))
    write_json(
        options.out / "results.json",
        {
            "command": shlex.join(["python", *sys.argv]),
            "environment": environment(),
            "screening": {
                name: dict(zip(map(str, VARIANTS[name].rates), trials, strict=True))
                for name, trials in screened.items()
            },
            "confirmation": confirmed,
        },
    )


if __name__ == "__main__":
    main()
