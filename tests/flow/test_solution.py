import json
import math

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.flow import Solution, TorusGrid, perturbed_flat, ricci_deturck


def solve(dtype="float64", shape=(8, 9), t_end=0.2):
    grid = TorusGrid(shape, tuple(1.0 + axis / 3 for axis in range(len(shape))))
    start = perturbed_flat(grid, 0.2, seed=0).astype(dtype)
    return ricci_deturck(start, grid, t_end, samples=3)


def still(metric, grid):
    return Solution(grid, np.zeros(1), metric[None], "completed", "", 1.0)


def test_norms_of_a_known_perturbation():
    # h = ¼ δ_11 + 0.1 cos x on the off-diagonal: eigenvalues of h − mean are ±0.1 cos x.
    grid = TorusGrid((16, 8), (2 * math.pi, 3.0))
    metric = np.broadcast_to(np.eye(2), (16, 8, 2, 2)).copy()
    wave = 0.1 * np.cos(grid.coordinates()[..., 0])
    metric[..., 0, 0] += 0.25
    metric[..., 0, 1] += wave
    metric[..., 1, 0] += wave
    solution = still(metric, grid)
    volume = 2 * math.pi * 3
    assert solution.perturbation_norm()[0] == pytest.approx(math.sqrt(volume * 0.01))
    assert solution.perturbation_norm(mean_free=False)[0] == pytest.approx(
        math.sqrt(volume * (0.01 + 0.0625))
    )
    assert solution.perturbation_norm("sup")[0] == pytest.approx(0.1)
    largest = 0.125 + math.sqrt(0.125**2 + 0.01)
    assert solution.perturbation_norm("sup", mean_free=False)[0] == pytest.approx(largest)
    with pytest.raises(InputError, match=r'"l2" or "sup", got .max.'):
        solution.perturbation_norm("max")


@pytest.mark.parametrize(("dtype", "shape"), [("float64", (9,)), ("float64", (8, 9)), ("float32", (7, 8, 9))])
def test_save_and_load_are_exact(tmp_path, dtype, shape):
    solution = solve(dtype, shape)
    path = tmp_path / "run"  # no suffix is added
    solution.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    loaded = Solution.load(path)
    for name in ("times", "metrics"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(solution, name))
        assert getattr(loaded, name).dtype == dtype
    for name in ("grid", "status", "message", "dt"):
        assert getattr(loaded, name) == getattr(solution, name)


def test_saves_any_library(tmp_path, backend):
    solution = solve()
    other = Solution(
        solution.grid, backend.array(solution.times), backend.array(solution.metrics), "stopped", "why", 0.1
    )
    other.save(str(tmp_path / "run.npz"))
    loaded = Solution.load(str(tmp_path / "run.npz"))
    np.testing.assert_array_equal(loaded.metrics, solution.metrics)
    assert loaded.status == "stopped"


def test_no_pickle_inside(tmp_path):
    solve().save(tmp_path / "run")
    with np.load(tmp_path / "run", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["header", "metrics", "times"]
        assert json.loads(str(archive["header"]))["format"] == "lnegeom.flow.Solution"


def test_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        Solution.load(tmp_path / "missing")
    (tmp_path / "text").write_text("not an archive")
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    np.save(tmp_path / "array.npy", np.zeros(2))
    (tmp_path / "empty").touch()
    solve().save(tmp_path / "whole")
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:500])
    for name in ("text", "other.npz", "array.npy", "empty", "half"):
        with pytest.raises(InputError, match=f"{name} is not a saved Solution"):
            Solution.load(tmp_path / name)
    np.savez(tmp_path / "newer.npz", header=np.array('{"format": "lnegeom.flow.Solution", "version": 9}'),
             times=np.zeros(1), metrics=np.zeros(1))  # fmt: skip
    with pytest.raises(InputError, match="version 9: expected"):
        Solution.load(tmp_path / "newer.npz")
