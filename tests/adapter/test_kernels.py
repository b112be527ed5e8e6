"""The kernels for a GPU, interpreted where Triton is installed, and when they are not taken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lnegeom_torch import LNE, ManifoldSGD
from lnegeom_torch.optim import _two_passes


def test_interpreted_kernels_take_torchs_steps():
    pytest.importorskip("triton", reason="triton is not installed: it comes with torch's builds for CUDA")
    worker = Path(__file__).with_name("kernels_worker.py")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, worker], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.stdout.endswith("all steps agree\n"), done.stderr


def step(**options):
    weight = nn.Parameter(torch.ones(4, 3))
    weight.grad = torch.ones(4, 3)
    optimizer = ManifoldSGD([weight], **{"lr": 0.1, "metric": LNE(2.0), "fused": True, **options})
    optimizer.step()
    return weight.detach()


class Broken:
    """A kernel that does not compile."""

    def __getitem__(self, grid):
        raise RuntimeError("no compiler\nand a long trace")


def test_where_triton_fails_torchs_operations_take_the_step(monkeypatch):
    expected = step()
    monkeypatch.setattr(_two_passes, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(_two_passes.kernels, "triton", object())
    monkeypatch.setattr(_two_passes.kernels, "write", Broken())
    with pytest.warns(RuntimeWarning, match=r"Triton failed \(no compiler\)"):
        assert torch.equal(step(), expected)
    assert torch.equal(step(), expected)  # and it is not tried again


@pytest.mark.parametrize(
    "options",
    [
        {"metric": None},
        {"fused": None},
        {"retraction": "second"},
        {"metric_on": "update"},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"weight_decay": 0.1, "precondition_weight_decay": True},
        {"lr": torch.tensor(0.1)},
    ],
    ids=str,
)
def test_what_the_kernels_do_not_know_is_left_to_torch(monkeypatch, options):
    expected = step(**options)
    monkeypatch.setattr(_two_passes, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(_two_passes.kernels, "triton", object())
    monkeypatch.setattr(_two_passes.TwoPasses, "step", lambda *_: pytest.fail("the kernels were launched"))
    assert torch.equal(step(**options), expected)
