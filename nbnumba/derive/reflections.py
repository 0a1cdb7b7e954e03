"""Derivatives with respect to structure factors: sparse, as few reflections contribute to a pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nbnumba.derive.engine import PanelPass, threads
from nbnumba.derive.parameter import Parameter
from nbnumba.derive.setting import Setting
from nbnumba.derive.state import State
from nbnumba.errors import ConfigError
from nbnumba.kernels.formulas.blocks import ROUND, CellBlock

#: Reflections of a pixel for which there is room at first.
ROOM = 8


class Contributions(NamedTuple):
    """Derivatives of pixels with respect to the structure factors of reflections, one row for each pair.

    Attributes
    ----------
    pixels : (n, 2) int32
        Slow and fast index.
    hkl : (n, 3) int32
    values : (n,) float64
        Photons per electron.
    """

    pixels: np.ndarray
    hkl: np.ndarray
    values: np.ndarray


class StructureFactor(Parameter):
    """``F[h, k, l]`` (electrons): the structure factor of one reflection of the list."""

    smooth = True

    def __init__(self, name: str, hkl: tuple[int, int, int]) -> None:
        super().__init__(name)
        self.hkl = hkl

    def check(self, at: Setting) -> None:
        """See :class:`Parameter`."""
        self.number(at.start[0].cell)
        if at.start[0].cell.interpolate:
            raise ConfigError(
                f"{self.name}: each pixel depends on all F around it where F is interpolated: give -nointerpolate"
            )

    def number(self, cell: CellBlock) -> int:
        """Number in the table of F^2.

        Raises
        ------
        ConfigError
            The list has no such reflection.
        """
        low, sizes = (cell.h_min, cell.k_min, cell.l_min), (cell.h_range, cell.k_range, cell.l_range)
        at = [index - first for index, first in zip(self.hkl, low, strict=True)]
        if not cell.has_hkl or not all(0 <= i < size for i, size in zip(at, sizes, strict=True)):
            raise ConfigError(
                f"{self.name}: reflection {self.hkl} is outside the list of structure factors: check its indices"
            )
        return 1 + (at[0] * sizes[1] + at[1]) * sizes[2] + at[2]

    def applied(self, state: State, change: complex) -> State:
        """See :class:`Parameter`."""
        others = state.F[(state.F[:, :3] != self.hkl).any(axis=1)]
        own = state.F[(state.F[:, :3] == self.hkl).all(axis=1), 3].sum()
        return state._replace(F=np.vstack([others, [*self.hkl, own + change]]))


def contributions(one: PanelPass) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the pass's pixels, numbers of reflections in the table of F^2 (0: ``default_F``), and derivatives, (n,) each."""
    from nbnumba.kernels.cpu.derivatives import make_scratch
    from nbnumba.kernels.cpu.reflections import derive_reflections

    x, room = one.inputs, ROOM
    F = np.concatenate([[x.cell.default_F], x.Fhkl.ravel()]) if x.cell.has_hkl else np.array([x.cell.default_F])
    tables = (one.sources, x.cells, F, make_scratch(threads(), 1)[0])
    round_ = 1 if x.crystal.shape == ROUND else None
    while True:
        numbers, values = np.zeros((len(one.pixels), room), np.int64), np.zeros((len(one.pixels), room))
        counts = np.zeros(len(one.pixels), np.int64)
        derive_reflections(numbers, values, counts, one.pixels, *one.blocks, tables, one.ends[:2], round_)
        if counts.max(initial=0) <= room:
            break
        room = int(counts.max())
    rows, places = np.nonzero(values)
    return rows, numbers[rows, places], values[rows, places]


def indices_of(numbers: np.ndarray, cell: CellBlock) -> np.ndarray:
    """h, k, l of numbers > 0 in the table of F^2, (n, 3) int32."""
    found = np.unravel_index(numbers - 1, (cell.h_range, cell.k_range, cell.l_range))
    return (np.stack(found, axis=1) + np.array([cell.h_min, cell.k_min, cell.l_min])).astype(np.int32)
