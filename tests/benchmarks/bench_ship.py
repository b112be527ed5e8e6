"""What shipping a quantized model costs and saves: file sizes, evaluation, loading of image files.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_ship.py

Sizes are of whole files, header and batch norms included. Times are processor times of this one thread: each
round measures both candidates in turn, and the median over rounds of the ratio is given, with least and most.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.utils import parametrize

from lnegeom_torch import QuantConfig, export, freeze, quantize_, unpack
from lnegeom_torch.data._folders import _decode
from lnegeom_torch.nets import build

WIDTHS = [1, "ternary", 2, 3, 4, 8]
ROUNDS = 21


def markdown(headers, rows):
    return "\n".join(
        "| " + " | ".join(map(str, row)) + " |" for row in [headers, ["---"] * len(headers), *rows]
    )


def sizes(folder):
    rows = []
    for width in WIDTHS:
        row = [width]
        for name in ("resnet20", "vgg16"):
            for batch_norm in ("keep", "fold"):
                torch.manual_seed(0)
                model = build(name, channels=3, image_size=32, classes=10)
                quantize_(model, QuantConfig("ste", weight_bits=width, scale="channel"))
                frozen = freeze(model, batch_norm=batch_norm)
                path = export(frozen, folder / "model.packed")
                state = unpack(path)
                assert all(torch.equal(state[key], value) for key, value in frozen.state_dict().items())
                whole = sum(v.numel() * v.element_size() for v in freeze(model).state_dict().values())
                row.append(f"1/{whole / path.stat().st_size:.1f}")
            path = export(frozen, folder / "model.onnx", torch.zeros(2, 3, 32, 32))
            row.append(f"1/{whole / path.stat().st_size:.1f}")
        rows.append(row)
    one = ["", "folded", "folded, ONNX"]
    return markdown(
        ["bits", *(f"{net} {what}".strip() for net in ("ResNet-20", "VGG-16") for what in one)], rows
    )


def paired(first, second, repeat=1):
    """Median, least and most over rounds of the ratio of the first one's time to the second's."""

    def seconds(call):
        start = time.thread_time()
        for _ in range(repeat):
            call()
        return (time.thread_time() - start) / repeat

    for call in (first, second):
        call()
    ratios = [seconds(first) / seconds(second) for _ in range(ROUNDS)]
    return [f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}", f"{max(ratios):.2f}"]


@torch.no_grad()
def evaluation():
    rows = []
    for name, batch in (("resnet20", 1), ("resnet20", 32), ("vgg16", 1)):
        torch.manual_seed(0)
        model = build(name, channels=3, image_size=32, classes=10)
        quantize_(model, QuantConfig("ste", weight_bits=4, scale="channel"))
        model.eval()
        quantizers = [m[0] for m in model.modules() if isinstance(m, parametrize.ParametrizationList)]
        frozen, x = freeze(model), torch.randn(batch, 3, 32, 32)

        def kept(model=model, x=x):
            model(x)

        def anew(model=model, quantizers=quantizers, x=x):
            for quantizer in quantizers:
                quantizer._kept = None
            model(x)

        for label, call in (("quantized, kept", kept), ("quantized anew", anew)):
            rows.append([f"`{name}`, batch {batch}", label, *paired(call, lambda f=frozen, x=x: f(x))])
    return markdown(["network", "candidate", "time / frozen", "least", "most"], rows)


def loading(folder):
    rows = []
    for width, height in ((500, 375), (2000, 1500)):
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / (20 + 3 * k)) * np.cos(y / (30 + 5 * k)) for k in range(3)]
        pixels = (
            127 + 100 * np.stack(waves, 2) + np.random.default_rng(0).normal(0, 8, (height, width, 3))
        ).clip(0, 255)
        path = folder / "photo.JPEG"
        Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)
        chance = torch.rand(22, generator=torch.Generator().manual_seed(0)).tolist()

        def plainly(path=path):
            with Image.open(path) as image:
                image = image.convert("RGB")
                image.resize((256 * image.width // image.height, 256), Image.BILINEAR).crop(
                    (16, 16, 240, 240)
                )

        for label, drawn in (("centre", None), ("random part", chance)):
            ratio = paired(lambda drawn=drawn, path=path: _decode(str(path), 224, drawn), plainly, repeat=5)
            rows.append([f"{width} × {height}", label, *ratio])
    return markdown(["JPEG", "part", "time / pillow, whole image", "least", "most"], rows)


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for table in (sizes(Path(folder)), evaluation(), loading(Path(folder))):
            print(table, end="\n\n")


if __name__ == "__main__":
    main()
