"""The adapter's subcommands, ``lnegeom demo`` and ``lnegeom train``. torch is imported when one runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from lnegeom.cli import Command

__all__ = ["DEMO", "TRAIN"]


def _configure_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder for the page (default: runs/demo)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each method (default: 3)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each run (default: 40)")


def _demo(options: argparse.Namespace) -> None:
    from lnegeom_torch.demo import run

    run(options.out, seeds=options.seeds, epochs=options.epochs)


def _configure_train(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to train")
    what.add_argument("--data", default="digits", help="digits (needs no files), mnist or cifar10")
    what.add_argument("--root", help="folder that holds MNIST/raw or cifar-10-batches-py")
    what.add_argument("--model", default="mlp", help="mlp, lenet or resnet20")
    what.add_argument("--method", default="wcg", help="ste, dorefa, wcg, rf, or fp for full precision")
    what.add_argument("--weight-bits", type=int, default=1, help="1 to 8 (default: 1)")
    what.add_argument("--activation-bits", type=int, help="1 to 8 (default: not quantized)")
    geometry = parser.add_argument_group("geometry (by default, the method's own)")
    geometry.add_argument("--quantizer", help="for 2 bits and more: maniquant or rf")
    geometry.add_argument("--chi", type=float, help="strength of the metric of wcg and rf")
    geometry.add_argument("--inverse", help="exact or weak")
    geometry.add_argument("--gate", help="drop gradients where |W| > 1: optimizer, quantizer or none")
    geometry.add_argument("--alpha", type=float, help="rf: weight of the flow's residual N in the loss")
    geometry.add_argument("--epsilon", type=float, help="rf: layers with N above this take no gradient")
    how = parser.add_argument_group("how to train")
    how.add_argument("--epochs", type=int, default=40, help="default: 40")
    how.add_argument("--batch-size", type=int, default=64, help="default: 64")
    how.add_argument("--lr", type=float, default=0.1, help="falls to 0 along a cosine (default: 0.1)")
    how.add_argument("--momentum", type=float, default=0.9, help="Nesterov's (default: 0.9)")
    how.add_argument("--weight-decay", type=float, default=0.0, help="default: 0")
    how.add_argument(
        "--validation",
        type=float,
        default=0.0,
        help="share of training images to hold out and measure on, for tuning (default: 0, the test images)",
    )
    how.add_argument("--seeds", type=int, default=1, help="number of runs, seeds 0, 1, … (default: 1)")
    how.add_argument("--device", default="auto", help="cpu, cuda, … (default: a GPU if there is one)")
    how.add_argument("--out", type=Path, required=True, help="folder for page, numbers and checkpoints")
    how.add_argument("--resume", action="store_true", help="go on with the interrupted run in --out")


def _train(options: argparse.Namespace) -> None:
    from lnegeom_torch.experiment import from_options, run

    run(from_options(options), options.seeds, options.out, resume=options.resume)


DEMO = Command(
    summary="train 1-bit networks on digits by every method, and measure a Ricci flow",
    epilog="example:\n  lnegeom demo --out runs/demo   then open runs/demo/index.html\n\n"
    "Under three minutes on two cores; writes index.html, PNG and JSON.",
    configure=_configure_demo,
    run=_demo,
)

TRAIN = Command(
    summary="train one quantized network, over several seeds",
    epilog="examples:\n"
    "  lnegeom train --method wcg --seeds 3 --out runs/wcg\n"
    "  lnegeom train --data mnist --root data --model lenet --method dorefa --out runs/lenet\n"
    "  lnegeom train --method rf --weight-bits 2 --activation-bits 4 --out runs/rf\n\n"
    "Ctrl-C leaves a checkpoint of the last whole epoch in --out; the same command with --resume goes on\n"
    "and ends with the same numbers.",
    configure=_configure_train,
    run=_train,
)
