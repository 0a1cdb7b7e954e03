"""Properties of a panel for the CPU's kernels: sizes of tiles, and bounds of the error of float32 phases.

The constants were measured on random experiments (``tests/campaigns/stress``).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from nbnumba.kernels.cpu.tiles import NEAR
from nbnumba.render.inputs import KernelInputs
from nbnumba.render.kernel_table import FAST32, FAST64, FEWEST_TERMS, Case, Kernel
from nbnumba.render.panel_grid import grid_of, turns_of

#: columns and rows of tiles, in order of preference: wide tiles amortize the cost per tile; square ones have the least
#: error
TILES = ((32, 16), (24, 16), (20, 16), (16, 16), (16, 8), (8, 8), (4, 4))
#: tile used if none is small enough, or if the size does not affect the error
MEDIUM = (16, 8)
#: tile for wide spots without tails
SMALL = (8, 8)
#: rows that are a whole number of tiles of every size
ROWS_TOGETHER = 16
#: Tiles are chosen, if there are any, with an error bound of float32 phases below this. The measured error of an image is up to
#: 0.5 of it, relative to the maximum; at the direct beam, where the spots of all orientations coincide, up to 2.5 times as
#: much, and tiles are smaller there (:func:`nbnumba.kernels.cpu.fast.beam_box`)
WANTED_ERROR = 1.6e-6
#: float32 phases are used for images with at least this many terms in all; with fewer, float64 takes a few milliseconds
FEWEST_STEPS = 1e7
#: Off the peaks an index is rounded to 2^-25, whatever the tile. Where an image has no peak relative to which that is
#: negligible, because it has fewer reflections than this, float32 is used only if the effect of 1 to 6 such errors, averaged over
#: at most FEWEST_TERMS terms (between reflections a few orientations are much stronger than hundreds of others), is below ...
FEWEST_REFLECTIONS = 30
#: ... this share of the maximum
LARGEST_OFF_PEAK = 2e-6
#: Most structure factors that the fast kernels can index; most orientations that are used for a bound
MOST_F, SAMPLE = 2**29, 500


class CpuCase(Case):
    """Properties of a panel for the CPU's kernels."""

    target = "cpu"

    @property
    def too_large(self) -> str:
        """Reason why the integers of the fast kernels are too small for the panel; empty if they are not."""
        cell = self.inputs.cell
        many = cell.h_range * cell.k_range * cell.l_range >= MOST_F
        return "more structure factors than the fast kernels can index" if many else ""

    @property
    def has_few_terms(self) -> bool:
        """Whether a pixel has too few terms to blur the zeros of the grating function, or float64 takes only milliseconds."""
        panel = self.inputs.panel
        pixels = (panel.s1 - panel.s0) * (panel.f1 - panel.f0)
        return self.terms < FEWEST_TERMS or self.terms * pixels < FEWEST_STEPS

    @property
    def may_miss_peaks(self) -> bool:
        """Whether the image may have no Bragg peak, relative to which errors of float32 phases would be negligible."""
        crystal = self.inputs.crystal
        off_peak = 6.0 * max(crystal.Na, crystal.Nb, crystal.Nc) * 2.0**-25 / FEWEST_TERMS**0.5
        return off_peak > LARGEST_OFF_PEAK and not shows_peaks(self.inputs)

    @property
    def fixed_error(self) -> float:
        """Infinite: the CPU has no kernel in fixed point."""
        return np.inf

    @cached_property
    def _wavelength(self) -> float:
        return self.inputs.sources[:, 3].min()

    @cached_property
    def _changes(self) -> Any:
        """Change of h, k, l per metre along both axes over the wavelength, (orientations, 3, points) each.

        Of many orientations :data:`SAMPLE` are used. On a curved detector: a bound of both together.
        """
        cells = self.inputs.cells
        vectors = cells[:: -(-len(cells) // SAMPLE)].reshape(-1, 3, 3)
        if self.inputs.panel.curved:
            return np.linalg.norm(vectors, axis=2).max(axis=0) / self._wavelength
        along, across = turns_of(self.inputs.panel)
        return np.abs(vectors @ along.T), np.abs(vectors @ across.T)

    def tile_extent(self, tile: tuple[int, int]) -> np.ndarray:
        """Largest change of h, k and l across a tile, (3,) float64, from a grid of points of the panel.

        On a curved detector the bound is |a| / lambda times the angle of a tile.
        """
        panel = self.inputs.panel
        if panel.curved:
            return self._changes * (sum(tile) * panel.pixel_size / panel.distance)
        along, across = self._changes
        change = along * tile[0] + across * tile[1]
        return change.max(axis=(0, 2)) / self._wavelength * panel.pixel_size

    def tile_reach(self, tile: tuple[int, int]) -> float:
        """Largest distance of h, k or l from those of a tile's middle, as the kernel bounds it, at the nearest point."""
        longest, nearest = self._reach
        return longest * 0.5 * np.hypot(*tile) * self.inputs.panel.pixel_size / nearest

    @cached_property
    def _reach(self) -> tuple[float, float]:
        panel = self.inputs.panel
        longest = np.linalg.norm(self.inputs.cells.reshape(-1, 3), axis=1).max() / self._wavelength
        return longest, panel.distance if panel.curved else grid_of(panel)[1].min()

    def error_of(self, tile: tuple[int, int]) -> float:
        """Bound of the phase error of float32 phases, in N h: rounding over a tile.

        The largest of N (extent of the tile in h) 2^-24 over the three axes. Next to a zero of the grating function, at a
        distance y in N h, a term is wrong by 2 / y times that, relative to itself.
        """
        crystal = self.inputs.crystal
        N = np.array((crystal.Na, crystal.Nb, crystal.Nc))
        return float((N * self.tile_extent(tile)).max() * 2.0**-24)

    @cached_property
    def _near_tile(self) -> tuple[int, int]:
        """The largest tile in which two whole numbers can be nearest to an index; where none is, of medium size."""
        return next((tile for tile in TILES if self.tile_reach(tile) <= NEAR), MEDIUM)

    @cached_property
    def _exact_tile(self) -> tuple[tuple[int, int], float]:
        """The largest such tile with the wanted error bound, and that bound."""
        tile = self._near_tile
        error = self.error_of(tile)
        for smaller in TILES[TILES.index(tile) + 1 : -1]:
            if error <= WANTED_ERROR:
                break
            tile, error = smaller, self.error_of(smaller)
        return tile, error

    @property
    def anchored_error(self) -> float:
        """Bound of the error in N h of float32 phases that are relative to the middle of a tile."""
        return self._exact_tile[1]

    def tile(self, kernel: Kernel) -> tuple[int, int]:
        """Columns and rows of a tile of a kernel; (0, 0) for kernels without tiles."""
        if kernel is FAST32:
            return self._exact_tile[0]
        if kernel is not FAST64:
            return (0, 0)
        if self.is_square:
            return self._near_tile if self.has_few_terms else self._exact_tile[0]
        return self._near_tile if self.is_round else SMALL


def shows_peaks(inputs: KernelInputs) -> bool:
    """Whether pixels must be expected on Bragg peaks, of :data:`FEWEST_REFLECTIONS` reflections or more."""
    panel, crystal, cells = inputs.panel, inputs.crystal, inputs.cells
    steps = inputs.steps_per_pixel * (panel.s1 - panel.s0) * (panel.f1 - panel.f0)
    if steps < 10.0 * max(crystal.Na, 1.0) * max(crystal.Nb, 1.0) * max(crystal.Nc, 1.0):
        return False
    position, r = grid_of(panel)
    q = position / r - inputs.sources[0, :3]
    nearest = np.rint(q @ cells[:: -(-len(cells) // 20)].reshape(-1, 3).T / inputs.sources[0, 3]).reshape(-1, 3)
    return len(np.unique(nearest, axis=0)) >= FEWEST_REFLECTIONS
