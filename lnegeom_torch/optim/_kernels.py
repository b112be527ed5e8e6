"""Kernels for a GPU, in Triton: a step of SGD or AdamW on natural gradients in one pass or two.

torch's operations on one tensor at a time are a dozen launches for each, a thousand for a network. Here one
launch goes through all tensors, in chunks, each a program. Where the metric is of rank one, a first pass
finds ``|p|²`` and ``p · ∂L`` of every tensor: each chunk leaves its sums, and whichever of a tensor arrives
last adds them up, always in the same order. The other pass moves the weights; it goes backward, so that it
finds in cache what was read last. Nothing is written but weights, the optimizer's state and these sums.

`LNE` needs |W|² first, for its ``τ' = min(τ, √½/|W|)``. It takes no pass of its own, since always
``τ'|W| ≤ √½``, where tanh and its square are polynomials: each chunk leaves moments of its ``x = √½ W/|W|``,
which is in that range too, and once all of |W| is known, ``τ'W = r x`` with a number ``r ≤ 1``, whose powers
make of the moments what is wanted, as exactly as sums of tanh itself would be.
"""

# mypy: ignore-errors
# What follows is in Triton's language, which looks like Python's.

from __future__ import annotations

try:
    import triton
    import triton.language as tl
except ImportError:  # torch's builds for CUDA bring it along
    triton = tl = None

__all__ = ["SUMS", "adamw", "sgd", "sums", "tl", "triton", "write"]

SUMS = {"LNE": 12, "NormalizedLNE": 2, "LogCoshHessian": 0}  # that a chunk leaves


def jit(function):
    """The function as a kernel, where there is Triton."""
    return function if triton is None else triton.jit(function)


@jit
def _near(x):
    """``tanh x`` where ``x² ≤ ½``, in float32, to 2 units in the last place."""
    y = x * x
    series = -0.053545919 + y * (0.020054306 + y * -0.00510203)
    return x + x * y * (-0.33333184 + y * (0.13328943 + y * series))


@jit
def _tanh(x):
    """Hyperbolic tangent in float32, to 2 units in the last place."""
    far = 1 - 2 / (tl.exp(2 * tl.abs(x)) + 1)
    return tl.where(x * x <= 0.5, _near(x), tl.where(x < 0, -far, far))


@jit
def _place(sizes, owner, first, BACKWARD: tl.constexpr, CHUNK: tl.constexpr):
    """The chunk of this program, its tensor, where in that it begins, and how much there is from there on."""
    chunk = tl.program_id(0)
    if BACKWARD:
        chunk = tl.num_programs(0) - 1 - chunk
    tensor = tl.load(owner + chunk)
    start = (chunk - tl.load(first + tensor)).to(tl.int64) * CHUNK
    there = tl.load(sizes + tensor) - start
    return chunk, tensor, start, there


@jit
def _address(addresses, tensor, start, DTYPE: tl.constexpr):
    """Where a chunk of the tensor begins whose address stands in a row of the table."""
    return tl.multiple_of(tl.load(addresses + tensor).to(tl.pointer_type(DTYPE)), 16) + start


@jit
def _load(address, there, CHUNK: tl.constexpr):
    """Numbers of a chunk; four at once where none is missing, which a mask would forbid."""
    at = tl.arange(0, CHUNK)
    if there >= CHUNK:  # noqa: SIM108
        found = tl.load(address + at)
    else:
        found = tl.load(address + at, mask=at < there, other=0.0)
    return found.to(tl.float32)


@jit
def _store(address, values, there, CHUNK: tl.constexpr):
    """Store numbers of a chunk."""
    at = tl.arange(0, CHUNK)
    if there >= CHUNK:
        tl.store(address + at, values)
    else:
        tl.store(address + at, values, mask=at < there)


@jit
def _write4(row, a, b, c, d):
    """Write four addresses."""
    tl.store(row, a)
    tl.store(row + 1, b)
    tl.store(row + 2, c)
    tl.store(row + 3, d)


@jit
def write(row, a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, q):
    """Write sixteen addresses to a row of the table: a copy would make the host wait."""
    _write4(row, a, b, c, d)
    _write4(row + 4, e, f, g, h)
    _write4(row + 8, i, j, k, m)
    _write4(row + 12, n, o, p, q)


@jit
def _length(squared):
    """The length of a chunk over √½, or 0 where its square is no number."""
    known = (squared > 1.1754943508222875e-38) & (squared < float("inf"))
    return tl.where(known, tl.sqrt(squared) * 1.4142135623730951, 0.0)


@jit
def _left(left, at, end):
    """What chunks have left; not from a cache that may be older."""
    return tl.load(left + at, mask=at < end, other=0.0, cache_modifier=".cg")


@jit
def _total(left, begin, end):
    """The sum of what the chunks of a tensor left."""
    total, at = tl.zeros((512,), tl.float32), begin + tl.arange(0, 512)
    while begin < end:
        total += _left(left, at, end)
        begin, at = begin + 512, at + 512
    return tl.sum(total, axis=0)


@jit
def _leave_moments(left, chunks, weight, gradient):
    """Leave ``|W|²`` of a chunk, and of its ``x = √½ W/|W|`` the sums of ``x^{2k+1} ∂L`` and ``x^{2k+4}``."""
    squared = tl.sum(weight * weight, axis=0)
    length = _length(squared)
    x = weight * tl.where(length > 0, 1 / length, 0.0)
    odd, y = x * gradient, x * x
    tl.store(left, squared)
    tl.store(left + chunks, tl.sum(odd, axis=0))
    power = y
    for k in tl.static_range(2, 7):
        tl.store(left + k * chunks, tl.sum(odd * power, axis=0))
        power = power * y
        tl.store(left + (k + 5) * chunks, tl.sum(power, axis=0))


@jit
def _factor_by_moments(left, chunks, begin, end, tau):
    """The τ' of a tensor, and ``(p · ∂L) / (1 − |p|²)`` with ``p = tanh(τ'W)``."""
    length = tl.sqrt(_total(left, begin, end))
    scale = tl.where(tau * length > 0.7071067811865476, 0.7071067811865476 / length, tau)
    along, beyond, at = tl.zeros((512,), tl.float32), tl.zeros((512,), tl.float32), begin + tl.arange(0, 512)
    while begin < end:
        ratio = scale * _length(_left(left, at, end))
        y = ratio * ratio
        odd = -0.00510203 * _left(left + 6 * chunks, at, end)  # the polynomial of `_near`
        odd = y * odd + 0.020054306 * _left(left + 5 * chunks, at, end)
        odd = y * odd - 0.053545919 * _left(left + 4 * chunks, at, end)
        odd = y * odd + 0.13328943 * _left(left + 3 * chunks, at, end)
        odd = y * odd - 0.33333184 * _left(left + 2 * chunks, at, end)
        along += ratio * (y * odd + _left(left + chunks, at, end))
        even = -0.024764463 * _left(left + 11 * chunks, at, end)  # that of (tanh² x − x²)/x⁴
        even = y * even + 0.08709326 * _left(left + 10 * chunks, at, end)
        even = y * even - 0.19442768 * _left(left + 9 * chunks, at, end)
        even = y * even + 0.37753006 * _left(left + 8 * chunks, at, end)
        beyond += y * y * (y * even - 0.66665826 * _left(left + 7 * chunks, at, end))
        begin, at = begin + 512, at + 512
    reach = tl.minimum(tau * length, 0.7071067811865476)  # τ'|W|
    squared = reach * reach + tl.sum(beyond, axis=0)
    return scale, tl.sum(along, axis=0) / (1 - squared)


@jit
def sums(
    table, width, sizes, owner, first, left, arrived, strengths, turns, tau,
    METRIC: tl.constexpr, DTYPE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Leave for each tensor what its natural gradient has of p, and its τ'."""
    chunk, tensor, start, there = _place(sizes, owner, first, False, CHUNK)
    weight = _load(_address(table, tensor, start, DTYPE), there, CHUNK)
    gradient = _load(_address(table + width, tensor, start, DTYPE), there, CHUNK)
    chunks = tl.num_programs(0)
    if METRIC == "LNE":
        _leave_moments(left + chunk, chunks, weight, gradient)
    else:
        p = _tanh(weight)
        tl.store(left + chunk, tl.sum(p * p, axis=0))
        tl.store(left + chunks + chunk, tl.sum(p * gradient, axis=0))
    tl.debug_barrier()  # all of this program have stored, for whoever counts after it
    before = tl.atomic_add(arrived + tensor, 1, sem="acq_rel")
    begin, end = tl.load(first + tensor), tl.load(first + tensor + 1)
    if before == end - begin - 1:
        tl.store(arrived + tensor, 0)  # for the next step
        if METRIC == "LNE":
            scale, factor = _factor_by_moments(left, chunks, begin, end, tau)
            tl.store(turns + 2 * tensor + 1, scale)
        else:
            strength = tl.load(strengths + tensor)
            least = 1.1754943508222875e-38 * tl.maximum(strength, 1.0)
            squared = tl.maximum(_total(left, begin, end), least)
            factor = strength / squared * _total(left + chunks, begin, end)
        tl.store(turns + 2 * tensor, factor)


@jit
def _natural(weight, gradient, tensor, turns, tau, edge, METRIC: tl.constexpr):
    """The natural gradient."""
    if METRIC == "LogCoshHessian":
        power = tl.exp(2 * tl.minimum(tl.abs(tau * weight), edge))
        step = (0.25 * (power + 1 / power) + 0.5) * gradient
    elif METRIC == "LNE":
        p = _near(tl.load(turns + 2 * tensor + 1) * weight)
        step = gradient + p * tl.load(turns + 2 * tensor)
    else:
        step = gradient + _tanh(weight) * tl.load(turns + 2 * tensor)
    return step


@jit
def _begin(
    table, width, sizes, owner, first, turns, tau, edge, lr, rate, decay, grad_scale, found_inf,
    METRIC: tl.constexpr, DTYPE: tl.constexpr, DECOUPLED: tl.constexpr, GATE: tl.constexpr,
    MAXIMIZE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The weights of a chunk and what torch's step sees as their gradients, weight decay done or in them.

    And the learning rate, which lies on the device if there is a `rate`, and the place of the chunk.
    """
    if rate is not None:
        lr = tl.load(rate)
    _, tensor, start, there = _place(sizes, owner, first, True, CHUNK)
    if found_inf is not None:
        there = tl.where(tl.load(found_inf) == 0, there, 0)
    weight = _load(_address(table, tensor, start, DTYPE), there, CHUNK)
    gradient = _load(_address(table + width, tensor, start, DTYPE), there, CHUNK)
    step = _natural(weight, gradient, tensor, turns, tau, edge, METRIC)
    if grad_scale is not None:
        step = step / tl.load(grad_scale)
    if GATE:
        step = tl.where(tl.abs(weight) <= 1, step, 0.0)
    if MAXIMIZE:
        step = -step
    if DECOUPLED:
        weight = weight * (1 - lr * decay)
    else:
        step = step + decay * weight
    return weight, step, lr, tensor, start, there


@jit
def _end(table, tensor, start, weight, there, DTYPE: tl.constexpr, CLIP: tl.constexpr, CHUNK: tl.constexpr):
    """Store weights."""
    if CLIP:
        weight = tl.minimum(tl.maximum(weight, -1.0), 1.0)
    _store(_address(table, tensor, start, DTYPE), weight, there, CHUNK)


@jit
def sgd(
    table, width, sizes, owner, first, turns, tau, edge, lr, rate, decay, grad_scale, found_inf,
    momentum, keep,
    METRIC: tl.constexpr, DTYPE: tl.constexpr, DECOUPLED: tl.constexpr, GATE: tl.constexpr,
    MAXIMIZE: tl.constexpr, CLIP: tl.constexpr, CHUNK: tl.constexpr,
    MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr,
):  # fmt: skip
    """Move the weights as torch's SGD does; `keep` is 1 − dampening."""
    weight, step, lr, tensor, start, there = _begin(
        table, width, sizes, owner, first, turns, tau, edge, lr, rate, decay, grad_scale, found_inf,
        METRIC, DTYPE, DECOUPLED, GATE, MAXIMIZE, CHUNK,
    )  # fmt: skip
    if MOMENTUM:
        at = _address(table + 2 * width, tensor, start, DTYPE)
        moved = momentum * _load(at, there, CHUNK) + keep * step
        _store(at, moved, there, CHUNK)
        step = step + momentum * moved if NESTEROV else moved
    _end(table, tensor, start, weight - lr * step, there, DTYPE, CLIP, CHUNK)


@jit
def _one_less_power(rate, count):
    """``1 − β^t`` from ``−log β``, without the cancellation."""
    half = _tanh(0.5 * rate * count)
    return 2 * half / (1 + half)


@jit
def adamw(
    table, width, sizes, owner, first, turns, tau, edge, lr, rate, decay, grad_scale, found_inf,
    share1, share2, rate1, rate2, eps,
    METRIC: tl.constexpr, DTYPE: tl.constexpr, DECOUPLED: tl.constexpr, GATE: tl.constexpr,
    MAXIMIZE: tl.constexpr, CLIP: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Move the weights as torch's AdamW or Adam does; a share is 1 − β, a rate −log β."""
    weight, step, lr, tensor, start, there = _begin(
        table, width, sizes, owner, first, turns, tau, edge, lr, rate, decay, grad_scale, found_inf,
        METRIC, DTYPE, DECOUPLED, GATE, MAXIMIZE, CHUNK,
    )  # fmt: skip
    at = _address(table + 2 * width, tensor, start, DTYPE)
    mean = _load(at, there, CHUNK)
    mean = mean + share1 * (step - mean)
    _store(at, mean, there, CHUNK)
    at = _address(table + 3 * width, tensor, start, DTYPE)
    square = _load(at, there, CHUNK)
    square = square + share2 * (step * step - square)
    _store(at, square, there, CHUNK)
    count = 1 + tl.load(tl.load(table + 4 * width + tensor).to(tl.pointer_type(tl.float32)))
    size = tl.sqrt(square) / tl.sqrt(_one_less_power(rate2, count)) + eps
    weight = weight - lr / _one_less_power(rate1, count) * (mean / size)
    _end(table, tensor, start, weight, there, DTYPE, CLIP, CHUNK)
