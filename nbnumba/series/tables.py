"""Inputs that all shots share, for processes: tables of structure factors in files that each process maps."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nbnumba.io.files import atomic_write
from nbnumba.io.values import FTable
from nbnumba.model.config import Simulation


@dataclass(frozen=True)
class TableFile:
    """A box of structure factors in a file.

    Attributes
    ----------
    path : Path
        ``.npy``, mapped by all processes.
    limits : (4,) int
        h_min, k_min, l_min, and the number of reflections.
    default_F : float
    source : str
        File that the structure factors were read from.
    cell : (6,) tuple of float, or None
        As of :class:`nbnumba.io.values.FTable`.
    """

    path: Path
    limits: tuple[int, int, int, int]
    default_F: float
    source: str
    cell: tuple[float, ...] | None = None

    @classmethod
    def of(cls, table: FTable, path: Path) -> TableFile:
        """Write a table to a file.

        Raises
        ------
        FileError
            The file cannot be written.
        """
        with atomic_write(path) as handle:
            np.save(handle, table.grid)
        limits = (table.h_min, table.k_min, table.l_min, table.n_reflections)
        return cls(path, limits, table.default_F, table.source, table.cell)

    def load(self) -> FTable:
        """The table."""
        # copy-on-write: kernels are compiled for arrays that can be written
        box = np.asarray(np.load(self.path, mmap_mode="c"))
        return FTable(box, *self.limits, self.default_F, self.source, self.cell)


def without_list(simulation: Simulation) -> Simulation:
    """A simulation without its list of structure factors, which may be large, or cannot be sent to a process."""
    return replace(simulation, structure_factors=simulation.structure_factors.with_table(None))


def with_list(simulation: Simulation, table: FTable) -> Simulation:
    """A simulation with a table of structure factors in the place of its list."""
    return replace(simulation, structure_factors=simulation.structure_factors.with_table(table))


def with_whole_paths(simulation: Simulation) -> Simulation:
    """The simulation with absolute names of input files, for processes with another working folder."""
    parts: dict[str, Any] = {}
    for entry in fields(simulation):
        part: Any = getattr(simulation, entry.name)
        if is_dataclass(part) and not isinstance(part, type):
            named = {field.name: getattr(part, field.name) for field in fields(part)}
            whole = {key: Path(os.path.abspath(path)) for key, path in named.items() if isinstance(path, Path)}
            parts[entry.name] = replace(part, **whole)
    return replace(simulation, **parts)
