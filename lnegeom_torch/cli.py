"""The adapter's subcommands, ``lnegeom demo``, ``train`` and ``compare``. torch is imported when one runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from lnegeom.cli import Command

__all__ = ["COMPARE", "DEMO", "TRAIN"]


def _bits(text: str) -> int | str:
    try:
        return text if text == "ternary" else int(text)
    except ValueError:
        message = f"expected 1 to 8, ternary or 32, got {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def _layer_bits(text: str) -> tuple[str, int | str]:
    pattern, equals, bits = text.rpartition("=")
    if not equals or not pattern:
        raise argparse.ArgumentTypeError(f"expected LAYER=BITS, such as head=8, got {text!r}")
    return pattern, _bits(bits)


def _configure_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder for the page (default: runs/demo)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs of each method (default: 3)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each run (default: 40)")


def _demo(options: argparse.Namespace) -> None:
    from lnegeom_torch.demo import run

    _refuse_torchrun("demo", "small networks, which one process does best")
    run(options.out, seeds=options.seeds, epochs=options.epochs)


def _configure_task(parser: argparse.ArgumentParser) -> None:
    """What `train` and `compare` share. What is not given is the recipe's, or `TrainConfig`'s default."""
    what = parser.add_argument_group("what to train")
    what.add_argument(
        "--data", help="digits (default; no files), mnist, cifar10, cifar100 or folders (ImageNet)"
    )
    what.add_argument("--root", help="folder that holds MNIST/raw, cifar-10-batches-py, train and val, …")
    what.add_argument("--image-size", type=int, help="to which images of folders are brought (default: 224)")
    what.add_argument("--model", help="mlp (default), lenet, vgg16, mobilenet, resnet20 to 110, …")
    what.add_argument(
        "--weight-bits", type=_bits, help="1 to 8, ternary, or 32 for full precision (default: 1)"
    )
    what.add_argument("--activation-bits", type=int, help="1 to 8, or 32 (default: the method's)")
    what.add_argument("--first-last-bits", type=int, help="of the first and last layer's weights")
    what.add_argument(
        "--layer-bits", nargs="+", type=_layer_bits, metavar="LAYER=BITS", help="of single layers, as 0.*=8"
    )
    what.add_argument("--include", nargs="+", metavar="LAYER", help="types (Linear) or names (encoder.*)")
    what.add_argument("--exclude", nargs="*", metavar="LAYER", help="layers to leave alone, ReLUs too")
    what.add_argument("--scale", help="of the weights' levels: none, tensor or channel")
    switch = argparse.BooleanOptionalAction
    what.add_argument("--learned-scale", action=switch, help="learn that scale")
    what.add_argument("--learned-range", action=switch, help="learn the activations' range")
    what.add_argument("--quantizer", help="for 2 bits and more: maniquant or rf")
    what.add_argument("--gate", help="drop gradients where |W| > 1: optimizer, quantizer or none")
    what.add_argument("--pretrained", help="checkpoint, or other safetensors file, to start from")
    how = parser.add_argument_group("how to train")
    how.add_argument("--epochs", type=int, help="default: 40")
    how.add_argument("--batch-size", type=int, help="default: 64")
    how.add_argument(
        "--milestones",
        nargs="*",
        type=int,
        metavar="EPOCH",
        help="epochs after which rates are divided by 10, all before the last; by default, and with none, "
        "they fall to 0 along a cosine",
    )
    how.add_argument("--momentum", type=float, help="Nesterov's (default: 0.9)")
    how.add_argument("--weight-decay", type=float, help="default: 0")
    how.add_argument("--last-epochs", type=int, help="accuracy is the mean over so many (default: 5)")
    how.add_argument("--seeds", type=int, help="number of runs, seeds 0, 1, …")
    how.add_argument("--jobs", type=int, default=1, help="runs at the same time, a process each (default: 1)")
    how.add_argument("--device", default="auto", help="cpu, cuda, … (default: a GPU if there is one)")
    how.add_argument("--out", type=Path, required=True, help="folder for page, numbers and checkpoints")


def _configure_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe",
        help="a row of a paper's table, as maniquant-table1/resnet20-wcg; a table alone lists its rows",
    )
    parser.add_argument("--method", help="wcg (default), ste, dorefa, rf, spin, …, or fp, full precision")
    parser.add_argument(
        "--option",
        action="append",
        metavar="NAME=VALUE",
        help="a constant of the method: alpha=0.1, rows=1,0, batched=true",
    )
    parser.add_argument("--chi", type=float, help="strength of the metric of wcg, lne and rf")
    parser.add_argument("--inverse", help="exact or weak")
    parser.add_argument("--lr", type=float, help="learning rate (default: 0.1)")
    parser.add_argument("--latent-lr", type=float, help="of the latent weights (default: --lr)")
    parser.add_argument(
        "--validation", type=float, help="share of training images to hold out and measure on, for tuning"
    )
    _configure_task(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in --out")
    parser.add_argument("--tensorboard", action="store_true", help="write files for TensorBoard too")
    parser.add_argument(
        "--diagnostics",
        type=int,
        nargs="?",
        const=100,
        metavar="N",
        help="write what the metric does to each layer at each N-th step (100) to diagnostics.csv",
    )


def _train(options: argparse.Namespace) -> None:
    from lnegeom_torch.distributed import process_group
    from lnegeom_torch.experiment import from_options, refuse_ignored, run, seeds_of

    with process_group(options.device):
        config = from_options(options)
        refuse_ignored(options, config)
        run(
            config,
            seeds_of(options),
            options.out,
            resume=options.resume,
            jobs=options.jobs,
            tensorboard=options.tensorboard,
            diagnostics=options.diagnostics,
        )


def _configure_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", required=True, help="methods, or rows of recipes")
    parser.add_argument(
        "--rates", nargs="+", type=float, default=[0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0], help="to tune over"
    )
    parser.add_argument(
        "--tune",
        choices=("lr", "latent_lr"),
        default="lr",
        help="whose rates these are: all parameters' (default), or the latent weights'",
    )
    parser.add_argument("--lr", type=float, help="of all else, with --tune latent_lr (default: 0.1)")
    parser.add_argument("--tuning-seeds", type=int, default=1, help="runs at each rate (default: 1)")
    parser.add_argument("--held-out", type=float, default=0.2, help="share to tune on (default: 0.2)")
    parser.add_argument("--reference", help="what differences are against (default: the first method)")
    parser.add_argument("--threads", type=int, help="threads of torch")
    _configure_task(parser)
    parser.set_defaults(recipe=None, option=None)


def _compare(options: argparse.Namespace) -> None:
    from lnegeom_torch.compare_page import run

    _refuse_torchrun("compare", "one network at a time; --jobs runs several at once")
    run(options)


def _refuse_torchrun(command: str, instead: str) -> None:
    from lnegeom import InputError
    from lnegeom_torch.distributed import launched

    if launched():
        raise InputError(f"torchrun is for lnegeom train: lnegeom {command} trains {instead}")


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
    "  lnegeom train --method rf --weight-bits 2 --activation-bits 4 --option every=20 --out runs/rf\n"
    "  lnegeom train --recipe maniquant-table1/resnet20-wcg --root data --out runs/table1\n"
    "  torchrun --nproc-per-node 2 -m lnegeom train --recipe maniquant-table1/resnet20-wcg --root data \\\n"
    "      --out runs/table1   several processes share each batch, on CUDA a GPU each\n\n"
    "Ctrl-C leaves a checkpoint of the last whole epoch in --out; the same command with --resume goes on\n"
    "and ends with the same numbers.",
    configure=_configure_train,
    run=_train,
)

COMPARE = Command(
    summary="compare methods, each at its own best learning rate, with intervals",
    epilog="examples:\n"
    "  lnegeom compare --methods dorefa ste wcg spin --seeds 5 --out runs/compare\n"
    "  lnegeom compare --methods rf-dnn-cifar10/resnet20-dorefa rf-dnn-cifar10/resnet20-rf --root data \\\n"
    "      --epochs 20 --milestones 8 15 19 --out runs/rf\n\n"
    "Interrupted, the same command goes on where it was. Writes index.html, results.json, history.csv.",
    configure=_configure_compare,
    run=_compare,
)
