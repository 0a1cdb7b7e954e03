"""Properties of a panel for the CUDA kernels: bounds of the error of phases in float32 and in fixed point."""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from nbnumba.kernels.formulas.blocks import CellBlock, PanelBlock
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import FEWEST_TERMS, GENERAL, SPOTS, Case, Kernel
from nbnumba.render.panel_grid import turns_of

#: Pixels of a tile along both axes, as ``kernels.gpu.fast.TILE``.
TILE = 16
#: Most cells along an axis with float64 phases: the whole part of N h is a float32.
MOST_CELLS = 2**23
#: Most structure factors that the fast kernels can index; orientations that are processed together.
MOST_F, ORIENTATIONS = 2**31, 256


class CudaCase(Case):
    """Properties of a panel for the CUDA kernels."""

    target = "cuda"

    @property
    def too_large(self) -> str:
        """Reason why the integers of the fast kernels are too small for the panel; empty if they are not."""
        crystal = self.inputs.crystal
        if math.prod(n + 1 for n in box_of(self.inputs.cell)) >= MOST_F:
            return "more structure factors than the fast kernels can index"
        if max(crystal.Na, crystal.Nb, crystal.Nc) > MOST_CELLS:
            return "more cells than the fast kernels can count"
        fdet, sdet = np.array(self.inputs.panel[3:6]), np.array(self.inputs.panel[6:9])
        # half of a tile's longer diagonal, which the kernel takes for 0.75 of its side
        if max(np.linalg.norm(fdet + sdet), np.linalg.norm(fdet - sdet)) > 1.5:
            return "pixels far from square"
        return ""

    @property
    def has_few_terms(self) -> bool:
        """Whether a pixel has too few terms to blur the zeros of the grating function."""
        return self.terms < FEWEST_TERMS

    @property
    def may_miss_peaks(self) -> bool:
        """Always False: indices are multiplied by N before they are rounded."""
        return False

    @cached_property
    def anchored_error(self) -> float:
        """Bound of the error in N h of float32 phases that are relative to the middle of a tile of 16 x 16 pixels."""
        crystal = self.inputs.crystal
        N = np.array((crystal.Na, crystal.Nb, crystal.Nc))
        return float((N * (tile_extent(self.inputs) + 0.5)).max() * 2.0**-24)

    @cached_property
    def fixed_error(self) -> float:
        """Bound of the error in N h of phases in fixed point; infinite if no units can represent an index."""
        return fixed_error(self.inputs)

    def tile(self, kernel: Kernel) -> tuple[int, int]:
        """Columns and rows of a tile of a kernel; (0, 0) for kernels without tiles."""
        return (0, 0) if kernel in (GENERAL, SPOTS) else (TILE, TILE)


def tile_extent(inputs: KernelInputs) -> np.ndarray:
    """Largest change of h, k and l over the width and height of a tile, (3,) float64, from 9 x 9 points of the panel."""
    panel, largest = inputs.panel, np.zeros(3)
    # all points of a curved detector have the same distance; the direction does not matter
    along, across = (np.eye(3) / panel.distance,) * 2 if panel.curved else turns_of(panel)
    for first in range(0, len(inputs.cells), ORIENTATIONS):
        vectors = inputs.cells[first : first + ORIENTATIONS].reshape(-1, 3, 3)
        change = (np.abs(vectors @ along.T) + np.abs(vectors @ across.T)).max(axis=(0, 2))
        largest = np.maximum(largest, change)
    return largest / inputs.sources[:, 3].min() * TILE * panel.pixel_size


def nearest_place(panel: PanelBlock) -> float:
    """Least distance (m) from the crystal to a point of the tiles of a panel; 0 if no bound is known."""
    depth = abs(panel.first_depth) + panel.layers * abs(panel.layer_step)
    if panel.curved:
        return max(panel.distance - depth, 0.0)
    corner, along, across = (np.array(panel[i : i + 3]) for i in (0, 3, 6))
    if np.abs(np.array([along @ along - 1, across @ across - 1, along @ across])).max() > 1e-6:
        return 0.0
    # the foot of the perpendicular from the crystal, moved into the rectangle of whole tiles
    ends = TILE * np.array([[panel.f0 // TILE, -(-panel.f1 // TILE)], [panel.s0 // TILE, -(-panel.s1 // TILE)]])
    f, s = np.clip((-corner @ along, -corner @ across), *(ends * panel.pixel_size).T)
    return max(float(np.linalg.norm(corner + f * along + s * across)) - depth, 0.0)


@lru_cache(maxsize=64)
def largest_turn(panel: PanelBlock) -> float:
    """Upper bound of the difference between the direction (unit vector) of a pixel and that of its tile's middle."""
    reach = 0.5 * math.hypot(TILE, TILE) * panel.pixel_size
    reach += panel.layers * abs(panel.layer_step)
    if panel.curved:  # both arcs, one after the other
        reach *= 1.5
    nearest = nearest_place(panel)
    return reach / nearest if nearest > 0 else math.inf


class FixedPoint(NamedTuple):
    """Units of phases in fixed point (:mod:`nbnumba.kernels.gpu.fixed`)."""

    whole_bits: int  # of the 64 bits of an index; 0: no number of bits is sufficient
    vector_scale: float  # units in 1 of cell vectors over lambda; both factors are below 2^31,
    direction_scale: float  # of differences of direction; the product of both is 2^(64 - whole_bits)
    change: float  # largest difference of an index from the tile's middle


def fixed_point(inputs: KernelInputs) -> FixedPoint:
    """Units that can represent the largest index and cell vector; cell vectors and directions have equal relative rounding."""
    vector = float(np.linalg.norm(inputs.cells.reshape(-1, 3), axis=1).max() / inputs.sources[:, 3].min())
    turn = largest_turn(inputs.panel)
    change = vector * turn
    if not 0.0 < change < 2.0**20:
        return FixedPoint(0, 0.0, 0.0, math.inf)
    whole_bits = 2 + max(0, math.ceil(math.log2(1.01 * change)))
    direction_scale = math.sqrt(2.0 ** (64 - whole_bits) * vector / turn)
    return FixedPoint(whole_bits, 2.0 ** (64 - whole_bits) / direction_scale, direction_scale, change)


def fixed_error(inputs: KernelInputs) -> float:
    """Bound of the error in N h of phases in fixed point; infinite if no units can represent an index."""
    fixed = fixed_point(inputs)
    most = max(inputs.crystal.Na, inputs.crystal.Nb, inputs.crystal.Nc)
    return most * (math.sqrt(3.0 * fixed.change * 2.0 ** (fixed.whole_bits - 64)) + 2.0**-33)


def box_of(cell: CellBlock) -> tuple[int, int, int]:
    """Entries of the box of structure factors along h, k, l; 0 without a list of reflections."""
    return (cell.h_range, cell.k_range, cell.l_range) if cell.has_hkl else (0, 0, 0)
