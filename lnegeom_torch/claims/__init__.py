"""Claims whose evidence needs torch; torch itself is imported when one is measured."""

from lnegeom.claims import Group

__all__ = ["TRAINING"]

TRAINING: tuple[Group, ...] = ()
