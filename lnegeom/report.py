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
from lnegeom._page_style import HEAD, STYLE

__all__ = ["Page", "check_folder", "environment", "text_table", "write_json"]

_NUMBER = re.compile(r"[-+−]?\d[\d.,]*(e[-+]?\d+)?( ?± ?[\d.,]+(e[-+]?\d+)?)?( ?[%×])?|–|nan|[-+−]?(inf|∞)")

_WIDE = 4
"""From so many columns on a table does not fit on a telephone, which shows each row as a list instead."""

_IMAGES = {b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif"}


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

        On a narrow screen a row of four cells or more is a list under the first of them.

        Raises
        ------
        InputError
            If a row has not one cell for each header.
        """
        cells, numeric = _cells(headers, rows)
        wide = len(headers) >= _WIDE
        classes = [' class="number"' if right else "" for right in numeric]
        labels = [f' data-label="{escape(header)}"' if wide else "" for header in headers]
        head, *body = (
            "".join(
                f"<{tag}{kind}{label if tag == 'td' else ''}>{escape(cell)}</{tag}>"
                for kind, label, cell in zip(classes, labels, row, strict=True)
            )
            for tag, row in zip(["th", *["td"] * len(rows)], cells, strict=True)
        )
        lines = "\n".join(f"<tr>{line}</tr>" for line in body)
        self._parts.append(
            f'<div class="table{" wide" if wide else ""}"><table>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{lines}\n</tbody>\n</table></div>"
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
        source, words = _data_url(kinds[0], content), escape(caption)
        self._parts.append(
            f'<figure><div class="picture"><img alt="{words}" src="{source}"></div>'
            f"<figcaption>{words}</figcaption></figure>"
        )

    def html(self) -> str:
        """Return the whole page."""
        head = HEAD.format(title=escape(self.title), style=STYLE)
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


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


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
