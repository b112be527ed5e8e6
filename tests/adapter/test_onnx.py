"""Models as ONNX files: onnxruntime gives the outputs that torch gives."""

import sys

import pytest
import torch
from torch import nn

from lnegeom import InputError
from lnegeom_torch import QuantConfig, export, freeze, quantize_
from lnegeom_torch.methods import Coarse

# torch's own, while it exports.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def network():
    """Layers with every kind of quantizer, batch norm, and a ReLU made a staircase."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten()
    )
    quantize_(model, QuantConfig("coarse", scale="channel", options=Coarse(top=1.0)))
    head = nn.Sequential(nn.Linear(128, 16), nn.Linear(16, 16), nn.Hardtanh(), nn.Linear(16, 5))
    quantize_(head, QuantConfig("ste", weight_bits=4, activation_bits=4))
    model = nn.Sequential(model, head)
    model(torch.randn(64, 1, 8, 8))  # running statistics
    return model


def test_onnxruntime_gives_the_same_outputs_for_batches_of_any_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model = network()
    export(model, tmp_path / "net.onnx", torch.zeros(1, 1, 8, 8))
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    for count in (1, 7):
        x = torch.randn(count, 1, 8, 8)
        with torch.no_grad():
            expected = freeze(model)(x)
        (found,) = session.run(None, {entry.name: x.numpy()})
        assert found.shape == expected.shape
        assert (torch.from_numpy(found) - expected).abs().max() < 2e-6 * expected.abs().max()
    assert model.training


def test_bad_input(tmp_path, monkeypatch):
    x = torch.zeros(1, 2)
    with pytest.raises(InputError, match=r"path must end in .onnx, got 'net.pt'"):
        export(nn.Linear(2, 2), "net.pt", x)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r'needs onnx(script)?; get it with: pip install "lnegeom\[onnx\]"'):
        export(nn.Linear(2, 2), tmp_path / "net.onnx", x)
