"""How often the intervals of `gradient_mismatch` hold the truth, on small networks with simulated batches.

    OMP_NUM_THREADS=1 python tests/benchmarks/mismatch_coverage.py

Each trial draws the samples of one call, all at once. The truth of a layer is the mean over all trials: their
samples are some hundred times as many as a call has.
"""

import argparse
import math

import numpy as np
import torch
from torch.nn import functional as F

from lnegeom_torch.diagnostics._mismatch import _compare
from lnegeom_torch.diagnostics._quotients import Samples

NETWORKS = {
    "one layer of 4 weights, 1 bit": ((4, 1), 1, 6, 1000),
    "8-16-4, 1 bit": ((8, 16, 4), 1, 6, 500),
    "8-16-4, 4 bits": ((8, 16, 4), 4, 6, 500),
    "64-32-10, 1 bit": ((64, 32, 10), 1, 3, 400),
}
NOISE = 0.5


def quantized(weight, bits):
    if bits == 1:
        return torch.where(weight >= 0, 1.0, -1.0)
    top = 2**bits - 1
    return 2 * torch.round(top * (weight.clamp(-1, 1) + 1) / 2) / top - 1


class Network:
    """Losses of many weights at a time; fully connected, with batch norm and tanh between its layers."""

    def __init__(self, sizes, bits, seed):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(32, sizes[0], generator=generator)
        self.y = torch.randint(sizes[-1], (32,), generator=generator)
        self.target = torch.randn(32, generator=generator)
        shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        self.weights = [torch.randn(shape, generator=generator) / math.sqrt(shape[1]) for shape in shapes]
        self.scales = [NOISE * float(w.square().mean().sqrt()) for w in self.weights]
        self.bits = bits

    def losses(self, weights):
        """Of quantized weights, each with a first axis for those that belong together."""
        h = self.x.expand(len(weights[0]), -1, -1)
        for number, weight in enumerate(weights):
            h = torch.bmm(h if number == 0 else torch.tanh(h), weight.mT)
            if len(weights) > 1:
                h = (h - h.mean(1, keepdim=True)) / (h.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        if len(weights) == 1:
            return torch.cosh(0.3 * (h[..., 0] - self.target)).mean(1)
        surprise = F.cross_entropy(h.flatten(0, 1), self.y.repeat(len(h)), reduction="none")
        return surprise.view(len(h), -1).mean(1)

    def straight_through(self):
        moving = [quantized(w, self.bits)[None].requires_grad_() for w in self.weights]
        found = torch.autograd.grad(self.losses(moving).sum(), moving)
        inside = [w.abs() <= 1 if self.bits > 1 else torch.ones_like(w) for w in self.weights]
        return [(g[0] * keep).flatten() for g, keep in zip(found, inside, strict=True)]

    def smoothed(self, count, generator):
        """Samples of each layer's smoothed gradient, (count, weights)."""
        noise = [torch.empty(count, *w.shape).normal_(generator=generator) for w in self.weights]
        steps = [scale * e for scale, e in zip(self.scales, noise, strict=True)]
        up, down = (
            self.losses(
                [quantized(w + sign * s, self.bits) for w, s in zip(self.weights, steps, strict=True)]
            )
            for sign in (1, -1)
        )
        return [
            ((up - down) / (2 * scale))[:, None] * e.flatten(1)
            for scale, e in zip(self.scales, noise, strict=True)
        ]


def products(samples, gradient):
    """What `gradient_mismatch` keeps of a layer's samples."""
    s = samples.double()
    others = s @ s.sum(0) - s.square().sum(1)
    return Samples(s @ gradient.double(), others, (s[1:] * s[:-1]).sum(1))


def coverage(sizes, bits, seed, trials, samples):
    """For each layer and trial whether angle and relative error are inside, and how wide the first is."""
    network = Network(sizes, bits, seed)
    gradients = network.straight_through()
    generator = torch.Generator().manual_seed(1000 + seed)
    drawn = [
        [products(s, g) for s, g in zip(network.smoothed(samples, generator), gradients, strict=True)]
        for _ in range(trials)
    ]
    rows = []
    for layer, gradient in enumerate(gradients):
        kept = [trial[layer] for trial in drawn]
        length = float(gradient.double().norm())
        product = np.mean([float(k.along.mean()) for k in kept])
        squared = np.mean([float(k.others.mean()) / (samples - 1) for k in kept])
        angle = math.degrees(math.acos(min(max(product / length / math.sqrt(squared), -1), 1)))
        error = math.sqrt(max(length**2 - 2 * product + squared, 0) / squared)
        for k in kept:
            found = _compare(length, k, 0.95)
            (low, high), (least, most) = found.angle_interval, found.relative_error_interval
            rows.append((angle, low <= angle <= high, least <= error <= most, high - low))
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=512, help="of a call (512)")
    samples = parser.parse_args().samples
    torch.set_num_threads(1)
    print("| network | angles | in the interval | errors in the interval | median width | trials |")
    print("|---|---|---|---|---|---|")
    for name, (sizes, bits, seeds, trials) in NETWORKS.items():
        rows = np.array(
            [row for seed in range(seeds) for row in coverage(sizes, bits, seed, trials, samples)]
        )
        angles = f"{rows[:, 0].min():.0f}° to {rows[:, 0].max():.0f}°"
        inside = f"{100 * rows[:, 1].mean():.1f} % | {100 * rows[:, 2].mean():.1f} %"
        print(f"| {name} | {angles} | {inside} | {np.median(rows[:, 3]):.0f}° | {len(rows)} |", flush=True)


if __name__ == "__main__":
    main()
