"""What waits for a GPU, as far as it runs without one: scripts end, tables are whole, failures are named."""

import subprocess
import sys
import time

import bench_optim
import bench_optim_gpu
import on_gpu
import pytest
import torch

SHAPES = {"two tensors": ([(4, 3), (2,)], 1)}


def broken(params, **options):
    raise RuntimeError("no such kernel\nand a long trace")


def test_steps_are_measured_and_one_that_fails_is_named(monkeypatch, capsys):
    for name, value in {"ROUNDS": 2, "CALLS": 1, "SETUP": 0}.items():
        monkeypatch.setattr(bench_optim_gpu, name, value)
    monkeypatch.setitem(bench_optim_gpu.STEPS, "broken", broken)
    with pytest.raises(SystemExit, match="2 steps failed"):
        bench_optim_gpu.main(SHAPES, bench_optim.weights, "cpu")
    printed = capsys.readouterr().out
    assert "failed: broken, foreach: RuntimeError: no such kernel\n" in printed
    assert "left out, 0 s being over: ManifoldSGD, LNE, compiled\n" in printed
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:3] for row in printed.splitlines()}
    for name in set(bench_optim_gpu.STEPS) - {"broken"}:
        assert all(float(ratio) > 0 for ratio in rows[name])


def test_a_part_that_hangs_is_stopped_and_what_it_printed_is_kept(tmp_path):
    start = time.monotonic()
    code = "import time; print('a row'); time.sleep(60)"
    assert on_gpu.run(("-c", code), 2, tmp_path / "a.txt") == "stopped after 2 s"
    assert time.monotonic() - start < 30
    assert (tmp_path / "a.txt").read_text() == "a row\n"
    assert on_gpu.run(("-c", "import lnegeom_torch"), 60, tmp_path / "b.txt") == "passed"
    assert on_gpu.run(("-c", "raise SystemExit(3)"), 60, tmp_path / "b.txt") == "failed, exit code 3"


def test_parts_end_within_ten_minutes():
    assert sum(limit for limit, _ in on_gpu.PARTS.values()) < 590
    for _, arguments in on_gpu.PARTS.values():
        assert any((on_gpu.ROOT / argument).is_file() for argument in arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_without_a_device_it_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, on_gpu.__file__, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "sees no CUDA device here" in done.stderr
    assert not (tmp_path / "out").exists()
