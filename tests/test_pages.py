"""The code of the pages that have no test of their own runs, and finds what they say."""

import re
from pathlib import Path

import numpy as np
import pytest

import lnegeom

DOCS = Path(__file__).parents[1] / "docs"


def names_of(page):
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


def test_symbolic():
    names = names_of("symbolic.md")
    point = names["fall"].points[-1]
    start = np.array([[0.0, 10.0, np.pi / 2, 0.0], [1.25, 0.0, 0.0, 0.02]])
    expected = lnegeom.geodesic(lnegeom.Schwarzschild(1.0), *start, t_end=20.0)
    np.testing.assert_allclose(point, expected.points[-1], rtol=1e-8)


def test_conventions():
    names = names_of("conventions.md")
    expected = lnegeom.riemann(lnegeom.LNE(1.0), [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(names["ours"], expected)


def test_methods():
    pytest.importorskip("torch", reason="torch is not installed")
    names = names_of("methods.md")
    assert len(names["plain"].features[4].weight.unique()) == 2
    assert set(names["method"].layers) >= {"features.4"}


def anchors_of(page):
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", h) for h in re.findall(r"^#+ +(.*)$", prose, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere():
    pages = [*DOCS.parent.glob("*.md"), *DOCS.rglob("*.md")]
    links = [(p, target) for p in pages for target in re.findall(r"\]\(([^)\s]+)\)", p.read_text())]
    inside = [(page, target) for page, target in links if not target.startswith("https:")]
    assert len(inside) > 100
    for page, target in inside:
        file, _, anchor = target.partition("#")
        leads_to = page.parent / file if file else page
        assert leads_to.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors_of(leads_to), f"{page}: {target}"


def test_every_page_is_run_by_a_test():
    tests = [path.read_text() for path in Path(__file__).parent.rglob("test_*.py")]
    pages = [page.name for page in DOCS.glob("*.md") if "```python" in page.read_text()]
    assert len(pages) > 7
    assert [page for page in pages if not any(f'"{page}"' in test for test in tests)] == []
