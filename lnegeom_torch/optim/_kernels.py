"""Kernels for a GPU, in Triton: a step of SGD on natural gradients of all tensors in two passes or three.

torch's operations on one tensor at a time are a dozen launches for each, a thousand for a network. Here one
launch goes through all tensors, in chunks, each a program. The first pass leaves the sum of each chunk of
``|W|²``, where the metric is scaled by it; the next, of ``|p|²`` and ``p · ∂L``; the last adds up what the
chunks of its tensor left, always in the same order, and moves the weights. Nothing is written but weights,
momentum and these sums. The second pass goes backward, so that each finds in cache what was read last.
"""

# mypy: ignore-errors
# What follows is in Triton's language, which looks like Python's.

from __future__ import annotations

try:
    import triton
    import triton.language as tl
except ImportError:  # torch's builds for CUDA bring it along
    triton = None

__all__ = ["apply", "products", "squares", "triton", "write"]


def jit(function):
    """The function as a kernel, where there is Triton."""
    return function if triton is None else triton.jit(function)


@jit
def _tanh(x):
    """Hyperbolic tangent in float32, to 2 units in the last place: by exp, and near 0 by a polynomial."""
    z = x * x
    series = -0.008340888 + z * 0.002294181
    series = 0.133332957 + z * (-0.053958433 + z * (0.021765901 + z * series))
    far = 1 - 2 / (tl.exp(2 * tl.abs(x)) + 1)
    return tl.where(z < 0.390625, x + x * z * (-0.33333333 + z * series), tl.where(x < 0, -far, far))


@jit
def _place(sizes, owner, first, BACKWARD: tl.constexpr, CHUNK: tl.constexpr):
    """The chunk of this program, its tensor, and which of the tensor's entries it is."""
    chunk = tl.program_id(0)
    if BACKWARD:
        chunk = tl.num_programs(0) - 1 - chunk
    tensor = tl.load(owner + chunk)
    entries = (chunk - tl.load(first + tensor)).to(tl.int64) * CHUNK + tl.arange(0, CHUNK)
    return chunk, tensor, entries, entries < tl.load(sizes + tensor)


@jit
def _read(table, tensor, entries, inside):
    """Entries of the tensor whose address stands in a row of the table, and where they are."""
    address = tl.multiple_of(tl.load(table + tensor).to(tl.pointer_type(tl.float32)), 16)
    return tl.load(address + entries, mask=inside, other=0.0), address + entries


@jit
def _total(sums, first, tensor, ROUNDS: tl.constexpr):
    """The sum of what the chunks of a tensor left, at most 512 a round."""
    end = tl.load(first + tensor + 1)
    at = tl.load(first + tensor) + tl.arange(0, 512)
    total = tl.load(sums + at, mask=at < end, other=0.0)
    for _ in range(1, ROUNDS):
        at += 512
        total += tl.load(sums + at, mask=at < end, other=0.0)
    return tl.sum(total, axis=0)


@jit
def _covector(weight, tau, lengths, first, tensor, SCALED: tl.constexpr, ROUNDS: tl.constexpr):
    """``p = tanh(W)``, or ``tanh(τ' W)`` with τ' at most ``√½ / |W|``."""
    if SCALED:
        length = tl.sqrt(_total(lengths, first, tensor, ROUNDS))
        weight = weight * tl.where(tau * length > 0.7071067811865476, 0.7071067811865476 / length, tau)
    return _tanh(weight)


@jit
def write(table, start, addresses):
    """Write addresses, a tuple, to the table from a place on: a copy would make the host wait."""
    for number in tl.static_range(len(addresses)):
        tl.store(table + start + number, addresses[number])


@jit
def squares(weights, sizes, owner, first, lengths, CHUNK: tl.constexpr):
    """Leave ``|W|²`` of each chunk."""
    chunk, tensor, entries, inside = _place(sizes, owner, first, False, CHUNK)
    weight, _ = _read(weights, tensor, entries, inside)
    tl.store(lengths + chunk, tl.sum(weight * weight, axis=0))


@jit
def products(
    weights, gradients, sizes, owner, first, lengths, lengths_of_p, along, tau,
    SCALED: tl.constexpr, ROUNDS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Leave ``|p|²`` and ``p · ∂L`` of each chunk."""
    chunk, tensor, entries, inside = _place(sizes, owner, first, True, CHUNK)
    weight, _ = _read(weights, tensor, entries, inside)
    gradient, _ = _read(gradients, tensor, entries, inside)
    p = _covector(weight, tau, lengths, first, tensor, SCALED, ROUNDS)
    tl.store(lengths_of_p + chunk, tl.sum(p * p, axis=0))
    tl.store(along + chunk, tl.sum(p * gradient, axis=0))


@jit
def apply(
    weights, gradients, momenta, sizes, owner, first, lengths, lengths_of_p, along, strengths, tau,
    lr, momentum, keep, decay,
    SCALED: tl.constexpr, MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr, MAXIMIZE: tl.constexpr,
    GATE: tl.constexpr, CLIP: tl.constexpr,
    ROUNDS: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Move the weights as torch's SGD does, on ``∂L + s p (p · ∂L)``; `keep` is 1 − dampening."""
    _, tensor, entries, inside = _place(sizes, owner, first, False, CHUNK)
    weight, where_weight = _read(weights, tensor, entries, inside)
    gradient, _ = _read(gradients, tensor, entries, inside)
    p = _covector(weight, tau, lengths, first, tensor, SCALED, ROUNDS)
    squared = _total(lengths_of_p, first, tensor, ROUNDS)
    if SCALED:
        strength = 1 / (1 - squared)
    else:
        strength = tl.load(strengths + tensor)
        strength = strength / tl.maximum(squared, 1.1754943508222875e-38 * tl.maximum(strength, 1.0))
    step = gradient + p * (strength * _total(along, first, tensor, ROUNDS))
    if GATE:
        step = tl.where(tl.abs(weight) <= 1, step, 0.0)
    if MAXIMIZE:
        step = -step
    step = step + decay * weight
    if MOMENTUM:
        before, where_momentum = _read(momenta, tensor, entries, inside)
        moved = momentum * before + keep * step
        tl.store(where_momentum, moved, mask=inside)
        step = step + momentum * moved if NESTEROV else moved
    weight = weight - lr * step
    if CLIP:
        weight = tl.minimum(tl.maximum(weight, -1.0), 1.0)
    tl.store(where_weight, weight, mask=inside)
