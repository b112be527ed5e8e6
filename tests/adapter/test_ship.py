"""freeze, export, unpack, summary: what leaves training equals what was trained."""

import pickle
import sys
import warnings

import pytest
import torch
from torch import nn

import lnegeom
from lnegeom_torch import ManifoldSGD, QuantConfig, export, freeze, quantize_, summary, unpack
from lnegeom_torch.methods import METHODS, Spin
from lnegeom_torch.nets import build
from lnegeom_torch.quant.packing import pack_codes, packed_bytes, unpack_codes

CONFIGS = {name: QuantConfig(name) for name in METHODS if name != "fp"} | {
    "ternary": QuantConfig("ste", weight_bits="ternary", scale="channel"),
    "3 bits, learned": QuantConfig("ste", weight_bits=3, scale="channel", learned_scale=True),
    "4 bits": QuantConfig("wcg", weight_bits=4, activation_bits=4, scale="channel"),
    "8 bits": QuantConfig("dorefa", weight_bits=8, activation_bits=8),
    "gumbel": QuantConfig("spin", options=Spin("gumbel")),
    "ends at 8": QuantConfig("ste", first_last_bits=8, quantizer="rf"),
}


def trained(config, name="lenet"):
    """A model whose batch norm has statistics, and whose weights have moved."""
    torch.manual_seed(0)
    model = build(name, channels=1, image_size=8, classes=10)
    method = quantize_(model, config)
    optimizer = ManifoldSGD(method.param_groups(), lr=0.05)
    for _ in range(3):
        x, y = torch.randn(16, 1, 8, 8), torch.randint(10, (16,))
        method.step(optimizer, nn.functional.cross_entropy, x, y)
    return model.eval()


def bits(x):
    return x.reshape(-1).view(torch.uint8)


@pytest.fixture(scope="module", params=CONFIGS)
def model(request):
    return trained(CONFIGS[request.param])


@pytest.fixture(scope="module")
def x():
    return torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def test_a_frozen_model_is_plain_and_exactly_equal(model, x):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = model(x)
    frozen = freeze(model)
    assert torch.equal(frozen(x), expected)
    kinds = {type(m) for m in frozen.modules()}
    assert nn.Conv2d in kinds
    assert not any("Parametrized" in kind.__name__ for kind in kinds)
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not any("parametrizations" in name for name in frozen.state_dict())
    assert torch.equal(pickle.loads(pickle.dumps(frozen))(x), expected)
    # The argument is as it was: still parametrized, still trainable.
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(model(x), expected)
    # A plain model's state goes in and out.
    frozen.load_state_dict(frozen.state_dict())
    fresh = build("lenet", channels=1, image_size=8, classes=10)
    assert list(frozen.state_dict()) == list(fresh.state_dict())
    if not any(hasattr(m, "bits") for m in frozen.modules()):  # else activations are quantized
        fresh.load_state_dict(frozen.state_dict())
        assert torch.equal(fresh.eval()(x), expected)
    for parameter in frozen.parameters():
        parameter.zero_()
    assert torch.equal(model(x), expected)
    frozen.train()  # neither noise nor relaxed weights: its layers are torch's own
    assert torch.equal(frozen(x), frozen(x))


def test_a_model_trains_on_after_it_was_frozen(model, x):
    freeze(model)
    nn.functional.cross_entropy(model(x), torch.zeros(len(x)).long()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    model.zero_grad()


@torch.no_grad()
def test_folding_batch_norm_changes_outputs_by_rounding_only(model, x):
    gains = [m.weight for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [gain.clone() for gain in gains]
    for gain in gains:  # of both signs, and none
        gain[0], gain[1] = -0.5, 0.0
    folded, frozen, expected = freeze(model, batch_norm="fold"), freeze(model), model(x)
    for gain, old in zip(gains, kept, strict=True):
        gain.copy_(old)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in folded.modules())
    if not any(hasattr(m, "bits") for m in folded.modules()):  # else rounding may turn into a level
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    for a, b in zip(folded.modules(), frozen.modules(), strict=True):
        if isinstance(a, nn.Conv2d | nn.Linear):
            rows = zip(a.weight.flatten(1), b.weight.flatten(1), strict=True)
            assert all(len(one.unique()) <= len(other.unique()) for one, other in rows)


@torch.no_grad()
@pytest.mark.parametrize("batch_norm", ["keep", "fold"])
def test_a_packed_file_loads_back_to_the_last_bit(model, x, batch_norm, tmp_path):
    frozen = freeze(model, batch_norm=batch_norm)
    path = export(frozen, tmp_path / "folder" / "model.packed")
    state, expected = unpack(path), frozen.state_dict()
    assert sorted(state) == sorted(expected)
    for name, value in expected.items():
        assert (state[name].dtype, state[name].shape) == (value.dtype, value.shape)
        assert torch.equal(bits(state[name]), bits(value)), name
    before = frozen(x)
    for parameter in frozen.parameters():
        parameter.zero_()
    frozen.load_state_dict(state)
    assert torch.equal(frozen(x), before)
    assert not list(path.parent.glob("*.partial"))


def test_a_safetensors_file_loads_into_the_plain_model(x, tmp_path):
    from safetensors.torch import load_model

    model = trained(CONFIGS["ste"])
    fresh = build("lenet", channels=1, image_size=8, classes=10).eval()
    load_model(fresh, export(model, tmp_path / "model.safetensors"))
    with torch.no_grad():
        assert torch.equal(fresh(x), model(x))


@pytest.mark.parametrize(
    ("width", "most"), [(1, 1), ("ternary", 1.6), (2, 2), (3, 3.05), (4, 4), (8, 8)], ids=str
)
@pytest.mark.parametrize("scale", ["none", "channel"])
@pytest.mark.parametrize("batch_norm", ["keep", "fold"])
def test_the_packed_size_falls_with_the_bits(width, most, scale, batch_norm, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(512, 256, bias=False), nn.BatchNorm1d(256))
    quantize_(model, QuantConfig("dorefa", weight_bits=width, quantizer="rf", scale=scale))
    path = export(freeze(model, batch_norm=batch_norm), tmp_path / "model.packed")
    # Batch norm, or a bias and a factor of each channel; a scale of each; levels; the header.
    others = 4 * (4 * 256 + 256 + 256) + 1000
    assert path.stat().st_size <= 512 * 256 * most * 1.001 / 8 + others


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 7, 8, 15, 16, 100, 255, 256])
def test_packing_of_codes_is_lossless_and_takes_the_room_that_is_stated(levels):
    for count in (0, 1, 63, 64, 65, 1000):
        codes = torch.randint(levels, (count,), generator=torch.Generator().manual_seed(levels))
        codes[-1:] = levels - 1
        packed = pack_codes(codes, levels)
        assert packed.numel() == packed_bytes(count, levels)
        assert torch.equal(unpack_codes(packed, levels, (count,)), codes)


def test_any_tensor_of_few_values_is_packed_to_the_last_bit(tmp_path):
    model = nn.Module()
    values = {
        "zeros": torch.tensor([0.0, -0.0, 1.5, 2.0]).repeat(50),
        "infinite": torch.tensor([0.0, 1.0, 1.5, torch.inf]).repeat(50),
        "not_numbers": torch.full((200,), torch.nan),
        "short": torch.tensor([0.1, 0.2]).repeat(100).to(torch.float16),
        "long": torch.tensor([0.1, 0.2]).repeat(100).double(),
        "many": torch.randn(200),
        "empty": torch.zeros(0, 3),
        "count": torch.tensor(7),
        "scalar": torch.tensor(1.5),  # as a learned range of activations is
    }
    for name, value in values.items():
        model.register_buffer(name, value)
    state = unpack(export(model, tmp_path / "model.packed"))
    for name, value in values.items():
        assert (state[name].dtype, state[name].shape) == (value.dtype, value.shape)
        assert torch.equal(bits(state[name]), bits(value)), name
    assert (tmp_path / "model.packed").stat().st_size < 4 * 800 + 1500


def test_onnxruntime_gives_the_same_outputs_for_batches_of_any_size(tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
    quantize_(first, QuantConfig("coarse", scale="channel"))
    second = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.Hardtanh(), nn.Linear(16, 5))
    quantize_(second, QuantConfig("wcg", weight_bits=4, activation_bits=4))
    third = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    quantize_(third, QuantConfig("ste", activation_bits=2))
    model = nn.Sequential(first, second, third)
    model(torch.randn(64, 1, 8, 8))  # running statistics
    session = runtime.InferenceSession(export(model, tmp_path / "model.onnx", torch.zeros(1, 1, 8, 8)))
    (entry,) = session.get_inputs()
    frozen = freeze(model)
    for count in (1, 7):
        x = torch.randn(count, 1, 8, 8)
        (found,) = session.run(None, {entry.name: x.numpy()})
        expected = frozen(x)
        assert found.shape == expected.shape
        assert (torch.from_numpy(found) - expected).abs().max() < 2e-6 * expected.abs().max()
    assert model.training


def test_inputs_that_the_model_does_not_take_are_told_in_its_own_words(tmp_path):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)).eval()
    message = r"does not take inputs of shape \(2, 8, 8\), the first axis of each the batch's: .*channels"
    with pytest.raises(lnegeom.InputError, match=message):
        export(model, tmp_path / "model.onnx", torch.zeros(1, 8, 8))  # an image, no batch of one
    assert not list(tmp_path.iterdir())


def test_an_onnx_file_holds_the_weights_to_the_last_bit_in_fewer_bytes(tmp_path):
    """Times the unit matrix, without the engine's own rewriting of the graph, each layer gives its weight."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")

    class Side(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(150, 301, bias=False) for _ in range(7))

        def forward(self, x):
            return torch.stack([layer(x) for layer in self.layers])

    torch.manual_seed(0)
    model = Side()
    widths = {1: 1, "ternary": 1.6, 2: 2, 3: 4, 4: 4, 8: 8}  # bits that a code takes in a byte
    for layer, width in zip(model.layers, widths, strict=False):
        quantize_(layer, QuantConfig("dorefa", weight_bits=width, quantizer="rf", scale="channel"))
    model.layers[6].weight.data[:, 100:] = 0.0  # in full precision: as it is
    frozen = freeze(model)
    path = export(frozen, tmp_path / "model.onnx", torch.zeros(2, 150))
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = runtime.InferenceSession(path, options)
    (found,) = session.run(None, {session.get_inputs()[0].name: torch.eye(150).numpy()})
    expected = torch.stack([layer.weight.T for layer in frozen.layers])
    assert torch.equal(torch.from_numpy(found), expected)
    count = 150 * 301
    most = sum(widths.values()) * count / 8 + 4 * count + len(widths) * 4 * (301 + 256) + 15_000
    assert path.stat().st_size <= most


def test_recalibration_measures_batch_norm_on_the_discrete_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 5, bias=False), nn.BatchNorm1d(5))
    quantize_(model, QuantConfig("spin"))
    batches = [torch.randn(64, 8) + 1 for _ in range(3)]
    frozen = freeze(model, recalibrate=batches)
    outputs = torch.stack([frozen[0](batch) for batch in batches])
    torch.testing.assert_close(frozen[1].running_mean, outputs.mean((0, 1)))
    torch.testing.assert_close(frozen[1].running_var, outputs.var(1).mean(0))
    assert torch.equal(model[1].running_mean, torch.zeros(5))
    assert frozen[1].momentum == 0.1
    from_loader = freeze(model, recalibrate=[(batch, torch.zeros(64)) for batch in batches])
    assert torch.equal(from_loader[1].running_mean, frozen[1].running_mean)
    assert not frozen.training


def test_tied_weights_stay_tied_and_attention_is_quantized_and_frozen(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 8)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.convolution = nn.Conv1d(8, 8, 3, padding=1)
            self.head = nn.Linear(8, 11, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            h = self.embed(tokens)
            h = h + self.attention(h, h, h, need_weights=False)[0]
            return self.head(self.convolution(h.transpose(1, 2)).transpose(1, 2))

    torch.manual_seed(0)
    model = Net()
    everything = ("Embedding", "MultiheadAttention", "Conv1d", "Linear")
    method = quantize_(model, QuantConfig("ste", scale="tensor", activation_bits=8, include=everything))
    assert method.layers == ("embed", "attention.in_proj_weight", "attention.out_proj", "convolution", "head")
    assert len(method.latents) == 4
    tokens = torch.randint(11, (4, 6))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.05)
    flat = lambda out, y: nn.functional.cross_entropy(out.flatten(0, 1), y.flatten())  # noqa: E731
    losses = [method.step(optimizer, flat, tokens, tokens)[0] for _ in range(20)]
    assert losses[-1] < losses[0]
    model.eval()
    assert torch.equal(model.head.weight, model.embed.weight)
    assert len(model.attention.in_proj_weight.unique()) == 2
    with torch.no_grad():
        expected = model(tokens)
        frozen = freeze(model)
        assert torch.equal(frozen(tokens), expected)
    assert frozen.head.weight is frozen.embed.weight
    lines = {line.name: line for line in summary(model).layers}
    assert (lines["head"].size, lines["head"].note) == (0, "shares the weight of 'embed'")
    state = unpack(export(model, tmp_path / "tied.packed"))
    frozen.load_state_dict(state)
    assert torch.equal(frozen(tokens), expected)


def test_a_weight_that_one_layer_quantizes_and_another_does_not_becomes_two():
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)))
    for layer in model[1:]:
        layer.weight = model[0].weight
    quantize_(model, QuantConfig("ste", weight_bits=2, exclude=("0",), first_last_bits=8))
    x = torch.randn(5, 8)
    with torch.no_grad():
        frozen = freeze(model)
        assert torch.equal(frozen(x), model(x))
    assert len(frozen[0].weight.unique()) == 64
    assert len(frozen[2].weight.unique()) <= 4 < len(frozen[1].weight.unique())
    assert frozen[1].weight is frozen[3].weight
    lines = summary(model).layers
    assert [line.full_size for line in lines] == [256, 0, 0, 0]
    assert [line.size > 0 for line in lines] == [True, True, True, False]


def test_a_batch_norm_over_positions_is_not_folded():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(6)), torch.randn(8, 6, 5)
    model(x)
    quantize_(model.eval(), QuantConfig("ste"))
    folded = freeze(model, batch_norm="fold")
    with torch.no_grad():
        assert torch.equal(folded(x), model(x))


def test_what_is_called_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm, self.other = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.other(self.layer(self.norm(self.layer(x))))

    torch.manual_seed(0)
    model = Twice()
    quantize_(model, QuantConfig("ste"))
    x = torch.randn(30, 4)
    model(x)
    model.eval()
    with torch.no_grad():
        folded = freeze(model, batch_norm="fold")
        torch.testing.assert_close(folded(x), model(x))
    assert isinstance(folded.norm, nn.BatchNorm1d)


def test_the_summary_says_what_is_quantized_and_why_not():
    model = build("lenet", channels=1, image_size=8, classes=10)
    config = QuantConfig("ste", activation_bits=2, first_last_bits=8, exclude=("features.4",))
    method = quantize_(model, config)
    lines = {line.name: line for line in summary(model).layers}
    assert lines["features.0"].bits == 8
    assert lines["features.0"].activation_bits is None
    assert lines["features.4"].note == "excluded by 'features.4'"
    assert lines["features.4"].bits == 32
    assert (lines["classifier.layers.1"].bits, lines["classifier.layers.1"].activation_bits) == (1, 2)
    assert lines["classifier.layers.1"].size == 64 * 120 / 8 + 2 * 4 + 4  # levels and a scale
    assert lines["classifier.layers.1"].flips is None
    latent = method.latents["classifier.layers.1"]
    with torch.no_grad():
        latent.view(-1)[:768] *= -1  # a tenth
    again = summary(model)
    assert {line.name: line for line in again.layers}["classifier.layers.1"].flips == pytest.approx(0.1)
    assert "10.00 %" in str(again)
    assert again.size == sum(line.size for line in again.layers)
    frozen = summary(freeze(model))
    for line, before in zip(frozen.layers, again.layers, strict=True):
        assert (line.name, line.bits, line.size) == (before.name, before.bits, before.size)
        assert line.note == (before.note or "frozen")


def test_quantized_weights_are_kept_in_evaluation_mode_until_they_change():
    layer = nn.Linear(4, 3)
    method = quantize_(layer, QuantConfig("ste"))
    layer.eval()
    latent = method.latents[""]
    with torch.no_grad():
        first = layer.weight
        assert layer.weight is first  # not computed again
        latent.neg_()
        assert torch.equal(layer.weight, -first)
        layer.load_state_dict({k: -v for k, v in layer.state_dict().items()})
        assert torch.equal(layer.weight, first)
        layer.train()
        assert layer.weight is not layer.weight
    layer.eval()
    with torch.inference_mode():
        kept = layer.weight
        made_there = nn.Linear(4, 3).eval()  # whose writes are not counted
        quantize_(made_there, QuantConfig("ste"))
        assert (made_there.weight.abs() == 1).all()
    layer(torch.ones(4)).sum().backward()
    assert torch.equal(kept, layer.weight)
    assert layer.weight.requires_grad  # with gradients nothing is kept
    nn.functional.mse_loss(layer(torch.ones(2, 4)), torch.zeros(2, 3)).backward()
    assert latent.grad.abs().sum() > 0


def test_a_full_precision_checkpoint_sets_learned_scales():
    plain, after = nn.Linear(6, 3), nn.Linear(6, 3)
    before = nn.Linear(6, 3)
    before.load_state_dict(plain.state_dict())
    config = QuantConfig("ste", scale="channel", learned_scale=True)
    quantize_(before, config)
    quantize_(after, config)
    after.load_state_dict(plain.state_dict())
    assert torch.equal(before.weight, after.weight)
    torch.testing.assert_close(after.weight.abs()[:, 0], plain.weight.abs().mean(1))


def test_full_precision_ships_by_the_same_calls(x, tmp_path):
    for config in (QuantConfig("fp"), QuantConfig("wcg", weight_bits=32)):
        model = trained(config)
        frozen = freeze(model)
        assert {line.note for line in summary(model).layers} == {"32 bits"}
        with torch.no_grad():
            assert torch.equal(frozen(x), model(x))
        state = unpack(export(frozen, tmp_path / "model.packed"))
        assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize("wrap", [compiled, nn.DataParallel, lambda m: compiled(nn.DataParallel(m))])
@pytest.mark.parametrize("before", [True, False])
def test_what_is_wrapped_is_frozen_without_its_wrapper(wrap, before, tmp_path):
    plain = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    names, wrapped = list(plain.state_dict()), wrap(plain)
    quantize_(wrapped if before else plain, QuantConfig("ste"))
    frozen, x = freeze(wrapped), torch.randn(5, 4)
    assert type(frozen) is nn.Sequential
    assert list(frozen.state_dict()) == names
    with torch.no_grad():
        assert torch.equal(frozen(x), plain.eval()(x))


def with_old_weight_norm():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = nn.Sequential(nn.Linear(2, 2), nn.utils.weight_norm(nn.Linear(2, 2)))
    quantize_(model, QuantConfig("ste", exclude=("1",)))
    model(torch.ones(1, 2))
    return model


def not_traceable():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else x

    return quantize_(Branch(), QuantConfig("ste")).model


def with_weight_norm():
    model = nn.Sequential(nn.Linear(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    return quantize_(model, QuantConfig("ste", exclude=("1",))).model


def one_bit():
    return quantize_(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), QuantConfig("ste")).model


BAD = {
    "plain": (lambda: freeze(nn.Linear(2, 2)), "a quantized model, got Linear; quantize_ it"),
    "no model": (lambda: freeze("net"), "a quantized model, got str"),
    "batch norm": (lambda: freeze(one_bit(), batch_norm="drop"), "must be 'keep' or 'fold', got 'drop'"),
    "no batches": (lambda: freeze(one_bit(), recalibrate=[]), "recalibrate is empty"),
    "no norms": (lambda: freeze(not_traceable(), recalibrate=[]), "the model has none; leave it out"),
    "tracing": (lambda: freeze(not_traceable(), batch_norm="fold"), "torch.fx can trace, and it failed"),
    "weight norm": (
        lambda: freeze(with_weight_norm()),
        "layer '1' has a parametrization that is not a quantizer",
    ),
    "old weight norm": (
        lambda: freeze(with_old_weight_norm()),
        "call remove_weight_norm, .* or prune.remove",
    ),
    "ending": (
        lambda: export(one_bit(), "model.pt"),
        "ending in .onnx, .safetensors or .packed, got 'model.pt'",
    ),
    "no inputs": (lambda: export(one_bit(), "model.onnx"), "needs a batch of inputs"),
    "export": (lambda: export("net", "model.onnx"), r"expected export\(model, path\), got 'net'"),
    "summary": (lambda: summary("net"), "expected a model, got 'net'; of a method, give method.model"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call()


def test_bad_files_and_missing_packages_are_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no packed file at .*nothing\.packed"):
        unpack(tmp_path / "nothing.packed")
    path = export(one_bit(), tmp_path / "model.packed")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(lnegeom.InputError, match="is not a readable packed file"):
        unpack(path)
    with pytest.raises(lnegeom.InputError, match="is not a packed file of this version"):
        unpack(export(one_bit(), tmp_path / "model.safetensors"))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(lnegeom.InputError, match=r'onnxscript; get it with: pip install "lnegeom\[onnx\]"'):
        export(one_bit(), tmp_path / "model.onnx", torch.zeros(2, 2))
