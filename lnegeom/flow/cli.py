"""The subcommand ``lnegeom flow``. numpy's companions are imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from lnegeom.cli import Command

__all__ = ["FLOW"]

KINDS = {
    "deturck": "Ricci–DeTurck flow on a flat torus, from a random perturbation of δ",
    "ricci": "plain Ricci flow on a flat torus, filtered: it leaves pure gauge where it is",
    "conformal": "w (dx² + dy²) on a 2-torus, ∂w/∂t = Δ log w",
    "box": "Ricci–DeTurck flow on a box, with g = δ on its faces",
    "homogeneous": "left-invariant metrics on a 3-dimensional group, as ODEs",
    "rotational": "a dumbbell on a sphere: its neck pinches, or it becomes round",
}


def _configure(parser: argparse.ArgumentParser) -> None:
    kinds = "\n".join(f"  {name:<12} {what}" for name, what in KINDS.items())
    parser.description = (
        f"Run a Ricci flow; write its numbers, a picture, an animation and a page.\n\nkinds:\n{kinds}"
    )
    parser.add_argument("--kind", choices=tuple(KINDS), default="deturck", help="default: deturck")
    parser.add_argument("--out", type=Path, required=True, help="folder for page, numbers and checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in --out")
    where = parser.add_argument_group("where")
    where.add_argument(
        "--dim", type=int, help="tori: 1 to 4, boxes: 1 to 3 (default: 2); rotational: default 3"
    )
    where.add_argument(
        "--size",
        type=int,
        help="points an axis (default: 64, 48, 24, 12 on a torus, by dimension; 16, 14, 9 in a box; 129 on "
        "a radius)",
    )
    where.add_argument("--length", type=float, help="side (default: 2π of a torus, π of a box)")
    start = parser.add_argument_group("from what")
    start.add_argument(
        "--amplitude", type=float, help="tori, boxes: largest |g − δ| in operator norm (default: 0.1)"
    )
    start.add_argument("--seed", type=int, help="tori, boxes: of the perturbation (default: 0)")
    start.add_argument(
        "--group", help="homogeneous: SU(2), SL(2), E(2), Sol, Nil or R3 (default: SU(2), a Berger sphere)"
    )
    start.add_argument(
        "--metric",
        type=float,
        nargs=3,
        metavar=("A", "B", "C"),
        help="homogeneous: the metric's diagonal in the group's frame (default: 0.2 1 1)",
    )
    start.add_argument(
        "--neck",
        type=float,
        help="rotational: thinness of the dumbbell; in three dimensions it pinches below about 2.73, and "
        "becomes round above (default: 0.2)",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--t-end", type=float, help="final time (default: long enough to fit a rate, else 1)")
    how.add_argument("--samples", type=int, default=101, help="sampled times (default: 101)")
    how.add_argument(
        "--normalised", action="store_true", help="homogeneous, rotational: keep the volume instead"
    )
    how.add_argument("--frames", type=int, default=60, help="of the animation; 0: none (default: 60)")


def _run(options: argparse.Namespace) -> None:
    from lnegeom.flow.experiment import run

    run(options, KINDS[options.kind])


FLOW = Command(
    summary="run a Ricci flow, with picture, animation and page",
    epilog="examples:\n"
    "  lnegeom flow --out runs/decay                                   how fast a perturbation decays\n"
    "  lnegeom flow --kind box --dim 2 --out runs/box                  all of it, between fixed faces\n"
    "  lnegeom flow --kind homogeneous --metric 0.2 1 1 --out runs/berger\n"
    "  lnegeom flow --kind homogeneous --group Nil --metric 1 1 1 --t-end 50 --out runs/nil\n"
    "  lnegeom flow --kind rotational --neck 0.2 --out runs/neck        a forming singularity\n\n"
    "Ctrl-C leaves a checkpoint in --out; the same command with --resume goes on and ends with the same\n"
    "numbers. lnegeom.flow.Solution.load reads solution.npz.",
    configure=_configure,
    run=_run,
)
