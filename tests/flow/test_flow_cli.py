"""``lnegeom flow`` from end to end, on tiny grids."""

import json

import numpy as np
import pytest

from lnegeom.cli import main
from lnegeom.flow import Solution
from lnegeom.flow.stabilised import Chebyshev
from lnegeom.flow.torus.march import March

pytest.importorskip("matplotlib").use("Agg")

TINY = {
    "deturck": ["--size", "12", "--amplitude", "0.05"],
    "ricci": ["--size", "32", "--amplitude", "0.02"],
    "conformal": ["--size", "12", "--length", "3.0", "--seed", "4"],
    "box": ["--size", "8", "--dim", "1"],
    "homogeneous": ["--group", "Nil", "--metric", "1", "2", "3", "--normalised"],
    "rotational": ["--size", "33", "--neck", "0.3"],
}


def flow(out, kind, *more):
    return main(
        ["flow", "--kind", kind, "--out", str(out), *TINY[kind], "--samples", "31", "--frames", "2", *more]
    )


@pytest.mark.parametrize("kind", TINY)
def test_a_run_leaves_its_folder(kind, tmp_path, capsys):
    assert flow(tmp_path / "run", kind) == 0
    printed = capsys.readouterr().out
    assert "quantity" in printed
    assert "volume" in printed
    files = {entry.name for entry in (tmp_path / "run").iterdir()} - {"run"}
    assert files == {"solution.npz", "results.json", "picture.png", "animation.gif", "index.html"}
    solution = Solution.load(tmp_path / "run" / "solution.npz")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["status"] == solution.status
    assert results["singular_time"] == solution.singular_time
    np.testing.assert_allclose(results["times"], solution.times)
    np.testing.assert_allclose(results["invariants"]["volume"], solution.invariants["volume"])
    page = (tmp_path / "run" / "index.html").read_text()
    assert page.count("<img ") == 2
    assert "data:image/gif;base64," in page
    assert f"lnegeom flow --kind {kind}" in page
    assert "--samples 31 --frames 2 --out" in page
    if kind in ("deturck", "conformal", "box"):
        assert results["decay"]["rate"] == pytest.approx(results["decay"]["theory"], rel=5e-3)
        assert "decay rate of the norm: theory (λ₁), measured" in printed
    if kind == "ricci":  # which leaves pure gauge where it is
        assert results["decay"]["rate"] == pytest.approx(results["decay"]["theory"], rel=5e-3)
        assert "decay rate of sup |Rm|: theory (λ₁), measured" in printed
    if kind == "rotational":
        assert "singular time" in printed


@pytest.mark.parametrize(
    ("kind", "stepper", "name"), [("deturck", March, "to"), ("rotational", Chebyshev, "__call__")]
)
def test_an_interrupted_run_resumes_to_the_same_numbers(kind, stepper, name, tmp_path, monkeypatch, capsys):
    assert flow(tmp_path / "whole", kind, "--frames", "0") == 0
    step, calls = getattr(stepper, name), iter(range(12))

    def interrupted(self, *args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(stepper, name, interrupted)
        assert flow(tmp_path / "part", kind, "--frames", "0") == 130
    assert "interrupted; the same command with --resume goes on from here" in capsys.readouterr().err
    assert not (tmp_path / "part" / "index.html").exists()
    assert flow(tmp_path / "part", kind, "--frames", "0") == 2
    assert "holds a run already; add --resume to go on with it" in capsys.readouterr().err
    assert flow(tmp_path / "part", kind, "--frames", "0", "--resume") == 0
    whole, part = (Solution.load(tmp_path / run / "solution.npz") for run in ("whole", "part"))
    np.testing.assert_array_equal(part.times, whole.times)
    np.testing.assert_array_equal(part.metrics, whole.metrics)
    assert part.message == whole.message
    assert not (tmp_path / "part" / "animation.gif").exists()
    assert "--frames 0" in (tmp_path / "part" / "index.html").read_text()
    assert flow(tmp_path / "part", kind, "--frames", "0", "--resume", "--samples", "9") == 2
    assert "holds another run, which differs in samples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "box", "--group", "Nil"], "--group is for --kind homogeneous; leave it out for box"),
        (["--kind", "conformal", "--dim", "3"], "--dim is for --kind deturck, ricci, box, rotational"),
        (["--normalised"], "--normalised is for --kind homogeneous, rotational"),
        (["--kind", "homogeneous", "--group", "SO(4)"], "unknown group 'SO(4)'"),
        (["--kind", "rotational", "--seed", "0"], "--seed is for --kind deturck, ricci, conformal, box"),
        (["--dim", "5"], "--dim must be 1 to 4 for deturck, got 5"),
        (["--kind", "box", "--dim", "4"], "--dim must be 1 to 3 for box, got 4"),
        (["--length", "nan"], "--length must be a positive finite number, got nan"),
        (["--seed", "-1"], "seed must be an integer that is not negative, got -1"),
        (["--frames", "-1"], "--frames must not be negative, got -1"),
        (["--size", "2"], "at least 4 points"),
        (["--size", "-3"], "--size must be a positive integer, got -3"),
        (["--t-end", "0"], "--t-end must be a positive finite number, got 0.0"),
        (["--samples", "0"], "--samples must be a positive integer, got 0"),
        (["--kind", "homogeneous", "--metric", "1", "-1", "1"], "metric has eigenvalue -1"),
        (["--amplitude", "1.5"], "amplitude must be in [0, 1)"),
    ],
)
def test_bad_options(arguments, words, tmp_path, capsys):
    assert main(["flow", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run" / "solution.npz").exists()


def test_bad_input_leaves_no_empty_folder(tmp_path):
    assert main(["flow", "--kind", "homogeneous", "--samples", "1", "--out", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def test_a_run_too_short_to_fit_says_so(tmp_path):
    assert flow(tmp_path / "run", "deturck", "--t-end", "0.5", "--frames", "0") == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text())["decay"] is None
    assert "No rate was fitted: the fit starts at" in (tmp_path / "run" / "index.html").read_text()


def test_out_must_be_a_folder(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["flow", "--out", str(tmp_path / "file")]) == 2
    assert "--out takes a folder, and" in capsys.readouterr().err


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["flow", "--help"])
    printed = capsys.readouterr().out
    for word in ("deturck", "rotational", "--resume", "examples:", "solution.npz"):
        assert word in printed
