"""What of a file of reflections is wanted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """What of a file is wanted.

    Attributes
    ----------
    label : str or None
        Column, or type of column (G, F, K, J).
    average : bool
        Merge rows of one reflection by their mean.
    dataset : str or None
        Block of a CIF file, data set of an MTZ file, or part of a loop.
    symmetry : str or None
        Group of a list that names none itself.
    """

    label: str | None = None
    average: bool = False
    dataset: str | None = None
    symmetry: str | None = None
