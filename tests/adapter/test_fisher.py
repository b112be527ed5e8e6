"""The Fisher metric against blocks computed by hand, sample by sample, on quantized layers."""

import copy
import importlib
import io

import pytest
import torch
from torch import nn

import lnegeom
from lnegeom import InputError
from lnegeom_torch import Fisher, ManifoldAdamW, ManifoldSGD, Precondition, QuantConfig, quantize_
from lnegeom_torch.optim import estimate_fisher

close = torch.testing.assert_close
DAMPING = 0.05


def quantized(*layers):
    torch.manual_seed(0)
    model = nn.Sequential(*layers).double()
    return model, quantize_(model, QuantConfig("ste", gate="none"))


def linear():
    model, method = quantized(nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 3, bias=False))
    return model, method, torch.randn(12, 5, dtype=torch.float64)


def convolution():
    model, method = quantized(
        nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    )
    return model, method, torch.randn(12, 2, 4, 4, dtype=torch.float64)


def grouped(groups=2):
    model, method = quantized(
        nn.Conv2d(4, 4, 2, groups=groups, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3, bias=False)
    )
    return model, method, torch.randn(12, 4, 3, 3, dtype=torch.float64)


def circular():
    model, method = quantized(
        nn.Conv2d(2, 3, 3, padding=(1, 0), padding_mode="circular"), nn.Tanh(), nn.Flatten(), nn.Linear(24, 3)
    )
    return model, method, torch.randn(12, 2, 4, 4, dtype=torch.float64)


def in_place():
    """What follows a layer overwrites its output, as in torchvision's AlexNet."""
    model, method = quantized(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3))
    return model, method, torch.randn(12, 5, dtype=torch.float64)


def samples_by_hand(model, method, inputs, targets):
    """∂ℓ/∂Ŵ of each sample alone, through the quantized weight itself: rows (sample, weight)."""
    layers = [model.get_submodule(name) for name in method.layers]
    quantized_weights = [layer.weight.detach().clone().requires_grad_() for layer in layers]
    rows = [[] for _ in layers]
    for x, y in zip(inputs, targets, strict=True):
        out = x[None]
        weights = iter(quantized_weights)
        for module in model:
            if isinstance(module, nn.Linear):
                out = nn.functional.linear(out, next(weights), module.bias)
            elif isinstance(module, nn.Conv2d):
                out = module._conv_forward(out, next(weights), module.bias)
            else:
                out = module(out)
        loss = nn.functional.cross_entropy(out, y[None])
        for row, slope in zip(rows, torch.autograd.grad(loss, quantized_weights), strict=True):
            row.append(slope.flatten())
    return [torch.stack(row) for row in rows]


def step_of(model, method, inputs, targets, metric, estimates=1):
    optimizer = ManifoldSGD([{"params": list(method.latents.values()), "metric": metric}], lr=1.0)
    for _ in range(estimates):
        estimate_fisher(optimizer, model, inputs, targets)
    nn.functional.cross_entropy(model(inputs), targets).backward()
    found = []
    for weight in method.latents.values():
        found.append((weight.detach().clone(), weight.grad.clone()))
    optimizer.step()
    return [(before - w.detach(), g) for (before, g), w in zip(found, method.latents.values(), strict=True)]


@pytest.mark.parametrize("case", [linear, convolution, grouped, circular, in_place])
@pytest.mark.parametrize("kind", ["diagonal", "block", "exact"])
def test_natural_gradient_solves_with_the_block_by_hand(case, kind):
    model, method, inputs = case()
    targets = torch.randint(3, (12,))
    rows = samples_by_hand(model, method, inputs, targets)
    for (step, gradient), row in zip(
        step_of(model, method, inputs, targets, Fisher(kind, DAMPING)), rows, strict=True
    ):
        block = row.T @ row / len(row)
        block = torch.diag(torch.diag(block)) if kind == "diagonal" else block
        damped = block + DAMPING * torch.eye(len(block), dtype=torch.float64)
        close(step.flatten(), torch.linalg.solve(damped, gradient.flatten()))


def test_kronecker_factors_of_one_sample_are_the_block_itself():
    """For one sample ∂ℓ/∂Ŵ = g ⊗ â, so A ⊗ G is the Fisher block; the damping is split between them."""
    model, method, inputs = linear()
    targets = torch.randint(3, (1,))
    rows = samples_by_hand(model, method, inputs[:1], targets)
    with torch.no_grad():
        hidden = torch.tanh(inputs[:1] @ model[0].weight.T)
    for (step, gradient), row, a in zip(
        step_of(model, method, inputs[:1], targets, Fisher("kronecker", DAMPING)),
        rows,
        (inputs[:1], hidden),
        strict=True,
    ):
        g = row.view_as(gradient) @ a[0] / (a[0] @ a[0])  # g from the outer product
        factor_a, factor_g = torch.outer(a[0], a[0]), torch.outer(g, g)
        close(torch.kron(factor_g, factor_a), torch.outer(row[0], row[0]))
        share = torch.sqrt((factor_a.trace() / len(factor_a)) / (factor_g.trace() / len(factor_g)))
        damped_a = factor_a + share * DAMPING**0.5 * torch.eye(len(factor_a), dtype=torch.float64)
        damped_g = factor_g + DAMPING**0.5 / share * torch.eye(len(factor_g), dtype=torch.float64)
        expected = torch.linalg.solve(torch.kron(damped_g, damped_a), gradient.flatten())
        close(step.flatten(), expected)


def test_kronecker_factors_of_a_convolution():
    """Uncorrelated patches of one position each: the factors are exact again."""
    model, method = quantized(nn.Conv2d(2, 3, 2), nn.Flatten())
    inputs, targets = torch.randn(1, 2, 2, 2, dtype=torch.float64), torch.randint(3, (1,))
    (row,) = samples_by_hand(model, method, inputs, targets)
    ((step, gradient),) = step_of(model, method, inputs, targets, Fisher("kronecker", 1e-8))
    block = torch.outer(row[0], row[0])
    # Almost undamped: along the sample's own direction F⁻¹ is one over its eigenvalue.
    along = row[0] / row[0].norm()
    close(step.flatten() @ along, gradient.flatten() @ along / block.trace(), rtol=1e-2, atol=0)


@pytest.mark.parametrize("groups", [2, 4])
def test_each_group_of_a_convolution_has_factors_of_its_own(groups):
    """As if it were a convolution by itself: the step is that of as many separate layers."""
    model, method, inputs = grouped(groups)
    targets = torch.randint(3, (12,))
    fresh = copy.deepcopy(model)
    (step, _), _ = step_of(model, method, inputs, targets, Fisher("kronecker", DAMPING))

    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            width = 4 // groups
            self.parts = nn.ModuleList(nn.Conv2d(width, width, 2, bias=False) for _ in range(groups))
            self.rest = fresh[1:]

        def forward(self, x):
            outputs = [part(y) for part, y in zip(self.parts, x.chunk(groups, dim=1), strict=True)]
            return self.rest(torch.cat(outputs, dim=1))

    apart = Apart().double()
    for part, weight in zip(apart.parts, fresh[0].weight.detach().chunk(groups), strict=True):
        part.weight = nn.Parameter(weight.clone())
    weights = [part.weight for part in apart.parts]
    before = [weight.detach().clone() for weight in weights]
    optimizer = ManifoldSGD(weights, lr=1.0, metric=Fisher("kronecker", DAMPING))
    estimate_fisher(optimizer, apart, inputs, targets)
    nn.functional.cross_entropy(apart(inputs), targets).backward()
    optimizer.step()
    close(step, torch.cat([b - w.detach() for b, w in zip(before, weights, strict=True)]))


def test_kronecker_factors_of_independent_positions():
    """Output gradients independent from position to position: A ⊗ G is the block (Grosse & Martens 2016)."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, 5, 2, generator=generator).expand(50_000, 5, 2)
    outputs = torch.randn(50_000, 5, 3, generator=generator)
    state = {}
    Fisher("kronecker").update(state, inputs, outputs)
    rows = torch.einsum("bto,bti->boi", outputs, inputs).flatten(1)
    block = torch.kron(state["fisher_output"], state["fisher_input"])
    close(block, rows.T @ rows / 50_000, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("kind", ["diagonal", "exact"])
def test_estimates_are_running_means(kind):
    model, method, inputs = linear()
    optimizer = ManifoldSGD(
        [{"params": list(method.latents.values())}], lr=1.0, metric=Fisher(kind, DAMPING, decay=0.75)
    )
    targets = torch.randint(3, (12,))
    blocks = []
    for part in (slice(0, 6), slice(6, 12)):
        estimate_fisher(optimizer, model, inputs[part], targets[part])
        row = samples_by_hand(model, method, inputs[part], targets[part])[0]
        blocks.append(row.T @ row / 6)
    mean = 0.75 * blocks[0] + 0.25 * blocks[1]
    state = optimizer.state[next(iter(method.latents.values()))]
    found = state["fisher_block"] if kind == "exact" else torch.diag(state["fisher_diagonal"].flatten())
    close(found, mean if kind == "exact" else torch.diag(torch.diag(mean)))


@pytest.mark.parametrize("likelihood", ["categorical", "normal"])
def test_labels_of_the_models_own_give_the_fisher_information(likelihood):
    """E over labels is known in closed form for one layer: A ⊗ (diag(p) − ppᵀ), or A ⊗ I."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False)).double()
    inputs = torch.randn(1, 2, dtype=torch.float64).expand(40_000, 2)
    optimizer = ManifoldSGD(model.parameters(), lr=1.0, metric=Fisher("exact"))
    before = torch.get_rng_state()
    estimate_fisher(optimizer, model, inputs, likelihood=likelihood)
    assert torch.equal(torch.get_rng_state(), before)
    p = model(inputs[0]).softmax(dim=0).detach()
    inner = torch.diag(p) - torch.outer(p, p) if likelihood == "categorical" else torch.eye(2).double()
    expected = torch.kron(inner, torch.outer(inputs[0], inputs[0]))
    close(optimizer.state[model[0].weight]["fisher_block"], expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("condition", [1.0, 1e2])
def test_natural_gradient_does_not_depend_on_the_coordinates(condition):
    """The same network in other coordinates, W' = W A⁻¹ for inputs A x: every prediction agrees to 1e-10.

    The Fisher information has condition 10^6 in the worse of them, and plain descent goes another way.
    """
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0] for _ in range(2))
    scales = torch.logspace(0, 1, 4, base=condition, dtype=torch.float64)
    change = left @ torch.diag(scales) @ right
    spread = torch.logspace(0, -1, 4, dtype=torch.float64)
    inputs = torch.randn(64, 4, dtype=torch.float64) * spread
    targets = torch.randn(64, 1, dtype=torch.float64)
    start = torch.randn(1, 4, dtype=torch.float64)

    def predictions(x, weight, metric):
        model = nn.Linear(4, 1, bias=False).double()
        model.weight.data = weight
        optimizer = ManifoldSGD(model.parameters(), lr=0.2, momentum=0.5, metric=metric)
        for _ in range(20):
            if metric is not None:
                estimate_fisher(optimizer, model, x, targets=None, likelihood="normal")
            optimizer.zero_grad()
            ((model(x) - targets).square().mean() / 2 + torch.cosh(model(x)).mean()).backward()
            optimizer.step()
        return model(x).detach()

    here = inputs, start
    there = inputs @ change.T, start @ torch.linalg.inv(change)
    close(here[0] @ here[1].T, there[0] @ there[1].T)
    metric = Fisher("exact", damping=1e-18, decay=0.0)
    close(predictions(*here, metric), predictions(*there, metric), rtol=0, atol=1e-10)
    if condition > 1:
        assert not torch.allclose(predictions(*here, None), predictions(*there, None), atol=1e-2)


@pytest.mark.parametrize(
    "build",
    [
        lambda p: ManifoldSGD(p, lr=0.1, momentum=0.9),
        lambda p: ManifoldAdamW(p, lr=0.1),
        lambda p: Precondition(torch.optim.Adam(p, lr=0.1)),
    ],
    ids=["sgd", "adamw", "precondition"],
)
@pytest.mark.parametrize("kind", ["diagonal", "kronecker", "block", "exact"])
def test_statistics_are_saved_with_the_optimizer(build, kind):
    def begin():
        model, method, inputs = linear()
        groups = [{"params": list(method.latents.values()), "metric": Fisher(kind, 0.1)}]
        if build([nn.Parameter(torch.ones(1))]).__class__ is Precondition:
            groups[0]["metric"] = {"name": "Fisher", "kind": kind, "damping": 0.1, "decay": 0.95}
        return model, method, inputs, build(groups)

    def descend(model, inputs, optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    model, _, inputs, optimizer = begin()
    estimate_fisher(optimizer, model, inputs)
    descend(model, inputs, optimizer)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    twin, _, _, resumed = begin()
    twin.load_state_dict(model.state_dict())
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(descend(model, inputs, optimizer), descend(twin, inputs, resumed))


@pytest.mark.parametrize(
    "build", [lambda p: ManifoldSGD(p, lr=0.1), lambda p: Precondition(torch.optim.SGD(p, lr=0.1))]
)
@pytest.mark.parametrize("kind", ["diagonal", "kronecker", "block", "exact"])
def test_statistics_of_half_precision_weights_keep_their_own(build, kind):
    """torch casts a loaded state to the dtype of its weight."""
    model = nn.Linear(5, 4).bfloat16()
    metric = {"name": "Fisher", "kind": kind, "damping": 0.1, "decay": 0.95}
    one, other = (build([{"params": [model.weight], "metric": metric}]) for _ in range(2))
    estimate_fisher(one, model, torch.randn(8, 5).bfloat16())
    other.load_state_dict(one.state_dict())
    for name, value in one.state[model.weight].items():
        assert value.dtype == torch.float32
        assert torch.equal(other.state[model.weight][name], value)
    model(torch.ones(2, 5).bfloat16()).sum().backward()
    other.step()


def test_batch_norm_and_gradients_are_left_alone():
    model, method = quantized(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    optimizer = ManifoldSGD([{"params": list(method.latents.values())}], metric=Fisher())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    estimate_fisher(optimizer, model, torch.randn(8, 5, dtype=torch.float64))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["diagonal", "exact"])
def test_every_use_of_a_weight_counts(kind, tied):
    first, last = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    again = nn.Linear(3, 3, bias=False) if tied else first
    again.weight = first.weight
    model = nn.Sequential(first, nn.Tanh(), again, nn.Tanh(), last).double()
    inputs, targets = torch.randn(7, 3, dtype=torch.float64), torch.arange(7) % 3
    optimizer = ManifoldSGD([{"params": [first.weight], "metric": Fisher(kind, DAMPING)}], lr=1.0)
    estimate_fisher(optimizer, model, inputs, targets)
    losses = [
        nn.functional.cross_entropy(model(x[None]), y[None]) for x, y in zip(inputs, targets, strict=True)
    ]
    rows = torch.stack([torch.autograd.grad(loss, first.weight)[0].flatten() for loss in losses])
    block = rows.T @ rows / 7
    found = optimizer.state[first.weight]["fisher_diagonal" if kind == "diagonal" else "fisher_block"]
    close(found.reshape(-1), (block.diagonal() if kind == "diagonal" else block).reshape(-1))


def test_compiled_models_are_estimated_as_they_are():
    found = []
    for compiled in (False, True):
        torch.manual_seed(1)
        model, method, inputs = linear()
        if compiled:
            model.compile(backend="eager")
            model(inputs)
        optimizer = ManifoldSGD([{"params": list(method.latents.values()), "metric": Fisher()}], lr=1.0)
        estimate_fisher(optimizer, model, inputs, torch.arange(12) % 3)
        found.append([value for state in optimizer.state.values() for value in state.values()])
    close(*found, rtol=0, atol=0)


def test_frozen_layers_are_left_out():
    model, method, inputs = linear()
    weights = list(method.latents.values())
    weights[0].requires_grad_(False)
    optimizer = ManifoldSGD(weights, lr=0.1, metric=Fisher())
    estimate_fisher(optimizer, model, inputs)
    assert weights[0] not in optimizer.state


def lone(shape=(3, 2), **options):
    return ManifoldSGD([nn.Parameter(torch.ones(shape))], lr=0.1, metric=Fisher(**options))


def positions():
    model = nn.Sequential(nn.Linear(2, 3))
    optimizer = ManifoldSGD([model[0].weight], lr=0.1, metric=Fisher())
    return optimizer, model, torch.ones(1, 5, 2)


def stepped():
    optimizer = lone()
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3, 2)
    optimizer.step()


BAD = {
    "kind": (lambda: Fisher("full"), "kind must be one of"),
    "damping": (lambda: Fisher(damping=0.0), "damping must be"),
    "decay": (lambda: Fisher(decay=1.0), r"decay must be a number in \[0, 1\), got 1.0"),
    "vector": (lambda: lone((3,)), "linear layers"),
    "large": (lambda: lone((100, 100), kind="exact"), r"here n = 10000, of at most 4096"),
    "no statistics": (stepped, "no Fisher statistics yet"),
    "no group": (
        lambda: estimate_fisher(
            ManifoldSGD([nn.Parameter(torch.ones(1))]), nn.Linear(2, 2), torch.ones(1, 2)
        ),
        "no parameter group has the metric",
    ),
    "another model": (
        lambda: estimate_fisher(lone(), nn.Linear(2, 3), torch.ones(1, 2)),
        r"shape \(3, 2\) with the metric Fisher belongs to no nn.Linear",
    ),
    "likelihood": (
        lambda: estimate_fisher(lone(), nn.Linear(2, 3), torch.ones(1, 2), likelihood="poisson"),
        "likelihood must be",
    ),
    "a class for each position": (
        lambda: estimate_fisher(*positions()),
        r"logits \(N, classes\), and the model's outputs have shape \(1, 5, 3\)",
    ),
    "alone": (lambda: Fisher().natural_gradient(torch.ones(2, 2), torch.ones(2, 2)), "in an optimizer"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call()


@pytest.mark.parametrize("kind", ["diagonal", "kronecker", "block", "exact"])
def test_statistics_under_autocast_are_reckoned_in_full(kind):
    """In float16 the sum of squares over a large image overflowed, and the weights became NaN."""
    metric, found = Fisher(kind), []
    for casts in (False, True):
        torch.manual_seed(0)
        inputs, slopes = 100 * torch.randn(8, 900, 9), torch.randn(8, 900, 4)
        state = {}
        with torch.autocast("cpu", torch.float16, enabled=casts):
            metric.update(state, inputs, slopes)
            (natural,) = metric.natural_gradients([slopes], [torch.randn(4, 9)], None, [state])
        found.append(state | {"natural": natural})
    assert found[1]["natural"].isfinite().all()
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())


class Branches(nn.Module):
    """Layers of which some are called by keyword, some feed no loss, some are not called at first."""

    def __init__(self):
        super().__init__()
        self.main, self.side, self.late = (nn.Linear(5, 3, bias=False) for _ in range(3))
        self.used = False

    def forward(self, x):
        self.seen = self.side(x)
        return self.main(input=x) + (self.late(x) if self.used else 0)


def test_layers_that_the_loss_does_not_see_and_ones_that_come_later():
    torch.manual_seed(0)
    model = Branches()
    method = quantize_(model, QuantConfig("fim"))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    before = {name: weight.detach().clone() for name, weight in method.latents.items()}
    moved = {"main": [True, True], "side": [False, False], "late": [False, True]}
    for index, model.used in enumerate((False, True)):
        method.step(optimizer, nn.functional.cross_entropy, torch.randn(8, 5), torch.randint(3, (8,)))
        for name, weight in method.latents.items():
            assert torch.equal(weight, before[name]) is not moved[name][index]


@pytest.mark.filterwarnings("ignore:what makes method 'fim':UserWarning")
def test_a_layer_in_a_group_without_the_metric_asks_for_no_estimate(monkeypatch):
    torch.manual_seed(0)
    model, calls = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), []
    method = quantize_(model, QuantConfig("fim"))
    first, second = method.latents.values()
    optimizer = ManifoldSGD([{"params": [first], "metric": Fisher()}, {"params": [second]}], lr=0.1)
    module = importlib.import_module("lnegeom_torch.methods.fisher")
    monkeypatch.setattr(module, "estimate_fisher", lambda *_: calls.append(1) or estimate_fisher(*_))
    for _ in range(3):
        method.step(optimizer, nn.functional.cross_entropy, torch.randn(8, 5), torch.randint(3, (8,)))
    assert len(calls) == 1


def test_all_layers_may_be_frozen():
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    method = quantize_(model, QuantConfig("fim"))
    for weight in method.latents.values():
        weight.requires_grad_(False)
    optimizer, bias = ManifoldSGD(method.param_groups(), lr=0.1), model[1].bias.detach().clone()
    method.step(optimizer, nn.functional.cross_entropy, torch.randn(8, 5), torch.randint(3, (8,)))
    assert not torch.equal(model[1].bias, bias)


def test_a_weight_that_an_embedding_shares_is_refused():
    model = nn.Sequential(nn.Embedding(6, 4), nn.Flatten(), nn.Linear(4, 6, bias=False))
    model[2].weight = model[0].weight
    method = quantize_(model, QuantConfig("fim"))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    with pytest.raises(InputError, match="or not to these alone"):
        estimate_fisher(optimizer, model, torch.randint(6, (8, 1)))
