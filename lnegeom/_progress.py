"""How a long computation shows that it goes on: a bar in a terminal or a notebook, sparse lines elsewhere."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

__all__ = ["count_from_here", "progress_bar"]

INTERVAL = 10.0
"""Seconds between lines, at least."""

_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\r\n]")


def progress_bar(
    title: str,
    work: float | Sequence[Any],
    unit: str,
    *,
    initial: float = 0,
    show: bool = True,
    leave: bool = True,
    place: int | None = None,
    amount: str | None = None,
) -> Any:
    """A bar of tqdm's; where standard error is a pipe or a file, lines: at the start, at times, at the end.

    Parameters
    ----------
    title, unit : str
        What is computed, and what is counted.
    work : float or sequence
        How much there is to do, or what to go through: then the bar gives one after another.
    initial : float
        How much of it is done.
    show : bool
        Whether to show anything; ``TQDM_DISABLE=1`` in the environment shows nothing anywhere.
    leave : bool
        Whether the end stays to be seen.
    place : int, optional
        Line of the terminal, for one of several bars at once.
    amount : str, optional
        How to write what is done, in the terms of tqdm's ``bar_format``.
    """
    from tqdm.auto import notebook_tqdm, tqdm
    from tqdm.std import tqdm as plain_tqdm

    listed = isinstance(work, Sequence)
    common = {
        "iterable" if listed else "total": work,
        "initial": initial,
        "unit": unit,
        "leave": leave,
        **({} if show else {"disable": True}),  # else TQDM_DISABLE says it
    }
    if sys.stderr.isatty() or notebook_tqdm is not plain_tqdm:
        form = (
            None if amount is None else f"{{l_bar}}{{bar}}| {amount} [{{elapsed}}<{{remaining}}{{postfix}}]"
        )
        return tqdm(desc=title, position=place, bar_format=form, **common)
    return tqdm(
        desc=f"{title}: ",
        bar_format=f"{{desc}}{amount or f'{{n_fmt}}/{{total_fmt}} {unit}s'} "
        "[{elapsed}<{remaining}{postfix}]",
        file=_Lines(sys.stderr),
        position=0,  # one below another would move the cursor
        **common,
    )


def count_from_here(bar: Any) -> None:
    """Take the time that is left from what follows alone: what was done before, a resumed run has at once."""
    bar.initial = bar.last_print_n = bar.n


class _Lines:
    """A stream that takes what tqdm writes to redraw a line, and writes a line now and then, and the last."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._newest = self._written = ""
        self._next = -math.inf

    def write(self, text: str) -> None:
        line = _CONTROL.sub("", text).rstrip()
        self._newest = line or self._newest
        now = time.monotonic()
        # A bar that is to stay ends with a line break of its own; its times alone are no news.
        news = self._newest.partition(" [")[0] != self._written.partition(" [")[0]
        if (line and now >= self._next) or (text == "\n" and news):
            self._stream.write(f"{self._newest}\n")
            self._written, self._next = self._newest, now + INTERVAL

    def flush(self) -> None:
        self._stream.flush()
