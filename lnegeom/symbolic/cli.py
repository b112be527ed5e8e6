"""The subcommand ``lnegeom curvature``. sympy is imported when it runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnegeom._array import InputError
from lnegeom.cli import Command
from lnegeom.symbolic._budget import TimeBudgetError

if TYPE_CHECKING:
    from lnegeom.symbolic.metric import Metric
    from lnegeom.symbolic.tensor import Tensor

__all__ = ["CURVATURE"]

_TENSORS = {
    "metric": "tensor",
    "inverse": "inverse",
    "christoffel": "christoffel",
    "riemann": "riemann_lowered",
    "ricci": "ricci",
    "scalar": "scalar",
    "einstein": "einstein",
    "weyl": "weyl",
    "kretschmann": "kretschmann",
}
_DEFAULT = ("metric", "christoffel", "ricci", "scalar")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "metric", metavar="NAME|FILE", nargs="?", help="a metric of the catalogue, or a .toml file"
    )
    parser.add_argument("--list", action="store_true", help="list the catalogue")
    parser.add_argument("--n", type=int, help="dimension, where the name leaves it open")
    parser.add_argument(
        "--tensor",
        action="append",
        choices=tuple(_TENSORS),
        help=f"what to show; may be repeated (default: {', '.join(_DEFAULT)})",
    )
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--text", dest="style", action="store_const", const="text", help="lines (default)")
    style.add_argument("--latex", dest="style", action="store_const", const="latex", help="aligned equations")
    style.add_argument("--json", dest="style", action="store_const", const="json", help="one JSON object")
    parser.set_defaults(style="text")
    parser.add_argument("--simplify", default="factor", help="factor, normal or short (default: factor)")
    parser.add_argument(
        "--budget", type=float, help="seconds to build the metric, to compute and to write each tensor"
    )
    parser.add_argument("--progress", action="store_true", help="show a bar for each tensor")


def _run(options: argparse.Namespace) -> None:
    from lnegeom.symbolic.catalogue import CATALOGUE, from_name
    from lnegeom.symbolic.files import from_toml

    if options.list:
        print("\n".join(CATALOGUE))
        return
    if options.metric is None:
        raise InputError("expected a name or a .toml file; --list shows the names")
    settings: dict[str, Any] = {
        "simplify": options.simplify,
        "budget": options.budget,
        "progress": options.progress,
    }
    if options.metric.endswith(".toml"):
        if options.n is not None:
            raise InputError("a file has its own dimension: leave --n out")
        metric = from_toml(Path(options.metric), **settings)
    else:
        metric = from_name(options.metric, options.n, **settings)
    _show(metric, options.tensor or list(_DEFAULT), options.style)


def _show(metric: Metric, names: list[str], style: str) -> None:
    """Print tensors; if the time is over, what is ready, and then raise."""
    found, late = _computed(metric, names)
    about = _about(metric)
    if style == "json":
        print(json.dumps({**about, "tensors": {k: _plain(t) for k, t in found.items()}}, indent=2))
    elif style == "latex":
        print("\n\n".join(tensor.latex() for tensor in found.values()))
    else:
        print(f"coordinates {', '.join(about['coordinates'])}; field {about['field']}")
        for name, tensor in found.items():
            print(f"\n{name}\n{tensor}")
    if late is not None:
        raise late


def _computed(metric: Metric, names: list[str]) -> tuple[dict[str, Tensor], Exception | None]:
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = getattr(metric, _TENSORS[name])
        except TimeBudgetError as error:
            return {**found, name: error.partial}, error
    return found, None


def _about(metric: Metric) -> dict[str, Any]:
    return {
        "coordinates": [str(c) for c in metric.coordinates],
        "parameters": [str(p) for p in metric.parameters],
        "structure": list(metric.structure),
        "field": metric.field_description,
    }


def _plain(tensor: Tensor) -> dict[str, Any]:
    components = [{"index": list(i), "expression": str(e)} for i, e in tensor.nonzero().items()]
    shown = {"indices": list(tensor.variance), "complete": tensor.complete, "nonzero": components}
    if not tensor.complete:
        return shown
    try:
        zero = tensor.is_zero()
    except InputError as error:  # not decided
        return {**shown, "zero": None, "zero_test": str(error)}
    return {**shown, "zero": zero.value, "zero_test": f"{zero.method}: {zero.statement}"}


CURVATURE = Command(
    summary="Christoffel symbols and curvature of a metric, exactly",
    epilog="examples:\n"
    "  lnegeom curvature kerr --tensor ricci --tensor kretschmann\n"
    "  lnegeom curvature lne --n 4 --latex\n"
    "  lnegeom curvature my-metric.toml --json\n\n"
    "A file holds coordinates, parameters and one of matrix, diagonal, potential or graph:\n"
    '  coordinates = ["r", "phi"]\n'
    '  parameters = ["M"]\n'
    '  diagonal = ["1/(1 - 2*M/r)", "r**2"]',
    configure=_configure,
    run=_run,
)
