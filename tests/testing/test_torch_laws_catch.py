"""Every law of `lnegeom_torch.testing` is seen failing on something that is wrong, by name."""

import dataclasses

import geoopt
import pytest
import torch
from geoopt.manifolds.base import ScalingInfo
from mutants import altered, caught, names, times
from torch.optim import SGD

from lnegeom.testing import LawError
from lnegeom_torch import testing
from lnegeom_torch.manifolds import LogCoshManifold, NormalizedLNEManifold
from lnegeom_torch.metrics import LNE, LogCoshHessian, register_metric

METRIC, COSH = LNE(0.3), LogCoshHessian(0.7)
SPHERE = geoopt.Sphere()


@register_metric
@dataclasses.dataclass(frozen=True)
class Forgets(LNE):
    """Its plain data leave out a number."""

    def to_data(self):
        return {"name": "Forgets"}


def look(result, w, g):
    return result if float(g.sum()) < 1e9 else g


def only_where(lent):
    def change(found, weights, gradients, room=None, states=None):
        return [1.001 * each for each in found] if lent(gradients, room) else found

    return change


def without_origin(bend, *given):
    return (1 + 1e-6) * bend if len(given) == 2 else bend


METRICS = [
    (altered(METRIC, "natural_gradient", lambda r, w, g: r * (1 + 1e-6 * g.norm())), "linear"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: r + 1e-6 * torch.roll(g, 1, dims=1)), "symmetric"),
    (altered(METRIC, "natural_gradient", times(-1)), "positive definite"),
    (altered(METRIC, "natural_gradients", only_where(lambda gradients, room: not room)), "lists"),
    (altered(METRIC, "natural_gradients", only_where(lambda gradients, room: room)), "lists"),
    (
        altered(METRIC, "natural_gradients", only_where(lambda g, room: not g[0].is_contiguous())),
        "lists",
    ),
    (altered(METRIC, "natural_gradient", lambda r, w, g: (g.mul_(2), r)[1]), "leaves its arguments"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: g), "leaves its arguments"),
    (altered(METRIC, "acceleration", lambda r, w, v, origin=None: (w.mul_(2), r)[1]), "leaves its arguments"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: r.float()), "keeps dtype and shape"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: r.flatten()), "keeps dtype and shape"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: r + g * 1e-9 / w), "finite"),
    (altered(METRIC, "natural_gradient", look), "looks at no number"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: r * torch.ones(r.shape)), "looks at no number"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: torch.zeros(r.shape)), "looks at no number"),
    (Forgets(0.3), "plain data"),
    (altered(METRIC, "to_data", lambda data: data), "plain data"),  # not registered
    (altered(METRIC, "natural_gradient", lambda r, w, g: r.detach()), "differentiable"),
    (altered(METRIC, "natural_gradient", lambda r, w, g: g + (r - g).detach()), "differentiable"),
    (altered(METRIC, "eigenvalues", lambda three, w: [1 / each for each in three]), "eigenvalues"),
    (altered(METRIC, "eigenvalues", lambda three, w: (*three[:2], three[1])), "eigenvalues"),
    (altered(METRIC, "acceleration", lambda r, *given: -r), "acceleration"),
    (altered(METRIC, "acceleration", lambda r, *given: (1 + 1e-6) * r), "acceleration"),
    (altered(METRIC, "acceleration", lambda r, w, v, origin=None: r + 1e-6 * v), "quadratic"),
    (altered(METRIC, "acceleration", without_origin), "quadratic"),
    (altered(COSH, "exponential", lambda end, w, v: end + 1e-5 * v**2), "exponential"),
    (altered(COSH, "exponential", lambda end, w, v: end + 1e-6), "exponential"),
]


class Keepdim(geoopt.Sphere):
    """It takes no notice of keepdim."""

    def inner(self, x, u, v=None, *, keepdim=False):
        return (u * (u if v is None else v)).sum(dim=-1)


class Shapeless(LogCoshManifold):
    """Its distance takes no notice of keepdim."""

    def dist(self, x, y, *, keepdim=False):
        return super().dist(x, y)


class Claims(geoopt.Sphere):
    reversible = True


class Denies(LogCoshManifold):
    """The transport along its retraction leads back, at least where it is Euclidean."""

    def transp(self, x, y, v):
        return v


class Units(geoopt.Sphere):
    __scaling__ = geoopt.Sphere.__scaling__.copy()
    __scaling__["expmap"] = ScalingInfo()


def about_the_mean(result, *args):
    return result - result.mean(dim=0)


MANIFOLDS = [
    (altered(SPHERE, "projx", times(1.1)), "projection"),
    (altered(SPHERE, "projx", lambda r, x: torch.roll(r, 1, dims=-1)), "projection"),
    (altered(SPHERE, "proju", lambda r, x, u: u), "tangent projection"),
    (altered(SPHERE, "proju", times(1 + 1e-6)), "tangent projection"),
    (altered(SPHERE, "inner", times(-1)), "inner product"),
    (altered(SPHERE, "norm", times(1 + 1e-6)), "inner product"),
    (altered(SPHERE, "inner", lambda r, x, u, v=None: (u * u).sum(-1)), "inner product"),
    (Keepdim(), "inner product"),
    (altered(SPHERE, "egrad2rgrad", times(1 + 1e-6)), "gradient"),
    (altered(SPHERE, "egrad2rgrad", lambda r, x, u: u), "gradient"),
    (altered(SPHERE, "component_inner", lambda r, *args: r[..., 0]), "component inner"),
    (altered(SPHERE, "component_inner", times(-1)), "component inner"),
    (altered(SPHERE, "retr", lambda r, x, u: x + u), "retraction"),
    (altered(SPHERE, "retr", lambda r, x, u: SPHERE.retr(x, (1 + 1e-5) * u)), "retraction"),
    (altered(SPHERE, "expmap", lambda r, x, u: SPHERE.expmap(x, (1 + 1e-5) * u)), "exponential"),
    (altered(SPHERE, "expmap", lambda r, x, u: SPHERE.retr(x, u)), "geodesic"),
    (altered(SPHERE, "logmap", times(1 + 1e-5)), "logarithm"),
    (altered(SPHERE, "logmap", lambda r, x, y: y - x), "logarithm"),
    (altered(LogCoshManifold(), "dist", times(1 + 1e-5)), "distance"),
    (altered(LogCoshManifold(), "dist2", times(1 + 1e-5)), "distance"),
    (Shapeless(), "distance"),
    (altered(LogCoshManifold(), "dist", lambda r, x, y: r + 1e-5 * (x - y)[..., 0]), "distance"),
    (altered(LogCoshManifold(), "dist", lambda r, x, y: (r - r.detach()) / 2 + r), "distance's gradient"),
    (altered(SPHERE, "transp", lambda r, x, y, v: v), "transport"),
    (altered(SPHERE, "transp", times(1 + 1e-5)), "transport"),
    (altered(SPHERE, "retr_transp", lambda r, *args: (r[0], 1.001 * r[1])), "together"),
    (altered(SPHERE, "expmap_transp", lambda r, x, u, v: (r[0], v)), "together"),
    (Claims(), "reversible"),
    (Denies(), "reversible"),
    (altered(SPHERE, "egrad2rgrad", about_the_mean), "batched"),
    (altered(SPHERE, "norm", about_the_mean), "batched"),
    (altered(SPHERE, "expmap", lambda r, *args: r.double()), "keeps dtype"),
    (altered(SPHERE, "random", lambda r, *args: r.float()), "random"),
    (altered(SPHERE, "origin", lambda r, *args: 2 * r), "origin"),
    (altered(SPHERE, "origin", lambda r, *size: SPHERE.projx(torch.randn(size).double())), "origin"),
    (Units(), "scaled"),
    (altered(SPHERE, "egrad2rgrad", times(-1)), "optimized"),
    (altered(SPHERE, "expmap", lambda r, x, u: r.detach()), "differentiable"),
    (altered(SPHERE, "expmap", lambda r, x, u: SPHERE.expmap(x.detach(), u)), "differentiable"),
]


def before(change):
    """SGD that does something to each parameter before the step."""

    class Wrong(SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for param in group["params"]:
                    if param.grad is not None:
                        change(param, group)
            return super().step(closure)

    return Wrong


def after(change):
    """SGD that does something to each parameter after the step."""

    class Wrong(SGD):
        @torch.no_grad()
        def step(self, closure=None):
            loss = super().step(closure)
            for group in self.param_groups:
                for param in group["params"]:
                    change(param, group)
            return loss

    return Wrong


def put(name, function):
    return lambda param, group: setattr(param, name, function(getattr(param, name)))


def nudged(where):
    return after(lambda p, group: p.mul_(1.001) if where(p, group) else None)


class Deaf(SGD):
    """It takes maximize, and does nothing about it."""

    def __init__(self, params, lr=1e-3, maximize=False):
        super().__init__(params, lr)


class InTheDark(SGD):
    @torch.no_grad()
    def step(self, closure=None):
        return SGD.step(self) if closure is None else (closure(), SGD.step(self))[0]


class Silent(SGD):
    def step(self, closure=None):
        super().step(closure)


class Hookless(SGD):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.step = lambda: SGD.step.__wrapped__(self)


class Counts(SGD):
    """Steps shrink by a count that is not in the state."""

    count = 0

    def step(self, closure=None):
        self.count += 1
        for group in self.param_groups:
            for param in group["params"]:
                param.grad = param.grad / self.count
        return super().step(closure)


class Factor(SGD):
    """Its own attribute is neither copied nor pickled."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.factor = 0.5

    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = 1e-3 * self.factor
        return super().step(closure)


class Younger(SGD):
    def __setstate__(self, state):
        torch.optim.Optimizer.__setstate__(self, state)


class Note:
    """Something that weights_only=True does not read."""


class Objects(SGD):
    def step(self, closure=None):
        self.param_groups[0]["note"] = Note()
        return super().step(closure)


class Pythonic(torch.optim.Adam):
    """Its counts are no tensors."""

    def step(self, closure=None):
        loss = super().step(closure)
        for state in self.state.values():
            state["step"] = int(state["step"])
        return loss


class Boastful(SGD):
    _step_supports_amp_scaling = True


class Lax(SGD):
    def __init__(self, params, **options):
        super().__init__(list(params) or [torch.nn.Parameter(torch.ones(1))], **options)


class Careless(SGD):
    def add_param_group(self, group):
        self.param_groups.append({**self.defaults, **group})


OPTIMIZERS = [
    (before(put("grad", torch.neg)), "descends"),
    (before(lambda p, group: p.grad.add_(p.detach())), "leaves gradients"),
    (before(put("grad", torch.clone)), "leaves gradients"),
    (before(lambda p, group: group.update(maximize=False)), "maximizes"),
    (before(lambda p, group: group.update(maximize=False)), "descends"),
    (nudged(lambda p, group: group["foreach"]), "foreach"),
    (nudged(lambda p, group: group["fused"]), "fused"),
    (nudged(lambda p, group: p.grad is None), "without gradients"),
    (nudged(lambda p, group: p.is_complex()), "complex"),
    (before(put("grad", lambda g: g.conj().resolve_conj())), "complex"),
    (after(put("data", torch.Tensor.double)), "half precision"),
    (before(lambda p, group: p.data.div_(0) if p.dtype == torch.float16 else None), "half precision"),
    (nudged(lambda p, group: not p.is_contiguous()), "strided"),
    (before(put("grad", torch.Tensor.detach)), "differentiable"),
    (InTheDark, "closure"),
    (Silent, "closure"),
    (Hookless, "hooks"),
    (Counts, "resumes"),
    (Objects, "plain state"),
    (Pythonic, "plain state"),
    (Younger, "older state"),
    (Factor, "copies"),
    (before(lambda p, group: group.update(lr=1e-3)), "groups"),
    (before(lambda p, group: group.update(lr=1e-3)), "schedules"),
    (nudged(lambda p, group: isinstance(group["lr"], torch.Tensor)), "schedules"),
    (Boastful, "scaler"),
    (Lax, "refuses"),
    (Careless, "refuses"),
]

WEIGHTS = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
POINTS = SPHERE.projx(torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))


@pytest.mark.parametrize(("wrong", "law"), METRICS, ids=names(METRICS))
def test_metrics(wrong, law):
    caught(testing.check_metric, wrong, law, WEIGHTS)


@pytest.mark.parametrize(("wrong", "law"), MANIFOLDS, ids=names(MANIFOLDS))
def test_manifolds(wrong, law):
    caught(testing.check_manifold, wrong, law, POINTS)


@pytest.mark.parametrize(("wrong", "law"), OPTIMIZERS, ids=names(OPTIMIZERS))
def test_optimizers(wrong, law):
    caught(testing.check_optimizer, wrong, law, WEIGHTS)


def test_a_report_has_the_usual_cause_but_of_an_exception():
    def fails(*args):
        raise RuntimeError("not yet")

    wrong = altered(METRIC, "eigenvalues", fails)
    for metric, law, reason, told in (
        (Forgets(0.3), "plain data", "{'name': 'Forgets'} as data, and that is Forgets(tau=1.0)", True),
        (wrong, "plain data", "InputError: Altered(tau=0.3) is not registered", False),
        (wrong, "eigenvalues", "RuntimeError: not yet", False),
    ):
        failure = caught(testing.check_metric, metric, law, WEIGHTS)
        assert reason in failure.reason
        with pytest.raises(LawError, match="breaks 1 of 1 laws") as error:
            testing.check_metric(metric, WEIGHTS, laws=[law])
        assert ("\n    usual cause: a field that is no number" in str(error.value)) == told
        assert bool(failure.cause) == told


def test_every_law_is_seen_failing():
    for table, laws in (
        (METRICS, testing.metric_laws(METRIC)),
        (MANIFOLDS, testing.manifold_laws(NormalizedLNEManifold())),
        (OPTIMIZERS, testing.optimizer_laws(SGD)),
    ):
        assert {law for _, law in table} == set(laws)


def test_the_same_laws_hold_of_what_was_altered():
    for metric in (METRIC, COSH):
        testing.check_metric(metric, WEIGHTS)
    testing.check_manifold(LogCoshManifold(), POINTS)
    laws = [law for law in testing.manifold_laws(SPHERE) if law != "distance"]  # see tests/adapter
    testing.check_manifold(SPHERE, POINTS, laws=laws)
    testing.check_optimizer(SGD, WEIGHTS)
