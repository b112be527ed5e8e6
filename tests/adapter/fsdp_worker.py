"""One of two processes that train a sharded quantized model; exits 0 if it equals the unsharded one."""

import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from lnegeom_torch import ManifoldSGD, NormalizedLNE, QuantConfig, quantize_


def train(sharded):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4, bias=False)
    )
    method = quantize_(model, QuantConfig("wcg", metric=NormalizedLNE(0.6)))
    if sharded:
        fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    groups = method.param_groups()
    assert len(groups[0]["params"]) == 2
    assert all(isinstance(p, DTensor) == sharded for p in groups[0]["params"])
    optimizer = ManifoldSGD(groups, lr=0.1, momentum=0.9)
    torch.manual_seed(1)
    for _ in range(3):
        x, y = torch.randn(16, 6), torch.randint(4, (16,))
        method.step(optimizer, nn.functional.cross_entropy, x, y)
    return [p.full_tensor() if sharded else p for p in method.latents.values()]


def main(rank, rendezvous):
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=int(rank), world_size=2)
    try:
        for whole, shard in zip(train(False), train(True), strict=True):
            torch.testing.assert_close(whole, shard, rtol=1e-5, atol=1e-6)
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
