"""Tensors as LaTeX, as text and as tables."""

from __future__ import annotations

from typing import Any

import sympy as sp

from lnegeom.report import text_table
from lnegeom.symbolic._components import Components, Index, plain


def component_latex(tensor: Components, index: Index) -> str:
    r"""Return a component's letter and indices, as ``\Gamma^{r}{}_{t t}``."""
    code = tensor.name
    places = list(zip(tensor.variance, index, strict=True))
    while places:
        place = places[0][0]
        run = [i for p, i in _leading(places, place)]
        places = places[len(run) :]
        labels = " ".join(sp.latex(tensor.metric.coordinates[i]) for i in run)
        code += f"{'^' if place == 'up' else '_'}{{{labels}}}" + ("{}" if places else "")
    return code


def _leading(places: list[tuple[str, int]], place: str) -> list[tuple[str, int]]:
    count = next((k for k, (p, _) in enumerate(places) if p != place), len(places))
    return places[:count]


def component_text(tensor: Components, index: Index) -> str:
    """Return a component's letter and indices, as ``Γ^r_tt``."""
    code, last = plain(tensor.name), None
    names = [str(c) for c in tensor.metric.coordinates]
    comma = "," if max(map(len, names)) > 1 else ""
    for place, i in zip(tensor.variance, index, strict=True):
        code += (comma if place == last else "^" if place == "up" else "_") + names[i]
        last = place
    return code


def latex(tensor: Components) -> str:
    """Independent components that are not zero, as one ``aligned`` block."""
    found = tensor.nonzero()
    if not found:
        return f"{tensor.name} = 0" if tensor.complete else rf"{tensor.name} = \ldots"
    lines = [f"{component_latex(tensor, index)} &= {sp.latex(value)}" for index, value in found.items()]
    if not tensor.complete:
        lines.append(r"& \ldots")
    return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"


def text(tensor: Components) -> str:
    """One line for each independent component that is not zero."""
    lines = [f"{component_text(tensor, index)} = {value}" for index, value in tensor.nonzero().items()]
    if not tensor.complete:
        lines.append(
            f"({len(tensor.independent) - len(tensor._ready)} components are not known: out of time)"
        )
    return "\n".join(lines) or f"{plain(tensor.name)} = 0"


def table(tensor: Components) -> str:
    """Return a table of independent components that are not zero."""
    rows: list[list[Any]] = [
        [component_text(tensor, index), str(value), int(sp.count_ops(value))]
        for index, value in tensor.nonzero().items()
    ]
    return text_table(["component", "expression", "operations"], rows)
