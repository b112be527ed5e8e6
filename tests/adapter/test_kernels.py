"""The kernels for a GPU, interpreted and compiled where Triton is installed, and when they are not taken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import lnegeom
from lnegeom_torch import LNE, Graph, ManifoldAdamW, ManifoldSGD, NormalizedLNE
from lnegeom_torch.optim import _two_passes


def run(name, **environment):
    pytest.importorskip("triton", reason="triton is not installed: it comes with torch's builds for CUDA")
    worker = Path(__file__).with_name(name)
    environment = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, worker], capture_output=True, text=True, env=environment, timeout=300, check=False
    )


def test_interpreted_kernels_take_torchs_steps():
    done = run("kernels_worker.py", TRITON_INTERPRET="1")
    assert done.stdout.endswith("all steps agree\n"), done.stderr


def test_the_kernels_compile_for_a_gpu_and_spill_nothing(tmp_path):
    done = run("kernels_compiled.py", TRITON_CACHE_DIR=str(tmp_path))
    assert done.stdout.endswith("kernels compile\n"), done.stdout + done.stderr


def step(kind=ManifoldSGD, dtype=torch.float32, **options):
    weight = nn.Parameter(torch.ones(4, 3, dtype=dtype))
    weight.grad = torch.ones_like(weight)
    optimizer = kind([weight], **{"lr": 0.1, "metric": LNE(2.0), "fused": True, **options})
    optimizer.step()
    return weight.detach()


class Broken:
    """A kernel that does not compile."""

    def __getitem__(self, grid):
        raise RuntimeError("no compiler\nand a long trace")


@pytest.mark.parametrize("kind", [ManifoldSGD, ManifoldAdamW])
def test_where_triton_fails_torchs_operations_take_the_step(monkeypatch, kind):
    expected = step(kind)
    monkeypatch.setattr(_two_passes, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(_two_passes.kernels, "triton", object())
    monkeypatch.setattr(_two_passes.kernels, "write", Broken())
    with pytest.warns(RuntimeWarning, match=r"Triton failed \(no compiler\)"):
        assert torch.equal(step(kind), expected)
    assert torch.equal(step(kind), expected)  # and it is not tried again


@pytest.mark.parametrize(
    "options",
    [
        {"metric": None},
        {"fused": None},
        {"retraction": "second"},
        {"metric_on": "update"},
        {"weight_decay": 0.1, "precondition_weight_decay": True},
        {"metric": NormalizedLNE(0.5, per="channel")},
        {"metric": Graph(lnegeom.LogCosh(1.0), sign=-1)},
        {"dtype": torch.float64},
        {"kind": ManifoldAdamW, "amsgrad": True},
        {"kind": ManifoldAdamW, "metric": None},
    ],
    ids=str,
)
def test_what_the_kernels_do_not_know_is_left_to_torch(monkeypatch, options):
    expected = step(**options)
    monkeypatch.setattr(_two_passes, "on_gpu", lambda tensor: True)
    monkeypatch.setattr(_two_passes.kernels, "triton", object())
    monkeypatch.setattr(_two_passes.TwoPasses, "step", lambda *_: pytest.fail("the kernels were launched"))
    assert torch.equal(step(**options), expected)
