import sys

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.flow import (
    BoxGrid,
    LieGroup,
    Solution,
    TorusGrid,
    WarpedGrid,
    box,
    cigar,
    decay_rate,
    dumbbell,
    homogeneous,
    perturbed_flat,
    ricci_deturck,
    rotational,
)
from lnegeom.plot import plot_component, plot_curvature, plot_decay, plot_lengths, plot_profiles

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402


@pytest.fixture(autouse=True)
def _close():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def solution():
    grid = TorusGrid((16, 12), (4.0, 2.0))
    return ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, 4.0)


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_decay_curve_and_theory(solution, tmp_path):
    ax = plot_decay(solution)
    fit = decay_rate(solution)
    drawn = lines(ax)
    (curve,) = [line for label, line in drawn.items() if "fitted rate" in label]
    (theory,) = [line for label, line in drawn.items() if "theory" in label]
    np.testing.assert_array_equal(curve.get_ydata(), solution.perturbation_norm())
    assert float(curve.get_label().split()[-1]) == pytest.approx(fit.rate, rel=1e-3)
    slope = np.polyfit(theory.get_xdata(), np.log(theory.get_ydata()), 1)[0]
    assert slope == pytest.approx(-fit.theory)
    inside = (solution.times > fit.window[0]) & (solution.times < fit.window[1])
    np.testing.assert_allclose(theory.get_ydata()[inside], curve.get_ydata()[inside], rtol=0.01)
    assert ax.get_yscale() == "log"
    ax.figure.savefig(tmp_path / "decay.png")
    assert (tmp_path / "decay.png").stat().st_size > 5000


def test_decay_of_a_short_run(solution):
    short = Solution(solution.grid, solution.times[:5], solution.metrics[:5], "completed", "", 0.1)
    given = pyplot.subplots()[1]
    ax = plot_decay(short, given)
    assert ax is given
    assert any("too short" in label for label in lines(ax))


def test_decay_of_nothing():
    grid = TorusGrid((8, 8))
    flat = ricci_deturck(np.broadcast_to(np.eye(2), (8, 8, 2, 2)), grid, 1.0, samples=3)
    with pytest.raises(InputError, match="no decay to plot"):
        plot_decay(flat)


def test_component_images_share_a_scale(solution, tmp_path):
    figure = plot_component(solution, (0, 1))
    first, last, bar = figure.axes
    images = [ax.get_images()[0] for ax in (first, last)]
    np.testing.assert_array_equal(images[0].get_array(), solution.metrics[0, ..., 0, 1].T)
    np.testing.assert_array_equal(images[1].get_array(), solution.metrics[-1, ..., 0, 1].T)
    assert images[0].get_clim() == images[1].get_clim()
    low, high = images[0].get_clim()
    assert low == -high  # centred on the flat value, 0 off the diagonal
    assert images[0].get_extent() == [0, 4.0, 0, 2.0]
    assert bar.get_ylabel() == "$g_{12}$"
    assert last.get_title() == "$t = 4$"
    figure.savefig(tmp_path / "component.png")


def test_component_on_given_axes(solution):
    figure, axes = pyplot.subplots(1, 2)
    assert plot_component(solution, axes=axes) is figure
    low, high = axes[0].get_images()[0].get_clim()
    assert low + high == pytest.approx(2)  # centred on 1 on the diagonal


def test_torch_solutions(solution):
    torch = pytest.importorskip("torch")
    moved = Solution(
        solution.grid, torch.asarray(solution.times), torch.asarray(solution.metrics), "completed", "", 0.1
    )
    plot_decay(moved)
    assert len(plot_component(moved).axes) == 3


def test_bad_arguments(solution):
    group = homogeneous([1, 1, 1], LieGroup.named("Nil"), 1.0, samples=3)
    with pytest.raises(InputError, match="components are drawn on tori and boxes, got LieGroup"):
        plot_component(group)
    with pytest.raises(InputError, match="has no theory to draw: expected a torus or a box"):
        plot_decay(group)
    with pytest.raises(InputError, match="profiles are drawn of rotationally symmetric metrics"):
        plot_profiles(group)
    with pytest.raises(InputError, match="lengths are drawn of homogeneous metrics"):
        plot_lengths(solution)
    with pytest.raises(
        InputError, match=r"no curvature was recorded: expected the invariant scalar_max, got"
    ):
        plot_curvature(solution)
    with pytest.raises(InputError, match=r"indices 0 or 1, got \(0, 2\)"):
        plot_component(solution, (0, 2))
    with pytest.raises(InputError, match="axes must be two"):
        plot_component(solution, axes=[None])


@pytest.mark.parametrize("draw", [plot_decay, plot_component, Solution.plot])
def test_missing_matplotlib_names_the_extra(solution, monkeypatch, draw):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "lnegeom\[plot\]"'):
        draw(solution)


@pytest.fixture(scope="module")
def pinch():
    grid = WarpedGrid(65, focus=0.8)
    return rotational(*dumbbell(grid), grid, 1.0, samples=21)


@pytest.fixture(scope="module")
def berger():
    return homogeneous([0.2, 1.0, 1.0], LieGroup.named("SU(2)"), 1.0, samples=41)


def boxed(dim):
    grid = BoxGrid((6,) * dim, (1.0,) * dim)
    wave = np.prod(np.sin(np.pi * grid.coordinates()), axis=-1)
    start = np.eye(dim) * (1 + 0.1 * wave[..., None, None])
    return box(start, grid, 0.2, samples=5)


def on_box_with_moving_faces():
    grid = BoxGrid((6, 6), (1.0, 1.0))
    return box(cigar(grid.coordinates(), 0.0), grid, 0.1, boundary=cigar, samples=4)


def test_lengths_of_a_berger_sphere(berger):
    ax = plot_lengths(berger)
    drawn = lines(ax)
    np.testing.assert_allclose(drawn[r"$\sqrt{g_{11}}$"].get_ydata() ** 2, berger.metrics[:, 0, 0])
    assert drawn["singular time"].get_xdata()[0] == berger.singular_time


def test_curvature_blows_up_at_slope_minus_one(berger, pinch):
    for solution, name in ((berger, "$R$"), (pinch, r"$\max R$")):
        ax = plot_curvature(solution)
        curve = lines(ax)[name]
        slope = np.polyfit(np.log(curve.get_xdata()[-8:]), np.log(curve.get_ydata()[-8:]), 1)[0]
        assert slope == pytest.approx(-1, abs=0.05)
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    nil = plot_curvature(homogeneous([1, 1, 1], LieGroup.named("Nil"), 1.0, samples=5))
    assert nil.get_xscale() == "linear"


def test_outlines_are_isometric(pinch):
    ax = plot_profiles(pinch, indices=[0, 5, -1])
    along, radius = lines(ax)["$t = 0$"].get_data()
    length = np.sum(np.hypot(np.diff(along), np.diff(radius)))
    assert length == pytest.approx(pinch.invariants["length"][0], rel=1e-12)
    assert ax.get_xlabel() == "axis $z$"
    # A profile that is steeper than any surface's is drawn against the distance.
    grid = WarpedGrid(16, ends="space")
    steep = rotational(lambda s: s + s**3 * np.exp(-(s**2)), 8.0, grid, 0.01, samples=2)
    assert plot_profiles(steep).get_xlabel() == "distance $s$"


def test_slices_of_a_solid_on_an_oblique_lattice():
    grid = TorusGrid((6, 5, 4), lattice=[[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]])
    start = perturbed_flat(grid, 0.1, seed=0, modes=1)
    still = Solution(grid, np.zeros(1), start[None], "completed", "", 1.0)
    mesh = plot_component(still).axes[0].collections[0]
    np.testing.assert_array_equal(mesh.get_array().reshape(6, 5), start[:, :, 2, 0, 0])
    np.testing.assert_allclose(mesh.get_coordinates()[0, 1], grid.coordinates()[0, 1, 2, :2])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_every_solution_has_a_picture(dim, berger, pinch):
    decaying = boxed(dim)
    assert len(decaying.plot().axes) == (3 if dim == 1 else 4)
    assert decaying.plot(component=(dim - 1, dim - 1)).axes[0].get_yscale() == "log"
    if dim == 2:
        assert on_box_with_moving_faces().plot().axes[0].get_yscale() == "linear"
        assert len(berger.plot().axes) == len(pinch.plot().axes) == 2


def frames_of(path):
    pillow = pytest.importorskip("PIL.Image")
    with pillow.open(path) as image:
        shown = []
        for number in range(image.n_frames):
            image.seek(number)
            shown.append(np.asarray(image.convert("RGB")).astype(int))
        return shown


@pytest.mark.parametrize("kind", ["torus", "line", "box", "berger", "pinch"])
def test_animations_move(kind, solution, berger, pinch, tmp_path):
    line = TorusGrid((8,))
    made = {
        "torus": lambda: solution,
        "line": lambda: ricci_deturck(perturbed_flat(line, 0.1, seed=0, modes=1), line, 1.0, samples=5),
        "box": lambda: boxed(2),
        "berger": lambda: berger,
        "pinch": lambda: pinch,
    }[kind]()
    path = made.animate(tmp_path / "sub" / "flow.gif", frames=3, fps=2)
    assert [entry.name for entry in path.parent.iterdir()] == ["flow.gif"]
    frames = frames_of(path)
    assert len(frames) >= 3
    assert np.max(np.abs(frames[0] - frames[-1])) > 100


def test_animations_refuse_other_formats(solution, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.gif"):
        solution.animate(tmp_path / "flow.mp4")
    with pytest.raises(InputError, match="frames must be a positive integer"):
        solution.animate(tmp_path / "flow.gif", frames=0)
