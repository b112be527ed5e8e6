"""Work that looks at no clock, in an interpreter of its own that can be ended."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from lnegeom._array import InputError
from lnegeom.symbolic._budget import TimeBudgetError

Report = Callable[[str], None]

_SERVE = "from lnegeom.symbolic._child import serve; serve()"


def run_limited(function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
    """Return ``function(*arguments, report)``, computed in a child process that is killed in time.

    Parameters
    ----------
    function : callable
        Defined at the top of a module. It calls ``report(text)`` with what it is about to do.
    *arguments
        What can be pickled: they go through a pipe to our own child, and come from nowhere else.
    seconds : float
        The limit, in which the child's start counts.

    Raises
    ------
    InputError
        That the function raised.
    TimeBudgetError
        If the time is over; the message says what the child was doing.
    """
    # The child finds its modules where this process does.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        try:
            out, _ = process.communicate(pickle.dumps((function, arguments)), timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            doing = [text for kind, text in _messages(out) if kind == "report"]
            told = f" while {doing[-1]}" if doing else ""
            raise TimeBudgetError(f"the time budget of {seconds:g} s is spent{told}") from None
        finally:
            process.kill()
    kind, value = _messages(out)[-1] if out else ("", None)
    if kind == "error":
        raise InputError(str(value))
    if kind != "value":
        raise RuntimeError(f"the child process ended with status {process.returncode}; its error is above")
    return value


def _messages(out: bytes) -> list[tuple[str, Any]]:
    """Return what came whole; the child may have been stopped in the middle of a message."""
    stream, found = io.BytesIO(out), []
    while stream.tell() < len(out):
        try:
            found.append(pickle.load(stream))
        except (EOFError, pickle.UnpicklingError):
            break
    return found


def serve() -> None:
    """Do what standard input says, and tell of it on standard output."""
    function, arguments = pickle.load(sys.stdin.buffer)
    out, sys.stdout = sys.stdout.buffer, sys.stderr

    def send(kind: str, value: Any) -> None:
        pickle.dump((kind, value), out)
        out.flush()

    try:
        send("value", function(*arguments, lambda text: send("report", text)))
    except InputError as error:
        send("error", str(error))
