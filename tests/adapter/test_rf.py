"""RF-DNN Algorithm 2 against a direct transcription with dense matrices, and its invariances."""

import copy

import pytest
import torch
from torch import nn

from lnegeom import InputError
from lnegeom.flow import discrete
from lnegeom_torch import ManifoldSGD, NormalizedLNE, QuantConfig, RicciFlow, quantize_, ricci
from lnegeom_torch.nets import MLP
from lnegeom_torch.ricci import translate

METRIC = NormalizedLNE(0.4, "weak")
NEVER = float("inf")


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(MLP(36, 4, hidden=(5,)), nn.Dropout(dropout))


def batches(count=4, size=8):
    torch.manual_seed(1)
    return [(torch.randn(size, 1, 6, 6), torch.randint(4, (size,))) for _ in range(count)]


def train(method, **options):
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9, **options)
    return [method.step(optimizer, nn.functional.cross_entropy, x, y)[0] for x, y in batches()]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_without_alpha_and_gate_it_is_its_metric_alone_bit_for_bit():
    flow = RicciFlow(alpha=0.0, epsilon=NEVER)
    with_flow, without = network(dropout=0.3), network(dropout=0.3)
    method = quantize_(with_flow, QuantConfig("rf", metric=METRIC, options=flow))
    torch.manual_seed(7)
    a = train(method)
    torch.manual_seed(7)
    b = train(quantize_(without, QuantConfig("wcg", metric=METRIC, gate="none")))
    assert torch.equal(torch.stack(a), torch.stack(b))
    assert torch.equal(weights(with_flow), weights(without))
    assert all(value > 0 for value in method.residuals.values())  # the flow was computed all the same


def test_the_virtual_passes_leave_buffers_and_random_state_untouched():
    model = network(dropout=0.5).train()
    method = quantize_(model, QuantConfig("rf"))
    x, y = batches(1)[0]
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    state = torch.get_rng_state()
    found = method._gradients(nn.functional.cross_entropy, x, y)
    assert all(torch.equal(buffers[name], b) for name, b in model.named_buffers())
    assert any("running_mean" in name for name in buffers)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert not any(gradient.requires_grad for gradient in found.values())


class DenseAlgorithm2:
    """The printed algorithm with n × n matrices, for one network in double precision."""

    def __init__(self, model, metric, flow, lr):
        self.model, self.metric, self.flow, self.lr = model, metric, flow, lr
        self.previous = None

    def dense(self, w):
        rho = self.metric.factor(w).flatten()
        return torch.eye(rho.numel(), dtype=w.dtype) - torch.outer(rho, rho)

    def gradients(self, latents, x, y):
        model = copy.deepcopy(self.model).train()
        layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
        for layer, w in zip(layers, latents, strict=True):
            layer.weight.data = torch.where(w >= 0, 1.0, -1.0).double()
        loss = nn.functional.cross_entropy(model(x), y)
        return torch.autograd.grad(loss, [layer.weight for layer in layers])

    def inverse_applied(self, w, g):
        p = w.tanh().flatten()
        matrix = torch.eye(p.numel(), dtype=w.dtype) + self.metric.chi * torch.outer(p, p) / (p @ p)
        return (matrix @ g.flatten()).reshape(w.shape)

    def latent_gradients(self, latents, x, y):
        """Each layer's gradient for the optimizer's metric to act on, its N, and N over the squared norms of
        the flow's two sides (both None at first).
        """
        (k1, k2), (j1, j2) = self.flow.rows, self.flow.columns
        shifts = (k1, 0), (k2, 0), (0, j1), (0, j2)
        virtual = [self.gradients(latents, translate(x, *s), y) for s in shifts]
        real = self.gradients(latents, x, y)
        now, out = [], []
        for i, w in enumerate(latents):
            steps = [self.lr * self.inverse_applied(w, v[i]) for v in virtual]
            w = w.clone().requires_grad_()
            g = [self.dense(w - s) for s in steps]
            now.append([m.detach() for m in g])
            if self.previous is None:
                out.append((real[i], None, None))
                continue
            pk1, pk2, pj1, pj2 = self.previous[i]
            defect = g[0] - pk1 - (pk1 - pk2) / (k1 - k2) + (pj1 - pj2) / (j1 - j2)
            n = (defect**2).sum()
            (slope,) = torch.autograd.grad(n, w)
            asked = (pk1 - pk2) / (k1 - k2) - (pj1 - pj2) / (j1 - j2)
            relative = n / (((g[0] - pk1) ** 2).sum() + (asked**2).sum())
            gradient = (real[i] + self.flow.alpha * slope) * (n <= self.flow.epsilon)
            out.append((gradient, n.detach(), relative.detach()))
        self.previous = now
        return out


@pytest.mark.parametrize("epsilon", [NEVER, 1e-4], ids=["open", "gated"])
def test_algorithm_two_against_dense_matrices(epsilon):
    flow = RicciFlow(alpha=30.0, epsilon=epsilon, rows=(2, -1), columns=(0, 1))
    model = network().double()
    dense = DenseAlgorithm2(copy.deepcopy(model), METRIC, flow, lr=0.1)
    method = quantize_(model, QuantConfig("rf", metric=METRIC, options=flow))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    opened, tested = [], 0
    for x, y in batches(6):
        latents = [w.detach().clone() for w in method.latents.values()]
        dense.model.load_state_dict(plain_state(model))
        expected = dense.latent_gradients(latents, x.double(), y)
        method.step(optimizer, nn.functional.cross_entropy, x.double(), y)
        for (name, w), (gradient, n, relative) in zip(method.latents.items(), expected, strict=True):
            torch.testing.assert_close(w.grad, gradient, rtol=1e-9, atol=1e-12)
            if n is not None:
                torch.testing.assert_close(method.residuals[name], n, rtol=1e-9, atol=1e-14)
                torch.testing.assert_close(method.relative_residuals[name], relative, rtol=1e-9, atol=0)
                opened.append(bool(n <= epsilon))
                tested += 1
    assert tested == 10
    assert all(opened) if epsilon == NEVER else 0 < sum(opened) < 10  # the gate both opened and closed


def test_the_residual_of_a_layer_is_found_once(monkeypatch):
    calls = []
    found = discrete.discrete_flow_residual
    for module in (discrete, ricci):
        monkeypatch.setattr(
            module, "discrete_flow_residual", lambda *args, **kw: (calls.append(1), found(*args, **kw))[1]
        )
    method = quantize_(network(), QuantConfig("rf", metric=METRIC))
    train(method)  # four iterations, the first of which has none before it
    assert len(method.relative_residuals) == len(method.layers)
    assert len(calls) == 3 * len(method.layers)


def plain_state(model):
    """The quantized model's state under a plain model's names."""
    return {k.replace("parametrizations.weight.original", "weight"): v for k, v in model.state_dict().items()}


def test_the_regularizer_acts():
    strong, none = network(), network()
    train(quantize_(strong, QuantConfig("rf", metric=METRIC, options=RicciFlow(alpha=100.0, epsilon=NEVER))))
    train(quantize_(none, QuantConfig("rf", metric=METRIC, options=RicciFlow(alpha=0.0, epsilon=NEVER))))
    assert not torch.equal(weights(strong), weights(none))


def test_a_closed_gate_stops_the_latent_weights_only():
    model = network()
    method = quantize_(model, QuantConfig("rf", options=RicciFlow(epsilon=0.0)))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    data = batches(3)
    method.step(optimizer, nn.functional.cross_entropy, *data[0])  # the first has no N, and no gate
    latents, rest = ([p.detach().clone() for p in g["params"]] for g in method.param_groups())
    method.step(optimizer, nn.functional.cross_entropy, *data[1])
    after, after_rest = (g["params"] for g in method.param_groups())
    assert all(torch.equal(a, b) for a, b in zip(latents, after, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(rest, after_rest, strict=True))
    assert method.diagnostics()["gate_open"] == 0.0
    assert method.diagnostics() == {}  # reading starts anew


def test_its_state_goes_on_where_it_stopped():
    whole, first = network(), network()
    data = batches(4)
    config = QuantConfig("rf", options=RicciFlow(alpha=100.0))
    whole_method, method = quantize_(whole, config), quantize_(first, config)
    for m, part in ((whole_method, data), (method, data[:2])):
        optimizer = ManifoldSGD(m.param_groups(), lr=0.1)
        for x, y in part:
            m.step(optimizer, nn.functional.cross_entropy, x, y)
    second = network()
    resumed = quantize_(second, config)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(method.state_dict())
    optimizer = ManifoldSGD(resumed.param_groups(), lr=0.1)
    for x, y in data[2:]:
        resumed.step(optimizer, nn.functional.cross_entropy, x, y)
    assert torch.equal(weights(whole), weights(second))


def test_frozen_and_unused_layers_are_left_alone():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.frozen, self.unused = MLP(36, 5), nn.Linear(5, 4), nn.Linear(2, 2)
            self.frozen.weight.requires_grad_(False)

        def forward(self, x):
            return self.frozen(self.used(x))

    torch.manual_seed(0)
    model = Net()
    method = quantize_(model, QuantConfig("rf"))
    before = {name: w.detach().clone() for name, w in method.latents.items()}
    train(method)
    moved = {name: not torch.equal(before[name], w) for name, w in method.latents.items()}
    assert not moved.pop("frozen")
    assert not moved.pop("unused")
    assert all(moved.values())


def test_an_n_equal_to_epsilon_passes_the_gate():
    model = network()
    method = quantize_(model, QuantConfig("rf", options=RicciFlow(alpha=0.0)))
    weight = next(iter(method.latents.values()))
    zero = [[torch.zeros_like(weight)] * 4]
    object.__setattr__(method.flow, "epsilon", 0.0)  # a resting weight has N = 0 exactly
    for _ in range(2):
        weight.grad = torch.ones_like(weight)
        method._follow_flow("layers.1", weight, zero)
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_translation_moves_pixels_and_fills_with_zero():
    image = torch.arange(1.0, 13.0).reshape(1, 1, 3, 4)
    for rows, columns in ((1, 0), (-2, 1), (0, -3)):
        moved = translate(image, rows, columns)
        for i in range(3):
            for j in range(4):
                inside = 0 <= i - rows < 3 and 0 <= j - columns < 4
                assert moved[0, 0, i, j] == (image[0, 0, i - rows, j - columns] if inside else 0)


def test_virtual_step_follows_the_optimizers_rate_unless_given():
    method = quantize_(network(), QuantConfig("rf"))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.25)
    assert method._virtual_lr(optimizer) == 0.25
    fixed = quantize_(network(), QuantConfig("rf", options=RicciFlow(virtual_lr=0.5)))
    assert fixed._virtual_lr(optimizer) == 0.5


def test_the_cheap_flow_has_the_exact_n_once_in_every_few_iterations():
    """On the weights that the exact flow has: at the second iteration of each period, bit for bit."""
    exact = quantize_(network(), QuantConfig("rf", options=RicciFlow(alpha=0.0, epsilon=NEVER)))
    cheap = quantize_(network(), QuantConfig("rf", options=RicciFlow(alpha=0.0, epsilon=NEVER, every=3)))
    one, other = (ManifoldSGD(method.param_groups(), lr=0.1) for method in (exact, cheap))
    for iteration, (x, y) in enumerate(batches(6)):
        cheap.residuals.clear()
        exact.step(one, nn.functional.cross_entropy, x, y)
        cheap.step(other, nn.functional.cross_entropy, x, y)
        assert bool(cheap.residuals) == (iteration % 3 == 1)
        assert all(torch.equal(value, exact.residuals[name]) for name, value in cheap.residuals.items())
    assert torch.equal(weights(exact.model), weights(cheap.model))


def test_the_cheap_flow_weighs_its_rarer_residual_more():
    """α is as many times as large: one pull in three iterations is three times one of the exact flow's."""
    slopes = []
    for every in (1, 3):
        flow = RicciFlow(alpha=1e4, epsilon=NEVER, every=every, virtual_lr=0.1)
        method = quantize_(network(), QuantConfig("rf", options=flow))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.0)
        for x, y in batches(2):
            method.step(optimizer, nn.functional.cross_entropy, x, y)
        with_flow = next(iter(method.latents.values())).grad.clone()
        method._backward(optimizer, nn.functional.cross_entropy, x, y)
        slopes.append(with_flow - next(iter(method.latents.values())).grad)
    assert slopes[0].abs().max() > 1e-6
    torch.testing.assert_close(slopes[1], 3 * slopes[0], rtol=1e-3, atol=1e-7)


def passes_of(flow, iterations=1):
    model, count = network(), 0
    method = quantize_(model, QuantConfig("rf", options=flow))

    def counted(*_):
        nonlocal count
        count += 1

    model.register_forward_pre_hook(counted)
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    for x, y in batches(iterations):
        method.step(optimizer, nn.functional.cross_entropy, x, y)
    return count


def test_an_iteration_takes_as_many_passes_as_are_stated():
    assert passes_of(RicciFlow()) == 5
    assert passes_of(RicciFlow(rows=(1, 0), columns=(1, 0))) == 3  # no translation: the real gradient
    assert passes_of(RicciFlow(batched=True)) == 2
    assert passes_of(RicciFlow(every=3), iterations=3) == 3 + 4 + 1
    assert passes_of(RicciFlow(share=0.5)) == 9  # of a quarter of the batch, but for the real one


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("parts", [1, 2])
def test_translations_in_one_pass_are_those_one_after_the_other(share, parts):
    found = []
    for batched in (False, True):
        torch.manual_seed(3)
        flow = RicciFlow(alpha=30.0, epsilon=NEVER, share=share, batched=batched)
        model = network(dropout=0.3).double()
        method = quantize_(model, QuantConfig("rf", metric=METRIC, options=flow))
        optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
        for x, y in batches(4):
            method.step(optimizer, nn.functional.cross_entropy, x.double(), y, parts=parts)
        found.append((weights(model), torch.stack(list(method.residuals.values()))))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-12)


def test_n_on_a_part_of_the_batch_is_extrapolated_to_the_whole():
    """The plain N on a quarter is half as large again; extrapolated, its median is right within 15 %."""
    flows = {name: RicciFlow(virtual_lr=0.1) for name in ("whole", "quarter")}
    flows["extrapolated"] = RicciFlow(virtual_lr=0.1, share=0.25)
    methods, ratios = {}, {"quarter": [], "extrapolated": []}
    for name, flow in flows.items():
        torch.manual_seed(0)
        methods[name] = quantize_(MLP(36, 4, hidden=(20,)), QuantConfig("rf", options=flow))
    for x, y in batches(16, size=128):
        for name, method in methods.items():
            seen = slice(0, 32 if name == "quarter" else 128)
            optimizer = ManifoldSGD(method.param_groups(), lr=0.0)
            method.step(optimizer, nn.functional.cross_entropy, x[seen], y[seen])
        for name, found in ratios.items():
            exact = methods["whole"].residuals
            found += [float(n / exact[layer]) for layer, n in methods[name].residuals.items()]
    medians = {name: torch.tensor(found).median() for name, found in ratios.items()}
    assert medians["quarter"] > 1.3
    assert abs(medians["extrapolated"] - 1) < 0.15


def test_what_the_flow_cannot_do_is_refused():
    method = quantize_(network(), QuantConfig("rf", options=RicciFlow(share=0.5)))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    with pytest.raises(InputError, match="take 'lne', the same metric without"):
        method.attach(optimizer)
    for x, y in batches(3, size=3):  # a last batch may be small
        method.step(optimizer, nn.functional.cross_entropy, x, y)
    assert all(n.isfinite() for n in method.residuals.values())
    for share in (0.0, 1.5):
        with pytest.raises(InputError, match=r"share must be in \(0, 1\]"):
            RicciFlow(share=share)
