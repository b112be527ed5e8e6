"""Small networks for claims, and the gradient that a straight-through estimator stands for, exactly."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lnegeom_torch import ManifoldSGD, QuantConfig, quantize_
from lnegeom_torch.methods import Blended, Coarse
from lnegeom_torch.nets import build

__all__ = ["Mismatch", "blended_loss", "digits", "first_gradient", "mismatch", "network"]


def network(*sizes: int, seed: int = 0, between: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    """A fully connected network with batch norm; torch's random state stays as it is."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), between()]
    return nn.Sequential(*layers[:-1]).double()  # so that another processor's rounding flips no sign


def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits, (1797, 64) in [0, 1], and their labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return torch.from_numpy(found.data / 16), torch.from_numpy(found.target)


def blended_loss(rho: float, seed: int, iterations: int = 90) -> float:
    """The mean loss of blended coarse gradient descent on digits, 64-32-32-10, rate 0.3."""
    model = network(64, 32, 32, 10, seed=seed, between=nn.ReLU)
    method = quantize_(model, QuantConfig("bcgd", options=Blended(rho=rho)))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.3, momentum=0.9)
    images, labels = digits()
    generator, total = torch.Generator().manual_seed(seed), 0.0
    for _ in range(iterations):
        batch = torch.randint(len(images), (64,), generator=generator)
        total += float(method.step(optimizer, F.cross_entropy, images[batch], labels[batch])[0])
    return total / iterations


def first_gradient(proxy: Any) -> float:
    """The size of the first layer's gradient in a fresh ResNet-20 with 2-bit activations, on 128 digits."""
    images, labels = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build("resnet20", channels=1, image_size=8, classes=10).double()
    quantize_(model, QuantConfig("coarse", weight_bits=32, activation_bits=2, options=Coarse(proxy)))
    loss = F.cross_entropy(model(images[:128].view(-1, 1, 8, 8)), labels[:128])
    (slope,) = torch.autograd.grad(loss, [next(model.parameters())])
    return float(slope.norm())


class Mismatch(NamedTuple):
    """The first layer of a 1-bit 8-16-4 network on 64 random inputs; vectors of its 128 weights.

    Attributes
    ----------
    straight : Tensor
        The straight-through gradient.
    true : Tensor
        ``½ [L(w_i = +1) − L(w_i = −1)]`` for each weight.
    latent : Tensor
        The latent weights.
    fisher : Tensor
        The Fisher information at the quantized weights, (128, 128), without an estimate.
    """

    straight: Tensor
    true: Tensor
    latent: Tensor
    fisher: Tensor


def mismatch(seed: int) -> Mismatch:
    """Both gradients of a random network, by automatic differentiation and by flipping each weight."""
    model = network(8, 16, 4, seed=seed)
    method = quantize_(model, QuantConfig("ste", gate="none"))
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(64, 8, generator=generator).double(), torch.arange(64) % 4
    first, *others = model.children()
    rest, signs = nn.Sequential(*others), cast(nn.Linear, first).weight.detach()

    def logits(weight: Tensor) -> Tensor:
        outputs: Tensor = rest(inputs @ weight.T)
        return outputs

    moving = signs.clone().requires_grad_()
    (straight,) = torch.autograd.grad(F.cross_entropy(logits(moving), targets), moving)
    true = torch.zeros(signs.numel(), dtype=signs.dtype)
    with torch.no_grad():
        here = F.cross_entropy(logits(signs), targets)
        for index, sign in enumerate(signs.flatten()):
            flipped = signs.flatten().clone()
            flipped[index] = -sign
            true[index] = (here - F.cross_entropy(logits(flipped.view_as(signs)), targets)) * sign / 2
    slopes = torch.autograd.functional.jacobian(logits, signs).flatten(2)  # type: ignore[no-untyped-call]
    p = logits(signs).softmax(-1).detach()
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    fisher = torch.einsum("nai,nab,nbj->ij", slopes, middle, slopes) / len(p)
    return Mismatch(straight.flatten(), true, method.latents["0"].detach().flatten(), fisher)
