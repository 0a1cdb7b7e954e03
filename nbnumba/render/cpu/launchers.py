"""Calls of the CPU's kernels, a class for each row of the plan table.

To add a kernel, add a class here, its row in :data:`LAUNCHERS`, and its row in :mod:`nbnumba.render.kernel_table`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from nbnumba.kernels.formulas.blocks import CellBlock
from nbnumba.memory import derived
from nbnumba.render.backend import Progress
from nbnumba.render.cpu.case import ROWS_TOGETHER
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import FAST32, FAST64, GENERAL, SPOTS


class Rows(NamedTuple):
    """Rows ``row0 <= s < row1`` of an image that are to be rendered.

    Attributes
    ----------
    image : (spixels, fpixels) float32
    cell : CellBlock
        In place of that of the inputs: with or without interpolation.
    tile : tuple of int
        Columns and rows of a tile.
    fell_out : (spixels,) uint8
        Set to 1 for rows in which interpolation ended, by kernels that interpolate.
    progress : callable, optional
        Called with the share that is done, by kernels that tell it.
    """

    image: np.ndarray
    cell: CellBlock
    row0: int
    row1: int
    tile: tuple[int, int]
    fell_out: np.ndarray
    progress: Progress | None = None


class Launcher(ABC):
    """A kernel of the CPU.

    Attributes
    ----------
    rows_together : int
        Rows that it renders together; a band is a whole number of them. 0: it processes one orientation after another, for
        all rows.
    tells_progress : bool
        Whether it calls ``progress`` itself.
    """

    rows_together: ClassVar[int] = ROWS_TOGETHER
    tells_progress: ClassVar[bool] = False

    def __init__(self) -> None:
        self._kernel = self._load()

    @abstractmethod
    def _load(self) -> Callable[..., Any]:
        """The kernel's function; its module is slow to import."""

    def table(self, inputs: KernelInputs) -> np.ndarray:
        """Structure factors in the kernel's form; made once and kept as long as the array exists from which they are made."""
        tag = ("F2 row", inputs.cell.default_F, inputs.cell.has_hkl)
        table: np.ndarray = derived(inputs.Fhkl, tag, inputs.F2_table)
        return table

    @abstractmethod
    def run(self, inputs: KernelInputs, table: np.ndarray, rows: Rows) -> None:
        """Render rows; ``table`` as of :meth:`table`."""


def _arguments(x: KernelInputs, table: np.ndarray, rows: Rows) -> tuple[Any, ...]:
    """The arguments that all kernels begin with."""
    blocks = (x.panel, x.crystal, rows.cell, x.beam)
    return rows.image, *blocks, x.sources, x.cells, table, x.mask, rows.row0, rows.row1


class GeneralLauncher(Launcher):
    """``general``: every flag, float64 throughout."""

    rows_together = 1

    def _load(self) -> Callable[..., Any]:
        from nbnumba.kernels.cpu.general import render_general

        return render_general

    def table(self, inputs: KernelInputs) -> np.ndarray:
        """F itself."""
        return inputs.Fhkl

    def run(self, inputs: KernelInputs, table: np.ndarray, rows: Rows) -> None:
        """Render rows; ``fell_out`` is set where interpolation ended."""
        self._kernel(*_arguments(inputs, table, rows), rows.fell_out)


class FastLauncher(Launcher):
    """``fast64``: tiles with float64 phases."""

    def _load(self) -> Callable[..., Any]:
        from nbnumba.kernels.cpu.fast import render_fast64

        return render_fast64

    def run(self, inputs: KernelInputs, table: np.ndarray, rows: Rows) -> None:
        """Render rows tile by tile."""
        self._kernel(*_arguments(inputs, table, rows), rows.tile)


class Fast32Launcher(FastLauncher):
    """``fast32``: tiles with anchored float32 phases."""

    def _load(self) -> Callable[..., Any]:
        from nbnumba.kernels.cpu.fast import render_fast32

        return render_fast32


class SpotsLauncher(Launcher):
    """``spots``: reflection by reflection."""

    rows_together = 0
    tells_progress = True

    def _load(self) -> Callable[..., Any]:
        from nbnumba.kernels.cpu.spots import render_spots

        return render_spots

    def run(self, inputs: KernelInputs, table: np.ndarray, rows: Rows) -> None:
        """Render all rows, pair by pair of a source and an orientation."""
        self._kernel(*_arguments(inputs, table, rows), rows.progress)


#: Classes by the names of their rows of the plan table.
LAUNCHERS: dict[str, type[Launcher]] = {
    SPOTS.name: SpotsLauncher,
    FAST32.name: Fast32Launcher,
    FAST64.name: FastLauncher,
    GENERAL.name: GeneralLauncher,
}
