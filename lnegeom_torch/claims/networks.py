"""Claims about training that small networks decide."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from lnegeom.claims import Figure, Group, claim
from lnegeom_torch.claims._threads import on_one_thread

if TYPE_CHECKING:
    import torch


def _network(*sizes: int, seed: int = 0) -> torch.nn.Sequential:
    """A fully connected network with batch norm; torch's random state stays as it is."""
    import torch

    layers: list[torch.nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [
                torch.nn.Linear(inputs, outputs, bias=False),
                torch.nn.BatchNorm1d(outputs),
                torch.nn.Tanh(),
            ]
    return torch.nn.Sequential(*layers[:-1]).double()  # so that another processor's rounding flips no sign


@claim(
    "ManiQuant §3.2, Lemma 3 and §5",
    "Under the weak-curvature gradient the gradient mismatch is smaller than under the plain "
    "straight-through estimator.",
    "does not hold",
    instead="The mismatch is tens of degrees, and with χ = 1/(output channels) the metric cannot turn a "
    "gradient by more than a degree or two (`wcg-rotation`): it leaves the mismatch as it is.",
    where=("tests/adapter/test_diagnostics.py", "docs/experiments.md"),
    needs=("torch",),
)
@on_one_thread
def wcg_mismatch() -> list[Figure]:
    """The first layer of a 1-bit 8-16-4 network, 512 noise samples: the angle to the smoothed loss's
    gradient, its 95 % interval; and the turn by the metric.
    """
    import torch

    from lnegeom_torch import NormalizedLNE, QuantConfig, quantize_
    from lnegeom_torch.diagnostics import gradient_mismatch

    model = _network(8, 16, 4)
    method = quantize_(model, QuantConfig("ste", gate="none"))
    generator = torch.Generator().manual_seed(1)
    batch = torch.randn(64, 8, generator=generator).double(), torch.randint(4, (64,), generator=generator)
    found = gradient_mismatch(model, batch, samples=512)["0"]
    weight = method.latents["0"]
    loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
    (gradient,) = torch.autograd.grad(loss, weight)
    chi = 1 / 16
    metric = NormalizedLNE(chi, inverse="weak")
    turned = metric.natural_gradient(weight.detach(), gradient)
    cosine = torch.nn.functional.cosine_similarity(turned.flatten(), gradient.flatten(), dim=0)
    turn = math.degrees(math.acos(min(1.0, float(cosine))))
    most = math.degrees(math.asin(chi / (2 + chi)))
    return [
        Figure("mismatch of ste, degrees: lower end", found.angle_interval[0], low=10),
        Figure("turn by the weak-curvature metric over the most that it could", turn / most, high=1),
        Figure("the most that it could turn, over that lower end", most / found.angle_interval[0], high=0.2),
    ]


@claim(
    "ManiQuant §4.2, Tables 1 to 3",
    "The comparison with DoReFa is fair: forward pass and optimization are the same, and only the gradient "
    "differs.",
    "does not hold",
    instead="In length too: DoReFa divides the gradient of a layer by max|tanh W|, which makes a fresh "
    "layer's 9 to 28 times as long. Under batch norm a 1-bit layer depends on sign(W) alone, so that the "
    "step's size over |W| is what matters: at one shared rate the methods are at different rates. Each "
    "needs its own.",
    where=("tests/adapter/test_equivalences.py", "docs/experiments.md"),
    needs=("torch",),
)
@on_one_thread
def dorefa_scale() -> list[Figure]:
    """Gradients of the same quantized weights under both: Xavier's of a layer of 256 to 256, and torch's of
    784 to 256; and outputs of a network with batch norm when its weights are scaled.
    """
    import torch

    from lnegeom_torch import QuantConfig, quantize_

    generator = torch.Generator().manual_seed(0)
    xavier = torch.nn.init.xavier_uniform_(torch.empty(256, 256), generator=generator)
    default = torch.nn.init.kaiming_uniform_(torch.empty(256, 784), a=math.sqrt(5), generator=generator)

    def longer(weight: torch.Tensor) -> float:
        lengths = []
        for name in ("dorefa", "ste"):
            outputs, inputs = weight.shape
            layer = torch.nn.Linear(inputs, outputs, bias=False)
            layer.weight.data.copy_(weight)
            method = quantize_(layer, QuantConfig(name))
            (gradient,) = torch.autograd.grad(layer.weight.sum(), list(method.latents.values()))
            lengths.append(float(gradient.norm()))
        return lengths[0] / lengths[1]

    model = _network(8, 16, 4)
    method = quantize_(model, QuantConfig("ste"))
    batch = torch.randn(64, 8, generator=generator).double()
    with torch.no_grad():
        before = model(batch)
        for latent in method.latents.values():
            latent.mul_(0.01)
        change = float((model(batch) - before).abs().max())
    return [
        Figure("DoReFa's gradient over ste's, Xavier", longer(xavier), 8, 14),
        Figure("the same, torch's default", longer(default), 14, 29),
        Figure("change of the outputs when W becomes W/100", change, 0, 0),
    ]


@claim(
    "RF-DNN Eqs. 35 and 36, Algorithm 2",
    "The flow's term αN and its gate change what is learned.",
    "not decided here",
    instead="With ManiQuant's χ, α = 1 and ε = 10⁻³ they hardly do: N stays far below ε, no gate closes, "
    "and the weights end within a thousandth of those of the metric alone. Larger χ and α make them felt, "
    "and the paper names neither.",
    where=("tests/adapter/test_rf.py", "docs/experiments.md"),
    needs=("torch",),
)
@on_one_thread
def discrete_training() -> list[Figure]:
    """Twenty iterations on random 8 × 8 images, 64-64-64-10, with the flow and without."""
    import torch

    from lnegeom_torch import ManifoldSGD, NormalizedLNE, QuantConfig, RicciFlow, quantize_

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(20, 64, 1, 8, 8, generator=generator).double()
    labels = torch.randint(10, (20, 64), generator=generator)
    metric, ends = NormalizedLNE(inverse="weak"), []
    for config in (
        QuantConfig("rf", metric=metric, options=RicciFlow(alpha=1.0, epsilon=1e-3)),
        QuantConfig("lne", metric=metric),
    ):
        model = torch.nn.Sequential(torch.nn.Flatten(), _network(64, 64, 64, 10))
        method = quantize_(model, config)
        optimizer = ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9)
        seen = []
        for batch in zip(images, labels, strict=True):
            method.step(optimizer, torch.nn.functional.cross_entropy, *batch)
            seen.append(method.diagnostics())
        ends.append((torch.cat([w.detach().flatten() for w in method.latents.values()]), seen[1:]))
    (with_flow, numbers), (without, _) = ends
    return [
        Figure("largest N of a layer", max(n["largest_residual"] for n in numbers), high=1e-4),
        Figure("share of layers' gates open", min(n["gate_open"] for n in numbers), 1, 1),
        Figure(
            "relative difference of the weights",
            float((with_flow - without).norm() / without.norm()),
            high=1e-3,
        ),
    ]


@claim(
    "ManiQuant §4.3, a conjecture, and §5",
    "The weak-curvature gradient increases the Fisher information of the network, and is the better for it.",
    "not decided here",
    instead="On small networks it is not larger after training with that gradient than without, beyond what "
    "seeds do to it; nor is it said why more would be better.",
    where=("docs/experiments.md", "tests/adapter/test_fisher.py"),
    needs=("torch",),
)
@on_one_thread
def fisher_increase() -> list[Figure]:
    """Digits, 64-32-10, 60 iterations of rate 0.3, 6 seeds: the trace of F, labels drawn by the model, after
    wcg over that after ste, its logarithm in standard errors.
    """
    import torch
    from sklearn.datasets import load_digits

    from lnegeom_torch import Fisher, ManifoldSGD, QuantConfig, quantize_
    from lnegeom_torch.optim import estimate_fisher

    digits = load_digits()
    images, labels = torch.from_numpy(digits.data / 16), torch.from_numpy(digits.target)

    def trace(name: str, seed: int) -> float:
        model = _network(64, 32, 10, seed=seed)
        method = quantize_(model, QuantConfig(name))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.3, momentum=0.9)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        for batch in order.repeat(3)[: 60 * 64].reshape(60, 64):
            method.step(optimizer, torch.nn.functional.cross_entropy, images[batch], labels[batch])
        latents = list(method.latents.values())
        measure = ManifoldSGD(latents, lr=1.0, metric=Fisher("diagonal"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            estimate_fisher(measure, model.eval(), images)
        return sum(float(measure.state[w]["fisher_diagonal"].sum()) for w in latents)

    ratios = np.log([trace("wcg", seed) / trace("ste", seed) for seed in range(6)])
    error = ratios.std(ddof=1) / math.sqrt(len(ratios))
    return [
        Figure("geometric mean of the ratios", np.exp(ratios.mean()), high=1.2),
        Figure("its logarithm in standard errors", ratios.mean() / error, high=2.02),
    ]


NETWORKS = Group("Small networks", (wcg_mismatch, dorefa_scale, discrete_training, fisher_increase))
