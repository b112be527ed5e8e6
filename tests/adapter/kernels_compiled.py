"""The kernels compiled for an H100 by Triton and its assembler, as steps would launch them; needs no GPU."""

import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton
from torch import nn
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from lnegeom_torch import LNE, LogCoshHessian, ManifoldAdamW, ManifoldSGD, NormalizedLNE
from lnegeom_torch.optim import _two_passes

INSPECTOR = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
REGISTERS = 128  # of a thread: with them, four programs of `sums` and two of a step share a processor
OPTIONS = {
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True, "gate": True, "maximize": True, "weight_decay": 0.1},
    "decoupled": {"clip": True, "weight_decay": 0.1, "decoupled_weight_decay": True},
    "adamw": {"weight_decay": 0.1},
}
CASES = (
    (LNE(), "momentum", torch.float32),
    (NormalizedLNE(), "momentum", torch.float32),
    (LogCoshHessian(), "momentum", torch.float32),
    (LNE(), "adamw", torch.float32),
    (NormalizedLNE(), "adamw", torch.float32),
    (LogCoshHessian(), "adamw", torch.float32),
    (NormalizedLNE(), "nesterov", torch.bfloat16),
    (LogCoshHessian(), "decoupled", torch.float16),
    (LNE(), "adamw", torch.bfloat16),
)


class Driver:
    """What of a driver compilation asks for."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device=None):
        return 0


def compile_in_place_of_launching(found):
    run = JITFunction.run

    def compiled(self, *arguments, grid, warmup, **named):
        kernel = run(self, *arguments, grid=grid, warmup=True, **named)
        if all(kernel is not other for _, other in found):
            found.append((self.__name__, kernel))

    JITFunction.run = compiled


def resources(kernel):
    """Registers of a thread, and bytes that it keeps elsewhere for want of them."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        report = subprocess.check_output([INSPECTOR, "-res-usage", file.name], text=True)
    return [int(re.search(rf"{word}:(\d+)", report)[1]) for word in ("REG", "STACK")]


def step(metric, name, dtype):
    weights = [nn.Parameter(torch.ones(size, dtype=dtype)) for size in (5, 5000)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    kind = ManifoldAdamW if name == "adamw" else ManifoldSGD
    lr = torch.tensor(0.1) if dtype is torch.bfloat16 else 0.1
    optimizer = kind(weights, lr=lr, metric=metric, fused=True, **OPTIONS[name])
    if dtype is not torch.float32:
        optimizer.grad_scale, optimizer.found_inf = torch.ones(()), torch.zeros(())
    optimizer.step()
    assert optimizer._two_passes


if __name__ == "__main__":
    driver.set_active(Driver())
    _two_passes.on_gpu = lambda tensor: True
    found = []
    compile_in_place_of_launching(found)
    for case in CASES:
        step(*case)
    for name, kernel in found:
        registers, spilled = resources(kernel)
        print(f"{name}: {registers} registers, {spilled} bytes spilled")
        assert registers <= REGISTERS
        assert spilled == 0
        if name != "write":  # four numbers at once: a mask where none is needed would load each by itself
            assert "ld.global.v4.b32" in kernel.asm["ptx"]
        if name == "sums":  # a program counts once all of it have stored; what others stored is loaded then
            order = re.findall(r"st\.global|bar\.sync|atom\S*acq_rel|ld\.global\.cg", kernel.asm["ptx"])
            (at,) = (place for place, word in enumerate(order) if word.startswith("atom.global.gpu"))
            assert order[at - 1] == order[at + 1] == "bar.sync"
            assert order.index("ld.global.cg") > at
    print(f"{len(found)} kernels compile")
