"""What a run leaves to look at: the same files, interrupted and resumed or not."""

import csv
import math
import sys

import pytest

from lnegeom.cli import main
from lnegeom_torch.methods import Method

COMMAND = [
    "train",
    "--method",
    "wcg",
    "--chi",
    "0.3",
    "--epochs",
    "3",
    "--diagnostics",
    "9",
    "--device",
    "cpu",
]
STEPS = 22  # of an epoch


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run, and the same one interrupted in its third epoch and resumed."""
    pytest.importorskip("tensorboard")
    whole, broken = (tmp_path_factory.mktemp(name) for name in ("whole", "broken"))
    assert main([*COMMAND, "--tensorboard", "--out", str(whole)]) == 0
    step, taken = Method.step, []

    def interrupted(*arguments):
        if len(taken) == 2 * STEPS + 10:
            raise KeyboardInterrupt
        taken.append(1)
        return step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Method, "step", interrupted)
        assert main([*COMMAND, "--tensorboard", "--out", str(broken)]) == 130
    assert rows(broken / "seed-0" / "diagnostics.csv")[-1]["step"] == "45"
    assert main([*COMMAND, "--tensorboard", "--out", str(broken), "--resume"]) == 0
    return whole, broken


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_the_history_is_a_table(folders):
    table = rows(folders[0] / "history.csv")
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    assert list(table[0]) == ["method", "seed", "epoch", "lr", "loss", "accuracy"]
    assert float(table[2]["loss"]) < float(table[0]["loss"])


def test_diagnostics_tell_of_each_layer_at_every_so_many_steps(folders):
    whole, broken = (rows(folder / "seed-0" / "diagnostics.csv") for folder in folders)
    assert whole == broken
    assert sorted({int(row["step"]) for row in whole}) == list(range(0, 3 * STEPS, 9))
    layers = [row for row in whole if row["rank_one_size"]]
    assert {row["layer"] for row in layers} == {"layers.1", "layers.4", "layers.7"}
    # The weak inverse I + χ q qᵀ is the exact one of a metric whose eigenvalue along q is 1/(1 + χ).
    assert all(math.isclose(float(row["condition_number"]), 1.3, rel_tol=1e-5) for row in layers)


def test_tensorboard_has_the_epochs_and_the_layers(folders):
    epochs, again = (scalars(folder / "seed-0" / "tensorboard" / "epochs") for folder in folders)
    assert epochs == again
    history = rows(folders[0] / "history.csv")
    for name in ("loss", "accuracy", "lr"):
        assert epochs[name] == [
            (int(row["epoch"]), pytest.approx(float(row[name]), rel=1e-6)) for row in history
        ]
    layers, again = (scalars(folder / "seed-0" / "tensorboard" / "layers") for folder in folders)
    assert layers == again
    assert [step for step, _ in layers["layers.1/angle"]] == list(range(0, 3 * STEPS, 9))


@pytest.mark.parametrize(
    ("options", "missing", "message"),
    [
        (["--tensorboard"], "tensorboard", "--tensorboard needs TensorBoard (import of tensorboard halted"),
        (["--diagnostics", "0"], None, "diagnostics must be a positive integer, got 0"),
        (["--jobs", "0"], None, "jobs must be a positive integer, got 0"),
    ],
)
def test_what_cannot_be_logged_is_one_line(options, missing, message, tmp_path, capsys, monkeypatch):
    if missing is not None:
        monkeypatch.setitem(sys.modules, missing, None)
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    assert main(["train", "--epochs", "1", *options, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error
