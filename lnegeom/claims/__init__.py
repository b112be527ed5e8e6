"""What the papers claim, what of it is so, and evidence that is measured when it is asked for."""

from lnegeom.claims._claim import Claim, Figure, Finding, Group, claim
from lnegeom.claims._registry import find, groups

__all__ = ["Claim", "Figure", "Finding", "Group", "claim", "find", "groups"]
