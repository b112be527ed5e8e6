"""Claims about training that small networks decide."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lnegeom.claims import Figure, Group, claim
from lnegeom_torch.claims._threads import on_one_thread

if TYPE_CHECKING:
    import torch


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
    """The first layer of 8 random 1-bit 8-16-4 networks: the angle of the straight-through gradient, and of
    the weak-curvature one, χ = 1/16, to ½ [L(w_i = +1) − L(w_i = −1)], which is computed by flipping weights.
    """
    from lnegeom_torch import NormalizedLNE
    from lnegeom_torch._angle import angle
    from lnegeom_torch.claims import _small as small

    metric, plain, change = NormalizedLNE(1 / 16, inverse="weak"), [], []
    for seed in range(8):
        found = small.mismatch(seed)
        turned = metric.natural_gradient(found.latent, found.straight)
        plain.append(float(angle(found.straight, found.true)))
        change.append(float(angle(turned, found.true)) - plain[-1])
    return [
        Figure("least mismatch of ste, degrees", min(plain), low=10),
        Figure("most that the weak-curvature metric takes off it", -min(change), high=0.5),
        Figure("most that it adds", max(change), high=0.5),
    ]


@claim(
    "ManiQuant §1, first contribution, and §3.1, Lemma 1",
    "The Fisher information, embedded in the straight-through estimator, alleviates the gradient mismatch.",
    "does not hold",
    instead="It makes it larger: F⁻¹ of the straight-through gradient is further in direction from F⁻¹ of "
    "the true one than the gradients are from each other, at each damping tried. They differ most where F is "
    "next to nothing, for the outputs hardly change there, and F⁻¹ enlarges that.",
    where=("tests/adapter/test_fisher.py", "docs/experiments.md"),
    needs=("torch",),
)
@on_one_thread
def fisher_mismatch() -> list[Figure]:
    """The same networks, with their exact Fisher information; damping in proportion to its mean diagonal."""
    import torch

    from lnegeom_torch._angle import angle
    from lnegeom_torch.claims import _small as small

    angles, shares = [], []
    for seed in range(8):
        found = small.mismatch(seed)
        row = [float(angle(found.straight, found.true))]
        for damping in (0.01, 0.1, 1.0):
            identity = torch.eye(len(found.fisher), dtype=torch.float64)
            damped = found.fisher + damping * found.fisher.diagonal().mean() * identity
            natural = torch.linalg.solve(damped, torch.stack([found.straight, found.true], dim=1))
            row.append(float(angle(natural[:, 0], natural[:, 1])))
        angles.append(row)
        sizes, axes = torch.linalg.eigh(found.fisher)
        apart = (axes.T @ (found.straight - found.true)).square()
        shares.append(float(apart[sizes < 1e-3 * sizes.mean()].sum() / apart.sum()))
    plain, *embedded = np.array(angles).T
    return [
        Figure("median mismatch of ste, degrees", np.median(plain), 10, 60),
        Figure("share of their difference where F is below 10⁻³ of its mean", np.median(shares), low=0.3),
        *(
            Figure(f"least that F⁻¹ adds, damping {damping}", np.min(each - plain), low=5)
            for damping, each in zip((0.01, 0.1, 1.0), embedded, strict=True)
        ),
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
    from lnegeom_torch.claims._small import network

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

    model = network(8, 16, 4)
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
    "RF-DNN abstract and Algorithm 2",
    "In training, the discrete flow makes the perturbation of the metric decay, and that stabilises it.",
    "does not hold",
    instead="At no α does training follow the flow: N stays about as large as the squares of its two sides "
    "together, as it is without αN. With α = 1 nothing changes, N included; with α = 10⁴ N falls, because "
    "the weights grow until their metric stands still, and the network trains the worse for it. The paper "
    "names no α, and has no curve of N.",
    where=("tests/adapter/test_rf.py", "docs/experiments.md"),
    needs=("torch",),
)
@on_one_thread
def discrete_training() -> list[Figure]:
    """Digits, 64-32-10, χ = ½, rate 0.1, 60 iterations without a gate, α = 0, 1 and 10⁴: N over the squares
    of the flow's two sides, in the mean of the last half; N and the loss there.
    """
    import torch

    from lnegeom_torch import ManifoldSGD, NormalizedLNE, QuantConfig, RicciFlow, quantize_
    from lnegeom_torch.claims import _small as small

    images, labels = small.digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    batches = order.repeat(3)[: 60 * 64].reshape(60, 64)

    def last_half(alpha: float) -> tuple[float, float, float]:
        flow = RicciFlow(alpha=alpha, epsilon=math.inf)
        model = torch.nn.Sequential(torch.nn.Flatten(), small.network(64, 32, 10))
        method = quantize_(model, QuantConfig("rf", metric=NormalizedLNE(0.5, inverse="weak"), options=flow))
        optimizer, losses = ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9), []
        for index, batch in enumerate(batches):
            if index == 30:
                method.diagnostics()
            x, y = images[batch].view(-1, 8, 8), labels[batch]
            losses.append(float(method.step(optimizer, torch.nn.functional.cross_entropy, x, y)[0]))
        found = method.diagnostics()
        return found["relative_residual"], found["largest_residual"], float(np.mean(losses[30:]))

    without, with_one, strong = (last_half(alpha) for alpha in (0.0, 1.0, 1e4))
    return [
        Figure("N over the two sides' squares, α = 0", without[0], low=0.8),
        Figure("the same, α = 1", with_one[0], low=0.8),
        Figure("the same, α = 10⁴", strong[0], low=0.8),
        Figure("N with α = 1 over N without", with_one[1] / without[1], 0.5, 2),
        Figure("N with α = 10⁴ over N without", strong[1] / without[1], high=0.5),
        Figure("loss with α = 10⁴ over that without", strong[2] / without[2], low=1.5),
    ]


@claim(
    "ManiQuant §4.3, a conjecture, and §5",
    "The weak-curvature gradient increases the Fisher information of the network, and is the better for it.",
    "does not hold",
    instead="Not on small networks: after training with that gradient it is what it is without, within a few "
    "per cent. An increase by a fifth is excluded, and it is not said why more would be better.",
    where=("docs/experiments.md", "tests/adapter/test_fisher.py"),
    needs=("torch",),
)
@on_one_thread
def fisher_increase() -> list[Figure]:
    """Digits, 64-32-10, 40 iterations of rate 0.3, 16 seeds: the trace of F, labels drawn by the model, after
    wcg over that after ste, and the 95 % interval of its logarithm's mean.
    """
    import torch
    from scipy.special import stdtrit

    from lnegeom_torch import Fisher, ManifoldSGD, QuantConfig, quantize_
    from lnegeom_torch.claims import _small as small
    from lnegeom_torch.optim import estimate_fisher

    images, labels = small.digits()

    def trace(name: str, seed: int) -> float:
        model = small.network(64, 32, 10, seed=seed)
        method = quantize_(model, QuantConfig(name))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.3, momentum=0.9)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
        for batch in order.repeat(2)[: 40 * 64].reshape(40, 64):
            method.step(optimizer, torch.nn.functional.cross_entropy, images[batch], labels[batch])
        latents = list(method.latents.values())
        measure = ManifoldSGD(latents, lr=1.0, metric=Fisher("diagonal"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            estimate_fisher(measure, model.eval(), images)
        return sum(float(measure.state[w]["fisher_diagonal"].sum()) for w in latents)

    ratios = np.log([trace("wcg", seed) / trace("ste", seed) for seed in range(16)])
    reach = float(stdtrit(15, 0.975)) * ratios.std(ddof=1) / 4
    return [
        Figure("geometric mean of the ratios", np.exp(ratios.mean()), high=1.1),
        Figure("upper end of its interval", np.exp(ratios.mean() + reach), high=1.2),
    ]


NETWORKS = Group(
    "Small networks", (wcg_mismatch, fisher_mismatch, dorefa_scale, discrete_training, fisher_increase)
)
