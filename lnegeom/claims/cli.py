"""The subcommand ``lnegeom claims``. The claims are loaded when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from lnegeom.cli import Command

__all__ = ["CLAIMS"]


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="claims to measure and explain")
    parser.add_argument("--all", action="store_true", help="measure every claim")
    parser.add_argument(
        "--out", type=Path, help="folder for page, numbers and Markdown; of every claim unless some are named"
    )


def _run(options: argparse.Namespace) -> None:
    from lnegeom.claims._run import run

    run(options.names, every=options.all, out=options.out)


CLAIMS = Command(
    summary="what the papers claim, what of it is so, and the evidence",
    epilog="examples:\n"
    "  lnegeom claims                                     the table: name, status, claim\n"
    "  lnegeom claims hyperbolic-metric weak-inverse      measure two of them, and explain\n"
    "  lnegeom claims --all                               measure all, under a minute\n"
    "  lnegeom claims --out runs/claims                   the same, with a page, JSON and claims.md\n\n"
    "A figure outside its bounds ends the command with status 1. docs/claims.md is claims.md.",
    configure=_configure,
    run=_run,
)
