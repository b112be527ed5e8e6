"""Comparisons, recipes and settings: the numbers on the page are those of the runs."""

import csv
import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
import torch

import lnegeom
from lnegeom.cli import main
from lnegeom_torch import data, recipes
from lnegeom_torch.checkpoint import Checkpoint
from lnegeom_torch.compare import _at
from lnegeom_torch.methods import METHODS, MetaQuant, Method
from lnegeom_torch.metrics import NormalizedLNE
from lnegeom_torch.settings import parse_options, to_config, to_quant
from lnegeom_torch.statistics import calibration_error, paired_difference
from lnegeom_torch.train import TrainConfig, train

ARGUMENTS = [
    "compare",
    "--methods",
    "dorefa",
    "spin",
    "--rates",
    "0.003",
    "0.3",
    "--seeds",
    "2",
    "--epochs",
    "2",
]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "page"
    assert main([*ARGUMENTS, "--out", str(out)]) == 0
    return out, json.loads((out / "results.json").read_text())


def test_a_comparison_tunes_then_trains_and_writes_a_page(compared):
    out, results = compared
    for label, line in zip(("dorefa", "spin"), results["table"], strict=True):
        means = {rate: statistics.mean(v) for rate, v in results["tuning"][label].items()}
        best = max(means, key=means.get)
        assert line["learning rate"] == float(best)
        assert float(line["worst drop"]) == pytest.approx(
            max(means.values()) - min(means.values()), abs=0.005
        )
        accuracies = [trial["accuracy"] for trial in results["final"][label]]
        assert line["accuracy (%)"].startswith(f"{statistics.mean(accuracies):.2f} ± ")
        # The final runs are what `train` gives at that rate, on the test images.
        config = to_config({"lr": float(best), "epochs": 2, "quant": {"method": label}})
        assert train(config, 1).accuracy == accuracies[1]
    page = (out / "index.html").read_text()
    assert page.count("data:image/png") == 2
    with (out / "history.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2 * 2 * 2


def test_an_interrupted_comparison_goes_on_where_it_was(compared, monkeypatch):
    out, before = compared
    last = out / "runs" / "spin" / "final-seed-1.json"
    kept = json.loads(last.read_text())
    last.unlink()
    runs = []
    from lnegeom_torch import compare as room

    def counted(*args, **options):
        runs.append(args)
        return train(*args, **options)

    monkeypatch.setattr(room, "train", counted)
    assert main([*ARGUMENTS, "--out", str(out)]) == 0
    assert len(runs) == 1
    assert json.loads(last.read_text())["trial"]["history"] == kept["trial"]["history"]
    after = json.loads((out / "results.json").read_text())
    assert after["tuning"] == before["tuning"]


def test_a_run_that_was_interrupted_goes_on_from_its_last_whole_epoch(
    compared, tmp_path, monkeypatch, capsys
):
    _, before = compared
    step, taken = Method.step, []

    def interrupted(*arguments):
        taken.append(1)
        if len(taken) == 30:  # in the second epoch of the first run
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(Method, "step", interrupted)
    assert main([*ARGUMENTS, "--out", str(tmp_path)]) == 130
    assert "the same command goes on where it was" in capsys.readouterr().out
    (checkpoint,) = tmp_path.rglob("*.safetensors")
    assert len(Checkpoint.load(checkpoint).data["history"]) == 1
    assert main([*ARGUMENTS, "--out", str(tmp_path)]) == 0
    assert len(taken) == 30 + 18 + 3 * 36 + 4 * 44  # one more epoch, and the seven runs that were left
    after = json.loads((tmp_path / "results.json").read_text())
    assert after["tuning"] == before["tuning"]
    for label, trials in after["final"].items():
        assert [t["history"] for t in trials] == [t["history"] for t in before["final"][label]]
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "hope"], "--methods takes names of methods"),
        (["--methods", "ste", "--reference", "wcg"], "--reference must be one of ste, got 'wcg'"),
        (
            ["--methods", "ste", "--held-out", "1"],
            "the share held out to tune on must lie strictly between 0 and 1",
        ),
        (["--methods", "rf", "digits-mlp/rf"], "--methods has two that are called 'rf'; leave one out"),
        (["--methods", "ste", "mnist-lenet/wcg"], "a comparison is on one data set, got digits, mnist"),
        (
            ["--methods", "ste", "--seeds", "0"],
            "a comparison needs a method, a learning rate, and one of seeds",
        ),
        (["--methods", "ste", "--rates", "0.1", "-1"], "lr must be a positive finite number, got -1.0"),
        (["--methods", "ste", "--jobs", "0"], "jobs must be a positive integer, got 0"),
        (["--methods", "ste", "--threads", "0"], "threads must be a positive integer, got 0"),
        (["--methods", "no/row"], "unknown recipe 'no/row'; the tables are"),
        (["--methods", "digits-mlp/no"], "table 'digits-mlp' has no row 'no'"),
    ],
)
def test_bad_comparisons_are_one_line(arguments, message, tmp_path, capsys):
    assert main(["compare", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_folder_of_another_comparison_is_refused(compared, capsys):
    out, _ = compared
    arguments = [*ARGUMENTS[:-1], "3"]
    assert main([*arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "is a run of another comparison: config.epochs was 2, now 3; choose another --out" in error


def test_the_table_tells_what_accuracy_is_and_whose_best_rate_is_the_last_tried(tmp_path, capsys):
    arguments = [
        "compare",
        "--methods",
        "ste",
        "dorefa",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--batch-size",
        "256",
    ]
    assert main([*arguments, "--rates", "0.3", "1e30", "1e-12", "--out", str(tmp_path / "inside")]) == 0
    printed = capsys.readouterr().out
    assert "Accuracy is the mean over the last 1 epochs, then over seeds.\n" in printed
    assert "The best learning rate of" not in printed
    assert main([*arguments, "--rates", "1e-12", "0.3", "--out", str(tmp_path / "end")]) == 0
    assert "The best learning rate of ste, dorefa is the lowest or highest tried" in capsys.readouterr().out
    page = (tmp_path / "end" / "index.html").read_text()
    assert "a better one may lie beyond; widen --rates." in page
    short = ["--seeds", "1", "--epochs", "2", "--rates", "1e30", "--out", str(tmp_path / "no")]
    assert main(["compare", "--methods", "dorefa", *short]) == 0
    assert "0.00, 1 diverged" in capsys.readouterr().out


def test_paired_intervals_cover_the_true_difference_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        common, noise = rng.normal(0, 5, 4), rng.normal(0, 1, (2, 4))
        found = paired_difference(list(common + noise[0] + 0.7), list(common + noise[1]))
        covered += abs(found.mean - 0.7) <= found.half_width
    assert abs(covered / 2000 - 0.95) < 0.015
    assert paired_difference([1.0], [3.0]) == (-2.0, None, None)
    with pytest.raises(lnegeom.InputError, match="expected pairs, got 1 and 2"):
        paired_difference([1.0], [1.0, 2.0])


def test_simultaneous_intervals_have_all_true_differences_inside():
    rng = np.random.default_rng(0)
    one_by_one = together = 0
    for _ in range(1000):
        base, *others = rng.normal(0, 1, (7, 4)).tolist()
        found = [paired_difference(other, base, comparisons=6) for other in others]
        one_by_one += all(abs(d.mean) <= d.half_width for d in found)
        together += all(abs(d.mean) <= d.simultaneous for d in found)
    assert together > 950 - 3 * 7  # Bonferroni's inequality, less three standard errors
    assert one_by_one < 900  # what it is for


def test_calibration_error_of_known_predictors():
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(200_000, generator=generator, dtype=torch.float64) / 2 + 0.5
    right = torch.rand(200_000, generator=generator, dtype=torch.float64) < confidence
    probabilities = torch.stack([confidence, 1 - confidence], dim=1)
    assert calibration_error(probabilities, (~right).long()) < 0.6  # calibrated: noise only
    sure = torch.eye(2, dtype=torch.float64)[torch.zeros(1000, dtype=torch.long)]
    labels = (torch.arange(1000) % 4 == 0).long()  # sure, and wrong a quarter of the time
    assert calibration_error(sure, labels) == pytest.approx(25.0)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_a_configuration(name):
    settings = recipes.load(name)
    seeds = settings.pop("seeds")
    to_config(settings)
    assert seeds >= 3


@pytest.fixture
def tiny(monkeypatch):
    """Sixteen images in the place of every data set, of its shape."""

    def load(name, root=None, image_size=224):
        torch.manual_seed(0)
        channels, size = {"digits": (1, 8), "mnist": (1, 28)}.get(name, (3, 32))
        images, labels = torch.randn(16, channels, size, size), torch.arange(16) % 10
        classes = 100 if name == "cifar100" else 10
        return data.Dataset(name, images, labels, images, labels, classes=classes, augment=channels == 3)

    monkeypatch.setattr(data, "load", load)


# One row of every kind; that the other rows are configurations is tested above.
SHORT = [
    "digits-mlp/rf",
    "maniquant-table1/resnet20-multifcg",
    "maniquant-table1-small/resnet20-dorefa",
    "mnist-lenet/spin",
    "rf-dnn-cifar10/resnet20-rf",
    "rf-dnn-cifar100/resnet56-fcgrad",
]


@pytest.mark.parametrize("name", SHORT)
def test_recipes_run_shortened(name, tiny, tmp_path):
    options = ["--epochs", "1", "--milestones", "--batch-size", "8", "--seeds", "1", "--out", str(tmp_path)]
    assert main(["train", "--recipe", name, *options]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert math.isfinite(results["runs"][0]["history"][0]["loss"])
    assert results["config"]["model"] == recipes.load(name).get("model")


def test_options_replace_a_recipes_settings(tiny, tmp_path):
    arguments = ["--method", "wcg", "--chi", "0.25", "--batch-size", "8", "--seeds", "1"]
    arguments += ["--epochs", "2", "--milestones", "1"]
    recipe = "maniquant-table2/resnet56-fcgrad"
    options = [*arguments, "--model", "mlp", "--out", str(tmp_path)]
    assert main(["train", "--recipe", recipe, *options]) == 0
    config = json.loads((tmp_path / "results.json").read_text())["config"]
    assert config["quant"]["method"] == "wcg"
    assert config["quant"]["metric"] == {"chi": 0.25, "inverse": "weak", "per": "layer"}
    assert (config["weight_decay"], config["milestones"]) == (1e-4, [1])


def test_settings_become_the_objects_they_name():
    quant = to_quant({"method": "metaquant", "options": {"form": "fcgrad", "hidden": 5}})
    assert quant.options == MetaQuant("fcgrad", hidden=5)
    mixed = to_quant({"layer_bits": {"head": 8, "body.*": "ternary"}})
    assert mixed.layer_bits == (("head", 8), ("body.*", "ternary"))
    assert to_quant(json.loads(json.dumps({"layer_bits": mixed.layer_bits}))) == mixed
    assert to_quant({"method": "lne", "metric": {"chi": 0.1}}).metric == NormalizedLNE(0.1, "weak")
    assert parse_options(["virtual_lr=1e-3"]) == {"virtual_lr": 1e-3}
    for text, batched in (("false", False), ("True", True)):
        options = parse_options(["rows=1,0", f"batched={text}"])
        flow = to_quant({"method": "rf", "options": options}).options
        assert (flow.rows, flow.batched) == ((1, 0), batched)
    for bad, message in (
        ({"method": "ste", "options": {"alpha": 1}}, "'ste' has no constants of its own, got alpha"),
        ({"method": "rf", "options": {"batched": "no"}}, "batched must be True or False, got 'no'"),
        ({"method": "rf", "options": {"beta": 1}}, "unknown option 'beta'; known: alpha, epsilon"),
        ({"method": "ste", "metric": {"chi": 1}}, "'ste' is Euclidean"),
        ({"methods": "ste"}, "unknown quant setting 'methods'"),
    ):
        with pytest.raises(lnegeom.InputError, match=message):
            to_quant(bad)
    with pytest.raises(lnegeom.InputError, match="expected NAME=VALUE"):
        parse_options(["alpha"])
    with pytest.raises(lnegeom.InputError, match="unknown setting 'rate'"):
        to_config({"rate": 1})


def test_training_starts_from_a_trained_network(tmp_path):
    digits = data.load("digits")
    full = TrainConfig(quant=to_quant({"method": "fp"}), epochs=2)
    file = tmp_path / "checkpoint.safetensors"
    trained = train(full, 0, dataset=digits, checkpoint=file)
    state = trained.method.model.state_dict()
    start = TrainConfig(quant=to_quant({"method": "ste"}), epochs=1, lr=1e-12, pretrained=str(file))
    run = train(start, 5, dataset=digits)
    (name, weight), *_ = run.method.latents.items()
    torch.testing.assert_close(weight, state[f"{name}.weight"])
    with pytest.raises(lnegeom.InputError, match="there is no file nowhere to start from"):
        train(TrainConfig(pretrained="nowhere"), 0, dataset=digits)


def test_training_of_one_bit_starts_from_the_latent_weights_of_four(tmp_path):
    learned = {"scale": "channel", "learned_scale": True, "activation_bits": 4, "learned_range": True}
    digits, file = data.load("digits"), tmp_path / "checkpoint.safetensors"
    four = TrainConfig(quant=to_quant({"method": "ste", "weight_bits": 4, **learned}), epochs=1)
    before = train(four, 0, dataset=digits, checkpoint=file).method.latents
    one = TrainConfig(quant=to_quant({"method": "wcg"}), epochs=1, lr=1e-12, pretrained=str(file))
    for name, weight in train(one, 5, dataset=digits).method.latents.items():
        torch.testing.assert_close(weight, before[name])


def test_the_rate_falls_at_milestones():
    config = TrainConfig(lr=1.0, epochs=10, milestones=(4, 8))
    assert [round(math.log10(config.rate(epoch))) for epoch in range(10)] == [0] * 4 + [-1] * 4 + [-2] * 2
    with pytest.raises(lnegeom.InputError, match="milestones must be increasing epochs"):
        TrainConfig(milestones=(8, 4))


def test_every_method_has_a_rate_in_the_recipe_for_digits():
    rows = {name.split("/")[1] for name in recipes.names() if name.startswith("digits-mlp/")}
    assert rows == {*METHODS, "ste-no-gate"}


def test_latent_weights_alone_are_tuned_beside_a_rate_of_all_else(tmp_path, capsys):
    short = ["--rates", "0.5", "5", "--seeds", "2", "--epochs", "1", "--out", str(tmp_path)]
    methods = ["--methods", "fp", "digits-mlp/ste-no-gate"]
    assert main(["compare", *methods, "--lr", "0.05", *short]) == 2
    assert "add --tune latent_lr" in capsys.readouterr().err
    assert main(["compare", *methods, "--lr", "0.05", "--tune", "latent_lr", *short]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    best = {line["method"]: line["learning rate"] for line in results["table"]}
    for label, files in (("fp", "runs/fp"), ("ste-no-gate", "runs/ste-no-gate")):
        names = {"lr-0.5": 0.5, "lr-5": 5.0, "final": best[label]}
        for name, rate in names.items():
            config = json.loads((tmp_path / files / f"{name}-seed-0.json").read_text())["identity"]["config"]
            expected = (rate, None) if label == "fp" else (0.05, rate)
            assert (config["lr"], config["latent_lr"]) == expected
    assert "of the latent weights (all else at 0.05)" in (tmp_path / "index.html").read_text()


def test_a_rate_of_all_parameters_keeps_the_latent_weights_in_proportion():
    config = TrainConfig(lr=0.125, latent_lr=4.0)
    assert _at(config, "lr", 0.25) == replace(config, lr=0.25, latent_lr=8.0)
    assert _at(config, "latent_lr", 0.25) == replace(config, latent_lr=0.25)
