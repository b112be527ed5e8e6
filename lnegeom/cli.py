"""The command line: subcommands register through the entry-point group ``lnegeom.commands``.

Nothing here imports torch. A command's own imports happen when it runs, so that ``lnegeom --help`` is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from typing import NoReturn

from lnegeom._array import InputError

__all__ = ["Command", "main"]

_BAD_INPUT, _FAILED, _INTERRUPTED = 2, 1, 130


@dataclass(frozen=True)
class Command:
    """A subcommand of ``lnegeom``.

    Parameters
    ----------
    summary : str
        One line for the list of commands.
    epilog : str
        Examples, shown under the command's own help.
    configure : callable
        Adds the command's arguments to its parser.
    run : callable
        Does the work. It may raise InputError or FileNotFoundError for bad input, and RuntimeError for a run
        that failed; their message is all the user sees.
    """

    summary: str
    epilog: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_INPUT, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser(commands: dict[str, Command]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="lnegeom",
        description="Geometry that trains discretized networks: divergences, curvature, Ricci flow, and "
        "training with 1 to 8 bits.",
        epilog="Begin with: lnegeom demo",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lnegeom {version('lnegeom')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    for name, command in commands.items():
        subparser = subparsers.add_parser(
            name,
            help=command.summary,
            description=command.summary,
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.configure(subparser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 (failed), 2 (bad input), 130 (interrupted)."""
    commands = {entry.name: entry.load() for entry in sorted(entry_points(group="lnegeom.commands"))}
    options = _parser(commands).parse_args(arguments)
    try:
        commands[options.command].run(options)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InputError, OSError) as error:
        return _complain(options.command, str(error), _BAD_INPUT)
    except ImportError as error:
        hint = "" if "pip install" in str(error) else '; pip install "lnegeom[all]" adds what commands need'
        return _complain(options.command, f"{error}{hint}", _BAD_INPUT)
    except RuntimeError as error:
        return _complain(options.command, str(error), _FAILED)
    except KeyboardInterrupt as error:
        return _complain(options.command, str(error) or "interrupted", _INTERRUPTED)
    return 0


def _complain(command: str, message: str, status: int) -> int:
    print(f"lnegeom {command}: error: {message}", file=sys.stderr)
    return status
