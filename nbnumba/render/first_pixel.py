"""The pixel with which the released program begins an image, at phi = 0 with a cell that has not been rotated yet.

All later sums have the cell that the last phi step has left (``stale_cell`` of :mod:`nbnumba.model.editions`). So one pixel
has orientations of its own, which no kernel knows: it is computed here, by the definition of the sum, and replaces the
kernel's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nbnumba.kernels.cpu.trace import find_first, record_pixel
from nbnumba.kernels.formulas.pixel import COLUMNS
from nbnumba.render.inputs import KernelInputs


class FirstPixel(NamedTuple):
    """Slow and fast index of a pixel, and its photons."""

    slow: int
    fast: int
    value: float


def is_first(inputs: KernelInputs, slow: int, fast: int) -> bool:
    """Whether the image begins with this pixel, and with other orientations than the rest."""
    if not len(inputs.first_cells):
        return False
    return bool(find_first(inputs.panel, inputs.beam, inputs.sources, inputs.mask) == (slow, fast))


def first_pixel(inputs: KernelInputs) -> FirstPixel | None:
    """The pixel with which the image begins, if it has other orientations than the rest."""
    if not len(inputs.first_cells):
        return None
    x, record = inputs, np.zeros((1, COLUMNS))
    slow, fast = find_first(x.panel, x.beam, x.sources, x.mask)
    if slow < 0:
        return None
    blocks = (x.panel, x.crystal, x.cell, x.beam, x.sources, x.cells, x.Fhkl)
    value, _ = record_pixel(record, slow, fast, *blocks, x.cell.interpolate, x.first_cells)
    return FirstPixel(slow, fast, float(value))
