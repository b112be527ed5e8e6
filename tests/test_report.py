"""The page, the table for the terminal, and JSON."""

import base64
import json
import re
import struct
import subprocess
import sys
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.report import Page, text_table, write_json

NASTY = "<script>alert(\"1 & 2\")</script> 'τ' </title></pre>&amp;"


def png():
    """A grey pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")


class Reader(HTMLParser):
    """What a browser would see: texts by tag, and the attributes of every tag; tags must close in order."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.tags, self.open = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag):
        return [data for name, data in self.texts if name == tag]


def full_page():
    page = Page(NASTY)
    page.heading("heading " + NASTY)
    page.text("text " + NASTY)
    page.code("code " + NASTY)
    page.table(["name " + NASTY, "value"], [["cell " + NASTY, 1.5], ["b", None]])
    page.figure(png(), "caption " + NASTY)
    return page


def test_all_text_reads_as_it_was_given_and_nothing_of_it_is_markup():
    seen = Reader(full_page().html())
    assert seen.text("title") == seen.text("h1") == [NASTY]
    assert seen.text("h2") == ["heading " + NASTY]
    assert seen.text("p") == ["text " + NASTY]
    assert seen.text("code") == ["code " + NASTY]
    assert seen.text("th") == ["name " + NASTY, "value"]
    assert seen.text("td") == ["cell " + NASTY, "1.5", "b", "–"]
    assert seen.text("figcaption") == ["caption " + NASTY]
    assert seen.all("img")[0]["alt"] == "caption " + NASTY
    assert seen.all("script") == []
    assert seen.open == []


def test_parts_stand_in_the_order_they_were_added():
    order = [
        tag
        for tag, _ in Reader(full_page().html()).tags
        if tag in ("h1", "h2", "p", "pre", "table", "figure")
    ]
    assert order == ["h1", "h2", "p", "pre", "table", "figure"]


@pytest.mark.parametrize("kind", ["bytes", "path", "str"])
def test_figure_is_in_the_page_byte_for_byte(tmp_path, kind):
    path = tmp_path / "figure.png"
    path.write_bytes(png())
    page = Page("figure")
    page.figure({"bytes": png(), "path": path, "str": str(path)}[kind], "a pixel")
    (image,) = Reader(page.html()).all("img")
    head, _, data = image["src"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == png()


def test_page_asks_for_nothing_outside_itself():
    page = full_page()
    html = page.html()
    assert not re.search(
        r"http:|https:|url\(|@import|//",
        html.replace("</", "<").replace(base64.b64encode(png()).decode(), ""),
    )
    seen = Reader(html)
    sources = [value for _, tag in seen.tags for key, value in tag.items() if key in ("src", "href")]
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "prefers-color-scheme: dark" in html


def test_figure_may_move():
    page = Page("x")
    page.figure(b"GIF89a", "in motion")
    assert 'alt="in motion" src="data:image/gif;base64,R0lGODlh"' in page.html()


def test_figure_must_be_png_or_gif(tmp_path):
    (tmp_path / "figure.svg").write_text("<svg/>")
    with pytest.raises(InputError, match=r"expected a PNG or GIF image, got \S+figure\.svg"):
        Page("x").figure(tmp_path / "figure.svg", "")
    with pytest.raises(InputError, match="got bytes"):
        Page("x").figure(b"\xff\xd8\xff", "")
    with pytest.raises(FileNotFoundError):
        Page("x").figure(tmp_path / "none.png", "")


def test_only_columns_of_numbers_are_aligned_right():
    page = Page("x")
    rows = [["a", 1, "95.7 ± 0.1", "1e-3", "12%", "3 of 4"], ["2", -2.5, "96.0 ± 0.12", None, "−7.5 %", "5"]]
    page.table(["name", "n", "accuracy", "rate", "share", "text"], rows)
    cells = [tag.get("class") for tag in Reader(page.html()).all("td")]
    assert cells == [None, "number", "number", "number", "number", None] * 2
    assert [tag.get("class") for tag in Reader(page.html()).all("th")] == cells[:6]


def test_a_narrow_screen_has_the_column_beside_each_cell_of_a_wide_table():
    page = Page("x")
    headers = ["method", 'against "ste"', "drop", "time"]
    page.table(headers, [["wcg", 0.5, 1.0, "1.1 ×"], ["rf", None, 2.0, "5 ×"]])
    page.table(["option", "value"], [["data", "digits"]])
    seen = Reader(page.html())
    assert [tag.get("data-label") for tag in seen.all("td")] == [*headers * 2, None, None]
    assert [tag.get("class") for tag in seen.all("div")] == ["table wide", "table"]
    ((style,),) = [re.findall(r"@media \(max-width.*", text, re.DOTALL) for text in seen.text("style")]
    assert ".wide thead { display: none; }" in style  # nothing is said twice
    assert ".wide td::before { content: attr(data-label)" in style


def test_page_is_saved_as_utf8_in_a_folder_it_makes(tmp_path):
    page = full_page()
    path = page.save(tmp_path / "runs" / "index.html")
    assert path.read_text(encoding="utf-8") == page.html()
    assert [child.name for child in path.parent.iterdir()] == ["index.html"]


def test_text_table_aligns_words_left_and_numbers_right():
    rows = [
        ["ste", 93.9, np.float32(0.1), None],
        ["dorefa", "95.7 ± 0.1", 1 / 3, 1200],
        ["τ", 0.0, np.inf, np.int64(7)],
    ]
    assert text_table(["method", "accuracy", "x", "steps"], rows).split("\n") == [
        "method    accuracy         x  steps",
        "------  ----------  --------  -----",
        "ste           93.9       0.1      –",
        "dorefa  95.7 ± 0.1  0.333333   1200",
        "τ                0       inf      7",
    ]


def test_table_without_rows_is_its_headers():
    assert text_table(["a", "bc"], []) == "a  bc\n-  --"
    page = Page("x")
    page.table(["a", "bc"], [])
    assert Reader(page.html()).text("th") == ["a", "bc"]


@pytest.mark.parametrize("row", [[1], [1, 2, 3]])
def test_row_that_does_not_fit_the_headers_is_named(row):
    with pytest.raises(InputError, match=r"row 1 has \d cells: expected 2"):
        text_table(["a", "b"], [[1, 2], row])
    with pytest.raises(InputError, match=r"row 1 has \d cells: expected 2"):
        Page("x").table(["a", "b"], [[1, 2], row])


def test_json_comes_back_and_numpy_becomes_plain(tmp_path):
    given = {
        "a": np.arange(3.0),
        "n": np.int64(2),
        "τ": [1, None, True],
        "path": tmp_path,
        "f": np.float32(0.5),
    }
    path = write_json(tmp_path / "made" / "a.json", given)
    expected = {"a": [0.0, 1.0, 2.0], "n": 2, "τ": [1, None, True], "path": str(tmp_path), "f": 0.5}
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == expected
    assert text.startswith('{\n  "a": [\n    0.0,')
    assert '"τ"' in text
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    "bad",
    [float("nan"), -float("inf"), np.array([1.0, np.nan]), np.float32("nan"), object(), {(1, 2): 3}, {1, 2}],
)
def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path, bad):
    path = write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(InputError, match=r"a\.json: expected finite numbers"):
        write_json(path, {"new": [bad]})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]


def test_file_is_replaced_at_once_and_no_draft_stays(tmp_path, monkeypatch):
    path = write_json(tmp_path / "a.json", {"old": 1})
    seen = []

    def broken(draft, target):
        seen.append((draft.read_text(), path.read_text()))
        raise OSError("no space left")

    monkeypatch.setattr(type(path), "replace", broken)
    with pytest.raises(OSError, match="no space"):
        write_json(path, {"new": 2})
    monkeypatch.undo()
    assert [tuple(map(json.loads, pair)) for pair in seen] == [({"new": 2}, {"old": 1})]
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]
    assert json.loads(path.read_text()) == {"old": 1}


def test_report_needs_neither_torch_nor_matplotlib():
    code = "import sys, lnegeom.report; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
