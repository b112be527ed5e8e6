"""Bad input that every flow meets alike: a grid of another kind, numbers of another library, odd shapes."""

import numpy as np
import pytest

from lnegeom import InputError, flow

TORUS, BOX, WARPED = flow.TorusGrid((8, 8)), flow.BoxGrid((8, 8)), flow.WarpedGrid(16)
FLAT = np.broadcast_to(np.eye(2), (8, 8, 2, 2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: flow.ricci_deturck(FLAT, (8, 8), 1.0), r"grid must be a TorusGrid .* got \(8, 8\)"),
        (lambda: flow.ricci_deturck(FLAT, BOX, 1.0), r"grid must be a TorusGrid .* got BoxGrid"),
        (lambda: flow.ricci(FLAT, BOX, 1.0), "grid must be a TorusGrid"),
        (lambda: flow.conformal(FLAT[..., 0, 0], BOX, 1.0), "grid must be a TorusGrid"),
        (lambda: flow.measure(FLAT, BOX), "grid must be a TorusGrid"),
        (lambda: flow.measure(FLAT, TORUS, 3), 'invariants must be names, or "all"; got 3'),
        (lambda: flow.spectrum(np.eye(2), BOX), "grid must be a TorusGrid"),
        (lambda: flow.plane_wave(BOX, (1, 0), 0.1 * np.eye(2)), "grid must be a TorusGrid"),
        (lambda: flow.king_conformal(BOX, 0.0), "grid must be a TorusGrid"),
        (lambda: flow.perturbed_flat(WARPED, 0.1, seed=0), "grid must be a TorusGrid or a BoxGrid"),
        (lambda: flow.box(FLAT, TORUS, 1.0), "grid must be a BoxGrid"),
        (lambda: flow.rotational(np.sin, np.pi, TORUS, 1.0), "grid must be a WarpedGrid"),
        (lambda: flow.dumbbell(TORUS), "grid must be a WarpedGrid"),
        (
            lambda: flow.homogeneous(np.eye(3), "SU(2)", 1.0),
            r"space must be a LieGroup.*named\(\"SU\(2\)\"\)",
        ),
        (lambda: flow.ProductSpace(flow.EinsteinSpace.sphere(2), TORUS), "a factor of a product must be a"),
        (lambda: flow.decay_rate(FLAT), "solution must be a Solution"),
        (lambda: flow.normalise(FLAT), "solution must be a Solution"),
        (lambda: flow.box(FLAT, BOX, 1.0, boundary=np.eye(2)), "boundary must be a function"),
        (lambda: flow.BoxGrid((8, 8), 1.0), "lengths must be 2 numbers"),
        (lambda: flow.LieGroup.unimodular(1.0), "three numbers"),
        (lambda: flow.LieGroup.named(["Nil"]), "unknown group"),
        (lambda: flow.EinsteinSpace.sphere("two"), "dim must be a positive integer"),
        (lambda: flow.plane_wave(TORUS, "ab", 0.1 * np.eye(2)), "a mode is 2 integers"),
        (lambda: flow.plane_wave(TORUS, (np.nan, 0), 0.1 * np.eye(2)), "a mode is 2 integers"),
        (lambda: flow.plane_wave(TORUS, (1, 0), "x"), "amplitude must be a symmetric 2×2 matrix"),
        (lambda: flow.plane_wave(TORUS, (5, 0), 0.1 * np.eye(2)), "on fewer it is another wave"),
        (lambda: flow.spectrum(1j * np.eye(2), TORUS), "expected real numbers"),
        (lambda: flow.cigar([np.nan, 0.0], 0.0), r"points\[0\] is nan"),
        (lambda: flow.cigar([0.0, 0.0], 200.0), "t must lie in ±175"),
        (lambda: flow.cigar("here", 0.0), "points must be an array"),
        (lambda: flow.closeness(np.ones(3)), r"shape \(3,\): expected \(\.\.\., n, n\)"),
        (lambda: flow.closeness(np.array([[1.0, 0.5], [0.0, 1.0]])), "asymmetric by 0.5"),
        (lambda: flow.closeness(np.eye(2), np.eye(3)), "matrices of one size"),
        (lambda: flow.singular_time([1.0, 2.0], [1.0]), "a curvature for each time"),
    ],
)
def test_bad_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_numbers_of_numpy_may_be_kept_in_a_checkpoint(tmp_path):
    one, three = np.float32(0.1), np.int64(3)
    wave = flow.plane_wave(TORUS, (1, 0), 0.1 * np.eye(2))
    bump = flow.perturbed_flat(BOX, 0.1, seed=0)
    for name, run in {
        "torus": lambda out: flow.ricci_deturck(wave, TORUS, one, samples=three, tolerance=one, out=out),
        "fixed": lambda out: flow.ricci(wave, TORUS, np.int64(1), samples=three, dt=np.float32(0.1), out=out),
        "conformal": lambda out: flow.conformal(wave[..., 0, 0], TORUS, one, samples=three, dt=one, out=out),
        "box": lambda out: flow.box(bump, BOX, one, samples=three, rtol=np.float32(1e-4), out=out),
        "rotational": lambda out: flow.rotational(np.sin, np.pi, WARPED, one, samples=three, out=out),
    }.items():
        first = run(tmp_path / name)
        np.testing.assert_array_equal(run(tmp_path / name).metrics, first.metrics)


WAVE = flow.plane_wave(TORUS, (1, 0), 0.1 * np.eye(2))


@pytest.mark.parametrize(
    "run",
    [
        lambda out: flow.ricci_deturck(WAVE, TORUS, 0.1, samples=2, out=out),
        lambda out: flow.conformal(WAVE[..., 0, 0], TORUS, 0.1, samples=2, out=out),
        lambda out: flow.box(FLAT, BOX, 0.1, samples=2, out=out),
        lambda out: flow.rotational(np.sin, np.pi, WARPED, 0.1, samples=2, out=out),
    ],
)
def test_out_is_a_folder(run, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", str(tmp_path / "file" / "below")):
        with pytest.raises(InputError, match=r"^out takes a folder, and .*file is a file"):
            run(out)
    with pytest.raises(InputError, match="out must be the path of a folder, got 3"):
        run(3)


def test_a_folder_remembers_the_boundary_function(tmp_path):
    def moving(speed):
        return lambda points, t: (1 + speed * t) * np.broadcast_to(np.eye(2), (len(points), 2, 2))

    flow.box(FLAT, BOX, 0.1, samples=3, boundary=moving(0.1), out=tmp_path)
    flow.box(FLAT, BOX, 0.1, samples=3, boundary=moving(0.1), out=tmp_path)
    with pytest.raises(InputError, match="another run, which differs in boundary"):
        flow.box(FLAT, BOX, 0.1, samples=3, boundary=moving(0.2), out=tmp_path)


def test_no_rate_where_the_faces_are_not_flat():
    wide = np.broadcast_to(np.diag([1.5, 1.0]), (8, 8, 2, 2))
    with pytest.raises(InputError, match=r"on the faces differs from δ by 0\.5"):
        flow.decay_rate(flow.box(wide, BOX, 6.0, samples=11))


def test_no_rate_where_two_shells_are_nearly_one():
    grid = flow.TorusGrid((8, 8), (1.0, 1.02))
    solution = flow.ricci_deturck(flow.plane_wave(grid, (0, 1), 0.1 * np.eye(2)), grid, 0.1, samples=11)
    with pytest.raises(InputError, match="λ₂ is too near λ₁ here"):
        flow.decay_rate(solution)


def test_a_torch_run_on_disk_against_a_background(tmp_path):
    torch = pytest.importorskip("torch")
    start = torch.from_numpy(flow.plane_wave(TORUS, (1, 0), 0.1 * np.eye(2)))
    background = torch.from_numpy(np.ascontiguousarray(1.1 * FLAT))
    kept, plain = (
        flow.ricci_deturck(start, TORUS, 0.1, samples=3, background=background, out=out)
        for out in (tmp_path, None)
    )
    for kind in ("l2", "sup"):
        np.testing.assert_allclose(
            kept.perturbation_norm(kind, False), plain.perturbation_norm(kind, False), rtol=1e-12
        )


def test_many_eigenvalues_at_once_take_no_more_wavevectors_than_they_need():
    # 10 components; 1 + 8 + 24 + … wavevectors of length 0, 1, √2, … on the 4-torus.
    found = flow.spectrum(np.eye(4), flow.TorusGrid((4,) * 4), count=340)
    np.testing.assert_array_equal(found[[0, 9, 10, 89, 90, 329, 330]], [0, 0, 1, 1, 2, 2, 3])
    assert len(found) == 340


def test_a_text_file_is_no_solution(tmp_path):
    (tmp_path / "notes").write_text("some words")
    with pytest.raises(InputError, match="not a saved Solution, nor any npz archive") as caught:
        flow.Solution.load(tmp_path / "notes")
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(
    "run",
    [
        lambda g: flow.ricci_deturck(g, TORUS, 0.1, samples=2, dt=0.05, invariants="all").metrics[-1],
        lambda g: flow.conformal(g[..., 0, 0], TORUS, 0.1, samples=2, dt=0.05).metrics[-1],
    ],
)
def test_gradients_flow_to_the_start_without_a_warning(run):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = flow.perturbed_flat(TORUS, 0.1, seed=0, modes=2)
    weights, direction = rng.normal(size=(2, *start.shape))
    direction = direction + np.swapaxes(direction, -1, -2)
    g = torch.from_numpy(start).requires_grad_()
    (run(g) * torch.from_numpy(weights)).sum().backward()
    h = 1e-6 * direction
    difference = np.sum((run(start + h) - run(start - h)) * weights) / 2e-6
    assert np.sum(g.grad.numpy() * direction) == pytest.approx(difference, rel=1e-4)
