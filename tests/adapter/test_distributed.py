"""A sharded run equals the unsharded one, in two and in four processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("processes", [2, 4])
def test_sharded_runs_equal_the_whole_one(processes, tmp_path):
    worker = Path(__file__).with_name("distributed_worker.py")
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
    ]
    done = subprocess.run(
        [*launcher, str(worker), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
