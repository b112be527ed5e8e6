"""A run of ``lnegeom claims``: what it prints, and the folder that it leaves."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from lnegeom._array import InputError
from lnegeom._progress import progress_bar
from lnegeom.claims._claim import Claim, Finding
from lnegeom.claims._pages import markdown, page, plain
from lnegeom.claims._registry import find, groups
from lnegeom.report import check_folder, environment, text_table, write_json

__all__ = ["run"]

WIDEST = 110


def run(names: Sequence[str], *, every: bool = False, out: Path | None = None) -> list[Finding]:
    """List the claims, or measure those that are asked for, print what came out and write the folder.

    Raises
    ------
    InputError
        If there is no claim of a name, names come with `every`, or `out` is a file.
    RuntimeError
        If a figure is outside its bounds; everything has been printed and written then.
    """
    if names and every:
        raise InputError("expected names or --all, got both; --all measures every claim")
    if out is not None:
        check_folder(out)
    if not (names or every or out):
        print(_overview())
        return []
    chosen = find(names) if names else [claim for group in groups() for claim in group.claims]
    findings = _measured(chosen)
    print("\n\n".join(map(_explained, findings)) if names else _summary(findings))
    if out is not None:
        _write(out, findings, names)
        print(f"\nwrote {out / 'index.html'}")
    _raise_if_not_met(findings)
    return findings


def _measured(claims: Sequence[Claim]) -> list[Finding]:
    findings = []
    with progress_bar("measuring", len(claims), "claim", leave=False) as bar:
        for claim in claims:
            bar.set_postfix_str(claim.name)
            findings.append(claim.measure())
            bar.update()
    return findings


def _raise_if_not_met(findings: Sequence[Finding]) -> None:
    outside = [
        f"{finding.claim.name}: {figure.name} is {figure.value:.3g}, expected {figure.bound}"
        for finding in findings
        for figure in finding.figures
        if not figure.met
    ]
    if outside:
        raise RuntimeError(
            "figures outside their bounds, so that what is said is not shown: " + "; ".join(outside)
        )


def _overview() -> str:
    """All claims by subject, each over as many lines as its statement takes."""
    listed = groups()
    name = max(len(claim.name) for group in listed for claim in group.claims)
    status = max(len(claim.status) for group in listed for claim in group.claims)
    room = max(30, min(shutil.get_terminal_size((WIDEST, 1)).columns, WIDEST) - name - status - 4)
    lines = []
    for group in listed:
        lines += [group.title.upper(), ""]
        for claim in group.claims:
            first, *rest = textwrap.wrap(claim.statement, room)
            lines.append(f"{claim.name:<{name}}  {claim.status:<{status}}  {first}")
            lines += [" " * (name + status + 4) + more for more in rest]
        lines.append("")
    return "\n".join([*lines, "lnegeom claims NAME… measures and explains; --all measures every claim."])


def _summary(findings: Sequence[Finding]) -> str:
    rows = [
        [
            finding.claim.name,
            finding.claim.status,
            finding.missing or f"{sum(f.met for f in finding.figures)} of {len(finding.figures)}",
            f"{finding.seconds:.1f} s",
        ]
        for finding in findings
    ]
    return text_table(["claim", "status", "figures inside their bounds", "time"], rows)


def _explained(finding: Finding) -> str:
    claim = finding.claim
    room = min(shutil.get_terminal_size((WIDEST, 1)).columns, WIDEST)

    def paragraph(label: str, text: str) -> str:
        return textwrap.fill(f"{label:<9}{text}", room, subsequent_indent=" " * 9, break_on_hyphens=False)

    lines = [
        f"{claim.name}: {claim.status}",
        paragraph("claim", f"{claim.statement} ({claim.source})"),
        paragraph("instead" if claim.status != "holds" else "note", claim.instead),
        paragraph("measured", finding.missing or claim.how),
        paragraph("more", ", ".join(claim.where)),
    ]
    if finding.figures:
        rows = [[f.name, f"{f.value:.4g}", f.bound, "yes" if f.met else "NO"] for f in finding.figures]
        lines += ["", text_table(["figure", "measured", "expected", "met"], rows)]
    return "\n".join(lines)


def _write(out: Path, findings: Sequence[Finding], names: Sequence[str]) -> None:
    command = shlex.join(["lnegeom", "claims", *(names or ["--all"]), "--out", str(out)])
    versions = environment()
    results = {"command": command, "environment": versions, "claims": [plain(f) for f in findings]}
    write_json(out / "results.json", results)
    page(findings, command, versions).save(out / "index.html")
    (out / "claims.md").write_text(markdown(findings), encoding="utf-8")
