"""The code of docs/stack.md runs, in one namespace, from the first block to the last."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

PAGE = Path(__file__).parents[1] / "docs" / "stack.md"
BLOCKS = re.findall(r"```python ?(\w*)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def namespace():
    """What the blocks that need no other library leave behind, the last of them left out."""
    torch.manual_seed(0)
    names = {}
    for needs, block in BLOCKS[:-1]:
        if not needs:
            exec(compile(block, str(PAGE), "exec"), names)
    return names


def test_the_loop_trains_and_freezes(namespace):
    assert len(namespace["frozen"](namespace["x"]).unique()) > 1
    assert len(namespace["frozen"].layers[1].weight.unique()) == 2
    assert namespace["optimizer"].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_the_network_ships(namespace):
    exec(compile(BLOCKS[-1][1], str(PAGE), "exec"), namespace)
    weights = sum(p.numel() for p in namespace["frozen"].parameters() if p.ndim > 1)
    assert namespace["packed"].stat().st_size < weights / 8 + 12_000


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize(("library", "name"), [("lightning", "module"), ("transformers", "bert")])
def test_trainers_of_others_train(namespace, library, name):
    pytest.importorskip(library, reason=f"{library} is not installed")
    (block,) = (block for needs, block in BLOCKS if needs == library)
    made = dict(namespace)
    start = block.index("trainer.fit" if library == "lightning" else "Trainer(bert")
    exec(compile(block[:start], str(PAGE), "exec"), made)
    latents = {key: p for key, p in made[name].named_parameters() if key.endswith("original")}
    before = {key: p.detach().clone() for key, p in latents.items()}
    exec(compile(block[start:], str(PAGE), "exec"), made)
    assert len(latents) > 2
    assert not [key for key, p in latents.items() if torch.equal(before[key], p)]
