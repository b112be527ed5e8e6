"""Recipes: the rows of the papers' tables, and smaller ones, as settings of `lnegeom train`.

A recipe is a TOML file beside this one. What stands at its top is shared by its rows; a row's own settings
replace it. The names are those of `lnegeom_torch.train.TrainConfig` and, under ``quant``, of
`lnegeom_torch.QuantConfig`.
"""

from lnegeom_torch.recipes._load import load, names

__all__ = ["load", "names"]
