"""Quantizers against their printed formulas in exact arithmetic, and straight-through gradients."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lnegeom
from lnegeom_torch import QuantConfig, quantize_
from lnegeom_torch.methods.selection import find_relus
from lnegeom_torch.nets import build
from lnegeom_torch.quant import (
    ActivationQuantizer,
    QuantizedReLU,
    WeightQuantizer,
    binarize,
    maniquant,
    rf,
    staircase,
    straight_through,
    ternary,
)

BITS = range(2, 9)
values = st.lists(st.floats(-3, 3, width=32, allow_subnormal=False), min_size=1, max_size=20)


@given(numbers=values)
def test_binarize_is_the_sign_with_one_at_zero(numbers):
    expected = torch.tensor([1.0 if x >= 0 else -1.0 for x in numbers])
    assert torch.equal(binarize(torch.tensor(numbers)), expected)


@pytest.mark.parametrize("bits", BITS)
@given(numbers=values)
def test_maniquant_is_its_printed_formula(bits, numbers):
    steps = 2 ** (bits - 1) - 1

    def formula(x):
        return Fraction(round(steps * min(max(x, -1), 1)), steps)  # Python, too, rounds halves to even

    for x, level in zip(numbers, maniquant(torch.tensor(numbers).double(), bits), strict=True):
        place = steps * Fraction(min(max(x, -1), 1))
        at_a_tie = abs(abs(place - round(place)) - Fraction(1, 2)) < 1e-9
        assert abs(level - float(formula(Fraction(x)))) < (1.1 / steps if at_a_tie else 1e-12)


@pytest.mark.parametrize("bits", BITS)
@given(numbers=values)
def test_rf_is_its_printed_formula(bits, numbers):
    steps = 2**bits - 1
    largest = Fraction(max(abs(x) for x in numbers)) or Fraction(1)

    def formula(x):
        return Fraction(2, steps) * round(steps * (x / (2 * largest) + Fraction(1, 2))) - 1

    actual = rf(torch.tensor(numbers, dtype=torch.float64), bits)
    for x, level in zip(numbers, actual, strict=True):
        place = steps * (Fraction(x) / (2 * largest))
        at_a_tie = abs(place - round(place)) < 1e-9  # steps is odd, so halves are ties of rounding
        assert abs(level - float(formula(Fraction(x)))) < (2.1 / steps if at_a_tie else 1e-12)


@pytest.mark.parametrize("bits", BITS)
def test_levels(bits):
    x = torch.linspace(-1, 1, 4001)
    assert len(maniquant(x, bits).unique()) == 2**bits - 1
    assert 0.0 in maniquant(x, bits).unique()
    assert len(rf(x, bits).unique()) == 2**bits
    assert rf(x, bits).abs().min() == pytest.approx(1 / (2**bits - 1), rel=1e-4)  # no zero level


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("quantizer", ["maniquant", "rf"])
@pytest.mark.parametrize("transform", ["identity", "tanh"])
def test_a_zero_tensor_gives_finite_values_and_gradients(bits, quantizer, transform):
    weight = torch.zeros(3, 4, requires_grad=True)
    quantized = WeightQuantizer(bits, quantizer, transform)(weight)
    quantized.sum().backward()
    assert torch.isfinite(quantized).all()
    assert torch.isfinite(weight.grad).all()
    if bits == 1:
        assert torch.equal(quantized, torch.ones(3, 4))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("quantizer", ["maniquant", "rf"])
def test_straight_through_gives_the_exact_value_and_the_surrogate_gradient(bits, quantizer):
    torch.manual_seed(0)
    weight = torch.randn(64, 64, requires_grad=True)
    upstream = torch.randn(64, 64)
    out = WeightQuantizer(bits, quantizer)(weight)
    plain = binarize(weight) if bits == 1 else {"maniquant": maniquant, "rf": rf}[quantizer](weight, bits)
    assert torch.equal(out, plain)
    out.backward(upstream)
    assert torch.equal(weight.grad, upstream)

    weight.grad = None
    WeightQuantizer(bits, quantizer, gate=True)(weight).backward(upstream)
    assert torch.equal(weight.grad, upstream * (weight.abs() <= 1))


def test_dorefa_gradient_is_the_printed_chain_rule():
    # ManiQuant §1: ∇_W = ∇_Q (1 − tanh² W) / max|tanh W|, the maximum not differentiated.
    torch.manual_seed(0)
    weight = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(5, 7, dtype=torch.float64)
    WeightQuantizer(1, transform="tanh")(weight).backward(upstream)
    t = weight.detach().tanh()
    torch.testing.assert_close(weight.grad, upstream * (1 - t**2) / t.abs().max())


def test_rf_does_not_overflow_in_half_precision():
    assert rf(torch.tensor([6e4, -6e4, 1.0]).half(), 2).tolist() == pytest.approx([1, -1, 1 / 3], abs=1e-3)


def test_rf_scales_activations_and_their_gradient_and_gates_none():
    """The slope of a straight line through the staircase, by differences over whole steps."""
    a = torch.tensor([-10.0, 0.5, 3.0, 10.0], requires_grad=True)
    quantizer = ActivationQuantizer(8, "rf")
    quantizer(a).sum().backward()
    step = 20 / 255  # a step of the levels, at the scale of a
    moved = a.detach() + torch.tensor([0, 25, 25, 0]) * step
    slope = ((quantizer(moved) - quantizer(a)) / (25 * step))[1:3].detach()
    torch.testing.assert_close(a.grad[1:3], slope, rtol=1e-4, atol=0)
    assert torch.equal(a.grad, a.grad[0].expand(4))


@pytest.mark.parametrize("quantizer", ["rf", "maniquant"])
def test_fine_activations_do_not_change_the_size_of_gradients(quantizer):
    """Behind ReLUs too, over many layers, each of which would multiply a gradient that is scaled wrongly."""
    activation = {"rf": nn.ReLU, "maniquant": nn.Hardtanh}[quantizer]  # the latter clips at 1
    norms = []
    for bits in (8, 32):
        torch.manual_seed(0)
        model = build("resnet20", channels=1, image_size=8, classes=10)
        for module, key in find_relus(model, QuantConfig()):
            setattr(module, key, activation())
        config = QuantConfig("ste", activation_bits=bits, quantizer=quantizer)
        method = quantize_(model, config)
        nn.functional.cross_entropy(model(torch.randn(32, 1, 8, 8)), torch.arange(32) % 10).backward()
        norms.append(torch.stack([weight.grad.norm() for weight in method.latents.values()]))
    torch.testing.assert_close(*norms, rtol=0.3, atol=0)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("quantizer", ["rf", "maniquant"])
def test_a_learned_range_has_the_value_and_the_gradient_of_lsq(bits, quantizer):
    """``s Q(a/s)``: a's gradient inside ±s; s's, ``Q(v) − v`` inside and ±1 outside, of one bit the sign."""
    module = ActivationQuantizer(bits, quantizer, learned=True).double()
    with torch.no_grad():
        module.log_scale.fill_(0.4)
    s = float(module.log_scale.detach().exp())
    a = torch.tensor([[-4.0, -0.9, 0.3], [1.1, 1.4, 3.0]], dtype=torch.float64, requires_grad=True)
    out = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3)
    found = module(a)
    (found * out).sum().backward()
    v, count = a.detach() / s, 2**bits - 1 if quantizer == "rf" else 2**bits - 2
    if bits == 1:
        levels = torch.where(v >= 0, 1.0, -1.0).double()
    else:  # so many equal steps from −1 to 1
        levels = (v.clamp(-1, 1) / 2 + 0.5).mul(count).round() * 2 / count - 1
    inside = v.abs() <= 1
    torch.testing.assert_close(found.detach(), levels * s)
    assert torch.equal(a.grad, torch.where(inside, out, 0.0))
    slope = torch.where(inside & torch.tensor(bits > 1), levels - v, levels)
    gain = (3 * max(1, 2 ** (bits - 1) - 1)) ** -0.5
    torch.testing.assert_close(module.log_scale.grad.squeeze(), gain * (slope * out).sum() * s)


def test_activations_are_gated_at_one():
    a = torch.tensor([-2.0, -1.0, 0.5, 1.0, 2.0], requires_grad=True)
    ActivationQuantizer(2)(a).sum().backward()
    assert torch.equal(a.grad, torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]))


def test_straight_through_under_vmap_and_double_backward():
    x = torch.randn(4, 3, dtype=torch.float64)

    def f(row):
        return (straight_through(binarize(row), row) ** 2 * row).sum()

    by_row = torch.stack([torch.func.grad(f)(row) for row in x])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(f))(x), by_row)
    assert torch.isfinite(torch.func.hessian(f)(x[0])).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 0}, "bits must be an integer from 1 to 8, got 0"),
        ({"bits": 2, "quantizer": "x"}, "quantizer must be one of maniquant, rf, got 'x'"),
        ({"bits": 2, "transform": "tan"}, "transform must be 'identity' or 'tanh', got 'tan'"),
    ],
)
def test_bad_modules(options, message):
    with pytest.raises(lnegeom.InputError, match=message):
        WeightQuantizer(**options)


@pytest.mark.parametrize("quantizer", [maniquant, rf])
@pytest.mark.parametrize("bits", [1, 0, 9, 2.0, True])
def test_bad_bits(quantizer, bits):
    with pytest.raises(lnegeom.InputError, match=r"bits must be an integer from 2 to 8, got"):
        quantizer(torch.zeros(3), bits)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@given(numbers=values)
def test_the_staircase_is_the_least_level_not_below(bits, numbers):
    steps, top = 2**bits - 1, 1.5
    levels = [top * k / steps for k in range(steps + 1)]
    for x, level in zip(numbers, staircase(torch.tensor(numbers).double(), bits, top), strict=True):
        expected = 0.0 if x <= 0 else next((y for y in levels if y >= x - 1e-9), top)
        assert abs(level - expected) < 1e-9 or abs(x - round(x * steps / top) * top / steps) < 1e-9


def test_ternary_by_hand_and_per_channel():
    x = torch.tensor([[1.0, -0.6, 0.8], [10.0, -6.0, 8.0]])
    # Threshold 0.7 · mean: 0.56 and 5.6 by row, 3.08 over the whole.
    assert ternary(x, per_channel=True).tolist() == [[1, -1, 1], [1, -1, 1]]
    assert ternary(x).tolist() == [[0, 0, 0], [1, -1, 1]]


@pytest.mark.parametrize(
    ("proxy", "slopes"), [("identity", [1, 1, 1]), ("relu", [0, 1, 1]), ("clipped_relu", [0, 1, 0])]
)
def test_proxies_differ_in_their_slope_alone(proxy, slopes):
    x = torch.tensor([-1.0, 0.4, 5.0], requires_grad=True)
    y = QuantizedReLU(2, proxy, top=3.0)(x)
    y.sum().backward()
    assert y.tolist() == [0.0, 1.0, 3.0]
    assert x.grad.tolist() == slopes


@pytest.mark.parametrize("bits", [1, "ternary", 3])
def test_scales_are_the_statistics_and_learned_ones_begin_there(bits):
    torch.manual_seed(0)
    weight = torch.randn(4, 6, dtype=torch.float64)
    fixed = WeightQuantizer(bits, "rf", scale="channel")
    learned = WeightQuantizer(bits, "rf", scale="channel", learned=(4,)).double()
    learned.start(weight)
    torch.testing.assert_close(fixed(weight), learned(weight))
    size = weight.abs()
    above = size > 0.7 * size.mean(1, keepdim=True)
    expected = {1: size.mean(1), "ternary": (size * above).sum(1) / above.sum(1), 3: size.amax(1)}[bits]
    torch.testing.assert_close(fixed(weight).abs().amax(1), expected)


EXTREMES = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    st.lists(EXTREMES, min_size=6, max_size=6),
    st.sampled_from(["none", "tensor", "channel"]),
    st.sampled_from(["identity", "tanh"]),
    st.booleans(),
)
def test_one_bit_of_any_finite_weights_is_finite_and_never_zero(numbers, scale, transform, learned):
    """Zeros, subnormal numbers, and such as overflow in a sum."""
    weight = torch.tensor(numbers).reshape(2, 3)
    shape = {"none": None, "tensor": (), "channel": (2,)}[scale] if learned else None
    quantizer = WeightQuantizer(1, transform=transform, scale=scale, learned=shape)
    quantizer.start(weight)
    found = quantizer(weight)
    assert found.isfinite().all()
    assert torch.equal(found.sign(), torch.where(weight >= 0, 1.0, -1.0))  # never 0
    assert all(len(row.abs().unique()) == 1 for row in found)


@pytest.mark.parametrize("bits", ["ternary", 2, 8])
@pytest.mark.parametrize("scale", ["tensor", "channel"])
def test_weights_that_overflow_in_a_sum_are_quantized_all_the_same(bits, scale):
    weight = torch.tensor([[3e38, -3e38, 3e38], [1e38, 3e38, 3e38]])
    found = WeightQuantizer(bits, "rf", scale=scale)(weight)
    assert found.isfinite().all()
    assert found.any(1).all()


@pytest.mark.parametrize(("bits", "name"), [(1, "rf"), (3, "maniquant"), (3, "rf")])
def test_a_learned_scale_has_the_gradient_of_lsq(bits, name):
    """Q for one bit; for more ``Q(v) − v`` inside and Q outside, ``v = W/s``: Esser et al. 2020, Eq. 3."""
    quantizer = WeightQuantizer(bits, name, scale="tensor", learned=()).double()
    with torch.no_grad():
        quantizer.log_scale.fill_(0.5)
    s = float(quantizer.log_scale.detach().exp())
    weight = torch.tensor([-4.0, -0.9, 0.3, 1.1, 3.0], dtype=torch.float64, requires_grad=True)
    out = torch.arange(1.0, 6.0, dtype=torch.float64)
    (quantizer(weight) * out).sum().backward()
    v = weight.detach() / s
    if bits == 1:
        levels = torch.where(v >= 0, 1.0, -1.0).double()
    else:  # the nearest of the evenly spaced values, the outermost beyond them
        values = torch.linspace(-1, 1, 2**bits - (name == "maniquant"), dtype=torch.float64)
        levels = values[(v[:, None] - values).abs().argmin(1)]
    slope = levels if bits == 1 else torch.where(v.abs() <= 1, levels - v, levels)
    torch.testing.assert_close(quantizer.log_scale.grad, (slope * out).sum() * s)
    torch.testing.assert_close(weight.grad, out)
    torch.testing.assert_close(quantizer(weight).detach(), levels * s)


@pytest.mark.parametrize("bits", [1, "ternary", 4])
@pytest.mark.parametrize("learned", [None, ()])
def test_a_scale_gives_dorefa_too_weights_of_the_size_of_the_latent_ones(bits, learned):
    """DoReFa divides by the largest tanh(W), after which a scale would not know how small W was."""
    weight = 0.01 * torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).double()
    quantizers = {
        transform: WeightQuantizer(bits, "rf", transform, scale="tensor", learned=learned).double()
        for transform in ("identity", "tanh")
    }
    found = {}
    for transform, quantizer in quantizers.items():
        quantizer.start(weight)
        latent = weight.clone().requires_grad_()
        quantizer(latent).sum().backward()
        found[transform] = quantizer(weight).detach().abs().mean(), latent.grad
    torch.testing.assert_close(found["tanh"], found["identity"], rtol=0.02, atol=0)  # tanh W is W, nearly
    assert not torch.equal(found["tanh"][1], found["identity"][1])


@pytest.mark.parametrize("name", ["maniquant", "rf"])
def test_the_learned_scale_of_a_channel_is_its_own(name):
    torch.manual_seed(0)
    weight, quantizer = torch.randn(3, 8), WeightQuantizer(3, name, scale="channel", learned=(3,))
    quantizer.start(weight)
    before = quantizer(weight).detach()
    with torch.no_grad():
        quantizer.log_scale[0] -= 1.4
    after = quantizer(weight).detach()
    assert torch.equal(after[1:], before[1:])
    assert not torch.equal(after[0], before[0])
