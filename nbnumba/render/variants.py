"""Which CPU kernel renders a panel, with tiles of which size: bounds of what float32 phases do to an image.

The figures below were measured on random experiments (``tests/campaigns/stress``).
"""

from __future__ import annotations

import numpy as np

from nbnumba.kernels.cpu.tiles import NEAR
from nbnumba.kernels.formulas import spots_shell
from nbnumba.kernels.formulas.blocks import GAUSS, ROUND, TOPHAT

#: columns and rows of tiles; the more pixels, the less a pixel pays for what is done once in a tile, and squares have
#: the smallest errors. A third more columns than rows where 16 x 16 has room to spare
TILES = ((32, 16), (24, 16), (20, 16), (16, 16), (16, 8), (8, 8), (4, 4))
#: where none is small enough, or it does not matter
MEDIUM = (16, 8)
#: whole numbers of tiles of all sizes
ROWS_TOGETHER = 16


def _grid(panel):
    """Positions (m) of a grid of points over the rendered part of a flat panel, (81, 3)."""
    corner, along, across = (np.array(panel[i : i + 3]) for i in (0, 3, 6))
    f, s = np.meshgrid(np.linspace(panel.f0, panel.f1, 9), np.linspace(panel.s0, panel.s1, 9))
    return corner + panel.pixel_size * (f[..., None] * along + s[..., None] * across).reshape(-1, 3)


def tile_extent(cells, sources, panel, tile):
    """Largest change of h, k and l across a tile, (3,) float64, from a grid of points of the panel.

    Of many orientations 500 are looked at. On a curved detector the bound is |a| / lambda times the angle of a tile.
    """
    vectors = cells[:: -(-len(cells) // 500)].reshape(-1, 3, 3)
    wavelength = sources[:, 3].min()
    if panel.curved:
        angle = sum(tile) * panel.pixel_size / panel.distance
        return np.linalg.norm(vectors, axis=2).max(axis=0) / wavelength * angle
    place = _grid(panel)
    r = np.linalg.norm(place, axis=1)[:, None]
    change = np.zeros(1)
    for axis, pixels in zip((panel[3:6], panel[6:9]), tile, strict=True):
        turn = (np.array(axis) - place * (place @ axis)[:, None] / r**2) / r  # change of the direction per metre
        change = change + np.abs(vectors @ turn.T) * pixels
    return change.max(axis=(0, 2)) / wavelength * panel.pixel_size


def tile_reach(cells, sources, panel, tile):
    """Largest distance of h, k or l from those of a tile's middle, as the kernel bounds it, at the nearest point."""
    longest = np.linalg.norm(cells.reshape(-1, 3), axis=1).max() / sources[:, 3].min()
    nearest = panel.distance if panel.curved else np.linalg.norm(_grid(panel), axis=1).min()
    return longest * 0.5 * np.hypot(*tile) * panel.pixel_size / nearest


def anchored_error(cells, sources, panel, crystal, tile) -> float:
    """Bound of the phase error of :func:`render_fast32`, in N h: rounding over a tile.

    The largest of N (extent of the tile in h) 2^-24 over the three axes. Next to a zero of the grating function, at a
    distance y in N h, a term is wrong by 2 / y times that, relative to itself.
    """
    N = np.array((crystal.Na, crystal.Nb, crystal.Nc))
    return float((N * tile_extent(cells, sources, panel, tile)).max() * 2.0**-24)


#: Tiles are made so small, within reason, that :func:`anchored_error` is below this: measured, an image is wrong by up
#: to 0.5 of it, relative to its maximum; where the spots of all orientations coincide, at the direct beam, up to 2.5
#: times as much, and tiles are smaller there (:func:`nbnumba.kernels.cpu.fast.beam_box`)
WANTED_ERROR = 1.6e-6
#: float32 phases are taken up to this :func:`anchored_error` ...
LARGEST_ERROR = 4e-6
#: ... for pixels with at least this many terms, which blur the zeros of the grating function (measured: the 99th
#: percentile of the relative error is up to 80 errors over the root of the number of terms), ...
FEWEST_TERMS = 10
#: ... and for images with at least this many terms in all: below, float64 takes a few milliseconds
FEWEST_STEPS = 1e7
#: Halfway between two reflections float32 may take the other one's structure factor. Even numbers of cells cancel
#: there, odd ones leave 1 / N^2 of a peak: axes with fewer cells than this keep float64
FEWEST_ODD = 16
#: Off the peaks an index is rounded to 2^-25, whatever the tile. Where an image has no peak beside which that is nothing,
#: because it shows fewer reflections than this, float32 is taken only if what 1 to 6 such errors come to, averaged over no
#: more than FEWEST_TERMS terms (between reflections a few orientations outshine hundreds of others), is below ...
FEWEST_REFLECTIONS = 30
#: ... this share of the maximum
LARGEST_OFF_PEAK = 2e-6


def few_cells(crystal, cell) -> bool:
    """Whether what float32 takes for the nearest reflection can be seen halfway between two."""
    counts = (crystal.Na, crystal.Nb, crystal.Nc)
    return bool(cell.has_hkl) and any(N < FEWEST_ODD and int(N) % 2 for N in counts)


def shows_peaks(inputs) -> bool:
    """Whether pixels must be expected on Bragg peaks, of :data:`FEWEST_REFLECTIONS` reflections or more."""
    panel, crystal, cells = inputs.panel, inputs.crystal, inputs.cells
    steps = inputs.steps_per_pixel * (panel.s1 - panel.s0) * (panel.f1 - panel.f0)
    if steps < 10.0 * max(crystal.Na, 1.0) * max(crystal.Nb, 1.0) * max(crystal.Nc, 1.0):
        return False
    place = _grid(panel)
    q = place / np.linalg.norm(place, axis=1)[:, None] - inputs.sources[0, :3]
    nearest = np.rint(q @ cells[:: -(-len(cells) // 20)].reshape(-1, 3).T / inputs.sources[0, 3]).reshape(-1, 3)
    return len(np.unique(nearest, axis=0)) >= FEWEST_REFLECTIONS


def choose_variant(inputs, precision="auto"):
    """Kernel, tile and reason for one panel.

    Parameters
    ----------
    inputs : nbnumba.render.inputs.KernelInputs
    precision : str
        ``auto``: float32 phases where 99 of 100 pixels stay within 1e-4 of their own value and all within 2e-6 of the
        maximum (within 1e-6 for ordinary crystals); ``mixed``: for every square crystal.

    Returns
    -------
    kernel : str
        ``fast32``, ``fast64``, ``spots`` (:mod:`nbnumba.kernels.cpu.spots`), or ``general`` where the box of
        structure factors is too large for the fast kernels.
    tile : tuple of int
        Columns and rows; (0, 0): the kernel has none.
    reason : str
    """
    panel, crystal, cell = inputs.panel, inputs.crystal, inputs.cell
    if cell.h_range * cell.k_range * cell.l_range >= 2**29:
        return "general", (0, 0), "more structure factors than the fast kernels can number"
    if spots_shell.is_for(inputs):
        return "spots", (0, 0), "spots without tails: reflection by reflection"
    if crystal.shape in (GAUSS, TOPHAT):
        return "fast64", (8, 8), "wide spots without tails: float64 phases, small tiles"
    # the largest tile in which two whole numbers can be nearest to an index; where none is, of medium size
    small = [tile for tile in TILES if tile_reach(inputs.cells, inputs.sources, panel, tile) <= NEAR]
    tile = small[0] if small else MEDIUM
    if crystal.shape == ROUND:
        return "fast64", tile, "round crystals need float64 phases"
    error = anchored_error(inputs.cells, inputs.sources, panel, crystal, tile)
    for smaller in TILES[TILES.index(tile) + 1 : -1]:
        if error <= WANTED_ERROR:
            break
        tile, error = smaller, anchored_error(inputs.cells, inputs.sources, panel, crystal, smaller)
    if precision == "mixed":
        return "fast32", tile, "float32 phases asked for"
    terms = inputs.steps_per_pixel
    if terms < FEWEST_TERMS or terms * (panel.s1 - panel.s0) * (panel.f1 - panel.f0) < FEWEST_STEPS:
        return "fast64", small[0] if small else MEDIUM, "float64 phases: few terms"
    if few_cells(crystal, cell):
        return "fast64", tile, "float64 phases: an axis with few cells is bright between reflections"
    off_peak = 6.0 * max(crystal.Na, crystal.Nb, crystal.Nc) * 2.0**-25 / FEWEST_TERMS**0.5
    if off_peak > LARGEST_OFF_PEAK and not shows_peaks(inputs):
        return "fast64", tile, "float64 phases: perhaps no Bragg peak is seen"
    if error > LARGEST_ERROR:
        return "fast64", tile, f"float64 phases: float32 would be wrong by up to {error:.1e} in N h"
    return (
        "fast32",
        tile,
        f"float32 phases relative to tiles of {tile[0]} x {tile[1]} pixels, wrong by less than {error:.1e} in N h",
    )
