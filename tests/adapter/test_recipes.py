"""Recipes against the papers: rows and hyper-parameters, written out here; each builds what it names."""

import dataclasses
import importlib
import math

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from safetensors.torch import load_file
from torch import nn

import lnegeom
from lnegeom.cli import main
from lnegeom_torch import nets, quantize_, recipes
from lnegeom_torch.quant import QuantizedReLU
from lnegeom_torch.settings import to_config
from lnegeom_torch.train import train

# Tables of the papers, but for rows of other people's methods: RBNN, PGD, LQ-Nets, ADMM, DeepShift, INT8, RQ.
ABLATION = ("fp", "dorefa", "multifcg", "wcg")
ROWS = {
    "maniquant-table1": [f"resnet{d}-{m}" for d in (20, 32, 44) for m in ABLATION],
    "maniquant-table2": [f"resnet{d}-{m}" for d in (56, 110) for m in (*ABLATION, "fcgrad")],
    "maniquant-table3": [f"resnet18-{m}" for m in (*ABLATION, "fcgrad")],
    "maniquant-table4": [f"{net}-{m}" for net in ("resnet18", "vgg16") for m in ("fp", "md", "wcg")],
    "maniquant-table5": [f"resnet20-{m}" for m in ("fp", "proxquant", "multifcg", "wcg")]
    + [f"resnet18-{m}" for m in ("fp", "lrnet", "multifcg", "wcg")],
    "maniquant-table6": ["alexnet-fp", "alexnet-wcg", "resnet50-fp", "resnet50-wcg"]
    + [f"mobilenet-{m}" for m in ("fp", "wcg-5", "wcg-8")],
    "rf-dnn-cifar10": [f"resnet{d}-{m}" for d in (20, 32, 44) for m in (*ABLATION, "lne", "rf")],
    "rf-dnn-cifar100": [f"resnet{d}-{m}" for d in (56, 110) for m in (*ABLATION, "fcgrad", "lne", "rf")],
    "rf-dnn-imagenet": [f"resnet18-{m}" for m in (*ABLATION, "fcgrad", "lne", "rf")],
    "rf-dnn-pretrained": ["alexnet-fp", "alexnet-rf", "resnet50-fp", "resnet50-rf"]
    + [f"resnet18-{m}" for m in ("fp", "md", "metaquant", "rf", "rf-4")]
    + [f"mobilenet-{m}" for m in ("fp", "rf-5", "rf-8")],
}
BITS = {  # weights, activations
    "maniquant-table4/resnet18-wcg": (1, 1),
    "maniquant-table4/vgg16-md": (1, 1),
    "maniquant-table6/alexnet-wcg": (6, None),
    "maniquant-table6/resnet50-wcg": (8, 8),
    "maniquant-table6/mobilenet-wcg-5": (5, 5),
    "rf-dnn-pretrained/resnet18-rf": (1, None),
    "rf-dnn-pretrained/resnet18-rf-4": (4, 4),
    "rf-dnn-pretrained/mobilenet-rf-8": (8, 8),
}
PAPERS = [f"{table}/{row}" for table, rows in ROWS.items() for row in rows]
PROXIES = ("identity", "relu", "clipped-relu")
COARSE = {  # of Yin et al. 2019, whose tables are not numbered here
    "coarse-activations": [
        f"{net}-{row}"
        for net in ("lenet", "vgg11", "resnet20")
        for row in ("fp", *(f"{bits}-{proxy}" for bits in (2, 4) for proxy in PROXIES))
    ],
    "blended-coarse": [
        f"{net}-{row}" for net in ("vgg11", "resnet20", "resnet18") for row in ("fp", "coarse", "bcgd")
    ]
    + ["resnet18-bcgd-ends-32"],
}
OTHERS = [f"{table}/{row}" for table, rows in COARSE.items() for row in rows]


def config_of(name):
    settings = recipes.load(name)
    settings.pop("seeds")
    return to_config(settings)


def test_every_row_of_the_papers_tables_has_a_recipe_and_a_small_one():
    large = [*PAPERS, *OTHERS]
    small = [name.replace("/", "-small/") for name in large]
    own = [name for name in recipes.names() if name.startswith(("digits-", "mnist-"))]
    assert sorted([*large, *small, *own]) == recipes.names()


@pytest.mark.parametrize("name", PAPERS)
def test_recipes_have_the_papers_hyper_parameters(name):
    config, seeds = config_of(name), recipes.load(name)["seeds"]
    imagenet, rf = config.data == "folders", name.startswith("rf-dnn")
    assert (config.batch_size, config.momentum, config.rate(0), seeds) == (128, 0.9, 0.1, 5)
    assert config.last_epochs == (5 if imagenet else 10)
    assert config.weight_decay == (5e-4 if rf and not imagenet else 1e-4)
    if not imagenet:
        assert (config.epochs, config.milestones) == (200, (80, 150, 190))
        assert math.isclose(config.rate(195), 1e-4)
    elif rf:
        assert (config.epochs, config.milestones) == (100, ())
        assert math.isclose(config.rate(50), 0.05)  # a cosine
    else:
        assert (config.epochs, config.milestones) == (50, (15, 30, 45))
    quant = config.quant
    expected = BITS.get(name)
    assert expected is None or (quant.weight_bits, quant.activation_bits) == expected
    trained = name.split("/")[0] in ("maniquant-table4", "maniquant-table5", "maniquant-table6")
    trained = trained or name.startswith("rf-dnn-pretrained")
    assert (config.pretrained is not None) == (trained and quant.method != "fp")


@pytest.mark.parametrize("name", OTHERS)
def test_coarse_recipes_are_those_of_their_authors_code(name):
    """penhunt/full-quantization-DNN, BCGD_cifar/config.py; LeNet's and ImageNet's epochs are ours."""
    config = config_of(name)
    assert (config.batch_size, config.weight_decay, config.rate(0)) == (128, 1e-4, 0.1)
    if config.data == "cifar10":
        assert (config.epochs, config.milestones, config.momentum) == (200, (80, 140), 0.95)
    quant, row = config.quant, name.split("/")[1]
    assert (config.pretrained is None) == (quant.method == "fp") == row.endswith("-fp")
    if name.startswith("coarse") and quant.method != "fp":
        _, bits, *proxy = row.split("-")
        assert (quant.method, quant.weight_bits) == ("coarse", 32)
        assert (quant.activation_bits, quant.chosen_options.proxy) == (int(bits), "_".join(proxy))
    elif quant.method != "fp":
        assert (quant.weight_bits, quant.activation_bits) == (1, 4)
        assert quant.first_last_bits == (32 if row.endswith("ends-32") else None)
    if quant.method == "bcgd":
        assert quant.chosen_options.rho == 1e-5


def test_every_recipe_builds_its_network_and_method():
    """Where torchvision cannot be had, of its networks the error."""
    try:
        importlib.import_module("torchvision")
        with_torchvision = True
    except (ImportError, RuntimeError):
        with_torchvision = False
    wanted = {}
    for name in recipes.names():
        config = config_of(name)
        wanted[config.model, config.quant] = config.data
    assert len(wanted) > 60
    for (model, quant), name in wanted.items():
        channels, size = {"digits": (1, 8), "mnist": (1, 28), "folders": (3, 224)}.get(name, (3, 32))
        numbers = {"channels": channels, "image_size": size, "classes": 10}
        theirs = model in ("alexnet", "mobilenet_v2", "resnet18", "resnet50")
        if theirs and not with_torchvision:
            with pytest.raises(lnegeom.InputError, match="needs torchvision"):
                nets.build(model, **numbers)
            continue
        with torch.device("cpu" if model in ("mlp", "lenet", "resnet20") else "meta"):  # millions of weights
            network = nets.build(model, **numbers)
            weighted = sum(isinstance(m, nn.Linear | nn.Conv2d) for m in network.modules())
            method = quantize_(network, quant)
        ends = 2 if quant.first_last_bits == 32 else 0
        assert len(method.layers) == (
            0 if quant.weight_bits == 32 or quant.method == "fp" else weighted - ends
        )


@pytest.mark.parametrize("proxy", PROXIES)
def test_activations_alone_train_by_every_proxy(proxy):
    config = config_of(f"coarse-activations-small/lenet-2-{proxy}")
    trained = train(dataclasses.replace(config, pretrained=None, epochs=3, milestones=(2,)), 0)
    steps = [m for m in trained.method.model.modules() if isinstance(m, QuantizedReLU)]
    assert {m.bits for m in steps} == {2}
    assert trained.history[-1]["accuracy"] > 80


def test_a_row_from_a_trained_network_starts_where_its_first_row_ended(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(row, rate):
        recipe, short = f"maniquant-table4-small/{row}", ["--epochs", "1", "--milestones", "--seeds", "1"]
        return main(["train", "--recipe", recipe, *short, "--lr", rate, "--out", f"runs/{recipe}"])

    assert run("vgg16-wcg", "0.1") != 0
    file = "runs/maniquant-table4-small/vgg16-fp/seed-0/checkpoint.safetensors"
    assert f"there is no file {file} to start from" in capsys.readouterr().err
    assert run("vgg16-fp", "0.1") == 0
    assert run("vgg16-wcg", "1e-9") == 0  # nothing is learned: what is there was there before
    before, after = (load_file(file.replace("-fp", f"-{method}")) for method in ("fp", "wcg"))
    latent = after["model.features.0.parametrizations.weight.original"]
    torch.testing.assert_close(latent, before["model.features.0.weight"], rtol=0, atol=1e-6)
