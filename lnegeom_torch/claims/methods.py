"""Claims about the papers' training methods that a small network decides."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

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
    instead="With χ = 1/(output channels) the metric cannot turn a gradient by more than a degree or two "
    "(`wcg-rotation`), and the mismatch is tens of degrees, the same with and without.",
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
    metric = NormalizedLNE(inverse="weak")  # χ = 1/16
    turned = metric.natural_gradient(weight.detach(), gradient)
    cosine = torch.nn.functional.cosine_similarity(turned.flatten(), gradient.flatten(), dim=0)
    turn = math.degrees(math.acos(min(1.0, float(cosine))))
    return [
        Figure("mismatch of ste, degrees: lower end", found.angle_interval[0], low=10),
        Figure("turn by the weak-curvature metric, degrees", turn, high=1.8),
        Figure("the most that it could turn, over that lower end", 1.74 / found.angle_interval[0], high=0.2),
    ]


@claim(
    "ManiQuant §3",
    "The quantization is a one-to-one mapping of full-precision to quantized values.",
    "does not hold",
    instead="It is many-to-one. Eq. 31 has 2^k − 1 values, no scale, and no one-bit case (it divides by 0); "
    "RF-DNN's Eq. 38 has 2^k values, and none of them is 0.",
    where=("tests/adapter/test_quantizers.py",),
    needs=("torch",),
)
@on_one_thread
def quantizer_one_to_one() -> list[Figure]:
    """The values that 10,000 different weights are sent to; and fresh weights of a 256-wide layer."""
    import torch

    from lnegeom_torch.quant import maniquant, rf

    x = torch.linspace(-1, 1, 10_000)
    fresh = torch.nn.init.xavier_uniform_(torch.empty(256, 256), generator=torch.Generator().manual_seed(0))
    return [
        Figure("values of Eq. 31, 2 bits", len(set(maniquant(x, 2).tolist())), 3, 3),
        Figure("values of RF-DNN Eq. 38, 2 bits", len(set(rf(x, 2).tolist())), 4, 4),
        Figure("least size of a value of Eq. 38", float(rf(x, 2).abs().min()), low=0.3),
        Figure(
            "fresh weights that Eq. 31 does not send to 0, 2 bits",
            int(maniquant(fresh, 2).count_nonzero()),
            0,
            0,
        ),
    ]


@claim(
    "ManiQuant §4.2, Tables 1 to 3",
    "The comparison with DoReFa is fair: forward pass and optimization are the same, and the only "
    "difference is the direction of the gradient.",
    "does not hold",
    instead="DoReFa divides the gradient of a layer by max|tanh W|, that of a fresh layer being 9 to 28 "
    "times as long. Under batch norm a 1-bit layer depends on sign(W) alone, so that the step's size over "
    "|W| is what matters: at one shared rate the methods are at different rates. Each needs its own.",
    where=("tests/adapter/test_equivalences.py", "docs/experiments.md"),
    needs=("torch",),
)
@on_one_thread
def dorefa_scale() -> list[Figure]:
    """Gradients of the same quantized weights under both, Xavier's and torch's initial weights, 256 × 256;
    and outputs of a network with batch norm when its weights are scaled.
    """
    import torch

    from lnegeom_torch import QuantConfig, quantize_

    generator = torch.Generator().manual_seed(0)
    xavier = torch.nn.init.xavier_uniform_(torch.empty(256, 256), generator=generator)
    default = torch.nn.init.kaiming_uniform_(torch.empty(256, 256), a=math.sqrt(5), generator=generator)

    def longer(weight: torch.Tensor) -> float:
        lengths = []
        for name in ("dorefa", "ste"):
            layer = torch.nn.Linear(256, 256, bias=False)
            layer.weight.data.copy_(weight)
            method = quantize_(layer, QuantConfig(name))
            (gradient,) = torch.autograd.grad(layer.weight.sum(), list(method.latents.values()))
            lengths.append(float(gradient.norm()))
        return lengths[0] / lengths[1]

    model = _network(8, 16, 4)
    method = quantize_(model, QuantConfig("ste"))
    inputs = torch.randn(64, 8, generator=generator).double()
    with torch.no_grad():
        before = model(inputs)
        for latent in method.latents.values():
            latent.mul_(0.01)
        change = float((model(inputs) - before).abs().max())
    return [
        Figure("DoReFa's gradient over ste's, Xavier", longer(xavier), 8, 14),
        Figure("the same, torch's default", longer(default), 14, 29),
        Figure("change of the outputs when W becomes W/100", change, 0, 0),
    ]


@claim(
    "ManiQuant §1, third equation; Chen et al. 2019",
    "MetaQuant's FCGrad learns, with a fully connected network, how to pass the gradient through the "
    "quantizer.",
    "holds with a correction",
    instead="Linear and without biases, as published, that network is one learned number, a learning rate "
    "for the latent weights. MultiFCG with one bit has two, for −1 and for +1.",
    where=("tests/adapter/test_equivalences.py", "docs/methods.md"),
    needs=("torch",),
)
@on_one_thread
def metaquant_scalar() -> list[Figure]:
    """What both forms multiply 2,000 gradients by, φ random."""
    import torch

    from lnegeom_torch.methods import MetaQuant
    from lnegeom_torch.methods.metaquant import MetaQuantizer

    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(2000, generator=generator, dtype=torch.float64)
    quantized = torch.where(torch.rand(2000, generator=generator) < 0.5, -1.0, 1.0).double()

    def factors(form: Any) -> Any:
        meta = MetaQuantizer(MetaQuant(form)).double()
        with torch.no_grad():
            for parameter in meta.parameters():
                parameter.normal_(generator=generator)
            ratios = meta(gradient, quantized, torch.tensor([-1.0, 1.0]).double()) / gradient
        return ratios.numpy()

    one, two = factors("fcgrad"), factors("multifcg")
    return [
        Figure("FCGrad: relative spread of the factor", np.ptp(one) / abs(one.mean()), high=1e-12),
        Figure("MultiFCG: different factors", len(np.unique(two.round(9))), 2, 2),
    ]


@claim(
    "Bai et al. 2018 (ManiQuant Table 5)",
    "ProxQuant's step is the proximal map of the distance to the quantized weights, and ends with discrete "
    "ones.",
    "holds",
    instead="Each weight goes towards its quantization by at most λ. λ has to grow, and not to fall with "
    "the learning rate, for the weights to be discrete at the end.",
    where=("tests/adapter/test_methods.py", "docs/methods.md"),
    needs=("torch",),
)
@on_one_thread
def proxquant_map() -> list[Figure]:
    """One step of the method, no gradient, against the minimum of ½(x − w)² + λ|x − Q(w)| on a fine grid; and
    what is left of the distance after 60 steps.
    """
    import torch

    from lnegeom_torch import ManifoldSGD, QuantConfig, quantize_
    from lnegeom_torch.methods import ProxQuant

    layer = torch.nn.Linear(40, 1, bias=False)
    weights = torch.linspace(-1.6, 1.6, 40)
    layer.weight.data.copy_(weights[None])
    method = quantize_(layer, QuantConfig("proxquant", scale="none", options=ProxQuant(strength=0.2)))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    method.progress(1.0)  # λ has its full size
    inputs, targets = torch.zeros(1, 40), torch.zeros(1, 1)
    (latent,) = method.latents.values()
    method.step(optimizer, torch.nn.functional.mse_loss, inputs, targets)
    once = latent.detach().clone().numpy().ravel()
    grid, w = np.linspace(-2, 2, 40_001), weights.numpy()[:, None]
    costs = (grid - w) ** 2 / 2 + 0.2 * np.abs(grid - np.sign(w))
    for _ in range(60):
        method.step(optimizer, torch.nn.functional.mse_loss, inputs, targets)
    return [
        Figure(
            "difference from the grid's minimum", np.max(np.abs(once - grid[costs.argmin(1)])), high=1.1e-4
        ),
        Figure(
            "distance to discrete weights at the end",
            float((latent.detach().abs() - 1).abs().max()),
            high=1e-6,
        ),
    ]


@claim(
    "RF-DNN Eqs. 35 and 36, Algorithm 2",
    "The flow's term αN and its gate change what is learned.",
    "not decided here",
    instead="With ManiQuant's χ, α = 1 and ε = 10⁻³ they do not: N is a ten-millionth, all gates are open, "
    "and the weights differ from those of the metric alone in rounding. Larger χ and α make them felt, and "
    "the paper names neither.",
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
        Figure("largest N of a layer", max(n["largest_residual"] for n in numbers), high=1e-3),
        Figure("share of layers' gates open", min(n["gate_open"] for n in numbers), 1, 1),
        Figure(
            "relative difference of the weights",
            float((with_flow - without).norm() / without.norm()),
            high=1e-2,
        ),
    ]


METHODS = Group(
    "Training methods",
    (
        wcg_mismatch,
        quantizer_one_to_one,
        dorefa_scale,
        metaquant_scalar,
        proxquant_map,
        discrete_training,
    ),
)
