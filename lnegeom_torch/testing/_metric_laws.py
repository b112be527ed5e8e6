"""Laws of metrics on weights."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lnegeom.testing._check import Measures
from lnegeom.testing._law import Law, Numbers, Pair
from lnegeom.testing._tensor_laws import smaller
from lnegeom_torch.metrics import Metric, Room, metric_from_data, metric_to_data
from lnegeom_torch.testing._acceleration_laws import no_acceleration
from lnegeom_torch.testing._check import derivative, matrices, numbers, same, slope, total

__all__ = ["LAWS", "TABLE"]

_HALF = (torch.float16, torch.bfloat16, torch.float32)
_SIZES = (0.0, 1e-20, 1e-4, 3.0, 300.0)


def linear(m: Measures) -> Iterator[Pair]:
    """The natural gradient is linear in the gradient."""
    u, v = m.native("u"), m.native("v")
    yield same(_natural(m, 2 * u - 3 * v), 2 * m.native("natural") - 3 * _natural(m, v))


def symmetric(m: Measures) -> Iterator[Pair]:
    """As a matrix, g⁻¹ is symmetric."""
    yield m["inverse"], np.swapaxes(m["inverse"], -1, -2), smaller(m["inverse"])


def positive_definite(m: Measures) -> Iterator[Pair]:
    """As a matrix, g⁻¹ has eigenvalues above 0 alone: a step against it goes downhill."""
    lowest = np.linalg.eigvalsh((m["inverse"] + np.swapaxes(m["inverse"], -1, -2)) / 2)[:, 0]
    yield lowest, np.maximum(lowest, np.finfo(float).tiny), 0.0


def of_lists(m: Measures) -> Iterator[Pair]:
    """Of lists, natural_gradients gives each natural gradient, in lent memory and of strided tensors too."""
    weights, gradients = list(m.native("x")), list(m.native("u"))
    strided = [torch.stack([g, g], dim=-1)[..., 0] for g in gradients]
    for given in (gradients, strided):
        for room in _rooms(weights):
            yield same(_listed(m.thing, weights, given, room), m.native("natural"))


def leaves_arguments(m: Measures) -> Iterator[Pair]:
    """Nothing that it is given is written to, and results share no memory with it."""
    for name, call, given in _calls(m, m.native("x").dtype):
        copies = [tensor.clone() for tensor in given]
        result = call(*given)
        for tensor, copy in zip(given, copies, strict=True):
            if not torch.equal(tensor, copy):
                raise AssertionError(f"{name} writes to what it is given")
            if result.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr():
                raise AssertionError(f"{name} returns what it is given, or a view of it")
    yield from ()


def keeps_dtype(m: Measures) -> Iterator[Pair]:
    """Results have the shape and dtype of the gradient, in half precision too."""
    wrong = []
    for dtype in (*_HALF, torch.float64):
        for name, call, given in _calls(m, dtype):
            result = call(*given)
            if result.dtype != dtype or result.shape != given[0].shape:
                wrong.append(
                    f"{name} of {dtype} {tuple(given[0].shape)} is {result.dtype} {tuple(result.shape)}"
                )
    if wrong:
        raise AssertionError(", ".join(wrong))
    yield from ()


def finite(m: Measures) -> Iterator[Pair]:
    """Of finite weights of any size, 0 too, the natural gradient is finite, in half precision too."""
    first = m.native("x")[0]
    for dtype in _HALF:
        for size in _SIZES:
            weight = torch.full_like(first, size, dtype=dtype)
            gradient = torch.full_like(weight, 0.25)
            for room in _rooms([weight]):
                (found,) = _listed(m.thing, [weight], [gradient], room)
                if not torch.isfinite(found).all():
                    raise AssertionError(f"of weights {size:g} in {dtype} it has an entry that is not finite")
    yield from ()


def looks_at_no_number(m: Measures) -> Iterator[Pair]:
    """On a device whose numbers nobody can read, it runs: it neither waits for it nor leaves it."""
    for name, call, given in _calls(m, m.native("x").dtype):
        try:
            result = call(*(tensor.to("meta") for tensor in given))
        except Exception as error:
            text = str(error).strip().split("\n")[0]
            raise AssertionError(f"{name} on the meta device: {type(error).__name__}: {text}") from None
        if not result.is_meta:
            raise AssertionError(f"{name} on the meta device gives a tensor on {result.device}")
    yield from ()


def plain_data(m: Measures) -> Iterator[Pair]:
    """As plain data it is the same metric again, after torch.save and torch.load(weights_only=True) too."""
    data, file = metric_to_data(m.thing), io.BytesIO()
    torch.save(data, file)
    file.seek(0)
    again = metric_from_data(torch.load(file, weights_only=True))
    if again != m.thing or hash(again) != hash(m.thing) or metric_to_data(data) != data:
        raise AssertionError(f"{m.thing!r} is {data} as data, and that is {again!r}")
    yield from ()


def differentiable(m: Measures) -> Iterator[Pair]:
    """Weight and gradient have derivatives through it, as differentiable=True needs."""
    x, u, v = (m.native(name).double() for name in "xuv")
    down = torch.roll(u, 1, dims=0)

    def along(h: Tensor) -> Tensor:
        moved = zip(x + h * v, u + h * down, strict=True)
        found = torch.stack([m.thing.natural_gradient(w, g) for w, g in moved])
        return total(found * v)

    yield same(derivative(along, x), slope(along, x))


def eigenvalues(m: Measures) -> Iterator[Pair]:
    """Of g as a matrix they are least, largest, and, where g is rank one, the one furthest from 1."""
    told = [m.thing.eigenvalues(weight) or (None, None, None) for weight in m.native("x").double()]
    true = 1 / np.linalg.eigvalsh(m["inverse"])[:, ::-1]
    furthest = np.argmax(np.abs(np.log(true)), axis=-1)[:, None]
    expected = np.stack([true[:, 0], true[:, -1], np.take_along_axis(true, furthest, axis=-1)[:, 0]], axis=-1)
    found = [[np.nan if each is None else float(each) for each in three] for three in told]
    yield np.where(np.isnan(found), expected, found), expected, smaller(expected)


def _natural(m: Measures, gradients: Tensor) -> Tensor:
    return torch.stack(
        [m.thing.natural_gradient(w, g) for w, g in zip(m.native("x"), gradients, strict=True)]
    )


def _rooms(weights: list[Tensor]) -> list[Room | None]:
    """None, and what an optimizer would lend to weights in processor memory."""
    if weights[0].device.type != "cpu":
        return [None]
    dtype = torch.promote_types(weights[0].dtype, torch.float32)
    return [None, Room.within(torch.empty(sum(w.numel() for w in weights), dtype=dtype), weights)]


def _listed(
    metric: Metric, weights: list[Tensor], gradients: list[Tensor], room: Room | None
) -> list[Tensor]:
    """As an optimizer asks, results copied out of the room."""
    states: list[Any] = [{} for _ in weights]
    return [found.clone() for found in metric.natural_gradients(weights, gradients, room, states)]


def _calls(m: Measures, dtype: torch.dtype) -> Iterator[tuple[str, Callable[..., Tensor], list[Tensor]]]:
    """What an optimizer calls, with its arguments for the first weight."""
    given = [m.native(name)[0].to(dtype).clone() for name in "xu"]
    yield "natural_gradient", m.thing.natural_gradient, given
    yield "natural_gradients", lambda w, g: m.thing.natural_gradients([w], [g], None, [{}])[0], given
    if no_acceleration(m.thing, 0) is None:
        yield "acceleration", m.thing.acceleration, given
        yield "exponential", m.thing.exponential, given


def _no_eigenvalues(metric: Metric, n: int) -> str | None:
    own = type(metric).eigenvalues is not Metric.eigenvalues
    return None if own else "it does not tell its eigenvalues"


def _inverse(m: Measures) -> Numbers:
    return numbers([matrices(partial(m.thing.natural_gradient, w), w) for w in m.native("x").double()])


TABLE: dict[str, Callable[[Measures], Any]] = {
    "natural": lambda m: _natural(m, m.native("u")),
    "inverse": _inverse,
}

LAWS = {
    "linear": Law(linear, "the gradient is clipped, normalised or squared on the way"),
    "symmetric": Law(
        symmetric, "one factor of a product is at the weight, the other elsewhere, or transposed"
    ),
    "positive definite": Law(
        positive_definite, "a sign, or weights where g degenerates; scale the metric there, as LNE does"
    ),
    "lists": Law(
        of_lists,
        "`natural_gradients` forgets a factor, takes the lent memory for zeros, or reads a strided tensor as "
        "a dense one",
    ),
    "leaves its arguments": Law(
        leaves_arguments,
        "an operation in place (a name that ends in _, `out=`), or a `return gradient`: return a clone",
    ),
    "keeps dtype and shape": Law(
        keeps_dtype,
        "numbers are kept in float32, as they should be, and not brought back: end with .to(gradient.dtype)",
    ),
    "finite": Law(
        finite,
        "a division by what is 0 or underflows, or a sum that overflows: compute in `wide(weight)`, and "
        "bound the denominator",
    ),
    "looks at no number": Law(
        looks_at_no_number,
        "`.item()`, `float()`, or an `if` on a tensor, which waits for the device; write torch.where or "
        "clamp. Or a tensor made without device=weight.device",
    ),
    "plain data": Law(
        plain_data, "a field that is no number or text, or `to_data` leaves one out; the class must be frozen"
    ),
    "differentiable": Law(
        differentiable, "`detach`, `.data`, `no_grad`, or a trip through numpy", relative=1e-6
    ),
    "eigenvalues": Law(
        eigenvalues, "they are those of g⁻¹, or of another metric", _no_eigenvalues, relative=1e-8
    ),
}
