"""Each claim's evidence meets its bounds, docs/claims.md is in step, the command line says what it should."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lnegeom import InputError
from lnegeom.claims import Figure, _claim, _run, claim, find, groups
from lnegeom.cli import main

ROOT = Path(__file__).parents[2]
CLAIMS = [claim for group in groups() for claim in group.claims]
NAMES = [claim.name for claim in CLAIMS]
ROW = re.compile(r"\| (?P<name>.+) \| (?P<value>[-+.\de]+) \| (?P<bound>.+) \|")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All claims measured once, from the command line."""
    out = tmp_path_factory.mktemp("claims")
    assert main(["claims", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def measured(folder):
    results = json.loads((folder / "results.json").read_text())
    assert results["command"] == f"lnegeom claims --all --out {folder}"
    return {entry["name"]: entry for entry in results["claims"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_evidence_meets_its_bounds(name, measured):
    entry = measured[name]
    assert entry["missing"] is None
    assert entry["figures"]
    for figure in entry["figures"]:
        assert figure["low"] is not None or figure["high"] is not None
        assert figure["met"], figure


def test_every_claim_is_whole():
    assert len(set(NAMES)) == len(NAMES)
    for each in CLAIMS:
        assert each.how, each.name
        assert each.where, each.name
        assert all((ROOT / place).exists() for place in each.where), each.where
        for text in (each.statement, each.instead, each.how):
            assert text.endswith((".", ".)")), text


def test_an_evidence_run_twice_has_the_same_numbers():
    for each in find(["diagonal-dominance", "metaquant-scalar", "coarse-instability"]):
        assert each.measure().figures == each.measure().figures


def test_the_page_is_in_step_with_the_code(folder):
    """Word for word, and number for number but for rounding."""
    hint = "lnegeom claims --out DIR writes DIR/claims.md: copy it to docs/claims.md"
    page, made = (path.read_text().splitlines() for path in (ROOT / "docs/claims.md", folder / "claims.md"))
    assert len(page) == len(made), hint
    for line, fresh in zip(page, made, strict=True):
        if line == fresh:
            continue
        old, new = ROW.fullmatch(line), ROW.fullmatch(fresh)
        assert old, (line, fresh, hint)
        assert new, (line, fresh, hint)
        assert (old["name"], old["bound"]) == (new["name"], new["bound"]), hint
        sizes = abs(float(old["value"])), abs(float(new["value"]))
        assert max(sizes) < 1e-6 or abs(sizes[0] - sizes[1]) < 0.05 * max(sizes), (line, fresh, hint)


def test_the_html_page_has_every_claim(folder):
    html = (folder / "index.html").read_text()
    assert all(f"<h2>{each.name}: {each.status}</h2>" in html for each in CLAIMS)


def test_without_arguments_it_lists_and_measures_nothing(capsys, monkeypatch):
    monkeypatch.setattr(_claim.Claim, "measure", lambda self: pytest.fail("measured"))
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["claims"]) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^{re.escape(c.name)} +{c.status}  ", printed, re.MULTILINE) for c in CLAIMS)
    assert max(map(len, printed.splitlines())) <= 86  # the two first columns, and 30 for words


def test_a_named_claim_is_explained_with_numbers(capsys):
    assert main(["claims", "weak-inverse", "discrete-residual"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("weak-inverse: holds with a correction\nclaim ")
    assert "RF-DNN Eq. 29" in printed
    assert re.search(r"difference of the defect from \|u\|² uuᵀ +\S+ +≤ 1e-13 +yes", printed)
    assert "\nnote " in printed  # of the one that holds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weak-invers"], "there is no claim 'weak-invers'; did you mean weak-inverse"),
        (
            ["decay"],
            "did you mean decay-torus",
        ),
        (["xyzzy"], "there is no claim 'xyzzy'; lnegeom claims lists them all"),
        (["weak-inverse", "--all"], "expected names or --all, got both"),
        (["--out", __file__], "--out takes a folder"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    assert main(["claims", *arguments]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert message in error


def invented(value, **bounds):
    @claim("here", "It is so.", "does not hold", instead="It is not.", where=("README.md",))
    def invention():
        """By looking."""
        return [Figure("what was seen", value, **bounds)]

    return invention


def test_a_figure_outside_its_bounds_ends_with_status_one(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(_run, "find", lambda names: [invented(3.0, high=2.0)])
    assert main(["claims", "invention", "--out", str(tmp_path)]) == 1
    streams = capsys.readouterr()
    assert re.search(r"what was seen +3 +≤ 2 +NO", streams.out)
    assert "invention: what was seen is 3, expected ≤ 2" in streams.err
    (entry,) = json.loads((tmp_path / "results.json").read_text())["claims"]
    assert entry["figures"][0] == {
        "name": "what was seen",
        "value": 3.0,
        "low": None,
        "high": 2.0,
        "met": False,
    }


def test_what_is_not_finite_is_no_evidence():
    with pytest.raises(RuntimeError, match="invention: expected a finite what was seen, measured nan"):
        invented(float("nan"), high=1.0).measure()


@pytest.mark.parametrize("slip", [{"where": "README.md"}, {"needs": "torch"}, {"needs": ["jax"]}])
def test_a_claim_takes_lists(slip):
    name = next(iter(slip))
    with pytest.raises(InputError, match=f"{name} must be a list of .*, got "):
        claim("here", "It is so.", "holds", **{"instead": "It is.", "where": (), **slip})


def test_bounds_as_text():
    for low, high, text in [(1, 1, "= 1"), (0.24, 0.27, "0.24 … 0.27"), (0.999, 1.001, "1 ± 0.001")]:
        assert Figure("x", 0.0, low, high).bound == text
    assert not Figure("x", 0.23, 0.24, 0.27).met
    with pytest.raises(InputError, match="status must be one of holds, "):
        claim("here", "It is so.", "perhaps", instead="It is.", where=())


def test_a_recorded_claim_outside_of_a_checkout_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(_claim, "DOCS", tmp_path)
    found = find(["clipping"])[0].measure()
    assert found.missing.startswith("needs the recorded runs in docs/results")
    assert not found.figures


def test_without_torch_they_are_listed_and_say_what_they_need():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from lnegeom.cli import main; sys.exit(main(['claims']) + main(['claims', 'metaquant-scalar']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "metaquant-scalar  " in done.stdout
    assert 'needs torch: pip install "lnegeom[torch]"' in done.stdout
