"""The command line as a user meets it."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import safetensors.torch
import torch
from joblib.externals.loky import get_reusable_executor
from tqdm.auto import tqdm

from lnegeom.cli import main
from lnegeom_torch._jobs import _call
from lnegeom_torch.checkpoint import Checkpoint
from lnegeom_torch.cli import TRAIN as TRAIN_COMMAND
from lnegeom_torch.experiment import from_options
from lnegeom_torch.metrics import NormalizedLNE
from lnegeom_torch.ricci import RicciFlow

TRAIN = ["train", "--data", "digits", "--epochs", "3"]


def lnegeom(*arguments):
    # What a shell runs in the background ignores Ctrl-C, and so would the command.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    run = "import sys; from lnegeom.cli import main; sys.exit(main())"
    return [sys.executable, "-c", f"{heed}; {run}", *map(str, arguments)]


def test_train_writes_numbers_pictures_and_page(tmp_path, capsys):
    out = tmp_path / "with a space"
    assert (
        main(
            [
                *TRAIN,
                "--method",
                "wcg",
                "--inverse",
                "exact",
                "--chi",
                "0.2",
                "--seeds",
                "2",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    results = json.loads((out / "results.json").read_text())
    assert results["config"]["quant"]["metric"] == {"chi": 0.2, "inverse": "exact", "per": "layer"}
    assert [run["seed"] for run in results["runs"]] == [0, 1]
    assert results["accuracy"]["mean"] > 80
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64" in (out / "index.html").read_text()
    printed, progress = capsys.readouterr()
    assert f"{results['accuracy']['mean']:.2f} ± " in printed
    lines = [line.partition(" [")[0] for line in progress.splitlines()]  # whole ones, into a pipe
    for seed in (0, 1):
        assert [f"wcg, seed {seed}: {epochs}/3 epochs" in lines for epochs in (0, 3)] == [True, True]

    assert main([*TRAIN, "--out", str(out)]) == 2
    assert "holds a run already; add --resume" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_leaves_a_checkpoint_and_resume_ends_with_the_same_numbers(tmp_path):
    options = ["train", "--method", "ste", "--epochs", "20", "--device", "cpu"]
    out = tmp_path / "interrupted"
    file = out / "seed-0" / "checkpoint.safetensors"
    process = subprocess.Popen(
        lnegeom(*options, "--out", out), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (file.exists() and Checkpoint.load(file).data["history"]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "--resume goes on" in stdout
    assert "Traceback" not in stderr
    assert 0 < len(Checkpoint.load(file).data["history"]) < 20

    whole = tmp_path / "whole"
    assert main([*options, "--out", str(out), "--resume"]) == main([*options, "--out", str(whole)]) == 0
    interrupted, uninterrupted = (json.loads((d / "results.json").read_text())["runs"] for d in (out, whole))
    assert interrupted == uninterrupted


def test_seeds_in_processes_of_their_own_have_the_same_numbers(tmp_path):
    command = ["train", "--method", "spin", "--epochs", "1", "--seeds", "3", "--device", "cpu"]
    threads, runs = torch.get_num_threads(), []
    torch.set_num_threads(1)  # sums depend on it
    try:
        for jobs in ("1", "2"):
            assert main([*command, "--jobs", jobs, "--out", str(tmp_path / jobs)]) == 0
            runs.append(json.loads((tmp_path / jobs / "results.json").read_text())["runs"])
    finally:
        torch.set_num_threads(threads)
        get_reusable_executor().shutdown()
    assert (tmp_path / "2" / "seed-2" / "checkpoint.safetensors").exists()
    assert runs[0] == runs[1]


def test_an_interrupted_worker_leaves_no_semaphore_behind(monkeypatch):
    """tqdm's own lock is one, of which Python's resource tracker warns after Ctrl-C with --jobs."""
    monkeypatch.setattr(tqdm, "_lock", tqdm.get_lock())
    lock = _call(torch.get_num_threads(), tqdm.get_lock, ())
    assert isinstance(lock, type(threading.RLock()))


FLAGS = {
    "--data folders": ("data", "folders"),
    "--root here": ("root", "here"),
    "--image-size 64": ("image_size", 64),
    "--model lenet": ("model", "lenet"),
    "--epochs 9": ("epochs", 9),
    "--batch-size 32": ("batch_size", 32),
    "--lr 0.2": ("lr", 0.2),
    "--latent-lr 3": ("latent_lr", 3.0),
    "--momentum 0.5": ("momentum", 0.5),
    "--weight-decay 0.01": ("weight_decay", 0.01),
    "--milestones 3 6": ("milestones", (3, 6)),
    "--pretrained file": ("pretrained", "file"),
    "--last-epochs 2": ("last_epochs", 2),
    "--validation 0.1": ("validation", 0.1),
    "--device cpu": ("device", "cpu"),
    "--method rf": ("method", "rf"),
    "--weight-bits 2": ("weight_bits", 2),
    "--activation-bits 4": ("activation_bits", 4),
    "--quantizer rf": ("quantizer", "rf"),
    "--scale channel": ("scale", "channel"),
    "--learned-scale": ("learned_scale", True),
    "--learned-range": ("learned_range", True),
    "--chi 0.3 --inverse exact": ("metric", NormalizedLNE(chi=0.3, inverse="exact")),
    "--gate none": ("gate", "none"),
    "--option every=7": ("options", RicciFlow(every=7)),
    "--first-last-bits 8": ("first_last_bits", 8),
    "--layer-bits 0.*=8 head=ternary": ("layer_bits", (("0.*", 8), ("head", "ternary"))),
    "--include Linear 1.*": ("include", ("Linear", "1.*")),
    "--exclude 0.* ReLU": ("exclude", ("0.*", "ReLU")),
}


def configuration(*arguments):
    parser = argparse.ArgumentParser()
    TRAIN_COMMAND.configure(parser)
    return from_options(parser.parse_args([*arguments, "--out", "nowhere"]))


def test_every_setting_has_a_flag():
    config = configuration(*" ".join(FLAGS).split())
    settings = {**vars(config), **vars(config.quant)}
    del settings["quant"]
    assert settings == dict(FLAGS.values())


def test_the_page_of_full_precision_speaks_of_no_bit(tmp_path):
    assert main(["train", "--method", "fp", "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert "full precision, the reference; mlp, weight bits 32." in (tmp_path / "index.html").read_text()


def test_a_flag_can_take_back_what_a_recipe_says():
    recipe = ("--recipe", "maniquant-table1/resnet20-wcg")
    assert configuration(*recipe).milestones == (80, 150, 190)
    config = configuration(*recipe, "--milestones", "--no-learned-scale")
    assert config.milestones == ()
    assert config.rate(100) == pytest.approx(0.05)  # a cosine
    assert not config.quant.learned_scale


BAD = {
    "unknown method": (["--method", "hope"], "method must be one of fp, ste, dorefa, wcg, lne, rf,"),
    "bit width": (["--weight-bits", "9"], "weight_bits must be an integer from 1 to 8, got 9"),
    "activation bits": (["--activation-bits", "0"], "activation_bits must be an integer from 1 to 8, got 0"),
    "chi": (["--chi", "1", "--inverse", "exact"], "chi must be in [0, 1) for the exact inverse, got 1.0"),
    "weak chi": (["--chi", "-1"], "chi must be a finite number >= 0 for the weak inverse, got -1.0"),
    "inverse": (["--inverse", "strong"], "inverse must be 'exact' or 'weak', got 'strong'"),
    "chi on ste": (["--method", "ste", "--chi", "0.1"], "--chi and --inverse need a method with a metric"),
    "alpha on wcg": (["--option", "alpha=1"], "method 'wcg' has no constants of its own, got alpha"),
    "data": (["--data", "cats"], "unknown data set 'cats'; known: digits, mnist, cifar10"),
    "no root": (["--data", "mnist"], "mnist: looked for"),
    "no folder": (["--data", "cifar10", "--root", "/nowhere"], "/nowhere"),
    "model": (["--model", "gpt"], "unknown network 'gpt'; known: mlp, lenet, vgg11, vgg16, mobilenet"),
    "batch size": (["--batch-size", "1"], "batch_size must be at least 2, got 1"),
    "learning rate": (["--lr", "0"], "lr must be a positive finite number, got 0.0"),
    "device": (["--device", "toaster"], "device 'toaster' cannot be used"),
    "all zeros": (["--weight-bits", "2"], "are all zero: ManiQuant's k-bit quantizer has no scale"),
    "excluded layer": (
        ["--exclude", "head"],
        "exclude has 'head', which fits no layer; expected a type, a name",
    ),
    "included layer": (["--include", "Linear", "0.9"], "include has '0.9', which fits no layer"),
    "bits of no layer": (["--layer-bits", "head=8"], "layer_bits has 'head', which fits no layer"),
    "bits of a layer": (
        ["--layer-bits", "0.*=9"],
        "layer_bits of '0.*' must be an integer from 1 to 8, got 9",
    ),
    "bits of spin": (
        ["--method", "spin", "--layer-bits", "Linear=2"],
        "method 'spin' is for layer_bits of 'Linear' 1, 32, got 2",
    ),
    "size of digits": (
        ["--image-size", "224"],
        "image_size is for the data set 'folders', and the images of",
    ),
    "folder of digits": (
        ["--root", "data"],
        "the data set 'digits' comes with scikit-learn, and root is 'data'",
    ),
    "late milestone": (
        ["--epochs", "9", "--milestones", "4", "9"],
        "milestones are epochs after which others follow, got 9 of 9 epochs",
    ),
    "bits of fp": (
        ["--method", "fp", "--weight-bits", "1", "--exclude", "0"],
        "method 'fp' is full precision, in which --weight-bits, --exclude would be without effect",
    ),
    "seeds": (["--seeds", "0"], "seeds must be at least 1, got 0"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_exit_code_two(options, message, tmp_path, capsys):
    assert main(["train", *options, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("lnegeom train: error: ")
    assert message in error
    assert not (tmp_path / "out").exists()  # not a step was taken


def test_a_pretrained_file_of_another_kind_or_network_is_told(tmp_path, capsys):
    pickled, other = tmp_path / "net.pth", tmp_path / "net.safetensors"
    torch.save({"weight": torch.ones(2)}, pickled)
    safetensors.torch.save_file({"weight": torch.ones(2)}, other)
    for file, message in ((pickled, "is no safetensors file"), (other, "does not hold a network 'mlp'")):
        assert main(["train", "--pretrained", str(file), "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert error.startswith(f"lnegeom train: error: {file} {message}")


def test_a_rate_too_high_to_learn_anything_leaves_the_folder_to_a_lower_one(tmp_path, capsys):
    command = ["train", "--method", "dorefa", "--epochs", "1", "--out", str(tmp_path)]
    assert main([*command, "--lr", "1e35"]) == 1
    assert capsys.readouterr().err.endswith("lower the learning rate (it was 1e+35)\n")
    assert main([*command, "--lr", "0.1"]) == 0


@pytest.mark.parametrize("command", [["train"], ["demo"], ["compare", "--methods", "ste"]])
@pytest.mark.parametrize("inside", ["", "run"])
def test_a_file_in_the_way_is_told(command, inside, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert main([*command, "--out", str(file / inside)]) == 2
    expected = f"lnegeom {command[0]}: error: --out takes a folder, and {file} is a file\n"
    assert capsys.readouterr().err == expected


ODD = ["--weight-bits", "one"]
UNNAMED = ["--layer-bits", "8"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["sing"], ["train"], *(["train", *o, "--out", "x"] for o in (["--lr", "fast"], ODD, UNNAMED))],
)
def test_bad_usage_is_one_line_and_exit_code_two(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "--help" in error
    assert ODD[1] not in arguments or "expected 1 to 8, ternary or 32, got 'one'" in error


def test_help_teaches(capsys):
    for arguments in (["--help"], ["compare", "--help"], ["train", "--help"], ["demo", "--help"]):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert "lnegeom train --method wcg --seeds 3 --out runs/wcg" in printed
    assert "Ctrl-C leaves a checkpoint" in printed
