"""Where methods coincide, and what mirror descent, natural gradient and spins have to do with each other."""

import math

import pytest
import torch
from torch import nn

import lnegeom
from lnegeom_torch import LogCoshHessian, ManifoldSGD, NormalizedLNE, QuantConfig, RicciFlow, quantize_
from lnegeom_torch.methods import MetaQuant, MirrorDescent, Spin
from lnegeom_torch.methods.mirror_descent import multiplicative_step
from lnegeom_torch.methods.spin import RandomSpins
from lnegeom_torch.metrics import Fisher
from lnegeom_torch.nets import MLP
from lnegeom_torch.quant import WeightQuantizer, binarize
from lnegeom_torch.ricci_step import RicciStep

METRIC = NormalizedLNE(0.5, "weak")


def weights_after(config, steps=4, dtype=torch.float32, **options):
    torch.manual_seed(0)
    model = MLP(36, 4, hidden=(7,)).to(dtype)
    method = quantize_(model, config)
    optimizer = ManifoldSGD(method.param_groups(), **({"lr": 0.1, "momentum": 0.9} | options))
    torch.manual_seed(1)  # a method may draw numbers for its own beginning
    for _ in range(steps):
        x, y = torch.randn(16, 1, 6, 6, dtype=dtype), torch.randint(4, (16,))
        method.step(optimizer, nn.functional.cross_entropy, x, y)
    return torch.cat([p.detach().flatten() for p in method.latents.values()])


SAME = {
    "wcg without curvature is ste": (
        QuantConfig("wcg", metric=NormalizedLNE(0.0, "weak")),
        QuantConfig("ste"),
    ),
    "lne without curvature is ste without its gate": (
        QuantConfig("lne", metric=NormalizedLNE(0.0, "exact")),
        QuantConfig("ste", gate="none"),
    ),
    "lne is wcg with its strength and without its gate": (
        QuantConfig("lne"),
        QuantConfig("wcg", metric=METRIC, gate="none"),
    ),
    "rf without its residual and gate is lne": (
        QuantConfig("rf", options=RicciFlow(alpha=0.0, epsilon=math.inf)),
        QuantConfig("lne"),
    ),
    "bcgd without activations, scale and blending is ste without its gate": (
        QuantConfig("bcgd", activation_bits=32, scale="none", options=None),
        QuantConfig("coarse", activation_bits=32, scale="none"),
    ),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_methods_that_coincide_do_so_bit_for_bit(one, other):
    if one.method == "bcgd":
        from lnegeom_torch.methods import Blended

        one = QuantConfig("bcgd", activation_bits=32, scale="none", options=Blended(rho=0.0))
    assert torch.equal(weights_after(one), weights_after(other))


@pytest.mark.parametrize("form", ["fcgrad", "multifcg"])
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
def test_metaquant_that_does_not_learn_is_dorefa(form, activation):
    frozen = weights_after(QuantConfig("metaquant", options=MetaQuant(form, activation, lr=0.0)))
    torch.testing.assert_close(frozen, weights_after(QuantConfig("dorefa")), rtol=2e-5, atol=2e-6)


def test_dorefa_at_small_weights_is_ste_at_a_rate_divided_by_the_largest():
    """tanh(W)/max|tanh W| → W/max|W|: the sign is the same, the gradient larger by 1/max|W|."""
    torch.manual_seed(0)
    weight = 1e-4 * torch.randn(5, 3, dtype=torch.float64)
    found = []
    for transform in ("tanh", "identity"):
        latent = weight.clone().requires_grad_()
        quantized = WeightQuantizer(1, transform=transform)(latent)
        (quantized * torch.arange(15.0).reshape(5, 3)).sum().backward()
        found.append((quantized.detach(), latent.grad))
    (a, slope_a), (b, slope_b) = found
    assert torch.equal(a, b)
    torch.testing.assert_close(slope_a, slope_b / weight.abs().max(), rtol=1e-6, atol=0)


def test_both_forms_of_mirror_descent_agree():
    forms = [
        weights_after(QuantConfig("md", options=MirrorDescent(form, start=3.0)), dtype=torch.float64, steps=8)
        for form in ("dual", "primal")
    ]
    torch.testing.assert_close(forms[0], forms[1], rtol=1e-9, atol=1e-9)


def test_the_primal_form_is_stuck_where_float32_rounds_to_one_and_the_dual_is_not():
    dual, beta, step = torch.tensor([20.0]), 1.0, torch.tensor([25.0])
    assert torch.tanh(dual) == 1
    assert multiplicative_step(torch.tanh(dual), step, beta) == 1
    assert torch.tanh(dual - step) < -0.99


@pytest.mark.parametrize("order", [2])
def test_mirror_descent_is_natural_gradient_in_the_limit_of_small_steps(order):
    """w⁺ = ∇ψ(∇ψ*(w) − h g) = w − h ∇²ψ g + O(h²), with ∇²ψ(θ) the inverse metric at w: slope 2 in h."""
    torch.manual_seed(0)
    beta, dual = 1.3, torch.randn(6, dtype=torch.float64)
    primal, gradient = torch.tanh(beta * dual), torch.randn(6, dtype=torch.float64)
    # The metric of the conjugate potential at w is the inverse of LogCoshHessian's at the dual point.
    metric = lnegeom.LogCosh(beta).hessian(dual.numpy())
    natural = torch.from_numpy(metric @ gradient.numpy()) * beta
    sizes = torch.tensor([1e-2, 1e-3, 1e-4], dtype=torch.float64)
    errors = torch.stack(
        [(multiplicative_step(primal, h * gradient, beta) - (primal - h * natural)).norm() for h in sizes]
    )
    slopes = torch.diff(errors.log()) / torch.diff(sizes.log())
    assert (slopes - order).abs().max() < 0.05


def test_the_gradient_of_a_spins_mean_is_the_natural_gradient_of_its_logit():
    """∂_λ E[L] preconditioned by cosh²(λ), the inverse Fisher information, is ∂_m E[L]; λ = τW."""
    tau = 2.0
    weight = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    loss = (torch.tanh(tau * weight) * torch.arange(5.0)).sum()  # a loss affine in the means
    (plain,) = torch.autograd.grad(loss, weight)
    expected = LogCoshHessian(tau).natural_gradient(weight.detach(), plain) / tau
    spins = RandomSpins(1)
    spins.options = Spin(tau=tau)
    (straight,) = torch.autograd.grad((spins(weight) * torch.arange(5.0)).sum(), weight)
    torch.testing.assert_close(straight, expected)


@pytest.mark.parametrize(
    ("layer", "scale"),
    [(nn.Linear(3, 2), "none"), (nn.Conv1d(3, 2, 2, padding=1), "channel"), (nn.Conv2d(3, 2, 2), "tensor")],
    ids=str,
)
def test_local_reparametrization_has_the_moments_of_the_sum_over_spins(layer, scale):
    """Against the moments over all 2ⁿ binary weights, or over many samples of them."""
    torch.manual_seed(0)
    shape = {nn.Linear: (3,), nn.Conv1d: (3, 4), nn.Conv2d: (3, 3, 3)}[type(layer)]
    x = torch.randn(1, *shape)
    method = quantize_(nn.Sequential(layer), QuantConfig("spin", scale=scale, options=Spin(tau=1.0)))
    many = x.expand(20_000, *shape)
    with torch.no_grad():
        noisy = method.model.train()(many)
        method.model.eval()
        for quantizer in method.quantizers.values():
            quantizer.sampling = True
        drawn = torch.cat([method.model(x) for _ in range(20_000)])
    error = drawn.std(0) / math.sqrt(len(drawn))
    assert ((noisy.mean(0) - drawn.mean(0)).abs() < 6.5 * error).all()
    torch.testing.assert_close(noisy.var(0), drawn.var(0), rtol=0.06, atol=1e-6)


@pytest.mark.parametrize(
    ("scale", "learned"),
    [("none", False), ("tensor", False), ("tensor", True), ("channel", False), ("channel", True)],
)
@pytest.mark.parametrize(
    "options", [MirrorDescent(start=1e6, end=1e6), Spin(tau=1e6), Spin("gumbel", tau=1e6)], ids=str
)
def test_weights_that_are_certain_train_with_what_evaluation_has(options, scale, learned):
    """Their scale too, without which batch norm's statistics would be of other weights."""
    torch.manual_seed(0)
    name = "md" if isinstance(options, MirrorDescent) else "spin"
    layer = nn.Linear(4, 3)
    quantize_(nn.Sequential(layer), QuantConfig(name, scale=scale, learned_scale=learned, options=options))
    trained = layer.train().weight
    assert torch.equal(trained, layer.eval().weight)
    layer.train().weight.square().sum().backward()
    quantizer = layer.parametrizations.weight[0]
    assert layer.parametrizations.weight.original.grad.isfinite().all()
    if learned:  # ∂(s² Σ q²)/∂ log s = 2 s² Σ q², q = ±1
        expected = 2 * trained.detach().square().flatten(1).sum(1)
        expected = expected.sum(0, keepdim=True) if scale == "tensor" else expected
        torch.testing.assert_close(quantizer.log_scale.grad, expected)


@pytest.mark.parametrize(("temperature", "close"), [(0.1, True), (2.0, False)])
def test_gumbel_gradients_are_the_expected_losss_at_low_temperature(temperature, close):
    """On a loss affine in the weights ∂_m E[L] is the coefficients; the bias comes with the temperature."""
    torch.manual_seed(0)
    coefficients = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    spins = RandomSpins(1)
    spins.options = Spin("gumbel", tau=1.0, temperature=temperature)
    weight = torch.tensor([0.3, -0.6, 0.0], dtype=torch.float64).repeat(100_000, 1).requires_grad_()
    sampled = spins(weight)
    assert set(sampled.unique().tolist()) == {-1.0, 1.0}
    (gradient,) = torch.autograd.grad((sampled * coefficients).sum(), weight)
    assert ((gradient.mean(0) / coefficients - 1).abs() < 0.03).all() == close
    error = sampled.detach().std(0) / math.sqrt(len(gradient))
    assert ((sampled.detach().mean(0) - torch.tanh(weight[0]).detach()).abs() < 4.5 * error).all()


def test_many_samples_predict_what_all_binary_networks_do_on_average():
    torch.manual_seed(0)
    method = quantize_(nn.Sequential(nn.Linear(3, 2, bias=False)), QuantConfig("spin", options=Spin(tau=1.0)))
    x = torch.randn(4, 3)
    up = torch.sigmoid(2 * method.latents["0"].detach().flatten())
    expected = torch.zeros(4, 2)
    for number in range(2**6):
        bits = torch.tensor([number >> i & 1 for i in range(6)]).bool()
        share = torch.where(bits, up, 1 - up).prod()
        expected += share * (x @ torch.where(bits, 1.0, -1.0).reshape(2, 3).T).softmax(1)
    torch.testing.assert_close(method.predict(x, samples=4000), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("n", [2, 5])
def test_the_ricci_step_is_the_cores_metric_less_its_ricci_tensor(n):
    torch.manual_seed(n)
    weight, gradient = torch.randn(2, n, dtype=torch.float64).unbind()
    metric = RicciStep(chi=0.6, step=0.8)
    tau = math.sqrt(0.6) / float(weight.norm())
    exact = lnegeom.LNE(tau)
    g, ricci = torch.as_tensor(exact.matrix(weight)), torch.as_tensor(exact.ricci(weight))
    diagonal, u, v = metric.parts(weight)
    found = torch.diag(diagonal) - torch.outer(u, u) - torch.outer(v, v)
    time = ((g - found) / ricci).mean()
    torch.testing.assert_close(found, g - time * ricci)
    assert time > 0
    assert torch.linalg.eigvalsh(found).min() > 0
    torch.testing.assert_close(
        metric.natural_gradient(weight, gradient), torch.linalg.solve(found, gradient), rtol=1e-9, atol=1e-12
    )
    still = RicciStep(chi=0.6, step=0.0)
    torch.testing.assert_close(still.natural_gradient(weight, gradient), torch.linalg.solve(g, gradient))


def test_blending_is_its_printed_update():
    torch.manual_seed(0)
    from lnegeom_torch.methods import Blended

    layer = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    w = layer.weight.detach().clone()
    config = QuantConfig("bcgd", activation_bits=32, options=Blended(rho=0.25))
    method = quantize_(layer, config)
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randint(2, (7,))
    method.step(ManifoldSGD(method.param_groups(), lr=0.2), nn.functional.cross_entropy, x, y)
    q = (binarize(w) * w.abs().mean()).requires_grad_()
    nn.functional.cross_entropy(x @ q.T, y).backward()
    torch.testing.assert_close(method.latents[""].detach(), 0.75 * w + 0.25 * q.detach() - 0.2 * q.grad)


def test_the_fisher_embedding_is_lemma_one():
    """ManiQuant Eq. 8 with F from one gradient a sample, damped: a dense solve for one layer."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[0, 0] = 1.5
    w = layer.weight.detach().clone()
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randint(2, (7,))
    method = quantize_(layer, QuantConfig("fim", metric=Fisher("exact", damping=0.1)))
    method.step(ManifoldSGD(method.param_groups(), lr=0.2), nn.functional.cross_entropy, x, y)

    q = binarize(w).requires_grad_()
    drawn = torch.multinomial((x @ q.T).detach().softmax(1), 1, generator=torch.Generator().manual_seed(0))
    scores = [
        torch.autograd.grad(nn.functional.cross_entropy(x[i : i + 1] @ q.T, drawn[i]), q)[0].flatten()
        for i in range(7)
    ]
    information = sum(torch.outer(s, s) for s in scores) / 7 + 0.1 * torch.eye(6, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(x @ q.T, y), q)
    step = torch.linalg.solve(information, gradient.flatten()).reshape(2, 3) * (w.abs() <= 1)
    torch.testing.assert_close(method.latents[""].detach(), w - 0.2 * step)


def test_metaquants_meta_gradient_is_the_slope_of_the_next_loss():
    """∂L_t/∂φ through the update of t − 1, against a difference quotient.

    The loss is affine in the quantized weight, and the quantizer its surrogate, as the straight-through
    estimator has it: ``L = Σ b tanh(W) / max|tanh W|``, the maximum held constant.
    """
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    method = quantize_(
        layer, QuantConfig("metaquant", options=MetaQuant("multifcg", "tanh", hidden=3, lr=1.0))
    )
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    a, b = torch.randn(2, 2, 3, dtype=torch.float64).unbind()
    weight = method.latents[""]
    (layer.weight * a).sum().backward()
    method.before_step(optimizer)
    optimizer.step()
    step = method._previous[""]
    before = weight.detach() + 0.1 * weight.grad  # W of iteration t − 1
    seen = {}
    method.meta_optimizer.step = lambda: seen.update(
        {name: p.grad.clone() for name, p in method.meta.named_parameters()}
    )
    optimizer.zero_grad()
    (layer.weight * b).sum().backward()
    method.before_step(optimizer)
    largest = torch.tanh(weight.detach()).abs().max()

    @torch.no_grad()
    def next_loss():
        update = method.meta(step.gradient, step.quantized, torch.tensor([-1.0, 1.0]).double()) * step.slope
        return float((b * torch.tanh(before - 0.1 * update) / largest).sum())

    for name, parameter in method.meta.named_parameters():
        flat = parameter.data.view(-1)
        for i in range(flat.numel()):
            kept = float(flat[i])
            flat[i] = kept + 1e-6
            above = next_loss()
            flat[i] = kept - 1e-6
            below = next_loss()
            flat[i] = kept
            assert float(seen[name].view(-1)[i]) == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-8)
