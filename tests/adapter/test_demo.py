"""The demo, shortened: every part of it, for real."""

import json

import numpy as np

from lnegeom.cli import main
from lnegeom.flow import Solution


def test_the_demo_writes_its_page_numbers_and_pictures(tmp_path, capsys):
    out = tmp_path / "demo"
    for seeds, epochs in ("1", "1"), ("2", "4"):  # twice into the same folder: the second takes its place
        assert main(["demo", "--out", str(out), "--seeds", seeds, "--epochs", epochs]) == 0
    results = json.loads((out / "results.json").read_text())
    assert set(results["training"]) == {"fp", "ste", "dorefa", "wcg", "rf"}
    for method in results["training"].values():
        assert len(method["accuracy"]) == 2
        assert np.isclose(method["accuracy_mean"], np.mean(method["accuracy"]))
        assert method["accuracy_mean"] > 85
    assert results["flow"]["theory"] == 1.0
    assert 0 < abs(results["flow"]["relative_difference"]) < 1e-3  # measured, and within 0.1 % of theory
    assert Solution.load(out / "flow.npz").status == "completed"
    html = (out / "index.html").read_text()
    assert html.count("data:image/png;base64") == 4
    assert "http" not in html.replace("http-equiv", "")
    printed = capsys.readouterr().out
    assert f"{results['training']['wcg']['accuracy_mean']:.2f} ± " in printed
