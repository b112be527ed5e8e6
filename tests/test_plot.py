import sys

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.flow import Solution, TorusGrid, decay_rate, perturbed_flat, ricci_deturck
from lnegeom.plot import plot_component, plot_decay

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
    line = TorusGrid((8,))
    flat = ricci_deturck(perturbed_flat(line, 0.1, seed=0), line, 0.1, samples=2)
    with pytest.raises(InputError, match="2-torus, got a grid of dimension 1"):
        plot_component(flat)
    with pytest.raises(InputError, match=r"indices 0 or 1, got \(0, 2\)"):
        plot_component(solution, (0, 2))
    with pytest.raises(InputError, match="axes must be two"):
        plot_component(solution, axes=[None])


@pytest.mark.parametrize("draw", [plot_decay, plot_component])
def test_missing_matplotlib_names_the_extra(solution, monkeypatch, draw):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "lnegeom\[plot\]"'):
        draw(solution)
