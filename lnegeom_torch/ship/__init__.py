"""From a quantized model to what runs elsewhere: plain modules, ONNX, packed files; and a summary of it."""

from lnegeom_torch.ship.frozen import freeze
from lnegeom_torch.ship.onnx_file import export
from lnegeom_torch.ship.overview import LayerSummary, Summary, summary
from lnegeom_torch.ship.packing import load_packed, save_packed

__all__ = ["LayerSummary", "Summary", "export", "freeze", "load_packed", "save_packed", "summary"]
