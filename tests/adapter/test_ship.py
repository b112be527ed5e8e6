"""Frozen models, packed files, ONNX, summaries: equal outputs, equal bits, sizes that fall with the bits."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from lnegeom import InputError
from lnegeom_torch import (
    ManifoldSGD,
    QuantConfig,
    freeze,
    load_packed,
    quantize_,
    save_packed,
    summary,
)
from lnegeom_torch.methods import METHODS
from lnegeom_torch.nets import build
from lnegeom_torch.ship.packing import _pack, _unpack, packed_bytes

CONFIGS = {name: QuantConfig(name) for name in METHODS if name != "fp"} | {
    "2 bits, activations": QuantConfig("ste", weight_bits=2, activation_bits=4),
    "4 bits by channel": QuantConfig("wcg", weight_bits=4, scale="channel"),
    "3 bits, learned": QuantConfig("ste", weight_bits=3, scale="channel", learned_scale=True),
    "ternary by channel": QuantConfig("dorefa", weight_bits="ternary", scale="channel"),
    "ends in full": QuantConfig("ste", first_last_bits=32, scale="tensor"),
}


def batch(seed=1):
    torch.manual_seed(seed)
    return torch.randn(16, 1, 8, 8), torch.randint(10, (16,))


def trained(config, name="lenet"):
    """A network whose latent weights, scales and running statistics are no longer the first ones."""
    torch.manual_seed(0)
    model = build(name, channels=1, image_size=8, classes=10)
    method = quantize_(model, config)
    optimizer = ManifoldSGD(method.param_groups(), lr=0.01)
    for seed in (1, 2):
        method.step(optimizer, nn.functional.cross_entropy, *batch(seed))
    return method


@pytest.fixture(params=CONFIGS, scope="module")
def method(request):
    return trained(CONFIGS[request.param])


def outputs(model, x):
    was_training = model.training
    with torch.no_grad():
        y = model.eval()(x)
    model.train(was_training)
    return y


def bits(x):
    return x.reshape(-1).view(torch.uint8)


def levels_of(weight, by_channel):
    rows = weight.flatten(1) if by_channel else weight.flatten()[None]
    return max(len(row.unique()) for row in rows)


class TestFreeze:
    def test_outputs_are_equal_and_the_model_stays_as_it_was(self, method):
        model, (x, _) = method.model, batch(3)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        plain = freeze(model)
        assert torch.equal(outputs(plain, x), outputs(model, x))
        assert model.training
        assert not plain.training
        after = model.state_dict()
        assert list(before) == list(after)
        assert all(torch.equal(before[name], after[name]) for name in before)
        with torch.no_grad():  # nothing is shared
            for parameter in plain.parameters():
                parameter.zero_()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_it_is_plain(self, method):
        plain, fresh = freeze(method.model), build("lenet", channels=1, image_size=8, classes=10)
        x, _ = batch(3)
        assert [type(m) for m in plain.modules() if isinstance(m, nn.Linear | nn.Conv2d)] == [
            type(m) for m in fresh.modules() if isinstance(m, nn.Linear | nn.Conv2d)
        ]
        assert list(plain.state_dict()) == list(fresh.state_dict())
        assert not any(parameter.requires_grad for parameter in plain.parameters())
        assert torch.equal(outputs(pickle.loads(pickle.dumps(plain)), x), outputs(plain, x))
        twice = copy.deepcopy(plain)
        twice.load_state_dict(plain.state_dict())
        assert torch.equal(outputs(twice, x), outputs(plain, x))
        plain.train()  # no noise, no relaxed weight: its layers are torch's own
        torch.manual_seed(0)
        first = plain(x)
        torch.manual_seed(1)
        assert torch.equal(first, plain(x))
        if method.config.chosen_activation_bits is None:
            fresh.load_state_dict(plain.state_dict())
            assert torch.equal(outputs(fresh, x), outputs(plain, x))

    def test_the_model_trains_on_after_it(self, method):
        twin = copy.deepcopy(method.model)
        freeze(twin)
        nn.functional.cross_entropy(twin(batch(4)[0]), batch(4)[1]).backward()
        assert all(p.grad is not None for name, p in twin.named_parameters() if name.endswith("original"))

    def test_folded_batch_norms_leave_outputs_equal_up_to_rounding(self, method):
        x, _ = batch(3)
        model = copy.deepcopy(method.model)
        with torch.no_grad():  # gains of both signs, and one that is zero
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight[0], module.weight[1] = -0.5, 0.0
        folded = freeze(model, fold_batch_norm=True)
        assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in folded.modules())
        expected = outputs(model, x)
        if method.config.chosen_activation_bits is None:  # else rounding may move an activation a whole level
            torch.testing.assert_close(outputs(folded, x), expected, rtol=1e-4, atol=1e-4)
        names = [name for name, _ in model.named_modules() if name in method.layers]
        for name in names:
            assert levels_of(folded.get_submodule(name).weight, True) <= levels_of(
                freeze(model).get_submodule(name).weight, True
            )


def test_calibration_measures_batch_norms_of_the_frozen_weights():
    model = trained(QuantConfig("wcg"), "mlp").model
    data = [batch(seed) for seed in (5, 6)]
    plain = freeze(model, calibration=data)
    kept = freeze(model)
    first = next(m for m in plain.modules() if isinstance(m, nn.BatchNorm1d))
    layer = next(m for m in kept.modules() if isinstance(m, nn.Linear))
    sums = [layer(x.flatten(1)) for x, _ in data]
    expected = torch.stack([y.mean(0) for y in sums]).mean(0), torch.stack([y.var(0) for y in sums]).mean(0)
    torch.testing.assert_close(first.running_mean, expected[0])
    torch.testing.assert_close(first.running_var, expected[1])
    assert not plain.training
    for a, b in zip(plain.parameters(), kept.parameters(), strict=True):
        assert torch.equal(a, b)
    folded = freeze(model, calibration=data, fold_batch_norm=True)
    torch.testing.assert_close(outputs(folded, data[0][0]), outputs(plain, data[0][0]), rtol=1e-4, atol=1e-4)


def test_layers_that_share_a_weight_share_it_frozen_and_packed(tmp_path):
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    model[2].weight = model[0].weight
    quantize_(model, QuantConfig("ste"))
    plain = freeze(model)
    assert plain[0].weight is plain[2].weight
    save_packed(plain, tmp_path / "m")
    assert torch.equal(load_packed(tmp_path / "m")["2.weight"], plain[2].weight)
    assert (tmp_path / "m").stat().st_size < 2 * 64 * 64 / 8 + 2 * 64 * 4 + 1000 - 64 * 64 / 8


class TestPacked:
    def test_it_loads_back_to_the_last_bit(self, method, tmp_path):
        for fold in (False, True):
            plain = freeze(method.model, fold_batch_norm=fold)
            save_packed(plain, tmp_path / "model")
            state = load_packed(tmp_path / "model")
            expected = plain.state_dict()
            assert sorted(state) == sorted(expected)
            for name, value in expected.items():
                assert state[name].dtype == value.dtype
                assert torch.equal(bits(state[name]), bits(value)), name
            again = freeze(method.model, fold_batch_norm=fold)
            again.load_state_dict(state)
        save_packed(method.model, tmp_path / "quantized")
        assert (tmp_path / "quantized").stat().st_size > 0

    @pytest.mark.parametrize(
        ("width", "most"), [(1, 1), ("ternary", 1.6), (2, 2), (3, 3.05), (4, 4), (8, 8)], ids=str
    )
    @pytest.mark.parametrize("scale", ["none", "channel"])
    @pytest.mark.parametrize("fold", [False, True])
    def test_its_size_falls_with_the_bits(self, tmp_path, width, most, scale, fold):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512))
        quantize_(model, QuantConfig("ste", weight_bits=width, scale=scale))
        save_packed(freeze(model, fold_batch_norm=fold), tmp_path / "model")
        levels = 3 if width == "ternary" else 2**width
        # Batch norm and its counter, or a bias and a factor of each channel; a scale of each; the header.
        others = 4 * (4 * 512 + 512 + levels) + 1000
        assert (tmp_path / "model").stat().st_size <= 512 * 512 * most * 1.001 / 8 + others

    @pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 7, 8, 15, 16, 100, 255, 256])
    @pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
    def test_codes_come_back_and_take_the_room_that_is_stated(self, levels, count):
        codes = np.random.default_rng(0).integers(0, levels, count).astype(np.uint8)
        if count:
            codes[-1] = levels - 1
        packed = _pack(codes, levels)
        assert packed.nbytes == packed_bytes(count, levels)
        assert np.array_equal(_unpack(packed, levels, (count,)), codes)

    def test_any_tensor_of_few_values_is_packed_exactly(self, tmp_path):
        class Odd(nn.Module):
            def __init__(self):
                super().__init__()
                values = torch.tensor([0.0, -0.0, 1.5, torch.inf])
                self.negative_zeros = nn.Parameter(values.repeat(50))
                self.not_numbers = nn.Parameter(torch.full((200,), torch.nan))
                self.short = nn.Parameter(torch.tensor([0.1, 0.2]).repeat(100).half())
                self.many = nn.Parameter(torch.randn(200))
                self.register_buffer("count", torch.tensor(7))
                self.register_buffer("empty", torch.zeros(0, 3))

        model = Odd()
        save_packed(model, tmp_path / "odd")
        for name, value in load_packed(tmp_path / "odd").items():
            expected = model.state_dict()[name]
            assert value.dtype == expected.dtype
            assert value.shape == expected.shape
            assert torch.equal(bits(value), bits(expected)), name

    def test_bad_files_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no packed model at .*nothing"):
            load_packed(tmp_path / "nothing")
        (tmp_path / "junk").write_bytes(b"junk")
        with pytest.raises(InputError, match=r"junk is not a readable packed model"):
            load_packed(tmp_path / "junk")
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(1)}, tmp_path / "other")
        with pytest.raises(InputError, match="other is not a packed model of this version"):
            load_packed(tmp_path / "other")
        with pytest.raises(InputError, match=r"expected save_packed\(model, path\), got 'model'"):
            save_packed("model", tmp_path / "x")


def test_a_frozen_model_goes_through_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    method = trained(QuantConfig("ste"))
    plain = freeze(method.model)
    safetensors.save_model(plain, str(tmp_path / "model.safetensors"))
    fresh = build("lenet", channels=1, image_size=8, classes=10)
    safetensors.load_model(fresh, str(tmp_path / "model.safetensors"))
    x, _ = batch(3)
    assert torch.equal(outputs(fresh, x), outputs(method.model, x))


class TestSummary:
    def test_it_counts_levels_bytes_and_flips(self, tmp_path):
        method = trained(QuantConfig("ste", weight_bits=2, first_last_bits=8, exclude=("*.layers.4",)))
        first = summary(method)
        by_name = {layer.name: layer for layer in first.layers}
        assert tuple(by_name) == method.layers
        assert [layer.bits for layer in first.layers] == [8, *[2] * (len(first.layers) - 2), 8]
        for name, layer in by_name.items():
            weight = freeze(method.model).get_submodule(name).weight
            assert layer.levels == len(weight.unique())
            assert layer.zeros == pytest.approx(float((weight == 0).double().mean()))
            assert layer.flips is None
        assert first.skipped == {"classifier.layers.4": "excluded by '*.layers.4'"}
        save_packed(method.model, tmp_path / "model")
        assert first.packed_bytes <= (tmp_path / "model").stat().st_size <= first.packed_bytes + 4000
        with torch.no_grad():
            latent = method.latents["features.4"]
            latent.flatten()[: latent.numel() // 4].neg_()
        second = summary(method, since=first)
        assert {layer.name: layer.flips for layer in second.layers} == pytest.approx(
            {name: 0.25 if name == "features.4" else 0.0 for name in by_name}, abs=1e-3
        )
        text = str(second)
        assert "25.00%" in text
        assert "skipped classifier.layers.4: excluded by '*.layers.4'" in text
        assert str(summary(method.model)).splitlines()[:-1] == str(first).splitlines()[:-2]

    def test_of_full_precision_nothing_is_quantized(self):
        assert "nothing is quantized" in str(summary(quantize_(nn.Linear(3, 3), QuantConfig("fp"))))

    def test_bad_input(self):
        method = trained(QuantConfig("ste"))
        with pytest.raises(InputError, match="expected what quantize_ returned, or a model, got 'net'"):
            summary("net")
        other = summary(quantize_(nn.Linear(3, 3), QuantConfig("ste")))
        with pytest.raises(InputError, match=r"'features.0' is not in the earlier summary"):
            summary(method, since=other)


def not_traceable():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x) if x.sum() > 0 else x

    model = Branch()
    quantize_(model, QuantConfig("ste"))
    return model


def with_weight_norm():
    model = nn.Sequential(nn.Linear(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    quantize_(model, QuantConfig("ste", exclude=("1",)))
    return model


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: freeze(nn.Linear(2, 2)), "expected a model that quantize_ has quantized, got Linear"),
        (lambda: freeze("net"), "expected a model that quantize_ has quantized, got str"),
        (lambda: freeze(not_traceable(), fold_batch_norm=True), "by tracing the model, which failed"),
        (lambda: freeze(not_traceable(), calibration=[]), "the model has none; leave it out"),
        (lambda: freeze(trained(QuantConfig("ste")).model, calibration=[]), "calibration holds no batch"),
        (lambda: freeze(with_weight_norm()), "'weight' of layer '1' has a parametrization that is not ours"),
    ],
)
def test_what_cannot_be_frozen_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
