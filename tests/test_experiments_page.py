"""The tables of docs/experiments.md say what the runs in docs/results say."""

import json
import re
import statistics
from pathlib import Path

import pytest

from lnegeom_torch.experiment import mean_and_deviation

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS = (DOCS / "experiments.md").read_text(encoding="utf-8").split("\n## ")
RESULTS = sorted(file.name for file in (DOCS / "results").glob("*.json"))


def section_and_results(name):
    section = next(part for part in SECTIONS if f"(results/{name})" in part)
    return section, json.loads((DOCS / "results" / name).read_text(encoding="utf-8"))


def rows(section, label):
    return [line for line in section.splitlines() if re.match(rf"\| `?{re.escape(label)}`? \|", line)]


def test_each_result_is_linked_and_each_link_leads_to_one():
    assert sorted(set(re.findall(r"\(results/([\w.-]+\.json)\)", "".join(SECTIONS)))) == RESULTS


@pytest.mark.parametrize("name", RESULTS)
def test_the_accuracies_are_those_of_the_runs(name):
    section, found = section_and_results(name)
    for label, trials in found.get("final", {}).items():
        accuracies = mean_and_deviation([trial["accuracy"] for trial in trials])
        assert any(f"| {accuracies} |" in row for row in rows(section, label)), (label, accuracies)
    for label, by_rate in {**found.get("tuning", {}), **found.get("screening", {})}.items():
        tried = [
            v["accuracy"] if isinstance(v, dict) else statistics.mean(v if isinstance(v, list) else [v])
            for v in by_rate.values()
        ]
        cells = " | ".join(f"{accuracy:.2f}" for accuracy in tried)
        assert any(f"| {cells} |" in row for row in rows(section, label)), (label, cells)


@pytest.mark.parametrize("name", RESULTS)
def test_the_command_is_on_the_page(name):
    section, found = section_and_results(name)
    assert " ".join(found["command"].split()) in " ".join(section.replace("\\\n", " ").split())
