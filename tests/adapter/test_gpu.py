"""The same numbers on a GPU; run where there is one."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import lnegeom
from lnegeom import flow
from lnegeom_torch import ManifoldSGD, QuantConfig, quantize_
from lnegeom_torch.nets import build
from lnegeom_torch.train import TrainConfig, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("method", ["ste", "dorefa", "wcg", "rf"])
def test_a_training_step_matches_the_cpus(method):
    torch.manual_seed(0)
    here = build("resnet20", channels=3, classes=10, image_size=32)
    there = copy.deepcopy(here).cuda()
    x, y = torch.randn(16, 3, 32, 32), torch.randint(10, (16,))
    for model, inputs, targets in ((here, x, y), (there, x.cuda(), y.cuda())):
        work = quantize_(model, QuantConfig(method))
        optimizer = ManifoldSGD(work.param_groups(), lr=1e-3, momentum=0.9)
        for _ in range(2):
            work.step(optimizer, nn.functional.cross_entropy, inputs, targets)
    for a, b in zip(here.parameters(), there.parameters(), strict=True):
        assert b.is_cuda
        torch.testing.assert_close(a, b.cpu(), rtol=1e-2, atol=1e-4)


def test_training_runs_whole():
    config = TrainConfig(quant=QuantConfig("rf"), epochs=3, device="cuda")
    assert train(config, 0).accuracy > 85


def test_metrics_and_flow_stay_on_the_device():
    x = torch.full((5, 4), 0.2, dtype=torch.float64)
    metric = lnegeom.LNE(1.0)
    for name in ("matrix", "christoffel", "riemann", "ricci", "scalar_curvature"):
        result = getattr(metric, name)(x.cuda())
        assert result.is_cuda
        torch.testing.assert_close(result.cpu(), getattr(metric, name)(x))
    grid = flow.TorusGrid((16, 16))
    g = torch.from_numpy(flow.perturbed_flat(grid, 0.1, seed=0))
    here, there = (flow.ricci_deturck(m, grid, 1.0, samples=3) for m in (g, g.cuda()))
    assert there.metrics.is_cuda
    np.testing.assert_allclose(there.metrics.cpu(), here.metrics, atol=1e-12)
