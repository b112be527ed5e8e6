"""torchvision's own networks through all of it: quantized, trained for a step, frozen, exported."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import nn  # noqa: E402

from lnegeom_torch import ManifoldSGD, QuantConfig, export, freeze, nets, quantize_  # noqa: E402

pytestmark = pytest.mark.usefixtures("torchvision")

SIZES = {"alexnet": 64, "mobilenet_v2": 32, "resnet18": 32, "resnet50": 32}
CASES = {
    "resnet18 spin": ("resnet18", QuantConfig("spin")),
    "resnet18 rf": ("resnet18", QuantConfig("rf", weight_bits=4, activation_bits=4, scale="tensor")),
    "resnet50 wcg": ("resnet50", QuantConfig("wcg", weight_bits=8, activation_bits=8, scale="tensor")),
    "mobilenet wcg": ("mobilenet_v2", QuantConfig("wcg", weight_bits=5, activation_bits=5, scale="tensor")),
    "mobilenet fim": ("mobilenet_v2", QuantConfig("fim", scale="channel")),
    "mobilenet coarse": ("mobilenet_v2", QuantConfig("coarse")),
    "mobilenet bits": ("mobilenet_v2", QuantConfig("dorefa", activation_bits=1)),
    "alexnet wcg": ("alexnet", QuantConfig("wcg", weight_bits=6, scale="tensor")),
}


def trained(name, config):
    torch.manual_seed(0)
    method = quantize_(nets.build(name, channels=3, image_size=SIZES[name], classes=5), config)
    before = {key: weight.detach().clone() for key, weight in method.latents.items()}
    images, labels = torch.randn(4, 3, SIZES[name], SIZES[name]), torch.randint(5, (4,))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.01, momentum=0.9)
    loss, _ = method.step(optimizer, nn.functional.cross_entropy, images, labels)
    return method, before, images, loss


@pytest.mark.parametrize(("name", "config"), CASES.values(), ids=CASES.keys())
def test_a_step_reaches_every_weight_and_freezing_keeps_the_outputs(name, config):
    method, before, images, loss = trained(name, config)
    model = method.model
    assert loss.isfinite()
    weighted = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(before) == len(weighted)
    assert not [key for key, weight in method.latents.items() if torch.equal(weight, before[key])]
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    if config.chosen_activation_bits == 1 or config.method == "coarse":
        assert not [m for m in model.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
    model.eval()
    with torch.no_grad():
        outputs = model(images)
        assert outputs.isfinite().all()
        assert torch.equal(freeze(model)(images), outputs)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_exported_networks_have_the_same_outputs(name, tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    method, _, images, _ = trained(name, QuantConfig("ste", weight_bits=4, scale="channel"))
    plain = freeze(method.model)
    session = runtime.InferenceSession(export(plain, tmp_path / "net.onnx", images[:1]))
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), plain(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_batch_norms_fold_into_the_layers_before_them(name):
    """In double precision: 1-bit layers add up hundreds of rounding errors each."""
    torch.manual_seed(0)
    model = nets.build(name, channels=3, image_size=32, classes=5).double()
    quantize_(model, QuantConfig("ste", scale="channel"))
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        model(images)
        model.eval()
        folded = freeze(model, batch_norm="fold")
        assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
        torch.testing.assert_close(folded(images), model(images), rtol=1e-7, atol=1e-7)
