"""Processes that train sharded, so many as the first argument says. Exits 0 if all equals the unsharded run.

They are forks of one that has imported everything: to import torch in each takes longer than the checks.
"""

import os
import sys
from pathlib import Path

import pytest
import torch
import torch._dynamo  # which torch.func imports when it is first used
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import lnegeom
from lnegeom_torch import (
    LNE,
    Fisher,
    Graph,
    ManifoldAdamW,
    ManifoldSGD,
    NormalizedLNE,
    Precondition,
    QuantConfig,
    quantize_,
)
from lnegeom_torch.diagnostics import Diagnostics
from lnegeom_torch.methods import MetaQuant
from lnegeom_torch.optim import estimate_fisher

FSDP2 = torch.__version__ >= "2.7"  # torch 2.6's runs on GPUs only
SGD = {"lr": 0.1, "momentum": 0.9}
OPTIMIZERS = [
    lambda p: ManifoldSGD(p, **SGD, metric=LNE(2.0), retraction="second", weight_decay=0.1),
    lambda p: Precondition(torch.optim.RMSprop(p, lr=0.01), NormalizedLNE(0.6, per="channel"), gate=True),
    lambda p: ManifoldSGD(
        p, **SGD, metric=NormalizedLNE(0.6), weight_decay=0.1, precondition_weight_decay=True
    ),
    lambda p: ManifoldAdamW(
        p,
        lr=0.01,
        metric=Graph(lnegeom.LogCosh(1.0), -1),
        metric_on="update",
        retraction="exponential",
        clip=True,
    ),
]


def close(a, b):
    torch.testing.assert_close(whole(a), whole(b), rtol=1e-5, atol=1e-6)


def whole(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 9, bias=False), nn.LayerNorm(9), nn.ReLU(), nn.Linear(9, 3))


def descend(model, optimizer, steps=3, share=slice(None), seed=1):
    torch.manual_seed(seed)
    for _ in range(steps):
        x, y = torch.randn(16, 6)[share], torch.randint(3, (16,))[share]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def check_fully_shard(build, mesh):
    """FSDP2: nine rows over two or four processes, unevenly, and three, so that one of four has none."""
    expected, model = network(), fully_shard(network(), mesh=mesh)
    descend(expected, build(expected.parameters()))
    descend(model, build(model.parameters()))
    for a, b in zip(expected.parameters(), model.parameters(), strict=True):
        assert isinstance(b, DTensor)
        close(a, b)


def check_sharded_tensors(build, mesh):
    """A weight split along either axis: dot products are the whole layer's."""
    torch.manual_seed(0)
    w, g = torch.randn(8, 12), torch.randn(8, 12)
    for placement in (Shard(0), Shard(1), Replicate()):
        a = nn.Parameter(w.clone())
        b = nn.Parameter(distribute_tensor(w.clone(), mesh, [placement]))
        a.grad, b.grad = g.clone(), distribute_tensor(g, mesh, [placement])
        for parameter in (a, b):
            optimizer = build([parameter])
            with CommDebugMode() as messages:
                for _ in range(2):
                    optimizer.step()
        close(a, b)
        kinds = {str(kind).rpartition(".")[2] for kind in messages.get_comm_counts()}
        assert kinds <= {"all_reduce"}, kinds  # numbers; no process needs to see another's weights


def check_tensor_parallel(mesh):
    """Parallelized first, quantized then, since `parallelize_module` refuses parametrized layers."""

    def build(parallel):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False))
        if parallel:
            parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
        method = quantize_(model, QuantConfig("wcg", metric=NormalizedLNE(0.6)))
        return model, method, ManifoldSGD(method.param_groups(), **SGD)

    results = []
    for parallel in (False, True):
        model, method, optimizer = build(parallel)
        descend(model, optimizer)
        assert all(isinstance(p, DTensor) == parallel for p in method.latents.values())
        results.append(list(method.latents.values()))
    for a, b in zip(*results, strict=True):
        close(a, b)


class Writer:
    """What Diagnostics records, by its tag."""

    def __init__(self):
        self.seen = {}

    def add_scalar(self, tag, value, _):
        self.seen[tag] = value


def check_quantized_fully_shard(config, mesh):
    """Weights and diagnostics, of layers quantized first and sharded then."""
    results, diagnostics = [], []
    for sharded in (False, True):
        model = network()
        method = quantize_(model, config)
        if sharded:
            fully_shard(model, mesh=mesh)
        assert all(isinstance(p, DTensor) == sharded for p in method.latents.values())
        optimizer, writer = ManifoldSGD(method.param_groups(), **SGD), Writer()
        with Diagnostics(optimizer, method, every=1, writer=writer):
            descend(model, optimizer)
        results.append(list(method.latents.values()))
        diagnostics.append(writer.seen)
    for a, b in zip(*results, strict=True):
        close(a, b)
    whole_run, sharded_run = diagnostics
    assert whole_run.keys() == sharded_run.keys()
    for tag, value in whole_run.items():
        assert abs(value - sharded_run[tag]) <= 1e-3 * abs(value) + 1e-5, (tag, value, sharded_run[tag])


def check_metaquant(mesh, options):
    """Weights and φ, of weights divided or not, though each process draws a φ of its own at first."""
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(1)
    x, y = torch.randn(16, 6), torch.randint(3, (16,))
    results = []
    for place in ("whole", "ddp", *FSDP2 * ["fsdp"]):
        model = network()
        torch.manual_seed(0 if place == "whole" else rank)
        method = quantize_(model, QuantConfig("metaquant", options=options))
        if place == "fsdp":
            fully_shard(model, mesh=mesh)
        called = DistributedDataParallel(model) if place == "ddp" else model
        optimizer = ManifoldSGD(method.param_groups(), **SGD)
        method.attach(optimizer)
        for _ in range(3):
            share = slice(None) if place == "whole" else slice(rank, None, world)
            optimizer.zero_grad()
            nn.functional.cross_entropy(called(x[share]), y[share]).backward()
            optimizer.step()
        assert all(isinstance(p, DTensor) == (place == "fsdp") for p in method.latents.values())
        results.append([*method.latents.values(), *method.meta.parameters()])
    for result in results[1:]:
        for a, b in zip(results[0], result, strict=True):
            close(a, b)


def check_fisher(mesh, kind):
    """Each process sees its part of the batch; statistics and steps are those of the whole batch."""
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(1)
    x, y = torch.randn(16, 6), torch.randint(3, (16,))

    def train(model, share):
        weights = [p for p in model.parameters() if p.ndim == 2]
        optimizer = ManifoldSGD(weights, **SGD, metric=Fisher(kind, damping=0.1))
        for _ in range(2):
            estimate_fisher(optimizer, model, x[share], y[share])
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[share]), y[share]).backward()
            optimizer.step()
        return weights

    expected = train(network(), slice(None))
    share = slice(rank, None, world)
    models = [DistributedDataParallel(network())] + FSDP2 * [fully_shard(network(), mesh=mesh)]
    for model in models:
        for a, b in zip(expected, train(model, share), strict=True):
            close(a, b)


def check_fisher_refuses(mesh):
    """Tensor-parallel layers, whose inputs or outputs are divided, and unequal parts of a batch."""
    model = parallelize_module(network(), mesh, {"3": ColwiseParallel()})
    optimizer = ManifoldSGD([model[3].weight], **SGD, metric=Fisher())
    with pytest.raises(lnegeom.InputError, match="saw 9 of 9 inputs and"):
        estimate_fisher(optimizer, model, torch.randn(8, 6))
    model = DistributedDataParallel(network())
    optimizer = ManifoldSGD([model.module[0].weight], **SGD, metric=Fisher("block"))
    with pytest.raises(lnegeom.InputError, match="must be as many on each, got from 8 to 9"):
        estimate_fisher(optimizer, model, torch.randn(8 + dist.get_rank(), 6))


def check_data_parallel():
    rank, world = dist.get_rank(), dist.get_world_size()
    expected, model = network(), DistributedDataParallel(network())
    descend(expected, OPTIMIZERS[0](expected.parameters()))
    descend(model, OPTIMIZERS[0](model.parameters()), share=slice(rank, None, world))
    for a, b in zip(expected.parameters(), model.parameters(), strict=True):
        close(a, b)


def check_checkpoint(mesh, folder):
    """Saved in shards over all processes, loaded whole, and in shards over the mesh's other axis."""
    build = OPTIMIZERS[0]
    model = fully_shard(network(), mesh=mesh)
    optimizer = build(model.parameters())
    descend(model, optimizer)
    weights, state = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder)
    descend(model, optimizer, seed=2)
    for place in (
        lambda m: m,
        lambda m: parallelize_module(m, mesh, {"3": RowwiseParallel(input_layouts=Replicate())}),
    ):
        other = place(network(seed=5))
        resumed = build(other.parameters())
        weights, state = get_state_dict(other, resumed)
        dcp.load({"model": weights, "optimizer": state}, checkpoint_id=folder)
        set_state_dict(other, resumed, model_state_dict=weights, optim_state_dict=state)
        assert resumed.param_groups[0]["metric"] == {"name": "LNE", "tau": 2.0}
        descend(other, resumed, seed=2)
        for a, b in zip(model.parameters(), other.parameters(), strict=True):
            close(a, b)


def main(rank, processes, folder):
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=processes)
    try:
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        for build in OPTIMIZERS if dist.get_world_size() == 2 else OPTIMIZERS[:1]:
            check_sharded_tensors(build, mesh)
            if FSDP2:
                check_fully_shard(build, mesh)
        check_tensor_parallel(mesh)
        check_data_parallel()
        if dist.get_world_size() == 2:
            for kind in ("diagonal", "kronecker", "block", "exact"):
                check_fisher(mesh, kind)
            check_fisher_refuses(mesh)
            check_metaquant(mesh, MetaQuant())
            check_metaquant(mesh, MetaQuant(form="fcgrad", activation="tanh", lr=1e-2))
        if FSDP2:
            learned = {"scale": "tensor", "learned_scale": True, "learned_range": True}
            configs = (
                QuantConfig("wcg", metric=NormalizedLNE(0.6)),
                QuantConfig("ste", 4, 4, **learned),
                QuantConfig("logcosh"),
                QuantConfig("ricci"),
            )
            for config in configs if dist.get_world_size() == 4 else configs[:2]:
                check_quantized_fully_shard(config, mesh)
            check_checkpoint(mesh, Path(folder) / "checkpoint")
    finally:
        dist.destroy_process_group()
    os._exit(0)  # gloo's threads, still joining, can abort an interpreter on its way out


if __name__ == "__main__":
    count = int(sys.argv[1])
    torch.multiprocessing.start_processes(main, (count, sys.argv[2]), nprocs=count, start_method="fork")
