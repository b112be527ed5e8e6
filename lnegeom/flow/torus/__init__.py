"""Flows on tori, by Fourier transforms; `lnegeom.flow` offers what is public."""

__all__: list[str] = []
