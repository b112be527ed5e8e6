"""The laws that every training method obeys, and what each is by its source."""

import copy
import functools
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from lnegeom import InputError
from lnegeom_torch import (
    LogCoshHessian,
    ManifoldSGD,
    NormalizedLNE,
    Precondition,
    QuantConfig,
    RicciFlow,
    quantize_,
)
from lnegeom_torch.methods import (
    METHODS,
    Coarse,
    DivergedError,
    MetaQuant,
    MirrorDescent,
    ProxQuant,
    Spin,
)
from lnegeom_torch.metrics import Fisher
from lnegeom_torch.nets import build
from lnegeom_torch.optim import estimate_fisher
from lnegeom_torch.ricci_step import RicciStep

# Every method with its defaults, and the variants that its constants choose.
VARIANTS = {name: QuantConfig(name) for name in METHODS} | {
    "coarse identity": QuantConfig("coarse", options=Coarse("identity")),
    "coarse relu": QuantConfig("coarse", options=Coarse("relu"), activation_bits=1),
    "metaquant fcgrad": QuantConfig("metaquant", options=MetaQuant("fcgrad")),
    "metaquant fcgrad tanh": QuantConfig("metaquant", options=MetaQuant("fcgrad", "tanh", hidden=8)),
    "metaquant multifcg relu": QuantConfig("metaquant", options=MetaQuant("multifcg", "relu", hidden=8)),
    "md primal": QuantConfig("md", options=MirrorDescent("primal")),
    "spin gumbel": QuantConfig("spin", options=Spin("gumbel")),
    "fim diagonal": QuantConfig("fim", metric=Fisher("diagonal", damping=0.1)),
    "rf cheap": QuantConfig("rf", options=RicciFlow(every=2)),
    "rf estimated": QuantConfig("rf", options=RicciFlow(every=2, share=0.5, batched=True)),
    "ste ternary": QuantConfig("ste", weight_bits="ternary", scale="channel"),
    "ste learned": QuantConfig("ste", weight_bits=2, scale="channel", learned_scale=True),
    "ste learned range": QuantConfig("ste", activation_bits=4, learned_range=True),
    "dorefa learned": QuantConfig("dorefa", scale="tensor", learned_scale=True),
}


def network(name="lenet"):
    torch.manual_seed(0)
    return build(name, channels=1, image_size=8, classes=10)


def batch(seed=1):
    torch.manual_seed(seed)
    return torch.randn(16, 1, 8, 8), torch.randint(10, (16,))


def optimizer_of(method, lr=0.01):
    return ManifoldSGD(method.param_groups(), lr=lr, momentum=0.9)


def steps(method, optimizer, seeds):
    torch.manual_seed(7)
    return [method.step(optimizer, nn.functional.cross_entropy, *batch(s))[0] for s in seeds]


def weights_of(model):
    model.eval()
    found = [m.weight.detach() for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    model.train()
    return found


def state(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.fixture(params=VARIANTS)
def config(request):
    return VARIANTS[request.param]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "fp"])
def test_full_precision_weights_with_quantized_activations_train(name):
    model = network()
    method = quantize_(model, QuantConfig(name, weight_bits=32, activation_bits=4))
    assert method.layers == ()
    before = [p.detach().clone() for p in model.parameters()]
    steps(method, optimizer_of(method), [1, 2])
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is not None for p in model.parameters())
    assert len(model.classifier.layers[1].weight.unique()) > 16


def test_it_learns_a_batch(config):
    method = quantize_(network(), config)
    before = {name: weight.detach().clone() for name, weight in method.latents.items()}
    optimizer = optimizer_of(method, lr=0.05)
    losses = torch.stack(steps(method, optimizer, [1] * 25))
    assert losses.isfinite().all()
    assert losses[-3:].mean() < 0.8 * losses[:3].mean()
    assert all(not torch.equal(before[name], weight) for name, weight in method.latents.items())


@pytest.mark.parametrize("scale", ["none", "channel"])
@pytest.mark.parametrize(
    ("name", "bits"),
    [(name, bits) for name, spec in METHODS.items() if name != "fp" for bits in spec.weight_bits],
)
def test_weights_take_as_many_values_as_bits_allow_and_are_never_all_zero(name, bits, scale):
    if name == "wcg" and bits in (2, 3):
        scale = "channel"  # Eq. 31 has no scale of its own: test_quantize.py
    model = network()
    quantize_(model, QuantConfig(name, weight_bits=bits, scale=scale))
    for weight in weights_of(model):
        assert weight.isfinite().all()
        rows = weight.flatten(1) if scale == "channel" else weight.flatten()[None]
        levels = 3 if bits == "ternary" else 2**bits
        assert all(len(row.unique()) <= levels for row in rows)
        assert all(row.any() for row in rows)
        assert bits != 1 or (weight != 0).all()


@pytest.mark.parametrize("name", [name for name in METHODS if name != "fp"])
@pytest.mark.parametrize("value", [0.0, 1e-30, -1e30])
def test_one_bit_of_extreme_weights_is_plus_or_minus_one_value(name, value):
    model = network("mlp")
    with torch.no_grad():
        model.layers[1].weight.fill_(value)
    quantize_(model, QuantConfig(name))
    for mode in (True, False):
        weight = model.train(mode).layers[1].weight.detach()
        assert weight.isfinite().all()
    assert len(weight.abs().unique()) == 1
    assert weight.all()


@pytest.mark.parametrize("bits", ["ternary", 3])
def test_metaquant_sees_levels_whatever_their_scale(bits):
    first = torch.linspace(-0.9, 0.9, 12)
    layer = nn.Linear(12, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([first, first / 10]).atanh())
    method = quantize_(nn.Sequential(layer), QuantConfig("metaquant", weight_bits=bits, scale="channel"))
    with torch.no_grad():
        method.meta.second.weight.normal_()  # another factor for each level
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    (latent,) = method.latents.values()
    latent.grad = torch.ones_like(latent)
    method.before_step(optimizer)
    assert len(latent.grad[0].unique()) > 2
    torch.testing.assert_close(latent.grad[0], latent.grad[1])

    with torch.no_grad():
        latent.zero_()  # no level but 0
    method.step(optimizer, nn.functional.cross_entropy, torch.randn(4, 12), torch.tensor([0, 1, 0, 1]))
    assert latent.isfinite().all()


def test_metaquant_in_half_precision_learns_as_in_full():
    """Adam's ε of 1e-8 is 0 in float16, where φ became NaN at its second step."""
    found = {}
    for dtype in (torch.float32, torch.float16):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 8), nn.Hardtanh(), nn.Linear(8, 4)).to(dtype)
        method = quantize_(model, QuantConfig("metaquant"))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
        for _ in range(4):
            x, y = torch.randn(32, 16).to(dtype), torch.randint(4, (32,))
            method.step(optimizer, nn.functional.cross_entropy, x, y)
        found[dtype] = list(method.diagnostics().values()), model[0].weight.float()
    (full, weight), (half, other) = found.values()
    assert full[0] != 1
    assert half == pytest.approx(full, rel=1e-3)
    assert (weight == other).float().mean() > 0.95


@pytest.mark.parametrize("bad", [torch.nan, 1e35], ids=str)  # finite in itself, 1e35 overflows in a metric
def test_a_bad_gradient_takes_no_step(config, bad):
    method = quantize_(network(), config)
    optimizer = optimizer_of(method)
    steps(method, optimizer, [1])
    next(iter(method.model.parameters())).register_hook(lambda gradient: (gradient + 1) * bad)
    before = {name: weight.detach().clone() for name, weight in method.model.named_parameters()}
    with pytest.raises(DivergedError, match=r"norm of the gradient is (nan|inf): expected a finite"):
        steps(method, optimizer, [2])
    assert all(torch.equal(before[name], weight) for name, weight in method.model.named_parameters())


def test_an_interrupted_training_goes_on_to_the_same_weights(config):
    whole, part = quantize_(network(), config), quantize_(network(), config)
    steps(whole, optimizer_of(whole), [1, 2])
    optimizer = optimizer_of(part)
    part.progress(0.5)
    steps(part, optimizer, [1, 2])
    resumed = quantize_(network(), config)
    resumed.model.load_state_dict(part.model.state_dict())
    resumed.load_state_dict({name: value.clone() for name, value in part.state_dict().items()})
    again = optimizer_of(resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(part, optimizer, [3, 4, 5])
    steps(resumed, again, [3, 4, 5])
    assert torch.equal(state(part.model), state(resumed.model))


def test_a_loop_of_ones_own_trains_alike_once_attached(config):
    if config.method in ("rf", "fim"):
        return  # needs the batch: documented
    ours, theirs = quantize_(network(), config), quantize_(network(), config)
    ours.progress(0.5)
    theirs.progress(0.5)
    steps(ours, optimizer_of(ours), [1, 2, 3])
    optimizer = optimizer_of(theirs)
    theirs.attach(optimizer)
    theirs.attach(optimizer)  # twice is once
    torch.manual_seed(7)
    for seed in (1, 2, 3):

        def closure(seed=seed):
            x, y = batch(seed)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(theirs.model(x), y)
            loss.backward()
            return loss

        if seed == 2:  # as Lightning's trainer does it
            assert optimizer.step(closure) > 0
        else:
            closure()
            optimizer.step()
    assert torch.equal(state(ours.model), state(theirs.model))


def test_a_fused_step_gets_scaled_gradients_or_infinite_ones(config):
    if config.method in ("rf", "fim"):
        return  # needs the batch
    found = []
    for scaled in (False, True):
        torch.manual_seed(0)
        method = quantize_(network(), config)
        method.progress(0.5)
        optimizer = ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9, fused=True)
        method.attach(optimizer)
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0, enabled=scaled)
        for seed in (1, 2, None, 3):
            before = state(method.model).clone()
            if seed is None and not scaled:
                continue
            method.model.train(seed is not None)  # which leaves batch norm alone
            x, y = batch(seed or 0)
            loss = nn.functional.cross_entropy(method.model(x), y)
            optimizer.zero_grad()
            torch.manual_seed(3)
            scaler.scale(loss * (float("inf") if seed is None else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            assert torch.equal(before, state(method.model)) == (seed is None)
        found.append(state(method.model))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("method_name", ["fp", "proxquant"])  # these multiply by parameters as they are
def test_an_autocast_that_stays_open_sees_every_step(method_name, attached):
    found = []
    for outer in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12), nn.Linear(12, 10))
        method = quantize_(model, QuantConfig(method_name))
        optimizer = optimizer_of(method)
        if attached:
            method.attach(optimizer)
        bfloat16 = functools.partial(torch.autocast, "cpu", dtype=torch.bfloat16)
        with (
            bfloat16() if outer else nullcontext()
        ):  # one inside it, even disabled, keeps copies till the end
            for seed in (1, 2, 3):
                with bfloat16():
                    x, y = batch(seed)
                    method.step(optimizer, nn.functional.cross_entropy, x.float(), y)
        found.append(state(model))
    assert torch.equal(*found)


def test_a_step_under_autocast_is_reckoned_in_full(config):
    found = []
    for casts in (False, True):
        method = quantize_(network("mlp"), config)
        optimizer = optimizer_of(method)
        steps(method, optimizer, [1, 2])
        method._backward(optimizer, nn.functional.cross_entropy, *batch(3))
        with torch.autocast("cpu", torch.bfloat16, enabled=casts):
            method._optimize(optimizer)
        found.append(state(method.model))
    assert torch.equal(*found)


# The others draw random numbers: noise and samples by part, labels of the Fisher information likewise.
DETERMINISTIC = [name for name, config in VARIANTS.items() if config.method not in ("spin", "fim")]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_parts_of_a_batch_add_up_to_it(name):
    found = []
    for parts in (1, 3):
        torch.manual_seed(0)
        layers = nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)  # no batch norm: it looks at each part
        method = quantize_(nn.Sequential(nn.Flatten(), *layers).double(), VARIANTS[name])
        optimizer = optimizer_of(method)
        for seed in (1, 2, 3):
            x, y = batch(seed)
            loss, outputs = method.step(optimizer, nn.functional.cross_entropy, x.double(), y, parts=parts)
        found.append((loss, outputs, state(method.model)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


def test_each_part_is_a_batch_of_the_fisher_information():
    found = []
    for parts in (1, 2):
        method = quantize_(network("mlp"), QuantConfig("fim"))
        optimizer = optimizer_of(method)
        x, y = batch()
        if parts == 1:
            method._backward(optimizer, nn.functional.cross_entropy, x, y)
            for half in x.chunk(2):
                estimate_fisher(optimizer, method.model, half)
        else:
            method.step(optimizer, nn.functional.cross_entropy, x, y, parts=2)
        weight = next(iter(method.latents.values()))
        found.append(optimizer.state[weight]["fisher_input"])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("parts", "message"), [(0, "parts must be a positive"), (17, "batch of 16 cannot be")]
)
@pytest.mark.parametrize("name", ["ste", "fim", "rf", "rf estimated"])
def test_impossible_parts_are_refused(name, parts, message):
    method = quantize_(network(), VARIANTS[name])
    with pytest.raises(InputError, match=message):
        method.step(optimizer_of(method), nn.functional.cross_entropy, *batch(), parts=parts)


def test_frozen_layers_stay_and_copies_are_independent(config):
    model = network()
    method = quantize_(model, config)
    frozen = method.latents.get("features.4")
    if frozen is None:
        return  # full precision has no latent weights
    frozen.requires_grad_(False)
    twin = copy.deepcopy(model)
    before, kept = state(twin), frozen.clone()
    method.progress(1.0)
    steps(method, optimizer_of(method), [1, 2])
    assert torch.equal(frozen, kept)
    assert torch.equal(state(twin), before)


def test_predictions_are_probabilities_of_the_model_in_evaluation_mode(config):
    method = quantize_(network(), config)
    x, _ = batch()
    before = state(method.model)
    random = torch.get_rng_state()
    found = method.predict(x)
    torch.testing.assert_close(found.sum(1), torch.ones(16))
    assert torch.equal(state(method.model), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert method.model.training


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda method: torch.optim.SGD(method.param_groups(), lr=0.1), "SGD knows no metrics"),
        (
            lambda method: ManifoldSGD(method.model.parameters(), lr=0.1),
            "ManifoldSGD was given these weights",
        ),
        (
            lambda method: Precondition(torch.optim.SGD(method.model.parameters(), lr=0.1)),
            "Precondition was given",
        ),
        (lambda method: ManifoldSGD(method.param_groups(), lr=0.1), None),
        (lambda method: Precondition(torch.optim.SGD(method.param_groups(), lr=0.1)), None),
    ],
)
@pytest.mark.parametrize("attached", [False, True])
def test_an_optimizer_that_leaves_out_the_metric_is_named_once(make, why, attached):
    method = quantize_(nn.Linear(3, 2), QuantConfig("wcg"))
    optimizer = make(method)
    if attached:
        method.attach(optimizer)
    x, y = torch.ones(2, 3), torch.tensor([0, 1])
    with nullcontext() if why is None else pytest.warns(UserWarning, match=f"'wcg' is its metric.*{why}"):
        method.step(optimizer, nn.functional.cross_entropy, x, y)
    method.step(optimizer, nn.functional.cross_entropy, x, y)  # a second warning would be an error


def test_without_a_metric_any_optimizer_will_do():
    method = quantize_(nn.Linear(3, 2), QuantConfig("dorefa"))
    optimizer = torch.optim.SGD(method.param_groups(), lr=0.1)
    method.step(optimizer, nn.functional.cross_entropy, torch.ones(2, 3), torch.tensor([0, 1]))


def test_every_method_names_its_source():
    assert all(len(spec.source) > 10 for spec in METHODS.values())


def test_each_method_is_what_its_source_prints():
    weak = NormalizedLNE(0.5, "weak")
    expected = {
        "fp": ("identity", None, "none", "none", None),
        "ste": ("identity", None, "optimizer", "none", None),
        "dorefa": ("tanh", None, "none", "none", None),
        "wcg": ("identity", NormalizedLNE(None, "weak"), "optimizer", "none", None),
        "lne": ("identity", weak, "none", "none", None),
        "rf": ("identity", weak, "none", "none", None),
        "ricci": ("identity", RicciStep(0.5, 1.0), "none", "none", None),
        "fim": ("identity", Fisher("kronecker", damping=1e-2), "optimizer", "none", None),
        "logcosh": ("identity", LogCoshHessian(1.0), "none", "none", None),
        "coarse": ("identity", None, "none", "tensor", 4),
        "bcgd": ("identity", None, "none", "tensor", 4),
        "metaquant": ("tanh", None, "none", "none", None),
        "md": ("identity", None, "none", "none", None),
        "proxquant": ("identity", None, "none", "tensor", None),
        "spin": ("identity", None, "none", "none", None),
    }
    found = {n: (s.transform, s.metric, s.gate, s.scale, s.activation_bits) for n, s in METHODS.items()}
    assert found == expected
    assert type(METHODS["proxquant"].options) is ProxQuant
