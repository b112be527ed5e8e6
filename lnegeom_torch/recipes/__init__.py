"""Recipes: the rows of the papers' tables, and smaller ones, as settings of `lnegeom train`.

A recipe is a TOML file beside this one. What stands at its top is shared by its rows; a row's own settings
replace it. The names are those of `lnegeom_torch.train.TrainConfig` and, under ``quant``, of
`lnegeom_torch.QuantConfig`. ``table-small/row`` is the row on a small machine, on digits, in seconds to
minutes: what stands under ``small`` replaces both. A row whose ``pretrained`` is another row starts from what
that one left in ``runs/table/row``, its own ``--out``.

Rows of methods that the papers quote from elsewhere and this package does not have are left out.
"""

from lnegeom_torch.recipes._load import load, names

__all__ = ["load", "names"]
