"""Laws of optimizers about a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from lnegeom.testing._check import Measures
from lnegeom.testing._law import Law, Pair
from lnegeom_torch.testing._check import derivative, same, slope
from lnegeom_torch.testing._runs import Run, lacks

__all__ = ["LAWS"]

_STEPS = 5


def descends(m: Measures) -> Iterator[Pair]:
    """Steps on the loss ⟨W₀, W⟩, of W₀ where they start, make it less, or more where it maximizes."""
    x = m.native("x")
    for options in ({}, {"maximize": True}) if "maximize" in m.thing.defaults else ({},):
        run = Run(m, **options)
        for _ in range(_STEPS):
            run.step(x)
        before, after = float((x * x).sum()), float((x * run.weights).sum())
        if not (before < after if options else after < before):
            raise AssertionError(f"with {options or 'no options'} it went from {before:.6g} to {after:.6g}")
    yield from ()


def leaves_gradients(m: Measures) -> Iterator[Pair]:
    """After a step, each .grad is the tensor that it was, with the numbers that it had."""
    for options in _modes(m):
        run = Run(m, **options)
        for gradients in run.gradients[:2]:
            run.step(gradients)
            yield same([p.grad for p in run.params], gradients)
        held = [p.grad for p in run.params]
        run.optimizer.step()
        if any(param.grad is not gradient for param, gradient in zip(run.params, held, strict=True)):
            raise AssertionError("a .grad is another tensor after the step than before")


def maximizes(m: Measures) -> Iterator[Pair]:
    """With maximize=True it does with −g what it does with g without."""
    up, down = Run(m, maximize=True), Run(m)
    up.gradients = -up.gradients
    yield same(up.steps(), down.steps())


def foreach_is_the_loop(m: Measures) -> Iterator[Pair]:
    """With foreach=True it takes the steps of foreach=False, where a weight has no gradient too."""
    yield from _agree(m, {"foreach": False}, {"foreach": True})


def fused_is_the_loop(m: Measures) -> Iterator[Pair]:
    """With fused=True it takes the steps of fused=False, where a weight has no gradient too."""
    yield from _agree(m, {"fused": False}, {"fused": True})


def without_gradients(m: Measures) -> Iterator[Pair]:
    """A weight that has no gradient stays where it is."""
    run = Run(m)
    run.step([None for _ in run.params])
    yield same(run.weights, m.native("x"))
    run.step([run.gradients[0, 0], *(None for _ in run.params[1:])])
    yield same(run.weights[1:], m.native("x")[1:])


def complex_weights(m: Measures) -> Iterator[Pair]:
    """A complex weight moves as the pair of its real and imaginary parts."""
    pairs = torch.stack([m.native("x"), m.native("gradients")[3]], dim=-1)
    real, complexes = Run(m, pairs), Run(m, torch.view_as_complex(pairs))
    slopes = torch.stack([real.gradients[:3], real.gradients[1:]], dim=-1)
    real.gradients, complexes.gradients = slopes, torch.view_as_complex(slopes)
    yield same(torch.view_as_real(complexes.steps()), real.steps())


def half_precision(m: Measures) -> Iterator[Pair]:
    """Weights in float16 and bfloat16 stay so, and finite."""
    for dtype in (torch.float16, torch.bfloat16):
        run = Run(m, m.native("x").to(dtype))
        for group in run.optimizer.param_groups:
            if "eps" in group:
                group["eps"] = 1e-4  # Adam's own, 1e-8, is 0 in float16
        weights = run.steps()
        if weights.dtype != dtype or not torch.isfinite(weights).all():
            raise AssertionError(f"weights in {dtype} become {weights.dtype}, or not finite")
    yield from ()


def strided(m: Measures) -> Iterator[Pair]:
    """Weights and gradients that lie apart in memory move as dense ones."""
    run = Run(m)
    run.params = [nn.Parameter(torch.stack([w, w], dim=-1)[..., 0]) for w in m.native("x")]
    run.optimizer = m.thing.build(run.params)
    for gradients in run.gradients[:3]:
        for param, gradient in zip(run.params, gradients, strict=True):
            param.grad = torch.stack([gradient, gradient], dim=-1)[..., 0]
        run.optimizer.step()
    yield same(run.weights, Run(m).steps())


def differentiable(m: Measures) -> Iterator[Pair]:
    """With differentiable=True, gradients and weights have derivatives through a step."""
    x, (first, second, change, _) = m.native("x").double(), m.native("gradients").double()

    def after(h: Tensor) -> Tensor:
        params = [weight.clone() for weight in x]
        optimizer = m.thing.build(params, differentiable=True)
        for param, gradient in zip(params, first, strict=True):
            param.grad = gradient.clone()
        optimizer.step()  # torch's SGD cuts its first momentum off
        for param, gradient, direction in zip(params, second, change, strict=True):
            param.add_(h * gradient)
            param.grad = gradient + h * direction
        optimizer.step()
        return torch.stack([(p * g).sum() for p, g in zip(params, first, strict=True)])

    yield same(derivative(after, x), slope(after, x))


def _modes(m: Measures) -> Sequence[dict[str, bool]]:
    return [{}, *({name: True} for name in ("foreach", "fused") if lacks(name)(m.thing, 0) is None)]


def _agree(m: Measures, one: dict[str, bool], other: dict[str, bool]) -> Iterator[Pair]:
    runs = Run(m, **one), Run(m, **other)
    for run in runs:
        run.steps(2)
        run.step([None, *run.gradients[2, 1:]])
        run.steps(1, first=3)
    yield same(runs[1].weights, runs[0].weights)


LAWS = {
    "descends": Law(descends, "a sign: the step goes up, or takes no notice of maximize"),
    "leaves gradients": Law(
        leaves_gradients,
        "weight decay or momentum is added to .grad in place: write grad = grad.add(…), not grad.add_(…)",
    ),
    "maximizes": Law(
        maximizes,
        "the option is accepted and not read, or turns weight decay round as well",
        lacks("maximize"),
    ),
    "foreach": Law(
        foreach_is_the_loop,
        "the lists of parameters, gradients and state fall out of step where one has no gradient",
        lacks("foreach"),
    ),
    "fused": Law(
        fused_is_the_loop,
        "the fused kernel leaves out what the loop does besides, or the other way round",
        lacks("fused"),
    ),
    "without gradients": Law(
        without_gradients, "momentum, or weight decay, moves what has no gradient: skip param.grad is None"
    ),
    "complex": Law(
        complex_weights, "complex weights need torch.view_as_real before, and products conjugated"
    ),
    "half precision": Law(
        half_precision, "a sum or a square overflows, or the weight is replaced by a float32 one"
    ),
    "strided": Law(strided, "`view(-1)` or `data_ptr` is taken of what is not contiguous"),
    "differentiable": Law(
        differentiable,
        "`torch.no_grad` around the step, or `.data`, or an in-place operation on what the derivative needs",
        lacks("differentiable"),
        relative=1e-6,
    ),
}
