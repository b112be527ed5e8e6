"""Every method trains on real images: digits, and MNIST where it is on disk."""

import os
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from lnegeom_torch import ManifoldSGD, QuantConfig, RicciFlow, quantize_
from lnegeom_torch.data import load
from lnegeom_torch.methods import METHODS
from lnegeom_torch.nets import build

REAL = Path(os.environ.get("LNEGEOM_DATA") or Path(__file__).parents[3] / "shared" / "data")
ITERATIONS = 80
RATES = {"dorefa": 0.1, "fim": 0.1, "metaquant": 0.1, "coarse": 0.1, "proxquant": 0.1}
LEAST = {"proxquant": 0.7}  # its weights turn discrete on the way, for which eighty iterations are few
OPTIONS = {"rf": RicciFlow(every=5)}


@pytest.fixture(scope="module", params=["digits", "mnist"])
def dataset(request):
    if request.param == "mnist" and not (REAL / "MNIST").is_dir():
        pytest.skip(f"no MNIST in {REAL}; set LNEGEOM_DATA")
    return load(request.param, REAL)


def accuracy(method, dataset):
    labels = dataset.test_labels[:1000]
    return (method.predict(dataset.test_images[:1000]).argmax(-1) == labels).float().mean().item()


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_from_images_it_then_tells_unseen_ones_apart(name, dataset):
    torch.manual_seed(0)
    model = build("mlp", channels=1, image_size=dataset.train_images.shape[-1], classes=10)
    method = quantize_(model, QuantConfig(name, options=OPTIONS.get(name)))
    optimizer = ManifoldSGD(method.param_groups(), lr=RATES.get(name, 1.0), momentum=0.9, nesterov=True)
    first = None
    for iteration in range(ITERATIONS):
        method.progress(min(1.0, (iteration + 1) / (0.8 * ITERATIONS)))  # what anneals ends before the end
        chosen = torch.randint(len(dataset.train_labels), (64,))
        loss, _ = method.step(
            optimizer, cross_entropy, dataset.train_images[chosen], dataset.train_labels[chosen]
        )
        first = loss.item() if first is None else first
    assert loss.item() < first / 2
    assert accuracy(method, dataset) > LEAST.get(name, 0.85)
