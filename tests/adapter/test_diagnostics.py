"""Numbers of a training run, against their definitions; the gradient mismatch against exact sums."""

import csv
import itertools
import math

import pytest
import torch
from torch import nn

import lnegeom
from lnegeom_torch import LNE, LogCoshHessian, ManifoldSGD, NormalizedLNE, QuantConfig, quantize_
from lnegeom_torch.diagnostics import Diagnostics, GradientMismatch, _mismatch, gradient_mismatch
from lnegeom_torch.diagnostics._quotients import Samples
from lnegeom_torch.nets import build


class Writer:
    def __init__(self):
        self.seen = []

    def add_scalar(self, *args):
        self.seen.append(args)


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("metric", [NormalizedLNE(0.3), LNE(2.0), LogCoshHessian(0.5), None], ids=str)
def test_numbers_are_what_they_are_defined_to_be(metric, tmp_path):
    torch.manual_seed(0)
    weight = nn.Parameter(1.5 * torch.randn(3, 2, dtype=torch.float64))
    model = nn.ParameterDict({"layer": weight})
    optimizer = ManifoldSGD([weight], lr=0.1, metric=metric)
    before, gradient = weight.detach().clone(), torch.randn(3, 2, dtype=torch.float64)
    weight.grad = gradient
    writer = Writer()
    with Diagnostics(optimizer, model, path=tmp_path / "d.csv", writer=writer, start=7, every=7):
        optimizer.step()
    optimizer.step()  # closed: not recorded
    (row,) = rows_of(tmp_path / "d.csv")
    assert row["step"] == "7"
    assert row["layer"] == "layer"
    assert float(row["gate_rate"]) == pytest.approx((before.abs() > 1).double().mean().item())
    after = before - 0.1 * (gradient if metric is None else metric.natural_gradient(before, gradient))
    assert float(row["update_ratio"]) == pytest.approx(((after - before).norm() / before.norm()).item())
    assert row["residual"] == ""
    assert ("layer/update_ratio", float(row["update_ratio"]), 7) in writer.seen
    if metric is None:
        assert row["angle"] == row["condition_number"] == row["rank_one_size"] == ""
        return
    columns = torch.eye(6, dtype=torch.float64).view(6, 3, 2)
    inverse = torch.stack([metric.natural_gradient(before, column).flatten() for column in columns])
    eigenvalues = torch.linalg.eigvalsh(inverse)
    assert float(row["condition_number"]) == pytest.approx((eigenvalues[-1] / eigenvalues[0]).item())
    far = max(1 / eigenvalues[0].item(), eigenvalues[-1].item()) - 1
    assert float(row["closeness"]) == pytest.approx(far)
    natural = inverse @ gradient.flatten()
    cosine = natural @ gradient.flatten() / natural.norm() / gradient.norm()
    assert math.cos(math.radians(float(row["angle"]))) == pytest.approx(cosine.item())
    size = {"NormalizedLNE": 0.3, "LNE": metric.factor(before).square().sum() if metric == LNE(2.0) else 0}
    name = type(metric).__name__
    assert (
        row["rank_one_size"] == ""
        if name not in size
        else float(row["rank_one_size"]) == pytest.approx(float(size[name]))
    )
    assert (row["effective_tau"] != "") == (name == "LNE")


def test_small_angles_keep_their_digits(tmp_path):
    """cosh² near 1 turns a gradient by a hundredth of a degree; float64 has the truth."""
    torch.manual_seed(0)
    rows = []
    start, gradient = 1e-2 * torch.randn(50), torch.randn(50)
    for dtype in (torch.float32, torch.float64):
        weight = nn.Parameter(start.to(dtype))
        weight.grad = gradient.to(dtype)
        optimizer, path = ManifoldSGD([weight], metric=LogCoshHessian()), tmp_path / f"{dtype}.csv"
        with Diagnostics(optimizer, nn.ParameterDict({"layer": weight}), path=path):
            optimizer.step()
        rows += rows_of(path)
    assert 0 < float(rows[1]["angle"]) < 0.02
    assert float(rows[0]["angle"]) == pytest.approx(float(rows[1]["angle"]), rel=1e-2)


@pytest.mark.parametrize("metric", [NormalizedLNE(per="channel"), LogCoshHessian()], ids=str)
def test_empty_tensors_are_left_out(metric, tmp_path):
    model = nn.ParameterDict(
        {"empty": nn.Parameter(torch.ones(0, 2)), "layer": nn.Parameter(torch.ones(2, 2))}
    )
    for weight in model.values():
        weight.grad = torch.ones_like(weight)
    optimizer = ManifoldSGD(model.values(), metric=metric)
    with Diagnostics(optimizer, model, path=tmp_path / "d.csv"):
        optimizer.step()
    assert [row["layer"] for row in rows_of(tmp_path / "d.csv")] == ["layer"]


def test_a_method_brings_its_layers_names_and_residuals(tmp_path):
    torch.manual_seed(0)
    model = build("lenet", channels=1, image_size=12, classes=10)
    method = quantize_(model, QuantConfig("rf"))
    optimizer = ManifoldSGD(method.param_groups(), lr=0.1)
    with Diagnostics(optimizer, method, every=2, path=tmp_path / "sub" / "d.csv"):
        for _ in range(3):
            method.step(
                optimizer, nn.functional.cross_entropy, torch.randn(8, 1, 12, 12), torch.randint(10, (8,))
            )
    rows = rows_of(tmp_path / "sub" / "d.csv")
    assert {row["step"] for row in rows} == {"0", "2"}
    assert set(method.layers) <= {row["layer"] for row in rows}
    late = {row["layer"]: row for row in rows if row["step"] == "2"}
    for name in method.layers:
        assert float(late[name]["residual"]) == pytest.approx(float(method.residuals[name]))
        relative = float(method.relative_residuals[name])
        assert float(late[name]["relative_residual"]) == pytest.approx(relative)
        assert 0 < relative <= 2


def one_layer(bits_method="ste", seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Flatten(0)).double()
    quantize_(model, QuantConfig(bits_method))
    batch = torch.randn(32, 4, dtype=torch.float64), torch.randn(32, dtype=torch.float64)
    return model, batch


def exact(model, batch, loss, noise=0.5):
    """The smoothed loss's gradient as a sum over all 16 sign patterns, by automatic differentiation."""
    latent = model[0].parametrizations.weight.original.detach().requires_grad_()
    sigma = noise * latent.detach().square().mean().sqrt()
    up = torch.special.ndtr(latent.flatten() / sigma)
    total = 0
    for signs in itertools.product((0, 1), repeat=4):
        pattern = torch.tensor(signs, dtype=torch.float64)
        probability = torch.prod(torch.where(pattern > 0, up, 1 - up))
        total = total + probability * loss(batch[0] @ (2 * pattern - 1), batch[1])
    return torch.autograd.grad(total, latent)[0]


def test_mismatch_of_one_bit_weights_against_the_exact_sum():
    def loss(output, target):
        return torch.cosh(0.3 * (output - target)).mean()  # not quadratic, so that they differ

    inside = 0
    for seed in range(4):
        model, batch = one_layer(seed=seed)
        truth = exact(model, batch, loss)
        loss(model(batch[0]), batch[1]).backward()
        g = model[0].parametrizations.weight.original.grad
        angle = torch.rad2deg(torch.acos(torch.sum(g * truth) / g.norm() / truth.norm())).item()
        error = ((g - truth).norm() / truth.norm()).item()
        found = gradient_mismatch(model, batch, loss, samples=160, seed=seed)["0"]
        low, high = found.angle_interval
        least, most = found.relative_error_interval
        inside += (low <= angle <= high) + (least <= error <= most)
        assert abs(found.angle - angle) < 25
    assert inside >= 6  # of 8 intervals at 95 percent


def test_the_products_are_those_of_the_samples(monkeypatch):
    """Samples written out one by one, from the same noise."""
    seen = []
    compare = _mismatch._compare
    monkeypatch.setattr(_mismatch, "_compare", lambda *args: (seen.append(args), compare(*args))[1])
    model, batch = one_layer()
    gradient_mismatch(model, batch, nn.functional.mse_loss, samples=17, seed=3)
    ((length, kept, _),) = seen
    latent = model[0].parametrizations.weight.original.detach()
    sigma, generator = 0.5 * latent.square().mean().sqrt(), torch.Generator().manual_seed(3)
    rows = []
    for _ in range(17):
        noise = torch.empty_like(latent).normal_(generator=generator)
        up, down = (
            nn.functional.mse_loss(batch[0] @ torch.sign(latent + s * sigma * noise)[0], batch[1])
            for s in (1, -1)
        )
        rows.append(((up - down) / (2 * sigma) * noise).flatten())
    s = torch.stack(rows)
    nn.functional.mse_loss(model(batch[0]), batch[1]).backward()
    g = model[0].parametrizations.weight.original.grad.flatten()
    gram = s @ s.T
    assert length == pytest.approx(float(g.norm()))
    torch.testing.assert_close(kept.along, s @ g)
    torch.testing.assert_close(kept.others, gram.sum(1) - gram.diagonal())
    torch.testing.assert_close(kept.neighbours, gram.diagonal(1))


@pytest.mark.parametrize("size", [5, 200])
def test_intervals_hold_the_truth_in_nineteen_trials_of_twenty(size):
    """A linear loss, whose samples are (∇ · ε) ε; in 200 dimensions their noise is in pairs, not in each."""
    generator, trials, count = torch.Generator().manual_seed(0), 400, 128
    truth, other = torch.randn(2, size, generator=generator, dtype=torch.float64)
    gradient = truth / truth.norm() + other / other.norm()
    angle = torch.rad2deg(torch.acos(gradient @ truth / gradient.norm() / truth.norm())).item()
    error = float((gradient - truth).norm() / truth.norm())
    inside = torch.zeros(2)
    for _ in range(trials):
        noise = torch.randn(count, size, generator=generator, dtype=torch.float64)
        s = (noise @ truth)[:, None] * noise
        others = s @ s.sum(0) - s.square().sum(1)
        samples = Samples(s @ gradient, others, (s[1:] * s[:-1]).sum(1))
        found = _mismatch._compare(float(gradient.norm()), samples, 0.95)
        (low, high), (least, most) = found.angle_interval, found.relative_error_interval
        inside += torch.tensor([low <= angle <= high, least <= error <= most])
    assert all(0.93 <= share <= 0.98 for share in (inside / trials).tolist()), inside / trials


def test_without_a_mismatch_there_is_none():
    """Full precision and a quadratic loss: smoothing does not change the gradient."""
    model = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Flatten(0)).double()
    nn.utils.parametrize.register_parametrization(model[0], "weight", nn.Identity())
    batch = torch.randn(32, 4, dtype=torch.float64), torch.randn(32, dtype=torch.float64)
    buffers = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    found = gradient_mismatch(model, batch, nn.functional.mse_loss, samples=320, noise=0.1)["0"]
    assert found.angle_interval[0] < 5
    assert found.relative_error_interval[0] < 0.15
    assert found.angle < 25
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, buffers[k]) for k, v in model.state_dict().items())
    assert model[0].parametrizations.weight.original.grad is None


def test_no_information_gives_no_angle():
    model, batch = one_layer()
    found = gradient_mismatch(model, batch, lambda output, target: 0 * output.sum(), samples=32)["0"]
    assert found == GradientMismatch(90.0, (0.0, 180.0), math.inf, (0.0, math.inf))
    with torch.no_grad():
        model[0].parametrizations.weight.original.zero_()  # noise in proportion to the weights is none
    found = gradient_mismatch(model, batch, nn.functional.mse_loss, samples=32)["0"]
    assert found == GradientMismatch(90.0, (0.0, 180.0), math.inf, (0.0, math.inf))


BAD = {
    "nowhere": (lambda m, b: Diagnostics(ManifoldSGD(m.parameters()), m), "a path for a table, or a Tensor"),
    "every": (lambda m, b: Diagnostics(ManifoldSGD(m.parameters()), m, every=0, path="x"), "every must be"),
    "confidence": (lambda m, b: gradient_mismatch(m, b, confidence=1.0), r"confidence must be in \(0, 1\)"),
    "samples": (lambda m, b: gradient_mismatch(m, b, samples=8), "samples must be at least 16, got 8"),
    "noise": (lambda m, b: gradient_mismatch(m, b, noise=0.0), "noise must be"),
    "a loss without bounds": (
        lambda m, b: gradient_mismatch(m, b, lambda output, target: torch.log(output.sum()), samples=16),
        r"with noise of 0.5 times the weights' size the loss is not finite for \d+ of 16 samples",
    ),
    "not quantized": (lambda m, b: gradient_mismatch(nn.Linear(2, 2), b), "no parametrized weight"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call(*one_layer())
