"""The networks: shapes, what quantization needs of them, initialisation."""

import math
import sys

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


CASES = [(name, shape) for name in NAMES for shape in SHAPES] + [
    ("vgg11", (3, 8)),
    ("vgg16", (3, 8)),
    ("mobilenet", (3, 33)),
    ("resnet18_small", (3, 8)),
]


@pytest.fixture(params=CASES, ids=str)
def network(request):
    torch.manual_seed(0)
    name, (channels, image_size) = request.param
    return nets.build(name, channels=channels, image_size=image_size, classes=7), (channels, image_size)


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


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)], ids=str
)
def test_resnets_have_the_parameters_of_the_paper(depth, millions):
    """He et al. 2016, Table 6; counted by hand, convolutions, their norms, the last layer and its norm."""
    n = (depth - 2) // 6
    convolutions = 9 * (3 * 16 + 2 * n * 16 * 16 + 16 * 32 + (2 * n - 1) * (32 * 32 + 64 * 64) + 32 * 64)
    norms = 2 * ((2 * n + 1) * 16 + 2 * n * 32 + 2 * n * 64)
    with torch.device("meta"):
        network = nets.build(f"resnet{depth}", channels=3, image_size=32, classes=10)
    assert sum(isinstance(layer, WEIGHTED) for layer in network.modules()) == depth
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == convolutions + norms + 64 * 10 + 2 * 10
    assert float(f"{count / 1e6:.2g}") == millions


def test_the_small_resnet18_has_the_layers_and_parameters_of_the_large_one_less_stem_and_shortcuts():
    """Torchvision's has 11,689,512, of which a 7×7 stem, three projections, and 1000 classes with biases."""
    with torch.device("meta"):
        network = nets.build("resnet18_small", channels=3, image_size=32, classes=10)
    assert sum(isinstance(layer, WEIGHTED) for layer in network.modules()) == 18
    projections = sum(a * b + 2 * b for a, b in ((64, 128), (128, 256), (256, 512)))
    expected = 11689512 - 64 * 3 * 49 + 64 * 3 * 9 - projections - 513 * 1000 + 512 * 10 + 2 * 10
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_vgg16_has_the_parameters_and_products_of_the_pruning_paper():
    """Li et al. 2017, Table 1: 1.5e7 parameters, 3.13e8 multiplications."""
    with torch.device("meta"):
        network = nets.build("vgg16", channels=3, image_size=32, classes=10)
    assert f"{sum(parameter.numel() for parameter in network.parameters()):.1e}" == "1.5e+07"
    assert f"{products(network, 32):.3g}" == "3.13e+08"


def test_vgg11_is_vgg16_less_five_convolutions():
    """Simonyan and Zisserman 2015, Table 1: configurations A and D."""
    with torch.device("meta"):
        small, large = (nets.build(f"vgg{k}", channels=3, image_size=32, classes=10) for k in (11, 16))
        counts = [sum(parameter.numel() for parameter in network.parameters()) for network in (small, large)]
    # Each of the five has as many channels as it is given, and a norm.
    assert counts[1] - counts[0] == sum(9 * c * c + 2 * c for c in (64, 128, 256, 512, 512))


def test_mobilenet_has_the_parameters_and_products_of_the_paper():
    """Howard et al. 2017, Table 8: 4.2 million parameters, 569 million products, 28 layers."""
    with torch.device("meta"):
        network = nets.build("mobilenet", channels=3, image_size=224, classes=1000)
    assert sum(isinstance(layer, WEIGHTED) for layer in network.modules()) == 28
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 4_231_976 - 1000 + 2000  # the usual count; a norm in the place of the biases
    assert f"{products(network, 224):.3g}" == "5.69e+08"


def products(network, image_size):
    """Multiplications for one image."""
    found = []
    for layer in network.modules():
        if isinstance(layer, WEIGHTED):
            layer.register_forward_hook(
                lambda layer, _, out: found.append(layer.weight.numel() * math.prod(out.shape[2:]))
            )
    network.eval()(torch.zeros(1, 3, image_size, image_size, device="meta"))
    return sum(found)


@pytest.mark.parametrize(
    ("name", "count"),
    [("alexnet", 61100840), ("mobilenet_v2", 3504872), ("resnet18", 11689512), ("resnet50", 25557032)],
)
def test_torchvisions_networks_have_its_published_parameters(torchvision, name, count):
    with torch.device("meta"):
        network = nets.build(name, channels=3, image_size=224, classes=1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize("broken", [None, "raise RuntimeError('operator torchvision::nms does not exist')"])
def test_without_torchvision_its_networks_say_what_to_install(monkeypatch, tmp_path, broken):
    for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    if broken is None:
        monkeypatch.setitem(sys.modules, "torchvision", None)
    else:
        (tmp_path / "torchvision.py").write_text(broken)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"'resnet18' needs torchvision, which cannot be imported \("):
        nets.build("resnet18", channels=3, image_size=224, classes=10)


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
    with pytest.raises(InputError, match=r"'vgg'; known: mlp, lenet, vgg11, vgg16, mobilenet, resnet20"):
        nets.build("vgg", channels=1, image_size=8, classes=10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nets.MLP(0, 10), "in_features"),
        (lambda: nets.MLP(4, 10, hidden=(8, 0)), "hidden"),
        (lambda: nets.MLP(4, -1), "classes"),
        (lambda: nets.LeNet(1, 3, 10), "4 or more"),
        (lambda: nets.LeNet(0, 28, 10), "channels"),
        (lambda: nets.ResNet(3, 0), "classes"),
        (lambda: nets.ResNet(1.0, 10), "channels"),
        (lambda: nets.ResNet(3, 10, depth=2), r"6n \+ 2.* got 2"),
        (lambda: nets.ResNet(3, 10, depth=21), r"6n \+ 2.* got 21"),
        (lambda: nets.ResNet(3, 10, depth=20, widths=(4, 8)), r"4n \+ 2 with 2 stages.* got 20"),
        (lambda: nets.ResNet(3, 10, widths=(4, 0, 8)), "widths"),
        (lambda: nets.VGG16(0, 10), "channels"),
        (lambda: nets.build("resnet18", channels=1, image_size=224, classes=10), "3 channels, got 1"),
        (lambda: nets.build("alexnet", channels=3, image_size=32, classes=10), "63 pixels or more, got 32"),
        (lambda: nets.build("resnet50", channels=3, image_size=32, classes=0), "classes"),
    ],
)
def test_impossible_sizes_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
