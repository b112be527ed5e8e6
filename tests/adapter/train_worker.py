"""One of two processes that train together; run by torchrun. Exits 0 if all equals one process's run."""

import json
import math
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

import lnegeom
from lnegeom.cli import main as command_line
from lnegeom_torch import QuantConfig, RicciFlow, data, nets
from lnegeom_torch.distributed import process_group, rank
from lnegeom_torch.methods import METHODS, DivergedError
from lnegeom_torch.train import TrainConfig, train

OPTIONS = {"rf": RicciFlow(every=2, epsilon=math.inf)}
TOGETHER = [name for name in METHODS if name not in ("fim", "spin")]


def images(count=96, bad=()):
    torch.manual_seed(0)
    x, y = torch.randn(count, 1, 8, 8), torch.arange(count) % 4
    x[:, 0, 0] += y[:, None]
    for index in bad:
        x[index] = math.nan
    return data.Dataset("mine", x, y, x[:50], y[:50], classes=4, augment=True)


def plain(name, *, channels, image_size, classes):
    """No batch norm, in which the samples of a batch are tied together."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, classes))


def config(method, **options):
    quant = QuantConfig(method, options=OPTIONS.get(method))
    return TrainConfig(quant=quant, epochs=2, batch_size=32, lr=0.02, **options)


def check_equal(alone, together):
    a, b = alone.method.model.state_dict(), together.method.model.state_dict()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=1e-9, atol=1e-11)
    for before, now in zip(alone.history, together.history, strict=True):
        assert before.keys() == now.keys()
        for key in before:
            assert math.isclose(before[key], now[key], rel_tol=1e-9, abs_tol=1e-12), (key, before, now)


def check_alike(run):
    """Every process has the same numbers, of its running statistics too."""
    mine = torch.cat([v.double().flatten() for v in run.method.model.state_dict().values()])
    first = mine.clone()
    dist.broadcast(first, 0)
    assert torch.equal(mine, first)


def check_resume(folder, method):
    """Interrupted after an epoch and resumed: to the last bit, noise of each process's own included."""
    noise = []
    whole = train(config(method), 3, dataset=images(), on_epoch=lambda _: noise.append(torch.rand(2)))
    check_alike(whole)
    others = torch.cat(noise)
    dist.broadcast(others, 1)
    assert rank() == 1 or not torch.isclose(torch.cat(noise), others).any()
    file = folder / f"{method}.safetensors"

    def interrupt(record):
        raise KeyboardInterrupt

    try:
        train(config(method), 3, dataset=images(), checkpoint=file, on_epoch=interrupt)
    except KeyboardInterrupt:
        dist.barrier()
    torch.manual_seed(99 + rank())
    resumed = train(config(method), 3, dataset=images(), checkpoint=file, resume=True)
    assert resumed.history == whole.history
    for a, b in zip(*(r.method.model.state_dict().values() for r in (whole, resumed)), strict=True):
        assert torch.equal(a, b)


def refused(kind, message, *arguments, **options):
    try:
        train(*arguments, **options)
    except kind as error:
        said = str(error)
    else:
        said = "nothing"
    assert message in said, said


def check_refusals():
    refused(
        lnegeom.InputError, "method 'fim' cannot be trained by several", config("fim"), 0, dataset=images()
    )
    odd = TrainConfig(quant=QuantConfig("ste"), batch_size=33)
    refused(lnegeom.InputError, "2 processes cannot share batches of 33", odd, 0, dataset=images())
    # A number that one process alone meets stops all: nobody is waited for.
    refused(DivergedError, "no longer finite in epoch 1", config("ste"), 0, dataset=images(bad=[7]))


def check_command(out):
    command = ["train", "--epochs", "1", "--seeds", "2", "--device", "cpu", "--out", str(out)]
    assert command_line(command) == 0
    assert command_line([*command, "--resume", "--jobs", "2"]) == 2
    if rank() == 0:
        assert len(json.loads((out / "results.json").read_text())["runs"]) == 2
        assert command_line(["compare", "--methods", "ste", "--out", str(out)]) == 2


def main(folder):
    torch.set_default_dtype(torch.float64)
    built, nets.build = nets.build, plain
    alone = {method: train(config(method), 1, dataset=images()) for method in TOGETHER}
    with process_group("cpu"):
        assert dist.get_world_size() == 2
        for method, run in alone.items():
            check_equal(run, train(config(method), 1, dataset=images()))
        nets.build = built
        for method in ("wcg", "spin"):
            check_resume(folder, method)
        check_refusals()
        torch.set_default_dtype(torch.float32)
        check_command(folder / "command")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # gloo's threads, still joining, can abort an interpreter on its way out
