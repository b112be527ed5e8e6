"""Progress: a bar in a terminal, sparse plain lines in a pipe or a file."""

import io
import os
import subprocess
import sys

import pytest

from lnegeom import _progress
from lnegeom._progress import count_from_here, progress_bar


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    seconds = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: seconds[0])
    return seconds


def states(text):
    """What the lines say, without the times."""
    assert not {"\r", "\x1b"} & set(text)
    return [line.partition(" [")[0] for line in text.splitlines()]


def test_a_pipe_gets_the_first_state_one_now_and_then_and_the_last(capsys, clock):
    with progress_bar("training", 100, "epoch") as bar:
        for _ in range(100):
            clock[0] += 1.0
            bar.update()
            bar.set_postfix(loss="0.5")
    shown = capsys.readouterr().err
    assert states(shown) == [f"training: {n}/100 epochs" for n in (0, *range(10, 100, 10), 100)]
    assert shown.splitlines()[-1].endswith(", loss=0.5]")


def test_quick_work_takes_two_lines_of_a_pipe_and_what_does_not_stay_one(capsys, clock):
    assert list(progress_bar("animation", [7, 8, 9], "frame")) == [7, 8, 9]
    for step in progress_bar("claims", "abc", "claim", leave=False):
        assert step in "abc"
        clock[0] += 20.0
    assert states(capsys.readouterr().err) == [
        "animation: 0/3 frames",
        "animation: 3/3 frames",
        "claims: 0/3 claims",
    ]


def test_bars_within_one_another_and_amounts_of_ones_own(capsys, clock):
    with (
        progress_bar("outer", 2, "run") as outer,
        progress_bar("flow", 0.3, "t", amount="t = {n:.4g}") as bar,
    ):
        bar.update(0.1)
        bar.update(0.2)
        outer.update(2)
    assert states(capsys.readouterr().err) == [
        "outer: 0/2 runs",
        "flow: t = 0",
        "flow: t = 0.3",
        "outer: 2/2 runs",
    ]


def test_an_error_at_the_start_is_not_preceded_by_the_same_line_twice(capsys):
    bar = progress_bar("training", 100, "epoch")
    bar.start_t -= 5.0  # later, nothing is done
    bar.close()
    assert states(capsys.readouterr().err) == ["training: 0/100 epochs"]


def test_a_terminal_gets_a_bar_that_is_drawn_over(monkeypatch):
    stream = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("training", 2, "epoch") as bar:
        bar.update(2)
    assert stream.getvalue().count("\n") == 1
    assert "\rtraining: 100%|" in stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_shown_unless_asked_for(terminal, monkeypatch):
    stream = Stream(terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    assert list(progress_bar("draws", range(2), "draw", show=False)) == [0, 1]
    assert stream.getvalue() == ""


def test_the_time_left_is_not_taken_from_what_was_done_before():
    with progress_bar("resumed", 10, "epoch") as bar:
        bar.update(9)
        count_from_here(bar)
        assert bar.format_dict["initial"] == 9  # tqdm's rate is of what follows
        assert bar.format_dict["n"] == 9


def test_the_environment_can_ask_for_silence():
    """tqdm reads it as it is imported."""
    code = "from lnegeom._progress import progress_bar; print(sum(progress_bar('sum', [1, 2], 'number')))"
    command, environment = [sys.executable, "-c", code], {**os.environ, "TQDM_DISABLE": "1"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("3\n", "")
