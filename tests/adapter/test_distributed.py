"""A sharded run equals the unsharded one, in two and in four processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def torchrun(processes, worker, *arguments):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={processes}",
            Path(__file__).with_name(worker),
            *map(str, arguments),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize("processes", [2, 4])
def test_sharded_runs_equal_the_whole_one(processes, tmp_path):
    done = torchrun(processes, "distributed_worker.py", tmp_path)
    assert done.returncode == 0, done.stderr


def test_processes_that_share_batches_train_as_one(tmp_path):
    done = torchrun(2, "train_worker.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("accuracy (%)") == 1  # one process alone prints
    assert done.stdout.count("wrote ") == 1
    assert done.stderr.count("torchrun is for lnegeom train") == 1
    assert "torchrun makes the processes share every batch" in done.stderr
