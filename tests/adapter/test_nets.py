"""The networks: shapes, what quantization needs of them, initialisation."""

import math

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch import fx, nn  # noqa: E402

from lnegeom import InputError  # noqa: E402
from lnegeom_torch import nets  # noqa: E402
from lnegeom_torch.data import batches, load  # noqa: E402
from lnegeom_torch.nets.resnet import _Block  # noqa: E402

NAMES = ["mlp", "lenet", "resnet20"]
SHAPES = [(1, 8), (1, 28), (3, 32)]
WEIGHTED = (nn.Linear, nn.Conv2d)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=["digits", "mnist", "cifar10"])
def network(request, name):
    torch.manual_seed(0)
    channels, image_size = request.param
    return nets.build(name, channels=channels, image_size=image_size, classes=7), request.param


def test_forward_and_backward_reach_every_parameter(network):
    model, (channels, image_size) = network
    logits = model(torch.randn(6, channels, image_size, image_size))
    assert logits.shape == (6, 7)
    nn.functional.cross_entropy(logits, torch.arange(6)).backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.isfinite().all(), label
        assert parameter.grad.abs().max() > 0, label


def test_every_weight_is_without_bias_and_goes_into_batch_norm(network):
    graph = fx.symbolic_trace(network[0])
    weighted = [node for node in graph.graph.nodes if isinstance(_module(graph, node), WEIGHTED)]
    assert len(weighted) == sum(isinstance(layer, WEIGHTED) for layer in network[0].modules())
    for node in weighted:
        assert _module(graph, node).bias is None, node
        (user,) = node.users
        norm = nn.BatchNorm1d if isinstance(_module(graph, node), nn.Linear) else nn.BatchNorm2d
        assert isinstance(_module(graph, user), norm), node


def test_every_activation_is_a_module_used_once(network):
    """So that a quantizer can stand behind each one by itself."""
    graph = fx.symbolic_trace(network[0])
    assert not [node for node in graph.graph.nodes if "relu" in str(node.target) and node.op != "call_module"]
    targets = [node.target for node in graph.graph.nodes if isinstance(_module(graph, node), nn.ReLU)]
    assert len(targets) == len(set(targets)) > 0


def _module(graph, node):
    return graph.get_submodule(node.target) if node.op == "call_module" else None


def test_number_of_weighted_layers(name):
    model = nets.build(name, channels=3, image_size=32, classes=10)
    count = sum(isinstance(layer, WEIGHTED) for layer in model.modules())
    assert count == {"mlp": 3, "lenet": 5, "resnet20": 20}[name]


def test_resnet20_has_the_parameters_of_the_paper():
    """He et al. 2016 give 0.27M; counted by hand, convolutions, their norms, the last layer and its norm."""
    convolutions = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    count = sum(parameter.numel() for parameter in nets.ResNet(20, 3, 10).parameters())
    assert count == convolutions + norms + 64 * 10 + 2 * 10
    assert round(count / 1e6, 2) == 0.27


def test_shortcut_that_widens_halves_the_image_and_adds_channels_of_zeros():
    block = _Block(2, 4).eval()
    nn.init.zeros_(block.residual[-1].weight)
    images = torch.rand(3, 2, 7, 7)
    output = block(images)
    assert torch.equal(output[:, :2], images[:, :, ::2, ::2])
    assert torch.equal(output[:, 2:], torch.zeros(3, 2, 4, 4))


def test_shortcut_of_equal_width_is_the_identity():
    block = _Block(4, 4).eval()
    nn.init.zeros_(block.residual[-1].weight)
    images = torch.rand(3, 4, 7, 7)
    assert torch.equal(block(images), images)


def test_weights_are_glorot_uniform(network):
    for layer in network[0].modules():
        if not isinstance(layer, WEIGHTED):
            continue
        area = math.prod(getattr(layer, "kernel_size", ()))
        bound = math.sqrt(6 / (area * (layer.weight.shape[0] + layer.weight.shape[1])))
        assert layer.weight.abs().max() <= bound
        # The largest of n uniform numbers is below 1 − 10/n with probability exp(−10).
        assert layer.weight.abs().max() > bound * (1 - 10 / layer.weight.numel())
        spread = bound / math.sqrt(3)
        assert abs(layer.weight.mean()) < 5 * spread / math.sqrt(layer.weight.numel())


def test_initialisation_follows_the_seed(name):
    def first_weight(seed):
        torch.manual_seed(seed)
        return next(iter(nets.build(name, channels=1, image_size=8, classes=3).parameters()))

    assert torch.equal(first_weight(1), first_weight(1))
    assert not torch.equal(first_weight(1), first_weight(2))


def test_mlp_takes_images_and_vectors():
    model = nets.MLP(12, 3, hidden=(5,)).eval()
    images = torch.rand(4, 3, 2, 2)
    assert torch.equal(model(images), model(images.reshape(4, 12)))
    assert [layer.weight.shape for layer in model.modules() if isinstance(layer, nn.Linear)] == [
        (5, 12),
        (3, 5),
    ]


def test_mlp_learns_the_digits():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    torch.manual_seed(0)
    data, generator = load("digits"), torch.Generator().manual_seed(0)
    model = nets.build("mlp", channels=1, image_size=8, classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for images, labels in batches(data.train_images, data.train_labels, 64, generator):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    right = model.eval()(data.test_images).argmax(1) == data.test_labels
    assert right.float().mean() > 0.93


def test_unknown_network_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'vgg'; known: mlp, lenet, vgg16, resnet20"):
        nets.build("vgg", channels=1, image_size=8, classes=10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nets.MLP(0, 10), "in_features"),
        (lambda: nets.MLP(4, 10, hidden=(8, 0)), "hidden"),
        (lambda: nets.MLP(4, -1), "classes"),
        (lambda: nets.LeNet(1, 3, 10), "4 or more"),
        (lambda: nets.LeNet(0, 28, 10), "channels"),
        (lambda: nets.ResNet(20, 3, 0), "classes"),
        (lambda: nets.ResNet(20, 1.0, 10), "channels"),
        (lambda: nets.ResNet(21, 3, 10), r"depth must be 6n \+ 2"),
        (lambda: nets.ResNet(2, 3, 10), r"depth must be 6n \+ 2"),
        (lambda: nets.VGG16(3, 28, 10), "32 or more"),
    ],
)
def test_impossible_sizes_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_residual_networks_have_the_papers_sizes(depth, millions):
    """He et al. 2016, table 6."""
    model = nets.build(f"resnet{depth}", channels=3, image_size=32, classes=10)
    assert sum(isinstance(layer, WEIGHTED) for layer in model.modules()) == depth
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.035)


def test_vgg_trains_and_quantizes():
    from lnegeom_torch import QuantConfig, quantize_

    torch.manual_seed(0)
    model = nets.build("vgg16", channels=3, image_size=32, classes=5)
    assert sum(isinstance(layer, WEIGHTED) for layer in model.modules()) == 16
    method = quantize_(model, QuantConfig("ste"))
    loss = nn.functional.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.arange(4))
    loss.backward()
    assert all(weight.grad.abs().max() > 0 for weight in method.latents.values())


def test_torchvisions_networks_are_built_where_it_imports(monkeypatch):
    import sys
    import types

    made = []
    models = types.SimpleNamespace(
        get_model=lambda name, num_classes: made.append((name, num_classes)) or nn.Linear(1, 1)
    )
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))
    nets.build("resnet18", channels=3, image_size=224, classes=7)
    assert made == [("resnet18", 7)]
    with pytest.raises(InputError, match="is for images of 3 channels, got 1"):
        nets.build("alexnet", channels=1, image_size=224, classes=7)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match=r"'resnet50' is torchvision's, which cannot be imported"):
        nets.build("resnet50", channels=3, image_size=224, classes=7)
