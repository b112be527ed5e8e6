"""What a run leaves behind to read: a page in one file, tables for the terminal, numbers as JSON."""

from __future__ import annotations

import base64
import json
import os
import platform
import re
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from lnegeom._array import InputError

__all__ = ["Page", "check_folder", "environment", "text_table", "write_json"]

_NUMBER = re.compile(r"[-+−]?\d[\d.,]*(e[-+]?\d+)?( ?± ?[\d.,]+(e[-+]?\d+)?)?( ?[%×])?|–|nan|[-+−]?(inf|∞)")

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1c2126; --soft: #5d6771; --line: #dde2e7; --paper: #fff; --tint: #f5f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #9aa5b0; --line: #333b44; --paper: #15191e; --tint: #1d2329; }
}
body { margin: 0 auto; padding: 3rem 1.25rem 5rem; max-width: 48rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
h1, h2 { line-height: 1.25; text-wrap: balance; }
h1 { margin: 0 0 1.5rem; font-size: 1.9rem; letter-spacing: -0.01em; }
h2 { margin: 2.5rem 0 0.75rem; font-size: 1.25rem; }
p { margin: 0.75rem 0; white-space: pre-line; }
.table { margin: 1.25rem 0; overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.925rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 1.5rem 0.4rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
th.number, td.number { text-align: right; white-space: nowrap; }
figure { margin: 1.75rem 0; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
figcaption { margin-top: 0.5rem; color: var(--soft); font-size: 0.9rem; }
pre { margin: 1.25rem 0; padding: 0.9rem 1.1rem; overflow-x: auto;
  border-radius: 6px; background: var(--tint); font: 0.875rem/1.5 ui-monospace, monospace; }
"""

_IMAGES = {b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif"}

# The policy forbids what the page must not need: anything from outside the file, and scripts.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
"""


class Page:
    """An HTML page in one file: figures inside, nothing fetched, no scripts, light or dark as the reader is.

    All that is given as text is shown as it is written, markup included. What is added first stands first.

    Parameters
    ----------
    title : str
        Title of the window and of the page.

    Examples
    --------
    >>> page = Page("Ricci flow")
    >>> page.text("Decay of the metric to the flat one.")
    >>> page.table(["quantity", "value"], [["rate", 39.5], ["steps", 1200]])
    >>> '<td class="number">39.5</td>' in page.html()
    True
    """

    def __init__(self, title: str):
        self.title = title
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, paragraph: str) -> None:
        """Add a paragraph; its line breaks are kept."""
        self._parts.append(f"<p>{escape(paragraph)}</p>")

    def code(self, text: str) -> None:
        """Add a block of code, a command, or a terminal's output."""
        self._parts.append(f"<pre><code>{escape(text)}</code></pre>")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table; cells are written, and columns of numbers aligned, as in `text_table`.

        Raises
        ------
        InputError
            If a row has not one cell for each header.
        """
        cells, numeric = _cells(headers, rows)
        classes = [' class="number"' if right else "" for right in numeric]
        lines = [
            "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(classes, row, strict=True))
            for tag, row in zip(["th", *["td"] * len(rows)], cells, strict=True)
        ]
        body = "\n".join(f"<tr>{line}</tr>" for line in lines[1:])
        self._parts.append(
            f'<div class="table"><table>\n<thead><tr>{lines[0]}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody>\n</table></div>"
        )

    def figure(self, image: str | Path | bytes, caption: str) -> None:
        """Add an image, copied into the page.

        Parameters
        ----------
        image : path or bytes
            A PNG or GIF file, or its content.
        caption : str
            Stands under it, and instead of it where images are not seen.

        Raises
        ------
        InputError
            If it is neither.
        """
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
        kinds = [kind for start, kind in _IMAGES.items() if content.startswith(start)]
        if not kinds:
            source = "bytes" if isinstance(image, bytes) else str(image)
            raise InputError(
                f"expected a PNG or GIF image, got {source} beginning with {content[:8]!r}; save it as PNG"
            )
        data, words = base64.b64encode(content).decode("ascii"), escape(caption)
        self._parts.append(
            f'<figure><img alt="{words}" src="data:image/{kinds[0]};base64,{data}">'
            f"<figcaption>{words}</figcaption></figure>"
        )

    def html(self) -> str:
        """Return the whole page."""
        head = _HEAD.format(title=escape(self.title), style=_STYLE)
        return head + "\n".join(self._parts) + "\n</body>\n</html>\n"

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all, and return its path; folders on the way are made."""
        return _replace(Path(path), self.html())


def text_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write a table in plain columns, for the terminal.

    Floats are written with up to six digits, `None` as a dash. A column is aligned to the right if every cell
    is a number, or text that reads as one ("95.7 ± 0.1", "12 %").

    Parameters
    ----------
    headers : sequence of str
        One for each column.
    rows : sequence of sequences
        Each with one cell for each header.

    Returns
    -------
    str
        Lines of equal columns, without a line break at the end.

    Raises
    ------
    InputError
        If a row has not one cell for each header.

    Examples
    --------
    >>> print(text_table(["method", "accuracy"], [["ste", 93.9], ["dorefa", "95.7 ± 0.1"]]))
    method    accuracy
    ------  ----------
    ste           93.9
    dorefa  95.7 ± 0.1
    """
    cells, numeric = _cells(headers, rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    )


def write_json(path: str | Path, obj: Any) -> Path:
    """Write numbers as JSON that any reader takes: numpy's become plain, NaN and infinity are refused.

    The file is replaced at once, when all is written: an interruption leaves the old one.

    Parameters
    ----------
    path : path
        Where to; folders on the way are made.
    obj : object
        Dicts, lists, strings, numbers, None, numpy arrays and scalars, paths.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputError
        If something in `obj` cannot be written: NaN, infinity, or another type.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(write_json(folder + "/rate.json", {"rate": np.float64(39.5)}).read_text())
    {
      "rate": 39.5
    }
    """
    try:
        text = json.dumps(obj, indent=2, allow_nan=False, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: expected finite numbers, text, lists and dicts ({error})") from error
    return _replace(Path(path), text + "\n")


def environment() -> dict[str, str]:
    """Versions of Python and of what the core computes with.

    Examples
    --------
    >>> list(environment())
    ['python', 'lnegeom', 'numpy', 'scipy']
    """
    packages = ("lnegeom", "numpy", "scipy")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def check_folder(out: Path, name: str = "--out") -> None:
    """Raise an InputError where a file is in the way of a run's folder, which the message calls `name`."""
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise InputError(f"{name} takes a folder, and {nearest} is a file")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is none of them")


def _replace(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _cells(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list[list[str]], list[bool]]:
    """Headers and rows as text, and which columns are numbers."""
    for index, row in enumerate(rows):
        if len(row) != len(headers):
            raise InputError(
                f"row {index} has {len(row)} cells: expected {len(headers)}, one for each header"
            )
    body = [[_written(cell) for cell in row] for row in rows]
    numeric = [bool(body) and all(map(_NUMBER.fullmatch, column)) for column in zip(*body, strict=True)]
    return [list(headers), *body], numeric or [False] * len(headers)


def _written(cell: Any) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, Real) and not isinstance(cell, Integral):
        return f"{float(cell):.6g}"
    return str(cell)
