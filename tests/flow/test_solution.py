import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.flow import Solution, TorusGrid, perturbed_flat, ricci_deturck
from lnegeom.flow.domain import register_domain


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
        assert {"header", "metrics", "times"} <= set(archive.files)
        assert json.loads(str(archive["header"]))["format"] == "lnegeom.flow.Solution"


@register_domain
@dataclass(frozen=True)
class Interval:
    """Metrics diag(a, b) on a profile of three points: a domain whose shape is not its dimension."""

    length: float
    dim = 2
    shape = (3,)

    def integrate(self, values):
        return self.length * values @ np.array([0.25, 0.5, 0.25])

    def to_json(self):
        return {"length": self.length}

    @classmethod
    def from_json(cls, data):
        return cls(**data)


def test_serves_any_domain(tmp_path):
    h = np.array([0.1, 0.2, 0.5])
    metrics = np.eye(2) + h[None, :, None, None] * np.diag([1.0, 0.0])
    invariants = {"volume": np.array([2.0]), "R min": np.array([-1.0])}
    solution = Solution(Interval(2.0), np.zeros(1), metrics, "stopped", "why", 0.1, invariants, None, 3.5)
    assert solution.perturbation_norm(mean_free=False)[0] == pytest.approx(
        math.sqrt(2 * (h**2 @ [0.25, 0.5, 0.25]))
    )
    assert solution.perturbation_norm("sup")[0] == pytest.approx(0.5 - 0.25)
    solution.save(tmp_path / "run")
    loaded = Solution.load(tmp_path / "run")
    assert loaded.grid == Interval(2.0)
    assert loaded.singular_time == 3.5
    assert list(loaded.invariants) == ["volume", "R min"]
    for name, value in invariants.items():
        np.testing.assert_array_equal(loaded.invariants[name], value)


def test_a_homogeneous_domain_has_no_axes():
    @dataclass(frozen=True)
    class Frame(Interval):
        dim, shape = 3, ()

        def integrate(self, values):
            return 5.0 * values

    metrics = np.diag([1.1, 1.0, 1.0])[None]
    solution = Solution(Frame(1.0), np.zeros(1), metrics, "completed", "", 0.1)
    assert solution.perturbation_norm(mean_free=False)[0] == pytest.approx(0.1 * math.sqrt(5))
    assert solution.perturbation_norm()[0] == 0


def test_norms_against_a_background():
    # In coordinates where ḡ = A Aᵀ, h = A k Aᵀ has the norms of k against δ, and the volume of ḡ.
    grid = TorusGrid((8, 8), (1.0, 2.0))
    rng = np.random.default_rng(0)
    A, k = rng.normal(size=(2, 2)), rng.normal(size=(8, 8, 2, 2))
    k = k + np.swapaxes(k, -1, -2)
    background = np.broadcast_to(A @ A.T, (8, 8, 2, 2))
    metrics = (background + A @ k @ A.T)[None]
    seen = Solution(grid, np.zeros(1), metrics, "completed", "", 0.1, background=background)
    plain = still(np.eye(2) + k, grid)
    for mean_free in (True, False):
        sup = plain.perturbation_norm("sup", mean_free)[0]
        assert seen.perturbation_norm("sup", mean_free)[0] == pytest.approx(sup)
        l2 = plain.perturbation_norm("l2", mean_free)[0] * math.sqrt(abs(np.linalg.det(A)))
        assert seen.perturbation_norm("l2", mean_free)[0] == pytest.approx(l2)


def test_loaded_metrics_stay_on_disk_and_the_file_is_replaced_whole(tmp_path):
    solution = solve()
    solution.save(tmp_path / "run")
    loaded = Solution.load(tmp_path / "run")
    assert isinstance(loaded.metrics, np.memmap)
    loaded.save(tmp_path / "run")  # onto the file that it reads from
    np.testing.assert_array_equal(Solution.load(tmp_path / "run").metrics, solution.metrics)
    broken = replace(solution, message=object())
    with pytest.raises(TypeError):
        broken.save(tmp_path / "run")
    np.testing.assert_array_equal(Solution.load(tmp_path / "run").metrics, solution.metrics)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


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
