"""A loop for what `lnegeom compare` has no option for: any optimizer, a rate that falls each iteration."""

import json
import math

import torch
import torch.nn.functional as F

from lnegeom.report import write_json
from lnegeom_torch import data
from lnegeom_torch.methods import DivergedError
from lnegeom_torch.statistics import calibration_error
from lnegeom_torch.train import accuracy


def fit(method, optimizer, dataset, *, iterations, batch_size, seed, on_iteration=lambda method, done: None):
    """Train so many iterations, the rate of every group falling from its own to 0 along a cosine."""
    generator = torch.Generator().manual_seed(seed)
    rates = [group["lr"] for group in optimizer.param_groups]
    iteration = 0
    method.model.train()
    while iteration < iterations:
        for images, labels in data.training_batches(dataset, batch_size, generator):
            done = iteration / iterations
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1 + math.cos(math.pi * done)) / 2
            method.progress(done)
            on_iteration(method, done)
            method.step(optimizer, F.cross_entropy, images, labels)
            iteration += 1
            if iteration == iterations:
                return


def measure(method, dataset):
    """Accuracy, accuracy of `Method.predict` and its calibration error, in percent, on the test images."""
    parts = data.evaluation_batches(dataset.test_images, dataset.test_labels)
    probabilities = torch.cat([method.predict(images).float() for images, _ in parts])
    right = (probabilities.argmax(1) == dataset.test_labels).double().mean()
    return {
        "accuracy": accuracy(method.model, dataset.test_images, dataset.test_labels),
        "ensemble": 100 * float(right),
        "calibration": calibration_error(probabilities, dataset.test_labels),
    }


def kept(file, run):
    """What is in the file; if there is none, what `run()` finds, put there. A diverged run has accuracy 0."""
    if file.exists():
        return json.loads(file.read_text())
    try:
        found = run()
    except DivergedError:
        found = {"accuracy": 0.0, "ensemble": 0.0, "calibration": 100.0}
    write_json(file, found)
    return found
