"""quantize_: what it does to a model, and the traps of torch's parametrizations."""

import contextlib
import copy
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import lnegeom
import lnegeom_torch
from lnegeom_torch import (
    LogCoshHessian,
    ManifoldSGD,
    NormalizedLNE,
    QuantConfig,
    RicciFlow,
    freeze,
    quantize_,
)
from lnegeom_torch.methods import Blended, Coarse, DivergedError
from lnegeom_torch.nets import build


def network():
    torch.manual_seed(0)
    return build("lenet", channels=1, image_size=8, classes=10)


def batch():
    torch.manual_seed(1)
    return torch.randn(16, 1, 8, 8), torch.randint(10, (16,))


def quantized_layers(model):
    return [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]


def test_one_bit_weights_are_exactly_plus_and_minus_one_and_latents_keep_their_identity():
    model = network()
    originals = [layer.weight for layer in quantized_layers(model)]
    method = quantize_(model, QuantConfig("ste"))
    assert all(a is b for a, b in zip(originals, method.latents.values(), strict=True))
    for layer in quantized_layers(model):
        assert set(layer.weight.unique().tolist()) == {-1.0, 1.0}


def test_param_groups_put_the_metric_on_latent_weights_only():
    model = network()
    method = quantize_(model, QuantConfig("wcg", metric=NormalizedLNE(0.3, "exact")))
    latent, others = method.param_groups()
    assert latent["metric"] == {"name": "NormalizedLNE", "chi": 0.3, "inverse": "exact", "per": "layer"}
    assert latent["gate"] is True
    assert others["metric"] is None
    assert others["gate"] is False
    everything = {id(p) for p in model.parameters()}
    grouped = [id(p) for group in (latent, others) for p in group["params"]]
    assert sorted(grouped) == sorted(everything)  # each exactly once
    norms = {
        id(p)
        for m in model.modules()
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)
        for p in m.parameters()
    }
    assert norms == {id(p) for p in others["params"]}


@settings(max_examples=40)
@given(
    method=st.sampled_from(["ste", "dorefa", "wcg", "rf"]),
    weight_bits=st.sampled_from([1, "ternary", 2, 3, 4, 5, 6, 7, 8, 32]),
    activation_bits=st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 32]),
    scale=st.sampled_from(["none", "tensor", "channel"]),
    learned=st.booleans(),
    learned_range=st.booleans(),
    ends=st.sampled_from([None, 1, 8, 32]),
    pretrained=st.booleans(),
)
def test_widths_scales_ends_and_beginnings_compose(
    method, weight_bits, activation_bits, scale, learned, learned_range, ends, pretrained
):
    """Any of each: it trains, has as many levels as it should, and freezes to equal outputs."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)]
    model, (x, y) = nn.Sequential(*layers), (torch.randn(6, 1, 6, 6), torch.randint(4, (6,)))
    full = {name: 2 * value for name, value in model.state_dict().items()}
    config = QuantConfig(
        method,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        quantizer="rf" if scale == "none" else None,  # ManiQuant's has no scale: small weights are all zero
        scale=scale,
        learned_scale=learned and scale != "none",
        learned_range=learned_range and activation_bits != 32,
        first_last_bits=ends,
    )
    quantized = quantize_(model, config)
    if pretrained:
        assert not model.load_state_dict(full).unexpected_keys
    optimizer = ManifoldSGD(quantized.param_groups(), lr=0.01)
    for _ in range(2):
        loss, _ = quantized.step(optimizer, nn.functional.cross_entropy, x, y)
    assert loss.isfinite()
    for place, layer in enumerate((model[0], model[2], model[5])):
        bits = weight_bits if place == 1 or ends is None else ends
        rows = (
            layer.weight.detach().flatten(1) if scale == "channel" else layer.weight.detach().reshape(1, -1)
        )
        levels = {"ternary": 3, 32: 10**6}.get(bits, 2**bits if bits != "ternary" else 0)
        assert all(len(row.unique()) <= levels for row in rows)
        assert bits != 1 or (layer.weight != 0).all()
    if quantized.layers or activation_bits != 32:
        with torch.no_grad():
            assert torch.equal(freeze(model)(x), model.eval()(x))


def test_a_learned_range_is_trained_and_kept():
    model = network()
    config = QuantConfig("ste", activation_bits=4, learned_range=True)
    method = quantize_(model, config)
    ranges = [p for name, p in model.named_parameters() if name.endswith("activation_quantizer.log_scale")]
    assert len(ranges) == len(method.layers) - 1
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    method.step(optimizer, nn.functional.cross_entropy, *batch())
    assert all(p != 0 for p in ranges)
    again = network()
    quantize_(again, config)
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(batch()[0]), model.eval()(batch()[0]))
    for bad in ({}, {"activation_bits": 32}, {"method": "coarse"}):
        with pytest.raises(lnegeom.InputError, match="learned_range is of activations"):
            QuantConfig(**{"learned_range": True, **bad})


def test_weights_that_are_not_finite_are_refused():
    for value in (torch.nan, torch.inf):
        model = network()
        with torch.no_grad():
            model.classifier.layers[1].weight[3, 5] = value
        with pytest.raises(lnegeom.InputError, match=r"'classifier.layers.1' is (nan|inf) at \(3, 5\)"):
            quantize_(model, QuantConfig("ste"))


@pytest.mark.parametrize(
    ("bits", "quantizer", "replaced"),
    [(1, "rf", True), (1, "maniquant", True), (2, "rf", True), (2, "maniquant", False), (3, "rf", False)],
)
def test_relus_become_hardtanh_where_a_symmetric_quantizer_would_see_a_constant(bits, quantizer, replaced):
    torch.manual_seed(0)
    layers = [nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU6(), nn.Linear(4, 4), nn.ReLU()]
    model = nn.Sequential(*layers)
    config = QuantConfig("ste", activation_bits=bits, quantizer=quantizer, scale="tensor", exclude=("5",))
    quantize_(model, config)
    kinds = [type(model[place]) for place in (1, 3, 5)]
    assert kinds == [*([nn.Hardtanh] * 2 if replaced else [nn.ReLU, nn.ReLU6]), nn.ReLU]
    seen = []
    model[2].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))  # after the quantizer
    model(torch.randn(1000, 4))
    counts = seen[0].unique(return_counts=True)[1]
    assert counts.max() < 0.95 * counts.sum()  # behind the ReLU it would be 1, and 0.999 of two bits


def test_activations_are_quantized_except_the_first_input():
    model = network()
    quantize_(model, QuantConfig("ste", activation_bits=2, quantizer="maniquant"))
    seen = []
    for layer in quantized_layers(model):
        # Hooks run in order of registration: this one sees what the quantizer's hook made.
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, _ = batch()
    model(x)
    assert torch.equal(seen[0], x)
    assert all(set(a.unique().tolist()) <= {-1.0, 0.0, 1.0} for a in seen[1:])
    assert sum("activation_quantizer" in name for name, _ in model.named_modules()) == len(seen) - 1


def test_algorithm_one_of_maniquant_by_hand():
    # One linear layer: W ← W − η (I + χ p pᵀ/|p|²) ∂L/∂Ŵ · 1[|W| ≤ 1], with ∂L/∂Ŵ at the quantized weight.
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[0, 0] = 1.5
    w = layer.weight.detach().clone()
    x, y = torch.randn(7, 3, dtype=torch.float64), torch.randint(2, (7,))
    method = quantize_(layer, QuantConfig("wcg"))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.2)
    method.step(optimizer, nn.functional.cross_entropy, x, y)

    q = torch.where(w >= 0, 1.0, -1.0).double().requires_grad_()
    nn.functional.cross_entropy(x @ q.T, y).backward()
    p = w.tanh().flatten()
    metric = torch.eye(6, dtype=torch.float64) + 0.5 * torch.outer(p, p) / (p @ p)  # χ = 1/2 output channels
    step = (metric @ q.grad.flatten()).reshape(2, 3) * (w.abs() <= 1)
    torch.testing.assert_close(method.latents[""].detach(), w - 0.2 * step)


class TestTraps:
    """What torch documents, or does, with parametrized modules, and what we do about it."""

    def test_a_deepcopy_trains_on_its_own(self):
        model = network()
        method = quantize_(model, QuantConfig("wcg"))
        twin = copy.deepcopy(model)
        assert type(quantized_layers(model)[0]) is type(quantized_layers(twin)[0])  # they share one class
        before = [p.detach().clone() for p in twin.parameters()]
        method.step(ManifoldSGD(method.param_groups(), lr=0.1), nn.functional.cross_entropy, *batch())
        assert all(torch.equal(a, b) for a, b in zip(before, twin.parameters(), strict=True))
        assert all(set(m.weight.unique().tolist()) == {-1.0, 1.0} for m in quantized_layers(twin))

    def test_parameter_order_changes_and_param_groups_do_not_depend_on_it(self):
        names = [n for n, _ in nn.Linear(3, 2).named_parameters()]
        layer = nn.Linear(3, 2)
        method = quantize_(layer, QuantConfig("ste"))
        assert names == ["weight", "bias"]
        assert [n for n, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original"]
        latent, others = method.param_groups()
        assert [tuple(p.shape) for p in latent["params"] + others["params"]] == [(2, 3), (2,)]

    def test_the_model_itself_does_not_pickle_but_its_state_does(self):
        model = network()
        quantize_(model, QuantConfig("ste"))
        with pytest.raises(RuntimeError, match="parametrized"):
            pickle.dumps(model)
        other = network()
        quantize_(other, QuantConfig("ste"))
        with torch.no_grad():
            for p in other.parameters():
                p.add_(1)
        other.load_state_dict(pickle.loads(pickle.dumps(model.state_dict())))
        x, _ = batch()
        assert torch.equal(model.eval()(x), other.eval()(x))

    def test_a_full_precision_checkpoint_loads_after_quantization(self):
        plain = network()
        with torch.no_grad():
            for p in plain.parameters():
                p.mul_(1.5)
        before, after = network(), network()
        before.load_state_dict(plain.state_dict())
        quantize_(before, QuantConfig("ste"))
        quantize_(after, QuantConfig("ste"))
        result = after.load_state_dict(plain.state_dict())
        assert not result.missing_keys
        assert not result.unexpected_keys
        for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        # A copy keeps the hook, and loads into itself.
        twin = copy.deepcopy(after)
        with torch.no_grad():
            for p in after.parameters():
                p.zero_()
        twin.load_state_dict(plain.state_dict())
        assert not any(torch.equal(p, torch.zeros_like(p)) for p in twin.parameters() if p.ndim > 1)
        assert all(torch.equal(p, torch.zeros_like(p)) for p in after.parameters())

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it traces
    def test_compiled_and_exported_models_give_the_same_outputs(self):
        model = network().eval()
        quantize_(model, QuantConfig("ste", weight_bits=1, activation_bits=2))
        x, _ = batch()
        expected = model(x)
        torch.testing.assert_close(torch.compile(model, backend="aot_eager")(x), expected)
        torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), expected)

    def test_distributed_data_parallel(self, tmp_path):
        import torch.distributed as dist

        dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
        try:
            model, plain = network(), network()
            method, expected = (quantize_(m, QuantConfig("wcg")) for m in (model, plain))
            parallel = nn.parallel.DistributedDataParallel(model)
            optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
            x, y = batch()
            nn.functional.cross_entropy(parallel(x), y).backward()
            optimizer.step()
            expected.step(ManifoldSGD(expected.param_groups(), lr=0.1), nn.functional.cross_entropy, x, y)
            for a, b in zip(model.parameters(), plain.parameters(), strict=True):
                torch.testing.assert_close(a, b)
        finally:
            dist.destroy_process_group()

    def test_assigning_a_state_keeps_the_metric_on_the_latent_weights(self):
        model = network()
        method = quantize_(model, QuantConfig("wcg"))
        model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)
        latent, others = method.param_groups()
        assert len(latent["params"]) == len(method.layers)
        assert not any(p.ndim > 1 for p in others["params"])


@pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.AdamW])
def test_torchs_own_optimizers_take_the_groups(optimizer_class):
    method = quantize_(network(), QuantConfig("ste", gate="quantizer"))
    optimizer = optimizer_class(method.param_groups(), lr=0.01)
    losses = [method.step(optimizer, nn.functional.cross_entropy, *batch())[0] for _ in range(10)]
    assert losses[-1] < losses[0]


def test_attention_is_left_alone_and_keyword_calls_are_quantized():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.attention, self.head = (
                nn.Linear(8, 8),
                nn.MultiheadAttention(8, 2),
                nn.Linear(8, 3),
            )

        def forward(self, x):
            x = self.stem(x)
            return self.head(input=self.attention(x, x, x)[0])

    method = quantize_(Net(), QuantConfig("ste", activation_bits=1))
    assert method.layers == ("stem", "head")
    seen = []
    method.model.head.register_forward_hook(
        lambda layer, inputs, named, out: seen.append(named), with_kwargs=True
    )
    method.model(torch.randn(5, 2, 8))
    assert set(seen[0]["input"].unique().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("name", ["ste", "rf"])
def test_a_bad_batch_takes_no_step(name):
    method = quantize_(network(), QuantConfig(name))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    before = [p.detach().clone() for p in method.model.parameters()]
    x, y = batch()
    with pytest.raises(DivergedError, match="the loss is nan: expected a finite one, so no step was taken"):
        method.step(optimizer, nn.functional.cross_entropy, x * torch.nan, y)
    with pytest.raises(lnegeom.InputError, match="an empty batch"):
        method.step(optimizer, nn.functional.cross_entropy, x[:0], y[:0])
    assert all(torch.equal(a, b) for a, b in zip(before, method.model.parameters(), strict=True))


def test_the_gate_is_in_one_place():
    for gate, optimizer_gate in (("optimizer", True), ("none", False)):
        assert quantize_(network(), QuantConfig("ste", gate=gate)).param_groups()[0]["gate"] is optimizer_gate
    groups = quantize_(network(), QuantConfig("ste", gate="quantizer")).param_groups()
    with pytest.raises(lnegeom.InputError, match="gated at"):
        ManifoldSGD(groups, lr=0.1, gate=True)


def twice(again="ste"):
    model = network()
    quantize_(model, QuantConfig("ste"))
    quantize_(model, QuantConfig(again))


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(nn.Linear(2, 2))


def quantize(*layers, include=("Linear",)):
    return quantize_(nn.Sequential(*layers), QuantConfig("ste", include=include))


def rf_on_vectors():
    method = quantize_(nn.Linear(4, 2), QuantConfig("rf"))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    method.step(optimizer, nn.functional.cross_entropy, torch.randn(5, 4), torch.zeros(5).long())


def rf_with_a_stranger():
    method = quantize_(network(), QuantConfig("rf"))
    optimizer = ManifoldSGD(nn.Linear(2, 2).parameters(), lr=0.1)
    method.step(optimizer, nn.functional.cross_entropy, *batch())


BAD = {
    "method": (
        lambda: QuantConfig("hope"),
        r"method must be one of fp, ste, dorefa, wcg, .*spin, got 'hope'",
    ),
    "weight bits": (
        lambda: QuantConfig("ste", weight_bits=0),
        r"weight_bits must be an integer from 1 to 8, got 0",
    ),
    "activation bits": (
        lambda: QuantConfig("ste", activation_bits=9),
        r"activation_bits must be an integer",
    ),
    "quantizer": (
        lambda: QuantConfig("ste", quantizer="x"),
        r"quantizer must be one of maniquant, rf, got 'x'",
    ),
    "gate": (
        lambda: QuantConfig("ste", gate="both"),
        r"gate must be 'optimizer', 'quantizer' or 'none', got",
    ),
    "metric on ste": (
        lambda: QuantConfig("ste", metric=NormalizedLNE()),
        r"'ste' is Euclidean and takes no metric",
    ),
    "options on wcg": (
        lambda: QuantConfig("wcg", options=RicciFlow()),
        r"method 'wcg' has no constants of its own, got options RicciFlow",
    ),
    "options of another": (
        lambda: QuantConfig("spin", options=RicciFlow()),
        r"method 'spin' takes options Spin, got RicciFlow",
    ),
    "alpha": (lambda: RicciFlow(alpha=-1), r"alpha must be a finite number >= 0, got -1"),
    "epsilon": (lambda: RicciFlow(epsilon=float("nan")), r"epsilon must be >= 0 .*, got nan"),
    "virtual_lr": (lambda: RicciFlow(virtual_lr=0), r"virtual_lr must be a positive finite number, got 0"),
    "equal translations": (
        lambda: RicciFlow(rows=(1, 1)),
        r"rows must be two different whole numbers of pixels",
    ),
    "far translations": (
        lambda: RicciFlow(columns=(4, 0)),
        r"columns must be .* below 4 in size, got \(4, 0\)",
    ),
    "no layers": (
        lambda: quantize_(nn.ReLU(), QuantConfig("ste")),
        r"no layer to quantize: expected one of include=",
    ),
    "no config": (lambda: quantize_(nn.Linear(2, 2), "ste"), r"expected quantize_\(model, QuantConfig"),
    "no model": (lambda: quantize_("net", QuantConfig("ste")), r"expected quantize_\(model, QuantConfig"),
    "metric by name": (lambda: QuantConfig("wcg", metric="weak"), r"metric must be None or one of"),
    "options as a dict": (
        lambda: QuantConfig("rf", options={"alpha": 1}),
        r"method 'rf' takes options RicciFlow",
    ),
    "alpha as text": (lambda: RicciFlow(alpha="a"), r"alpha must be a number, got 'a'"),
    "rows as a number": (lambda: RicciFlow(rows=1), r"rows must be two different whole numbers"),
    "rows as floats": (lambda: RicciFlow(rows=(1.0, -1.0)), r"rows must be two different whole numbers"),
    "twice, then in full": (lambda: twice("fp"), r"quantize a model once, from a fresh copy"),
    "twice": (twice, r"parametrized weight already; quantize a model once"),
    "lazy": (lambda: quantize(nn.LazyLinear(2)), r"layer '0' is lazy .* send a batch through the model"),
    "pruned": (
        lambda: quantize(prune.l1_unstructured(nn.Linear(4, 2), "weight", 0.5)),
        r"the weight of layer '0' is no parameter, .* fix it with remove_weight_norm, .* prune.remove",
    ),
    "max_norm": (
        lambda: quantize(nn.Embedding(4, 2, max_norm=1.0), include=("Embedding",)),
        r"layer '0' has max_norm=1.0, by which it writes to rows .* build it with max_norm=None",
    ),
    "weight norm": (
        lambda: quantize(nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))),
        r"layer '0' is parametrized, by _WeightNorm; first fix it with .*remove_parametrizations\(layer, 'we",
    ),
    "LSTM": (
        lambda: quantize(nn.LSTM(2, 2), nn.Linear(2, 2), include=("Linear", "LSTM")),
        r"include has 'LSTM', but '0' is of type LSTM, which has no parameter 'weight'",
    ),
    "LSTM by name": (lambda: quantize(nn.LSTM(2, 2), include=("0",)), r"include has '0', but '0' is of type"),
    "scripted": (lambda: quantize_(scripted(), QuantConfig("ste")), r"quantize_ it before torch.jit.script"),
    "a network for a configuration": (
        lambda: quantize_(network(), network()),
        r"expected quantize_\(model, QuantConfig\(...\)\), got LeNet and LeNet",
    ),
    "first and last": (lambda: QuantConfig("ste", first_last_bits=0), r"first_last_bits must be an integer"),
    "scale": (
        lambda: QuantConfig("ste", scale="row"),
        r"scale must be 'none', 'tensor' or 'channel', got 'row'",
    ),
    "learned": (lambda: QuantConfig("ste", learned_scale=True), r"learned_scale needs scale='tensor' or"),
    "learned, of none": (
        lambda: QuantConfig("proxquant", scale="tensor", learned_scale=True),
        r"'proxquant' trains the latent weights themselves, which no scale multiplies",
    ),
    "include": (lambda: QuantConfig("ste", include="Linear"), r"include must be a tuple of types and name"),
    "md in two bits": (lambda: QuantConfig("md", weight_bits=2), r"'md' is for weight_bits 1, 32, got 2"),
    "coarse without ReLU": (
        lambda: quantize_(nn.Sequential(nn.Linear(2, 2)), QuantConfig("coarse")),
        r"the coarse gradient quantizes ReLUs, and the model has no nn.ReLU module",
    ),
    "rho": (lambda: Blended(rho=1), r"rho must be below 1, got 1"),
    "proxy": (lambda: Coarse(proxy="gelu"), r"proxy must be one of identity, relu, clipped_relu, got 'gelu'"),
    "every": (lambda: RicciFlow(every=0), r"every must be a positive integer"),
    "rf with a diagonal metric": (
        lambda: QuantConfig("rf", metric=LogCoshHessian(), options=RicciFlow()),
        r"needs a metric I − ρρᵀ, such as NormalizedLNE",
    ),
    "rf on vectors": (
        rf_on_vectors,
        r"expected inputs \(N, ..., H, W\) with H and W above 1, got shape \(5, 4\)",
    ),
    "a stranger's optimizer": (rf_with_a_stranger, r"holds none of this model's latent weights"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_in_one_line(call, message):
    with pytest.raises(lnegeom.InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [torch.optim.SGD, lnegeom_torch.ManifoldSGD, lnegeom_torch.ManifoldAdamW])
def test_fused_steps_leave_no_old_weights_in_evaluation(make):
    torch.manual_seed(0)
    model, x = nn.Linear(4, 4).eval(), torch.randn(3, 4)
    quantize_(model, QuantConfig("dorefa", weight_bits=8))
    optimizer = make([model.parametrizations.weight.original], lr=1.0, fused=True)
    for _ in range(2):
        with torch.no_grad():
            before = model(x)
        model(x).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            assert not torch.equal(model(x), before)


@pytest.mark.parametrize("wrap", [None, lnegeom_torch.LNE(1.0)])
@pytest.mark.parametrize("make", [lnegeom_torch.ManifoldSGD, lnegeom_torch.ManifoldAdamW, torch.optim.SGD])
def test_fused_steps_count_as_writes_to_the_weights(make, wrap):
    weight = nn.Parameter(torch.ones(2, 3))
    weight.grad = torch.ones(2, 3)
    optimizer = make([weight], lr=1.0, fused=True)
    if make is torch.optim.SGD:  # which by itself does not
        optimizer = lnegeom_torch.Precondition(optimizer, wrap)
    before = weight._version
    optimizer.step()
    assert weight._version > before


@pytest.mark.parametrize(("bits", "warns"), [(1, True), (2, False), ("ternary", False)])
def test_a_padding_vector_that_quantization_makes_another_is_told_of(bits, warns):
    torch.manual_seed(0)
    model, config = nn.Embedding(5, 3, padding_idx=1), QuantConfig("dorefa", bits, include=("Embedding",))
    told = "the padding vector of '', row 1, is zero"
    with pytest.warns(UserWarning, match=told) if warns else contextlib.nullcontext():
        quantize_(model, config)
    assert bool(model.weight[1].any()) == warns


def test_single_layers_have_bits_of_their_own_ahead_of_the_ends_and_the_rest():
    torch.manual_seed(0)
    layers = [nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Linear(16, 16), nn.Linear(16, 16), nn.Conv1d(1, 2, 3)]
    model = nn.Sequential(*layers, nn.Linear(14, 3))
    chosen = {"5": 4, "Conv1d": "ternary", "2": 32, "[0-5]": 2}
    config = QuantConfig("ste", weight_bits=1, first_last_bits=8, layer_bits=chosen, scale="channel")
    assert config.layer_bits == tuple(chosen.items())
    method = quantize_(model, config)
    bits = {name: model.get_submodule(name).parametrizations.weight[0].bits for name in method.layers}
    assert bits == {"0": 2, "3": 2, "4": "ternary", "5": 4}
    assert max(len(row.unique()) for row in model[0].weight.detach()) == 4
    assert torch.equal(freeze(model)[5].weight, model[5].weight)


def test_a_pattern_of_bits_names_a_layer_that_is_quantized():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with pytest.raises(lnegeom.InputError, match="layer_bits has '1', which fits no layer"):
        quantize_(model, QuantConfig("ste", exclude=("1",), layer_bits={"1": 8}))
    for wrong in (8, "head", {8: "head"}, ("head", 8)):
        with pytest.raises(lnegeom.InputError, match="layer_bits must map types and name patterns to widths"):
            QuantConfig("ste", layer_bits=wrong)
