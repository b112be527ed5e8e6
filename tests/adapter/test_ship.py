"""freeze, export, unpack, summary: what leaves training equals what was trained."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import lnegeom
from lnegeom_torch import ManifoldSGD, QuantConfig, export, freeze, quantize_, summary, unpack
from lnegeom_torch.methods import METHODS, Spin
from lnegeom_torch.nets import build
from lnegeom_torch.quant.export import _pack_codes, _unpack_codes

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


@torch.no_grad()
def test_folding_batch_norm_changes_outputs_by_rounding_only(model, x):
    folded = freeze(model, batch_norm="fold")
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in folded.modules())
    expected = model(x)
    bits = {getattr(m, "bits", 32) for m in folded.modules()}
    if bits == {32}:  # a quantized activation turns rounding into a level
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    layer = folded.features[0]
    rows = freeze(model).features[0].weight.flatten(1)
    assert [len(a.unique()) for a in layer.weight.flatten(1)] == [len(a.unique()) for a in rows]


@torch.no_grad()
def test_a_packed_file_loads_back_bit_for_bit(model, x, tmp_path):
    path = export(model, tmp_path / "folder" / "model.safetensors")
    frozen = freeze(model)
    state = unpack(path)
    assert all(torch.equal(state[name], value) for name, value in frozen.state_dict().items())
    for p in frozen.parameters():
        p.zero_()
    frozen.load_state_dict(state)
    assert torch.equal(frozen(x), model(x))
    assert not list(path.parent.glob("*.partial"))


@pytest.mark.parametrize("bits", [1, "ternary", 2, 3, 4, 8])
def test_the_packed_size_falls_with_the_bits(bits, tmp_path):
    model = nn.Linear(512, 256, bias=False)
    quantize_(model, QuantConfig("dorefa", weight_bits=bits, quantizer="rf"))
    path = export(model, tmp_path / "model.safetensors")
    plain = 4 * 512 * 256
    width = 2 if bits == "ternary" else bits
    assert path.stat().st_size / plain == pytest.approx(width / 32, abs=0.005)


@pytest.mark.parametrize("bits", range(1, 9))
def test_packing_of_codes_is_lossless(bits):
    codes = torch.randint(2**bits, (7, 3), generator=torch.Generator().manual_seed(bits))
    packed = _pack_codes(codes, bits)
    assert packed.numel() == -(-21 * bits // 8)
    assert torch.equal(_unpack_codes(packed, bits, [7, 3]), codes)


def test_onnxruntime_gives_the_same_outputs(x, tmp_path):
    pytest.importorskip("onnxscript", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = trained(QuantConfig("dorefa", weight_bits=4, activation_bits=4), "mlp")
    path = export(model, tmp_path / "model.onnx", x)
    session = runtime.InferenceSession(path)
    (name,) = [entry.name for entry in session.get_inputs()]
    for batch in (x, x[:3]):
        (found,) = session.run(None, {name: batch.numpy()})
        np.testing.assert_allclose(found, model(batch).detach().numpy(), rtol=1e-4, atol=1e-5)


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
    state = unpack(export(model, tmp_path / "tied.safetensors"))
    frozen.load_state_dict(state)
    assert torch.equal(frozen(tokens), expected)


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
    assert lines["classifier.layers.1"].size == 64 * 120 / 8
    assert lines["classifier.layers.1"].flips is None
    latent = method.latents["classifier.layers.1"]
    with torch.no_grad():
        latent.view(-1)[:768] *= -1  # a tenth
    again = summary(model)
    assert {line.name: line for line in again.layers}["classifier.layers.1"].flips == pytest.approx(0.1)
    assert "10.00 %" in str(again)
    assert again.size == sum(line.size for line in again.layers)


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


BAD = {
    "plain": (lambda: freeze(nn.Linear(2, 2)), "no quantized weights to freeze"),
    "batch norm": (lambda: freeze(trained(CONFIGS["ste"]), batch_norm="drop"), "must be 'keep' or 'fold'"),
    "no batches": (lambda: freeze(trained(CONFIGS["ste"]), recalibrate=[]), "recalibrate is empty"),
    "ending": (lambda: export(trained(CONFIGS["ste"]), "model.pt"), "ending in .onnx or .safetensors"),
    "no inputs": (lambda: export(trained(CONFIGS["ste"]), "model.onnx"), "needs a batch of inputs"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call()


def test_a_damaged_packed_file_is_refused(tmp_path):
    path = export(trained(CONFIGS["ste"]), tmp_path / "model.safetensors")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(lnegeom.InputError, match="is not a readable packed file"):
        unpack(path)
