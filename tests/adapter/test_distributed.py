"""A sharded run equals the unsharded one, in two and in four processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import lnegeom
from lnegeom_torch.distributed import process_group

HERE = Path(__file__).parent


def run(*command):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.skipif(os.name != "posix", reason="forks")
@pytest.mark.parametrize("processes", [2, 4])
def test_sharded_runs_equal_the_whole_one(processes, tmp_path):
    done = run(HERE / "distributed_worker.py", processes, tmp_path)
    assert done.returncode == 0, done.stderr


def test_each_process_takes_the_gpu_of_its_number(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(dist, "init_process_group", lambda *given, **named: chosen.extend([*given, named]))
    environment = {"RANK": "0", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for device in ("auto", "cuda"):
        with process_group(device):
            second = torch.device("cuda", 1)
            assert chosen == [second, "nccl", {"device_id": second}]
        chosen.clear()
    with process_group("cpu"):
        assert chosen == ["gloo", {}]
    with pytest.raises(lnegeom.InputError, match="--device cuda:1 names one GPU for 2 processes"):
        process_group("cuda:1").__enter__()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(lnegeom.InputError, match="2 processes need as many GPUs, found 1"):
        process_group("cuda").__enter__()


def test_processes_that_share_batches_train_as_one(tmp_path):
    torchrun = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"
    done = run(*torchrun, HERE / "train_worker.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("accuracy (%)") == 1  # one process alone prints
    assert done.stdout.count("wrote ") == 1
    assert done.stderr.count("torchrun is for lnegeom train") == 1
    assert "torchrun makes the processes share every batch" in done.stderr
