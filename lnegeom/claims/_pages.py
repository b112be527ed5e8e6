"""Measured claims as JSON, as an HTML page, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from lnegeom.claims._claim import Claim, Finding, Group, Status
from lnegeom.claims._registry import groups
from lnegeom.report import Page

__all__ = ["markdown", "page", "plain"]

INTRODUCTION = (
    "What the papers claim, in our words; what is so; and figures that `lnegeom claims NAME` measures anew, "
    "each with the bounds that it must meet. ManiQuant is *Riemannian manifold embeddings for "
    "straight-through estimator*, RF-DNN *Learning discretized neural networks under Ricci flow* "
    "(arXiv 2302.03390)."
)
COLUMNS = ["figure", "measured", "expected"]


def plain(finding: Finding) -> dict[str, Any]:
    """What JSON can hold of a measured claim; a bound that there is not is null."""
    claim = finding.claim
    return {
        "name": claim.name,
        "source": claim.source,
        "statement": claim.statement,
        "status": claim.status,
        "instead": claim.instead,
        "how": claim.how,
        "where": list(claim.where),
        "seconds": finding.seconds,
        "missing": finding.missing or None,
        "figures": [
            {
                "name": figure.name,
                "value": figure.value,
                "low": figure.low if math.isfinite(figure.low) else None,
                "high": figure.high if math.isfinite(figure.high) else None,
                "met": figure.met,
            }
            for figure in finding.figures
        ],
    }


def page(findings: Sequence[Finding], command: str, versions: dict[str, str]) -> Page:
    """The findings as one HTML page."""
    made = Page("What the papers claim, and what is so")
    made.text(INTRODUCTION.replace("`", "").replace("*", ""))
    made.table(["status", "claims"], _counts(findings))
    for group, own in _grouped(findings):
        made.heading(group.title)
        made.table(["claim", "status"], [[f.claim.name, f.claim.status] for f in own])
        for finding in own:
            claim = finding.claim
            made.heading(f"{claim.name}: {claim.status}")
            made.text(f"{claim.statement} ({claim.source})")
            made.text(f"{_label(claim.status)}: {claim.instead}")
            made.text(f"Measured: {finding.missing or claim.how}")
            if finding.figures:
                made.table([*COLUMNS, "met"], [[*row, "yes" if met else "NO"] for row, met in _rows(finding)])
            made.text(f"More: {', '.join(claim.where)}")
    made.heading("What was run")
    made.code(command)
    made.table(["environment", "version"], [[name, value] for name, value in versions.items()])
    return made


def markdown(findings: Sequence[Finding]) -> str:
    """The findings as Markdown, as docs/claims.md holds them."""
    parts = [
        "# What the papers claim, and what is so",
        INTRODUCTION,
        "    lnegeom claims --all --out runs/claims",
    ]
    parts.append(_table(["status", "claims"], _counts(findings)))
    for group, own in _grouped(findings):
        parts += [f"## {group.title}", _table(["claim", "status"], [_link(f.claim) for f in own])]
        for finding in own:
            claim = finding.claim
            parts += [
                f"### `{claim.name}`: {claim.status}",
                f"**Claim** ({claim.source}): {_escaped(claim.statement)}",
                f"**{_label(claim.status)}**: {_escaped(claim.instead)}",
                f"**Measured**: {_escaped(finding.missing or claim.how)}",
            ]
            if finding.figures:
                parts.append(_table(COLUMNS, [row for row, _ in _rows(finding)]))
            parts.append("More: " + ", ".join(f"`{place}`" for place in claim.where))
    return "\n\n".join(parts) + "\n"


def _link(claim: Claim) -> list[str]:
    """Name, leading to its heading, and status."""
    anchor = f"{claim.name}-{claim.status}".replace(" ", "-")
    return [f"[{claim.name}](#{anchor})", claim.status]


def _label(status: Status) -> str:
    return "Note" if status == "holds" else "What is so"


def _counts(findings: Sequence[Finding]) -> list[list[Any]]:
    return [[status, sum(f.claim.status == status for f in findings)] for status in get_args(Status)]


def _grouped(findings: Sequence[Finding]) -> Iterator[tuple[Group, list[Finding]]]:
    by_name = {finding.claim.name: finding for finding in findings}
    for group in groups():
        own = [by_name[claim.name] for claim in group.claims if claim.name in by_name]
        if own:
            yield group, own


def _rows(finding: Finding) -> list[tuple[list[str], bool]]:
    return [([f.name, f"{f.value:.4g}", f.bound], f.met) for f in finding.figures]


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(_escaped(str(cell)) for cell in line) + " |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*").replace("_", r"\_")
