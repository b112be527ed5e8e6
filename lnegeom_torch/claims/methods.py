"""Claims about quantizers and methods that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnegeom.claims import Figure, Group, claim
from lnegeom_torch.claims._threads import on_one_thread


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
    "ManiQuant §1",
    "Methods such as MetaQuant add many parameters.",
    "does not hold",
    instead="Its network is shared by all layers: a few hundred numbers, whatever is trained. What it adds "
    "is the memory of the last gradients, and some per cent of time (`time-an-iteration`).",
    where=("docs/methods.md", "docs/benchmarks.md"),
    needs=("torch",),
)
@on_one_thread
def metaquant_size() -> list[Figure]:
    """Parameters of both forms, and of ResNet-20."""
    from lnegeom_torch.methods import MetaQuant
    from lnegeom_torch.methods.metaquant import MetaQuantizer
    from lnegeom_torch.nets import ResNet

    def count(module: Any) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    network = count(ResNet(channels=3, classes=10, depth=20))
    most = max(count(MetaQuantizer(MetaQuant(form))) for form in ("multifcg", "fcgrad"))
    return [
        Figure("parameters of the larger form", most, high=400),
        Figure("over those of ResNet-20, per cent", 100 * most / network, high=0.2),
    ]


@claim(
    "RF-DNN Eq. 28",
    "The strong approximation: a network, trained to minimise ‖I − gG‖², gives the metric's inverse G.",
    "holds with a correction",
    instead="To a tenth, for three weights, where the weak one is off by a quarter; for a layer of 2,304 it "
    "would have 2.7 million inputs and outputs. The inverse is known, a rank-one term being inverted in "
    "closed form (Sherman and Morrison): g⁻¹c = c + u (u·c)/(1 − |u|²), exact, in O(n) time and memory, the "
    "price of the weak approximation. The library has that in its place.",
    where=("tests/test_large.py", "docs/benchmarks.md"),
    needs=("torch",),
)
@on_one_thread
def strong_inverse() -> list[Figure]:
    """Such a network for three weights, 6-64-64-6, trained on |u| ≤ 0.9 for 1,000 iterations of Adam: root
    mean square of ‖I − gG‖ on 2,000 others, with the weak approximation beside it; `LNE.sharp` against a
    dense solve, and lowered again at a million weights.
    """
    import lnegeom
    from lnegeom_torch.claims._strong import strong_network

    strong, weak = strong_network()
    rng, metric = np.random.default_rng(2), lnegeom.LNE()
    theta, covector = rng.normal(size=(2, 50)) / 9
    dense = np.linalg.solve(metric.matrix(theta), covector)
    long, many = rng.normal(size=(2, 1_000_000)) / 1100
    again = metric.flat(long, metric.sharp(long, many))
    return [
        Figure("trained network, three weights", strong, 1e-2, 0.2),
        Figure("weak approximation there", weak, low=0.1),
        Figure(
            "error of the closed form, 50 weights",
            np.abs(metric.sharp(theta, covector) - dense).max(),
            high=1e-13,
        ),
        Figure("relative error of g g⁻¹ at n = 10⁶", np.abs(again / many - 1).max(), high=1e-6),
        Figure("inputs for a layer of 2,304", 2304 * 2305 / 2, low=2.6e6),
    ]


@claim(
    "Bai et al. 2018; ManiQuant Table 5",
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


METHODS = Group(
    "Quantizers and methods",
    (quantizer_one_to_one, metaquant_scalar, metaquant_size, strong_inverse, proxquant_map),
)
