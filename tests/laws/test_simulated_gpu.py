"""The numeric engine on a simulated GPU: devices never mix, and the host waits where the docs say it does."""

from collections import Counter

import numpy as np
import pytest
import torch
from public_functions import GROUPS
from simulated_gpu import array, is_there, simulated

import lnegeom
from lnegeom import flow

# Geodesics are integrated on the host by design, to find conjugate points too; residuals are sums of what
# is in the other groups.
ELSEWHERE = "integrated geodesics", "found points", "residuals"
ON_THE_DEVICE = [name for name in GROUPS if name not in ELSEWHERE]
# Where values are looked at: checks of arguments, and Newton's iterations, which end when they converge.
CHECKS = {"holds", "_decide"}
# A symmetric matrix's basis, and nodes, come from the host at each call; the samples of a path go through it.
SENT = {"from_numpy", "as_floating", "as_like"}
AND_ALSO = {"closed geodesics": {"to_numpy"}}


@pytest.mark.parametrize("name", ON_THE_DEVICE)
def test_public_functions_stay_on_the_device_and_read_nothing_but_checks(name):
    group = GROUPS[name]
    with simulated() as traffic:
        arrays = [array(value) for value in group.arrays]
        traffic.clear()
        results = group.call(*arrays)
    assert all(is_there(value) and value.dtype is torch.float64 for value in results.values())
    assert traffic.kernels
    allowed = AND_ALSO.get(name, set())
    assert set(traffic.reads) <= CHECKS | allowed
    assert set(traffic.sends) <= SENT | allowed


SQUARE = flow.TorusGrid((8, 8))
START = flow.perturbed_flat(SQUARE, 0.1, seed=0)


def evaluations(traffic):
    """How often a right-hand side was evaluated, and the host told whether its metric is one."""
    return sum(count for name, count in Counter(traffic.reads).items() if name.startswith("Plain.__call__"))


@pytest.mark.parametrize("method", ["ifrk4", "etdrk4", "rk4", "sbdf4"])
def test_steps_of_a_flow_wait_once_a_right_hand_side(method):
    found = []
    for steps in (1, 2):
        with simulated() as traffic:
            solution = flow.ricci_deturck(array(START), SQUARE, 0.1, dt=0.1 / steps, samples=2, method=method)
        assert is_there(solution.metrics)
        assert evaluations(traffic) == solution.evaluations
        found.append(Counter(traffic.reads))
    more = found[1] - found[0]
    assert set(more) == {name for name in more if name.startswith("Plain.__call__")}
    assert more.total() == 4  # the first three steps of sbdf4 are a Runge–Kutta method's


def test_an_adaptive_step_waits_once_more():
    with simulated() as traffic:
        solution = flow.ricci_deturck(array(START), SQUARE, 0.1, samples=2, tolerance=1.0)
    reads = Counter(traffic.reads)
    steps = (solution.evaluations - 1) / 4
    assert reads["to_numpy"] == 1 + steps  # the mean metric, at the beginning
    assert evaluations(traffic) == solution.evaluations


@pytest.mark.parametrize(
    "run",
    [
        lambda: flow.ricci(array(START), SQUARE, 0.1, dt=0.1, samples=2),
        lambda: flow.ricci_deturck(array(START), SQUARE, 0.1, dt=0.1, samples=2, background=array(START)),
        lambda: flow.conformal(array(START[..., 0, 0]), SQUARE, 0.1, samples=2),
    ],
    ids=["ricci", "background", "conformal"],
)
def test_flows_stay_on_the_device(run):
    with simulated():
        assert is_there(run().metrics)


def test_what_surrounds_a_flow_takes_the_devices_metrics():
    with simulated():
        metric = array(START)
        found = flow.measure(metric, SQUARE, "all")
        assert all(isinstance(value, float) for value in found.values())
        assert is_there(flow.closeness(metric))
        assert is_there(flow.discrete_flow_residual(*array(np.ones((5, 4))), 2.0, 3.0))
        assert is_there(SQUARE.integrate(metric[..., 0, 0]))
        for grid in (flow.BoxGrid((9,)), flow.WarpedGrid(9, dim=3)):
            assert is_there(grid.integrate(array(np.ones(9))))


def test_integrated_geodesics_come_back_to_the_device():
    with simulated() as traffic:  # where the host reads ones
        end = lnegeom.exp(lnegeom.LNE(0.1), array([0.1, 0.2]), array([0.1, 0.0]))
    assert is_there(end)
    assert traffic.reads
