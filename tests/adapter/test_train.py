"""Training: reproducible, resumable to the same numbers, and loud about bad input."""

import contextlib
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import lnegeom
from lnegeom_torch import ManifoldSGD, QuantConfig, RicciFlow, checkpoint, quantize_, recipes
from lnegeom_torch.checkpoint import Checkpoint
from lnegeom_torch.data import Dataset, load
from lnegeom_torch.methods import METHODS
from lnegeom_torch.nets import build
from lnegeom_torch.settings import to_config
from lnegeom_torch.train import DivergedError, TrainConfig, accuracy, train


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def config(method="wcg", **options):
    return TrainConfig(quant=QuantConfig(method), epochs=4, lr=0.05, **options)


def state(run):
    return run.method.model.state_dict()


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(state(a).values(), state(b).values(), strict=True))


@pytest.mark.parametrize("method", ["ste", "rf"])
@pytest.mark.parametrize("epochs_done", [0, 2])
def test_an_interrupted_run_resumes_to_the_same_numbers(digits, tmp_path, method, epochs_done, monkeypatch):
    whole = train(config(method), 3, dataset=digits)
    file = tmp_path / "run" / "checkpoint.safetensors"
    batches_before = 22 * epochs_done + 5  # in the middle of an epoch

    method_class = type(whole.method)
    step, taken = method_class.step, []

    def interrupted(*args):
        if len(taken) == batches_before:
            raise KeyboardInterrupt
        taken.append(1)
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(method_class, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config(method), 3, dataset=digits, checkpoint=file)
    assert len(Checkpoint.load(file).data["history"]) == epochs_done
    torch.manual_seed(99)  # whatever happened in between
    resumed = train(config(method), 3, dataset=digits, checkpoint=file, resume=True)
    assert same(whole, resumed)
    assert whole.history == resumed.history
    again = train(config(method), 3, dataset=digits, checkpoint=file, resume=True)  # nothing left to do
    assert again.history == whole.history


def test_the_seed_decides_and_the_callers_random_state_is_left_alone(digits):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (train(config(), seed, dataset=digits) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert same(first, second)
    assert not same(first, other)


def test_a_divergence_is_reported_and_the_last_good_state_kept(digits, tmp_path, monkeypatch):
    from lnegeom_torch.methods import Method

    step, taken = Method.step, []

    def poisoned(self, optimizer, loss_function, x, y):
        taken.append(1)
        return step(self, optimizer, loss_function, x * math.nan if len(taken) > 2 * 22 else x, y)

    monkeypatch.setattr(Method, "step", poisoned)
    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(
        DivergedError, match=r"'ste', seed 0, is no longer finite in epoch 3; lower the learning"
    ) as e:
        train(config("ste"), 0, dataset=digits, checkpoint=file)
    assert str(file) in str(e.value)
    kept = Checkpoint.load(file)
    assert len(kept.data["history"]) == 2
    assert all(torch.isfinite(t).all() for t in kept.tensors.values() if t.is_floating_point())


def test_a_checkpoint_of_another_configuration_is_refused(digits, tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    train(config("ste"), 0, dataset=digits, checkpoint=file)
    with pytest.raises(
        lnegeom.InputError, match=r"cannot resume .*: momentum was 0.9, now 0.5; give the same"
    ):
        train(config("ste", momentum=0.5), 0, dataset=digits, checkpoint=file, resume=True)
    with pytest.raises(lnegeom.InputError, match=r"holds seed 0, not 1"):
        train(config("ste"), 1, dataset=digits, checkpoint=file, resume=True)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(lnegeom.InputError, match=r"is not a readable checkpoint"):
        train(config("ste"), 0, dataset=digits, checkpoint=file, resume=True)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at"):
        train(config("ste"), 0, dataset=digits, checkpoint=tmp_path / "none", resume=True)


def test_an_interrupted_write_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    file = tmp_path / "run.safetensors"
    Checkpoint({"a": torch.ones(2)}, {"epoch": 1}).save(file)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with contextlib.suppress(KeyboardInterrupt):
        Checkpoint({"a": torch.zeros(2)}, {"epoch": 2}).save(file)
    assert Checkpoint.load(file).data == {"epoch": 1}


def test_validation_is_held_out_of_training(digits):
    tuned = train(config("ste", validation=0.25), 0)
    assert tuned.history != train(config("ste"), 0).history
    images = digits.hold_out(0.25)
    assert len(images.test_labels) == pytest.approx(0.25 * len(digits.train_labels), rel=0.02)
    expected = accuracy(tuned.method.model, images.test_images, images.test_labels)
    assert tuned.history[-1]["accuracy"] == expected


def test_top5_is_recorded_from_a_hundred_classes_on(digits):
    assert "top5" not in train(dataclasses.replace(config("ste"), epochs=1), 0).history[0]
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(200, 1, 8, 8, generator=generator), torch.arange(200) % 100
    many = Dataset("many", images, labels, images, labels, classes=100, augment=False)
    run = train(dataclasses.replace(config("ste"), epochs=2), 0, dataset=many)
    assert run.top5 == sum(record["top5"] for record in run.history) / 2
    run.method.model.eval()
    with torch.no_grad():
        order = run.method.model(images).argsort(dim=1, descending=True)
    place = (order == labels[:, None]).int().argmax(dim=1)
    assert run.history[-1]["top5"] == pytest.approx(100 * (place < 5).double().mean().item())
    assert run.history[-1]["accuracy"] < run.history[-1]["top5"]


def test_accuracy_counts_and_leaves_the_mode_alone():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(3, affine=False)).train()
    running = model[1].running_mean.clone()
    images = torch.eye(3).repeat(500, 1)[:, None]
    labels = torch.arange(3).repeat(500)
    labels[:150] = 5
    assert accuracy(model, images, labels) == pytest.approx(90.0)
    assert model.training
    assert torch.equal(model[1].running_mean, running)  # the test images leave no trace


@pytest.mark.parametrize("method", METHODS)
def test_one_bit_networks_learn_the_digits(digits, method):
    settings = recipes.load(f"digits-mlp/{method}")
    settings.pop("seeds")
    run = train(to_config({**settings, "epochs": 10}), 0, dataset=digits)
    assert run.accuracy >= 90


@pytest.mark.parametrize("bits", [(1, 1), (2, 2), (1, 8)], ids=str)
@pytest.mark.parametrize("method", ["ste", "dorefa"])
def test_quantized_activations_learn(digits, method, bits):
    quant = QuantConfig(method, weight_bits=bits[0], activation_bits=bits[1])
    assert train(TrainConfig(quant=quant, epochs=10), 0, dataset=digits).accuracy > 60  # chance is 10


def test_relus_that_are_excluded_stay_in_the_command_lines_networks_too(digits):
    for exclude, kind in (((), nn.Hardtanh), (("ReLU",), nn.ReLU)):
        quant = QuantConfig("ste", activation_bits=1, exclude=exclude)
        model = train(TrainConfig(quant=quant, epochs=1), 0, dataset=digits).method.model
        assert {type(m) for m in model.modules() if isinstance(m, nn.Hardtanh | nn.ReLU)} == {kind}


def test_the_learning_rate_falls_along_a_whole_cosine_and_momentum_is_nesterovs(digits, monkeypatch):
    import lnegeom_torch.train as room

    made = []

    class Watched(room.ManifoldSGD):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(room, "ManifoldSGD", Watched)
    run = train(config("ste"), 0, dataset=digits)
    rates = [record["lr"] for record in run.history]
    np.testing.assert_allclose(rates, [0.05 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(4)])
    assert all(group["nesterov"] for group in made[0].param_groups)


@pytest.mark.parametrize("moving", ["lr", "latent_lr"])
def test_latent_weights_learn_at_a_rate_of_their_own(digits, moving):
    """With one of the two rates next to nothing, only the other's weights move."""
    rates = {"lr": 1e-12, "latent_lr": 1e-12} | {moving: 0.05}
    runs = [TrainConfig(quant=QuantConfig("ste"), epochs=n, **rates) for n in (1, 2)]
    first, second = (train(run, 0, dataset=digits) for run in runs)
    for name, value in first.method.model.named_parameters():
        moved = not torch.allclose(value, second.method.model.get_parameter(name), rtol=0, atol=1e-6)
        assert moved == (("original" in name) == (moving == "latent_lr")), name
    assert second.history[1][moving] == pytest.approx(0.025)  # half of a cosine


def test_a_run_with_two_rates_resumes_to_the_same_numbers(digits, tmp_path):
    two = TrainConfig(quant=QuantConfig("ste", gate="none"), epochs=2, lr=0.05, latent_lr=2.0)
    whole = train(two, 0, dataset=digits)
    file = tmp_path / "checkpoint.safetensors"

    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(two, 0, dataset=digits, checkpoint=file, on_epoch=stop)
    assert len(Checkpoint.load(file).data["history"]) == 1
    resumed = train(two, 0, dataset=digits, checkpoint=file, resume=True)
    assert same(whole, resumed)
    assert whole.history == resumed.history


def test_a_rate_of_latent_weights_needs_latent_weights():
    for quant in (QuantConfig("fp"), QuantConfig("ste", weight_bits=32)):
        with pytest.raises(lnegeom.InputError, match="latent_lr is the rate of quantized weights"):
            TrainConfig(quant=quant, latent_lr=1.0)
    quant = QuantConfig("ste", weight_bits=32, first_last_bits=8)
    assert TrainConfig(quant=quant, latent_lr=1.0).has_latents


def test_a_configuration_is_plain_data():
    assert TrainConfig("mnist", "/data/Infinity").to_data()["root"] == "/data/Infinity"
    data = TrainConfig(quant=QuantConfig("rf", options=RicciFlow(epsilon=math.inf))).to_data()
    assert data["quant"]["options"]["epsilon"] == "inf"
    assert json.loads(json.dumps(data, allow_nan=False)) == data


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("batch_size", 1, "batch_size must be at least 2, got 1"),
        ("image_size", 0, "image_size must be at least 1, got 0"),
        ("lr", 0.0, "lr must be a positive finite number, got 0.0"),
        ("lr", math.nan, "lr must be a positive finite number, got nan"),
        ("latent_lr", 0.0, "latent_lr must be a positive finite number, got 0.0"),
        ("momentum", 1.0, r"momentum must be in \[0, 1\), got 1.0"),
        ("weight_decay", -1.0, "weight_decay must be a finite number >= 0, got -1.0"),
        ("validation", 1.0, r"validation must be in \[0, 1\), got 1.0"),
    ],
)
def test_bad_options(option, value, message):
    with pytest.raises(lnegeom.InputError, match=message):
        TrainConfig(**{option: value})


def test_the_random_state_of_a_gpu_is_kept_and_put_back(monkeypatch):
    placed = []
    monkeypatch.setattr(checkpoint, "_device", lambda method: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.arange(3))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: placed.append((state, device)))
    method = quantize_(build("mlp", channels=1, image_size=8, classes=10), QuantConfig("ste"))
    optimizer, generator = ManifoldSGD(method.param_groups(), lr=0.1), torch.Generator()
    kept = checkpoint.capture(method, optimizer, generator, {})
    checkpoint.restore(kept, method, optimizer, generator)
    ((state, device),) = placed
    assert device.type == "cuda"
    assert torch.equal(state, torch.arange(3))
