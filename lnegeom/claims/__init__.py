"""What the papers claim, what of it is so, and evidence that is measured when it is asked for."""

from lnegeom.claims._catalogue import find, groups
from lnegeom.claims._claim import Claim, Figure, Finding, Group, claim

__all__ = ["Claim", "Figure", "Finding", "Group", "claim", "find", "groups"]
