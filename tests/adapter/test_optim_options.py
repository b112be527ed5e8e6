"""Each option of the optimizers against a step written out by hand."""

import copy
import pickle
from functools import partial

import pytest
import torch
import zoo_torch
from torch import nn

import lnegeom
from lnegeom_torch import (
    LNE,
    Fisher,
    Graph,
    LogCoshHessian,
    ManifoldAdamW,
    ManifoldSGD,
    NormalizedLNE,
    Precondition,
)
from lnegeom_torch.testing import check_optimizer

METRICS = [NormalizedLNE(0.6), NormalizedLNE(0.6, "weak", "channel"), LNE(2.0), LogCoshHessian(0.5)]
close = torch.testing.assert_close


@pytest.fixture
def w():
    return 0.7 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def gradients(count):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(count)]


def run(weight, build, count=3):
    parameter = nn.Parameter(weight.clone())
    optimizer = build([parameter])
    for gradient in gradients(count):
        parameter.grad = gradient.clone()
        optimizer.step()
        assert torch.equal(parameter.grad, gradient)
    return parameter.detach()


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_weight_decay(w, metric, maximize, decoupled, preconditioned):
    lr, decay, momentum = 0.1, 0.3, 0.9
    sign = -1 if maximize else 1
    x, buffer = w.clone(), None
    for g in gradients(3):
        natural = lambda v, x=x: metric.natural_gradient(x, v)  # noqa: E731
        shrink = decay * (natural(x) if preconditioned else x)
        direction = sign * natural(g) + (0 if decoupled else shrink)
        buffer = direction if buffer is None else momentum * buffer + direction
        x = x - (lr * shrink if decoupled else 0) - lr * buffer
    options = {
        "lr": lr,
        "weight_decay": decay,
        "maximize": maximize,
        "metric": metric,
        "precondition_weight_decay": preconditioned,
        "decoupled_weight_decay": decoupled,
    }
    for mode in ({"foreach": False}, {"foreach": True}, {"fused": True}):
        close(run(w, lambda p, m=mode: ManifoldSGD(p, momentum=momentum, **options, **m)), x)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_weight_decay_of_adamw(w, decoupled, preconditioned):
    lr, decay, metric = 0.1, 0.3, LNE(2.0)
    x, first, second = w.clone(), 0, 0
    for t, g in enumerate(gradients(3), start=1):
        natural = lambda v, x=x: metric.natural_gradient(x, v)  # noqa: E731
        shrink = decay * (natural(x) if preconditioned else x)
        direction = natural(g) + (0 if decoupled else shrink)
        first = 0.9 * first + 0.1 * direction
        second = 0.999 * second + 0.001 * direction**2
        step = first / (1 - 0.9**t) / (torch.sqrt(second / (1 - 0.999**t)) + 1e-8)
        x = x - (lr * shrink if decoupled else 0) - lr * step
    build = lambda p: ManifoldAdamW(  # noqa: E731
        p,
        lr=lr,
        weight_decay=decay,
        metric=metric,
        decoupled_weight_decay=decoupled,
        precondition_weight_decay=preconditioned,
    )
    close(run(w, build), x)


@pytest.mark.parametrize("metric", METRICS, ids=str)
@pytest.mark.parametrize("gate", [False, True])
def test_metric_on_the_update_follows_momentum(w, metric, gate):
    x, buffer = w.clone(), 0
    for g in gradients(3):
        buffer = 0.9 * buffer + g
        step = -0.1 * metric.natural_gradient(x, buffer)
        x = x + torch.where(x.abs() <= 1, step, 0 if gate else step)
    build = lambda p: ManifoldSGD(p, lr=0.1, momentum=0.9, metric=metric, metric_on="update", gate=gate)  # noqa: E731
    close(run(w, build), x)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_retractions_have_their_orders(w, metric):
    """Against a geodesic in many small steps: errors fall as |v|² and |v|³; the exponential has none."""

    def geodesic(v):
        x, scale = w.clone(), 1 / 400
        v = v * scale
        for _ in range(400):  # leapfrog, of the metric frozen at its start
            v = v + metric.acceleration(x, v, w) / 2
            x = x + v
            v = v + metric.acceleration(x, v, w) / 2
        return x

    errors = {"first": [], "second": [], "exponential": []}
    (g,) = gradients(1)
    for size in (0.1, 0.05):
        v = -size * metric.natural_gradient(w, g)
        for retraction, found in errors.items():
            build = lambda p, r=retraction, s=size: ManifoldSGD(p, lr=s, metric=metric, retraction=r)  # noqa: E731
            found.append(float((run(w, build, 1) - geodesic(v)).norm()))
    assert errors["first"][0] / errors["first"][1] == pytest.approx(4, rel=0.2)
    assert errors["second"][0] / errors["second"][1] == pytest.approx(8, rel=0.3)
    assert errors["exponential"][0] < 1e-5 * errors["first"][0] + 1e-5


def test_clip_keeps_weights_in_the_cube_and_gate_does_not_move_those_outside(w):
    clipped = run(3 * w, lambda p: ManifoldSGD(p, lr=0.1, clip=True), 1)
    close(clipped, (3 * w - 0.1 * gradients(1)[0]).clamp(-1, 1))
    held = run(3 * w, lambda p: ManifoldSGD(p, lr=0.1, gate=True), 1)
    assert torch.equal(held == 3 * w, (3 * w).abs() > 1)


BASES = {
    "sgd": (
        lambda p, **o: ManifoldSGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, **o),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    ),
    "adamw": (lambda p, **o: ManifoldAdamW(p, lr=0.1, **o), lambda p: torch.optim.AdamW(p, lr=0.1)),
}
OPTIONS = [
    {},
    {"gate": True},
    {"clip": True, "retraction": "second"},
    {"precondition_weight_decay": True, "metric_on": "update"},
    {"decoupled_weight_decay": True, "precondition_weight_decay": True},
]


@pytest.mark.parametrize(("ours", "base"), BASES.values(), ids=BASES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_precondition_makes_torchs_optimizers_ours(w, ours, base, options):
    expected = run(w, lambda p: ours(p, metric=LNE(2.0), **options))
    close(run(w, lambda p: Precondition(base(p), LNE(2.0), **options)), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["RMSprop", "Adagrad", "NAdam", "RAdam", "Adamax", "ASGD", "Rprop", "Adadelta"]
)
def test_precondition_wraps_any_optimizer(w, name):
    kind = getattr(torch.optim, name)
    natural, parameter = LNE(2.0), nn.Parameter(w.clone())
    optimizer = kind([parameter])
    for g in gradients(3):
        parameter.grad = natural.natural_gradient(parameter.detach(), g)
        optimizer.step()
    close(run(w, lambda p: Precondition(kind(p), natural)), parameter.detach())


@pytest.mark.parametrize("name", ["Muon", "Adafactor", "AdamW"])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_precondition_knows_which_optimizers_decouple_weight_decay(w, name, preconditioned):
    if not hasattr(torch.optim, name):
        pytest.skip(f"this torch has no {name}")
    kind, metric = getattr(torch.optim, name), NormalizedLNE(0.6)
    parameter = nn.Parameter(w.clone())
    optimizer = kind([parameter], lr=0.1, weight_decay=0.0)
    for g in gradients(3):
        parameter.grad = metric.natural_gradient(parameter.detach(), g)
        shrink = parameter.detach()
        shrink = metric.natural_gradient(shrink, shrink) if preconditioned else shrink
        parameter.data.sub_(0.1 * 0.3 * shrink)
        optimizer.step()
    build = lambda p: Precondition(  # noqa: E731
        kind(p, lr=0.1, weight_decay=0.3), metric, precondition_weight_decay=preconditioned
    )
    # Adafactor's rate is relative to the weights, before or after the decay.
    close(run(w, build), parameter.detach(), rtol=1e-6, atol=1e-2 if name == "Adafactor" else 1e-6)
    assert Precondition(kind([parameter])).param_groups[0]["decoupled_weight_decay"] is True


@pytest.mark.parametrize("options", [{}, {"metric": LNE(2.0), "metric_on": "update"}], ids=str)
def test_gradients_are_not_written_to_by_torchs_nesterov_either(w, options):
    nesterov = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "foreach": True}
    run(w, lambda p: ManifoldSGD(p, **nesterov, **options))
    if options:
        run(w, lambda p: Precondition(torch.optim.SGD(p, **nesterov), **options))


def test_precondition_with_a_closure_that_is_called_often(w):
    parameter = nn.Parameter(w.clone())
    optimizer = Precondition(torch.optim.LBFGS([parameter], lr=0.5, max_iter=10), LNE(2.0))
    losses, seen = [], []

    def closure():
        optimizer.zero_grad()
        loss = (parameter - 0.1).square().sum()
        loss.backward()
        losses.append(float(loss.detach()))
        seen.append(parameter.detach().clone())
        return loss

    optimizer.step(closure)
    assert len(losses) > 2
    assert losses[-1] < 1e-3 * losses[0]
    close(parameter.grad, 2 * (seen[-1] - 0.1))  # the user's own again


def test_precondition_is_an_optimizer(w):
    parameter = nn.Parameter(w.clone())
    optimizer = Precondition(torch.optim.AdamW([parameter], lr=0.1), NormalizedLNE(0.5), gate=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    parameter.grad = gradients(1)[0]
    optimizer.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == optimizer.base_optimizer.param_groups[0]["lr"] == 0.05
    assert "NormalizedLNE" in repr(optimizer)
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert twin.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
        twin.add_param_group({"params": [nn.Parameter(torch.ones(2, 2))]})
        assert twin.param_groups[1]["metric"]["chi"] == 0.5
    other = Precondition(torch.optim.AdamW([parameter]), NormalizedLNE(0.4), gate=True)
    with pytest.raises(lnegeom.InputError, match=r"group 0 has metric .*0\.4.*, the loaded state .*0\.5"):
        other.load_state_dict(optimizer.state_dict())
    same = Precondition(torch.optim.AdamW([parameter]), NormalizedLNE(0.5), gate=True)
    same.load_state_dict(torch.optim.AdamW([parameter], lr=0.3).state_dict())  # torch's: no metric to differ
    assert same.param_groups[0]["metric"]["chi"] == 0.5
    assert same.param_groups[0]["lr"] == 0.3


@pytest.mark.parametrize("build", [ManifoldSGD, ManifoldAdamW])
def test_a_scaled_gradient_is_unscaled_before_the_preconditioned_decay_is_added(w, build):
    options = {"weight_decay": 0.5, "decoupled_weight_decay": False, "precondition_weight_decay": True}
    found = []
    for scale in (1.0, 1024.0):
        parameter = nn.Parameter(w.float())
        optimizer = build([parameter], lr=0.1, metric=LNE(2.0), fused=True, **options)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for g in gradients(2):
            optimizer.zero_grad()
            scaler.scale((parameter * g.float()).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        found.append(parameter.detach())
    close(*found)


@pytest.mark.parametrize("metric", [None, LNE(2.0)], ids=str)
def test_momentum_begins_with_the_first_step_that_is_taken(w, metric):
    """A fused step that the scaler skips leaves none of what was in memory; then a layer is unfrozen."""
    found = []
    for fused in (False, True):
        first, late = nn.Parameter(w.clone()), nn.Parameter(w.clone())
        optimizer = ManifoldSGD([first, late], lr=0.1, momentum=0.9, metric=metric, fused=fused)
        if fused:
            first.grad, optimizer.found_inf = gradients(1)[0], torch.tensor(1.0)
            optimizer.step()
            assert torch.equal(first, w)
            assert not optimizer.state[first]["momentum_buffer"].any()
            optimizer.found_inf = torch.tensor(0.0)
        for number, g in enumerate(gradients(4)):
            first.grad, late.grad = g, g if number > 1 else None
            optimizer.step()
        found.append((first.detach(), late.detach()))
    close(*found)


@pytest.mark.parametrize("found", [0.0, 1.0])
@pytest.mark.parametrize("build", [ManifoldSGD, ManifoldAdamW])
def test_fused_kernels_heed_the_scaler_on_the_device(build, found):
    w, g = torch.randn(4, 3), torch.randn(4, 3)
    plain, scaled = nn.Parameter(w.clone()), nn.Parameter(w.clone())
    options = {
        "lr": 0.1,
        "metric": LNE(2.0),
        "fused": True,
        "weight_decay": 0.1,
        "decoupled_weight_decay": True,
    }
    one, other = build([plain], **options), build([scaled], **options)
    plain.grad, scaled.grad = g.clone(), 8 * g
    other.grad_scale, other.found_inf = torch.tensor(8.0), torch.tensor(found)
    if not found:
        one.step()
    other.step()
    close(scaled, plain)


@pytest.mark.parametrize("metric", [None, LNE(2.0)], ids=str)
def test_a_first_step_with_infinite_gradients_begins_with_no_momentum(monkeypatch, metric):
    monkeypatch.setattr(torch, "empty_like", lambda tensor: torch.full_like(tensor, 7.0))  # torch's buffer
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.full((3,), torch.inf)
    optimizer = ManifoldSGD([weight], lr=0.1, momentum=0.9, metric=metric, fused=True)
    optimizer.grad_scale, optimizer.found_inf = torch.tensor(8.0), torch.tensor(1.0)
    optimizer.step()
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], torch.zeros(3))
    assert torch.equal(weight, torch.ones(3))


@pytest.mark.filterwarnings(r"ignore:`torch\.jit\.script:DeprecationWarning")  # dynamo's own
@pytest.mark.parametrize("build", [ManifoldSGD, ManifoldAdamW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("metric", [NormalizedLNE(0.4), LNE(2.0)], ids=str)
def test_a_compiled_step_is_one_graph_and_the_same_step(w, build, metric):
    torch._dynamo.reset()
    eager, compiled = nn.Parameter(w.clone()), nn.Parameter(w.clone())
    one, other = build([eager], lr=0.1, metric=metric), build([compiled], lr=0.1, metric=metric)
    step = torch.compile(
        torch.no_grad()(lambda: unwrapped(build)(other)), backend="aot_eager", fullgraph=True
    )
    for g in gradients(3):
        eager.grad, compiled.grad = g.clone(), g.clone()
        one.step()
        step()
    close(compiled, eager, rtol=1e-3, atol=1e-5)  # compiled, torch's Adam keeps its rate in float32


@pytest.mark.filterwarnings("ignore:`torch:DeprecationWarning", "ignore:Profiler function:UserWarning")
@pytest.mark.parametrize(
    ("ours", "torchs"),
    [(ManifoldSGD, torch.optim.SGD), (ManifoldAdamW, torch.optim.AdamW)],
    ids=["sgd", "adamw"],
)
def test_a_step_compiled_with_its_hooks_has_as_few_graphs_as_torchs(w, ours, torchs):
    """With foreach, the default on a GPU, torch's Adam fails where dynamo traces a part of a step alone."""
    counts = []
    for build in (torchs, partial(ours, metric=LNE(2.0))):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        eager, compiled = nn.Parameter(w.clone()), nn.Parameter(w.clone())
        one, other = (build([p], lr=0.1, foreach=True) for p in (eager, compiled))
        step = torch.compile(lambda optimizer=other: optimizer.step(), backend="eager")
        for g in gradients(2):
            eager.grad, compiled.grad = g.clone(), g.clone()
            one.step()
            step()
        close(compiled, eager, rtol=1e-3, atol=1e-5)
        counts.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert counts[0] == counts[1] > 0


@pytest.mark.filterwarnings(r"ignore:`torch\.jit\.script:DeprecationWarning")  # dynamo's own
def test_a_compiled_wrapped_step_is_the_same_step(w):
    """torch breaks the wrapped optimizer's graph, and the metric's part must survive that."""
    torch._dynamo.reset()
    eager, compiled = nn.Parameter(w.clone()), nn.Parameter(w.clone())
    one, other = (Precondition(torch.optim.SGD([p], lr=0.1), LNE(2.0)) for p in (eager, compiled))
    step = torch.compile(lambda: other.step(), backend="aot_eager")
    for g in gradients(2):
        eager.grad, compiled.grad = g.clone(), g.clone()
        one.step()
        step()
        assert torch.equal(compiled.grad, g)
    close(compiled, eager)


DECAY = {"weight_decay": 0.1, "decoupled_weight_decay": True, "precondition_weight_decay": True}


@pytest.mark.parametrize(
    "options", [{}, {"retraction": "second"}, {"metric_on": "update"}, DECAY, {"clip": True}], ids=str
)
@pytest.mark.parametrize("build", [ManifoldSGD, zoo_torch.preconditioned], ids=["ours", "wrapped"])
def test_a_step_can_be_differentiated(w, build, options):
    build = partial(build, lr=0.1, metric=LNE(2.0), **options)
    check_optimizer(build, torch.stack([w, 2 * w]), laws=["differentiable"])


def test_parameters_may_change_their_precision_or_size_between_steps(w):
    parameter = nn.Parameter(w.float())
    optimizer = ManifoldSGD([parameter], lr=0.1, metric=LNE(2.0), gate=True, fused=False)
    there = w.float()  # memory that stays where it is, seen in another shape
    for value in (there, there.view(3, 4), there.view(12), w, w[:2], w.T.contiguous().T, w.half()):
        parameter.data, value = value, value.clone()
        gradient = torch.ones_like(value)
        parameter.grad = gradient
        optimizer.step()
        natural = LNE(2.0).natural_gradient(value, gradient)
        close(parameter.detach(), value - 0.1 * torch.where(value.abs() <= 1, natural, 0))


def test_an_optimizer_that_loads_often_does_not_grow(w):
    for build in (ManifoldSGD, lambda p, metric: Precondition(torch.optim.SGD(p), metric)):
        parameter = nn.Parameter(w.clone())
        optimizer = build([parameter], metric=LNE(2.0))
        for g in gradients(3):
            parameter.grad = g
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        assert len(optimizer._scratch) == 1


def test_empty_tensors_step():
    weights = [nn.Parameter(torch.ones(0, 3)), nn.Parameter(torch.ones(3, 0)), nn.Parameter(torch.ones(2, 3))]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    for options in ({}, {"fused": True}, {"metric_on": "update"}):
        ManifoldSGD(weights, lr=0.1, metric=NormalizedLNE(), **options).step()


def test_a_metric_saved_before_it_had_an_option_is_still_the_same():
    optimizer = ManifoldSGD(weight(), metric=NormalizedLNE(0.5))
    state = copy.deepcopy(optimizer.state_dict())
    del state["param_groups"][0]["metric"]["per"]
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["metric"] == {
        "name": "NormalizedLNE",
        "chi": 0.5,
        "inverse": "exact",
        "per": "layer",
    }


@pytest.mark.parametrize(
    "build", [ManifoldSGD, ManifoldAdamW, lambda p, metric: Precondition(torch.optim.Adam(p), metric)]
)
def test_hooks_of_a_state_run_before_it_is_checked(build):
    """A state saved under another metric may be mended by a hook, as torch's documentation shows."""
    calls = []
    one, other = build(weight(), metric=LNE(1.0)), build(weight(), metric=LNE(2.0))
    one.register_state_dict_pre_hook(lambda optimizer: calls.append(optimizer is one))
    one.register_state_dict_post_hook(lambda optimizer, state: {**state, "note": optimizer is one})
    state = one.state_dict()
    assert calls == [True]
    assert state.pop("note") is True
    with pytest.raises(lnegeom.InputError, match=r"metric = .*2\.0.*, the loaded state .*1\.0"):
        other.load_state_dict(state)
    groups = [{**group, "metric": {"name": "LNE", "tau": 2.0}} for group in state["param_groups"]]
    other.register_load_state_dict_pre_hook(lambda optimizer, loaded: {**loaded, "param_groups": groups})
    other.register_load_state_dict_post_hook(lambda optimizer: calls.append(optimizer is other))
    other.load_state_dict(state)
    assert calls == [True, True]
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict({**state, "param_groups": groups + groups})


def test_sparse_gradients_need_no_metric():
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    ManifoldSGD(table.parameters(), lr=5.0, clip=True).step()
    assert table.weight.abs().max() <= 1
    for options in ({}, {"metric_on": "update"}):
        with pytest.raises(lnegeom.InputError, match="dense gradients"):
            ManifoldSGD(table.parameters(), lr=0.1, metric=LNE(), **options).step()


def unwrapped(build):
    """A step without torch's hooks, which break any optimizer's graph."""
    step = build.step
    while hasattr(step, "__wrapped__"):
        step = step.__wrapped__
    return step


def test_rescaled_tau_is_logged_when_the_optimizer_is_built(caplog):
    weights = [nn.Parameter(torch.full((256, 256), 0.0625)), nn.Parameter(torch.full((4,), 0.1))]
    with caplog.at_level("INFO", logger="lnegeom_torch.optim"):
        ManifoldSGD(weights, metric=LNE(1.0))
    assert "1 of 2 tensors" in caplog.text
    assert "0.04419 (shape (256, 256))" in caplog.text


def weight():
    return [nn.Parameter(torch.ones(3, 2))]


def flattened():
    """As torch marks what FullyShardedDataParallel makes of the parameters."""
    parameter = nn.Parameter(torch.ones(6))
    parameter._fsdp_flattened = True
    ManifoldSGD([parameter], metric=LogCoshHessian())  # weight by weight: it needs no layer
    return [parameter]


BAD = {
    "metric_on": (lambda: ManifoldSGD(weight(), metric=LNE(), metric_on="step"), "metric_on must be one of"),
    "retraction": (
        lambda: ManifoldSGD(weight(), metric=LNE(), retraction="third"),
        "retraction must be one of",
    ),
    "retraction without": (lambda: ManifoldSGD(weight(), retraction="second"), "retraction need a metric"),
    "flag": (lambda: ManifoldSGD(weight(), clip=1), "clip must be True or False, got 1"),
    "gate and clip": (lambda: ManifoldSGD(weight(), gate=True, clip=True), "choose one"),
    "decay and update": (
        lambda: ManifoldSGD(weight(), metric=LNE(), metric_on="update", weight_decay=0.1),
        "precondition_weight_decay=True",
    ),
    "shape": (
        lambda: ManifoldSGD([nn.Parameter(torch.ones(()))], metric=NormalizedLNE(per="channel")),
        r"parameter 0 of the group, of shape \(\): per='channel' needs weights with an axis",
    ),
    "shape, in a group": (
        lambda: ManifoldAdamW(
            [{"params": [torch.ones(3, requires_grad=True)], "metric": {"name": "Fisher"}}]
        ),
        r"of shape \(3,\): Fisher is the metric of weights of linear layers",
    ),
    "chi": (lambda: ManifoldSGD(weight(), metric={"name": "NormalizedLNE", "chi": 1.5}), r"chi must be in"),
    "tau": (lambda: ManifoldSGD(weight(), metric={"name": "LNE", "tau": -1.0}), "tau must be"),
    "not an optimizer": (lambda: Precondition(weight(), LNE()), "must be a torch optimizer"),
    "metric twice": (lambda: Precondition(ManifoldSGD(weight(), metric=LNE()), LNE()), "a metric of its own"),
    "wrapped": (
        lambda: Precondition(torch.optim.SGD(weight(), lr=0.1), LNE(), gate=True, clip=True),
        "choose one",
    ),
    "phi": (lambda: ManifoldSGD(weight(), metric=Graph("cosh")), "phi must be"),
    "gate in half precision": (
        lambda: ManifoldAdamW([nn.Parameter(torch.ones(2).half())], gate=True),
        r"eps=1e-08 is 0 in the precision of a parameter",
    ),
    "lr": (lambda: ManifoldSGD(weight(), lr=-1.0), "Invalid learning rate"),
    "lr nan": (lambda: ManifoldSGD(weight(), lr=float("nan")), "lr must be a finite number >= 0, got nan"),
    "lr nan, on the device": (
        lambda: ManifoldSGD(weight(), lr=torch.tensor(float("nan"))),
        "lr must be a finite number >= 0, got nan",
    ),
    "momentum of a group": (
        lambda: ManifoldSGD([{"params": weight(), "momentum": -0.9}]),
        "momentum must be a finite number >= 0, got -0.9",
    ),
    "weight decay": (
        lambda: Precondition(torch.optim.Adam(weight(), weight_decay=float("inf")), LNE()),
        "weight_decay must be a finite number >= 0, got inf",
    ),
    "lr of a group": (
        lambda: ManifoldAdamW([{"params": weight(), "lr": -0.1}]),
        "lr must be a finite number >= 0, got -0.1",
    ),
    "retraction of a metric without": (
        lambda: ManifoldSGD(weight(), metric=Fisher(), retraction="second"),
        "Fisher has no acceleration, which retraction='second' needs",
    ),
    "always decoupled": (
        lambda: Precondition(torch.optim.Adafactor(weight()), LNE(), decoupled_weight_decay=False),
        "Adafactor always decouples weight decay",
    ),
    "flattened by FSDP": (lambda: ManifoldSGD(flattened(), metric=LNE()), "fully_shard, or metric=None"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_at_construction(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_group_and_a_metric_in_it_are_dicts():
    optimizer = ManifoldSGD(weight(), lr=0.1)
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optimizer.add_param_group(weight())
    optimizer.param_groups[0]["metric"] = LNE()
    with pytest.raises(lnegeom.InputError, match=r"got LNE\(tau=1.0\); .* made data by metric_to_data"):
        optimizer.step()


@pytest.mark.parametrize("build", [ManifoldSGD, ManifoldAdamW, zoo_torch.preconditioned])
def test_weights_need_not_lie_on_the_default_device(w, build):
    found = []
    for default in ("cpu", "meta"):
        parameter = nn.Parameter(w.clone())
        parameter.grad = torch.ones_like(w)
        with torch.device(default):
            build([parameter], lr=0.1, metric=LNE(), gate=True).step()
        found.append(parameter.detach())
    assert torch.equal(*found)


def test_a_step_may_be_taken_in_inference_mode(w):
    parameter = nn.Parameter(w.clone())
    optimizer = ManifoldSGD([parameter], lr=0.1, metric=LNE())
    for mode in (True, False):
        parameter.grad = torch.ones_like(w)
        with torch.inference_mode(mode):
            optimizer.step()
    for _ in range(2):
        w = w - 0.1 * LNE().natural_gradient(w, torch.ones_like(w))
    close(parameter.detach(), w)


def test_gradients_may_be_conjugate_views():
    """As autograd makes them, without a copy."""
    z = torch.randn(3, 2, dtype=torch.complex128)
    found = []
    for g in (z.conj(), z.conj().resolve_conj()):
        parameter = nn.Parameter(z.clone())
        parameter.grad = g
        ManifoldSGD([parameter], lr=0.1, metric=LNE()).step()
        found.append(parameter.detach())
    assert torch.equal(*found)


def test_a_refused_group_is_not_added():
    for optimizer in (
        ManifoldSGD(weight(), metric=NormalizedLNE(per="channel")),
        Precondition(torch.optim.SGD(weight(), lr=0.1), NormalizedLNE(per="channel")),
    ):
        with pytest.raises(lnegeom.InputError, match="0-d"):
            optimizer.add_param_group({"params": [nn.Parameter(torch.ones(()))]})
        assert len(optimizer.param_groups) == 1
