"""The code of docs/optimizers.md runs."""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "optimizers.md"


def test_every_block_runs():
    namespace = {}
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), namespace)
    assert len(namespace["table"].read_text().splitlines()) > 3
    assert set(namespace["mismatch"]) == {"0", "2"}
