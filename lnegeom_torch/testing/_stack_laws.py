"""Laws of optimizers in a training stack: state, copies, groups, schedulers, hooks, scalers."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from lnegeom.testing._check import Measures
from lnegeom.testing._law import Law, Pair
from lnegeom_torch.testing._check import same
from lnegeom_torch.testing._runs import Run, lacks

__all__ = ["LAWS"]

_LATER = ("maximize", "foreach", "fused", "capturable", "differentiable")  # options that torch added in time
_STATE = 1e-7  # torch keeps some numbers of a state in float32, and loads them in the weights' precision


def resumes(m: Measures) -> Iterator[Pair]:
    """A new optimizer that loads the state takes the steps that the old one would have taken."""
    old = Run(m)
    old.steps(2)
    new = Run(m, old.weights)
    new.optimizer.load_state_dict(copy.deepcopy(old.optimizer.state_dict()))
    yield same(new.steps(2, first=2), old.steps(2, first=2))


def plain_state(m: Measures) -> Iterator[Pair]:
    """A saved state is what torch.load(weights_only=True) reads, and counts of steps are tensors."""
    run, file = Run(m), io.BytesIO()
    run.steps(1)
    counts = [state["step"] for state in run.optimizer.state.values() if "step" in state]
    if not all(isinstance(count, Tensor) for count in counts):
        raise AssertionError(f"state['step'] is {counts[0]!r}, and no tensor")
    torch.save(run.optimizer.state_dict(), file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except pickle.UnpicklingError as error:
        raise AssertionError(str(error).strip().split("\n")[0]) from None
    yield from ()


def older_state(m: Measures) -> Iterator[Pair]:
    """A state that was saved before there were maximize, foreach, fused and the like is loaded, and steps."""
    old = Run(m)
    old.steps(2)
    state = copy.deepcopy(old.optimizer.state_dict())
    for group in state["param_groups"]:
        for option in _LATER:
            group.pop(option, None)
    new = Run(m, old.weights)
    new.optimizer.load_state_dict(state)
    yield same(new.steps(2, first=2), old.steps(2, first=2))


def copies(m: Measures) -> Iterator[Pair]:
    """A copy, or what pickle makes of it, goes on as the optimizer does, and moves weights of its own."""
    for duplicate in (copy.deepcopy, _unpickled):
        run = Run(m)
        before = run.steps(2)
        twin = Run(m)
        twin.optimizer = duplicate(run.optimizer)
        twin.params = [param for group in twin.optimizer.param_groups for param in group["params"]]
        after = twin.steps(2, first=2)
        yield same(run.weights, before)
        yield same(after, run.steps(2, first=2))


def _unpickled(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def groups(m: Measures) -> Iterator[Pair]:
    """A group has its own rate, and a group that is added is moved."""
    run = Run(m)
    x, gradient = m.native("x"), run.gradients[0, 0]
    held, added = nn.Parameter(x[0].clone()), nn.Parameter(x[0].tanh())  # inside [−1, 1], as a gate may ask
    start = added.detach().clone()
    run.optimizer.add_param_group({"params": [held], **({"lr": 0.0} if "lr" in m.thing.defaults else {})})
    run.optimizer.add_param_group({"params": [added]})
    held.grad, added.grad = gradient.clone(), gradient.clone()
    run.step(run.gradients[0])
    if "lr" in m.thing.defaults:
        yield same(held.detach()[None], x[:1])
    if torch.equal(added.detach(), start):
        raise AssertionError("the parameter of an added group did not move")


def schedules(m: Measures) -> Iterator[Pair]:
    """The rate that a scheduler sets, a number or a tensor, is that of the next step."""
    run, tensors = Run(m), Run(m)
    for group in tensors.optimizer.param_groups:
        group["lr"] = torch.tensor(float(group["lr"]), dtype=torch.float64)
    schedule = torch.optim.lr_scheduler.LambdaLR(run.optimizer, lambda step: float(step == 0))
    before = run.steps(1)
    yield same(tensors.steps(1), before)
    schedule.step()
    yield same(run.steps(1, first=1), before)


def hooks(m: Measures) -> Iterator[Pair]:
    """Hooks are called in torch's order: all optimizers' before a step, its own, its own after it, all's."""
    run, order = Run(m), list[int]()
    own = [run.optimizer.register_step_pre_hook(lambda *_: order.append(1))]
    own.append(run.optimizer.register_step_post_hook(lambda *_: order.append(2)))
    general = [register_optimizer_step_pre_hook(lambda optimizer, *_: _note(order, 0, optimizer, run))]
    general.append(register_optimizer_step_post_hook(lambda optimizer, *_: _note(order, 3, optimizer, run)))
    try:
        run.steps(1)
    finally:
        for handle in [*own, *general]:
            handle.remove()
    if order != [0, 1, 2, 3]:
        raise AssertionError(f"hooks 0, 1 before and 2, 3 after a step were called in the order {order}")
    yield from ()


def _note(order: list[int], number: int, optimizer: Any, run: Run) -> None:
    if optimizer is run.optimizer:  # a wrapped optimizer has hooks of its own
        order.append(number)


def scaler(m: Measures) -> Iterator[Pair]:
    """A GradScaler's step is the plain one, and none where a gradient is infinite."""
    x = m.native("x")
    for factor in (1.0, float("inf")):
        run, plain = Run(m), Run(m)
        amp = torch.amp.GradScaler(x.device.type, init_scale=4.0)
        amp.scale(run.loss(run.gradients[0]) * factor).backward()  # type: ignore[no-untyped-call]
        amp.step(run.optimizer)
        amp.update()
        yield same(run.weights, plain.steps(1) if factor == 1 else x)


def refuses(m: Measures) -> Iterator[Pair]:
    """No parameters at all, and one in two groups, are ValueErrors when it is built."""
    weight = nn.Parameter(m.native("x")[0].clone())
    for what, params in {
        "no parameters": [],
        "a parameter in two groups": [{"params": [weight]}, {"params": [weight]}],
    }.items():
        try:
            m.thing.build(params)
        except ValueError:
            continue
        raise AssertionError(f"it was built with {what}")
    yield from ()


def closure(m: Measures) -> Iterator[Pair]:
    """step(closure) steps with the closure's gradients, found under enable_grad, and returns its loss."""
    plain, given = Run(m), Run(m)
    for gradients in plain.gradients[:2]:
        plain.step(gradients)

        def loss_of(gradients: Tensor = gradients) -> Tensor:
            if not torch.is_grad_enabled():
                raise AssertionError("step calls the closure with gradients disabled")
            given.optimizer.zero_grad()
            loss = given.loss(gradients)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        with torch.no_grad():
            found = given.optimizer.step(loss_of)
        if not isinstance(found, Tensor):
            raise AssertionError(f"step(closure) returns {found!r}, and not the closure's loss")
    yield same(given.weights, plain.weights)


LAWS = {
    "closure": Law(
        closure, "step() takes gradients from before the closure, forgets torch.enable_grad(), or its return"
    ),
    "hooks": Law(hooks, "`step` is wrapped, or put in place, in a way that leaves torch's hooks out"),
    "resumes": Law(
        resumes, "something that a step needs is kept outside of `state` and `param_groups`", relative=_STATE
    ),
    "plain state": Law(
        plain_state,
        "the state, or a group, holds an object of a class of its own: keep names, numbers and tensors",
    ),
    "older state": Law(
        older_state,
        "`__setstate__` does not fill in what older versions lack: group.setdefault(…)",
        relative=_STATE,
    ),
    "copies": Law(copies, "an attribute is neither copied nor restored by `__getstate__` and `__setstate__`"),
    "groups": Law(
        groups,
        "a step reads self.defaults or the first group, where it should read each group",
        relative=1e-4,
    ),
    "schedules": Law(
        schedules, "the rate is read when the optimizer is built, or is taken to be a float", lacks("lr")
    ),
    "scaler": Law(
        scaler, "the optimizer says that it unscales by itself (`_step_supports_amp_scaling`), and does not"
    ),
    "refuses": Law(refuses, "`__init__` or `add_param_group` does not call torch.optim.Optimizer's"),
}
